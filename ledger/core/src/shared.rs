//! Keys that a user and keepers share: who holds them, and the messages that bind what is said of them.
//!
//! Shares, openings and the key's own encoding are opaque here: keepers and the user's device look into them and sign, the
//! contract `shared` checks the signatures. Ledger, keepers, service and clients share this one encoding.

use crate::codec::{DecodeError, Reader, Writer};
use crate::ed25519::{self, VerifyingKey};
use crate::entry::{PERIOD_MAX_MS, RuleName, kind};
use crate::hash::{Hash, Tag};
use crate::scheme::{KeyId, Scheme};

/// The most keepers of one shared key: what still fits an entry with every acknowledgement.
pub const SHARED_KEEPERS_MAX: usize = 16;
/// The least number of keepers that sign: of one, a keeper and the user would be the whole.
pub const SHARED_THRESHOLD_MIN: u8 = 2;
/// The most parties that speak for one shared key.
pub const SPEAKERS_MAX: usize = 8;
/// How far ahead the end of a generation or renewal may lie, in milliseconds: a day.
pub const SHARED_LIFE_MAX_MS: u64 = 24 * 60 * 60 * 1_000;
/// The longest wait before another device is in force, in milliseconds: 366 days.
pub const LOCK_MAX_MS: u64 = PERIOD_MAX_MS;

/// Which keepers hold shares beside the user, and how many of them it takes: `threshold u8 || list(16) of keeper id[32]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Circle {
    /// How many keepers sign with the user.
    pub threshold: u8,
    /// The keepers' ids, each once; a keeper's place is that in this list, from 1.
    pub keepers: Vec<Hash>,
}

impl Circle {
    /// Whether 2 <= threshold <= keepers <= 16, and each keeper stands there once.
    pub fn is_sound(&self) -> bool {
        let distinct = self.keepers.iter().collect::<std::collections::BTreeSet<_>>().len();
        self.threshold >= SHARED_THRESHOLD_MIN
            && usize::from(self.threshold) <= self.keepers.len()
            && self.keepers.len() <= SHARED_KEEPERS_MAX
            && distinct == self.keepers.len()
    }

    pub(crate) fn write<'a>(&self, out: &'a mut Writer) -> &'a mut Writer {
        out.u8(self.threshold).count(self.keepers.len());
        self.keepers.iter().for_each(|keeper| {
            out.raw(keeper);
        });
        out
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            threshold: reader.u8("threshold")?,
            keepers: reader.list("keepers", SHARED_KEEPERS_MAX, |reader| reader.array("keeper id"))?,
        })
    }
}

/// What speaks for the user's share in runs of the protocol: `signing key[32] || sealing key[32]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Device {
    /// The Ed25519 key that signs the user's messages, and vetoes another device.
    pub signing_key: [u8; 32],
    /// The X25519 key that what is meant for the user is sealed to. The ledger does not look into it.
    pub sealing_key: [u8; 32],
}

impl Device {
    /// Whether the signing key is one.
    pub fn is_sound(&self) -> bool {
        VerifyingKey::parse(&self.signing_key).is_ok()
    }

    pub(crate) fn write<'a>(&self, out: &'a mut Writer) -> &'a mut Writer {
        out.raw(&self.signing_key).raw(&self.sealing_key)
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            signing_key: reader.array("device signing key")?,
            sealing_key: reader.array("device sealing key")?,
        })
    }
}

/// Whether keys of a scheme can be shared: Ed25519, BIP340 and ECDSA on secp256k1.
pub const fn is_shareable(scheme: Scheme) -> bool {
    matches!(scheme, Scheme::Ed25519 | Scheme::Bip340 | Scheme::EcdsaSecp256k1)
}

/// The id under which the generation of a shared key stands in the state: that of a rule of the kind `open-shared-key`.
pub fn shared_rule(name: &RuleName) -> Hash {
    name.id(kind::OPEN_SHARED_KEY)
}

/// What names shares as they are recorded: `tagged("keyward/shared-record/v1", kind u16 || body without signatures || share
/// version u32 || threshold u8 || list(16) of keeper id[32])`. Entries have it ready:
/// [`SharedBinding::record_hash`](crate::entry::SharedBinding::record_hash),
/// [`SharedRenewal::record_hash`](crate::entry::SharedRenewal::record_hash).
pub(crate) fn record_hash(kind: u16, body: &[u8], share_version: u32, circle: &Circle) -> Hash {
    let mut out = Writer::with_capacity(64 + 32 * circle.keepers.len());
    circle.write(out.u32(share_version));
    Tag::SharedRecord.hash(&[&kind.to_be_bytes(), body, out.as_slice()])
}

/// What a keeper signs once its share fits, by a record hash: `tagged("keyward/shared-acknowledgement/v1", chain id ||
/// record hash || place u8)`, the place counting from 1.
pub fn acknowledgement_message(chain_id: &Hash, record_hash: &Hash, place: u8) -> Hash {
    Tag::SharedAcknowledgement.hash(&[chain_id, record_hash, &[place]])
}

/// A keeper's acknowledgement of its share.
pub fn acknowledge(key: &ed25519::SigningKey, chain_id: &Hash, record_hash: &Hash, place: u8) -> [u8; 64] {
    key.sign(&acknowledgement_message(chain_id, record_hash, place))
}

/// What the device in force signs against one that waits: `tagged("keyward/shared-veto/v1", chain id || key id || waiting
/// signing key)`.
pub fn veto_message(chain_id: &Hash, key_id: &KeyId, waiting: &[u8; 32]) -> Hash {
    Tag::SharedVeto.hash(&[chain_id, &key_id.0, waiting])
}

/// What approvers approve of a signature: `tagged("keyward/approval-intent/v1", key id || commitment)`, the commitment being
/// that of the intent to come.
pub fn approval_payload(key_id: &KeyId, commitment: &Hash) -> Hash {
    Tag::ApprovalIntent.hash(&[&key_id.0, commitment])
}
