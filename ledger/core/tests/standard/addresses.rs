//! `addresses`: chosen once, used once, closed once, dealt without a gap; each refusal in its order.

use keyward_ledger_core::contracts::intent::INTENT_BLOCKS_MAX;
use keyward_ledger_core::entry::{
    AddressAct, AnnouncePayment, ChooseAddresses, CloseEpoch, Custody, DealViewing, HandleLimit, Release,
    UseAddress, kind, tenant_id,
};
use keyward_ledger_core::scheme::{PublicKey, Scheme};
use keyward_ledger_core::state::addresses::{
    AddressesState, DealtState, HandleState, closed_epoch_key, dealt_key, handle_key, read_leaf,
    used_address_key,
};
use keyward_ledger_core::unlinkable::{
    AddressEpoch, DEALT_MS_MAX, DealtRun, EDGE_MS, EPOCH_MS_MAX, use_address_message,
};

use super::*;
use crate::common::addresses::{
    AddressKey, EPOCH_MS, OfScheme, SCHEMES, choose, choosing, closing, detail, run,
};
use crate::common::validators;
use crate::common::vault::id_of;

pub(super) const KEY: AddressKey = AddressKey(1, false);

/// An entry of the service that must be refused, and must change nothing.
pub(super) fn refused_entry(world: &mut World, entry: Entry, name: &str) {
    let before = world.business();
    assert_eq!(world.names(std::slice::from_ref(&entry)), [name], "{entry:?}");
    unchanged(world, before, &entry);
}

/// A submitter by its seed: 21 and 22 are services, 23 an operator, 24 a keeper.
pub(super) fn seeded(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32])
}

fn accepted(world: &mut World, entry: Entry) {
    assert_eq!(world.names(std::slice::from_ref(&entry)), ["ACCEPTED"], "{entry:?}");
}

fn used(world: &mut World, id: u8, key: AddressKey, scheme: Scheme) -> &'static str {
    let entry = world.proven(key, world.use_address(id, key, scheme));
    world.names(&[entry])[0]
}

/// A rate rule of the owner with these windows, and who charges it.
fn limited(world: &mut World, version: u32, windows: &[(u64, u64)], chargers: &[Person]) -> Hash {
    let window = |(length_ms, count_max): &(u64, u64)| Window {
        length_ms: *length_ms,
        count_max: *count_max,
        amount_max: 0,
    };
    let windows = windows.iter().map(window).collect();
    let terms = RateTerms { windows, chargers: parties(chargers) };
    assert_eq!(world.answer(Act::DefineRate(define(OWNER, version, terms)), &[OWNER]), "ACCEPTED");
    OWNER.rule().id(kind::DEFINE_RATE)
}

#[test]
fn an_account_chooses_once_by_its_own_word() {
    let mut world = world();
    let own = choose(ALICE, Custody::Own);
    refused(&mut world, own.clone(), &[], "AUTHORS_MISSING");
    refused(&mut world, own.clone(), &[ALICE, BOB], "AUTHORS_MISSING");
    refused(&mut world, own.clone(), &[STRANGER], "AUTHOR_UNKNOWN");
    refused(&mut world, own.clone(), &[BOB], "AUTHOR_NOT_NAMED");
    // A key that a service bound beside the credential is not the account's own word.
    let party = world.link(ALICE, &signer::P256, Mode::Linked);
    let mut author = world.author(&own, party, &|message| signer::P256.sign(message));
    author.public_key = signer::P256.public_key().as_bytes().to_vec();
    let entry = Entry::Authored(Authored { act: own.clone(), authors: vec![author] });
    refused_entry(&mut world, entry, "AUTHOR_NOT_NAMED");
    let with = |epoch_ms| {
        let account = ALICE.account();
        let tenant = tenant_id("bank");
        choosing(ChooseAddresses { account, tenant, custody: Custody::Own, epoch_ms })
    };
    for epoch_ms in [0, 1, 999, EPOCH_MS_MAX + 1, u64::MAX] {
        refused(&mut world, with(epoch_ms), &[ALICE], "ADDRESS_EPOCH");
    }
    assert_eq!(world.answer(own.clone(), &[ALICE]), "ACCEPTED");
    let leaf = world.records.len() as u64 - 1;
    let first = u32::try_from((world.ledger.time_ms() - EDGE_MS) / EPOCH_MS).unwrap();
    let (tenant, custody) = (tenant_id("bank"), Custody::Own);
    let (epoch_ms, dealt, closed_ms) = (EPOCH_MS, None, None);
    let stands = AddressesState { tenant, custody, epoch_ms, first, dealt, leaf, closed_ms };
    assert_eq!(world.chosen(ALICE), Some(stands));
    for again in [own, choose(ALICE, Custody::Hosted), with(1_000)] {
        refused(&mut world, again, &[ALICE], "ADDRESSES_CHOSEN");
    }
    world.answer(close(BOB), &[BOB]);
    refused(&mut world, choose(BOB, Custody::Own), &[BOB], "ACCOUNT_CLOSED");
}

