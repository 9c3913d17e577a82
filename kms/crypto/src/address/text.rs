//! Addresses as people write them, read back: Ethereum's with the checksum of EIP-55, Bitcoin's P2PKH and P2WPKH.

use bech32::{hrp, segwit};
use sha2::{Digest as _, Sha256};

use super::{Network, checksummed};

/// What a Bitcoin address of 20 bytes pays to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BitcoinKind {
    /// A public key's hash (base58, begins with `1`, `m` or `n`).
    P2pkh,
    /// A witness program of version 0 (begins with `bc1` or `tb1`).
    P2wpkh,
}

const DIGITS: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
/// Version, hash, check.
const BASE58_BYTES: usize = 25;

/// The 20 bytes of `0x` and 40 hex digits. Digits of both cases must make the checksum; all of one case have none.
pub fn parse_ethereum_address(text: &str) -> Option<[u8; 20]> {
    let digits = text.strip_prefix("0x")?;
    let mut bytes = [0; 20];
    hex::decode_to_slice(digits, &mut bytes).ok()?;
    let plain = digits.to_ascii_lowercase() == digits || digits.to_ascii_uppercase() == digits;
    (plain || checksummed(&bytes) == text).then_some(bytes)
}

/// `0x` and 40 hex digits with the checksum.
pub fn ethereum_address_text(bytes: &[u8; 20]) -> String {
    checksummed(bytes)
}

/// Network, kind and the 20 bytes of an address; other kinds are none.
pub fn parse_bitcoin_address(text: &str) -> Option<(Network, BitcoinKind, [u8; 20])> {
    if let Ok((prefix, version, program)) = segwit::decode(text) {
        let network = [(hrp::BC, Network::Mainnet), (hrp::TB, Network::Testnet)];
        let (_, network) = network.into_iter().find(|(of, _)| *of == prefix)?;
        let program = (version.to_u8() == 0).then(|| program.try_into().ok()).flatten()?;
        return Some((network, BitcoinKind::P2wpkh, program));
    }
    let bytes = from_base58(text)?;
    let (body, check) = bytes.split_last_chunk::<4>()?;
    if Sha256::digest(Sha256::digest(body)).get(..4) != Some(check.as_slice()) {
        return None;
    }
    let (version, hash) = body.split_first()?;
    let network = match version {
        0x00 => Network::Mainnet,
        0x6f => Network::Testnet,
        _ => return None,
    };
    Some((network, BitcoinKind::P2pkh, hash.try_into().ok()?))
}

/// The address of a kind on a network.
pub fn bitcoin_address_text(network: Network, kind: BitcoinKind, hash: &[u8; 20]) -> Option<String> {
    if kind == BitcoinKind::P2wpkh {
        return segwit::encode_v0(network.prefix(), hash).ok();
    }
    let version = match network {
        Network::Mainnet => 0x00,
        Network::Testnet => 0x6f,
    };
    let body = [&[version][..], hash.as_slice()].concat();
    let check = Sha256::digest(Sha256::digest(&body));
    Some(to_base58(&[&body, check.get(..4)?].concat()))
}

/// The 25 bytes of base58 digits, if they make so many: each `1` in front is a zero byte, and nothing else is one.
fn from_base58(text: &str) -> Option<[u8; BASE58_BYTES]> {
    let mut bytes = [0_u8; BASE58_BYTES];
    for digit in text.bytes() {
        let mut carry = DIGITS.iter().position(|of| *of == digit)?;
        for byte in bytes.iter_mut().rev() {
            carry = carry.checked_add(usize::from(*byte).checked_mul(58)?)?;
            *byte = u8::try_from(carry & 0xff).ok()?;
            carry >>= 8;
        }
        if carry != 0 {
            return None;
        }
    }
    (to_base58(&bytes) == text).then_some(bytes)
}

fn to_base58(bytes: &[u8]) -> String {
    let mut rest = bytes.to_vec();
    let mut digits = Vec::new();
    while rest.iter().any(|byte| *byte != 0) {
        let mut carry = 0_u32;
        for byte in &mut rest {
            let value = carry * 256 + u32::from(*byte);
            *byte = u8::try_from(value / 58).unwrap_or_default();
            carry = value % 58;
        }
        digits.push(usize::try_from(carry).ok().and_then(|digit| DIGITS.get(digit)).copied().unwrap_or(b'1'));
    }
    digits.extend(bytes.iter().take_while(|byte| **byte == 0).map(|_| b'1'));
    digits.iter().rev().map(|digit| char::from(*digit)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The addresses of key 1 (BIP 173; the P2PKH one stands in every table of test keys), and of Bitcoin Core's message test.
    const KNOWN: [(&str, Network, BitcoinKind, &str); 4] = [
        (
            "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
            Network::Mainnet,
            BitcoinKind::P2wpkh,
            "751e76e8199196d454941c45d1b3a323f1433bd6",
        ),
        (
            "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx",
            Network::Testnet,
            BitcoinKind::P2wpkh,
            "751e76e8199196d454941c45d1b3a323f1433bd6",
        ),
        (
            "1BgGZ9tcN4rm9KBzDn7KprQz87SZ26SAMH",
            Network::Mainnet,
            BitcoinKind::P2pkh,
            "751e76e8199196d454941c45d1b3a323f1433bd6",
        ),
        (
            "mpLQjfK79b7CCV4VMJWEWAj5Mpx8Up5zxB",
            Network::Testnet,
            BitcoinKind::P2pkh,
            "60baa0f494b38ce3c940dea67f3804dc52d1fb94",
        ),
    ];

    #[test]
    fn known_bitcoin_addresses_are_read_and_written() {
        for (text, network, kind, hash) in KNOWN {
            let hash = hex::decode(hash).unwrap().try_into().unwrap();
            assert_eq!(parse_bitcoin_address(text), Some((network, kind, hash)), "{text}");
            assert_eq!(bitcoin_address_text(network, kind, &hash).as_deref(), Some(text));
        }
    }

    #[test]
    fn what_is_no_address_of_ours_is_none() {
        let mistyped = "1BgGZ9tcN4rm9KBzDn7KprQz87SZ26SAMh";
        let of_a_script = "3JvL6Ymt8MVWiCNHC7oWU6nLeHNJKLZGLN";
        let taproot = "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0";
        let longer = "11BgGZ9tcN4rm9KBzDn7KprQz87SZ26SAMH";
        for text in ["", "1", mistyped, of_a_script, taproot, longer, "0x00", "bc1q"] {
            assert_eq!(parse_bitcoin_address(text), None, "{text}");
        }
        for text in [
            "",
            "0x",
            "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAe",
            "5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
        ] {
            assert_eq!(parse_ethereum_address(text), None, "{text}");
        }
    }

    #[test]
    fn an_ethereum_address_of_both_cases_has_its_checksum() {
        let text = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";
        let bytes = parse_ethereum_address(text).unwrap();
        assert_eq!(ethereum_address_text(&bytes), text);
        assert_eq!(parse_ethereum_address(&text.to_lowercase()), Some(bytes));
        assert_eq!(parse_ethereum_address("0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAeD"), None);
    }
}
