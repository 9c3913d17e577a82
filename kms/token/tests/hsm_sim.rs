//! The bundled token keeps the contract.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "tests")]

mod contract;

use std::path::{Path, PathBuf};
use std::{env, fs};

use contract::Adapter;
use keyward_token::find_module;

static HSM_SIM: Adapter = Adapter { name: "libhsm_sim", module, environment, locks: true, bip340: true };

contract_for!(HSM_SIM);

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