#[test]
fn the_first_epoch_is_the_first_that_was_under_way() {
    for (epoch_ms, person) in [(1_000, ALICE), (EPOCH_MS, BOB), (EPOCH_MS_MAX, CAROL)] {
        for (before, late_ms) in [(1, EDGE_MS - 1), (0, EDGE_MS)] {
            let mut world = world();
            // Both epochs begin well after now.
            let number = (world.ledger.time_ms() + 2 * EPOCH_MS_MAX) / epoch_ms;
            world.at(number * epoch_ms + late_ms);
            let account = person.account();
            let wanted =
                ChooseAddresses { account, tenant: tenant_id("bank"), custody: Custody::Own, epoch_ms };
            assert_eq!(world.answer(choosing(wanted), &[person]), "ACCEPTED");
            let first = world.chosen(person).unwrap().first;
            let time_ms = number * epoch_ms + late_ms;
            assert!(AddressEpoch::new(epoch_ms, first).is_under_way(time_ms));
            assert!(!AddressEpoch::new(epoch_ms, first - 1).is_under_way(time_ms));
            if epoch_ms > EDGE_MS {
                assert_eq!(u64::from(first), number - before, "{epoch_ms}");
            }
        }
    }
}

/// Everything is wrong at first, and is put right in the order of the rules.
#[test]
fn each_rule_of_a_use_refuses_in_its_order() {
    let mut world = world();
    world.step_ms = 10;
    let rule = limited(&mut world, 1, &[(EPOCH_MS, 1), (600_000, 1)], &[]);
    let bound = OfScheme(AddressKey(2, false), Scheme::Bip340);
    world.link(ALICE, &bound, Mode::Own);
    assert_eq!(used(&mut world, 1, AddressKey(3, false), Scheme::EcdsaSecp256k1), "ACCEPTED");
    let (height, epoch) = (world.ledger.height(), world.epoch());
    let mut wrong = UseAddress {
        executor: world.other_service.public_key(),
        not_after: height,
        epoch_ms: 999,
        public_key: [5; 33],
        limit: Some(HandleLimit { rule: [9; 32], handle: [8; 32] }),
        ..world.use_address(1, AddressKey(2, false), Scheme::Bip340)
    };
    for submitter in [seeded(23), seeded(24), validators(1, 4).remove(0)] {
        let found = world.submit_as(&submitter, &[Entry::UseAddress(wrong.clone())])[0].name();
        assert_eq!(found, "ROLE_NOT_ALLOWED");
    }
    let refuse = |world: &mut World, used: &UseAddress, name: &str| {
        refused_entry(world, Entry::UseAddress(used.clone()), name);
    };
    refuse(&mut world, &wrong, "NOT_EXECUTOR");
    wrong.executor = world.service.public_key();
    refuse(&mut world, &wrong, "EXPIRED");
    wrong.not_after = world.ledger.height() + 2 + INTENT_BLOCKS_MAX;
    refuse(&mut world, &wrong, "EXPIRY_TOO_FAR");
    wrong.not_after = height + 100;
    for (epoch_ms, epoch) in
        [(999, epoch), (EPOCH_MS_MAX + 1, 0), (EPOCH_MS, epoch - 2), (EPOCH_MS, epoch + 2), (0, 0)]
    {
        refuse(&mut world, &UseAddress { epoch_ms, epoch, ..wrong.clone() }, "ADDRESS_EPOCH");
    }
    wrong.epoch_ms = EPOCH_MS;
    // No point, another form of a point, and x of none.
    let [_, x @ ..] = KEY.point();
    for head in [0, 1, 4, 5, 6, 255] {
        let public_key = [&[head], &x[..]].concat().try_into().unwrap();
        refuse(&mut world, &UseAddress { public_key, ..wrong.clone() }, "PUBLIC_KEY_INVALID");
    }
    wrong.public_key = no_point();
    for scheme in SCHEMES {
        refuse(&mut world, &UseAddress { scheme, ..wrong.clone() }, "PUBLIC_KEY_INVALID");
    }
    wrong.public_key = AddressKey(2, false).point();
    refuse(&mut world, &wrong, "KEY_ALREADY_BOUND");
    wrong.public_key = AddressKey(3, false).point();
    refuse(&mut world, &wrong, "ADDRESS_USED");
    wrong.public_key = KEY.point();
    refuse(&mut world, &wrong, "INTENT_REPLAYED");
    wrong.id = [4; 32];
    refuse(&mut world, &wrong, "RULE_UNKNOWN");
    wrong.limit = Some(HandleLimit { rule, handle: [8; 32] });
    refuse(&mut world, &wrong, "RULE_INVALID");
    limited(&mut world, 2, &[(EPOCH_MS, 1)], &[BOB]);
    refuse(&mut world, &wrong, "RULE_INVALID");
    limited(&mut world, 3, &[(EPOCH_MS, 0)], &[]);
    refuse(&mut world, &wrong, "RATE_EXCEEDED");
    limited(&mut world, 4, &[(EPOCH_MS, 1)], &[]);
    refuse(&mut world, &wrong, "PROOF_INVALID");
    let right = world.proven(KEY, wrong);
    accepted(&mut world, right);
}

