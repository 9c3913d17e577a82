//! Signatures of addresses that others approve: asked for in nobody's name, once each, and never by who asks.

use std::{
    borrow::Borrow,
    sync::{Arc, atomic::Ordering},
};

use keyward_crypto::unlinkable::open_detail;
use keyward_domain::{
    Code,
    approval::About,
    detail::{ApprovedBy, Detail},
};
use keyward_ledger_core::{
    entry::{Act, Case, Custody as Root, Define, Entry, kind},
    hash::Hash,
    state::layout::{AccountState, account_key},
};
use keyward_store::{Change, IntentState, Signed};

use super::{
    addresses::{EPOCH_MS, Holder, ask, check, sha256},
    addresses_faults::{RULE, rate},
    approvals::{LIVE_MS, hand_in, party, rule, terms},
    delegation::Somebody,
    policies::{limit, payment, put_in_force},
    world::{Mood, World, code},
};
use crate::{
    addresses::{AskAddress, SignAddress},
    approvals::entries::{Heard, Kind},
    custody::Custody,
    failure::Failure,
    guard::{Input, SignedAddress},
    hex::hex,
    vaults::floods::Flood,
};

/// Alice, who has addresses; of Alice, Bob and Clara two approve, by Bob's rule, what is above 1000 euros.
pub(super) struct Office<H = Holder> {
    pub(super) holder: H,
    pub(super) bob: Somebody,
    pub(super) clara: Somebody,
}

impl Office {
    async fn new() -> Self {
        Self::of(Holder::hosted().await).await
    }

    /// Sessions end with a run of the service.
    async fn restart(self) -> Self {
        let world = self.holder.world.restart().await;
        let who = async |user| Somebody::new(&world, user).await;
        let (alice, bob, clara) = (who("alice").await, who("bob").await, who("clara").await);
        world.custody.look_at_policies().await.unwrap();
        Self { holder: Holder { world, who: alice }, bob, clara }
    }

    async fn sign_at(&self, custody: &Custody, case: Hash, mark: &[u8]) -> Result<SignedAddress, Failure> {
        let asked = ask(None, Input::Message(payment(1001)), mark);
        let asked = SignAddress { format: "pain.001".into(), case: Some(case), ..asked };
        custody.sign_with_address(&self.holder.who.caller, asked).await
    }

    async fn sign(&self, case: Case, mark: &[u8]) -> Result<SignedAddress, Failure> {
        self.sign_at(self.custody(), case.id, mark).await
    }

    async fn given_out(&self) -> u32 {
        let epochs = self.custody().store.address_epochs(self.holder.who.account(), 9).await.unwrap();
        epochs.iter().map(|epoch| epoch.given).sum()
    }
}

impl<H: Borrow<Holder>> Office<H> {
    pub(super) async fn of(holder: H) -> Self {
        let world = &Borrow::<Holder>::borrow(&holder).world;
        let (bob, clara) = (Somebody::new(world, "bob").await, Somebody::new(world, "clara").await);
        let office = Self { holder, bob, clara };
        office.define(1).await;
        put_in_force(office.world(), 1, &limit(&office.rule())).await;
        office
    }

    fn holder(&self) -> &Holder {
        self.holder.borrow()
    }

    pub(super) fn world(&self) -> &World {
        &self.holder().world
    }

    pub(super) fn custody(&self) -> &Arc<Custody> {
        self.holder().custody()
    }

    pub(super) fn rule(&self) -> Hash {
        rule(self.bob.account()).id(kind::DEFINE_APPROVAL)
    }

    pub(super) async fn define(&self, version: u32) {
        let terms = terms(&[party(&self.holder().who), party(&self.bob), party(&self.clara)], 2);
        let act = Act::DefineApproval(Define { rule: rule(self.bob.account()), version, terms });
        self.say(&self.bob, Kind::Define, act).await.unwrap();
    }

    pub(super) async fn say(&self, who: &Somebody, kind: Kind, act: Act) -> Result<(), Failure> {
        let entry = who.say(self.world(), act);
        hand_in(self.custody(), &who.caller, kind, &entry, None).await.map(drop)
    }

