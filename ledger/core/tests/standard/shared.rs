//! `shared`: opened by its account, bound by every keeper's word, and spoken for by nobody else than was named.

use crate::common::shared::{HOUR_MS, LOCK_MS, binding, circle, device, name_of, renewal, replace};
use crate::common::vault::{id_of, keeper_key};
use keyward_ledger_core::change::Change;
use keyward_ledger_core::entry::{
    Renewal, SharedAct, SharedBinding, SharedIntent, SharedOpening, SharedRenewal, kind,
};
use keyward_ledger_core::scheme::{KeyId, Scheme};
use keyward_ledger_core::shared::{LOCK_MAX_MS, SHARED_LIFE_MAX_MS, shared_rule};
use keyward_ledger_core::state::layout::{KeyState, KeyStatus, key_key};
use keyward_ledger_core::state::shared::{SharedNameState, shared_run_key};

use super::*;

pub(super) const KEEPERS: [u8; 3] = [1, 2, 3];

pub(super) fn key_id() -> KeyId {
    signer::Ed25519.public_key().id()
}

/// People, and five keepers.
pub(super) fn kept() -> World {
    let mut world = world();
    world.admit_keepers(&[1, 2, 3, 4, 5]);
    world.step_ms = 1_000;
    world
}

pub(super) fn open(opening: SharedOpening) -> Act {
    Act::Shared(SharedAct::Open(Box::new(opening)))
}

pub(super) fn claim(intent: SharedIntent) -> Act {
    Act::Shared(SharedAct::Intent(Box::new(intent)))
}

pub(super) fn bound_with(change: impl FnOnce(&mut SharedOpening, &mut SharedBinding)) -> World {
    let mut world = kept();
    let (mut opening, mut binding) = (world.open_shared(1, &KEEPERS), binding(OWNER, 1, &signer::Ed25519));
    change(&mut opening, &mut binding);
    assert_eq!(world.answer(open(opening), &[OWNER]), "ACCEPTED");
    let act = world.bind_shared(binding, &KEEPERS);
    assert_eq!(world.answer(act, &[OWNER]), "ACCEPTED");
    world
}

pub(super) fn bound() -> World {
    bound_with(|_, _| {})
}

pub(super) fn refresh(world: &World, share_version: u32) -> SharedRenewal {
    renewal(share_version, Renewal::Refresh, circle(&KEEPERS, 2), world.soon())
}

