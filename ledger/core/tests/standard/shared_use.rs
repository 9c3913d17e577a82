//! `shared`: what intents of a shared key may say, and the approvals that they use up.

use crate::common::shared::{binding, device, replace};
use keyward_ledger_core::contracts::intent::INTENT_BLOCKS_MAX;
use keyward_ledger_core::entry::{
    BindKey, Release, SharedAct, SharedBinding, SharedIntent, SharedOpening, SharedRenewal, Tweak, kind,
};
use keyward_ledger_core::hash::signature_hash;
use keyward_ledger_core::scheme::{KeyId, Scheme};
use keyward_ledger_core::shared::approval_payload;
use keyward_ledger_core::state::layout::{IntentState, intent_key};
use keyward_ledger_core::state::shared::{SharedIntentState, shared_intent_key};

use super::shared::{KEEPERS, bound, claim, kept, key_id, open, refresh};
use super::*;

#[test]
fn an_intent_is_its_speakers_and_says_who_signs_with_which_shares() {
    let mut world = bound();
    let good = world.claim_shared(1);
    let height = world.ledger.height();
    refused(&mut world, claim(good.clone()), &[], "AUTHORS_MISSING");
    refused(&mut world, claim(good.clone()), &[ALICE], "AUTHOR_NOT_NAMED");
    type Alter = fn(&mut SharedIntent);
    let changes: [(Alter, &str); 9] = [
        (|it| it.executor[0] ^= 1, "NOT_EXECUTOR"),
        (|it| it.not_after = 1, "EXPIRED"),
        (|it| it.key_id.0[0] ^= 1, "KEY_UNKNOWN"),
        (|it| it.share_version = 2, "SHARED_VERSION_STALE"),
        (|it| it.share_version = 0, "SHARED_VERSION_STALE"),
        (|it| it.signers = vec![1], "SHARED_SIGNERS"),
        (|it| it.signers = vec![1, 2, 3], "SHARED_SIGNERS"),
        (|it| it.signers = vec![0, 1], "SHARED_SIGNERS"),
        (|it| it.signers = vec![2, 4], "SHARED_SIGNERS"),
    ];
    for (change, name) in changes {
        let mut other = good.clone();
        change(&mut other);
        refused(&mut world, claim(other), &[OWNER], name);
    }
    for tweak in [Tweak::KeyPath, Tweak::Root([7; 32])] {
        refused(&mut world, claim(SharedIntent { tweak, ..good.clone() }), &[OWNER], "SHARED_TWEAK");
    }
    let far = SharedIntent { not_after: height + 1_000 + INTENT_BLOCKS_MAX, ..good.clone() };
    refused(&mut world, claim(far), &[OWNER], "EXPIRY_TOO_FAR");
    for key in [world.operator.public_key(), world.keeper.public_key()] {
        let submitter = if key == world.operator.public_key() { [23; 32] } else { [24; 32] };
        let entry = world.signed_by(claim(SharedIntent { executor: key, ..good.clone() }), &[OWNER]);
        let answers = world.submit_as(&SigningKey::from_seed(&submitter), &[entry]);
        assert_eq!(answers[0].name(), "ROLE_NOT_ALLOWED");
    }
    let act = claim(world.claim_shared(1));
    let payload = act.payload();
    let entry = world.signed_by(act, &[OWNER]);
    assert_eq!(world.names(std::slice::from_ref(&entry)), ["ACCEPTED"]);
    assert_eq!(world.names(&[entry]), ["INTENT_REPLAYED"]);
    let other = claim(SharedIntent { commitment: [1; 32], ..world.claim_shared(1) });
    refused(&mut world, other, &[OWNER], "INTENT_REPLAYED");
    let live = IntentState::decode(world.ledger.state().get(&intent_key(&[1; 32])).unwrap()).unwrap();
    assert_eq!((live.key_id, live.commitment, live.released), (key_id(), PAYLOAD, false));
    let value = world.ledger.state().get(&shared_intent_key(&[1; 32])).unwrap();
    let not_after = live.not_after;
    let allowed = SharedIntentState { not_after, act: payload, share_version: 1, approved_rule: None };
    assert_eq!(SharedIntentState::decode(value).unwrap(), allowed);
    let release =
        || Entry::Release(Release { intent_id: [1; 32], signature_hash: signature_hash(b"signature") });
    let other_service = SigningKey::from_seed(&[22; 32]);
    assert_eq!(world.submit_as(&other_service, &[release()])[0].name(), "NOT_EXECUTOR");
    assert_eq!(world.names(&[release(), release()]), ["ACCEPTED", "ALREADY_RELEASED"]);
    while world.ledger.height() <= not_after {
        world.wait(1);
    }
    assert_eq!((world.count(b"intent/"), world.count(b"shared/intent/")), (0, 0), "both end together");
}

