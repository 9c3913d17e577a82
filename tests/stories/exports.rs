//! The ledger as files: exported, carried elsewhere, checked there without a network, and made into a node again.

use std::{fs, path::Path};

use keyward_ledger_client::Committer;
use keyward_ledger_core::{
    entry::Entry,
    export::{ChunkName, Manifest, ProvenBlock},
    hash::sha256,
};
use keyward_ledger_node::{Restore, RestoreError};
use keyward_ledger_verify::{Depth, History};
use tokio_stream::StreamExt as _;

use crate::support::{
    Random,
    cluster::{Cluster, submitter},
    keyward::{Answer, Keyward, shared, wait_until},
    until,
};

/// Without a profile that leads anywhere.
fn offline(keyward: &Keyward, arguments: &[&str]) -> Answer {
    let trust = keyward.trust();
    let tail = ["--trust", trust.to_str().unwrap()];
    let arguments = [&["--output", "json", "ledger"], arguments, &tail[..]].concat();
    keyward.run_with(Path::new("/nowhere"), &arguments)
}

fn export(keyward: &Keyward, dir: &str, more: &[&str]) -> serde_json::Value {
    keyward.json_as("auditor", &[&["ledger", "export", dir], more].concat())
}

/// Signs until the ledger is so high: alone it makes a block only now and then.
fn grown(keyward: &Keyward, alias: &str, height: u64) {
    keyward.json(&["key", "create", "--alias", alias, "--scheme", "ed25519"]);
    let message = keyward.write("exports.message", "what makes the ledger grow");
    let high = || keyward.json(&["ledger", "state", "parameters"])["height"].as_u64() >= Some(height);
    wait_until("the ledger to grow", || {
        keyward.json(&["sign", "--key", alias, &message]);
        high()
    });
}

fn folder(keyward: &Keyward, name: &str) -> String {
    keyward.work(name).to_str().unwrap().to_owned()
}

/// The trust file of a ledger of the same name with another genesis.
pub fn other_trust(keyward: &Keyward) -> String {
    let line = fs::read_to_string(keyward.trust()).unwrap();
    let (rest, last) = line.trim_end().split_at(line.trim_end().len() - 1);
    format!("{rest}{}\n", if last == "0" { "1" } else { "0" })
}

/// Writes the manifest again so that it names the files as they are.
fn name_again(dir: &Path) {
    let mut manifest = Manifest::decode(&fs::read(dir.join("manifest")).unwrap()).unwrap();
    let hash = |name: &str| sha256(&[&fs::read(dir.join(name)).unwrap()]);
    (manifest.genesis, manifest.links) = (hash("genesis"), hash("links"));
    for chunk in &mut manifest.chunks {
        chunk.sha256 = hash(&ChunkName::file(chunk.first));
    }
    fs::write(dir.join("manifest"), manifest.encode()).unwrap();
}

#[test]
fn an_export_is_checked_offline_goes_on_where_it_ended_and_is_made_into_a_node() {
    let keyward = shared();
    grown(keyward, "exports", 6);
    let dir = folder(keyward, "export");
    let first = export(keyward, &dir, &["--to", "3"]);
    assert_eq!(
        (first["from"].as_u64(), first["to"].as_u64(), first["resumed_at"].as_u64()),
        (Some(1), Some(3), Some(1))
    );
    let more = export(keyward, &dir, &[]);
    assert_eq!(more["resumed_at"], 4, "what was written is not fetched again");
    let to = more["to"].as_u64().unwrap();
    assert!(to > 3 && more["records"].as_u64() > Some(0));

    let checked = offline(keyward, &["check", &dir]).done().json();
    assert_eq!((&checked["valid"], &checked["executed"]), (&true.into(), &true.into()));
    for field in ["from", "to", "records", "tip"] {
        assert_eq!(checked[field], more[field], "{field}");
    }
    let live = keyward.json_as("auditor", &["ledger", "check", "--to", &to.to_string()]);
    assert_eq!(live, checked, "the nodes serve what was exported");
    let second = keyward.json_as("auditor", &["ledger", "check", "--node", "2"]);
    assert_eq!((&second["valid"], &second["executed"]), (&true.into(), &true.into()));

    let part = folder(keyward, "export-part");
    export(keyward, &part, &["--from", "3", "--to", &to.to_string()]);
    let checked_part = offline(keyward, &["check", &part]).done().json();
    assert_eq!((&checked_part["executed"], &checked_part["tip"]), (&false.into(), &checked["tip"]));

    let into = folder(keyward, "imported");
    assert_eq!(
        offline(keyward, &["import", &part, "--into", &into]).code,
        Some(2),
        "it lacks the first block"
    );
    let imported = offline(keyward, &["import", &dir, "--into", &into]).done().json();
    assert_eq!((&imported["to"], &imported["state_root"]), (&checked["to"], &checked["state_root"]));
    assert!(Path::new(&into).join("blocks").is_dir());
    assert_eq!(
        offline(keyward, &["import", &dir, "--into", &into]).code,
        Some(2),
        "never over another folder"
    );

    let refused = keyward.run(&["ledger", "export", &folder(keyward, "export-of-app")]);
    assert_eq!((refused.code, &*refused.refusal()), (Some(1), "READ_NOT_ALLOWED"), "{refused:?}");
    let used = folder(keyward, "");
    assert_eq!(
        keyward.run_as("auditor", &["ledger", "export", &used]).code,
        Some(2),
        "a folder of something else"
    );
    assert_eq!(offline(keyward, &["check", &used]).code, Some(2), "no export");
}

