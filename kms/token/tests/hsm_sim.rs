//! The bundled token keeps the contract.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

mod contract;
#[path = "hsm_sim/faults.rs"]
mod faults;
#[path = "hsm_sim/faults/late.rs"]
mod late;
#[path = "hsm_sim/faults/pins.rs"]
mod pins;

use std::path::{Path, PathBuf};
use std::{env, fs};

use contract::Adapter;
use keyward_token::find_module;

/// In this process, and in a child. Differences: a child is not ended by another user of the library but by a signal,
/// and shares its login with nobody.
static HERE: Adapter =
    Adapter { name: "libhsm_sim", module, environment, locks: true, bip340: true, sm2: true, hosted: false };
static HOSTED: Adapter = Adapter { name: "libhsm_sim in a child process", hosted: true, ..HERE };

mod here {
    use super::HERE;

    crate::contract_for!(HERE);
}

mod hosted {
    use super::HOSTED;

    crate::contract_for!(HOSTED);
}

fn module() -> Option<PathBuf> {
    match find_module(None, None, Some(&env::current_exe().unwrap())) {
        Ok(path) => Some(path),
        Err(error) => panic!("{error}"),
    }
}

fn environment(folder: &Path) -> Vec<(&'static str, PathBuf)> {
    let store = folder.join("store");
    fs::create_dir(&store).unwrap();
    vec![("HSM_SIM_DIR", store)]
}
