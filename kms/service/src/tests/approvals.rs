//! Approvals: asked about one exact thing, given by others, used up once, and each refusal by its name.

use keyward_domain::{
    ApprovalRuleName, Code,
    approval::{About, Signing},
    scheme::{KeyId, Scheme},
};
use keyward_ledger_core::{
    contracts::authored::authored_message,
    entry::{
        Act, ApprovalTerms, Author, Authored, Case, Define, Entry, Group, Intent, Party, RuleName, kind,
    },
    hash::{Hash, sha256},
};

use super::{
    accounts::{import, make},
    delegation::{Somebody, world},
    ledger::CHAIN,
    world::{World, check, code, unsaid},
};
use crate::{
    approvals::{
        entries::{HandIn, Kind},
        sign::AskApproved,
    },
    caller::Caller,
    custody::{Custody, random},
    delegation::act::DoneAct,
    failure::Failure,
    guard::{Input, Paid, intent_id},
    hex::hex,
    ports::Ledger as _,
    vaults::entries::HandedIn,
};

pub(super) const MESSAGE: &[u8] = b"pay the rent";
pub(super) const OPENING: Hash = [5; 32];
pub(super) const LIVE_MS: u64 = 60_000;

/// Alice, whose key `rent` signs; Bob and Clara, both of whom have to approve by Dora's rule.
pub(super) struct Desk {
    pub(super) world: World,
    pub(super) alice: Somebody,
    pub(super) bob: Somebody,
    pub(super) clara: Somebody,
    pub(super) dora: Somebody,
    pub(super) key_id: Hash,
}

pub(super) fn rule(owner: Hash) -> RuleName {
    RuleName { owner, name: ApprovalRuleName::parse("treasury").unwrap().id() }
}

pub(super) fn terms(members: &[Party], needed: u8) -> ApprovalTerms {
    let mut members = members.to_vec();
    members.sort();
    ApprovalTerms { live_ms_max: LIVE_MS, groups: vec![Group { role: "treasury".into(), needed, members }] }
}

pub(super) fn party(who: &Somebody) -> Party {
    Party::Credential(who.account())
}

impl Somebody {
    /// An entry that they sign.
    pub(super) fn say(&self, world: &World, act: Act) -> Vec<u8> {
        let (party, nonce, not_after) = (party(self), random().unwrap(), world.ledger.height() + 100);
        let message = authored_message(&CHAIN, act.kind(), &act.payload(), party, &nonce, not_after);
        let signature = self.key.sign_message(&message).unwrap();
        let author = Author { party, nonce, not_after, public_key: Vec::new(), signature };
        Entry::Authored(Authored { act, authors: vec![author] }).encode()
    }
}

pub(super) async fn hand_in(
    custody: &Custody,
    caller: &Caller,
    kind: Kind,
    entry: &[u8],
    about: Option<&About>,
) -> Result<HandedIn, Failure> {
    custody.hand_in_approval(caller, HandIn { kind, entry, about, mark: &[] }).await
}

impl Desk {
    pub(super) async fn new() -> Self {
        let desk = Self::without_rule().await;
        desk.define(1, terms(&[party(&desk.bob), party(&desk.clara)], 2)).await.unwrap();
        desk
    }

    pub(super) async fn without_rule() -> Self {
        let world = world().await;
        let who = async |user| Somebody::new(&world, user).await;
        let (alice, bob, clara, dora) =
            (who("alice").await, who("bob").await, who("clara").await, who("dora").await);
        let made = make(&world, &alice.caller, Scheme::Ed25519).await;
        let bound = world.custody.import_key(&alice.caller, &import(&made, "rent")).await.unwrap();
        let key_id = bound.0.row.key_id;
        Self { world, alice, bob, clara, dora, key_id }
    }

    /// Sessions end with a run of the service.
    pub(super) async fn restart(self) -> Self {
        let Self { world, key_id, .. } = self;
        let world = world.restart().await;
        let who = async |user| Somebody::new(&world, user).await;
        let (alice, bob, clara, dora) =
            (who("alice").await, who("bob").await, who("clara").await, who("dora").await);
        Self { world, alice, bob, clara, dora, key_id }
    }

    pub(super) async fn define(&self, version: u32, terms: ApprovalTerms) -> Result<HandedIn, Failure> {
        let act = Act::DefineApproval(Define { rule: rule(self.dora.account()), version, terms });
        let entry = self.dora.say(&self.world, act);
        hand_in(&self.world.custody, &self.dora.caller, Kind::Define, &entry, None).await
    }

