//! Processes that die at any moment: nothing acknowledged is lost, nothing is signed without its final intent.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use keyward_client::ClientError;
use keyward_ledger_core::hash::Hash;
use tokio::time::sleep;

use crate::support::{
    Random,
    keyward::{Keyward, PATIENCE},
    load::{Acknowledged, Claims, Load, nothing_is_lost},
    until,
};

/// How long signing may take to say that the ledger is unavailable: the ledger's deadline of 5 s, queueing, and a busy machine.
const UNAVAILABLE_WITHIN: Duration = Duration::from_secs(120);
/// A supervisor starts a child again so often; then a new one must.
const KILLS_PER_SUPERVISOR: u64 = 4;

#[tokio::test(flavor = "multi_thread")]
async fn a_validator_killed_at_any_moment_restarts_under_load_and_nothing_acknowledged_is_lost() {
    let mut random = Random::of("killed validators");
    let mut keyward = Keyward::start();
    keyward.json(&["key", "create", "--alias", "payroll", "--scheme", "ed25519"]);
    let mut signed = Vec::new();
    let (wanted, mut kills) = (if keyward_tests::soak() { 100 } else { 5 }, 0);
    while kills < wanted {
        if kills > 0 {
            assert!(keyward.interrupt().success());
            keyward.up();
        }
        let load = Load::start(&keyward, "payroll").await;
        let first = random.below(4);
        for turn in first..first + KILLS_PER_SUPERVISOR {
            load.signs(20).await;
            sleep(random.pause(700)).await;
            let node = format!("node-{}", 1 + turn % 4);
            let mut killed = keyward.kill(&node);
            kills += 1;
            // Often, and the first always, it dies again while it starts and catches up.
            if turn == first || random.below(2) == 0 {
                until("it to be started", async || {
                    keyward.children().get(&node).is_some_and(|new| *new != killed)
                })
                .await;
                sleep(random.pause(400)).await;
                killed = keyward.kill(&node);
                kills += 1;
            }
            load.signs(20).await;
            tokio::task::block_in_place(|| keyward.is_back(&node, killed));
        }
        let met = load.stop().await;
        println!("{kills} kills, {} signatures, refused: {:?}", met.signed.len(), met.refused);
        signed.extend(met.signed);
    }
    nothing_is_lost(&keyward, &signed).await;
    keyward.json(&["sign", "--key", "payroll", &keyward.write("message", "at the end")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_quorum_signing_is_refused_as_unavailable_and_nothing_is_signed_then_it_goes_on() {
    let keyward = Keyward::start();
    keyward.json(&["key", "create", "--alias", "payroll", "--scheme", "ecdsa-p256"]);
    let message = keyward.write("message", "pay");
    let client = keyward.client("app").await;
    let before = client.sign_message("payroll", b"with a quorum").await.unwrap();
    assert!(unreleased(&keyward).await.is_empty());

    keyward.hold();
    let killed = ["node-3", "node-4"].map(|node| (node, keyward.kill(node)));
    let began = Instant::now();
    let tries = (0..8_u8).map(|n| {
        let client = client.clone();
        tokio::spawn(async move { client.sign_message("payroll", &[n]).await })
    });
    for refused in tries.collect::<Vec<_>>() {
        let error = refused.await.unwrap().unwrap_err();
        let ClientError::Refused(refusal) = &error else { panic!("{error:?}") };
        assert_eq!((refusal.code_name.as_str(), refusal.retry), ("LEDGER_UNAVAILABLE", true), "{refusal:?}");
        assert_eq!(refusal.status, 14, "UNAVAILABLE");
    }
    assert!(began.elapsed() < UNAVAILABLE_WITHIN, "bounded: {:?}", began.elapsed());
    let began = Instant::now();
    let answer =
        keyward.run(&["--output", "json", "sign", "--key", "payroll", "--receipt", "none", &message]);
    assert_eq!((answer.code, answer.refusal().as_str()), (Some(3), "LEDGER_UNAVAILABLE"), "{answer:?}");
    assert!(answer.json().get("signature").is_none());
    assert!(!keyward.work("none").exists(), "no receipt without a final intent");
    assert!(began.elapsed() < UNAVAILABLE_WITHIN, "bounded: {:?}", began.elapsed());
    let refused = unreleased(&keyward).await;
    assert_eq!(refused.len(), 9, "the operator is told of each intent that got no signature");

    keyward.go_on();
    for (node, process) in killed {
        tokio::task::block_in_place(|| keyward.is_back(node, process));
    }
    until("signing to go on", async || client.sign_message("payroll", b"again").await.is_ok()).await;
    let after = client.sign_message("payroll", b"after").await.unwrap();
    let acknowledged = [before, after].map(|signed| Acknowledged {
        message: Vec::new(),
        signature: signed.signature,
        receipt: signed.receipt,
    });
    let claims = settled(&keyward, &acknowledged).await;
    assert!(
        claims.releases.keys().all(|intent| !refused.contains(intent)),
        "nothing was signed for what was refused"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_killed_between_intent_and_release_signs_nothing_without_a_final_intent_and_names_what_it_left()
 {
    let mut random = Random::of("killed service");
    let mut keyward = Keyward::start();
    keyward.json(&["key", "create", "--alias", "payroll", "--scheme", "bip340"]);
    let mut signed = Vec::new();
    let supervisors = if keyward_tests::soak() { 20 } else { 1 };
    for supervisor in 0..supervisors {
        if supervisor > 0 {
            assert!(keyward.interrupt().success());
            keyward.up();
        }
        let load = Load::start(&keyward, "payroll").await;
        for _ in 0..KILLS_PER_SUPERVISOR {
            load.signs(10).await;
            sleep(random.pause(300)).await;
            let killed = keyward.kill("service");
            tokio::task::block_in_place(|| keyward.is_back("service", killed));
        }
        load.signs(10).await;
        let met = load.stop().await;
        println!("{} signatures, refused: {:?}", met.signed.len(), met.refused);
        signed.extend(met.signed);
    }
    nothing_is_lost(&keyward, &signed).await;
    let claims = settled(&keyward, &signed).await;
    let left = unreleased(&keyward).await;
    println!(
        "{} intents on the ledger, {} releases, {} left",
        claims.intents.len(),
        claims.releases.len(),
        left.len()
    );
    assert!(!left.is_empty(), "a service killed under load leaves intents");
    assert!(
        claims.releases.keys().all(|intent| !left.contains(intent)),
        "what is named as left was not signed"
    );
    let nameless =
        claims.intents.iter().filter(|id| !claims.releases.contains_key(*id) && !left.contains(*id));
    assert_eq!(nameless.count(), 0, "each final intent without a release is named");
    let shown = keyward.json_as("operator", &["status"]);
    assert_eq!((&shown["ledger_reachable"], &shown["token_ready"]), (&true.into(), &true.into()), "{shown}");
    assert_eq!(shown["unreleased"].as_array().unwrap().len(), left.len(), "{shown}");
    let log = std::fs::read_to_string(keyward.dir().join("logs/service.log")).unwrap();
    assert!(log.contains("intents of earlier runs were never released"), "the restarted service says so");
    keyward.json(&["sign", "--key", "payroll", &keyward.write("message", "at the end")]);
}

/// The intents that the service names as never released.
async fn unreleased(keyward: &Keyward) -> BTreeSet<Hash> {
    let status = keyward.client("operator").await.status().await.unwrap();
    status.unreleased.iter().map(|intent| <[u8; 32]>::try_from(&*intent.intent_id).unwrap()).collect()
}

/// Waits until the release of each acknowledged signature is on the ledger, and all others that were queued.
async fn settled(keyward: &Keyward, signed: &[Acknowledged]) -> Claims {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let (claims, left) = (Claims::read(keyward).await, unreleased(keyward).await);
        let open =
            claims.intents.iter().filter(|id| !claims.releases.contains_key(*id) && !left.contains(*id));
        if open.count() == 0 && claims.hold(signed) {
            return claims;
        }
        assert!(Instant::now() < deadline, "{PATIENCE:?} have passed, and a release is missing");
        sleep(Duration::from_millis(300)).await;
    }
}
