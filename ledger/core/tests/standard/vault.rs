//! `vault`: sealed by its owner and acknowledged by all, guesses paid for first, ended with every keeper's word.

use crate::common::vault::{
    VAULT_ID, id_of, keeper, keeper_key, refresh, sealing, shares, vault_attempt, vault_of,
};
use keyward_ledger_core::contracts::vault::request;
use keyward_ledger_core::entry::{VaultAct, VaultAttempt};
use keyward_ledger_core::keeper::Keeper;
use keyward_ledger_core::state::layout::{AttemptsState, attempts_key};
use keyward_ledger_core::state::vault::{HolderState, VaultState, holder_key, vault_key};
use keyward_ledger_core::vault::{Refresh, Sealing, acknowledge, consent_message, vault_rule};

use super::*;

const KEEPERS: [u8; 3] = [1, 2, 3];

/// People, and five keepers of whom three may seal.
fn kept() -> World {
    let mut world = world();
    world.admit_keepers(&[1, 2, 3, 4, 5]);
    world.step_ms = 1_000;
    world
}

fn sealed_with(change: impl FnOnce(&mut Sealing)) -> World {
    let mut world = kept();
    let mut sealing = sealing(OWNER, 1, &KEEPERS, 2);
    change(&mut sealing);
    let act = world.sealed(sealing, &KEEPERS);
    assert_eq!(world.answer(act, &[OWNER]), "ACCEPTED");
    world
}

fn state(world: &World) -> VaultState {
    VaultState::decode(world.ledger.state().get(&vault_key(&vault_rule(&vault_of(OWNER)))).unwrap()).unwrap()
}

fn counter(world: &World) -> AttemptsState {
    let key = attempts_key(&vault_rule(&vault_of(OWNER)));
    AttemptsState::decode(world.ledger.state().get(&key).unwrap()).unwrap()
}

fn holder(world: &World, number: u8) -> Option<HolderState> {
    let key = holder_key(&vault_rule(&vault_of(OWNER)), &id_of(number));
    world.ledger.state().get(&key).map(|value| HolderState::decode(value).unwrap())
}

fn ask(version: u32, number: u8) -> Act {
    Act::Vault(VaultAct::Attempt(vault_attempt(OWNER, version, number)))
}

fn open(world: &World, attempt: VaultAttempt, id: Hash) -> Act {
    let signature = success_key().sign(&success_message(&world.chain_id(), &id));
    Act::Vault(VaultAct::Open { attempt, signature })
}

fn destroy(version: u32) -> Act {
    Act::Vault(VaultAct::Destroy { vault: vault_of(OWNER), version })
}

fn erase(world: &mut World, number: u8, version: u32) -> &'static str {
    let act = Act::Vault(VaultAct::Erase { vault: vault_of(OWNER), version, keeper: id_of(number) });
    let entry = world.signed_by(act, &[]);
    world.submit_as(&keeper_key(number), &[entry])[0].name()
}

fn reseal(world: &mut World, version: u32) -> &'static str {
    let act = world.sealed(sealing(OWNER, version, &KEEPERS, 2), &KEEPERS);
    world.answer(act, &[OWNER])
}

