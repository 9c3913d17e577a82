//! What a thief has of keepers that collude: their keys, and every share that ever lay on their disks.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use keyward_crypto::{
    keeper_share_aad, open,
    vault::{Grant, KeeperShare},
};
use keyward_ledger_core::hash::Hash;

use super::node::{Node, id, signing, storage};

/// Before the share stand the version of the file and when it was kept; of a renewal also to whom it is bound, and how.
const HEAD_BYTES: usize = 9;
const RENEWED_HEAD_BYTES: usize = 11;

/// Shares of several keepers, by keeper and by the hash of the sealing or dealing that they are of.
#[derive(Default)]
pub(crate) struct Loot(BTreeMap<(usize, Hash), KeeperShare>);

impl Loot {
    /// Takes what lies on a keeper's disk now; nothing that was taken before is forgotten.
    pub(crate) fn take(&mut self, node: &Node) {
        for path in files(&node.shares()) {
            let Some(hash) = hash_of(&path) else { continue };
            let known = self.0.contains_key(&(node.index, hash));
            let Some(sealed) = (!known).then(|| fs::read(&path).ok()).flatten() else { continue };
            let aad = keeper_share_aad(&id(node.index), &hash);
            let opened = open(&storage(node.index), &aad, &sealed).expect("its keys are known");
            let share = opened.expose(|bytes| {
                let head = if bytes[0] == 1 { HEAD_BYTES } else { RENEWED_HEAD_BYTES };
                KeeperShare::from_secret(&bytes[head..])
            });
            self.0.insert((node.index, hash), share.expect("a share"));
        }
    }

    /// What a keeper of these evaluates: whatever it is asked.
    pub(crate) fn evaluate(&self, keeper: usize, grant: &Grant, element: &[u8; 32]) -> Option<Vec<u8>> {
        let share = self.0.get(&(keeper, grant.shares.shares_hash))?;
        share.evaluate(grant, element, |message| signing(keeper).sign(message)).ok()
    }
}

/// The name of a share's file has five parts, and the last one is the hash of the sealing or dealing.
fn hash_of(path: &Path) -> Option<Hash> {
    let parts: Vec<_> = path.file_name()?.to_str()?.split('.').collect();
    let [.., hash] = <[&str; 5]>::try_from(parts).ok()?;
    hex::decode(hash).ok()?.try_into().ok()
}

pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect();
    files.sort_unstable();
    files
}