    pub(super) fn about(&self, opening: Hash) -> About {
        About::Signing(Signing {
            key_id: KeyId(self.key_id),
            payload: MESSAGE.to_vec(),
            format: String::new(),
            payload_hash: sha256(&[MESSAGE]),
            opening,
        })
    }

    pub(super) fn asking(&self, about: &About, live_ms: u64) -> Vec<u8> {
        let (rule, payload) = (rule(self.dora.account()), about.payload());
        self.alice.say(&self.world, Act::OpenApproval { rule, payload, live_ms })
    }

    pub(super) async fn ask_about(&self, entry: &[u8], about: &About) -> Result<Case, Failure> {
        let (custody, caller) = (&self.world.custody, &self.alice.caller);
        let done = hand_in(custody, caller, Kind::Ask, entry, Some(about)).await?;
        let (_, outcome) = self.world.ledger.log()[done.leaf_index as usize].clone();
        Ok(Case { id: outcome.data.try_into().unwrap(), payload: about.payload() })
    }

    pub(super) async fn ask(&self) -> Case {
        let about = self.about(OPENING);
        self.ask_about(&self.asking(&about, LIVE_MS), &about).await.unwrap()
    }

    pub(super) async fn say(&self, who: &Somebody, kind: Kind, act: Act) -> Result<HandedIn, Failure> {
        hand_in(&self.world.custody, &who.caller, kind, &who.say(&self.world, act), None).await
    }

    pub(super) async fn give(&self, who: &Somebody, case: Case) -> Result<HandedIn, Failure> {
        self.say(who, Kind::Give, Act::Approve { case, group: 0 }).await
    }

    /// A case with both approvals.
    pub(super) async fn approved(&self) -> Case {
        let case = self.ask().await;
        for who in [&self.bob, &self.clara] {
            self.give(who, case).await.unwrap();
        }
        case
    }

    pub(super) fn using(&self, case: Case) -> Vec<u8> {
        self.alice.say(&self.world, Act::UseApproval(case))
    }

    pub(super) async fn sign_as(
        &self,
        caller: &Caller,
        case: Case,
        use_entry: &[u8],
        mark: &[u8],
        message: &[u8],
    ) -> Result<DoneAct, Failure> {
        let key = hex(&self.key_id);
        let input = Input::Message(message);
        let (case, opening) = (case.id, OPENING);
        let ask = AskApproved { key: &key, input: &input, said: unsaid(), mark, case, opening, use_entry };
        self.world.custody.sign_approved(caller, ask).await
    }

    pub(super) async fn sign(&self, case: Case, mark: &[u8]) -> Result<DoneAct, Failure> {
        self.sign_as(&self.alice.caller, case, &self.using(case), mark, MESSAGE).await
    }

    pub(super) fn uses(&self) -> usize {
        let uses =
            |entry: &Entry| matches!(entry, Entry::Authored(of) if matches!(of.act, Act::UseApproval(_)));
        self.world.ledger.count(uses)
    }

    /// Nothing more was used up or signed than this.
    pub(super) fn check_counts(&self, uses: usize, intents: usize) {
        assert_eq!((self.uses(), self.world.intents()), (uses, intents));
    }

    pub(super) async fn is_kept(&self, case: Case) -> bool {
        self.world.custody.store.approval_of_case(case.id).await.unwrap().is_some()
    }
}

#[tokio::test]
async fn approvals_are_used_up_first_and_pay_for_one_signature_of_what_was_asked() {
    let desk = Desk::new().await;
    let case = desk.approved().await;
    let done = desk.sign(case, b"one").await.unwrap();
    check(&done.signed, MESSAGE);
    let log = desk.world.ledger.log();
    let (used, _) = &log[done.act.leaf_index as usize];
    assert!(matches!(used, Entry::Authored(of) if of.act == Act::UseApproval(case)));
    let intents: Vec<&Intent> = log[done.act.leaf_index as usize..]
        .iter()
        .filter_map(|(entry, _)| if let Entry::Intent(intent) = entry { Some(intent) } else { None })
        .collect();
    let record = desk.world.custody.ledger.record(done.act.leaf_index).await.unwrap();
    let About::Signing(signing) = desk.about(OPENING) else { unreachable!() };
    assert_eq!(intents.len(), 1);
    assert_eq!(intents[0].commitment, signing.commitment(), "the case's own");
    assert_eq!(intents[0].id, intent_id(Paid::Approvals, &CHAIN, record.as_ref()));
    assert!(!desk.is_kept(case).await, "what it was about is erased");
    let again = desk.sign(case, b"one").await.unwrap();
    assert_eq!((again.signed.signature, again.act), (done.signed.signature, done.act));
    desk.check_counts(1, 1);
    // Under another mark, with another word or the same: it pays once.
    assert_eq!(code(desk.sign(case, b"two").await), Code::CaseUsed);
    let same = used.encode();
    let again = desk.sign_as(&desk.alice.caller, case, &same, b"three", MESSAGE).await;
    assert_eq!(code(again), Code::ApprovalDone);
    desk.check_counts(1, 1);
}