#[test]
fn a_vault_is_sealed_by_its_owner_once_every_keeper_has_acknowledged() {
    let mut world = kept();
    let good = sealing(OWNER, 1, &KEEPERS, 2);
    let act = world.sealed(good.clone(), &KEEPERS);
    refused(&mut world, act.clone(), &[], "AUTHORS_MISSING");
    refused(&mut world, act.clone(), &[ALICE], "AUTHOR_NOT_NAMED");
    for (keepers, name) in
        [([1, 2, 4], "VAULT_ACKNOWLEDGEMENT_INVALID"), ([2, 1, 3], "VAULT_ACKNOWLEDGEMENT_INVALID")]
    {
        let by_others = world.sealed(good.clone(), &keepers);
        refused(&mut world, by_others, &[OWNER], name);
    }
    // What was acknowledged is exactly what is sealed.
    let Act::Vault(VaultAct::Seal { acknowledgements, .. }) = act.clone() else { panic!() };
    let changes: [fn(&mut Sealing); 7] = [
        |it| it.expires_ms = Some(u64::MAX),
        |it| it.ciphertext_hash[0] ^= 1,
        |it| it.terms.limit = 5,
        |it| it.shares.mask[1][0] ^= 1,
        |it| it.stretching.passes += 1,
        |it| it.mode = keyward_ledger_core::vault::VaultMode::Vault,
        |it| it.vault.name[0] ^= 1,
    ];
    for change in changes {
        let mut other = good.clone();
        change(&mut other);
        let acknowledgements = acknowledgements.clone();
        let other = Act::Vault(VaultAct::Seal { sealing: Box::new(other), acknowledgements });
        refused(&mut world, other, &[OWNER], "VAULT_ACKNOWLEDGEMENT_INVALID");
    }
    let stranger = sealing(OWNER, 1, &[1, 2, 9], 2);
    let act_of_stranger = world.sealed(stranger, &[1, 2, 9]);
    refused(&mut world, act_of_stranger, &[OWNER], "VAULT_KEEPER_UNKNOWN");
    let entry = world.signed_by(act, &[OWNER]);
    assert_eq!(world.names(std::slice::from_ref(&entry)), ["ACCEPTED"]);
    assert_eq!(world.names(&[entry]), ["AUTHOR_REPLAYED"]);
    let VaultState { version, share_version, sealing, shares, sealing_leaf, .. } = state(&world);
    assert_eq!((version, share_version, sealing, shares), (1, 1, good.hash(), good.hash()));
    assert_eq!(
        world.records[sealing_leaf as usize].entry[..2],
        112_u16.to_be_bytes(),
        "the record is found by its leaf"
    );
    assert_eq!(
        [1, 2, 3, 4].map(|number| holder(&world, number).map(|it| (it.held, it.erased))),
        [Some((1, 0)), Some((1, 0)), Some((1, 0)), None]
    );
}

#[test]
fn a_sealing_has_bounds() {
    let mut world = kept();
    let changes: [fn(&mut Sealing); 16] = [
        |it| it.shares = shares(&KEEPERS, 1, 0),
        |it| it.shares = shares(&KEEPERS, 0, 0),
        |it| it.shares = shares(&KEEPERS, 4, 0),
        |it| it.shares = shares(&[1, 2, 2], 2, 0),
        |it| it.shares = shares(&[], 2, 0),
        |it| it.stretching.memory_kib = 1024,
        |it| it.stretching.memory_kib = u32::MAX,
        |it| it.stretching.passes = 1,
        |it| it.stretching.passes = u32::MAX,
        |it| it.stretching.lanes = 0,
        |it| it.stretching.lanes = 17,
        |it| it.terms.limit = 0,
        |it| it.terms.lifetime = 1,
        |it| it.terms.success_key = [0; 32],
        |it| it.terms.needed = 1,
        |it| it.terms.askers = parties(&[ALICE]),
    ];
    for change in changes {
        let mut sealing = sealing(OWNER, 1, &KEEPERS, 2);
        change(&mut sealing);
        let keepers: Vec<u8> = KEEPERS.into_iter().take(sealing.shares.keepers.len()).collect();
        let act = world.sealed(sealing, &keepers);
        refused(&mut world, act, &[OWNER], "VAULT_INVALID");
    }
    for version in [0, 2, u32::MAX] {
        let act = world.sealed(sealing(OWNER, version, &KEEPERS, 2), &KEEPERS);
        refused(&mut world, act, &[OWNER], "VAULT_VERSION_STALE");
    }
}

