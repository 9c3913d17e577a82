//! Shared keys in the state: how each is generated, who holds it now, and what its intents allow.

use super::layout::{End, decode_exactly};
use crate::codec::{DecodeError, Reader, Writer};
use crate::entry::{Party, RuleName, read_scheme};
use crate::hash::Hash;
use crate::scheme::{KeyId, Scheme};
use crate::shared::{Circle, Device, SHARED_KEEPERS_MAX, SPEAKERS_MAX};

const RUN_PREFIX: &[u8] = b"shared/run/";
const INTENT_PREFIX: &[u8] = b"shared/intent/";

/// `shared/run/` and the name's id as a rule ([`shared_rule`](crate::shared::shared_rule)): [`SharedNameState`].
pub fn shared_run_key(rule: &Hash) -> Vec<u8> {
    [RUN_PREFIX, rule].concat()
}

/// `shared/attempts/` and the name's id as a rule: how many generations were opened under it ever, as u32.
pub fn shared_attempts_key(rule: &Hash) -> Vec<u8> {
    [b"shared/attempts/".as_slice(), rule].concat()
}

/// Reads such a count; none before the first generation.
pub fn shared_attempts(value: Option<&[u8]>) -> Result<u32, DecodeError> {
    let Some(value) = value else { return Ok(0) };
    let mut reader = Reader::new(value);
    let attempts = reader.u32("attempts")?;
    reader.finish("attempts")?;
    Ok(attempts)
}

/// `shared/key/` and the key id: [`SharedKeyState`].
pub fn shared_key_key(key_id: &KeyId) -> Vec<u8> {
    [b"shared/key/".as_slice(), &key_id.0].concat()
}

/// `shared/intent/` and the intent id: [`SharedIntentState`].
pub fn shared_intent_key(id: &Hash) -> Vec<u8> {
    [INTENT_PREFIX, id].concat()
}

/// When an entry of the state about shared keys ends, for those that do.
pub(super) fn end_of(key: &[u8], value: &[u8]) -> Result<Option<End>, DecodeError> {
    if key.starts_with(RUN_PREFIX) {
        Ok(match SharedNameState::decode(value)? {
            SharedNameState::Run(run) => Some(End::TimeMs(run.expires_ms)),
            SharedNameState::Bound(_) => None,
        })
    } else if key.starts_with(INTENT_PREFIX) {
        SharedIntentState::decode(value).map(|intent| Some(End::Height(intent.not_after)))
    } else {
        Ok(None)
    }
}

/// What became of a name: `0 u8 || run`, or `1 u8 || key id[32]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SharedNameState {
    /// A key is generated under it.
    Run(Box<SharedRunState>),
    /// This key was bound, and no other ever will be.
    Bound(KeyId),
}

/// The generation of a key: `expires_ms u64 || account[32] || name[32] || scheme u8 || circle || attempt u32 || lock_ms u64 ||
/// device || list(8) of party || list(17) of opening hash[32]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedRunState {
    /// The last block time at which it lives.
    pub expires_ms: u64,
    /// The account, and the key's name.
    pub name: RuleName,
    /// The scheme.
    pub scheme: Scheme,
    /// Who is to hold shares beside the user.
    pub circle: Circle,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// How long another device will wait.
    pub lock_ms: u64,
    /// What speaks for the user's share.
    pub device: Device,
    /// Who speaks for the key.
    pub speakers: Vec<Party>,
    /// What each holder opens with, the user first.
    pub openings: Vec<Hash>,
}

impl SharedNameState {
    /// The encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(1024);
        match self {
            Self::Run(run) => run.write(out.u8(0)),
            Self::Bound(key_id) => {
                out.u8(1).raw(&key_id.0);
            }
        }
        out.finish()
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match reader.u8("shared name")? {
            0 => Ok(Self::Run(Box::new(SharedRunState::read(reader)?))),
            1 => Ok(Self::Bound(KeyId(reader.array("key id")?))),
            code => Err(DecodeError::UnknownCode { what: "shared name", code: u64::from(code) }),
        }
    }
}
decode_exactly!(SharedNameState, "shared name");

impl SharedRunState {
    fn write(&self, out: &mut Writer) {
        self.name.write(out.u64(self.expires_ms)).u8(self.scheme.code());
        self.device.write(self.circle.write(out).u32(self.attempt).u64(self.lock_ms));
        Party::write_list(&self.speakers, out);
        out.count(self.openings.len());
        self.openings.iter().for_each(|opening| {
            out.raw(opening);
        });
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            expires_ms: reader.u64("expiry")?,
            name: RuleName::read(reader)?,
            scheme: read_scheme(reader)?,
            circle: Circle::read(reader)?,
            attempt: reader.u32("attempt")?,
            lock_ms: reader.u64("lock")?,
            device: Device::read(reader)?,
            speakers: Party::read_list(reader, "speakers", SPEAKERS_MAX)?,
            openings: reader.list("openings", SHARED_KEEPERS_MAX + 1, |reader| reader.array("opening"))?,
        })
    }
}

