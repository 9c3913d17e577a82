//! Keepers: the file by which one asks to be taken in, and those that the ledger has.

use std::path::Path;

use keyward_ledger_client::Client;
use keyward_ledger_core::change::Change;
use keyward_ledger_core::ed25519;
use keyward_ledger_core::execute::BLOCK_ENTRIES_MAX;
use keyward_ledger_core::hash::Hash;
use keyward_ledger_core::keeper::{Keeper, keeper_id};
use keyward_ledger_core::state::keeper::{KEEPERS_MAX, KeeperState, keeper_key, keepers_key};
use keyward_ledger_core::state::member::decode_list;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::file::{check_format, parse_signature, read_toml};
use super::{broken, parse_key, read};
use crate::failure::{Failure, Result};

const FORMAT: &str = "keyward-keeper-1";

/// A keeper that wants to join a ledger, or to change its keys or address. Nothing secret; its key signed it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeeperFile {
    /// `keyward-keeper-1`.
    format: String,
    /// The ledger, 64 hex digits.
    ledger: String,
    /// The keeper's name, which never changes.
    name: String,
    /// The key that it submits and acknowledges with.
    key: String,
    /// The key that shares are sealed to.
    hpke_key: String,
    /// The validator it stands beside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    validator: Option<String>,
    /// Where it answers callers.
    rpc: String,
    /// The key's signature.
    proof: String,
}

impl KeeperFile {
    /// Signs a file for a keeper, with its own key.
    pub(super) fn sign(ledger: &Hash, key: &ed25519::SigningKey, keeper: &Keeper) -> Self {
        Self {
            format: FORMAT.to_owned(),
            ledger: hex::encode(ledger),
            name: keeper.name.clone(),
            key: hex::encode(keeper.key),
            hpke_key: hex::encode(keeper.hpke_key),
            validator: keeper.validator.map(hex::encode),
            rpc: keeper.rpc.clone(),
            proof: hex::encode(key.sign(&keeper.message(ledger))),
        }
    }

    pub(super) fn load(path: &Path) -> Result<Self> {
        let file: Self = read_toml(path)?;
        check_format(path, &file.format, FORMAT)?;
        Ok(file)
    }

    /// The change that takes the keeper in, if the file is for this ledger and its key signed it.
    pub(super) fn change(&self, ledger: &Hash) -> Result<Change> {
        if parse_key(&self.ledger)? != *ledger {
            let what = format!("the file of `{}` is not for this ledger", self.name);
            return Err(Failure::refused(what, "ask for another one"));
        }
        let keeper = Keeper {
            name: self.name.clone(),
            key: parse_key(&self.key)?,
            hpke_key: parse_key(&self.hpke_key)?,
            validator: self.validator.as_deref().map(parse_key).transpose()?,
            rpc: self.rpc.clone(),
        };
        let proof = parse_signature(&self.proof)?;
        ed25519::verify(&keeper.key, &keeper.message(ledger), &proof).map_err(|error| {
            let what = format!("the file of `{}` is not signed by its key", self.name);
            Failure::refused(what, "ask its organisation for it again").because(&error)
        })?;
        Ok(Change::SetKeeper { keeper, block_entries_max: BLOCK_ENTRIES_MAX, proof })
    }
}

/// The change that takes a keeper out, by its name.
pub(super) fn removal(name: &str) -> Change {
    Change::RemoveKeeper { id: keeper_id(name) }
}

/// The keepers of the ledger, each proven.
pub(super) async fn all(client: &Client) -> Result<Vec<Keeper>> {
    let ids = decode_list(read(client, &keepers_key()).await?.as_deref(), KEEPERS_MAX);
    let mut keepers = Vec::new();
    for id in ids.map_err(|error| broken(&error))? {
        let Some(value) = read(client, &keeper_key(&id)).await? else { continue };
        let found = KeeperState::decode(&value).map_err(|error| broken(&error))?;
        // The list and the keeper are two proofs: one may be newer than the other.
        if found.present {
            keepers.push(found.keeper);
        }
    }
    Ok(keepers)
}

pub(super) fn row(keeper: &Keeper) -> Vec<String> {
    let key = hex::encode(keeper.key);
    vec![key, "keeper".to_owned(), keeper.name.clone(), String::new(), keeper.rpc.clone()]
}

pub(super) fn to_json(keeper: &Keeper) -> Value {
    json!({
        "id": hex::encode(keeper.id()), "name": keeper.name, "key": hex::encode(keeper.key),
        "hpke_key": hex::encode(keeper.hpke_key), "validator": keeper.validator.map(hex::encode),
        "rpc": keeper.rpc,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;

    fn file(ledger: &Hash) -> KeeperFile {
        let key = ed25519::SigningKey::from_seed(&[7; 32]);
        let keeper = Keeper {
            name: "bank-a".into(),
            key: key.public_key(),
            hpke_key: [8; 32],
            validator: Some([9; 32]),
            rpc: "https://keeper.example:7600".into(),
        };
        KeeperFile::sign(ledger, &key, &keeper)
    }

    #[test]
    fn a_keepers_file_counts_for_its_ledger_and_as_it_was_signed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keeper.toml");
        let good = file(&[1; 32]);
        std::fs::write(&path, toml::to_string(&good).unwrap()).unwrap();
        let Change::SetKeeper { keeper, .. } = KeeperFile::load(&path).unwrap().change(&[1; 32]).unwrap()
        else {
            panic!()
        };
        assert_eq!(
            (keeper.name.as_str(), keeper.hpke_key, keeper.validator),
            ("bank-a", [8; 32], Some([9; 32]))
        );
        assert!(good.change(&[2; 32]).is_err(), "another ledger");
        let changes: [fn(&mut KeeperFile); 5] = [
            |it| it.hpke_key = hex::encode([7; 32]),
            |it| it.name = "bank-b".into(),
            |it| it.validator = None,
            |it| it.rpc = "https://other.example".into(),
            |it| it.proof = "00".into(),
        ];
        for change in changes {
            let mut changed = good.clone();
            change(&mut changed);
            assert!(changed.change(&[1; 32]).is_err());
        }
        std::fs::write(
            &path,
            toml::to_string(&KeeperFile { format: "keyward-member-1".into(), ..good }).unwrap(),
        )
        .unwrap();
        assert!(KeeperFile::load(&path).is_err());
    }
}
