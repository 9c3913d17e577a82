//! Every call of the face and every message of a peer, changed: a node answers with a code or not at all, and
//! goes on.

use std::time::Duration;

use bytes::Bytes;
use keyward_ledger_core::{batch::Batch, block::Regime, entry::Entry};
use keyward_proto::ledger::{
    GetGenesisRequest, GetStateRequest, OutcomeRequest, RecordId, StatusRequest, SubmitRequest,
    ledger_server::Ledger as _,
};
use tonic::{Request, Status};

use super::{SIZE, cluster, history::key_of, member::Live, submitter};
use crate::CODE_TRAILER;

#[allow(dead_code, unreachable_pub)]
#[path = "../../../core/tests/common/mutate.rs"]
pub(crate) mod mutate;
use mutate::{Random, mutate};

const CASES: usize = 3_000;

/// Numbers at the edges of what is asked for.
fn number(random: &mut Random) -> u64 {
    match random.below(6) {
        0 => random.below(40) as u64,
        1 => u64::MAX - random.below(3) as u64,
        2 => 1 << random.below(64),
        3 => (1 << random.below(64)) - 1,
        4 => random.below(5) as u64,
        _ => random.next(),
    }
}

fn bytes(random: &mut Random, samples: &[Vec<u8>]) -> Bytes {
    let (one, other) = (random.below(samples.len()), random.below(samples.len()));
    match random.below(4) {
        0 => samples[one].clone(),
        1 => {
            let len = random.below(200);
            random.bytes(len)
        }
        _ => mutate(random, &samples[one], &samples[other]),
    }
    .into()
}

/// One call; whether it was answered.
async fn call(live: &Live, random: &mut Random, samples: &[Vec<u8>]) -> Result<(), Status> {
    let face = &live.face;
    match random.below(7) {
        0 => {
            let id = RecordId {
                submitter: bytes(random, &[submitter(0).public_key().to_vec()]),
                sequence: number(random),
                index: number(random) as u32,
            };
            face.record(face.leaf_of(&id)?).await.map(drop)
        }
        // Who may read is decided by a certificate, before these.
        1 if random.below(2) == 0 => face.record(number(random)).await.map(drop),
        1 => face.block(number(random)).await.map(drop),
        2 => {
            // Without a certificate: what is public, and refusals.
            let key = bytes(random, &[key_of(&[7; 32]), b"parameters".to_vec(), vec![1; 200]]);
            face.get_state(Request::new(GetStateRequest { key })).await.map(drop)
        }
        3 => face.status(Request::new(StatusRequest::default())).await.map(drop),
        4 => face.get_genesis(Request::new(GetGenesisRequest::default())).await.map(drop),
        5 if random.below(2) == 0 => {
            let request = OutcomeRequest {
                batch_digest: bytes(random, &[vec![3; 32]]),
                submitter: bytes(random, &[submitter(0).public_key().to_vec()]),
                sequence: number(random),
                not_after: number(random),
            };
            face.outcome(Request::new(request)).await.map(drop)
        }
        5 => {
            live.face.engine.gossip(bytes(random, samples));
            Ok(())
        }
        _ => {
            let request = SubmitRequest { batch: bytes(random, samples), wait: false };
            face.submit(Request::new(request)).await.map(drop)
        }
    }
}

#[test]
fn no_call_and_no_message_of_a_peer_makes_a_node_panic_or_answer_without_a_code() {
    let run = cluster(5, Regime::Fast, async |mut cluster, _| {
        cluster.start_all().await;
        cluster.start_clients();
        cluster.world.wait(Duration::from_secs(3)).await;
        let mut random = Random::seeded("calls and messages");
        let chain_id = cluster.chain_id();
        let batch = |by: u8, sequence, not_after, entries: Vec<Entry>| {
            let entries = entries.iter().map(Entry::encode).collect();
            let batch = Batch { chain_id, sequence, not_after, entries }.sign(&submitter(by)).unwrap();
            batch.bytes().to_vec()
        };
        let held = |height: u64| [height.to_be_bytes().as_slice(), &[7; 64]].concat();
        let samples = [
            // What nodes tell each other of their blocks.
            [[0xc1].as_slice(), &held(3), &held(1)].concat(),
            [[0xc2].as_slice(), &1_u64.to_be_bytes(), &u64::MAX.to_be_bytes()].concat(),
            [[0xc3].as_slice(), &2_u64.to_be_bytes(), &[0; 200]].concat(),
            // What they ask each other about snapshots.
            vec![0xc4],
            [[0xc6].as_slice(), &23_u64.to_be_bytes(), &1_u32.to_be_bytes()].concat(),
            batch(2, 900, u64::MAX, vec![Entry::Note(vec![1; 30]), Entry::OpenAccount { account: [1; 32] }]),
            batch(9, 1, 500, vec![Entry::Note(vec![2; 300])]),
            batch(2, u64::MAX, 0, vec![Entry::Note(vec![])]),
        ];
        let (mut answered, mut refused) = (0, 0);
        let cases = if std::env::var_os("KEYWARD_SOAK").is_some() { 100 * CASES } else { CASES };
        for case in 0..cases {
            let live = cluster.members[case % SIZE].live().unwrap();
            match call(&live, &mut random, &samples).await {
                Ok(()) => answered += 1,
                Err(status) => {
                    assert!(status.metadata().get(CODE_TRAILER).is_some(), "no code: {status}");
                    refused += 1;
                }
            }
            if case % 50 == 0 {
                cluster.world.wait(Duration::from_millis(30)).await;
            }
        }
        println!("{cases} cases: {answered} answered, {refused} refused");
        let follow = cluster.members[0].live().unwrap().face;
        assert!(follow.status(Request::new(StatusRequest::default())).await.is_ok());
        drop(follow);
        let (set, chain_id) = (cluster.set.clone(), cluster.chain_id());
        let outcome = cluster.finish().await?;
        assert!(answered > cases / 4 && refused > cases / 10);
        outcome.check(&set, &chain_id)
    });
    run.value.unwrap();
}
