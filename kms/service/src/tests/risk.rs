//! Rules of risk: what they hold back, what others let through, what two servers make of it, and each refusal of rules that shall
//! not be.

use keyward_domain::{
    Code, Principal,
    approval::{About, Publication, Published, Signing},
    risk::rules_text_hash,
    scheme::KeyId,
};
use keyward_ledger_core::{
    entry::{Act, Case, PublishPolicy, kind, tenant_id},
    hash::{Hash, sha256},
    state::policy::{PolicyState, risk_key},
};
use keyward_store::{Change, RiskHistory};

use super::{
    approvals::{Desk, LIVE_MS, OPENING, rule},
    delegation::{DAY_MS, Somebody},
    world::{Mood, World, check, code, unsaid},
};
use crate::{
    approvals::sign::AskApproved,
    caller::Caller,
    custody::Custody,
    failure::Failure,
    guard::{Input, Said, Shown, Signed},
    hex::hex,
    policies::AskToPublish,
};

const RENT: &str = "DE89370400440532013000";
const THIEF: &str = "GB29NWBK60161331926819";
const OTHER: &str = "FR1420041010050500013M02606";

/// Asks from 50 points on and refuses from 100: 30 for somebody new, 40 and more for more than 1000.00 at once, 60 for what nobody
/// can read.
fn rules(more: &str) -> String {
    format!(
        "version = 1\nname = \"test\"\nmode = \"enforce\"\n{more}\nask = 50\nrefuse = 100
[adapt]\ndays = 7\nrequests = 10
[amount]\npoints = 40\npoints_per_doubling = 10\npoints_max = 80\nquantile_permille = 950\nmultiple_percent = 200
[amount.bounds]\n\"*\" = {{ start = 100_000, least = 20_000, most = 20_000_000 }}
[counterparty]\npoints = 30\npoints_least = 5\nsettle_hours = 48
[opaque]\npoints = 60\npoints_least = 0\n"
    )
}

/// Three requests within a minute are one too many.
const PACE: &str = "version = 1\nname = \"pace\"\nmode = \"enforce\"\nask = 50\nrefuse = 60
[adapt]\ndays = 7\nrequests = 10
[pace]\npoints = 90\npoints_per_doubling = 0\npoints_max = 90\nquantile_permille = 980\nmultiple_percent = 200
[pace.bounds]\nminute = { start = 2, least = 2, most = 2 }
hour = { start = 1000, least = 1000, most = 1000 }\nday = { start = 1000, least = 1000, most = 1000 }\n";

/// Whatever nobody here can read is refused.
pub(super) const NOTHING: &str = "version = 1\nname = \"nothing\"\nmode = \"enforce\"\nask = 50\nrefuse = 60
[adapt]\ndays = 7\nrequests = 10
[opaque]\npoints = 90\npoints_least = 90\n";

fn payment(euros: u32, to: &str) -> Vec<u8> {
    format!(
        r#"<Document xmlns="urn:iso:std:iso:20022:tech:xsd:pain.001.001.09"><CstmrCdtTrfInitn><GrpHdr><NbOfTxs>1</NbOfTxs></GrpHdr><PmtInf><PmtMtd>TRF</PmtMtd><CdtTrfTxInf><Amt><InstdAmt Ccy="EUR">{euros}.00</InstdAmt></Amt><CdtrAcct><Id><IBAN>{to}</IBAN></Id></CdtrAcct></CdtTrfTxInf></PmtInf></CstmrCdtTrfInitn></Document>"#
    )
    .into_bytes()
}

fn said(payload: &[u8]) -> Said {
    let shown = Shown { format: "pain.001".to_owned(), payload: &b""[..] };
    Said::of(&Input::Message(payload), Some(&shown)).unwrap()
}

/// What the ledger says is in force, without its text.
fn on_ledger(world: &World, version: u32, text: &str) {
    let state = PolicyState { version, set: rules_text_hash(text), rule: [9; 32], leaf: 0 };
    world.ledger.set_state(risk_key(&tenant_id("default")), state.encode());
}

