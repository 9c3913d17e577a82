//! What an intent for a shared key says, held against what is shown of it, before anybody is asked anything.

use bytes::Bytes;
use keyward_crypto::shared::{SharedScheme, Tweak};
use keyward_domain::{
    Code, Payload, disclosed,
    meaning::Meaning,
    scheme::{PublicKey, Scheme},
};
use keyward_ledger_core::{
    entry::{Entry, SharedAct, SharedIntent, Tweak as Wanting},
    hash::commitment,
};
use keyward_proto::custody::{Disclosure, SigningPlan};
use keyward_store::Id;

use super::BeginShared;
use crate::{
    failure::Failure,
    once::request_hash,
    shared::{malformed, read_entry},
};

/// The longest message of a signer: two commitments for each of fifteen identifiers, and what is around them.
const SIGNER_BYTES_MAX: usize = 2 << 10;
/// The same of threshold ECDSA: what is multiplied with every party of every other signer.
const LONG_BYTES_MAX: usize = 512 << 10;

/// An intent, and what is signed under it.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) entry: Entry,
    pub(super) intent: SharedIntent,
    pub(super) payload: Disclosure,
    /// Opens the intent's commitment.
    pub(super) r: Id,
    pub(super) message: Bytes,
}

impl Wanted {
    /// Refuses what is no intent for a shared key, or too long.
    pub(super) fn read(asked: &BeginShared) -> Result<Self, Failure> {
        let (entry, act) = read_entry(&asked.entry)?;
        let SharedAct::Intent(intent) = act else {
            return Err(malformed("the entry is no intent for a shared key"));
        };
        let payload = asked.payload.clone();
        let r = payload.opening.as_ref().try_into();
        let r = r.map_err(|_length| malformed("an opening has 32 bytes"))?;
        if payload.payload.len() > keyward_domain::payload::MESSAGE_LEN_MAX {
            return Err(Failure::new(Code::MessageTooLarge, "a payload has at most 1 MiB"));
        }
        if asked.attempt == 0 {
            return Err(malformed("attempts count from 1"));
        }
        Ok(Self { entry, intent: *intent, payload, r, message: asked.message.clone() })
    }

    /// Whether it is the same intent, shown in the same way.
    pub(super) fn says_the_same(&self, other: &Self) -> bool {
        (&self.entry, &self.payload, &self.message) == (&other.entry, &other.payload, &other.message)
    }

    /// What is signed, under the key's scheme.
    pub(super) fn signed(&self, scheme: Scheme) -> Result<Payload<'_>, Failure> {
        match scheme {
            Scheme::Ed25519 => Payload::message(&self.message),
            _ => Payload::digest(scheme, &self.message),
        }
        .map_err(Failure::of)
    }

    /// What the payload says, if it is the one of the intent and of what is signed.
    pub(super) fn meaning(&self, payload_hash: &Id) -> Result<Meaning, Failure> {
        if commitment(&self.r, payload_hash) != self.intent.commitment {
            let message = "what is to be signed is not what the intent commits to";
            return Err(Failure::new(Code::PayloadOther, message));
        }
        disclosed(&self.payload.format, &self.payload.payload, payload_hash).map_err(Failure::of)
    }

    /// What the idempotency key names: the same signature, whatever intent it is made under.
    pub(super) fn hash(&self, key: &PublicKey, payload_hash: &Id) -> Id {
        request_hash("key.sign.shared", &[&key.id().0, &tweak_bytes(&self.intent.tweak), payload_hash])
    }

    /// What is to be signed, for the keepers.
    pub(super) fn plan(&self, attempt: u32) -> SigningPlan {
        SigningPlan {
            key_id: Bytes::copy_from_slice(&self.intent.key_id.0),
            intent: Bytes::copy_from_slice(&self.intent.id),
            attempt,
            tweak: tweak_bytes(&self.intent.tweak).into(),
            signers: self.intent.signers.iter().copied().map(u32::from).collect(),
            message: self.message.clone(),
        }
    }
}

/// The same tweak, as signers know it.
pub(super) const fn tweak_of(tweak: &Wanting) -> Tweak {
    match tweak {
        Wanting::Plain => Tweak::None,
        Wanting::KeyPath => Tweak::KeyPath,
        Wanting::Root(root) => Tweak::Scripts(*root),
    }
}

/// Refuses what is no message of a device.
pub(super) fn check_device(message: &Bytes, scheme: SharedScheme) -> Result<(), Failure> {
    let most = if scheme.answers() { LONG_BYTES_MAX } else { SIGNER_BYTES_MAX };
    if message.is_empty() || message.len() > most {
        return Err(malformed(format!("the device's message has 1 to `{most}` bytes")));
    }
    Ok(())
}

/// `0`, `1`, or `2 || root[32]`.
fn tweak_bytes(tweak: &Wanting) -> Vec<u8> {
    match tweak {
        Wanting::Plain => vec![0],
        Wanting::KeyPath => vec![1],
        Wanting::Root(root) => [&[2][..], root].concat(),
    }
}
