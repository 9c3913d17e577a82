//! What grants open, as rows: exactly that, kept up to date, verified by leaf hash, and the same in PostgreSQL and SQLite.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::process::Command;
use std::time::Duration;

use crate::support::{self, Postgres, site::bounds, until_free};
use crate::town::{self, OFFICERS, Town, common::mutate::Random};
use keyward_audit::{GrantFile, Relinker};
use keyward_domain::blind::Blinded;
use keyward_domain::detail::ApprovedBy;
use keyward_ledger_core::entry::{Act, Case, Entry, kind};
use keyward_projection::{Block, Feed, ProjectionError, Projector, SqliteFile};

/// The blocks of a town's ledger, as they come after they were verified.
fn blocks(town: &Town) -> Vec<Block> {
    let blocks = town.world.blocks.iter().map(|(block, executed)| {
        let (header, first) = (block.header(), executed.first_leaf() as usize);
        let records = &town.world.records[first..first + executed.leaf_hashes.len()];
        let (log_size, log_root) = (header.log_size, header.log_root);
        Block {
            height: header.height,
            time_ms: header.time_ms,
            log_size,
            log_root,
            records: records.to_vec(),
        }
    });
    blocks.collect()
}

/// Two accounts over three epochs of which the first two are closed, a payment, and two grants: each of one account.
fn story() -> (Town, Vec<GrantFile>) {
    let mut town = Town::new(2, Random::seeded("projection"));
    town.publish();
    town.world.wait(town::EPOCH_MS);
    let first = town.epoch() + 1;
    for epoch in first..first + 3 {
        town.go(epoch, 5_000);
        for owner in [0, 1, 0] {
            let (_, intent) = town.use_one(owner);
            if epoch == first {
                town.release(intent);
            }
        }
        if epoch == first + 1 {
            town.pay(0);
        }
    }
    town.elapse(first + 2);
    for (owner, epoch) in [(0, first), (1, first), (1, first + 1), (0, first + 1)] {
        town.close(owner, epoch);
    }
    let mut files = Vec::new();
    for owner in [0, 1] {
        // One officer approves, takes it back, and approves again.
        let mut file = town.granted_amid(&[owner], (first, first + 2), |town, case| {
            town.acted(Act::Approve { case, group: 0 }, &[OFFICERS[0]]);
            town.acted(Act::WithdrawApproval(case), &[OFFICERS[0]]);
        });
        town.open(&mut file, owner, first, first + 2);
        files.push(GrantFile::decode(&file.encode().expose(<[u8]>::to_vec)).unwrap());
    }
    (town, files)
}

fn copy(file: &GrantFile) -> GrantFile {
    GrantFile::decode(&file.encode().expose(<[u8]>::to_vec)).unwrap()
}

/// A projector over a database whose grants have these readers.
async fn projector(url: &str, town: &Town, files: &[&GrantFile]) -> (Projector, Vec<String>) {
    let ledger = keyward_projection::Ledger { chain_id: files[0].chain_id, name: "town".into() };
    let mut database = keyward_projection::Database::open(&support::server_of(url), ledger).await.unwrap();
    database.harden().await.unwrap();
    let (mut feeds, mut roles) = (Vec::new(), Vec::new());
    for file in files {
        let relinker = Relinker::new(copy(file), &town.trust()).unwrap();
        let grant = Some((relinker.granted().grant.id, relinker.granted().grant.expires_ms));
        let kept = |_: &keyward_projection::Credentials| Ok::<_, std::convert::Infallible>(());
        let role = database.reader(grant, &bounds(), 1, kept).await.unwrap();
        feeds.push(Feed::new(role.clone(), relinker));
        roles.push(role);
    }
    (Projector::begin(database, feeds, |_| {}).await.unwrap(), roles)
}

async fn push(projector: &mut Projector, blocks: &[Block]) {
    for block in blocks {
        projector.push(block).await.unwrap();
    }
    projector.finish().await.unwrap();
}

const TABLES: [(&str, &str); 8] = [
    ("about", "grant_id"),
    ("accounts", "account"),
    ("runs", "account, first"),
    ("acts", "leaf_index"),
    ("transactions", "leaf_index"),
    ("payments", "leaf_index"),
    ("epochs", "account, epoch"),
    ("records", "leaf_index"),
];

