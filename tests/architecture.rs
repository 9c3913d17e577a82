//! The rules of the house that no compiler holds: rooms, doors, licences, shape. Each test's name is its promise.
//!
//! A new edge between crates, a new home for a large library, or a new place for `unsafe` is a line here, which
//! somebody reviews. DESIGN and reasons: ARCHITECTURE.md.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "architecture/licence.rs"]
mod licence;
#[path = "architecture/manifests.rs"]
mod manifests;
#[path = "architecture/sources.rs"]
mod sources;

use std::collections::{BTreeMap, BTreeSet};

/// Which room may depend on which. `tests` may depend on every room, and no room on `tests`.
const DOORS: &[(&str, &[&str])] = &[
    ("proto", &[]),
    ("hsm-sim", &[]),
    ("policies", &["kms/domain"]),
    ("ledger/core", &[]),
    ("ledger/engine", &[]),
    // For tests alone: only dev-dependencies may name it.
    ("ledger/simulation", &["ledger/engine"]),
    ("ledger/verify", &["ledger/core"]),
    ("ledger/node", &["ledger/core", "ledger/verify", "ledger/engine", "ledger/simulation", "proto"]),
    ("ledger/client", &["ledger/core", "ledger/verify", "proto"]),
    // The rule by which a signature of each scheme verifies stands once, in ledger/core; the rooms of kms/
    // see schemes, public keys and key ids through kms/domain.
    ("kms/domain", &["ledger/core"]),
    ("kms/crypto", &["kms/domain"]),
    ("kms/token", &["kms/domain"]),
    ("kms/store", &["kms/domain"]),
    (
        "kms/keeper",
        &[
            "kms/domain",
            "kms/crypto",
            // A keeper holds every signature with a shared key against the policies itself.
            "policies",
            "proto",
            "ledger/core",
            "ledger/client",
            // In tests: a keeper stands beside a validator, in a world from a seed.
            "ledger/engine",
            "ledger/node",
            "ledger/simulation",
        ],
    ),
    (
        "kms/service",
        &[
            "kms/domain",
            "kms/crypto",
            "kms/token",
            "kms/store",
            "policies",
            "proto",
            "ledger/core",
            "ledger/client",
        ],
    ),
    // What a grant opens is read from proven records.
    ("kms/audit", &["kms/domain", "kms/crypto", "ledger/core", "ledger/verify"]),
    // kms/store for where a database is and how a connection to it is made: that rule stands once.
    // In tests: a ledger with grants on it, kms/audit's own.
    (
        "kms/projection",
        &["kms/domain", "kms/audit", "kms/store", "ledger/core", "kms/crypto", "ledger/verify"],
    ),
    // A person's side signs entries of its own: what a vault is and what is asked of it.
    ("kms/client", &["kms/domain", "kms/crypto", "kms/token", "proto", "ledger/core", "ledger/verify"]),
    (
        "kms/cli",
        &[
            "kms/domain",
            "kms/crypto",
            "kms/token",
            "kms/store",
            "kms/keeper",
            "kms/service",
            "kms/audit",
            "kms/projection",
            "kms/client",
            "policies",
            "proto",
            "ledger/core",
            "ledger/verify",
            "ledger/engine",
            "ledger/node",
            "ledger/client",
            // Built with the binary, not called: `cargo run` builds no other default member.
            "hsm-sim",
        ],
    ),
];

/// Where a library from outside may be named in a manifest; a `*` ends a prefix.
const HOMES: &[(&str, &[&str])] = &[
    ("commonware-*", &["ledger/engine", "ledger/simulation"]),
    ("object_store", &["ledger/engine"]),
    ("cryptoki", &["kms/token"]),
    ("cryptoki-sys", &["hsm-sim", "kms/token"]),
    ("sqlx*", &["kms/store", "kms/projection"]),
    ("cedar-policy*", &["policies"]),
    ("opaque-ke", &["kms/crypto"]),
    ("hpke", &["kms/crypto"]),
    ("voprf", &["kms/crypto"]),
    ("vsss-rs", &["kms/crypto"]),
    ("frost-*", &["kms/crypto"]),
    ("dkls23-core", &["kms/crypto"]),
    ("postcard", &["kms/crypto"]),
    ("alloy-rlp", &["kms/domain"]),
    ("roxmltree", &["kms/domain"]),
    ("rsa", &["hsm-sim"]),
    ("prost*", &["proto", "ledger/node", "ledger/client", "kms/service", "kms/client", "kms/cli"]),
    (
        "tonic*",
        &["proto", "ledger/node", "ledger/client", "kms/keeper", "kms/service", "kms/client", "kms/cli"],
    ),
    (
        "tokio*",
        &[
            "ledger/engine",
            "ledger/node",
            "ledger/client",
            "kms/token",
            "kms/store",
            "kms/keeper",
            "kms/service",
            "kms/projection",
            "kms/client",
            "kms/cli",
        ],
    ),
    ("clap*", &["kms/cli"]),
    ("indicatif", &["kms/cli"]),
];

