//! JSON Web Keys, their members in the order of RFC 7638, so that the thumbprint's input is a part of them.

use base64ct::{Base64UrlUnpadded, Encoding as _};
use keyward_domain::scheme::{PublicKey, Scheme};
use sha2::{Digest as _, Sha256};

/// The key as JSON; none for schemes that no registry of JOSE names.
pub(super) fn jwk(key: &PublicKey) -> Option<String> {
    let (algorithm, required) = parts(key)?;
    let kid = encode(&Sha256::digest(format!("{{{required}}}")));
    Some(format!(r#"{{{required},"alg":"{algorithm}","kid":"{kid}","use":"sig"}}"#))
}

/// The algorithm, and the required members: names in lexicographic order, no blanks (RFC 7638, section 3.2).
fn parts(key: &PublicKey) -> Option<(&'static str, String)> {
    let (algorithm, curve) = match key.scheme() {
        Scheme::EcdsaSecp256k1 => ("ES256K", "secp256k1"),
        Scheme::EcdsaP256 => ("ES256", "P-256"),
        Scheme::Ed25519 => {
            return Some((
                "EdDSA",
                format!(r#""crv":"Ed25519","kty":"OKP","x":"{}""#, encode(key.as_bytes())),
            ));
        }
        Scheme::RsaPss => return Some(("PS256", rsa(key)?)),
        Scheme::RsaPkcs1 => return Some(("RS256", rsa(key)?)),
        Scheme::Bip340 | Scheme::Sm2 => return None,
    };
    let point = key.to_uncompressed()?;
    let (x, y) = (encode(point.get(1..33)?), encode(point.get(33..)?));
    Some((algorithm, format!(r#""crv":"{curve}","kty":"EC","x":"{x}","y":"{y}""#)))
}

fn rsa(key: &PublicKey) -> Option<String> {
    let (modulus, exponent) = key.rsa_parts()?;
    Some(format!(r#""e":"{}","kty":"RSA","n":"{}""#, encode(exponent), encode(modulus)))
}

fn encode(bytes: &[u8]) -> String {
    Base64UrlUnpadded::encode_string(bytes)
}
