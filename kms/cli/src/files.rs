//! Files: written whole or not at all, secret ones for their owner alone, errors with their path.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::failure::{Failure, Result};

/// The longest file that commands read into memory: a message of 1 MiB is the longest that is signed as such.
pub(crate) const FILE_LEN_MAX: u64 = 64 << 20;

/// The longest secret file: keys and passwords have some thousand bytes.
const SECRET_LEN_MAX: usize = 1 << 20;

/// Who may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Its owner alone, mode 0600.
    Secret,
    /// Everybody, mode 0644.
    Public,
}

impl Access {
    const fn mode(self) -> u32 {
        match self {
            Self::Secret => 0o600,
            Self::Public => 0o644,
        }
    }
}

/// Writes a file whole: beside it first, then into its place.
pub(crate) fn write(path: &Path, bytes: &[u8], access: Access) -> Result<()> {
    let failed = |error: std::io::Error| cannot("write", path, &error);
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        make_folder(folder)?;
    }
    let beside = beside(path);
    let options = OpenOptions::new().write(true).create(true).truncate(true).mode(access.mode()).clone();
    let mut file = options.open(&beside).map_err(failed)?;
    file.set_permissions(std::fs::Permissions::from_mode(access.mode())).map_err(failed)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed)?;
    std::fs::rename(&beside, path).map_err(failed)
}

/// Refuses files of one command of which two are the same, however they are named: what is written to the one would
/// be lost with the other.
pub(crate) fn distinct<'a>(paths: impl IntoIterator<Item = &'a Path>) -> Result<()> {
    let mut places = Vec::new();
    for path in paths {
        let place = place(path).map_err(|error| cannot("find", path, &error))?;
        if places.contains(&place) {
            let what = format!("`{}` is named twice", path.display());
            return Err(Failure::usage(what, "give each file a place of its own"));
        }
        places.push(place);
    }
    Ok(())
}

/// A file that is there, or where one will be.
#[derive(PartialEq, Eq)]
enum Place {
    There { device: u64, inode: u64 },
    Free(PathBuf),
}

fn place(path: &Path) -> std::io::Result<Place> {
    if let Ok(there) = path.metadata() {
        return Ok(Place::There { device: there.dev(), inode: there.ino() });
    }
    let path = std::path::absolute(path)?;
    let mut missing = Vec::new();
    let mut folder = path.as_path();
    loop {
        // A link that leads nowhere is replaced by what is written, not followed.
        if !missing.is_empty()
            && let Ok(found) = folder.canonicalize()
        {
            return Ok(Place::Free(missing.iter().rev().fold(found, |place, name| resolved(place, name))));
        }
        let Some(parent) = folder.parent() else { return Ok(Place::Free(path)) };
        missing.extend(folder.components().next_back());
        folder = parent;
    }
}

/// A component below a folder; `..` below one that is still to be made leads back out of it.
fn resolved(mut place: PathBuf, name: &std::path::Component<'_>) -> PathBuf {
    match name {
        std::path::Component::ParentDir => drop(place.pop()),
        name => place.push(name),
    }
    place
}

/// Refuses a file that is there already, be it a link that leads nowhere; `what` are never overwritten.
pub(crate) fn fresh(path: &Path, what: &str) -> Result<()> {
    match path.symlink_metadata() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(cannot("look at", path, &error)),
        Ok(_) => {
            let there = format!("`{}` is there already", path.display());
            Err(Failure::refused(there, format!("choose another file: {what} are never overwritten")))
        }
    }
}

/// Where something is made before it takes its place.
pub(crate) fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    path.with_file_name(name)
}

/// Makes a folder for its owner alone, with those above it.
pub(crate) fn make_folder(path: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|error| cannot("make the folder", path, &error))
}

/// Reads a file whole.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    read_whole(File::open(path).map_err(|error| cannot("read", path, &error))?, path)
}

fn read_whole(from: impl Read, path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = from.take(FILE_LEN_MAX + 1).read_to_end(&mut bytes);
    read.map_err(|error| cannot("read", path, &error))?;
    if bytes.len() as u64 > FILE_LEN_MAX {
        let next = format!("choose a file of at most {} MiB", FILE_LEN_MAX >> 20);
        return Err(Failure::refused(format!("`{}` is too long", path.display()), next));
    }
    Ok(bytes)
}

/// Reads a file of text.
pub(crate) fn read_text(path: &Path) -> Result<String> {
    text(read(path)?, path)
}

/// Reads text from a file, or from standard input where `-` is named.
pub(crate) fn read_text_or_input(path: &Path) -> Result<String> {
    if path == Path::new("-") {
        return text(read_whole(std::io::stdin(), path)?, path);
    }
    read_text(path)
}

fn text(bytes: Vec<u8>, path: &Path) -> Result<String> {
    String::from_utf8(bytes).map_err(|error| {
        Failure::refused(format!("`{}` is not text", path.display()), "choose another file").because(&error)
    })
}

/// Reads a secret file of text, which nobody but its owner may read.
pub(crate) fn read_secret(path: &Path) -> Result<Zeroizing<String>> {
    let bytes = read_secret_bytes(path)?;
    let text = std::str::from_utf8(&bytes).map_err(|error| {
        Failure::refused(format!("`{}` is not text", path.display()), "choose another file").because(&error)
    })?;
    Ok(Zeroizing::new(text.to_owned()))
}

/// Reads a secret file of any bytes, which nobody but its owner may read.
pub(crate) fn read_secret_bytes(path: &Path) -> Result<Zeroizing<Vec<u8>>> {
    read_secret_within(path, SECRET_LEN_MAX)
}

