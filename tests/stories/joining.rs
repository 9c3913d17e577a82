//! A node that joins a ledger with a past: in step by a snapshot, by all blocks, and what it says of what it has not.

use std::time::{Duration, Instant};

use keyward_ledger_client::{Client, Committer};
use keyward_ledger_core::{entry::Entry, question::Question};
use keyward_ledger_node::{CatchUp, CatchUpFrom};
use keyward_ledger_verify::verify_receipt;

use crate::{
    members::{Council, admission},
    support::{
        cluster::{Cluster, submitter},
        until,
    },
};

/// Records that are there before anybody joins.
fn records() -> usize {
    if std::env::var_os("KEYWARD_SOAK").is_some() { 200_000 } else { 6_000 }
}

async fn fill(client: Client, count: usize) {
    let committer = Committer::start(client, submitter(0)).await.unwrap();
    for begin in (0..count).step_by(2_000) {
        let notes = begin..count.min(begin + 2_000);
        let waiting = notes.map(|n| {
            let committer = committer.clone();
            let note = Entry::Note([n.to_be_bytes().as_slice(), &[7; 292]].concat());
            tokio::spawn(async move { committer.commit(&note).await.unwrap() })
        });
        for recorded in waiting.collect::<Vec<_>>() {
            recorded.await.unwrap();
        }
    }
}

/// How long a node takes until it has what the others have.
async fn in_step(cluster: &mut Cluster, node: usize, from: CatchUpFrom, there: &Client) -> Duration {
    cluster.catch_up = CatchUp { from, blocks_min: 8 };
    let (goal, began) = (there.status().await.unwrap().height, Instant::now());
    cluster.start_node(node).await;
    let here = cluster.client(&[node]).await;
    until("the new node to be in step", async || here.status().await.is_ok_and(|here| here.height >= goal))
        .await;
    began.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_joins_begins_at_a_snapshot_and_says_what_it_does_not_hold() {
    let mut cluster = Cluster::start_some(8, &[]).await;
    cluster.snapshot_blocks = 16;
    for node in 0..4 {
        cluster.start_node(node).await;
    }
    let there = cluster.client(&[1, 2, 3]).await;
    let (fast, slow) = (cluster.add_node([9; 32], &[1, 2, 3]), cluster.add_node([10; 32], &[1, 2, 3]));
    let council = Council::new(&cluster, &[0, 1, 2]).await;
    for (node, name) in [(fast, "fast-bank"), (slow, "slow-bank")] {
        council.decide(&cluster, &[0, 1, 2], &admission(&cluster, node, name)).await;
    }
    fill(there.clone(), records()).await;
    let by_snapshot = in_step(&mut cluster, fast, CatchUpFrom::Auto, &there).await;
    let by_blocks = in_step(&mut cluster, slow, CatchUpFrom::Blocks, &there).await;
    let (height, ratio) =
        (there.status().await.unwrap().height, by_blocks.as_secs_f64() / by_snapshot.as_secs_f64());
    println!(
        "{} records, {height} blocks: in step after {by_snapshot:?} by a snapshot, {by_blocks:?} by blocks, {ratio:.1} times as long",
        records()
    );
    let floor = cluster.client_as("keyward://operator/story", &[fast]).await.status().await.unwrap();
    let floor = floor.operation.unwrap().floor;
    assert!(floor > 8 && (floor + 1).is_multiple_of(8), "it began at a snapshot: {floor}");
    // What it holds it proves from genesis on; what it does not hold it names, and clients ask another.
    let new = cluster.client(&[fast]).await;
    // A snapshot may be of the newest block: something must come after it.
    fill(there.clone(), 20).await;
    let goal = there.status().await.unwrap().height.max(floor + 1);
    until("records after the snapshot", async || new.status().await.is_ok_and(|new| new.height >= goal))
        .await;
    let block = new.block(floor + 1).await.unwrap();
    assert_eq!(block.block.header().height, floor + 1);
    for refused in [new.block(1).await.map(drop), new.record(0).await.map(drop)] {
        let refused = refused.unwrap_err();
        assert!(
            format!("{refused:?}").contains("it began at a snapshot; ask another validator"),
            "{refused:?}"
        );
    }
    let all = Question::default();
    let refused = new.find(&all, 0, 10).await.unwrap_err();
    assert!(format!("{refused:?}").contains("it began at a snapshot; ask another validator"), "{refused:?}");
    let newest = there.status().await.unwrap().log_size - 1;
    assert_eq!(new.find(&all, newest, 10).await.unwrap().records.first().unwrap().leaf_index, newest);
    let both = cluster.client(&[fast, 1]).await;
    let trust = cluster.trust().encode();
    verify_receipt(trust.as_bytes(), &both.record(0).await.unwrap().receipt(None), None).unwrap();
    // It becomes a validator like any other: three of five are not enough without it.
    council
        .decide(
            &cluster,
            &[0, 1, 2],
            &keyward_ledger_core::change::Change::Promote { key: cluster.key(fast).public_key() },
        )
        .await;
    cluster.stop_node(3).await;
    let without = Committer::start(cluster.client(&[fast, 0, 1]).await, submitter(2)).await.unwrap();
    without.commit(&Entry::Note(b"with the new one".to_vec())).await.unwrap();
    // A restart goes on where it was.
    cluster.stop_node(fast).await;
    cluster.start_node(fast).await;
    let again = Entry::Note(b"with the new one again".to_vec());
    until("three of four with it", async || without.commit(&again).await.is_ok()).await;
    cluster.stop().await;
}
