//! Delegates and recoveries: who hands in what, and how somebody who lost everything logs in again.

use keyward_crypto::{ClientRegistration, SigningKey, Stretch, account_credential};
use keyward_domain::{Code, DelegationName, recovery_login};
use keyward_ledger_core::{
    change::Configuration,
    contracts::authored::authored_message,
    entry::{
        Act, Author, Authored, Case, Define, DelegationAct, DelegationTerms, Entry, Party, Recovery,
        RuleName, Scope, kind,
    },
    hash::Hash,
    state::{
        delegation::delegation_key,
        layout::{CredentialState, TimelockState, credential_key, timelock_key},
        member::config_key,
    },
};

use super::{
    accounts::{credential, log_in, password, person},
    ledger::state_receipt,
    world::{CHAIN, Mood, World, code, shown},
};
use crate::{
    caller::Caller,
    delegation::entries::{HandIn, Kind, Login},
    failure::Failure,
    ports::Ledger as _,
    vaults::entries::HandedIn,
};

pub(super) const DAY_MS: u64 = 86_400_000;

/// Somebody whose credential and session are at hand.
pub(super) struct Somebody {
    pub(super) caller: Caller,
    pub(super) key: SigningKey,
}

impl Somebody {
    pub(super) async fn new(world: &World, user: &str) -> Self {
        Self { caller: person(world, user).await, key: credential(world, user).await }
    }

    pub(super) fn account(&self) -> Hash {
        self.caller.person.as_ref().unwrap().account.0
    }
}

pub(super) fn rule(owner: Hash) -> RuleName {
    RuleName { owner, name: DelegationName::parse("main").unwrap().id() }
}

pub(super) fn rule_id(owner: Hash) -> Hash {
    rule(owner).id(kind::APPOINT_DELEGATES)
}

pub(super) async fn world() -> World {
    with_rules(World::new().await)
}

/// A ledger that has what delegations need.
pub(super) fn with_rules(world: World) -> World {
    world.ledger.set_state(config_key(), Configuration::initial(5_000).encode());
    world
}

/// An entry that these sign.
pub(super) fn signed(world: &World, act: DelegationAct, people: &[&Somebody]) -> Vec<u8> {
    authors_of(world, act, people, 100)
}

/// The same with signatures that count for so many blocks.
pub(super) fn authors_of(world: &World, act: DelegationAct, people: &[&Somebody], blocks: u64) -> Vec<u8> {
    let (act, not_after) = (Act::Delegation(act), world.ledger.height() + blocks);
    let mut authors: Vec<_> = people
        .iter()
        .map(|who| {
            let (party, nonce) = (Party::Credential(who.account()), crate::custody::random().unwrap());
            let message = authored_message(&CHAIN, act.kind(), &act.payload(), party, &nonce, not_after);
            let signature = who.key.sign_message(&message).unwrap();
            Author { party, nonce, not_after, public_key: Vec::new(), signature }
        })
        .collect();
    authors.sort_by_key(|author| author.party);
    Entry::Authored(Authored { act, authors }).encode()
}

pub(super) async fn hand_in(
    world: &World,
    who: &Somebody,
    kind: Kind,
    entry: &[u8],
    login: Option<Login<'_>>,
) -> Result<HandedIn, Failure> {
    let what = HandIn { kind, entry, mark: &[], login };
    world.custody.hand_in_delegation(&who.caller, what).await
}

fn appointment(owner: Hash, version: u32, delegates: &[&Somebody]) -> DelegationAct {
    appointment_of(owner, version, terms(delegates))
}

pub(super) fn appointment_of(owner: Hash, version: u32, terms: DelegationTerms) -> DelegationAct {
    DelegationAct::Appoint(Define { rule: rule(owner), version, terms })
}

