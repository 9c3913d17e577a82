//! `audit`: terms that approvers keep, and grants that reach as far as they say, for as long, and for whom they were issued.

use keyward_ledger_core::contracts::audit::LOG_AFTER_MS;
use keyward_ledger_core::entry::{
    AuditAct, AuditTerms, ChooseAddresses, Custody, DeliverGrant, Grant, KEPT_MS_MAX, OpenGrant,
    PublishAudit, RevokeGrant, UseGrant, kind, tenant_id,
};
use keyward_ledger_core::state::addresses::AddressesState;
use keyward_ledger_core::state::audit::{AuditGrantState, AuditGrantStatus, AuditState, audit_key};
use keyward_ledger_core::unlinkable::EDGE_MS;

use super::addresses::{refused_entry, seeded};
use super::*;
use crate::common::addresses::{EPOCH_MS, audit, choose, choosing, grant, open_grant, publish_audit, terms};

/// Who asks; the approvers are [`ALICE`] and [`BOB`].
const REGULATOR: Person = Person(0x46);

/// Terms by which two of two approve, three accounts with addresses (one of another tenant), and 20 epochs gone by.
fn office() -> World {
    let mut world = ruled(&[(2, &[ALICE, BOB])]);
    world.enroll(REGULATOR);
    assert_eq!(world.answer(audit(AuditAct::Publish(publish_audit(1, None))), &[OWNER]), "ACCEPTED");
    assert_eq!(world.answer(choose(BOB, Custody::Hosted), &[BOB]), "ACCEPTED");
    assert_eq!(world.answer(choose(CAROL, Custody::Own), &[CAROL]), "ACCEPTED");
    let (account, custody) = (ALICE.account(), Custody::Own);
    let elsewhere = ChooseAddresses { account, tenant: tenant_id("shop"), custody, epoch_ms: EPOCH_MS };
    assert_eq!(world.answer(choosing(elsewhere), &[ALICE]), "ACCEPTED");
    world.wait(20 * EPOCH_MS);
    world.step_ms = 10;
    world
}

/// A grant for Bob and Carol over ten epochs that have gone by, and its first epoch.
fn asked(world: &World, id: u8) -> (Grant, u32) {
    let first = world.epoch() - 15;
    let from_ms = u64::from(first) * EPOCH_MS;
    let expires_ms = world.next_ms() + 30 * EPOCH_MS;
    (grant(id, &[BOB, CAROL], from_ms, from_ms + 10 * EPOCH_MS, expires_ms), first)
}

fn request(world: &mut World, grant: &Grant) -> &'static str {
    world.answer(audit(AuditAct::Request(grant.clone())), &[REGULATOR])
}

/// A case about this payload, approved by these.
fn case_of(world: &mut World, payload: Hash, by: Person, approvers: &[Person]) -> Hash {
    let ask = Act::OpenApproval { rule: OWNER.rule(), payload, live_ms: 600_000 };
    let id = world.made(ask, &[by]);
    for approver in approvers {
        let give = Act::Approve { case: Case { id, payload }, group: 0 };
        assert_eq!(world.answer(give, &[*approver]), "ACCEPTED");
    }
    id
}

fn issue(id: u8, case: Hash) -> Act {
    audit(AuditAct::Issue { grant: [id; 32], case })
}

fn open(id: u8, person: Person, first: u32, last: u32) -> Act {
    audit(AuditAct::Open(open_grant(id, person, first, last)))
}

fn revoke(id: u8) -> Act {
    audit(AuditAct::Revoke(RevokeGrant { grant: [id; 32], reason: [1; 32] }))
}

/// A grant that was issued, and its first epoch.
fn issued(world: &mut World, id: u8) -> (Grant, u32) {
    let (grant, first) = asked(world, id);
    assert_eq!(request(world, &grant), "ACCEPTED");
    let case = case_of(world, grant.payload(), REGULATOR, &[ALICE, BOB]);
    assert_eq!(world.answer(issue(id, case), &[REGULATOR]), "ACCEPTED");
    (grant, first)
}

fn deliver(opened: OpenGrant) -> Entry {
    Entry::DeliverGrant(DeliverGrant { opened, package_hash: [3; 32] })
}

fn look(id: u8) -> Entry {
    Entry::UseGrant(UseGrant { grant: [id; 32], what: [2; 32], count: 1 })
}

