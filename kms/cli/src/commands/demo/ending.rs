//! How the story ends: a table, paths, and what to try without us.

use std::time::Instant;

use serde_json::{Value, json};

use super::artefacts::{openssl_arguments, shell};
use super::story::{Row, Story};
use crate::local::cluster::Cluster;
use crate::output::table;

impl Story<'_> {
    pub(super) fn end(&self, cluster: &Cluster, start: Instant) -> (String, Value) {
        let rows: Vec<_> = self.rows.iter().map(table_row).collect();
        let head = ["key", "scheme", "private part", "time", "receipt", "openssl"];
        let line = self.openssl_line();
        let root = cluster.layout.root().display();
        let words = format!(
            "\nWhat happened, in {} s:\n\n{}\n\n\
             One validator killed: signing went on. Two killed: refused, nothing signed. Restarted: signing went on.\n\n\
             Written:\n  the signed file   {}\n  receipts, signatures, public keys   {}\n  the trust file    {}\n  \
             logs              {root}/logs\n\nCheck a signature without us:\n  {line}\n\n\
             Check a receipt without any network:\n  keyward verify --trust {} --message {} {}\n\n\
             Go on with this folder:\n  keyward up --dir {root}\n  export KEYWARD_PROFILE={}",
            start.elapsed().as_secs(),
            table(&head, &rows),
            self.message_path.display(),
            self.folder.display(),
            self.trust_path.display(),
            self.trust_path.display(),
            self.message_path.display(),
            self.rows.first().map(|row| row.kept.receipt.display().to_string()).unwrap_or_default(),
            cluster.layout.profile("app").display(),
        );
        let keys: Vec<_> = self.rows.iter().map(row_json).collect();
        let json = json!({
            "done": true, "seconds": start.elapsed().as_secs_f32(), "folder": cluster.layout.root(),
            "message": self.message_path, "trust": self.trust_path, "keys": keys, "openssl": line,
        });
        (words, json)
    }

    /// The first line with which openssl checks one of the signatures.
    pub(super) fn openssl_line(&self) -> String {
        let arguments = |row: &Row| openssl_arguments(row.key.scheme, &row.kept, self.message_path);
        self.rows.iter().find_map(arguments).map(|arguments| shell("openssl", &arguments)).unwrap_or_default()
    }
}

fn table_row(row: &Row) -> Vec<String> {
    let openssl = match row.openssl {
        Some(true) => "agrees",
        Some(false) => "disagrees",
        None => "-",
    };
    let time = format!("{} ms", row.millis);
    let cells = [row.key.alias, row.key.scheme.name(), row.key.holder, &time, "valid", openssl];
    cells.map(str::to_owned).to_vec()
}

fn row_json(row: &Row) -> Value {
    json!({
        "key": row.key.alias, "scheme": row.key.scheme.name(), "holder": row.key.holder, "milliseconds": row.millis,
        "receipt": row.kept.receipt, "signature": row.kept.signature, "public_key": row.kept.public_key, "valid": true,
        "openssl": row.openssl,
    })
}