fn all_rows(server: &Postgres, url: &str, role: &str) -> String {
    let question = |(table, key): &(&str, &str)| {
        server.sql(url, &format!("SELECT string_agg(t::text, E'\\n' ORDER BY {key}) FROM {role}.{table} t"))
            + "\n"
    };
    TABLES.iter().map(question).collect()
}

#[tokio::test]
async fn each_grant_has_exactly_its_rows_and_they_hold() {
    let Some(server) = Postgres::start_for_readers() else { return };
    let (url, (town, files)) = (server.database(), story());
    let (mut projector, roles) = projector(&url, &town, &[&files[0], &files[1]]).await;
    push(&mut projector, &blocks(&town)).await;
    for (owner, role) in roles.iter().enumerate() {
        let approved = format!("SELECT count(*) FROM {role}.acts WHERE step = 'approved'");
        assert_eq!(server.sql(&url, &approved), "2", "what was taken back is none");
        let uses: std::collections::BTreeSet<u64> =
            town.owners[owner].uses.values().flatten().copied().collect();
        let uses: Vec<_> = uses.iter().map(ToString::to_string).collect();
        assert_eq!(
            server.sql(
                &url,
                &format!(
                    "SELECT string_agg(leaf_index::text, ',' ORDER BY leaf_index) FROM {role}.transactions"
                )
            ),
            uses.join(",")
        );
        let account = hex::encode(town.owners[owner].account());
        let others = format!(
            "SELECT count(*) FROM {role}.transactions WHERE account <> '\\x{account}' OR app <> 'till' OR lies <> ''"
        );
        assert_eq!(server.sql(&url, &others), "0");
        let epochs = format!("SELECT string_agg(completeness, ',' ORDER BY epoch) FROM {role}.epochs");
        assert_eq!(server.sql(&url, &epochs), "complete,complete,not-closed");
        let released = format!("SELECT count(*) FROM {role}.transactions WHERE signature_hash IS NOT NULL");
        assert_eq!(server.sql(&url, &released), if owner == 0 { "2" } else { "1" });
        let steps = format!("SELECT string_agg(DISTINCT step, ',') FROM {role}.acts");
        assert_eq!(server.sql(&url, &steps), "approved,case-opened,delivered,issued,opened,requested");
        assert_eq!(
            server.sql(&url, &format!("SELECT count(*) FROM {role}.payments")),
            if owner == 0 { "1" } else { "0" }
        );
        // Every row leads to its record, whose columns make its leaf hash; no record stands there for nothing.
        let unproven = format!(
            "SELECT count(*) FROM (SELECT leaf_index, leaf_hash FROM {role}.transactions UNION ALL SELECT release_leaf_index, release_leaf_hash \
             FROM {role}.transactions WHERE release_leaf_index IS NOT NULL UNION ALL SELECT leaf_index, leaf_hash FROM {role}.acts UNION ALL SELECT leaf_index, leaf_hash FROM {role}.runs UNION ALL \
             SELECT leaf_index, leaf_hash FROM {role}.payments UNION ALL SELECT leaf_index, leaf_hash FROM {role}.accounts UNION ALL SELECT leaf_index, \
             leaf_hash FROM {role}.epochs WHERE leaf_index IS NOT NULL) said FULL JOIN {role}.records r USING (leaf_index, leaf_hash) \
             WHERE said IS NULL OR r.height IS NULL"
        );
        assert_eq!(server.sql(&url, &unproven), "0");
        let delivered = format!(
            "SELECT count(*) FROM {role}.runs JOIN {role}.acts a USING (leaf_index, leaf_hash, account, first, last) WHERE step = 'delivered'"
        );
        assert_eq!(server.sql(&url, &delivered), "1");
        // The commitment in the record is to what the row says was signed.
        let commitment = format!(
            "SELECT count(*) FROM {role}.transactions WHERE opening IS NULL OR payload_hash IS NULL OR length(public_key) <> 33"
        );
        assert_eq!(server.sql(&url, &commitment), "0");
        let about = format!("SELECT leaves, height, purpose FROM {role}.about");
        assert_eq!(
            server.sql(&url, &about),
            format!("{}|{}|{}", town.world.records.len(), town.world.blocks.len(), town::PURPOSE)
        );
    }
    let shared = format!(
        "SELECT count(*) FROM {}.transactions a JOIN {}.transactions b USING (leaf_index)",
        roles[0], roles[1]
    );
    assert_eq!(server.sql(&url, &shared), "0");
}

