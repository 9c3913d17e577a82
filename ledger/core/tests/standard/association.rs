//! `association`: one version for everybody, each address proven and in one group only, and nothing while it is disputed.

use keyward_ledger_core::address::{Address, AddressFormat, proof_text};
use keyward_ledger_core::entry::{ASSOCIATION_MEMBERS_MAX, AssociationAct, AssociationTerms, Member};
use keyward_ledger_core::scheme::KeyId;
use keyward_ledger_core::state::association::{AddressState, AssociationState, address_key, association_key};

use super::*;
use crate::common::association::{
    GROUP, Holder, dispute, key_member, leave, open, quorum, settle, terms, update,
};

const ETHER: Holder = Holder::Ethereum(7);
const COIN: Holder = Holder::Bitcoin(8, 1);

fn now(world: &World) -> AssociationState {
    AssociationState::decode(world.ledger.state().get(&association_key(&GROUP)).unwrap()).unwrap()
}

fn stands(world: &World, address: &Address) -> Option<AddressState> {
    let value = world.ledger.state().get(&address_key(address));
    value.map(|value| AddressState::decode(value).unwrap())
}

fn two_of_three() -> AssociationTerms {
    terms((2, &[OWNER, ALICE, BOB]), (2, &[OWNER, ALICE, BOB]))
}

fn member(world: &World, version: u32, holder: Holder, person: Person) -> Member {
    holder.member(&world.chain_id(), &GROUP, version, person)
}

/// A group of a hosted key of the owner's and an Ethereum address of Alice's.
fn grouped() -> (World, Address) {
    let mut world = world();
    world.link(OWNER, &signer::P256, Mode::Hosted);
    let key_id = signer::P256.public_key().id();
    let ether = member(&world, 1, ETHER, ALICE);
    let act = open(GROUP, two_of_three(), vec![key_member(OWNER, key_id), ether]);
    assert_eq!(world.answer(act, &[OWNER, ALICE]), "ACCEPTED");
    (world, Address::key(&key_id))
}

#[test]
fn a_group_ties_addresses_of_every_kind_together() {
    let mut world = world();
    let modes = [(Mode::Linked, &signer::Secp256k1 as &dyn common::Keys), (Mode::Hosted, &signer::P256)];
    let mut members = Vec::new();
    for (mode, keys) in modes.into_iter().chain([(Mode::Own, &signer::Bip340 as &dyn common::Keys)]) {
        world.link(OWNER, keys, mode);
        members.push(key_member(OWNER, keys.public_key().id()));
    }
    let holders = [ETHER, Holder::Bitcoin(8, 0), COIN, Holder::Ed25519, Holder::Sm2];
    members.extend(holders.map(|holder| member(&world, 1, holder, ALICE)));
    let act = open(GROUP, two_of_three(), members.clone());
    let keeper = SigningKey::from_seed(&[24; 32]);
    let entry = world.signed_by(act, &[OWNER, ALICE]);
    // Who transports it is of no interest.
    assert_eq!(world.submit_as(&keeper, &[entry])[0].name(), "ACCEPTED");
    let group = now(&world);
    assert_eq!((group.version, group.members.len(), group.disputes, group.dispute), (1, 8, 0, None));
    assert_eq!(group.leaf, world.records.len() as u64 - 1);
    for Member { account, address, proof } in &members {
        let found = AddressState { association: GROUP, since: 1, left: None };
        assert_eq!(stands(&world, address), Some(found));
        let of = group.members.iter().find(|member| member.address == *address).unwrap();
        assert_eq!((&of.account, &of.proof, of.since), (account, proof, 1));
    }
}

