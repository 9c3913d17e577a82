//! PostgreSQL keeps the same contract, and survives losing its server.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "../../../tests/support/postgres.rs"]
mod server;

use std::{
    io::{Read as _, Write as _},
    os::unix::net::{UnixListener, UnixStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::contract::{self, SUBMITTER, account, claim, id, intent, signed, signing_key};
use keyward_store::{Change, Claimed, Database, IntentState, Location, Server, Store as _, StoreError};
use server::Postgres;

async fn open(url: &str) -> Database {
    Database::open(&Location::postgres(url, None).unwrap()).await.unwrap()
}

#[tokio::test]
async fn an_open_database_shows_no_password() {
    let Some(server) = Postgres::start() else { return };
    let location = Location::postgres(&server.database(), Some("hunter2".into())).unwrap();
    let store = Database::open(&location).await.unwrap();
    assert!(!format!("{store:?}").contains("hunter2"));
}

#[tokio::test]
async fn postgres_keeps_the_contract() {
    let Some(server) = Postgres::start() else { return };
    contract::suite(&open(&server.database()).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_servers_share_a_database() {
    let Some(server) = Postgres::start() else { return };
    let url = server.database();
    let open = async || open(&url).await;
    contract::servers(open().await, open().await, open).await;
}

#[tokio::test]
async fn servers_that_start_together_make_the_tables_once() {
    let Some(server) = Postgres::start() else { return };
    let url = server.database();
    let (a, b, c) = tokio::join!(open(&url), open(&url), open(&url));
    a.apply(vec![Change::InsertAccount(account("kept"))]).await.unwrap();
    assert!(b.account(id("kept")).await.unwrap().is_some() && c.account(id("kept")).await.unwrap().is_some());
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_refused_untouched() {
    let Some(server) = Postgres::start() else { return };
    let url = server.database();
    open(&url).await.close().await.unwrap();
    server.sql(&url, "INSERT INTO _sqlx_migrations VALUES (99, 'later', now(), true, 'x', 0)");
    let refused = Database::open(&Location::postgres(&url, None).unwrap()).await;
    assert!(matches!(refused, Err(StoreError::TooNew { found: 99, .. })), "{refused:?}");
}

/// Every call in the meantime is told so in bounded time; nothing that was acknowledged is lost; nobody restarts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_database_is_a_passing_error_and_loses_nothing() {
    let Some(mut server) = Postgres::start() else { return };
    let url = server.database();
    let store = Arc::new(open(&url).await);
    signing_key(store.as_ref()).await;
    let run = Server { boot: [1; 16], name: "one".into(), submitter: SUBMITTER };
    store.enter(run.clone()).await.unwrap();
    let (acknowledge, mut acknowledged) = tokio::sync::mpsc::unbounded_channel();
    let mut writers = Vec::new();
    for writer in 0..8_u32 {
        let (store, acknowledge) = (store.clone(), acknowledge.clone());
        writers.push(tokio::spawn(async move {
            for number in 0..100_000_u32 {
                let name = format!("{writer}/{number}");
                let begun = store.begin_intent(intent(&name), Some(claim(&name, 1, 1))).await;
                let kept = match begun {
                    Ok(_) => {
                        store.finish_intent(signed(&name, Some((claim(&name, 1, 1).name, vec![7])))).await
                    }
                    Err(error) => Err(error),
                };
                match kept {
                    Ok(()) => acknowledge.send(name).unwrap(),
                    Err(StoreError::Unavailable { .. }) => return,
                    Err(other) => panic!("{other:?}"),
                }
            }
        }));
    }
    let mut names = Vec::new();
    while names.len() < 300 {
        names.push(acknowledged.recv().await.unwrap());
    }
    server.kill();
    for writer in writers {
        writer.await.unwrap();
    }
    while let Ok(name) = acknowledged.try_recv() {
        names.push(name);
    }
    for refused in [
        store.intent(id("0/0")).await.map(drop),
        store.claim(claim("meanwhile", 1, 1)).await.map(drop),
        store.take_over().await.map(drop),
    ] {
        assert!(matches!(refused, Err(StoreError::Unavailable { .. })), "{refused:?}");
    }
    server.restart();
    assert_eq!(store.claim(claim("afterwards", 1, 1)).await.unwrap(), Claimed::New);
    for name in &names {
        let row = store.intent(id(name)).await.unwrap();
        assert_eq!(row.map(|row| row.state), Some(IntentState::Signed), "{name}");
        let claimed = store.claim(claim(name, 1, 1)).await.unwrap();
        assert_eq!(claimed, Claimed::Done(vec![7]), "{name}");
    }
    assert_eq!(store.take_over().await.unwrap(), 0, "the lock of the submitter is taken again");
    let other = open(&url).await;
    let second = Server { boot: [2; 16], name: "two".into(), submitter: SUBMITTER };
    let refused = other.enter(second).await;
    assert!(matches!(refused, Err(StoreError::SubmitterInUse { .. })), "{refused:?}");
}

#[tokio::test]
async fn a_server_whose_row_was_removed_while_it_lives_enters_again() {
    let Some(server) = Postgres::start() else { return };
    let url = server.database();
    let store = open(&url).await;
    let run = Server { boot: [1; 16], name: "living".into(), submitter: SUBMITTER };
    store.enter(run.clone()).await.unwrap();
    server.sql(&url, "DELETE FROM servers");
    store.take_over().await.unwrap();
    assert_eq!(store.servers().await.unwrap(), [run]);
}

/// A machine that vanished: its connections stand, and nothing answers on them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_falls_silent_is_a_passing_error_in_bounded_time() {
    const BOUND: std::time::Duration = std::time::Duration::from_secs(60);
    let Some(server) = Postgres::start() else { return };
    let between = Between::new(&server.database());
    let store = open(&between.url).await;
    store.enter(Server { boot: [1; 16], name: "one".into(), submitter: SUBMITTER }).await.unwrap();
    between.silent.store(true, Ordering::Relaxed);
    let (written, read, looked) = tokio::join!(
        tokio::time::timeout(BOUND, store.claim(claim("meanwhile", 1, 1))),
        tokio::time::timeout(BOUND, store.intent(id("0/0"))),
        tokio::time::timeout(BOUND, store.take_over()),
    );
    for told in [written.map(|told| told.map(drop)), read.map(|told| told.map(drop))] {
        assert!(matches!(told, Ok(Err(StoreError::Unavailable { .. }))), "{told:?}");
    }
    assert!(matches!(looked, Ok(Err(StoreError::Unavailable { .. }))), "{looked:?}");
    between.silent.store(false, Ordering::Relaxed);
    assert_eq!(store.claim(claim("afterwards", 1, 1)).await.unwrap(), Claimed::New);
}

/// Stands between a store and its server, and can fall silent: then what was connected stays so and gets nothing.
struct Between {
    url: String,
    silent: Arc<AtomicBool>,
    _folder: tempfile::TempDir,
}

impl Between {
    fn new(url: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("kwpg").tempdir_in("/tmp").unwrap();
        let real = url.split("host=").nth(1).unwrap().split('&').next().unwrap().to_owned();
        let silent = Arc::new(AtomicBool::new(false));
        let listener = UnixListener::bind(folder.path().join(".s.PGSQL.5432")).unwrap();
        let url = url.replace(&real, folder.path().to_str().unwrap());
        let falls_silent = silent.clone();
        std::thread::spawn(move || {
            for near in listener.incoming() {
                let (near, silent) = (near.unwrap(), falls_silent.clone());
                let Ok(far) = UnixStream::connect(format!("{real}/.s.PGSQL.5432")) else { continue };
                for (from, to) in [(&near, &far), (&far, &near)] {
                    let (from, to, silent) =
                        (from.try_clone().unwrap(), to.try_clone().unwrap(), silent.clone());
                    std::thread::spawn(move || pass_on(from, to, &silent));
                }
            }
        });
        Self { url, silent, _folder: folder }
    }
}

fn pass_on(mut from: UnixStream, mut to: UnixStream, silent: &AtomicBool) {
    let mut bytes = [0; 4096];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        // What comes in silence is lost, as on a cut line.
        if !silent.load(Ordering::Relaxed) && to.write_all(&bytes[..count]).is_err() {
            break;
        }
    }
    let _gone = to.shutdown(std::net::Shutdown::Both);
}

/// What the hot path costs: printed, so that a change of it is seen.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_signers_share_their_writes() {
    let Some(server) = Postgres::start() else { return };
    let store = Arc::new(open(&server.database()).await);
    signing_key(store.as_ref()).await;
    let began = std::time::Instant::now();
    let mut tasks = Vec::new();
    for signer in 0..64_u32 {
        let store = store.clone();
        tasks.push(tokio::spawn(async move {
            for number in 0..50_u32 {
                let name = format!("{signer}/{number}");
                store.begin_intent(intent(&name), Some(claim(&name, 1, 1))).await.unwrap();
                let response = Some((claim(&name, 1, 1).name, vec![1; 2000]));
                store.finish_intent(signed(&name, response)).await.unwrap();
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(store.queued_releases(SUBMITTER, (0, 0), 5000).await.unwrap().len(), 64 * 50);
    println!("{} signatures' writes in {:?}", 64 * 50, began.elapsed());
}

#[test]
fn passwords_and_unchecked_servers_are_refused_and_nothing_secret_is_shown() {
    let at = |url: &str| Location::postgres(url, Some("hunter2".into()));
    assert!(at("postgres://a:secret@db/x").is_err());
    assert!(at("postgres://a@db/x?password=secret").is_err());
    assert!(at("postgres://a@db.example/x?sslmode=require").is_err());
    assert!(at("postgres://a@db.example/x?sslmode=disable").is_err());
    assert!(at("nonsense").is_err());
    for url in [
        "postgres://a@db.example/x",
        "postgres://a@db.example/x?sslmode=verify-full",
        "postgres://a@127.0.0.1/x?sslmode=disable",
        "postgres:///x?host=/run/postgresql&user=a",
    ] {
        let location = at(url).unwrap();
        assert!(!format!("{location:?} {location}").contains("hunter2"));
    }
}
