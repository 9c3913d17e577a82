//! Changes of members and rules: who decides, when it holds, what can never be.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeSet;

use crate::common::{self, World, signed};
use keyward_ledger_core::block::Regime;
use keyward_ledger_core::change::{
    Change, Configuration, Member, RegimeMode, approval_message, change_id, rotation_message,
};
use keyward_ledger_core::ed25519::SigningKey;
use keyward_ledger_core::entry::{ApproveChange, Entry, ProposeChange};
use keyward_ledger_core::execute::{
    BatchRefusal, BlockLimits, BlockRefusal, EXECUTION_VERSION, Ledger, LedgerHead, MEMBER_ENTRIES_MAX,
};
use keyward_ledger_core::genesis::{Role, Submitter};
use keyward_ledger_core::hash::Hash;
use keyward_ledger_core::state::member::ChangeStatus;
use proptest::prelude::*;

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32])
}

fn member(seed: u8) -> Member {
    Member {
        key: key(seed).public_key(),
        name: format!("bank-{seed}"),
        peer: format!("10.0.0.{seed}:7000").parse().unwrap(),
        rpc: format!("https://bank-{seed}.example:7443"),
    }
}

fn admit(world: &World, seed: u8) -> Change {
    let member = member(seed);
    let proof = key(seed).sign(&member.message(&world.chain_id()));
    Change::Admit { member, proof }
}

fn rotate(world: &World, old: [u8; 32], new: u8) -> Change {
    let new_key = key(new).public_key();
    Change::Rotate {
        old,
        new: new_key,
        proof: key(new).sign(&rotation_message(&world.chain_id(), &old, &new_key)),
    }
}

fn propose_until(world: &World, by: &SigningKey, change: &Change, not_after: u64) -> (Hash, Entry) {
    let (change, proposer) = (change.encode(), by.public_key());
    let id = change_id(&world.chain_id(), &proposer, not_after, &change);
    (id, Entry::ProposeChange(ProposeChange { change, not_after, proposer, signature: by.sign(&id) }))
}

fn propose(world: &World, by: usize, change: &Change) -> (Hash, Entry) {
    propose_until(world, &world.validators[by], change, 1000)
}

fn approve(world: &World, by: &SigningKey, id: Hash) -> Entry {
    let signature = by.sign(&approval_message(&world.chain_id(), &id));
    Entry::ApproveChange(ApproveChange { change_id: id, validator: by.public_key(), signature })
}

/// Empty blocks up to the last of the epoch, at least one.
fn end_epoch(world: &mut World) {
    loop {
        world.block(&[]);
        if (world.ledger.height() + 1).is_multiple_of(common::EPOCH_LENGTH) {
            break;
        }
    }
}

/// Proposed and approved by the first three validators, and in force. A later decision has a later last height.
fn decide(world: &mut World, change: &Change) {
    let not_after = world.ledger.height() + 1000;
    let (id, proposal) = propose_until(world, &world.validators[0], change, not_after);
    let approvals: Vec<_> =
        (1..world.ledger.set().quorum()).map(|n| approve(world, &world.validators[n], id)).collect();
    assert_eq!(world.names(&[proposal]), ["ACCEPTED"], "{change:?}");
    assert!(world.names(&approvals).iter().all(|name| *name == "ACCEPTED"));
    end_epoch(world);
    assert_eq!(world.ledger.change(&id).unwrap().unwrap().status, ChangeStatus::Effective, "{change:?}");
}

/// The seeds of those in the set.
fn seats(world: &World) -> Vec<u8> {
    (1..12).filter(|seed| world.ledger.set().member(&key(*seed).public_key()).is_some()).collect()
}

/// Those that vote from now on.
fn seat(world: &mut World, seeds: &[u8]) {
    world.validators = seeds.iter().map(|seed| key(*seed)).collect();
    world.validators.sort_by_key(SigningKey::public_key);
    assert!(world.ledger.set().keys().eq(world.validators.iter().map(SigningKey::public_key)));
}