/// The right form, and x of no point.
fn no_point() -> [u8; 33] {
    let of = |number: u8| [&[2], &[number; 32][..]].concat();
    let found = (1..).map(of).find(|bytes| PublicKey::parse(Scheme::EcdsaSecp256k1, bytes).is_err());
    found.unwrap().try_into().unwrap()
}

#[test]
fn the_proof_is_of_this_use_on_this_ledger_by_this_key() {
    let mut world = world();
    let good = world.use_address(1, KEY, Scheme::EcdsaSecp256k1);
    for (scheme, other) in [(SCHEMES[0], SCHEMES[1]), (SCHEMES[1], SCHEMES[0])] {
        let good = UseAddress { scheme, ..good.clone() };
        let message = use_address_message(&world.chain_id(), &good.body());
        let elsewhere = use_address_message(&[7; 32], &good.body());
        let proofs = [
            AddressKey(9, false).sign(scheme, &message),
            KEY.sign(other, &message),
            KEY.sign(scheme, &elsewhere),
            KEY.sign(scheme, &good.body()),
            [0; 64],
        ];
        for proof in proofs {
            refused_entry(
                &mut world,
                Entry::UseAddress(UseAddress { proof, ..good.clone() }),
                "PROOF_INVALID",
            );
        }
        let proof = KEY.sign(scheme, &message);
        let limit = Some(HandleLimit { rule: limited_once(&mut world), handle: [8; 32] });
        let changed = [
            UseAddress { id: [2; 32], ..good.clone() },
            UseAddress { epoch: good.epoch + 1, epoch_ms: good.epoch_ms - 1, ..good.clone() },
            UseAddress { commitment: [2; 32], ..good.clone() },
            UseAddress { not_after: good.not_after - 1, ..good.clone() },
            UseAddress { limit, ..good.clone() },
            UseAddress { detail: [&detail()[1..], &[0]].concat(), ..good.clone() },
        ];
        for changed in changed {
            let changed = UseAddress { proof, ..changed };
            let name = world.names(&[Entry::UseAddress(changed)])[0];
            assert!(["PROOF_INVALID", "ADDRESS_EPOCH"].contains(&name), "{name}");
        }
        // Another service takes nobody's proof for its own.
        let executor = world.other_service.public_key();
        let other_service = seeded(22);
        let stolen = Entry::UseAddress(UseAddress { executor, proof, ..good.clone() });
        assert_eq!(world.submit_as(&other_service, &[stolen])[0].name(), "PROOF_INVALID");
    }
    // An ECDSA signature with the other S is another one, and none.
    let message = use_address_message(&world.chain_id(), &good.body());
    let low = KEY.sign(SCHEMES[0], &message);
    let (r, s) = low.split_at(32);
    let high = -*k256::NonZeroScalar::try_from(s).unwrap().as_ref();
    let proof = [r, &high.to_bytes()].concat().try_into().unwrap();
    refused_entry(&mut world, Entry::UseAddress(UseAddress { proof, ..good.clone() }), "PROOF_INVALID");
    let entry = world.proven(KEY, good);
    accepted(&mut world, entry);
}

