//! What is held against a trust file: honest evidence, and each way in which it could be none.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use keyward_crypto::SigningKey;
use keyward_domain::scheme::{KeyId, Scheme};
use keyward_ledger_core::address::{Address, AddressFormat, proof_text};
use keyward_ledger_core::entry::{Act, AssociationAct, AssociationTerms, Member, Mode, Party, Quorum};
use keyward_ledger_core::hash::Hash;
use keyward_ledger_core::state::association::{AddressState, AssociationState, address_key, association_key};
use keyward_ledger_core::state::layout::{
    AccountState, CredentialState, KeyState, KeyStatus, account_key, credential_key, key_key,
};

use super::{AssociationError, Checked, Concern, Evidence, Export, ExportError, MemberEvidence, verify};
use crate::petition::Petition;
use crate::toy_ledger::Chain;

const ANNA: Hash = [0x41; 32];
const BORIS: Hash = [0x42; 32];
const GROUP: Hash = [9; 32];
const KEY: KeyId = KeyId([5; 32]);

fn credential(account: &Hash) -> SigningKey {
    SigningKey::from_secret(Scheme::Ed25519, account).unwrap()
}

/// A key on another chain, which proves itself as such.
fn foreign() -> keyward_ledger_core::ed25519::SigningKey {
    keyward_ledger_core::ed25519::SigningKey::from_seed(&[7; 32])
}

fn address() -> Address {
    Address { format: AddressFormat::Ed25519, bytes: foreign().public_key().to_vec() }
}

fn key_state(status: KeyStatus) -> Vec<u8> {
    let (mode, scheme) = (Mode::Hosted, Scheme::EcdsaP256);
    KeyState { account: ANNA, mode, scheme, status, height: 1, version: 1 }.encode()
}

fn record(chain: &mut Chain, act: AssociationAct, accounts: &[Hash]) {
    let mut petition = Petition::new(chain.chain_id(), Act::Association(act));
    for account in accounts {
        petition.sign_as_account(*account, &credential(account), chain.height + 100).unwrap();
    }
    let (_, outcome) = chain.record(&petition.entry().encode());
    assert_eq!(outcome.name(), "ACCEPTED");
}

/// Anna's hosted key and Boris's address on another chain, in version 1.
fn chain() -> Chain {
    let mut chain = Chain::new(10);
    for account in [ANNA, BORIS] {
        let public_key = credential(&account).public_key().as_bytes().try_into().unwrap();
        let open = AccountState { open: true, height: 1 }.encode();
        chain.state.insert(&account_key(&account), &open);
        let credential = CredentialState { version: 1, public_key }.encode();
        chain.state.insert(&credential_key(&account), &credential);
    }
    chain.state.insert(&key_key(&KEY), &key_state(KeyStatus::Active));
    let text = proof_text(&chain.chain_id(), &GROUP, 1, &BORIS, &address());
    let members = vec![
        Member { account: ANNA, address: Address::key(&KEY), proof: Vec::new() },
        Member { account: BORIS, address: address(), proof: foreign().sign(text.as_bytes()).to_vec() },
    ];
    let quorum = Quorum { needed: 1, parties: vec![Party::Credential(ANNA)] };
    let terms = AssociationTerms { change: quorum.clone(), settle: quorum };
    record(&mut chain, AssociationAct::Open { association: GROUP, terms, members }, &[ANNA, BORIS]);
    chain
}

fn evidence(chain: &Chain) -> Evidence {
    let key = MemberEvidence {
        address: chain.proof(&address_key(&Address::key(&KEY))),
        account: chain.proof(&account_key(&ANNA)),
        key: chain.proof(&key_key(&KEY)),
    };
    let foreign = MemberEvidence {
        address: chain.proof(&address_key(&address())),
        account: chain.proof(&account_key(&BORIS)),
        key: Vec::new(),
    };
    let association = chain.proof(&association_key(&GROUP));
    Evidence { association: association.clone(), members: vec![key, foreign], again: association }
}

fn checked(chain: &Chain, evidence: &Evidence) -> Result<Checked, AssociationError> {
    verify(&chain.trust_file(), &GROUP, evidence, None)
}

#[test]
fn one_version_is_proven_between_two_looks_at_it() {
    let before = chain();
    let mut after = before.clone();
    after.record(&[0, 1, 7]);
    let mut shown = evidence(&after);
    shown.association = evidence(&before).association;
    let found = checked(&after, &shown).unwrap();
    assert_eq!((found.state.version, found.heights), (1, (before.height, after.height)));
    assert_eq!(found.concerns, [None, None]);
    // Members of before the first look, or of after the second.
    let mut early = evidence(&after);
    early.members[0].address = evidence(&before).members[0].address.clone();
    let mut late = evidence(&before);
    late.members[1].address = evidence(&after).members[1].address.clone();
    for torn in [early, late] {
        assert!(matches!(checked(&after, &torn), Err(AssociationError::Torn)));
    }
    let mut backwards = shown.clone();
    std::mem::swap(&mut backwards.association, &mut backwards.again);
    assert!(matches!(checked(&after, &backwards), Err(AssociationError::Torn)));
}

#[test]
fn what_changed_meanwhile_is_no_version() {
    let before = chain();
    let mut after = before.clone();
    record(
        &mut after,
        AssociationAct::Leave { association: GROUP, version: 2, address: address() },
        &[BORIS],
    );
    let mut shown = evidence(&after);
    shown.association = evidence(&before).association;
    assert!(matches!(checked(&after, &shown), Err(AssociationError::Torn)));
    let mut shown = evidence(&after);
    assert!(matches!(checked(&after, &shown), Err(AssociationError::OtherMembers { shown: 2, standing: 1 })));
    shown.members.pop();
    assert_eq!(checked(&after, &shown).unwrap().state.version, 2);
    let none = verify(&after.trust_file(), &[1; 32], &shown, None);
    assert!(matches!(none, Err(AssociationError::Proof { what: "the association", .. })));
}

