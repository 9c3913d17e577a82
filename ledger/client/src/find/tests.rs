//! An honest answer is believed; one that is about something else, repeats, or leads nowhere is not.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
use std::ops::Deref;

use keyward_ledger_core::entry::{Entry, kind};

use super::*;
use crate::world;

const BLOCKS: u64 = 4;

/// A short ledger, and a client that trusts it.
struct World {
    world: world::World,
    client: Client,
}

impl Deref for World {
    type Target = world::World;

    fn deref(&self) -> &world::World {
        &self.world
    }
}

impl World {
    async fn new() -> Self {
        let world = world::World::of(BLOCKS);
        Self { client: world.client(Vec::new()).await, world }
    }

    /// What an honest validator answers to who looks for accounts from leaf 2 on.
    fn honest(&self) -> FindResponse {
        FindResponse {
            anchor: Some(self.anchor()),
            records: [3, 5, 7].map(|leaf| self.proof(leaf)).into(),
            next_leaf: 8,
            more: false,
            complete_to: BLOCKS,
        }
    }

    fn believed(&self, answer: FindResponse) -> Result<Found, ProofError> {
        let question = Question { kind: Some(kind::OPEN_ACCOUNT), to_ms: Some(99), ..Question::default() };
        self.client.proven_found(&question, 2, 3, answer)
    }
}

#[tokio::test]
async fn an_honest_answer_is_believed() {
    let world = World::new().await;
    let found = world.believed(world.honest()).unwrap();
    let records: Vec<_> = found.records.iter().map(|recorded| recorded.record().clone()).collect();
    assert_eq!(records, [3, 5, 7].map(|leaf| world.records[leaf].clone()));
    assert_eq!((found.next_leaf, found.more, found.complete_to), (8, false, BLOCKS));
    let nothing = FindResponse { records: Vec::new(), next_leaf: 2, complete_to: 0, ..world.honest() };
    assert!(world.believed(nothing).unwrap().records.is_empty(), "who leaves out cannot be convicted");
}

#[tokio::test]
async fn an_answer_that_invents_repeats_reorders_or_leads_nowhere_is_not_believed() {
    type Lie = (&'static str, fn(&World, &mut FindResponse));
    let lies: [Lie; 13] = [
        ("a record of another kind", |world, answer| answer.records[0] = world.proof(2)),
        ("one below where the question begins", |world, answer| answer.records[0] = world.proof(1)),
        ("the same twice", |world, answer| answer.records[1] = world.proof(3)),
        ("another order", |_, answer| answer.records.swap(0, 1)),
        ("a record without its place", |_, answer| answer.records[0].leaf_index = 5),
        ("a record that is none", |world, answer| {
            let mut record = world.records[3].clone();
            record.entry = Entry::OpenAccount { account: [77; 32] }.encode();
            answer.records[0].leaf = record.encode().into();
        }),
        ("more records than were asked for", |world, answer| answer.records.insert(0, world.proof(2))),
        ("a record above what was looked at", |_, answer| answer.complete_to = 2),
        ("more than is certified", |_, answer| answer.complete_to = BLOCKS + 1),
        ("a place behind the log's end", |_, answer| answer.next_leaf = 9),
        ("a place before what was found", |_, answer| answer.next_leaf = 7),
        ("more, at the same place again", |_, answer| {
            (answer.records, answer.next_leaf, answer.more) = (Vec::new(), 2, true);
        }),
        ("no certificate", |_, answer| answer.anchor = None),
    ];
    let world = World::new().await;
    for (what, lie) in lies {
        let mut answer = world.honest();
        lie(&world, &mut answer);
        assert!(world.believed(answer).is_err(), "{what}");
    }
    let late = Question { from_ms: Some(11), ..Question::default() };
    let answer = FindResponse { records: vec![world.proof(0)], ..world.honest() };
    assert!(world.client.proven_found(&late, 0, 3, answer).is_err(), "a record of another time");
}
