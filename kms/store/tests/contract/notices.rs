//! What owners are told.

use keyward_store::{Change, Notice, NoticeChannel, NoticeKind, NoticeState, Store, StoreError};

use super::{id, open_account};

fn notice(name: &str, next_ms: u64) -> Notice {
    Notice {
        id: id(name),
        account: id("told"),
        kind: NoticeKind::RecoveryOpened,
        subject: id("case"),
        channel: NoticeChannel::Mail,
        sealed: Some(vec![1, 2, 3]),
        since_ms: 1,
        until_ms: 2,
        state: NoticeState::Waiting,
        tries: 0,
        created_ms: 10,
        next_ms,
    }
}

pub(super) async fn a_notice_is_told_once_and_found_until_it_is_delivered(store: &dyn Store) {
    open_account(store, "told").await;
    let apply = async |change| store.apply(vec![change]).await;
    let (first, second) = (notice("first notice", 10), notice("second notice", 20));
    apply(Change::PutNotice(second.clone())).await.unwrap();
    apply(Change::PutNotice(first.clone())).await.unwrap();
    apply(Change::PutNotice(Notice { subject: id("other"), ..first.clone() })).await.unwrap();
    let due = async |now_ms| store.due_notices(false, now_ms, 9).await.unwrap();
    assert_eq!(due(9).await, []);
    assert_eq!(due(10).await, std::slice::from_ref(&first), "what is known stays as it is");
    assert_eq!(due(20).await, [first.clone(), second.clone()]);
    assert_eq!(store.due_notices(false, 20, 1).await.unwrap(), std::slice::from_ref(&first));

    let take = |from_ms, next_ms| vec![Change::TakeNotice { id: first.id, from_ms, next_ms }];
    let (one, two) = tokio::join!(store.apply(take(10, 100)), store.apply(take(10, 100)));
    assert!(one.is_ok() != two.is_ok(), "one takes it: {one:?} {two:?}");
    assert_eq!(due(20).await, std::slice::from_ref(&second));
    assert_eq!(due(100).await, [second.clone(), Notice { tries: 1, next_ms: 100, ..first.clone() }]);
    apply(Change::RetryNotice { id: first.id, next_ms: 15 }).await.unwrap();
    store.apply(take(15, 100)).await.unwrap();
    apply(Change::EndNotice { id: first.id, state: NoticeState::Delivered }).await.unwrap();
    let delivered =
        Notice { tries: 2, next_ms: 100, sealed: None, state: NoticeState::Delivered, ..first.clone() };
    assert_eq!(store.notice(first.id).await.unwrap(), Some(delivered.clone()), "its address is gone");
    assert!(matches!(store.apply(take(100, 200)).await, Err(StoreError::Missing { .. })));
    // It is known still: the same thing is not told again.
    apply(Change::PutNotice(first.clone())).await.unwrap();
    assert_eq!(due(1000).await, std::slice::from_ref(&second));
    apply(Change::EndNotice { id: second.id, state: NoticeState::GivenUp }).await.unwrap();
    apply(Change::EndNotice { id: second.id, state: NoticeState::Delivered }).await.unwrap();
    let given_up = Notice { sealed: None, state: NoticeState::GivenUp, ..second.clone() };
    assert_eq!(store.undelivered_notices(9).await.unwrap(), [given_up]);
    replaced(store).await;
    store.prune(0, 11).await.unwrap();
    assert_eq!(store.notice(first.id).await.unwrap(), None);

    let after = async |after, limit| store.accounts_after("person", after, limit).await.unwrap();
    let all = after([0; 32], 1000).await;
    assert!(all.is_sorted() && all.contains(&id("told")));
    assert_eq!(after(all[0], 1000).await, all[1..]);
    assert_eq!(after([0; 32], 1).await, all[..1]);
    assert!(store.accounts_after("nobody", [0; 32], 9).await.unwrap().is_empty());
}

/// A newer change of a delegation takes the place of an older one that waits, and of nothing else.
async fn replaced(store: &dyn Store) {
    let change = |name: &str, channel, subject: &str| Notice {
        kind: NoticeKind::DelegatesAppointed,
        channel,
        subject: id(subject),
        sealed: None,
        created_ms: 500,
        ..notice(name, 500)
    };
    let mail = |name| change(name, NoticeChannel::Mail, "rule");
    let (old, new) = (mail("old change"), mail("new change"));
    let kept = [
        change("a request", NoticeChannel::Webhook, "rule"),
        change("another rule", NoticeChannel::Mail, "rule 2"),
    ];
    for row in [&old, &new].into_iter().chain(&kept) {
        store.apply(vec![Change::PutNotice(row.clone())]).await.unwrap();
    }
    let (account, subject, channel) = (old.account, old.subject, old.channel);
    store.apply(vec![Change::ReplaceNotices { account, subject, channel, by: new.id }]).await.unwrap();
    let state = async |row: &Notice| store.notice(row.id).await.unwrap().unwrap().state;
    assert_eq!(state(&old).await, NoticeState::GivenUp);
    for row in [&new].into_iter().chain(&kept) {
        assert_eq!(state(row).await, NoticeState::Waiting);
    }
    assert_eq!(store.due_notices(true, 500, 9).await.unwrap(), kept[..1]);
    let shown: Vec<_> = store.undelivered_notices(9).await.unwrap().iter().map(|row| row.state).collect();
    let expected = [[NoticeState::Waiting; 3].as_slice(), &[NoticeState::GivenUp; 2]].concat();
    assert_eq!(shown, expected, "what waits comes first");
}
