//! The tenant's policies: what a set in force does to signatures, and each refusal of one that shall not be.

use keyward_domain::{
    Code, Principal,
    approval::{About, Publication, Published, Signing, policy_text_hash},
    scheme::KeyId,
};
use keyward_ledger_core::{
    entry::{Act, Case, Entry, PublishPolicy, kind, tenant_id},
    hash::{Hash, sha256},
    state::policy::{PolicyState, policy_key},
};
use keyward_policies::cases::Asked;
use keyward_store::Change;

use super::{
    approvals::{Desk, LIVE_MS, OPENING, rule},
    delegation::Somebody,
    world::{Mood, World, check, code, unsaid},
};
use crate::{
    approvals::{entries::Kind, sign::AskApproved},
    caller::Caller,
    failure::Failure,
    guard::{Input, Said, Shown, Signed},
    hex::hex,
    policies::AskToPublish,
};

pub(super) const OPAQUE: &str = r#"@id("nothing-opaque")
    forbid (principal, action == Action::"key.sign", resource) when { context.opaque };"#;

/// Payments above 1000.00 EUR wait for approval under a rule; nothing opaque.
pub(super) fn limit(rule: &Hash) -> String {
    let rule = hex(rule);
    format!(
        r#"{OPAQUE}
        @id("large-payments") @approval("{rule}")
        forbid (principal, action == Action::"key.sign", resource)
        when {{ context.amount > 100000 }} unless {{ context.approvals.contains("{rule}") }};"#
    )
}

/// A payment of so many euros, as ISO 20022 has it.
pub(super) fn payment(euros: u32) -> Vec<u8> {
    format!(
        r#"<Document xmlns="urn:iso:std:iso:20022:tech:xsd:pain.001.001.09"><CstmrCdtTrfInitn><GrpHdr><NbOfTxs>1</NbOfTxs></GrpHdr><PmtInf><PmtMtd>TRF</PmtMtd><CdtTrfTxInf><Amt><InstdAmt Ccy="EUR">{euros}.00</InstdAmt></Amt><CdtrAcct><Id><IBAN>DE89370400440532013000</IBAN></Id></CdtrAcct></CdtTrfTxInf></PmtInf></CstmrCdtTrfInitn></Document>"#
    )
    .into_bytes()
}

fn said(payload: &[u8]) -> Said {
    let shown = Shown { format: "pain.001".to_owned(), payload: &b""[..] };
    Said::of(&Input::Message(payload), Some(&shown)).unwrap()
}

/// What the ledger says is in force, and its text.
pub(super) async fn put_in_force(world: &World, version: u32, text: &str) {
    let (set, keep) = (policy_text_hash(text), text.to_owned());
    world
        .custody
        .store
        .apply(vec![Change::KeepPolicyText { hash: set, text: keep, kept_ms: 1 }])
        .await
        .unwrap();
    let state = PolicyState { version, set, rule: [9; 32], leaf: 0 };
    world.ledger.set_state(policy_key(&tenant_id("default")), state.encode());
    world.custody.look_at_policies().await.unwrap();
}

/// What the newest intent names.
fn last_policy(world: &World) -> Hash {
    let log = world.ledger.log();
    let policy =
        |(entry, _): &(Entry, _)| if let Entry::Intent(intent) = entry { Some(intent.policy) } else { None };
    log.iter().rev().find_map(policy).unwrap()
}

struct Office {
    desk: Desk,
    officer: Caller,
}

impl Office {
    async fn new() -> Self {
        let desk = Desk::new().await;
        let officer = officer(&desk.alice);
        Self { desk, officer }
    }

    /// The rule that approves: Dora's, whom Bob and Clara both have to follow.
    fn treasury(&self) -> Hash {
        rule(self.desk.dora.account()).id(kind::DEFINE_APPROVAL)
    }

    fn limit(&self) -> String {
        limit(&self.treasury())
    }

    fn publication(&self, version: u32, text: &str, case: Option<Hash>) -> PublishPolicy {
        PublishPolicy {
            tenant: tenant_id("default"),
            version,
            set: policy_text_hash(text),
            rule: self.treasury(),
            case,
        }
    }