/// To recover after a day, one of them.
pub(super) fn terms(delegates: &[&Somebody]) -> DelegationTerms {
    let mut delegates: Vec<_> = delegates.iter().map(|who| Party::Credential(who.account())).collect();
    delegates.sort();
    DelegationTerms {
        scope: Scope::RECOVER,
        delay_ms: DAY_MS,
        open_ms: DAY_MS,
        needed: 1,
        delegates,
        vetoers: Vec::new(),
        judges: None,
        policy: [0; 32],
        windows: Vec::new(),
    }
}

/// What somebody who lost everything makes: a new login, and what delegates are to sign.
pub(super) struct Lost {
    pub(super) recovery: Recovery,
    proof: [u8; 64],
    name: Hash,
    upload: Vec<u8>,
}

pub(super) async fn lost(world: &World, user: &str, next: &str) -> Result<Lost, Failure> {
    let secret = password(next);
    let (client, request) = ClientRegistration::start(&secret).unwrap();
    let begun = world.custody.recovery_begin(user, &request).await?;
    let done = client.finish(&secret, &begun.response, Stretch::WeakForTests).unwrap();
    let key = account_credential(&done.export_key).unwrap();
    let public_key = key.public_key().as_bytes().try_into().unwrap();
    let recovery =
        Recovery { rule: rule(begun.account), public_key, login: recovery_login(&begun.name, &done.upload) };
    let proof = key.sign_message(&recovery.payload(&CHAIN)).unwrap().try_into().unwrap();
    Ok(Lost { recovery, proof, name: begun.name, upload: done.upload })
}

impl Lost {
    pub(super) fn login(&self) -> Login<'_> {
        Login { name: &self.name, upload: &self.upload }
    }

    pub(super) fn open(&self) -> DelegationAct {
        DelegationAct::OpenRecovery { recovery: self.recovery, proof: self.proof }
    }

    pub(super) fn case(&self, world: &World) -> Case {
        let state = world.ledger.value(&timelock_key(&rule_id(self.recovery.rule.owner))).unwrap();
        let (id, _) = TimelockState::decode(&state).unwrap().live.unwrap();
        Case { id, payload: self.recovery.payload(&CHAIN) }
    }

    pub(super) fn execute(&self, world: &World) -> DelegationAct {
        let case = self.case(world).id;
        DelegationAct::ExecuteRecovery { recovery: self.recovery, case, judged: None }
    }
}

/// Alice trusts Bob, and it holds.
pub(super) async fn trusting() -> (World, Somebody, Somebody) {
    trusting_in(world().await).await
}

pub(super) async fn trusting_in(world: World) -> (World, Somebody, Somebody) {
    let (alice, bob) = (Somebody::new(&world, "alice").await, Somebody::new(&world, "bob").await);
    let entry = signed(&world, appointment(alice.account(), 1, &[&bob]), &[&alice]);
    let done = hand_in(&world, &alice, Kind::Appoint, &entry, None).await.unwrap();
    assert!(!done.receipt.is_empty());
    world.pass_ms(DAY_MS);
    let bob = Somebody::new(&world, "bob").await;
    (world, alice, bob)
}

/// A recovery that Bob has opened for Alice.
pub(super) async fn opened(world: &World, bob: &Somebody) -> Lost {
    let lost = lost(world, "alice", "staple").await.unwrap();
    let entry = signed(world, lost.open(), &[bob]);
    hand_in(world, bob, Kind::Open, &entry, Some(lost.login())).await.unwrap();
    lost
}

fn present(world: &World, account: Hash) -> CredentialState {
    CredentialState::decode(&world.ledger.value(&credential_key(&account)).unwrap()).unwrap()
}

async fn both_passwords(world: &World) -> (bool, bool) {
    let old = log_in(world, "alice", "correct horse", None).await.is_ok();
    (old, log_in(world, "alice", "staple", None).await.is_ok())
}

