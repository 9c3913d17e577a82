//! What callers ask for, read strictly.

use keyward_crypto::shared::{SharedScheme, Tweak};
use keyward_domain::scheme::{KeyId, Scheme};
use keyward_ledger_core::{
    entry::{RuleName, Tweak as OnLedger},
    hash::Hash,
    shared::{Circle, Device, SHARED_KEEPERS_MAX},
};
use keyward_proto::custody as proto;

use super::error::SharedError;

/// A key that is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GenerationPlan {
    pub(crate) name: RuleName,
    pub(crate) scheme: SharedScheme,
    pub(crate) circle: Circle,
    pub(crate) device: Device,
    pub(crate) attempt: u32,
}

/// One attempt at a signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SigningPlan {
    pub(crate) key_id: KeyId,
    pub(crate) intent: Hash,
    pub(crate) attempt: u32,
    pub(crate) tweak: Tweak,
    pub(crate) signers: Vec<u8>,
    pub(crate) message: Vec<u8>,
}

/// Shares dealt anew by the user and keepers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RenewalPlan {
    pub(crate) key_id: KeyId,
    pub(crate) circle: Circle,
    pub(crate) device: Device,
    pub(crate) dealers: Vec<u8>,
    pub(crate) attempt: u32,
}

/// A share that is to come back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RepairPlan {
    pub(crate) key_id: KeyId,
    pub(crate) lost: u8,
    pub(crate) helpers: Vec<u8>,
    pub(crate) attempt: u32,
}

const fn malformed(what: &'static str) -> SharedError {
    SharedError::Malformed { what }
}

/// Exactly so many bytes.
pub(crate) fn array<const N: usize>(what: &'static str, bytes: &[u8]) -> Result<[u8; N], SharedError> {
    bytes.try_into().map_err(|_length| malformed(what))
}

/// Nothing, or exactly so many bytes.
pub(crate) fn option(what: &'static str, bytes: &[u8]) -> Result<Option<Hash>, SharedError> {
    if bytes.is_empty() { Ok(None) } else { array(what, bytes).map(Some) }
}

/// Messages of holders as the cryptography takes them.
pub(crate) fn messages(list: Vec<bytes::Bytes>) -> Vec<Vec<u8>> {
    list.into_iter().map(Vec::from).collect()
}

fn places(what: &'static str, list: &[u32]) -> Result<Vec<u8>, SharedError> {
    if list.len() > SHARED_KEEPERS_MAX {
        return Err(malformed(what));
    }
    list.iter().map(|place| u8::try_from(*place).map_err(|_number| malformed(what))).collect()
}

fn holders(holders: Option<proto::SharedHolders>) -> Result<(Circle, Device), SharedError> {
    let holders = holders.ok_or(malformed("holders"))?;
    let threshold = u8::try_from(holders.threshold).map_err(|_number| malformed("threshold"))?;
    if holders.keepers.len() > SHARED_KEEPERS_MAX {
        return Err(malformed("keepers"));
    }
    let keepers = holders.keepers.iter().map(|id| array("keeper id", id)).collect::<Result<_, _>>()?;
    let device = Device {
        signing_key: array("device signing key", &holders.device_signing_key)?,
        sealing_key: array("device sealing key", &holders.device_sealing_key)?,
    };
    let circle = Circle { threshold, keepers };
    if circle.is_sound() { Ok((circle, device)) } else { Err(malformed("holders")) }
}

impl GenerationPlan {
    pub(crate) fn read(plan: Option<proto::GenerationPlan>) -> Result<Self, SharedError> {
        let plan = plan.ok_or(malformed("plan"))?;
        let scheme = Scheme::from_name(&plan.scheme).and_then(SharedScheme::of);
        let (circle, device) = holders(plan.holders)?;
        let name = RuleName { owner: array("account", &plan.account)?, name: array("name", &plan.name)? };
        Ok(Self { name, scheme: scheme.ok_or(malformed("scheme"))?, circle, device, attempt: plan.attempt })
    }
}

impl SigningPlan {
    pub(crate) fn read(plan: Option<proto::SigningPlan>) -> Result<Self, SharedError> {
        let plan = plan.ok_or(malformed("plan"))?;
        let tweak = match &plan.tweak[..] {
            [0] => Tweak::None,
            [1] => Tweak::KeyPath,
            [2, root @ ..] => Tweak::Scripts(array("tweak", root)?),
            _ => return Err(malformed("tweak")),
        };
        Ok(Self {
            key_id: KeyId(array("key id", &plan.key_id)?),
            intent: array("intent", &plan.intent)?,
            attempt: plan.attempt,
            tweak,
            signers: places("signers", &plan.signers)?,
            message: plan.message.into(),
        })
    }

    /// The tweak as an intent has it.
    pub(crate) const fn tweak_on_ledger(&self) -> OnLedger {
        match self.tweak {
            Tweak::None => OnLedger::Plain,
            Tweak::KeyPath => OnLedger::KeyPath,
            Tweak::Scripts(root) => OnLedger::Root(root),
        }
    }
}

impl RenewalPlan {
    pub(crate) fn read(plan: Option<proto::RenewalPlan>) -> Result<Self, SharedError> {
        let plan = plan.ok_or(malformed("plan"))?;
        let (circle, device) = holders(plan.holders)?;
        Ok(Self {
            key_id: KeyId(array("key id", &plan.key_id)?),
            circle,
            device,
            dealers: places("dealers", &plan.dealers)?,
            attempt: plan.attempt,
        })
    }
}

impl RepairPlan {
    pub(crate) fn read(plan: Option<proto::RepairPlan>) -> Result<Self, SharedError> {
        let plan = plan.ok_or(malformed("plan"))?;
        let lost = u8::try_from(plan.lost).map_err(|_number| malformed("lost place"))?;
        Ok(Self {
            key_id: KeyId(array("key id", &plan.key_id)?),
            lost,
            helpers: places("helpers", &plan.helpers)?,
            attempt: plan.attempt,
        })
    }
}
