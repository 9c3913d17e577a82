//! The bare cost of the cryptography: in a loop, in CPU time of one thread.

use std::hint::black_box;
use std::time::Duration;

use keyward_crypto::SigningKey;
use keyward_domain::scheme::{self, Scheme};
use keyward_ledger_core::batch::{SignedBatch, UnverifiedBatch};
use keyward_ledger_core::log::{Frontier, leaf_hash};
use keyward_ledger_core::outcome::Outcome;
use keyward_ledger_core::record::Record;

use super::cpu;
use crate::failure::{Failure, Result};

/// How much is spent on a loop, after a tenth as much to warm up.
const SPENT: Duration = Duration::from_millis(400);

/// Microseconds of one signature and its verification under a scheme.
pub(super) async fn signature(scheme: Scheme) -> Result<f64> {
    aside(move || {
        let cannot = |error: &dyn std::error::Error| {
            Failure::refused(format!("cannot sign with `{scheme}` here: {error}"), "choose another scheme")
        };
        let key = SigningKey::generate(scheme).map_err(|error| cannot(&error))?;
        let message = [7; super::sign::MESSAGE_BYTES];
        repeat(|| {
            let signature = key.sign_message(black_box(&message)).map_err(|error| cannot(&error))?;
            scheme::verify(key.public_key(), &message, &signature).map_err(|error| cannot(&error))
        })
    })
    .await
}

/// Microseconds of one entry of a batch on so many validators: leaf hash, inner hashes of the log, and its share of
/// the batch's decoding, digest and signature check.
pub(super) async fn entry(batch: SignedBatch, validators: usize) -> Result<f64> {
    let entries = batch.entry_count().max(1);
    let of_batch = aside(move || {
        let leaves: Vec<_> =
            (0..).zip(batch.entries()).map(|(index, entry)| leaf(&batch, index, entry)).collect();
        let mut log = Frontier::default();
        repeat(|| {
            let verified = UnverifiedBatch::decode(black_box(batch.bytes())).map(UnverifiedBatch::verify);
            black_box(verified.is_ok_and(|verified| verified.is_ok()));
            leaves.iter().for_each(|leaf| log.append(leaf_hash(black_box(leaf))));
            Ok(())
        })
    });
    let share = validators as f64 / entries as f64;
    Ok(of_batch.await? * share)
}

fn leaf(batch: &SignedBatch, index: u32, entry: &[u8]) -> Vec<u8> {
    let record = Record {
        height: 1,
        time_ms: 1,
        submitter: *batch.submitter(),
        sequence: batch.sequence(),
        index,
        entry: entry.to_vec(),
        outcome: Outcome::ACCEPTED,
    };
    record.encode()
}

/// CPU microseconds of one round.
fn repeat(mut round: impl FnMut() -> Result<()>) -> Result<f64> {
    let mut spend = |time: Duration| {
        let (started, mut rounds) = (cpu::of_thread(), 0_u32);
        loop {
            round()?;
            rounds += 1;
            let spent = cpu::of_thread().saturating_sub(started);
            if spent >= time {
                return Ok(spent.as_secs_f64() * 1e6 / f64::from(rounds));
            }
        }
    };
    spend(SPENT / 10)?;
    spend(SPENT)
}

async fn aside(work: impl FnOnce() -> Result<f64> + Send + 'static) -> Result<f64> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Failure::refused("a thread of ours ended", "tell us about this").because(&error))?
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;

    #[tokio::test]
    async fn every_hosted_scheme_has_a_cost() {
        for scheme in [Scheme::EcdsaSecp256k1, Scheme::Bip340, Scheme::EcdsaP256, Scheme::Ed25519] {
            assert!(signature(scheme).await.unwrap() > 1.0);
        }
        assert!(signature(Scheme::RsaPss).await.is_err());
    }
}