    pub(super) async fn ask_for(&self, message: Vec<u8>, live_ms: u64) -> Result<Case, Failure> {
        let (scheme, format, mark) = (String::new(), "pain.001".into(), sha256(&message).to_vec());
        let input = Input::Message(message);
        let wanted = AskAddress { rule: self.rule(), live_ms, scheme, input, format, mark };
        let asked = self.custody().ask_for_address(&self.holder().who.caller, wanted).await?;
        let (entry, outcome) = self.world().ledger.log()[asked.leaf_index as usize].clone();
        let Entry::OpenBlindCase(open) = entry else { panic!("{entry:?}") };
        Ok(Case { id: outcome.data.try_into().unwrap(), payload: open.payload() })
    }

    pub(super) async fn ask(&self) -> Case {
        self.ask_for(payment(1001), LIVE_MS).await.unwrap()
    }

    pub(super) async fn give(&self, who: &Somebody, case: Case) -> Result<(), Failure> {
        self.say(who, Kind::Give, Act::Approve { case, group: 0 }).await
    }

    pub(super) async fn approved(&self) -> Case {
        let case = self.ask().await;
        for who in [&self.bob, &self.clara] {
            self.give(who, case).await.unwrap();
        }
        case
    }

    /// Cases used up, addresses used; and nothing was given out beside.
    pub(super) async fn check_counts(&self, cases: usize, uses: usize) {
        let used_up = self.world().ledger.count(|entry| matches!(entry, Entry::UseBlindCase(_)));
        assert_eq!((used_up, self.holder().uses().len()), (cases, uses));
    }

    /// Words to the ledger that are to use a case up, refused ones too.
    pub(super) fn words(&self) -> usize {
        let log = self.world().ledger.log();
        log.iter().filter(|(entry, _)| matches!(entry, Entry::UseBlindCase(_))).count()
    }
}

#[tokio::test]
async fn what_others_approve_is_signed_once_and_no_entry_says_for_whom() {
    let office = Office::new().await;
    let plain = SignAddress { format: "pain.001".into(), ..ask(None, Input::Message(payment(1001)), b"") };
    let refused = office.custody().sign_with_address(&office.holder.who.caller, plain).await.unwrap_err();
    assert_eq!(refused.code, Code::AddressApproval);
    assert!(refused.message.contains(&hex(&office.rule())), "{refused}");
    let before = office.world().ledger.log().len();
    let case = office.ask().await;
    assert_eq!(office.ask().await, case, "the same request");
    assert_eq!(code(office.sign(case, b"").await), Code::ApprovalsMissing);
    assert_eq!(office.given_out().await, 0, "no address before it is approved");
    for who in [&office.holder.who, &office.bob, &office.clara] {
        let about = office.custody().show_approval(&who.caller, &case.id).await.unwrap().about.unwrap();
        assert_eq!(about.payload(), case.payload);
        let words = about.words().unwrap().join("\n");
        assert!(words.contains("1001") && words.contains(&hex(&office.holder.who.account())), "{words}");
        assert_eq!(office.custody().list_approvals(&who.caller).await.unwrap()[0].case, case.id);
    }
    let eve = Somebody::new(office.world(), "eve").await;
    assert_eq!(code(office.custody().show_approval(&eve.caller, &case.id).await), Code::ApprovalUnknown);
    let shown = office.custody().show_approval(&office.bob.caller, &case.id).await.unwrap();
    let Some(About::Address(asked)) = shown.about else { panic!() };
    for who in [&office.bob, &office.clara] {
        office.give(who, case).await.unwrap();
    }
    let signed = office.sign(case, b"one").await.unwrap();
    check(&signed, &payment(1001));
    assert_eq!(office.sign(case, b"one").await.unwrap(), signed, "the same request");
    assert_eq!(code(office.sign(case, b"two").await), Code::CaseUnknown, "what it was about is erased");
    office.check_counts(1, 1).await;
    assert_eq!(office.given_out().await, 1);
    // The detail says by which approvals; no entry since it was asked for says for whom, or points from one to the other.
    let used = office.holder.uses().pop().unwrap();
    let leaf = office.holder.cover(used.epoch).await.leaf(used.epoch).unwrap();
    let detail = open_detail(&leaf, &used.id, &used.public_fields(), &used.detail).unwrap();
    let detail = detail.expose(Detail::decode).unwrap();
    assert_eq!(detail.approved, Some(ApprovedBy { case: case.id, salt: asked.salt }));
    assert_eq!(asked.blinded().payload(), case.payload);
    let holds = |bytes: &[u8], what: &[u8]| bytes.windows(what.len()).any(|part| part == what);
    let account = office.holder.who.account();
    for (entry, _) in &office.world().ledger.log()[before..] {
        let bytes = entry.encode();
        assert!(!holds(&bytes, &account) && !holds(&bytes, &asked.salt), "{entry:?}");
        let of_use = matches!(entry, Entry::UseAddress(_) | Entry::Release(_));
        assert!(of_use || !(holds(&bytes, &used.id) || holds(&bytes, &used.commitment)));
        assert!(!of_use || !(holds(&bytes, &case.id) || holds(&bytes, &case.payload)));
    }
}