#[test]
fn an_address_stands_in_one_group_only() {
    let (mut world, key) = grouped();
    let other = [0xb6; 32];
    let ether = ETHER.member(&world.chain_id(), &other, 1, BOB);
    let terms = || terms((1, &[BOB]), (1, &[BOB]));
    refused(&mut world, open(other, terms(), vec![ether]), &[BOB], "ADDRESS_TAKEN");
    let again = key_member(OWNER, key.key_id().unwrap());
    refused(&mut world, open(other, terms(), vec![again.clone()]), &[BOB, OWNER], "ADDRESS_TAKEN");
    refused(&mut world, update(2, None, &[], vec![again]), &[OWNER, ALICE], "ADDRESS_TAKEN");
    refused(&mut world, open(GROUP, terms(), vec![]), &[BOB], "ASSOCIATION_EXISTS");
    // Of another kind it is another address, which its holder proves as such.
    let legacy = Holder::Bitcoin(8, 0).member(&world.chain_id(), &other, 1, BOB);
    assert_eq!(world.answer(open(other, terms(), vec![legacy]), &[BOB]), "ACCEPTED");
    let same = member(&world, 2, Holder::Bitcoin(8, 0), CAROL);
    refused(&mut world, update(2, None, &[], vec![same]), &[OWNER, ALICE, CAROL], "ADDRESS_TAKEN");
}

#[test]
fn a_version_is_the_present_one_plus_one() {
    let (mut world, key) = grouped();
    for version in [0, 1, 3, u32::MAX] {
        let coin = member(&world, version, COIN, CAROL);
        let act = update(version, None, &[], vec![coin]);
        refused(&mut world, act, &[OWNER, ALICE, CAROL], "ASSOCIATION_VERSION");
        refused(&mut world, leave(version, key.clone()), &[OWNER], "ASSOCIATION_VERSION");
    }
    for version in [0, 2] {
        refused(&mut world, dispute(version), &[ALICE], "ASSOCIATION_VERSION");
    }
    let coin = member(&world, 2, COIN, CAROL);
    assert_eq!(world.answer(update(2, None, &[], vec![coin]), &[OWNER, ALICE, CAROL]), "ACCEPTED");
    assert_eq!((now(&world).version, now(&world).members.len()), (2, 3));
    // Two that race for one version: the second was signed for what is no more.
    let first = world.signed_by(leave(3, key.clone()), &[OWNER]);
    let second = world.signed_by(update(3, None, &[ETHER.address()], vec![]), &[ALICE, BOB]);
    assert_eq!(world.names(&[first, second]), ["ACCEPTED", "ASSOCIATION_VERSION"]);
    assert_eq!(stands(&world, &ETHER.address()).map(|found| found.left), Some(None));
    let unknown = AssociationAct::Leave { association: [1; 32], version: 2, address: key };
    refused(&mut world, Act::Association(unknown), &[OWNER], "ASSOCIATION_UNKNOWN");
}

#[test]
fn a_change_takes_the_rule_and_the_word_of_whoever_comes() {
    let (mut world, key) = grouped();
    let coin = || vec![COIN.member(&World::new().chain_id(), &GROUP, 2, CAROL)];
    let act = || update(2, None, &[], coin());
    refused(&mut world, act(), &[], "AUTHORS_MISSING");
    refused(&mut world, act(), &[OWNER, CAROL], "AUTHORS_MISSING");
    refused(&mut world, act(), &[OWNER, ALICE], "MEMBER_CONSENT_MISSING");
    refused(&mut world, act(), &[OWNER, STRANGER], "AUTHOR_UNKNOWN");
    refused(&mut world, update(2, None, &[], vec![]), &[OWNER, ALICE], "ASSOCIATION_INVALID");
    let without = update(2, None, &[ETHER.address()], vec![]);
    refused(&mut world, without, &[OWNER, ALICE, CAROL], "AUTHOR_NOT_NAMED");
    refused(&mut world, update(2, None, &[COIN.address()], vec![]), &[OWNER, ALICE], "MEMBER_UNKNOWN");
    // A member that goes is not asked; the terms in force decide of the next ones.
    let next = terms((1, &[BOB]), (1, &[BOB]));
    refused(&mut world, update(2, Some(next.clone()), &[], vec![]), &[BOB], "AUTHORS_MISSING");
    assert_eq!(world.answer(update(2, Some(next), &[key], vec![]), &[ALICE, BOB]), "ACCEPTED");
    let coin = member(&world, 3, COIN, CAROL);
    refused(&mut world, update(3, None, &[], vec![coin.clone()]), &[OWNER, ALICE], "AUTHOR_NOT_NAMED");
    assert_eq!(world.answer(update(3, None, &[], vec![coin]), &[BOB, CAROL]), "ACCEPTED");
}

