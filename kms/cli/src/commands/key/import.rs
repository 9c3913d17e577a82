//! `keyward key import`: a key that was made elsewhere, sealed to the service on this side.

use std::path::PathBuf;

use keyward_crypto::read_private_key;
use keyward_domain::Alias;
use zeroize::Zeroizing;

use super::answer::answer_change;
use super::{Context, parse_scheme};
use crate::failure::{Failure, Result};
use crate::files;
use crate::service::{Service, failed};

#[derive(Debug, clap::Args)]
pub(super) struct Import {
    /// The private key, PKCS#8 or SEC1 in PEM or DER, without a password; a file of mode 0600.
    #[arg(long, value_name = "FILE")]
    file: PathBuf,
    /// What to call it.
    #[arg(long)]
    alias: String,
    /// What it signs with: ecdsa-secp256k1, bip340, ecdsa-p256 or ed25519.
    #[arg(long)]
    scheme: String,
    /// The public key that must come of it, in hex; refused before anything leaves when it is another one.
    #[arg(long, value_name = "HEX")]
    public_key: Option<String>,
    /// For an app: the private part stays in the file, and the key speaks for the app's account (`keyward association`): mode `self`.
    #[arg(long)]
    stays: bool,
    /// Writes the receipt of its binding here.
    #[arg(long, value_name = "FILE")]
    receipt: Option<PathBuf>,
}

impl Import {
    pub(super) async fn run(self, context: &Context, service: &Service) -> Result<()> {
        files::distinct(self.receipt.iter().chain([&self.file]).map(PathBuf::as_path))?;
        let cannot = "cannot import the key";
        let alias = Alias::parse(&self.alias).map_err(|error| Failure::of_coded(cannot, &error))?.to_string();
        let scheme = parse_scheme(&self.scheme)?;
        let file: Zeroizing<Vec<u8>> = files::read_secret_bytes(&self.file)?;
        let key = read_private_key(scheme, &file).map_err(|error| {
            let what = format!("`{}` holds no private key for `{scheme}`", self.file.display());
            let next =
                "give one PKCS#8 or SEC1 key of that kind, without a password and with nothing around it";
            Failure::refused(what, next).because(&error)
        })?;
        let public = hex::encode(key.public_key().as_bytes());
        if self.public_key.is_some_and(|expected| expected != public) {
            let what = format!("`{}` holds the key of another public key, {public}", self.file.display());
            return Err(Failure::refused(what, "choose the file of the key that is meant"));
        }
        if self.stays {
            if service.person {
                let next =
                    "make one with `keyward key create`, or say `--as-certificate` for the app's own account";
                return Err(Failure::usage("a person's keys of mode `self` are made on their device", next));
            }
            let bound = service.client.bind_own_key(&alias, &key).await.map_err(failed(cannot))?;
            let words = format!("bound; keep `{}`: it alone holds the private part", self.file.display());
            return answer_change(context, &words, &bound, self.receipt);
        }
        let imported = service.client.import_key(&alias, &key).await.map_err(failed(cannot))?;
        answer_change(context, "imported; destroy the file when you need it no more", &imported, self.receipt)
    }
}