#[tokio::test]
async fn who_lost_everything_logs_in_with_another_password_after_the_delay() {
    let (world, alice, bob) = trusting().await;
    let lost = opened(&world, &bob).await;
    assert_eq!(both_passwords(&world).await, (true, false), "nothing changes before");
    let early = signed(&world, lost.execute(&world), &[&bob]);
    assert_eq!(code(hand_in(&world, &bob, Kind::Execute, &early, None).await), Code::TimelockEarly);
    world.pass_ms(DAY_MS);
    let bob = Somebody::new(&world, "bob").await;
    let token = log_in(&world, "alice", "correct horse", None).await.unwrap();
    world.custody.authenticate(&shown("keyward://app/wallet", Some(token))).await.unwrap();
    let entry = signed(&world, lost.execute(&world), &[&bob]);
    hand_in(&world, &bob, Kind::Execute, &entry, None).await.unwrap();
    assert_eq!(present(&world, alice.account()).public_key, lost.recovery.public_key);
    assert_eq!(both_passwords(&world).await, (false, true));
    let session = world.custody.authenticate(&shown("keyward://app/wallet", Some(token))).await;
    assert_eq!(code(session), Code::SessionExpired);
    // The credential that comes from the new password is the one that the ledger has: it signs as the account.
    let secret = password("staple");
    let (client, request) = keyward_crypto::ClientLogin::start(&secret).unwrap();
    let (_, response) = world.custody.login_start("alice", &request).await.unwrap();
    let done = client.finish(&secret, &response, Stretch::WeakForTests).unwrap();
    let key = account_credential(&done.export_key).unwrap();
    assert_eq!(key.public_key().as_bytes(), lost.recovery.public_key);
    let token = log_in(&world, "alice", "staple", None).await.unwrap();
    let caller = world.custody.authenticate(&shown("keyward://app/wallet", Some(token))).await.unwrap();
    let alice = Somebody { caller, key };
    let revoke = DelegationAct::Revoke { rule: rule(alice.account()), version: 2 };
    let entry = signed(&world, revoke, &[&alice]);
    hand_in(&world, &alice, Kind::Revoke, &entry, None).await.unwrap();
}

#[tokio::test]
async fn a_recovery_that_others_executed_or_a_restart_came_between_is_bound_all_the_same() {
    let (world, _, bob) = trusting().await;
    let lost = opened(&world, &bob).await;
    world.pass_ms(DAY_MS);
    let world = world.restart().await;
    assert_eq!(world.custody.settle_acts().await.unwrap(), 0, "what waits for days is nothing left undone");
    // Another service transports the execution.
    let entry = Entry::decode(&signed(&world, lost.execute(&world), &[&bob])).unwrap();
    world.ledger.record(entry);
    assert_eq!(both_passwords(&world).await, (true, false));
    world.custody.settle_acts().await.unwrap();
    assert_eq!(both_passwords(&world).await, (false, true));
    assert_eq!(world.custody.store.acts(world.custody.boot).await.unwrap().len(), 0);
}

#[tokio::test]
async fn an_opening_whose_answer_was_lost_keeps_its_login() {
    let (world, _, bob) = trusting().await;
    let lost = lost(&world, "alice", "staple").await.unwrap();
    let entry = signed(&world, lost.open(), &[&bob]);
    world.ledger.set(Mood::Deaf);
    let unheard = hand_in(&world, &bob, Kind::Open, &entry, Some(lost.login())).await;
    assert_eq!(code(unheard), Code::LedgerUnavailable);
    world.ledger.set(Mood::Good);
    let world = world.restart().await;
    world.custody.settle_acts().await.unwrap();
    world.pass_ms(DAY_MS);
    let bob = Somebody::new(&world, "bob").await;
    let entry = signed(&world, lost.execute(&world), &[&bob]);
    hand_in(&world, &bob, Kind::Execute, &entry, None).await.unwrap();
    assert_eq!(both_passwords(&world).await, (false, true));
}

