//! The ledger's records in a database: exactly once, resumable, held against the log's root, and never beside something else.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use crate::support::{self, Chain, Postgres, database, ledger, server_of};
use keyward_projection::{Database, Ledger, ProjectionError, Projector};

async fn projector(url: &str) -> Result<Projector, ProjectionError> {
    Projector::begin(database(url).await?, Vec::new(), |_| {}).await
}

#[tokio::test]
async fn what_is_projected_is_the_ledger_and_a_second_run_changes_nothing() {
    let Some(server) = Postgres::start() else { return };
    let (url, chain) = (server.database(), Chain::new(40));
    let mut projector = projector(&url).await.unwrap();
    assert_eq!(projector.from_height(), 1);
    for block in &chain.blocks {
        projector.push(block).await.unwrap();
    }
    projector.finish().await.unwrap();
    drop(projector);
    let digest = "SELECT md5(string_agg(r::text, '' ORDER BY leaf_index)), count(*) FROM keyward.records r";
    let before = server.sql(&url, digest);
    assert!(before.ends_with(&format!("|{}", chain.records())), "{before}");

    let mut again = self::projector(&url).await.unwrap();
    assert_eq!((again.from_height(), again.height(), again.leaves()), (40, 40, chain.records()));
    for block in &chain.blocks {
        again.push(block).await.unwrap();
    }
    again.finish().await.unwrap();
    assert_eq!(server.sql(&url, digest), before);
}

/// What SPEC.md says about checking a row, done by the database itself.
#[tokio::test]
async fn a_row_says_all_that_its_leaf_hash_is_made_of() {
    let Some(server) = Postgres::start() else { return };
    let (url, chain) = (server.database(), Chain::new(6));
    let mut projector = projector(&url).await.unwrap();
    for block in &chain.blocks {
        projector.push(block).await.unwrap();
    }
    projector.finish().await.unwrap();
    let wrong = server.sql(
        &url,
        "SELECT count(*) FROM keyward.records WHERE leaf_hash <> sha256('\\x0001'::bytea || int8send(height) || int8send(time_ms) \
         || submitter || int8send(sequence) || int4send(place::int) || int4send(length(entry)) || entry \
         || int4send(4 + length(outcome_data)) || int2send(outcome::smallint) || int2send(length(outcome_data)::smallint) || outcome_data)",
    );
    assert_eq!(wrong, "0");
    assert_eq!(
        server.sql(&url, "SELECT count(*) FROM keyward.records WHERE kind_name = 'open-account'"),
        "10"
    );
    let named = format!(
        "SELECT count(*) FROM keyward.records WHERE subjects @> ARRAY['\\x{}'::bytea]",
        hex::encode(chain.account(0))
    );
    assert_eq!(server.sql(&url, &named), "1");
    assert_eq!(
        server.sql(&url, "SELECT sequence FROM keyward.records ORDER BY leaf_index LIMIT 1"),
        "-1",
        "u64::MAX"
    );
}

#[tokio::test]
async fn a_projector_that_is_killed_goes_on_where_it_was() {
    let Some(mut server) = Postgres::start() else { return };
    let (url, chain) = (server.database(), Chain::new(60));
    let mut seen = 0;
    for stop in [1, 7, 8, 30, 60] {
        let mut projector = projector(&url).await.unwrap();
        assert_eq!(projector.height(), seen);
        for block in &chain.blocks[..stop] {
            projector.push(block).await.unwrap();
        }
        if stop % 2 == 1 || stop == 60 {
            projector.finish().await.unwrap();
            seen = stop as u64;
        }
        // Killed with what it gathered; with the server, too, every other time.
        drop(projector);
        if stop == 8 {
            server.kill();
            server.restart();
        }
        support::until_free(&server, &url).await;
    }
    assert_eq!(server.sql(&url, "SELECT count(*), max(leaf_index) FROM keyward.records"), {
        format!("{}|{}", chain.records(), chain.records() - 1)
    });
}

#[tokio::test]
async fn rows_that_somebody_changed_are_refused() {
    let Some(server) = Postgres::start() else { return };
    let chain = Chain::new(5);
    let changes = [
        "UPDATE keyward.records SET entry = entry || '\\x00' WHERE leaf_index = 3",
        "UPDATE keyward.records SET outcome = 5 WHERE leaf_index = 3",
        "UPDATE keyward.records SET leaf_hash = sha256('x') WHERE leaf_index = 3",
        "UPDATE keyward.records SET place = 5000000000 WHERE leaf_index = 3",
        "UPDATE keyward.records SET submitter = 'x' WHERE leaf_index = 3",
        "DELETE FROM keyward.records WHERE leaf_index = 3",
        "DELETE FROM keyward.records WHERE leaf_index = 9",
        // A row that fits itself, and not the ledger: the root of the log tells.
        "UPDATE keyward.records r SET leaf_hash = o.leaf_hash, entry = o.entry, sequence = o.sequence, place = o.place, time_ms = o.time_ms, \
         height = o.height, outcome = o.outcome, outcome_data = o.outcome_data FROM keyward.records o \
         WHERE r.leaf_index = 3 AND o.leaf_index = 4",
    ];
    for change in changes {
        let url = server.database();
        let mut first = projector(&url).await.unwrap();
        for block in &chain.blocks[..4] {
            first.push(block).await.unwrap();
        }
        first.finish().await.unwrap();
        drop(first);
        support::until_free(&server, &url).await;
        server.sql(&url, change);
        let refused = async {
            let mut second = projector(&url).await?;
            second.push(&chain.blocks[3]).await
        };
        let refused = refused.await;
        assert!(matches!(refused, Err(ProjectionError::Changed { .. })), "{change}: {refused:?}");
    }
}

