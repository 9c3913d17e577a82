//! How many granted attempts a keeper evaluates per second of processor time, each with its own look at the ledger and
//! its share from the disk: `cargo run --release -p keyward-keeper --example evaluations`.
//!
//! The ledger is the one of the tests, in memory: its proofs are not part of the figure.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    dead_code,
    reason = "a measurement over the world of the tests"
)]

#[path = "../src/tests/chain.rs"]
mod chain;
#[path = "../src/tests/world.rs"]
mod world;

use std::time::Instant;

use keyward_crypto::vault::{AttemptRequest, BoxKey, Recovery, Vault};
use keyward_keeper::{EXPIRES_MAX_MS, Final, Keeper, Keys, Ledger, LedgerError, Pending};
use keyward_ledger_core::state::layout::attempts_key;
use keyward_ledger_core::vault::vault_rule;
use world::{Wish, World, named, password};

const VAULTS: u8 = 64;
const ATTEMPTS: u8 = 40;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let world = World::new();
    let mut granted = Vec::new();
    for number in 1..=VAULTS {
        let wish =
            Wish { vault: [number; 32], version: 1, password: "a", keepers: &[1, 2, 3, 4, 5], threshold: 3 };
        let vault = world.seal_drafted(&world.draft_as(&wish)).await;
        let (_, request) = Recovery::begin(vault.clone(), &password("a")).unwrap();
        for attempt in 1..=ATTEMPTS {
            granted.push((ask(&world, &vault, &request, attempt), request.element));
        }
    }
    world.keeper(1).round().await.unwrap();
    let (begun, before) = (Instant::now(), processor_seconds());
    for (leaf, element) in &granted {
        world.keeper(1).evaluate(*leaf, element).await.unwrap();
    }
    let (seconds, used) = (begun.elapsed().as_secs_f64(), processor_seconds() - before);
    let count = granted.len() as f64;
    println!(
        "{count} evaluations, {VAULTS} vaults: {:.0}/s of processor time, {:.0}/s",
        count / used,
        count / seconds
    );
}

/// Has the ledger grant one more attempt, with a reply key of its own, and gives its place.
fn ask(world: &World, vault: &Vault, request: &AttemptRequest, number: u8) -> u64 {
    let reply_key = BoxKey::from_secret(&[number; 32]).unwrap().public();
    let (_, leaf, outcome) = world.ask(vault, &AttemptRequest { reply_key, ..request.clone() });
    assert!(outcome.is_accepted());
    let name = vault.shares().vault;
    let mut counter = world.counter(name).unwrap();
    (counter.spent, counter.granted) = (0, 0);
    world.set_state(attempts_key(&vault_rule(&named(name))), counter.encode());
    leaf
}

/// The time that all threads of this process have used, from the kernel's count in hundredths of a second.
fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let ticks = |place: usize| fields.split_whitespace().nth(place).unwrap().parse::<f64>().unwrap();
    (ticks(11) + ticks(12)) / 100.0
}
