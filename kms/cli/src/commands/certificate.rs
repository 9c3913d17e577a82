//! `keyward certificate request`: a TLS key where it stays, and the request by which an organisation's own authority
//! certifies it.

use std::path::PathBuf;

use keyward_domain::{Principal, Role};
use serde_json::json;

use super::Context;
use crate::authority::request;
use crate::config::node::TLS_KEY;
use crate::failure::{Failure, Result};
use crate::files::{self, Access};
use crate::sealed::OperatorSecret;

/// Certificates of nodes, services and callers.
#[derive(Debug, clap::Args)]
pub(crate) struct Certificate {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Makes a TLS key, and the request (PKCS #10, PEM) to be signed by your authority.
    Request(Request),
}

#[derive(Debug, clap::Args)]
struct Request {
    /// Whom the certificate names: `keyward://node/NAME`, `keyward://service/NAME`, `keyward://operator/NAME`, ..
    #[arg(long, value_name = "URI")]
    owner: String,
    /// A name or address under which others reach it; repeatable; none for a caller.
    #[arg(long = "host", value_name = "HOST")]
    hosts: Vec<String>,
    /// The operator's secret to seal the key under; without one it lies in the open with mode 0600, as callers' keys do.
    #[arg(long, value_name = "FILE")]
    secret: Option<PathBuf>,
    /// Where to write the private key.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Where to write the request.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

impl Certificate {
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        let Verb::Request(asked) = self.verb;
        asked.run(context)
    }
}

impl Request {
    fn run(self, context: &Context) -> Result<()> {
        let owner = Principal::parse(&self.owner).map_err(|error| {
            Failure::usage(format!("`{}` names nobody", self.owner), "give `keyward://<role>/<name>`")
                .because(&error)
        })?;
        let serves = matches!(owner.role(), Role::Node | Role::Service);
        if serves != (!self.hosts.is_empty() && self.secret.is_some()) {
            let next = "give nodes and services `--host` and `--secret`, and callers neither";
            return Err(Failure::usage("this is no request that a server or a caller needs", next));
        }
        files::distinct([&self.key, &self.out].into_iter().chain(&self.secret).map(PathBuf::as_path))?;
        for path in [&self.key, &self.out] {
            // Keys are never overwritten.
            files::fresh(path, "keys and requests")?;
        }
        let made = request(&owner, &self.hosts)?;
        match &self.secret {
            Some(secret) => {
                OperatorSecret::load(secret)?.seal(&self.key, TLS_KEY, &owner, made.key_pem.as_bytes())?;
            }
            None => files::write(&self.key, made.key_pem.as_bytes(), Access::Secret)?,
        }
        files::write(&self.out, made.request_pem.as_bytes(), Access::Public)?;
        let (key, out) = (self.key.display(), self.out.display());
        let words =
            format!("key in `{key}`\nhave `{out}` signed by your authority, with the names that it asks for");
        context.output.answer(words, &json!({ "owner": owner.uri(), "key": self.key, "request": self.out }));
        Ok(())
    }
}