#[tokio::test]
async fn blocks_out_of_turn_or_of_another_history_are_refused() {
    let Some(server) = Postgres::start() else { return };
    let (url, chain, other) = (server.database(), Chain::new(5), Chain::with(5, 9));
    let mut projector = projector(&url).await.unwrap();
    projector.push(&chain.blocks[0]).await.unwrap();
    let gap = projector.push(&chain.blocks[2]).await;
    assert!(matches!(gap, Err(ProjectionError::Gap { expected: 2, found: 3 })), "{gap:?}");
    let strange = projector.push(&other.blocks[1]).await;
    assert!(matches!(strange, Err(ProjectionError::Changed { .. })), "{strange:?}");
}

#[tokio::test]
async fn one_projector_keeps_one_database_of_one_ledger() {
    let Some(server) = Postgres::start() else { return };
    let url = server.database();
    let first = database(&url).await.unwrap();
    let second = database(&url).await;
    assert!(matches!(second, Err(ProjectionError::InUse)), "{second:?}");
    drop(first);
    support::until_free(&server, &url).await;
    let other = Ledger { chain_id: [9; 32], name: "other".into() };
    let refused = Database::open(&server_of(&url), other).await;
    assert!(
        matches!(&refused, Err(ProjectionError::OtherLedger { found }) if found.starts_with("story ")),
        "{refused:?}"
    );
    support::until_free(&server, &url).await;
    server.sql(&url, "UPDATE keyward.ledger SET form = 99");
    let refused = database(&url).await;
    assert!(matches!(refused, Err(ProjectionError::TooNew { found: 99, known: 1 })), "{refused:?}");
}

#[tokio::test]
async fn a_database_that_holds_anything_else_is_refused_untouched() {
    let Some(server) = Postgres::start() else { return };
    for (prepared, strange) in [
        (false, "TABLE customers (a int)"),
        (true, "TABLE customers (a int)"),
        (true, "VIEW keyward.all_of_it AS SELECT 1"),
        (true, "SEQUENCE keyward.s"),
        (true, "SCHEMA g_1 CREATE TABLE transactions (a int)"),
    ] {
        let url = server.database();
        if prepared {
            drop(database(&url).await.unwrap());
            support::until_free(&server, &url).await;
        }
        server.sql(&url, &format!("CREATE {strange}"));
        let refused = database(&url).await;
        assert!(matches!(&refused, Err(ProjectionError::NotOwn { .. })), "{strange}: {refused:?}");
        let ours = server.sql(&url, "SELECT count(*) FROM pg_namespace WHERE nspname = 'keyward'");
        assert_eq!(ours, if prepared { "1" } else { "0" });
        support::until_free(&server, &url).await;
    }
    assert_eq!(ledger().name, "story");
}

#[tokio::test]
async fn a_server_that_is_not_fit_gets_no_readers() {
    let Some(server) = Postgres::start() else { return };
    let url = server.database();
    let unfit = async |server: &Postgres, url: &str, word: &str| {
        let refused = database(url).await.unwrap().harden().await;
        let Err(ProjectionError::Unfit { what, .. }) = &refused else { panic!("{word}: {refused:?}") };
        assert!(what.contains(word), "{what}");
        support::until_free(server, url).await;
    };
    unfit(&server, &url, "its log").await;
    let Some(server) = Postgres::start_for_readers() else { return };
    let (url, _other) = (server.database(), server.database());
    unfit(&server, &url, "serves another database, `d1`").await;
    for statement in ["DROP DATABASE d1", "DROP SCHEMA keyward CASCADE"] {
        server.sql(&url, statement);
    }
    server.sql(&url, "ALTER ROLE keyward SET update_process_title = off");
    unfit(&server, &url, "who is logged in").await;
    server.sql(&url, "ALTER ROLE keyward RESET ALL");
    server.sql(&url, "DROP SCHEMA keyward CASCADE");
    server.sql(&url, "CREATE ROLE plain LOGIN PASSWORD 'plain'; ALTER DATABASE d0 OWNER TO plain");
    let plain = keyward_store::Location::postgres(
        &format!("postgres://plain@127.0.0.1:{}/d0", server.port.unwrap()),
        Some("plain".into()),
    );
    let Ok(keyward_store::Location::Postgres(plain)) = plain else { panic!() };
    let mut weak = Database::open(&plain, ledger()).await.unwrap();
    let refused = weak.harden().await;
    assert!(
        matches!(&refused, Err(ProjectionError::Unfit { what, .. }) if what.contains("no superuser")),
        "{refused:?}"
    );
    // Records alone need none.
    let mut records = Projector::begin(weak, Vec::new(), |_| {}).await.unwrap();
    records.push(&Chain::new(1).blocks[0]).await.unwrap();
    records.finish().await.unwrap();
}
