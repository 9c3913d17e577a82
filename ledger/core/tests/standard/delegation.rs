//! `delegation`: delegates recover after a delay and act within limits; the owner vetoes; nobody appoints themselves.

use crate::common::delegation::{DELAY_MS, OPEN_MS, appoint, delegation_terms, new_key, operate, recovery};
use keyward_ledger_core::entry::{DelegationAct, DelegationTerms, Recovery, RuleName, Scope};
use keyward_ledger_core::scheme::KeyId;
use keyward_ledger_core::state::delegation::{DELEGATION_NAMES_MAX, DelegationState, delegation_key};
use keyward_ledger_core::state::layout::{CredentialState, credential_key};

use super::*;

/// An owner whose delegates Alice and Bob are in force, both needed for a recovery or an act.
pub(crate) fn trusted_with(change: impl FnOnce(&mut DelegationTerms)) -> World {
    let mut world = world();
    let mut terms = delegation_terms(2, &[ALICE, BOB]);
    change(&mut terms);
    assert_eq!(world.answer(appoint(OWNER, 1, terms), &[OWNER]), "ACCEPTED");
    world.wait(DELAY_MS);
    world
}

pub(crate) fn trusted() -> World {
    trusted_with(|_| {})
}

pub(crate) fn state(world: &World) -> DelegationState {
    let id = OWNER.rule().id(keyward_ledger_core::entry::kind::APPOINT_DELEGATES);
    DelegationState::decode(world.ledger.state().get(&delegation_key(&id)).unwrap()).unwrap()
}

pub(crate) fn credential(world: &World) -> CredentialState {
    CredentialState::decode(world.ledger.state().get(&credential_key(&OWNER.account())).unwrap()).unwrap()
}

pub(crate) fn asked(world: &World, recovery: Recovery) -> Act {
    let proof = new_key().sign(&recovery.payload(&world.chain_id()));
    Act::Delegation(DelegationAct::OpenRecovery { recovery, proof })
}

pub(crate) fn open(world: &World) -> Act {
    asked(world, recovery(OWNER))
}

pub(crate) fn about(world: &World, id: Hash) -> Case {
    Case { id, payload: recovery(OWNER).payload(&world.chain_id()) }
}

pub(crate) fn veto(world: &World, id: Hash) -> Act {
    Act::Delegation(DelegationAct::VetoRecovery(about(world, id)))
}

pub(crate) fn cancel(world: &World, id: Hash) -> Act {
    Act::Delegation(DelegationAct::CancelRecovery(about(world, id)))
}

pub(crate) fn execute(id: Hash) -> Act {
    Act::Delegation(DelegationAct::ExecuteRecovery { recovery: recovery(OWNER), case: id, judged: None })
}

pub(crate) fn revoke(version: u32) -> Act {
    Act::Delegation(DelegationAct::Revoke { rule: OWNER.rule(), version })
}

pub(crate) fn act(key: KeyId, amount: u128) -> Act {
    operate(OWNER, key, amount)
}

