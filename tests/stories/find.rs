//! Records found by what they are: every dimension, held against a look at every block.

use std::collections::BTreeMap;

use keyward_ledger_client::{Client, ClientError, Committer, FOUND_MAX, Recorded};
use keyward_ledger_core::{
    entry::{Entry, kind},
    question::Question,
    record::Record,
};
use keyward_ledger_verify::verify_receipt;
use serde_json::Value;
use tokio_stream::StreamExt as _;

use crate::support::{
    cluster::{Cluster, submitter},
    keyward::{Keyward, shared, wait_until},
    until,
};

/// All that is found, page by page, and up to which height it is complete.
async fn all(client: &Client, question: &Question, limit: u32) -> (Vec<Recorded>, u64) {
    let (mut records, mut next) = (Vec::new(), 0);
    loop {
        let found = client.find(question, next, limit).await.unwrap();
        assert!(found.records.len() <= limit as usize);
        records.extend(found.records);
        next = found.next_leaf;
        if !found.more {
            return (records, found.complete_to);
        }
    }
}

/// Every record up to a height by its log index, from the blocks.
async fn every(client: &Client, height: u64) -> BTreeMap<u64, Record> {
    let mut blocks = Box::pin(client.follow(1).await.unwrap());
    let mut records = BTreeMap::new();
    for _ in 0..height {
        let block = blocks.next().await.unwrap().unwrap();
        records.extend(block.records.iter().map(|recorded| (recorded.leaf_index, recorded.record().clone())));
    }
    records
}

fn hex32(value: &Value) -> [u8; 32] {
    hex::decode(value.as_str().unwrap()).unwrap().try_into().unwrap()
}