#[tokio::test]
async fn nobody_approves_what_they_asked_for() {
    let office = Office::new().await;
    let case = office.ask().await;
    assert_eq!(code(office.give(&office.holder.who, case).await), Code::ApproverIsInitiator);
    // Through another service the ledger takes it: it cannot see who asked. Here nothing goes by it.
    let act = Act::Approve { case, group: 0 };
    let entry = office.holder.who.say(office.world(), act);
    office.world().ledger.record(Entry::decode(&entry).unwrap());
    office.give(&office.bob, case).await.unwrap();
    assert_eq!(code(office.sign(case, b"").await), Code::ApproverIsInitiator);
    office.check_counts(0, 0).await;
    office.give(&office.clara, case).await.unwrap();
    assert_eq!(code(office.sign(case, b"").await), Code::ApproverIsInitiator, "also beside enough others");
    office.check_counts(0, 0).await;
    assert_eq!(office.given_out().await, 0);
}

#[tokio::test]
async fn approvals_are_for_one_account_payload_and_scheme() {
    let office = Office::new().await;
    let case = office.approved().await;
    let sign = async |message: Vec<u8>, scheme: &str, format: &str| {
        let asked = ask(None, Input::Message(message), b"");
        let asked =
            SignAddress { format: format.into(), scheme: scheme.into(), case: Some(case.id), ..asked };
        code(office.custody().sign_with_address(&office.holder.who.caller, asked).await)
    };
    for (message, scheme, format) in
        [(payment(1002), "", "pain.001"), (payment(1001), "bip340", "pain.001"), (payment(1001), "", "")]
    {
        assert_eq!(sign(message, scheme, format).await, Code::ApprovalPayloadOther, "{scheme} {format}");
    }
    let eve = Somebody::new(office.world(), "eve").await;
    let asked = SignAddress {
        format: "pain.001".into(),
        case: Some(case.id),
        ..ask(None, Input::Message(payment(1001)), b"")
    };
    let as_eve = office.custody().sign_with_address(&eve.caller, asked).await;
    assert_eq!(code(as_eve), Code::CaseUnknown);
    assert_eq!(code(office.sign(Case { id: [9; 32], ..case }, b"").await), Code::CaseUnknown);
    let twisted = Case { payload: [1; 32], ..case };
    assert_eq!(code(office.give(&office.bob, twisted).await), Code::CasePayload);
    office.check_counts(0, 0).await;
    assert_eq!(office.given_out().await, 0);
}