async fn keep_text(custody: &Custody, text: &str) {
    let (hash, text) = (rules_text_hash(text), text.to_owned());
    custody.store.apply(vec![Change::KeepPolicyText { hash, text, kept_ms: 1 }]).await.unwrap();
}

/// What the ledger says is in force, and its text.
pub(super) async fn put_in_force(world: &World, version: u32, text: &str) {
    keep_text(&world.custody, text).await;
    on_ledger(world, version, text);
    world.custody.look_at_risk().await.unwrap();
}

struct Office {
    desk: Desk,
    officer: Caller,
}

impl Office {
    async fn new() -> Self {
        let desk = Desk::new().await;
        let principal = Principal::parse("keyward://officer/olga").unwrap();
        let officer = Caller { principal, ..desk.alice.caller.clone() };
        Self { desk, officer }
    }

    /// The rule that approves: Dora's, whom Bob and Clara both have to follow.
    fn treasury(&self) -> Hash {
        rule(self.desk.dora.account()).id(kind::DEFINE_APPROVAL)
    }

    /// Rules that name it.
    fn rules(&self) -> String {
        rules(&format!("rule = \"{}\"", hex(&self.treasury())))
    }

    fn publication(&self, version: u32, text: &str) -> PublishPolicy {
        let (tenant, set) = (tenant_id("default"), rules_text_hash(text));
        PublishPolicy { tenant, version, set, rule: self.treasury(), case: None }
    }

    async fn publish_as(&self, caller: &Caller, act: Act, text: &str) -> Result<u32, Failure> {
        let entry = self.desk.alice.say(&self.desk.world, act);
        let ask = AskToPublish { of: Published::Risk, text, entry: &entry, mark: &[] };
        Ok(self.custody().publish(caller, ask).await?.1)
    }

    async fn publish(&self, version: u32, text: &str, case: Option<Hash>) -> Result<u32, Failure> {
        let publish = PublishPolicy { case, ..self.publication(version, text) };
        self.publish_as(&self.officer, Act::PublishRisk(publish), text).await
    }

    fn custody(&self) -> &Custody {
        &self.desk.world.custody
    }

    async fn approved(&self, about: &About) -> Case {
        let (rule, payload) = (rule(self.desk.dora.account()), about.payload());
        let open = Act::OpenApproval { rule, payload, live_ms: LIVE_MS };
        let entry = self.desk.alice.say(&self.desk.world, open);
        let case = self.desk.ask_about(&entry, about).await.unwrap();
        for who in [&self.desk.bob, &self.desk.clara] {
            self.desk.give(who, case).await.unwrap();
        }
        case
    }

    async fn sign_with(&self, custody: &Custody, payload: &[u8], mark: &[u8]) -> Result<Signed, Failure> {
        let said = said(payload);
        custody.sign(&self.desk.alice.caller, "rent", (&Input::Message(payload), &said), mark).await
    }

    async fn pay(&self, euros: u32, to: &str) -> Result<Signed, Failure> {
        self.sign_with(self.custody(), &payment(euros, to), &[]).await
    }

    /// Pays with the approval of the others.
    async fn pay_approved(&self, euros: u32, to: &str) -> Result<Signed, Failure> {
        let (payload, key_id) = (payment(euros, to), KeyId(self.desk.key_id));
        let (payload_hash, format) = (sha256(&[&payload]), "pain.001".to_owned());
        let about = About::Signing(Signing {
            key_id,
            payload: payload.clone(),
            format,
            payload_hash,
            opening: OPENING,
        });
        let case = self.approved(&about).await;
        let use_entry = self.desk.alice.say(&self.desk.world, Act::UseApproval(case));
        let (key, input, said) = (hex(&self.desk.key_id), Input::Message(&payload[..]), said(&payload));
        let ask = AskApproved {
            key: &key,
            input: &input,
            said: &said,
            mark: &[],
            case: case.id,
            opening: OPENING,
            use_entry: &use_entry,
        };
        Ok(self.custody().sign_approved(&self.desk.alice.caller, ask).await?.signed)
    }

    async fn revision(&self) -> u64 {
        let account = self.desk.alice.account();
        self.custody().store.risk_history(account).await.unwrap().map_or(0, |(revision, _)| revision)
    }
}