fn find(keyward: &Keyward, words: &[&str]) -> Vec<Value> {
    let found = keyward.json_as("auditor", &[&["ledger", "find"], words].concat());
    assert_eq!(found["more"], false, "{found}");
    found["records"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn records_are_found_by_every_dimension_and_each_verifies_offline() {
    let keyward = shared();
    let key = keyward.json(&["key", "create", "--alias", "looked-up", "--scheme", "ecdsa-secp256k1"]);
    let message = keyward.write("looked-up.message", "what is looked up");
    keyward.json(&["sign", "--key", "looked-up", &message]);
    keyward.json(&["sign", "--key", "looked-up", &message]);
    let (key_id, address) = (key["key_id"].as_str().unwrap(), key["address"].as_str().unwrap());

    // What was just signed may be certified at another validator first.
    wait_until("what was signed to be found", || find(keyward, &["--subject", key_id]).len() == 3);
    let of_key = find(keyward, &["--subject", key_id]);
    let kinds: Vec<_> = of_key.iter().map(|record| record["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["bind-key", "intent", "intent"]);
    assert_eq!(find(keyward, &["--address", address]), of_key);
    assert_eq!(find(keyward, &["--address", &address.to_lowercase()]), of_key);
    assert_eq!(find(keyward, &["--subject", key_id, "--kind", "intent"]), of_key[1..]);
    let bound = &of_key[0];
    assert_eq!(find(keyward, &["--id", bound["id"].as_str().unwrap()]), of_key[..1]);
    let time = |record: &Value, later: u64| (record["time_ms"].as_u64().unwrap() + later).to_string();
    let (from, to) = (time(&of_key[1], 0), time(&of_key[2], 1));
    assert_eq!(find(keyward, &["--subject", key_id, "--from", &from, "--to", &to]), of_key[1..]);
    let submitter = bound["submitter"].as_str().unwrap();
    assert!(find(keyward, &["--submitter", submitter, "--limit", "1000"]).contains(bound));
    let page = keyward.json_as("auditor", &["ledger", "find", "--subject", key_id, "--limit", "1"]);
    assert_eq!((&page["records"][0], &page["more"]), (bound, &Value::Bool(true)));
    let next = page["next_leaf"].to_string();
    assert_eq!(find(keyward, &["--subject", key_id, "--from-leaf", &next]), of_key[1..]);
    let words = keyward.run_as("auditor", &["ledger", "find", "--subject", key_id]).done().out;
    assert!(words.contains("bind-key") && words.contains("3 records, each proven"), "{words}");

    // The same against a look at every block, at every validator; each receipt verifies offline.
    let trust = std::fs::read(keyward.trust()).unwrap();
    let subject = Some(hex32(&key["key_id"]));
    let questions = [
        Question { subject, ..Question::default() },
        Question {
            kind: Some(kind::INTENT),
            submitter: Some(hex32(&bound["submitter"])),
            ..Question::default()
        },
        Question { from_ms: bound["time_ms"].as_u64(), to_ms: Some(u64::MAX), ..Question::default() },
        Question { kind: Some(kind::AGREEMENT), subject, ..Question::default() },
    ];
    for node in keyward.nodes() {
        let client = keyward.ledger(std::slice::from_ref(&node)).await;
        for question in &questions {
            let (found, complete_to) = all(&client, question, 7).await;
            assert!(complete_to >= bound["height"].as_u64().unwrap());
            let found: BTreeMap<_, _> = found
                .into_iter()
                .map(|recorded| {
                    let verdict = verify_receipt(&trust, &recorded.receipt(None), None).unwrap();
                    assert_eq!(verdict.leaf_index, recorded.leaf_index);
                    (recorded.leaf_index, recorded.record().clone())
                })
                .filter(|(_, record)| record.height <= complete_to)
                .collect();
            let mut expected = every(&client, complete_to).await;
            expected.retain(|_, record| question.fits(record));
            assert_eq!(found.len(), expected.len(), "{question:?} at {node}");
            assert!(found == expected, "{question:?} at {node}");
        }
    }
}

#[test]
fn who_may_not_read_records_may_not_look_them_up_and_a_bad_question_is_refused() {
    let keyward = shared();
    let refused = keyward.run_as("app", &["ledger", "find", "--kind", "intent"]);
    assert_eq!((refused.code, &*refused.refusal()), (Some(1), "READ_NOT_ALLOWED"), "{refused:?}");
    let counted = || {
        let status = keyward.json_as("operator", &["ledger", "status"]);
        let nodes = status["nodes"].as_array().unwrap().clone();
        let reads = nodes.iter().flat_map(|node| node["refused_reads"].as_array().unwrap().clone());
        let of_app = reads.filter(|read| read["role"] == "app" && read["class"] == "records");
        of_app.map(|read| read["count"].as_u64().unwrap()).sum::<u64>()
    };
    let before = counted();
    keyward.run_as("app", &["ledger", "find"]);
    assert!(counted() > before, "counted");
    for words in [
        &["--id", "12"][..],
        &["--submitter", "xyz"],
        &["--kind", "king"],
        &["--from", "tomorrow"],
        &["--from", "2026-01-02", "--to", "2026-01-02"],
        &["--limit", "0"],
        &["--subject", "00", "--address", "0x00"],
    ] {
        let refused = keyward.run_as("auditor", &[&["ledger", "find"], words].concat());
        assert_eq!(refused.code, Some(2), "{words:?}: {refused:?}");
    }
    let unknown = keyward
        .run_as("auditor", &["ledger", "find", "--address", "0x0000000000000000000000000000000000000000"]);
    assert_eq!(unknown.code, Some(1), "{unknown:?}");
    let (what, height) = unknown.err.split_once("; looked at up to height ").unwrap();
    assert!(what.contains("no key on the ledger has the address"), "{what}");
    assert!(height.split_whitespace().next().unwrap().parse::<u64>().unwrap() > 0, "{height}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_started_again_notes_its_blocks_again_and_a_question_out_of_bounds_is_refused() {
    let mut cluster = Cluster::start(256).await;
    let committer = Committer::start(cluster.client(&[0, 1, 2]).await, submitter(0)).await.unwrap();
    let mut last = None;
    for n in 0..30 {
        last = Some(committer.commit(&Entry::Note(vec![n; 9])).await.unwrap());
    }
    let last = last.unwrap();
    cluster.stop_node(3).await;
    cluster.start_node(3).await;
    let client = cluster.client(&[3]).await;
    let question = Question {
        submitter: Some(submitter(0).public_key()),
        kind: Some(kind::NOTE),
        ..Question::default()
    };
    until("everything to be noted again", async || {
        client.find(&question, 0, 1).await.is_ok_and(|found| found.complete_to >= last.height)
    })
    .await;
    let (found, _) = all(&client, &question, 4).await;
    let entries: Vec<_> = found.iter().map(|recorded| recorded.record().entry.clone()).collect();
    assert_eq!(entries, (0..30).map(|n| Entry::Note(vec![n; 9]).encode()).collect::<Vec<_>>());
    for (question, limit) in [
        (Question::default(), FOUND_MAX + 1),
        (Question { from_ms: Some(5), to_ms: Some(5), ..Question::default() }, 1),
    ] {
        let refused = client.find(&question, 0, limit).await;
        assert!(
            matches!(&refused, Err(ClientError::Refused { code, .. }) if code == "REQUEST_MALFORMED"),
            "{refused:?}"
        );
    }
    cluster.stop().await;
}
