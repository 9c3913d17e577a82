//! Two servers over one database, SQLite or PostgreSQL: what is honoured once is honoured once by both, what one server
//! stops the other stops, and what dies in the middle leaves a state from before or after.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use keyward_client::Client;
use keyward_domain::scheme::Scheme;
use keyward_ledger_core::{entry::Entry, record::Record};
use keyward_proto::custody::{
    ChangeKeyRequest, CreateKeyRequest, KeyWithReceipt, LinkRequest, RotateKeyRequest,
    ScheduleDestructionRequest, SignRequest, SignResponse, sign_request::Payload,
};
use tonic::{Code, Status};

use crate::support::{
    Random,
    keyward::{Keyward, PATIENCE},
    load::{Claims, records},
    postgres::Postgres,
    until,
};

const STEP: Duration = Duration::from_millis(50);

fn over_sqlite() -> Keyward {
    Keyward::start_with(&["--validators", "1", "--servers", "2"])
}

fn over(url: &str) -> Keyward {
    Keyward::start_with(&["--validators", "1", "--servers", "2", "--database", url])
}

/// The same caller by way of either server.
async fn both(keyward: &Keyward, role: &str) -> [Client; 2] {
    let [first, second] = keyward.services().try_into().expect("two servers");
    [keyward.client_of(role, first).await, keyward.client_of(role, second).await]
}

fn message(key: &str, message: &str, mark: &str) -> SignRequest {
    SignRequest {
        key: key.to_owned(),
        payload: Some(Payload::Message(message.as_bytes().to_vec().into())),
        idempotency_key: mark.as_bytes().to_vec().into(),
        ..Default::default()
    }
}

async fn sign(client: &Client, request: SignRequest) -> Result<SignResponse, Status> {
    Ok(client.signing().sign(client.request(request)).await?.into_inner())
}

async fn create(client: &Client, alias: &str, mark: &str) -> Result<KeyWithReceipt, Status> {
    let request = CreateKeyRequest {
        alias: alias.to_owned(),
        scheme: "ed25519".to_owned(),
        idempotency_key: mark.as_bytes().to_vec().into(),
    };
    Ok(client.keys().create(client.request(request)).await?.into_inner())
}

async fn freeze(client: &Client, key: &str, mark: &str) -> Result<KeyWithReceipt, Status> {
    let request = ChangeKeyRequest { key: key.to_owned(), idempotency_key: mark.as_bytes().to_vec().into() };
    Ok(client.keys().freeze(client.request(request)).await?.into_inner())
}