#[test]
fn a_record_of_another_association_version_or_of_nothing_is_named() {
    let chain = chain();
    let (other, since) = ([1; 32], 1);
    let lies = [
        Some(AddressState { association: other, since, left: None }),
        Some(AddressState { association: GROUP, since: 2, left: None }),
        Some(AddressState { association: GROUP, since, left: Some(2) }),
        None,
    ];
    for lie in lies {
        let mut chain = chain.clone();
        match lie {
            Some(lie) => chain.state.insert(&address_key(&address()), &lie.encode()),
            None => assert!(chain.state.remove(&address_key(&address()))),
        }
        let error = checked(&chain, &evidence(&chain)).unwrap_err();
        assert!(matches!(error, AssociationError::NotOneVersion { .. }), "{error}");
        assert_eq!(error.code(), Some("ASSOCIATION_INCONSISTENT"));
    }
    let mut swapped = evidence(&chain);
    swapped.members.swap(0, 1);
    assert!(matches!(
        checked(&chain, &swapped),
        Err(AssociationError::Proof { what: "a member's address", .. })
    ));
    let mut chain = chain;
    let moved = KeyState { account: BORIS, ..KeyState::decode(&key_state(KeyStatus::Active)).unwrap() };
    chain.state.insert(&key_key(&KEY), &moved.encode());
    assert!(matches!(checked(&chain, &evidence(&chain)), Err(AssociationError::NotOneVersion { .. })));
}

#[test]
fn what_an_address_signed_is_looked_at_again() {
    let mut chain = chain();
    let key = association_key(&GROUP);
    let mut state = AssociationState::decode(chain.state.get(&key).unwrap()).unwrap();
    state.members[1].account = ANNA;
    chain.state.insert(&key, &state.encode());
    let mut shown = evidence(&chain);
    shown.members[1].account = chain.proof(&account_key(&ANNA));
    assert!(matches!(checked(&chain, &shown), Err(AssociationError::Address { .. })));
}

#[test]
fn what_became_of_a_member_is_told() {
    let mut chain = chain();
    chain.state.insert(&key_key(&KEY), &key_state(KeyStatus::Frozen));
    let closed = AccountState { open: false, height: 2 }.encode();
    chain.state.insert(&account_key(&BORIS), &closed);
    let found = checked(&chain, &evidence(&chain)).unwrap();
    assert_eq!(found.concerns, [Some(Concern::Key(KeyStatus::Frozen)), Some(Concern::AccountClosed)]);
}

#[test]
fn what_became_of_a_member_is_not_hidden_behind_a_proof_of_before() {
    let mut chain = chain();
    let before = evidence(&chain);
    chain.state.insert(&key_key(&KEY), &key_state(KeyStatus::Frozen));
    chain.state.insert(&account_key(&BORIS), &AccountState { open: false, height: 2 }.encode());
    chain.record(&[0, 1, 7]);
    let mut key = evidence(&chain);
    key.members[0].key = before.members[0].key.clone();
    let mut account = evidence(&chain);
    account.members[1].account = before.members[1].account.clone();
    for hidden in [key, account] {
        assert!(matches!(checked(&chain, &hidden), Err(AssociationError::Torn)));
    }
}

#[test]
fn an_export_verifies_by_itself_and_says_nothing_that_is_not_proven() {
    let chain = chain();
    let (trust, shown) = (chain.trust_file(), evidence(&chain));
    let found = checked(&chain, &shown).unwrap();
    let text = Export::new(&trust, &GROUP, &found, &shown).unwrap().to_json();
    let export = Export::parse(&text).unwrap();
    assert_eq!(export.verify(&trust).unwrap().state, found.state);
    assert_eq!(export.association().unwrap(), GROUP);
    let other = Chain::new(40).trust_file();
    assert!(matches!(export.verify(&other), Err(ExportError::Association(AssociationError::Proof { .. }))));

    let honest: serde_json::Value = serde_json::from_str(&text).unwrap();
    let changes: [(&str, serde_json::Value); 8] = [
        ("/version", 2.into()),
        ("/ledger", "00".repeat(32).into()),
        ("/members/0/account", hex::encode(BORIS).into()),
        ("/members/1/address", format!("ed25519:{}", "11".repeat(32)).into()),
        ("/members/1/since", 2.into()),
        ("/members/1/text", "Keyward association v1".into()),
        ("/members/1/proof", "22".repeat(64).into()),
        ("/members/0/proof", "22".into()),
    ];
    for (place, lie) in changes {
        let mut changed = honest.clone();
        *changed.pointer_mut(place).unwrap() = lie;
        let changed = Export::parse(&changed.to_string()).unwrap();
        assert!(matches!(changed.verify(&trust), Err(ExportError::Words { .. })), "{place}");
    }
    let mut fewer = honest.clone();
    fewer["members"].as_array_mut().unwrap().pop();
    let fewer = Export::parse(&fewer.to_string()).unwrap().verify(&trust);
    assert!(matches!(fewer, Err(ExportError::Association(AssociationError::OtherMembers { .. }))));
    let mut cut = honest;
    cut["association_receipt"] = "AAAA".into();
    let cut = Export::parse(&cut.to_string()).unwrap().verify(&trust);
    assert!(matches!(cut, Err(ExportError::Association(AssociationError::Proof { .. }))));
}
