//! Private keys as other programs write them: PKCS#8 (RFC 5208, 5958, 8410) or SEC1 (RFC 5915), PEM or DER.

use keyward_domain::scheme::Scheme;
use pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _, LineEnding, SecretDocument};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::signing::{SigningKey, SigningKeyError};

const PKCS8: &str = "PRIVATE KEY";
const SEC1: &str = "EC PRIVATE KEY";
/// What `openssl ecparam -genkey` writes before the key; it says nothing that the key does not say.
const PARAMETERS: &str = "EC PARAMETERS";
const ENCRYPTED: &str = "ENCRYPTED PRIVATE KEY";

/// RFC 8410, section 7: what stands before the seed of an Ed25519 key in PKCS#8.
const ED25519_HEAD: [u8; 16] = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];

/// Why bytes are no private key of a scheme; nothing of them stands in it.
#[derive(Debug, Error)]
pub enum KeyFileError {
    /// The key is under a password.
    #[error("the private key is encrypted")]
    Encrypted,
    /// Neither PEM of a private key nor DER, or more than one thing.
    #[error("the file holds no single private key in PEM or DER")]
    NoKey,
    /// The PEM is broken.
    #[error("the PEM does not decode")]
    Pem(#[source] pkcs8::der::Error),
    /// A key of another algorithm or curve, or broken DER.
    #[error("the file holds no private key for `{scheme}`")]
    Other {
        /// The scheme asked for.
        scheme: Scheme,
        /// What the decoder said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Keys of this scheme live in tokens only, or the key is none.
    #[error("the private key is refused")]
    Key(#[from] SigningKeyError),
}

/// Reads one private key for a scheme. What surrounds it, another curve, and bytes behind it are refused.
pub fn read_private_key(scheme: Scheme, file: &[u8]) -> Result<SigningKey, KeyFileError> {
    let (sec1, der) = match std::str::from_utf8(file) {
        Ok(text) if text.contains("-----BEGIN ") => from_pem(text)?,
        // What does not decode as the one is tried as the other.
        _ => (false, Zeroizing::new(file.to_vec())),
    };
    let other = |source| KeyFileError::Other { scheme, source };
    let secret = match scheme {
        Scheme::EcdsaSecp256k1 | Scheme::Bip340 => {
            let key = if sec1 { Err(None) } else { k256::SecretKey::from_pkcs8_der(&der).map_err(Some) };
            let key = key.or_else(|first| k256::SecretKey::from_sec1_der(&der).map_err(|e| told(first, e)));
            Zeroizing::new(key.map_err(other)?.to_bytes().to_vec())
        }
        Scheme::EcdsaP256 => {
            let key = if sec1 { Err(None) } else { p256::SecretKey::from_pkcs8_der(&der).map_err(Some) };
            let key = key.or_else(|first| p256::SecretKey::from_sec1_der(&der).map_err(|e| told(first, e)));
            Zeroizing::new(key.map_err(other)?.to_bytes().to_vec())
        }
        Scheme::Ed25519 => {
            let key = ed25519_dalek::SigningKey::from_pkcs8_der(&der).map_err(|error| other(error.into()))?;
            Zeroizing::new(key.to_bytes().to_vec())
        }
        Scheme::RsaPss | Scheme::RsaPkcs1 | Scheme::Sm2 => {
            return Err(SigningKeyError::SchemeNotHosted { scheme }.into());
        }
    };
    Ok(SigningKey::from_secret(scheme, &secret)?)
}

/// Writes a key as [`read_private_key`] reads it: PKCS#8 in PEM.
pub fn write_private_key(key: &SigningKey) -> Result<Zeroizing<String>, KeyFileError> {
    let scheme = key.scheme();
    let written = key.expose(|secret| match scheme {
        Scheme::EcdsaSecp256k1 | Scheme::Bip340 => {
            k256::SecretKey::from_slice(secret).map_err(boxed)?.to_pkcs8_pem(LineEnding::LF).map_err(boxed)
        }
        Scheme::EcdsaP256 => {
            p256::SecretKey::from_slice(secret).map_err(boxed)?.to_pkcs8_pem(LineEnding::LF).map_err(boxed)
        }
        _ => {
            // A list that grows would leave copies that nobody wipes.
            let mut der = Zeroizing::new([0; ED25519_HEAD.len() + 32]);
            let (head, seed) = der.split_at_mut(ED25519_HEAD.len());
            head.copy_from_slice(&ED25519_HEAD);
            seed.copy_from_slice(secret);
            let document = SecretDocument::try_from(der.as_slice()).map_err(boxed)?;
            document.to_pem(PKCS8, LineEnding::LF).map_err(boxed)
        }
    });
    written.map_err(|source| KeyFileError::Other { scheme, source })
}

fn boxed(error: impl std::error::Error + Send + Sync + 'static) -> Box<dyn std::error::Error + Send + Sync> {
    error.into()
}

fn told<F, S>(first: Option<F>, second: S) -> Box<dyn std::error::Error + Send + Sync>
where
    F: std::error::Error + Send + Sync + 'static,
    S: std::error::Error + Send + Sync + 'static,
{
    first.map_or_else(|| second.into(), Into::into)
}

/// The DER of the one private key in a PEM text, and whether it is SEC1.
fn from_pem(text: &str) -> Result<(bool, Zeroizing<Vec<u8>>), KeyFileError> {
    let mut rest = text.trim();
    if rest.starts_with(&begin(PARAMETERS)) {
        let (_, after) = rest.split_once(&end(PARAMETERS)).ok_or(KeyFileError::NoKey)?;
        rest = after.trim_start();
    }
    if rest.starts_with(&begin(ENCRYPTED)) || rest.contains("Proc-Type: 4,ENCRYPTED") {
        return Err(KeyFileError::Encrypted);
    }
    for (label, sec1) in [(PKCS8, false), (SEC1, true)] {
        if rest.starts_with(&begin(label)) && rest.ends_with(&end(label)) {
            let (_, document) = SecretDocument::from_pem(rest).map_err(KeyFileError::Pem)?;
            return Ok((sec1, Zeroizing::new(document.as_bytes().to_vec())));
        }
    }
    Err(KeyFileError::NoKey)
}

fn begin(label: &str) -> String {
    format!("-----BEGIN {label}-----")
}

fn end(label: &str) -> String {
    format!("-----END {label}-----")
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn openssl(arguments: &[&str]) -> Vec<u8> {
        let output = Command::new("openssl").args(arguments).output().expect("`openssl` is needed");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    /// RFC 8410, section 10.3.
    const ED25519: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";
    const ED25519_PUBLIC: &str = "19bf44096984cdfe8541bac167dc3b96c85086aa30b6b6cb0c5c38ad703166e1";

    #[test]
    fn what_is_written_is_read_again_and_by_openssl() {
        for scheme in [Scheme::EcdsaSecp256k1, Scheme::Bip340, Scheme::EcdsaP256, Scheme::Ed25519] {
            let key = SigningKey::generate(scheme).unwrap();
            let text = write_private_key(&key).unwrap();
            let again = read_private_key(scheme, text.as_bytes()).unwrap();
            assert_eq!(again.public_key(), key.public_key());
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), text.as_bytes()).unwrap();
            openssl(&["pkey", "-in", file.path().to_str().unwrap(), "-noout", "-check"]);
        }
    }

    #[test]
    fn the_key_of_rfc_8410_is_read_and_nothing_around_it() {
        let key = read_private_key(Scheme::Ed25519, ED25519.as_bytes()).unwrap();
        assert_eq!(hex::encode(key.public_key().as_bytes()), ED25519_PUBLIC);
        for scheme in [Scheme::EcdsaP256, Scheme::EcdsaSecp256k1, Scheme::Bip340, Scheme::RsaPss, Scheme::Sm2]
        {
            assert!(read_private_key(scheme, ED25519.as_bytes()).is_err(), "{scheme}");
        }
        let twice = [ED25519, ED25519].concat();
        let trailing = format!("{ED25519}and more");
        let before = format!("some words\n{ED25519}");
        let public = ED25519.replace("PRIVATE", "PUBLIC");
        let encrypted = ED25519.replace("PRIVATE", "ENCRYPTED PRIVATE");
        for bad in [&twice, &trailing, &before, &public, &encrypted, &ED25519.replace("MC4", "MC5")] {
            assert!(read_private_key(Scheme::Ed25519, bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(matches!(
            read_private_key(Scheme::Ed25519, encrypted.as_bytes()),
            Err(KeyFileError::Encrypted)
        ));
        let (_, der) = SecretDocument::from_pem(ED25519).unwrap();
        read_private_key(Scheme::Ed25519, der.as_bytes()).unwrap();
        for end in 0..der.as_bytes().len() {
            assert!(read_private_key(Scheme::Ed25519, &der.as_bytes()[..end]).is_err());
        }
        assert!(
            read_private_key(Scheme::Ed25519, &[der.as_bytes(), &[0]].concat()).is_err(),
            "a byte behind"
        );
    }

    #[test]
    fn keys_of_openssl_are_read_in_each_of_its_forms() {
        if crate::export::tests::left_out("openssl") {
            println!("left out: openssl");
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        for (curve, scheme, other) in [
            ("secp256k1", Scheme::EcdsaSecp256k1, Scheme::EcdsaP256),
            ("secp256k1", Scheme::Bip340, Scheme::EcdsaP256),
            ("prime256v1", Scheme::EcdsaP256, Scheme::EcdsaSecp256k1),
        ] {
            let sec1 = openssl(&["ecparam", "-name", curve, "-genkey"]);
            let file = folder.path().join("key").to_str().unwrap().to_owned();
            std::fs::write(&file, &sec1).unwrap();
            let key = read_private_key(scheme, &sec1).unwrap();
            for arguments in [
                &["pkcs8", "-topk8", "-nocrypt", "-in", &file][..],
                &["pkcs8", "-topk8", "-nocrypt", "-outform", "DER", "-in", &file],
                &["ec", "-in", &file],
                &["ec", "-outform", "DER", "-in", &file],
            ] {
                let form = openssl(arguments);
                let read = read_private_key(scheme, &form).unwrap();
                assert_eq!(read.public_key(), key.public_key(), "{arguments:?}");
                assert!(read_private_key(other, &form).is_err(), "another curve: {arguments:?}");
                assert!(read_private_key(Scheme::Ed25519, &form).is_err());
            }
            let locked = openssl(&["pkcs8", "-topk8", "-passout", "pass:x", "-in", &file]);
            assert!(matches!(read_private_key(scheme, &locked), Err(KeyFileError::Encrypted)));
        }
    }
}
