//! What is wanted of unlinkable addresses: chosen once by an account, used one by one by keys that name no account.

use super::{ascending, kind, read_scheme};
use crate::codec::{DecodeError, Reader, Writer};
use crate::hash::Hash;
use crate::scheme::{KeyId, PublicKey, Scheme};
use crate::unlinkable::{
    AddressEpoch, DealtRun, PAYMENT_BYTES, SEALED_CLOSING_BYTES, SEALED_DETAIL_BYTES, VIEWING_KEEPERS_MAX,
};

/// Where an account's address root lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Custody {
    /// With the service.
    Hosted = 1,
    /// On the person's side.
    Own = 2,
}

impl Custody {
    /// The code that stands in records.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// `hosted` or `own`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hosted => "hosted",
            Self::Own => "own",
        }
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match reader.u8("custody")? {
            1 => Ok(Self::Hosted),
            2 => Ok(Self::Own),
            code => Err(DecodeError::UnknownCode { what: "custody", code: u64::from(code) }),
        }
    }
}

/// Chooses unlinkable addresses, for good: `account[32] || tenant[32] || custody u8 || epoch_ms u64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChooseAddresses {
    /// The account.
    pub account: Hash,
    /// Whose audit terms it is under, see [`tenant_id`](super::tenant_id).
    pub tenant: Hash,
    /// Where the address root lies.
    pub custody: Custody,
    /// The length of an address epoch.
    pub epoch_ms: u64,
}

/// Keepers hold shares of what opens a run of closed epochs: `run || threshold u8 || list(16) of (keeper id[32] ||
/// acknowledgement[64])`, strictly ascending by id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DealViewing {
    /// What was dealt.
    pub run: DealtRun,
    /// How many keepers it takes to open it.
    pub threshold: u8,
    /// The keepers' ids, and each one's signature over [`DealtRun::acknowledgement_message`].
    pub acknowledgements: Vec<(Hash, [u8; 64])>,
}

/// What an account says of its addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AddressAct {
    /// It has them from now on; the author is the account's own word.
    Choose(ChooseAddresses),
    /// Closed epochs are dealt; the author is the account's own word.
    Deal(DealViewing),
}

/// The limit that a use counts against: `rule id[32] || handle[32]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HandleLimit {
    /// The id of a rate rule.
    pub rule: Hash,
    /// Stands for the account in one window of that rule, and for nothing outside of it.
    pub handle: Hash,
}

/// The right to use an address, once and never again: `intent id[32] || scheme u8 || public key[33] || epoch_ms u64 || epoch
/// u32 || executor[32] || commitment[32] || not_after u64 || (0 u8 | 1 u8 || rule id[32] || handle[32]) || bytes(1073) detail ||
/// proof[64]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UseAddress {
    /// The intent's name, chosen at random by the executor.
    pub id: Hash,
    /// ECDSA on secp256k1, or BIP340.
    pub scheme: Scheme,
    /// The address: SEC1 compressed, for BIP340 too. The contract parses it, so that a bad one is refused by name.
    pub public_key: [u8; 33],
    /// The length of its epoch.
    pub epoch_ms: u64,
    /// Its epoch.
    pub epoch: u32,
    /// The submitter that acts; it must submit the entry itself.
    pub executor: [u8; 32],
    /// [`commitment`](crate::hash::commitment) to the payload hash.
    pub commitment: Hash,
    /// The last height at which the claim lives.
    pub not_after: u64,
    /// What it counts against, if anything.
    pub limit: Option<HandleLimit>,
    /// What the epoch's viewing leaf opens: 1,073 bytes.
    pub detail: Vec<u8>,
    /// The address's own signature over [`use_address_message`](crate::unlinkable::use_address_message).
    pub proof: [u8; 64],
}

