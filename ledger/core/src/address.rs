//! Addresses of this ledger's keys and of other chains, and how their holders prove to have them.
//!
//! A proof is made in the other chain's own format over a text of this ledger, so that any wallet can make it. It is worth
//! something for one version of one association on one ledger, and for one account, only.

use k256::ecdsa::{RecoveryId, Signature, VerifyingKey};
use ripemd::Ripemd160;
use sha2::Sha256;
use sha3::{Digest as _, Keccak256};
use thiserror::Error;

use crate::codec::{DecodeError, Reader, Writer};
use crate::ed25519::SignatureCause;
use crate::hash::{Hash, sha256};
use crate::scheme::{self, KeyId, PublicKey, Scheme, SignatureError};

/// The longest address.
pub const ADDRESS_BYTES_MAX: usize = 64;

/// What kind of address it is; its code stands in records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum AddressFormat {
    /// The id of a key that is bound on this ledger, in whatever mode: 32 bytes.
    Key = 1,
    /// The last 20 bytes of the Keccak-256 of a secp256k1 key.
    Ethereum = 2,
    /// `network u8 || kind u8 || RIPEMD-160(SHA-256(compressed key))`: network 0 main or 1 test, kind 0 P2PKH or 1 P2WPKH.
    Bitcoin = 3,
    /// An Ed25519 public key: 32 bytes.
    Ed25519 = 4,
    /// An SM2 public key: 33 bytes, SEC1 compressed.
    Sm2 = 5,
}

impl AddressFormat {
    /// Every format.
    pub const ALL: [Self; 5] = [Self::Key, Self::Ethereum, Self::Bitcoin, Self::Ed25519, Self::Sm2];

    /// The code that stands in records.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The name in commands and in the text of a proof.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Ethereum => "ethereum",
            Self::Bitcoin => "bitcoin",
            Self::Ed25519 => "ed25519",
            Self::Sm2 => "sm2",
        }
    }

    /// The format of a name, if there is one.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }
}

/// An address as the ledger writes it: `format u8 || bytes(64) address`. What was decoded may still be none of its chain.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    /// What kind of address it is.
    pub format: AddressFormat,
    /// Its bytes, see [`AddressFormat`].
    pub bytes: Vec<u8>,
}

/// Why a proof of an address is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AddressProofError {
    /// A key of this ledger proves itself by being bound: it has no proof of its own.
    #[error("a key that is bound on this ledger has no proof of its own")]
    NotForeign,
    /// The bytes are no address of that chain.
    #[error("the address is none of its chain")]
    NotAnAddress,
    /// The proof has another length.
    #[error("a proof of this address has {expected} bytes, not {len}")]
    Length {
        /// The one length.
        expected: usize,
        /// The length found.
        len: usize,
    },
    /// The byte that says which key signed, and for Bitcoin what kind of address, is none of this kind of address.
    #[error("the recovery byte {found} is none of this kind of address")]
    RecoveryByte {
        /// The byte found.
        found: u8,
    },
    /// The signature's S lies in the upper half, so it is not the one encoding.
    #[error("the signature has a high s")]
    HighS,
    /// No key made that signature.
    #[error("the signature names no key")]
    NoKey {
        /// What the curve library said.
        #[source]
        cause: SignatureCause,
    },
    /// Another address signed, or this one signed something else.
    #[error("the signature is of another address or over another text")]
    OtherAddress,
    /// The key's signature does not verify.
    #[error("the signature does not verify")]
    Signature(#[from] SignatureError),
}

/// The text that an address signs to belong to an association from a version on, for an account:
/// `Keyward association v1: ledger <hex> association <hex> version <number> account <hex> address <format> <hex>`.
pub fn proof_text(
    chain_id: &Hash,
    association: &Hash,
    version: u32,
    account: &Hash,
    address: &Address,
) -> String {
    format!(
        "Keyward association v1: ledger {} association {} version {version} account {} address {} {}",
        hex::encode(chain_id),
        hex::encode(association),
        hex::encode(account),
        address.format.name(),
        hex::encode(&address.bytes)
    )
}