#[tokio::test]
async fn a_rule_without_approvers_or_none_at_all_lets_nobody_ask() {
    let desk = Desk::without_rule().await;
    let about = desk.about(OPENING);
    let entry = desk.asking(&about, LIVE_MS);
    assert_eq!(code(desk.ask_about(&entry, &about).await), Code::RuleUnknown);
    let (bob, clara) = (party(&desk.bob), party(&desk.clara));
    for bad in [
        ApprovalTerms { live_ms_max: LIVE_MS, groups: Vec::new() },
        terms(&[], 0),
        terms(&[], 1),
        terms(&[bob, clara], 0),
        terms(&[bob, clara], 3),
        ApprovalTerms { live_ms_max: 0, ..terms(&[bob, clara], 1) },
    ] {
        assert_eq!(code(desk.define(1, bad).await), Code::RuleInvalid);
    }
    assert_eq!(code(desk.ask_about(&entry, &about).await), Code::RuleUnknown);
    assert_eq!(code(desk.define(2, terms(&[bob], 1)).await), Code::RuleVersion);
    let act =
        Act::DefineApproval(Define { rule: rule(desk.dora.account()), version: 1, terms: terms(&[bob], 1) });
    assert_eq!(code(desk.say(&desk.bob, Kind::Define, act).await), Code::AuthorNotNamed, "not his rule");
    desk.define(1, terms(&[bob], 1)).await.unwrap();
    let shown = desk.world.custody.show_approval_rules(&desk.dora.caller, None).await.unwrap();
    assert_eq!(shown[0].names.unwrap().rule, rule(desk.dora.account()).id(kind::DEFINE_APPROVAL));
    for live_ms in [0, LIVE_MS + 1] {
        let entry = desk.asking(&about, live_ms);
        assert_eq!(code(desk.ask_about(&entry, &about).await), Code::InvalidArgument);
    }
    desk.ask_about(&entry, &about).await.unwrap();
    desk.check_counts(0, 0);
}

#[tokio::test]
async fn too_few_unknown_and_initiating_approvers_do_not_count() {
    let desk = Desk::without_rule().await;
    let members = [party(&desk.alice), party(&desk.bob), party(&desk.clara)];
    desk.define(1, terms(&members, 2)).await.unwrap();
    let case = desk.ask().await;
    assert_eq!(code(desk.sign(case, &[]).await), Code::ApprovalsMissing, "none");
    assert_eq!(code(desk.give(&desk.dora, case).await), Code::AuthorNotNamed);
    assert_eq!(code(desk.give(&desk.alice, case).await), Code::ApproverIsInitiator);
    desk.give(&desk.bob, case).await.unwrap();
    assert_eq!(code(desk.give(&desk.bob, case).await), Code::ApprovalGiven);
    assert_eq!(code(desk.sign(case, &[]).await), Code::ApprovalsMissing, "one of two");
    let withdraw = desk.say(&desk.clara, Kind::Withdraw, Act::WithdrawApproval(case)).await;
    assert_eq!(code(withdraw), Code::ApprovalNotGiven);
    desk.say(&desk.bob, Kind::Withdraw, Act::WithdrawApproval(case)).await.unwrap();
    desk.give(&desk.clara, case).await.unwrap();
    assert_eq!(code(desk.sign(case, &[]).await), Code::ApprovalsMissing, "Bob has taken his back");
    desk.give(&desk.bob, case).await.unwrap();
    // Somebody else's word does not use Alice's case up, and a signature of nobody's is not handed in.
    let theirs = desk.bob.say(&desk.world, Act::UseApproval(case));
    assert_eq!(
        code(desk.sign_as(&desk.alice.caller, case, &theirs, &[], MESSAGE).await),
        Code::AuthorNotNamed
    );
    let (mut forged, before) = (desk.using(case), desk.world.ledger.log().len());
    *forged.last_mut().unwrap() ^= 1;
    let refused = desk.sign_as(&desk.alice.caller, case, &forged, &[], MESSAGE).await;
    assert_eq!(code(refused), Code::AuthorSignatureInvalid);
    assert_eq!(desk.world.ledger.log().len(), before);
    // And none of it keeps Alice from using it.
    desk.sign(case, &[]).await.unwrap();
    desk.check_counts(1, 1);
}

