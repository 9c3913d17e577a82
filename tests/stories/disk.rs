//! Disks that take no more: a validator stops voting, says why, and comes back; the others go on.

use std::{fs, path::Path};

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::Value;

use crate::support::keyward::{Keyward, binary, clean, wait_until};

/// Bytes of a file system's block.
const BLOCK: u64 = 4096;

/// From now on no file of this process grows beyond so many bytes, as on a full disk.
fn take_no_more_than(process: u32, bytes: u64) {
    let limit = Rlimit { current: Some(bytes), maximum: Some(bytes) };
    prlimit(Pid::from_raw(process.cast_signed()), Resource::Fsize, limit).unwrap();
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).unwrap().len()
}

#[test]
fn a_validator_whose_disk_takes_no_more_stops_voting_says_so_and_comes_back_with_everything() {
    let keyward = Keyward::start();
    keyward.json(&["key", "create", "--alias", "payroll", "--scheme", "ed25519"]);
    let message = keyward.write("message", "pay");
    let trust = keyward.trust();
    let mut receipts = Vec::new();
    let mut sign = |keyward: &Keyward| {
        let receipt = keyward.work(&format!("receipt-{}", receipts.len())).to_str().unwrap().to_owned();
        wait_until("a signature", || {
            let answer = keyward.run(&[
                "--output",
                "json",
                "sign",
                "--key",
                "payroll",
                "--receipt",
                &receipt,
                &message,
            ]);
            // Three validators on a busy machine may need longer than the service waits.
            let late = answer.code != Some(0);
            assert!(!late || answer.refusal() == "LEDGER_UNAVAILABLE", "{answer:?}");
            !late
        });
        receipts.push(receipt);
    };
    sign(&keyward);
    // Once nothing may grow beyond its first block, the vote journal among it; once what ends in mid-record is, as a
    // rule, the segment of blocks. Disks are filled by blocks.
    for (name, segment) in [("node-3", false), ("node-4", true)] {
        let path = keyward.dir().join(name).join("data/blocks/0000000000.segment");
        let process = keyward.pid(name);
        take_no_more_than(process, if segment { length(&path).next_multiple_of(BLOCK) } else { BLOCK });
        for _ in 0..3 {
            sign(&keyward);
        }
        wait_until("the supervisor to see it end", || {
            keyward
                .log()
                .contains(&format!("{name} ended (exit status: 73); its disk is full or takes no writes"))
        });
        // Without the limit, as after space was freed, it is started again.
        keyward.is_back(name, process);
        let number: usize = name.trim_start_matches("node-").parse().unwrap();
        let heights = || {
            let status = keyward.json_as("operator", &["ledger", "status"]);
            let nodes = status["nodes"].as_array().unwrap().clone();
            assert_eq!(nodes[number - 1]["alarms"], Value::Array(Vec::new()), "nothing was damaged");
            let height = |node: &Value| node["height"].as_u64().unwrap_or_default();
            (height(&nodes[number - 1]), nodes.iter().map(height).max().unwrap())
        };
        wait_until("it to be in step", || {
            let (own, top) = heights();
            own > 0 && own + 2 >= top
        });
        // And it votes: without another one, nothing is final without it.
        keyward.hold();
        let killed = keyward.kill("node-1");
        sign(&keyward);
        keyward.go_on();
        keyward.is_back("node-1", killed);
    }
    for receipt in &receipts {
        keyward.json(&["verify", "--trust", trust.to_str().unwrap(), "--message", &message, receipt]);
    }
    // An answer that cannot be written is a failure, wherever its words may go.
    let full = || fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let verified = clean(binary())
        .args(["--output", "json", "verify", "--trust", trust.to_str().unwrap(), &receipts[0]])
        .stdout(full())
        .stderr(full())
        .status()
        .unwrap();
    assert_eq!(verified.code(), Some(1));
    // A node that came back a moment ago may still note what it caught up with; its answer says so.
    wait_until("all intents to be found", || {
        let found = keyward.json_as("auditor", &["ledger", "find", "--kind", "intent"]);
        found["records"].as_array().unwrap().len() == receipts.len()
    });
}