#[test]
fn terms_are_published_as_policies_are() {
    let mut world = ruled(&[(1, &[ALICE])]);
    let publish = |publish| audit(AuditAct::Publish(publish));
    let first = publish_audit(1, None);
    refused(&mut world, publish(first), &[], "AUTHORS_MISSING");
    refused(&mut world, publish(first), &[STRANGER], "AUTHOR_UNKNOWN");
    let none = AuditTerms { accounts_max: 0, span_ms_max: 0, live_ms_max: 0, kept_ms: u64::MAX };
    for version in [0, 2, u32::MAX] {
        refused(
            &mut world,
            publish(PublishAudit { version, terms: none, ..first }),
            &[OWNER],
            "RULE_VERSION",
        );
    }
    let good = terms();
    for terms in [
        AuditTerms { accounts_max: 0, ..good },
        AuditTerms { span_ms_max: 0, ..good },
        AuditTerms { live_ms_max: 0, ..good },
        AuditTerms { kept_ms: KEPT_MS_MAX + 1, ..good },
        AuditTerms { kept_ms: u64::MAX, ..good },
    ] {
        let rule = [9; 32];
        refused(&mut world, publish(PublishAudit { terms, rule, ..first }), &[OWNER], "RULE_INVALID");
    }
    let case = Some([1; 32]);
    refused(&mut world, publish(PublishAudit { rule: [9; 32], case, ..first }), &[OWNER], "RULE_UNKNOWN");
    refused(&mut world, publish(PublishAudit { case, ..first }), &[OWNER], "CASE_UNKNOWN");
    let keeper = seeded(24);
    let entry = world.signed_by(publish(first), &[OWNER]);
    assert_eq!(world.submit_as(&keeper, std::slice::from_ref(&entry))[0].name(), "ROLE_NOT_ALLOWED");
    let operator = seeded(23);
    assert_eq!(world.submit_as(&operator, &[entry])[0].name(), "ACCEPTED");
    let leaf = world.records.len() as u64 - 1;
    let stands = |world: &World| {
        AuditState::decode(world.ledger.state().get(&audit_key(&tenant_id("bank"))).unwrap()).unwrap()
    };
    let rule = OWNER.rule().id(kind::DEFINE_APPROVAL);
    assert_eq!(stands(&world), AuditState { version: 1, terms: good, rule, leaf });
    // Wider terms take others' approval of exactly these.
    let wider = AuditTerms { accounts_max: u16::MAX, ..good };
    let next = PublishAudit { version: 2, terms: wider, ..first };
    refused(&mut world, publish(next), &[OWNER], "APPROVALS_MISSING");
    let narrow = PublishAudit { terms: good, ..next };
    let of_narrow = Some(case_of(&mut world, narrow.publication(), OWNER, &[ALICE]));
    refused(&mut world, publish(PublishAudit { case: of_narrow, ..next }), &[OWNER], "CASE_PAYLOAD");
    let alone = Some(case_of(&mut world, next.publication(), OWNER, &[]));
    refused(&mut world, publish(PublishAudit { case: alone, ..next }), &[OWNER], "APPROVALS_MISSING");
    let case = Some(case_of(&mut world, next.publication(), OWNER, &[ALICE]));
    let decided = PublishAudit { case, ..next };
    refused(&mut world, publish(decided), &[BOB], "AUTHOR_NOT_NAMED");
    assert_eq!(world.answer(publish(decided), &[OWNER]), "ACCEPTED");
    assert_eq!((stands(&world).version, stands(&world).terms), (2, wider));
    refused(&mut world, publish(decided), &[OWNER], "RULE_VERSION");
}

