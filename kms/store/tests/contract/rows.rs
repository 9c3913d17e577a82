//! Accounts, keys, single-use rows.

use keyward_store::{
    AccountState, Act, ActKind, AgentJob, Challenge, Change, Custody, JobState, KeyState, Pin, Profile,
    Registration, Session, Store, StoreError, Taken,
};

use super::{account, id, key, keys::set, open_account};

pub(super) async fn accounts_are_unique_by_kind_and_name(store: &dyn Store) {
    open_account(store, "unique").await;
    let mut other = account("unique");
    other.account = id("unique, again");
    let refused = store.apply(vec![Change::InsertAccount(other.clone())]).await;
    assert!(matches!(refused, Err(StoreError::AccountExists)), "{refused:?}");
    other.kind = "app".into();
    store.apply(vec![Change::InsertAccount(other.clone())]).await.unwrap();
    assert_eq!(store.account(id("unique")).await.unwrap(), Some(account("unique")));
    assert_eq!(store.account_by_name("app", "unique").await.unwrap(), Some(other));
    assert_eq!(store.account_by_name("app", "nobody").await.unwrap(), None);
}

pub(super) async fn changes_stand_or_fall_together(store: &dyn Store) {
    open_account(store, "atomic").await;
    let refused = store
        .apply(vec![Change::InsertKey(key("atomic", "a")), Change::InsertAccount(account("atomic"))])
        .await;
    assert!(matches!(refused, Err(StoreError::AccountExists)), "{refused:?}");
    assert_eq!(store.keys(id("atomic")).await.unwrap(), []);
}

pub(super) async fn keys_are_unique_by_id_and_by_alias(store: &dyn Store) {
    open_account(store, "keys").await;
    let first = key("keys", "first");
    store.apply(vec![Change::InsertKey(first.clone())]).await.unwrap();
    let mut same_alias = key("keys", "first");
    same_alias.key_id = id("another key");
    let refused = store.apply(vec![Change::InsertKey(same_alias)]).await;
    assert!(matches!(refused, Err(StoreError::AliasTaken)), "{refused:?}");
    let mut same_key = first.clone();
    same_key.alias = "second".into();
    let refused = store.apply(vec![Change::InsertKey(same_key)]).await;
    assert!(matches!(refused, Err(StoreError::KeyExists)), "{refused:?}");
    let mut linked = key("keys", "linked");
    linked.custody = Custody::Linked { label: "bank".into(), serial: "77".into(), id: vec![1], agent: None };
    store.apply(vec![Change::InsertKey(linked.clone())]).await.unwrap();
    let mut own = key("keys", "own");
    own.custody = Custody::Own;
    store.apply(vec![Change::InsertKey(own.clone())]).await.unwrap();
    assert_eq!(store.keys(id("keys")).await.unwrap(), [first.clone(), linked.clone(), own.clone()]);
    assert!(!store.linked_keys().await.unwrap().contains(&own));
    assert_eq!(store.key(first.key_id).await.unwrap(), Some(first.clone()));
    assert_eq!(store.key_by_alias(id("keys"), "first").await.unwrap(), Some(first));
    assert_eq!(store.key_by_alias(id("other"), "first").await.unwrap(), None);
    assert!(store.linked_keys().await.unwrap().contains(&linked));
}

pub(super) async fn state_changes_need_the_state_they_start_from(store: &dyn Store) {
    open_account(store, "states").await;
    let row = key("states", "k");
    store.apply(vec![Change::InsertKey(row.clone())]).await.unwrap();
    let wrong = vec![set(row.key_id, KeyState::Active, KeyState::Frozen)];
    assert!(matches!(store.apply(wrong.clone()).await, Err(StoreError::Missing { .. })));
    store.apply(vec![set(row.key_id, KeyState::Pending, KeyState::Active)]).await.unwrap();
    store.apply(vec![Change::RemovePendingKey(row.key_id)]).await.unwrap();
    store.apply(wrong).await.unwrap();
    assert_eq!(store.key(row.key_id).await.unwrap().map(|key| key.state), Some(KeyState::Frozen));
    let wrong = vec![Change::SetAccountState(id("states"), AccountState::Pending, AccountState::Open)];
    assert!(matches!(store.apply(wrong).await, Err(StoreError::Missing { .. })));
    let need_open = || vec![Change::NeedOpenAccount(id("states"))];
    store.apply(need_open()).await.unwrap();
    let close = Change::SetAccountState(id("states"), AccountState::Open, AccountState::Closed);
    store.apply(vec![close]).await.unwrap();
    assert!(matches!(store.apply(need_open()).await, Err(StoreError::Missing { .. })));
}

