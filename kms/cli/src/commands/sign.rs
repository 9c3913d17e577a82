//! `keyward sign`: a signature with its receipt, verified here before it is shown.

mod said;

use std::path::{Path, PathBuf};

use keyward_client::{Client, ClientError, Order, Signature};
use keyward_domain::Mode;
use keyward_domain::payload::{MESSAGE_LEN_MAX, PayloadError};
use keyward_domain::scheme::Scheme;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::address::sign as address;
use super::approve::sign::Told;
use super::key::parse_key;
use super::own::{PasswordFrom, unlock};
use super::recorded::parse_id;
use super::shared::EXPERIMENTAL;
use super::{Context, approve};
use crate::failure::{Failure, Result};
use crate::files::{self, Access};
use crate::profile::Profile;
use crate::service::{As, connect, failed, waiting};
use said::Said;

const EXAMPLES: &str = "Examples:
  keyward sign --key payroll --receipt receipt payment.txt
  keyward sign --address new --receipt receipt payment.txt
  keyward sign --address 02ab.. --format ethereum transaction";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Sign {
    /// Alias, or key id in hex.
    #[arg(long, required_unless_present = "address")]
    key: Option<String>,
    /// A one-time address of the account instead of a key: its public key in hex, or `new` for a fresh one. It signs once.
    #[arg(long, value_name = "ADDRESS|new", conflicts_with_all = ["key", "tweak", "input"])]
    address: Option<String>,
    /// Of an address: the scheme of its signature.
    #[arg(long, requires = "address", default_value = "ecdsa-secp256k1", value_parser = ["ecdsa-secp256k1", "bip340"])]
    scheme: String,
    /// Writes the receipt here.
    #[arg(long, value_name = "FILE")]
    receipt: Option<PathBuf>,
    /// Writes the signature here: DER for ECDSA (as openssl takes it), else its bytes.
    #[arg(long, value_name = "FILE")]
    signature: Option<PathBuf>,
    /// The file is not the message but its SHA-256 digest: 32 bytes, or 64 hex digits.
    #[arg(long)]
    digest: bool,
    /// Acts as the certificate's holder, even if somebody is logged in.
    #[arg(long)]
    as_certificate: bool,
    /// How long to wait, in seconds: keys at a token agent's desk may need a person there.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    wait: Option<u64>,
    #[command(flatten)]
    said: Said,
    #[command(flatten)]
    password: PasswordFrom,
    /// What to sign. Of a file longer than 1 MiB the digest is sent.
    file: PathBuf,
}

impl Sign {
    pub(crate) async fn run(self, context: &Context) -> Result<()> {
        let named = self.receipt.iter().chain(&self.signature).chain([&self.file]);
        files::distinct(named.map(PathBuf::as_path).chain(self.password.paths()))?;
        let profile = context.profile()?;
        let bytes = files::read(&self.file)?;
        let digest = if self.digest { Some(digest(&bytes)?) } else { None };
        let Some(key) = &self.key else {
            return self.by_address(context, &profile, &bytes, digest.as_ref()).await;
        };
        let key = parse_key(key)?;
        let service = connect(&profile, As::of(self.as_certificate)).await?;
        let cannot = failed("cannot sign");
        let client = waiting(service.client, self.wait);
        let mode = if service.person || self.password.key_file.is_some() {
            Mode::from_name(&client.show_key(&key).await.map_err(&cannot)?.mode)
        } else {
            None
        };
        if mode != Some(Mode::Shared) && self.said.is_for_shared() {
            let next = "leave `--tweak` away: it is for shared keys";
            return Err(Failure::usage("the key is not a shared one", next));
        }
        let shown = digest.as_ref().map_or(&bytes[..], |digest| &digest[..]);
        let told = self.said.approval.as_deref().map(|case| Told { key: &key, bytes: shown, case });
        let signed = match (mode, told) {
            (Some(Mode::Shared), told) => {
                self.shared(context, &profile, &client, &key, (&bytes, digest.as_ref()), told).await?
            }
            (Some(Mode::Own), Some(_)) => {
                let next = "leave `--approval` away: nobody approves what a key of mode `self` signs";
                return Err(Failure::usage("the key takes no approval", next));
            }
            (_, Some(told)) => {
                approve::sign::signed(context, &profile, (&client, self.as_certificate), &self.password, told)
                    .await?
            }
            (Some(Mode::Own), None) => {
                let own = unlock(context.output, &profile, &client, &self.password).await?;
                let secret = own.client.own_key(&key, &own.device, &own.login.export_key).await;
                let order = self.said.ordered(&key, &bytes, digest.as_ref())?;
                own.client.sign_own(&order, &secret.map_err(&cannot)?).await.map_err(cannot)?
            }
            (_, None) => {
                let order = self.said.ordered(&key, &bytes, digest.as_ref())?;
                client.sign(&order).await.map_err(cannot)?
            }
        };
        self.keep(&signed)?;
        context.output.answer(self.words(&signed), &to_json(&signed));
        Ok(())
    }