#[test]
fn each_rule_of_a_request_refuses_in_its_order() {
    let mut world = office();
    let (good, _) = asked(&world, 1);
    let refuse = |world: &mut World, grant: &Grant, name: &str| {
        refused(world, audit(AuditAct::Request(grant.clone())), &[REGULATOR], name);
    };
    refused(&mut world, audit(AuditAct::Request(good.clone())), &[], "AUTHORS_MISSING");
    // A key that a service bound beside the regulator's credential asks nothing in its name.
    let party = world.link(REGULATOR, &signer::P256, Mode::Linked);
    let act = audit(AuditAct::Request(good.clone()));
    let mut author = world.author(&act, party, &|message| signer::P256.sign(message));
    author.public_key = signer::P256.public_key().as_bytes().to_vec();
    let entry = Entry::Authored(Authored { act, authors: vec![author] });
    refused_entry(&mut world, entry, "AUTHOR_NOT_NAMED");
    issued(&mut world, 2);
    let unpublished = Grant { tenant: tenant_id("nobody"), from_ms: 9, until_ms: 9, ..good.clone() };
    refuse(&mut world, &Grant { id: [2; 32], ..unpublished.clone() }, "GRANT_EXISTS");
    refuse(&mut world, &unpublished, "AUDIT_UNPUBLISHED");
    let now = world.next_ms();
    let stranger = STRANGER.account();
    let with = |accounts: Vec<Hash>| Grant { accounts, ..good.clone() };
    let far = now + terms().live_ms_max + 100_000;
    let too_wide = [
        Grant { until_ms: good.from_ms, ..good.clone() },
        Grant { until_ms: good.from_ms - 1, ..good.clone() },
        Grant { from_ms: 0, until_ms: u64::MAX, ..good.clone() },
        Grant { until_ms: good.from_ms + terms().span_ms_max + 1, ..good.clone() },
        Grant { expires_ms: 0, ..good.clone() },
        Grant { expires_ms: now - 1, ..good.clone() },
        Grant { expires_ms: far, ..good.clone() },
        Grant { expires_ms: u64::MAX, ..good.clone() },
        with(vec![BOB.account(), CAROL.account(), stranger]),
        with(Vec::new()),
    ];
    for grant in too_wide {
        let accounts = if grant.accounts.len() == 2 { vec![stranger] } else { grant.accounts };
        refuse(&mut world, &Grant { accounts, ..grant }, "GRANT_TOO_WIDE");
    }
    refuse(&mut world, &with(vec![BOB.account(), stranger]), "ACCOUNT_UNKNOWN");
    // Without addresses, and of another tenant.
    for person in [OWNER, ALICE] {
        refuse(&mut world, &with(vec![person.account()]), "ADDRESSES_UNKNOWN");
    }
    assert_eq!(request(&mut world, &good), "ACCEPTED");
    let requested_leaf = world.records.len() as u64 - 1;
    let stands = AuditGrantState {
        status: AuditGrantStatus::Requested,
        grantee: REGULATOR.account(),
        terms_version: 1,
        requested_leaf,
        issued_leaf: 0,
        revoked_ms: 0,
        grant: good.clone(),
    };
    assert_eq!(world.granted(1), Some(stands));
    refuse(&mut world, &good, "GRANT_EXISTS");
    // What has no addresses did nothing that could be opened.
    world.answer(close(OWNER), &[OWNER]);
    refuse(&mut world, &Grant { id: [3; 32], ..with(vec![OWNER.account()]) }, "ACCOUNT_CLOSED");
}

/// To the millisecond and to the account: what is just within the terms, and what is just beyond.
#[test]
fn a_request_reaches_as_far_as_the_terms_and_no_further() {
    let mut world = office();
    let now = world.next_ms() + 100;
    let (good, _) = asked(&world, 1);
    let AuditTerms { span_ms_max, live_ms_max, .. } = terms();
    let cases = [
        (good.from_ms + 1, now + live_ms_max, "ACCEPTED"),
        (good.from_ms + span_ms_max, now + 1, "ACCEPTED"),
        (good.from_ms, now + 1, "GRANT_TOO_WIDE"),
        (good.from_ms + span_ms_max + 1, now + 1, "GRANT_TOO_WIDE"),
        (good.until_ms, now, "GRANT_TOO_WIDE"),
        (good.until_ms, now + live_ms_max + 1, "GRANT_TOO_WIDE"),
    ];
    world.at(now);
    let wanted: Vec<_> = (1..)
        .zip(cases)
        .map(|(id, (until_ms, expires_ms, _))| {
            let grant = Grant { id: [id; 32], until_ms, expires_ms, ..good.clone() };
            world.signed_by(audit(AuditAct::Request(grant)), &[REGULATOR])
        })
        .collect();
    assert_eq!(world.names(&wanted), cases.map(|(_, _, name)| name));
    assert_eq!(world.ledger.time_ms(), now);
}

