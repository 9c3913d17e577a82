//! How a command ends: its exit code when nobody takes what it says, and what it never writes over.

use std::{
    fs::{self, File},
    path::Path,
    process::{Command, Output, Stdio},
};

use crate::support::keyward::{binary, clean};

/// Where the answer goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum To {
    /// A reader that is there.
    Reader,
    /// A pipe whose reader is gone.
    NoReader,
    /// A disk without room.
    FullDisk,
    /// Nowhere: closed before it starts.
    Closed,
}

const EVERYWHERE: [To; 4] = [To::Reader, To::NoReader, To::FullDisk, To::Closed];

fn keyward(folder: &Path, to: To, arguments: &[&str]) -> Output {
    let mut command = match to {
        To::Closed => {
            let mut shell = clean("sh");
            shell.args(["-c", "exec \"$0\" \"$@\" >&-"]).arg(binary());
            shell
        }
        _ => clean(binary()),
    };
    let stdout = match to {
        To::Reader | To::Closed => Stdio::piped(),
        To::NoReader => std::io::pipe().unwrap().1.into(),
        To::FullDisk => File::options().write(true).open("/dev/full").unwrap().into(),
    };
    finish(command.current_dir(folder).args(arguments).stdin(Stdio::null()).stdout(stdout))
}

fn finish(command: &mut Command) -> Output {
    command.stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap()
}

#[test]
fn a_failed_command_exits_with_its_code_whether_or_not_anybody_takes_what_it_says() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "no folder, no receipt").unwrap();
    let sealed = ["certificate", "request", "--owner", "nobody", "--key", "key", "--out", "request"];
    for (arguments, code) in [
        (&["verify", "--trust", "file", "file"][..], 1),
        (&sealed, 2),
        // This says something on the side before it fails.
        (&["up", "--dir", "file"], 1),
    ] {
        for format in ["human", "json"] {
            for to in EVERYWHERE {
                let ended = keyward(folder.path(), to, &[&["--output", format], arguments].concat());
                assert_eq!(ended.status.code(), Some(code), "{to:?} {format} {arguments:?}: {ended:?}");
                assert!(!ended.stderr.is_empty(), "{to:?} {format} {arguments:?}");
            }
        }
    }
}

#[test]
fn an_answer_that_finds_no_room_is_a_failure_and_one_that_nobody_reads_on_is_none() {
    let folder = tempfile::tempdir().unwrap();
    for (n, (to, code)) in [(To::Reader, 0), (To::NoReader, 0), (To::FullDisk, 1)].into_iter().enumerate() {
        for format in ["human", "json"] {
            let dir = format!("{n}-{format}");
            let key = ["--output", format, "genesis", "key", "--dir", &dir, "--node", "bank"];
            let ended = keyward(folder.path(), to, &key);
            assert_eq!(ended.status.code(), Some(code), "{to:?} {format}: {ended:?}");
        }
        let ended = keyward(folder.path(), to, &["completions", "bash"]);
        assert_eq!(ended.status.code(), Some(code), "{to:?}: {ended:?}");
    }
}

#[test]
fn a_command_whose_files_are_one_is_refused_and_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("keys")).unwrap();
    std::os::unix::fs::symlink(at("keys"), at("link")).unwrap();
    std::os::unix::fs::symlink(at("nowhere"), at("dangling")).unwrap();
    fs::write(at("message"), "pay").unwrap();
    let request = |key: &str, out: &str| {
        let owner = ["certificate", "request", "--owner", "keyward://operator/alice"];
        keyward(folder.path(), To::Reader, &[&owner[..], &["--key", key, "--out", out]].concat())
    };
    let absolute = at("keys/one").to_str().unwrap().to_owned();
    for (key, out, code) in [
        ("one", "one", 2),
        ("one", "./keys/../one", 2),
        ("keys/one", "link/one", 2),
        ("keys/one", &absolute, 2),
        ("new/one", "new/deep/../one", 2),
        ("dangling", "request", 1),
        ("one", "dangling", 1),
    ] {
        let ended = request(key, out);
        assert_eq!(ended.status.code(), Some(code), "{key} {out}: {ended:?}");
    }
    for sign in [
        ["sign", "--key", "k", "--receipt", "message", "message"].as_slice(),
        &["sign", "--key", "k", "--signature", "./message", "message"],
        &["sign", "--key", "k", "--signature", "new", "--receipt", "./new", "message"],
    ] {
        let ended = keyward(folder.path(), To::Reader, sign);
        let said = String::from_utf8(ended.stderr).unwrap();
        assert!(ended.status.code() == Some(2) && said.contains("named twice"), "{sign:?}: {said}");
    }
    let mut left: Vec<_> = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort_unstable();
    assert_eq!(left, ["dangling", "keys", "link", "message"]);
    assert_eq!(fs::read_dir(at("keys")).unwrap().count(), 0);
    assert_eq!(fs::read(at("message")).unwrap(), b"pay");
    assert!(request("keys/one", "link/two").status.success());
}