    /// With an address that signs once: by the service, or here where the account keeps its own root.
    async fn by_address(
        &self,
        context: &Context,
        profile: &Profile,
        bytes: &[u8],
        digest: Option<&[u8; 32]>,
    ) -> Result<()> {
        let which = address::which(self.address.as_deref().unwrap_or_default())?;
        let order = self.said.address_order(bytes, digest)?;
        let order = if self.scheme == Scheme::Bip340.name() { order.bip340() } else { order };
        let order = match &self.said.approval {
            Some(case) => order.approved(parse_id(case, "copy it from `keyward approve list`")?),
            None => order,
        };
        let service = connect(profile, As::of(self.as_certificate)).await?;
        let client = waiting(service.client, self.wait);
        let signed = address::signed(context, profile, &client, (which, &order, &self.password)).await?;
        self.keep(&signed.by.signature)?;
        signed.remind();
        let (address, epoch) = (hex::encode(signed.by.address), signed.by.epoch);
        let one_time = format!("address signed  {address}, in epoch {epoch}");
        let words = format!("{}\n{one_time}", self.words(&signed.by.signature));
        context.output.answer(words, &address::to_json(&signed));
        Ok(())
    }

    /// With the share on this device and the keepers that hold the others.
    async fn shared(
        &self,
        context: &Context,
        profile: &Profile,
        client: &Client,
        key: &str,
        (bytes, digest): (&[u8], Option<&[u8; 32]>),
        told: Option<Told<'_>>,
    ) -> Result<Signature> {
        let own = unlock(context.output, profile, client, &self.password).await?;
        let cannot = failed("cannot sign");
        let case = match told {
            Some(told) => Some(approve::sign::case(&own.client, told).await?),
            None => None,
        };
        let signer = own.client.shared_signer(key, own.login, &own.device).await.map_err(&cannot)?;
        let order = self.said.order(signer.status().key.scheme(), bytes, digest, case.as_ref())?;
        let _waiting = context.output.wait_for("you and the key's keepers sign");
        signer.sign(&order).await.map_err(cannot)
    }

    fn keep(&self, signed: &Signature) -> Result<()> {
        if let Some(path) = &self.receipt {
            files::write(path, &signed.receipt, Access::Public)?;
        }
        if let Some(path) = &self.signature {
            files::write(path, signature_file(signed), Access::Public)?;
        }
        Ok(())
    }

    fn words(&self, signed: &Signature) -> String {
        let kept = |path: &Option<PathBuf>| path.as_deref().map(Path::display).map(|path| path.to_string());
        let lines = [
            ("scheme", Some(scheme(signed).name().to_owned())),
            ("protocol", signed.experimental.then(|| EXPERIMENTAL.to_owned())),
            ("public key", Some(hex::encode(signed.public_key.as_bytes()))),
            ("address", signed.address.clone()),
            ("signature", Some(hex::encode(&signed.signature))),
            (
                "receipt",
                Some(kept(&self.receipt).unwrap_or_else(|| "verified; keep it with `--receipt FILE`".into())),
            ),
            ("signature file", kept(&self.signature)),
        ];
        let shown =
            lines.iter().filter_map(|(name, value)| Some((name, value.as_ref().filter(|v| !v.is_empty())?)));
        shown.map(|(name, value)| format!("{name:<15} {value}")).collect::<Vec<_>>().join("\n")
    }
}

/// What openssl takes: DER for ECDSA, the bytes for everything else.
pub(crate) fn signature_file(signed: &Signature) -> &[u8] {
    signed.signature_der.as_deref().unwrap_or(&signed.signature)
}

/// An order over a digest, or a file's bytes, of which nobody says more; of a long file, over its digest.
fn unsaid(key: &str, bytes: &[u8], digest: Option<&[u8; 32]>) -> std::result::Result<Order, ClientError> {
    match (digest, bytes.len()) {
        (Some(digest), _) => Order::digest(key, digest),
        (None, 0..=MESSAGE_LEN_MAX) => Order::message(key, bytes.to_vec()),
        (None, _) => Order::digest(key, &Sha256::digest(bytes).into()),
    }
}

/// The digest in a file: raw or in hex.
fn digest(bytes: &[u8]) -> Result<[u8; 32]> {
    let text = std::str::from_utf8(bytes).unwrap_or_default().trim();
    let raw = if text.len() == 64 { hex::decode(text).ok() } else { None };
    let raw = raw.unwrap_or_else(|| bytes.to_vec());
    let wrong = || Failure::of_coded("cannot sign", &PayloadError::DigestLength(raw.len()));
    raw.as_slice().try_into().ok().ok_or_else(wrong)
}

fn scheme(signed: &Signature) -> Scheme {
    signed.public_key.scheme()
}

/// What `--output json` prints; `experimental` where it is.
pub(crate) fn to_json(signed: &Signature) -> serde_json::Value {
    let address = signed.address.as_deref().unwrap_or_default();
    let mut json = json!({
        "signature": hex::encode(&signed.signature), "public_key": hex::encode(signed.public_key.as_bytes()),
        "scheme": scheme(signed).name(), "address": address.trim_start_matches("0x"),
        "receipt": hex::encode(&signed.receipt),
    });
    if let (Value::Object(map), true) = (&mut json, signed.experimental) {
        map.insert("experimental".into(), json!(true));
    }
    json
}
