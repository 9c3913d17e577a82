//! `keyward audit relink|report|export` over files: what holds is reported with receipts, what does not is refused by name.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../../audit/tests/town/mod.rs"]
mod town;

use std::fs::Permissions;
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use keyward_audit::{Delivery, GrantFile};
use keyward_ledger_core::export::{CHUNK_MAGIC, ChunkName, Manifest, ProvenBlock, encode_links};
use keyward_ledger_core::genesis::{Genesis, GenesisDocument};
use keyward_ledger_core::hash::sha256;
use keyward_ledger_core::trust::{Checkpoint, Trust};
use keyward_ledger_verify::verify_receipt;
use serde_json::Value;
use tempfile::TempDir;
use town::Town;
use town::common::mutate::Random;

struct Desk {
    town: Town,
    first: u32,
    folder: TempDir,
    grant: Vec<u8>,
}

impl Desk {
    /// Two accounts in two epochs, closed; a grant for one of them, opened; everything in files.
    fn new() -> Self {
        let mut town = Town::new(2, Random::seeded("audit"));
        town.publish();
        let first = town.epoch() + 1;
        for epoch in [first, first + 1] {
            town.go(epoch, 2_000);
            for owner in [0, 1] {
                let (_, intent) = town.use_one(owner);
                town.release(intent);
            }
        }
        town.elapse(first + 1);
        for (owner, epoch) in [(1, first), (0, first), (0, first + 1), (1, first + 1)] {
            town.close(owner, epoch);
        }
        let mut file = town.granted(&[0], first, first + 1);
        town.open(&mut file, 0, first, first + 1);
        let grant = file.encode().expose(<[u8]>::to_vec);
        let desk = Self { town, first, folder: TempDir::new().unwrap(), grant };
        std::fs::write(desk.path("trust"), desk.town.trust()).unwrap();
        desk.keep("grant", &desk.grant);
        desk.export("copy", &desk.town.export(), &desk.town.world.genesis);
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file for its owner alone.
    fn keep(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.path(name), bytes).unwrap();
        std::fs::set_permissions(self.path(name), Permissions::from_mode(0o600)).unwrap();
    }