#[test]
fn the_largest_sealing_and_the_largest_refresh_fit_an_entry() {
    let mut world = kept();
    let numbers: Vec<u8> = (1..=16).collect();
    let mut largest = sealing(OWNER, 1, &numbers, 16);
    (largest.terms.needed, largest.terms.askers) =
        (24, (0..24).map(|n| Party::Credential([n; 32])).collect());
    assert!(largest.is_sound());
    let act = world.sealed(largest, &numbers);
    // Decoded, and refused only because nobody of 6 to 16 is a keeper.
    refused(&mut world, act, &[OWNER], "VAULT_KEEPER_UNKNOWN");
    let act = Act::Vault(VaultAct::Refresh {
        refresh: Box::new(refresh(OWNER, 1, 2, shares(&numbers, 16, 1))),
        acknowledgements: vec![[7; 64]; 16],
        consents: (1..=16).map(|index| (index, [8; 64])).collect(),
    });
    refused(&mut world, act, &[], "VAULT_UNKNOWN");
}

#[test]
fn a_vault_of_the_same_id_in_another_account_is_another_vault() {
    let mut world = sealed_with(|_| {});
    let act = world.sealed(sealing(ALICE, 1, &KEEPERS, 2), &KEEPERS);
    assert_eq!(world.answer(act, &[ALICE]), "ACCEPTED");
    world.made(ask(1, 1), &[]);
    assert_eq!(counter(&world).spent, 1);
    let of_alice = attempts_key(&vault_rule(&vault_of(ALICE)));
    let of_alice = AttemptsState::decode(world.ledger.state().get(&of_alice).unwrap()).unwrap();
    assert_eq!(of_alice.spent, 0);
    // Nor does a counter of the same owner and name touch it.
    let rule = vault_of(OWNER);
    let define = keyward_ledger_core::entry::Define { rule, version: 1, terms: attempts_terms() };
    assert_eq!(world.answer(Act::DefineAttempts(define), &[OWNER]), "ACCEPTED");
    assert_eq!(counter(&world).spent, 1);
    assert_eq!(rule.name, VAULT_ID);
}

#[test]
fn an_attempt_is_paid_for_first_and_refused_by_name_and_moment() {
    let mut world = sealed_with(|_| {});
    let unknown = VaultAttempt { vault: vault_of(ALICE), ..vault_attempt(OWNER, 1, 1) };
    refused(&mut world, Act::Vault(VaultAct::Attempt(unknown)), &[], "VAULT_UNKNOWN");
    refused(&mut world, ask(2, 1), &[], "VAULT_VERSION_STALE");
    let shares_of_tomorrow = VaultAttempt { share_version: 2, ..vault_attempt(OWNER, 1, 1) };
    refused(&mut world, Act::Vault(VaultAct::Attempt(shares_of_tomorrow)), &[], "VAULT_VERSION_STALE");
    refused(&mut world, ask(1, 1), &[ALICE], "AUTHOR_NOT_NAMED");
    let entry = world.signed_by(ask(1, 1), &[]);
    let (operator, validator) = (SigningKey::from_seed(&[23; 32]), SigningKey::from_seed(&[1; 32]));
    for key in [operator, validator, keeper_key(1)] {
        let answer = world.submit_as(&key, std::slice::from_ref(&entry))[0].name();
        assert_eq!(answer, "ROLE_NOT_ALLOWED", "a stranger who knows a name burns nothing");
    }
    let first = world.made(ask(1, 1), &[]);
    assert_eq!(world.made(ask(1, 1), &[]), first, "repeated, it is the same attempt");
    assert_eq!(counter(&world).number, 1);
    // Two in one batch: the second comes too early, and is told when.
    world.wait(1_000);
    let both = [world.signed_by(ask(1, 2), &[]), world.signed_by(ask(1, 3), &[])];
    let answers = world.submit(&both);
    assert_eq!([answers[0].name(), answers[1].name()], ["ACCEPTED", "ATTEMPTS_COOLING"]);
    let again_ms = u64::from_be_bytes(answers[1].data.clone().try_into().unwrap());
    assert_eq!(again_ms, world.ledger.time_ms() + 1_000);
    world.wait(again_ms - world.ledger.time_ms() - 1_000);
    world.made(ask(1, 3), &[]);
    // All three are spent: one comes back a minute after the first.
    world.wait(5_000);
    let spent = world.act(ask(1, 4), &[]);
    assert_eq!(spent.name(), "ATTEMPTS_SPENT");
    let back_ms = u64::from_be_bytes(spent.data.try_into().unwrap());
    world.wait(back_ms - world.ledger.time_ms() - 1_001);
    assert_eq!(world.answer(ask(1, 4), &[]), "ATTEMPTS_SPENT");
    let step_ms = std::mem::replace(&mut world.step_ms, 1);
    assert_eq!(world.answer(ask(1, 4), &[]), "ACCEPTED", "at exactly that time");
    world.step_ms = step_ms;
    world.wait(60_000);
    world.made(ask(1, 5), &[]);
    world.wait(600_000);
    let locked = world.act(ask(1, 6), &[]);
    assert_eq!((locked.name(), locked.data.len()), ("ATTEMPTS_LOCKED", 0), "time does not help any more");
}

