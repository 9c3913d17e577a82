//! A submitter that hands in as much as it can slows itself and nobody else; counted in blocks, not in seconds.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
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
use tonic::{Code, Request};

use super::{Cluster, SIZE, cluster, member::Member, submitter};
use crate::pool::SUBMITTER_BYTES_MAX;

/// Blocks that a quiet submitter's batch may have to wait for: those that were under way, and a turn.
const WAIT_BLOCKS_MAX: u64 = 6;
const QUIET_BATCHES: u64 = 15;

fn batch(chain_id: Hash, by: u8, sequence: u64, notes: usize) -> SignedBatch {
    let entries = (0..notes).map(|note| Entry::Note(vec![note as u8; 4000]).encode()).collect();
    Batch { chain_id, sequence, not_after: u64::MAX, entries }.sign(&submitter(by)).unwrap()
}

/// What became of a flood.
#[derive(Default)]
struct Flood {
    taken: AtomicU64,
    refused: AtomicU64,
}

/// Hands in batches of nearly a megabyte at every node, without waiting for anything but room.
fn flood(runtime: &Runtime, members: Vec<Arc<Member>>, chain_id: Hash, told: Arc<Flood>) -> Task {
    let own = runtime.clone();
    runtime.spawn(async move {
        for sequence in 1.. {
            let batch = batch(chain_id, 0, sequence, 240);
            for member in &members {
                let face = member.live().unwrap().face;
                loop {
                    let request = SubmitRequest { batch: Bytes::copy_from_slice(batch.bytes()), wait: false };
                    match face.submit(Request::new(request)).await {
                        Ok(_) => {
                            told.taken.fetch_add(1, Ordering::Relaxed);
                            break;
                        }
                        Err(refused) if refused.code() == Code::ResourceExhausted => {
                            told.refused.fetch_add(1, Ordering::Relaxed);
                            own.sleep(Duration::from_millis(20)).await;
                        }
                        Err(other) => panic!("{other}"),
                    }
                }
            }
        }
    })
}

/// Hands batches in one after another; how many blocks each waited for.
async fn quiet(cluster: &Cluster, sequences: std::ops::Range<u64>) -> Vec<u64> {
    let mut waited = Vec::new();
    for sequence in sequences {
        let live = cluster.members[sequence as usize % SIZE].live().unwrap();
        let before = live.shared.view().ledger.height();
        let batch = batch(cluster.chain_id(), 1, sequence, 1);
        let request = SubmitRequest { batch: Bytes::copy_from_slice(batch.bytes()), wait: true };
        let answer = live.face.submit(Request::new(request)).await.expect("there is room for the quiet one");
        waited.push(answer.into_inner().r#final.unwrap().height - before);
    }
    waited
}

#[test]
fn a_flood_of_one_submitter_slows_that_submitter_only() {
    let told: Arc<Flood> = Arc::default();
    let flooding = told.clone();
    let run = cluster(17, Regime::Fast, async |mut cluster, _| {
        cluster.start_all().await;
        cluster.world.wait(Duration::from_secs(1)).await;
        let alone = quiet(&cluster, 1..QUIET_BATCHES + 1).await;
        let runtime = cluster.world.runtime();
        let task = flood(&runtime, cluster.members.clone(), cluster.chain_id(), flooding.clone());
        while flooding.refused.load(Ordering::Relaxed) == 0 {
            cluster.world.wait(Duration::from_millis(50)).await;
        }
        let held = cluster.members[0].live().unwrap().shared.pool().bytes();
        let beside = quiet(&cluster, QUIET_BATCHES + 1..2 * QUIET_BATCHES).await;
        task.abort();
        for node in 0..SIZE {
            cluster.crash(node).await;
        }
        (alone, beside, held)
    });
    let (alone, beside, held) = run.value;
    println!(
        "blocks waited alone {alone:?}, beside a flood {beside:?}; {} taken, {} refused, {held} bytes held",
        told.taken.load(Ordering::Relaxed),
        told.refused.load(Ordering::Relaxed)
    );
    assert!(
        held > SUBMITTER_BYTES_MAX / 2 && held <= SUBMITTER_BYTES_MAX + 1_000_000,
        "the flood filled its share"
    );
    assert!(told.refused.load(Ordering::Relaxed) > 0, "the flood was told to wait");
    assert!(beside.iter().all(|blocks| *blocks <= WAIT_BLOCKS_MAX), "{beside:?}");
}