/// The stable code of a refusal.
fn code(status: &Status) -> String {
    let code = status.metadata().get("keyward-code").and_then(|code| code.to_str().ok());
    code.unwrap_or("none").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_over_a_file_honour_each_request_once() {
    let keyward = over_sqlite();
    racing_requests_are_done_once(&keyward).await;
    what_one_server_stops_the_other_stops(&keyward).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_over_postgres_honour_each_request_once() {
    let Some(postgres) = Postgres::start() else { return };
    let keyward = over(&postgres.database());
    racing_requests_are_done_once(&keyward).await;
    what_one_server_stops_the_other_stops(&keyward).await;
}

async fn racing_requests_are_done_once(keyward: &Keyward) {
    let apps = both(keyward, "app").await;
    let mark = "create".to_owned();
    let (one, two) = tokio::join!(create(&apps[0], "race", &mark), create(&apps[1], "race", &mark));
    for tried in [one, two] {
        if let Err(status) = tried {
            // The app's account is opened by whoever is first; the other one is told to wait.
            let told = code(&status);
            assert!(["IDEMPOTENCY_PENDING", "ACCOUNT_PENDING"].contains(&told.as_str()), "{status:?}");
        }
    }
    let mut receipts = Vec::new();
    for app in &apps {
        until("the key to be there", async || create(app, "race", &mark).await.is_ok()).await;
        receipts.push(create(app, "race", &mark).await.unwrap().receipt);
    }
    assert_eq!(receipts[0], receipts[1], "one answer");

    let before = Claims::read(keyward).await.intents.len();
    let rounds = 24;
    for round in 0..rounds {
        let mark = format!("sign {round}");
        let request = || message("race", &mark, &mark);
        let (one, two) = tokio::join!(sign(&apps[0], request()), sign(&apps[1], request()));
        let mut signed = Vec::new();
        for tried in [one, two] {
            match tried {
                Ok(answer) => signed.push((answer.signature, answer.receipt)),
                Err(status) => assert_eq!(code(&status), "IDEMPOTENCY_PENDING", "{status:?}"),
            }
        }
        assert!(!signed.is_empty(), "one of the two is answered");
        for app in &apps {
            let again = sign(app, request()).await.unwrap();
            signed.push((again.signature, again.receipt));
        }
        assert!(signed.iter().all(|answer| *answer == signed[0]), "round {round}");
    }
    assert_eq!(Claims::read(keyward).await.intents.len(), before + rounds, "one intent for each");
}

async fn what_one_server_stops_the_other_stops(keyward: &Keyward) {
    let (apps, officers) = (both(keyward, "app").await, both(keyward, "officer").await);
    let made = create(&apps[0], "stopped", "stopped").await.unwrap();
    let id = made.key.unwrap().key_id.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    for round in 0..6_usize {
        let (here, there) = (round % 2, 1 - round % 2);
        // Both servers know the key, and have it open.
        for app in &apps {
            sign(app, message("stopped", "before", "")).await.unwrap();
        }
        freeze(&officers[here], &id, "").await.unwrap();
        let refused = sign(&apps[there], message("stopped", "after", "")).await.unwrap_err();
        assert_eq!(code(&refused), "KEY_FROZEN", "at once: {refused:?}");
        officers[there].unfreeze_key(&id).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_killed_in_the_middle_leaves_before_or_after_and_the_other_goes_on() {
    let Some(postgres) = Postgres::start() else { return };
    let keyward = over(&postgres.database());
    let mut random = Random::of("killed servers");
    let apps = both(&keyward, "app").await;
    apps[0].create_app_key("steady", Scheme::Ed25519).await.unwrap();
    for round in 0..3 {
        let (alias, mark) = (format!("made-{round}"), format!("made {round}"));
        let dying = keyward.client_of("app", keyward.services()[1].clone()).await;
        let (made, signed) = {
            let (alias, mark, dying) = (alias.clone(), mark.clone(), dying.clone());
            let other = dying.clone();
            let made = tokio::spawn(async move { create(&dying, &alias, &mark).await });
            let mark = format!("signed {round}");
            (made, tokio::spawn(async move { sign(&other, message("steady", &mark, &mark)).await }))
        };
        tokio::time::sleep(random.pause(60)).await;
        let killed = keyward.kill("service-2");
        let (made, signed) = (made.await.unwrap(), signed.await.unwrap());
        sign(&apps[0], message("steady", "meanwhile", "")).await.unwrap();

        // Whatever was left is settled by a server that lives, and the same request is answered, once.
        until("the request to be answered by the other server", async || {
            match create(&apps[0], &alias, &mark).await {
                Ok(answer) => {
                    if let Ok(made) = &made {
                        assert_eq!(answer.receipt, made.receipt);
                    }
                    true
                }
                Err(status) => {
                    let told = code(&status);
                    let waits = ["IDEMPOTENCY_PENDING", "KEY_PENDING"].contains(&told.as_str());
                    assert!(waits, "round {round}: {status:?}");
                    false
                }
            }
        })
        .await;
        sign(&apps[0], message(&alias, "it signs", "")).await.unwrap();
        let mark = format!("signed {round}");
        until("the signature to be answered by the other server", async || {
            sign(&apps[0], message("steady", &mark, &mark)).await.is_ok()
        })
        .await;
        if let Ok(signed) = signed {
            let again = sign(&apps[0], message("steady", &mark, &mark)).await.unwrap();
            assert_eq!(signed.signature, again.signature);
        }
        tokio::task::block_in_place(|| keyward.is_back("service-2", killed));
    }
}

/// A change of each kind, by whichever server `app`, `officer` and `operator` speak to.
struct Changes<'a> {
    keyward: &'a Keyward,
    app: Client,
    operator: Client,
}

impl<'a> Changes<'a> {
    /// Connected before anything is killed: a change that never left is no change in the middle.
    async fn by(keyward: &'a Keyward, server: usize) -> Self {
        let address = keyward.services()[server].clone();
        let app = keyward.client_of("app", address.clone()).await;
        Self { keyward, app, operator: keyward.client_of("operator", address).await }
    }

    async fn make(&self, what: &str, round: usize) -> Result<KeyWithReceipt, Status> {
        let mark = format!("{what} {round}").into_bytes();
        match what {
            "rotate" => {
                let request =
                    RotateKeyRequest { key: "turning".into(), idempotency_key: mark.into(), to: None };
                let app = &self.app;
                Ok(app.keys().rotate(app.request(request)).await?.into_inner())
            }
            "freeze" => {
                let app = &self.app;
                freeze(app, &format!("stopping-{round}"), &format!("freeze {round}")).await
            }
            "schedule" => {
                let key = format!("leaving-{round}");
                let request =
                    ScheduleDestructionRequest { key, wait_ms: 86_400_000, idempotency_key: mark.into() };
                let app = &self.app;
                Ok(app.keys().schedule_destruction(app.request(request)).await?.into_inner())
            }
            _ => {
                let file = std::fs::read_to_string(self.keyward.dir().join("token.pin")).unwrap();
                let pin = file.lines().find(|line| !line.starts_with('#')).unwrap();
                let request = LinkRequest {
                    token: "keyward-local".into(),
                    key_label: ["sample-p256", "sample-ed25519"][round].into(),
                    scheme: ["ecdsa-p256", "ed25519"][round].into(),
                    alias: format!("linked-{round}"),
                    pin: pin.trim().as_bytes().to_vec().into(),
                    idempotency_key: mark.into(),
                    ..Default::default()
                };
                let operator = &self.operator;
                Ok(operator.tokens().link(operator.request(request)).await?.into_inner())
            }
        }
    }
}

/// The answer to a change that another server may have begun; until that is settled the living one says so.
async fn answered(living: &Changes<'_>, what: &str, round: usize) -> KeyWithReceipt {
    let began = Instant::now();
    loop {
        match living.make(what, round).await {
            Ok(answer) => return answer,
            Err(status) => {
                let waits = ["IDEMPOTENCY_PENDING", "KEY_PENDING", "ACCOUNT_PENDING"];
                assert!(waits.contains(&code(&status).as_str()), "{what} {round}: {status:?}");
                assert!(began.elapsed() < PATIENCE, "{what} {round}: {status:?}");
                tokio::time::sleep(STEP).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_change_killed_in_the_middle_is_made_once_or_not_at_all() {
    const ROUNDS: usize = 1; // the supervisor starts a child again five times at most
    let Some(postgres) = Postgres::start() else { return };
    let keyward = over(&postgres.database());
    let mut random = Random::of("killed changes");
    let [app, _] = both(&keyward, "app").await;
    for alias in ["turning", "stopping-0", "leaving-0"] {
        app.create_app_key(alias, Scheme::Ed25519).await.unwrap();
    }
    for round in 0..ROUNDS {
        for what in ["rotate", "freeze", "schedule", "link"] {
            let (living, dying) = (Changes::by(&keyward, 0).await, Changes::by(&keyward, 1).await);
            let (killed, tried) = {
                let die = async {
                    tokio::time::sleep(random.pause(80)).await;
                    keyward.kill("service-2")
                };
                tokio::join!(die, dying.make(what, round))
            };
            let made = answered(&living, what, round).await;
            if let Ok(tried) = tried {
                assert_eq!(tried.receipt, made.receipt, "{what} {round}");
            }
            tokio::task::block_in_place(|| keyward.is_back("service-2", killed));
        }
    }
    let mut entries = BTreeMap::new();
    let size = keyward.ledger(&keyward.nodes()).await.status().await.unwrap().log_size;
    for leaf in records(&keyward, &keyward.nodes()[0], size).await.into_values() {
        let record = Record::decode(&leaf).unwrap();
        if record.outcome.is_accepted() {
            *entries.entry(Entry::decode(&record.entry).unwrap().name()).or_insert(0) += 1;
        }
    }
    let count = |name: &str| entries.get(name).copied().unwrap_or(0);
    assert_eq!((count("rotate-key"), count("freeze-key")), (ROUNDS, ROUNDS), "{entries:?}");
    assert_eq!((count("schedule-destroy-key"), count("bind-key")), (ROUNDS, 3 + ROUNDS), "{entries:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_database_is_told_as_such_and_the_servers_go_on_without_a_restart() {
    let Some(mut postgres) = Postgres::start() else { return };
    let keyward = over(&postgres.database());
    let apps = both(&keyward, "app").await;
    apps[0].create_app_key("steady", Scheme::Ed25519).await.unwrap();
    sign(&apps[1], message("steady", "before", "before")).await.unwrap();
    let servers = ["service", "service-2"].map(|name| keyward.pid(name));
    let under_way = {
        let app = apps[0].clone();
        tokio::spawn(async move { sign(&app, message("steady", "in the middle", "middle")).await })
    };
    postgres.kill();
    if let Err(status) = under_way.await.unwrap() {
        assert_eq!((status.code(), code(&status).as_str()), (Code::Unavailable, "STORE_UNAVAILABLE"));
    }
    for app in &apps {
        let refused = sign(app, message("steady", "without it", "without")).await.unwrap_err();
        assert_eq!((refused.code(), code(&refused).as_str()), (Code::Unavailable, "STORE_UNAVAILABLE"));
        let refused = create(app, "without", "made without").await.unwrap_err();
        assert_eq!(code(&refused), "STORE_UNAVAILABLE", "{refused:?}");
    }
    postgres.restart();
    let again = [(0, "in the middle", "middle"), (1, "without it", "without"), (1, "before", "before")];
    for (server, text, mark) in again {
        until("the same request to be answered", async || {
            sign(&apps[server], message("steady", text, mark)).await.is_ok()
        })
        .await;
    }
    until("the key to be made", async || create(&apps[1], "without", "made without").await.is_ok()).await;
    assert_eq!(["service", "service-2"].map(|name| keyward.pid(name)), servers, "nobody was restarted");
}

#[test]
fn a_second_server_with_the_same_submitter_key_does_not_start() {
    let keyward = Keyward::start_with(&["--validators", "1"]);
    let config = keyward.dir().join("service/serve.toml");
    let answer = crate::support::keyward::clean(crate::support::keyward::binary())
        .args(["serve", "--config", config.to_str().unwrap(), "--set", "listen=127.0.0.1:0"])
        .env("HSM_SIM_DIR", keyward.dir().join("token"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&answer.stderr);
    assert_eq!(answer.status.code(), Some(1), "{said}");
    assert!(said.contains("submitter key is in use"), "{said}");
    keyward.json(&["key", "create", "--alias", "still-here", "--scheme", "ed25519"]);
}
