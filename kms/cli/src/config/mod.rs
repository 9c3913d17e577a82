//! Configuration: one TOML file, environment variables over it, flags over those; unknown keys are errors.

mod addresses;
pub(crate) mod cold;
pub(crate) mod keeper;
pub(crate) mod node;
mod notices;
pub(crate) mod serve;

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::failure::{Failure, Result};
use crate::files;

/// Certificate files of a server; the key is sealed under the operator's secret.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TlsFiles {
    /// The authority that callers are certified by, PEM.
    pub(crate) ca: PathBuf,
    /// Our certificate, PEM.
    pub(crate) certificate: PathBuf,
    /// Our sealed private key.
    pub(crate) key: PathBuf,
}

/// Where configuration comes from.
pub(crate) struct Sources<'a> {
    /// The file; relative paths inside count from its folder.
    pub(crate) file: &'a Path,
    /// The start of environment variables that count: `KEYWARD_NODE_`.
    pub(crate) prefix: &'a str,
    /// Environment variables: `<prefix>TLS__CA` is `tls.ca`.
    pub(crate) environment: Vec<(String, String)>,
    /// Flags: `tls.ca=path`.
    pub(crate) flags: &'a [String],
}

/// The environment variables that are text.
pub(crate) fn environment() -> Vec<(String, String)> {
    std::env::vars_os()
        .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// Reads a configuration.
pub(crate) fn load<T: DeserializeOwned>(sources: &Sources<'_>) -> Result<T> {
    let wrong = |what: String| Failure::usage(what, "correct it, then see `keyward config check FILE`");
    let text = files::read_text(sources.file)?;
    let name = sources.file.display();
    let mut table: Table =
        toml::from_str(&text).map_err(|error| wrong(format!("`{name}` is malformed")).because(&error))?;
    for (variable, value) in &sources.environment {
        if let Some(key) = variable.strip_prefix(sources.prefix) {
            let path: Vec<_> = key.to_ascii_lowercase().split("__").map(str::to_owned).collect();
            place(&mut table, &path, value).ok_or_else(|| wrong(format!("`{variable}` names no setting")))?;
        }
    }
    for flag in sources.flags {
        let (key, value) =
            flag.split_once('=').ok_or_else(|| wrong(format!("`{flag}` is not `key=value`")))?;
        let path: Vec<_> = key.split('.').map(str::to_owned).collect();
        place(&mut table, &path, value).ok_or_else(|| wrong(format!("`{key}` names no setting")))?;
    }
    table.try_into().map_err(|error: toml::de::Error| {
        wrong(format!("the configuration of `{name}` is wrong")).because(&error)
    })
}

/// Puts a value at a path, making tables on the way; none if something else is in the way.
fn place(table: &mut Table, path: &[String], text: &str) -> Option<()> {
    let (last, way) = path.split_last()?;
    let mut table = table;
    for step in way {
        let next = table.entry(step.clone()).or_insert_with(|| Value::Table(Table::new()));
        table = next.as_table_mut()?;
    }
    table.insert(last.clone(), value(text));
    Some(())
}

/// Whatever reads as a TOML value is one; everything else is a string.
fn value(text: &str) -> Value {
    let parsed: std::result::Result<Table, _> = toml::from_str(&format!("value = {text}"));
    parsed.ok().and_then(|mut table| table.remove("value")).unwrap_or_else(|| Value::String(text.to_owned()))
}

/// Whether a folder or file lies where a relative path of a configuration points.
pub(crate) fn from_folder(file: &Path, path: &Path) -> PathBuf {
    file.parent().unwrap_or_else(|| Path::new("")).join(path)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Small {
        size: u64,
        name: String,
        tls: TlsFilesOfTest,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct TlsFilesOfTest {
        ca: String,
    }

    fn load_small(text: &str, environment: &[(&str, &str)], flags: &[&str]) -> Result<Small> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x.toml");
        std::fs::write(&file, text).unwrap();
        load(&Sources {
            file: &file,
            prefix: "KEYWARD_X_",
            environment: environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            flags: &flags.iter().map(|flag| (*flag).to_owned()).collect::<Vec<_>>(),
        })
    }

    const TEXT: &str = "size = 1\nname = \"a\"\n[tls]\nca = \"c\"\n";

    #[test]
    fn flags_stand_over_the_environment_and_that_over_the_file() {
        let environment = [("KEYWARD_X_SIZE", "2"), ("KEYWARD_X_TLS__CA", "d"), ("OTHER_SIZE", "9")];
        let small = load_small(TEXT, &environment, &["size=3", "name=b c"]).unwrap();
        assert_eq!(small, Small { size: 3, name: "b c".into(), tls: TlsFilesOfTest { ca: "d".into() } });
    }

    #[test]
    fn unknown_keys_are_errors_wherever_they_come_from() {
        assert!(load_small(&format!("colour = 1\n{TEXT}"), &[], &[]).is_err());
        assert!(load_small(TEXT, &[("KEYWARD_X_COLOUR", "1")], &[]).is_err());
        assert!(load_small(TEXT, &[], &["tls.colour=1"]).is_err());
        assert!(load_small(TEXT, &[], &["size"]).is_err());
        assert!(load_small(TEXT, &[], &["size.deep=1"]).is_err());
        let failure = load_small(&TEXT.replace("size", "siez"), &[], &[]).unwrap_err();
        assert!(failure.message().contains("siez"), "{failure}");
    }
}