#[tokio::test]
async fn a_vetoed_recovery_binds_nothing_and_its_login_is_forgotten() {
    let (world, _, bob) = trusting().await;
    let lost = opened(&world, &bob).await;
    let alice = Somebody::new(&world, "alice").await;
    let stop = DelegationAct::VetoRecovery(lost.case(&world));
    let by_bob = signed(&world, stop.clone(), &[&bob]);
    assert_eq!(code(hand_in(&world, &bob, Kind::Veto, &by_bob, None).await), Code::AuthorNotNamed);
    let execute = lost.execute(&world);
    let entry = signed(&world, stop, &[&alice]);
    hand_in(&world, &alice, Kind::Veto, &entry, None).await.unwrap();
    world.custody.settle_acts().await.unwrap();
    assert_eq!(world.custody.store.acts(world.custody.boot).await.unwrap().len(), 0);
    world.pass_ms(DAY_MS);
    let bob = Somebody::new(&world, "bob").await;
    let entry = signed(&world, execute, &[&bob]);
    assert_eq!(code(hand_in(&world, &bob, Kind::Execute, &entry, None).await), Code::CaseClosed);
    assert_eq!(both_passwords(&world).await, (true, false));
}

#[tokio::test]
async fn a_login_that_delegates_did_not_sign_is_none() {
    let (world, _, bob) = trusting().await;
    let right = lost(&world, "alice", "staple").await.unwrap();
    let other = lost(&world, "alice", "stolen").await.unwrap();
    let entry = signed(&world, right.open(), &[&bob]);
    let strange = Login { name: &other.name, upload: &right.upload };
    for login in [other.login(), strange, Login { upload: &[], ..right.login() }] {
        let refused = hand_in(&world, &bob, Kind::Open, &entry, Some(login)).await;
        assert_eq!(code(refused), Code::RecoveryLoginOther);
    }
    let without = hand_in(&world, &bob, Kind::Open, &entry, None).await;
    assert_eq!(code(without), Code::DelegationRequestMalformed);
    let broken = Login { name: &right.name, upload: &[1, 2, 3] };
    let recovery = Recovery { login: recovery_login(broken.name, broken.upload), ..right.recovery };
    let entry = signed(&world, DelegationAct::OpenRecovery { recovery, proof: right.proof }, &[&bob]);
    assert_eq!(code(hand_in(&world, &bob, Kind::Open, &entry, Some(broken)).await), Code::InvalidArgument);
    // An account that this service does not have.
    let recovery = Recovery { rule: rule([9; 32]), ..right.recovery };
    let entry = signed(&world, DelegationAct::OpenRecovery { recovery, proof: right.proof }, &[&bob]);
    assert_eq!(
        code(hand_in(&world, &bob, Kind::Open, &entry, Some(right.login())).await),
        Code::AccountUnknown
    );
    assert!(world.ledger.value(&timelock_key(&rule_id(right.recovery.rule.owner))).is_none());
}

#[tokio::test]
async fn only_what_is_of_the_call_and_signed_by_the_session_is_handed_in() {
    let (world, alice, bob) = trusting().await;
    let app = Somebody { caller: world.app().await, key: credential(&world, "bob").await };
    let before = world.ledger.log().len();
    let revoke = DelegationAct::Revoke { rule: rule(alice.account()), version: 2 };
    let entry = signed(&world, revoke, &[&alice]);
    assert_eq!(code(hand_in(&world, &bob, Kind::Revoke, &entry, None).await), Code::NotAllowed);
    let wrong = hand_in(&world, &bob, Kind::Open, &entry, None).await;
    assert_eq!(code(wrong), Code::DelegationRequestMalformed);
    assert_eq!(code(hand_in(&world, &bob, Kind::Open, &[1, 2], None).await), Code::EntryMalformed);
    let note = Entry::Note(vec![1]).encode();
    assert_eq!(code(hand_in(&world, &bob, Kind::Open, &note, None).await), Code::DelegationRequestMalformed);
    assert_eq!(code(hand_in(&world, &app, Kind::Revoke, &entry, None).await), Code::SessionRequired);
    assert_eq!(world.ledger.log().len(), before, "nothing reached the ledger");
}

