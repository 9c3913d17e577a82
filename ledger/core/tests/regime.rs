//! Faults, complaints and agreements, and when they change the regime.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use crate::common::{self, World};
use keyward_ledger_core::block::Regime;
use keyward_ledger_core::certificate::{consensus_namespace, finalize_message};
use keyward_ledger_core::change::{Change, Configuration, RegimeMode, approval_message, change_id};
use keyward_ledger_core::contracts::regime::{agreement_message, complaint_message};
use keyward_ledger_core::ed25519::SigningKey;
use keyward_ledger_core::entry::{
    Agreement, ApproveChange, Complaint, ComplaintKind, Entry, Evidence, ProposeChange, SignedVote,
};
use keyward_ledger_core::execute::Ledger;
use keyward_ledger_core::genesis::{Genesis, GenesisDocument};
use keyward_ledger_core::hash::{Hash, ZERO};
use keyward_ledger_core::state::regime::Reason;
use keyward_ledger_core::vote::{Ballot, Vote};

/// A world that begins fast.
fn fast() -> World {
    let mut world = World::new();
    let document = GenesisDocument { regime: Regime::Fast, ..world.genesis.document().clone() };
    world.genesis = Genesis::new(document).unwrap();
    world.ledger = Ledger::genesis(&world.genesis);
    world
}

fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

/// A vote as the engine signs it.
fn message(chain_id: &Hash, suffix: &str, epoch: u64, view: u64, proposal: Option<[u8; 32]>) -> Vec<u8> {
    let namespace = [consensus_namespace(chain_id), suffix.as_bytes().to_vec()].concat();
    let mut bytes = [varint(namespace.len() as u64), namespace, varint(epoch), varint(view)].concat();
    if let Some(digest) = proposal {
        bytes.extend(varint(view - 1));
        bytes.extend(digest);
    }
    bytes
}

fn evidence(by: &SigningKey, messages: [Vec<u8>; 2]) -> Entry {
    let votes = messages.map(|message| SignedVote { signature: by.sign(&message), message });
    Entry::Evidence(Evidence { validator: by.public_key(), votes })
}

fn equivocation(world: &World, by: usize, epoch: u64) -> Entry {
    let messages = [1, 2].map(|n| message(&world.chain_id(), "_NOTARIZE", epoch, 300, Some([n; 32])));
    evidence(&world.validators[by], messages)
}

fn complaint(world: &World, by: &SigningKey, kind: ComplaintKind, number: u64) -> Entry {
    let epoch = world.ledger.epoch_of(world.ledger.height() + 1);
    let mut complaint =
        Complaint { kind, author: by.public_key(), epoch, number, hash: [4; 32], signature: [0; 64] };
    complaint.signature = by.sign(&complaint_message(&world.chain_id(), &complaint));
    Entry::Complaint(complaint)
}

fn agreement(world: &World, by: usize, height: u64, state_root: Hash) -> Entry {
    let key = &world.validators[by];
    let member = key.public_key();
    let signature = key.sign(&agreement_message(&world.chain_id(), &member, height, &state_root));
    Entry::Agreement(Agreement { member, height, state_root, signature })
}

fn end_epoch(world: &mut World) {
    loop {
        world.block(&[]);
        if (world.ledger.height() + 1).is_multiple_of(common::EPOCH_LENGTH) {
            break;
        }
    }
}

fn configure(world: &mut World, change: impl Fn(Configuration) -> Configuration) {
    let present = world.ledger.configuration().unwrap();
    decide(world, &Change::Configure(change(Configuration { version: present.version + 1, ..present })));
}

/// Three of the four decide a change, and the epoch ends.
fn decide(world: &mut World, change: &Change) {
    let change = change.encode();
    let by = &world.validators[0];
    let id = change_id(&world.chain_id(), &by.public_key(), 10_000, &change);
    let proposer = by.public_key();
    let mut entries = vec![Entry::ProposeChange(ProposeChange {
        change,
        not_after: 10_000,
        proposer,
        signature: by.sign(&id),
    })];
    for by in &world.validators[1..3] {
        let signature = by.sign(&approval_message(&world.chain_id(), &id));
        entries.push(Entry::ApproveChange(ApproveChange {
            change_id: id,
            validator: by.public_key(),
            signature,
        }));
    }
    assert_eq!(world.names(&entries), ["ACCEPTED"; 3]);
    end_epoch(world);
}

