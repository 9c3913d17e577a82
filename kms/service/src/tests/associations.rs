//! Associations: who hands in what, once whatever stops between, and what is shown.

use keyward_crypto::SigningKey;
use keyward_domain::{
    Code,
    scheme::{KeyId, Scheme},
};
use keyward_ledger_core::{
    address::{Address, AddressFormat, proof_text},
    contracts::authored::authored_message,
    ed25519::SigningKey as Foreign,
    entry::{Act, AssociationAct, AssociationTerms, Author, Authored, Entry, Member, Party, Quorum},
    hash::Hash,
    state::association::{AssociationState, association_key},
};

use super::{
    approvers::Bank,
    delegation::Somebody,
    own::Own,
    world::{CHAIN, Mood, World, account, code},
};
use crate::{failure::Failure, ports::Ledger as _, vaults::entries::HandedIn};

const GROUP: Hash = [0xa5; 32];

fn foreign(seed: u8) -> Foreign {
    Foreign::from_seed(&[seed; 32])
}

fn address(seed: u8) -> Address {
    Address { format: AddressFormat::Ed25519, bytes: foreign(seed).public_key().to_vec() }
}

fn member(who: &Somebody, seed: u8, version: u32) -> Member {
    let (account, address) = (who.account(), address(seed));
    let text = proof_text(&CHAIN, &GROUP, version, &account, &address);
    Member { account, address, proof: foreign(seed).sign(text.as_bytes()).to_vec() }
}

fn open(by: &Somebody, mut members: Vec<Member>) -> Act {
    members.sort_by(|one, other| one.address.cmp(&other.address));
    let quorum = Quorum { needed: 1, parties: vec![Party::Credential(by.account())] };
    let terms = AssociationTerms { change: quorum.clone(), settle: quorum };
    Act::Association(AssociationAct::Open { association: GROUP, terms, members })
}

fn leave(version: u32, seed: u8) -> Act {
    Act::Association(AssociationAct::Leave { association: GROUP, version, address: address(seed) })
}

fn signed(world: &World, act: Act, people: &[&Somebody]) -> Vec<u8> {
    let not_after = world.ledger.height.load(std::sync::atomic::Ordering::Relaxed) + 100;
    let authors = people.iter().map(|who| {
        let mut author = author(&act, Party::Credential(who.account()), &who.key, not_after);
        author.public_key = Vec::new();
        author
    });
    let authors = authors.collect();
    entry_of(act, authors)
}

pub(super) fn author(act: &Act, party: Party, key: &SigningKey, not_after: u64) -> Author {
    let nonce = crate::custody::random().unwrap();
    let message = authored_message(&CHAIN, act.kind(), &act.payload(), party, &nonce, not_after);
    let (public_key, signature) = (key.public_key().as_bytes().to_vec(), key.sign_message(&message).unwrap());
    Author { party, nonce, not_after, public_key, signature }
}

fn entry_of(act: Act, mut authors: Vec<Author>) -> Vec<u8> {
    authors.sort_by_key(|author| author.party);
    Entry::Authored(Authored { act, authors }).encode()
}

async fn hand_in(world: &World, who: &Somebody, entry: &[u8]) -> Result<HandedIn, Failure> {
    world.custody.hand_in_association(&who.caller, entry).await
}

async fn grouped() -> (World, Somebody, Somebody) {
    let world = World::new().await;
    let (alice, bob) = (Somebody::new(&world, "alice").await, Somebody::new(&world, "bob").await);
    let members = vec![member(&alice, 1, 1), member(&bob, 2, 1)];
    let entry = signed(&world, open(&alice, members), &[&alice, &bob]);
    hand_in(&world, &alice, &entry).await.unwrap();
    (world, alice, bob)
}

#[tokio::test]
async fn an_entry_that_came_through_is_found_again_and_recorded_as_accepted_once() {
    let (world, _, bob) = grouped().await;
    let entry = signed(&world, leave(2, 2), &[&bob]);
    world.ledger.set(Mood::Deaf);
    assert_eq!(code(hand_in(&world, &bob, &entry).await), Code::LedgerUnavailable);
    world.ledger.set(Mood::Good);
    let first = hand_in(&world, &bob, &entry).await.unwrap();
    assert_eq!(hand_in(&world, &bob, &entry).await.unwrap(), first);
    let accepted =
        world.ledger.log().into_iter().filter(|(of, outcome)| of.encode() == entry && outcome.is_accepted());
    assert_eq!(accepted.count(), 1);
    let state = world.ledger.value(&association_key(&GROUP)).unwrap();
    assert_eq!(AssociationState::decode(&state).unwrap().members.len(), 1);
}