/// Rooms without I/O, and what they must not reach even through others.
const PURE: &[&str] =
    &["keyward-ledger-core", "keyward-ledger-verify", "keyward-domain", "keyward-policies", "keyward-audit"];
const IMPURE: &[&str] =
    &["tokio", "mio", "tonic", "hyper", "rustls", "sqlx-core", "cryptoki", "commonware-runtime"];

/// For tests alone.
const SIMULATION: &str = "keyward-ledger-simulation";

/// Where unsafe code may stand: a file, or a folder with `/` at its end. Everything else is safe Rust.
const UNSAFE: &[&str] = &[
    // The C boundary of the PKCS#11 library, and the tests that call it as a C program would.
    "hsm-sim/src/ffi.rs",
    "hsm-sim/src/ffi/",
    "hsm-sim/tests/",
];

/// Crates that a dev-dependency builds with more features than the binary does. `cargo run -- demo` followed by
/// `tests/run` compiles them, and all that stands on them, a second time.
const BUILT_TWICE: &[&str] = &[];

const RUST_FILE_LINES_MAX: usize = 600;

#[test]
fn every_room_stands_in_the_table_of_doors() {
    let rooms: BTreeSet<_> = manifests::rooms().into_iter().map(|room| room.folder).collect();
    let table: BTreeSet<_> =
        DOORS.iter().map(|(room, _)| (*room).to_owned()).chain(["tests".to_owned()]).collect();
    assert_eq!(rooms, table);
}

#[test]
fn rooms_open_only_the_doors_of_the_table() {
    let rooms = manifests::rooms();
    let folders: BTreeMap<_, _> =
        rooms.iter().map(|room| (room.package.as_str(), room.folder.as_str())).collect();
    let mut forced = Vec::new();
    for room in rooms.iter().filter(|room| room.folder != "tests") {
        let doors =
            DOORS.iter().find(|(folder, _)| *folder == room.folder).map_or(&[][..], |(_, doors)| doors);
        for dependency in room.dependencies() {
            if let Some(to) = folders.get(dependency.as_str())
                && !doors.contains(to)
            {
                forced.push(format!("{} -> {to}", room.folder));
            }
        }
    }
    assert!(forced.is_empty(), "not in the table of doors: {forced:?}");
}

#[test]
fn large_libraries_stay_in_their_rooms() {
    let mut strays = Vec::new();
    for room in manifests::rooms().iter().filter(|room| room.folder != "tests") {
        for dependency in room.dependencies() {
            let home = HOMES.iter().find(|(pattern, _)| matches(pattern, &dependency));
            if home.is_some_and(|(_, rooms)| !rooms.contains(&room.folder.as_str())) {
                strays.push(format!("`{dependency}` in {}", room.folder));
            }
        }
    }
    assert!(strays.is_empty(), "{strays:?}");
}

fn matches(pattern: &str, name: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == name, |prefix| name.starts_with(prefix))
}

#[test]
fn pure_rooms_reach_no_runtime_even_through_others() {
    let packages = manifests::packages();
    for room in PURE {
        let reached = manifests::reached_from(room, &packages);
        assert!(reached.contains(*room), "`{room}` is no package");
        let impure: Vec<_> = IMPURE.iter().filter(|name| reached.contains(**name)).collect();
        assert!(impure.is_empty(), "`{room}` reaches {impure:?}");
    }
}

#[test]
fn no_program_holds_the_simulation() {
    let packages = manifests::packages();
    assert!(packages.values().any(|package| package.name == SIMULATION), "`{SIMULATION}` is no package");
    for program in manifests::programs() {
        let reached = manifests::reached_from(&program, &packages);
        assert!(!reached.contains(SIMULATION), "`{program}` is built with `{SIMULATION}`");
    }
}

#[test]
fn the_ledger_does_not_know_the_custody_services_messages() {
    let strangers: Vec<_> = sources::files_ending(".rs")
        .into_iter()
        .filter(|path| path.starts_with("ledger/"))
        .filter(|path| sources::code(&sources::read(path)).contains("keyward_proto::custody"))
        .collect();
    assert!(strangers.is_empty(), "{strangers:?}");
}