    async fn publish_as(
        &self,
        caller: &Caller,
        who: &Somebody,
        publish: PublishPolicy,
        text: &str,
    ) -> Result<u32, Failure> {
        let entry = who.say(&self.desk.world, Act::PublishPolicy(publish));
        let ask = AskToPublish { of: Published::Policy, text, entry: &entry, mark: &[] };
        Ok(self.desk.world.custody.publish(caller, ask).await?.1)
    }

    async fn publish(&self, version: u32, text: &str, case: Option<Hash>) -> Result<u32, Failure> {
        let publish = self.publication(version, text, case);
        self.publish_as(&self.officer, &self.desk.alice, publish, text).await
    }

    /// A case about a publication, with both approvals or none.
    async fn case(&self, publish: PublishPolicy, text: &str, approved: bool) -> Case {
        let publish = PublishPolicy { case: None, ..publish };
        let about = About::Publication(Publication { of: Published::Policy, publish, text: text.to_owned() });
        let open = Act::OpenApproval {
            rule: rule(self.desk.dora.account()),
            payload: about.payload(),
            live_ms: LIVE_MS,
        };
        let entry = self.desk.alice.say(&self.desk.world, open);
        let case = self.desk.ask_about(&entry, &about).await.unwrap();
        if approved {
            for who in [&self.desk.bob, &self.desk.clara] {
                self.desk.give(who, case).await.unwrap();
            }
        }
        case
    }

    async fn sign(&self, payload: &[u8], said: &Said) -> Result<Signed, Failure> {
        let (custody, caller) = (&self.desk.world.custody, &self.desk.alice.caller);
        custody.sign(caller, "rent", (&Input::Message(payload), said), &[]).await
    }

    fn version(&self) -> u32 {
        self.desk.world.custody.policies.standing().state.map_or(0, |state| state.version)
    }

    /// Nothing more was recorded or put in force than this.
    fn check_unchanged(&self, version: u32, log: usize) {
        assert_eq!((self.version(), self.desk.world.ledger.log().len()), (version, log));
    }
}

/// Alice's session beside an officer's certificate.
fn officer(who: &Somebody) -> Caller {
    Caller { principal: Principal::parse("keyward://officer/olga").unwrap(), ..who.caller.clone() }
}

#[tokio::test]
async fn a_published_set_decides_with_what_the_payload_says_and_intents_name_it() {
    let office = Office::new().await;
    let small = payment(1000);
    check(&office.sign(b"m", unsaid()).await.unwrap(), b"m");
    let floor = office.desk.world.custody.policies.now().hash();
    assert_eq!(office.publish(1, &office.limit(), None).await.unwrap(), 1);
    let set = office.desk.world.custody.policies.now();
    assert!(set.hash() != floor && set.tenant_hash() == Some(policy_text_hash(&office.limit())));
    check(&office.sign(&small, &said(&small)).await.unwrap(), &small);
    assert_eq!(last_policy(&office.desk.world), set.hash());
    let intents = office.desk.world.intents();
    let refused = office.sign(b"m", unsaid()).await.unwrap_err();
    assert_eq!(refused.code, Code::PolicyDenied);
    assert!(refused.message.contains("tenant/nothing-opaque"), "{refused}");
    let large = payment(1001);
    let refused = office.sign(&large, &said(&large)).await.unwrap_err();
    assert_eq!(refused.code, Code::ApprovalRequired);
    assert!(refused.message.contains(&hex(&office.treasury())), "{refused}");
    assert!(refused.message.contains("tenant/large-payments"), "{refused}");
    assert_eq!(office.desk.world.intents(), intents, "nothing was claimed for them");
}