#[test]
fn an_attempt_carries_the_factors_that_the_sealing_asks_for() {
    let mut world = sealed_with(|it| (it.terms.needed, it.terms.askers) = (2, parties(&[ALICE, BOB, CAROL])));
    refused(&mut world, ask(1, 1), &[], "AUTHORS_MISSING");
    refused(&mut world, ask(1, 1), &[ALICE], "AUTHORS_MISSING");
    refused(&mut world, ask(1, 1), &[ALICE, STRANGER], "AUTHOR_NOT_NAMED");
    let entry = world.signed_by(ask(1, 1), &[ALICE, BOB]);
    let Entry::Authored(signed) = entry.clone() else { panic!() };
    let base = vault_attempt(OWNER, 1, 1);
    for other in [VaultAttempt { element: [2; 32], ..base }, VaultAttempt { reply_key: [2; 32], ..base }] {
        let entry = Entry::Authored(Authored { act: Act::Vault(VaultAct::Attempt(other)), ..signed.clone() });
        assert_eq!(
            world.names(&[entry]),
            ["AUTHOR_SIGNATURE_INVALID"],
            "the signature is for one element and one reply"
        );
    }
    // With factors a keeper may carry it too.
    assert_eq!(world.submit_as(&keeper_key(1), std::slice::from_ref(&entry))[0].name(), "ACCEPTED");
    world.wait(GRANT_LIVE_MS + 1);
    assert_eq!(world.names(&[entry]), ["AUTHOR_REPLAYED"]);
    assert_eq!(counter(&world).number, 1);
}

#[test]
fn only_an_opening_gives_attempts_back_and_only_once() {
    let mut world = sealed_with(|it| it.terms.refill_ms = 0);
    let attempt = |number| vault_attempt(OWNER, 1, number);
    let first = world.made(ask(1, 1), &[]);
    let second = world.made(ask(1, 2), &[]);
    let good = open(&world, attempt(1), first);
    refused(&mut world, good.clone(), &[OWNER], "AUTHOR_NOT_NAMED");
    let never_asked = open(&world, attempt(3), first);
    refused(&mut world, never_asked, &[], "ATTEMPT_UNKNOWN");
    let of_another = open(&world, attempt(2), first);
    refused(&mut world, of_another, &[], "SUCCESS_INVALID");
    let wrong_key = SigningKey::from_seed(&[0xef; 32]).sign(&success_message(&world.chain_id(), &first));
    refused(
        &mut world,
        Act::Vault(VaultAct::Open { attempt: attempt(1), signature: wrong_key }),
        &[],
        "SUCCESS_INVALID",
    );
    let other_ledger = success_key().sign(&success_message(&[9; 32], &first));
    refused(
        &mut world,
        Act::Vault(VaultAct::Open { attempt: attempt(1), signature: other_ledger }),
        &[],
        "SUCCESS_INVALID",
    );
    assert_eq!((counter(&world).spent, counter(&world).granted), (2, 2));
    assert_eq!(world.answer(good.clone(), &[]), "ACCEPTED");
    assert_eq!((counter(&world).spent, counter(&world).granted, counter(&world).number), (0, 0, 2));
    refused(&mut world, good, &[], "ATTEMPT_PROVEN");
    // The other live attempt may open too: each was paid for.
    let again = open(&world, attempt(2), second);
    assert_eq!(world.answer(again, &[]), "ACCEPTED");
}