#[tokio::test]
async fn whom_an_account_trusts_is_shown_to_itself_and_to_those_whom_it_names() {
    let (world, _, bob) = trusting().await;
    let alice = Somebody::new(&world, "alice").await;
    let carol = Somebody::new(&world, "carol").await;
    let own = world.custody.show_delegations(&alice.caller, None).await.unwrap();
    assert_eq!(own.delegations.len(), 1);
    let key = delegation_key(&rule_id(alice.account()));
    assert_eq!(own.delegations[0].delegation, state_receipt(&key, world.ledger.value(&key).as_deref()));
    assert!(own.delegations[0].recovery.is_empty());
    opened(&world, &bob).await;
    let theirs = world.custody.show_delegations(&bob.caller, Some(alice.account())).await.unwrap();
    assert!(!theirs.delegations[0].recovery.is_empty());
    let strange = world.custody.show_delegations(&carol.caller, Some(alice.account())).await;
    assert_eq!(code(strange), Code::DelegationNotInForce);
    let nothing = world.custody.show_delegations(&carol.caller, None).await.unwrap();
    assert_eq!(nothing.delegations.len(), 0);
}

#[tokio::test]
async fn beginning_a_recovery_counts_like_a_login_that_was_tried() {
    let (world, ..) = trusting().await;
    assert_eq!(code(lost(&world, "nobody", "staple").await.map(|_| ())), Code::AccountUnknown);
    let mut begun = 0;
    while lost(&world, "alice", "staple").await.is_ok() {
        begun += 1;
        assert!(begun < 100, "answers without a count are guesses without a count");
    }
    assert_eq!(code(lost(&world, "alice", "staple").await.map(|_| ())), Code::LoginLimited);
}

#[tokio::test]
async fn a_recovery_opens_once_and_not_by_who_was_revoked() {
    let (world, _, bob) = trusting().await;
    let first = opened(&world, &bob).await;
    let second = lost(&world, "alice", "other").await.unwrap();
    let entry = signed(&world, second.open(), &[&bob]);
    let twice = hand_in(&world, &bob, Kind::Open, &entry, Some(second.login())).await;
    assert_eq!(code(twice), Code::TimelockBusy);
    // The owner vetoes and revokes; after the revocation's own delay Bob opens nothing any more.
    let alice = Somebody::new(&world, "alice").await;
    let stop = signed(&world, DelegationAct::VetoRecovery(first.case(&world)), &[&alice]);
    hand_in(&world, &alice, Kind::Veto, &stop, None).await.unwrap();
    let end = DelegationAct::Revoke { rule: rule(alice.account()), version: 2 };
    let end = signed(&world, end, &[&alice]);
    hand_in(&world, &alice, Kind::Revoke, &end, None).await.unwrap();
    world.pass_ms(DAY_MS);
    let bob = Somebody::new(&world, "bob").await;
    let third = lost(&world, "alice", "third").await.unwrap();
    let entry = signed(&world, third.open(), &[&bob]);
    let revoked = hand_in(&world, &bob, Kind::Open, &entry, Some(third.login())).await;
    assert_eq!(code(revoked), Code::DelegationNotInForce);
    assert_eq!(both_passwords(&world).await, (true, false));
}

#[tokio::test]
async fn registrations_of_recoveries_are_never_keyed_alike_nor_like_any_other_login() {
    let (world, _, bob) = trusting().await;
    let (_, request) = ClientRegistration::start(&password("guess")).unwrap();
    // The evaluated element of a response is the first thing in it: equal keys give equal elements.
    let first = world.custody.recovery_begin("alice", &request).await.unwrap();
    let second = world.custody.recovery_begin("alice", &request).await.unwrap();
    assert_ne!(first.response[..32], second.response[..32]);
    assert_ne!(first.name, second.name);
    // Handed back, the name of somebody else's login keys nothing like that login: it is bound to the account.
    let other = world.custody.opaque.register(&first.name, &request).unwrap();
    assert_ne!(first.response[..32], other[..32]);
    let elsewhere = world.custody.recovery_begin("bob", &request).await.unwrap();
    assert_ne!(first.response[..32], elsewhere.response[..32]);
    drop(bob);
}