#[test]
fn votes_are_read_as_the_engine_signs_them() {
    let chain_id = [7; 32];
    let finalize = finalize_message(&chain_id, 300, 5_000_000, 4_999_999, &[9; 32]);
    let vote = Vote::parse(&chain_id, &finalize).unwrap();
    let ballot = Ballot::Finalize { parent_view: 4_999_999, digest: [9; 32] };
    assert_eq!(vote, Vote { epoch: 300, view: 5_000_000, ballot });
    for end in 0..finalize.len() {
        assert!(Vote::parse(&chain_id, &finalize[..end]).is_err());
    }
    assert!(Vote::parse(&[8; 32], &finalize).is_err(), "another ledger");
    assert!(Vote::parse(&chain_id, &[finalize.as_slice(), &[0]].concat()).is_err());
    let padded = [&finalize[..62], &[0xac, 0x82, 0x00], &finalize[64..]].concat();
    assert!(Vote::parse(&chain_id, &padded).is_err(), "300 in three bytes");
}

#[test]
fn only_votes_that_exclude_each_other_convict() {
    let mut world = fast();
    let chain_id = world.chain_id();
    let vote = |suffix, epoch, view, digest| message(&chain_id, suffix, epoch, view, digest);
    let (a, b) = (Some([1; 32]), Some([2; 32]));
    let innocent = [
        [vote("_NOTARIZE", 0, 9, a), vote("_NOTARIZE", 0, 9, a)],
        [vote("_NOTARIZE", 0, 9, a), vote("_NOTARIZE", 0, 10, b)],
        [vote("_NOTARIZE", 0, 9, a), vote("_FINALIZE", 0, 9, a)],
        [vote("_NOTARIZE", 0, 9, a), vote("_NULLIFY", 0, 9, None)],
        [vote("_NOTARIZE", 0, 9, a), vote("_NOTARIZE", 1, 9, b)],
        [b"nothing".to_vec(), vote("_NOTARIZE", 0, 9, a)],
    ];
    for messages in innocent {
        let entry = evidence(&world.validators[1], messages);
        assert_eq!(world.names(&[entry]), ["EVIDENCE_INVALID"]);
    }
    let other = world.validators[2].public_key();
    let Entry::Evidence(good) = equivocation(&world, 1, 0) else { panic!() };
    let framed = Entry::Evidence(Evidence { validator: other, ..good.clone() });
    let stranger = evidence(&SigningKey::from_seed(&[77; 32]), good.votes.clone().map(|vote| vote.message));
    let future = equivocation(&world, 1, 5);
    assert_eq!(
        world.names(&[framed, stranger, future]),
        ["EVIDENCE_INVALID", "NOT_A_MEMBER", "EPOCH_OUT_OF_REACH"]
    );
    assert!(!world.ledger.hurries().unwrap());
    for (n, pair) in [("_FINALIZE", "_FINALIZE"), ("_NULLIFY", "_FINALIZE")].into_iter().enumerate() {
        let first = vote(pair.0, 0, 40, (pair.0 != "_NULLIFY").then_some([1; 32]));
        let entry = evidence(&world.validators[n], [first, vote(pair.1, 0, 40, b)]);
        assert_eq!(world.names(&[entry]), ["ACCEPTED"], "{pair:?}");
    }
}