/// A limit of one in a window; defined at the first call.
fn limited_once(world: &mut World) -> Hash {
    let rule = OWNER.rule().id(kind::DEFINE_RATE);
    let known = world.ledger.state().get(&keyward_ledger_core::state::layout::rate_key(&rule)).is_some();
    if known { rule } else { limited(world, 1, &[(EPOCH_MS, 1)], &[]) }
}

#[test]
fn an_address_is_used_once_in_either_scheme_and_by_either_of_its_points() {
    for first in SCHEMES {
        for second in SCHEMES {
            for opposite in [false, true] {
                let mut world = world();
                let again = AddressKey(1, opposite);
                let one = world.proven(KEY, world.use_address(1, KEY, first));
                let other = world.proven(again, world.use_address(2, again, second));
                // In one batch, in one block by two services, and later.
                let names = world.names(&[one.clone(), other.clone(), one.clone()]);
                assert_eq!(names, ["ACCEPTED", "ADDRESS_USED", "ADDRESS_USED"]);
                let late = world.proven(again, world.use_address(3, again, second));
                refused_entry(&mut world, late, "ADDRESS_USED");
                assert_eq!(world.count(b"address/used/"), 1);
            }
        }
    }
}

#[test]
fn two_services_in_one_block_do_not_use_one_address_both() {
    let mut world = world();
    let (service, other) = (seeded(21), seeded(22));
    let executor = other.public_key();
    let one = world.proven(KEY, world.use_address(1, KEY, SCHEMES[0]));
    let theirs = UseAddress { executor, ..world.use_address(2, KEY, SCHEMES[1]) };
    let theirs = world.proven(KEY, theirs);
    let batches = [world.batch(&service, &[one]), world.batch(&other, &[theirs])];
    let outcomes: Vec<_> =
        world.block(&batches).batches.iter().map(|batch| batch.outcomes[0].name()).collect();
    assert_eq!(outcomes, ["ACCEPTED", "ADDRESS_USED"]);
    // It is used for good: long after the intent has ended.
    let leaf = world.records.len() as u64 - 2;
    for _ in 0..60 {
        world.wait(EPOCH_MS);
    }
    assert_eq!(used(&mut world, 3, KEY, SCHEMES[0]), "ADDRESS_USED");
    let [_, x @ ..] = KEY.point();
    let value = world.ledger.state().get(&used_address_key(&x)).unwrap();
    assert_eq!(read_leaf(value), Ok(leaf));
    assert_eq!(world.count(b"intent/"), 0);
}