/// The whole tenant counts as more than anybody can name.
#[test]
fn the_whole_tenant_takes_terms_that_say_so() {
    let mut world = office();
    world.step_ms = 10;
    for (version, accounts_max, name) in [(2, u16::MAX - 1, "GRANT_TOO_WIDE"), (3, u16::MAX, "ACCEPTED")] {
        let wider = AuditTerms { accounts_max, ..terms() };
        let next = PublishAudit { version, terms: wider, ..publish_audit(1, None) };
        let case = Some(case_of(&mut world, next.publication(), OWNER, &[ALICE, BOB]));
        let next = audit(AuditAct::Publish(PublishAudit { case, ..next }));
        assert_eq!(world.answer(next, &[OWNER]), "ACCEPTED");
        let (grant, _) = asked(&world, 1);
        assert_eq!(request(&mut world, &Grant { accounts: Vec::new(), ..grant }), name);
    }
    let payload = world.granted(1).unwrap().grant.payload();
    let case = case_of(&mut world, payload, REGULATOR, &[ALICE, BOB]);
    assert_eq!(world.answer(issue(1, case), &[REGULATOR]), "ACCEPTED");
    let first = u32::try_from(world.granted(1).unwrap().grant.from_ms / EPOCH_MS).unwrap();
    for person in [BOB, CAROL] {
        assert_eq!(world.answer(open(1, person, first, first), &[REGULATOR]), "ACCEPTED");
    }
    // Of another tenant, without addresses, and never opened.
    for person in [ALICE, OWNER, STRANGER] {
        refused(&mut world, open(1, person, first, first), &[REGULATOR], "GRANT_SCOPE");
    }
}

#[test]
fn each_rule_of_an_issue_refuses_in_its_order() {
    let mut world = office();
    let (grant, _) = asked(&world, 1);
    assert_eq!(request(&mut world, &grant), "ACCEPTED");
    refused(&mut world, issue(1, [9; 32]), &[], "AUTHORS_MISSING");
    refused(&mut world, issue(9, [9; 32]), &[ALICE], "GRANT_UNKNOWN");
    refused(&mut world, issue(1, [9; 32]), &[ALICE], "AUTHOR_NOT_NAMED");
    refused(&mut world, issue(1, [9; 32]), &[REGULATOR], "CASE_UNKNOWN");
    let payload = grant.payload();
    // Asked by somebody else, approved by too few, about something else.
    let foreign = case_of(&mut world, payload, CAROL, &[ALICE, BOB]);
    refused(&mut world, issue(1, foreign), &[REGULATOR], "AUTHOR_NOT_NAMED");
    let few = case_of(&mut world, payload, REGULATOR, &[ALICE]);
    refused(&mut world, issue(1, few), &[REGULATOR], "APPROVALS_MISSING");
    let longer = Grant { until_ms: grant.until_ms + 1, ..grant.clone() };
    for other in [longer.payload(), grant.purpose_hash, grant.id] {
        let case = case_of(&mut world, other, REGULATOR, &[ALICE, BOB]);
        refused(&mut world, issue(1, case), &[REGULATOR], "CASE_PAYLOAD");
    }
    let case = case_of(&mut world, payload, REGULATOR, &[ALICE, BOB]);
    let entry = world.signed_by(issue(1, case), &[REGULATOR]);
    let again = world.signed_by(issue(1, case), &[REGULATOR]);
    assert_eq!(world.names(&[entry.clone(), entry, again]), ["ACCEPTED", "AUTHOR_REPLAYED", "GRANT_STATE"]);
    let issued_leaf = world.records.len() as u64 - 3;
    let stands = world.granted(1).unwrap();
    assert_eq!((stands.status, stands.issued_leaf), (AuditGrantStatus::Issued, issued_leaf));
}

#[test]
fn a_grant_is_issued_in_time_and_under_the_terms_it_was_asked_under() {
    let mut world = office();
    let (grant, _) = asked(&world, 1);
    let soon = Grant { id: [2; 32], expires_ms: world.next_ms() + 2 * EPOCH_MS, ..grant.clone() };
    for grant in [&grant, &soon] {
        assert_eq!(request(&mut world, grant), "ACCEPTED");
    }
    let late = case_of(&mut world, soon.payload(), REGULATOR, &[ALICE, BOB]);
    let case = case_of(&mut world, grant.payload(), REGULATOR, &[ALICE, BOB]);
    world.at(soon.expires_ms);
    assert_eq!(world.answer(issue(2, late), &[REGULATOR]), "GRANT_EXPIRED");
    world.step_ms = 10;
    let next = publish_audit(2, None);
    let decided = Some(case_of(&mut world, next.publication(), OWNER, &[ALICE, BOB]));
    let next = audit(AuditAct::Publish(PublishAudit { case: decided, ..next }));
    assert_eq!(world.answer(next, &[OWNER]), "ACCEPTED");
    refused(&mut world, issue(1, case), &[REGULATOR], "RULE_VERSION");
    assert_eq!(world.answer(revoke(1), &[ALICE]), "ACCEPTED");
    refused(&mut world, issue(1, case), &[REGULATOR], "GRANT_STATE");
}

