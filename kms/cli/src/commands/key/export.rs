//! `keyward key export`: a public key in the forms that other programs read.

use std::io::Write as _;
use std::path::PathBuf;

use serde_json::json;

use super::{Context, parse_key};
use crate::failure::{Failure, Result};
use crate::files::{self, Access};
use crate::output::{Format, aside};
use crate::service::{Service, failed};

#[derive(Debug, clap::Args)]
pub(super) struct Export {
    /// Alias, alias@version, or key id in hex.
    key: String,
    /// spki-pem, spki-der, jwk, openssh, address-ethereum, address-p2wpkh or address-p2tr.
    #[arg(long, value_name = "FORM")]
    format: String,
    /// Of Bitcoin addresses: mainnet or testnet.
    #[arg(long, value_name = "NAME", default_value = "mainnet")]
    network: String,
    /// Writes it here instead of printing it.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl Export {
    pub(super) async fn run(self, context: &Context, service: &Service) -> Result<()> {
        let key = parse_key(&self.key)?;
        let exported = service.client.export_key(&key, &self.format, &self.network).await;
        let exported = exported.map_err(failed("cannot export the key"))?;
        if self.format == "address-p2tr" {
            aside(
                "note: spending from this address takes the tweaked key (BIP 341), which `sign` does not use",
            );
        }
        let bytes = exported.exported.as_ref();
        if let Some(path) = &self.out {
            files::write(path, bytes, Access::Public)?;
        }
        let text = std::str::from_utf8(bytes).ok();
        match (context.output.format, text, &self.out) {
            (Format::Human, None, None) => raw(bytes),
            (Format::Human, _, Some(path)) => {
                context.output.answer(format!("wrote `{}`", path.display()), &json!({}));
                Ok(())
            }
            (_, text, _) => {
                let json = json!({
                    "key_id": hex::encode(&exported.key_id), "public_key": hex::encode(&exported.public_key),
                    "scheme": exported.scheme, "format": self.format,
                    "exported": text.map_or_else(|| hex::encode(bytes), str::to_owned),
                });
                context.output.answer(text.unwrap_or_default().trim_end(), &json);
                Ok(())
            }
        }
    }
}

/// DER goes out as it is, for a pipe.
fn raw(bytes: &[u8]) -> Result<()> {
    std::io::stdout().write_all(bytes).map_err(|error| {
        Failure::refused("cannot write to standard output", "give `--out FILE`").because(&error)
    })
}
