//! Receipts and state proofs as bytes: everything a verifier needs beside its trust file.
//!
//! What must hold about them is checked in `ledger/verify`.

use crate::block::SignedHeader;
use crate::certificate::{Certificate, ValidatorSet};
use crate::codec::{DecodeError, Reader, Writer};
use crate::entry::{SIGNATURE_BYTES_MAX, read_scheme};
use crate::genesis::GenesisProof;
use crate::hash::Hash;
use crate::log::PROOF_HASHES_MAX;
use crate::record::RECORD_BYTES_MAX;
use crate::scheme::PublicKey;
use crate::state::{STATE_KEY_BYTES_MAX, StateProof};

/// The version of receipts.
pub const RECEIPT_VERSION: u8 = 1;
/// The version of state receipts.
pub const STATE_RECEIPT_VERSION: u8 = 1;
/// The most changes of the validator set that a receipt may carry.
pub const LINKS_MAX: usize = 1024;

/// A change of the validator set: a certified block that names the next set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetLink {
    /// The last block that the old set certified.
    pub signed_header: SignedHeader,
    /// The old set's certificate for it.
    pub certificate: Certificate,
    /// The new set, whose hash stands in the header.
    pub set: ValidatorSet,
}

/// A certified block and the way from genesis to the set that certified it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certified {
    /// The block's header.
    pub signed_header: SignedHeader,
    /// Its certificate.
    pub certificate: Certificate,
    /// The first set, proven by the chain id.
    pub genesis: GenesisProof,
    /// One link for each change of set since genesis.
    pub links: Vec<SetLink>,
}

/// What an intent released.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Released {
    /// The key that signed.
    pub public_key: PublicKey,
    /// The random value in the intent's commitment.
    pub r: Hash,
    /// SHA-256 of the signed message.
    pub payload_hash: Hash,
    /// The signature.
    pub signature: Vec<u8>,
}

/// A record, its place in the log, and who certifies it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The record's leaf data.
    pub record: Vec<u8>,
    /// Its index in the log.
    pub leaf_index: u64,
    /// Its inclusion proof under the certified header.
    pub proof: Vec<Hash>,
    /// The certified block.
    pub certified: Certified,
    /// What the intent released, if the receipt is for a signature.
    pub released: Option<Released>,
}

/// What stands under a state key, and who certifies it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateReceipt {
    /// The state key.
    pub key: Vec<u8>,
    /// What stands there.
    pub proof: StateProof,
    /// The certified block whose state it is.
    pub certified: Certified,
}

impl SetLink {
    pub(crate) fn write(&self, out: &mut Writer) {
        out.raw(&self.signed_header.encode());
        self.certificate.write(out);
        out.raw(&self.set.encode());
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            signed_header: SignedHeader::read(reader)?,
            certificate: Certificate::read(reader)?,
            set: ValidatorSet::read(reader)?,
        })
    }
}

impl Certified {
    /// The bytes as they stand in receipts: those of one block share them.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(1024);
        self.write(&mut out);
        out.finish()
    }

    /// Decodes exactly one.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let certified = Self::read(&mut reader)?;
        reader.finish("certified block")?;
        Ok(certified)
    }

    fn write(&self, out: &mut Writer) {
        out.raw(&self.signed_header.encode());
        self.certificate.write(out);
        self.genesis.write(out);
        out.count(self.links.len());
        for link in &self.links {
            link.write(out);
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            signed_header: SignedHeader::read(reader)?,
            certificate: Certificate::read(reader)?,
            genesis: GenesisProof::read(reader)?,
            links: reader.list("set links", LINKS_MAX, SetLink::read)?,
        })
    }
}

impl Released {
    fn write(&self, out: &mut Writer) {
        out.u8(self.public_key.scheme().code()).bytes(self.public_key.as_bytes());
        out.raw(&self.r).raw(&self.payload_hash).bytes(&self.signature);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let scheme = read_scheme(reader)?;
        let key = PublicKey::parse(scheme, reader.bytes("public key", PublicKey::BYTES_MAX)?);
        Ok(Self {
            public_key: key.ok().ok_or(DecodeError::Invalid {
                what: "public key",
                why: "is not a canonical key of its scheme",
            })?,
            r: reader.array("r")?,
            payload_hash: reader.array("payload hash")?,
            signature: reader.bytes("signature", SIGNATURE_BYTES_MAX)?.to_vec(),
        })
    }
}

/// The bytes of a receipt whose certified part was encoded before ([`Certified::encode`]).
pub fn encode_receipt(
    record: &[u8],
    leaf_index: u64,
    proof: &[Hash],
    certified: &[u8],
    released: Option<&Released>,
) -> Vec<u8> {
    let mut out = Writer::with_capacity(512 + record.len() + 32 * proof.len() + certified.len());
    out.u8(RECEIPT_VERSION).bytes(record).u64(leaf_index).count(proof.len());
    for hash in proof {
        out.raw(hash);
    }
    out.raw(certified);
    match released {
        None => {
            out.u8(0);
        }
        Some(released) => released.write(out.u8(1)),
    }
    out.finish()
}

impl Receipt {
    /// The bytes.
    pub fn encode(&self) -> Vec<u8> {
        let certified = self.certified.encode();
        encode_receipt(&self.record, self.leaf_index, &self.proof, &certified, self.released.as_ref())
    }

    /// Decodes exactly one receipt.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        reader.version("receipt version", RECEIPT_VERSION)?;
        let receipt = Self {
            record: reader.bytes("record", RECORD_BYTES_MAX)?.to_vec(),
            leaf_index: reader.u64("leaf index")?,
            proof: reader.list("inclusion proof", PROOF_HASHES_MAX, |reader| reader.array("proof hash"))?,
            certified: Certified::read(&mut reader)?,
            released: match reader.u8("release")? {
                0 => None,
                1 => Some(Released::read(&mut reader)?),
                code => return Err(DecodeError::UnknownCode { what: "release", code: u64::from(code) }),
            },
        };
        reader.finish("receipt")?;
        Ok(receipt)
    }
}

impl StateReceipt {
    /// The bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(2048);
        out.u8(STATE_RECEIPT_VERSION).bytes(&self.key);
        self.proof.write(&mut out);
        self.certified.write(&mut out);
        out.finish()
    }

    /// Decodes exactly one state receipt.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        reader.version("state receipt version", STATE_RECEIPT_VERSION)?;
        let receipt = Self {
            key: reader.bytes("state key", STATE_KEY_BYTES_MAX)?.to_vec(),
            proof: StateProof::read(&mut reader)?,
            certified: Certified::read(&mut reader)?,
        };
        reader.finish("state receipt")?;
        Ok(receipt)
    }
}
