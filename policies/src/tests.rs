#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Instant;

use keyward_domain::{AccountId, Mode};
use serde::Deserialize;

use crate::set::RULES;
use crate::{Actor, ActorKind, Decision, PolicyError, PolicySet, Request, Resource, Verb};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    actor: CaseActor,
    verb: String,
    resource: CaseResource,
    allowed: bool,
    policies: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseActor {
    kind: String,
    tenant: String,
    account: Option<char>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum CaseResource {
    Tenant { tenant: String },
    Account { tenant: String, account: char },
    Key { tenant: String, account: char, mode: String, person: bool, authorised: bool },
    Desk { tenant: String, agent: String, operators: Vec<String> },
}

fn account(letter: char) -> AccountId {
    AccountId([letter as u8; 32])
}

impl Case {
    fn request(&self) -> Request<'_> {
        let kind =
            ActorKind::ALL.into_iter().find(|kind| kind.entity_type().to_lowercase() == self.actor.kind);
        let actor = Actor {
            tenant: &self.actor.tenant,
            kind: kind.unwrap(),
            name: "one",
            account: self.actor.account.map(account),
        };
        let resource = match &self.resource {
            CaseResource::Tenant { tenant } => Resource::Tenant { tenant },
            CaseResource::Account { tenant, account: id } => Resource::Account { tenant, id: account(*id) },
            CaseResource::Desk { tenant, agent, operators } => Resource::Desk { tenant, agent, operators },
            CaseResource::Key { tenant, account: holder, mode, person, authorised } => Resource::Key {
                tenant,
                id: [9; 32],
                account: account(*holder),
                mode: Mode::from_name(mode).unwrap(),
                person: *person,
                authorised: *authorised,
            },
        };
        Request { actor, verb: Verb::from_name(&self.verb).unwrap(), resource }
    }
}

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("rules")
}

fn cases(file: &str) -> Vec<Case> {
    let text = std::fs::read_to_string(folder().join(format!("{file}.cases.json"))).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn every_case_is_decided_as_written() {
    let set = PolicySet::embedded().unwrap();
    for (file, _) in RULES {
        for case in cases(file) {
            let decision = set.decide(&case.request()).unwrap();
            // A forbid that does not apply leaves the reasons to the permits.
            let expected = Decision { allowed: case.allowed, policies: case.policies.clone() };
            assert_eq!(decision, expected, "{file}: {}", case.name);
        }
    }
}

#[test]
fn every_policy_stands_in_a_case_of_its_own_file() {
    for (file, text) in RULES {
        let named: BTreeSet<_> = cases(file).into_iter().flat_map(|case| case.policies).collect();
        for id in text.lines().filter_map(|line| line.strip_prefix("@id(\"")?.strip_suffix("\")")) {
            assert!(named.contains(id), "`{id}` of {file} has no case");
        }
    }
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
    assert_eq!(found, RULES.iter().map(|(name, _)| (*name).to_owned()).collect());
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
                let decision = set.decide(&Request { actor, verb: Verb::KeySign, resource }).unwrap();
                assert!(!decision.allowed && decision.policies.is_empty(), "{kind:?} {mode} {person}");
            }
        }
    }
}

#[test]
fn the_hash_follows_every_byte_of_every_file() {
    const SCHEMA: &str = include_str!("../schema.cedarschema");
    let hash = |schema: &str, files: &[(&str, &str)]| PolicySet::parse(schema, files).unwrap().hash();
    let embedded = PolicySet::embedded().unwrap().hash();
    assert_eq!(hash(SCHEMA, RULES), embedded);
    assert_ne!(hash(&format!("{SCHEMA}\n"), RULES), embedded);
    for i in 0..RULES.len() {
        let changed = format!("{} ", RULES[i].1);
        let mut files = RULES.to_vec();
        files[i].1 = &changed;
        assert_ne!(hash(SCHEMA, &files), embedded);
    }
    let mut reversed = RULES.to_vec();
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

#[test]
fn a_decision_is_cheap() {
    const ROUNDS: u32 = 2000;
    let set = PolicySet::embedded().unwrap();
    let cases = cases("app");
    let request = cases[0].request();
    let start = Instant::now();
    for _ in 0..ROUNDS {
        assert!(set.decide(&request).unwrap().allowed);
    }
    let each = start.elapsed() / ROUNDS;
    println!("{each:?} per decision");
    // The goal is 30 us; the bound leaves room for a busy machine.
    assert!(each.as_micros() < 300, "{each:?}");
}