pub(super) async fn tried_logins_are_counted(store: &dyn Store) {
    open_account(store, "guesser").await;
    let set = |from, failures| Change::SetLogins { account: id("guesser"), from, failures, last_ms: 900 };
    store.apply(vec![set(None, 2)]).await.unwrap();
    let (one, two) = (vec![set(Some((2, 900)), 3)], vec![set(Some((2, 900)), 3)]);
    let (one, two) = tokio::join!(store.apply(one), store.apply(two));
    assert!(one.is_ok() != two.is_ok(), "two tries are two counts: {one:?} {two:?}");
    let row = store.account(id("guesser")).await.unwrap().unwrap();
    assert_eq!((row.login_failures, row.login_last_ms), (3, 900));
}

pub(super) async fn tries_of_names_that_nobody_has_are_counted_until_they_expire(store: &dyn Store) {
    let name = id("hash of a name");
    let set =
        |from, failures| Change::SetUnknownName { name, from, failures, last_ms: 900, expires_ms: 2000 };
    assert_eq!(store.unknown_name(name).await.unwrap(), None);
    for (from, failures) in [(None, 1), (Some((1, 900)), 2)] {
        let (one, two) = (vec![set(from, failures)], vec![set(from, failures)]);
        let (one, two) = tokio::join!(store.apply(one), store.apply(two));
        assert!(one.is_ok() != two.is_ok(), "two tries are two counts: {one:?} {two:?}");
        assert_eq!(store.unknown_name(name).await.unwrap(), Some((failures, 900)));
    }
    store.prune(1999, 0).await.unwrap();
    assert!(store.unknown_name(name).await.unwrap().is_some());
    store.prune(2000, 0).await.unwrap();
    assert_eq!(store.unknown_name(name).await.unwrap(), None);
}

pub(super) async fn a_login_counts_under_the_record_that_it_began_with(store: &dyn Store) {
    open_account(store, "overtaken").await;
    let account = id("overtaken");
    let held = |record: &[u8]| Change::NeedLogin { account, opaque_record: record.to_vec() };
    let missing = |done| matches!(done, Err(StoreError::Missing { what: "login" }));
    store.apply(vec![held(&[1, 2, 3])]).await.unwrap();
    let next = Change::SetPassword { account, opaque_record: vec![4], credential: [7; 32] };
    store.apply(vec![next]).await.unwrap();
    let ends = Change::EndSessions(account);
    assert!(missing(store.apply(vec![held(&[1, 2, 3]), ends]).await));
    store.apply(vec![held(&[4])]).await.unwrap();
    let close = Change::SetAccountState(account, AccountState::Open, AccountState::Closed);
    store.apply(vec![close]).await.unwrap();
    assert!(missing(store.apply(vec![held(&[4])]).await));
}

pub(super) async fn a_flood_of_names_washes_out_no_name_that_is_held_back(store: &dyn Store) {
    let set = |name, failures, expires_ms| Change::SetUnknownName {
        name,
        from: None,
        failures,
        last_ms: 900,
        expires_ms,
    };
    let held = id("guessed often");
    store.apply(vec![set(held, 7, 2000)]).await.unwrap();
    for chunk in 0..66_u32 {
        let names = (0..1000).map(|n| set(id(&format!("flood {chunk} {n}")), 1, 3000 + u64::from(chunk)));
        store.apply(names.collect()).await.unwrap();
    }
    assert_eq!(store.prune(1, 0).await.unwrap(), 66_001 - 65_536);
    assert_eq!(store.unknown_name(held).await.unwrap(), Some((7, 900)));
    assert_eq!(store.unknown_name(id("flood 65 7")).await.unwrap(), Some((1, 900)));
    store.prune(10_000, 0).await.unwrap();
    assert_eq!(store.unknown_name(held).await.unwrap(), None);
}

