//! The embedded adapter keeps the contract, and loses nothing it acknowledged.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::{
    env,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
};

use crate::contract::{self, SUBMITTER, account, claim, id, intent, signed, signing_key};
use keyward_store::{
    Change, Claimed, Custody, Database, IntentState, Key, KeyFilter, KeyState, Server, Store as _, StoreError,
};
use sqlx::{
    ConnectOptions as _, Connection as _, SqlSafeStr as _, SqliteConnection,
    migrate::{Migration, MigrationType, Migrator},
};

const CHILD: &str = "KEYWARD_STORE_TEST_CHILD";

#[tokio::test]
async fn sqlite_keeps_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    contract::suite(&Database::sqlite(&folder.path().join("custody.db")).await.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_servers_share_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("custody.db");
    let open = async || Database::sqlite(&file).await.unwrap();
    contract::servers(open().await, open().await, open).await;
}

#[tokio::test]
async fn a_server_whose_row_was_removed_while_it_lives_enters_again() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("custody.db");
    let store = Database::sqlite(&file).await.unwrap();
    let server = Server { boot: [8; 16], name: "living".into(), submitter: SUBMITTER };
    store.enter(server.clone()).await.unwrap();
    sqlx::query("DELETE FROM servers").execute(&mut raw(&file).await).await.unwrap();
    assert_eq!(store.servers().await.unwrap(), []);
    store.take_over().await.unwrap();
    assert_eq!(store.servers().await.unwrap(), [server]);
}

/// A database of the first form, as that version wrote it.
#[tokio::test]
async fn a_database_of_the_first_form_is_brought_forward_with_its_rows() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("custody.db");
    first_form(&file).await;
    let store = Database::sqlite(&file).await.unwrap();
    let key = store.key_by_alias([1; 32], "pay").await.unwrap().unwrap();
    assert_eq!((key.version, key.revision, key.changed_ms), (1, 1, 6));
    assert_eq!(key.custody, Custody::Hosted { sealed: vec![4; 3], kek: String::new() });
    assert_eq!(store.authorisations(key.key_id).await.unwrap(), ["app"], "rows that refer to keys are kept");
    let server = Server { boot: [8; 16], name: "first".into(), submitter: SUBMITTER };
    store.enter(server).await.unwrap();
    assert_eq!(store.acts([8; 16]).await.unwrap().len(), 1, "the first server takes over what was under way");
    assert_eq!(store.queued_releases(SUBMITTER, (0, 0), 9).await.unwrap().len(), 1);
    assert_eq!(
        store.claim(claim("old", 1, 8)).await.unwrap(),
        Claimed::New,
        "claims of the old run are free"
    );
    store.close().await.unwrap();
    Database::sqlite(&file).await.unwrap().close().await.unwrap();
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_refused_untouched() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("custody.db");
    Database::sqlite(&file).await.unwrap().close().await.unwrap();
    let mut raw = raw(&file).await;
    sqlx::query("INSERT INTO _sqlx_migrations VALUES (99, 'later', '2026-01-01', 1, X'00', 0)")
        .execute(&mut raw)
        .await
        .unwrap();
    raw.close().await.unwrap();
    let refused = Database::sqlite(&file).await;
    assert!(matches!(refused, Err(StoreError::TooNew { found: 99, .. })), "{refused:?}");
}

#[cfg(unix)]
#[tokio::test]
async fn nobody_else_may_read_the_file() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("custody.db");
    let store = Database::sqlite(&file).await.unwrap();
    signing_key(&store).await;
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{entry:?}");
    }
    store.close().await.unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    Database::sqlite(&file).await.unwrap();
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
}

async fn raw(file: &Path) -> SqliteConnection {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(file).create_if_missing(true);
    options.connect().await.unwrap()
}