#[tokio::test]
async fn block_by_block_and_over_restarts_the_same_rows_come_out() {
    let Some(server) = Postgres::start_for_readers() else { return };
    let (url, (town, files)) = (server.database(), story());
    let blocks = blocks(&town);
    let mut role = String::new();
    // Each restart with the file read anew; within a run, block by block.
    for stop in [blocks.len() / 3, blocks.len() - 3, blocks.len()] {
        let (mut projector, roles) = projector(&url, &town, &[&files[0]]).await;
        for block in &blocks[..stop] {
            push(&mut projector, std::slice::from_ref(block)).await;
        }
        role.clone_from(&roles[0]);
        drop(projector);
        until_free(&server, &url).await;
    }
    let slowly = all_rows(&server, &url, &role);
    for statement in [
        format!("DROP SCHEMA {role} CASCADE"),
        format!("DROP OWNED BY {role}"),
        format!("DROP ROLE {role}"),
        "DROP SCHEMA keyward CASCADE".into(),
    ] {
        server.sql(&url, &statement);
    }
    let (mut projector, roles) = projector(&url, &town, &[&files[0]]).await;
    push(&mut projector, &blocks).await;
    assert_eq!(all_rows(&server, &url, &roles[0]), slowly);
}

/// A use that both officers approved, the one after he had taken it back, and its case.
fn approved_use(town: &mut Town) -> Case {
    let (mut draft, salt) = (town.draft(0), [7; 32]);
    let detail = draft.detail.clone();
    let blinded = Blinded {
        salt: &salt,
        account: &detail.account,
        scheme: draft.used.scheme,
        payload_hash: &detail.payload_hash,
        format: &detail.format,
    };
    let open = blinded.open(OFFICERS[0].rule().id(kind::DEFINE_APPROVAL), 600_000);
    let outcome = town.world.submit(&[Entry::OpenBlindCase(open)]).remove(0);
    let case = Case { id: outcome.data.try_into().unwrap(), payload: open.payload() };
    let approve = |town: &mut Town, officer| town.acted(Act::Approve { case, group: 0 }, &[officer]);
    approve(town, OFFICERS[0]);
    town.acted(Act::WithdrawApproval(case), &[OFFICERS[0]]);
    approve(town, OFFICERS[1]);
    approve(town, OFFICERS[0]);
    town.record(vec![(0, Entry::UseBlindCase(blinded.use_up(case.id)))]);
    draft.detail.approved = Some(ApprovedBy { case: case.id, salt });
    let entry = town.seal(0, draft);
    town.record(vec![(0, entry)]);
    case
}

#[tokio::test]
async fn rows_say_who_approved_and_when_an_account_was_closed_and_have_the_records_of_it() {
    let Some(server) = Postgres::start_for_readers() else { return };
    let (url, mut town) = (server.database(), Town::new(1, Random::seeded("approved")));
    town.publish();
    let first = town.epoch() + 1;
    town.go(first, 5_000);
    let case = approved_use(&mut town);
    town.use_one(0);
    let mut file = town.granted(&[0], first, first);
    town.elapse(first);
    town.open(&mut file, 0, first, first);
    let (mut projector, roles) = projector(&url, &town, &[&file]).await;
    push(&mut projector, &blocks(&town)).await;
    let asks = |question: &str| {
        let told = server.sql(&url, &format!("SET search_path = {}; {question}", roles[0]));
        told.trim_start_matches("SET\n").to_owned()
    };
    let approvals = "SELECT encode(approval_case, 'hex'), encode(approval_rule, 'hex'), approved_by, lies FROM transactions \
         ORDER BY leaf_index";
    let rule = hex::encode(OFFICERS[0].rule().id(kind::DEFINE_APPROVAL));
    let by = [OFFICERS[1], OFFICERS[0]].map(|officer| hex::encode(officer.account())).join(", ");
    assert_eq!(asks(approvals), format!("{}|{rule}|{by}|\n|||", hex::encode(case.id)));
    // As SPEC has it. What was taken back stands for nothing.
    let records = "SELECT r.kind_name, r.outcome_name FROM transactions t JOIN records r ON r.outcome_data = t.approval_case \
         OR position(t.approval_case IN r.entry) > 0 ORDER BY r.leaf_index";
    let found = asks(records);
    let found: Vec<_> = found.lines().collect();
    assert_eq!(
        found,
        ["open-blind-case|ACCEPTED", "approve|ACCEPTED", "approve|ACCEPTED", "use-blind-case|ACCEPTED"]
    );

    // The closing comes while the projector runs, and no other record of the grant.
    let closed = "SELECT a.closed_ms = r.time_ms, r.kind_name FROM accounts a LEFT JOIN records r \
         ON (r.leaf_index, r.leaf_hash) = (a.closed_leaf_index, a.closed_leaf_hash)";
    assert_eq!(asks(closed), "|");
    let (account, person) = (town.owners[0].account(), town.owners[0].person);
    town.acted(Act::CloseAccount { account }, &[person]);
    push(&mut projector, &blocks(&town)).await;
    assert_eq!(asks(closed), "t|close-own-account");
}

