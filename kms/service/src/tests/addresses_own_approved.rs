//! What others must approve, signed by an address of a root of one's own: the case is looked at before there is an intent, and used up
//! once the address has vouched for it, for that one alone.

use std::sync::atomic::Ordering;

use keyward_crypto::unlinkable::open_detail;
use keyward_domain::{
    Code,
    approval::About,
    detail::{ApprovedBy, Detail},
};
use keyward_ledger_core::{
    entry::{Act, Case, Custody as Root, Entry},
    unlinkable::EDGE_MS,
};
use keyward_store::{Approval, Change, Id, IntentState};

use super::{
    address_approvals::Office,
    addresses::{EPOCH_MS, Holder, choose_own, sha256},
    addresses_own::{Begun, Own},
    approvals::LIVE_MS,
    delegation::Somebody,
    policies::{limit, payment, put_in_force},
    risk,
    world::{Mood, World, code},
};
use crate::{
    addresses::BeginAddress,
    approvals::entries::{Heard, Kind},
    approvals::mail::ROOM,
    failure::Failure,
    guard::Input,
    guard::SignedAddress,
    hex::hex,
};

impl Office<Own> {
    async fn own() -> Self {
        Self::of(Own::new().await).await
    }

    async fn restart(self) -> Self {
        let Own { holder, root } = self.holder;
        let world = holder.world.restart().await;
        let who = async |user| Somebody::new(&world, user).await;
        let (alice, bob, clara) = (who("alice").await, who("bob").await, who("clara").await);
        world.custody.look_at_policies().await.unwrap();
        Self { holder: Own { holder: Holder { world, who: alice }, root }, bob, clara }
    }

    fn wanted<'a>(&self, index: u32, message: &'a [u8], case: Id) -> BeginAddress<&'a [u8]> {
        BeginAddress { format: "pain.001".into(), case: Some(case), ..self.holder.wanted(index, message) }
    }

    async fn begin(&self, index: u32, case: Case) -> Result<Begun, Failure> {
        self.holder.begin_as(self.wanted(index, &payment(1001), case.id)).await
    }

    async fn record(&self, begun: &Begun) -> Result<Vec<u8>, Failure> {
        self.holder.record(begun, self.holder.proof(begun)).await
    }

    async fn finish(&self, begun: &Begun) -> Result<SignedAddress, Failure> {
        self.holder.finish(begun, &self.holder.sign(begun, &sha256(&payment(1001)))).await
    }

    /// Neither the ledger nor the database has anything of a use.
    async fn check_untouched(&self, what: &str) {
        self.check_counts(0, 0).await;
        assert_eq!(self.words(), 0, "{what}");
        assert_eq!(self.holder.holder.list().await.len(), 0, "{what}");
    }

    async fn row(&self, case: Case) -> Approval {
        self.custody().store.approval_of_case(case.id).await.unwrap().unwrap()
    }
}