#[test]
fn sealing_anew_forgives_nothing_and_makes_old_attempts_worthless() {
    let mut world = sealed_with(|it| it.terms.refill_ms = 0);
    let first = world.made(ask(1, 1), &[]);
    world.made(ask(1, 2), &[]);
    world.made(ask(1, 3), &[]);
    let mut next = sealing(OWNER, 2, &[2, 3, 4], 3);
    next.terms.refill_ms = 0;
    let act = world.sealed(next.clone(), &[2, 3, 4]);
    let late = open(&world, vault_attempt(OWNER, 1, 1), first);
    assert_eq!(world.answer(act.clone(), &[OWNER]), "ACCEPTED");
    refused(&mut world, act, &[OWNER], "VAULT_VERSION_STALE");
    assert_eq!(counter(&world).spent, 3);
    refused(&mut world, ask(1, 1), &[], "VAULT_VERSION_STALE");
    refused(&mut world, late, &[], "RULE_VERSION");
    world.wait(60_000_000);
    refused(&mut world, ask(2, 4), &[], "ATTEMPTS_SPENT");
    let held = [1, 2, 3, 4].map(|number| holder(&world, number).unwrap().held);
    assert_eq!(held, [1, 2, 2, 2]);
    assert_eq!(request(&vault_attempt(OWNER, 1, 1)).rule, request(&vault_attempt(OWNER, 2, 1)).rule);
}

#[test]
fn a_keeper_proves_what_it_erased_once_nobody_needs_it() {
    let mut world = sealed_with(|_| {});
    assert_eq!(erase(&mut world, 1, 1), "VAULT_IN_USE");
    assert_eq!(erase(&mut world, 4, 1), "VAULT_NOT_HOLDER");
    assert_eq!(reseal(&mut world, 2), "ACCEPTED");
    for version in [0, 3, u32::MAX] {
        assert_eq!(erase(&mut world, 1, version), "VAULT_NOT_HOLDER");
    }
    // Another keeper, a service, and a signature in its place say nothing.
    let act = Act::Vault(VaultAct::Erase { vault: vault_of(OWNER), version: 1, keeper: id_of(1) });
    let entry = world.signed_by(act.clone(), &[]);
    assert_eq!(world.submit_as(&keeper_key(2), std::slice::from_ref(&entry))[0].name(), "VAULT_NOT_HOLDER");
    refused(&mut world, act.clone(), &[], "ROLE_NOT_ALLOWED");
    refused(&mut world, act, &[OWNER], "AUTHOR_NOT_NAMED");
    assert_eq!(erase(&mut world, 1, 1), "ACCEPTED");
    assert_eq!(erase(&mut world, 1, 1), "VAULT_ERASED");
    assert_eq!(erase(&mut world, 1, 2), "VAULT_IN_USE");
    assert_eq!(world.answer(destroy(2), &[OWNER]), "ACCEPTED");
    for number in KEEPERS {
        assert_eq!(erase(&mut world, number, 2), "ACCEPTED");
        assert_eq!(holder(&world, number).unwrap(), HolderState { held: 2, erased: 2 });
    }
}

#[test]
fn a_destroyed_vault_is_never_asked_opened_or_sealed_again() {
    let mut world = sealed_with(|_| {});
    let first = world.made(ask(1, 1), &[]);
    let late = open(&world, vault_attempt(OWNER, 1, 1), first);
    refused(&mut world, destroy(1), &[], "AUTHORS_MISSING");
    refused(&mut world, destroy(1), &[ALICE], "AUTHOR_NOT_NAMED");
    refused(&mut world, destroy(2), &[OWNER], "VAULT_VERSION_STALE");
    assert_eq!(world.answer(destroy(1), &[OWNER]), "ACCEPTED");
    refused(&mut world, destroy(1), &[OWNER], "VAULT_DESTROYED");
    refused(&mut world, ask(1, 1), &[], "VAULT_DESTROYED");
    refused(&mut world, late, &[], "VAULT_DESTROYED");
    assert_eq!(reseal(&mut world, 2), "VAULT_DESTROYED");
}

