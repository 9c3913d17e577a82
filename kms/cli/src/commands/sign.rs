//! `keyward sign`: a signature with its receipt, verified here before it is shown.

use std::path::{Path, PathBuf};

use keyward_domain::payload::MESSAGE_LEN_MAX;
use keyward_proto::custody::sign_request::Payload;
use keyward_proto::custody::{SignRequest, SignResponse};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::Context;
use super::key::parse_key;
use super::verify;
use crate::failure::{Failure, Result};
use crate::files::{self, Access};
use crate::service::{As, Service, idempotency_key};

#[derive(Debug, clap::Args)]
pub(crate) struct Sign {
    /// Alias, or key id in hex.
    #[arg(long)]
    key: String,
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
    /// What to sign. Of a file longer than 1 MiB the digest is sent.
    file: PathBuf,
}

impl Sign {
    pub(crate) async fn run(self, context: &Context) -> Result<()> {
        let profile = context.profile()?;
        let bytes = files::read(&self.file)?;
        let key = parse_key(&self.key)?;
        let whose = if self.as_certificate { As::Certificate } else { As::Whoever };
        let service = Service::connect(&profile, whose).await?;
        let payload = if self.digest { Payload::Digest(digest(&bytes).into()) } else { payload_of(&bytes) };
        let signed = sign(&service, &key, payload).await?;
        let message = (!self.digest).then_some(bytes.as_slice());
        check(&files::read(&profile.path(&profile.file.trust))?, &signed, message)?;
        self.keep(&signed)?;
        context.output.answer(self.words(&signed), &to_json(&signed));
        Ok(())
    }

    fn keep(&self, signed: &SignResponse) -> Result<()> {
        if let Some(path) = &self.receipt {
            files::write(path, &signed.receipt, Access::Public)?;
        }
        if let Some(path) = &self.signature {
            files::write(path, signature_file(signed), Access::Public)?;
        }
        Ok(())
    }

    fn words(&self, signed: &SignResponse) -> String {
        let kept = |path: &Option<PathBuf>| path.as_deref().map(Path::display).map(|path| path.to_string());
        let lines = [
            ("scheme", Some(signed.scheme.clone())),
            ("public key", Some(hex::encode(&signed.public_key))),
            ("address", Some(signed.address.clone())),
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
pub(crate) fn signature_file(signed: &SignResponse) -> &[u8] {
    if signed.signature_der.is_empty() { &signed.signature } else { &signed.signature_der }
}

/// A message, or the digest of one that is too long to send.
pub(crate) fn payload_of(bytes: &[u8]) -> Payload {
    if bytes.len() <= MESSAGE_LEN_MAX {
        return Payload::Message(bytes.to_vec().into());
    }
    Payload::Digest(Sha256::digest(bytes).to_vec().into())
}

/// The digest in a file: raw or in hex. Anything else goes to the service as it is, which refuses it.
fn digest(bytes: &[u8]) -> Vec<u8> {
    let text = std::str::from_utf8(bytes).unwrap_or_default().trim();
    if text.len() == 64 {
        hex::decode(text).unwrap_or_else(|_not_hex| bytes.to_vec())
    } else {
        bytes.to_vec()
    }
}

/// Asks for a signature.
pub(crate) async fn sign(service: &Service, key: &str, payload: Payload) -> Result<SignResponse> {
    let message = SignRequest {
        key: key.to_owned(),
        idempotency_key: idempotency_key()?.into(),
        tag: 0,
        payload: Some(payload),
    };
    let refused = service.refused("cannot sign");
    Ok(service.signing().sign(service.request(message)).await.map_err(refused)?.into_inner())
}

/// Holds a signature and its receipt against the trust file before anybody relies on them.
pub(crate) fn check(trust: &[u8], signed: &SignResponse, message: Option<&[u8]>) -> Result<()> {
    let verdict = verify::verify(trust, &signed.receipt, message).map_err(|error| verify::invalid(&error))?;
    if verdict.signature.as_deref() == Some(&signed.signature) {
        return Ok(());
    }
    Err(Failure::refused(
        "the service's receipt is for another signature than the one it answered",
        "do not use this signature; tell the operator",
    ))
}

/// What `--output json` prints.
pub(crate) fn to_json(signed: &SignResponse) -> serde_json::Value {
    json!({
        "signature": hex::encode(&signed.signature), "public_key": hex::encode(&signed.public_key),
        "scheme": signed.scheme, "address": signed.address.trim_start_matches("0x"),
        "receipt": hex::encode(&signed.receipt),
    })
}