#[tokio::test]
async fn nobody_hands_in_what_others_signed_or_what_is_no_association() {
    let (world, alice, bob) = grouped().await;
    let carol = Somebody::new(&world, "carol").await;
    let signed_ones = |world: &World| world.ledger.count(|entry| matches!(entry, Entry::Authored(_)));
    let before = signed_ones(&world);
    let entry = signed(&world, leave(2, 2), &[&bob]);
    assert_eq!(code(hand_in(&world, &alice, &entry).await), Code::NotAllowed);
    assert_eq!(code(hand_in(&world, &carol, &entry).await), Code::NotAllowed);
    let app = world.app().await;
    assert_eq!(code(world.custody.hand_in_association(&app, &entry).await), Code::NotAllowed, "not its word");
    for other in ["keyward://officer/olga", "keyward://auditor/ada", "keyward://agent/desk"] {
        let other = world.caller(other).await;
        assert_eq!(code(world.custody.hand_in_association(&other, &entry).await), Code::NotAllowed);
    }
    let close = signed(&world, Act::CloseAccount { account: bob.account() }, &[&bob]);
    assert_eq!(code(hand_in(&world, &bob, &close).await), Code::AssociationRequestMalformed);
    let open = Entry::OpenAccount { account: [1; 32] }.encode();
    assert_eq!(code(hand_in(&world, &bob, &open).await), Code::AssociationRequestMalformed);
    assert_eq!(code(hand_in(&world, &bob, &entry[..9]).await), Code::EntryMalformed);
    assert_eq!(code(hand_in(&world, &bob, &[0; 5000]).await), Code::AssociationRequestMalformed);
    assert_eq!(signed_ones(&world), before, "nothing of it reached the ledger");
}

#[tokio::test]
async fn what_the_ledger_refuses_comes_back_under_its_own_code() {
    let (world, alice, bob) = grouped().await;
    for (act, who, wanted) in [
        (leave(3, 2), &bob, Code::AssociationVersion),
        (leave(2, 1), &bob, Code::AuthorNotNamed),
        (leave(2, 9), &bob, Code::MemberUnknown),
        (open(&alice, vec![member(&alice, 3, 1)]), &alice, Code::AssociationExists),
    ] {
        let entry = signed(&world, act, &[who]);
        assert_eq!(code(hand_in(&world, who, &entry).await), wanted);
    }
    let dispute = AssociationAct::Dispute { association: GROUP, version: 1, reason: [0; 32] };
    let entry = signed(&world, Act::Association(dispute), &[&bob]);
    hand_in(&world, &bob, &entry).await.unwrap();
    let entry = signed(&world, leave(2, 2), &[&bob]);
    assert_eq!(code(hand_in(&world, &bob, &entry).await), Code::AssociationDisputed);
}

#[tokio::test]
async fn what_stands_is_shown_with_a_proof_of_each_member_to_whoever_knows_the_id() {
    let (world, _, _) = grouped().await;
    let carol = Somebody::new(&world, "carol").await;
    let plain = world.custody.show_association(&carol.caller, &GROUP, false, &[]).await.unwrap();
    assert!(!plain.association.is_empty() && plain.members.is_empty() && plain.again.is_empty());
    let whole = world.custody.show_association(&carol.caller, &GROUP, true, &[]).await.unwrap();
    assert_eq!(whole.members.len(), 2);
    for member in &whole.members {
        assert!(!member.address.is_empty() && !member.account.is_empty() && member.key.is_empty());
    }
    assert!(!whole.again.is_empty());
    let none = world.custody.show_association(&carol.caller, &[1; 32], true, &[]).await.unwrap();
    assert!(!none.association.is_empty() && none.members.is_empty(), "its absence is proven");
    let app = world.app().await;
    world.custody.show_association(&app, &GROUP, false, &[]).await.unwrap();
    let officer = world.caller("keyward://officer/olga").await;
    let shown = world.custody.show_association(&officer, &GROUP, false, &[]).await;
    assert_eq!(code(shown), Code::NotAllowed, "it has no account");
}

