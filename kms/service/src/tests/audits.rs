//! Audits: what a grant opens, and each refusal by its name; nothing leaves without its record.

use keyward_crypto::unlinkable::{Delivery as Package, GrantKey, ViewingCover, open_delivery};
use keyward_domain::{Code, Principal, approval::About};
use keyward_ledger_core::{
    entry::{
        Act, AddressAct, AuditAct, AuditTerms, Case, ChooseAddresses, Custody as Rooted, Entry, Grant,
        OpenGrant, PublishAudit, RevokeGrant, kind, tenant_id,
    },
    hash::{Hash, sha256},
    state::audit::{AuditGrantState, AuditGrantStatus, audit_grant_key},
};

use super::{
    approvals::{Desk, LIVE_MS, party, rule, terms},
    delegation::Somebody,
    ledger::CHAIN,
    world::{Mood, World, code},
};
use crate::{
    audit::{
        hand_in::{HandIn, Kind},
        open::{Delivery, Opened},
    },
    caller::Caller,
    custody::random,
    failure::Failure,
    ports::{Clock as _, Final as _},
    vaults::{entries::HandedIn, floods::Flood},
};

pub(super) const HOUR_MS: u64 = 3_600_000;
const PURPOSE: &str = "case 17: where did the money go?";
pub(super) const LIMITS: AuditTerms = AuditTerms {
    accounts_max: 2,
    span_ms_max: 48 * HOUR_MS,
    live_ms_max: 48 * HOUR_MS,
    kept_ms: 24 * HOUR_MS,
};

/// Alice asks with an auditor's certificate, Bob and Clara approve by Dora's rule; Dora has hosted addresses, and is an officer.
pub(super) struct Office {
    pub(super) desk: Desk,
    pub(super) auditor: Caller,
    officer: Caller,
    pub(super) key: GrantKey,
}

/// Somebody's session beside another certificate.
pub(super) fn beside(uri: &str, who: &Somebody) -> Caller {
    Caller { principal: Principal::parse(uri).unwrap(), ..who.caller.clone() }
}

pub(super) async fn choose(world: &World, who: &Somebody) {
    let (account, tenant) = (who.account(), tenant_id("default"));
    let wanted = ChooseAddresses { account, tenant, custody: Rooted::Hosted, epoch_ms: HOUR_MS };
    let entry = who.say(world, Act::Addresses(AddressAct::Choose(wanted)));
    world.custody.choose_addresses(&who.caller, &entry, &[]).await.unwrap();
}

/// Closes an account on the ledger, by its own word.
fn close(world: &World, who: &Somebody) {
    let entry = who.say(world, Act::CloseAccount { account: who.account() });
    assert!(world.ledger.record(Entry::decode(&entry).unwrap()).outcome().is_accepted());
}

impl Office {
    /// Without terms.
    async fn bare() -> Self {
        Self::of(Desk::new().await).await
    }

    pub(super) async fn of(desk: Desk) -> Self {
        let auditor = beside("keyward://auditor/anna", &desk.alice);
        let officer = beside("keyward://officer/olga", &desk.dora);
        Self { auditor, officer, key: GrantKey::generate().unwrap(), desk }
    }

    pub(super) async fn new() -> Self {
        let office = Self::bare().await;
        choose(&office.desk.world, &office.desk.dora).await;
        office.publish(office.terms(1)).await.unwrap();
        office
    }

    pub(super) fn terms(&self, version: u32) -> PublishAudit {
        let rule = rule(self.desk.dora.account()).id(kind::DEFINE_APPROVAL);
        PublishAudit { tenant: tenant_id("default"), version, terms: LIMITS, rule, case: None }
    }

    pub(super) async fn hand_in(
        &self,
        caller: &Caller,
        kind: Kind,
        (who, act): (&Somebody, AuditAct),
        (purpose, mark): (&str, &[u8]),
    ) -> Result<HandedIn, Failure> {
        let entry = who.say(&self.desk.world, Act::Audit(act));
        let what = HandIn { kind, entry: &entry, purpose, mark };
        self.desk.world.custody.hand_in_audit(caller, what).await
    }