#[test]
fn a_change_takes_a_quorum_and_the_end_of_an_epoch() {
    let mut world = World::new();
    let genesis_set = *world.ledger.set().hash();
    let leaver = world.validators[3].public_key();
    let (id, proposal) = propose(&world, 0, &Change::Remove { key: leaver });
    let second = approve(&world, &world.validators[1], id);
    let third = approve(&world, &world.validators[2], id);
    assert_eq!(world.names(&[proposal, second]), ["ACCEPTED", "ACCEPTED"]);
    assert!(!world.ledger.hurries().unwrap(), "two of four are no quorum");
    end_epoch(&mut world);
    assert_eq!(*world.ledger.set().hash(), genesis_set);
    assert_eq!(world.names(&[third]), ["ACCEPTED"]);
    assert!(world.ledger.hurries().unwrap());
    assert_eq!(*world.ledger.set().hash(), genesis_set, "not before the epoch ends");
    end_epoch(&mut world);
    let boundary = world.blocks.last().unwrap().0.header().clone();
    assert_eq!((boundary.set_hash, boundary.epoch), (genesis_set, 1));
    assert_eq!(boundary.next_set_hash, *world.ledger.set().hash());
    assert!(world.ledger.set().member(&leaver).is_none());
    assert!(!world.ledger.hurries().unwrap());
    world.validators.pop();
    world.block(&[]);
    let next = world.blocks.last().unwrap().0.header();
    assert_eq!(
        (next.set_hash, next.next_set_hash, next.epoch),
        (boundary.next_set_hash, boundary.next_set_hash, 2)
    );
    // What was answered of an epoch stays the answer.
    let genesis_hash = |epoch| *world.ledger.term(epoch).unwrap().set.hash() == genesis_set;
    assert_eq!([0, 1, 2, 3].map(genesis_hash), [true, true, false, false]);
    let changes = world.ledger.set_changes(0).unwrap();
    assert_eq!(
        (changes.len(), changes[0].height, &changes[0].set),
        (1, boundary.height, &**world.ledger.set())
    );
}

#[test]
fn nobody_else_decides_and_nobody_twice() {
    let mut world = World::new();
    let change = Change::Remove { key: world.validators[3].public_key() };
    let stranger = key(77);
    let (id, proposal) = propose(&world, 0, &change);
    let by_stranger = propose_until(&world, &stranger, &change, 1000).1;
    let too_far = propose_until(&world, &world.validators[0], &change, 1 << 30).1;
    let expired = propose_until(&world, &world.validators[0], &change, 0).1;
    let Entry::ProposeChange(good) = proposal.clone() else { panic!() };
    let unsigned = Entry::ProposeChange(ProposeChange { signature: [1; 64], ..good.clone() });
    let malformed = Entry::ProposeChange(ProposeChange { change: vec![9], ..good.clone() });
    let other = Entry::ProposeChange(ProposeChange { not_after: 999, ..good });
    let early = approve(&world, &world.validators[1], id);
    let names = world.names(&[by_stranger, too_far, expired, unsigned, malformed, other, early]);
    let expected = [
        "NOT_A_MEMBER",
        "EXPIRY_TOO_FAR",
        "EXPIRED",
        "STATEMENT_SIGNATURE_INVALID",
        "CHANGE_MALFORMED",
        "STATEMENT_SIGNATURE_INVALID",
        "CHANGE_UNKNOWN",
    ];
    assert_eq!(names, expected);
    let Entry::ApproveChange(second) = approve(&world, &world.validators[1], id) else { panic!() };
    let forged =
        Entry::ApproveChange(ApproveChange { validator: world.validators[2].public_key(), ..second });
    let entries = [
        proposal.clone(),
        proposal.clone(),
        approve(&world, &stranger, id),
        forged,
        approve(&world, &world.validators[0], id),
        approve(&world, &world.validators[1], id),
        approve(&world, &world.validators[1], id),
    ];
    let expected = [
        "ACCEPTED",
        "CHANGE_KNOWN",
        "NOT_A_MEMBER",
        "STATEMENT_SIGNATURE_INVALID",
        "APPROVED_BEFORE",
        "ACCEPTED",
        "APPROVED_BEFORE",
    ];
    assert_eq!(world.names(&entries), expected);
    let third = approve(&world, &world.validators[2], id);
    world.submit(std::slice::from_ref(&third));
    end_epoch(&mut world);
    assert_eq!(world.ledger.set().len(), 3);
    let seats = seats(&world);
    seat(&mut world, &seats);
    assert_eq!(
        world.names(&[proposal, third]),
        ["CHANGE_KNOWN", "CHANGE_SETTLED"],
        "old signatures are spent"
    );
}