/// What was opened stays so, and time goes on: another epoch of the period elapses, and nobody opened it.
#[tokio::test]
async fn what_is_whole_follows_the_time() {
    let Some(server) = Postgres::start_for_readers() else { return };
    let (url, (mut town, _)) = (server.database(), story());
    let first = town.epoch() - 3;
    let mut file = town.granted(&[0], first, first + 3);
    town.open(&mut file, 0, first, first + 2);
    let (mut projector, roles) = projector(&url, &town, &[&file]).await;
    let question =
        format!("SELECT a.complete, a.whole, o.unopened FROM {0}.about a, {0}.accounts o", roles[0]);
    push(&mut projector, &blocks(&town)).await;
    assert_eq!(server.sql(&url, &question), "0|1|0");
    town.elapse(first + 3);
    town.world.enroll(town::common::acts::Person(0x77));
    push(&mut projector, &blocks(&town)).await;
    assert_eq!(server.sql(&url, &question), "0|0|1", "though no record of the grant came");
    drop(projector);
    until_free(&server, &url).await;
    town.open(&mut file, 0, first + 3, first + 3);
    town.close(0, first + 2);
    let (mut projector, _) = self::projector(&url, &town, &[&file]).await;
    push(&mut projector, &blocks(&town)).await;
    assert_eq!(server.sql(&url, &question), "1|1|0");
}

#[tokio::test]
async fn a_newer_grant_file_shows_more_and_rows_that_somebody_changed_are_put_right() {
    let Some(server) = Postgres::start_for_readers() else { return };
    let (url, (town, files)) = (server.database(), story());
    let mut narrow = copy(&files[0]);
    narrow.openings.clear();
    let (mut first, roles) = projector(&url, &town, &[&narrow]).await;
    push(&mut first, &blocks(&town)).await;
    let count = format!("SELECT count(*) FROM {}.transactions", roles[0]);
    assert_eq!(server.sql(&url, &count), "0");
    drop(first);
    until_free(&server, &url).await;
    let (mut second, again) = projector(&url, &town, &[&files[0]]).await;
    assert_eq!(again, roles, "a grant keeps its reader");
    push(&mut second, &[]).await;
    assert_eq!(server.sql(&url, &count), "6");
    let rows = all_rows(&server, &url, &roles[0]);
    drop(second);
    until_free(&server, &url).await;
    for change in [
        format!("UPDATE {0}.transactions SET said = 'nothing'", roles[0]),
        format!("DELETE FROM {0}.epochs", roles[0]),
        format!(
            "INSERT INTO {0}.records SELECT leaf_index + 1000, leaf_hash, height, time_ms, submitter, sequence, place, kind, \
        kind_name, entry, outcome, outcome_name, outcome_data FROM {0}.records",
            roles[0]
        ),
    ] {
        server.sql(&url, &change);
    }
    let (mut third, _) = projector(&url, &town, &[&files[0]]).await;
    push(&mut third, &[]).await;
    assert_eq!(all_rows(&server, &url, &roles[0]), rows);
}

/// Goes on until a grant's rows were replaced; each call reads a page at least.
async fn renewed(projector: &mut Projector) -> Vec<[u8; 32]> {
    loop {
        let renewed = projector.renew(Duration::ZERO, true).await.unwrap();
        if !renewed.is_empty() {
            return renewed;
        }
    }
}