#[test]
fn vaults_of_a_closed_account_are_destroyed_and_not_opened() {
    let mut world = sealed_with(|_| {});
    let first = world.made(ask(1, 1), &[]);
    let late = open(&world, vault_attempt(OWNER, 1, 1), first);
    assert_eq!(world.answer(close(OWNER), &[OWNER]), "ACCEPTED");
    refused(&mut world, ask(1, 2), &[], "ACCOUNT_CLOSED");
    refused(&mut world, ask(1, 1), &[], "ACCOUNT_CLOSED");
    refused(&mut world, late, &[], "ACCOUNT_CLOSED");
    refused(&mut world, destroy(1), &[OWNER], "AUTHOR_NOT_NAMED");
    assert_eq!(erase(&mut world, 1, 1), "VAULT_IN_USE", "not before somebody said so");
    let entry = world.signed_by(destroy(1), &[]);
    assert_eq!(world.submit_as(&keeper_key(1), std::slice::from_ref(&entry))[0].name(), "ROLE_NOT_ALLOWED");
    assert_eq!(world.names(&[entry]), ["ACCEPTED"]);
    assert_eq!(erase(&mut world, 1, 1), "ACCEPTED");
}

fn renewed(world: &World, refresh: Refresh, keepers: &[u8], leavers: &[(u8, u8)]) -> Act {
    let (chain_id, hash) = (world.chain_id(), refresh.hash());
    let acknowledge = |(index, number): (u8, &u8)| acknowledge(&keeper_key(*number), &chain_id, &hash, index);
    let consent = |(index, number): &(u8, u8)| {
        (*index, keeper_key(*number).sign(&consent_message(&chain_id, &hash, *index)))
    };
    Act::Vault(VaultAct::Refresh {
        refresh: Box::new(refresh),
        acknowledgements: (1..).zip(keepers).map(acknowledge).collect(),
        consents: leavers.iter().map(consent).collect(),
    })
}

#[test]
fn shares_are_dealt_anew_for_the_same_secrets_by_those_who_hold_them() {
    let mut world = sealed_with(|_| {});
    let first = world.made(ask(1, 1), &[]);
    let deal = |share_version, keepers: &[u8]| refresh(OWNER, 1, share_version, shares(keepers, 2, 1));
    let act = renewed(&world, deal(3, &KEEPERS), &KEEPERS, &[]);
    refused(&mut world, act, &[], "VAULT_VERSION_STALE");
    let mut other = deal(2, &KEEPERS);
    other.shares.evaluation[0][5] ^= 1;
    let act = renewed(&world, other, &KEEPERS, &[]);
    refused(&mut world, act, &[], "VAULT_COMMITMENT_CHANGED");
    for threshold in [1, 3] {
        let other = refresh(OWNER, 1, 2, shares(&KEEPERS, threshold, 1));
        let act = renewed(&world, other, &KEEPERS, &[]);
        refused(&mut world, act, &[], "VAULT_INVALID");
    }
    let act = renewed(&world, deal(2, &KEEPERS), &[1, 2, 4], &[]);
    refused(&mut world, act, &[], "VAULT_ACKNOWLEDGEMENT_INVALID");
    let good = renewed(&world, deal(2, &KEEPERS), &KEEPERS, &[]);
    refused(&mut world, good.clone(), &[OWNER], "AUTHOR_NOT_NAMED");
    assert_eq!(world.answer(good.clone(), &[]), "ACCEPTED");
    refused(&mut world, good, &[], "VAULT_VERSION_STALE");
    assert_eq!((state(&world).share_version, state(&world).shares), (2, deal(2, &KEEPERS).hash()));
    // An attempt names its shares; one that was answered before may still prove that it succeeded.
    refused(&mut world, ask(1, 2), &[], "VAULT_VERSION_STALE");
    let late = open(&world, vault_attempt(OWNER, 1, 1), first);
    assert_eq!(world.answer(late, &[]), "ACCEPTED");
    let now = VaultAttempt { share_version: 2, ..vault_attempt(OWNER, 1, 1) };
    assert_ne!(
        world.made(Act::Vault(VaultAct::Attempt(now)), &[]),
        first,
        "the same element, asked of other shares"
    );
}