#[tokio::test]
async fn what_is_said_of_a_payload_must_be_the_payloads_own() {
    let (small, large) = (payment(1), payment(9999));
    fn of<'a>(input: Input<&'a [u8]>, format: &str, payload: &'a [u8]) -> Result<Said, Failure> {
        Said::of(&input, Some(&Shown { format: format.to_owned(), payload }))
    }
    assert_eq!(code(of(Input::Message(&large), "pain.001", &small)), Code::PayloadOther);
    assert_eq!(code(of(Input::Message(&small), "ethereum", b"")), Code::PayloadUnread);
    assert_eq!(code(of(Input::Message(&small), "poem", b"")), Code::PayloadFormatUnknown);
    let digest = sha256(&[&large]);
    assert_eq!(code(of(Input::Digest(&digest), "pain.001", &small)), Code::PayloadOther);
    assert_eq!(code(of(Input::Digest(&digest), "pain.001", b"")), Code::PayloadMissing);
    assert_eq!(code(of(Input::Digest(&digest[1..]), "pain.001", &small)), Code::DigestLength);
    let digest = sha256(&[&small]);
    assert_eq!(of(Input::Digest(&digest), "pain.001", &small).unwrap().facts.amount, 100);
}

#[tokio::test]
async fn an_approved_payment_above_the_limit_is_signed_and_an_unapproved_use_loses_nothing() {
    let office = Office::new().await;
    office.publish(1, &office.limit(), None).await.unwrap();
    let large = payment(5000);
    let payload_hash = sha256(&[&large]);
    let (key_id, format) = (KeyId(office.desk.key_id), "pain.001".to_owned());
    let about =
        About::Signing(Signing { key_id, payload: large.clone(), format, payload_hash, opening: OPENING });
    let open = |rule| Act::OpenApproval { rule, payload: about.payload(), live_ms: LIVE_MS };
    let entry = office.desk.alice.say(&office.desk.world, open(rule(office.desk.dora.account())));
    let case = office.desk.ask_about(&entry, &about).await.unwrap();
    for who in [&office.desk.bob, &office.desk.clara] {
        office.desk.give(who, case).await.unwrap();
    }
    let key = hex(&office.desk.key_id);
    let input = Input::Message(&large[..]);
    let use_entry = office.desk.alice.say(&office.desk.world, Act::UseApproval(case));
    let log = office.desk.world.ledger.log().len();
    // Nobody says what it is: opaque, which no approval lifts. It is refused before anything is used up.
    let ask = |said| AskApproved {
        key: &key,
        input: &input,
        said,
        mark: &[],
        case: case.id,
        opening: OPENING,
        use_entry: &use_entry,
    };
    let custody = &office.desk.world.custody;
    let refused = custody.sign_approved(&office.desk.alice.caller, ask(unsaid())).await;
    assert_eq!(code(refused), Code::PolicyDenied);
    office.check_unchanged(1, log);
    let said = said(&large);
    let done = custody.sign_approved(&office.desk.alice.caller, ask(&said)).await.unwrap();
    check(&done.signed, &large);
    assert_eq!(last_policy(&office.desk.world), custody.policies.now().hash());
}