#[test]
fn equivocation_ends_the_fast_regime_and_agreement_brings_it_back() {
    let mut world = fast();
    let suspect = world.validators[1].public_key();
    let proof = equivocation(&world, 1, 0);
    let leaf = world.ledger.log().size();
    assert_eq!(world.names(&[proof.clone(), proof.clone()]), ["ACCEPTED", "EVIDENCE_KNOWN"]);
    assert!(world.ledger.hurries().unwrap());
    assert_eq!(world.ledger.parameters().regime, Regime::Fast, "not before the epoch ends");
    end_epoch(&mut world);
    assert!(!world.ledger.hurries().unwrap());
    let now = world.ledger.regime().unwrap();
    assert_eq!((now.regime, now.first_epoch, now.height), (Regime::Strict, 1, 7));
    assert_eq!(
        (now.trigger.reason, now.trigger.leaf_index, now.trigger.subject),
        (Reason::Equivocation, leaf, suspect)
    );
    world.block(&[]);
    assert_eq!(world.blocks.last().unwrap().0.header().regime, Regime::Strict);
    let terms = [0, 1].map(|epoch| world.ledger.term(epoch).unwrap());
    assert_eq!((terms[0].regime, terms[0].suspects.len()), (Regime::Fast, 0));
    assert_eq!((terms[1].regime, terms[1].suspects.as_slice()), (Regime::Strict, [suspect].as_slice()));
    assert_eq!(world.ledger.fault(&suspect).unwrap().unwrap().leaf_index, leaf);
    assert_eq!(world.ledger.set_changes(0).unwrap(), [], "another regime is no other set");
    end_epoch(&mut world);
    // Everybody agrees at once, but two epochs have to be clean.
    let early: Vec<_> = (0..4).map(|by| agreement(&world, by, 16, [3; 32])).collect();
    assert_eq!(world.names(&early), ["AGREEMENT_OLD"; 4], "of a block that is not there yet");
    let three: Vec<_> = (0..3).map(|by| agreement(&world, by, 16, [3; 32])).collect();
    assert_eq!(world.names(&three), ["ACCEPTED"; 3]);
    let other = agreement(&world, 3, 16, [4; 32]);
    assert_eq!(world.names(&[other]), ["ACCEPTED"]);
    end_epoch(&mut world);
    assert_eq!(world.ledger.parameters().regime, Regime::Strict, "one of four has another state");
    world.block(&[]);
    let all: Vec<_> = (0..4).map(|by| agreement(&world, by, 24, [5; 32])).collect();
    assert_eq!(world.names(&all), ["ACCEPTED"; 4]);
    let last = world.ledger.log().size() - 1;
    assert_eq!(world.names(&all), ["AGREEMENT_OLD"; 4]);
    end_epoch(&mut world);
    let now = world.ledger.regime().unwrap();
    assert_eq!(
        (now.regime, now.trigger.reason, now.trigger.leaf_index),
        (Regime::Fast, Reason::Agreement, last)
    );
    assert!(world.ledger.book().unwrap().suspects.is_empty());
    assert_eq!(world.names(&[proof]), ["EPOCH_OUT_OF_REACH"], "old evidence counts once");
    replays(&world);
}

#[test]
fn a_fault_takes_back_what_was_agreed() {
    let mut world = fast();
    world.submit(&[equivocation(&world, 1, 0)]);
    for _ in 0..3 {
        end_epoch(&mut world);
    }
    world.block(&[]);
    let all: Vec<_> = (0..4).map(|by| agreement(&world, by, 24, [5; 32])).collect();
    assert_eq!(world.names(&all), ["ACCEPTED"; 4]);
    let again = equivocation(&world, 2, 3);
    assert_eq!(world.names(&[again]), ["ACCEPTED"]);
    end_epoch(&mut world);
    assert_eq!(world.ledger.parameters().regime, Regime::Strict);
    assert_eq!(world.ledger.term(4).unwrap().suspects.len(), 2, "both are avoided from the next epoch on");
    assert_eq!(world.ledger.term(3).unwrap().suspects.len(), 1);
}

#[test]
fn one_member_more_than_may_be_faulty_ends_the_fast_regime() {
    for (kind, number, expected) in [
        (ComplaintKind::StateRoot, 1, Reason::StateRoots),
        (ComplaintKind::Scrub, 1, Reason::Scrubs),
        (ComplaintKind::SkippedViews, 32, Reason::SkippedViews),
    ] {
        let mut world = fast();
        let one = complaint(&world, &world.validators[0], kind, number);
        let other_kind =
            if kind == ComplaintKind::Scrub { ComplaintKind::StateRoot } else { ComplaintKind::Scrub };
        let other = complaint(&world, &world.validators[1], other_kind, 1);
        assert_eq!(world.names(&[one.clone(), one, other]), ["ACCEPTED", "COMPLAINT_KNOWN", "ACCEPTED"]);
        assert!(!world.ledger.hurries().unwrap(), "one of each kind");
        let second = complaint(&world, &world.validators[1], kind, number);
        assert_eq!(world.names(&[second]), ["ACCEPTED"]);
        end_epoch(&mut world);
        assert_eq!(world.ledger.regime().unwrap().trigger.reason, expected);
        assert_eq!(world.ledger.parameters().regime, Regime::Strict);
        assert!(world.ledger.term(1).unwrap().suspects.is_empty(), "nobody was convicted");
    }
}