    pub(super) async fn publish(&self, publish: PublishAudit) -> Result<HandedIn, Failure> {
        let act = (&self.desk.dora, AuditAct::Publish(publish));
        self.hand_in(&self.officer, Kind::Publish, act, ("", &[])).await
    }

    pub(super) fn grant(&self) -> Grant {
        Grant {
            id: random().unwrap(),
            tenant: tenant_id("default"),
            grantee_key: self.key.public(),
            purpose_hash: Grant::purpose_hash_of(PURPOSE),
            from_ms: 0,
            until_ms: 24 * HOUR_MS,
            expires_ms: 40 * HOUR_MS,
            accounts: vec![self.desk.dora.account()],
        }
    }

    pub(super) async fn request(&self, grant: &Grant) -> Result<HandedIn, Failure> {
        let act = (&self.desk.alice, AuditAct::Request(grant.clone()));
        self.hand_in(&self.auditor, Kind::Request, act, (PURPOSE, &[])).await
    }

    /// A case about a grant, with so many approvals.
    pub(super) async fn case(&self, grant: &Grant, approvals: usize) -> Case {
        let about = About::Grant { grant: grant.clone(), purpose: PURPOSE.to_owned() };
        self.case_about(&about, approvals).await
    }

    async fn case_about(&self, about: &About, approvals: usize) -> Case {
        let (rule, payload) = (rule(self.desk.dora.account()), about.payload());
        let open = Act::OpenApproval { rule, payload, live_ms: LIVE_MS };
        let entry = self.desk.alice.say(&self.desk.world, open);
        let case = self.desk.ask_about(&entry, about).await.unwrap();
        for who in [&self.desk.bob, &self.desk.clara].into_iter().take(approvals) {
            self.desk.give(who, case).await.unwrap();
        }
        case
    }

    pub(super) async fn issue(&self, grant: &Hash, case: Case) -> Result<HandedIn, Failure> {
        let act = (&self.desk.alice, AuditAct::Issue { grant: *grant, case: case.id });
        self.hand_in(&self.auditor, Kind::Issue, act, ("", &[])).await
    }

    /// A grant in force, and some hours of its period over.
    pub(super) async fn issued(&self) -> Grant {
        let grant = self.grant();
        self.request(&grant).await.unwrap();
        let case = self.case(&grant, 2).await;
        self.issue(&grant.id, case).await.unwrap();
        self.desk.world.pass_ms(8 * HOUR_MS);
        grant
    }

    pub(super) fn opening(&self, grant: &Grant, first: u32, last: u32) -> OpenGrant {
        OpenGrant { grant: grant.id, account: self.desk.dora.account(), first, last }
    }

    pub(super) async fn open_as(
        &self,
        caller: &Caller,
        who: &Somebody,
        open: OpenGrant,
    ) -> Result<Opened, Failure> {
        let entry = who.say(&self.desk.world, Act::Audit(AuditAct::Open(open)));
        self.desk.world.custody.open_grant(caller, &entry, &[]).await
    }

    pub(super) async fn open(&self, grant: &Grant, first: u32, last: u32) -> Result<Opened, Failure> {
        self.open_as(&self.auditor, &self.desk.alice, self.opening(grant, first, last)).await
    }

    /// What a delivery opens with the grant's key; its record must have the package's hash.
    pub(super) fn cover(&self, opened: &Opened, open: OpenGrant) -> ViewingCover {
        let Delivery::Hosted { delivered, package } = &opened.delivery else { panic!("it is hosted") };
        let leaf = u64::from_be_bytes(delivered[..8].try_into().unwrap());
        let (entry, outcome) = self.desk.world.ledger.log()[leaf as usize].clone();
        let Entry::DeliverGrant(deliver) = entry else { panic!("it is no delivery") };
        assert!(outcome.is_accepted() && leaf > opened.opened.leaf_index);
        assert_eq!((deliver.opened, deliver.package_hash), (open, sha256(&[package])));
        let OpenGrant { grant, account, first, last } = open;
        let to = Package { chain_id: CHAIN, grant, account, first, last };
        open_delivery(&to, &self.key, package).unwrap()
    }