#[test]
fn a_key_that_rests_has_ended_or_whose_account_is_closed_is_not_used() {
    let mut world = bound();
    let good = claim(world.claim_shared(1));
    assert_eq!(world.names(&[Entry::FreezeKey { key_id: key_id() }]), ["ACCEPTED"]);
    refused(&mut world, good.clone(), &[OWNER], "KEY_FROZEN");
    // Its shares are dealt anew all the same: it will thaw.
    let act = world.renew_shared(refresh(&world, 2), &KEEPERS);
    assert_eq!(world.answer(act, &[]), "ACCEPTED");
    assert_eq!(world.names(&[Entry::UnfreezeKey { key_id: key_id() }]), ["ACCEPTED"]);
    let schedule = Entry::ScheduleDestroyKey { key_id: key_id(), wait_ms: 1_000 };
    assert_eq!(world.names(&[schedule]), ["ACCEPTED"]);
    let used = |world: &mut World, name| {
        let renewed = world.renew_shared(refresh(world, 3), &KEEPERS);
        refused(world, good.clone(), &[OWNER], name);
        refused(world, renewed, &[], name);
        refused(world, replace(2), &[OWNER], name);
        let cancel = world.cancel_device(1, 2);
        refused(world, cancel, &[], name);
    };
    used(&mut world, "KEY_SCHEDULED");
    world.wait(1_000);
    assert_eq!(world.names(&[Entry::DestroyKey { key_id: key_id() }]), ["ACCEPTED"]);
    used(&mut world, "KEY_DESTROYED");
    let mut world = bound();
    assert_eq!(world.answer(close(OWNER), &[OWNER]), "ACCEPTED");
    let (good, renewed) = (claim(world.claim_shared(1)), world.renew_shared(refresh(&world, 2), &KEEPERS));
    refused(&mut world, good, &[OWNER], "ACCOUNT_CLOSED");
    refused(&mut world, renewed, &[], "ACCOUNT_CLOSED");
    refused(&mut world, replace(2), &[OWNER], "ACCOUNT_CLOSED");
}

#[test]
fn only_the_entries_for_shared_keys_bind_use_and_replace_one() {
    let mut world = bound();
    let mut bind = world.bind_as(Mode::Own, &signer::Secp256k1, [9; 32]);
    bind.account = OWNER.account();
    let claimed = BindKey { mode: Mode::Shared, ..bind };
    assert_eq!(world.names(&[Entry::BindKey(claimed)]), ["KEY_SHARED"]);
    let mut rotate = world.rotate(&signer::Secp256k1, [9; 32], key_id());
    rotate.bind.account = OWNER.account();
    assert_eq!(world.names(&[Entry::RotateKey(rotate.clone())]), ["KEY_SHARED"]);
    rotate.bind.mode = Mode::Shared;
    assert_eq!(world.names(&[Entry::RotateKey(rotate)]), ["KEY_SHARED"]);
    let plain = world.intent([3; 32], key_id(), b"message");
    assert_eq!(world.names(&[Entry::Intent(plain)]), ["KEY_SHARED"]);
    // And they are for no other key.
    let Party::Key(token) = world.linked(OWNER) else { panic!() };
    let intent = claim(SharedIntent { key_id: token, ..world.claim_shared(1) });
    refused(&mut world, intent, &[OWNER], "KEY_NOT_SHARED");
    let renewed = SharedRenewal { key_id: token, ..refresh(&world, 2) };
    let renewed = world.renew_shared(renewed, &KEEPERS);
    refused(&mut world, renewed, &[], "KEY_NOT_SHARED");
    let other = |key_id| Act::Shared(SharedAct::ReplaceDevice { key_id, device: device(2) });
    refused(&mut world, other(token), &[OWNER], "KEY_NOT_SHARED");
    refused(&mut world, other(KeyId([1; 32])), &[OWNER], "KEY_UNKNOWN");
    let cancel = |key_id| Act::Shared(SharedAct::CancelDevice { key_id, signature: [0; 64] });
    refused(&mut world, cancel(token), &[], "KEY_NOT_SHARED");
    refused(&mut world, cancel(KeyId([1; 32])), &[], "KEY_UNKNOWN");
}