#[tokio::test]
async fn without_published_rules_nothing_is_held_back_and_habits_are_kept() {
    let office = Office::new().await;
    let custody = office.custody();
    let shown = custody.show_risk(&office.officer, 0).await.unwrap();
    assert_eq!((shown.version, shown.hash.len()), (0, 0));
    assert!(shown.text.contains("mode = \"watch\""));
    assert!(custody.risk_of_account(&office.officer, office.desk.alice.account()).await.unwrap().is_none());
    office.pay(1_000_000, THIEF).await.unwrap();
    assert_eq!(office.revision().await, 0, "kept a little later");
    custody.keep_histories().await.unwrap();
    assert_eq!(office.revision().await, 1);
    custody.keep_histories().await.unwrap();
    assert_eq!(office.revision().await, 1, "nothing new");
    // What is kept says nothing to who reads the disk, and is there after a restart.
    let (_, sealed) =
        custody.store.risk_history(office.desk.alice.account()).await.unwrap().expect("it was kept");
    assert!(!sealed.windows(3).any(|window| window == b"EUR"));
    let desk = office.desk.restart().await;
    let office = Office { officer: office.officer, desk };
    let habits = office.custody().risk_of_account(&office.officer, office.desk.alice.account()).await;
    let habits = habits.unwrap().unwrap();
    assert_eq!((habits.summary.requests_of_day, habits.summary.counterparties), (1, 1));
}

#[tokio::test]
async fn published_rules_ask_and_refuse_with_reasons_and_claim_nothing_for_it() {
    let office = Office::new().await;
    office.publish(1, &office.rules(), None).await.unwrap();
    check(&office.pay(900, RENT).await.unwrap(), &payment(900, RENT));
    assert_eq!(office.revision().await, 1, "kept with the intent");
    let intents = office.desk.world.intents();
    let asked = office.pay(1500, THIEF).await.unwrap_err();
    assert_eq!(asked.code, Code::ApprovalRequired);
    assert!(asked.message.contains(&hex(&office.treasury())), "{asked}");
    assert!(asked.message.contains("new to this account"), "{asked}");
    assert!(
        !asked.message.contains("100000") && !asked.message.contains("100_000"),
        "no limit is told: {asked}"
    );
    let refused = office.pay(1_000_000, THIEF).await.unwrap_err();
    assert_eq!(refused.code, Code::RiskRefused);
    assert!(refused.message.contains("more at once"), "{refused}");
    // Nor does it go on for who says nothing of it.
    let (fortune, alice) = (payment(1_000_000, THIEF), &office.desk.alice.caller);
    let hidden = office.custody().sign(alice, "rent", (&Input::Message(&fortune[..]), unsaid()), &[]).await;
    assert_eq!(code(hidden), Code::ApprovalRequired);
    assert_eq!((office.desk.world.intents(), office.revision().await), (intents, 1));
    // What was refused is no habit, and frees its mark.
    let large = payment(1_000_000, THIEF);
    for _ in 0..2 {
        assert_eq!(code(office.sign_with(office.custody(), &large, b"mark").await), Code::RiskRefused);
    }
}

#[tokio::test]
async fn what_others_approve_goes_on_and_is_known_from_then_on_and_what_is_refused_is_not_approved_away() {
    let office = Office::new().await;
    office.publish(1, &office.rules(), None).await.unwrap();
    check(&office.pay_approved(1500, THIEF).await.unwrap(), &payment(1500, THIEF));
    // Somebody whom others let be paid is nobody new: the amount alone is no question.
    check(&office.pay(1500, THIEF).await.unwrap(), &payment(1500, THIEF));
    let log = office.desk.world.ledger.log().len();
    let refused = office.pay_approved(1_000_000, RENT).await;
    assert_eq!(code(refused), Code::RiskRefused);
    // The case was opened and approved by two; nothing of it was used up.
    assert_eq!(office.desk.world.ledger.log().len(), log + 3);
}