#[tokio::test]
async fn cases_that_were_refused_ended_or_are_outdated_use_nothing() {
    let office = Office::new().await;
    for live_ms in [0, LIVE_MS + 1] {
        assert_eq!(code(office.ask_for(payment(1001), live_ms).await), Code::InvalidArgument);
    }
    let case = office.approved().await;
    let clara = &office.clara;
    office.say(clara, Kind::Refuse, Act::RefuseApproval(case)).await.unwrap();
    assert_eq!(code(office.sign(case, b"").await), Code::CaseUnknown, "what it was about is erased");
    let office = Office::new().await;
    let outdated = office.approved().await;
    office.define(2).await;
    assert_eq!(code(office.sign(outdated, b"").await), Code::RuleVersion);
    assert_eq!(office.words(), 0);
    let office = Office::new().await;
    let over = office.approved().await;
    office.world().pass_ms(LIVE_MS + 1);
    assert_eq!(code(office.sign(over, b"").await), Code::CaseUnknown);
    office.check_counts(0, 0).await;
    assert_eq!(office.given_out().await, 0);
}

#[tokio::test]
async fn a_case_that_waits_survives_a_restart_and_a_lost_answer_and_pays_once() {
    let office = Office::new().await;
    let case = office.approved().await;
    let office = office.restart().await;
    office.world().ledger.set(Mood::Deaf);
    assert_eq!(code(office.sign(case, b"one").await), Code::LedgerUnavailable);
    office.check_counts(1, 0).await;
    office.world().ledger.set(Mood::Good);
    let office = office.restart().await;
    check(&office.sign(case, b"two").await.unwrap(), &payment(1001));
    office.check_counts(1, 1).await;
    assert_eq!(office.given_out().await, 1, "the one that was used");
}

#[tokio::test]
async fn of_two_servers_and_of_two_requests_at_once_one_signs() {
    let office = Office::new().await;
    let case = office.approved().await;
    let second = office.world().beside().await;
    second.look_at_policies().await.unwrap();
    let (a, b, c) = tokio::join!(
        office.sign_at(office.custody(), case.id, b"a"),
        office.sign_at(office.custody(), case.id, b"b"),
        office.sign_at(&second, case.id, b"c"),
    );
    let done = [a, b, c].into_iter().filter(|done| match done {
        Ok(signed) => {
            check(signed, &payment(1001));
            true
        }
        Err(failure) => {
            let named =
                [Code::IdempotencyPending, Code::ApprovalDone, Code::ApprovalUnsigned, Code::CaseUnknown];
            assert!(named.contains(&failure.code), "{failure:?}");
            false
        }
    });
    assert_eq!(done.count(), 1);
    office.check_counts(1, 1).await;
}

#[tokio::test]
async fn an_intent_of_the_case_that_stands_already_is_not_made_again() {
    let office = Office::new().await;
    let case = office.approved().await;
    let row = office.custody().store.approval_of_case(case.id).await.unwrap().unwrap();
    check(&office.sign(case, b"one").await.unwrap(), &payment(1001));
    let used = office.holder.uses().pop().unwrap();
    assert_eq!(row.used, Some(used.id.to_vec()), "drawn when it was asked for");
    // As if what was erased had stayed: from a copy of the database, say.
    let put = keyward_store::Change::PutApproval {
        row: keyward_store::Approval { case: None, ..row.clone() },
        readers: Vec::new(),
        room: crate::approvals::mail::ROOM,
    };
    let (id, ends_ms) = (row.id, row.ends_ms);
    let opened = keyward_store::Change::OpenApproval { id, case: case.id, ends_ms };
    office.custody().store.apply(vec![put, opened]).await.unwrap();
    assert_eq!(code(office.sign(case, b"two").await), Code::ApprovalDone);
    office.check_counts(1, 1).await;
}