#[test]
fn what_an_address_released_is_recorded_as_of_any_intent() {
    let mut world = world();
    assert_eq!(used(&mut world, 1, KEY, Scheme::Bip340), "ACCEPTED");
    let release = |id: u8| Entry::Release(Release { intent_id: [id; 32], signature_hash: [2; 32] });
    let other = seeded(22);
    assert_eq!(world.submit_as(&other, &[release(1)])[0].name(), "NOT_EXECUTOR");
    assert_eq!(world.names(&[release(1), release(1)]), ["ACCEPTED", "ALREADY_RELEASED"]);
    // An ordinary intent's id that lives is none for an address, and the other way round.
    world.link(ALICE, &signer::P256, Mode::Hosted);
    let intent =
        |world: &World, id| Entry::Intent(world.intent([id; 32], signer::P256.public_key().id(), b"m"));
    let (taken, ordinary) = (intent(&world, 1), intent(&world, 5));
    assert_eq!(world.names(&[taken, ordinary]), ["INTENT_REPLAYED", "ACCEPTED"]);
    assert_eq!(used(&mut world, 5, AddressKey(2, false), Scheme::Bip340), "INTENT_REPLAYED");
    for _ in 0..52 {
        world.wait(1);
    }
    refused_entry(&mut world, release(1), "INTENT_UNKNOWN");
    // The id is free again; the address never is.
    assert_eq!(used(&mut world, 1, AddressKey(2, false), Scheme::Bip340), "ACCEPTED");
}

/// To the millisecond, at both ends.
#[test]
fn an_epoch_is_under_way_a_little_longer_and_closed_only_after_that() {
    let mut world = world();
    let (payment, l) = ([7; 50], EPOCH_MS);
    let epoch = world.epoch() + 3;
    let (begin, end) = (u64::from(epoch) * l, u64::from(epoch + 1) * l);
    let moments = [
        (begin - EDGE_MS - 1, "ADDRESS_EPOCH", "EPOCH_UNDER_WAY"),
        (begin - EDGE_MS, "ACCEPTED", "EPOCH_UNDER_WAY"),
        (begin, "ACCEPTED", "EPOCH_UNDER_WAY"),
        (end + EDGE_MS - 1, "ACCEPTED", "EPOCH_UNDER_WAY"),
        (end + EDGE_MS, "ADDRESS_EPOCH", "ACCEPTED"),
        (end + EDGE_MS + 1, "ADDRESS_EPOCH", "ACCEPTED"),
    ];
    for (number, (time_ms, in_use, closes)) in (1..).zip(moments) {
        world.at(time_ms);
        let key = AddressKey(number, false);
        let use_it = UseAddress { epoch, ..world.use_address(number, key, Scheme::Bip340) };
        let entries = [
            world.proven(key, use_it),
            Entry::AnnouncePayment(AnnouncePayment { epoch_ms: l, epoch, payment }),
            Entry::CloseEpoch(closing(number, epoch)),
        ];
        assert_eq!(world.names(&entries), [in_use, in_use, closes], "at {time_ms}");
        assert_eq!(world.ledger.time_ms(), time_ms);
    }
}