    /// How much was opened and delivered.
    pub(super) fn counts(&self) -> (usize, usize) {
        let opens = |entry: &Entry| matches!(entry, Entry::Authored(of) if matches!(of.act, Act::Audit(AuditAct::Open(_))));
        let ledger = &self.desk.world.ledger;
        (ledger.count(opens), ledger.count(|entry| matches!(entry, Entry::DeliverGrant(_))))
    }

    pub(super) fn status(&self, grant: &Hash) -> AuditGrantStatus {
        let value = self.desk.world.ledger.value(&audit_grant_key(grant)).unwrap();
        AuditGrantState::decode(&value).unwrap().status
    }

    async fn revoke(&self, who: &Somebody, grant: &Hash) -> Result<HandedIn, Failure> {
        let act = AuditAct::Revoke(RevokeGrant { grant: *grant, reason: [1; 32] });
        self.hand_in(&who.caller, Kind::Revoke, (who, act), ("", &[])).await
    }
}

#[tokio::test]
async fn a_grant_opens_what_has_elapsed_and_more_as_it_elapses_until_it_is_revoked() {
    let office = Office::new().await;
    let grant = office.issued().await;
    let opened = office.open(&grant, 1, 3).await.unwrap();
    let cover = office.cover(&opened, office.opening(&grant, 1, 3));
    assert_eq!(cover.epochs(), 1..=3);
    assert!(cover.leaf(0).is_none() && cover.leaf(4).is_none());
    assert_eq!(office.counts(), (1, 1));
    assert_eq!(code(office.open(&grant, 4, 8).await), Code::EpochUnderWay);
    office.desk.world.pass_ms(HOUR_MS);
    office.cover(&office.open(&grant, 4, 8).await.unwrap(), office.opening(&grant, 4, 8));
    assert_eq!(office.counts(), (2, 2));
    // One who approves grants ends it: nothing more is opened, nor delivered of what was opened.
    office.revoke(&office.desk.clara, &grant.id).await.unwrap();
    assert_eq!(office.status(&grant.id), AuditGrantStatus::Revoked);
    office.desk.world.pass_ms(HOUR_MS);
    assert_eq!(code(office.open(&grant, 9, 9).await), Code::GrantState);
    assert_eq!(office.counts(), (2, 2));
    assert_eq!(code(office.revoke(&office.desk.bob, &grant.id).await), Code::GrantState);
}

#[tokio::test]
async fn a_grant_for_too_much_or_for_nobody_is_refused_and_keeps_nothing() {
    let office = Office::new().await;
    let (good, alice) = (office.grant(), office.desk.alice.account());
    let closed = &office.desk.bob;
    choose(&office.desk.world, closed).await;
    close(&office.desk.world, closed);
    let now_ms = 1_000_000;
    let mut three = vec![office.desk.dora.account(), alice, [7; 32]];
    three.sort_unstable();
    let cases = [
        (Grant { accounts: Vec::new(), ..good.clone() }, Code::GrantTooWide),
        (Grant { accounts: three, ..good.clone() }, Code::GrantTooWide),
        (Grant { until_ms: 48 * HOUR_MS + 1, ..good.clone() }, Code::GrantTooWide),
        (Grant { until_ms: 0, ..good.clone() }, Code::GrantTooWide),
        (Grant { expires_ms: now_ms + 48 * HOUR_MS + 1, ..good.clone() }, Code::GrantTooWide),
        (Grant { expires_ms: now_ms, ..good.clone() }, Code::GrantTooWide),
        (Grant { tenant: tenant_id("other"), ..good.clone() }, Code::AuditTenantOther),
        (Grant { purpose_hash: Grant::purpose_hash_of("another"), ..good.clone() }, Code::AuditPurposeOther),
        // Nobody, somebody without addresses, and somebody who closed the account before.
        (Grant { accounts: vec![[7; 32]], ..good.clone() }, Code::AccountUnknown),
        (Grant { accounts: vec![alice], ..good.clone() }, Code::AddressesUnknown),
        (
            Grant { accounts: vec![closed.account()], from_ms: 2 * HOUR_MS, ..good.clone() },
            Code::AccountClosed,
        ),
    ];
    for (grant, expected) in cases {
        let before = office.desk.world.ledger.log().len();
        assert_eq!(code(office.request(&grant).await), expected, "{grant:?}");
        assert_eq!(office.desk.world.custody.store.grant(grant.id).await.unwrap(), None);
        // Not even as refused: the accounts that were named would stand there for good.
        assert_eq!(office.desk.world.ledger.log().len(), before, "{expected:?} was recorded");
    }
    for purpose in ["", "  ", &"x".repeat(4097)] {
        let grant = Grant { purpose_hash: Grant::purpose_hash_of(purpose), ..good.clone() };
        let act = (&office.desk.alice, AuditAct::Request(grant));
        let refused = office.hand_in(&office.auditor, Kind::Request, act, (purpose, &[])).await;
        assert_eq!(code(refused), Code::AuditPurposeOther);
    }
    office.request(&good).await.unwrap();
    assert_eq!(code(office.request(&good).await), Code::GrantExists);
    assert!(office.desk.world.custody.store.grant(good.id).await.unwrap().is_some(), "the first one stays");
}

