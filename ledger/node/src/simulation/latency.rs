//! What distance costs each regime: entries and waiting in virtual time, where computing takes none.
//!
//! `KEYWARD_SOAK=1 cargo test --release -p keyward-ledger-node --lib simulation::latency -- --nocapture` prints the table.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use keyward_ledger_core::{
    batch::{Batch, SignedBatch},
    block::Regime,
    entry::Entry,
    hash::Hash,
};
use keyward_ledger_simulation::{Runtime, Task};
use keyward_proto::ledger::{SubmitRequest, ledger_server::Ledger as _};
use tonic::Request;

use super::{
    CLIENTS, SIZE, cluster,
    member::{Member, lock},
    submitter,
};
use crate::BLOCK_INTERVAL_MIN;

const ENTRY_BYTES: usize = 300;
const SEED: u64 = 7;

/// How much is asked for, and how long.
#[derive(Clone, Copy)]
struct Load {
    /// Batches under way of each submitter.
    batches: u64,
    /// Entries of one batch.
    entries: usize,
    duration: Duration,
}

/// What came of it.
struct Measured {
    entries_per_s: f64,
    blocks_per_s: f64,
    p50: Duration,
    p99: Duration,
}

/// How long each batch took until it was final.
type Waits = Arc<Mutex<Vec<Duration>>>;

fn batch(chain_id: Hash, by: u8, sequence: u64, entries: usize) -> SignedBatch {
    let note = |number: usize| Entry::Note(vec![number as u8; ENTRY_BYTES]).encode();
    let entries = (0..entries).map(note).collect();
    Batch { chain_id, sequence, not_after: u64::MAX, entries }.sign(&submitter(by)).unwrap()
}

/// Hands in one batch after another, each as soon as the one before is final: every `step`-th sequence.
fn submit(
    runtime: &Runtime,
    member: Arc<Member>,
    chain_id: Hash,
    (by, first, load): (u8, u64, Load),
    waits: Waits,
) -> Task {
    let own = runtime.clone();
    runtime.spawn(async move {
        for sequence in (first..).step_by(load.batches as usize) {
            let batch = batch(chain_id, by, sequence, load.entries);
            let request = SubmitRequest { batch: Bytes::copy_from_slice(batch.bytes()), wait: true };
            let (face, began) = (member.live().unwrap().face, own.now());
            face.submit(Request::new(request)).await.expect("a healthy cluster takes it");
            lock(&waits).push(own.now() - began);
        }
    })
}

/// Four nodes this far from each other, there and back, under load.
fn measure(regime: Regime, round_trip: Duration, load: Load) -> Measured {
    let run = cluster(SEED, regime, async |mut cluster, _| {
        cluster.world.degrade(round_trip / 2, Duration::ZERO, 0).await;
        for member in &cluster.members {
            *lock(&member.block_interval_min) = BLOCK_INTERVAL_MIN;
        }
        cluster.start_all().await;
        cluster.reach(4).await.unwrap();
        let (runtime, waits) = (cluster.world.runtime(), Waits::default());
        let before = cluster.height();
        let tasks: Vec<_> = (0..CLIENTS)
            .flat_map(|by| (1..=load.batches).map(move |first| (by, first, load)))
            .enumerate()
            .map(|(number, what)| {
                let member = cluster.members[number % SIZE].clone();
                submit(&runtime, member, cluster.chain_id(), what, waits.clone())
            })
            .collect();
        cluster.world.wait(load.duration).await;
        tasks.iter().for_each(Task::abort);
        let blocks = cluster.height() - before;
        for node in 0..SIZE {
            cluster.crash(node).await;
        }
        let waits = std::mem::take(&mut *lock(&waits));
        (waits, blocks)
    });
    let (mut waits, blocks) = run.value;
    waits.sort_unstable();
    let seconds = load.duration.as_secs_f64();
    Measured {
        entries_per_s: (waits.len() * load.entries) as f64 / seconds,
        blocks_per_s: blocks as f64 / seconds,
        p50: waits[waits.len() / 2],
        p99: waits[waits.len() * 99 / 100],
    }
}

#[test]
fn distance_costs_a_few_one_way_trips_in_either_regime() {
    let soak = std::env::var_os("KEYWARD_SOAK").is_some();
    let load = match soak {
        true => Load { batches: 16, entries: 250, duration: Duration::from_secs(10) },
        false => Load { batches: 2, entries: 10, duration: Duration::from_secs(4) },
    };
    println!("round trip | regime | entries/s | blocks/s | p50 ms | p99 ms");
    for round_trip in [30, 100].map(Duration::from_millis) {
        for regime in [Regime::Fast, Regime::Strict] {
            let Measured { entries_per_s, blocks_per_s, p50, p99 } = measure(regime, round_trip, load);
            println!(
                "{} ms | {regime:?} | {entries_per_s:.0} | {blocks_per_s:.1} | {} | {}",
                round_trip.as_millis(),
                p50.as_millis(),
                p99.as_millis()
            );
            // Proposal, votes to notarize, votes to finalize: three one-way trips, after the block before.
            assert!(p50 >= round_trip && p50 <= 6 * round_trip, "{regime:?} at {round_trip:?}: {p50:?}");
        }
    }
}