#[test]
fn an_epoch_is_closed_once_under_its_tag() {
    let mut world = world();
    let past = world.epoch() - 2;
    let good = closing(1, past);
    for submitter in [seeded(23), seeded(24)] {
        let entries = [
            Entry::CloseEpoch(CloseEpoch { epoch_ms: 0, ..good.clone() }),
            Entry::AnnouncePayment(AnnouncePayment { epoch_ms: 0, epoch: 0, payment: [1; 50] }),
        ];
        let outcomes = world.submit_as(&submitter, &entries);
        assert!(outcomes.iter().all(|outcome| outcome.name() == "ROLE_NOT_ALLOWED"));
    }
    for epoch_ms in [0, 999, EPOCH_MS_MAX + 1, u64::MAX] {
        let wrong = CloseEpoch { epoch_ms, epoch: u32::MAX, ..good.clone() };
        refused_entry(&mut world, Entry::CloseEpoch(wrong), "ADDRESS_EPOCH");
        let payment = AnnouncePayment { epoch_ms, epoch: 0, payment: [1; 50] };
        refused_entry(&mut world, Entry::AnnouncePayment(payment), "ADDRESS_EPOCH");
    }
    let running = CloseEpoch { epoch: world.epoch(), ..good.clone() };
    refused_entry(&mut world, Entry::CloseEpoch(running), "EPOCH_UNDER_WAY");
    accepted(&mut world, Entry::CloseEpoch(good.clone()));
    let leaf = world.records.len() as u64 - 1;
    let stands = |world: &World, seed: u8| {
        let key = closed_epoch_key(&good.tag, &seeded(seed).public_key());
        world.ledger.state().get(&key).map(|value| read_leaf(value).unwrap())
    };
    assert_eq!((stands(&world, 21), stands(&world, 22)), (Some(leaf), None));
    let earlier = CloseEpoch { epoch: past - 1, ..good.clone() };
    for again in [good, earlier] {
        refused_entry(&mut world, Entry::CloseEpoch(again), "EPOCH_CLOSED");
    }
}

/// Whoever sees a closing on its way, and is quicker with another one under the same tag, keeps nobody from closing.
#[test]
fn a_copied_tag_closes_nothing_of_somebody_else() {
    let mut world = world();
    let good = closing(1, world.epoch() - 2);
    let copied = CloseEpoch { closing: vec![0; good.closing.len()], ..good.clone() };
    let (service, other) = (seeded(21), seeded(22));
    let batches = [
        world.batch(&other, &[Entry::CloseEpoch(copied.clone())]),
        world.batch(&service, &[Entry::CloseEpoch(good.clone())]),
    ];
    let names: Vec<_> = world.block(&batches).batches.iter().map(|batch| batch.outcomes[0].name()).collect();
    assert_eq!(names, ["ACCEPTED"; 2]);
    assert_eq!(world.submit_as(&other, &[Entry::CloseEpoch(copied)])[0].name(), "EPOCH_CLOSED");
    refused_entry(&mut world, Entry::CloseEpoch(good), "EPOCH_CLOSED");
}