/// The form before there were keys of mode `self`.
#[tokio::test]
async fn a_database_without_self_keys_is_brought_forward_with_every_column() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("custody.db");
    let mut raw = form(&file, 4).await;
    let rows = "
        INSERT INTO accounts (account, kind, name, salt, state, created_ms)
            VALUES (unhex(replace(hex(zeroblob(32)), '00', '01')), 'app', 'a', zeroblob(32), 'open', 5);
        INSERT INTO keys (key_id, account, alias, version, scheme, public_key, mode, state, changed_ms, successor,
                          labels, revision, token_label, token_serial, token_key, agent, claims, created_ms)
            SELECT unhex(replace(hex(zeroblob(32)), '00', '02')), account, 'pay', 3, 1, X'02', 'linked', 'scheduled', 77,
                   unhex(replace(hex(zeroblob(32)), '00', '03')), '{\"team\":\"red\"}', 9, 'bank', '77', X'01', 'desk',
                   'sensitive', 6 FROM accounts;
        INSERT INTO key_labels SELECT key_id, 'team', 'red' FROM keys;
        INSERT INTO authorisations SELECT key_id, 'app', 7 FROM keys;";
    sqlx::raw_sql(rows).execute(&mut raw).await.unwrap();
    raw.close().await.unwrap();
    let store = Database::sqlite(&file).await.unwrap();
    let key = store.key([2; 32]).await.unwrap().unwrap();
    let agent = Some("desk".to_owned());
    let custody = Custody::Linked { label: "bank".into(), serial: "77".into(), id: vec![1], agent };
    assert_eq!(key.custody, custody);
    assert_eq!((key.state, key.changed_ms, key.version), (KeyState::Scheduled, 77, 3));
    assert_eq!((key.successor, key.revision, key.created_ms), (Some([3; 32]), 9, 6));
    assert_eq!((key.claims, key.labels.len()), (vec!["sensitive".to_owned()], 1));
    assert_eq!(store.authorisations([2; 32]).await.unwrap(), ["app"], "rows that refer to keys are kept");
    assert_eq!(store.scheduled_keys(77, 9).await.unwrap().len(), 1);
    let label = Some(("team".to_owned(), "red".to_owned()));
    let filter = KeyFilter { label, limit: 9, ..KeyFilter::default() };
    assert_eq!(store.search_keys(filter).await.unwrap().len(), 1);
}

/// The form before there were shared keys: what refers to keys is kept, and a shared one fits beside them.
#[tokio::test]
async fn a_database_without_shared_keys_is_brought_forward() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("custody.db");
    let mut raw = form(&file, 7).await;
    let rows = "
        INSERT INTO accounts (account, kind, name, salt, state, created_ms)
            VALUES (unhex(replace(hex(zeroblob(32)), '00', '01')), 'person', 'a', zeroblob(32), 'open', 5);
        INSERT INTO keys (key_id, account, alias, version, scheme, public_key, mode, state, changed_ms, claims,
                          created_ms)
            SELECT unhex(replace(hex(zeroblob(32)), '00', '02')), account, 'own', 1, 1, X'02', 'self', 'active', 7, '', 6
            FROM accounts;
        INSERT INTO key_labels SELECT key_id, 'team', 'red' FROM keys;
        INSERT INTO authorisations SELECT key_id, 'app', 7 FROM keys;";
    sqlx::raw_sql(rows).execute(&mut raw).await.unwrap();
    raw.close().await.unwrap();
    let store = Database::sqlite(&file).await.unwrap();
    let own = store.key([2; 32]).await.unwrap().unwrap();
    assert_eq!((&own.custody, own.state), (&Custody::Own, KeyState::Active));
    assert_eq!(store.authorisations([2; 32]).await.unwrap(), ["app"], "rows that refer to keys are kept");
    let custody = Custody::Shared { shared_key: vec![5; 9] };
    let shared = Key { key_id: [3; 32], alias: "treasury".into(), custody: custody.clone(), ..own };
    store.apply(vec![Change::InsertKey(shared)]).await.unwrap();
    assert_eq!(store.key([3; 32]).await.unwrap().unwrap().custody, custody);
}

/// A new database in one of its earlier forms.
async fn form(file: &Path, version: usize) -> SqliteConnection {
    let texts = [
        ("custody", include_str!("../migrations/sqlite/0001_custody.sql")),
        ("life", include_str!("../migrations/sqlite/0002_life.sql")),
        ("names", include_str!("../migrations/sqlite/0003_names.sql")),
        ("names_kept", include_str!("../migrations/sqlite/0004_names_kept.sql")),
        ("vaults", include_str!("../migrations/sqlite/0005_vaults.sql")),
        ("self_keys", include_str!("../migrations/sqlite/0006_self_keys.sql")),
        ("notices", include_str!("../migrations/sqlite/0007_notices.sql")),
    ];
    let migrations = (1..).zip(texts).take(version).map(|(number, (name, text))| {
        Migration::new(number, name.into(), MigrationType::Simple, text.into_sql_str(), false)
    });
    let mut raw = raw(file).await;
    Migrator::with_migrations(migrations.collect()).run(&mut raw).await.unwrap();
    raw
}