#[tokio::test]
async fn what_others_approve_an_own_address_signs_once_and_no_entry_says_for_whom() {
    let office = Office::own().await;
    let message = payment(1001);
    let plain = BeginAddress { case: None, ..office.wanted(0, &message, [0; 32]) };
    let refused = office.holder.begin_as(plain).await.err().unwrap();
    assert_eq!(refused.code, Code::AddressApproval);
    assert!(refused.message.contains(&hex(&office.rule())), "{refused}");
    let before = office.world().ledger.log().len();
    let case = office.ask().await;
    for who in [&office.bob, &office.clara] {
        assert_eq!(code(office.begin(0, case).await.map(drop)), Code::ApprovalsMissing);
        office.give(who, case).await.unwrap();
    }
    office.check_untouched("before it is approved").await;
    let shown = office.custody().show_approval(&office.bob.caller, &case.id).await.unwrap();
    let Some(About::Address(asked)) = shown.about else { panic!() };

    let begun = office.begin(3, case).await.unwrap();
    assert_eq!(office.words(), 0, "nothing is used up before the address has vouched for it");
    assert_eq!(code(office.holder.record(&begun, [0; 64]).await), Code::ProofInvalid);
    assert_eq!(office.words(), 0);
    let receipt = office.record(&begun).await.unwrap();
    office.check_counts(1, 1).await;
    assert_eq!(office.record(&begun).await.unwrap(), receipt, "the same request");
    let signed = office.finish(&begun).await.unwrap();
    assert_eq!(office.finish(&begun).await.unwrap(), signed);
    assert_eq!(code(office.begin(4, case).await.map(drop)), Code::CaseUnknown, "what it was about is erased");
    office.check_counts(1, 1).await;

    let leaf = office.holder.root.viewing_leaf(0);
    let used = &begun.used;
    let detail = open_detail(&leaf, &used.id, &used.public_fields(), &used.detail).unwrap();
    let detail = detail.expose(Detail::decode).unwrap();
    assert_eq!(detail.approved, Some(ApprovedBy { case: case.id, salt: asked.salt }));
    assert_eq!(asked.blinded().payload(), case.payload);
    let holds = |bytes: &[u8], what: &[u8]| bytes.windows(what.len()).any(|part| part == what);
    let (account, log) = (office.holder.holder.who.account(), office.world().ledger.log());
    for (entry, _) in &log[before..] {
        let bytes = entry.encode();
        assert!(!holds(&bytes, &account) && !holds(&bytes, &asked.salt), "{entry:?}");
        let of_use = matches!(entry, Entry::UseAddress(_) | Entry::Release(_));
        assert!(of_use || !(holds(&bytes, &used.id) || holds(&bytes, &used.commitment)));
        assert!(!of_use || !(holds(&bytes, &case.id) || holds(&bytes, &case.payload)));
    }
    let place = |is_it: fn(&Entry) -> bool| log.iter().position(|(entry, _)| is_it(entry)).unwrap();
    let used_up = place(|entry| matches!(entry, Entry::UseBlindCase(_)));
    assert!(used_up < place(|entry| matches!(entry, Entry::UseAddress(_))), "paid for first");
}

#[tokio::test]
async fn a_use_that_is_begun_again_for_its_end_has_its_approvals_still() {
    let office = Office::own().await;
    let case = office.approved().await;
    office.world().ledger.height.store(1_023, Ordering::Relaxed);
    let begun = office.begin(0, case).await.unwrap();
    office.world().ledger.height.store(1_024, Ordering::Relaxed);
    assert_eq!(code(office.record(&begun).await), Code::AddressIntentStale);
    office.check_untouched("its approvals are not used up").await;
    let begun = office.begin(0, case).await.unwrap();
    office.record(&begun).await.unwrap();
    office.finish(&begun).await.unwrap();
    office.check_counts(1, 1).await;
}

#[tokio::test]
async fn only_the_accounts_own_case_for_just_this_is_taken() {
    let office = Office::own().await;
    let case = office.approved().await;
    let (good, other) = (payment(1001), payment(1002));
    let wrong = [
        ("payload", BeginAddress { input: Input::Message(&other[..]), ..office.wanted(0, &good, case.id) }),
        ("scheme", BeginAddress { scheme: "bip340".into(), ..office.wanted(0, &good, case.id) }),
        ("format", BeginAddress { format: String::new(), ..office.wanted(0, &good, case.id) }),
    ];
    for (what, wanted) in wrong {
        let refused = office.holder.begin_as(wanted).await.map(drop);
        assert_eq!(code(refused), Code::ApprovalPayloadOther, "another {what}");
    }
    let unknown = Case { id: [9; 32], ..case };
    assert_eq!(code(office.begin(0, unknown).await.map(drop)), Code::CaseUnknown);
    let eve = Somebody::new(office.world(), "eve").await;
    choose_own(&office.holder.holder, &eve).await;
    let stolen = office.custody().begin_with_address(&eve.caller, office.wanted(0, &good, case.id)).await;
    assert_eq!(code(stolen), Code::CaseUnknown, "another's case");
    office.check_untouched("of another").await;
}