#[tokio::test]
async fn nothing_leaves_for_a_case_that_is_not_complete_and_nobody_asks_for_ever() {
    let office = Office::new().await;
    let case = office.ask().await;
    assert_eq!(code(office.sign(case, b"").await), Code::ApprovalsMissing);
    office.give(&office.bob, case).await.unwrap();
    assert_eq!(code(office.sign(case, b"").await), Code::ApprovalsMissing);
    office.give(&office.clara, case).await.unwrap();
    // What an account said that is closed does not count.
    let (ledger, clara) = (&office.world().ledger, account_key(&office.clara.account()));
    let open = ledger.value(&clara).unwrap();
    ledger.set_state(clara.clone(), AccountState { open: false, height: 10 }.encode());
    assert_eq!(code(office.sign(case, b"").await), Code::ApprovalsMissing);
    ledger.set_state(clara, open);
    let shown = ledger.log().len();
    let limit = usize::try_from(Flood::Entry.bound().0).unwrap();
    let mut refused = 0;
    ledger.set(Mood::ReadOnly);
    while code(office.sign(case, b"").await) != Code::VaultLimited {
        refused += 1;
        assert!(refused < limit, "each look is charged");
    }
    assert_eq!((office.words(), ledger.log().len()), (0, shown));
}

#[tokio::test]
async fn a_validator_that_lags_does_not_hide_that_the_asker_approved() {
    let office = Office::new().await;
    let case = office.approved().await;
    let before = office.world().ledger.remember(b"approval/case/");
    // Through another service.
    let entry = office.holder.who.say(office.world(), Act::Approve { case, group: 0 });
    office.world().ledger.record(Entry::decode(&entry).unwrap());
    office.world().ledger.lag(Some(before));
    assert_eq!(code(office.sign(case, b"").await), Code::LedgerUnavailable, "used up, and not shown so");
    office.check_counts(1, 0).await;
    office.world().ledger.lag(None);
    assert_eq!(code(office.sign(case, b"").await), Code::ApproverIsInitiator);
    office.check_counts(1, 0).await;
    assert_eq!(office.given_out().await, 0);
}

#[tokio::test]
async fn who_takes_a_blind_case_back_is_not_named_on_the_ledger() {
    let office = Office::new().await;
    let case = office.approved().await;
    let withdrawal = || Act::WithdrawApproval(case);
    office.say(&office.bob, Kind::Withdraw, withdrawal()).await.unwrap();
    let log = office.world().ledger.log().len();
    assert_eq!(code(office.say(&office.bob, Kind::Withdraw, withdrawal()).await), Code::ApprovalNotGiven);
    let alice = &office.holder.who;
    let (entry, anew) = (alice.say(office.world(), withdrawal()), alice.say(office.world(), withdrawal()));
    for (entry, mark) in
        [(&entry, &b"one"[..]), (&entry, &b"one"[..]), (&entry, &b""[..]), (&anew, &b"two"[..])]
    {
        let heard = office.custody().withdraw_approval(&alice.caller, entry, mark).await.unwrap();
        assert_eq!(heard, Heard::TakenBack, "however often");
    }
    assert_eq!(office.world().ledger.log().len(), log);
    assert_eq!(code(office.sign(case, b"").await), Code::CaseClosed, "nothing opens it any more");
    assert_eq!(code(office.give(&office.bob, case).await), Code::CaseClosed);
    assert_eq!(code(office.say(&office.bob, Kind::Withdraw, withdrawal()).await), Code::ApprovalNotGiven);
    let row = office.custody().store.approval_of_case(case.id).await.unwrap().unwrap();
    assert_eq!(row.sealed, Vec::<u8>::new());
    for who in [alice, &office.bob] {
        assert!(office.custody().list_approvals(&who.caller).await.unwrap().is_empty());
        let shown = office.custody().show_approval(&who.caller, &case.id).await.unwrap();
        assert!(shown.about.is_none());
    }
    let again = office.restart().await;
    let entry = again.holder.who.say(again.world(), withdrawal());
    let heard = again.custody().withdraw_approval(&again.holder.who.caller, &entry, b"three").await.unwrap();
    assert_eq!(heard, Heard::TakenBack, "by another run too");
    again.check_counts(0, 0).await;
}

