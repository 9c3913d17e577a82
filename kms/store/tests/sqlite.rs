//! The embedded adapter keeps the contract, and loses nothing it acknowledged.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod contract;

use std::{
    env,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
};

use contract::{account, claim, id, intent, signed};
use keyward_store::{Change, Claimed, IntentState, Sqlite, Store as _, StoreError};

const CHILD: &str = "KEYWARD_STORE_TEST_CHILD";

#[tokio::test]
async fn sqlite_keeps_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    contract::suite(&Sqlite::open(&folder.path().join("custody.db")).await.unwrap()).await;
}

#[tokio::test]
async fn closing_and_opening_again_keeps_everything() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("custody.db");
    let store = Sqlite::open(&file).await.unwrap();
    store.apply(vec![Change::InsertAccount(account("kept"))]).await.unwrap();
    store.begin_intent(intent("kept"), Some(claim("kept", 1, 1))).await.unwrap();
    store.close().await.unwrap();
    let closed = store.apply(vec![Change::RemoveAct([0; 32])]).await;
    assert!(matches!(closed, Err(StoreError::Closed)), "{closed:?}");
    let store = Sqlite::open(&file).await.unwrap();
    assert_eq!(store.account(id("kept")).await.unwrap(), Some(account("kept")));
    assert_eq!(store.intent(id("kept")).await.unwrap().unwrap().state, IntentState::Submitted);
    assert_eq!(store.claim(claim("kept", 1, 1)).await.unwrap(), Claimed::InProgress);
}

#[tokio::test]
async fn many_writers_share_transactions_and_each_gets_its_own_answer() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(Sqlite::open(&folder.path().join("custody.db")).await.unwrap());
    let mut tasks = Vec::new();
    for number in 0..500_u32 {
        let store = store.clone();
        tasks.push(tokio::spawn(async move {
            // Every fifth intent has an id that somebody else has too: exactly one of them may stand.
            let name = format!("intent {}", number - u32::from(number % 5 == 4));
            store.begin_intent(intent(&name), None).await.is_ok()
        }));
    }
    let mut begun = 0;
    for task in tasks {
        begun += u32::from(task.await.unwrap());
    }
    assert_eq!(begun, 400);
    assert_eq!(store.open_intents(1000).await.unwrap().len(), 400);
}

/// The child writes and says what was acknowledged; the parent kills it and looks.
#[tokio::test]
async fn a_killed_writer_loses_nothing_that_it_acknowledged() {
    if let Ok(file) = env::var(CHILD) {
        return write_until_killed(Path::new(&file)).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("custody.db");
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "a_killed_writer_loses_nothing_that_it_acknowledged", "--nocapture"])
        .env(CHILD, &file)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut acknowledged = Vec::new();
    for line in lines {
        let line = line.unwrap();
        if let Some(name) = line.strip_prefix("kept ") {
            acknowledged.push(name.to_owned());
        }
        if acknowledged.len() == 200 {
            child.kill().unwrap();
            break;
        }
    }
    child.wait().unwrap();
    let store = Sqlite::open(&file).await.unwrap();
    for name in &acknowledged {
        let row = store.intent(id(name)).await.unwrap();
        assert_eq!(row.map(|row| row.state), Some(IntentState::Signed), "{name}");
    }
}

async fn write_until_killed(file: &Path) {
    let store = Sqlite::open(file).await.unwrap();
    for number in 0..1_000_000_u32 {
        let name = format!("n{number}");
        store.begin_intent(intent(&name), None).await.unwrap();
        store.finish_intent(signed(&name, None)).await.unwrap();
        println!("kept {name}");
        std::io::stdout().flush().unwrap();
    }
}

/// What the hot path costs: printed, so that a change of it is seen.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_signers_share_their_writes() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(Sqlite::open(&folder.path().join("custody.db")).await.unwrap());
    let began = std::time::Instant::now();
    let mut tasks = Vec::new();
    for signer in 0..64_u32 {
        let store = store.clone();
        tasks.push(tokio::spawn(async move {
            for number in 0..50_u32 {
                let name = format!("{signer}/{number}");
                store.begin_intent(intent(&name), None).await.unwrap();
                store.finish_intent(signed(&name, None)).await.unwrap();
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let queued = store.queued_releases(5000).await.unwrap();
    assert_eq!(queued.len(), 64 * 50);
    println!("{} signatures' writes in {:?}", queued.len(), began.elapsed());
}