/// The same of at most so many bytes.
pub(crate) fn read_secret_within(path: &Path, most: usize) -> Result<Zeroizing<Vec<u8>>> {
    let failed = |error: std::io::Error| cannot("read", path, &error);
    let file = File::open(path).map_err(failed)?;
    // Of what was opened: a file that takes its place meanwhile is not read.
    let mode = file.metadata().map_err(failed)?.permissions().mode();
    if mode & 0o077 != 0 {
        let what =
            format!("`{}` holds a secret and is open to others (mode {:o})", path.display(), mode & 0o777);
        return Err(Failure::refused(what, format!("chmod 600 {}", path.display())));
    }
    match read_wiped(file, most).map_err(failed)? {
        Some(bytes) => Ok(bytes),
        None => {
            let next = format!("choose a file of at most {} KiB", most >> 10);
            Err(Failure::refused(format!("`{}` is too long for a secret", path.display()), next))
        }
    }
}

/// Reads to the end through buffers that are wiped, the outgrown ones too; none if there is more than `most`.
fn read_wiped(mut from: impl Read, most: usize) -> std::io::Result<Option<Zeroizing<Vec<u8>>>> {
    let (mut bytes, mut len) = (Zeroizing::new(vec![0; 4096]), 0_usize);
    loop {
        if len == bytes.len() {
            let mut more = Zeroizing::new(vec![0; bytes.len().saturating_mul(2)]);
            more.iter_mut().zip(bytes.iter()).for_each(|(to, from)| *to = *from);
            bytes = more;
        }
        match from.read(bytes.get_mut(len..).unwrap_or_default()) {
            Ok(0) => break,
            Ok(count) => len = len.saturating_add(count),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        if len > most {
            return Ok(None);
        }
    }
    bytes.truncate(len);
    Ok(Some(bytes))
}

fn cannot(verb: &str, path: &Path, error: &std::io::Error) -> Failure {
    let what = format!("cannot {verb} `{}`", path.display());
    Failure::refused(what, "check the path and its permissions").because(error)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn a_secret_is_for_its_owner_alone_and_replaced_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/secret");
        write(&path, b"one", Access::Public).unwrap();
        assert!(read_secret(&path).unwrap_err().next.starts_with("chmod 600"));
        write(&path, b"two", Access::Secret).unwrap();
        assert_eq!(read_secret(&path).unwrap().as_str(), "two");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn a_secret_is_read_whole_however_it_comes_and_never_endlessly() {
        /// A few bytes at a time, with interruptions.
        struct Slow(Vec<u8>, bool);
        impl std::io::Read for Slow {
            fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
                self.1 = !self.1;
                if self.1 {
                    return Err(std::io::ErrorKind::Interrupted.into());
                }
                let count = to.len().min(self.0.len()).min(1000);
                to[..count].copy_from_slice(&self.0[..count]);
                self.0.drain(..count);
                Ok(count)
            }
        }
        for len in [0, 1, 4095, 4096, 4097, 20_000] {
            let bytes: Vec<u8> = (0..len).map(|at| at as u8).collect();
            let read = read_wiped(Slow(bytes.clone(), false), 20_000).unwrap().unwrap();
            assert_eq!(*read, bytes);
        }
        assert!(read_wiped(Slow(vec![1; 20_001], false), 20_000).unwrap().is_none());
        assert!(read_wiped(std::io::repeat(1), SECRET_LEN_MAX).unwrap().is_none());
    }

    #[test]
    fn a_secret_that_is_too_long_or_no_text_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        write(&path, "a".repeat(SECRET_LEN_MAX + 1).as_bytes(), Access::Secret).unwrap();
        assert!(read_secret_bytes(&path).unwrap_err().message().contains("too long"));
        write(&path, &[0xff, 0xfe], Access::Secret).unwrap();
        assert_eq!(*read_secret_bytes(&path).unwrap(), [0xff, 0xfe]);
        assert!(read_secret(&path).unwrap_err().message().contains("not text"));
    }

    #[test]
    fn one_file_by_two_names_is_found_out_whether_it_is_there_or_not() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("real")).unwrap();
        std::os::unix::fs::symlink(at("real"), at("link")).unwrap();
        std::fs::write(at("real/there"), "x").unwrap();
        std::fs::hard_link(at("real/there"), at("other")).unwrap();
        std::os::unix::fs::symlink(at("nowhere"), at("real/dangling")).unwrap();
        for (one, other) in [
            ("a", "a"),
            ("real/a", "link/a"),
            ("real/a", "./real/../real/a"),
            ("new/a", "new/b/../a"),
            ("new/x/../../real/a", "link/a"),
            ("real/there", "link/there"),
            ("real/there", "other"),
            ("real/dangling", "link/dangling"),
        ] {
            let same = distinct([at(one).as_path(), &at("apart"), &at(other)]);
            assert_eq!(same.unwrap_err().exit as u8, 2, "{one} {other}");
        }
        for (one, other) in [("a", "b"), ("real/a", "a"), ("new/a", "new/a/a"), ("real/dangling", "nowhere")]
        {
            distinct([at(one).as_path(), &at(other)]).unwrap();
        }
    }

    #[test]
    fn a_link_that_leads_nowhere_is_not_fresh() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        fresh(&link, "keys").unwrap();
        std::os::unix::fs::symlink(folder.path().join("nowhere"), &link).unwrap();
        assert!(fresh(&link, "keys").unwrap_err().next.contains("keys are never overwritten"));
        assert!(fresh(&folder.path().join("link/below"), "keys").is_ok());
    }

    #[test]
    fn a_missing_file_is_named() {
        let failure = read(Path::new("no-such-file")).unwrap_err();
        assert!(failure.message().contains("`no-such-file`"), "{failure}");
    }
}