#[tokio::test]
async fn who_has_no_part_in_it_asks_issues_opens_and_publishes_nothing() {
    let office = Office::new().await;
    let Office { desk, auditor, .. } = &office;
    let grant = office.issued().await;
    let (alice, other) = (&desk.alice, office.grant());
    let ask = || AuditAct::Request(other.clone());
    for uri in ["keyward://officer/olga", "keyward://operator/otto", "keyward://app/treasury"] {
        let caller = beside(uri, alice);
        let refused = office.hand_in(&caller, Kind::Request, (alice, ask()), (PURPOSE, &[])).await;
        assert_eq!(code(refused), Code::NotAllowed, "{uri}");
        let open = office.opening(&grant, 1, 1);
        assert_eq!(code(office.open_as(&caller, alice, open).await), Code::NotAllowed, "{uri}");
        assert_eq!(code(desk.world.custody.grant_accounts(&caller, &grant.id).await), Code::NotAllowed);
    }
    let alone = desk.world.caller("keyward://auditor/anna").await;
    let refused = office.hand_in(&alone, Kind::Request, (alice, ask()), (PURPOSE, &[])).await;
    assert_eq!(code(refused), Code::SessionRequired);
    // Another's signature, and a session of another's.
    let refused = office.hand_in(auditor, Kind::Request, (&desk.bob, ask()), (PURPOSE, &[])).await;
    assert_eq!(code(refused), Code::NotAllowed);
    let bob = beside("keyward://auditor/anna", &desk.bob);
    let open = office.opening(&grant, 1, 1);
    assert_eq!(code(office.open_as(&bob, alice, open).await), Code::NotAllowed);
    assert_eq!(code(office.open_as(&bob, &desk.bob, open).await), Code::GrantUnknown);
    assert_eq!(code(desk.world.custody.grant_accounts(&bob, &grant.id).await), Code::GrantUnknown);
    // Terms are an officer's, in a session; and of this tenant, with bounds.
    let next = AuditAct::Publish(office.terms(2));
    let refused = office.hand_in(auditor, Kind::Publish, (alice, next), ("", &[])).await;
    assert_eq!(code(refused), Code::NotAllowed);
    let zero = AuditTerms { accounts_max: 0, ..LIMITS };
    for (publish, expected) in [
        (PublishAudit { tenant: tenant_id("other"), ..office.terms(2) }, Code::AuditTenantOther),
        (PublishAudit { terms: zero, ..office.terms(2) }, Code::RuleInvalid),
        (office.terms(1), Code::RuleVersion),
        (office.terms(3), Code::RuleVersion),
        (office.terms(2), Code::ApprovalsMissing),
    ] {
        assert_eq!(code(office.publish(publish).await), expected, "{publish:?}");
    }
    // An entry of another kind than the call's.
    let act = (&desk.dora, AuditAct::Publish(office.terms(2)));
    assert_eq!(code(office.hand_in(auditor, Kind::Issue, act, ("", &[])).await), Code::AuditRequestMalformed);
    assert_eq!(code(office.revoke(&desk.dora, &grant.id).await), Code::AuthorNotNamed);
    assert_eq!(office.counts(), (0, 0));
}

