//! Where the token module lies.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::error::TokenError;

/// File name of the bundled token's module.
pub const MODULE_FILE: &str = if cfg!(target_os = "macos") { "libhsm_sim.dylib" } else { "libhsm_sim.so" };

/// The module to use: the one named explicitly (`--module`), else the one in the environment
/// (`KEYWARD_TOKEN_MODULE`), else the bundled one beside the executable or in `../lib/keyward/`. What was
/// named but is not there is an error: nothing else is taken instead. Test executables lie one folder
/// deeper, so the folder above a `deps` folder is searched too.
pub fn find_module(
    explicit: Option<&Path>,
    environment: Option<&OsStr>,
    executable: Option<&Path>,
) -> Result<PathBuf, TokenError> {
    if let Some(path) = explicit {
        return existing(path, "--module");
    }
    if let Some(value) = environment.filter(|value| !value.is_empty()) {
        return existing(Path::new(value), "KEYWARD_TOKEN_MODULE");
    }
    let mut searched =
        vec![String::from("--module: not given"), String::from("KEYWARD_TOKEN_MODULE: not set")];
    for place in executable.and_then(Path::parent).map(beside).unwrap_or_default() {
        if place.is_file() {
            return Ok(place);
        }
        searched.push(place.display().to_string());
    }
    Err(TokenError::ModuleMissing { searched })
}

fn existing(path: &Path, named_by: &str) -> Result<PathBuf, TokenError> {
    if path.is_file() {
        return Ok(path.to_owned());
    }
    Err(TokenError::ModuleMissing { searched: vec![format!("{named_by}: {}", path.display())] })
}

fn beside(folder: &Path) -> Vec<PathBuf> {
    let mut places = vec![folder.join(MODULE_FILE)];
    if folder.file_name() != Some(OsStr::new("deps")) {
        // `cargo run` builds the bundled token as a dependency of `keyward`: it lies here and nowhere else.
        places.push(folder.join("deps").join(MODULE_FILE));
    } else if let Some(above) = folder.parent() {
        places.push(above.join(MODULE_FILE));
    }
    if let Some(above) = folder.parent() {
        places.push(above.join("lib/keyward").join(MODULE_FILE));
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn touch(path: &Path) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, b"").unwrap();
    }

    #[test]
    fn named_module_wins_and_is_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let (bundled, other) = (folder.path().join("bin").join(MODULE_FILE), folder.path().join("other.so"));
        let executable = folder.path().join("bin/keyward");
        touch(&bundled);
        touch(&other);
        let missing = folder.path().join("missing.so");
        assert_eq!(find_module(None, None, Some(&executable)).unwrap(), bundled);
        assert_eq!(find_module(None, Some(other.as_os_str()), Some(&executable)).unwrap(), other);
        assert_eq!(find_module(Some(&bundled), Some(other.as_os_str()), None).unwrap(), bundled);
        assert!(find_module(Some(&missing), None, Some(&executable)).is_err());
        assert!(find_module(None, Some(missing.as_os_str()), Some(&executable)).is_err());
    }

    #[test]
    fn installed_module_and_the_one_of_a_test_build_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let installed = folder.path().join("lib/keyward").join(MODULE_FILE);
        touch(&installed);
        assert_eq!(find_module(None, None, Some(&folder.path().join("bin/keyward"))).unwrap(), installed);
        let built = folder.path().join("release").join(MODULE_FILE);
        touch(&built);
        assert_eq!(find_module(None, None, Some(&folder.path().join("release/deps/test-1"))).unwrap(), built);
    }

    #[test]
    fn error_names_every_place_and_the_command_that_helps() {
        let folder = tempfile::tempdir().unwrap();
        let error = find_module(None, None, Some(&folder.path().join("bin/keyward"))).unwrap_err();
        let text = error.to_string();
        for part in ["--module", "KEYWARD_TOKEN_MODULE", "bin/lib", "lib/keyward/", "cargo build --release"] {
            assert!(text.contains(part), "{part} not in {text}");
        }
    }
}