#[test]
fn one_proposer_cannot_keep_the_others_from_proposing() {
    let mut world = World::new();
    let key = world.validators[3].public_key();
    let remove = Change::Remove { key };
    let same = propose(&world, 0, &remove).1;
    let again = propose_until(&world, &world.validators[0], &remove, 999).1;
    let others: Vec<_> = (60..64).map(|seed| propose(&world, 0, &admit(&world, seed)).1).collect();
    let entries = [&[same, again], others.as_slice()].concat();
    assert_eq!(
        world.names(&entries),
        ["ACCEPTED", "CHANGE_LIMIT", "ACCEPTED", "ACCEPTED", "ACCEPTED", "CHANGE_LIMIT"]
    );
    let by_another = propose(&world, 1, &remove);
    assert_eq!(world.names(&[by_another.1]), ["ACCEPTED"]);
}

#[test]
fn a_fifth_joins_and_the_first_leaves_and_a_key_is_rotated() {
    let mut world = World::new();
    let first = world.validators[0].public_key();
    let founders: Vec<u8> = (1..=4).collect();
    let promote = Change::Promote { key: key(5).public_key() };
    let early = propose(&world, 0, &promote).1;
    let mut unproven = admit(&world, 5);
    if let Change::Admit { proof, .. } = &mut unproven {
        proof[3] ^= 1;
    }
    let unproven = propose(&world, 0, &unproven).1;
    assert_eq!(world.names(&[early, unproven]), ["CHANGE_IMPOSSIBLE", "PROOF_INVALID"]);
    let change = admit(&world, 5);
    decide(&mut world, &change);
    assert_eq!(world.ledger.observers().unwrap(), [key(5).public_key()]);
    assert_eq!(world.ledger.members().unwrap(), [member(5)], "its addresses travel by entry");
    assert_eq!(world.ledger.set().len(), 4);
    decide(&mut world, &promote);
    assert!(world.ledger.observers().unwrap().is_empty());
    seat(&mut world, &[1, 2, 3, 4, 5]);
    decide(&mut world, &Change::Remove { key: first });
    let left: Vec<u8> =
        founders.into_iter().chain([5]).filter(|seed| key(*seed).public_key() != first).collect();
    seat(&mut world, &left);
    let (old, new) = (key(5).public_key(), key(6).public_key());
    let Change::Rotate { proof, .. } = rotate(&world, first, 6) else { panic!() };
    let other_place = propose(&world, 0, &Change::Rotate { old, new, proof }).1;
    assert_eq!(world.names(&[other_place]), ["PROOF_INVALID"]);
    let change = rotate(&world, old, 6);
    decide(&mut world, &change);
    let seats: Vec<u8> = left.into_iter().map(|seed| if seed == 5 { 6 } else { seed }).collect();
    seat(&mut world, &seats);
    assert_eq!(world.ledger.members().unwrap(), [Member { key: new, ..member(5) }]);
    assert!(!world.ledger.member(&old).unwrap().unwrap().present);
    assert_eq!(world.ledger.set_changes(0).unwrap().len(), 3);
    assert_eq!(world.ledger.set_changes(2).unwrap().len(), 1);
    // Restored from its entries it is the same ledger, and the blocks make it again.
    let block = &world.blocks.last().unwrap().0;
    let head = LedgerHead { signed_header: block.signed_header.clone(), log: world.ledger.log().clone() };
    let restored = Ledger::restore(&head, world.ledger.state().iter()).unwrap();
    assert_eq!(restored.set(), world.ledger.set());
    for epoch in 0..8 {
        assert_eq!(restored.term(epoch).unwrap(), world.ledger.term(epoch).unwrap());
    }
    replays(&world);
}