#[tokio::test]
async fn another_payload_another_opening_and_another_key_are_not_what_was_approved() {
    let desk = Desk::new().await;
    let case = desk.approved().await;
    let using = desk.using(case);
    let other = desk.sign_as(&desk.alice.caller, case, &using, &[], b"pay me").await;
    assert_eq!(code(other), Code::ApprovalPayloadOther);
    let key = hex(&desk.key_id);
    let input = Input::Message(MESSAGE);
    let ask = |case: Case, opening, key| AskApproved {
        key,
        input: &input,
        said: unsaid(),
        mark: &[],
        case: case.id,
        opening,
        use_entry: &using,
    };
    let refused = async |ask| code(desk.world.custody.sign_approved(&desk.alice.caller, ask).await);
    assert_eq!(refused(ask(case, [6; 32], key.as_str())).await, Code::ApprovalPayloadOther);
    let strange = Case { id: [7; 32], ..case };
    assert_eq!(refused(ask(strange, OPENING, key.as_str())).await, Code::ApprovalPayloadOther);
    let made = make(&desk.world, &desk.alice.caller, Scheme::Ed25519).await;
    desk.world.custody.import_key(&desk.alice.caller, &import(&made, "other")).await.unwrap();
    assert_eq!(refused(ask(case, OPENING, "other")).await, Code::ApprovalPayloadOther);
    // Nor is an approval one of another payload of the same case.
    let twisted = Case { payload: [1; 32], ..case };
    assert_eq!(code(desk.give(&desk.bob, twisted).await), Code::CasePayload);
    desk.check_counts(0, 0);
}

#[tokio::test]
async fn cases_that_ended_were_refused_withdrawn_or_outdated_pay_for_nothing() {
    let desk = Desk::new().await;
    let expired = desk.approved().await;
    desk.world.pass_ms(LIVE_MS + 1);
    assert_eq!(code(desk.give(&desk.bob, expired).await), Code::CaseUnknown);
    assert_eq!(code(desk.sign(expired, &[]).await), Code::CaseUnknown);

    let about = desk.about(OPENING);
    let refused = desk.ask_about(&desk.asking(&about, LIVE_MS), &about).await.unwrap();
    desk.give(&desk.bob, refused).await.unwrap();
    assert_eq!(
        code(desk.say(&desk.dora, Kind::Refuse, Act::RefuseApproval(refused)).await),
        Code::AuthorNotNamed
    );
    desk.say(&desk.clara, Kind::Refuse, Act::RefuseApproval(refused)).await.unwrap();
    assert_eq!(code(desk.give(&desk.clara, refused).await), Code::CaseClosed);
    assert_eq!(code(desk.sign(refused, &[]).await), Code::CaseClosed);
    assert!(!desk.is_kept(refused).await);

    let withdrawn = desk.ask_about(&desk.asking(&about, LIVE_MS), &about).await.unwrap();
    desk.say(&desk.alice, Kind::Withdraw, Act::WithdrawApproval(withdrawn)).await.unwrap();
    assert_eq!(code(desk.sign(withdrawn, &[]).await), Code::CaseClosed);
    assert!(!desk.is_kept(withdrawn).await);

    let outdated = desk.approved().await;
    desk.define(2, terms(&[party(&desk.bob), party(&desk.clara)], 1)).await.unwrap();
    assert_eq!(code(desk.sign(outdated, &[]).await), Code::RuleVersion);
    desk.check_counts(0, 0);
}

#[tokio::test]
async fn nobody_asks_about_what_is_not_what_it_is_said_to_be() {
    let desk = Desk::new().await;
    let About::Signing(good) = desk.about(OPENING) else { unreachable!() };
    let before = desk.world.ledger.log().len();
    for (bad, expected) in [
        (Signing { payload: b"pay me".to_vec(), ..good.clone() }, Code::PayloadOther),
        (Signing { payload_hash: [1; 32], ..good.clone() }, Code::PayloadOther),
        (Signing { format: "ethereum".into(), ..good.clone() }, Code::PayloadUnread),
        (Signing { format: "verse".into(), ..good.clone() }, Code::PayloadFormatUnknown),
    ] {
        let about = About::Signing(bad);
        assert_eq!(code(desk.ask_about(&desk.asking(&about, LIVE_MS), &about).await), expected);
    }
    let (one, two) = (desk.about(OPENING), desk.about([6; 32]));
    assert_eq!(code(desk.ask_about(&desk.asking(&one, LIVE_MS), &two).await), Code::ApprovalPayloadOther);
    let (custody, caller) = (&desk.world.custody, &desk.alice.caller);
    let entry = desk.asking(&one, LIVE_MS);
    assert_eq!(code(hand_in(custody, caller, Kind::Ask, &entry, None).await), Code::ApprovalRequestMalformed);
    assert_eq!(
        code(hand_in(custody, caller, Kind::Give, &entry, None).await),
        Code::ApprovalRequestMalformed
    );
    assert_eq!(code(hand_in(custody, caller, Kind::Give, &[1], None).await), Code::EntryMalformed);
    let bobs = hand_in(custody, &desk.bob.caller, Kind::Ask, &entry, Some(&one)).await;
    assert_eq!(code(bobs), Code::NotAllowed, "Alice has signed it");
    let mut forged = entry.clone();
    *forged.last_mut().unwrap() ^= 1;
    let forged = hand_in(custody, caller, Kind::Ask, &forged, Some(&one)).await;
    assert_eq!(code(forged), Code::AuthorSignatureInvalid);
    assert_eq!(desk.world.ledger.log().len(), before, "nothing of it reached the ledger");
}