#[test]
fn each_rule_of_an_opening_and_delivery_refuses_in_its_order() {
    let mut world = office();
    let (asked, first) = asked(&world, 2);
    assert_eq!(request(&mut world, &asked), "ACCEPTED");
    issued(&mut world, 1);
    let far = first + 1_000;
    refused(&mut world, open(1, BOB, far, first), &[], "AUTHORS_MISSING");
    refused(&mut world, open(9, BOB, far, first), &[CAROL], "GRANT_UNKNOWN");
    refused(&mut world, open(1, BOB, far, first), &[CAROL], "AUTHOR_NOT_NAMED");
    for submitter in [seeded(23), seeded(24)] {
        let entry = deliver(open_grant(9, BOB, far, first));
        assert_eq!(world.submit_as(&submitter, &[entry])[0].name(), "ROLE_NOT_ALLOWED");
    }
    let both = |world: &mut World, id: u8, person: Person, first: u32, last: u32, name: &str| {
        refused(world, open(id, person, first, last), &[REGULATOR], name);
        refused_entry(world, deliver(open_grant(id, person, first, last)), name);
    };
    both(&mut world, 9, BOB, far, first, "GRANT_UNKNOWN");
    both(&mut world, 2, BOB, far, first, "GRANT_STATE");
    for person in [ALICE, OWNER, REGULATOR, STRANGER] {
        both(&mut world, 1, person, far, first, "GRANT_SCOPE");
    }
    for (from, to) in
        [(far, first), (first + 1, first), (first - 1, first), (first, first + 10), (0, u32::MAX)]
    {
        both(&mut world, 1, BOB, from, to, "GRANT_SCOPE");
    }
    for (from, to) in [(first, first), (first, first + 9), (first + 9, first + 9)] {
        assert_eq!(world.answer(open(1, BOB, from, to), &[REGULATOR]), "ACCEPTED");
        assert_eq!(world.names(&[deliver(open_grant(1, BOB, from, to))]), ["ACCEPTED"]);
    }
    // Nothing but the record changes the state: a run may be opened again, each time in the open.
    assert_eq!(world.answer(open(1, BOB, first, first), &[REGULATOR]), "ACCEPTED");
}

/// Terms in their next version, by the approvers' word.
fn publish(world: &mut World, version: u32, terms: AuditTerms) {
    let next = PublishAudit { version, terms, ..publish_audit(1, None) };
    let case = Some(case_of(world, next.publication(), OWNER, &[ALICE, BOB]));
    assert_eq!(world.answer(audit(AuditAct::Publish(PublishAudit { case, ..next })), &[OWNER]), "ACCEPTED");
}

/// Closes an account; the block time of it.
fn closed(world: &mut World, person: Person) -> u64 {
    assert_eq!(world.answer(close(person), &[person]), "ACCEPTED");
    let closed_ms = world.ledger.time_ms();
    assert_eq!(world.chosen(person).unwrap().closed_ms, Some(closed_ms));
    closed_ms
}

#[test]
fn closing_an_account_ends_no_supervision_of_what_it_did_before() {
    let mut world = office();
    let (good, first) = issued(&mut world, 1);
    let before = world.chosen(CAROL).unwrap();
    let closed_ms = closed(&mut world, CAROL);
    assert_eq!(world.chosen(CAROL).unwrap(), AddressesState { closed_ms: Some(closed_ms), ..before });
    // A grant of before, and one that is asked for only now.
    assert_eq!(world.answer(open(1, CAROL, first, first), &[REGULATOR]), "ACCEPTED");
    assert_eq!(world.names(&[deliver(open_grant(1, CAROL, first, first))]), ["ACCEPTED"]);
    issued(&mut world, 2);
    assert_eq!(world.answer(open(2, CAROL, first, first), &[REGULATOR]), "ACCEPTED");
    // A period that begins later than anything it can have done.
    let from = |id: u8, from_ms: u64| Grant { id: [id; 32], from_ms, until_ms: from_ms + 1, ..good.clone() };
    let last_ms = closed_ms + EDGE_MS;
    refused(&mut world, audit(AuditAct::Request(from(3, last_ms + 1))), &[REGULATOR], "ACCOUNT_CLOSED");
    assert_eq!(request(&mut world, &from(3, last_ms)), "ACCEPTED");
    // Bob is as open as before.
    let bob = Grant { accounts: vec![BOB.account()], ..from(4, last_ms + 1) };
    assert_eq!(request(&mut world, &bob), "ACCEPTED");
}