#[tokio::test]
async fn what_is_approved_under_another_rule_than_the_named_one_makes_nobody_known() {
    let office = Office::new().await;
    let other = rules(&format!("rule = \"{}\"", "ab".repeat(32)));
    put_in_force(&office.desk.world, 1, &other).await;
    check(&office.pay_approved(900, THIEF).await.unwrap(), &payment(900, THIEF));
    assert_eq!(office.revision().await, 1);
    assert_eq!(code(office.pay(1500, THIEF).await), Code::ApprovalRequired);
}

#[tokio::test]
async fn rules_without_an_approval_rule_refuse_what_they_would_ask_about() {
    let office = Office::new().await;
    office.publish(1, &rules(""), None).await.unwrap();
    assert_eq!(code(office.pay(1500, THIEF).await), Code::RiskRefused);
    // Approved under a rule that these rules do not name: it lifts nothing.
    assert_eq!(code(office.pay_approved(1500, THIEF).await), Code::RiskRefused);
}

#[tokio::test]
async fn a_request_that_was_answered_keeps_its_answer() {
    let office = Office::new().await;
    let payload = payment(900, RENT);
    let first = office.sign_with(office.custody(), &payload, b"one").await.unwrap();
    put_in_force(&office.desk.world, 1, NOTHING).await;
    let caller = &office.desk.alice.caller;
    let opaque = async |mark: &[u8]| {
        office.custody().sign(caller, "rent", (&Input::Message(&payload[..]), unsaid()), mark).await
    };
    assert_eq!(code(opaque(b"two").await), Code::RiskRefused);
    let again = opaque(b"one").await.unwrap();
    assert_eq!((again.signature, again.receipt), (first.signature, first.receipt));
    let other = office.custody().sign(caller, "rent", (&Input::Message(b"other"), unsaid()), b"one").await;
    assert_eq!(code(other), Code::IdempotencyConflict);
}

