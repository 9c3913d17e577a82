//! Founding a ledger together, and deciding about it on the command line of real nodes.

use std::path::Path;

use keyward_ledger_core::genesis::Genesis;
use serde_json::Value;

use crate::support::keyward::{Keyward, binary, clean, wait_until};

struct Said {
    ok: bool,
    code: Option<i32>,
    json: Value,
    err: String,
}

fn run(folder: &Path, arguments: &[&str]) -> Said {
    let mut command = clean(binary());
    let output = command.current_dir(folder).args(["--output", "json"]).args(arguments).output().unwrap();
    let json = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let err = String::from_utf8(output.stderr).unwrap();
    Said { ok: output.status.success(), code: output.status.code(), json, err }
}

fn done(folder: &Path, arguments: &[&str]) -> Value {
    let said = run(folder, arguments);
    assert!(said.ok, "{arguments:?}: {}", said.err);
    said.json
}

#[test]
fn organisations_found_a_ledger_without_showing_each_other_a_private_key() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let mut keys = Vec::new();
    for bank in ["a", "b", "c", "d"] {
        let node = format!("bank-{bank}");
        let made = done(here, &["genesis", "key", "--dir", bank, "--node", &node, "--service", &node]);
        keys.push(made["validator"].as_str().unwrap().to_owned());
        let port = 7000 + u16::from(bank.as_bytes()[0]);
        let (peer, rpc) = (format!("10.0.0.1:{port}"), format!("https://{node}.example:7443"));
        let out = format!("{bank}.member");
        done(
            here,
            &[
                "genesis", "join", "--dir", bank, "--name", &node, "--peer", &peer, "--rpc", &rpc, "--out",
                &out,
            ],
        );
    }
    let files = ["a.member", "b.member", "c.member", "d.member"];
    let again = run(here, &["genesis", "key", "--dir", "a", "--node", "bank-a"]);
    assert!(!again.ok && again.err.contains("never overwritten"), "{}", again.err);

    let assembled = done(
        here,
        &[&["genesis", "assemble", "--name", "four-banks", "--out", "genesis"], &files[..]].concat(),
    );
    let chain_id = assembled["chain_id"].as_str().unwrap().to_owned();
    let check = |genesis: &str, files: &[&str]| run(here, &[&["genesis", "check", genesis], files].concat());
    let checked = check("genesis", &files);
    assert_eq!((checked.code, checked.json["chain_id"].as_str()), (Some(0), Some(&*chain_id)));
    // Our own file says nothing of who else may write.
    for (some, why) in [
        (&files[..1], "3 of 4 validators, 3 of 4 submitters and 3 of 4 keepers stand in none of these files"),
        (&files[..3], "1 of 4 validators, 1 of 4 submitters and 1 of 4 keepers stand in none of these files"),
        (&["a.member", "b.member", "c.member", "c.member"], "two of the files are of the validator"),
    ] {
        let refused = check("genesis", some);
        assert_eq!(refused.code, Some(1), "{some:?}");
        assert!(refused.err.contains(why), "{some:?}: {}", refused.err);
    }
    let genesis = Genesis::decode(&std::fs::read(here.join("genesis")).unwrap()).unwrap();
    let mut validators: Vec<_> = genesis.set().keys().map(hex::encode).collect();
    validators.sort_unstable();
    keys.sort_unstable();
    assert_eq!(validators, keys);
    assert_eq!(genesis.document().submitters.len(), 4);
    let mut keepers: Vec<_> = genesis.document().keepers.iter().map(|keeper| keeper.name.as_str()).collect();
    keepers.sort_unstable();
    assert_eq!(keepers, ["bank-a", "bank-b", "bank-c", "bank-d"]);
    let trust = std::fs::read_to_string(here.join("genesis.trust")).unwrap();
    assert_eq!(trust, format!("keyward-trust-1 four-banks {chain_id}\n"));

    // Whoever assembles cannot put another key in the place of somebody's, nor leave somebody out.
    let text = std::fs::read_to_string(here.join("a.member")).unwrap();
    let key = text.lines().find_map(|line| line.strip_prefix("key = ")).unwrap().trim_matches('"').to_owned();
    let other = std::fs::read_to_string(here.join("b.member")).unwrap();
    let other =
        other.lines().find_map(|line| line.strip_prefix("key = ")).unwrap().trim_matches('"').to_owned();
    std::fs::write(here.join("forged.member"), text.replacen(&key, &other, 1)).unwrap();
    let forged = run(here, &["genesis", "assemble", "--name", "x", "--out", "y", "forged.member"]);
    assert!(!forged.ok && forged.err.contains("not signed by its key"), "{}", forged.err);
    done(
        here,
        &[
            "genesis",
            "assemble",
            "--name",
            "three-banks",
            "--out",
            "three",
            "a.member",
            "b.member",
            "c.member",
        ],
    );
    // Nor bring in somebody who may write: what a file was given on its way stands in nobody's own.
    let mut more = std::fs::read_to_string(here.join("b.member")).unwrap();
    more.push_str(&format!("\n[[submitters]]\nkey = \"{key}\"\nrole = \"service\"\n"));
    std::fs::write(here.join("more.member"), &more).unwrap();
    let with_more = ["a.member", "more.member", "c.member", "d.member"];
    let add = |out: &str| {
        run(here, &[&["genesis", "assemble", "--name", "four-banks", "--out", out], &with_more[..]].concat())
    };
    let unsigned = add("unsigned");
    assert!(!unsigned.ok && unsigned.err.contains("not signed by its key"), "{}", unsigned.err);
    let older: Vec<_> = more.lines().filter(|line| !line.starts_with("submitters_proof")).collect();
    std::fs::write(here.join("more.member"), older.join("\n").replace("member-3", "member-1")).unwrap();
    let unsigned = add("unsigned");
    assert!(!unsigned.ok && unsigned.err.contains("are not signed"), "{}", unsigned.err);
    assert!(!here.join("unsigned").exists());
    // What the bank signs for whoever assembles, and not for the others, is seen by the others.
    let owner = std::fs::read_to_string(here.join("b/owner")).unwrap();
    std::fs::write(here.join("b/owner"), format!("{owner}{key}\n")).unwrap();
    let join = ["--name", "bank-b", "--peer", "10.0.0.1:7098", "--rpc", "https://bank-b.example:7443"];
    done(here, &[&["genesis", "join", "--dir", "b", "--out", "more.member"], &join[..]].concat());
    done(here, &[&["genesis", "assemble", "--name", "four-banks", "--out", "more"], &with_more[..]].concat());
    let added = run(here, &[&["genesis", "check", "more"], &files[..]].concat());
    let why = "0 of 4 validators, 1 of 5 submitters and 0 of 4 keepers stand in none of these files";
    assert!(added.code == Some(1) && added.err.contains(why), "{}", added.err);
    // Neither file is ever overwritten, nor the one by the other.
    let trust = std::fs::read(here.join("genesis.trust")).unwrap();
    for (out, why) in
        [("genesis", "there already"), ("genesis.new", "there already"), ("new.trust", "another ending")]
    {
        let again = run(here, &[&["genesis", "assemble", "--name", "x", "--out", out], &files[..]].concat());
        assert!(!again.ok && again.err.contains(why), "{out}: {}", again.err);
    }
    assert_eq!(std::fs::read(here.join("genesis.trust")).unwrap(), trust);
    assert!(!here.join("genesis.new").exists() && !here.join("new.trust").exists());
    // A folder that is older than keepers founds without one; one that lost some of a keeper's keys does not.
    for name in ["keeper-signing.key", "keeper-sealing.key"] {
        std::fs::remove_file(here.join("c").join(name)).unwrap();
    }
    let join = ["--name", "bank-c", "--peer", "10.0.0.1:7099", "--rpc", "https://bank-c.example:7443"];
    let some = run(here, &[&["genesis", "join", "--dir", "c", "--out", "bare.member"], &join[..]].concat());
    assert!(!some.ok && some.err.contains("keeper-signing.key"), "{}", some.err);
    std::fs::remove_file(here.join("c/keeper-storage.key")).unwrap();
    done(here, &[&["genesis", "join", "--dir", "c", "--out", "bare.member"], &join[..]].concat());
    assert!(std::fs::read_to_string(here.join("bare.member")).unwrap().contains("keyward-member-2"));
    let bare = ["a.member", "b.member", "bare.member", "d.member"];
    done(here, &[&["genesis", "assemble", "--name", "x", "--out", "bare"], &bare[..]].concat());
    // Nobody gives it a keeper, and nobody takes one away, without its founder seeing it.
    for (genesis, files, why) in [
        ("genesis", bare, "0 of 4 submitters and 1 of 4 keepers stand in none of these files"),
        ("bare", files, "does not stand in the genesis as its file says"),
    ] {
        let seen = check(genesis, &files);
        assert!(seen.code == Some(1) && seen.err.contains(why), "{genesis}: {}", seen.err);
    }
    let left_out = run(here, &["genesis", "check", "three", "d.member"]);
    assert!(!left_out.ok && left_out.err.contains("does not stand in the genesis"), "{}", left_out.err);
    let twice = run(here, &["genesis", "assemble", "--name", "x", "--out", "y", "a.member", "a.member"]);
    assert!(!twice.ok, "one node stands once");
}

