//! Inclusion proofs as COSE Receipts (RFC 9942) for the tools of others: `COSE_Sign1` over the log root.
//!
//! ```text
//! receipt   = 18([protected, {396: {-1: [inclusion]}}, nil, signature[64]])
//! protected = bstr .cbor {1: -8 (EdDSA), 4: key id, 15: {1: origin}, 395: 1 (RFC9162_SHA256)}
//! inclusion = bstr .cbor [tree size, leaf index, [+ hash]]
//! signature over ["Signature1", protected, h'', root]
//! ```
//!
//! The root is not in it: whoever has the record works it out from the inclusion proof (RFC 9162), which must have a
//! hash at least, so that a log of one record has no receipt. The key id is the name of the validator's checkpoint key.

use keyward_ledger_core::ed25519::{self, Ed25519Error, SigningKey};
use keyward_ledger_core::hash::Hash;

use crate::checkpoint::{LogCheckpoint, Verifier};

const UNSIGNED: u8 = 0;
const NEGATIVE: u8 = 1;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const MAP: u8 = 5;
const TAG: u8 = 6;
const NULL: u8 = 0xf6;

/// COSE tag of a `COSE_Sign1`.
const SIGN1: u64 = 18;
/// Label: what kind of tree.
const VDS: u64 = 395;
/// Label: proofs in such a tree.
const VDP: u64 = 396;

/// The signature that makes the receipts of all records in a checkpoint.
pub fn sign(checkpoint: &LogCheckpoint, key: &SigningKey) -> [u8; 64] {
    key.sign(&message(checkpoint, key.public_key()))
}

/// Whether [`sign`] made a signature with the key.
pub fn verify(
    checkpoint: &LogCheckpoint,
    public_key: [u8; 32],
    signature: &[u8],
) -> Result<(), Ed25519Error> {
    ed25519::verify(&public_key, &message(checkpoint, public_key), signature)
}

fn message(checkpoint: &LogCheckpoint, public_key: [u8; 32]) -> Vec<u8> {
    let protected = protected(&checkpoint.origin, public_key);
    let mut message = Cbor::default();
    message.head(ARRAY, 4).text("Signature1").bytes(&protected).bytes(&[]).bytes(&checkpoint.root);
    message.0
}

/// The receipt of the record at `leaf_index`, from its inclusion proof in the checkpoint's log and
/// [`sign`]'s signature.
pub fn receipt(
    checkpoint: &LogCheckpoint,
    public_key: [u8; 32],
    leaf_index: u64,
    path: &[Hash],
    signature: &[u8],
) -> Vec<u8> {
    let mut inclusion = Cbor::default();
    inclusion.head(ARRAY, 3).head(UNSIGNED, checkpoint.size).head(UNSIGNED, leaf_index);
    inclusion.head(ARRAY, path.len() as u64);
    for hash in path {
        inclusion.bytes(hash);
    }
    let mut out = Cbor::default();
    out.head(TAG, SIGN1).head(ARRAY, 4).bytes(&protected(&checkpoint.origin, public_key));
    out.head(MAP, 1).head(UNSIGNED, VDP).head(MAP, 1).head(NEGATIVE, 0).head(ARRAY, 1).bytes(&inclusion.0);
    out.0.push(NULL);
    out.bytes(signature);
    out.0
}

fn protected(origin: &str, public_key: [u8; 32]) -> Vec<u8> {
    let [_, cosigner] = Verifier::of(origin, public_key);
    let mut out = Cbor::default();
    out.head(MAP, 4);
    out.head(UNSIGNED, 1).head(NEGATIVE, 7);
    out.head(UNSIGNED, 4).bytes(cosigner.name.as_bytes());
    out.head(UNSIGNED, 15).head(MAP, 1).head(UNSIGNED, 1).text(origin);
    out.head(UNSIGNED, VDS).head(UNSIGNED, 1);
    out.0
}

/// CBOR in its shortest form (RFC 8949, section 4.2.1).
#[derive(Default)]
struct Cbor(Vec<u8>);

impl Cbor {
    fn head(&mut self, major: u8, value: u64) -> &mut Self {
        let bytes = value.to_be_bytes();
        // The five low bits say how many bytes of the value follow.
        let (low, width) = match value {
            0..=23 => (bytes[7], 0),
            24..=0xff => (24, 1),
            0x100..=0xffff => (25, 2),
            0x1_0000..=0xffff_ffff => (26, 4),
            _ => (27, 8),
        };
        self.0.push(major << 5 | low);
        self.0.extend(bytes.iter().skip(8 - width));
        self
    }

    fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.head(BYTES, bytes.len() as u64).0.extend(bytes);
        self
    }

    fn text(&mut self, text: &str) -> &mut Self {
        self.head(TEXT, text.len() as u64).0.extend(text.as_bytes());
        self
    }
}