#[test]
fn a_second_key_of_the_same_account_is_no_second_voice() {
    let mut world = world();
    let token = world.link(ALICE, &signer::Secp256k1, Mode::Linked);
    let with_token = |needed| {
        let mut quorum = quorum(needed, &[ALICE, BOB]);
        quorum.parties.push(token);
        AssociationTerms { change: quorum.clone(), settle: quorum }
    };
    let ether = vec![member(&world, 1, ETHER, ALICE)];
    refused(&mut world, open(GROUP, with_token(3), ether.clone()), &[ALICE, BOB], "RULE_INVALID");
    let act = open(GROUP, with_token(2), ether);
    let mut author = world.author(&act, token, &|message| signer::Secp256k1.sign(message));
    author.public_key = signer::Secp256k1.public_key().as_bytes().to_vec();
    let Entry::Authored(mut entry) = world.signed_by(act.clone(), &[ALICE]) else { panic!() };
    entry.authors.push(author);
    assert_eq!(world.names(&[Entry::Authored(entry)]), ["AUTHORS_MISSING"]);
    assert_eq!(world.answer(act, &[ALICE, BOB]), "ACCEPTED");
}

#[test]
fn a_key_that_a_service_binds_speaks_for_no_account_that_has_a_credential() {
    let mut world = world();
    let bound = world.link(CAROL, &signer::Secp256k1, Mode::Linked);
    let by_key = |world: &mut World, act: Act, people: &[Person]| {
        let mut author = world.author(&act, bound, &|message| signer::Secp256k1.sign(message));
        author.public_key = signer::Secp256k1.public_key().as_bytes().to_vec();
        let Entry::Authored(mut entry) = world.signed_by(act, people) else { panic!() };
        entry.authors.push(author);
        let before = world.business();
        let name = world.names(&[Entry::Authored(entry)])[0];
        if name != "ACCEPTED" {
            assert_eq!(world.business(), before);
        }
        name
    };
    let terms = || terms((1, &[OWNER]), (1, &[OWNER]));
    let coin = member(&world, 1, COIN, CAROL);
    let act = open(GROUP, terms(), vec![coin]);
    assert_eq!(by_key(&mut world, act.clone(), &[OWNER]), "AUTHOR_NOT_NAMED");
    assert_eq!(world.answer(act, &[OWNER, CAROL]), "ACCEPTED");
    assert_eq!(by_key(&mut world, leave(2, COIN.address()), &[]), "AUTHOR_NOT_NAMED");
    assert_eq!(by_key(&mut world, dispute(1), &[]), "AUTHOR_NOT_NAMED");
    assert_eq!(world.answer(dispute(1), &[CAROL]), "ACCEPTED");
    assert_eq!(by_key(&mut world, settle(1), &[]), "AUTHOR_NOT_NAMED");
    assert_eq!(world.answer(settle(1), &[CAROL]), "ACCEPTED");
}

#[test]
fn a_token_speaks_for_an_account_that_has_no_credential() {
    let mut world = world();
    let bank = Person(0x51);
    assert_eq!(world.names(&[Entry::OpenAccount { account: bank.account() }]), ["ACCEPTED"]);
    let token = world.link(bank, &signer::Secp256k1, Mode::Linked);
    let terms = terms((1, &[OWNER]), (1, &[OWNER]));
    let act = open(GROUP, terms, vec![key_member(bank, signer::Secp256k1.public_key().id())]);
    refused(&mut world, act.clone(), &[OWNER], "MEMBER_CONSENT_MISSING");
    let mut author = world.author(&act, token, &|message| signer::Secp256k1.sign(message));
    author.public_key = signer::Secp256k1.public_key().as_bytes().to_vec();
    let Entry::Authored(mut entry) = world.signed_by(act, &[OWNER]) else { panic!() };
    entry.authors.push(author);
    assert_eq!(world.names(&[Entry::Authored(entry)]), ["ACCEPTED"]);
}