#[test]
fn every_kind_of_byte_in_an_export_is_missed_and_named() {
    let keyward = shared();
    grown(keyward, "exports-flipped", 8);
    let dir = folder(keyward, "export-flipped");
    let to = export(keyward, &dir, &["--to", "4"])["to"].as_u64().unwrap();
    assert_eq!(to, 4);
    export(keyward, &dir, &[]);
    let mut random = Random::of("flipped exports");
    let dir = Path::new(&dir);
    let names: Vec<_> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert!(names.len() >= 5, "manifest, genesis, links and two chunks: {names:?}");
    for name in &names {
        let path = dir.join(name);
        let good = fs::read(&path).unwrap();
        let mut places = vec![0, good.len() - 1, good.len() / 2];
        places.extend((0..3).map(|_| random.below(good.len() as u64) as usize));
        for place in places {
            let mut flipped = good.clone();
            flipped[place] ^= 1 << random.below(7);
            fs::write(&path, &flipped).unwrap();
            let answer = offline(keyward, &["check", dir.to_str().unwrap()]);
            assert_eq!(answer.code, Some(1), "{name} byte {place}: {answer:?}");
            let json = answer.json();
            assert_eq!(json["valid"], false, "{answer:?}");
            let (code, message) = (answer.refusal(), json["error"]["message"].as_str().unwrap().to_owned());
            match &**name {
                "manifest" => assert_eq!(code, "MANIFEST_MALFORMED"),
                "genesis" | "links" => {
                    assert_eq!(code, "FILE_CHANGED");
                    assert!(message.contains(name), "{message}");
                }
                _ => assert!(place < 9 || message.contains("height "), "{name} byte {place}: {message}"),
            }
            // Whoever changes a byte can write the manifest anew; what the validators signed they cannot.
            if name != "manifest" {
                let manifest = fs::read(dir.join("manifest")).unwrap();
                name_again(dir);
                let answer = offline(keyward, &["check", dir.to_str().unwrap()]);
                assert_eq!(answer.code, Some(1), "{name} byte {place}, named anew: {answer:?}");
                assert_ne!(answer.refusal(), "FILE_CHANGED", "{name} byte {place}");
                fs::write(dir.join("manifest"), manifest).unwrap();
            }
            fs::write(&path, &good).unwrap();
        }
        fs::remove_file(&path).unwrap();
        assert_ne!(offline(keyward, &["check", dir.to_str().unwrap()]).code, Some(0), "without {name}");
        fs::write(&path, &good).unwrap();
    }
    offline(keyward, &["check", dir.to_str().unwrap()]).done();
    let other = keyward.write("exports.trust", other_trust(keyward));
    let arguments = ["--output", "json", "ledger", "check", dir.to_str().unwrap(), "--trust", &other];
    let answer = keyward.run_with(Path::new("/nowhere"), &arguments);
    assert_eq!((answer.code, &*answer.refusal()), (Some(1), "OTHER_GENESIS"), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_starts_on_an_imported_folder_and_goes_on_from_there() {
    let mut cluster = Cluster::start_some(8, &[0, 1, 2]).await;
    let client = cluster.client(&[0, 1, 2]).await;
    let committer = Committer::start(client.clone(), submitter(0)).await.unwrap();
    let note = |n: u32| Entry::Note(format!("note {n}").into_bytes());
    let mut last = 0;
    for n in 0..20 {
        last = committer.commit(&note(n)).await.unwrap().height;
    }
    let (tip, links) = client.proven_tip().await.unwrap();
    assert!(tip >= last);
    let mut history = History::new(&cluster.trust(), &cluster.genesis, &links, 1, Depth::Execution).unwrap();
    let mut restore = Restore::begin(&cluster.node_dir(3)).unwrap();
    let blocks: Vec<ProvenBlock> = {
        let served = client.served(1).await.unwrap().take(usize::try_from(tip).unwrap());
        served.map(|block| block.unwrap()).collect().await
    };
    for block in &blocks {
        let held = history.check(block).unwrap();
        let own = block.descendants.is_empty().then_some(&block.certificate);
        restore.put(&held.block, &block.block, own, held.set_size).unwrap();
    }
    history.finish().unwrap();
    restore.finish().unwrap();
    cluster.start_node(3).await;
    let imported = cluster.client(&[3]).await;
    assert!(imported.status().await.unwrap().height >= tip, "it has what was imported at once");
    for n in 20..25 {
        committer.commit(&note(n)).await.unwrap();
    }
    until("the new node to prove what came after", async || imported.record(24).await.is_ok()).await;
    for leaf in [0, 19, 24] {
        assert_eq!(
            imported.record(leaf).await.unwrap().record().entry,
            note(u32::try_from(leaf).unwrap()).encode()
        );
    }
    cluster.stop().await;
}

#[test]
fn an_import_that_was_not_finished_leaves_nothing_and_never_overwrites() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("data");
    drop(Restore::begin(&place).unwrap());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    fs::create_dir(&place).unwrap();
    fs::write(place.join("validator.key"), "of somebody").unwrap();
    assert!(Restore::begin(&place).is_err());
    assert_eq!(fs::read(place.join("validator.key")).unwrap(), b"of somebody");
    // What a killed import leaves behind is named, and how to go on.
    let other = folder.path().join("other");
    std::mem::forget(Restore::begin(&other).unwrap());
    let error = Restore::begin(&other).unwrap_err();
    let beside = folder.path().join("other.importing");
    assert!(matches!(&error, RestoreError::Unfinished { path } if *path == beside), "{error:?}");
    fs::remove_dir_all(beside).unwrap();
    drop(Restore::begin(&other).unwrap());
}
