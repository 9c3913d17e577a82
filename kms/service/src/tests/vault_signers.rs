//! Showing who can sign: proofs of accounts and keys, and of nobody's hosted keys but one's own.

use keyward_domain::Code;
use keyward_ledger_core::{
    codec::Writer,
    entry::{Mode, Party},
    hash::Hash,
    scheme::{KeyId, Scheme},
    state::layout::{KeyState, KeyStatus, account_key, credential_key, key_key},
};

use super::{
    ledger::state_receipt,
    vaults::{Owner, world},
    world::{Mood, World, code},
};
use crate::{caller::Caller, failure::Failure, vaults::signers::ShownSigner};

fn bytes(party: Party) -> Vec<u8> {
    let mut out = Writer::default();
    party.write(&mut out);
    out.finish()
}

async fn ask(world: &World, caller: &Caller, parties: &[Party]) -> Result<Vec<ShownSigner>, Failure> {
    let parties: Vec<_> = parties.iter().map(|party| bytes(*party)).collect();
    let parties: Vec<_> = parties.iter().map(Vec::as_slice).collect();
    world.custody.show_signers(caller, &parties).await
}

/// A key on the ledger alone.
fn bind(world: &World, number: u8, account: Hash, mode: Mode) -> Party {
    let (scheme, status) = (Scheme::Ed25519, KeyStatus::Active);
    let state = KeyState { account, mode, scheme, status, height: 1, version: 1 };
    world.ledger.set_state(key_key(&KeyId([number; 32])), state.encode());
    Party::Key(KeyId([number; 32]))
}

fn receipt(world: &World, key: Vec<u8>) -> Vec<u8> {
    state_receipt(&key, world.ledger.value(&key).as_deref())
}

#[tokio::test]
async fn accounts_and_keys_are_proven_in_the_order_in_which_they_are_asked_for() {
    let (world, owner) = world().await;
    let bob = Owner::new(&world, "bob").await;
    let token = bind(&world, 7, bob.account(), Mode::Linked);
    let unknown = Party::Key(KeyId([8; 32]));
    let shown =
        ask(&world, &owner.caller, &[token, Party::Credential(bob.account()), unknown]).await.unwrap();
    assert_eq!(shown[0].standing, receipt(&world, key_key(&KeyId([7; 32]))));
    assert_eq!(shown[0].account, receipt(&world, account_key(&bob.account())));
    assert_eq!(shown[1].standing, receipt(&world, credential_key(&bob.account())));
    assert_eq!(shown[1].account, receipt(&world, account_key(&bob.account())));
    assert_eq!(shown[2].standing, state_receipt(&key_key(&KeyId([8; 32])), None), "proven absence");
    assert!(shown[2].account.is_empty());
    world.ledger.set(Mood::Gone);
    assert_eq!(code(ask(&world, &owner.caller, &[token]).await), Code::LedgerUnavailable);
}

#[tokio::test]
async fn a_hosted_key_is_shown_to_its_own_account_alone() {
    let (world, owner) = world().await;
    let bob = Owner::new(&world, "bob").await;
    let hosted = bind(&world, 7, bob.account(), Mode::Hosted);
    let shown = ask(&world, &owner.caller, &[hosted]).await.unwrap();
    assert!(shown[0].standing.is_empty() && shown[0].account.is_empty());
    let shown = ask(&world, &bob.caller, &[hosted]).await.unwrap();
    assert_eq!(shown[0].standing, receipt(&world, key_key(&KeyId([7; 32]))));
}

#[tokio::test]
async fn whoever_has_an_account_may_ask_and_nobody_else_nor_for_too_many() {
    let (world, owner) = world().await;
    let account = Party::Credential(owner.account());
    let app = world.app().await;
    assert_eq!(ask(&world, &app, &[account]).await.unwrap().len(), 1);
    let auditor = world.caller("keyward://auditor/eve").await;
    assert_eq!(code(ask(&world, &auditor, &[account]).await), Code::NotAllowed);
    for parties in [Vec::new(), vec![account; 41]] {
        assert_eq!(code(ask(&world, &owner.caller, &parties).await), Code::VaultRequestMalformed);
    }
    let whole = bytes(account);
    for malformed in [&whole[..32], &[&whole[..], &[0]].concat(), &[&[3][..], &[1; 32]].concat()] {
        let refused = world.custody.show_signers(&owner.caller, &[malformed]).await;
        assert_eq!(code(refused), Code::VaultRequestMalformed);
    }
    let late = Caller { deadline_ms: Some(1), ..owner.caller.clone() };
    assert_eq!(code(ask(&world, &late, &[account]).await), Code::DeadlineExceeded);
}
