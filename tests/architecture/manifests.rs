//! The workspace as its manifests and cargo describe it.
use keyward_tests::repository;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    process::Command,
};
use toml::{Table, Value};

/// A crate of the workspace. Its room is its folder, with `/`, relative to the root.
pub(crate) struct Room {
    pub(crate) folder: String,
    pub(crate) package: String,
    pub(crate) manifest: Table,
}

pub(crate) fn read_toml(path: &str) -> Table {
    let text = fs::read_to_string(repository().join(path)).unwrap_or_else(|e| panic!("`{path}`: {e}"));
    text.parse().unwrap_or_else(|e| panic!("`{path}`: {e}"))
}

pub(crate) fn rooms() -> Vec<Room> {
    let root = read_toml("Cargo.toml");
    strings(&root["workspace"]["members"])
        .into_iter()
        .map(|folder| {
            let manifest = read_toml(&format!("{folder}/Cargo.toml"));
            let package = manifest["package"]["name"].as_str().expect("a package has a name").to_owned();
            Room { folder, package, manifest }
        })
        .collect()
}

pub(crate) fn strings(value: &Value) -> Vec<String> {
    value.as_array().expect("a list").iter().map(|item| item.as_str().expect("a string").to_owned()).collect()
}

/// What deny.toml bans, by crate name.
pub(crate) fn banned() -> BTreeSet<String> {
    let deny = read_toml("deny.toml");
    let entries = deny["bans"]["deny"].as_array().expect("a list of bans");
    entries.iter().map(|entry| entry["crate"].as_str().expect("a crate's name").to_owned()).collect()
}

impl Room {
    /// The packages this room depends on, by their real names, in every table: normal, dev, build, per target.
    pub(crate) fn dependencies(&self) -> BTreeSet<String> {
        let root = read_toml("Cargo.toml");
        let renamed = |value: Option<&Value>| value?.get("package")?.as_str().map(str::to_owned);
        let targets = self.manifest.get("target").and_then(Value::as_table);
        let per_target = targets.into_iter().flat_map(|table| table.values().filter_map(Value::as_table));
        let tables = std::iter::once(&self.manifest).chain(per_target);
        tables
            .flat_map(|table| {
                ["dependencies", "dev-dependencies", "build-dependencies"]
                    .map(|kind| table.get(kind))
                    .into_iter()
            })
            .flatten()
            .flat_map(|section| section.as_table().expect("a table of dependencies"))
            .map(|(key, value)| {
                let shared = root["workspace"]["dependencies"].get(key);
                renamed(Some(value)).or_else(|| renamed(shared)).unwrap_or_else(|| key.clone())
            })
            .collect()
    }
}

fn cargo(arguments: &[&str]) -> String {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output =
        Command::new(program).args(arguments).current_dir(repository()).output().expect("cargo runs");
    assert!(output.status.success(), "cargo {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("cargo prints UTF-8")
}

/// A package as `cargo metadata` resolves it.
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) licence: Option<String>,
    /// What it is built with and what runs in it; not what its tests need.
    normal: Vec<String>,
}

/// Every package that any member may need on any platform, by package id.
pub(crate) fn packages() -> BTreeMap<String, Package> {
    let metadata: serde_json::Value =
        serde_json::from_str(&cargo(&["metadata", "--format-version", "1", "--locked"]))
            .expect("metadata is JSON");
    let mut edges: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for node in metadata["resolve"]["nodes"].as_array().expect("nodes") {
        let dependencies = node["deps"].as_array().expect("deps").iter();
        let normal = dependencies.filter(|dep| kinds(dep).any(|kind| kind.is_null() || kind == "build"));
        edges.insert(text(&node["id"]), normal.map(|dep| text(&dep["pkg"])).collect());
    }
    let listed = metadata["packages"].as_array().expect("packages").iter();
    listed
        .map(|package| {
            let id = text(&package["id"]);
            let normal = edges.remove(&id).unwrap_or_default();
            let licence = package["license"].as_str().map(str::to_owned);
            (
                id,
                Package { name: text(&package["name"]), version: text(&package["version"]), licence, normal },
            )
        })
        .collect()
}

/// The packages of the workspace that are built into something that users start or load.
pub(crate) fn programs() -> BTreeSet<String> {
    let metadata: serde_json::Value =
        serde_json::from_str(&cargo(&["metadata", "--format-version", "1", "--locked", "--no-deps"]))
            .expect("metadata is JSON");
    let packages = metadata["packages"].as_array().expect("packages").iter();
    let is_program = |package: &&serde_json::Value| {
        let mut targets = package["targets"].as_array().expect("targets").iter();
        targets.any(|target| strings_of(&target["kind"]).any(|kind| kind == "bin" || kind == "cdylib"))
    };
    packages.filter(is_program).map(|package| text(&package["name"])).collect()
}

fn strings_of(list: &serde_json::Value) -> impl Iterator<Item = &str> {
    list.as_array().expect("a list").iter().map(|item| item.as_str().expect("a string"))
}

fn kinds(dependency: &serde_json::Value) -> impl Iterator<Item = &serde_json::Value> {
    dependency["dep_kinds"].as_array().expect("dep_kinds").iter().map(|kind| &kind["kind"])
}

fn text(value: &serde_json::Value) -> String {
    value.as_str().expect("a string").to_owned()
}

/// The names of everything that `package` is built with, directly or through others.
pub(crate) fn reached_from(package: &str, packages: &BTreeMap<String, Package>) -> BTreeSet<String> {
    let mut open: Vec<_> = packages.iter().filter(|(_, p)| p.name == package).map(|(id, _)| id).collect();
    let mut seen: BTreeSet<&String> = open.iter().copied().collect();
    while let Some(id) = open.pop() {
        open.extend(packages[id].normal.iter().filter(|next| seen.insert(next)));
    }
    seen.into_iter().map(|id| packages[id].name.clone()).collect()
}

/// Each package that is built (feature by feature resolved, unlike the lock file), with its features.
pub(crate) fn built(selection: &[&str]) -> BTreeMap<String, BTreeSet<String>> {
    let common = ["tree", "--locked", "--prefix", "none", "--format", "{p}|{f}"];
    let mut built: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in cargo(&[&common, selection].concat()).lines() {
        if let Some((package, features)) = line.split_once('|') {
            built.entry(package.to_owned()).or_default().insert(features.trim_end_matches(" (*)").to_owned());
        }
    }
    built
}