#[tokio::test]
async fn too_few_approvals_or_of_something_else_issue_nothing() {
    let office = Office::new().await;
    let (grant, other) = (office.grant(), office.grant());
    office.request(&grant).await.unwrap();
    office.request(&other).await.unwrap();
    assert_eq!(code(office.open(&grant, 0, 0).await), Code::GrantState, "nothing opens before it is issued");
    let one = office.case(&grant, 1).await;
    assert_eq!(code(office.issue(&grant.id, one).await), Code::ApprovalsMissing);
    let of_other = office.case(&other, 2).await;
    assert_eq!(code(office.issue(&grant.id, of_other).await), Code::CasePayload);
    assert_eq!(code(office.issue(&[9; 32], one).await), Code::GrantUnknown);
    let case = office.case(&grant, 2).await;
    // Clara's word, and an auditor's certificate beside her session: it is not her grant.
    let clara = beside("keyward://auditor/anna", &office.desk.clara);
    let act = (&office.desk.clara, AuditAct::Issue { grant: grant.id, case: case.id });
    assert_eq!(code(office.hand_in(&clara, Kind::Issue, act, ("", &[])).await), Code::GrantUnknown);
    assert_eq!(office.status(&grant.id), AuditGrantStatus::Requested);
    office.issue(&grant.id, case).await.unwrap();
    assert_eq!(code(office.issue(&grant.id, case).await), Code::GrantState);
    // What was asked for under terms that are no longer in force is asked for anew.
    let next = office.terms(2);
    let about = About::AuditTerms(next);
    let open = Act::OpenApproval {
        rule: rule(office.desk.dora.account()),
        payload: about.payload(),
        live_ms: LIVE_MS,
    };
    let entry = office.desk.dora.say(&office.desk.world, open);
    let asked = super::approvals::hand_in(
        &office.desk.world.custody,
        &office.desk.dora.caller,
        crate::approvals::entries::Kind::Ask,
        &entry,
        Some(&about),
    );
    let leaf = asked.await.unwrap().leaf_index as usize;
    let id = office.desk.world.ledger.log()[leaf].1.data.clone().try_into().unwrap();
    let decided = Case { id, payload: about.payload() };
    assert_eq!(code(office.publish(PublishAudit { case: Some(id), ..next }).await), Code::ApprovalsMissing);
    for who in [&office.desk.bob, &office.desk.clara] {
        office.desk.give(who, decided).await.unwrap();
    }
    office.publish(PublishAudit { case: Some(id), ..next }).await.unwrap();
    let case = office.case(&other, 2).await;
    assert_eq!(code(office.issue(&other.id, case).await), Code::RuleVersion);
}

#[tokio::test]
async fn what_lies_outside_of_a_grant_or_comes_too_late_opens_nothing() {
    let office = Office::new().await;
    let short = Grant { from_ms: HOUR_MS + 1, until_ms: 6 * HOUR_MS - 1, ..office.grant() };
    office.request(&short).await.unwrap();
    let case = office.case(&short, 2).await;
    office.issue(&short.id, case).await.unwrap();
    office.desk.world.pass_ms(8 * HOUR_MS);
    let foreign = OpenGrant { account: office.desk.bob.account(), ..office.opening(&short, 2, 4) };
    let refused = office.open_as(&office.auditor, &office.desk.alice, foreign).await;
    assert_eq!(code(refused), Code::GrantScope);
    // Epochs that the period cuts, that lie before or after it, and a run that ends before it begins.
    for (first, last) in [(1, 4), (2, 5), (0, 0), (7, 7), (4, 2)] {
        assert_eq!(code(office.open(&short, first, last).await), Code::GrantScope, "{first} to {last}");
    }
    let unknown = Grant { id: [9; 32], ..short.clone() };
    assert_eq!(code(office.open(&unknown, 2, 4).await), Code::GrantUnknown);
    assert_eq!(office.counts(), (0, 0));
    office.cover(&office.open(&short, 2, 4).await.unwrap(), office.opening(&short, 2, 4));
    office.desk.world.pass_ms(40 * HOUR_MS);
    assert_eq!(code(office.open(&short, 2, 4).await), Code::GrantExpired);
    assert_eq!(code(office.issue(&short.id, case).await), Code::GrantState);
    assert_eq!(office.counts(), (1, 1));
}