#[test]
fn a_taproot_key_takes_a_tweak() {
    let mut world = kept();
    let opening = SharedOpening { scheme: Scheme::Bip340, ..world.open_shared(1, &KEEPERS) };
    assert_eq!(world.answer(open(opening), &[OWNER]), "ACCEPTED");
    let act = world.bind_shared(binding(OWNER, 1, &signer::Bip340), &KEEPERS);
    assert_eq!(world.answer(act, &[OWNER]), "ACCEPTED");
    for (id, tweak) in [(1, Tweak::Plain), (2, Tweak::KeyPath), (3, Tweak::Root([7; 32]))] {
        let key_id = signer::Bip340.public_key().id();
        let act = claim(SharedIntent { key_id, tweak, ..world.claim_shared(id) });
        assert_eq!(world.answer(act, &[OWNER]), "ACCEPTED");
    }
}

#[test]
fn an_ecdsa_key_is_made_used_and_dealt_anew_as_others_are_and_takes_no_tweak() {
    let mut world = kept();
    let opening = SharedOpening { scheme: Scheme::EcdsaSecp256k1, ..world.open_shared(1, &KEEPERS) };
    assert_eq!(world.answer(open(opening), &[OWNER]), "ACCEPTED");
    // Of the same curve and with a key of its own form: yet another scheme than was opened.
    let other = world.bind_shared(binding(OWNER, 1, &signer::Bip340), &KEEPERS);
    refused(&mut world, other, &[OWNER], "SHARED_INVALID");
    let x_only = signer::Bip340.public_key().as_bytes().to_vec();
    let short = SharedBinding { public_key: x_only, ..binding(OWNER, 1, &signer::Secp256k1) };
    let short = world.bind_shared(short, &KEEPERS);
    refused(&mut world, short, &[OWNER], "PUBLIC_KEY_INVALID");
    let act = world.bind_shared(binding(OWNER, 1, &signer::Secp256k1), &KEEPERS);
    assert_eq!(world.answer(act, &[OWNER]), "ACCEPTED");
    let key_id = signer::Secp256k1.public_key().id();
    let claimed = |world: &World, id, tweak| claim(SharedIntent { key_id, tweak, ..world.claim_shared(id) });
    for tweak in [Tweak::KeyPath, Tweak::Root([7; 32])] {
        let tweaked = claimed(&world, 1, tweak);
        refused(&mut world, tweaked, &[OWNER], "SHARED_TWEAK");
    }
    let plain = claimed(&world, 1, Tweak::Plain);
    assert_eq!(world.answer(plain, &[OWNER]), "ACCEPTED");
    let renewed = world.renew_shared(SharedRenewal { key_id, ..refresh(&world, 2) }, &KEEPERS);
    assert_eq!(world.answer(renewed, &[]), "ACCEPTED");
}

/// A case about the intent's payload, approved by these people.
fn approved(world: &mut World, rule: Person, commitment: &Hash, by: Person, people: &[Person]) -> Hash {
    let payload = approval_payload(&key_id(), commitment);
    let ask = Act::OpenApproval { rule: rule.rule(), payload, live_ms: 600_000 };
    let id = world.made(ask, &[by]);
    for person in people {
        let act = Act::Approve { case: Case { id, payload }, group: 0 };
        assert_eq!(world.answer(act, &[*person]), "ACCEPTED");
    }
    id
}

/// A key with an approval rule of Alice's; Bob has one too.
fn ruled_key() -> World {
    let mut world = kept();
    for rule in [ALICE, BOB] {
        let terms = approval_terms(&[(2, &[OWNER, ALICE, BOB, CAROL])]);
        assert_eq!(world.answer(Act::DefineApproval(define(rule, 1, terms)), &[rule]), "ACCEPTED");
    }
    let rule = ALICE.rule().id(kind::DEFINE_APPROVAL);
    let opening = world.open_shared(1, &KEEPERS);
    assert_eq!(world.answer(open(opening), &[OWNER]), "ACCEPTED");
    let with_rule = SharedBinding { approval_rule: Some(rule), ..binding(OWNER, 1, &signer::Ed25519) };
    let act = world.bind_shared(with_rule, &KEEPERS);
    assert_eq!(world.answer(act, &[OWNER]), "ACCEPTED");
    world
}