#[tokio::test]
async fn a_server_judges_with_what_another_let_pass_in_mind() {
    let office = Office::new().await;
    put_in_force(&office.desk.world, 1, PACE).await;
    let beside = office.desk.world.beside().await;
    let small = payment(1, RENT);
    for custody in [office.custody(), &*beside] {
        office.sign_with(custody, &small, &[]).await.unwrap();
    }
    // The first has only seen one of them.
    for custody in [office.custody(), &*beside] {
        assert_eq!(code(office.sign_with(custody, &small, &[]).await), Code::RiskRefused);
    }
    assert_eq!(office.revision().await, 2);
    // And neither refuses from memory what time has made right.
    office.desk.world.pass_ms(2 * 60_000);
    office.sign_with(&beside, &small, &[]).await.unwrap();
    office.sign_with(office.custody(), &small, &[]).await.unwrap();
    assert_eq!(office.revision().await, 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn racers_on_two_servers_get_no_more_through_than_one_after_the_other() {
    let office = Office::new().await;
    put_in_force(&office.desk.world, 1, PACE).await;
    let beside = office.desk.world.beside().await;
    let small = payment(1, RENT);
    let both = [office.custody(), &*beside];
    let racers = (0..12).map(|place| office.sign_with(both[place % 2], &small, &[]));
    let done = futures::future::join_all(racers).await;
    let passed = done.iter().filter(|one| one.is_ok()).count();
    assert!((1..=2).contains(&passed), "{passed}");
    for failure in done.into_iter().filter_map(Result::err) {
        assert!(matches!(failure.code, Code::RiskRefused | Code::ServiceBusy), "{failure}");
    }
    assert_eq!((office.desk.world.intents(), office.revision().await), (passed, passed as u64));
}

#[tokio::test]
async fn rules_that_are_not_at_hand_or_not_read_sign_nothing_until_others_are_published() {
    let office = Office::new().await;
    let (custody, world) = (office.custody(), &office.desk.world);
    on_ledger(world, 1, NOTHING);
    custody.look_at_risk().await.unwrap();
    assert_eq!(code(office.pay(1, RENT).await), Code::RiskRulesUnknown);
    assert_eq!(world.intents(), 0);
    // The text comes, from whichever server it was handed in to.
    keep_text(custody, NOTHING).await;
    office.pay(1, RENT).await.unwrap();
    keep_text(custody, "version = 9").await;
    on_ledger(world, 2, "version = 9");
    custody.look_at_risk().await.unwrap();
    assert_eq!(code(office.pay(1, RENT).await), Code::RiskRulesUnknown);
    put_in_force(world, 3, &rules("")).await;
    office.pay(1, RENT).await.unwrap();
    // A validator that lags says less than was known: nothing goes back.
    on_ledger(world, 2, "version = 9");
    custody.look_at_risk().await.unwrap();
    office.pay(1, RENT).await.unwrap();
}

#[tokio::test]
async fn a_history_that_is_not_to_be_read_holds_nothing_back_unless_rules_are_enforced() {
    let office = Office::new().await;
    let (custody, account) = (office.custody(), office.desk.alice.account());
    let junk = RiskHistory { account, from: 0, sealed: vec![7; 99] };
    custody.store.apply(vec![Change::PutRiskHistory(junk)]).await.unwrap();
    office.pay(1, RENT).await.unwrap();
    put_in_force(&office.desk.world, 1, &rules("")).await;
    assert_eq!(code(office.pay(1, RENT).await), Code::Internal);
    assert_eq!(office.desk.world.intents(), 1);
}

#[tokio::test]
async fn a_history_that_is_not_to_be_kept_keeps_no_other_from_it() {
    let office = Office::new().await;
    let (custody, account) = (office.custody(), office.desk.alice.account());
    office.pay(1, RENT).await.unwrap();
    let others = [office.desk.bob.account(), office.desk.clara.account(), office.desk.dora.account()];
    for other in others {
        custody.note_failed_login(other, custody.clock.now_ms()).await;
    }
    let junk = RiskHistory { account, from: 0, sealed: vec![7; 99] };
    custody.store.apply(vec![Change::PutRiskHistory(junk)]).await.unwrap();
    assert_eq!(code(custody.keep_histories().await), Code::Internal);
    for other in others {
        assert!(custody.store.risk_history(other).await.unwrap().is_some());
    }
    assert_eq!(custody.store.risk_requests(9).await.unwrap().len(), 1);
}

#[tokio::test]
async fn failed_log_ins_speak_against_what_comes_next() {
    let office = Office::new().await;
    let text = rules("")
        .replace("[counterparty]", "[logins]\nfree = 1\npoints_each = 50\npoints_max = 100\n[counterparty]");
    put_in_force(&office.desk.world, 1, &text).await;
    let (custody, now_ms) = (office.custody(), office.custody().clock.now_ms());
    let account = office.desk.alice.account();
    // Of the log-ins since the last session, that one included which began to fetch her key, the last is not known to have failed.
    for _ in 0..3 {
        custody.charge_account(account, now_ms).await.unwrap();
    }
    let refused = office.pay(1, RENT).await.unwrap_err();
    assert_eq!(refused.code, Code::RiskRefused);
    assert!(refused.message.contains("log-ins to this account failed"), "{refused}");
    let habits = custody.risk_of_account(&office.officer, account).await.unwrap().unwrap();
    assert_eq!(habits.summary.logins_failed_of_day, 3);
    // Kept, so that another server knows.
    custody.keep_histories().await.unwrap();
    let beside = office.desk.world.beside().await;
    let seen = beside.risk_of_account(&office.officer, account).await.unwrap().unwrap();
    assert_eq!(seen.summary.logins_failed_of_day, 3);
}

#[tokio::test]
async fn a_history_ends_with_its_account() {
    let office = Office::new().await;
    let (custody, account) = (office.custody(), office.desk.alice.account());
    office.pay(1, RENT).await.unwrap();
    custody.keep_histories().await.unwrap();
    office.pay(2, RENT).await.unwrap();
    custody.store.apply(custody.closing_beside_addresses(account)).await.unwrap();
    assert_eq!(custody.store.risk_history(account).await.unwrap(), None);
    // What was still to be kept does not bring it back.
    custody.keep_histories().await.unwrap();
    assert_eq!(custody.store.risk_history(account).await.unwrap(), None);
}

#[tokio::test]
async fn what_is_not_kept_yet_goes_on_top_of_what_another_server_kept() {
    let office = Office::new().await;
    let beside = office.desk.world.beside().await;
    for custody in [office.custody(), &*beside] {
        office.sign_with(custody, &payment(1, RENT), &[]).await.unwrap();
    }
    beside.keep_histories().await.unwrap();
    office.custody().keep_histories().await.unwrap();
    assert_eq!(office.revision().await, 2);
    let account = office.desk.alice.account();
    let habits = office.custody().risk_of_account(&office.officer, account).await.unwrap().unwrap();
    assert_eq!(habits.summary.requests_of_day, 2);
}

#[tokio::test]
async fn a_replay_tells_what_other_rules_would_have_done_and_changes_nothing() {
    let office = Office::new().await;
    for (euros, to) in [(900, RENT), (1500, THIEF), (1_000_000, OTHER)] {
        office.pay(euros, to).await.unwrap();
    }
    let (custody, log) = (office.custody(), office.desk.world.ledger.log().len());
    let replayed = custody.replay_risk(&office.officer, &office.rules(), 0).await.unwrap().replay;
    assert_eq!((replayed.requests, replayed.changes), (3, 2));
    let tally = |tally: keyward_domain::risk::Tally| (tally.allowed, tally.asked, tally.refused);
    assert_eq!((tally(replayed.before), tally(replayed.after)), ((3, 0, 0), (1, 1, 1)));
    let later = custody.clock.now_ms() + 1;
    let none = custody.replay_risk(&office.officer, &office.rules(), later).await.unwrap().replay;
    assert_eq!(none.requests, 0);
    assert_eq!(office.desk.world.ledger.log().len(), log);
    office.pay(1_000_000, THIEF).await.unwrap();
    // What is remembered names nobody.
    for row in custody.store.risk_requests(9).await.unwrap() {
        assert!(!row.sealed.windows(8).any(|window| window == &THIEF.as_bytes()[..8]));
    }
    let operator = office.desk.world.caller("keyward://operator/otto").await;
    assert_eq!(code(custody.replay_risk(&operator, NOTHING, 0).await), Code::NotAllowed);
    custody.show_risk(&operator, 0).await.unwrap();
    let alice = &office.desk.alice.caller;
    assert_eq!(code(custody.show_risk(alice, 0).await), Code::NotAllowed);
    assert_eq!(code(custody.list_risk(alice).await), Code::NotAllowed);
    assert_eq!(code(custody.risk_of_account(alice, office.desk.alice.account()).await), Code::NotAllowed);
    assert_eq!(code(custody.risk_of_account(&office.officer, [7; 32]).await), Code::AccountUnknown);
}

#[tokio::test]
async fn rules_that_shall_not_be_are_refused_and_change_nothing() {
    let office = Office::new().await;
    let (custody, log) = (office.custody(), office.desk.world.ledger.log().len());
    let good = office.rules();
    let long = format!("# {}\n{good}", "x".repeat(64 << 10));
    let cases = [
        ("version = ", Code::RiskUnreadable),
        (&good.replace("[counterparty]", "[colour]"), Code::RiskUnreadable),
        (&good.replace("ask = 50", "ask = 500"), Code::RiskInvalid),
        (&good.replace("start = 100_000", "start = 1"), Code::RiskInvalid),
        (&long, Code::RiskTooLarge),
    ];
    for (text, expected) in cases {
        assert_eq!(code(office.publish(1, text, None).await), expected, "{text:.60}");
        assert_eq!(code(custody.replay_risk(&office.officer, text, 0).await), expected);
        assert_eq!(custody.store.policy_text(rules_text_hash(text)).await.unwrap(), None);
    }
    for version in [0, 2, u32::MAX] {
        assert_eq!(code(office.publish(version, &good, None).await), Code::PolicyVersion, "{version}");
    }
    let right = office.publication(1, &good);
    let acts = [
        (PublishPolicy { tenant: tenant_id("other"), ..right }, Code::PolicyTenantOther),
        (PublishPolicy { set: [3; 32], ..right }, Code::PolicyTextOther),
    ];
    for (publish, expected) in acts {
        let refused = office.publish_as(&office.officer, Act::PublishRisk(publish), &good).await;
        assert_eq!(code(refused), expected);
    }
    // A publication of policies puts no rules of risk in force, whatever its text.
    let policies = office.publish_as(&office.officer, Act::PublishPolicy(right), &good).await;
    assert_eq!(code(policies), Code::PolicyRequestMalformed);
    for uri in ["keyward://auditor/anna", "keyward://operator/otto", "keyward://app/treasury"] {
        let principal = Principal::parse(uri).unwrap();
        let caller = Caller { principal, ..office.desk.alice.caller.clone() };
        let refused = office.publish_as(&caller, Act::PublishRisk(right), &good).await;
        assert_eq!(code(refused), Code::NotAllowed, "{uri}");
    }
    assert_eq!(office.desk.world.ledger.log().len(), log);
    office.pay(1_000_000, THIEF).await.unwrap();
}

#[tokio::test]
async fn the_second_version_takes_the_approval_of_others_for_exactly_those_rules() {
    let office = Office::new().await;
    office.publish(1, NOTHING, None).await.unwrap();
    let next = office.rules();
    assert_eq!(code(office.publish(2, &next, None).await), Code::ApprovalsMissing);
    let publish = office.publication(2, &next);
    let case = office
        .approved(&About::Publication(Publication {
            of: Published::Risk,
            publish: office.publication(2, NOTHING),
            text: NOTHING.to_owned(),
        }))
        .await;
    assert_eq!(code(office.publish(2, &next, Some(case.id)).await), Code::CasePayload);
    let about = About::Publication(Publication { of: Published::Risk, publish, text: next.clone() });
    let case = office.approved(&about).await;
    assert_eq!(office.publish(2, &next, Some(case.id)).await.unwrap(), 2);
    let custody = office.custody();
    let listed = custody.list_risk(&office.officer).await.unwrap();
    let versions: Vec<_> = listed.iter().map(|row| (row.version, row.account)).collect();
    let alice = Some(office.desk.alice.account());
    assert_eq!(versions, [(2, alice), (1, alice)]);
    assert_eq!(custody.show_risk(&office.officer, 1).await.unwrap().text, NOTHING);
    assert_eq!(custody.show_risk(&office.officer, 0).await.unwrap().text, next);
    assert_eq!(code(custody.show_risk(&office.officer, 3).await), Code::PolicyUnknown);
    assert!(
        custody.list_policies(&office.officer).await.unwrap().is_empty(),
        "policies have versions of their own"
    );
}

#[tokio::test]
async fn a_publication_whose_answer_was_lost_is_found_and_in_force() {
    let office = Office::new().await;
    office.desk.world.ledger.set(Mood::Deaf);
    assert_eq!(code(office.publish(1, NOTHING, None).await), Code::LedgerUnavailable);
    office.desk.world.ledger.set(Mood::Good);
    let custody = office.custody();
    custody.settle_acts().await.unwrap();
    custody.look_at_risk().await.unwrap();
    let listed = custody.list_risk(&office.officer).await.unwrap();
    assert_eq!((listed[0].version, listed[0].account), (1, Some(office.desk.alice.account())));
    let caller = &office.desk.alice.caller;
    let opaque = custody.sign(caller, "rent", (&Input::Message(b"m"), unsaid()), &[]).await;
    assert_eq!(code(opaque), Code::RiskRefused);
}

#[tokio::test]
async fn habits_move_limits_within_the_bounds_of_the_rules_alone() {
    let mut office = Office::new().await;
    put_in_force(&office.desk.world, 1, &rules("").replace("ask = 50", "ask = 35")).await;
    office.pay(800, RENT).await.unwrap();
    assert_eq!(code(office.pay(1500, RENT).await), Code::RiskRefused);
    // Ten days of 800: twice that is usual from then on, as far as the rules let it be.
    for _ in 0..10 {
        for _ in 0..2 {
            office.pay(800, RENT).await.unwrap();
        }
        office.desk.world.pass_ms(DAY_MS);
        office.desk.alice = Somebody::new(&office.desk.world, "alice").await;
    }
    office.pay(1500, RENT).await.unwrap();
    assert_eq!(code(office.pay(1_000_000, RENT).await), Code::RiskRefused);
}