#[test]
fn a_key_is_opened_by_its_account_and_bound_once_every_keeper_says_that_it_has_its_share() {
    let mut world = kept();
    let opening = world.open_shared(1, &KEEPERS);
    refused(&mut world, open(opening.clone()), &[], "AUTHORS_MISSING");
    refused(&mut world, open(opening.clone()), &[ALICE], "AUTHOR_NOT_NAMED");
    refused(&mut world, open(opening.clone()), &[OWNER, ALICE], "AUTHORS_MISSING");
    let act = world.bind_shared(binding(OWNER, 1, &signer::Ed25519), &KEEPERS);
    refused(&mut world, act.clone(), &[OWNER], "SHARED_RUN_UNKNOWN");
    assert_eq!(world.answer(open(opening.clone()), &[OWNER]), "ACCEPTED");
    let Some(SharedNameState::Run(run)) = world.shared_name(&name_of(OWNER)) else { panic!() };
    assert_eq!((run.openings, run.circle.clone(), run.attempt), (opening.openings, opening.circle, 1));
    refused(&mut world, act.clone(), &[], "AUTHORS_MISSING");
    refused(&mut world, act.clone(), &[ALICE], "AUTHOR_NOT_NAMED");
    // What was acknowledged is exactly what is bound.
    let Act::Shared(SharedAct::Bind(good)) = act.clone() else { panic!() };
    let changes: [fn(&mut SharedBinding); 7] = [
        |it| it.key_hash[0] ^= 1,
        |it| it.policy_tenant = None,
        |it| it.policy_tenant = Some([0; 32]),
        |it| it.public_key = SigningKey::from_seed(&[9; 32]).public_key().to_vec(),
        |it| it.acknowledgements.swap(0, 1),
        |it| it.acknowledgements.truncate(2),
        |it| it.acknowledgements.push([1; 64]),
    ];
    for change in changes {
        let mut other = good.clone();
        change(&mut other);
        let other = Act::Shared(SharedAct::Bind(other));
        refused(&mut world, other, &[OWNER], "SHARED_ACKNOWLEDGEMENT_INVALID");
    }
    let by_others = world.bind_shared(SharedBinding { acknowledgements: Vec::new(), ..*good }, &[1, 2, 4]);
    refused(&mut world, by_others, &[OWNER], "SHARED_ACKNOWLEDGEMENT_INVALID");
    assert_eq!(world.answer(act.clone(), &[OWNER]), "ACCEPTED");
    let key = KeyState::decode(world.ledger.state().get(&key_key(&key_id())).unwrap()).unwrap();
    let (mode, scheme, status) = (Mode::Shared, Scheme::Ed25519, KeyStatus::Active);
    assert_eq!((key.account, key.mode, key.scheme), (OWNER.account(), mode, scheme));
    assert_eq!((key.status, key.version, key.height), (status, 1, world.ledger.height()));
    let shared = world.shared_key(&key_id()).unwrap();
    assert_eq!((shared.share_version, shared.key_hash, shared.circle), (1, [0x71; 32], run.circle));
    assert_eq!((shared.device, shared.pending, shared.lock_ms), (device(1), None, LOCK_MS));
    assert_eq!((shared.approval_rule, shared.policy_tenant), (None, Some([0x72; 32])));
    assert_eq!(world.records[shared.leaf as usize].entry[..2], kind::BIND_SHARED_KEY.to_be_bytes());
    // The name is taken for good, also after the generation would have ended.
    world.wait(2 * SHARED_LIFE_MAX_MS);
    assert_eq!(world.shared_name(&name_of(OWNER)), Some(SharedNameState::Bound(key_id())));
    let again = world.open_shared(1, &KEEPERS);
    refused(&mut world, open(again), &[OWNER], "SHARED_NAME_BOUND");
    refused(&mut world, act, &[OWNER], "SHARED_NAME_BOUND");
}

#[test]
fn an_opening_has_bounds() {
    let mut world = kept();
    let changes: [fn(&mut SharedOpening); 9] = [
        |it| it.circle.threshold = 1,
        |it| it.circle.threshold = 0,
        |it| it.circle.threshold = 4,
        |it| it.circle.keepers[1] = it.circle.keepers[0],
        |it| it.scheme = Scheme::EcdsaP256,
        |it| it.scheme = Scheme::Sm2,
        |it| it.lock_ms = LOCK_MAX_MS + 1,
        |it| it.device.signing_key = [0; 32],
        |it| (it.circle.keepers, it.openings) = (Vec::new(), vec![[1; 32]]),
    ];
    for change in changes {
        let mut opening = world.open_shared(1, &KEEPERS);
        change(&mut opening);
        refused(&mut world, open(opening), &[OWNER], "SHARED_INVALID");
    }
    for attempt in [0, 2, u32::MAX] {
        let opening = world.open_shared(attempt, &KEEPERS);
        refused(&mut world, open(opening), &[OWNER], "SHARED_ATTEMPT");
    }
    let opening = world.open_shared(1, &[1, 2, 9]);
    refused(&mut world, open(opening), &[OWNER], "SHARED_KEEPER_UNKNOWN");
    // The next block comes a second later.
    let now = world.ledger.time_ms() + 1_000;
    let until = |expires_ms, world: &World| SharedOpening { expires_ms, ..world.open_shared(1, &KEEPERS) };
    let late = until(now - 1, &world);
    refused(&mut world, open(late), &[OWNER], "EXPIRED");
    let far = until(world.ledger.time_ms() + 1_000 + SHARED_LIFE_MAX_MS + 1, &world);
    refused(&mut world, open(far), &[OWNER], "EXPIRY_TOO_FAR");
    let most = until(world.ledger.time_ms() + 1_000 + SHARED_LIFE_MAX_MS, &world);
    let most = SharedOpening { lock_ms: LOCK_MAX_MS, ..most };
    assert_eq!(world.answer(open(most), &[OWNER]), "ACCEPTED");
}