#[test]
fn unfounded_and_forged_complaints_are_refused() {
    let mut world = fast();
    let few = complaint(&world, &world.validators[0], ComplaintKind::SkippedViews, 31);
    let ahead = complaint(&world, &world.validators[0], ComplaintKind::StateRoot, 99);
    let stranger = complaint(&world, &SigningKey::from_seed(&[77; 32]), ComplaintKind::Scrub, 1);
    let nobody = complaint(&world, &SigningKey::from_seed(&[77; 32]), ComplaintKind::Unheard, 1);
    let member = complaint(&world, &world.service, ComplaintKind::Scrub, 1);
    let Entry::Complaint(good) = complaint(&world, &world.validators[0], ComplaintKind::Scrub, 1) else {
        panic!()
    };
    let forged = Entry::Complaint(Complaint { number: 0, ..good.clone() });
    let later = Entry::Complaint(Complaint { epoch: 1, ..good });
    let names = world.names(&[few, ahead, stranger, nobody, member, forged, later]);
    let expected = [
        "COMPLAINT_UNFOUNDED",
        "COMPLAINT_UNFOUNDED",
        "NOT_A_MEMBER",
        "ROLE_NOT_ALLOWED",
        "NOT_A_MEMBER",
        "STATEMENT_SIGNATURE_INVALID",
        "EPOCH_OUT_OF_REACH",
    ];
    assert_eq!(names, expected);
}

#[test]
fn enough_submitters_that_are_not_heard_end_the_fast_regime() {
    let mut world = fast();
    // The first was heard: its batch 1 is the one that carries the complaints.
    let heard = complaint(&world, &world.service, ComplaintKind::Unheard, 1);
    world.submit(&[Entry::Note(vec![1])]);
    assert_eq!(world.names(&[heard]), ["COMPLAINT_UNFOUNDED"]);
    let first = complaint(&world, &world.service, ComplaintKind::Unheard, 50);
    let second = complaint(&world, &world.other_service, ComplaintKind::Unheard, 1);
    assert_eq!(world.names(&[first]), ["ACCEPTED"]);
    end_epoch(&mut world);
    assert_eq!(world.ledger.parameters().regime, Regime::Fast);
    // That of the epoch before still counts.
    let names = world.names(&[second]);
    assert_eq!(names, ["ACCEPTED"]);
    end_epoch(&mut world);
    assert_eq!(world.ledger.regime().unwrap().trigger.reason, Reason::Unheard);
    assert_eq!(world.ledger.parameters().regime, Regime::Strict);
    replays(&world);
}

#[test]
fn a_pinned_regime_holds_whatever_happens() {
    let mut world = fast();
    configure(&mut world, |configuration| Configuration { mode: RegimeMode::Fast, ..configuration });
    let epoch = world.ledger.epoch_of(world.ledger.height() + 1);
    let proof = equivocation(&world, 1, epoch);
    assert_eq!(world.names(&[proof]), ["ACCEPTED"]);
    assert!(!world.ledger.hurries().unwrap());
    end_epoch(&mut world);
    assert_eq!(world.ledger.parameters().regime, Regime::Fast);
    assert!(world.ledger.fault(&world.validators[1].public_key()).unwrap().is_some(), "but it is kept");
    configure(&mut world, |configuration| Configuration { mode: RegimeMode::Strict, ..configuration });
    let now = world.ledger.regime().unwrap();
    assert_eq!(
        (now.regime, now.trigger.reason, now.trigger.subject),
        (Regime::Strict, Reason::Configuration, ZERO)
    );
    replays(&world);
}

#[test]
fn complaints_that_were_counted_are_not_counted_again() {
    let mut world = fast();
    let both: Vec<_> =
        (0..2).map(|by| complaint(&world, &world.validators[by], ComplaintKind::Scrub, 1)).collect();
    let late = complaint(&world, &world.validators[2], ComplaintKind::Scrub, 1);
    assert_eq!(world.names(&both), ["ACCEPTED"; 2]);
    assert_eq!(world.names(&both), ["COMPLAINT_KNOWN"; 2], "the same two, shown again");
    assert_eq!(
        world.names(std::slice::from_ref(&late)),
        ["COMPLAINT_KNOWN"],
        "of an epoch whose fault is written down"
    );
    end_epoch(&mut world);
    world.block(&[]);
    assert_eq!(world.names(&both), ["COMPLAINT_KNOWN"; 2], "in the epoch after");
    assert_eq!(world.names(&[late]), ["COMPLAINT_KNOWN"]);
    assert_eq!(world.ledger.book().unwrap().fault_epoch, 0);
    // New ones are heard, also of the epoch that has begun only now.
    let new: Vec<_> =
        (0..2).map(|by| complaint(&world, &world.validators[by], ComplaintKind::Scrub, 1)).collect();
    assert_eq!(world.names(&new), ["ACCEPTED"; 2]);
    assert_eq!(world.ledger.book().unwrap().fault_epoch, 1);
    replays(&world);
}

