//! The linking game: who has the whole ledger, a validator's state and one app's traffic guesses which of two accounts made a transaction.
//!
//! The two accounts of a challenge behave alike but for a coin that says which of them acts: what remains to be guessed from is
//! what the records and the batches tell. The figures are published in `kms/audit/SPEC.md`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, unreachable_pub)]

mod act;
mod adversary;
mod beside;
mod game;
mod score;
mod traces;

use std::collections::HashMap;

use crate::town::common::mutate::Random;
use crate::town::{self, Town};
use adversary::{Adversary, Leaves};
use game::{Challenge, Flaw, Pairs, Played, Setup, mixed};
use keyward_audit::GrantFile;
use keyward_domain::detail::Source;
use keyward_ledger_core::entry::{Custody, Entry, Release};
use keyward_ledger_core::hash::signature_hash;
use score::{Score, Sources};

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
    own: true,
    pairs: Pairs::OneKind,
    devices_differ: false,
};
/// Where something is wrong it is found in less.
const SMALL: Setup = Setup { epochs: 1, blocks: 20, ..SETUP };

fn watching(played: &Played, leaves: &Leaves) -> Adversary {
    let world = &played.town.world;
    let kinds = played.town.owners.iter().map(|owner| owner.custody).collect();
    Adversary::new(&world.records, world.ledger.state(), &played.labelled, leaves, kinds)
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

/// Guesses of one world at some of its challenges, in groups.
fn guess<'a>(
    score: &mut Score,
    adversary: &Adversary,
    challenges: impl IntoIterator<Item = &'a Challenge>,
    group: fn(&Challenge) -> u64,
) {
    let mut world = Score::default();
    for challenge in challenges {
        world.add(group(challenge), adversary.guess(challenge) == challenge.author);
    }
    score.join(world);
}

fn block(challenge: &Challenge) -> u64 {
    challenge.height
}

/// Acts of an account in one window have the same handle, and are guessed alike.
fn author(challenge: &Challenge) -> u64 {
    challenge.pair[challenge.author] as u64
}

#[test]
fn nobody_links_without_a_grant_and_with_one_only_in_its_epochs() {
    let [mut alone, mut inside, mut outside] = [(); 3].map(|()| Score::default());
    for random in Sources::of("linking game") {
        let mut played = SETUP.play(random);
        guess(&mut alone, &watching(&played, &Leaves::new()), &played.challenges, block);
        // The whole tenant, all epochs but the last.
        let (first, last) = (played.first, played.first + SETUP.epochs - 2);
        played.town.publish();
        played.town.elapse(last);
        let mut file = played.town.granted(&[], first, last);
        played.town.world.admit_keepers(&town::KEEPERS);
        for owner in 0..played.town.owners.len() {
            match played.town.owners[owner].custody {
                Custody::Hosted => played.town.open(&mut file, owner, first, last),
                Custody::Own => played.town.open_dealt(&mut file, owner, first, last),
            }
        }
        let holder = watching(&played, &leaves(&played, &file));
        let (within, after): (Vec<_>, Vec<_>) =
            played.challenges.iter().partition(|challenge| challenge.epoch < SETUP.epochs - 1);
        guess(&mut inside, &holder, within, block);
        guess(&mut outside, &holder, after, block);
        let found = played.town.relinked(file);
        assert_eq!(found.transactions.len(), 3 * SETUP.blocks * (SETUP.challenges + SETUP.labelled));
        assert_eq!(found.lying(), 0);
        assert!(found.is_complete());
    }
    assert!(alone.told("without a grant").is_noise(), "the ledger tells who made a transaction");
    assert_eq!(inside.told("inside a grant").advantage(), 1.0, "a grant opens its epochs");
    assert!(
        outside.told("one epoch outside of it").is_noise(),
        "a grant says something of the epoch after it"
    );
}