#[tokio::test]
async fn cases_that_were_taken_back_refused_ended_or_are_outdated_use_nothing() {
    let office = Office::own().await;
    let over = office.approved().await;
    office.world().pass_ms(LIVE_MS + 1);
    assert_eq!(code(office.begin(0, over).await.map(drop)), Code::CaseUnknown);
    office.check_untouched("over").await;

    let office = Office::own().await;
    let outdated = office.approved().await;
    office.define(2).await;
    assert_eq!(code(office.begin(0, outdated).await.map(drop)), Code::RuleVersion);
    office.check_untouched("outdated").await;

    // Those that end after the use was begun are not used up either, and its address is free again.
    for withdrawn in [true, false] {
        let office = Office::own().await;
        let case = office.approved().await;
        let begun = office.begin(0, case).await.unwrap();
        let ended = match withdrawn {
            true => {
                let who = &office.holder.holder.who;
                let entry = who.say(office.world(), Act::WithdrawApproval(case));
                for _again in 0..2 {
                    let heard = office.custody().withdraw_approval(&who.caller, &entry, b"").await;
                    assert_eq!(heard.unwrap(), Heard::TakenBack);
                }
                Code::CaseClosed
            }
            false => {
                office.say(&office.clara, Kind::Refuse, Act::RefuseApproval(case)).await.unwrap();
                Code::CaseUnknown
            }
        };
        assert_eq!(code(office.record(&begun).await), ended);
        assert_eq!(code(office.begin(1, case).await.map(drop)), ended);
        office.world().pass_ms(120_000);
        office.custody().end_begun().await;
        office.check_untouched("taken back").await;
    }
}

#[tokio::test]
async fn nobody_approves_what_an_own_address_of_theirs_signs() {
    let office = Office::own().await;
    let case = office.approved().await;
    let begun = office.begin(0, case).await.unwrap();
    // Through another service the ledger takes it: it cannot see who asked.
    let entry = office.holder.holder.who.say(office.world(), Act::Approve { case, group: 0 });
    office.world().ledger.record(Entry::decode(&entry).unwrap());
    assert_eq!(code(office.record(&begun).await), Code::ApproverIsInitiator);
    assert_eq!(code(office.begin(1, case).await.map(drop)), Code::ApproverIsInitiator);
    office.check_counts(0, 0).await;
    assert_eq!(office.words(), 0);
}

#[tokio::test]
async fn policies_are_asked_again_before_anything_is_used_up_and_before_it_is_signed() {
    let office = Office::own().await;
    let case = office.approved().await;
    let begun = office.begin(0, case).await.unwrap();
    put_in_force(office.world(), 2, &limit(&[7; 32])).await;
    assert_eq!(code(office.record(&begun).await), Code::AddressApproval, "by another rule by now");
    assert_eq!(office.words(), 0);
    put_in_force(office.world(), 3, &limit(&office.rule())).await;
    office.record(&begun).await.unwrap();
    put_in_force(office.world(), 4, &limit(&[7; 32])).await;
    assert_eq!(code(office.finish(&begun).await), Code::AddressApproval);
    put_in_force(office.world(), 5, &limit(&office.rule())).await;
    office.finish(&begun).await.unwrap();
    office.check_counts(1, 1).await;
}

