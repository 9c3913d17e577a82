//! Texts of policy sets stay as long as a version names them; versions and requests are what was put last.

use keyward_store::{Change, PolicyRequests, PolicyVersion, Store};

use super::id;

fn text(name: &str) -> Change {
    Change::KeepPolicyText { hash: id(name), text: format!("// {name}"), kept_ms: 1 }
}

fn version(version: u32, name: &str, account: Option<&str>) -> PolicyVersion {
    PolicyVersion { version, hash: id(name), account: account.map(id), kept_ms: u64::from(version) }
}

pub(super) async fn a_text_stays_as_long_as_a_version_names_it(store: &dyn Store) {
    store.apply(vec![text("set one"), text("set one"), text("set two")]).await.unwrap();
    assert_eq!(store.policy_text(id("set one")).await.unwrap().as_deref(), Some("// set one"));
    assert_eq!(store.policy_text(id("set three")).await.unwrap(), None);
    let first = version(1, "set one", Some("officer"));
    store.apply(vec![Change::PutPolicyVersion(first)]).await.unwrap();
    store
        .apply(vec![Change::ForgetPolicyText(id("set one")), Change::ForgetPolicyText(id("set two"))])
        .await
        .unwrap();
    assert!(store.policy_text(id("set one")).await.unwrap().is_some());
    assert_eq!(store.policy_text(id("set two")).await.unwrap(), None);
    let second = version(2, "set two", None);
    store.apply(vec![Change::PutPolicyVersion(second)]).await.unwrap();
    // Seen again on the ledger, by who does not know whose it was.
    store.apply(vec![Change::PutPolicyVersion(version(1, "set one", None))]).await.unwrap();
    assert_eq!(store.policy_versions(9).await.unwrap(), [second, first]);
    assert_eq!(store.policy_versions(1).await.unwrap(), [second]);
    // The ledger's word counts, where a database was set back.
    let other = version(2, "set other", None);
    store.apply(vec![Change::PutPolicyVersion(other)]).await.unwrap();
    assert_eq!(store.policy_versions(1).await.unwrap()[0].hash, id("set other"));
}

pub(super) async fn the_newest_requests_are_kept_so_many_and_so_long(store: &dyn Store) {
    let row = |number: u8| PolicyRequests { sealed: vec![number; 4], kept_ms: u64::from(number) * 10 };
    for number in 1..=5 {
        store.apply(vec![Change::KeepPolicyRequests(row(number))]).await.unwrap();
    }
    assert_eq!(store.policy_requests(2).await.unwrap(), [row(5), row(4)]);
    store.apply(vec![Change::PrunePolicyRequests { rows: 3, before_ms: 0 }]).await.unwrap();
    assert_eq!(store.policy_requests(9).await.unwrap(), [row(5), row(4), row(3)]);
    store.apply(vec![Change::PrunePolicyRequests { rows: 3, before_ms: 41 }]).await.unwrap();
    assert_eq!(store.policy_requests(9).await.unwrap(), [row(5)]);
}