#[tokio::test]
async fn a_key_that_nothing_can_be_sealed_to_gets_nothing() {
    let office = Office::new().await;
    let grant = Grant { grantee_key: [0; 32], ..office.grant() };
    office.request(&grant).await.unwrap();
    let case = office.case(&grant, 2).await;
    office.issue(&grant.id, case).await.unwrap();
    office.desk.world.pass_ms(8 * HOUR_MS);
    assert_eq!(code(office.open(&grant, 1, 3).await), Code::GrantKeyInvalid);
    assert_eq!(office.counts(), (1, 0), "it was opened, which is on record, and nothing was delivered");
}

#[tokio::test]
async fn one_opening_is_recorded_once_and_each_delivery_has_a_record_of_its_own() {
    let office = Office::new().await;
    let grant = office.issued().await;
    let open = office.opening(&grant, 1, 3);
    let entry = office.desk.alice.say(&office.desk.world, Act::Audit(AuditAct::Open(open)));
    let custody = &office.desk.world.custody;
    let first = custody.open_grant(&office.auditor, &entry, b"one").await.unwrap();
    let again = custody.open_grant(&office.auditor, &entry, b"one").await.unwrap();
    assert_eq!(first.opened, again.opened);
    let covers = [&first, &again].map(|opened| office.cover(opened, open).encode());
    assert!(covers[0].expose(|bytes| covers[1].matches(bytes)));
    assert_eq!(office.counts(), (1, 2));
    // The same entry under another mark is a replay.
    assert_eq!(code(custody.open_grant(&office.auditor, &entry, b"two").await), Code::AuthorReplayed);
    assert_eq!(code(custody.open_grant(&office.auditor, &entry, &[]).await), Code::AuthorReplayed);
    let other = office.opening(&grant, 4, 4);
    let elsewhere = office.desk.alice.say(&office.desk.world, Act::Audit(AuditAct::Open(other)));
    let conflict = custody.open_grant(&office.auditor, &elsewhere, b"one").await;
    assert_eq!(code(conflict), Code::IdempotencyConflict);
    assert_eq!(office.counts(), (1, 2));
    // After its end it is worth nothing either.
    office.revoke(&office.desk.alice, &grant.id).await.unwrap();
    assert_eq!(code(custody.open_grant(&office.auditor, &entry, b"one").await), Code::GrantState);
    assert_eq!(office.counts(), (1, 2));
}