#[test]
fn the_last_epoch_of_a_closed_account_is_the_one_that_it_was_closed_in() {
    for late_ms in [0, EPOCH_MS - EDGE_MS - 1, EPOCH_MS - EDGE_MS, EPOCH_MS - 1] {
        let mut world = office();
        let epoch = world.epoch() + 2;
        let from_ms = u64::from(epoch) * EPOCH_MS;
        let expires_ms = world.next_ms() + 30 * EPOCH_MS;
        let grant = grant(1, &[BOB, CAROL], from_ms, from_ms + 3 * EPOCH_MS, expires_ms);
        assert_eq!(request(&mut world, &grant), "ACCEPTED");
        let case = case_of(&mut world, grant.payload(), REGULATOR, &[ALICE, BOB]);
        assert_eq!(world.answer(issue(1, case), &[REGULATOR]), "ACCEPTED");
        world.at(from_ms + late_ms);
        assert_eq!(closed(&mut world, CAROL), from_ms + late_ms);
        // In the last seconds somebody whose clock is ahead may use an address of the next epoch.
        let last = epoch + u32::from(late_ms >= EPOCH_MS - EDGE_MS);
        world.step_ms = 10;
        refused(&mut world, open(1, CAROL, epoch, last), &[REGULATOR], "EPOCH_UNDER_WAY");
        refused(&mut world, open(1, CAROL, epoch, last + 1), &[REGULATOR], "ACCOUNT_CLOSED");
        world.wait(5 * EPOCH_MS);
        assert_eq!(world.answer(open(1, CAROL, epoch, last), &[REGULATOR]), "ACCEPTED", "{late_ms}");
        for first in [epoch, last + 1] {
            refused(&mut world, open(1, CAROL, first, last + 1), &[REGULATOR], "ACCOUNT_CLOSED");
            refused_entry(&mut world, deliver(open_grant(1, CAROL, first, last + 1)), "ACCOUNT_CLOSED");
        }
        assert_eq!(world.answer(open(1, BOB, epoch, last + 1), &[REGULATOR]), "ACCEPTED");
    }
}

#[test]
fn a_closed_account_is_kept_as_long_as_the_terms_of_now_say() {
    let mut world = office();
    let (good, first) = issued(&mut world, 1);
    let closed_ms = closed(&mut world, CAROL);
    let over_ms = closed_ms + terms().kept_ms;
    let (mut id, accounts) = (1, vec![CAROL.account()]);
    let good = Grant { accounts, expires_ms: over_ms + EPOCH_MS, ..good };
    let mut entries = |world: &mut World| {
        id += 1;
        let wanted = audit(AuditAct::Request(Grant { id: [id; 32], ..good.clone() }));
        let wanted = world.signed_by(wanted, &[REGULATOR]);
        let opening = world.signed_by(open(1, CAROL, first, first), &[REGULATOR]);
        world.names(&[wanted, opening, deliver(open_grant(1, CAROL, first, first))])
    };
    assert_eq!(entries(&mut world), ["ACCEPTED"; 3]);
    // One person shortens nothing.
    let short = AuditTerms { kept_ms: 0, ..terms() };
    let next = PublishAudit { version: 2, terms: short, ..publish_audit(1, None) };
    for case in [None, Some(case_of(&mut world, next.publication(), OWNER, &[BOB]))] {
        refused(
            &mut world,
            audit(AuditAct::Publish(PublishAudit { case, ..next })),
            &[OWNER],
            "APPROVALS_MISSING",
        );
    }
    assert_eq!(entries(&mut world), ["ACCEPTED"; 3]);
    publish(&mut world, 2, short);
    assert_eq!(entries(&mut world), ["ACCOUNT_CLOSED"; 3]);
    publish(&mut world, 3, terms());
    assert_eq!(entries(&mut world), ["ACCEPTED"; 3]);
}