#[tokio::test]
async fn what_is_used_up_refused_or_of_another_is_not_taken_back() {
    let office = Office::new().await;
    let withdraw = async |who: &Somebody, case| {
        let entry = who.say(office.world(), Act::WithdrawApproval(case));
        code(office.custody().withdraw_approval(&who.caller, &entry, b"").await)
    };
    let eve = Somebody::new(office.world(), "eve").await;
    let case = office.approved().await;
    assert_eq!(withdraw(&eve, case).await, Code::ApprovalNotGiven);
    office.sign(case, b"").await.unwrap();
    assert_eq!(withdraw(&office.holder.who, case).await, Code::CaseUsed);
    let case = office.ask_for(payment(1002), LIVE_MS).await.unwrap();
    office.say(&office.bob, Kind::Refuse, Act::RefuseApproval(case)).await.unwrap();
    assert_eq!(withdraw(&office.holder.who, case).await, Code::CaseClosed);
    let unknown = Case { id: [9; 32], ..case };
    assert_eq!(withdraw(&office.holder.who, unknown).await, Code::CaseUnknown);
}

#[tokio::test]
async fn what_is_said_to_be_taken_back_is_not_signed_by_whoever_is_at_it() {
    let office = Office::new().await;
    let case = office.approved().await;
    let alice = &office.holder.who;
    let entry = alice.say(office.world(), Act::WithdrawApproval(case));
    let withdraw = async || office.custody().withdraw_approval(&alice.caller, &entry, b"").await;
    // The approvals are used up, and the one who signs has not heard of it yet.
    office.world().ledger.hold.store(true, Ordering::Relaxed);
    let taken_back = async {
        while office.words() == 0 {
            tokio::task::yield_now().await;
        }
        let row = office.custody().store.approval_of_case(case.id).await.unwrap().unwrap();
        // As the ledger would have shown it a moment ago, to another server.
        office.custody().store.apply(vec![Change::WithdrawApproval(case.id)]).await.unwrap();
        office.world().ledger.let_go();
        row
    };
    let (signed, row) = tokio::join!(office.sign(case, b"one"), taken_back);
    assert_eq!(code(signed), Code::CaseClosed);
    office.check_counts(1, 0).await;
    assert_eq!(withdraw().await.unwrap(), Heard::TakenBack);
    let intent = row.used.unwrap().try_into().unwrap();
    let intent = office.custody().store.intent(intent).await.unwrap().unwrap();
    assert_eq!(intent.state, IntentState::Refused, "it has not left");
}

#[tokio::test]
async fn nobody_hears_that_a_case_is_taken_back_whose_intent_may_be_signed_for() {
    let office = Office::new().await;
    let case = office.approved().await;
    let row = office.custody().store.approval_of_case(case.id).await.unwrap().unwrap();
    office.world().ledger.set(Mood::Deaf);
    for uses in [0, 1] {
        assert_eq!(code(office.sign(case, b"").await), Code::LedgerUnavailable);
        office.check_counts(1, uses).await;
    }
    let alice = &office.holder.who;
    let entry = alice.say(office.world(), Act::WithdrawApproval(case));
    let withdraw = async || office.custody().withdraw_approval(&alice.caller, &entry, b"").await;
    assert_eq!(code(withdraw().await), Code::CaseUsed, "the ledger shows it");
    // Taken back in the moment before that.
    office.custody().store.apply(vec![Change::WithdrawApproval(case.id)]).await.unwrap();
    let intent = row.used.unwrap().try_into().unwrap();
    let store = &office.custody().store;
    store
        .apply(vec![Change::SetIntentState { intent, state: IntentState::Final, place: None }])
        .await
        .unwrap();
    assert_eq!(code(withdraw().await), Code::IdempotencyPending);
    let signed = Signed {
        intent,
        leaf_index: 1,
        height: 1,
        signature_hash: [7; 32],
        held_until_ms: 0,
        response: None,
    };
    store.finish_intent(signed).await.unwrap();
    assert_eq!(code(withdraw().await), Code::CaseUsed);
}

