//! Other people's PKCS#11 clients drive the bundled token. Each suite is a script in `tests/conformance` that takes the
//! module's path, keeps its tokens in a private folder, and prints what passed, failed and was skipped, and why.
//!
//! A missing tool fails its test, unless `tests/run --without NAME` left it out.

use std::path::PathBuf;
use std::process::Command;

use keyward_tests::{build_folder, left_out, repository};

/// Runs a suite that needs `tools`: the name for `--without`, and the command that must be there.
fn suite(script: &str, tools: &[(&str, &str)]) {
    if let Some((name, _)) = tools.iter().find(|(name, _)| left_out(name)) {
        println!("left out: `{script}` needs `{name}`");
        return;
    }
    for (name, command) in tools {
        let found = Command::new(command).arg("--help").output().is_ok();
        assert!(found, "`{command}` is missing: install `{name}`, or run with `--without {name}`");
    }
    let path = repository().join("tests/conformance").join(script);
    let output = Command::new(&path).arg(module()).output().unwrap();
    let text =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    println!("{text}");
    assert!(output.status.success(), "`{script}` ended with {}:\n{text}", output.status);
    // A script that checked nothing has shown nothing.
    let passed = text.lines().filter(|line| line.starts_with("passed ")).count();
    assert!(passed > 0, "`{script}` names nothing that passed:\n{text}");
}

fn module() -> PathBuf {
    let folder = build_folder().unwrap();
    let places = ["libhsm_sim.so", "libhsm_sim.dylib"].map(|name| folder.join(name));
    places.into_iter().find(|path| path.exists()).expect("the build leaves the token beside the binary")
}

#[test]
fn gnutls_p11tool_uses_the_token() {
    suite("p11tool", &[("gnutls-bin", "p11tool")]);
}

#[test]
fn java_sunpkcs11_uses_the_token() {
    let java = "openjdk-17-jdk-headless";
    suite("sunpkcs11", &[("opensc", "pkcs11-tool"), (java, "javac"), (java, "keytool")]);
}

#[test]
fn opensc_pkcs11_tool_finds_no_errors() {
    suite("pkcs11-tool", &[("opensc", "pkcs11-tool"), ("openssl", "openssl")]);
}

#[test]
fn the_suite_of_python_pkcs11_passes() {
    suite("python-pkcs11", &[("python3", "python3"), ("python3-venv", "python3")]);
}

#[test]
fn the_suite_of_the_crate_cryptoki_passes() {
    suite("cryptoki", &[]);
}
