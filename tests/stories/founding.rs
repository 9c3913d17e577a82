//! Several organisations found a ledger, each with processes and keys of its own; a fifth joins and the first leaves.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use keyward_ledger_client::{Client, Config, DEADLINE, Identity, Recorded};
use keyward_ledger_core::{ed25519::SigningKey, trust::Trust};
use serde_json::Value;

use crate::{
    members::Notes,
    support::{
        free_address,
        keyward::{binary, clean},
        until,
    },
};

const FOUNDERS: [&str; 4] = ["a", "b", "c", "d"];
const FIFTH: &str = "e";

/// A folder in which each bank has one of its own.
struct World {
    folder: tempfile::TempDir,
}

/// A node that runs until it is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ended = self.0.kill().and_then(|()| self.0.wait());
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

impl World {
    fn new() -> Self {
        let world = Self { folder: tempfile::tempdir().unwrap() };
        // The authority that the banks agreed on: not ours.
        world.openssl(&[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
            "-keyout",
            "ca.key",
            "-out",
            "ca.pem",
            "-subj",
            "/CN=Clearing house",
            "-addext",
            "basicConstraints=critical,CA:TRUE,pathlen:0",
            "-addext",
            "keyUsage=critical,keyCertSign,cRLSign",
        ]);
        world
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn openssl(&self, arguments: &[&str]) {
        let output =
            Command::new("openssl").current_dir(self.folder.path()).args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn keyward(&self, arguments: &[&str]) -> std::process::Output {
        let mut command = clean(binary());
        command.current_dir(self.folder.path()).args(["--output", "json"]);
        if self.at("alice/profile.toml").exists() {
            command.env("KEYWARD_PROFILE", self.at("alice"));
        }
        command.args(arguments).stdin(Stdio::null()).output().unwrap()
    }

    fn done(&self, arguments: &[&str]) -> Value {
        let output = self.keyward(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap_or_default()
    }

    fn refused(&self, arguments: &[&str]) -> String {
        let output = self.keyward(arguments);
        assert!(!output.status.success(), "{arguments:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    /// The authority certifies what a request asks for.
    fn certify(&self, request: &str, certificate: &str) {
        self.openssl(&[
            "x509",
            "-req",
            "-in",
            request,
            "-CA",
            "ca.pem",
            "-CAkey",
            "ca.key",
            "-days",
            "2",
            "-copy_extensions",
            "copyall",
            "-out",
            certificate,
        ]);
    }

    /// A bank's keys and certificate; its private keys stay in its folder, sealed. Returns its validator's key.
    fn bank(&self, bank: &str) -> String {
        let (name, secret) = (format!("bank-{bank}"), format!("{bank}/operator.secret"));
        let made = self.done(&["genesis", "key", "--dir", bank, "--node", &name]);
        let (key, request) = (format!("{bank}/tls.key"), format!("{bank}.csr"));
        let owner = format!("keyward://node/{name}");
        self.done(&[
            "certificate",
            "request",
            "--owner",
            &owner,
            "--host",
            "127.0.0.1",
            "--host",
            "node.example",
            "--secret",
            &secret,
            "--key",
            &key,
            "--out",
            &request,
        ]);
        self.certify(&request, &format!("{bank}.pem"));
        assert!(!fs::read_to_string(self.at(&key)).unwrap().contains("PRIVATE KEY"), "sealed");
        made["validator"].as_str().unwrap().to_owned()
    }

    fn configure(&self, bank: &str, certificate: &str, (peer, rpc): (SocketAddr, SocketAddr)) -> Vec<String> {
        let words = [
            "genesis",
            "node",
            "--dir",
            bank,
            "--genesis",
            "genesis",
            "--ca",
            "ca.pem",
            "--certificate",
            certificate,
            "--peer-listen",
            &peer.to_string(),
            "--rpc-listen",
            &rpc.to_string(),
        ];
        let members = FOUNDERS.map(|founder| format!("{founder}.member"));
        words.into_iter().map(str::to_owned).chain(members).collect()
    }

    fn start(&self, bank: &str) -> Running {
        let log = fs::File::create(self.at(&format!("{bank}.log"))).unwrap();
        let mut command = clean(binary());
        command.current_dir(self.folder.path()).args(["node", "--supervised", "--config"]);
        let node = command
            .arg(self.at(bank).join("node.toml"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn();
        let mut node = Running(node.unwrap());
        let mut line = String::new();
        BufReader::new(node.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(
            line.contains("ready"),
            "{line}: {}",
            fs::read_to_string(self.at(&format!("{bank}.log"))).unwrap()
        );
        node
    }

    /// Alice operates; her key lies in the open in her profile, as callers' keys do.
    fn alice(&self, nodes: &[String]) {
        self.done(&[
            "certificate",
            "request",
            "--owner",
            "keyward://operator/alice",
            "--key",
            "alice/key.pem",
            "--out",
            "alice.csr",
        ]);
        self.certify("alice.csr", "alice/certificate.pem");
        let profile = format!(
            "role = \"operator\"\nservice = \"https://127.0.0.1:1\"\nnodes = {nodes:?}\nca = \"../ca.pem\"\n\
             certificate = \"certificate.pem\"\nkey = \"key.pem\"\ntrust = \"../genesis.trust\"\nproxy = \"\"\n"
        );
        fs::write(self.at("alice/profile.toml"), profile).unwrap();
    }

    async fn client(&self, nodes: Vec<String>) -> Client {
        let read = |name: &str| fs::read_to_string(self.at(name)).unwrap();
        let identity = Identity {
            ca_pem: read("ca.pem"),
            certificate_pem: read("alice/certificate.pem"),
            key_pem: read("alice/key.pem").into(),
        };
        let trust = Trust::decode(read("genesis.trust").as_bytes()).unwrap();
        Client::connect(Config { nodes, identity, trust, deadline: DEADLINE, dial: None }).await.unwrap()
    }

    /// One proposes, two more approve: three of four, or of five with one more.
    fn decide(&self, by: &[&str], change: &[&str]) {
        let node = |bank: &str| format!("{bank}/node.toml");
        let (first, others) = by.split_first().unwrap();
        let proposer = node(first);
        let proposal = [&["ledger", "member", "propose", "--node", &proposer], change].concat();
        let id = self.done(&proposal)["id"].as_str().unwrap().to_owned();
        for other in others {
            self.done(&["ledger", "member", "approve", "--node", &node(other), &id]);
        }
    }

    fn role_of(&self, key: &str) -> Option<String> {
        let listed = self.done(&["ledger", "member", "list"]);
        let nodes = listed["nodes"].as_array().unwrap();
        let node = nodes.iter().find(|node| node["key"] == key)?;
        Some(node["role"].as_str().unwrap().to_owned())
    }

    fn verifies(&self, recorded: &Recorded, name: &str) {
        fs::write(self.at(name), recorded.receipt(None)).unwrap();
        self.done(&["verify", "--trust", "genesis.trust", name]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_banks_found_a_ledger_a_fifth_joins_and_the_first_leaves_while_it_is_used() {
    let world = World::new();
    let places: Vec<_> = (0..5).map(|_| (free_address(), free_address())).collect();
    let rpc: Vec<_> = places.iter().map(|(_, rpc)| format!("https://{rpc}")).collect();
    let keys: Vec<_> = FOUNDERS.iter().chain([&FIFTH]).map(|bank| world.bank(bank)).collect();
    for ((bank, (peer, _)), rpc) in FOUNDERS.iter().zip(&places).zip(&rpc) {
        let (name, out) = (format!("bank-{bank}"), format!("{bank}.member"));
        let peer = peer.to_string();
        world.done(&[
            "genesis", "join", "--dir", bank, "--name", &name, "--peer", &peer, "--rpc", rpc, "--out", &out,
        ]);
    }
    let members = FOUNDERS.map(|founder| format!("{founder}.member"));
    let members: Vec<_> = members.iter().map(String::as_str).collect();
    let assemble = ["genesis", "assemble", "--name", "clearing", "--epoch-length", "24", "--out", "genesis"];
    world.done(&[&assemble[..], &members].concat());

    // Neither another bank's certificate makes a configuration, nor one of our name for another key; nothing is left.
    world.done(&[
        "certificate",
        "request",
        "--owner",
        "keyward://node/bank-a",
        "--host",
        "127.0.0.1",
        "--secret",
        "a/operator.secret",
        "--key",
        "other.key",
        "--out",
        "other.csr",
    ]);
    world.certify("other.csr", "other.pem");
    for (certificate, why) in [("b.pem", "bank-b"), ("other.pem", "does not certify")] {
        let words = world.configure("a", certificate, places[0]);
        let said = world.refused(&words.iter().map(String::as_str).collect::<Vec<_>>());
        let left = ["a/node.toml", "a/certificate.pem"].map(|file| world.at(file).exists());
        assert!(said.contains(why) && left == [false, false], "{said}");
    }
    // Nor do some of the founders' files, nor one of them twice: the node would look for the others in vain.
    let whole = world.configure("a", "a.pem", places[0]);
    let whole: Vec<_> = whole.iter().map(String::as_str).collect();
    for (words, why) in [
        (&whole[..whole.len() - 1], "1 of 4 validators, 0 of 0 submitters and 1 of 4 keepers stand in none"),
        (&[&whole[..], &["a.member"]].concat(), "two of the files are of the validator"),
        (&[&whole[..whole.len() - 1], &["a.member"]].concat(), "two of the files are of the validator"),
    ] {
        let said = world.refused(words);
        assert!(said.contains(why) && !world.at("a/node.toml").exists(), "{said}");
    }
    for (bank, place) in FOUNDERS.iter().chain([&FIFTH]).zip(&places) {
        let words = world.configure(bank, &format!("{bank}.pem"), *place);
        world.done(&words.iter().map(String::as_str).collect::<Vec<_>>());
    }
    let mut nodes: Vec<_> = FOUNDERS.iter().map(|bank| world.start(bank)).collect();
    world.alice(&rpc[1..4]);

    // Whoever is to submit is decided on, too.
    let submitter = SigningKey::from_seed(&[0x51; 32]);
    let key = hex::encode(submitter.public_key());
    world.decide(&["a", "b", "c"], &["set-submitter", &key, "--role", "operator"]);
    let client = world.client(rpc[1..].to_vec()).await;
    let registered = keyward_ledger_core::state::layout::submitter_key(&submitter.public_key());
    until("the submitter to be known", async || client.state(&registered).await.unwrap().value.is_some())
        .await;
    let notes = Notes::of(client.clone(), submitter).await;

    let (fifth, first) = (&keys[4], &keys[0]);
    let (peer, out) = (places[4].0.to_string(), format!("{FIFTH}.member"));
    world.done(&[
        "ledger",
        "member",
        "join",
        "--node",
        text(&world.at("e/node.toml")),
        "--name",
        "bank-e",
        "--peer",
        &peer,
        "--rpc",
        &rpc[4],
        "--trust",
        "genesis.trust",
        "--out",
        &out,
    ]);
    world.decide(&["b", "c", "d"], &["admit", &out]);
    until("the fifth to be admitted", async || world.role_of(fifth).as_deref() == Some("observer")).await;
    nodes.push(world.start(FIFTH));
    world.decide(&["a", "b", "c"], &["promote", fifth]);
    until("the fifth to vote", async || world.role_of(fifth).as_deref() == Some("validator")).await;
    world.decide(&["b", "c", "d", "e"], &["remove", first]);
    until("the first to be gone", async || world.role_of(first).is_none()).await;
    drop(nodes.remove(0));
    // Three of the four that are left are a quorum: the fifth counts.
    drop(nodes.remove(0));
    let at = client.status().await.unwrap().log_size;
    until("the ledger to go on", async || {
        client.status().await.is_ok_and(|status| status.log_size > at + 20)
    })
    .await;

    let recorded = notes.stop().await;
    world.verifies(&recorded[0], "before");
    world.verifies(recorded.last().unwrap(), "after");
}