#[test]
fn delegates_recover_an_account_after_the_delay() {
    let mut world = trusted();
    let (asks, before) = (open(&world), credential(&world));
    for (people, name) in [
        (&[][..], "AUTHORS_MISSING"),
        (&[ALICE], "AUTHORS_MISSING"),
        (&[ALICE, CAROL], "AUTHOR_NOT_NAMED"),
        (&[OWNER], "AUTHOR_NOT_NAMED"),
    ] {
        refused(&mut world, asks.clone(), people, name);
    }
    // The new key proves itself, for exactly this.
    let other = Recovery { login: [8; 32], ..recovery(OWNER) };
    let proof = new_key().sign(&recovery(OWNER).payload(&world.chain_id()));
    let unproven = Act::Delegation(DelegationAct::OpenRecovery { recovery: other, proof });
    refused(&mut world, unproven, &[ALICE, BOB], "PROOF_INVALID");
    let entry = world.signed_by(asks.clone(), &[ALICE, BOB]);
    let outcome = world.submit(std::slice::from_ref(&entry)).remove(0);
    let id: Hash = outcome.data.try_into().unwrap();
    refused(&mut world, asks, &[ALICE, BOB], "TIMELOCK_BUSY");
    refused(&mut world, execute(id), &[ALICE], "TIMELOCK_EARLY");
    world.wait(DELAY_MS);
    refused(&mut world, execute(id), &[CAROL], "AUTHOR_NOT_NAMED");
    let elsewhere = Recovery { public_key: ALICE.key().public_key(), ..recovery(OWNER) };
    let elsewhere = DelegationAct::ExecuteRecovery { recovery: elsewhere, case: id, judged: None };
    refused(&mut world, Act::Delegation(elsewhere), &[ALICE], "CASE_PAYLOAD");
    assert_eq!(credential(&world), before, "nothing changes before");
    assert_eq!(world.answer(execute(id), &[BOB]), "ACCEPTED");
    let after = credential(&world);
    assert_eq!((after.version, after.public_key), (before.version + 1, new_key().public_key()));
    refused(&mut world, execute(id), &[ALICE], "CASE_USED");
    assert_eq!(world.names(&[entry]), ["AUTHOR_REPLAYED"]);
    // The lost credential speaks for nobody any more.
    refused(&mut world, revoke(2), &[OWNER], "AUTHOR_SIGNATURE_INVALID");
}

/// An act signed by a key of somebody's, besides the people.
pub(crate) fn with_key(
    world: &mut World,
    act: Act,
    people: &[Person],
    party: Party,
    keys: &dyn common::Keys,
) -> Entry {
    let Entry::Authored(mut authored) = world.signed_by(act, people) else { panic!() };
    let mut author = world.author(&authored.act, party, &|message| keys.sign(message));
    author.public_key = keys.public_key().as_bytes().to_vec();
    authored.authors.push(author);
    Entry::Authored(authored)
}

pub(crate) fn id(party: Party) -> KeyId {
    let Party::Key(key_id) = party else { panic!() };
    key_id
}

#[test]
fn the_owners_credential_and_keys_that_it_named_veto_and_nobody_else() {
    let mut world = world();
    let token = world.link(OWNER, &signer::Secp256k1, Mode::Linked);
    let own = world.link(OWNER, &signer::P256, Mode::Own);
    let mut vetoers = vec![id(token), id(own)];
    vetoers.sort_unstable();
    let terms = DelegationTerms { vetoers, ..delegation_terms(2, &[ALICE, BOB]) };
    assert_eq!(world.answer(appoint(OWNER, 1, terms), &[OWNER]), "ACCEPTED");
    world.wait(DELAY_MS);
    let people: [(&dyn common::Keys, Party); 2] = [(&signer::Secp256k1, token), (&signer::P256, own)];
    for (keys, party) in people {
        let case = world.made(open(&world), &[ALICE, BOB]);
        let stop = veto(&world, case);
        refused(&mut world, stop.clone(), &[ALICE], "AUTHOR_NOT_NAMED");
        refused(&mut world, stop.clone(), &[CAROL], "AUTHOR_NOT_NAMED");
        let by_key = with_key(&mut world, stop.clone(), &[], party, keys);
        assert_eq!(world.names(&[by_key]), ["ACCEPTED"]);
        refused(&mut world, stop, &[OWNER], "CASE_CLOSED");
        world.wait(DELAY_MS);
        refused(&mut world, execute(case), &[ALICE], "CASE_CLOSED");
    }
    let id = world.made(open(&world), &[ALICE, BOB]);
    let stop = veto(&world, id);
    assert_eq!(world.answer(stop, &[OWNER]), "ACCEPTED");
    let id = world.made(open(&world), &[ALICE, BOB]);
    let back = cancel(&world, id);
    refused(&mut world, back.clone(), &[OWNER], "AUTHOR_NOT_NAMED");
    assert_eq!(world.answer(back, &[ALICE, BOB]), "ACCEPTED");
    refused(&mut world, execute(id), &[ALICE], "CASE_CLOSED");
}