#[test]
fn a_regime_that_is_chosen_in_the_first_epoch_says_nothing_of_faults() {
    let mut world = fast();
    let early: Vec<_> =
        (0..2).map(|by| complaint(&world, &world.validators[by], ComplaintKind::Scrub, 1)).collect();
    configure(&mut world, |configuration| Configuration { mode: RegimeMode::Strict, ..configuration });
    world.block(&[]);
    assert_eq!(world.ledger.parameters().regime, Regime::Strict);
    assert_eq!(world.names(&early), ["ACCEPTED"; 2], "complaints of epoch 0 are heard in epoch 1");
    assert_eq!(world.ledger.book().unwrap().fault_epoch, 1);
    replays(&world);
}

#[test]
fn who_has_left_is_no_suspect_in_a_pinned_regime_either() {
    let mut world = fast();
    configure(&mut world, |configuration| Configuration { mode: RegimeMode::Fast, ..configuration });
    let (left, stays) = (world.validators[3].public_key(), world.validators[2].public_key());
    for by in [2, 3] {
        let proof = equivocation(&world, by, world.ledger.epoch_of(world.ledger.height() + 1));
        assert_eq!(world.names(&[proof]), ["ACCEPTED"]);
    }
    assert_eq!(world.ledger.book().unwrap().suspects.len(), 2);
    let epoch = world.ledger.epoch_of(world.ledger.height() + 1);
    decide(&mut world, &Change::Remove { key: left });
    assert_eq!(world.ledger.book().unwrap().suspects, [stays]);
    // Evidence of the epoch before still convicts, and makes no suspect of who cannot lead.
    let later = message(&world.chain_id(), "_NOTARIZE", epoch, 301, Some([1; 32]));
    let other = message(&world.chain_id(), "_NOTARIZE", epoch, 301, Some([2; 32]));
    let known = evidence(&world.validators[3], [later, other]);
    assert_eq!(world.names(&[known]), ["EVIDENCE_KNOWN"]);
    assert_eq!(world.ledger.book().unwrap().suspects, [stays]);
    replays(&world);
}

#[test]
fn who_was_convicted_after_leaving_is_no_suspect() {
    let mut world = fast();
    let left = world.validators[3].public_key();
    decide(&mut world, &Change::Remove { key: left });
    let proof = equivocation(&world, 3, 0);
    assert_eq!(world.names(&[proof]), ["ACCEPTED"]);
    assert!(world.ledger.fault(&left).unwrap().is_some(), "it is written down");
    assert!(world.ledger.book().unwrap().suspects.is_empty());
    replays(&world);
}

#[test]
fn the_agreement_of_a_member_that_leaves_holds_nothing_up() {
    let mut world = fast();
    world.submit(&[equivocation(&world, 1, 0)]);
    for _ in 0..3 {
        end_epoch(&mut world);
    }
    world.block(&[]);
    // The one that leaves agreed first, and on another block.
    let mut all = vec![agreement(&world, 3, 23, [9; 32])];
    all.extend((0..3).map(|by| agreement(&world, by, 24, [5; 32])));
    assert_eq!(world.names(&all), ["ACCEPTED"; 4]);
    let last = world.ledger.log().size() - 1;
    let left = world.validators[3].public_key();
    decide(&mut world, &Change::Remove { key: left });
    let now = world.ledger.regime().unwrap();
    assert_eq!((now.regime, now.trigger.leaf_index), (Regime::Fast, last));
    replays(&world);
}

fn replays(world: &World) {
    let mut ledger = Ledger::genesis(&world.genesis);
    for (block, _) in &world.blocks {
        ledger = ledger.replay(block).unwrap().ledger;
    }
    assert_eq!((ledger.tip(), ledger.state()), (world.ledger.tip(), world.ledger.state()));
}