#[tokio::test]
async fn a_newer_grant_file_shows_more_while_the_projector_runs() {
    let Some(server) = Postgres::start_for_readers() else { return };
    let (url, (town, files)) = (server.database(), story());
    let blocks = blocks(&town);
    let mut narrow = copy(&files[0]);
    narrow.openings.clear();
    let (mut projector, roles) = projector(&url, &town, &[&narrow, &files[1]]).await;
    let relinker = |file: &GrantFile| Relinker::new(copy(file), &town.trust()).unwrap();
    push(&mut projector, &blocks[..blocks.len() - 1]).await;
    let uses = format!("SELECT count(*) FROM {}.transactions", roles[0]);
    assert!(projector.replace(relinker(&files[0])) && projector.replace(relinker(&files[0])));
    assert_eq!(server.sql(&url, &uses), "0", "as before until all of it is there");
    // A block that is not written yet belongs to it too.
    projector.push(blocks.last().unwrap()).await.unwrap();
    assert_eq!(renewed(&mut projector).await, [town.grant_id(&files[0])]);
    assert!(projector.renew(Duration::ZERO, true).await.unwrap().is_empty(), "once");
    let Some(other_server) = Postgres::start_for_readers() else { return };
    let fresh = other_server.database();
    let (mut anew, others) = self::projector(&fresh, &town, &[&files[0], &files[1]]).await;
    push(&mut anew, &blocks).await;
    for (role, other) in roles.iter().zip(&others) {
        assert_eq!(all_rows(&server, &url, role), all_rows(&other_server, &fresh, other));
    }
    assert_eq!(server.sql(&url, &uses), "6");
    // What an older file does not open goes.
    assert!(projector.replace(relinker(&narrow)));
    renewed(&mut projector).await;
    assert_eq!(server.sql(&url, &uses), "0");
    assert_eq!(all_rows(&server, &url, &roles[1]), all_rows(&other_server, &fresh, &others[1]));
}

#[tokio::test]
async fn a_newer_grant_file_waits_for_its_records_and_counts_for_its_own_grant_alone() {
    let Some(server) = Postgres::start_for_readers() else { return };
    let (url, (mut town, files)) = (server.database(), story());
    let blocks = blocks(&town);
    let relinker = |town: &Town, file: &GrantFile| Relinker::new(copy(file), &town.trust()).unwrap();
    let (mut projector, roles) = projector(&url, &town, &[&files[0]]).await;
    push(&mut projector, &blocks[..blocks.len() / 2]).await;
    let run = format!("SELECT source, leaf_index FROM {}.runs", roles[0]);
    assert_eq!(server.sql(&url, &run), "hosted|", "its delivery is not in the log yet");
    assert!(!projector.replace(relinker(&town, &files[1])), "nobody reads it here");
    assert!(projector.replace(relinker(&town, &files[0])));
    assert!(projector.lacks_records_of_grants());
    assert!(projector.renew(Duration::from_secs(1), true).await.unwrap().is_empty());
    push(&mut projector, &blocks[blocks.len() / 2..]).await;
    assert_eq!(renewed(&mut projector).await, [town.grant_id(&files[0])]);

    // Revoked, it has no rows to replace; nor has one whose reader the guard closed.
    assert!(projector.replace(relinker(&town, &files[0])));
    town.revoke(&files[0]);
    push(&mut projector, &self::blocks(&town)).await;
    assert_eq!(projector.take_revoked().len(), 1);
    assert!(projector.renew(Duration::from_secs(1), true).await.unwrap().is_empty());
    assert!(!projector.replace(relinker(&town, &files[0])));
    drop(projector);
    until_free(&server, &url).await;

    // What was read back once is held against the log again.
    let (mut projector, _) = self::projector(&url, &town, &[&files[0]]).await;
    assert!(projector.replace(relinker(&town, &files[0])));
    server.sql(&url, "UPDATE keyward.records SET entry = entry || '\\x00' WHERE leaf_index = 1");
    let changed = projector.renew(Duration::from_secs(1), true).await;
    assert!(matches!(changed, Err(ProjectionError::Changed { leaf: 1 })), "{changed:?} {roles:?}");
}

