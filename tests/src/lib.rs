//! What every test of the whole repository needs: where things lie, which seed, which tools are left out.
//!
//! The tests themselves are `architecture.rs` beside this crate's manifest, and the stories.
use std::{env, path::PathBuf};

/// The root of the repository whose tests run: cargo says where, because checkouts may share a target directory.
#[must_use]
pub fn repository() -> PathBuf {
    let tests =
        env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    tests.parent().map(PathBuf::from).unwrap_or(tests)
}

/// The folder of the build that the running test belongs to: `keyward` and `libhsm_sim` lie in it.
///
/// # Errors
/// When the running test does not lie in cargo's `deps` folder.
pub fn build_folder() -> std::io::Result<PathBuf> {
    let test = env::current_exe()?;
    test.parent()
        .and_then(|deps| deps.parent())
        .map(PathBuf::from)
        .ok_or_else(|| std::io::Error::other(format!("`{}` lies in no build folder", test.display())))
}

/// Whether `tests/run --without NAME` left out the tests that need `tool`.
#[must_use]
pub fn left_out(tool: &str) -> bool {
    env::var("KEYWARD_WITHOUT").is_ok_and(|names| names.split(',').any(|name| name == tool))
}

/// The seed of this run (`KEYWARD_SEED`, or 1): randomised tests derive everything from it and print it.
#[must_use]
pub fn seed() -> u64 {
    env::var("KEYWARD_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

/// Whether `tests/run --soak` asked the randomised tests to run long.
#[must_use]
pub fn soak() -> bool {
    env::var("KEYWARD_SOAK").is_ok_and(|value| value == "1")
}