#[tokio::test]
async fn a_bank_and_an_app_open_change_and_dispute_an_association_without_any_session() {
    let world = World::new().await;
    let bank = Bank::new(&world, "keyward://operator/bank").await;
    let app = world.app().await;
    let own = Own::make(&world, &app, Scheme::Ed25519, None).await;
    world.custody.import_key(&app, &own.import("speaker")).await.unwrap();
    let app = world.app().await;
    let (bank_account, app_account) = (account(&bank.caller).0, account(&app).0);
    let (Party::Key(bank_key), app_party) = (bank.party, Party::Key(own.key.public_key().id())) else {
        panic!()
    };
    let key = |id: KeyId| Address { format: AddressFormat::Key, bytes: id.0.to_vec() };
    let linked = Member { account: bank_account, address: key(bank_key), proof: Vec::new() };
    let text = proof_text(&CHAIN, &GROUP, 1, &app_account, &address(1));
    let proof = foreign(1).sign(text.as_bytes()).to_vec();
    let mut members = vec![linked, Member { account: app_account, address: address(1), proof }];
    members.sort_by(|one, other| one.address.cmp(&other.address));
    let mut parties = vec![bank.party, app_party];
    parties.sort_unstable();
    let quorum = Quorum { needed: 2, parties };
    let terms = AssociationTerms { change: quorum.clone(), settle: quorum };
    let open = Act::Association(AssociationAct::Open { association: GROUP, terms, members });
    let until = world.ledger.height() + 100;
    let words =
        async |act: &Act| vec![bank.author(&world, act).await, author(act, app_party, &own.key, until)];
    let custody = &world.custody;

    // One of the two is not enough, and each hands in only what it has signed itself.
    let mut one = words(&open).await;
    let alone = entry_of(open.clone(), vec![one.remove(0)]);
    assert_eq!(code(custody.hand_in_association(&app, &alone).await), Code::NotAllowed);
    assert_eq!(code(custody.hand_in_association(&bank.caller, &alone).await), Code::AuthorsMissing);
    let entry = entry_of(open.clone(), words(&open).await);
    let first = custody.hand_in_association(&app, &entry).await.unwrap();
    assert_eq!(custody.hand_in_association(&bank.caller, &entry).await.unwrap(), first, "found again");

    // The app disputes with its own key alone; the bank's word does not take that back, both together settle it.
    let dispute = AssociationAct::Dispute { association: GROUP, version: 1, reason: [0; 32] };
    let dispute = Act::Association(dispute);
    let signed = entry_of(dispute.clone(), vec![author(&dispute, app_party, &own.key, until)]);
    custody.hand_in_association(&app, &signed).await.unwrap();
    let settle = AssociationAct::Settle { association: GROUP, dispute: 1, verdict: [0; 32] };
    let settle = Act::Association(settle);
    let alone = entry_of(settle.clone(), vec![bank.author(&world, &settle).await]);
    assert_eq!(code(custody.hand_in_association(&bank.caller, &alone).await), Code::AuthorsMissing);
    let both = entry_of(settle.clone(), words(&settle).await);
    custody.hand_in_association(&bank.caller, &both).await.unwrap();

    // Whoever asks sees whose the keys are, each proven.
    let shown = custody.show_association(&app, &GROUP, false, &[bank_key.0, [9; 32]]).await.unwrap();
    assert_eq!(shown.keys.len(), 2);
    assert!(shown.keys.iter().all(|receipt| !receipt.is_empty()), "absence is proven too");
    let many = custody.show_association(&app, &GROUP, false, &[[1; 32]; 17]).await;
    assert_eq!(code(many), Code::InvalidArgument);

    // The member that the linked key is goes by the bank's word, not by the app's.
    let leave = AssociationAct::Leave { association: GROUP, version: 2, address: key(bank_key) };
    let leave = Act::Association(leave);
    let theirs = entry_of(leave.clone(), vec![author(&leave, app_party, &own.key, until)]);
    assert_eq!(code(custody.hand_in_association(&app, &theirs).await), Code::AuthorNotNamed);
    let ours = entry_of(leave.clone(), vec![bank.author(&world, &leave).await]);
    custody.hand_in_association(&bank.caller, &ours).await.unwrap();
}

#[tokio::test]
async fn an_account_that_floods_is_held_back() {
    let (world, alice, _) = grouped().await;
    let entry = signed(&world, leave(9, 1), &[&alice]);
    let mut refused = Code::AssociationVersion;
    for _ in 0..200 {
        refused = code(hand_in(&world, &alice, &entry).await);
        if refused != Code::AssociationVersion {
            break;
        }
    }
    assert_eq!(refused, Code::VaultLimited);
}