#[tokio::test]
async fn a_revocation_is_seen_when_it_comes_and_after_a_restart() {
    let Some(server) = Postgres::start_for_readers() else { return };
    let (url, (mut town, files)) = (server.database(), story());
    let (mut first, _) = projector(&url, &town, &[&files[0], &files[1]]).await;
    push(&mut first, &blocks(&town)).await;
    assert!(first.take_revoked().is_empty());
    town.revoke(&files[0]);
    push(&mut first, &blocks(&town)).await;
    assert_eq!(first.take_revoked(), [town.grant_id(&files[0])]);
    assert!(first.take_revoked().is_empty());
    drop(first);
    until_free(&server, &url).await;
    let (mut second, _) = projector(&url, &town, &[&files[0], &files[1]]).await;
    assert_eq!(second.take_revoked(), [town.grant_id(&files[0])]);
}

#[tokio::test]
async fn a_reader_that_the_guard_closes_meanwhile_stops_nobody() {
    let Some(server) = Postgres::start_for_readers() else { return };
    let (url, (town, files)) = (server.database(), story());
    let (mut projector, roles) = projector(&url, &town, &[&files[0], &files[1]]).await;
    let blocks = blocks(&town);
    let mut guard =
        keyward_projection::Guard::new(&support::server_of(&url), bounds(), roles.clone()).await.unwrap();
    push(&mut projector, &blocks[..blocks.len() - 2]).await;
    let seen = guard.close_grant(&town.grant_id(&files[0]), 1, "expired").await.unwrap();
    assert_eq!(seen.len(), 1);
    push(&mut projector, &blocks).await;
    let leaves = town.world.records.len().to_string();
    assert_eq!(server.sql(&url, &format!("SELECT leaves FROM {}.about", roles[1])), leaves);
    assert_eq!(server.sql(&url, "SELECT leaves FROM keyward.ledger"), leaves);
}

#[tokio::test]
async fn a_file_of_sqlite_has_the_rows_of_the_schema() {
    let Some(server) = Postgres::start_for_readers() else { return };
    let (url, (town, files)) = (server.database(), story());
    let (mut projector, roles) = projector(&url, &town, &[&files[0]]).await;
    push(&mut projector, &blocks(&town)).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("grant.sqlite");
    std::fs::write(&path, "").unwrap();
    let mut file = SqliteFile::begin(&path, &town.relinked(copy(&files[0]))).await.unwrap();
    for (leaf_index, record) in (0..).zip(&town.world.records) {
        file.offer(leaf_index, record).await.unwrap();
    }
    file.finish().await.unwrap();
    let python = "import sqlite3, sys\nc = sqlite3.connect(sys.argv[1])\nfor t, k in zip(sys.argv[2::2], sys.argv[3::2]):\n  \
        for r in c.execute(f'SELECT * FROM {t} ORDER BY {k}'):\n    print('|'.join('' if v is None else '\\\\x' + v.hex() if isinstance(v, bytes) else str(v) for v in r))";
    if support::left_out("python3") {
        return;
    }
    let names = TABLES.iter().flat_map(|(table, key)| [*table, *key]);
    let found = Command::new("python3").args(["-c", python]).arg(&path).args(names).output().unwrap();
    assert!(found.status.success(), "{}", String::from_utf8_lossy(&found.stderr));
    let wanted: String = TABLES
        .iter()
        .map(|(table, key)| {
            let rows = server.sql(&url, &format!("SELECT * FROM {}.{table} ORDER BY {key}", roles[0]));
            if rows.is_empty() { rows } else { rows + "\n" }
        })
        .collect();
    assert_eq!(String::from_utf8(found.stdout).unwrap(), wanted);
    assert!(wanted.lines().count() > 20);
}

#[tokio::test]
async fn a_file_of_sqlite_is_refused_with_records_that_are_other_or_missing() {
    let (town, files) = story();
    let folder = tempfile::tempdir().unwrap();
    let begin = async |name: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, "").unwrap();
        SqliteFile::begin(&path, &town.relinked(copy(&files[0]))).await.unwrap()
    };
    let missing = begin("missing").await.finish().await;
    assert!(matches!(missing, Err(ProjectionError::Changed { .. })), "{missing:?}");
    let leaf = *town.owners[0].uses.values().flatten().next().unwrap();
    let mut other = town.world.records[leaf as usize].clone();
    other.time_ms += 1;
    let other = begin("other").await.offer(leaf, &other).await;
    assert!(matches!(other, Err(ProjectionError::Changed { leaf: at }) if at == leaf), "{other:?}");
}