#[tokio::test]
async fn of_several_that_were_begun_with_a_case_one_is_recorded() {
    let office = Office::own().await;
    let case = office.approved().await;
    let second = office.world().beside().await;
    second.look_at_policies().await.unwrap();
    let caller = &office.holder.holder.who.caller;
    let (one, other) = (office.begin(0, case).await.unwrap(), office.begin(1, case).await.unwrap());
    let message = payment(1001);
    let there = second.begin_with_address(caller, office.wanted(2, &message, case.id)).await.unwrap();
    let used = keyward_ledger_core::entry::UseAddress::from_body(&there.intent, [0; 64]).unwrap();
    let there = Begun { used, opening: there.opening, index: 2 };
    let (a, b, c) = tokio::join!(
        office.record(&one),
        office.record(&other),
        second.record_address(caller, &there.used.id, office.holder.proof(&there)),
    );
    let named = [Code::IdempotencyPending, Code::ApprovalUnsigned];
    let done =
        [a, b, c].map(|done| done.map_err(|failure| assert!(named.contains(&failure.code), "{failure}")));
    assert_eq!(done.iter().filter(|done| done.is_ok()).count(), 1);
    office.check_counts(1, 1).await;
    // What was not recorded is given up, and says nothing of the case any more.
    for (begun, done) in [one, other].iter().zip(&done) {
        if done.is_err() {
            assert!(named.contains(&code(office.record(begun).await)));
        }
    }
    office.world().pass_ms(120_000);
    office.custody().end_begun().await;
    second.end_begun().await;
    office.check_counts(1, 1).await;
    assert_eq!(office.holder.holder.list().await.len(), 1);
}

#[tokio::test]
async fn a_use_whose_answer_is_lost_goes_on_and_a_crash_before_its_record_loses_no_approval() {
    let office = Office::own().await;
    let case = office.approved().await;
    let begun = office.begin(0, case).await.unwrap();
    office.world().ledger.set(Mood::Gone);
    assert_eq!(code(office.record(&begun).await), Code::LedgerUnavailable);
    office.check_counts(0, 0).await;
    office.world().ledger.set(Mood::Deaf);
    assert_eq!(code(office.record(&begun).await), Code::LedgerUnavailable);
    office.check_counts(1, 0).await;
    office.world().ledger.set(Mood::Good);
    // The same proof again, or, after a crash, another address.
    let office = office.restart().await;
    assert_eq!(code(office.record(&begun).await), Code::SigningUnknown);
    let again = office.begin(1, case).await.unwrap();
    office.world().ledger.set(Mood::Deaf);
    assert_eq!(code(office.record(&again).await), Code::LedgerUnavailable, "the use, or its record");
    office.world().ledger.set(Mood::Good);
    office.record(&again).await.unwrap();
    office.finish(&again).await.unwrap();
    office.check_counts(1, 1).await;
}

#[tokio::test]
async fn a_use_that_the_ledger_refuses_gives_the_case_to_another_one() {
    let office = Office::own().await;
    // By this clock the epoch is just under way, by the ledger's it is over.
    let now_ms = office.custody().clock.now_ms();
    office.world().pass_ms(EPOCH_MS + EDGE_MS / 2 - now_ms);
    let case = office.approved().await;
    let begun = office.begin(0, case).await.unwrap();
    office.world().ledger.ahead_ms.store(EDGE_MS as i64, Ordering::Relaxed);
    assert_eq!(code(office.record(&begun).await), Code::AddressEpoch);
    office.check_counts(1, 0).await;
    assert_eq!(office.row(case).await.used, Some(Vec::new()));
    office.world().ledger.ahead_ms.store(0, Ordering::Relaxed);
    let again = office.begin(1, case).await.unwrap();
    office.record(&again).await.unwrap();
    office.finish(&again).await.unwrap();
    office.check_counts(1, 1).await;
    // What is known to fail before uses nothing up.
    let case = office.ask_for(payment(1002), LIVE_MS).await.unwrap();
    for who in [&office.bob, &office.clara] {
        office.give(who, case).await.unwrap();
    }
    let late = office.holder.begin_as(office.wanted(2, &payment(1002), case.id)).await.unwrap();
    office.world().pass_ms(EDGE_MS);
    assert_eq!(code(office.record(&late).await), Code::AddressEpoch);
    assert_eq!(office.words(), 1);
}

