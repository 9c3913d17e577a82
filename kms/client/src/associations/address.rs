//! Addresses and proofs as people write them: `ethereum:0x..`, `bitcoin:bc1..`, `ed25519:..`, `sm2:..`, `key:..`.

use base64ct::{Base64, Encoding as _};
use keyward_crypto::{
    BitcoinKind, Network, bitcoin_address_text, ethereum_address_text, parse_bitcoin_address,
    parse_ethereum_address,
};
use keyward_ledger_core::address::{Address, AddressFormat};
use thiserror::Error;

/// Why text is no address, or no proof of one.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AddressTextError {
    /// Nothing says which chain.
    #[error("`{0}` does not begin with `key:`, `ethereum:`, `bitcoin:`, `ed25519:` or `sm2:`")]
    Format(String),
    /// The chain has no such address, or its check does not fit: it may be mistyped.
    #[error("`{text}` is no {} address", .format.name())]
    Address {
        /// The chain.
        format: AddressFormat,
        /// What was written.
        text: String,
    },
    /// It is not how this chain's wallets write a signature.
    #[error("`{text}` is no signature as {} wallets write it", .format.name())]
    Proof {
        /// The chain.
        format: AddressFormat,
        /// What was written.
        text: String,
    },
}

/// An address from its chain's name, a colon and the address.
pub fn parse_address(text: &str) -> Result<Address, AddressTextError> {
    let named = text.split_once(':');
    let found = named.and_then(|(name, rest)| Some((AddressFormat::from_name(name)?, rest)));
    let (format, rest) = found.ok_or_else(|| AddressTextError::Format(text.to_owned()))?;
    let bytes = match format {
        AddressFormat::Ethereum => parse_ethereum_address(rest).map(|bytes| bytes.to_vec()),
        AddressFormat::Bitcoin => parse_bitcoin_address(rest).map(|(network, kind, hash)| {
            let (network, kind) =
                (u8::from(network == Network::Testnet), u8::from(kind == BitcoinKind::P2wpkh));
            [&[network, kind][..], hash.as_slice()].concat()
        }),
        AddressFormat::Key | AddressFormat::Ed25519 | AddressFormat::Sm2 => hex::decode(rest).ok(),
    };
    let address = bytes.map(|bytes| Address { format, bytes }).filter(Address::is_sound);
    address.ok_or_else(|| AddressTextError::Address { format, text: rest.to_owned() })
}

/// An address as its chain writes it, behind the chain's name.
pub fn address_words(address: &Address) -> String {
    let text = match (address.format, address.bytes.as_slice()) {
        (AddressFormat::Ethereum, bytes) => bytes.try_into().ok().map(ethereum_address_text),
        (AddressFormat::Bitcoin, [network, kind, hash @ ..]) => {
            let network = if *network == 0 { Network::Mainnet } else { Network::Testnet };
            let kind = if *kind == 0 { BitcoinKind::P2pkh } else { BitcoinKind::P2wpkh };
            hash.try_into().ok().and_then(|hash| bitcoin_address_text(network, kind, hash))
        }
        _ => None,
    };
    format!("{}:{}", address.format.name(), text.unwrap_or_else(|| hex::encode(&address.bytes)))
}

/// A signature as the chain's wallets write it: base64 for Bitcoin, hex (with or without `0x`) for the others. What wallets
/// write in another way is brought into the one form: `v` of 0 or 1, and the header of a compressed key for a segwit address.
pub fn parse_proof(address: &Address, text: &str) -> Result<Vec<u8>, AddressTextError> {
    let text = text.trim();
    let wrong = || AddressTextError::Proof { format: address.format, text: text.to_owned() };
    let mut proof = match address.format {
        AddressFormat::Key => return Err(wrong()),
        AddressFormat::Bitcoin => Base64::decode_vec(text).map_err(|_not_base64| wrong())?,
        _ => hex::decode(text.strip_prefix("0x").unwrap_or(text)).map_err(|_not_hex| wrong())?,
    };
    let wanted = if matches!(address.format, AddressFormat::Ed25519 | AddressFormat::Sm2) { 64 } else { 65 };
    if proof.len() != wanted {
        return Err(wrong());
    }
    match address.format {
        AddressFormat::Ethereum => {
            if let Some(v @ (0 | 1)) = proof.last_mut() {
                *v = v.saturating_add(27);
            }
        }
        AddressFormat::Bitcoin if address.bytes.get(1) == Some(&1) => {
            if let Some(header @ 31..=34) = proof.first_mut() {
                *header = header.saturating_add(8);
            }
        }
        _ => {}
    }
    Ok(proof)
}

/// A proof as the chain's wallets write it; empty for a key of this ledger.
pub fn proof_words(address: &Address, proof: &[u8]) -> String {
    match address.format {
        AddressFormat::Bitcoin => Base64::encode_string(proof),
        AddressFormat::Ethereum => format!("0x{}", hex::encode(proof)),
        _ => hex::encode(proof),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;

    const KEY: &str = "ed25519:d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";

    #[test]
    fn addresses_come_back_as_they_are_written() {
        let key = format!("key:{}", "5e".repeat(32));
        for text in [
            "ethereum:0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
            "bitcoin:bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
            "bitcoin:tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx",
            "bitcoin:1BgGZ9tcN4rm9KBzDn7KprQz87SZ26SAMH",
            "bitcoin:mpLQjfK79b7CCV4VMJWEWAj5Mpx8Up5zxB",
            KEY,
            &key,
        ] {
            assert_eq!(address_words(&parse_address(text).unwrap()), text);
        }
    }

    #[test]
    fn what_is_no_address_says_why() {
        for text in ["", "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", "cosmos:abc", "ethereum"] {
            assert!(matches!(parse_address(text), Err(AddressTextError::Format(_))), "{text}");
        }
        let small = format!("ed25519:{}", "00".repeat(32));
        for text in [
            "ethereum:0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAeD",
            "bitcoin:bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t5",
            "sm2:00",
            "key:12",
            &small,
        ] {
            assert!(matches!(parse_address(text), Err(AddressTextError::Address { .. })), "{text}");
        }
    }

    #[test]
    fn proofs_are_brought_into_the_one_form() {
        let ether = parse_address("ethereum:0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed").unwrap();
        for (v, wanted) in [("00", 27), ("01", 28), ("1b", 27), ("1c", 28), ("02", 2)] {
            let proof = parse_proof(&ether, &format!("0x{}{v}", "11".repeat(64))).unwrap();
            assert_eq!(proof[64], wanted);
        }
        let segwit = parse_address("bitcoin:bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4").unwrap();
        let legacy = parse_address("bitcoin:1BgGZ9tcN4rm9KBzDn7KprQz87SZ26SAMH").unwrap();
        let electrum = Base64::encode_string(&[32; 65]);
        assert_eq!(parse_proof(&segwit, &electrum).unwrap()[0], 40);
        assert_eq!(parse_proof(&legacy, &electrum).unwrap()[0], 32);
        let ours = parse_proof(&segwit, &electrum).unwrap();
        assert_eq!(parse_proof(&segwit, &proof_words(&segwit, &ours)).unwrap(), ours);
        for bad in ["", "zz", &"11".repeat(64), &"11".repeat(66)] {
            assert!(matches!(parse_proof(&ether, bad), Err(AddressTextError::Proof { .. })), "{bad}");
        }
        let raw = parse_address(KEY).unwrap();
        assert_eq!(parse_proof(&raw, &"22".repeat(64)).unwrap().len(), 64);
        assert!(parse_proof(&raw, &"22".repeat(65)).is_err());
    }
}
