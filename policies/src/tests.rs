#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeSet;
use std::path::Path;

use crate::cases::{self, Case};
use crate::delegates::EDITIONS;
use crate::{
    Actor, ActorKind, DelegatePolicies, FLOOR, Facts, PolicyError, PolicySet, Resource, SigningRequest,
    Verdict,
};
use keyward_domain::{AccountId, Mode};

mod facts;
mod matrix;
mod risk;
mod tenant;

fn account(letter: char) -> AccountId {
    AccountId([letter as u8; 32])
}

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("rules")
}

fn cases(file: &str) -> Vec<Case> {
    read_cases(&folder().join(format!("{file}.cases.json")))
}

fn read_cases(file: &Path) -> Vec<Case> {
    cases::read(&std::fs::read_to_string(file).unwrap()).unwrap()
}

fn check_cases(set: &PolicySet, file: &str, cases: &[Case]) {
    for case in cases {
        assert!(case.policies.is_some(), "{file}: {} names no policies", case.name);
        assert_eq!(case.run(set).unwrap(), None, "{file}");
    }
}

fn check_named(file: &str, text: &str, cases: &[Case]) {
    let named: BTreeSet<_> = cases.iter().flat_map(|case| case.policies.clone().unwrap()).collect();
    for id in text.lines().filter_map(|line| line.strip_prefix("@id(\"")?.strip_suffix("\")")) {
        assert!(named.contains(id), "`{id}` of {file} has no case");
    }
}

#[test]
fn every_case_is_decided_as_written() {
    let set = PolicySet::embedded().unwrap();
    for (file, _) in FLOOR {
        check_cases(&set, file, &cases(file));
    }
}

#[test]
fn every_policy_stands_in_a_case_of_its_own_file() {
    for (file, text) in FLOOR {
        check_named(file, text, &cases(file));
    }
}

#[test]
fn every_edition_for_delegates_decides_as_written_and_keeps_its_hash() {
    const HASHES: &[&str] = &["9026946d790ad0df8dc762fc76ba4b5e6b2ae791b1a4798c98025374196edb75"];
    let all = DelegatePolicies::embedded().unwrap();
    let hashes: Vec<_> = all.editions().iter().map(|one| hex::encode(one.policies.hash())).collect();
    assert_eq!(hashes, HASHES, "terms on ledgers name these: add an edition, change none");
    for (number, (edition, hash)) in EDITIONS.iter().zip(all.editions()).enumerate() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("delegates/{}", number + 1));
        let set = all.find(&hash.policies.hash()).unwrap();
        for (file, text) in edition.1 {
            let cases = read_cases(&folder.join(format!("{file}.cases.json")));
            check_cases(set, file, &cases);
            check_named(file, text, &cases);
        }
    }
    assert!(all.find(&[0; 32]).is_none());
    assert!(all.find(&PolicySet::embedded().unwrap().hash()).is_none(), "delegates have sets of their own");
}

#[test]
fn every_file_of_the_folder_is_embedded() {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(folder()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if let Some(name) = name.strip_suffix(".cedar") {
            found.insert(name.to_owned());
        }
    }
    assert_eq!(found, FLOOR.iter().map(|(name, _)| (*name).to_owned()).collect());
}

#[test]
fn no_role_signs_with_somebody_elses_key() {
    let set = PolicySet::embedded().unwrap();
    for kind in ActorKind::ALL {
        for mode in [Mode::Linked, Mode::Hosted, Mode::Own] {
            for person in [false, true] {
                let actor = Actor { tenant: "t", kind, name: "n", account: Some(account('a')) };
                let resource = Resource::Key {
                    tenant: "t",
                    id: [1; 32],
                    account: account('b'),
                    mode,
                    person,
                    authorised: false,
                };
                let facts = &Facts::opaque();
                let request = SigningRequest { actor, key: resource, facts, time_ms: 0, approvals: &[] };
                let verdict = set.decide_signing(&request);
                assert_eq!(verdict, Verdict::Deny { reasons: Vec::new() }, "{kind:?} {mode} {person}");
            }
        }
    }
}

#[test]
fn the_hash_follows_every_byte_of_every_file() {
    const SCHEMA: &str = include_str!("../schema.cedarschema");
    let hash = |schema: &str, files: &[(&str, &str)]| PolicySet::parse(schema, files).unwrap().hash();
    let embedded = PolicySet::embedded().unwrap().hash();
    assert_eq!(hash(SCHEMA, FLOOR), embedded);
    assert_ne!(hash(&format!("{SCHEMA}\n"), FLOOR), embedded);
    for i in 0..FLOOR.len() {
        let changed = format!("{} ", FLOOR[i].1);
        let mut files = FLOOR.to_vec();
        files[i].1 = &changed;
        assert_ne!(hash(SCHEMA, &files), embedded);
    }
    let mut reversed = FLOOR.to_vec();
    reversed.reverse();
    assert_eq!(hash(SCHEMA, &reversed), embedded);
}

#[test]
fn policies_without_name_or_sense_are_refused() {
    const SCHEMA: &str = include_str!("../schema.cedarschema");
    let parse = |text: &str| PolicySet::parse(SCHEMA, &[("x", text)]);
    assert!(matches!(parse("permit (principal, action, resource);"), Err(PolicyError::Unnamed(_))));
    assert!(matches!(parse("permit principal"), Err(PolicyError::Parse { .. })));
    let unknown = "@id(\"a\") permit (principal, action == Action::\"key.steal\", resource);";
    assert!(matches!(parse(unknown), Err(PolicyError::Invalid(_))));
    let twice = "@id(\"a\") permit (principal, action, resource is Key);\n\
                 @id(\"a\") forbid (principal, action, resource is Key);";
    assert!(matches!(parse(twice), Err(PolicyError::Twice { .. })));
}
