//! Tokens are prepared by a child process, because PKCS#11 modules read the environment.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::child::Child;
use super::layout::Layout;
use crate::failure::{Failure, Result};
use crate::files;

/// Prepares a token in a child process; what is there already stays as it is.
pub(crate) async fn run_prepare(
    label: &str,
    module: Option<&Path>,
    pin_file: &Path,
    keys: &[String],
    variables: &[(&'static str, PathBuf)],
    layout: &Layout,
) -> Result<()> {
    let mut arguments: Vec<&OsStr> =
        ["token", "prepare", "--label", label, "--pin-file"].into_iter().map(OsStr::new).collect();
    arguments.push(pin_file.as_os_str());
    if let Some(module) = module {
        arguments.extend([OsStr::new("--module"), module.as_os_str()]);
    }
    for key in keys {
        arguments.extend([OsStr::new("--key"), OsStr::new(key)]);
    }
    let log = layout.log("token");
    let mut child = Child::start("the token", &arguments, variables, &log)?;
    let ended = child.ended().await;
    if ended.as_ref().is_ok_and(std::process::ExitStatus::success) {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&files::read(&log)?).trim().to_owned();
    let last = said.rsplit("keyward: ").next().unwrap_or_default().replace('\n', " /");
    Err(Failure::refused(
        format!("cannot prepare the token `{label}`: {last}"),
        format!("read `{}`", log.display()),
    ))
}

/// `kind:label` for each kind.
pub(super) fn sample_keys(kinds: &[&str]) -> Vec<String> {
    kinds.iter().map(|kind| format!("{kind}:sample-{kind}")).collect()
}