#[test]
fn what_a_closed_account_did_is_over_to_the_millisecond() {
    let mut world = office();
    let (good, first) = asked(&world, 2);
    let closed_ms = closed(&mut world, CAROL);
    let over_ms = closed_ms + terms().kept_ms;
    // The grant outlives what is kept.
    let late = Grant { accounts: vec![CAROL.account()], expires_ms: over_ms + EPOCH_MS, ..good };
    assert_eq!(request(&mut world, &late), "ACCEPTED");
    let case = case_of(&mut world, late.payload(), REGULATOR, &[ALICE, BOB]);
    assert_eq!(world.answer(issue(2, case), &[REGULATOR]), "ACCEPTED");
    for (time_ms, name) in [(over_ms - 1, "ACCEPTED"), (over_ms, "ACCOUNT_CLOSED")] {
        world.at(time_ms);
        let opening = world.signed_by(open(2, CAROL, first, first), &[REGULATOR]);
        let asked = audit(AuditAct::Request(Grant { id: [name.len() as u8; 32], ..late.clone() }));
        let asked = world.signed_by(asked, &[REGULATOR]);
        let entries = [opening, deliver(open_grant(2, CAROL, first, first)), asked];
        assert_eq!(world.names(&entries), [name; 3]);
    }
}

/// An epoch that reaches over the period by a millisecond is none of it, and one that has not elapsed waits.
#[test]
fn epochs_are_opened_whole_and_after_they_have_elapsed() {
    let mut world = office();
    let epoch = world.epoch();
    let (begin, end) = (u64::from(epoch) * EPOCH_MS, u64::from(epoch + 1) * EPOCH_MS);
    let expires_ms = world.next_ms() + 40 * EPOCH_MS;
    for (id, from_ms, until_ms) in
        [(1, begin, end), (2, begin + 1, end), (3, begin, end - 1), (4, begin - 1, end + 1)]
    {
        let grant = grant(id, &[BOB], from_ms, until_ms, expires_ms);
        assert_eq!(request(&mut world, &grant), "ACCEPTED");
        let case = case_of(&mut world, grant.payload(), REGULATOR, &[ALICE, BOB]);
        assert_eq!(world.answer(issue(id, case), &[REGULATOR]), "ACCEPTED");
    }
    let elapsed_ms = end + EDGE_MS;
    for (time_ms, name) in [(elapsed_ms - 1, "EPOCH_UNDER_WAY"), (elapsed_ms, "ACCEPTED")] {
        world.at(time_ms);
        let wanted = [1, 2, 3, 4]
            .map(|id| world.signed_by(open(id, BOB, epoch, epoch), &[REGULATOR]))
            .into_iter()
            .chain([deliver(open_grant(1, BOB, epoch, epoch))])
            .collect::<Vec<_>>();
        assert_eq!(world.names(&wanted), [name, "GRANT_SCOPE", "GRANT_SCOPE", name, name]);
    }
}

#[test]
fn a_grant_ends_at_its_last_millisecond_and_at_once_when_revoked() {
    let mut world = office();
    let (grant, first) = issued(&mut world, 1);
    let entries = |world: &mut World| {
        let opening = world.signed_by(open(1, BOB, first, first), &[REGULATOR]);
        world.names(&[opening, deliver(open_grant(1, BOB, first, first))])
    };
    world.at(grant.expires_ms - 1);
    assert_eq!(entries(&mut world), ["ACCEPTED"; 2]);
    world.at(grant.expires_ms);
    assert_eq!(entries(&mut world), ["GRANT_EXPIRED"; 2]);
    let (_, first) = issued(&mut world, 2);
    let opening = world.signed_by(open(2, BOB, first, first), &[REGULATOR]);
    let again = world.signed_by(open(2, BOB, first, first), &[REGULATOR]);
    let end = world.signed_by(revoke(2), &[REGULATOR]);
    // In one block: what comes after the revocation comes too late.
    let entries = [opening, end, again, deliver(open_grant(2, BOB, first, first))];
    assert_eq!(world.names(&entries), ["ACCEPTED", "ACCEPTED", "GRANT_STATE", "GRANT_STATE"]);
}