#[test]
fn no_member_comes_without_a_proof_for_this_ledger_group_version_and_account() {
    let holders = [Holder::Bitcoin(9, 0), COIN, Holder::Ethereum(9), Holder::Ed25519, Holder::Sm2];
    for holder in holders {
        let (mut world, _) = grouped();
        let chain_id = world.chain_id();
        let good = holder.member(&chain_id, &GROUP, 2, CAROL);
        let with = |proof: Vec<u8>| Member { proof, ..good.clone() };
        let long = [good.proof.as_slice(), &[0]].concat();
        let flipped = good.proof.iter().enumerate().map(|(at, byte)| if at == 40 { byte ^ 1 } else { *byte });
        let elsewhere = Holder::Ethereum(33);
        let broken = [
            with(Vec::new()),
            with(long),
            with(flipped.collect()),
            with(vec![0; good.proof.len()]),
            // Of another ledger, group, version and account, and of another address over the same text.
            holder.member(&[9; 32], &GROUP, 2, CAROL),
            holder.member(&chain_id, &[9; 32], 2, CAROL),
            holder.member(&chain_id, &GROUP, 1, CAROL),
            Member { account: CAROL.account(), ..holder.member(&chain_id, &GROUP, 2, BOB) },
            with(elsewhere.sign(&proof_text(&chain_id, &GROUP, 2, &CAROL.account(), &good.address))),
        ];
        for member in broken {
            let act = update(2, None, &[], vec![member]);
            refused(&mut world, act, &[OWNER, ALICE, CAROL], "ADDRESS_UNPROVEN");
        }
        let other = Member { address: elsewhere.address(), ..good.clone() };
        refused(&mut world, update(2, None, &[], vec![other]), &[OWNER, ALICE, CAROL], "ADDRESS_UNPROVEN");
    }
    let (mut world, _) = grouped();
    let shapes = [
        (AddressFormat::Key, vec![1; 31]),
        (AddressFormat::Ethereum, vec![1; 21]),
        (AddressFormat::Bitcoin, vec![1; 21]),
        (AddressFormat::Bitcoin, [&[2, 0][..], &[1; 20]].concat()),
        (AddressFormat::Bitcoin, [&[0, 2][..], &[1; 20]].concat()),
        (AddressFormat::Ed25519, vec![0; 32]),
        (AddressFormat::Sm2, vec![2; 33]),
        (AddressFormat::Sm2, Vec::new()),
    ];
    for (format, bytes) in shapes {
        let member =
            Member { account: CAROL.account(), address: Address { format, bytes }, proof: vec![1; 65] };
        refused(&mut world, update(2, None, &[], vec![member]), &[OWNER, ALICE, CAROL], "ADDRESS_INVALID");
    }
}

#[test]
fn a_key_comes_as_it_is_bound_to_its_account_and_with_nothing_else() {
    let (mut world, _) = grouped();
    world.link(CAROL, &signer::Secp256k1, Mode::Hosted);
    let key_id = signer::Secp256k1.public_key().id();
    let add = |member| update(2, None, &[], vec![member]);
    let unknown = key_member(CAROL, KeyId([3; 32]));
    refused(&mut world, add(unknown), &[OWNER, ALICE, CAROL], "KEY_UNKNOWN");
    refused(&mut world, add(key_member(BOB, key_id)), &[OWNER, BOB], "KEY_UNKNOWN");
    let proof = signer::Secp256k1.sign(b"anything");
    let with_more = Member { proof, ..key_member(CAROL, key_id) };
    refused(&mut world, add(with_more), &[OWNER, ALICE, CAROL], "ADDRESS_UNPROVEN");
    world.submit(&[Entry::FreezeKey { key_id }]);
    refused(&mut world, add(key_member(CAROL, key_id)), &[OWNER, ALICE, CAROL], "KEY_FROZEN");
    world.submit(&[Entry::UnfreezeKey { key_id }]);
    let entry = world.signed_by(add(key_member(CAROL, key_id)), &[OWNER, ALICE, CAROL]);
    assert_eq!(world.answer(close(CAROL), &[CAROL]), "ACCEPTED");
    assert_eq!(world.names(&[entry]), ["ACCOUNT_CLOSED"]);
}