#[test]
fn a_handle_is_counted_in_its_window_and_forgotten_after_it() {
    let mut world = world();
    world.step_ms = 10;
    let rule = limited(&mut world, 1, &[(EPOCH_MS, 2)], &[]);
    let number = Counter::default();
    let spend = |world: &mut World, handle: u8| {
        let id = number.next();
        let key = AddressKey(id, false);
        let limit = Some(HandleLimit { rule, handle: [handle; 32] });
        let entry = world.proven(key, UseAddress { limit, ..world.use_address(id, key, SCHEMES[0]) });
        world.names(&[entry])[0]
    };
    world.at(u64::from(world.epoch() + 1) * EPOCH_MS);
    assert_eq!(spend(&mut world, 1), "ACCEPTED");
    world.step_ms = 10;
    assert_eq!([spend(&mut world, 1), spend(&mut world, 1)], ["ACCEPTED", "RATE_EXCEEDED"]);
    assert_eq!(spend(&mut world, 2), "ACCEPTED");
    let ends_ms = u64::from(world.epoch() + 1) * EPOCH_MS - 1;
    let stands = |world: &World, handle: u8| {
        let value = world.ledger.state().get(&handle_key(&rule, &[handle; 32]));
        value.map(|value| HandleState::decode(value).unwrap())
    };
    assert_eq!(stands(&world, 1), Some(HandleState { ends_ms, count: 2 }));
    // A longer window lets nobody begin anew in the one that is under way, and a shorter one does not either.
    limited(&mut world, 2, &[(10 * EPOCH_MS, 2)], &[]);
    assert_eq!([spend(&mut world, 1), spend(&mut world, 2)], ["RATE_EXCEEDED", "ACCEPTED"]);
    limited(&mut world, 3, &[(EPOCH_MS / 2, 2)], &[]);
    assert_eq!([spend(&mut world, 1), spend(&mut world, 2)], ["RATE_EXCEEDED", "RATE_EXCEEDED"]);
    limited(&mut world, 4, &[(EPOCH_MS, 2)], &[]);
    world.at(ends_ms);
    assert_eq!(spend(&mut world, 1), "RATE_EXCEEDED");
    world.at(ends_ms + 1);
    assert_eq!(spend(&mut world, 1), "ACCEPTED");
    assert_eq!(stands(&world, 1), Some(HandleState { ends_ms: ends_ms + EPOCH_MS, count: 1 }));
    world.wait(20 * EPOCH_MS);
    assert_eq!(world.count(b"address/handle/"), 0, "what has ended leaves the state");
    // The rate rule itself was charged nothing: amounts and accounts stand nowhere.
    let value = world.ledger.state().get(&keyward_ledger_core::state::layout::rate_key(&rule)).unwrap();
    let charged = keyward_ledger_core::state::layout::RateState::decode(value).unwrap().spent;
    assert!(charged.iter().all(|spent| spent.count == 0 && spent.amount == 0));
}

#[derive(Default)]
struct Counter(std::cell::Cell<u8>);

impl Counter {
    fn next(&self) -> u8 {
        self.0.set(self.0.get() + 1);
        self.0.get()
    }
}

/// An account with its own root and one with a hosted one, and three keepers.
fn rooted() -> (World, u32) {
    let mut world = world();
    world.admit_keepers(&[1, 2, 3]);
    for (person, custody) in [(ALICE, Custody::Own), (BOB, Custody::Hosted)] {
        assert_eq!(world.answer(choose(person, custody), &[person]), "ACCEPTED");
    }
    let first = world.chosen(ALICE).unwrap().first;
    world.wait(5 * EPOCH_MS + EDGE_MS);
    (world, first)
}