#[tokio::test]
async fn a_set_that_shall_not_be_is_refused_and_changes_nothing() {
    let office = Office::new().await;
    let log = office.desk.world.ledger.log().len();
    let long = format!("// {}\n{OPAQUE}", "x".repeat(64 << 10));
    let cases = [
        ("permit (principal", Code::PolicyUnreadable),
        (r#"@id("a") forbid (principal, action == Action::"key.steal", resource);"#, Code::PolicyInvalid),
        (
            r#"@id("a") forbid (principal, action == Action::"policy.publish", resource);"#,
            Code::PolicyInvalid,
        ),
        (
            r#"@id("a") forbid (principal, action == Action::"key.sign", resource) when { context.amount > 5 };"#,
            Code::PolicyInvalid,
        ),
        (r#"@id("a") forbid (principal, action, resource);"#, Code::PolicyLockOut),
        (&long, Code::PolicyTooLarge),
    ];
    for (text, expected) in cases {
        assert_eq!(code(office.publish(1, text, None).await), expected, "{text:.80}");
        assert_eq!(code(office.desk.world.custody.try_policy(&office.officer, text).await), expected);
        office.check_unchanged(0, log);
        let kept = office.desk.world.custody.store.policy_text(policy_text_hash(text)).await.unwrap();
        assert_eq!(kept, None);
    }
    check(&office.sign(b"m", unsaid()).await.unwrap(), b"m");
}

#[tokio::test]
async fn another_version_tenant_or_text_and_who_is_no_officer_publish_nothing() {
    let office = Office::new().await;
    let log = office.desk.world.ledger.log().len();
    for version in [0, 2, u32::MAX] {
        assert_eq!(code(office.publish(version, OPAQUE, None).await), Code::PolicyVersion, "{version}");
    }
    let right = office.publication(1, OPAQUE, None);
    let alice = &office.desk.alice;
    let foreign = PublishPolicy { tenant: tenant_id("other"), ..right };
    assert_eq!(
        code(office.publish_as(&office.officer, alice, foreign, OPAQUE).await),
        Code::PolicyTenantOther
    );
    assert_eq!(
        code(office.publish_as(&office.officer, alice, right, &office.limit()).await),
        Code::PolicyTextOther
    );
    // The certificate of the office, and a session whose account has signed: neither alone is enough.
    for uri in ["keyward://auditor/anna", "keyward://operator/otto", "keyward://app/treasury"] {
        let caller = Caller { principal: Principal::parse(uri).unwrap(), ..alice.caller.clone() };
        assert_eq!(code(office.publish_as(&caller, alice, right, OPAQUE).await), Code::NotAllowed, "{uri}");
    }
    let alone = office.desk.world.caller("keyward://officer/olga").await;
    assert_eq!(code(office.publish_as(&alone, alice, right, OPAQUE).await), Code::SessionRequired);
    let bobs = officer(&office.desk.bob);
    assert_eq!(code(office.publish_as(&bobs, alice, right, OPAQUE).await), Code::NotAllowed);
    let no_rule = PublishPolicy { rule: [3; 32], ..right };
    assert_eq!(code(office.publish_as(&office.officer, alice, no_rule, OPAQUE).await), Code::RuleUnknown);
    assert_eq!(office.version(), 0);
    assert_eq!(office.desk.world.ledger.log().len(), log + 1, "the ledger alone knows rules");
    assert_eq!(office.desk.world.custody.store.policy_text(right.set).await.unwrap(), None);
}

#[tokio::test]
async fn the_second_version_takes_the_approval_of_others_for_exactly_that_text() {
    let office = Office::new().await;
    office.publish(1, OPAQUE, None).await.unwrap();
    let next = office.publication(2, &office.limit(), None);
    assert_eq!(code(office.publish(2, &office.limit(), None).await), Code::ApprovalsMissing);
    assert_eq!(code(office.publish(1, &office.limit(), None).await), Code::PolicyVersion);
    let unapproved = office.case(next, &office.limit(), false).await;
    assert_eq!(code(office.publish(2, &office.limit(), Some(unapproved.id)).await), Code::ApprovalsMissing);
    let other = office.case(PublishPolicy { set: policy_text_hash("// x"), ..next }, "// x", true).await;
    assert_eq!(code(office.publish(2, &office.limit(), Some(other.id)).await), Code::CasePayload);
    let case = office.case(next, &office.limit(), true).await;
    // Approved for Alice: nobody else publishes with it.
    let theirs = PublishPolicy { case: Some(case.id), ..next };
    for (who, expected) in [
        (&office.desk.dora, Code::AuthorNotNamed),
        // Nor goes anybody by an approval of their own.
        (&office.desk.bob, Code::ApproverIsInitiator),
    ] {
        let refused = office.publish_as(&officer(who), who, theirs, &office.limit()).await;
        assert_eq!(code(refused), expected);
    }
    assert_eq!(office.version(), 1);
    assert_eq!(office.publish(2, &office.limit(), Some(case.id)).await.unwrap(), 2);
    assert_eq!(office.version(), 2);
    // Used up, and about another version.
    assert_eq!(code(office.publish(3, &office.limit(), Some(case.id)).await), Code::CasePayload);
    let custody = &office.desk.world.custody;
    let listed = custody.list_policies(&office.officer).await.unwrap();
    let versions: Vec<_> = listed.iter().map(|one| (one.row.version, one.policies)).collect();
    assert_eq!(versions, [(2, 2), (1, 1)]);
    assert!(listed.iter().all(|one| one.row.account == Some(office.desk.alice.account())));
    let first = custody.show_policy(&office.officer, 1).await.unwrap();
    assert_eq!((first.text.as_str(), first.version), (OPAQUE, 1));
    assert_eq!(custody.show_policy(&office.officer, 0).await.unwrap().version, 2);
    assert_eq!(code(custody.show_policy(&office.officer, 3).await), Code::PolicyUnknown);
}

#[tokio::test]
async fn a_set_stays_in_force_over_a_restart_and_reaches_the_other_servers() {
    let office = Office::new().await;
    let beside = office.desk.world.beside().await;
    office.publish(1, OPAQUE, None).await.unwrap();
    assert!(beside.policies.now().tenant_hash().is_none(), "it has not looked yet");
    beside.look_at_policies().await.unwrap();
    assert_eq!(beside.policies.now().hash(), office.desk.world.custody.policies.now().hash());
    drop(beside);
    let desk = office.desk.restart().await;
    let officer = officer(&desk.alice);
    let office = Office { desk, officer };
    assert_eq!(office.version(), 1);
    assert_eq!(code(office.sign(b"m", unsaid()).await), Code::PolicyDenied);
}

#[tokio::test]
async fn a_publication_whose_answer_was_lost_is_found_and_in_force() {
    let office = Office::new().await;
    office.desk.world.ledger.set(Mood::Deaf);
    assert_eq!(code(office.publish(1, OPAQUE, None).await), Code::LedgerUnavailable);
    office.desk.world.ledger.set(Mood::Good);
    let custody = &office.desk.world.custody;
    custody.settle_acts().await.unwrap();
    custody.look_at_policies().await.unwrap();
    assert_eq!(office.version(), 1);
    assert_eq!(code(office.sign(b"m", unsaid()).await), Code::PolicyDenied);
    let listed = custody.list_policies(&office.officer).await.unwrap();
    assert_eq!(listed[0].row.account, Some(office.desk.alice.account()), "whose it was is not lost");
}

#[tokio::test]
async fn a_set_whose_text_is_not_at_hand_or_not_read_denies_what_it_may_narrow_and_no_more() {
    let office = Office::new().await;
    let custody = &office.desk.world.custody;
    let in_force = |version, text: &str| {
        let state = PolicyState { version, set: policy_text_hash(text), rule: office.treasury(), leaf: 0 };
        office.desk.world.ledger.set_state(policy_key(&tenant_id("default")), state.encode());
    };
    in_force(1, OPAQUE);
    custody.look_at_policies().await.unwrap();
    let small = payment(1);
    assert_eq!(code(office.sign(&small, &said(&small)).await), Code::PolicyDenied);
    let shown = custody.show_policy(&office.officer, 0).await.unwrap();
    assert_eq!((shown.version, shown.text.as_str()), (1, ""));
    // A text that this version does not read is none.
    let unread = "permit (principal == Group::\"x\", action, resource);".to_owned();
    let keep = Change::KeepPolicyText { hash: policy_text_hash(&unread), text: unread.clone(), kept_ms: 1 };
    custody.store.apply(vec![keep]).await.unwrap();
    in_force(2, &unread);
    custody.look_at_policies().await.unwrap();
    assert_eq!(code(office.sign(&small, &said(&small)).await), Code::PolicyDenied);
    // The way out is open to officers.
    let next = office.publication(3, OPAQUE, None);
    let case = office.case(next, OPAQUE, true).await;
    office.publish(3, OPAQUE, Some(case.id)).await.unwrap();
    check(&office.sign(&small, &said(&small)).await.unwrap(), &small);
    // A validator that lags says less than was known: nothing goes back.
    in_force(2, &unread);
    custody.look_at_policies().await.unwrap();
    assert_eq!(office.version(), 3);
}

#[tokio::test]
async fn a_dry_run_tells_what_would_change_and_changes_nothing() {
    let office = Office::new().await;
    let (small, large) = (payment(1), payment(2000));
    for payload in [&small, &large] {
        office.sign(payload, &said(payload)).await.unwrap();
    }
    office.sign(b"m", unsaid()).await.unwrap();
    let custody = &office.desk.world.custody;
    let log = office.desk.world.ledger.log().len();
    let tried = custody.try_policy(&office.officer, &office.limit()).await.unwrap();
    let signatures = tried.requests;
    assert!(signatures >= 3, "{signatures}");
    assert_eq!(tried.changed, 2);
    let outcomes: Vec<_> = tried.changes.iter().map(|one| (one.before.name(), one.after.name())).collect();
    assert_eq!(outcomes, [("allow", "deny"), ("allow", "needs-approval")], "newest first");
    assert!(tried.changes[1].request.contains("200000"), "{}", tried.changes[1].request);
    assert!(!tried.changes[1].request.contains("InstdAmt"), "no payload is kept");
    office.check_unchanged(0, log);
    // What was tried is explained alike, and by people of the office alone.
    let asked = Asked::from_json(&tried.changes[0].request).unwrap().to_json().unwrap();
    let verdict = custody.explain_policy(&office.officer, &asked, OPAQUE).await.unwrap();
    assert_eq!(verdict.policies(), ["tenant/nothing-opaque"]);
    let verdict = custody.explain_policy(&office.officer, &asked, "").await.unwrap();
    assert!(verdict.is_allowed());
    assert_eq!(code(custody.explain_policy(&office.officer, "{}", "").await), Code::PolicyRequestMalformed);
    let operator = office.desk.world.caller("keyward://operator/otto").await;
    assert_eq!(code(custody.try_policy(&operator, OPAQUE).await), Code::NotAllowed);
    assert_eq!(code(custody.show_policy(&office.desk.alice.caller, 0).await), Code::NotAllowed);
    custody.show_policy(&operator, 0).await.unwrap();
}

#[tokio::test]
async fn what_is_remembered_is_bounded() {
    let office = Office::new().await;
    let custody = &office.desk.world.custody;
    // What it took to get here is kept already.
    let before = custody.try_policy(&office.officer, OPAQUE).await.unwrap();
    for _ in 0..600 {
        let (caller, key) =
            (&office.desk.alice.caller, custody.key_by_id(office.desk.key_id).await.unwrap().unwrap());
        custody.check_sign(caller, &key, unsaid()).unwrap();
    }
    let tried = custody.try_policy(&office.officer, OPAQUE).await.unwrap();
    assert_eq!(tried.requests - before.requests, 256, "what came faster is not remembered");
    assert_eq!((tried.changed - before.changed, tried.changes.len()), (256, 100));
}

#[tokio::test]
async fn other_verbs_are_narrowed_too_and_what_is_the_floors_alone_is_not() {
    let office = Office::new().await;
    let text = r#"@id("no-lending") forbid (principal, action == Action::"key.authorize", resource);"#;
    office.publish(1, text, None).await.unwrap();
    let desk = &office.desk;
    let refused =
        desk.world.custody.authorise_app(&desk.alice.caller, "rent", "shop", &[]).await.unwrap_err();
    assert_eq!(refused.code, Code::PolicyDenied);
    assert!(refused.message.contains("tenant/no-lending"), "{refused}");
    desk.world.custody.freeze_key(&desk.alice.caller, "rent", &[]).await.unwrap();
}

#[tokio::test]
async fn approvals_of_a_publication_show_its_whole_text() {
    let office = Office::new().await;
    let publish = office.publication(1, OPAQUE, None);
    let case = office.case(publish, OPAQUE, false).await;
    let shown = office.desk.world.custody.show_approval(&office.desk.bob.caller, &case.id).await.unwrap();
    let Some(About::Publication(about)) = shown.about else { panic!("it is about something else") };
    assert_eq!((about.publish, about.text.as_str()), (publish, OPAQUE));
    let refuse = office.desk.say(&office.desk.bob, Kind::Refuse, Act::RefuseApproval(case)).await;
    refuse.unwrap();
}
