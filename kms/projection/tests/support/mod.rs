//! What the tests of this room share: a server, and a ledger's blocks as they come after they were verified.
#![allow(dead_code, reason = "not every test binary needs all of it")]

pub(crate) mod asking;
#[path = "../../../../tests/support/postgres.rs"]
mod postgres;
pub(crate) mod site;

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use keyward_ledger_core::entry::{Entry, Release};
use keyward_ledger_core::log::Frontier;
use keyward_ledger_core::outcome::Outcome;
use keyward_ledger_core::record::Record;
use keyward_projection::{Block, Database, Ledger, ProjectionError};
use keyward_store::{Location, PostgresServer};

pub(crate) use postgres::Postgres;

/// Which ledger.
pub(crate) fn ledger() -> Ledger {
    Ledger { chain_id: [7; 32], name: "story".into() }
}

pub(crate) fn server_of(url: &str) -> PostgresServer {
    match Location::postgres(url, None).unwrap() {
        Location::Postgres(server) => server,
        Location::File(_) => unreachable!("a URL"),
    }
}

pub(crate) async fn database(url: &str) -> Result<Database, ProjectionError> {
    Database::open(&server_of(url), ledger()).await
}

/// Whether `tests/run --without NAME` left out the tests that need `tool`.
pub(crate) fn left_out(tool: &str) -> bool {
    let left_out =
        std::env::var("KEYWARD_WITHOUT").is_ok_and(|names| names.split(',').any(|name| name == tool));
    if left_out {
        println!("left out: needs {tool}");
    }
    left_out
}

/// A Python that has psycopg, from PyPI, kept beside the build; of several test runs one makes it.
pub(crate) fn psycopg() -> PathBuf {
    const VERSION: &str = "3.3.9";
    let deps = std::env::current_exe().unwrap();
    let folder = deps.ancestors().nth(3).unwrap().join(format!("conformance/psycopg-{VERSION}"));
    std::fs::create_dir_all(&folder).unwrap();
    let lock = std::fs::File::create(folder.join("lock")).unwrap();
    lock.lock().unwrap();
    if !folder.join("ready").exists() {
        let run = |command: &mut Command| {
            let done =
                command.output().expect("python3 is missing: install it, or run with `--without python3`");
            let said = [done.stdout, done.stderr].concat();
            assert!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&said));
        };
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(folder.join("venv")));
        let packages = [format!("psycopg=={VERSION}"), format!("psycopg-binary=={VERSION}")];
        let pip = ["install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:"];
        let patience = ["--retries", "10", "--timeout", "60"];
        run(Command::new(folder.join("venv/bin/pip")).args(pip).args(patience).args(packages));
        std::fs::write(folder.join("ready"), "").unwrap();
    }
    folder.join("venv/bin/python")
}

/// Waits until a projector that is gone is gone for the server too.
pub(crate) async fn until_free(server: &Postgres, url: &str) {
    let until = Instant::now() + Duration::from_secs(60);
    while server.sql(url, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") != "0" {
        assert!(Instant::now() < until, "the lock stays");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Blocks, each of whose headers has the root of the log that they make.
pub(crate) struct Chain {
    pub(crate) blocks: Vec<Block>,
    salt: u8,
}

impl Chain {
    pub(crate) fn new(blocks: u64) -> Self {
        Self::with(blocks, 1)
    }

    /// Every block but each fifth has four records.
    pub(crate) fn with(count: u64, salt: u8) -> Self {
        let mut chain = Self { blocks: Vec::new(), salt };
        let (mut log, mut number) = (Frontier::default(), 0);
        for height in 1..=count {
            let mut records = Vec::new();
            for index in 0..if height % 5 == 0 { 0 } else { 4 } {
                records.push(chain.record(height, index, number));
                number += 1;
            }
            records.iter().for_each(|record| log.append(record.id()));
            let (log_size, log_root) = (log.size(), log.root());
            chain.blocks.push(Block { height, time_ms: 1_000_000 + height, log_size, log_root, records });
        }
        chain
    }

    pub(crate) fn records(&self) -> u64 {
        self.blocks.last().map_or(0, |block| block.log_size)
    }

    pub(crate) fn account(&self, number: u64) -> [u8; 32] {
        let mut account = [self.salt; 32];
        account[..8].copy_from_slice(&number.to_be_bytes());
        account
    }

    fn record(&self, height: u64, index: u32, number: u64) -> Record {
        let account = self.account(number);
        let (entry, outcome) = match index {
            0 | 1 => (Entry::OpenAccount { account }.encode(), Outcome::accepted_with(&account)),
            2 => (vec![0xff, 0xff, 0, 7], Outcome { code: 9999, data: Vec::new() }),
            _ => {
                let release = Release { intent_id: account, signature_hash: [3; 32] };
                (Entry::Release(release).encode(), Outcome::ACCEPTED)
            }
        };
        // The first has the greatest sequence there is: numbers of 64 bits without a sign are kept too.
        let sequence = if number == 0 { u64::MAX } else { number };
        Record { height, time_ms: 1_000_000 + height, submitter: [5; 32], sequence, index, entry, outcome }
    }
}