pub(super) async fn sessions_end_by_time_and_by_command(store: &dyn Store) {
    open_account(store, "session").await;
    let session = Session {
        token_hash: id("token"),
        account: id("session"),
        fingerprint: Some([3; 32]),
        expires_ms: 100,
    };
    let unbound = Session { fingerprint: None, ..session.clone() };
    let bind = || vec![Change::BindSession { token_hash: id("token"), fingerprint: [3; 32] }];
    store.apply(vec![Change::PutSession(unbound)]).await.unwrap();
    store.apply(bind()).await.unwrap();
    assert!(matches!(store.apply(bind()).await, Err(StoreError::Missing { .. })), "bound once");
    assert_eq!(store.session(id("token"), 99).await.unwrap(), Some(session));
    assert_eq!(store.session(id("token"), 100).await.unwrap(), None);
    assert_eq!(store.session(id("other token"), 1).await.unwrap(), None);
    store.apply(vec![Change::EndSessions(id("session"))]).await.unwrap();
    assert_eq!(store.session(id("token"), 99).await.unwrap(), None);
}

pub(super) async fn the_oldest_sessions_and_challenges_go_when_there_are_too_many(store: &dyn Store) {
    for name in ["many", "other"] {
        open_account(store, name).await;
        for n in 0..5_u64 {
            // The first lives longest: age is told by the end, and the one just made stays whatever its end.
            let expires_ms = if n == 4 { 10 } else { 200 - n };
            let token_hash = id(&format!("{name} {n}"));
            let session = Session { token_hash, account: id(name), fingerprint: None, expires_ms };
            let challenge =
                Challenge { nonce: token_hash, account: id(name), scheme: 4, not_after: 9, expires_ms };
            let keep = [
                Change::KeepSessions { account: id(name), newest: token_hash, most: 3 },
                Change::KeepChallenges { account: id(name), newest: token_hash, most: 3 },
            ];
            let put = [Change::PutSession(session), Change::PutChallenge(challenge)];
            store.apply(put.into_iter().chain(keep).collect()).await.unwrap();
        }
    }
    for (n, left) in [(0, true), (1, true), (2, false), (3, false), (4, true)] {
        let token_hash = id(&format!("many {n}"));
        assert_eq!(store.session(token_hash, 1).await.unwrap().is_some(), left, "{n}");
        assert_eq!(store.take_challenge(token_hash, 1).await.unwrap() != Taken::Unknown, left, "{n}");
    }
    assert!(store.session(id("other 0"), 1).await.unwrap().is_some(), "each account has its own");
}

pub(super) async fn single_use_rows_are_taken_once(store: &dyn Store) {
    let challenge =
        Challenge { nonce: id("nonce"), account: id("a"), scheme: 4, not_after: 9, expires_ms: 100 };
    store.apply(vec![Change::PutChallenge(challenge.clone())]).await.unwrap();
    let takes = (
        store.take_challenge(id("nonce"), 50),
        store.take_challenge(id("nonce"), 50),
        store.take_challenge(id("nonce"), 50),
    );
    let (a, b, c) = tokio::join!(takes.0, takes.1, takes.2);
    let all = [a.unwrap(), b.unwrap(), c.unwrap()];
    assert_eq!(all.iter().filter(|taken| **taken == Taken::Live(challenge.clone())).count(), 1);
    assert_eq!(all.iter().filter(|taken| **taken == Taken::Unknown).count(), 2);
}

pub(super) async fn expired_rows_are_not_live_and_are_used_up(store: &dyn Store) {
    let registration = Registration {
        id: [1; 16],
        name: "late".into(),
        account: id("late"),
        salt: [2; 32],
        nonce: [3; 32],
        not_after: 9,
        expires_ms: 100,
    };
    store.apply(vec![Change::PutRegistration(registration.clone())]).await.unwrap();
    assert_eq!(store.take_registration([1; 16], 100).await.unwrap(), Taken::Expired);
    assert_eq!(store.take_registration([1; 16], 1).await.unwrap(), Taken::Unknown);
    store.apply(vec![Change::PutRegistration(registration.clone())]).await.unwrap();
    assert_eq!(store.take_registration([1; 16], 99).await.unwrap(), Taken::Live(registration));
}

