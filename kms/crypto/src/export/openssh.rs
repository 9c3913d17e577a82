//! Public keys as OpenSSH writes them: `type base64(string type, fields)`.

use base64ct::{Base64, Encoding as _};
use keyward_domain::scheme::{PublicKey, Scheme};

/// One line without its end; none for schemes that OpenSSH does not know.
pub(super) fn line(key: &PublicKey) -> Option<String> {
    let (name, fields) = match key.scheme() {
        Scheme::Ed25519 => ("ssh-ed25519", vec![key.as_bytes().to_vec()]),
        Scheme::EcdsaP256 => {
            ("ecdsa-sha2-nistp256", vec![b"nistp256".to_vec(), key.to_uncompressed()?.to_vec()])
        }
        Scheme::RsaPss | Scheme::RsaPkcs1 => {
            let (modulus, exponent) = key.rsa_parts()?;
            ("ssh-rsa", vec![positive(exponent), positive(modulus)])
        }
        Scheme::EcdsaSecp256k1 | Scheme::Bip340 | Scheme::Sm2 => return None,
    };
    let mut blob = Vec::new();
    for field in std::iter::once(name.as_bytes()).chain(fields.iter().map(Vec::as_slice)) {
        blob.extend(u32::try_from(field.len()).ok()?.to_be_bytes());
        blob.extend(field);
    }
    Some(format!("{name} {}", Base64::encode_string(&blob)))
}

/// RFC 4251, section 5: an `mpint` whose highest bit is set would be negative, so a zero stands before it.
fn positive(number: &[u8]) -> Vec<u8> {
    let zero: &[u8] = if number.first().is_some_and(|byte| byte & 0x80 != 0) { &[0] } else { &[] };
    [zero, number].concat()
}