#[tokio::test]
async fn a_crash_between_opening_and_delivery_loses_no_opening_and_lets_nothing_out() {
    let office = Office::new().await;
    let grant = office.issued().await;
    let open = office.opening(&grant, 1, 3);
    let entry = office.desk.alice.say(&office.desk.world, Act::Audit(AuditAct::Open(open)));
    // It is recorded, and nobody hears of it.
    office.desk.world.ledger.set(Mood::Deaf);
    let lost = office.desk.world.custody.open_grant(&office.auditor, &entry, b"one").await;
    assert_eq!((code(lost), office.counts()), (Code::LedgerUnavailable, (1, 0)));
    let key = office.key;
    let desk = office.desk.restart().await;
    desk.world.ledger.set(Mood::Good);
    desk.world.custody.store.take_over().await.unwrap();
    assert_eq!(desk.world.custody.settle_acts().await.unwrap(), 0);
    let office = Office { key, ..Office::of(desk).await };
    let opened = office.desk.world.custody.open_grant(&office.auditor, &entry, b"one").await.unwrap();
    office.cover(&opened, open);
    assert_eq!(office.counts(), (1, 1));
    // The delivery is recorded, and the package does not leave, because nobody heard of the record: the next one has its own.
    let next = office.desk.alice.say(&office.desk.world, Act::Audit(AuditAct::Open(open)));
    let held = office
        .desk
        .world
        .custody
        .hand_in_audit(&office.auditor, HandIn { kind: Kind::Open, entry: &next, purpose: "", mark: b"two" });
    held.await.unwrap();
    office.desk.world.ledger.set(Mood::Deaf);
    let lost = office.desk.world.custody.open_grant(&office.auditor, &next, b"two").await;
    assert_eq!((code(lost), office.counts()), (Code::LedgerUnavailable, (2, 2)));
    office.desk.world.ledger.set(Mood::ReadOnly);
    let lost = office.desk.world.custody.open_grant(&office.auditor, &next, b"two").await;
    assert_eq!((code(lost), office.counts()), (Code::LedgerUnavailable, (2, 2)));
    office.desk.world.ledger.set(Mood::Good);
    let opened = office.desk.world.custody.open_grant(&office.auditor, &next, b"two").await.unwrap();
    office.cover(&opened, open);
    assert_eq!(office.counts(), (2, 3));
}

