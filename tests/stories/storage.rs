//! What a node stores, damaged under it.

use std::{os::unix::fs::FileExt as _, path::Path};

use keyward_ledger_client::{Client, Committer};
use keyward_ledger_core::entry::Entry;
use keyward_ledger_node::{ColdConfig, ColdPlace, StoreConfig};
use serde_json::Value;

use crate::support::{
    cluster::{Cluster, submitter},
    keyward::{Keyward, PATIENCE},
    s3, until,
};

/// Waits until a node, asked alone, serves a block: on a busy machine what lies elsewhere may count as away for a moment.
async fn served(own: &Client, height: u64) {
    until("the block to be served", async || {
        own.block(height).await.is_ok_and(|found| found.block.header().height == height)
    })
    .await;
}

/// What a node says of itself.
fn status(keyward: &Keyward, node: usize) -> Value {
    keyward.json_as("operator", &["ledger", "status"])["nodes"][node].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_byte_flipped_under_a_running_node_is_alarmed_and_the_block_is_healed() {
    let keyward = Keyward::start();
    keyward.json(&["key", "create", "--alias", "payroll", "--scheme", "ed25519"]);
    keyward.json(&["sign", "--key", "payroll", &keyward.write("message", "pay")]);
    // The record of the first block above genesis; a place in its header.
    let path = keyward.dir().join("node-2/data/blocks/0000000000.segment");
    let bytes = std::fs::read(&path).unwrap();
    let begin = [b"KWR1\x01".as_slice(), &1_u64.to_be_bytes()].concat();
    let at = 150 + bytes.windows(begin.len()).position(|window| window == begin).unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    file.write_all_at(&[bytes[at] ^ 8], at as u64).unwrap();

    keyward.json_as("operator", &["ledger", "scrub"]);
    let lost = |status: &Value| {
        let alarms = status["alarms"].as_array().cloned().unwrap_or_default();
        alarms.into_iter().find(|alarm| alarm["code"] == "BLOCK_LOST" && alarm["height"] == 1)
    };
    until("the alarm, and the block to be back", async || {
        let status = tokio::task::block_in_place(|| status(&keyward, 1));
        status["scrub"]["runs"].as_u64() > Some(0)
            && lost(&status).is_some_and(|alarm| alarm["repaired"] == true)
    })
    .await;
    let found = status(&keyward, 1);
    assert_eq!((&found["alarms_open"], &found["scrub"]["unrepaired"]), (&0.into(), &0.into()), "{found}");
    for other in [0, 2, 3] {
        assert_eq!(status(&keyward, other)["alarms"], Value::Array(Vec::new()), "the others are well");
    }
    let words = keyward.run_as("operator", &["ledger", "status"]).done().out;
    assert!(words.contains("BLOCK_LOST at height 1") && words.contains("repaired"), "{words}");

    // Once more over the same file: nothing is wrong any more, and the block is served.
    let runs = found["scrub"]["runs"].as_u64().unwrap();
    keyward.json_as("operator", &["ledger", "scrub"]);
    until("another run", async || {
        let status = tokio::task::block_in_place(|| status(&keyward, 1));
        status["scrub"]["runs"].as_u64() > Some(runs)
    })
    .await;
    assert_eq!(status(&keyward, 1)["scrub"]["found"], 0);
    let client = keyward.ledger(&keyward.nodes()[1..2]).await;
    let block = tokio::time::timeout(PATIENCE, client.block(1)).await.unwrap().unwrap();
    assert_eq!(block.block.header().height, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn old_blocks_move_to_a_folder_and_are_served_from_there_and_missed_while_it_is_away() {
    let cluster = Cluster::start_some(8, &[1, 2, 3]).await;
    let shelf = cluster.node_dir(0).with_file_name("archive");
    let away = shelf.with_file_name("away");
    let goes = || std::fs::rename(&shelf, &away).unwrap();
    let returns = || {
        assert!(!shelf.exists(), "nothing was made in its stead");
        std::fs::rename(&away, &shelf).unwrap();
    };
    old_blocks_move(cluster, ColdPlace::Folder(shelf.clone()), &shelf, goes, returns).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn old_blocks_move_to_a_bucket_and_are_served_from_there_and_missed_while_it_is_away() {
    if s3::left_out() {
        return;
    }
    let server = tokio::task::spawn_blocking(s3::Server::start_with_tls).await.unwrap();
    let cluster = Cluster::start_some(8, &[1, 2, 3]).await;
    let place = ColdPlace::Bucket(server.config("validators/1"));
    old_blocks_move(cluster, place, &server.object("validators/1", ""), || server.kill(), || server.run())
        .await;
}

async fn old_blocks_move(
    mut cluster: Cluster,
    place: ColdPlace,
    shelf: &Path,
    goes: impl Fn(),
    returns: impl Fn(),
) {
    cluster.stores[0] =
        StoreConfig { segment_bytes_max: 8000, cold: Some(ColdConfig { place, after_blocks: 8 }) };
    cluster.start_node(0).await;
    let committer = Committer::start(cluster.client(&[1, 2, 3]).await, submitter(0)).await.unwrap();
    let commit = async |count: u64| {
        let mut last = 0;
        for n in 0..count {
            last = committer.commit(&Entry::Note(format!("note {n}").into_bytes())).await.unwrap().height;
        }
        last
    };
    let top = commit(40).await;
    let own = cluster.client(&[0]).await;
    until("the node to have them", async || own.block(top).await.is_ok()).await;
    // At its end it writes a snapshot; what lies below that and is old enough moves at the next start.
    cluster.stop_node(0).await;
    cluster.start_node(0).await;
    let names = || -> Vec<String> {
        let entries = std::fs::read_dir(shelf).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        names.filter(|name| name.ends_with(".segment")).collect()
    };
    until("segments at the second location", async || names().len() > 2).await;
    let moved = names();
    let here = cluster.node_dir(0).join("blocks");
    until("them to be gone here", async || moved.iter().all(|name| !here.join(name).exists())).await;
    let own = cluster.client(&[0]).await;
    for height in 1..=top {
        served(&own, height).await;
    }

    // Away: new blocks become final here, old ones are another validator's to serve, and they are back with it.
    goes();
    let newest = commit(5).await;
    until("new blocks", async || own.block(newest).await.is_ok()).await;
    assert!(own.block(1).await.is_err());
    let any = cluster.client(&[0, 1]).await;
    assert_eq!(any.block(1).await.unwrap().block.header().height, 1, "the next one is asked");
    // So with a start without it.
    cluster.stop_node(0).await;
    cluster.start_node(0).await;
    let own = cluster.client(&[0]).await;
    let newest = commit(5).await;
    until("new blocks after a start", async || own.block(newest).await.is_ok()).await;
    assert!(own.block(1).await.is_err());
    returns();
    until("the old ones", async || own.block(1).await.is_ok()).await;
    for height in 1..=newest {
        served(&own, height).await;
    }
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_validator_key_is_alarmed_while_the_node_runs_and_named_with_what_to_do_by_the_next_start()
{
    let keyward = Keyward::start();
    let path = keyward.dir().join("node-2/validator.key");
    let good = std::fs::read_to_string(&path).unwrap();
    let at = good.rfind("\n-----END").unwrap() - 30;
    let digit = if &good[at..=at] == "0" { "1" } else { "0" };
    let mut damaged = good.clone();
    damaged.replace_range(at..=at, digit);
    std::fs::write(&path, &damaged).unwrap();
    let key_alarm = |open: bool| {
        let status = status(&keyward, 1);
        let alarms = status["alarms"].as_array().cloned().unwrap_or_default();
        let found = alarms.iter().find(|alarm| alarm["code"] == "KEY_DAMAGED").cloned();
        found.filter(|alarm| alarm["repaired"] != open)
    };
    keyward.json_as("operator", &["ledger", "scrub"]);
    until("the alarm", async || tokio::task::block_in_place(|| key_alarm(true)).is_some()).await;
    let text = key_alarm(true).unwrap()["text"].as_str().unwrap().to_owned();
    assert!(text.contains("node-2/validator.key") && text.contains("ledger member rotation"), "{text}");

    // It cannot start with that key, says which file it is and what to do, and has touched nothing.
    let config = keyward.dir().join("node-2/node.toml");
    let refused = keyward.run_as("operator", &["node", "--config", config.to_str().unwrap()]);
    assert_eq!(refused.code, Some(1), "{}", refused.err);
    for word in
        ["node-2/validator.key", "restore the file", "must not vote", "keyward ledger member rotation"]
    {
        assert!(refused.err.contains(word), "{word}: {}", refused.err);
    }

    std::fs::write(&path, good).unwrap();
    keyward.json_as("operator", &["ledger", "scrub"]);
    until("the alarm to end", async || tokio::task::block_in_place(|| key_alarm(false)).is_some()).await;
}
