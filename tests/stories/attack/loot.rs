//! What is stolen: complete disks of keepers, the service's folder with its database, and whatever is public.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use curve25519_dalek_4::scalar::Scalar;
use keyward_crypto::{KeyEncryptionKey, MemoryKek, keeper_share_aad, open, service_secret_aad};
use keyward_ledger_core::keeper::keeper_id;

use super::formulas::expand;

const SEALED: &str = "-----BEGIN KEYWARD SEALED ";

/// Copies a folder or a file with all that is below it.
pub fn copy(from: &Path, to: &Path) {
    if !from.is_dir() {
        fs::copy(from, to).unwrap();
        return;
    }
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        copy(&entry.path(), &to.join(entry.file_name()));
    }
}

/// Every file below a folder, which must be there. What goes while it is looked at is not listed.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    assert!(folder.is_dir(), "no folder {}", folder.display());
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in unless_gone(fs::read_dir(&folder)).into_iter().flatten() {
            let Some(path) = unless_gone(entry).map(|entry| entry.path()) else { continue };
            match path.is_dir() {
                true => folders.push(path),
                false => found.push(path),
            }
        }
    }
    found.sort();
    found
}

/// What a look at a file or folder gave, unless it is gone: whoever runs there removes and renames.
pub fn unless_gone<T>(looked: io::Result<T>) -> Option<T> {
    match looked {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        looked => Some(looked.unwrap()),
    }
}

/// A keeper's share of a vault, open.
pub struct Share {
    pub index: u8,
    pub key: Scalar,
    pub mask: Scalar,
    pub blinder: Scalar,
    pub ciphertext: Vec<u8>,
}

/// A stolen disk of a validator and its keeper, everything on it open.
pub struct Disk {
    /// The seeds and keys that lay sealed on it, by what their files say they are.
    pub secrets: BTreeMap<String, [u8; 32]>,
    /// The shares on it, by the vault's id in hex.
    pub shares: BTreeMap<String, Share>,
}

/// The operator's secret, which lies on every disk in the open.
pub fn operator_secret(folder: &Path) -> [u8; 32] {
    let text = fs::read_to_string(folder.join("operator.secret")).unwrap();
    let line = text.lines().find(|line| !line.starts_with('#')).unwrap();
    hex::decode(line).unwrap().try_into().unwrap()
}

/// The key that opens what lies sealed beside it.
pub fn operator_key(folder: &Path) -> MemoryKek {
    MemoryKek::new(&expand(&operator_secret(folder), b"keyward/operator-secret/v1")).unwrap()
}

impl Disk {
    /// Opens all that lies on a disk, with what lies on it.
    pub fn open(folder: &Path, node: &str) -> Self {
        let operator = operator_key(folder);
        let folder = folder.join(node);
        let (mut secrets, mut shares) = (BTreeMap::new(), BTreeMap::new());
        for path in files(&folder) {
            let Some((named, bytes)) = unsealed(&operator, &path) else { continue };
            if let Ok(secret) = bytes.try_into() {
                secrets.insert(named.split(' ').next().unwrap().to_owned(), secret);
            }
        }
        let config: toml::Table = fs::read_to_string(folder.join("node.toml")).unwrap().parse().unwrap();
        let keeper = keeper_id(config["keeper"]["name"].as_str().unwrap());
        let storage = MemoryKek::new(&secrets["keeper-storage-key"]).unwrap();
        for path in files(&folder.join("data/keeper")) {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            if let [_account, vault, _version, _share_version, hash] = name.split('.').collect::<Vec<_>>()[..]
            {
                shares.insert(vault.to_owned(), share(&storage, &keeper, hash, &path));
            }
        }
        Self { secrets, shares }
    }
}

/// What a sealed file says that it is, and what it holds; nothing if it is no sealed file.
pub fn unsealed(operator: &dyn KeyEncryptionKey, path: &Path) -> Option<(String, Vec<u8>)> {
    let text = String::from_utf8(unless_gone(fs::read(path))?).ok()?;
    let mut lines = text.lines().skip_while(|line| !line.starts_with(SEALED));
    let named = lines.next()?.strip_prefix(SEALED)?.strip_suffix("-----")?;
    let sealed = hex::decode(lines.next()?).unwrap();
    let opened = open(operator, &service_secret_aad(named), &sealed).unwrap();
    Some((named.to_owned(), opened.expose(<[u8]>::to_vec)))
}

/// Opens a share: `1 || kept_ms u64 || 1 || share set[136] || A[32] || index u8 || 1 || k || m || m' || ciphertext`.
fn share(storage: &dyn KeyEncryptionKey, keeper: &[u8; 32], hash: &str, path: &Path) -> Share {
    let hash = hex::decode(hash).unwrap().try_into().unwrap();
    let opened = open(storage, &keeper_share_aad(keeper, &hash), &fs::read(path).unwrap()).unwrap();
    let bytes = opened.expose(<[u8]>::to_vec);
    let (head, rest) = bytes.split_at(1 + 8 + 1 + 136 + 32);
    assert_eq!([head[0], head[9], rest[1]], [1, 1, 1], "versions");
    let scalar = |place: usize| {
        let bytes = rest[2 + 32 * place..][..32].try_into().unwrap();
        Option::<Scalar>::from(Scalar::from_canonical_bytes(bytes)).unwrap()
    };
    let [key, mask, blinder] = [0, 1, 2].map(scalar);
    Share { index: rest[0], key, mask, blinder, ciphertext: rest[2 + 96..].to_vec() }
}
