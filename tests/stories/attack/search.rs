//! Searching whatever was stolen, byte by byte, for secrets in every spelling that a program may have left.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use base64ct::{Base64, Encoding as _};

use super::loot::{files, unless_gone};

/// A secret in one spelling.
struct Needle {
    what: String,
    bytes: Vec<u8>,
}

/// Secrets, each in every spelling.
#[derive(Default)]
pub struct Needles(Vec<Needle>);

impl Needles {
    /// Adds a secret of eight bytes at least: as it is, backwards, in hex, and in base64 at each of the three places that
    /// it may begin at.
    pub fn add(&mut self, what: &str, secret: &[u8]) {
        assert!(secret.len() >= 8, "{what} would be found by chance");
        let mut spell =
            |how: &str, bytes: Vec<u8>| self.0.push(Needle { what: format!("{what} ({how})"), bytes });
        spell("raw", secret.to_vec());
        spell("backwards", secret.iter().rev().copied().collect());
        spell("hex", hex::encode(secret).into_bytes());
        spell("HEX", hex::encode_upper(secret).into_bytes());
        for before in 0..3 {
            let text = Base64::encode_string(&[&vec![0; before][..], secret].concat());
            // The first and the last letters hang on what stands beside.
            let whole = (before * 8).div_ceil(6)..(before + secret.len()) * 8 / 6;
            spell("base64", text.as_bytes()[whole].to_vec());
        }
    }

    /// Which of them stand in some bytes.
    pub fn within(&self, bytes: &[u8]) -> Vec<&str> {
        let mut begins = vec![false; 1 << 16];
        let pair = |bytes: &[u8]| usize::from(bytes[0]) << 8 | usize::from(bytes[1]);
        self.0.iter().for_each(|needle| begins[pair(&needle.bytes)] = true);
        let mut found = Vec::new();
        for place in 0..bytes.len().saturating_sub(1) {
            let rest = &bytes[place..];
            if begins[pair(rest)] {
                let here = self.0.iter().filter(|needle| rest.starts_with(&needle.bytes));
                found.extend(here.map(|needle| needle.what.as_str()));
            }
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Which of them stand where below a folder, names of files included; and how many bytes were looked at.
    pub fn below(&self, folder: &Path) -> (Vec<(PathBuf, String)>, usize) {
        let (mut found, mut looked, mut seen) = (Vec::new(), 0, BTreeSet::new());
        // Twice: what was renamed under the first look has another name in the second.
        for path in (0..2).flat_map(|_| files(folder)) {
            if seen.contains(&path) {
                continue;
            }
            let Some(bytes) = unless_gone(fs::read(&path)) else { continue };
            let bytes = [path.as_os_str().as_encoded_bytes(), b"\n", &bytes].concat();
            looked += bytes.len();
            found.extend(self.within(&bytes).into_iter().map(|what| (path.clone(), what.to_owned())));
            seen.insert(path);
        }
        (found, looked)
    }

    /// Every spelling is found where it is planted in the middle of a file, and nothing else.
    pub fn prove(&self, file: &Path) {
        let (bytes, folder) = (fs::read(file).unwrap(), tempfile::tempdir().unwrap());
        let planted = folder.path().join("planted");
        for needle in &self.0 {
            let (head, tail) = bytes.split_at(bytes.len() / 2);
            fs::write(&planted, [head, &needle.bytes, tail].concat()).unwrap();
            let (found, _) = self.below(folder.path());
            assert!(found.iter().any(|(_, what)| *what == needle.what), "{} is overlooked", needle.what);
        }
    }
}