#[test]
fn sixteen_keepers_fit_an_entry_and_bind_a_key() {
    let mut world = world();
    let numbers: Vec<u8> = (1..=16).collect();
    numbers.chunks(4).for_each(|some| world.admit_keepers(some));
    let opening = world.open_shared(1, &numbers);
    assert_eq!(world.answer(open(opening), &[OWNER]), "ACCEPTED");
    let act = world.bind_shared(binding(OWNER, 1, &signer::Ed25519), &numbers);
    assert_eq!(world.answer(act, &[OWNER]), "ACCEPTED");
    let renewed =
        world.renew_shared(renewal(2, Renewal::Refresh, circle(&numbers, 2), world.soon()), &numbers);
    assert_eq!(world.answer(renewed, &[]), "ACCEPTED");
}

#[test]
fn a_generation_ends_and_each_attempt_at_it_takes_the_place_of_the_one_before() {
    let mut world = kept();
    let first = world.open_shared(1, &KEEPERS);
    assert_eq!(world.answer(open(first.clone()), &[OWNER]), "ACCEPTED");
    refused(&mut world, open(first.clone()), &[OWNER], "SHARED_ATTEMPT");
    let second = world.open_shared(2, &[1, 2, 4]);
    assert_eq!(world.answer(open(second.clone()), &[OWNER]), "ACCEPTED");
    let old = world.bind_shared(binding(OWNER, 1, &signer::Ed25519), &KEEPERS);
    refused(&mut world, old, &[OWNER], "SHARED_ATTEMPT");
    let ready = world.bind_shared(binding(OWNER, 2, &signer::Ed25519), &[1, 2, 4]);
    let wait = second.expires_ms - world.ledger.time_ms();
    world.wait(wait);
    assert!(world.shared_name(&name_of(OWNER)).is_some(), "it lives up to its last moment");
    world.wait(1);
    assert_eq!(world.shared_name(&name_of(OWNER)), None);
    refused(&mut world, ready, &[OWNER], "SHARED_RUN_UNKNOWN");
    for attempt in [1, 2, 4] {
        let anew = world.open_shared(attempt, &KEEPERS);
        refused(&mut world, open(anew), &[OWNER], "SHARED_ATTEMPT");
    }
    let anew = world.open_shared(3, &KEEPERS);
    assert_eq!(world.answer(open(anew), &[OWNER]), "ACCEPTED");
}

#[test]
fn what_keepers_acknowledged_under_one_opening_binds_nothing_under_another_one() {
    let mut world = kept();
    let first = world.open_shared(1, &KEEPERS);
    assert_eq!(world.answer(open(first), &[OWNER]), "ACCEPTED");
    let held_back = world.bind_shared(binding(OWNER, 1, &signer::Ed25519), &KEEPERS);
    // A service lets the generation end, and opens the name again for a key that it has linked to the account.
    world.wait(2 * SHARED_LIFE_MAX_MS);
    let speakers = vec![world.linked(OWNER)];
    let answer = |world: &mut World, act: Act| {
        let entry = world.signed_by_key(act, &signer::Secp256k1);
        world.names(&[entry])[0]
    };
    let mine = |world: &World, attempt| SharedOpening {
        speakers: speakers.clone(),
        device: device(2),
        lock_ms: 0,
        ..world.open_shared(attempt, &KEEPERS)
    };
    let [again, next] = [mine(&world, 1), mine(&world, 2)];
    assert_eq!(answer(&mut world, open(again)), "SHARED_ATTEMPT");
    assert_eq!(answer(&mut world, open(next)), "ACCEPTED");
    assert_eq!(answer(&mut world, held_back.clone()), "SHARED_ATTEMPT");
    let Act::Shared(SharedAct::Bind(old)) = held_back else { panic!() };
    let old = SharedBinding { attempt: 2, ..*old };
    let taken = Act::Shared(SharedAct::Bind(Box::new(old)));
    assert_eq!(answer(&mut world, taken), "SHARED_ACKNOWLEDGEMENT_INVALID");
}