#[test]
fn a_key_that_the_service_bound_to_the_account_vetoes_nothing() {
    for mode in [Mode::Linked, Mode::Own] {
        let mut world = trusted();
        let before = world.made(open(&world), &[ALICE, BOB]);
        // Bound while the recovery waits: binding takes the service and the key, and no word of the owner.
        let bound = world.link(OWNER, &signer::Secp256k1, mode);
        let stop = veto(&world, before);
        let entry = with_key(&mut world, stop, &[], bound, &signer::Secp256k1);
        assert_eq!(world.names(&[entry]), ["AUTHOR_NOT_NAMED"]);
        world.wait(DELAY_MS);
        assert_eq!(world.answer(execute(before), &[ALICE]), "ACCEPTED");
        // Nor does one that was there before the recovery was opened.
        let after = world.made(open(&world), &[ALICE, BOB]);
        let stop = veto(&world, after);
        let entry = with_key(&mut world, stop, &[], bound, &signer::Secp256k1);
        assert_eq!(world.names(&[entry]), ["AUTHOR_NOT_NAMED"]);
    }
}

#[test]
fn a_key_vetoes_under_the_terms_that_name_it_and_under_no_other() {
    let mut world = trusted();
    let token = world.link(OWNER, &signer::Secp256k1, Mode::Linked);
    let named = DelegationTerms { vetoers: vec![id(token)], ..delegation_terms(2, &[ALICE, BOB]) };
    // A thief names its key: what is in force knows nothing of it, nor does it while a recovery lives.
    assert_eq!(world.answer(appoint(OWNER, 2, named), &[OWNER]), "ACCEPTED");
    let case = world.made(open(&world), &[ALICE, BOB]);
    world.wait(DELAY_MS);
    let stop = veto(&world, case);
    let entry = with_key(&mut world, stop, &[], token, &signer::Secp256k1);
    assert_eq!(world.names(&[entry]), ["AUTHOR_NOT_NAMED"]);
    assert_eq!(world.answer(execute(case), &[ALICE]), "ACCEPTED");
    world.wait(DELAY_MS);
    world.made(open(&world), &[ALICE, BOB]);
    assert!(state(&world).terms.unwrap().vetoers.is_empty(), "what waited was dropped");
}

#[test]
fn keys_that_may_veto_are_the_accounts_own_and_can_speak() {
    let mut world = world();
    let hosted = world.link(OWNER, &signer::P256, Mode::Hosted);
    let of_alice = world.link(ALICE, &signer::Secp256k1, Mode::Linked);
    let frozen = world.link(OWNER, &signer::Ed25519, Mode::Linked);
    world.submit(&[Entry::FreezeKey { key_id: id(frozen) }]);
    for (key_id, name) in [
        (id(hosted), "AUTHOR_UNKNOWN"),
        (id(of_alice), "AUTHOR_NOT_NAMED"),
        (id(frozen), "KEY_FROZEN"),
        (KeyId([5; 32]), "KEY_UNKNOWN"),
    ] {
        let terms = DelegationTerms { vetoers: vec![key_id], ..delegation_terms(2, &[ALICE, BOB]) };
        refused(&mut world, appoint(OWNER, 1, terms), &[OWNER], name);
    }
    let four = |count: u8| (1..=count).map(|key| KeyId([key; 32])).collect::<Vec<_>>();
    for vetoers in [four(5), vec![KeyId([2; 32]), KeyId([1; 32])], vec![KeyId([1; 32]); 2]] {
        let terms = DelegationTerms { vetoers, ..delegation_terms(2, &[ALICE, BOB]) };
        refused(&mut world, appoint(OWNER, 1, terms), &[OWNER], "ENTRY_MALFORMED");
    }
}