#[tokio::test]
async fn a_request_that_never_came_is_forgotten_and_a_revocation_is_handed_in_again() {
    let office = Office::new().await;
    let (world, grant) = (&office.desk.world, office.grant());
    world.ledger.set(Mood::ReadOnly);
    assert_eq!(code(office.request(&grant).await), Code::LedgerUnavailable);
    assert!(world.custody.store.grant(grant.id).await.unwrap().is_some(), "it may still come");
    world.ledger.set(Mood::Good);
    assert_eq!(world.custody.settle_acts().await.unwrap(), 1);
    world.ledger.height.fetch_add(5_000, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(world.custody.settle_acts().await.unwrap(), 0);
    assert_eq!(world.custody.store.grant(grant.id).await.unwrap(), None);
    let grant = office.issued().await;
    world.ledger.set(Mood::ReadOnly);
    assert_eq!(code(office.revoke(&office.desk.bob, &grant.id).await), Code::LedgerUnavailable);
    assert_eq!(office.status(&grant.id), AuditGrantStatus::Issued);
    world.ledger.set(Mood::Good);
    assert_eq!(world.custody.settle_acts().await.unwrap(), 0);
    assert_eq!(office.status(&grant.id), AuditGrantStatus::Revoked);
}

#[tokio::test]
async fn grants_are_shown_to_those_who_asked_and_those_who_approve() {
    let office = Office::new().await;
    let grant = office.grant();
    office.request(&grant).await.unwrap();
    let custody = &office.desk.world.custody;
    for who in [&office.desk.alice, &office.desk.bob, &office.desk.clara] {
        let listed = custody.list_grants(&who.caller, None).await.unwrap();
        assert_eq!((listed.len(), listed[0].purpose.as_str()), (1, PURPOSE));
        assert_eq!((listed[0].grant, listed[0].grantee), (grant.id, office.desk.alice.account()));
        assert_eq!(custody.show_grant(&who.caller, &grant.id).await.unwrap().purpose, PURPOSE);
    }
    let dora = &office.desk.dora.caller;
    assert!(custody.list_grants(dora, None).await.unwrap().is_empty());
    let behind = custody.list_grants(&office.desk.bob.caller, Some(grant.id)).await.unwrap();
    assert!(behind.is_empty(), "it is the oldest one");
    assert_eq!(code(custody.list_grants(&office.desk.bob.caller, Some([9; 32])).await), Code::GrantUnknown);
    assert_eq!(code(custody.show_grant(dora, &grant.id).await), Code::GrantUnknown);
    assert_eq!(code(custody.show_grant(dora, &[9; 32]).await), Code::GrantUnknown);
    assert_eq!(code(custody.grant_accounts(&office.auditor, &grant.id).await), Code::GrantState);
    let row = custody.store.grant(grant.id).await.unwrap().unwrap();
    let sealed = |text: &[u8]| row.purpose.windows(text.len()).any(|window| window == text);
    assert!(!sealed(b"money"), "the database does not say what it is for");
    let shown = custody.show_audit_terms(dora, "").await.unwrap();
    assert_eq!(shown.tenant, tenant_id("default"));
    let other = custody.show_audit_terms(dora, "other").await.unwrap();
    assert!(other.tenant == tenant_id("other") && other.rule.is_empty());
}

#[tokio::test]
async fn a_grant_for_the_tenant_names_those_who_have_addresses() {
    let office = Office::bare().await;
    let all = AuditTerms { accounts_max: u16::MAX, ..LIMITS };
    choose(&office.desk.world, &office.desk.dora).await;
    choose(&office.desk.world, &office.desk.bob).await;
    office.publish(PublishAudit { terms: all, ..office.terms(1) }).await.unwrap();
    let grant = Grant { accounts: Vec::new(), ..office.grant() };
    office.request(&grant).await.unwrap();
    let case = office.case(&grant, 2).await;
    office.issue(&grant.id, case).await.unwrap();
    office.desk.world.pass_ms(8 * HOUR_MS);
    let mut expected = vec![office.desk.dora.account(), office.desk.bob.account()];
    expected.sort_unstable();
    let custody = &office.desk.world.custody;
    assert_eq!(custody.grant_accounts(&office.auditor, &grant.id).await.unwrap(), expected);
    office.cover(&office.open(&grant, 1, 3).await.unwrap(), office.opening(&grant, 1, 3));
    let none = OpenGrant { account: office.desk.clara.account(), ..office.opening(&grant, 1, 3) };
    let refused = office.open_as(&office.auditor, &office.desk.alice, none).await;
    assert_eq!(code(refused), Code::AddressesUnknown);
}

#[tokio::test]
async fn one_person_under_two_accounts_approves_once() {
    let desk = Desk::without_rule().await;
    desk.define(1, terms(&[party(&desk.bob), party(&desk.clara)], 2)).await.unwrap();
    let office = Office::of(desk).await;
    choose(&office.desk.world, &office.desk.dora).await;
    office.publish(office.terms(1)).await.unwrap();
    let grant = office.grant();
    office.request(&grant).await.unwrap();
    let case = office.case(&grant, 2).await;
    // Bob's own certificate asks for him what he approved: nobody goes by an approval of their own.
    let by_bob = beside("keyward://auditor/bob", &office.desk.alice);
    let act = (&office.desk.alice, AuditAct::Issue { grant: grant.id, case: case.id });
    let refused = office.hand_in(&by_bob, Kind::Issue, act, ("", &[])).await;
    assert_eq!(code(refused), Code::ApproverIsInitiator);
    office.issue(&grant.id, case).await.unwrap();
}

#[tokio::test]
async fn openings_have_a_bound_of_their_own() {
    let office = Office::new().await;
    let grant = office.issued().await;
    let (custody, alice) = (&office.desk.world.custody, office.desk.alice.account());
    let spend = |flood: Flood, but: u64| {
        for _ in but..flood.bound().0 {
            custody.floods.charge(alice, flood, office.desk.world.clock.now_ms()).unwrap();
        }
    };
    // What an account may say of vaults and approvals is no bound of what is delivered to an auditor.
    spend(Flood::Entry, 0);
    // One for the opening, and one for what is delivered.
    spend(Flood::Opening, 4);
    for epoch in [1, 2] {
        office.cover(&office.open(&grant, epoch, epoch).await.unwrap(), office.opening(&grant, epoch, epoch));
    }
    assert_eq!(code(office.open(&grant, 3, 3).await), Code::AuditLimited);
    assert_eq!(office.counts(), (2, 2), "nothing is opened that is not delivered");
}