#[test]
fn each_rule_of_a_dealing_refuses_in_its_order() {
    let (mut world, first) = rooted();
    let far = first + 1_000;
    let maker = World::new();
    let dealt = |from, to, t| maker.dealt(run(ALICE, from, to), t, &[1, 2, 3]);
    let good = dealt(first, first + 1, 2);
    refused(&mut world, dealt(far, far, 0), &[], "AUTHORS_MISSING");
    refused(&mut world, dealt(far, far, 0), &[BOB], "AUTHOR_NOT_NAMED");
    // Nothing chosen, and hosted.
    for person in [CAROL, BOB] {
        let act = world.dealt(run(person, far, far), 0, &[]);
        refused(&mut world, act, &[person], "ADDRESSES_UNKNOWN");
    }
    let late = DealtRun { expires_ms: 0, ..run(ALICE, far, far) };
    let late = maker.dealt(late, 0, &[]);
    refused(&mut world, late, &[ALICE], "EXPIRED");
    for (from, to) in [(far, far), (first + 1, far), (first - 1, far), (first, first - 1), (0, 0)] {
        refused(&mut world, dealt(from, to, 0), &[ALICE], "DEALING_GAP");
    }
    refused(&mut world, dealt(first, far, 0), &[ALICE], "EPOCH_UNDER_WAY");
    for threshold in [0, 1, 4, 255] {
        refused(&mut world, dealt(first, first, threshold), &[ALICE], "VAULT_INVALID");
    }
    let none = world.dealt(run(ALICE, first, first), 2, &[1]);
    refused(&mut world, none, &[ALICE], "VAULT_INVALID");
    let stranger = world.dealt(run(ALICE, first, first), 2, &[1, 4]);
    refused(&mut world, stranger, &[ALICE], "VAULT_KEEPER_UNKNOWN");
    let Act::Addresses(AddressAct::Deal(signed)) = &good else { panic!() };
    let other = |run, place: usize| {
        let mut acknowledgements = signed.acknowledgements.clone();
        let last = acknowledgements.len() - 1;
        acknowledgements[place].1 = acknowledgements[last - place].1;
        Act::Addresses(AddressAct::Deal(DealViewing { run, threshold: 2, acknowledgements }))
    };
    refused(&mut world, other(signed.run, 0), &[ALICE], "VAULT_ACKNOWLEDGEMENT_INVALID");
    // What keepers acknowledged is this run of this account and nothing else.
    let hashed = DealtRun { dealing_hash: [1; 32], ..signed.run };
    let longer = DealtRun { expires_ms: signed.run.expires_ms + 1, ..signed.run };
    for run in [run(ALICE, first, first), run(ALICE, first, first + 2), hashed, longer] {
        let act = Act::Addresses(AddressAct::Deal(DealViewing { run, ..signed.clone() }));
        refused(&mut world, act, &[ALICE], "VAULT_ACKNOWLEDGEMENT_INVALID");
    }
    assert_eq!(world.answer(good.clone(), &[ALICE]), "ACCEPTED");
    let leaf = world.records.len() as u64 - 1;
    let mut keepers = [1, 2, 3].map(id_of).to_vec();
    keepers.sort_unstable();
    let dealing_hash = signed.run.dealing_hash;
    let stands = DealtState { last: first + 1, dealing_hash, threshold: 2, keepers, leaf };
    let value = world.ledger.state().get(&dealt_key(&ALICE.account(), first)).unwrap();
    assert_eq!(DealtState::decode(value), Ok(stands));
    assert_eq!(world.chosen(ALICE).unwrap().next_dealt(), Some(first + 2));
    refused(&mut world, good, &[ALICE], "DEALING_GAP");
}

#[test]
fn a_dealing_ends_with_an_epoch_that_has_elapsed_to_the_millisecond() {
    let (mut world, first) = rooted();
    let last = first + 9;
    let elapsed_ms = u64::from(last + 1) * EPOCH_MS + EDGE_MS;
    for (time_ms, name) in [(elapsed_ms - 1, "EPOCH_UNDER_WAY"), (elapsed_ms, "ACCEPTED")] {
        world.at(time_ms);
        let deal = world.dealt(run(ALICE, first, last), 2, &[1, 2, 3]);
        assert_eq!(world.answer(deal, &[ALICE]), name);
    }
}

#[test]
fn a_dealing_that_was_held_back_is_not_recorded_after_its_end_to_the_millisecond() {
    for (late_ms, name) in [(0, "ACCEPTED"), (1, "EXPIRED")] {
        let (mut world, first) = rooted();
        let expires_ms = world.next_ms() + 5_000;
        let dealt = DealtRun { expires_ms, ..run(ALICE, first, first + 1) };
        let deal = world.dealt(dealt, 2, &[1, 2, 3]);
        world.at(expires_ms + late_ms);
        assert_eq!(world.answer(deal, &[ALICE]), name);
    }
}

#[test]
fn a_dealing_is_of_a_day_at_most() {
    let (mut world, first) = rooted();
    let most = u32::try_from(DEALT_MS_MAX / EPOCH_MS).unwrap();
    world.at(u64::from(first + 2 * most) * EPOCH_MS + EDGE_MS);
    for (epochs, name) in [(most + 1, "DEALING_GAP"), (most, "ACCEPTED")] {
        let deal = world.dealt(run(ALICE, first, first + epochs - 1), 2, &[1, 2, 3]);
        assert_eq!(world.answer(deal, &[ALICE]), name, "{epochs} epochs");
    }
}
