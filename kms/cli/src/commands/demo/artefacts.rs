//! What the demo leaves behind for each signature: receipt, signature, public key; and how to check it without us.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use keyward_client::Signature;
use keyward_crypto::public_key_pem;
use keyward_domain::scheme::Scheme;

use crate::commands::sign::signature_file;
use crate::failure::Result;
use crate::files::{self, Access};

/// Files of one signature.
pub(super) struct Kept {
    pub(super) receipt: PathBuf,
    pub(super) signature: PathBuf,
    /// Where openssl knows the scheme.
    pub(super) public_key: Option<PathBuf>,
}

/// Writes a signature's files.
pub(super) fn keep(folder: &Path, name: &str, signed: &Signature) -> Result<Kept> {
    let at = |end: &str| folder.join(format!("{name}.{end}"));
    let (receipt, signature) = (at("receipt"), at("signature"));
    files::write(&receipt, &signed.receipt, Access::Public)?;
    files::write(&signature, signature_file(signed), Access::Public)?;
    let pem = public_key_pem(&signed.public_key);
    let public_key = pem.is_some().then(|| at("public.pem"));
    if let (Some(path), Some(pem)) = (&public_key, pem) {
        files::write(path, pem.as_bytes(), Access::Public)?;
    }
    Ok(Kept { receipt, signature, public_key })
}

/// The arguments with which openssl checks a signature; none for schemes that it does not know.
pub(super) fn openssl_arguments(scheme: Scheme, kept: &Kept, message: &Path) -> Option<Vec<String>> {
    let path = |path: &Path| path.display().to_string();
    let (key, signature, message) = (path(kept.public_key.as_ref()?), path(&kept.signature), path(message));
    let pss: &[&str] = match scheme {
        Scheme::EcdsaSecp256k1 | Scheme::EcdsaP256 | Scheme::RsaPkcs1 => &[],
        Scheme::RsaPss => &["-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:32"],
        Scheme::Ed25519 => {
            let key = ["pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", &key];
            let files = ["-sigfile", &signature, "-in", &message];
            return Some(key.into_iter().chain(files).map(str::to_owned).collect());
        }
        Scheme::Sm2 => {
            let check = ["dgst", "-sm3", "-sigopt", "distid:1234567812345678", "-verify", &key];
            let files = ["-signature", &signature, &message];
            return Some(check.into_iter().chain(files).map(str::to_owned).collect());
        }
        Scheme::Bip340 => return None,
    };
    let files = ["-verify", &key, "-signature", &signature, &message];
    Some(["dgst", "-sha256"].iter().chain(pss).chain(&files).map(|&argument| argument.to_owned()).collect())
}

/// What openssl says, where it is installed.
pub(super) fn run_openssl(arguments: &[String]) -> Option<bool> {
    let mut command = Command::new("openssl");
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().ok().map(|status| status.success())
}

/// A command line that a shell takes as it is meant.
pub(super) fn shell(program: &str, arguments: &[String]) -> String {
    let plain = |text: &str| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_./:=+,@".contains(&b))
    };
    let quoted = arguments.iter().map(|argument| {
        if plain(argument) { argument.clone() } else { format!("'{}'", argument.replace('\'', "'\\''")) }
    });
    std::iter::once(program.to_owned()).chain(quoted).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn a_shell_takes_paths_with_blanks_and_quotes_as_they_are() {
        let arguments = ["-verify".to_owned(), "my folder/it's.pem".to_owned()];
        assert_eq!(shell("openssl", &arguments), "openssl -verify 'my folder/it'\\''s.pem'");
    }
}