#[test]
fn what_was_held_back_past_its_end_seals_and_renews_nothing() {
    let mut world = sealed_with(|_| {});
    let expires_ms = Some(world.ledger.time_ms() + 10_000);
    let anew = Sealing { expires_ms, ..sealing(OWNER, 2, &KEEPERS, 2) };
    let dealt = Refresh { expires_ms, ..refresh(OWNER, 1, 2, shares(&KEEPERS, 2, 1)) };
    let (anew, dealt) = (world.sealed(anew, &KEEPERS), renewed(&world, dealt, &KEEPERS, &[]));
    let before = state(&world);
    world.wait(10_001);
    refused(&mut world, anew, &[OWNER], "EXPIRED");
    refused(&mut world, dealt, &[], "EXPIRED");
    assert_eq!(state(&world), before);
    // Up to the moment itself they count.
    world.step_ms = 0;
    let expires_ms = Some(world.ledger.time_ms());
    let dealt = Refresh { expires_ms, ..refresh(OWNER, 1, 2, shares(&KEEPERS, 2, 1)) };
    let act = renewed(&world, dealt, &KEEPERS, &[]);
    assert_eq!(world.answer(act, &[]), "ACCEPTED");
    let act = world.sealed(Sealing { expires_ms, ..sealing(OWNER, 2, &KEEPERS, 2) }, &KEEPERS);
    assert_eq!(world.answer(act, &[OWNER]), "ACCEPTED");
}

#[test]
fn strangers_cannot_take_the_shares_of_a_vault() {
    let mut world = sealed_with(|_| {});
    let deal = |keepers: &[u8]| refresh(OWNER, 1, 2, shares(keepers, 2, 1));
    for (keepers, leavers, name) in [
        (&[4, 5][..], &[][..], "VAULT_CONSENT_MISSING"),
        (&[3, 4, 5], &[], "VAULT_CONSENT_MISSING"),
        (&[4, 5], &[(1, 1)], "VAULT_CONSENT_MISSING"),
        (&[4, 5], &[(1, 1), (2, 3)], "VAULT_ACKNOWLEDGEMENT_INVALID"),
        (&[4, 5], &[(1, 1), (9, 9)], "VAULT_NOT_HOLDER"),
        (&[4, 5], &[(0, 1), (1, 1)], "VAULT_NOT_HOLDER"),
        (&[1, 4, 5], &[(1, 1)], "VAULT_NOT_HOLDER"),
    ] {
        let act = renewed(&world, deal(keepers), keepers, leavers);
        refused(&mut world, act, &[], name);
    }
    let act = renewed(&world, deal(&[3, 4, 5]), &[3, 4, 5], &[(2, 2)]);
    assert_eq!(world.answer(act, &[]), "ACCEPTED");
    // Who handed its share over may erase it at once, who holds one may not.
    assert_eq!(
        [1, 3, 4].map(|number| erase(&mut world, number, 1)),
        ["ACCEPTED", "VAULT_IN_USE", "VAULT_IN_USE"]
    );
    // Coming back, it holds a share again.
    let back = refresh(OWNER, 1, 3, shares(&[1, 3, 4], 2, 2));
    let act = renewed(&world, back, &[1, 3, 4], &[]);
    assert_eq!(world.answer(act, &[]), "ACCEPTED");
    assert_eq!(holder(&world, 1).unwrap(), HolderState { held: 1, erased: 0 });
    assert_eq!(erase(&mut world, 1, 1), "VAULT_IN_USE");
}