/// The blocks make the same ledger again.
fn replays(world: &World) {
    let mut ledger = Ledger::genesis(&world.genesis);
    for (block, _) in &world.blocks {
        ledger = ledger.replay(block).unwrap().ledger;
    }
    assert_eq!(
        (ledger.tip(), ledger.state(), ledger.set()),
        (world.ledger.tip(), world.ledger.state(), world.ledger.set())
    );
}

#[test]
fn the_last_validator_stays() {
    let mut world = World::new();
    for left in [3, 2, 1] {
        let leaver = world.validators.last().unwrap().public_key();
        decide(&mut world, &Change::Remove { key: leaver });
        world.validators.pop();
        assert_eq!(world.ledger.set().len(), left);
    }
    let last = propose(&world, 0, &Change::Remove { key: world.validators[0].public_key() }).1;
    assert_eq!(world.names(&[last]), ["CHANGE_IMPOSSIBLE"]);
    end_epoch(&mut world);
    assert_eq!(world.ledger.set().len(), 1);
}

#[test]
fn two_changes_that_together_would_empty_the_set_do_not() {
    let mut world = World::new();
    for _ in 0..2 {
        let leaver = world.validators.last().unwrap().public_key();
        decide(&mut world, &Change::Remove { key: leaver });
        world.validators.pop();
    }
    let mut ids = Vec::new();
    for (by, gone) in [(0, 1), (1, 0)] {
        let (id, proposal) =
            propose(&world, by, &Change::Remove { key: world.validators[gone].public_key() });
        let approval = approve(&world, &world.validators[gone], id);
        assert_eq!(world.names(&[proposal, approval]), ["ACCEPTED", "ACCEPTED"]);
        ids.push(id);
    }
    end_epoch(&mut world);
    let status = |id| world.ledger.change(id).unwrap().unwrap().status;
    assert_eq!((status(&ids[0]), status(&ids[1])), (ChangeStatus::Effective, ChangeStatus::Dropped));
    assert_eq!(world.ledger.set().len(), 1);
}

#[test]
fn what_a_member_that_left_had_proposed_is_dropped() {
    let mut world = World::new();
    let leaver = key(4).public_key();
    let index = world.validators.iter().position(|key| key.public_key() == leaver).unwrap();
    let (id, proposal) = propose(&world, index, &admit(&world, 5));
    world.submit(&[proposal]);
    world.validators.rotate_left(index + 1);
    decide(&mut world, &Change::Remove { key: leaver });
    assert_eq!(world.ledger.change(&id).unwrap().unwrap().status, ChangeStatus::Dropped);
}

