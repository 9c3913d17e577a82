//! The files of the repository, and Rust sources without their comments and strings.
use keyward_tests::repository;
use std::{fs, path::Path, process::Command};

/// Every file of the repository, relative to the root, sorted: what git tracks or would track, or, where the sources
/// came without git, what lies here but build output.
pub(crate) fn files() -> Vec<String> {
    let root = repository();
    let mut files = if root.join(".git").exists() { known_to_git() } else { lying_in(&root, "") };
    files.retain(|path| root.join(path).is_file());
    files.sort();
    files.dedup();
    files
}

fn known_to_git() -> Vec<String> {
    let output = Command::new("git")
        .args(["-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(repository())
        .output()
        .expect("git runs");
    assert!(output.status.success(), "git ls-files: {}", String::from_utf8_lossy(&output.stderr));
    let listed = String::from_utf8(output.stdout).expect("paths are UTF-8");
    listed.split('\0').filter(|path| !path.is_empty()).map(str::to_owned).collect()
}

fn lying_in(folder: &Path, prefix: &str) -> Vec<String> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("a readable folder") {
        let entry = entry.expect("a readable entry");
        let path = format!("{prefix}{}", entry.file_name().to_str().expect("a UTF-8 name"));
        let kind = entry.file_type().expect("a kind of file");
        if kind.is_file() {
            files.push(path);
        } else if kind.is_dir()
            && !entry.path().join("CACHEDIR.TAG").exists()
            && !path.starts_with("keyward-")
        {
            files.extend(lying_in(&entry.path(), &format!("{path}/")));
        }
    }
    files
}

pub(crate) fn files_ending(suffix: &str) -> Vec<String> {
    files().into_iter().filter(|path| path.ends_with(suffix)).collect()
}

/// A file's text; bytes that are not UTF-8 become replacement characters.
pub(crate) fn read(path: &str) -> String {
    let bytes = fs::read(repository().join(path)).unwrap_or_else(|e| panic!("`{path}`: {e}"));
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The source with comments removed and the contents of strings and characters blanked.
pub(crate) fn code(source: &str) -> String {
    let mut rest = source;
    let mut code = String::with_capacity(source.len());
    while let Some(next) = rest.chars().next() {
        let skipped = skipped_length(rest, code.chars().next_back());
        if skipped > 0 {
            code.push(' ');
            rest = &rest[skipped..];
        } else {
            code.push(next);
            rest = &rest[next.len_utf8()..];
        }
    }
    code
}

/// The words of some code: identifiers and keywords.
pub(crate) fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

/// The length of the comment or literal that `rest` opens with, or 0.
fn skipped_length(rest: &str, before: Option<char>) -> usize {
    let inside_word = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    match rest.as_bytes() {
        [b'/', b'/', ..] => rest.find('\n').unwrap_or(rest.len()),
        [b'/', b'*', ..] => block_comment(rest),
        [b'"', ..] => 1 + quoted(&rest[1..], '"'),
        [b'r', b'"' | b'#', ..] if !inside_word => raw_string(&rest[1..]).map_or(0, |length| 1 + length),
        [b'b' | b'c', b'r', b'"' | b'#', ..] if !inside_word => {
            raw_string(&rest[2..]).map_or(0, |length| 2 + length)
        }
        [b'\'', ..] => character(rest),
        _ => 0,
    }
}

fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        match &rest.as_bytes()[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] if depth == 1 => return at + 2,
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
    }
    rest.len()
}

/// From behind the opening quote to behind the closing one.
fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// From behind the `r`: `#`s, a quote, anything, the quote and as many `#`s. A raw identifier is none.
fn raw_string(rest: &str) -> Option<usize> {
    let hashes = rest.len() - rest.trim_start_matches('#').len();
    let inner = rest[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    Some(inner.find(&end).map_or(rest.len(), |at| hashes + 1 + at + end.len()))
}

/// A character literal; a lifetime is none.
fn character(rest: &str) -> usize {
    let mut inner = rest[1..].chars();
    match (inner.next(), inner.next()) {
        (Some('\\'), Some(_)) => 1 + quoted(&rest[1..], '\''),
        (Some(c), Some('\'')) => 1 + c.len_utf8() + 1,
        _ => 0,
    }
}

#[test]
fn comments_and_literals_hide_no_code_and_are_no_code() {
    for (source, expected) in [
        ("a // unsafe\nb", vec!["a", "b"]),
        ("a /* x /* unsafe */ y */ b", vec!["a", "b"]),
        ("f(\"unsafe \\\" unsafe\") b", vec!["f", "b"]),
        ("r#\"unsafe \" unsafe\"# b", vec!["b"]),
        ("br\"unsafe\\\" b", vec!["b"]),
        ("r#unsafe b", vec!["r", "unsafe", "b"]),
        ("'\"' unsafe '\\'' 'u'", vec!["unsafe"]),
        ("fn f<'a>(x: &'a str) unsafe", vec!["fn", "f", "a", "x", "a", "str", "unsafe"]),
        ("\"http://x\" unsafe", vec!["unsafe"]),
        ("#[unsafe(no_mangle)] unsafe_code", vec!["unsafe", "no_mangle", "unsafe_code"]),
    ] {
        assert_eq!(words(&code(source)).collect::<Vec<_>>(), expected, "{source}");
    }
}