/// How many acts are not settled.
async fn unsettled(world: &World) -> usize {
    world.custody.store.acts(world.custody.boot).await.unwrap().len()
}

#[tokio::test]
async fn no_old_state_makes_a_service_forget_a_login() {
    let (world, _, bob) = trusting().await;
    let before = world.ledger.remember(b"");
    let lost = opened(&world, &bob).await;
    world.ledger.lag(Some(before));
    world.custody.settle_acts().await.unwrap();
    assert_eq!(unsettled(&world).await, 1, "a validator that lags knows of no recovery");
    world.ledger.lag(None);
    world.pass_ms(DAY_MS);
    let bob = Somebody::new(&world, "bob").await;
    let before = world.ledger.remember(b"credential/");
    world.ledger.height.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    world.ledger.record(Entry::decode(&signed(&world, lost.execute(&world), &[&bob])).unwrap());
    world.ledger.lag(Some(before));
    world.custody.settle_acts().await.unwrap();
    assert_eq!(unsettled(&world).await, 1, "executed, and the credential that was read is older than that");
    world.ledger.lag(None);
    world.custody.settle_acts().await.unwrap();
    assert_eq!((unsettled(&world).await, both_passwords(&world).await), (0, (false, true)));
}

#[tokio::test]
async fn an_opening_that_came_by_another_way_keeps_its_login_once() {
    let (world, _, bob) = trusting().await;
    let lost = lost(&world, "alice", "staple").await.unwrap();
    let entry = signed(&world, lost.open(), &[&bob]);
    let first = world.ledger.record(Entry::decode(&entry).unwrap());
    for _ in 0..2 {
        let handed_in = hand_in(&world, &bob, Kind::Open, &entry, Some(lost.login())).await.unwrap();
        assert_eq!(handed_in.leaf_index, crate::ports::Final::leaf_index(&first));
    }
    assert_eq!(unsettled(&world).await, 1);
    // The same request with other signatures stands nowhere, and its login is known.
    let again = signed(&world, lost.open(), &[&bob]);
    let busy = hand_in(&world, &bob, Kind::Open, &again, Some(lost.login())).await;
    assert_eq!((code(busy), unsettled(&world).await), (Code::TimelockBusy, 1));
    world.pass_ms(DAY_MS);
    let bob = Somebody::new(&world, "bob").await;
    let entry = signed(&world, lost.execute(&world), &[&bob]);
    hand_in(&world, &bob, Kind::Execute, &entry, None).await.unwrap();
    assert_eq!((unsettled(&world).await, both_passwords(&world).await), (0, (false, true)));
}

#[tokio::test]
async fn a_recovery_to_the_present_credential_is_none() {
    let (world, alice, bob) = trusting().await;
    let right = lost(&world, "alice", "staple").await.unwrap();
    let public_key = alice.key.public_key().as_bytes().try_into().unwrap();
    let recovery = Recovery { public_key, ..right.recovery };
    let proof = alice.key.sign_message(&recovery.payload(&CHAIN)).unwrap().try_into().unwrap();
    let entry = signed(&world, DelegationAct::OpenRecovery { recovery, proof }, &[&bob]);
    let refused = hand_in(&world, &bob, Kind::Open, &entry, Some(right.login())).await;
    assert_eq!(code(refused), Code::DelegationRequestMalformed);
    assert_eq!((unsettled(&world).await, both_passwords(&world).await), (0, (true, false)));
}