    /// Writes an export whose manifest names exactly these blocks.
    fn export(&self, name: &str, blocks: &[ProvenBlock], genesis: &Genesis) {
        let folder = self.path(name);
        std::fs::create_dir(&folder).unwrap();
        let links = encode_links(&[]);
        let chunk: Vec<u8> =
            CHUNK_MAGIC.iter().copied().chain(blocks.iter().flat_map(ProvenBlock::encode)).collect();
        let named = ChunkName { first: 1, last: blocks.len() as u64, sha256: sha256(&[&chunk]) };
        let manifest = Manifest {
            name: genesis.name().to_owned(),
            chain_id: *genesis.chain_id(),
            genesis: sha256(&[&genesis.encode()]),
            links: sha256(&[&links]),
            chunks: vec![named],
        };
        std::fs::write(folder.join("genesis"), genesis.encode()).unwrap();
        std::fs::write(folder.join("links"), links).unwrap();
        std::fs::write(folder.join(ChunkName::file(1)), chunk).unwrap();
        std::fs::write(folder.join("manifest"), manifest.encode()).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_keyward"));
        command.current_dir(self.folder.path()).env_clear().env("HOME", self.folder.path());
        command.args(arguments);
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// The same, given something to read.
    fn run_with(&self, arguments: &[&str], input: &[u8]) -> Output {
        let mut command = self.command(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        child.wait_with_output().unwrap()
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let done = self.run(&[&["--output", "json"], arguments].concat());
        assert!(done.status.success(), "{done:?}");
        serde_json::from_slice(&done.stdout).unwrap()
    }

    /// The codes of what is refused, from an export and a grant file: checked by its chain, and executed.
    fn refused_as(&self, export: &str, grant: &str, trust: &str) -> [String; 2] {
        let offline = [export, "--grant", grant, "--trust", trust];
        let format = ["--output", "json"];
        [&[][..], &["--execute"]].map(|how| {
            let done = self.run(&[&format[..], &["audit", "relink"], &offline[..], how].concat());
            let out = format!("out-of-{export}");
            let report = [&["audit", "report", "--out", &out][..], &offline[..], how].concat();
            assert_eq!(self.run(&report).status.code(), Some(1));
            assert!(!self.path(&out).exists(), "nothing is handed out");
            let refused: Value = serde_json::from_slice(&done.stdout).unwrap();
            assert!(refused["error"].is_object() && refused["transactions"].is_null(), "{refused}");
            code(&done)
        })
    }

    /// The same where it makes no difference.
    fn refused(&self, export: &str, grant: &str, trust: &str) -> String {
        let [code, executed] = self.refused_as(export, grant, trust);
        assert_eq!(code, executed);
        code
    }
}

fn code(done: &Output) -> String {
    assert_eq!(done.status.code(), Some(1), "{done:?}");
    let words = String::from_utf8_lossy(&done.stderr);
    let code = words.split('[').nth(1).and_then(|rest| rest.split(']').next());
    code.unwrap_or_else(|| panic!("no code in {words}")).to_owned()
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

#[test]
fn a_report_is_written_with_receipts_that_verify_by_themselves() {
    let desk = Desk::new();
    let arguments = ["audit", "report", "copy", "--grant", "grant", "--trust", "trust", "--out", "report"];
    let told = desk.json(&arguments);
    assert_eq!((&told["complete"], &told["transactions"]), (&true.into(), &2.into()));
    let folder = desk.path("report");
    assert_eq!(mode(&folder), 0o700);
    for name in ["report.json", "report.csv", "report.html"] {
        assert_eq!(mode(&folder.join(name)), 0o600, "{name}");
    }
    let report: Value = serde_json::from_slice(&std::fs::read(folder.join("report.json")).unwrap()).unwrap();
    let mut count = 0;
    for entry in std::fs::read_dir(folder.join("receipts")).unwrap() {
        let receipt = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(verify_receipt(&desk.town.trust(), &receipt, None).unwrap().accepted);
        count += 1;
    }
    assert_eq!(told["receipts"], count);
    let own = &desk.town.owners[0].uses;
    for (transaction, epoch) in
        report["transactions"].as_array().unwrap().iter().zip([desk.first, desk.first + 1])
    {
        let record = &transaction["record"];
        assert_eq!(record["leaf_index"], own[&epoch][0]);
        let receipt = format!("report/{}", record["receipt"].as_str().unwrap());
        let verdict = desk.json(&["verify", "--trust", "trust", &receipt]);
        assert_eq!((&verdict["valid"], &verdict["leaf_index"]), (&true.into(), &record["leaf_index"]));
    }
    // A report is never written over another one.
    let again = desk.run(&arguments);
    assert_eq!(again.status.code(), Some(2), "{again:?}");
    for format in ["json", "csv", "html"] {
        let out = format!("out-{format}");
        let arguments =
            ["audit", "export", "copy", "--grant", "grant", "--trust", "trust", "--format", format];
        desk.json(&[&arguments[..], &["--out", &out]].concat());
        let (name, written) = (format!("report.{format}"), desk.path(&out));
        assert_eq!(std::fs::read(written.join(&name)).unwrap(), std::fs::read(folder.join(&name)).unwrap());
    }
}

/// What a program with SQLite reads: a line for each row.
fn rows(file: &Path, question: &str) -> Option<Vec<String>> {
    if std::env::var("KEYWARD_WITHOUT").is_ok_and(|names| names.split(',').any(|name| name == "python3")) {
        println!("left out: needs python3");
        return None;
    }
    let python = "import sqlite3, sys\nfor row in sqlite3.connect(sys.argv[1]).execute(sys.argv[2]):\n  \
        print('|'.join(v.hex() if isinstance(v, bytes) else str(v) for v in row))";
    let done = Command::new("python3").args(["-c", python]).arg(file).arg(question).output();
    let done = done.expect("python3 is missing: install it, or run with `--without python3`");
    assert!(done.status.success(), "{done:?}");
    Some(String::from_utf8(done.stdout).unwrap().lines().map(str::to_owned).collect())
}

#[test]
fn a_file_of_sqlite_has_the_rows_and_the_records_that_they_speak_of() {
    let desk = Desk::new();
    let export = ["audit", "export", "copy", "--grant", "grant", "--trust", "trust", "--format", "sqlite"];
    let told = desk.json(&[&export[..], &["--out", "out"]].concat());
    assert_eq!((&told["files"][0], &told["complete"]), (&"grant.sqlite".into(), &true.into()));
    let file = desk.path("out/grant.sqlite");
    assert_eq!((mode(&desk.path("out")), mode(&file)), (0o700, 0o600));
    let tables = "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name";
    let Some(tables) = rows(&file, tables) else { return };
    let expected = ["about", "accounts", "acts", "epochs", "payments", "records", "runs", "transactions"];
    assert_eq!(tables, expected);
    let count = |table: &str| rows(&file, &format!("SELECT count(*) FROM {table}")).unwrap().remove(0);
    assert_eq!(
        (count("transactions"), count("payments"), count("epochs")),
        ("2".into(), "0".into(), "2".into())
    );
    // Each record is the ledger's, and has its receipt beside it.
    let records = rows(&file, "SELECT leaf_index, leaf_hash FROM records ORDER BY leaf_index").unwrap();
    assert_eq!(told["receipts"], records.len());
    for row in &records {
        let (leaf, hash) = row.split_once('|').unwrap();
        let record = &desk.town.world.records[leaf.parse::<usize>().unwrap()];
        assert_eq!(hash, hex::encode(record.id()), "leaf {leaf}");
        assert!(desk.path(&format!("out/receipts/{leaf}.receipt")).is_file(), "leaf {leaf}");
    }
    let spoken = "SELECT DISTINCT leaf_index, leaf_hash FROM transactions ORDER BY leaf_index";
    assert!(rows(&file, spoken).unwrap().iter().all(|row| records.contains(row)));
}

/// Puts one content after the other where a program reads a file, each once it is asked for, and calls `asked` before it is given.
fn serve(path: PathBuf, contents: Vec<Vec<u8>>, asked: impl Fn(usize) + Send + 'static) {
    let pipe = move || {
        std::fs::remove_file(&path).unwrap();
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        path.clone()
    };
    let first = pipe();
    std::thread::spawn(move || {
        let last = contents.len() - 1;
        let mut path = first;
        for (at, bytes) in contents.into_iter().enumerate() {
            // Opened once somebody reads; whoever reads next finds another pipe.
            let mut file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
            asked(at);
            if at < last {
                path = pipe();
            }
            file.write_all(&bytes).unwrap();
        }
    });
}

#[test]
fn an_export_that_is_swapped_while_it_is_read_leaves_no_report() {
    // The first pass finds; receipts come from a second one, the records of SQLite from a third one.
    for (format, pass) in [("json", 1), ("sqlite", 1), ("sqlite", 2)] {
        let desk = Desk::new();
        let blocks = desk.town.export();
        desk.export("other", &blocks[..blocks.len() / 2], &desk.town.world.genesis);
        let read = |name: &str| std::fs::read(desk.path(name).join(ChunkName::file(1))).unwrap();
        let (good, other) = (read("copy"), read("other"));
        let contents = [vec![good; pass], vec![other]].concat();
        let (from, to) = (desk.path("other/manifest"), desk.path("copy/manifest"));
        serve(desk.path("copy").join(ChunkName::file(1)), contents, move |at| {
            if at + 1 == pass {
                std::fs::rename(&from, &to).unwrap();
            }
        });
        let export = ["audit", "export", "copy", "--grant", "grant", "--trust", "trust", "--format", format];
        let done = desk.run(&[&export[..], &["--out", "out"]].concat());
        let words = String::from_utf8(done.stderr).unwrap();
        assert_eq!(done.status.code(), Some(1), "{format}, pass {pass}: {words}");
        assert!(words.contains("[EXPORT_CHANGED]"), "{format}, pass {pass}: {words}");
        // Nothing is left in the way of the next run, nor beside.
        let left = std::fs::read_dir(desk.folder.path()).unwrap();
        let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
        assert!(left.iter().all(|name| !name.to_string_lossy().starts_with("out")), "{left:?}");
    }
}

#[test]
fn a_report_takes_an_empty_folder_that_is_there_and_no_file() {
    let desk = Desk::new();
    let report = ["audit", "report", "copy", "--grant", "grant", "--trust", "trust", "--out"];
    std::fs::create_dir(desk.path("there")).unwrap();
    std::os::unix::fs::symlink("there", desk.path("link")).unwrap();
    desk.json(&[&report[..], &["link"]].concat());
    assert!(desk.path("there/report.json").is_file());
    assert_eq!(mode(&desk.path("there")), 0o700);
    desk.json(&[&report[..], &["new/deep"]].concat());
    assert!(desk.path("new/deep/report.html").is_file());
    let done = desk.run(&[&report[..], &["trust"]].concat());
    assert_eq!(done.status.code(), Some(2), "{done:?}");
}

#[test]
fn an_export_that_is_cut_reordered_changed_or_of_another_ledger_is_refused_by_name() {
    let desk = Desk::new();
    let (blocks, genesis) = (desk.town.export(), &desk.town.world.genesis);
    let mut swapped = blocks.clone();
    swapped.swap(20, 21);
    desk.export("swapped", &swapped, genesis);
    assert_eq!(desk.refused("swapped", "grant", "trust"), "HEIGHT_MISMATCH");
    let gap: Vec<_> =
        blocks.iter().enumerate().filter(|(at, _)| *at != 20).map(|(_, block)| block.clone()).collect();
    desk.export("gap", &gap, genesis);
    assert_eq!(desk.refused("gap", "grant", "trust"), "HEIGHT_MISMATCH");
    let mut changed = blocks.clone();
    changed[20].outcomes[0].data.push(1);
    desk.export("changed", &changed, genesis);
    assert_eq!(desk.refused_as("changed", "grant", "trust"), ["INCLUSION_INVALID", "OUTCOME_MISMATCH"]);
    let mut uncertified = blocks.clone();
    uncertified.last_mut().unwrap().certificate.signers[0].signature[9] ^= 1;
    desk.export("uncertified", &uncertified, genesis);
    assert_eq!(desk.refused("uncertified", "grant", "trust"), "CERTIFICATE_INVALID");
    desk.export("altered", &blocks, genesis);
    std::fs::OpenOptions::new()
        .append(true)
        .open(desk.path("altered").join(ChunkName::file(1)))
        .and_then(|mut chunk| chunk.write_all(&blocks[0].encode()))
        .unwrap();
    assert_eq!(desk.refused("altered", "grant", "trust"), "HEIGHT_MISMATCH");
    desk.export("cut", &blocks, genesis);
    let chunk = desk.path("cut").join(ChunkName::file(1));
    let bytes = std::fs::read(&chunk).unwrap();
    std::fs::write(&chunk, &bytes[..bytes.len() - 100]).unwrap();
    assert_eq!(desk.refused("cut", "grant", "trust"), "CHUNK_MALFORMED");
    std::fs::remove_file(desk.path("cut").join("links")).unwrap();
    assert_eq!(
        desk.run(&["audit", "relink", "cut", "--grant", "grant", "--trust", "trust"]).status.code(),
        Some(1)
    );
    // Another ledger's genesis before these blocks.
    let other = Genesis::new(GenesisDocument {
        name: "other".into(),
        time_ms: 1,
        validators: desk.town.world.validators.iter().map(|key| key.public_key()).collect(),
        submitters: Vec::new(),
        keepers: Vec::new(),
        epoch_length: 8,
        regime: keyward_ledger_core::block::Regime::Fast,
        clock_bound_ms: 5_000,
    })
    .unwrap();
    desk.export("other", &blocks, &other);
    assert_eq!(desk.refused("other", "grant", "trust"), "OTHER_LEDGER");
    let trust = Trust::genesis("other".to_owned(), *other.chain_id()).encode();
    std::fs::write(desk.path("other-trust"), trust).unwrap();
    assert_eq!(desk.refused("other", "grant", "other-trust"), "GRANT_OTHER_LEDGER");
    // Blocks that end earlier hold: the report says where they end, and what is not closed in them.
    let closing = desk.town.owners[0].uses[&(desk.first + 1)][0] as usize;
    let height = desk.town.world.records[closing].height as usize;
    desk.export("early", &blocks[..height], genesis);
    let found = desk.json(&["audit", "relink", "early", "--grant", "grant", "--trust", "trust"]);
    assert_eq!(
        (&found["verdict"]["complete"], &found["ledger"]["to_height"]),
        (&false.into(), &height.into())
    );
    assert_eq!(found["epochs"][1]["is"], "not-closed");
}

/// What an audit by the chain does not look at changes nothing that is found; a receipt that does not hold is not written.
#[test]
fn what_executing_adds_is_said_and_receipts_of_bad_certificates_are_refused() {
    let desk = Desk::new();
    let relink = ["audit", "relink", "copy", "--grant", "grant", "--trust", "trust"];
    let (chain, executed) = (desk.json(&relink), desk.json(&[&relink[..], &["--execute"]].concat()));
    for (found, checked) in [(&chain, "chain"), (&executed, "execution")] {
        let ledger = &found["ledger"];
        let is = (ledger["checked"].as_str().unwrap(), ledger["executed"].as_bool().unwrap());
        assert_eq!(is, (checked, checked == "execution"));
        let limit = |limit: &Value| limit["title"] == "Outcomes and states";
        let said = found["does_not_show"].as_array().unwrap().iter().any(limit);
        assert_eq!(said, checked == "chain");
    }
    assert_eq!(chain["transactions"], executed["transactions"]);
    let mut blocks = desk.town.export();
    let height = chain["transactions"][0]["record"]["height"].as_u64().unwrap() as usize;
    blocks[height - 1].certificate.signers[1].signature[3] ^= 1;
    desk.export("spoiled", &blocks, &desk.town.world.genesis);
    let offline = ["spoiled", "--grant", "grant", "--trust", "trust"];
    let found = desk.json(&[&["audit", "relink"][..], &offline].concat());
    assert_eq!(found, chain, "blocks above certify it");
    let executing = desk.run(&[&["audit", "relink", "--execute"][..], &offline].concat());
    assert_eq!(code(&executing), "CERTIFICATE_INVALID");
    let report = desk.run(&[&["audit", "report", "--out", "report"][..], &offline].concat());
    assert_eq!(code(&report), "CERTIFICATE_INVALID");
    let receipt = &chain["transactions"][0]["record"]["receipt"];
    for name in ["report.html", "report.json", "report.csv", receipt.as_str().unwrap()] {
        assert!(!desk.path("report").join(name).exists(), "{name}");
    }
}

#[test]
fn a_trust_file_that_pins_a_block_holds_the_export_to_it() {
    let desk = Desk::new();
    let pinned = |height: usize, digest| {
        let header = desk.town.world.blocks[height - 1].0.header();
        let checkpoint = Checkpoint { height: height as u64, digest, set_hash: header.set_hash };
        let trust = Trust { checkpoint: Some(checkpoint), ..desk.town.world.trust() };
        std::fs::write(desk.path("pinned"), trust.encode()).unwrap();
    };
    let height = desk.town.world.blocks.len() - 3;
    pinned(height, *desk.town.world.blocks[height - 1].0.digest());
    let arguments = ["audit", "report", "copy", "--grant", "grant", "--trust", "pinned", "--out", "report"];
    assert_eq!(desk.json(&arguments)["complete"], true);
    desk.export("early", &desk.town.export()[..height], &desk.town.world.genesis);
    assert_eq!(desk.refused("early", "grant", "pinned"), "GRANT_OUTSIDE_EXPORT");
    // For a projection too: the grant's receipts are older than the pin and hold, and what is refused comes after them.
    let nowhere = "postgres:///none?host=/nowhere&user=nobody";
    let project =
        ["ledger", "project", "--once", "--export", "copy", "--grant", "grant", "--database", nowhere];
    let done = desk.run(&[&project[..], &["--trust", "pinned"]].concat());
    let words = String::from_utf8(done.stderr).unwrap();
    // By today's clock.
    let then = ["[GRANT_EXPIRED]", "[DATABASE_UNREACHABLE]"];
    assert!(then.iter().any(|code| words.contains(code)), "{words}");
    pinned(height, [1; 32]);
    assert_eq!(desk.refused("copy", "grant", "pinned"), "CHECKPOINT_MISMATCH");
}

#[test]
fn a_grant_file_that_others_may_read_is_refused_by_every_command() {
    let desk = Desk::new();
    let shown = |arguments: &[&str]| {
        let done = desk.run(&[arguments, &["copy", "--grant", "grant", "--trust", "trust"]].concat());
        (done.status.code(), String::from_utf8(done.stderr).unwrap())
    };
    let write = |verb| vec!["audit", verb, "--out", verb];
    let export = [&write("export")[..], &["--format", "json"]].concat();
    for open in [0o640, 0o604, 0o620] {
        std::fs::set_permissions(desk.path("grant"), Permissions::from_mode(open)).unwrap();
        for arguments in [&["audit", "relink"], &write("report")[..], &export] {
            let (exit, words) = shown(arguments);
            assert_eq!(exit, Some(1), "{words}");
            assert!(words.contains("is open to others") && words.contains("chmod 600 grant"), "{words}");
            assert!(!desk.path("report/report.json").exists());
            for folder in ["report", "export"] {
                std::fs::remove_dir_all(desk.path(folder)).ok();
            }
        }
    }
    // One in a folder is none the less, and what is put right is read.
    let done = desk.run(&["audit", "relink", "copy", "--grant", ".", "--trust", "trust"]);
    assert!(String::from_utf8(done.stderr).unwrap().contains("is open to others"));
    std::fs::set_permissions(desk.path("grant"), Permissions::from_mode(0o400)).unwrap();
    assert_eq!(shown(&["audit", "relink"]).0, Some(0));
}

#[test]
fn a_year_is_not_taken_for_milliseconds() {
    let desk = Desk::new();
    let whom = "11".repeat(32);
    for at in [1, 3, 5] {
        let mut times =
            ["--from", "2026-01-01", "--until", "1775001600000", "--expires", "2026-05-01T08:00:00Z"];
        times[at] = "2026";
        let ask = [&["audit", "request", "--account", &whom, "--purpose", "case 17"], &times[..]].concat();
        let done = desk.run(&ask);
        let said = String::from_utf8(done.stderr).unwrap();
        assert_eq!(done.status.code(), Some(2), "{said}");
        let wrong = format!("`{} 2026` is no time: a number alone is milliseconds", times[at - 1]);
        assert!(said.contains(&wrong) && said.contains("2026-11-01T08:00:00Z"), "{said}");
    }
    let done = desk.run(&["risk", "replay", "no-such-file", "--since", "2026"]);
    let said = String::from_utf8(done.stderr).unwrap();
    assert!(said.contains("`--since 2026` is no time"), "{said}");
}

#[test]
fn two_do_not_open_into_one_folder_at_once() {
    let desk = Desk::new();
    std::fs::create_dir(desk.path("case")).unwrap();
    desk.keep("case/grant", &desk.grant);
    let profile = "role = \"auditor\"\nservice = \"https://127.0.0.1:1\"\nnodes = []\nca = \"ca.pem\"\n\
                   certificate = \"c.pem\"\nkey = \"k.pem\"\ntrust = \"trust\"\n";
    std::fs::write(desk.path("profile.toml"), profile).unwrap();
    let session = desk.path("session");
    assert!(Command::new("mkfifo").args(["-m", "600"]).arg(&session).status().unwrap().success());
    let grant = "17".repeat(32);
    let open = |folder: &str| desk.command(&["--profile", "profile.toml", "audit", "open", &grant, folder]);
    let said = |folder: &str| {
        let done = open(folder).output().unwrap();
        assert_eq!(done.status.code(), Some(1), "{done:?}");
        String::from_utf8(done.stderr).unwrap()
    };
    // One waits for what is in the session; it does when the other end opens.
    let mut first = open("case").stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let nonblock = rustix::fs::OFlags::NONBLOCK.bits().try_into().unwrap();
    let held = loop {
        match std::fs::OpenOptions::new().write(true).custom_flags(nonblock).open(&session) {
            Ok(held) => break held,
            // Nobody reads yet.
            Err(_) => assert!(first.try_wait().unwrap().is_none(), "it waits"),
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    };
    let refused = said("./case/../case");
    assert!(refused.contains("works in `./case/../case` [GRANT_FILE_BUSY]"), "{refused}");
    assert!(first.try_wait().unwrap().is_none());
    assert_eq!(std::fs::read(desk.path("case/grant")).unwrap(), desk.grant);
    let mut names: Vec<_> =
        desk.path("case").read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["grant", "grant.lock"]);
    // However it ends, it lets go.
    first.kill().unwrap();
    first.wait().unwrap();
    drop(held);
    std::fs::remove_file(&session).unwrap();
    for folder in ["case", "case", "other"] {
        let refused = said(folder);
        assert!(refused.contains("nobody is logged in"), "{refused}");
    }
}

#[test]
fn what_a_grant_is_for_is_given_once_and_need_not_be_an_argument() {
    let desk = Desk::new();
    let whom = "11".repeat(32);
    let times = ["--from", "2026-01-01", "--until", "2026-04-01", "--expires", "2026-05-01"];
    let ask = [&["audit", "request", "--account", &whom], &times[..]].concat();
    let with = |more: &[&str], input: &[u8]| {
        let done = desk.run_with(&[&ask[..], more].concat(), input);
        (done.status.code(), String::from_utf8(done.stderr).unwrap())
    };
    let write = |name: &str, bytes: &[u8]| std::fs::write(desk.path(name), bytes).unwrap();
    write("words", b"case 17\n");
    write("empty", b" \r\n\n");
    write("long", &[b'a'; 4097]);
    write("most", &[&[b'a'; 4096][..], b"\r\n"].concat());
    write("bytes", &[0xff]);
    for (wrong, input) in [
        (&[][..], &b""[..]),
        (&["--purpose", "case 17", "--purpose-file", "words"], b""),
        (&["--purpose", " "], b""),
        (&["--purpose-file", "empty"], b""),
        (&["--purpose-file", "long"], b""),
        (&["--purpose-file", "-"], b"\n"),
        (&["--purpose-file", "-"], &[b'a'; 4097]),
    ] {
        let (exit, words) = with(wrong, input);
        assert_eq!(exit, Some(2), "{wrong:?}: {words}");
        assert!(!words.contains("no profile is chosen"), "{wrong:?}: {words}");
    }
    assert!(with(&["--purpose-file", "bytes"], b"").1.contains("`bytes` is not text"));
    assert!(with(&["--purpose-file", "none"], b"").1.contains("`none`"));
    // What is good goes on to the session, which nobody has here.
    for (good, input) in [
        (["--purpose", "case 17"], &b""[..]),
        (["--purpose-file", "words"], b""),
        (["--purpose-file", "most"], b""),
        (["--purpose-file", "-"], b"case 17\n"),
    ] {
        let (exit, words) = with(&good, input);
        assert_eq!(exit, Some(2), "{good:?}: {words}");
        assert!(words.contains("no profile is chosen"), "{good:?}: {words}");
    }
}

#[test]
fn grant_files_that_were_changed_are_refused_by_name() {
    let desk = Desk::new();
    let write = |name: &str, bytes: &[u8]| desk.keep(name, bytes);
    let mut flipped = desk.grant.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    write("flipped", &flipped);
    assert_eq!(desk.refused("copy", "flipped", "trust"), "GRANT_FILE_CHANGED");
    write("cut", &desk.grant[..desk.grant.len() - 1]);
    assert_eq!(desk.refused("copy", "cut", "trust"), "GRANT_FILE_CHANGED");
    write("none", b"a note");
    assert_eq!(desk.refused("copy", "none", "trust"), "GRANT_FILE_VERSION");
    let changed = |name: &str, change: &dyn Fn(&mut GrantFile)| {
        let mut file = GrantFile::decode(&desk.grant).unwrap();
        change(&mut file);
        file.encode().expose(|bytes| write(name, bytes));
        desk.refused("copy", name, "trust")
    };
    assert_eq!(changed("chain", &|file| file.chain_id = [1; 32]), "GRANT_OTHER_LEDGER");
    assert_eq!(changed("purpose", &|file| file.purpose = "another".into()), "GRANT_PURPOSE_OTHER");
    let undelivered = changed("undelivered", &|file| {
        let Delivery::Hosted { delivered, .. } = &mut file.openings[0].delivery else { unreachable!() };
        delivered.clear();
    });
    assert_eq!(undelivered, "GRANT_NOT_DELIVERED");
    // A folder that holds the file does as well, and words for people name what is missing.
    let done = desk.run(&["audit", "relink", "copy", "--grant", ".", "--trust", "trust"]);
    let words = String::from_utf8(done.stdout).unwrap();
    assert!(
        words.contains("complete: 2 transactions") && words.contains("what this does not show"),
        "{words}"
    );
}
