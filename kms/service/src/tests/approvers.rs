//! Who approves: persons under several accounts, and banks with their tokens.

use keyward_domain::{
    Code,
    approval::{About, Signing},
    scheme::Scheme,
};
use keyward_ledger_core::{
    contracts::authored::authored_message,
    entry::{Act, Author, Authored, Case, Entry, Party},
};
use zeroize::Zeroizing;

use super::{
    accounts::log_in,
    agents::{self, Peer, linked_by},
    approvals::{Desk, LIVE_MS, MESSAGE, OPENING, hand_in, party, rule, terms},
    associations::author,
    ledger::CHAIN,
    world::{PIN, World, check, code, shown, unsaid},
};
use crate::{
    approvals::{entries::Kind, sign::AskApproved},
    caller::Caller,
    custody::random,
    guard::Input,
    ports::{Ledger as _, ToSign, Tokens as _},
    tokens::link::Link,
};

/// An operator with a linked key, and how it speaks in entries.
pub(super) struct Bank {
    pub(super) caller: Caller,
    pub(super) party: Party,
    public_key: Vec<u8>,
}

impl Bank {
    pub(super) async fn new(world: &World, uri: &str) -> Self {
        let caller = world.caller(uri).await;
        let pin = Zeroizing::new(PIN.to_vec());
        let (token, key_label, scheme, alias) = ("bank", "payments", "ecdsa-p256", "bank-key");
        let link = Link { token, key_label, id: &[], scheme, alias, agent: "", pin, mark: &[] };
        let (key, _) = world.custody.link_key(&caller, link).await.unwrap();
        let party = Party::Key(key.public_key.id());
        Self { caller, party, public_key: key.public_key.as_bytes().to_vec() }
    }

    pub(super) async fn say(&self, world: &World, act: Act) -> Vec<u8> {
        let author = self.author(world, &act).await;
        Entry::Authored(Authored { act, authors: vec![author] }).encode()
    }

    pub(super) async fn author(&self, world: &World, act: &Act) -> Author {
        let (nonce, not_after) = (random().unwrap(), world.ledger.height() + 100);
        let message = authored_message(&CHAIN, act.kind(), &act.payload(), self.party, &nonce, not_after);
        let signed = world.tokens.sign("77".into(), vec![1], Scheme::EcdsaP256, ToSign::Message(message));
        let (party, public_key, signature) = (self.party, self.public_key.clone(), signed.await.unwrap());
        Author { party, nonce, not_after, public_key, signature }
    }
}

#[tokio::test]
async fn the_initiators_person_does_not_approve_under_another_account() {
    let desk = Desk::without_rule().await;
    // An operator's certificate of the same name as a user is the same person's.
    let bank = Bank::new(&desk.world, "keyward://operator/alice").await;
    desk.define(1, terms(&[bank.party, party(&desk.bob), party(&desk.clara)], 2)).await.unwrap();
    let case = desk.ask().await;
    let custody = &desk.world.custody;
    let entry = bank.say(&desk.world, Act::Approve { case, group: 0 }).await;
    let refused = hand_in(custody, &bank.caller, Kind::Give, &entry, None).await;
    assert_eq!(code(refused), Code::ApproverIsInitiator);
    // Another service hands it in: the ledger, which knows no persons, takes it; nothing is signed on it here.
    desk.world.ledger.record(Entry::decode(&entry).unwrap());
    desk.give(&desk.bob, case).await.unwrap();
    assert_eq!(code(desk.sign(case, &[]).await), Code::ApproverIsInitiator);
    desk.check_counts(0, 0);
}

#[tokio::test]
async fn one_certificate_of_a_person_does_not_ask_and_approve_through_two_logins() {
    let desk = Desk::new().await;
    let through = async |user| {
        let token = log_in(&desk.world, user, "correct horse", None).await.unwrap();
        desk.world.custody.authenticate(&shown("keyward://officer/olga", Some(token))).await.unwrap()
    };
    let custody = &desk.world.custody;
    let (alice, bob) = (through("alice").await, through("bob").await);
    let about = desk.about(OPENING);
    let entry = desk.asking(&about, LIVE_MS);
    let done = hand_in(custody, &alice, Kind::Ask, &entry, Some(&about)).await.unwrap();
    let (_, outcome) = desk.world.ledger.log()[done.leaf_index as usize].clone();
    let case = Case { id: outcome.data.try_into().unwrap(), payload: about.payload() };
    let give = desk.bob.say(&desk.world, Act::Approve { case, group: 0 });
    assert_eq!(code(hand_in(custody, &bob, Kind::Give, &give, None).await), Code::ApproverIsInitiator);
    // Through an app, which many use, he is somebody of his own.
    hand_in(custody, &desk.bob.caller, Kind::Give, &give, None).await.unwrap();
}

#[tokio::test]
async fn one_person_does_not_approve_twice_and_no_approver_has_it_done() {
    let desk = Desk::without_rule().await;
    let bank = Bank::new(&desk.world, "keyward://operator/bob").await;
    desk.define(1, terms(&[bank.party, party(&desk.bob), party(&desk.clara)], 2)).await.unwrap();
    let case = desk.ask().await;
    desk.give(&desk.bob, case).await.unwrap();
    let entry = bank.say(&desk.world, Act::Approve { case, group: 0 }).await;
    let refused = hand_in(&desk.world.custody, &bank.caller, Kind::Give, &entry, None).await;
    assert_eq!(code(refused), Code::ApprovalGiven);
    desk.give(&desk.clara, case).await.unwrap();
    desk.sign(case, &[]).await.unwrap();
    desk.check_counts(1, 1);
}