#[test]
fn submitters_come_and_go_by_entry_and_keep_their_window() {
    let mut world = World::new();
    let newcomer = key(40);
    let chain_id = world.chain_id();
    let note = |sequence| signed(chain_id, &key(40), sequence, 1000, &[Entry::Note(vec![1])]);
    assert!(matches!(world.ledger.check_batch(&note(1)), Err(BatchRefusal::SubmitterUnknown { .. })));
    let entry = Submitter { key: newcomer.public_key(), role: Role::Service, block_entries_max: 2 };
    decide(&mut world, &Change::SetSubmitter(entry));
    world.block(&[note(1)]);
    let wide = signed(chain_id, &newcomer, 2, 1000, &vec![Entry::Note(vec![1]); 3]);
    let proposal = world.ledger.propose(0, &[wide], &BlockLimits::default(), &world.validators[0]).unwrap();
    assert!(matches!(proposal.refused[0].1, BatchRefusal::SubmitterLimit { limit: 2, .. }));
    decide(&mut world, &Change::RemoveSubmitter { key: newcomer.public_key() });
    assert!(matches!(world.ledger.check_batch(&note(2)), Err(BatchRefusal::SubmitterUnknown { .. })));
    let again = propose(&world, 2, &Change::RemoveSubmitter { key: newcomer.public_key() }).1;
    let member = Submitter { role: Role::Member, ..entry };
    let given = propose(&world, 1, &Change::SetSubmitter(member)).1;
    assert_eq!(world.names(&[again, given]), ["CHANGE_IMPOSSIBLE", "CHANGE_IMPOSSIBLE"]);
    decide(&mut world, &Change::SetSubmitter(entry));
    assert!(
        matches!(world.ledger.check_batch(&note(1)), Err(BatchRefusal::Replayed { .. })),
        "old batches stay old"
    );
    world.block(&[note(2)]);
}

#[test]
fn validators_submit_with_their_own_keys_as_long_as_they_are_validators() {
    let mut world = World::new();
    let own = key(4);
    let open = Entry::OpenAccount { account: common::ACCOUNT };
    let outcomes = world.submit_as(&own, &[Entry::Note(vec![1]), open]);
    assert_eq!(
        outcomes.iter().map(|outcome| outcome.name()).collect::<Vec<_>>(),
        ["ACCEPTED", "ROLE_NOT_ALLOWED"]
    );
    let state = world.ledger.submitter(&own.public_key()).unwrap().unwrap();
    assert_eq!((state.role, state.block_entries_max, state.highest), (Role::Member, MEMBER_ENTRIES_MAX, 1));
    let index = world.validators.iter().position(|key| key.public_key() == own.public_key()).unwrap();
    world.validators.rotate_left(index + 1);
    decide(&mut world, &Change::Remove { key: own.public_key() });
    let late = world.batch(&own, &[Entry::Note(vec![2])]);
    assert!(matches!(world.ledger.check_batch(&late), Err(BatchRefusal::SubmitterUnknown { .. })));
}

#[test]
fn the_configuration_changes_version_by_version() {
    let mut world = World::new();
    let initial = world.ledger.configuration().unwrap();
    assert_eq!(initial, Configuration::initial(5_000));
    let next = Configuration { version: 1, mode: RegimeMode::Strict, clock_bound_ms: 9_000, ..initial };
    let skipping = propose(&world, 0, &Change::Configure(Configuration { version: 2, ..next })).1;
    let zero = propose(&world, 1, &Change::Configure(Configuration { clean_epochs: 0, ..next })).1;
    assert_eq!(world.names(&[skipping, zero]), ["CHANGE_IMPOSSIBLE", "CHANGE_IMPOSSIBLE"]);
    decide(&mut world, &Change::Configure(next));
    assert_eq!(world.ledger.configuration().unwrap(), next);
    assert_eq!(world.ledger.parameters().clock_bound_ms, 9_000);
    assert_eq!(world.ledger.parameters().regime, Regime::Strict);
    replays(&world);
}