#[test]
fn who_left_comes_back_with_a_fresh_proof_only() {
    let (mut world, _) = grouped();
    let (address, first) = (ETHER.address(), member(&world, 1, ETHER, ALICE));
    refused(&mut world, leave(2, address.clone()), &[], "AUTHORS_MISSING");
    refused(&mut world, leave(2, address.clone()), &[OWNER], "AUTHOR_NOT_NAMED");
    refused(&mut world, leave(2, address.clone()), &[OWNER, ALICE], "AUTHORS_MISSING");
    refused(&mut world, leave(2, COIN.address()), &[ALICE], "MEMBER_UNKNOWN");
    let entry = world.signed_by(leave(2, address.clone()), &[ALICE]);
    // It is free in the block in which it went, for a proof of that version.
    let again = update(3, None, &[], vec![member(&world, 3, ETHER, ALICE)]);
    let again = world.signed_by(again, &[OWNER, ALICE]);
    assert_eq!(world.names(&[entry.clone(), again]), ["ACCEPTED", "ACCEPTED"]);
    assert_eq!(world.names(&[entry]), ["ASSOCIATION_VERSION"]);
    world.wait(0);
    assert_eq!(stands(&world, &address), Some(AddressState { association: GROUP, since: 3, left: None }));
    assert_eq!(world.answer(leave(4, address.clone()), &[ALICE]), "ACCEPTED");
    assert_eq!(stands(&world, &address).and_then(|found| found.left), Some(world.ledger.height()));
    world.wait(0);
    assert_eq!(stands(&world, &address), None, "what stands nowhere takes no room");
    for old in [first, member(&world, 3, ETHER, ALICE), member(&world, 4, ETHER, ALICE)] {
        let act = update(5, None, &[], vec![old]);
        refused(&mut world, act, &[OWNER, ALICE], "ADDRESS_UNPROVEN");
    }
    // Replaced in one version: the same address for another account.
    let bobs = member(&world, 5, ETHER, BOB);
    assert_eq!(world.answer(update(5, None, &[], vec![bobs]), &[OWNER, ALICE, BOB]), "ACCEPTED");
    let carols = member(&world, 6, ETHER, CAROL);
    let act = update(6, None, std::slice::from_ref(&address), vec![carols]);
    assert_eq!(world.answer(act, &[OWNER, ALICE, CAROL]), "ACCEPTED");
    world.wait(0);
    assert_eq!(stands(&world, &address).map(|found| (found.since, found.left)), Some((6, None)));
    let owners: Vec<_> = now(&world).members.iter().map(|member| member.account).collect();
    assert_eq!(owners, [OWNER.account(), CAROL.account()]);
}

#[test]
fn everybody_may_leave_and_the_rule_stays() {
    let (mut world, key) = grouped();
    assert_eq!(world.answer(leave(2, key), &[OWNER]), "ACCEPTED");
    assert_eq!(world.answer(leave(3, ETHER.address()), &[ALICE]), "ACCEPTED");
    assert_eq!(now(&world).members, []);
    refused(&mut world, dispute(3), &[ALICE], "AUTHOR_NOT_NAMED");
    let coin = member(&world, 4, COIN, CAROL);
    assert_eq!(world.answer(update(4, None, &[], vec![coin]), &[OWNER, ALICE, CAROL]), "ACCEPTED");
}

#[test]
fn nothing_changes_while_a_member_disputes() {
    let (mut world, key) = grouped();
    refused(&mut world, settle(1), &[ALICE], "ASSOCIATION_UNDISPUTED");
    refused(&mut world, dispute(1), &[CAROL], "AUTHOR_NOT_NAMED");
    refused(&mut world, dispute(1), &[OWNER, ALICE], "AUTHORS_MISSING");
    assert_eq!(world.answer(dispute(1), &[ALICE]), "ACCEPTED");
    let of = now(&world).dispute.unwrap();
    assert_eq!((of.account, of.reason, now(&world).disputes), (ALICE.account(), [0x5e; 32], 1));
    let frozen = |world: &mut World| {
        let coin = member(world, 2, COIN, CAROL);
        let acts: [(Act, &[Person]); 4] = [
            (update(2, None, &[], vec![coin]), &[OWNER, ALICE, BOB, CAROL]),
            (update(2, None, &[ETHER.address()], vec![]), &[OWNER, BOB]),
            (leave(2, key.clone()), &[OWNER]),
            (dispute(1), &[OWNER]),
        ];
        for (act, people) in acts {
            refused(world, act, people, "ASSOCIATION_DISPUTED");
        }
    };
    frozen(&mut world);
    refused(&mut world, settle(1), &[OWNER], "AUTHORS_MISSING");
    refused(&mut world, settle(1), &[], "AUTHORS_MISSING");
    refused(&mut world, settle(1), &[OWNER, CAROL], "AUTHOR_NOT_NAMED");
    for number in [0, 2] {
        refused(&mut world, settle(number), &[ALICE], "ASSOCIATION_UNDISPUTED");
    }
    let held_back = world.signed_by(settle(1), &[OWNER, BOB]);
    assert_eq!(world.answer(settle(1), &[ALICE]), "ACCEPTED");
    assert_eq!((now(&world).dispute, now(&world).version), (None, 1));
    // Nobody is heard twice of one version, and what ended one dispute does not end the next.
    refused(&mut world, dispute(1), &[ALICE], "DISPUTE_HEARD");
    assert_eq!(world.answer(dispute(1), &[OWNER]), "ACCEPTED");
    assert_eq!(world.names(&[held_back]), ["ASSOCIATION_UNDISPUTED"]);
    assert_eq!(world.answer(settle(2), &[ALICE, BOB]), "ACCEPTED");
    assert_eq!(world.answer(update(2, None, &[key], vec![]), &[ALICE, BOB]), "ACCEPTED");
    assert_eq!(world.answer(dispute(2), &[ALICE]), "ACCEPTED", "of the next version it is heard again");
}