impl Address {
    /// A key of this ledger.
    pub fn key(key_id: &KeyId) -> Self {
        Self { format: AddressFormat::Key, bytes: key_id.0.to_vec() }
    }

    /// The key of this ledger, if it is one.
    pub fn key_id(&self) -> Option<KeyId> {
        let bytes = self.bytes.as_slice().try_into().ok();
        bytes.filter(|_| self.format == AddressFormat::Key).map(KeyId)
    }

    /// Whether the bytes are an address of that format.
    pub fn is_sound(&self) -> bool {
        match self.format {
            AddressFormat::Key => self.bytes.len() == 32,
            AddressFormat::Ethereum => self.bytes.len() == 20,
            AddressFormat::Bitcoin => {
                self.bytes.len() == 22 && matches!(self.bytes.as_slice(), [0 | 1, 0 | 1, ..])
            }
            AddressFormat::Ed25519 => PublicKey::parse(Scheme::Ed25519, &self.bytes).is_ok(),
            AddressFormat::Sm2 => PublicKey::parse(Scheme::Sm2, &self.bytes).is_ok(),
        }
    }

    /// Verifies a proof over a text. Ethereum's is that of EIP-191 (version `E`), 65 bytes `r || s || v` with v 27 or 28;
    /// Bitcoin's the 65 bytes of a signed message `header || r || s` with a header of 31 to 34 for P2PKH and 39 to 42 for
    /// P2WPKH (BIP 137); both with low S. The other two sign the text itself.
    pub fn verify(&self, text: &str, proof: &[u8]) -> Result<(), AddressProofError> {
        if !self.is_sound() {
            return Err(AddressProofError::NotAnAddress);
        }
        let signed_by = |scheme| {
            let key = PublicKey::parse(scheme, &self.bytes).or(Err(AddressProofError::NotAnAddress))?;
            Ok(scheme::verify(&key, text.as_bytes(), proof)?)
        };
        match self.format {
            AddressFormat::Key => Err(AddressProofError::NotForeign),
            AddressFormat::Ethereum => self.verify_ethereum(text, proof),
            AddressFormat::Bitcoin => self.verify_bitcoin(text, proof),
            AddressFormat::Ed25519 => signed_by(Scheme::Ed25519),
            AddressFormat::Sm2 => signed_by(Scheme::Sm2),
        }
    }

    fn verify_ethereum(&self, text: &str, proof: &[u8]) -> Result<(), AddressProofError> {
        let [signature @ .., v] = sixty_five(proof)?;
        let number = v.checked_sub(27).filter(|number| *number < 2);
        let number = number.ok_or(AddressProofError::RecoveryByte { found: *v })?;
        let key = recover(&ethereum_digest(text), signature, number)?;
        let hash = Keccak256::digest(key.to_sec1_point(false).as_bytes().get(1..).unwrap_or_default());
        is_that(hash.get(12..) == Some(self.bytes.as_slice()))
    }

    fn verify_bitcoin(&self, text: &str, proof: &[u8]) -> Result<(), AddressProofError> {
        let first: u8 = if self.bytes.get(1) == Some(&0) { 31 } else { 39 };
        let [header, signature @ ..] = sixty_five(proof)?;
        let number = header.checked_sub(first).filter(|number| *number < 4);
        let number = number.ok_or(AddressProofError::RecoveryByte { found: *header })?;
        let key = recover(&bitcoin_digest(text), signature, number)?;
        let hash = Ripemd160::digest(Sha256::digest(key.to_sec1_point(true).as_bytes()));
        is_that(self.bytes.get(2..) == Some(&hash[..]))
    }

    /// Appends the encoding.
    pub fn write(&self, out: &mut Writer) {
        out.u8(self.format.code()).bytes(&self.bytes);
    }

    /// Reads an encoding from the front.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let code = reader.u8("address format")?;
        let format = AddressFormat::ALL.into_iter().find(|format| format.code() == code);
        let format =
            format.ok_or(DecodeError::UnknownCode { what: "address format", code: u64::from(code) })?;
        Ok(Self { format, bytes: reader.bytes("address", ADDRESS_BYTES_MAX)?.to_vec() })
    }
}