/// A device that takes the place of the one in force at a time: `device || opens_ms u64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PendingDevice {
    /// The other device.
    pub device: Device,
    /// The first block time at which it is in force.
    pub opens_ms: u64,
}

/// A shared key, beside its [`KeyState`](super::layout::KeyState): `account[32] || name[32] || scheme u8 || circle || key
/// hash[32] || share version u32 || device || lock_ms u64 || (0 u8 | 1 u8 || approval rule[32]) || (0 u8 | 1 u8 || policy
/// tenant[32]) || list(8) of party || (0 u8 | 1 u8 || device || opens_ms u64) || leaf u64`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedKeyState {
    /// The account, and the key's name.
    pub name: RuleName,
    /// The scheme.
    pub scheme: Scheme,
    /// Who holds shares beside the user.
    pub circle: Circle,
    /// The hash of what is public of the shares.
    pub key_hash: Hash,
    /// 1, then one more each time the shares are dealt anew.
    pub share_version: u32,
    /// What speaks for the user's share, until [`Self::pending`] opens: ask [`Self::device_in_force`].
    pub device: Device,
    /// How long another device waits.
    pub lock_ms: u64,
    /// The approval rule without which no intent names the key.
    pub approval_rule: Option<Hash>,
    /// The tenant whose policies keepers evaluate.
    pub policy_tenant: Option<Hash>,
    /// Who speaks for the key.
    pub speakers: Vec<Party>,
    /// The device that waits, or has taken its place since.
    pub pending: Option<PendingDevice>,
    /// The log index of the record that made these shares.
    pub leaf: u64,
}

impl SharedKeyState {
    /// The device that speaks for the user's share at a block time.
    pub fn device_in_force(&self, time_ms: u64) -> &Device {
        match &self.pending {
            Some(pending) if pending.opens_ms <= time_ms => &pending.device,
            _ => &self.device,
        }
    }

    /// The device that still waits at a block time.
    pub fn waiting_device(&self, time_ms: u64) -> Option<&PendingDevice> {
        self.pending.as_ref().filter(|pending| pending.opens_ms > time_ms)
    }

    /// The encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(1024);
        self.circle.write(self.name.write(&mut out).u8(self.scheme.code()));
        self.device.write(out.raw(&self.key_hash).u32(self.share_version)).u64(self.lock_ms);
        out.option(self.approval_rule.as_ref()).option(self.policy_tenant.as_ref());
        Party::write_list(&self.speakers, &mut out);
        match &self.pending {
            None => out.u8(0),
            Some(pending) => pending.device.write(out.u8(1)).u64(pending.opens_ms),
        };
        out.u64(self.leaf);
        out.finish()
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            name: RuleName::read(reader)?,
            scheme: read_scheme(reader)?,
            circle: Circle::read(reader)?,
            key_hash: reader.array("key hash")?,
            share_version: reader.u32("share version")?,
            device: Device::read(reader)?,
            lock_ms: reader.u64("lock")?,
            approval_rule: reader.option("approval rule")?,
            policy_tenant: reader.option("policy tenant")?,
            speakers: Party::read_list(reader, "speakers", SPEAKERS_MAX)?,
            pending: reader.option_with("pending device", |reader| {
                Ok(PendingDevice { device: Device::read(reader)?, opens_ms: reader.u64("opening time")? })
            })?,
            leaf: reader.u64("leaf")?,
        })
    }
}
decode_exactly!(SharedKeyState, "shared key");

/// What a live intent of a shared key allows, beside its [`IntentState`](super::layout::IntentState): `not_after u64 || act[32]
/// || share version u32 || (0 u8 | 1 u8 || approved rule[32])`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SharedIntentState {
    /// The last height at which it lives.
    pub not_after: u64,
    /// The hash of the act that claimed it: what its author signed.
    pub act: Hash,
    /// The version of the shares that sign.
    pub share_version: u32,
    /// The approval rule that has approved it, if a case was used up for it.
    pub approved_rule: Option<Hash>,
}

impl SharedIntentState {
    /// The encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(77);
        out.u64(self.not_after).raw(&self.act).u32(self.share_version).option(self.approved_rule.as_ref());
        out.finish()
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            not_after: reader.u64("not after")?,
            act: reader.array("act")?,
            share_version: reader.u32("share version")?,
            approved_rule: reader.option("approved rule")?,
        })
    }
}
decode_exactly!(SharedIntentState, "shared intent");