#[test]
fn validators_decide_on_the_command_line_and_the_ledger_shows_it() {
    let keyward = Keyward::start();
    let node = |n: u32| keyward.dir().join(format!("node-{n}/node.toml")).to_str().unwrap().to_owned();
    let listed = keyward.json(&["ledger", "member", "list"]);
    assert_eq!((listed["nodes"].as_array().unwrap().len(), listed["quorum"].as_u64()), (4, Some(3)));
    assert_eq!(listed["keepers"].as_array().unwrap().len(), 4, "one beside each validator");
    let regime = keyward.json(&["ledger", "regime"]);
    assert_eq!((regime["regime"].as_str(), regime["mode"].as_str()), (Some("fast"), Some("auto")));
    let first = node(1);
    let propose = [
        "ledger",
        "member",
        "propose",
        "--node",
        &first,
        "configure",
        "--mode",
        "strict",
        "--clean-epochs",
        "5",
    ];
    let id = keyward.json(&propose)["id"].as_str().unwrap().to_owned();
    let open = keyward.json(&["ledger", "member", "list"])["changes"][0].clone();
    assert_eq!((open["id"].as_str(), open["approvals"].as_u64()), (Some(&*id), Some(1)));
    let twice = keyward.run(&["--output", "json", "ledger", "member", "approve", "--node", &first, &id]);
    assert_eq!((twice.code, twice.refusal().as_str()), (Some(1), "APPROVED_BEFORE"), "{twice:?}");
    for n in [2, 3] {
        keyward.json(&["ledger", "member", "approve", "--node", &node(n), &id]);
    }
    wait_until("the epoch to end", || keyward.json(&["ledger", "regime"])["regime"] == "strict");
    let regime = keyward.json(&["ledger", "regime"]);
    assert_eq!(
        (regime["reason"].as_str(), regime["clean_epochs"].as_u64()),
        (Some("configuration"), Some(5))
    );
    assert!(keyward.json(&["ledger", "member", "list"])["changes"].as_array().unwrap().is_empty());
    // A keeper that moves: its own key signs the file, the validators take it in.
    let (out, trust) = (keyward.dir().join("moved.keeper"), keyward.dir().join("trust"));
    let [out, trust] = [&out, &trust].map(|path| path.to_str().unwrap());
    let rpc = "https://keeper.example:7443";
    let asked =
        ["ledger", "member", "keeper", "--node", &first, "--rpc", rpc, "--trust", trust, "--out", out];
    let id = keyward.json(&asked)["id"].as_str().unwrap().to_owned();
    let propose = ["ledger", "member", "propose", "--node", &first, "set-keeper", out];
    let change = keyward.json(&propose)["id"].as_str().unwrap().to_owned();
    for n in [2, 3] {
        keyward.json(&["ledger", "member", "approve", "--node", &node(n), &change]);
    }
    wait_until("the keeper to move", || {
        let keepers = keyward.json(&["ledger", "member", "list"])["keepers"].clone();
        let keepers = keepers.as_array().unwrap();
        keepers.len() == 4 && keepers.iter().any(|keeper| keeper["id"] == *id && keeper["rpc"] == rpc)
    });
    // The service goes on as before, under the other regime.
    keyward.json(&["key", "create", "--alias", "payroll", "--scheme", "ed25519"]);
    let message = keyward.write("message", "signed in the strict regime");
    keyward.json(&["sign", "--key", "payroll", &message]);
}