async fn first_form(file: &Path) {
    let mut raw = form(file, 1).await;
    let rows = "
        INSERT INTO accounts (account, kind, name, salt, state, created_ms)
            VALUES (unhex(replace(hex(zeroblob(32)), '00', '01')), 'app', 'a', zeroblob(32), 'open', 5);
        INSERT INTO keys (key_id, account, alias, scheme, public_key, mode, state, version, sealed_private, claims,
                          created_ms)
            SELECT unhex(replace(hex(zeroblob(32)), '00', '02')), account, 'pay', 1, X'02', 'hosted', 'active', 1,
                   X'040404', '', 6 FROM accounts;
        INSERT INTO authorisations SELECT key_id, 'app', 7 FROM keys;
        INSERT INTO idempotency (principal, key, request_hash, boot, created_ms)
            VALUES ('app/a', CAST('old' AS BLOB), unhex(replace(hex(zeroblob(32)), '00', '01')), X'0909', 8);
        INSERT INTO acts SELECT key_id, 'freeze', key_id, 'x', 9, 9 FROM keys;
        INSERT INTO intents (id, key_id, r, payload_hash, policy, not_after, state, leaf_index, height,
                             signature_hash, created_ms)
            SELECT key_id, key_id, zeroblob(32), zeroblob(32), zeroblob(32), 9, 'signed', 1, 1, zeroblob(32), 9
            FROM keys;";
    sqlx::raw_sql(rows).execute(&mut raw).await.unwrap();
    raw.close().await.unwrap();
}

#[tokio::test]
async fn closing_and_opening_again_keeps_everything() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("custody.db");
    let store = Database::sqlite(&file).await.unwrap();
    signing_key(&store).await;
    store.apply(vec![Change::InsertAccount(account("kept"))]).await.unwrap();
    store.begin_intent(intent("kept"), Some(claim("kept", 1, 1))).await.unwrap();
    store.close().await.unwrap();
    let closed = store.apply(vec![Change::RemoveAct([0; 32])]).await;
    assert!(matches!(closed, Err(StoreError::Closed)), "{closed:?}");
    let store = Database::sqlite(&file).await.unwrap();
    assert_eq!(store.account(id("kept")).await.unwrap(), Some(account("kept")));
    assert_eq!(store.intent(id("kept")).await.unwrap().unwrap().state, IntentState::Submitted);
    assert_eq!(store.claim(claim("kept", 1, 1)).await.unwrap(), Claimed::InProgress);
}

#[tokio::test]
async fn many_writers_share_transactions_and_each_gets_its_own_answer() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(Database::sqlite(&folder.path().join("custody.db")).await.unwrap());
    signing_key(store.as_ref()).await;
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
    assert_eq!(store.open_intents(SUBMITTER, 1000).await.unwrap().len(), 400);
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
        .args(["--exact", "sqlite::a_killed_writer_loses_nothing_that_it_acknowledged", "--nocapture"])
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
    assert_eq!(acknowledged.len(), 200, "the child wrote");
    let store = Database::sqlite(&file).await.unwrap();
    for name in &acknowledged {
        let row = store.intent(id(name)).await.unwrap();
        assert_eq!(row.map(|row| row.state), Some(IntentState::Signed), "{name}");
    }
}

async fn write_until_killed(file: &Path) {
    let store = Database::sqlite(file).await.unwrap();
    signing_key(&store).await;
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
    let store = Arc::new(Database::sqlite(&folder.path().join("custody.db")).await.unwrap());
    signing_key(store.as_ref()).await;
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
    let queued = store.queued_releases(SUBMITTER, (0, 0), 5000).await.unwrap();
    assert_eq!(queued.len(), 64 * 50);
    println!("{} signatures' writes in {:?}", queued.len(), began.elapsed());
}