#[tokio::test]
async fn a_signature_that_is_made_late_is_decided_anew() {
    let office = Office::new().await;
    let case = office.approved().await;
    let given = office.holder.next(1).await[0];
    let sign = async |office: &Office| {
        let asked = ask(Some(given), Input::Message(payment(1001)), b"");
        let asked = SignAddress { format: "pain.001".into(), case: Some(case.id), ..asked };
        office.custody().sign_with_address(&office.holder.who.caller, asked).await
    };
    office.world().ledger.set(Mood::Deaf);
    for uses in [0, 1] {
        assert_eq!(code(sign(&office).await), Code::LedgerUnavailable);
        office.check_counts(1, uses).await;
    }
    office.world().ledger.set(Mood::Good);
    let office = office.restart().await;
    put_in_force(office.world(), 2, &limit(&[7; 32])).await;
    assert_eq!(code(sign(&office).await), Code::AddressApproval, "by another rule by now");
    put_in_force(office.world(), 3, &limit(&office.rule())).await;
    check(&sign(&office).await.unwrap(), &payment(1001));
    office.check_counts(1, 1).await;
}

#[tokio::test]
async fn what_is_known_to_be_refused_uses_no_approvals_up() {
    // At the limit of its window.
    let world = World::limited(RULE).await;
    rate(&world, &[60_000], 1);
    let office = Office::of(Holder::of(world, Root::Hosted).await).await;
    let small = SignAddress { format: "pain.001".into(), ..ask(None, Input::Message(payment(1)), b"") };
    office.custody().sign_with_address(&office.holder.who.caller, small).await.unwrap();
    let case = office.approved().await;
    assert_eq!(code(office.sign(case, b"").await), Code::RateExceeded);
    assert_eq!(office.words(), 0);
    office.world().pass_ms(30_000);
    check(&office.sign(case, b"").await.unwrap(), &payment(1001));
    office.check_counts(1, 2).await;

    // With an address whose epoch is over, though the ledger would still take it for some seconds.
    let office = Office::new().await;
    let given = office.holder.next(1).await[0];
    let now_ms = office.world().clock.0.load(std::sync::atomic::Ordering::Relaxed);
    office.world().pass_ms(EPOCH_MS - now_ms);
    let case = office.approved().await;
    let asked = ask(Some(given), Input::Message(payment(1001)), b"");
    let asked = SignAddress { format: "pain.001".into(), case: Some(case.id), ..asked };
    let refused = office.custody().sign_with_address(&office.holder.who.caller, asked).await;
    assert_eq!(code(refused), Code::AddressEpoch);
    assert_eq!(office.words(), 0);
    check(&office.sign(case, b"").await.unwrap(), &payment(1001));
    office.check_counts(1, 1).await;
}

#[tokio::test]
async fn a_fresh_address_that_nobody_was_told_of_signs_when_its_case_is_named_again() {
    for restarts in [false, true] {
        let office = Office::new().await;
        let case = office.approved().await;
        office.world().ledger.set(Mood::Deaf);
        for uses in [0, 1] {
            assert_eq!(code(office.sign(case, b"").await), Code::LedgerUnavailable);
            office.check_counts(1, uses).await;
        }
        office.world().ledger.set(Mood::Good);
        let office = if restarts { office.restart().await } else { office };
        put_in_force(office.world(), 2, &limit(&[7; 32])).await;
        assert_eq!(code(office.sign(case, b"").await), Code::AddressApproval, "it is decided anew");
        put_in_force(office.world(), 3, &limit(&office.rule())).await;
        check(&office.sign(case, b"").await.unwrap(), &payment(1001));
        office.check_counts(1, 1).await;
        assert_eq!(office.given_out().await, 1);
    }
    // The use never came to the ledger: no signature comes any more, and it is said so.
    let office = Office::new().await;
    let case = office.approved().await;
    office.world().ledger.set(Mood::Deaf);
    assert_eq!(code(office.sign(case, b"").await), Code::LedgerUnavailable);
    office.world().ledger.set(Mood::ReadOnly);
    assert_eq!(code(office.sign(case, b"").await), Code::LedgerUnavailable);
    office.world().ledger.set(Mood::Good);
    assert_eq!(code(office.sign(case, b"").await), Code::ApprovalUnsigned);
    office.check_counts(1, 0).await;
}