#[test]
fn delegates_are_somebody_who_can_speak_and_enough_of_them() {
    let mut world = world();
    world.enroll(JUDGE);
    let token = world.link(ALICE, &signer::Secp256k1, Mode::Linked);
    let hosted = world.link(ALICE, &signer::P256, Mode::Hosted);
    world.submit(&[Entry::OpenAccount { account: STRANGER.account() }]);
    assert_eq!(world.answer(close(JUDGE), &[JUDGE]), "ACCEPTED");
    for (delegate, name) in [
        (STRANGER.party(), "AUTHOR_UNKNOWN"),
        (Person(0x77).party(), "AUTHOR_UNKNOWN"),
        (JUDGE.party(), "ACCOUNT_CLOSED"),
        (Party::Key(KeyId([5; 32])), "KEY_UNKNOWN"),
        (hosted, "AUTHOR_UNKNOWN"),
    ] {
        let mut terms = delegation_terms(1, &[ALICE]);
        terms.delegates.push(delegate);
        refused(&mut world, appoint(OWNER, 1, terms), &[OWNER], name);
    }
    // Two keys of one account are one delegate: the second signature would never come.
    let mut terms = delegation_terms(2, &[ALICE]);
    terms.delegates.push(token);
    refused(&mut world, appoint(OWNER, 1, terms), &[OWNER], "RULE_INVALID");
    world.submit(&[Entry::FreezeKey { key_id: id(token) }]);
    let terms = DelegationTerms { delegates: vec![token], ..delegation_terms(1, &[]) };
    refused(&mut world, appoint(OWNER, 1, terms), &[OWNER], "KEY_FROZEN");
}

#[test]
fn a_thief_who_holds_the_credential_cannot_veto_for_ever() {
    let mut world = world();
    let judged_by = approval_terms(&[(1, &[CAROL])]);
    world.act(Act::DefineApproval(define(CAROL, 1, judged_by)), &[CAROL]);
    let terms = DelegationTerms { judges: Some(CAROL.rule()), ..delegation_terms(2, &[ALICE, BOB]) };
    world.act(appoint(OWNER, 1, terms), &[OWNER]);
    world.wait(DELAY_MS);
    let first = world.made(open(&world), &[ALICE, BOB]);
    let stop = veto(&world, first);
    assert_eq!(world.answer(stop, &[OWNER]), "ACCEPTED");
    let id = world.made(open(&world), &[ALICE, BOB]);
    let stop = veto(&world, id);
    assert_eq!(world.answer(stop.clone(), &[OWNER]), "ACCEPTED");
    refused(&mut world, stop, &[OWNER], "TIMELOCK_DISPUTED");
    world.wait(DELAY_MS);
    refused(&mut world, execute(id), &[ALICE], "TIMELOCK_DISPUTED");
    let payload = dispute_payload(&about(&world, id));
    let asks = Act::OpenApproval { rule: CAROL.rule(), payload, live_ms: 600_000 };
    let case = Case { id: world.made(asks, &[ALICE]), payload };
    let decided =
        DelegationAct::ExecuteRecovery { recovery: recovery(OWNER), case: id, judged: Some(case.id) };
    refused(&mut world, Act::Delegation(decided.clone()), &[ALICE], "APPROVALS_MISSING");
    assert_eq!(world.answer(Act::Approve { case, group: 0 }, &[CAROL]), "ACCEPTED");
    assert_eq!(world.answer(Act::Delegation(decided), &[ALICE]), "ACCEPTED");
    assert_eq!(credential(&world).public_key, new_key().public_key());
}

