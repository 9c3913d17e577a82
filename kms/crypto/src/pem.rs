//! Public keys as PEM, so that `openssl` can check signatures without us.

use base64ct::{Base64, Encoding as _};
use keyward_domain::scheme::PublicKey;

/// RFC 7468, section 2: lines of 64 characters.
const LINE: usize = 64;

/// `SubjectPublicKeyInfo` in PEM (RFC 7468, section 13); BIP340 keys have no such form.
pub fn public_key_pem(key: &PublicKey) -> Option<String> {
    key.to_spki_der().map(|der| public_key(&der))
}

/// The same of DER.
pub(crate) fn public_key(der: &[u8]) -> String {
    let mut pem = String::from("-----BEGIN PUBLIC KEY-----\n");
    for (at, digit) in Base64::encode_string(der).chars().enumerate() {
        pem.push(digit);
        if at % LINE == LINE - 1 {
            pem.push('\n');
        }
    }
    if !pem.ends_with('\n') {
        pem.push('\n');
    }
    pem.push_str("-----END PUBLIC KEY-----\n");
    pem
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SigningKey;
    use keyward_domain::scheme::Scheme;

    #[test]
    fn ed25519_key_of_rfc_8410_reads_the_same() {
        // RFC 8410, section 10.1.
        let key = PublicKey::parse(
            Scheme::Ed25519,
            &hex::decode("19bf44096984cdfe8541bac167dc3b96c85086aa30b6b6cb0c5c38ad703166e1").unwrap(),
        );
        let pem = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";
        assert_eq!(public_key_pem(&key.unwrap()).unwrap(), pem);
    }

    #[test]
    fn lines_have_at_most_64_characters_and_bip340_has_none() {
        let key = SigningKey::generate(Scheme::EcdsaP256).unwrap();
        let pem = public_key_pem(key.public_key()).unwrap();
        assert!(pem.lines().all(|line| line.len() <= LINE && !line.is_empty()));
        let key = SigningKey::generate(Scheme::Bip340).unwrap();
        assert!(public_key_pem(key.public_key()).is_none());
    }
}