/// The end of a log comes after the last look: for an hour it is taken, and nothing else is.
#[test]
fn looks_are_noted_until_an_hour_after_the_end() {
    let mut world = office();
    let (grant, _) = issued(&mut world, 1);
    for (id, revoked) in [(2, true), (3, true), (4, false)] {
        // One that waits to be issued was never looked at, whatever becomes of it.
        let (grant, _) = if id == 2 { issued(&mut world, id) } else { asked(&world, id) };
        if id != 2 {
            assert_eq!(request(&mut world, &grant), "ACCEPTED");
        }
        if revoked {
            assert_eq!(world.answer(revoke(id), &[REGULATOR]), "ACCEPTED");
        }
    }
    let revoked_ms = world.granted(2).unwrap().revoked_ms;
    assert!(0 < revoked_ms && revoked_ms < grant.expires_ms);
    assert_eq!(world.granted(2).unwrap().ends_ms(), Some(revoked_ms));
    assert_eq!(world.granted(3).unwrap().ends_ms(), None);
    let looks = |world: &mut World| world.names(&[look(1), look(2), look(3), look(4)]);
    assert_eq!(looks(&mut world), ["ACCEPTED", "ACCEPTED", "GRANT_STATE", "GRANT_STATE"]);
    world.at(revoked_ms + LOG_AFTER_MS - 1);
    assert_eq!(world.names(&[look(2)]), ["ACCEPTED"]);
    world.at(revoked_ms + LOG_AFTER_MS);
    assert_eq!(world.names(&[look(2)]), ["GRANT_STATE"]);
    // Whoever revokes one that has expired lets nobody add to its log again.
    world.at(grant.expires_ms + LOG_AFTER_MS - 1);
    assert_eq!(world.names(&[look(1)]), ["ACCEPTED"]);
    world.at(grant.expires_ms + LOG_AFTER_MS);
    assert_eq!(world.names(&[look(1)]), ["GRANT_EXPIRED"]);
    assert_eq!(world.answer(revoke(1), &[REGULATOR]), "ACCEPTED");
    assert_eq!(world.names(&[look(1)]), ["GRANT_STATE"]);
}

#[test]
fn looks_are_noted_by_services_and_operators_once_the_grant_is_issued() {
    let mut world = office();
    let (grant, _) = asked(&world, 2);
    assert_eq!(request(&mut world, &grant), "ACCEPTED");
    issued(&mut world, 1);
    let keeper = seeded(24);
    assert_eq!(world.submit_as(&keeper, &[look(9)])[0].name(), "ROLE_NOT_ALLOWED");
    refused_entry(&mut world, look(9), "GRANT_UNKNOWN");
    refused_entry(&mut world, look(2), "GRANT_STATE");
    let operator = seeded(23);
    assert_eq!(world.submit_as(&operator, &[look(1)])[0].name(), "ACCEPTED");
    assert_eq!(world.names(&[look(1)]), ["ACCEPTED"]);
}

#[test]
fn a_grant_is_revoked_once_by_the_grantee_or_whoever_may_approve_now() {
    let mut world = office();
    refused(&mut world, revoke(9), &[STRANGER], "AUTHOR_UNKNOWN");
    refused(&mut world, revoke(9), &[CAROL], "GRANT_UNKNOWN");
    for (id, person) in [(1, REGULATOR), (2, ALICE), (3, BOB)] {
        issued(&mut world, id);
        for stranger in [CAROL, OWNER] {
            refused(&mut world, revoke(id), &[stranger], "AUTHOR_NOT_NAMED");
        }
        assert_eq!(world.answer(revoke(id), &[person]), "ACCEPTED");
        assert_eq!(world.granted(id).unwrap().status, AuditGrantStatus::Revoked);
        for person in [person, CAROL] {
            refused(&mut world, revoke(id), &[person], "GRANT_STATE");
        }
    }
    // One that waits to be issued too; and the rule that stands now says who may.
    let (grant, _) = asked(&world, 4);
    assert_eq!(request(&mut world, &grant), "ACCEPTED");
    let members = Act::DefineApproval(define(OWNER, 2, approval_terms(&[(1, &[CAROL])])));
    assert_eq!(world.answer(members, &[OWNER]), "ACCEPTED");
    refused(&mut world, revoke(4), &[ALICE], "AUTHOR_NOT_NAMED");
    assert_eq!(world.answer(revoke(4), &[CAROL]), "ACCEPTED");
}