#[test]
fn a_key_with_an_approval_rule_takes_no_intent_without_exactly_its_case() {
    let mut world = ruled_key();
    let rule = ALICE.rule().id(kind::DEFINE_APPROVAL);
    let about = |world: &World, case| claim(SharedIntent { case, ..world.claim_shared(1) });
    let without = about(&world, None);
    refused(&mut world, without, &[OWNER], "APPROVALS_MISSING");
    let unknown = about(&world, Some([1; 32]));
    refused(&mut world, unknown, &[OWNER], "CASE_UNKNOWN");
    let cases = [
        (approved(&mut world, ALICE, &PAYLOAD, OWNER, &[ALICE]), "APPROVALS_MISSING"),
        (approved(&mut world, BOB, &PAYLOAD, OWNER, &[ALICE, BOB]), "CASE_UNKNOWN"),
        (approved(&mut world, ALICE, &[1; 32], OWNER, &[ALICE, BOB]), "CASE_PAYLOAD"),
        (approved(&mut world, ALICE, &PAYLOAD, CAROL, &[ALICE, OWNER]), "AUTHOR_NOT_NAMED"),
    ];
    for (case, name) in cases {
        let act = about(&world, Some(case));
        refused(&mut world, act, &[OWNER], name);
    }
    let case = approved(&mut world, ALICE, &PAYLOAD, OWNER, &[ALICE, BOB]);
    // Another payload under the same case, and somebody's use of it beforehand.
    let other = claim(SharedIntent { commitment: [1; 32], case: Some(case), ..world.claim_shared(1) });
    refused(&mut world, other, &[OWNER], "CASE_PAYLOAD");
    let act = about(&world, Some(case));
    refused(&mut world, act.clone(), &[ALICE], "AUTHOR_NOT_NAMED");
    assert_eq!(world.answer(act, &[OWNER]), "ACCEPTED");
    let value = world.ledger.state().get(&shared_intent_key(&[1; 32])).unwrap();
    assert_eq!(SharedIntentState::decode(value).unwrap().approved_rule, Some(rule));
    let again = claim(SharedIntent { case: Some(case), ..world.claim_shared(2) });
    refused(&mut world, again, &[OWNER], "CASE_USED");
    let payload = approval_payload(&key_id(), &PAYLOAD);
    refused(&mut world, Act::UseApproval(Case { id: case, payload }), &[OWNER], "CASE_USED");
}

#[test]
fn what_was_used_elsewhere_or_under_an_older_version_of_the_rule_is_worth_nothing() {
    let (mut world, payload) = (ruled_key(), approval_payload(&key_id(), &PAYLOAD));
    let spent = approved(&mut world, ALICE, &PAYLOAD, OWNER, &[ALICE, BOB]);
    let use_up = Act::UseApproval(Case { id: spent, payload });
    assert_eq!(world.answer(use_up, &[OWNER]), "ACCEPTED");
    let late = claim(SharedIntent { case: Some(spent), ..world.claim_shared(3) });
    refused(&mut world, late, &[OWNER], "CASE_USED");
    let old = approved(&mut world, ALICE, &PAYLOAD, OWNER, &[ALICE, BOB]);
    let terms = approval_terms(&[(2, &[OWNER, ALICE, BOB])]);
    assert_eq!(world.answer(Act::DefineApproval(define(ALICE, 2, terms)), &[ALICE]), "ACCEPTED");
    let late = claim(SharedIntent { case: Some(old), ..world.claim_shared(3) });
    refused(&mut world, late, &[OWNER], "RULE_VERSION");
}

#[test]
fn a_case_that_is_named_is_used_up_also_for_a_key_without_a_rule() {
    let mut world = bound();
    let terms = approval_terms(&[(1, &[ALICE, BOB])]);
    assert_eq!(world.answer(Act::DefineApproval(define(BOB, 1, terms)), &[BOB]), "ACCEPTED");
    let case = approved(&mut world, BOB, &PAYLOAD, OWNER, &[ALICE]);
    let named = |world: &World, id, case| claim(SharedIntent { case, ..world.claim_shared(id) });
    let act = named(&world, 1, Some(case));
    assert_eq!(world.answer(act, &[OWNER]), "ACCEPTED");
    let value = world.ledger.state().get(&shared_intent_key(&[1; 32])).unwrap();
    let rule = Some(BOB.rule().id(kind::DEFINE_APPROVAL));
    assert_eq!(SharedIntentState::decode(value).unwrap().approved_rule, rule);
    let again = named(&world, 2, Some(case));
    refused(&mut world, again, &[OWNER], "CASE_USED");
    let without = named(&world, 2, None);
    assert_eq!(world.answer(without, &[OWNER]), "ACCEPTED");
}