fn sixty_five(proof: &[u8]) -> Result<&[u8; 65], AddressProofError> {
    proof.try_into().or(Err(AddressProofError::Length { expected: 65, len: proof.len() }))
}

/// The key that made `r || s` over a digest; `number` says which of those that could have.
fn recover(digest: &Hash, signature: &[u8; 64], number: u8) -> Result<VerifyingKey, AddressProofError> {
    let no_key = |error: k256::ecdsa::Error| AddressProofError::NoKey { cause: SignatureCause::of(&error) };
    let signature = Signature::from_slice(signature).map_err(no_key)?;
    if signature.normalize_s() != signature {
        return Err(AddressProofError::HighS);
    }
    let number = RecoveryId::try_from(number).map_err(no_key)?;
    VerifyingKey::recover_from_prehash(digest, &signature, number).map_err(no_key)
}

fn is_that(same: bool) -> Result<(), AddressProofError> {
    if same { Ok(()) } else { Err(AddressProofError::OtherAddress) }
}

/// What Ethereum signs of a text: `keccak256(0x19 || "Ethereum Signed Message:\n" || decimal length || text)` (EIP-191).
pub fn ethereum_digest(text: &str) -> Hash {
    let mut hasher = Keccak256::new();
    hasher.update(b"\x19Ethereum Signed Message:\n");
    hasher.update(text.len().to_string().as_bytes());
    hasher.update(text.as_bytes());
    hasher.finalize().into()
}

