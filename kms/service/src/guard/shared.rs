//! Signing with a shared key, in two steps: the guard decides, records the intent that the key's holder has signed and collects
//! the signers' commitments; then their shares, and with the device's the signature, whose release it queues. Of threshold ECDSA
//! everybody answers the commitments in between.
//!
//! INVARIANT: no share of a key comes here, and the signature alone is made of what signers gave for exactly this intent. It
//! leaves only when it verifies under the key and the intent's tweak.

mod again;
mod answer;
mod begin;
mod faults;
mod finish;
mod round;
mod wanted;

use bytes::Bytes;
use keyward_domain::scheme::PublicKey;
use keyward_proto::custody::Disclosure;
use keyward_store::Id;

use super::{Signed, waiting};

pub(crate) use faults::Fault;
pub(crate) use round::Task;

/// The signings of shared keys that wait for their device.
pub(crate) type BegunShared = waiting::Begun<Task>;

/// What is to be signed, as it was asked for.
#[derive(Clone, Debug)]
pub(crate) struct BeginShared {
    pub(crate) entry: Bytes,
    pub(crate) payload: Disclosure,
    pub(crate) message: Bytes,
    pub(crate) attempt: u32,
    /// The device's commitment.
    pub(crate) device: Bytes,
    pub(crate) mark: Bytes,
}

/// A later step.
#[derive(Clone, Debug)]
pub(crate) struct FinishShared {
    pub(crate) intent: Id,
    pub(crate) attempt: u32,
    /// The device's share of the signature; in between, its answer.
    pub(crate) device: Bytes,
}

/// A signature, and the key that it verifies under.
#[derive(Debug)]
pub(crate) struct SignedShared {
    pub(crate) signed: Signed,
    pub(crate) output_key: PublicKey,
}

/// An intent that is final, and its signers' commitments.
#[derive(Debug)]
pub(crate) struct Committed {
    pub(crate) intent: Id,
    pub(crate) receipt: Vec<u8>,
    pub(crate) leaf_index: u64,
    /// In the order of the signers.
    pub(crate) commitments: Vec<Bytes>,
    pub(crate) expires_ms: u64,
}

/// Keepers that were silent or wrong: nothing is signed in this attempt.
#[derive(Debug)]
pub(crate) struct Faults {
    /// Nobody is named where all that came was well formed and makes no signature together: others are to sign then.
    pub(crate) faults: Vec<Fault>,
    /// Until when another attempt at the intent may be begun.
    pub(crate) expires_ms: u64,
}

/// What came of beginning.
#[derive(Debug)]
pub(crate) enum StartShared {
    Committed(Committed),
    /// The same request was finished before.
    Signed(SignedShared),
    Faults(Faults),
}

/// What came of answering.
#[derive(Debug)]
pub(crate) enum GoOnShared {
    /// The keepers' answers, in the order of the signers.
    Answered(Vec<Bytes>),
    /// The same request was finished before.
    Signed(SignedShared),
    Faults(Faults),
}

/// What came of finishing.
#[derive(Debug)]
pub(crate) enum EndShared {
    Signed(SignedShared),
    Faults(Faults),
}