/// The end of an account's epoch, without its name: `tag[32] || epoch_ms u64 || epoch u32 || bytes(305) closing`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloseEpoch {
    /// Stands for account and epoch to who holds the epoch's viewing leaf.
    pub tag: Hash,
    /// The length of the epoch.
    pub epoch_ms: u64,
    /// The epoch.
    pub epoch: u32,
    /// What the viewing leaf opens: 305 bytes.
    pub closing: Vec<u8>,
}

/// Lets a receiver find a payment: `epoch_ms u64 || epoch u32 || payment[50]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnnouncePayment {
    /// The length of the epoch.
    pub epoch_ms: u64,
    /// The epoch of the meta-address that was paid to.
    pub epoch: u32,
    /// The payment.
    pub payment: [u8; PAYMENT_BYTES],
}

impl AddressAct {
    /// The code of the entry's kind.
    pub const fn kind(&self) -> u16 {
        match self {
            Self::Choose(_) => kind::CHOOSE_ADDRESSES,
            Self::Deal(_) => kind::DEAL_VIEWING,
        }
    }

    pub(super) fn write(&self, out: &mut Writer) {
        match self {
            Self::Choose(choose) => {
                out.raw(&choose.account).raw(&choose.tenant).u8(choose.custody.code()).u64(choose.epoch_ms);
            }
            Self::Deal(deal) => deal.write(out),
        }
    }

    /// Reads an act of one of these kinds.
    pub(super) fn read(kind: u16, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match kind {
            kind::CHOOSE_ADDRESSES => Self::Choose(ChooseAddresses {
                account: reader.array("account")?,
                tenant: reader.array("tenant")?,
                custody: Custody::read(reader)?,
                epoch_ms: reader.u64("epoch length")?,
            }),
            kind::DEAL_VIEWING => Self::Deal(DealViewing::read(reader)?),
            code => return Err(DecodeError::UnknownCode { what: "entry kind", code: u64::from(code) }),
        })
    }
}

impl DealViewing {
    fn write(&self, out: &mut Writer) {
        self.run.write(out).u8(self.threshold).count(self.acknowledgements.len());
        for (keeper, signature) in &self.acknowledgements {
            out.raw(keeper).raw(signature);
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let deal = Self {
            run: DealtRun::read(reader)?,
            threshold: reader.u8("threshold")?,
            acknowledgements: reader.list("acknowledgements", VIEWING_KEEPERS_MAX, |reader| {
                Ok((reader.array("keeper id")?, reader.array("acknowledgement")?))
            })?,
        };
        let sorted = deal.acknowledgements.is_sorted_by(|(before, _), (keeper, _)| before < keeper);
        ascending("acknowledgements", sorted)?;
        Ok(deal)
    }
}

impl UseAddress {
    /// The address as a key of its scheme, if it is one; BIP340 knows its x alone.
    pub fn key(&self) -> Option<PublicKey> {
        // A point that is none has no x to verify under either.
        let whole = PublicKey::parse(Scheme::EcdsaSecp256k1, &self.public_key).ok()?;
        match self.scheme {
            Scheme::Bip340 => PublicKey::parse(Scheme::Bip340, &self.x()).ok(),
            _ => Some(whole),
        }
    }

    /// The name on the ledger of that key.
    pub fn key_id(&self) -> Option<KeyId> {
        self.key().map(|key| key.id())
    }

    /// The x of the address: what both schemes, and a point and its opposite, have in common.
    pub fn x(&self) -> [u8; 32] {
        let [_, x @ ..] = self.public_key;
        x
    }

    /// Its epoch.
    pub const fn address_epoch(&self) -> AddressEpoch {
        AddressEpoch::new(self.epoch_ms, self.epoch)
    }

    /// All up to the proof: what the proof is over.
    pub fn body(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(1_400);
        self.write_body(&mut out);
        out.finish()
    }

    /// All up to the detail: the associated data of the detail.
    pub fn public_fields(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(256);
        self.write_public(&mut out);
        out.finish()
    }