/// What Bitcoin signs of a text: `SHA-256(SHA-256(0x18 || "Bitcoin Signed Message:\n" || compact size || text))`.
pub fn bitcoin_digest(text: &str) -> Hash {
    let size = match u8::try_from(text.len()) {
        Ok(len @ ..=252) => vec![len],
        // INVARIANT: texts of proofs are shorter than 64 KiB.
        _ => [&[253][..], &u16::try_from(text.len()).unwrap_or(u16::MAX).to_le_bytes()].concat(),
    };
    sha256(&[&sha256(&[b"\x18Bitcoin Signed Message:\n", &size, text.as_bytes()])])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn address(format: AddressFormat, hex_bytes: &str) -> Address {
        Address { format, bytes: hex::decode(hex_bytes).unwrap() }
    }

    /// The example of `eth_accounts_sign` in the documentation of web3.js.
    const ETHEREUM: (&str, &str, &str) = (
        "Some data",
        "2c7536e3605d9c16a7a3d7b1898e529396a65c23",
        "b91467e570a6466aa9e9876cbcd013baba02900b8979d43fe208a4a4f339f5fd6007e74cd82e037b800186422fc2da167c747ef045e5d18a5f5d4300f8e1a0291c",
    );

    /// Bitcoin Core's `rpc_signmessage.py` (P2PKH, test), and `fixtures.json` of bitcoinjs-message (both kinds, main).
    const BITCOIN: [(&str, &str, &str); 3] = [
        (
            "This is just a test message",
            "010060baa0f494b38ce3c940dea67f3804dc52d1fb94",
            "20d6d59d6e1ee8f7919acbf6420bbc36ea29beb56391cc686feb17f0e7191b44802e15b26d48f330b3dd02c5c8e3a61919bd0a4134628bec16210cd1a46fd4f92d",
        ),
        (
            "vires is numeris",
            "0000f54a5851e9372b87810a8e60cdd2e7cfd80b6e31",
            "1fc25ac0fb503abc9bad23f558742740fafaec1f52deaaf106b9759a5ce84c93921c4a669c5ec3dfeb7e2d7d177a2f49db407900874f6de2f701a4c16783776d8d",
        ),
        (
            "vires is numeris",
            "0001751e76e8199196d454941c45d1b3a323f1433bd6",
            "285f271ea16bdcad942986a1857deca157a85bc5b510235baf4c1f724ee5cf25e3092e50d7a124e39cf206ecb5162cbdb133ca560b2aa8eb8fbdbc9cb95492565f",
        ),
    ];

    #[test]
    fn proofs_that_other_software_has_published_verify() {
        let (text, of, proof) = ETHEREUM;
        assert_eq!(
            hex::encode(ethereum_digest(text)),
            "1da44b586eb0729ff70a73c326926f6ed5a25f5b056e7f47fbc6e58d86871655"
        );
        let digests = [
            ("", "80e795d4a4caadd7047af389d9f7f220562feb6196032e2131e10563352c4bcc"),
            ("Vires is Numeris", "f8a5affbef4a3241b19067aa694562f64f513310817297089a8929a930f4f933"),
        ];
        for (text, digest) in digests {
            assert_eq!(hex::encode(bitcoin_digest(text)), digest);
        }
        let ethereum = address(AddressFormat::Ethereum, of);
        assert_eq!(ethereum.verify(text, &hex::decode(proof).unwrap()), Ok(()));
        for (text, of, proof) in BITCOIN {
            let bitcoin = address(AddressFormat::Bitcoin, of);
            assert_eq!(bitcoin.verify(text, &hex::decode(proof).unwrap()), Ok(()), "{of}");
        }
    }

    #[test]
    fn a_proof_is_of_one_address_and_one_text_and_has_one_form() {
        let (text, of, proof) = ETHEREUM;
        let (ethereum, proof) = (address(AddressFormat::Ethereum, of), hex::decode(proof).unwrap());
        assert_eq!(ethereum.verify("Some other data", &proof), Err(AddressProofError::OtherAddress));
        let mut other = ethereum.clone();
        other.bytes[19] ^= 1;
        assert_eq!(other.verify(text, &proof), Err(AddressProofError::OtherAddress));
        let changed = |proof: &[u8], place: usize, byte: u8| {
            let mut proof = proof.to_vec();
            proof[place] = byte;
            proof
        };
        assert_eq!(ethereum.verify(text, &changed(&proof, 64, 27)), Err(AddressProofError::OtherAddress));
        for v in [0, 1, 26, 29, 31, 35, 255] {
            let found = ethereum.verify(text, &changed(&proof, 64, v));
            assert_eq!(found, Err(AddressProofError::RecoveryByte { found: v }));
        }
        assert_eq!(
            ethereum.verify(text, &proof[..64]),
            Err(AddressProofError::Length { expected: 65, len: 64 })
        );
        // The other S: the same key, the same text, another signature.
        let signature = Signature::from_slice(&proof[..64]).unwrap();
        let high = Signature::from_scalars(signature.r().to_bytes(), (-*signature.s()).to_bytes()).unwrap();
        let high = [high.to_bytes().as_slice(), &[27]].concat();
        assert_eq!(ethereum.verify(text, &high), Err(AddressProofError::HighS));
        let zeros = ethereum.verify(text, &changed(&[0; 65], 64, 27));
        assert!(matches!(zeros, Err(AddressProofError::NoKey { .. })));
    }

    #[test]
    fn the_header_of_a_bitcoin_proof_says_the_kind_of_address() {
        let (text, of, proof) = BITCOIN[2];
        let (segwit, mut proof) = (address(AddressFormat::Bitcoin, of), hex::decode(proof).unwrap());
        let legacy = Address { bytes: [&[0, 0], &segwit.bytes[2..]].concat(), ..segwit.clone() };
        assert_eq!(legacy.verify(text, &proof), Err(AddressProofError::RecoveryByte { found: 40 }));
        proof[0] = 32;
        assert_eq!(legacy.verify(text, &proof), Ok(()), "the same key has both kinds of address");
        // Of an uncompressed key, of a P2SH address, and of nothing.
        for header in [27, 30, 35, 38, 43, 0] {
            proof[0] = header;
            let found = Err(AddressProofError::RecoveryByte { found: header });
            assert_eq!(legacy.verify(text, &proof), found);
            assert_eq!(segwit.verify(text, &proof), found);
        }
        for broken in [[2_u8, 0], [0, 2]] {
            let of = Address { bytes: [&broken, &legacy.bytes[2..]].concat(), ..legacy.clone() };
            assert_eq!(of.verify(text, &proof), Err(AddressProofError::NotAnAddress));
        }
    }
}