#[test]
fn a_recovery_is_done_by_its_own_contract_alone() {
    let mut world = trusted();
    let id = world.made(open(&world), &[ALICE, BOB]);
    world.wait(DELAY_MS);
    let case = about(&world, id);
    for (plain, who) in [
        (Act::ExecuteTimelock { case, judged: None }, ALICE),
        (Act::VetoTimelock(case), OWNER),
        (Act::CancelTimelock(case), ALICE),
    ] {
        refused(&mut world, plain, &[who], "CASE_UNKNOWN");
    }
    // Nor does somebody else's timelock about the same payload recover anything.
    let own = timelock_terms(1, &[CAROL], &[CAROL]);
    assert_eq!(world.answer(Act::DefineTimelock(define(CAROL, 1, own)), &[CAROL]), "ACCEPTED");
    let payload = case.payload;
    let false_case = world.made(Act::OpenTimelock { rule: CAROL.rule(), payload }, &[CAROL]);
    world.wait(DELAY_MS);
    refused(&mut world, execute(false_case), &[CAROL], "CASE_UNKNOWN");
    for act in [
        DelegationAct::VetoRecovery(Case { id: false_case, payload }),
        DelegationAct::CancelRecovery(Case { id: false_case, payload }),
    ] {
        refused(&mut world, Act::Delegation(act), &[CAROL], "CASE_UNKNOWN");
    }
    assert_eq!(world.answer(execute(id), &[ALICE]), "ACCEPTED");
}

#[test]
fn nobody_appoints_but_the_account_itself_and_never_itself() {
    let mut world = trusted();
    let more = appoint(OWNER, 2, delegation_terms(1, &[ALICE]));
    refused(&mut world, more.clone(), &[ALICE], "AUTHOR_NOT_NAMED");
    refused(&mut world, more.clone(), &[ALICE, BOB], "AUTHOR_NOT_NAMED");
    refused(&mut world, revoke(2), &[ALICE], "AUTHOR_NOT_NAMED");
    let own = appoint(OWNER, 2, delegation_terms(1, &[OWNER]));
    refused(&mut world, own, &[OWNER], "RULE_INVALID");
    for version in [0, 1, 3] {
        let other = appoint(OWNER, version, delegation_terms(1, &[ALICE]));
        refused(&mut world, other, &[OWNER], "RULE_VERSION");
    }
    // A key of the account is nobody else either.
    let token = world.link(OWNER, &signer::Secp256k1, Mode::Linked);
    for delegates in [vec![token], vec![ALICE.party(), token]] {
        let terms = DelegationTerms { delegates, ..delegation_terms(1, &[]) };
        refused(&mut world, appoint(OWNER, 2, terms), &[OWNER], "RULE_INVALID");
    }
}

#[test]
fn terms_have_bounds() {
    let mut world = world();
    let changes: [fn(&mut DelegationTerms); 9] = [
        |it| it.delay_ms = DELAY_MS - 1,
        |it| it.delay_ms = 0,
        |it| it.open_ms = u64::MAX,
        |it| it.needed = 0,
        |it| it.needed = 3,
        |it| it.delegates.clear(),
        |it| it.windows.clear(),
        |it| it.scope = Scope::RECOVER,
        |it| it.windows[0].length_ms = 0,
    ];
    for change in changes {
        let mut terms = delegation_terms(2, &[ALICE, BOB]);
        change(&mut terms);
        refused(&mut world, appoint(OWNER, 1, terms), &[OWNER], "RULE_INVALID");
    }
    // Who only acts waits as short a time as the account says.
    let mut terms = DelegationTerms { scope: Scope::OPERATE, ..delegation_terms(1, &[ALICE]) };
    terms.delay_ms = 1_000;
    assert_eq!(world.answer(appoint(OWNER, 1, terms), &[OWNER]), "ACCEPTED");
}