#[test]
fn a_program_that_is_too_old_refuses_the_first_block_of_the_announced_epoch() {
    let mut world = World::new();
    let now = propose(&world, 0, &Change::Announce { version: EXECUTION_VERSION + 1, from_epoch: 0 }).1;
    let old = propose(&world, 1, &Change::Announce { version: EXECUTION_VERSION, from_epoch: 9 }).1;
    assert_eq!(world.names(&[now, old]), ["CHANGE_IMPOSSIBLE", "CHANGE_IMPOSSIBLE"]);
    decide(&mut world, &Change::Announce { version: EXECUTION_VERSION + 1, from_epoch: 2 });
    end_epoch(&mut world);
    assert_eq!(world.ledger.height() + 1, 2 * common::EPOCH_LENGTH);
    let proposal = world.ledger.propose(0, &[], &BlockLimits::default(), &world.validators[0]).unwrap();
    let refused = world.ledger.replay(&proposal.block).unwrap_err();
    let expected = BlockRefusal::Version { needed: EXECUTION_VERSION + 1, known: EXECUTION_VERSION };
    assert_eq!(refused, expected);
    assert_eq!(world.ledger.version_of(2).unwrap(), EXECUTION_VERSION + 1);
    assert_eq!(world.ledger.version_of(1).unwrap(), EXECUTION_VERSION);
}

#[test]
fn proposals_leave_the_state_after_their_last_height() {
    let mut world = World::new();
    let (id, proposal) = propose_until(&world, &world.validators[0], &admit(&world, 5), 3);
    world.submit(&[proposal]);
    while world.ledger.height() < 3 {
        world.block(&[]);
    }
    assert!(world.ledger.change(&id).unwrap().is_some());
    let late = approve(&world, &world.validators[1], id);
    assert_eq!(world.names(&[late]), ["CHANGE_UNKNOWN"]);
    assert!(world.ledger.change(&id).unwrap().is_none());
    end_epoch(&mut world);
    replays(&world);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// Whatever is proposed and approved by whomever: a set changes at an epoch's end only, only by what a
    /// quorum of the set before signed, is never empty, and every node comes to the same.
    #[test]
    fn sets_change_by_quorums_only(steps in proptest::collection::vec((0..6_u8, 0..10_u8, 0..10_u8, any::<u16>()), 1..24)) {
        let mut world = World::new();
        // Who signed each change that may still be open: one that fell short counts anew when the set has shrunk.
        let mut signed: Vec<(u64, BTreeSet<[u8; 32]>)> = Vec::new();
        for (kind, subject, by, approvers) in steps {
            let seats = seats(&world);
            seat(&mut world, &seats);
            let before = world.ledger.set().clone();
            let (seed, public) = (subject + 1, key(subject + 1).public_key());
            let change = match kind {
                0 | 1 => admit(&world, seed),
                2 => Change::Promote { key: public },
                3 | 4 => Change::Remove { key: public },
                _ => rotate(&world, public, (by % 11) + 1),
            };
            let proposer = usize::from(by) % world.validators.len();
            let until = world.ledger.height() + 30;
            let (id, proposal) = propose_until(&world, &world.validators[proposer], &change, until);
            let signers = (0..world.validators.len()).filter(|n| *n == proposer || approvers >> n & 1 == 1);
            signed.push((until, signers.map(|n| world.validators[n].public_key()).collect()));
            signed.retain(|(until, _)| *until > world.ledger.height());
            let approvals: Vec<_> = (0..world.validators.len())
                .filter(|n| approvers >> n & 1 == 1)
                .map(|n| approve(&world, &world.validators[n], id))
                .collect();
            world.submit(&[proposal]);
            if !approvals.is_empty() {
                world.submit(&approvals);
            }
            end_epoch(&mut world);
            let of_set = |signers: &BTreeSet<_>| before.keys().filter(|key| signers.contains(key)).count();
            if signed.iter().all(|(_, signers)| of_set(signers) < before.quorum()) {
                prop_assert_eq!(&before, world.ledger.set(), "without a quorum nothing changes");
            }
            prop_assert!(!world.ledger.set().is_empty());
            for (block, _) in world.blocks.iter().rev().take(4) {
                let header = block.header();
                let last = (header.height + 1) % common::EPOCH_LENGTH == 0;
                prop_assert!(last || header.set_hash == header.next_set_hash);
            }
        }
        replays(&world);
    }
}