#[test]
fn terms_that_nobody_could_meet_are_refused() {
    let (mut world, _) = grouped();
    let set = |change: (u8, &[Person]), settle: (u8, &[Person])| {
        update(2, Some(terms(change, settle)), &[], vec![])
    };
    let good: (u8, &[Person]) = (1, &[OWNER]);
    let broken: [(u8, &[Person]); 4] = [(0, &[OWNER]), (2, &[OWNER]), (1, &[]), (0, &[])];
    for of in broken {
        refused(&mut world, set(of, good), &[OWNER, ALICE], "RULE_INVALID");
        refused(&mut world, set(good, of), &[OWNER, ALICE], "RULE_INVALID");
    }
    refused(&mut world, set(good, (1, &[STRANGER])), &[OWNER, ALICE], "AUTHOR_UNKNOWN");
    refused(&mut world, set((1, &[OWNER, STRANGER]), good), &[OWNER, ALICE], "AUTHOR_UNKNOWN");
    let server = world.link(BOB, &signer::Secp256k1, Mode::Hosted);
    let hosted = AssociationTerms { settle: quorum(1, &[]), ..terms(good, good) };
    let hosted = AssociationTerms {
        settle: keyward_ledger_core::entry::Quorum { parties: vec![server], ..hosted.settle },
        ..hosted
    };
    refused(&mut world, update(2, Some(hosted), &[], vec![]), &[OWNER, ALICE], "AUTHOR_UNKNOWN");
    let empty = open([1; 32], terms(good, good), vec![]);
    refused(&mut world, empty, &[OWNER], "ASSOCIATION_INVALID");
}

#[test]
fn lists_are_in_order_and_a_group_has_an_end() {
    let (mut world, key) = grouped();
    let twice = Act::Association(AssociationAct::Update {
        association: GROUP,
        version: 2,
        terms: None,
        removed: vec![key.clone(), key],
        added: Vec::new(),
    });
    assert_eq!(world.answer(twice, &[OWNER, ALICE]), "ENTRY_MALFORMED");
    let (mut seed, mut version) = (64, 2);
    while now(&world).members.len() < ASSOCIATION_MEMBERS_MAX {
        let room = (ASSOCIATION_MEMBERS_MAX - now(&world).members.len()).min(10) as u8;
        let seeds = seed..seed + room;
        let coins = seeds.map(|seed| member(&world, version, Holder::Ethereum(seed), CAROL)).collect();
        assert_eq!(world.answer(update(version, None, &[], coins), &[OWNER, ALICE, CAROL]), "ACCEPTED");
        (seed, version) = (seed + room, version + 1);
    }
    let one_more = member(&world, version, COIN, CAROL);
    let act = update(version, None, &[], vec![one_more.clone()]);
    refused(&mut world, act, &[OWNER, ALICE, CAROL], "ASSOCIATION_INVALID");
    let in_its_place = update(version, None, &[ETHER.address()], vec![one_more]);
    assert_eq!(world.answer(in_its_place, &[OWNER, BOB, CAROL]), "ACCEPTED");
}
