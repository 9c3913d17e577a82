//! The life of a key: rotated, scheduled for destruction, kept, destroyed, labelled and found; each step with its
//! entry, each receipt verified without a network.

use keyward_client::{KeySearch, RotateTo};
use keyward_domain::{Code, Labels, scheme::Scheme};
use keyward_ledger_verify::{Verdict, verify_receipt};
use zeroize::Zeroizing;

use super::{
    payloads::{message, sign},
    world::{TOKEN, World, accepted},
};
use crate::support::until;

/// The waiting period that `up` configures.
const WAIT_MS: u64 = 5_000;

fn verified(world: &World, receipt: &[u8], message: Option<&[u8]>) -> Verdict {
    let trust = std::fs::read(world.keyward().dir().join("trust")).unwrap();
    verify_receipt(&trust, receipt, message).unwrap()
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alias_signs_with_its_newest_version_and_old_receipts_go_on_verifying() {
    let world = World::enter().await;
    let first = world.app.create_app_key("life-rotated", Scheme::Ed25519).await.unwrap().key;
    let old = world.app.sign_message("life-rotated", b"old").await.unwrap();
    world.news().await;
    let rotated = world.app.rotate_app_key("life-rotated").await.unwrap();
    assert_eq!(world.news().await, accepted(&["rotate-key"]));
    assert_eq!((rotated.key.version, rotated.key.state.as_str()), (2, "active"));
    assert_eq!(verified(&world, &rotated.receipt, None).entry_kind, "rotate-key");

    let new = world.app.sign_message("life-rotated", b"new").await.unwrap();
    assert_eq!(new.public_key.as_bytes(), rotated.key.public_key.as_ref());
    verified(&world, &new.receipt, Some(b"new"));
    verified(&world, &old.receipt, Some(b"old"));
    world.news().await;
    let id = hex::encode(&first.key_id);
    for name in ["life-rotated@1", &id] {
        world.refused(Code::KeySuperseded, sign(&world.app, message(name, b"pay"))).await;
        world.refused(Code::KeySuperseded, world.app.rotate_app_key(name)).await;
        world.refused(Code::KeySuperseded, world.app.freeze_key(name)).await;
        world.refused(Code::KeySuperseded, world.officer.unfreeze_key(&id)).await;
    }
    world.refused(Code::KeyUnknown, sign(&world.app, message("life-rotated@3", b"pay"))).await;
    world.refused(Code::AliasInvalid, world.app.show_key("life-rotated@0")).await;
    world.refused(Code::AliasTaken, world.app.create_app_key("life-rotated", Scheme::Ed25519)).await;

    let shown = world.app.show_key("life-rotated@1").await.unwrap();
    assert_eq!((shown.state.as_str(), &shown.successor), ("superseded", &rotated.key.key_id));
    let versions: Vec<_> = shown.versions.iter().map(|v| (v.version, v.state.as_str())).collect();
    assert_eq!(versions, [(1, "superseded"), (2, "active")]);
    let found = KeySearch { alias_prefix: "life-rotated".into(), ..KeySearch::default() };
    assert_eq!(world.app.search_keys(&found).await.unwrap().len(), 1);
    let all = KeySearch { all_versions: true, ..found };
    assert_eq!(world.app.search_keys(&all).await.unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_rotates_a_key_on_its_own_side_and_nobody_else_does() {
    let mut world = World::enter().await;
    let rosa = world.person("life-rosa").await;
    let first = rosa.client.create_person_key("life-own", Scheme::EcdsaSecp256k1).await.unwrap().key;
    let id = hex::encode(&first.key_id);
    world.news().await;
    world.refused(Code::InvalidArgument, rosa.client.rotate_app_key("life-own")).await;
    let to = || RotateTo {
        token: TOKEN.into(),
        key_label: "sample-secp256k1".into(),
        id: Vec::new(),
        agent: String::new(),
        pin: Zeroizing::default(),
    };
    world.refused(Code::InvalidArgument, rosa.client.rotate_to_token("life-own", to())).await;
    world.refused(Code::KeyUnknown, world.app.rotate_app_key(&id)).await;
    world.refused(Code::NotAllowed, world.officer.rotate_app_key(&id)).await;
    world.refused(Code::NotAllowed, world.auditor.rotate_app_key(&id)).await;
    world.refused(Code::NotAllowed, world.operator.rotate_to_token(&id, to())).await;

    let rotated = rosa.client.rotate_person_key("life-own").await.unwrap();
    assert_eq!((rotated.key.version, rotated.key.alias.as_str()), (2, "life-own"));
    assert_eq!(world.news().await, accepted(&["rotate-key"]));
    verified(&world, &rotated.receipt, None);
    rosa.client.sign_message("life-own", b"mine").await.unwrap();
    world.refused(Code::KeySuperseded, sign(&rosa.client, message(&id, b"pay"))).await;
    let linked =
        world.operator.list_keys().await.unwrap().into_iter().find(|key| key.mode == "linked").unwrap();
    let linked = hex::encode(&linked.key_id);
    world.refused(Code::InvalidArgument, world.operator.rotate_app_key(&linked)).await;
    world.refused(Code::NotAllowed, world.officer.rotate_app_key(&linked)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destruction_waits_is_taken_back_and_done_when_its_time_has_come() {
    let world = World::enter().await;
    let key = world.app.create_app_key("life-ended", Scheme::EcdsaP256).await.unwrap().key;
    let id = hex::encode(&key.key_id);
    let before = world.app.sign_message("life-ended", b"before").await.unwrap();
    world.news().await;
    world.refused(Code::KeyNotScheduled, world.app.cancel_destruction("life-ended")).await;
    for wait_ms in [1, WAIT_MS - 1, 366 * 24 * 3600 * 1000 + 1, u64::MAX] {
        world.refused(Code::DestructionWait, world.app.schedule_destruction("life-ended", wait_ms)).await;
    }
    world.refused(Code::NotAllowed, world.auditor.schedule_destruction(&id, 0)).await;
    world.refused(Code::NotAllowed, world.operator.schedule_destruction(&id, 0)).await;

    // An officer may; a long wait, so that nothing is destroyed while it is looked at.
    let scheduled = world.officer.schedule_destruction(&id, 3_600_000).await.unwrap();
    assert_eq!(world.news().await, accepted(&["schedule-destroy-key"]));
    let record = verified(&world, &scheduled.receipt, None);
    assert_eq!(scheduled.key.destroy_after_unix_ms, record.time_ms + 3_600_000, "counted in ledger time");
    world.refused(Code::KeyScheduled, sign(&world.app, message("life-ended", b"pay"))).await;
    world.refused(Code::KeyScheduled, world.app.freeze_key("life-ended")).await;
    world.refused(Code::KeyScheduled, world.officer.unfreeze_key(&id)).await;
    world.refused(Code::KeyScheduled, world.app.rotate_app_key("life-ended")).await;
    world.refused(Code::KeyScheduled, world.app.schedule_destruction("life-ended", 0)).await;
    world.refused(Code::NotAllowed, world.auditor.cancel_destruction(&id)).await;

    let kept = world.app.cancel_destruction("life-ended").await.unwrap();
    assert_eq!(world.news().await, accepted(&["cancel-destroy-key"]));
    assert_eq!(kept.key.state, "frozen");
    world.refused(Code::KeyFrozen, sign(&world.app, message("life-ended", b"pay"))).await;
    world.refused(Code::KeyFrozen, world.app.rotate_app_key("life-ended")).await;
    world.officer.unfreeze_key(&id).await.unwrap();
    world.app.sign_message("life-ended", b"again").await.unwrap();
    world.news().await;

    world.app.schedule_destruction("life-ended", 0).await.unwrap();
    until("the key to be destroyed", async || {
        world.app.show_key("life-ended").await.unwrap().state == "destroyed"
    })
    .await;
    assert_eq!(world.news().await, accepted(&["schedule-destroy-key", "destroy-key"]));
    for name in ["life-ended", "life-ended@1", &id] {
        world.refused(Code::KeyDestroyed, sign(&world.app, message(name, b"pay"))).await;
        world.refused(Code::KeyDestroyed, world.app.cancel_destruction(name)).await;
        world.refused(Code::KeyDestroyed, world.app.schedule_destruction(name, 0)).await;
        world.refused(Code::KeyDestroyed, world.app.rotate_app_key(name)).await;
        world.refused(Code::KeyDestroyed, world.app.freeze_key(name)).await;
    }
    world.refused(Code::AliasTaken, world.app.create_app_key("life-ended", Scheme::EcdsaP256)).await;
    verified(&world, &before.receipt, Some(b"before"));
    assert!(world.app.list_keys().await.unwrap().iter().all(|key| key.alias != "life-ended"));
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_are_entries_and_find_their_keys() {
    let world = World::enter().await;
    let key = world.app.create_app_key("life-labelled", Scheme::Bip340).await.unwrap().key;
    let id = hex::encode(&key.key_id);
    world.news().await;
    let set = labels(&[("life/team", "treasury"), ("stage", "live")]);
    let labelled = world.app.set_labels("life-labelled", &set, &[]).await.unwrap();
    assert_eq!(world.news().await, accepted(&["note"]));
    assert_eq!(labelled.key.labels.len(), 2);
    let entry = verified(&world, &labelled.receipt, None).entry.unwrap().encode();
    assert!(!entry.windows(8).any(|window| window == b"treasury"), "the ledger does not say it in the clear");
    let search =
        |value: &str| KeySearch { label: Some(("life/team".into(), value.into())), ..KeySearch::default() };
    for client in [&world.app, &world.operator, &world.officer, &world.auditor] {
        let found = client.search_keys(&search("treasury")).await.unwrap();
        assert_eq!(found.iter().map(|key| key.alias.as_str()).collect::<Vec<_>>(), ["life-labelled"]);
        assert!(client.search_keys(&search("treasury' OR '1'='1")).await.unwrap().is_empty());
    }
    for (key, value) in [("", "x"), ("Team", "x"), ("team", "a\nb"), ("team", &"v".repeat(256))] {
        let bad = labels(&[(key, value)]);
        world.refused(Code::LabelInvalid, world.app.set_labels("life-labelled", &bad, &[])).await;
    }
    let many: Labels = (0..50).map(|n| (format!("k{n}"), String::new())).collect();
    world.refused(Code::TooMany, world.app.set_labels("life-labelled", &many, &[])).await;
    world.refused(Code::NotAllowed, world.auditor.set_labels(&id, &set, &[])).await;
    let bare = world.app.set_labels("life-labelled", &Labels::new(), &["stage".into()]).await.unwrap();
    assert_eq!(bare.key.labels.len(), 1);
    let rotated = world.app.rotate_app_key("life-labelled").await.unwrap();
    assert_eq!(rotated.key.labels.len(), 1, "the new version is labelled as the one before");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_walks_through_a_life() {
    let world = World::enter().await;
    let run = |role: &'static str, arguments: &[&str]| {
        let arguments = [&["--output", "json", "key"], arguments].concat();
        let answer = tokio::task::block_in_place(|| world.keyward().run_as(role, &arguments));
        assert_eq!(answer.code, Some(0), "{answer:?}");
        answer.json()
    };
    run("app", &["create", "--alias", "life-cli", "--scheme", "ed25519"]);
    assert_eq!(run("app", &["rotate", "life-cli"])["version"], 2);
    assert_eq!(run("app", &["label", "life-cli", "--set", "life=cli"])["labels"]["life"], "cli");
    let listed = run("auditor", &["list", "--label", "life=cli", "--all-versions"]);
    assert_eq!(listed["keys"][0]["alias"], "life-cli");
    assert_eq!(listed["keys"].as_array().unwrap().len(), 1);
    assert_eq!(
        run("app", &["list", "--alias", "life-cli", "--state", "superseded"])["keys"][0]["version"],
        1
    );
    assert_eq!(run("app", &["show", "life-cli@1"])["versions"][1]["state"], "active");
    assert_eq!(run("app", &["destroy", "life-cli", "--wait", "1h"])["state"], "scheduled");
    assert_eq!(run("app", &["cancel-destroy", "life-cli"])["state"], "frozen");
    let now = ["key", "destroy", "life-cli", "--now"];
    world.refused_on_the_command_line(Code::DestructionEarly, 1, "app", &now).await;
    let soon = ["key", "destroy", "life-cli", "--wait", "1s"];
    world.refused_on_the_command_line(Code::DestructionWait, 1, "app", &soon).await;
    let frozen = ["key", "rotate", "life-cli"];
    world.refused_on_the_command_line(Code::KeyFrozen, 1, "app", &frozen).await;
}
