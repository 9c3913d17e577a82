//! What a node stores, damaged under it.

use std::{os::unix::fs::FileExt as _, time::Duration};

use serde_json::Value;

use crate::support::{keyward::Keyward, until};

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
    let block = tokio::time::timeout(Duration::from_secs(10), client.block(1)).await.unwrap().unwrap();
    assert_eq!(block.block.header().height, 1);
}
