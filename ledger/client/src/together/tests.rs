//! What fits the question is believed; what is left out, swapped, forged or of another time is not.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
use keyward_ledger_core::state::layout::{account_key, submitter_key};
use keyward_proto::ledger::ReadRecord;

use super::*;
use crate::world::{World, heard};

const BLOCKS: u64 = 4;
const LEAVES: [u64; 2] = [3, 5];

/// An account that there is from the second block on, one that there never is, and a submitter.
fn keys() -> Vec<Vec<u8>> {
    vec![account_key(&[2; 32]), account_key(&[99; 32]), submitter_key(&heard().public_key())]
}

/// What an honest validator answers at the newest height.
fn honest(world: &World) -> ReadResponse {
    ReadResponse {
        anchor: Some(world.anchor()),
        records: LEAVES.map(|leaf| ReadRecord { record: Some(world.proof(leaf)) }).into(),
        state_proofs: keys().iter().map(|key| world.state(BLOCKS, key).proof).collect(),
    }
}

#[tokio::test]
async fn records_and_values_of_one_height_are_believed() {
    let world = World::of(BLOCKS);
    let client = world.client(Vec::new()).await;
    let found = client.proven_read(&LEAVES, &keys(), honest(&world)).unwrap();
    let records: Vec<_> =
        found.records.iter().map(|found| found.as_ref().unwrap().record().clone()).collect();
    assert_eq!(records, [3, 5].map(|leaf: usize| world.records[leaf].clone()));
    assert_eq!(found.values.iter().map(Option::is_some).collect::<Vec<_>>(), [true, false, true]);
    assert_eq!((found.height, found.time_ms, client.height()), (BLOCKS, 10 * BLOCKS, BLOCKS));
    // One that the validator says it has not is missing, and no other.
    let mut answer = honest(&world);
    answer.records[0].record = None;
    let found = client.proven_read(&LEAVES, &keys(), answer).unwrap();
    assert_eq!(found.records.iter().map(Option::is_some).collect::<Vec<_>>(), [false, true]);
    let nothing = ReadResponse { records: Vec::new(), state_proofs: Vec::new(), ..honest(&world) };
    assert!(client.proven_read(&[], &[], nothing).unwrap().values.is_empty());
}

#[tokio::test]
async fn what_does_not_fit_the_question_is_not_believed() {
    type Spoil = fn(&mut ReadResponse, &World);
    let spoilt: [(&str, Spoil); 10] = [
        ("records swapped", |answer, _| answer.records.swap(0, 1)),
        ("a record too few", |answer, _| drop(answer.records.pop())),
        ("a record too many", |answer, _| answer.records.push(ReadRecord { record: None })),
        ("another record", |answer, world| {
            let other = world.proof(4);
            answer.records[0].record = Some(proto_at(other, LEAVES[0]));
        }),
        ("a forged record", |answer, _| {
            let record = answer.records[0].record.as_mut().unwrap();
            let mut leaf = record.leaf.to_vec();
            *leaf.last_mut().unwrap() ^= 1;
            record.leaf = leaf.into();
        }),
        ("values swapped", |answer, _| answer.state_proofs.swap(0, 1)),
        ("a value too few", |answer, _| drop(answer.state_proofs.pop())),
        ("a value too many", |answer, _| answer.state_proofs.push(Bytes::new())),
        ("a value of another height", |answer, world| {
            answer.state_proofs[2] = world.state(BLOCKS - 1, &keys()[2]).proof;
        }),
        ("no header", |answer, _| answer.anchor = None),
    ];
    let world = World::of(BLOCKS);
    for (what, spoil) in spoilt {
        let client = world.client(Vec::new()).await;
        let mut answer = honest(&world);
        spoil(&mut answer, &world);
        assert!(client.proven_read(&LEAVES, &keys(), answer).is_err(), "{what}");
        assert_eq!(client.height(), 0, "{what}: nothing is taken from it");
    }
}

fn proto_at(
    proof: keyward_proto::ledger::RecordProof,
    leaf_index: u64,
) -> keyward_proto::ledger::RecordProof {
    keyward_proto::ledger::RecordProof { leaf_index, ..proof }
}