#[tokio::test]
async fn a_case_that_has_paid_pays_for_nothing_else_whatever_the_database_has_forgotten() {
    let office = Office::own().await;
    let case = office.approved().await;
    let asked = office.row(case).await;
    assert_eq!(asked.used, None);
    let begun = office.begin(0, case).await.unwrap();
    office.record(&begun).await.unwrap();
    let paid = office.row(case).await;
    assert_eq!(paid.used, Some(begun.used.id.to_vec()));
    assert_eq!(
        code(office.begin(1, case).await.map(drop)),
        Code::IdempotencyPending,
        "it waits to be signed"
    );
    office.finish(&begun).await.unwrap();
    office.world().pass_ms(20_000);
    office.custody().end_begun().await;
    // As if what was erased had stayed, or the database was set back.
    for (row, refused) in [(paid, Code::ApprovalDone), (asked, Code::ApprovalUnsigned)] {
        let (id, ends_ms) = (row.id, row.ends_ms);
        let put =
            Change::PutApproval { row: Approval { case: None, ..row }, readers: Vec::new(), room: ROOM };
        let opened = Change::OpenApproval { id, case: case.id, ends_ms };
        office.custody().store.apply(vec![put, opened]).await.unwrap();
        assert_eq!(code(office.begin(1, case).await.map(drop)), refused);
        office.custody().store.apply(vec![Change::EndApproval(case.id)]).await.unwrap();
    }
    office.check_counts(1, 1).await;
}

#[tokio::test]
async fn an_address_that_nobody_vouches_for_in_time_leaves_the_case_as_it_was() {
    let office = Office::own().await;
    let case = office.approved().await;
    let begun = office.begin(0, case).await.unwrap();
    office.world().pass_ms(50_000);
    let again = office.begin(1, case).await.unwrap();
    office.record(&again).await.unwrap();
    office.world().pass_ms(70_000);
    office.custody().end_begun().await;
    let state = office.custody().store.intent(begun.used.id).await.unwrap().unwrap().state;
    assert_eq!(state, IntentState::Abandoned);
    office.finish(&again).await.unwrap();
    office.check_counts(1, 1).await;
}

/// Asks about everybody who was not paid before.
const STRANGERS: &str = "ask = 50\nrefuse = 100
[adapt]\ndays = 7\nrequests = 10
[counterparty]\npoints = 90\npoints_least = 90\nsettle_hours = 48
[opaque]\npoints = 60\npoints_least = 60\n";

#[tokio::test]
async fn what_risk_asks_about_goes_by_a_case_too() {
    let office = Office::own().await;
    let head = format!(
        "version = 1\nname = \"strangers\"\nmode = \"enforce\"\nrule = \"{}\"\n",
        hex(&office.rule())
    );
    risk::put_in_force(office.world(), 1, &[&head[..], STRANGERS].concat()).await;
    let small = payment(900);
    let plain = BeginAddress { case: None, ..office.wanted(0, &small, [0; 32]) };
    assert_eq!(code(office.holder.begin_as(plain).await), Code::ApprovalRequired);
    let case = office.ask_for(small.clone(), LIVE_MS).await.unwrap();
    for who in [&office.bob, &office.clara] {
        office.give(who, case).await.unwrap();
    }
    let begun = office.holder.begin_as(office.wanted(0, &small, case.id)).await.unwrap();
    office.record(&begun).await.unwrap();
    office.holder.finish(&begun, &office.holder.sign(&begun, &sha256(&small))).await.unwrap();
    office.check_counts(1, 1).await;
}

#[tokio::test]
async fn nobody_is_asked_where_uses_are_counted() {
    let holder = Holder::of(World::limited([7; 32]).await, Root::Own).await;
    let root = keyward_crypto::unlinkable::AddressRoot::generate().unwrap();
    let office = Office::of(Own { holder, root }).await;
    assert_eq!(code(office.ask_for(payment(1001), LIVE_MS).await.map(drop)), Code::AddressLimitHosted);
}
