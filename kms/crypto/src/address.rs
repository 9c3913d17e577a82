//! Addresses of foreign chains, derived from a public key.

mod bitcoin;
mod text;

pub use bitcoin::{Network, p2tr_address, p2wpkh_address};
pub use text::{
    BitcoinKind, bitcoin_address_text, ethereum_address_text, parse_bitcoin_address, parse_ethereum_address,
};

use k256::elliptic_curve::sec1::ToSec1Point as _;
use keyward_domain::scheme::{PublicKey, Scheme};
use sha3::{Digest as _, Keccak256};

/// The Ethereum address of a secp256k1 key: `0x` and 40 hex digits with the EIP-55 checksum; other schemes
/// have none.
pub fn ethereum_address(key: &PublicKey) -> Option<String> {
    if key.scheme() != Scheme::EcdsaSecp256k1 {
        return None;
    }
    let point = k256::PublicKey::from_sec1_bytes(key.as_bytes()).ok()?.to_sec1_point(false);
    let hash = Keccak256::digest(point.as_bytes().get(1..)?);
    Some(checksummed(hash.get(12..)?))
}

/// EIP-55: a digit is upper case when the same nibble of the hash of the lower-case text is at least 8.
fn checksummed(address: &[u8]) -> String {
    let lower = hex::encode(address);
    let hash = Keccak256::digest(lower.as_bytes());
    let nibbles = hash.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    let digits = lower.chars().zip(nibbles);
    let cased = digits.map(|(digit, nibble)| if nibble >= 8 { digit.to_ascii_uppercase() } else { digit });
    "0x".chars().chain(cased).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SigningKey;

    #[test]
    fn checksum_is_that_of_eip_55() {
        for text in [
            "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
            "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
            "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
            "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
        ] {
            assert_eq!(checksummed(&hex::decode(&text[2..]).unwrap()), text);
        }
    }

    #[test]
    fn address_of_the_key_one_is_the_known_one() {
        let mut secret = [0; 32];
        secret[31] = 1;
        let key = SigningKey::from_secret(Scheme::EcdsaSecp256k1, &secret).unwrap();
        assert_eq!(ethereum_address(key.public_key()).unwrap(), "0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf");
        let key = SigningKey::from_secret(Scheme::Ed25519, &secret).unwrap();
        assert!(ethereum_address(key.public_key()).is_none());
    }
}
