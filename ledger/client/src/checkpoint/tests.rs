//! Each validator counts once, and none alone says how the log grew.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;

use bytes::Bytes;
use keyward_ledger_core::ed25519::SigningKey;
use keyward_ledger_verify::checkpoint::LogCheckpoint;
use tonic::Status;

use super::*;
use crate::world::{Says, World};

#[test]
fn the_newest_checkpoint_of_a_quorum_is_the_best() {
    assert_eq!(best([5, 9, 5, 9, 5, 9, 12].into_iter(), 3), Some(9));
    assert_eq!(best([5, 9, 5, 9, 5, 12].into_iter(), 3), Some(5));
    assert_eq!(best([5, 9, 12, 9].into_iter(), 3), Some(9));
    assert_eq!(best([5, 12].into_iter(), 3), Some(12));
    assert_eq!(best([].into_iter(), 3), None);
}

/// What a validator answers whatever it is asked.
struct Answers(GetCheckpointResponse);

impl Says for Answers {
    fn checkpoint(&self, _request: GetCheckpointRequest) -> Result<GetCheckpointResponse, Status> {
        Ok(self.0.clone())
    }
}

const BLOCKS: u64 = 4;
/// Records when the second block was final.
const OLD: u64 = 4;

fn key_of(validator: usize) -> SigningKey {
    SigningKey::from_seed(&[0x60 + u8::try_from(validator).unwrap(); 32])
}

/// What a validator says of the log under a checkpoint key.
fn said(world: &World, validator: usize, key: &SigningKey) -> GetCheckpointResponse {
    let chain_id = world.genesis.chain_id();
    let origin = origin(world.genesis.name(), chain_id);
    let checkpoint = LogCheckpoint { origin, size: 2 * BLOCKS, root: world.root() };
    let vouches = world.validators.get(validator).unwrap();
    GetCheckpointResponse {
        note: checkpoint.sign(key, 1_000).encode(),
        checkpoint_key: Bytes::copy_from_slice(&key.public_key()),
        binding: Bytes::copy_from_slice(&vouches.sign(&binding_message(chain_id, &key.public_key()))),
        validator: Bytes::copy_from_slice(&vouches.public_key()),
        log_sizes: vec![2 * BLOCKS],
        consistency: world.consistency(OLD),
        anchor: Some(world.anchor()),
        anchor_proof: Vec::new(),
        inclusion: Vec::new(),
        cose_signature: Bytes::new(),
    }
}

async fn merged(world: &World, answers: Vec<GetCheckpointResponse>) -> Result<MergedCheckpoint, ClientError> {
    let faces = answers.into_iter().map(|answer| -> Arc<dyn Says> { Arc::new(Answers(answer)) });
    world.client(faces.collect()).await.checkpoint(OLD, None).await
}

#[tokio::test]
async fn a_validator_that_answers_twice_or_for_another_counts_once() {
    let world = World::of(BLOCKS);
    let honest = |validator| said(&world, validator, &key_of(validator));
    let all = merged(&world, (0..4).map(honest).collect()).await.unwrap();
    assert_eq!((all.verifiers.len(), all.silent.len(), all.note.signatures.len()), (4, 0, 8));
    // With two keys, with a copy of what another says, and with another's key as its own.
    let twice = [honest(0), said(&world, 0, &key_of(9)), honest(1), honest(1), said(&world, 2, &key_of(1))];
    let some = merged(&world, twice.into()).await.unwrap();
    assert_eq!((some.verifiers.len(), some.silent.len(), some.note.signatures.len()), (2, 3, 4));
}

#[tokio::test]
async fn the_way_from_an_older_log_is_what_more_say_than_may_lie() {
    let world = World::of(BLOCKS);
    let honest = |validator| said(&world, validator, &key_of(validator));
    let liar = || GetCheckpointResponse { consistency: vec![Bytes::from_static(&[7; 32])], ..honest(0) };
    let found = merged(&world, vec![liar(), honest(1), honest(2), honest(3)]).await.unwrap();
    assert_eq!(found.consistency, hashes("proof", &world.consistency(OLD)).unwrap());
    let alone = merged(&world, vec![liar(), honest(1)]).await;
    assert!(
        matches!(alone, Err(ClientError::Unproven(ProofError::Other { part: "consistency" }))),
        "one word against another"
    );
}
