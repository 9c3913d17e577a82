//! The standard contracts: each answer, each refusal, and models that they must agree with whatever is asked.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod addresses;
mod addresses_properties;
mod approval;
mod association;
mod attempts;
mod audit;
mod authority;
mod blind;
mod delegation;
mod delegation_properties;
mod delegation_thief;
mod frozen;
mod keepers;
mod policy;
mod rate;
mod shared;
mod shared_devices;
mod shared_properties;
mod shared_use;
mod timelock;
mod vault;

use crate::common::acts::{
    PAYLOAD, Person, approval_terms, attempt, attempts_terms, case, close, define, parties, rate_terms,
    success_key, timelock_terms,
};
use crate::common::{self, Keys as _, World, signer};
use keyward_ledger_core::contracts::attempts::{GRANT_LIVE_MS, success_message};
use keyward_ledger_core::contracts::authored::{AUTHORED_BLOCKS_MAX, authored_message};
use keyward_ledger_core::contracts::timelock::dispute_payload;
use keyward_ledger_core::ed25519::SigningKey;
use keyward_ledger_core::entry::{
    Act, Attempt, AttemptsTerms, Author, Authored, Case, Define, Entry, Mode, Party, RateTerms,
    TimelockTerms, Window,
};
use keyward_ledger_core::execute::{Ledger, LedgerHead};
use keyward_ledger_core::hash::Hash;
use keyward_ledger_core::outcome::Outcome;
use keyward_ledger_core::state::layout::{TimelockState, Waiting, end_of, timelock_key};
use proptest::collection::vec;
use proptest::prelude::*;

use approval::{open_approval, ruled};
use attempts::grant;

const OWNER: Person = Person(0x41);
const ALICE: Person = Person(0x42);
const BOB: Person = Person(0x43);
const CAROL: Person = Person(0x44);
const JUDGE: Person = Person(0x45);
const STRANGER: Person = Person(0x4f);

fn world() -> World {
    let mut world = World::new();
    world.enroll_all(&[OWNER, ALICE, BOB, CAROL]);
    world
}

/// An act that must be refused, and must change nothing.
fn refused(world: &mut World, act: Act, people: &[Person], name: &str) {
    world.wait(0);
    let before = world.business();
    assert_eq!(world.answer(act.clone(), people), name, "{act:?}");
    unchanged(world, before, &act);
}

/// Nothing of the state is another than before, but what has ended by itself.
fn unchanged(world: &World, mut before: Vec<(Vec<u8>, Vec<u8>)>, after: &dyn std::fmt::Debug) {
    let (height, time_ms) = (world.ledger.height(), world.ledger.time_ms());
    before.retain(|(key, value)| {
        !end_of(key, value).unwrap().is_some_and(|end| end.is_before(height, time_ms))
    });
    assert!(world.business() == before, "{after:?} was refused and changed something");
}

fn id_of(outcome: &Outcome) -> Option<Hash> {
    outcome.is_accepted().then(|| outcome.data.clone().try_into().unwrap())
}

#[test]
fn a_restored_ledger_ends_cases_at_the_same_moment() {
    let mut world = ruled(&[(1, &[ALICE])]);
    world.act(Act::DefineAttempts(define(OWNER, 1, attempts_terms())), &[OWNER]);
    open_approval(&mut world, OWNER);
    world.made(grant(1), &[]);
    let (block, _) = world.blocks.last().unwrap();
    let head = LedgerHead { signed_header: block.signed_header.clone(), log: world.ledger.log().clone() };
    let entries: Vec<_> =
        world.ledger.state().iter().map(|(key, value)| (key.to_vec(), value.to_vec())).collect();
    let mut restored = Ledger::restore(&head, entries).unwrap();
    let before = world.blocks.len();
    for ms in [59_000, 2_000, GRANT_LIVE_MS] {
        world.wait(ms);
    }
    for (block, executed) in &world.blocks[before..] {
        restored = restored.replay(block).unwrap().ledger;
        assert_eq!(restored.state(), executed.ledger.state());
    }
    assert_eq!((world.count(b"approval/case/"), world.count(b"attempts/grant/")), (0, 0));
}