#[tokio::test]
async fn what_a_case_is_about_is_shown_to_its_people_sealed_at_rest_and_erased_with_its_end() {
    let desk = Desk::new().await;
    let case = desk.ask().await;
    let custody = &desk.world.custody;
    for who in [&desk.alice, &desk.bob, &desk.clara] {
        let found = custody.show_approval(&who.caller, &case.id).await.unwrap();
        assert_eq!(found.about, Some(desk.about(OPENING)));
        assert!(!found.case.is_empty() && !found.rule.is_empty());
        let lines = custody.list_approvals(&who.caller).await.unwrap();
        assert_eq!((lines.len(), lines[0].case, lines[0].account), (1, case.id, desk.alice.account()));
    }
    let eve = Somebody::new(&desk.world, "eve").await;
    assert_eq!(code(custody.show_approval(&eve.caller, &case.id).await), Code::ApprovalUnknown);
    assert_eq!(code(custody.show_approval(&eve.caller, &[9; 32]).await), Code::ApprovalUnknown);
    assert!(custody.list_approvals(&eve.caller).await.unwrap().is_empty());
    let row = custody.store.approval_of_case(case.id).await.unwrap().unwrap();
    assert!(!row.sealed.windows(MESSAGE.len()).any(|part| part == MESSAGE), "not in the clear");
    assert_eq!(row.ends_ms, desk.world.clock.0.load(std::sync::atomic::Ordering::Relaxed) + LIVE_MS);

    let desk = desk.restart().await;
    let custody = &desk.world.custody;
    assert_eq!(
        custody.show_approval(&desk.bob.caller, &case.id).await.unwrap().about,
        Some(desk.about(OPENING))
    );
    desk.world.pass_ms(LIVE_MS);
    custody.erase_ended_mail().await.unwrap();
    assert!(desk.is_kept(case).await, "a clock may be ahead");
    desk.world.pass_ms(LIVE_MS * 20);
    custody.erase_ended_mail().await.unwrap();
    assert!(!desk.is_kept(case).await);
}

#[tokio::test]
async fn a_payload_of_a_mebibyte_is_shown_in_full_and_nothing_of_it_twice() {
    let desk = Desk::new().await;
    let payload: Vec<u8> = (0..1_u32 << 20).map(|n| (n % 251) as u8).collect();
    let About::Signing(signing) = desk.about(OPENING) else { unreachable!() };
    let payload_hash = sha256(&[&payload]);
    let about = About::Signing(Signing { payload, payload_hash, ..signing });
    let case = desk.ask_about(&desk.asking(&about, LIVE_MS), &about).await.unwrap();
    let shown = desk.world.custody.show_approval(&desk.bob.caller, &case.id).await.unwrap();
    assert!(shown.about == Some(about));
}

#[tokio::test]
async fn an_account_asks_for_so_many_approvals_at_once() {
    let desk = Desk::new().await;
    let most = crate::approvals::mail::ROOM.cases;
    let ask = async |n: u64| {
        let about = desk.about(sha256(&[&n.to_be_bytes()]));
        desk.ask_about(&desk.asking(&about, LIVE_MS), &about).await
    };
    let mut last = None;
    for n in 0..most {
        last = Some(ask(n).await.unwrap());
    }
    let before = desk.world.ledger.log().len();
    assert_eq!(code(ask(most).await), Code::ApprovalsMax);
    assert_eq!(desk.world.ledger.log().len(), before, "nor does the ledger hear of it");
    desk.say(&desk.alice, Kind::Withdraw, Act::WithdrawApproval(last.unwrap())).await.unwrap();
    ask(most).await.unwrap();
}
