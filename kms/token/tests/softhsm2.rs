//! SoftHSM2 keeps the contract.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "tests")]

mod contract;

use std::path::{Path, PathBuf};
use std::{env, fs};

use contract::Adapter;

const PLACES: [&str; 5] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/opt/homebrew/lib/softhsm/libsofthsm2.so",
];

/// In this process, and in a child. Differences: a child is not ended by another user of the library but by a signal,
/// and shares its login with nobody.
static HERE: Adapter =
    Adapter { name: "SoftHSM2", module, environment, locks: false, bip340: false, sm2: false, hosted: false };
static HOSTED: Adapter = Adapter { name: "SoftHSM2 in a child process", hosted: true, ..HERE };

mod here {
    use super::HERE;

    crate::contract_for!(HERE);
}

mod hosted {
    use super::HOSTED;

    crate::contract_for!(HOSTED);
}

fn module() -> Option<PathBuf> {
    let named = env::var_os("SOFTHSM2_MODULE").map(PathBuf::from);
    let found = named.into_iter().chain(PLACES.map(PathBuf::from)).find(|path| path.is_file());
    let without = env::var("KEYWARD_WITHOUT").unwrap_or_default();
    if found.is_none() && !without.split([',', ' ']).any(|name| name == "softhsm2") {
        panic!("SoftHSM2 is not installed: install `softhsm2`, or run with `--without softhsm2`");
    }
    found
}

fn environment(folder: &Path) -> Vec<(&'static str, PathBuf)> {
    let (store, settings) = (folder.join("store"), folder.join("softhsm2.conf"));
    fs::create_dir(&store).unwrap();
    let text = format!(
        "directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n",
        store.display()
    );
    fs::write(&settings, text).unwrap();
    vec![("SOFTHSM2_CONF", settings)]
}
