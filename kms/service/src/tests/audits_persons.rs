//! Who approves a grant is looked at as a person by the service that opens it, whoever handed the grant in.

use keyward_domain::Code;
use keyward_ledger_core::{
    entry::{Act, AuditAct, Case, Entry, Grant},
    state::{
        audit::AuditGrantStatus,
        layout::{ApprovalCase, approval_case_key},
    },
};

use super::{
    approvals::{Desk, party, terms},
    approvers::Bank,
    audits::{HOUR_MS, Office, beside, choose},
    world::code,
};

impl Office {
    /// Another service hands in what issues a grant.
    fn issue_elsewhere(&self, grant: &Grant, case: Case) {
        let entry = self
            .desk
            .alice
            .say(&self.desk.world, Act::Audit(AuditAct::Issue { grant: grant.id, case: case.id }));
        let record = self.desk.world.ledger.record(Entry::decode(&entry).unwrap());
        assert!(crate::ports::Final::outcome(&record).is_accepted());
        assert_eq!(self.status(&grant.id), AuditGrantStatus::Issued);
        self.desk.world.pass_ms(8 * HOUR_MS);
    }

    /// What the ledger does when a case's time is over.
    fn end_case(&self, case: Case) {
        let ledger = &self.desk.world.ledger;
        assert!(
            ledger
                .value(&approval_case_key(&case.id))
                .is_some_and(|value| ApprovalCase::decode(&value).is_ok())
        );
        ledger.remove(&approval_case_key(&case.id));
    }
}

#[tokio::test]
async fn a_grant_that_another_service_issued_on_one_persons_approvals_opens_nothing() {
    let desk = Desk::without_rule().await;
    // An operator's certificate of the same name as a user is the same person's.
    let bank = Bank::new(&desk.world, "keyward://operator/bob").await;
    desk.define(1, terms(&[bank.party, party(&desk.bob), party(&desk.clara)], 2)).await.unwrap();
    let office = Office::of(desk).await;
    choose(&office.desk.world, &office.desk.dora).await;
    office.publish(office.terms(1)).await.unwrap();
    let grant = office.grant();
    office.request(&grant).await.unwrap();
    let case = office.case(&grant, 1).await;
    let second = bank.say(&office.desk.world, Act::Approve { case, group: 0 }).await;
    office.desk.world.ledger.record(Entry::decode(&second).unwrap());
    assert_eq!(code(office.issue(&grant.id, case).await), Code::ApprovalGiven);
    office.issue_elsewhere(&grant, case);
    assert_eq!(code(office.open(&grant, 1, 3).await), Code::ApprovalGiven);
    // Nor once nobody can look any more.
    office.end_case(case);
    assert_eq!(code(office.open(&grant, 1, 3).await), Code::GrantState);
    assert_eq!(office.counts(), (0, 0));
}

#[tokio::test]
async fn a_grant_that_was_looked_at_in_time_opens_when_its_case_is_over() {
    for elsewhere in [false, true] {
        let office = Office::new().await;
        let grant = office.grant();
        office.request(&grant).await.unwrap();
        let case = office.case(&grant, 2).await;
        if elsewhere {
            office.issue_elsewhere(&grant, case);
            // Who approved has it opened by no certificate of their own.
            let bob = beside("keyward://auditor/bob", &office.desk.alice);
            let refused = office.open_as(&bob, &office.desk.alice, office.opening(&grant, 1, 1)).await;
            assert_eq!(code(refused), Code::ApproverIsInitiator);
            office.open(&grant, 1, 1).await.unwrap();
        } else {
            office.issue(&grant.id, case).await.unwrap();
            office.desk.world.pass_ms(8 * HOUR_MS);
        }
        office.end_case(case);
        office.cover(&office.open(&grant, 2, 3).await.unwrap(), office.opening(&grant, 2, 3));
    }
}