#[test]
fn an_acknowledgement_counts_under_the_key_that_the_keeper_has_now() {
    let mut world = kept();
    let act = world.sealed(sealing(OWNER, 1, &KEEPERS, 2), &KEEPERS);
    let new = SigningKey::from_seed(&[0xf1; 32]);
    let change = world.set_keeper(Keeper { key: new.public_key(), ..keeper(1) }, &new);
    world.decide(&[change]);
    refused(&mut world, act, &[OWNER], "VAULT_ACKNOWLEDGEMENT_INVALID");
    let (good, chain_id) = (sealing(OWNER, 1, &KEEPERS, 2), world.chain_id());
    let keys = [new, keeper_key(2), keeper_key(3)];
    let signed =
        (1..).zip(&keys).map(|(index, key)| acknowledge(key, &chain_id, &good.hash(), index)).collect();
    let act = Act::Vault(VaultAct::Seal { sealing: Box::new(good), acknowledgements: signed });
    assert_eq!(world.answer(act, &[OWNER]), "ACCEPTED");
    // A keeper that left acknowledges nothing any more.
    world.decide(&[keyward_ledger_core::change::Change::RemoveKeeper { id: id_of(2) }]);
    let mut keys_of_next = world.sealed(sealing(OWNER, 2, &[3, 2], 2), &[3, 2]);
    refused(&mut world, keys_of_next.clone(), &[OWNER], "VAULT_KEEPER_UNKNOWN");
    keys_of_next = world.sealed(sealing(OWNER, 2, &[3, 4], 2), &[3, 4]);
    assert_eq!(world.answer(keys_of_next, &[OWNER]), "ACCEPTED");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Whatever is asked, sealed anew, opened and destroyed, in one block or many: an id is given once, ids given since the
    /// last opening never pass the lifetime, and no number goes back.
    #[test]
    fn attempts_given_never_pass_what_was_sealed(
        steps in vec((0..8_u8, 0..6_u8, 0..90_u64, any::<bool>()), 1..40)
    ) {
        let mut world = sealed_with(|_| {});
        world.step_ms = 0;
        let (mut version, mut destroyed) = (1, false);
        let mut given: Vec<(VaultAttempt, Hash)> = Vec::new();
        let (mut since, mut opened) = (0_u32, Vec::new());
        for (verb, number, seconds, wait) in steps {
            if wait {
                world.wait(seconds * 1_000);
            }
            let before = counter(&world);
            let act = match verb {
                0..=4 => ask(version, number),
                5 => match given.last() {
                    Some((attempt, id)) => open(&world, *attempt, *id),
                    None => continue,
                },
                6 => world.sealed(sealing(OWNER, version + 1, &KEEPERS, 2), &KEEPERS),
                _ if number == 0 => destroy(version),
                _ => continue,
            };
            let people: &[Person] = if verb >= 6 { &[OWNER] } else { &[] };
            // The same twice in one batch: it is one.
            let twice = [world.signed_by(act.clone(), people), world.signed_by(act, people)];
            let answers = world.submit(&twice);
            let after = counter(&world);
            prop_assert!(after.number >= before.number && after.number <= before.number + 1);
            let accepted = answers[0].is_accepted();
            match verb {
                0..=4 if accepted => {
                    prop_assert_eq!(&answers[0], &answers[1]);
                    prop_assert!(!destroyed);
                    let (attempt, id) = (vault_attempt(OWNER, version, number), id_of_outcome(&answers[0]));
                    if after.number > before.number {
                        prop_assert!(given.iter().all(|(_, other)| *other != id));
                        since += 1;
                        given.push((attempt, id));
                    } else {
                        prop_assert!(given.contains(&(attempt, id)));
                    }
                    prop_assert!(since <= after.terms.lifetime);
                }
                5 if accepted => {
                    prop_assert_eq!(answers[1].name(), "ATTEMPT_PROVEN");
                    let (_, id) = given.last().unwrap();
                    prop_assert!(!opened.contains(id), "an attempt gives the others back once");
                    opened.push(*id);
                    since = 0;
                }
                6 if accepted => version += 1,
                7 if accepted => destroyed = true,
                _ => prop_assert_eq!(after.number, before.number),
            }
            prop_assert_eq!(after.granted, since);
        }
    }
}

fn id_of_outcome(outcome: &Outcome) -> Hash {
    outcome.data.clone().try_into().unwrap()
}
