//! The linking game: who has the whole ledger, validators' disks and one app's traffic guesses which of two accounts made a transaction.
//!
//! The two accounts of a challenge behave alike but for a coin that says which of them acts: what remains to be guessed from is
//! what the records and the batches tell. The figures are published in `kms/audit/SPEC.md`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, unreachable_pub)]

mod adversary;
mod game;
#[path = "../town/mod.rs"]
mod town;

use std::collections::HashMap;

use adversary::{Adversary, Leaves};
use game::{Challenge, Flaw, Played, Setup};
use keyward_audit::GrantFile;

/// How far from zero the interval may lie, in standard deviations: with 1.96 more, 2.5 of ten million runs of an adversary that
/// knows nothing are taken for one that knows something.
const NOISE: f64 = 3.2;

/// Ten thousand challenges over four epochs.
const SETUP: Setup = Setup {
    accounts: 24,
    epochs: 4,
    blocks: 50,
    challenges: 50,
    labelled: 20,
    silent_from: u32::MAX,
    flaw: Flaw::None,
    window_ms: None,
};
/// Where something is wrong it is found in less.
const SMALL: Setup = Setup { epochs: 1, blocks: 20, ..SETUP };

/// How often an adversary was right.
struct Score {
    n: f64,
    wins: f64,
}

impl Score {
    fn of<'a>(
        name: &str,
        adversary: &Adversary,
        challenges: impl IntoIterator<Item = &'a Challenge>,
    ) -> Self {
        let mut score = Self { n: 0.0, wins: 0.0 };
        for challenge in challenges {
            score.n += 1.0;
            score.wins += f64::from(u8::from(adversary.guess(challenge) == challenge.author));
        }
        let (low, high) = score.interval();
        println!(
            "{name}: n = {}, advantage {:+.4}, 95 % interval {low:+.4} to {high:+.4}",
            score.n,
            score.advantage()
        );
        score
    }

    /// Twice the probability of being right, less one: 0 for a coin, 1 for who always knows.
    fn advantage(&self) -> f64 {
        2.0 * self.wins / self.n - 1.0
    }

    fn interval(&self) -> (f64, f64) {
        let advantage = self.advantage();
        let half = 1.96 * ((1.0 - advantage * advantage) / self.n).sqrt();
        (advantage - half, advantage + half)
    }

    /// Whether the interval reaches what a coin does.
    fn is_noise(&self) -> bool {
        let ((low, high), bound) = (self.interval(), NOISE / self.n.sqrt());
        low <= bound && -bound <= high
    }
}

fn watching(played: &Played, leaves: &Leaves) -> Adversary {
    let world = &played.town.world;
    Adversary::new(&world.records, world.ledger.state(), &played.labelled, leaves)
}

/// The leaves of all epochs that a grant file opens.
fn leaves(played: &Played, file: &GrantFile) -> Leaves {
    let mut leaves: Leaves = HashMap::new();
    for (owner, person) in played.town.owners.iter().enumerate() {
        let opened = file.openings.iter().filter(|opening| opening.account == person.account());
        for cover in opened.flat_map(keyward_audit::Opening::covers) {
            let own = cover.epochs().map(|epoch| cover.leaf(epoch).unwrap());
            leaves.entry(owner).or_default().extend(own);
        }
    }
    leaves
}

#[test]
fn nobody_links_without_a_grant_and_with_one_only_in_its_epochs() {
    let mut played = SETUP.play("linking game");
    let watching_alone = watching(&played, &Leaves::new());
    let alone = Score::of("without a grant", &watching_alone, &played.challenges);
    assert_eq!(alone.n, 10_000.0);
    assert!(alone.is_noise(), "the ledger tells who made a transaction");
    // The whole tenant, all epochs but the last.
    let (first, last) = (played.first, played.first + SETUP.epochs - 2);
    played.town.publish();
    played.town.elapse(last);
    let mut file = played.town.granted(&[], first, last);
    for owner in 0..played.town.owners.len() {
        played.town.open(&mut file, owner, first, last);
    }
    let holder = watching(&played, &leaves(&played, &file));
    let (inside, outside): (Vec<_>, Vec<_>) =
        played.challenges.iter().partition(|challenge| challenge.epoch < SETUP.epochs - 1);
    let inside = Score::of("inside a grant", &holder, inside);
    assert_eq!(inside.advantage(), 1.0, "a grant opens its epochs");
    let outside = Score::of("one epoch outside of it", &holder, outside);
    assert!(outside.is_noise(), "a grant says something of the epoch after it");
    let found = played.town.relinked(file);
    assert_eq!(found.transactions.len(), 3 * SETUP.blocks * (SETUP.challenges + SETUP.labelled));
    assert_eq!(found.lying(), 0);
}

#[test]
fn acts_of_one_window_are_linked_by_their_handle_and_those_of_the_next_are_not() {
    let window = Setup { epochs: 4, silent_from: 2, window_ms: Some(2 * town::EPOCH_MS), ..SMALL };
    let played = window.play("handles");
    let adversary = watching(&played, &Leaves::new());
    let (same, next): (Vec<_>, Vec<_>) = played.challenges.iter().partition(|challenge| challenge.epoch < 2);
    let same = Score::of("acts of one window of a limit", &adversary, same);
    assert!(same.interval().0 > 0.95, "handles of one window are equal, as documented");
    let next = Score::of("acts of its next window", &adversary, next);
    assert!(next.is_noise(), "handles of two windows point to each other");
}

#[test]
fn what_is_wrong_is_found_by_the_same_adversary() {
    for flaw in [Flaw::TweakWithoutLeaf, Flaw::ClearPadding, Flaw::SortedBatch] {
        let played = Setup { flaw, ..SMALL }.play("flaws");
        let adversary = watching(&played, &Leaves::new());
        let score = Score::of(&format!("{flaw:?}"), &adversary, &played.challenges);
        assert!(!score.is_noise() && score.advantage() > 0.2, "{flaw:?} is not found");
    }
    let window = Setup { epochs: 4, silent_from: 2, window_ms: Some(2 * town::EPOCH_MS), ..SMALL };
    let played = Setup { flaw: Flaw::EternalHandle, ..window }.play("flaws");
    let adversary = watching(&played, &Leaves::new());
    let next = played.challenges.iter().filter(|challenge| challenge.epoch >= 2);
    let score = Score::of("EternalHandle", &adversary, next);
    assert!(!score.is_noise() && score.advantage() > 0.9, "a handle for ever is not found");
}
