//! The ledger as its submitters and readers see it.

use std::time::Duration;

use keyward_ledger_client::{CommitError, Committer};
use keyward_ledger_core::{batch::Batch, entry::Entry};
use keyward_ledger_verify::verify_receipt;
use tokio_stream::StreamExt as _;

use crate::support::{
    cluster::{Cluster, submitter},
    until,
};

fn note(text: &str) -> Entry {
    Entry::Note(text.as_bytes().to_vec())
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_become_final_and_their_receipts_verify_offline() {
    let cluster = Cluster::start(256).await;
    let client = cluster.client(&[1, 2, 3, 0]).await;
    let committer = Committer::start(client.clone(), submitter(0)).await.unwrap();
    let trust = cluster.trust().encode();
    let mut last = None;
    for n in 0..20 {
        let recorded = committer.commit(&note(&format!("note {n}"))).await.unwrap();
        assert!(recorded.outcome.is_accepted());
        let verdict = verify_receipt(trust.as_bytes(), &recorded.receipt(None), None).unwrap();
        assert!(verdict.accepted);
        assert_eq!(verdict.leaf_index, n);
        last = Some(recorded);
    }
    let last = last.unwrap();
    let again = client.record(last.leaf_index).await.unwrap();
    assert_eq!(again.record(), last.record());
    let record = last.record();
    let by_id = client.record_by_id(record.submitter, record.sequence, record.index).await.unwrap();
    assert_eq!(by_id.leaf_index, last.leaf_index);

    let blocks: Vec<_> =
        client.follow(1).await.unwrap().take(usize::try_from(last.height).unwrap()).collect().await;
    let records: usize = blocks.iter().map(|block| block.as_ref().unwrap().records.len()).sum();
    assert_eq!(records, 20);
    for height in 1..=last.height {
        assert_eq!(client.block(height).await.unwrap().block.header().height, height);
    }
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_handed_in_again_gets_its_original_outcome_and_another_under_its_sequence_is_refused() {
    let cluster = Cluster::start(256).await;
    let client = cluster.client(&[0, 1, 2, 3]).await;
    let make = |text: &str| {
        let entries = vec![note(text).encode(), note("second").encode()];
        let batch = Batch { chain_id: client.chain_id(), sequence: 1, not_after: 5000, entries };
        batch.sign(&submitter(1)).unwrap()
    };
    let first = client.submit(&make("first")).await.unwrap();
    let again = client.submit(&make("first")).await.unwrap();
    assert_eq!(first[1].leaf_index, again[1].leaf_index);
    assert_eq!(first[1].record(), again[1].record());
    let other = client.submit(&make("other")).await;
    assert!(
        matches!(other, Err(CommitError::Refused { ref code, .. }) if code == "SEQUENCE_CONFLICT"),
        "{other:?}"
    );
    let status = client.status().await.unwrap();
    assert_eq!(status.log_size, 2);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_validator_restarts_on_its_folder_and_catches_up_over_epochs() {
    let mut cluster = Cluster::start(8).await;
    let client = cluster.client(&[0, 1, 2]).await;
    let committer = Committer::start(client.clone(), submitter(0)).await.unwrap();
    committer.commit(&note("before")).await.unwrap();
    cluster.stop_node(3).await;
    for n in 0..30 {
        committer.commit(&note(&format!("while away {n}"))).await.unwrap();
    }
    cluster.start_node(3).await;
    let restarted = cluster.client(&[3]).await;
    until("the restarted validator to hold every record", async || {
        restarted.status().await.is_ok_and(|status| status.log_size == 31)
    })
    .await;
    assert_eq!(restarted.record(30).await.unwrap().record().entry, note("while away 29").encode());
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_quorum_a_submission_is_refused_as_unavailable_within_its_deadline() {
    let mut cluster = Cluster::start(256).await;
    let patient = Committer::start(cluster.client(&[0, 1]).await, submitter(1)).await.unwrap();
    patient.commit(&note("with quorum")).await.unwrap();
    let faces = [0, 1].map(|node| cluster.rpc_address(node)).to_vec();
    let client = cluster.client_at("keyward://service/story", faces, Duration::from_secs(5)).await;
    let committer = Committer::start(client, submitter(0)).await.unwrap();
    cluster.stop_node(2).await;
    cluster.stop_node(3).await;
    let began = std::time::Instant::now();
    let refused = committer.commit(&note("without")).await.unwrap_err();
    assert!(matches!(refused.root(), CommitError::Unavailable { .. }), "{refused}");
    // Its deadline is 5 s; a busy machine takes longer to say so.
    assert!(began.elapsed().as_secs() < 120, "bounded: {:?}", began.elapsed());
    cluster.start_node(2).await;
    until("the ledger to go on", async || committer.commit(&note("again")).await.is_ok()).await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_longest_batch_becomes_final() {
    let cluster = Cluster::start(256).await;
    let client = cluster.client(&[2, 3, 0, 1]).await;
    let head = keyward_ledger_core::batch::BATCH_HEAD_BYTES + 64;
    let largest = Entry::Note(vec![7; 4096]).encode();
    let count = (keyward_ledger_core::batch::BATCH_BYTES_MAX - head) / (4 + largest.len());
    let batch =
        Batch { chain_id: client.chain_id(), sequence: 1, not_after: 500, entries: vec![largest; count] };
    let records = client.submit(&batch.sign(&submitter(2)).unwrap()).await.unwrap();
    assert_eq!(records.len(), count);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_old_block_is_brought_back_from_the_other_validators() {
    let mut cluster = Cluster::start(256).await;
    let client = cluster.client(&[0, 1, 2, 3]).await;
    let committer = Committer::start(client.clone(), submitter(0)).await.unwrap();
    for n in 0..10 {
        committer.commit(&note(&format!("note {n}"))).await.unwrap();
    }
    let victim = committer.commit(&note("the damaged one")).await.unwrap();
    committer.commit(&note("above")).await.unwrap();
    let restarted = cluster.client(&[3]).await;
    until("every validator to hold the last block", async || {
        restarted.status().await.is_ok_and(|status| status.height > victim.height)
    })
    .await;
    let block = client.block(victim.height).await.unwrap().block.encode();
    cluster.stop_node(3).await;
    // Without a snapshot the restart executes every block again, up to the damaged one.
    std::fs::remove_dir_all(cluster.node_dir(3).join("snapshots")).unwrap();
    let flipped = flip_a_byte_of(&cluster.node_dir(3).join("blocks"), &block);
    assert!(flipped, "the block is in a segment");
    cluster.start_node(3).await;
    until("the validator to go on past the damaged block", async || {
        restarted.record(victim.leaf_index + 1).await.is_ok()
    })
    .await;
    assert_eq!(restarted.block(victim.height).await.unwrap().block.encode(), block);
    assert_eq!(restarted.record(victim.leaf_index).await.unwrap().record(), victim.record());
    cluster.stop().await;
}

/// Flips the last byte of the block wherever a segment holds it.
fn flip_a_byte_of(segments: &std::path::Path, block: &[u8]) -> bool {
    let mut flipped = false;
    for entry in std::fs::read_dir(segments).unwrap() {
        let path = entry.unwrap().path();
        let mut bytes = std::fs::read(&path).unwrap();
        let found = bytes.windows(block.len()).position(|window| window == block);
        if let Some(at) = found {
            bytes[at + block.len() - 1] ^= 1;
            std::fs::write(&path, bytes).unwrap();
            flipped = true;
        }
    }
    flipped
}