pub(super) async fn authorisations_pins_secrets_and_acts_come_back(store: &dyn Store) {
    open_account(store, "owner").await;
    let row = key("owner", "k");
    let allow = |app: &str| Change::PutAuthorisation { key_id: row.key_id, app: app.into(), created_ms: 1 };
    store.apply(vec![Change::InsertKey(row.clone()), allow("b"), allow("a"), allow("a")]).await.unwrap();
    assert_eq!(store.authorisations(row.key_id).await.unwrap(), ["a", "b"]);
    let revoke = || Change::RemoveAuthorisation { key_id: row.key_id, app: "a".into() };
    store.apply(vec![revoke(), revoke()]).await.unwrap();
    assert_eq!(store.authorisations(row.key_id).await.unwrap(), ["b"]);

    let pin = |sealed| Pin { serial: "1".into(), label: "bank".into(), sealed };
    store.apply(vec![Change::PutPin(pin(vec![1]))]).await.unwrap();
    store.apply(vec![Change::PutPin(pin(vec![2]))]).await.unwrap();
    assert_eq!(store.pins().await.unwrap(), [pin(vec![2])]);
    let mut linked = key("owner", "linked");
    linked.custody = Custody::Linked { label: "bank".into(), serial: "1".into(), id: vec![1], agent: None };
    store.apply(vec![Change::InsertKey(linked.clone()), Change::ForgetIdlePins]).await.unwrap();
    assert_eq!(store.pins().await.unwrap(), [pin(vec![2])], "a key needs it");
    let destroyed = Change::SetKeyState {
        key_id: linked.key_id,
        from: KeyState::Pending,
        to: KeyState::Destroyed,
        changed_ms: 7,
        successor: None,
    };
    store.apply(vec![destroyed, Change::ForgetIdlePins]).await.unwrap();
    assert_eq!(store.pins().await.unwrap(), [], "no key needs it");
    store.apply(vec![Change::PutPin(pin(vec![2]))]).await.unwrap();

    store.apply(vec![Change::PutSecret("one", vec![1])]).await.unwrap();
    store.apply(vec![Change::PutSecret("one", vec![2])]).await.unwrap();
    assert_eq!(store.secret("one").await.unwrap(), Some(vec![1]));
    assert_eq!(store.secret("none").await.unwrap(), None);

    let act = |name: &str, created_ms| Act {
        id: id(name),
        kind: ActKind::Freeze,
        subject: row.key_id,
        detail: "because".into(),
        until: 8,
        created_ms,
        boot: [9; 16],
        name: (name == "y").then(|| super::name("act")),
    };
    store.apply(vec![Change::PutAct(act("y", 2)), Change::PutAct(act("z", 1))]).await.unwrap();
    assert_eq!(store.acts([9; 16]).await.unwrap(), [act("z", 1), act("y", 2)]);
    assert_eq!(store.acts([8; 16]).await.unwrap(), [], "another run's");
    store.apply(vec![Change::RemoveAct(id("y")), Change::RemoveAct(id("z"))]).await.unwrap();
    assert_eq!(store.acts([9; 16]).await.unwrap(), []);
    let again = store.apply(vec![Change::RemoveAct(id("y"))]).await;
    assert!(matches!(again, Err(StoreError::Missing { what: "act" })), "an act is settled once: {again:?}");

    let replace = |from: u8, to: u8| Change::ReplaceSecret { name: "one", from: vec![from], to: vec![to] };
    store.apply(vec![replace(1, 7)]).await.unwrap();
    assert!(matches!(store.apply(vec![replace(1, 8)]).await, Err(StoreError::Missing { .. })));
    assert_eq!(store.secret("one").await.unwrap(), Some(vec![7]));
    let replace = |from: u8, to: u8| Change::ReplacePin {
        serial: "1".into(),
        label: "bank".into(),
        from: vec![from],
        to: vec![to],
    };
    store.apply(vec![replace(2, 7)]).await.unwrap();
    assert!(matches!(store.apply(vec![replace(2, 8)]).await, Err(StoreError::Missing { .. })));
    assert_eq!(store.pins().await.unwrap(), [pin(vec![7])]);
}