#[test]
fn a_change_of_delegates_waits_and_does_not_hold_while_a_recovery_lives() {
    let mut world = world();
    refused(&mut world, revoke(1), &[OWNER], "DELEGATION_NOT_IN_FORCE");
    assert_eq!(world.answer(appoint(OWNER, 1, delegation_terms(1, &[ALICE])), &[OWNER]), "ACCEPTED");
    let asks = open(&world);
    refused(&mut world, asks, &[ALICE], "DELEGATION_NOT_IN_FORCE");
    world.wait(DELAY_MS);
    // In force; the next change waits as long again, and the last one said counts.
    for (version, who) in [(2, CAROL), (3, BOB)] {
        let terms = delegation_terms(1, &[who]);
        assert_eq!(world.answer(appoint(OWNER, version, terms), &[OWNER]), "ACCEPTED");
    }
    world.wait(DELAY_MS / 2);
    let id = world.made(open(&world), &[ALICE]);
    world.wait(DELAY_MS);
    assert_eq!(state(&world).version, 1);
    refused(&mut world, act(KeyId([1; 32]), 1), &[BOB], "AUTHOR_NOT_NAMED");
    let back = cancel(&world, id);
    assert_eq!(world.answer(back, &[ALICE]), "ACCEPTED");
    let asks = open(&world);
    refused(&mut world, asks, &[ALICE], "AUTHOR_NOT_NAMED");
    world.made(open(&world), &[BOB]);
    assert_eq!((state(&world).version, state(&world).next), (3, None));
}

#[test]
fn a_recovery_that_is_executed_drops_the_changes_of_the_lost_credential() {
    let mut world = trusted();
    let id = world.made(open(&world), &[ALICE, BOB]);
    assert_eq!(world.answer(revoke(2), &[OWNER]), "ACCEPTED", "a thief's");
    world.wait(DELAY_MS);
    assert_eq!(world.answer(execute(id), &[ALICE]), "ACCEPTED");
    world.made(open(&world), &[ALICE, BOB]);
    assert_eq!((state(&world).version, state(&world).next), (1, None));
}

#[test]
fn who_changes_its_credential_itself_takes_nothing_back() {
    let mut world = trusted();
    assert_eq!(world.answer(revoke(2), &[OWNER]), "ACCEPTED");
    world.replace_credential(OWNER, &OWNER.key(), &new_key());
    world.wait(DELAY_MS);
    let asks = open(&world);
    refused(&mut world, asks, &[ALICE, BOB], "DELEGATION_NOT_IN_FORCE");
}

#[test]
fn a_veto_puts_a_change_off_once_so_that_delegates_can_ask_again() {
    let mut world = trusted();
    assert_eq!(world.answer(revoke(2), &[OWNER]), "ACCEPTED");
    world.wait(DELAY_MS / 2);
    let id = world.made(open(&world), &[ALICE, BOB]);
    world.wait(DELAY_MS);
    let stop = veto(&world, id);
    assert_eq!(world.answer(stop, &[OWNER]), "ACCEPTED");
    let id = world.made(open(&world), &[ALICE, BOB]);
    world.wait(DELAY_MS);
    // Without judges the second veto closes it too, and nothing is put off any more: delegates cannot stay for ever.
    let stop = veto(&world, id);
    assert_eq!(world.answer(stop, &[OWNER]), "ACCEPTED");
    let asks = open(&world);
    refused(&mut world, asks, &[ALICE, BOB], "DELEGATION_NOT_IN_FORCE");
}

#[test]
fn an_account_has_so_many_delegations_and_no_more() {
    let mut world = trusted();
    let named = |name: u8| RuleName { name: [name; 32], ..OWNER.rule() };
    let appoint = |name: u8, version| {
        let (rule, terms) = (named(name), delegation_terms(1, &[CAROL]));
        Act::Delegation(DelegationAct::Appoint(Define { rule, version, terms }))
    };
    for name in 10..25 {
        assert_eq!(world.answer(appoint(name, u32::from(name) - 8), &[OWNER]), "ACCEPTED");
    }
    refused(&mut world, appoint(25, 17), &[OWNER], "DELEGATION_LIMIT");
    // One that was never in force is taken back at once, and leaves its place.
    let back = |name, version| Act::Delegation(DelegationAct::Revoke { rule: named(name), version });
    assert_eq!(world.answer(back(10, 17), &[OWNER]), "ACCEPTED");
    refused(&mut world, back(10, 18), &[OWNER], "DELEGATION_NOT_IN_FORCE");
    assert_eq!(world.answer(appoint(25, 18), &[OWNER]), "ACCEPTED");
}