    fn write_public(&self, out: &mut Writer) {
        out.raw(&self.id).u8(self.scheme.code()).raw(&self.public_key).u64(self.epoch_ms).u32(self.epoch);
        out.raw(&self.executor).raw(&self.commitment).u64(self.not_after);
        match &self.limit {
            None => out.u8(0),
            Some(limit) => out.u8(1).raw(&limit.rule).raw(&limit.handle),
        };
    }

    fn write_body(&self, out: &mut Writer) {
        self.write_public(out);
        out.bytes(&self.detail);
    }

    pub(super) fn write<'a>(&self, out: &'a mut Writer) -> &'a mut Writer {
        self.write_body(out);
        out.raw(&self.proof)
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let used = Self::read_body(reader)?;
        Ok(Self { proof: reader.array("proof")?, ..used })
    }

    /// Reads what [`body`](Self::body) gives; exactly that.
    pub fn from_body(body: &[u8], proof: [u8; 64]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let used = Self::read_body(&mut reader)?;
        reader.finish("use of an address")?;
        Ok(Self { proof, ..used })
    }

    fn read_body(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            id: reader.array("intent id")?,
            scheme: read_address_scheme(reader)?,
            public_key: reader.array("public key")?,
            epoch_ms: reader.u64("epoch length")?,
            epoch: reader.u32("epoch")?,
            executor: reader.array("executor")?,
            commitment: reader.array("commitment")?,
            not_after: reader.u64("not after")?,
            limit: reader.option_with("limit", |reader| {
                Ok(HandleLimit { rule: reader.array("rule")?, handle: reader.array("handle")? })
            })?,
            detail: sealed(reader, "detail", SEALED_DETAIL_BYTES)?,
            proof: [0; 64],
        })
    }
}

impl CloseEpoch {
    /// All up to the closing: its associated data.
    pub fn public_fields(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(44);
        self.write_public(&mut out);
        out.finish()
    }

    /// The epoch that ends.
    pub const fn address_epoch(&self) -> AddressEpoch {
        AddressEpoch::new(self.epoch_ms, self.epoch)
    }

    fn write_public<'a>(&self, out: &'a mut Writer) -> &'a mut Writer {
        out.raw(&self.tag).u64(self.epoch_ms).u32(self.epoch)
    }

    pub(super) fn write<'a>(&self, out: &'a mut Writer) -> &'a mut Writer {
        self.write_public(out).bytes(&self.closing)
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            tag: reader.array("closing tag")?,
            epoch_ms: reader.u64("epoch length")?,
            epoch: reader.u32("epoch")?,
            closing: sealed(reader, "closing", SEALED_CLOSING_BYTES)?,
        })
    }
}

impl AnnouncePayment {
    /// The epoch of the meta-address.
    pub const fn address_epoch(&self) -> AddressEpoch {
        AddressEpoch::new(self.epoch_ms, self.epoch)
    }

    pub(super) fn write<'a>(&self, out: &'a mut Writer) -> &'a mut Writer {
        out.u64(self.epoch_ms).u32(self.epoch).raw(&self.payment)
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            epoch_ms: reader.u64("epoch length")?,
            epoch: reader.u32("epoch")?,
            payment: reader.array("payment")?,
        })
    }
}

fn read_address_scheme(reader: &mut Reader<'_>) -> Result<Scheme, DecodeError> {
    match read_scheme(reader)? {
        scheme @ (Scheme::EcdsaSecp256k1 | Scheme::Bip340) => Ok(scheme),
        _ => Err(DecodeError::Invalid { what: "scheme", why: "is none of addresses" }),
    }
}

/// Ciphertext of the one length.
fn sealed(reader: &mut Reader<'_>, what: &'static str, len: usize) -> Result<Vec<u8>, DecodeError> {
    let bytes = reader.bytes(what, len)?;
    if bytes.len() == len {
        Ok(bytes.to_vec())
    } else {
        Err(DecodeError::Invalid { what, why: "is shorter than any sealing" })
    }
}