#[tokio::test]
async fn two_approvals_of_one_person_that_came_past_each_other_pay_for_nothing() {
    let desk = Desk::without_rule().await;
    let bank = Bank::new(&desk.world, "keyward://operator/bob").await;
    desk.define(1, terms(&[bank.party, party(&desk.bob), party(&desk.clara)], 2)).await.unwrap();
    let case = desk.ask().await;
    // At once, or one of them through another service: neither was final when the other was looked at.
    let second = bank.say(&desk.world, Act::Approve { case, group: 0 }).await;
    desk.give(&desk.bob, case).await.unwrap();
    desk.world.ledger.record(Entry::decode(&second).unwrap());
    assert_eq!(code(desk.sign(case, &[]).await), Code::ApprovalGiven);
    desk.check_counts(0, 0);
    // Nor is it an approver who has it done.
    let (desk, case) = {
        let desk = Desk::without_rule().await;
        desk.define(1, terms(&[party(&desk.bob), party(&desk.clara)], 1)).await.unwrap();
        let case = desk.ask().await;
        desk.give(&desk.bob, case).await.unwrap();
        (desk, case)
    };
    let refused = desk.world.custody.check_approvers(&desk.bob.caller, &case.id).await;
    assert_eq!(code(refused), Code::ApproverIsInitiator);
    desk.world.custody.check_approvers(&desk.alice.caller, &case.id).await.unwrap();
}

#[tokio::test]
async fn a_bank_asks_with_its_token_and_its_linked_key_signs() {
    let desk = Desk::new().await;
    let bank = Bank::new(&desk.world, "keyward://operator/ops").await;
    let Party::Key(key_id) = bank.party else { unreachable!() };
    let About::Signing(signing) = desk.about(OPENING) else { unreachable!() };
    let about = About::Signing(Signing { key_id, ..signing });
    let (rule, payload) = (rule(desk.dora.account()), about.payload());
    let entry = bank.say(&desk.world, Act::OpenApproval { rule, payload, live_ms: LIVE_MS }).await;
    let custody = &desk.world.custody;
    let done = hand_in(custody, &bank.caller, Kind::Ask, &entry, Some(&about)).await.unwrap();
    let (_, outcome) = desk.world.ledger.log()[done.leaf_index as usize].clone();
    let case = Case { id: outcome.data.try_into().unwrap(), payload };
    for who in [&desk.bob, &desk.clara] {
        desk.give(who, case).await.unwrap();
    }
    let (use_entry, input) = (bank.say(&desk.world, Act::UseApproval(case)).await, Input::Message(MESSAGE));
    let (case, opening) = (case.id, OPENING);
    let ask = AskApproved {
        key: "bank-key",
        input: &input,
        said: unsaid(),
        mark: &[],
        case,
        opening,
        use_entry: &use_entry,
    };
    let signed = custody.sign_approved(&bank.caller, ask).await.unwrap();
    check(&signed.signed, MESSAGE);
    desk.check_counts(1, 1);
}

#[tokio::test]
async fn who_sits_at_a_desk_does_not_approve_with_one_of_its_keys_what_another_asked_for() {
    let desk = Desk::without_rule().await;
    let (custody, world) = (&desk.world.custody, &desk.world);
    let (one, other) = (agents::key(), agents::key());
    let mut peer = Peer::with(custody, "desk", one.public_key()).await;
    let ops = linked_by(world, &mut peer, &one, "keyward://operator/ops").await;
    let mut peer = Peer::with(custody, "desk", other.public_key()).await;
    let cora = linked_by(world, &mut peer, &other, "keyward://operator/cora").await;
    let (asker, approver) = (Party::Key(one.public_key().id()), Party::Key(other.public_key().id()));
    desk.define(1, terms(&[approver, party(&desk.bob)], 1)).await.unwrap();
    let say = |act: Act, party, key| {
        let authors = vec![author(&act, party, key, world.ledger.height() + 100)];
        Entry::Authored(Authored { act, authors }).encode()
    };
    let about = desk.about(OPENING);
    let (rule, payload) = (rule(desk.dora.account()), about.payload());
    let open = say(Act::OpenApproval { rule, payload, live_ms: LIVE_MS }, asker, &one);
    let done = hand_in(custody, &ops, Kind::Ask, &open, Some(&about)).await.unwrap();
    let (_, outcome) = world.ledger.log()[done.leaf_index as usize].clone();
    let case = Case { id: outcome.data.try_into().unwrap(), payload };
    let give = say(Act::Approve { case, group: 0 }, approver, &other);
    assert_eq!(code(hand_in(custody, &cora, Kind::Give, &give, None).await), Code::ApproverIsInitiator);
    // Through another service it stands on the ledger, and pays for nothing here.
    world.ledger.record(Entry::decode(&give).unwrap());
    assert_eq!(code(custody.check_approvers(&ops, &case.id).await), Code::ApproverIsInitiator);
    desk.give(&desk.bob, case).await.unwrap();
}