#[test]
fn an_account_names_so_many_delegations_in_its_life_and_no_more() {
    let mut world = world();
    let named = |name: u32| RuleName { name: [u8::try_from(name).unwrap(); 32], ..OWNER.rule() };
    let appoint = |name, version| {
        let (rule, terms) = (named(name), delegation_terms(1, &[CAROL]));
        Act::Delegation(DelegationAct::Appoint(Define { rule, version, terms }))
    };
    let back = |name, version| Act::Delegation(DelegationAct::Revoke { rule: named(name), version });
    let pair = |name| [appoint(name, 2 * name + 1), back(name, 2 * name + 2)];
    let all: Vec<_> = (0..DELEGATION_NAMES_MAX).flat_map(pair).collect();
    for some in all.chunks(32) {
        let entries: Vec<_> = some.iter().map(|act| world.signed_by(act.clone(), &[OWNER])).collect();
        assert!(world.names(&entries).iter().all(|name| *name == "ACCEPTED"));
    }
    let next = 2 * DELEGATION_NAMES_MAX + 1;
    refused(&mut world, appoint(DELEGATION_NAMES_MAX, next), &[OWNER], "DELEGATION_NAMES");
    // One that was used before serves again.
    assert_eq!(world.answer(appoint(0, next), &[OWNER]), "ACCEPTED");
    assert_eq!(world.count(b"delegation/"), DELEGATION_NAMES_MAX as usize + 1);
}

#[test]
fn an_act_is_charged_before_it_happens_and_stays_within_its_limits() {
    let mut world = trusted();
    let key = match world.link(OWNER, &signer::P256, Mode::Hosted) {
        Party::Key(key) => key,
        Party::Credential(_) => panic!(),
    };
    let of_alice = match world.link(ALICE, &signer::Secp256k1, Mode::Linked) {
        Party::Key(key) => key,
        Party::Credential(_) => panic!(),
    };
    refused(&mut world, act(key, 1), &[ALICE], "AUTHORS_MISSING");
    refused(&mut world, act(key, 1), &[ALICE, CAROL], "AUTHOR_NOT_NAMED");
    refused(&mut world, act(KeyId([3; 32]), 1), &[ALICE, BOB], "KEY_UNKNOWN");
    refused(&mut world, act(of_alice, 1), &[ALICE, BOB], "KEY_UNKNOWN");
    refused(&mut world, act(key, 101), &[ALICE, BOB], "RATE_EXCEEDED");
    let entry = world.signed_by(act(key, 60), &[ALICE, BOB]);
    assert_eq!(world.names(std::slice::from_ref(&entry)), ["ACCEPTED"]);
    assert_eq!(world.names(&[entry]), ["AUTHOR_REPLAYED"]);
    // Two at once: the second does not fit.
    let both = [world.signed_by(act(key, 30), &[ALICE, BOB]), world.signed_by(act(key, 30), &[ALICE, BOB])];
    assert_eq!(world.names(&both), ["ACCEPTED", "RATE_EXCEEDED"]);
    world.submit(&[Entry::FreezeKey { key_id: key }]);
    world.wait(600_000);
    refused(&mut world, act(key, 1), &[ALICE, BOB], "KEY_FROZEN");
    world.submit(&[Entry::UnfreezeKey { key_id: key }]);
    assert_eq!(world.answer(act(key, 1), &[ALICE, BOB]), "ACCEPTED");
    // Revoked, delegates act no more at once; a recovery they may still open, until the wait is over.
    assert_eq!(world.answer(revoke(2), &[OWNER]), "ACCEPTED");
    refused(&mut world, act(key, 1), &[ALICE, BOB], "DELEGATION_NOT_IN_FORCE");
    let id = world.made(open(&world), &[ALICE, BOB]);
    let back = cancel(&world, id);
    assert_eq!(world.answer(back, &[ALICE, BOB]), "ACCEPTED");
    world.wait(DELAY_MS);
    let asks = open(&world);
    refused(&mut world, asks, &[ALICE, BOB], "DELEGATION_NOT_IN_FORCE");
    assert_eq!(world.answer(appoint(OWNER, 3, delegation_terms(2, &[ALICE, BOB])), &[OWNER]), "ACCEPTED");
    world.wait(DELAY_MS);
    assert_eq!(world.answer(act(key, 1), &[ALICE, BOB]), "ACCEPTED");
}