#[test]
fn a_binding_is_refused_by_name() {
    let mut world = kept();
    let opening = world.open_shared(1, &KEEPERS);
    assert_eq!(world.answer(open(opening), &[OWNER]), "ACCEPTED");
    let good = binding(OWNER, 1, &signer::Ed25519);
    type Alter = fn(&mut SharedBinding);
    let changes: [(Alter, &str); 6] = [
        (|it| it.attempt = 2, "SHARED_ATTEMPT"),
        (|it| it.attempt = 0, "SHARED_ATTEMPT"),
        (|it| it.scheme = Scheme::Bip340, "SHARED_INVALID"),
        (|it| it.public_key = vec![0; 32], "PUBLIC_KEY_INVALID"),
        (|it| it.public_key.truncate(31), "PUBLIC_KEY_INVALID"),
        (|it| it.approval_rule = Some([1; 32]), "RULE_UNKNOWN"),
    ];
    for (change, name) in changes {
        let mut other = good.clone();
        change(&mut other);
        let act = world.bind_shared(other, &KEEPERS);
        refused(&mut world, act, &[OWNER], name);
    }
    // The public key of somebody's key is not bound again.
    world.link(ALICE, &signer::Ed25519, Mode::Own);
    let act = world.bind_shared(good.clone(), &KEEPERS);
    refused(&mut world, act.clone(), &[OWNER], "KEY_ALREADY_BOUND");
    let schedule = Entry::ScheduleDestroyKey { key_id: key_id(), wait_ms: 1_000 };
    assert_eq!(world.names(&[schedule]), ["ACCEPTED"]);
    world.wait(1_000);
    assert_eq!(world.names(&[Entry::DestroyKey { key_id: key_id() }]), ["ACCEPTED"]);
    refused(&mut world, act, &[OWNER], "KEY_DESTROYED");
}

#[test]
fn a_keeper_that_left_binds_and_renews_nothing() {
    let mut world = bound();
    let opening = SharedOpening {
        name: keyward_ledger_core::entry::RuleName { name: [0x5c; 32], ..name_of(OWNER) },
        scheme: Scheme::Bip340,
        expires_ms: world.ledger.time_ms() + SHARED_LIFE_MAX_MS,
        ..world.open_shared(1, &KEEPERS)
    };
    assert_eq!(world.answer(open(opening.clone()), &[OWNER]), "ACCEPTED");
    let second = SharedBinding { name: opening.name, ..binding(OWNER, 1, &signer::Bip340) };
    let (bind, renew) =
        (world.bind_shared(second, &KEEPERS), world.renew_shared(refresh(&world, 2), &KEEPERS));
    assert_eq!(world.decide(&[Change::RemoveKeeper { id: id_of(3) }]).1, ["ACCEPTED"]);
    refused(&mut world, bind, &[OWNER], "SHARED_KEEPER_UNKNOWN");
    refused(&mut world, renew, &[], "SHARED_KEEPER_UNKNOWN");
}

#[test]
fn keys_that_a_service_binds_to_the_account_say_nothing_about_a_shared_key() {
    let mut world = kept();
    let late = SharedOpening {
        speakers: vec![OWNER.party(), Party::Key(signer::Secp256k1.public_key().id())],
        ..world.open_shared(1, &KEEPERS)
    };
    refused(&mut world, open(late.clone()), &[OWNER], "KEY_UNKNOWN");
    let token = world.linked(OWNER);
    let others =
        SharedOpening { speakers: vec![OWNER.party(), ALICE.party()], ..world.open_shared(1, &KEEPERS) };
    refused(&mut world, open(others), &[OWNER], "AUTHOR_NOT_NAMED");
    let strangers =
        SharedOpening { speakers: vec![OWNER.party(), STRANGER.party()], ..world.open_shared(1, &KEEPERS) };
    refused(&mut world, open(strangers), &[OWNER], "AUTHOR_UNKNOWN");
    let unsaid = SharedOpening { speakers: vec![token], ..world.open_shared(1, &KEEPERS) };
    refused(&mut world, open(unsaid.clone()), &[OWNER], "AUTHOR_NOT_NAMED");
    let nobody = SharedOpening { speakers: Vec::new(), ..world.open_shared(1, &KEEPERS) };
    refused(&mut world, open(nobody), &[OWNER], "AUTHOR_NOT_NAMED");
    // A bank speaks with its token alone: then its credential, which anybody's service could bind, says nothing.
    let entry = world.signed_by_key(open(unsaid), &signer::Secp256k1);
    assert_eq!(world.names(&[entry]), ["ACCEPTED"]);
    let bind = world.bind_shared(binding(OWNER, 1, &signer::Ed25519), &KEEPERS);
    refused(&mut world, bind.clone(), &[OWNER], "AUTHOR_NOT_NAMED");
    let entry = world.signed_by_key(bind, &signer::Secp256k1);
    assert_eq!(world.names(&[entry]), ["ACCEPTED"]);
    world.link(OWNER, &signer::P256, Mode::Linked);
    let renewed = renewal(2, Renewal::Renew, circle(&[1, 2, 4], 2), world.soon());
    let acts = [claim(world.claim_shared(1)), world.renew_shared(renewed, &[1, 2, 4]), replace(2)];
    for act in acts {
        refused(&mut world, act.clone(), &[OWNER], "AUTHOR_NOT_NAMED");
        let fabricated = world.signed_by_key(act.clone(), &signer::P256);
        assert_eq!(world.names(&[fabricated]), ["AUTHOR_NOT_NAMED"]);
        let entry = world.signed_by_key(act, &signer::Secp256k1);
        assert_eq!(world.names(&[entry]), ["ACCEPTED"]);
    }
}