#[test]
fn unsafe_code_stands_only_at_the_named_boundaries() {
    let allowed = |path: &str| {
        UNSAFE.iter().any(|place| if place.ends_with('/') { path.starts_with(place) } else { path == *place })
    };
    let strays: Vec<_> = sources::files_ending(".rs")
        .into_iter()
        .filter(|path| !allowed(path))
        .filter(|path| sources::words(&sources::code(&sources::read(path))).any(|word| word == "unsafe"))
        .collect();
    assert!(strays.is_empty(), "unsafe code in {strays:?}");
}

#[test]
fn pipes_that_carry_secrets_are_read_without_a_buffer_that_nobody_wipes() {
    let hosts: Vec<_> = sources::files_ending(".rs")
        .into_iter()
        .filter(|path| path.starts_with("kms/token/src/host/"))
        .map(|path| (sources::code(&sources::read(&path)), path))
        .collect();
    assert!(hosts.iter().any(|(code, _)| code.contains("fn read_frame")), "the frames have moved");
    let buffered: Vec<_> = hosts
        .iter()
        .filter(|(code, _)| sources::words(code).any(|word| ["BufReader", "BufWriter"].contains(&word)))
        .map(|(_, path)| path)
        .collect();
    assert!(buffered.is_empty(), "{buffered:?}");
}

#[test]
fn every_crate_is_taken_under_a_licence_of_the_list() {
    let deny = manifests::read_toml("deny.toml");
    let allowed: BTreeSet<_> = manifests::strings(&deny["licenses"]["allow"]).into_iter().collect();
    let mut refused = Vec::new();
    for package in manifests::packages().values() {
        let stated = package.licence.as_deref().unwrap_or("");
        match licence::permits(&allowed, stated) {
            Ok(true) => {}
            Ok(false) => refused.push(format!("{} {}: `{stated}`", package.name, package.version)),
            Err(reason) => {
                refused.push(format!("{} {}: `{stated}`: {reason}", package.name, package.version))
            }
        }
    }
    assert!(refused.is_empty(), "{refused:#?}");
}

#[test]
fn no_banned_crate_is_built_on_any_platform() {
    let selection = ["--workspace", "--target", "all", "--edges", "normal,build,dev"];
    let built: BTreeSet<_> =
        manifests::built(&selection).into_keys().map(|package| name_of(&package)).collect();
    assert!(built.contains("sha2"), "cargo tree was read wrongly");
    let present: Vec<_> = manifests::banned().into_iter().filter(|name| built.contains(name)).collect();
    assert!(present.is_empty(), "banned by deny.toml: {present:?}");
}

fn name_of(package: &str) -> String {
    package.split(' ').next().unwrap_or_default().to_owned()
}

#[test]
fn every_dependency_comes_from_crates_io() {
    let lock = manifests::read_toml("Cargo.lock");
    let packages = lock["package"].as_array().expect("packages");
    let elsewhere: Vec<_> = packages
        .iter()
        .filter_map(|package| package.get("source").and_then(toml::Value::as_str))
        .filter(|source| *source != "registry+https://github.com/rust-lang/crates.io-index")
        .collect();
    assert!(elsewhere.is_empty(), "{elsewhere:?}");
}

#[test]
fn the_consensus_engine_is_pinned_exactly() {
    let root = manifests::read_toml("Cargo.toml");
    let dependencies = root["workspace"]["dependencies"].as_table().expect("dependencies");
    let mut versions = BTreeSet::new();
    for (_, value) in dependencies.iter().filter(|(name, _)| name.starts_with("commonware-")) {
        let version = value.as_str().or_else(|| value.get("version").and_then(toml::Value::as_str));
        versions.insert(version.expect("a version").to_owned());
    }
    assert!(versions.len() == 1 && versions.iter().all(|version| version.starts_with('=')), "{versions:?}");
}

#[test]
fn one_profile_serves_everything() {
    let root = manifests::read_toml("Cargo.toml");
    let profiles: Vec<_> = root["profile"].as_table().expect("profiles").keys().collect();
    assert_eq!(profiles, ["release"]);
}

#[test]
fn tests_build_the_dependencies_of_the_binary_with_the_same_features() {
    let demo = manifests::built(&["--edges", "normal"]);
    let all = manifests::built(&["--workspace", "--edges", "normal,dev"]);
    let mut differing = Vec::new();
    for (package, features) in
        demo.iter().filter(|(package, _)| !BUILT_TWICE.contains(&name_of(package).as_str()))
    {
        let others = all.get(package).cloned().unwrap_or_default();
        if !features.is_subset(&others) {
            differing.push(format!("{package}: {features:?} for the binary, {others:?} for the tests"));
        }
    }
    assert!(differing.is_empty(), "each of these, and what stands on it, is compiled twice: {differing:#?}");
}