#[test]
fn delegates_do_no_more_than_their_scope_says() {
    let mut world = trusted_with(|it| (it.scope, it.windows) = (Scope::RECOVER, Vec::new()));
    refused(&mut world, act(KeyId([1; 32]), 1), &[ALICE, BOB], "DELEGATION_NOT_IN_FORCE");
    let mut world = trusted_with(|it| it.scope = Scope::OPERATE);
    let asks = open(&world);
    refused(&mut world, asks, &[ALICE, BOB], "DELEGATION_NOT_IN_FORCE");
}

#[test]
fn a_chain_of_delegates_reaches_one_account() {
    let mut world = trusted_with(|it| (it.needed, it.delegates) = (1, parties(&[ALICE])));
    let Party::Key(key) = world.link(OWNER, &signer::P256, Mode::Hosted) else { panic!() };
    // Bob acts for Alice, Alice for the owner: Bob does not act for the owner.
    assert_eq!(world.answer(appoint(ALICE, 1, delegation_terms(1, &[BOB])), &[ALICE]), "ACCEPTED");
    world.wait(DELAY_MS);
    refused(&mut world, act(key, 1), &[BOB], "AUTHOR_NOT_NAMED");
    refused(&mut world, operate(ALICE, key, 1), &[BOB], "KEY_UNKNOWN");
    let asks = open(&world);
    refused(&mut world, asks, &[BOB], "AUTHOR_NOT_NAMED");
    assert_eq!(world.answer(act(key, 1), &[ALICE]), "ACCEPTED");
}

#[test]
fn an_account_is_not_closed_while_a_recovery_of_it_is_open() {
    let mut world = trusted();
    let id = world.made(open(&world), &[ALICE, BOB]);
    refused(&mut world, close(OWNER), &[OWNER], "RECOVERY_OPEN");
    world.wait(DELAY_MS);
    refused(&mut world, close(OWNER), &[OWNER], "RECOVERY_OPEN");
    assert_eq!(world.answer(execute(id), &[ALICE]), "ACCEPTED");
    refused(&mut world, close(OWNER), &[OWNER], "AUTHOR_SIGNATURE_INVALID");
    let act = close(OWNER);
    let author = world.author(&act, OWNER.party(), &|message| new_key().sign(message).to_vec());
    assert_eq!(world.names(&[Entry::Authored(Authored { act, authors: vec![author] })]), ["ACCEPTED"]);
    // One that nobody executes is over.
    let mut world = trusted();
    world.made(open(&world), &[ALICE, BOB]);
    world.wait(DELAY_MS + OPEN_MS + 1);
    assert_eq!(world.answer(close(OWNER), &[OWNER]), "ACCEPTED");
    // The owner who wants to close stops the recovery first.
    let mut world = trusted();
    let id = world.made(open(&world), &[ALICE, BOB]);
    let stop = veto(&world, id);
    assert_eq!(world.answer(stop, &[OWNER]), "ACCEPTED");
    assert_eq!(world.answer(close(OWNER), &[OWNER]), "ACCEPTED");
}

#[test]
fn a_closed_account_is_neither_recovered_nor_acted_for() {
    let mut world = trusted();
    assert_eq!(world.answer(close(OWNER), &[OWNER]), "ACCEPTED");
    refused(&mut world, act(KeyId([1; 32]), 1), &[ALICE, BOB], "ACCOUNT_CLOSED");
    let asks = open(&world);
    refused(&mut world, asks, &[ALICE, BOB], "ACCOUNT_CLOSED");
}