#[test]
fn a_shared_key_is_nobodys_word() {
    let mut world = bound();
    let shared = SharedOpening {
        name: keyward_ledger_core::entry::RuleName { name: [0x5c; 32], ..name_of(OWNER) },
        speakers: vec![OWNER.party(), Party::Key(key_id())],
        ..world.open_shared(1, &KEEPERS)
    };
    refused(&mut world, open(shared), &[OWNER], "AUTHOR_UNKNOWN");
    let rule = Act::DefineApproval(define(OWNER, 1, approval_terms(&[(1, &[ALICE])])));
    assert_eq!(world.answer(rule, &[OWNER]), "ACCEPTED");
    let ask = Act::OpenApproval { rule: OWNER.rule(), payload: PAYLOAD, live_ms: 60_000 };
    let entry = world.signed_by_key(ask, &signer::Ed25519);
    assert_eq!(world.names(&[entry]), ["AUTHOR_UNKNOWN"]);
}

#[test]
fn any_role_transports_what_its_authors_and_keepers_have_signed() {
    let mut world = kept();
    let opening = world.open_shared(1, &KEEPERS);
    let bind = world.bind_shared(binding(OWNER, 1, &signer::Ed25519), &KEEPERS);
    let renewed = world.renew_shared(refresh(&world, 2), &KEEPERS);
    let acts: [(Act, &[Person]); 3] = [(open(opening), &[OWNER]), (bind, &[OWNER]), (renewed, &[])];
    for (act, people) in acts {
        let entry = world.signed_by(act, people);
        assert_eq!(world.submit_as(&keeper_key(2), &[entry])[0].name(), "ACCEPTED");
    }
    let entry = world.signed_by(replace(2), &[OWNER]);
    assert_eq!(world.submit_as(&SigningKey::from_seed(&[23; 32]), &[entry])[0].name(), "ACCEPTED");
}

#[test]
fn a_restored_ledger_ends_generations_and_keeps_names_at_the_same_moment() {
    let mut world = bound();
    let other = SharedOpening {
        name: keyward_ledger_core::entry::RuleName { name: [0x5c; 32], ..name_of(OWNER) },
        ..world.open_shared(1, &KEEPERS)
    };
    assert_eq!(world.answer(open(other.clone()), &[OWNER]), "ACCEPTED");
    let act = claim(world.claim_shared(1));
    assert_eq!(world.answer(act, &[OWNER]), "ACCEPTED");
    let (block, _) = world.blocks.last().unwrap();
    let head = LedgerHead { signed_header: block.signed_header.clone(), log: world.ledger.log().clone() };
    let entries: Vec<_> =
        world.ledger.state().iter().map(|(key, value)| (key.to_vec(), value.to_vec())).collect();
    let mut restored = Ledger::restore(&head, entries).unwrap();
    let before = world.blocks.len();
    world.wait(HOUR_MS);
    (0..60).for_each(|_| world.wait(1_000));
    for (block, executed) in &world.blocks[before..] {
        restored = restored.replay(block).unwrap().ledger;
        assert_eq!(restored.state(), executed.ledger.state());
    }
    assert_eq!((world.count(b"shared/run/"), world.count(b"shared/intent/")), (1, 0));
    let run = |name| restored.state().get(&shared_run_key(&shared_rule(&name))).is_some();
    assert_eq!((run(name_of(OWNER)), run(other.name)), (true, false));
}