#[test]
fn what_a_batch_mixes_is_accepted_in_whatever_order_it_stands() {
    let mut town = Town::new(1, Random::seeded("orders"));
    let (_, mut intent_id) = town.use_one(0);
    for _ in 0..20 {
        let over = town.epoch();
        town.elapse(over);
        let closing = town.closing_entry(0, over, &town.closing(0, over));
        let announce = town.announcement(0);
        let source = Source::Payment { epoch: announce.epoch, payment: announce.payment };
        let (paid, next) = (town.draft_from(0, source), town.draft(0));
        let release = Release { intent_id, signature_hash: signature_hash(&intent_id) };
        intent_id = next.used.id;
        let mut entries = vec![
            Entry::AnnouncePayment(announce),
            town.seal(0, paid),
            Entry::Release(release),
            Entry::CloseEpoch(closing),
            town.seal(0, next),
        ];
        entries = mixed(&mut town.random, entries, |entry| entry);
        town.record(entries.into_iter().map(|entry| (0, entry)).collect());
    }
}

/// Acts that count against a limit, in its window and in the next one, in which the adversary's app is silent.
fn windows(flaw: Flaw, name: &str) -> [Score; 2] {
    let window_ms = Some(2 * town::EPOCH_MS);
    let setup = Setup { epochs: 4, silent_from: 2, window_ms, own: false, flaw, ..SMALL };
    let mut scores = [(); 2].map(|()| Score::default());
    for random in Sources::of(name) {
        let played = setup.play(random);
        let adversary = watching(&played, &Leaves::new());
        let (same, next): (Vec<_>, Vec<_>) =
            played.challenges.iter().partition(|challenge| challenge.epoch < 2);
        guess(&mut scores[0], &adversary, same, author);
        guess(&mut scores[1], &adversary, next, author);
    }
    scores
}

#[test]
fn acts_of_one_window_are_linked_by_their_handle_and_those_of_the_next_are_not() {
    let [same, next] = windows(Flaw::None, "handles");
    let same = same.told("acts of one window of a limit").advantage();
    assert!(same > 0.97, "handles of one window are equal, as documented");
    let next = next.told("acts of its next window").is_noise_of_groups();
    assert!(next, "handles of two windows point to each other");
}

/// Guesses without a grant.
fn small(setup: Setup, name: &str) -> Score {
    let mut score = Score::default();
    for random in Sources::of(name) {
        let played = setup.play(random);
        guess(&mut score, &watching(&played, &Leaves::new()), &played.challenges, block);
    }
    score.told(name).clone()
}

#[test]
fn nothing_tells_an_own_root_from_a_hosted_one_nor_a_slow_device_from_a_fast_one() {
    let kinds = small(Setup { pairs: Pairs::TwoKinds, ..SMALL }, "an own root or a hosted one");
    assert!(kinds.is_noise(), "a use tells which kind of root it is of");
    let slow = Setup { pairs: Pairs::Own, devices_differ: true, ..SMALL };
    let devices = small(slow, "own roots whose devices differ");
    assert!(devices.is_noise(), "a slow device is known by its uses");
    for flaw in [Flaw::ReleasesAtOnce, Flaw::EndsFromBegin] {
        let setup = Setup { flaw, pairs: Pairs::TwoKinds, blocks: 40, ..slow };
        let score = small(setup, &format!("{flaw:?}, an own root or a hosted one"));
        assert!(!score.is_noise() && score.advantage() > 0.2, "{flaw:?} is not found");
    }
}

#[test]
fn what_is_wrong_is_found_by_the_same_adversary() {
    use Flaw::{ClearPadding, ExactEnds, NotMixed, ReleasesNotMixed, SortedBatch, TweakWithoutLeaf};
    for flaw in [TweakWithoutLeaf, ClearPadding, SortedBatch, NotMixed, ReleasesNotMixed, ExactEnds] {
        let small_one = Setup { flaw, ..SMALL };
        let of_own = Setup { pairs: Pairs::Own, blocks: 40, ..small_one };
        let score = small(if flaw == ExactEnds { of_own } else { small_one }, &format!("{flaw:?}"));
        assert!(!score.is_noise() && score.advantage() > 0.2, "{flaw:?} is not found");
    }
    let [_, next] = windows(Flaw::EternalHandle, "flaws");
    next.told("EternalHandle");
    assert!(!next.is_noise_of_groups() && next.advantage() > 0.9, "a handle for ever is not found");
}