pub(super) async fn a_profile_is_erased_for_good(store: &dyn Store) {
    open_account(store, "private").await;
    let row = |body: u8| Profile {
        account: id("private"),
        sealed_key: vec![1; 40],
        kek: "old".into(),
        body: vec![body; 9],
        erased_ms: None,
    };
    assert_eq!(store.profile(id("private")).await.unwrap(), None);
    store.apply(vec![Change::PutProfile(row(1))]).await.unwrap();
    store.apply(vec![Change::PutProfile(row(2))]).await.unwrap();
    assert_eq!(store.profile(id("private")).await.unwrap(), Some(row(2)));
    assert_eq!(store.profiles_not_under("new", 10).await.unwrap(), [row(2)]);
    let reseal = |from: u8| Change::ResealProfile {
        account: id("private"),
        from_sealed: vec![from; 40],
        to_sealed: vec![3; 40],
        kek: "new".into(),
    };
    assert!(matches!(store.apply(vec![reseal(2)]).await, Err(StoreError::Missing { .. })));
    store.apply(vec![reseal(1)]).await.unwrap();
    assert_eq!(store.profiles_not_under("new", 10).await.unwrap(), []);
    let erase = || Change::EraseProfile { account: id("private"), at_ms: 77 };
    store.apply(vec![erase()]).await.unwrap();
    let gone =
        Profile { sealed_key: vec![], kek: String::new(), body: vec![], erased_ms: Some(77), ..row(0) };
    assert_eq!(store.profile(id("private")).await.unwrap(), Some(gone.clone()));
    let nobodys = Change::EraseProfile { account: id("nobody"), at_ms: 78 };
    store.apply(vec![Change::EraseProfile { account: id("private"), at_ms: 78 }, nobodys]).await.unwrap();
    let again = store.apply(vec![Change::PutProfile(row(4))]).await;
    assert!(matches!(again, Err(StoreError::Missing { .. })));
    assert_eq!(store.profile(id("private")).await.unwrap(), Some(gone));
}

pub(super) async fn a_job_is_answered_once_and_in_time(store: &dyn Store) {
    let job = |name: &str| AgentJob {
        id: id(name),
        agent: "desk".into(),
        kind: "sign".into(),
        body: vec![1, 2],
        state: JobState::Waiting,
        answer: None,
        created_ms: 1,
        expires_ms: 100,
    };
    store.apply(vec![Change::PutAgentJob(job("job 1")), Change::PutAgentJob(job("job 2"))]).await.unwrap();
    assert!(store.apply(vec![Change::PutAgentJob(job("job 1"))]).await.is_err(), "the same job twice");
    assert_eq!(store.agent_jobs("desk", 50, 10).await.unwrap(), [job("job 1"), job("job 2")]);
    assert_eq!(store.agent_jobs("desk", 100, 10).await.unwrap(), [], "expired");
    assert_eq!(store.agent_jobs("other", 50, 10).await.unwrap(), []);
    let come = |name: &str, state, now_ms| Change::AnswerAgentJob {
        id: id(name),
        state,
        answer: (state == JobState::Answered).then(|| vec![5]),
        now_ms,
    };
    let refused = async |change| {
        let refused = store.apply(vec![change]).await;
        assert!(matches!(refused, Err(StoreError::Missing { what: "agent job" })), "{refused:?}");
    };
    store.apply(vec![come("job 1", JobState::Taken, 50)]).await.unwrap();
    assert_eq!(store.agent_job(id("job 1")).await.unwrap().unwrap().body, [1, 2]);
    refused(come("job 1", JobState::Taken, 50)).await;
    refused(come("job 1", JobState::Waiting, 50)).await;
    refused(come("job 1", JobState::Answered, 100)).await;
    store.apply(vec![come("job 1", JobState::Answered, 99)]).await.unwrap();
    refused(come("job 1", JobState::Refused, 99)).await;
    let answered = store.agent_job(id("job 1")).await.unwrap().unwrap();
    assert_eq!((answered.state, answered.answer), (JobState::Answered, Some(vec![5])));
    assert!(answered.body.is_empty());
    store.apply(vec![come("job 2", JobState::Expired, 200)]).await.unwrap();
    assert!(store.agent_job(id("job 2")).await.unwrap().unwrap().body.is_empty());
    refused(come("job 2", JobState::Answered, 50)).await;
    assert_eq!(store.agent_job(id("job 3")).await.unwrap(), None);
}