#[test]
fn every_crate_takes_lints_and_facts_from_the_workspace() {
    for room in manifests::rooms() {
        let inherits = |section: &str, key: &str| {
            let section =
                if key.is_empty() { room.manifest.get(section) } else { room.manifest[section].get(key) };
            section.and_then(|value| value.get("workspace")).and_then(toml::Value::as_bool) == Some(true)
        };
        assert!(inherits("lints", ""), "`{}` lacks `[lints] workspace = true`", room.folder);
        for key in ["version", "edition", "rust-version", "license", "publish"] {
            assert!(inherits("package", key), "`{}` sets its own `{key}`", room.folder);
        }
    }
}

#[test]
fn no_rust_file_outgrows_its_reader() {
    let long: Vec<_> = sources::files_ending(".rs")
        .into_iter()
        .map(|path| (sources::read(&path).lines().count(), path))
        .filter(|(lines, _)| *lines > RUST_FILE_LINES_MAX)
        .collect();
    assert!(long.is_empty(), "more than {RUST_FILE_LINES_MAX} lines: {long:?}");
}

#[test]
fn no_file_names_a_folder_of_somebodys_machine() {
    // In halves, so that this file does not name them.
    let folders = [["/ro", "ot/"], ["/ho", "me/"], ["/Us", "ers/"], ["/wo", "rk/"], ["\\Us", "ers\\"]]
        .map(|p| p.concat());
    let mut found = Vec::new();
    for path in sources::files() {
        let text = sources::read(&path);
        for folder in folders.iter().filter(|folder| names_folder(&text, folder)) {
            found.push(format!("`{folder}` in {path}"));
        }
    }
    assert!(found.is_empty(), "{found:?}");
}

/// Whether `folder` stands in the text at the start of an absolute path, not inside a longer path or a URL.
fn names_folder(text: &str, folder: &str) -> bool {
    let starts_path =
        |before: Option<char>| !before.is_some_and(|c| c.is_alphanumeric() || "-_./~}".contains(c));
    text.match_indices(folder).any(|(at, _)| starts_path(text[..at].chars().next_back()))
}

/// With `autotests = false` cargo takes no file by itself: one that no `mod` names would never run.
#[test]
fn every_file_of_tests_is_part_of_a_binary() {
    let rooms = manifests::rooms();
    let one_binary = rooms.iter().filter(|room| room.manifest["package"].get("autotests").is_some());
    let left: Vec<_> = one_binary.flat_map(|room| unnamed_tests(&room.folder)).collect();
    assert!(left.is_empty(), "no `mod` names these, so they never run: {left:?}");
}

/// The files below a room's `tests` that no `mod` of the room names.
fn unnamed_tests(room: &str) -> Vec<String> {
    let mut files = sources::files_ending(".rs");
    files.retain(|path| path.starts_with(&format!("{room}/")));
    let texts: Vec<_> = files.iter().map(|path| sources::read(path)).collect();
    let lines: BTreeSet<_> = texts.iter().flat_map(|text| text.lines()).map(str::trim).collect();
    let is_named = |path: &str| {
        let module = path.trim_end_matches(".rs").trim_end_matches("/mod").rsplit('/').next().unwrap();
        let given = lines.iter().filter_map(|line| line.strip_prefix("#[path = \"")?.strip_suffix("\"]"));
        ["mod", "pub mod", "pub(crate) mod"].iter().any(|word| lines.contains(&*format!("{word} {module};")))
            || given.map(|given| given.trim_start_matches("../")).any(|given| path.ends_with(given))
    };
    let root = format!("{room}/tests/main.rs");
    files.retain(|path| path.starts_with(&format!("{room}/tests/")) && *path != root && !is_named(path));
    files
}

#[test]
fn every_vector_file_is_well_formed() {
    for path in sources::files_ending(".json").into_iter().filter(|path| path.starts_with("tests/vectors/")) {
        let parsed: Result<serde_json::Value, _> = serde_json::from_str(&sources::read(&path));
        assert!(parsed.is_ok(), "`{path}`: {parsed:?}");
    }
}

#[test]
fn every_link_between_documents_leads_somewhere() {
    let mut broken = Vec::new();
    for path in sources::files_ending(".md") {
        let text = sources::read(&path);
        let folder = std::path::Path::new(&path).parent().expect("a file lies in a folder");
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = link.split('#').next().unwrap_or_default();
            let elsewhere = file.is_empty() || file.contains(':') || file.contains(char::is_whitespace);
            if !elsewhere && !keyward_tests::repository().join(folder).join(file).exists() {
                broken.push(format!("`{link}` in {path}"));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:?}");
}
