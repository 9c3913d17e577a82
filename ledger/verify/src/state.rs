//! Verifying what stands under a state key.

use keyward_ledger_core::receipt::StateReceipt;

use crate::failure::Failure;
use crate::tracker::Anchor;
use crate::verifier::Verifier;

/// What a verifier asks of a state receipt. The caller brings the clock.
#[derive(Clone, Copy, Debug)]
pub struct StateQuery<'a> {
    /// The state key.
    pub key: &'a [u8],
    /// The lowest height that is recent enough.
    pub min_height: u64,
    /// The verifier's clock and the greatest age of the block, both in milliseconds.
    pub max_age: Option<MaxAge>,
}

/// How old a state may be.
#[derive(Clone, Copy, Debug)]
pub struct MaxAge {
    /// The verifier's clock, in milliseconds since 1970.
    pub now_ms: u64,
    /// The greatest age, in milliseconds.
    pub max_age_ms: u64,
}

/// What holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateVerdict {
    /// What the verdict rests on.
    pub anchor: Anchor,
    /// The height after which the state holds.
    pub height: u64,
    /// That block's time, in milliseconds since 1970.
    pub time_ms: u64,
    /// The value, or none if the key stands nowhere in the state.
    pub value: Option<Vec<u8>>,
    /// How many validators signed.
    pub signers: usize,
    /// How many had to sign.
    pub quorum: usize,
}

/// Verifies a state receipt against a trust file.
pub fn verify_state(trust: &[u8], receipt: &[u8], query: &StateQuery<'_>) -> Result<StateVerdict, Failure> {
    Verifier::new(trust)?.state(receipt, query)
}

impl Verifier {
    /// The same as [`verify_state`] against this verifier's trust file.
    pub fn state(&self, receipt: &[u8], query: &StateQuery<'_>) -> Result<StateVerdict, Failure> {
        let receipt = StateReceipt::decode(receipt).map_err(Failure::Receipt)?;
        let checked = self.certified(&receipt.certified)?;
        let (tracker, block) = &*checked;
        if receipt.key != query.key {
            return Err(Failure::OtherStateKey);
        }
        let value = block.state(&receipt.key, &receipt.proof)?;
        let header = block.header();
        if header.height < query.min_height {
            return Err(Failure::TooLow { height: header.height, min_height: query.min_height });
        }
        if let Some(MaxAge { now_ms, max_age_ms }) = query.max_age {
            let age_ms = now_ms.saturating_sub(header.time_ms);
            if age_ms > max_age_ms {
                return Err(Failure::TooOld { age_ms, max_age_ms });
            }
        }
        Ok(StateVerdict {
            anchor: tracker.anchor(),
            height: header.height,
            time_ms: header.time_ms,
            value: value.map(<[u8]>::to_vec),
            signers: block.signers(),
            quorum: block.quorum(),
        })
    }
}
