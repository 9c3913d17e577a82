//! What cases of approvals are about, for those who may read it and until they end.

use keyward_store::{Approval, ApprovalLine, ApprovalRoom, ApprovalRule, Change, Id, Store, StoreError};

use super::{id, open_account};

const ROOM: ApprovalRoom = ApprovalRoom { cases: 3, bytes: 100 };

fn row(name: &str, account: &str, len: usize) -> Approval {
    Approval {
        id: id(name),
        account: id(account),
        principal: "app/wallet".into(),
        case: None,
        sealed: vec![7; len],
        used: None,
        created_ms: 10,
        ends_ms: 1000,
    }
}

fn put(row: &Approval, readers: &[Id]) -> Vec<Change> {
    let (row, readers) = (row.clone(), readers.to_vec());
    vec![Change::NeedOpenAccount(row.account), Change::PutApproval { row, readers, room: ROOM }]
}

pub(super) async fn what_a_case_is_about_is_read_by_its_people_until_it_ends(store: &dyn Store) {
    for name in ["asker", "approver", "stranger"] {
        open_account(store, name).await;
    }
    let asked = row("about", "asker", 40);
    store.apply(put(&asked, &[id("approver"), id("approver")])).await.unwrap();
    assert_eq!(store.approval(asked.id).await.unwrap(), Some(asked.clone()));
    assert_eq!(store.approvals(id("asker"), 9).await.unwrap(), [], "it does not stand on the ledger yet");
    let (case, ends_ms) = (id("the case"), 500);
    store.apply(vec![Change::OpenApproval { id: asked.id, case, ends_ms }]).await.unwrap();
    let line = ApprovalLine { case, account: asked.account, created_ms: 10, ends_ms };
    for (who, lines) in [("asker", vec![line]), ("approver", vec![line]), ("stranger", Vec::new())] {
        assert_eq!(store.approvals(id(who), 9).await.unwrap(), lines, "{who}");
    }
    assert_eq!(store.approvals(id("asker"), 0).await.unwrap(), []);
    let (one, two) = (Some(vec![1, 2]), Some(vec![3]));
    // From what is known to stand there alone: of two that write one down, one is the first.
    for (from, to, then) in [
        (two.clone(), one.clone(), None),
        (None, one.clone(), one.clone()),
        (None, two.clone(), one.clone()),
        (two.clone(), None, one.clone()),
        (one.clone(), two.clone(), two.clone()),
        (two.clone(), None, None),
    ] {
        store.apply(vec![Change::SetApprovalUse { case, from, to }]).await.unwrap();
        let kept = store.approval_of_case(case).await.unwrap().unwrap();
        assert_eq!((kept.used, kept.case, kept.ends_ms), (then, Some(case), ends_ms));
    }
    store.apply(vec![Change::EndApprovals { before_ms: ends_ms }]).await.unwrap();
    assert!(store.approval(asked.id).await.unwrap().is_some(), "it lasts to its end");
    store.apply(vec![Change::EndApprovals { before_ms: ends_ms + 1 }]).await.unwrap();
    assert_eq!(store.approval(asked.id).await.unwrap(), None);
    assert_eq!(store.approvals(id("approver"), 9).await.unwrap(), [], "nor does anybody find it");
}

pub(super) async fn there_is_room_for_so_many_cases_and_bytes_of_an_account(store: &dyn Store) {
    open_account(store, "asks-much").await;
    let refused = async |row: &Approval| {
        let error = store.apply(put(row, &[])).await.unwrap_err();
        assert!(matches!(error, StoreError::Missing { what: "room for an approval" }), "{error}");
    };
    let (first, second) = (row("many-1", "asks-much", 60), row("many-2", "asks-much", 40));
    store.apply(put(&first, &[])).await.unwrap();
    refused(&first).await;
    refused(&row("many-3", "asks-much", 41)).await;
    store.apply(put(&second, &[])).await.unwrap();
    refused(&row("many-3", "asks-much", 1)).await;
    store.apply(vec![Change::RemoveApproval(second.id)]).await.unwrap();
    // Of two at once for the last place one stands.
    store.apply(put(&row("many-4", "asks-much", 1), &[])).await.unwrap();
    let (five, six) = (row("many-5", "asks-much", 1), row("many-6", "asks-much", 1));
    let (one, two) = tokio::join!(store.apply(put(&five, &[])), store.apply(put(&six, &[])));
    assert!(one.is_ok() != two.is_ok(), "{one:?} {two:?}");
    let case = id("crowd's case");
    store.apply(vec![Change::OpenApproval { id: first.id, case, ends_ms: 9 }]).await.unwrap();
    // What was taken back needs no room, is listed no more, and says so until it ends.
    store.apply(vec![Change::WithdrawApproval(id("no case"))]).await.unwrap();
    assert!(!store.approval(first.id).await.unwrap().unwrap().is_withdrawn());
    assert_eq!(store.approvals(id("asks-much"), 9).await.unwrap().len(), 1);
    store.apply(vec![Change::WithdrawApproval(case)]).await.unwrap();
    let taken_back = store.approval_of_case(case).await.unwrap().unwrap();
    assert_eq!((taken_back.is_withdrawn(), taken_back.account), (true, first.account));
    assert_eq!(store.approvals(id("asks-much"), 9).await.unwrap(), []);
    store.apply(put(&row("many-7", "asks-much", 60), &[])).await.unwrap();
    store.apply(vec![Change::EndApproval(case)]).await.unwrap();
    assert_eq!(store.approval(first.id).await.unwrap(), None);
    store.apply(vec![Change::RemoveApprovalsOf(id("asks-much"))]).await.unwrap();
    assert_eq!(store.approval(id("many-4")).await.unwrap(), None);
    let closed = row("closed", "nobody", 1);
    assert!(store.apply(put(&closed, &[])).await.is_err(), "an account that is not open has no room");
}

pub(super) async fn a_rule_is_found_by_its_owner_and_its_id(store: &dyn Store) {
    let rule = |name: &str, created_ms| ApprovalRule {
        rule: id(name),
        owner: id("the owner"),
        name: id("the name"),
        created_ms,
    };
    let (one, two) = (rule("rule-1", 5), rule("rule-2", 6));
    for row in [two, one, rule("rule-1", 9)] {
        store.apply(vec![Change::PutApprovalRule(row)]).await.unwrap();
    }
    assert_eq!(store.approval_rules(id("the owner"), 9).await.unwrap(), [one, two]);
    assert_eq!(store.approval_rules(id("the owner"), 1).await.unwrap(), [one]);
    assert_eq!(store.approval_rules(id("another"), 9).await.unwrap(), []);
    assert_eq!(store.approval_rule(two.rule).await.unwrap(), Some(two));
    assert_eq!(store.approval_rule(id("rule-3")).await.unwrap(), None);
}
