//! `[keeper]` in `node.toml`: the keeper beside a validator, its sealed keys, and where its shares lie.

use std::path::{Path, PathBuf};
use std::time::Duration;

use keyward_crypto::MemoryKek;
use keyward_crypto::vault::BoxKey;
use keyward_domain::Principal;
use keyward_keeper::Keys;
use keyward_ledger_core::ed25519::SigningKey;
use keyward_ledger_core::genesis::is_name;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::failure::{Failure, Result};
use crate::sealed::{OperatorSecret, random32};

/// What stands in the section; relative paths count from the file's folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeeperSection {
    /// Its name on the ledger.
    pub(crate) name: String,
    /// The sealed key that it submits, acknowledges and answers with.
    #[serde(default = "signing_key")]
    pub(crate) signing_key: PathBuf,
    /// The sealed key that opens what is sealed to it.
    #[serde(default = "sealing_key")]
    pub(crate) sealing_key: PathBuf,
    /// The sealed key that its shares lie under.
    #[serde(default = "storage_key")]
    pub(crate) storage_key: PathBuf,
    /// Where its shares lie; without it `keeper` below `data_dir`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) folder: Option<PathBuf>,
    /// After how many hours the shares of a vault are dealt anew: 24 to 8760. All keepers of a ledger had better agree: none
    /// takes part before half of its own time is over.
    #[serde(default = "refresh_hours", skip_serializing_if = "is_usual")]
    pub(crate) refresh_hours: u32,
    /// For trials, in the place of the hours: after how many seconds, 5 to 3600. Each time voids the recoveries that are
    /// under way, and is a record on the ledger for every vault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) trial_refresh_s: Option<u32>,
}

/// One of a keeper's keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeeperKey {
    Signing,
    Sealing,
    Storage,
}

/// 30 days.
const fn refresh_hours() -> u32 {
    30 * 24
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes it so")]
const fn is_usual(hours: &u32) -> bool {
    *hours == refresh_hours()
}

fn signing_key() -> PathBuf {
    KeeperKey::Signing.file().into()
}

fn sealing_key() -> PathBuf {
    KeeperKey::Sealing.file().into()
}

fn storage_key() -> PathBuf {
    KeeperKey::Storage.file().into()
}

impl KeeperKey {
    pub(crate) const ALL: [Self; 3] = [Self::Signing, Self::Sealing, Self::Storage];

    /// The name of its file where nothing else is said.
    pub(crate) const fn file(self) -> &'static str {
        match self {
            Self::Signing => "keeper-signing.key",
            Self::Sealing => "keeper-sealing.key",
            Self::Storage => "keeper-storage.key",
        }
    }

    /// What its file is sealed for.
    pub(crate) const fn purpose(self) -> &'static str {
        match self {
            Self::Signing => "keeper-signing-key",
            Self::Sealing => "keeper-sealing-key",
            Self::Storage => "keeper-storage-key",
        }
    }

    /// What to do about a file that cannot be opened.
    pub(crate) const fn lost(self) -> &'static str {
        match self {
            Self::Signing | Self::Sealing => {
                "restore the file or the operator's secret from their backup; if there is none, move the file away, have \
                 `keyward ledger member keeper` make another key, and the members take it in"
            }
            Self::Storage => {
                "restore the file or the operator's secret from their backup; without it the shares kept here are lost, and \
                 their vaults must be sealed again while enough other keepers hold theirs"
            }
        }
    }
}

/// The public keys of a keeper, as the ledger has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PublicKeys {
    pub(crate) signing: [u8; 32],
    pub(crate) sealing: [u8; 32],
}

/// An opened key of a keeper, by which it is.
pub(crate) type Seeds<'a> = &'a dyn Fn(KeeperKey) -> Result<Zeroizing<[u8; 32]>>;

impl KeeperSection {
    /// A section that names the files of `key_files`, in the configuration's own folder.
    pub(crate) fn named(name: impl Into<String>) -> Self {
        let (signing_key, sealing_key, storage_key) = (signing_key(), sealing_key(), storage_key());
        Self {
            name: name.into(),
            signing_key,
            sealing_key,
            storage_key,
            folder: None,
            refresh_hours: refresh_hours(),
            trial_refresh_s: None,
        }
    }

    /// How old shares get before they are dealt anew.
    pub(crate) fn refresh(&self) -> Duration {
        let hours = Duration::from_secs(60 * 60 * u64::from(self.refresh_hours));
        self.trial_refresh_s.map_or(hours, |seconds| Duration::from_secs(seconds.into()))
    }

    pub(crate) fn path(&self, key: KeeperKey) -> &Path {
        match key {
            KeeperKey::Signing => &self.signing_key,
            KeeperKey::Sealing => &self.sealing_key,
            KeeperKey::Storage => &self.storage_key,
        }
    }

    /// Refuses what no key can put right.
    pub(crate) fn check(&self) -> Result<()> {
        if !is_name(&self.name) {
            let what = format!("`{}` is no name of a keeper", self.name);
            let next = "give `keeper.name` 1 to 64 of a-z, 0-9 and -, as the ledger has it";
            return Err(Failure::usage(what, next));
        }
        if !(24..=8760).contains(&self.refresh_hours) {
            let what = format!("shares are not dealt anew every {} hours", self.refresh_hours);
            return Err(Failure::usage(
                what,
                "give `keeper.refresh_hours` 24 to 8760; without it they are 720",
            ));
        }
        if let Some(seconds) = self.trial_refresh_s.filter(|seconds| !(5..=3600).contains(seconds)) {
            let what = format!("shares are not dealt anew every {seconds} seconds");
            let next = "leave `keeper.trial_refresh_s` out, or give it 5 to 3600 where nothing depends on the vaults";
            return Err(Failure::usage(what, next));
        }
        Ok(())
    }
}

/// A keeper's keys from what their files hold.
pub(crate) fn keys(seeds: Seeds<'_>) -> Result<Keys> {
    let storage = MemoryKek::new(&*seeds(KeeperKey::Storage)?).map_err(|error| unusable(&error))?;
    let signing = SigningKey::from_seed(&*seeds(KeeperKey::Signing)?);
    Ok(Keys { signing, sealing: sealing(seeds)?, storage: Box::new(storage) })
}

/// The public parts of what the files hold.
pub(crate) fn public_keys(seeds: Seeds<'_>) -> Result<PublicKeys> {
    let signing = SigningKey::from_seed(&*seeds(KeeperKey::Signing)?).public_key();
    Ok(PublicKeys { signing, sealing: sealing(seeds)?.public() })
}

fn sealing(seeds: Seeds<'_>) -> Result<BoxKey> {
    BoxKey::from_secret(&*seeds(KeeperKey::Sealing)?).map_err(|error| unusable(&error))
}

fn unusable(error: &(dyn std::error::Error + 'static)) -> Failure {
    Failure::refused("a keeper's key cannot be used", "free some memory, then try again").because(error)
}

/// Makes fresh keys, each where `path` says, sealed for the node that the keeper stands beside; the public parts of all.
pub(crate) fn make(
    secret: &OperatorSecret,
    path: impl Fn(KeeperKey) -> PathBuf,
    owner: &Principal,
    fresh: &[KeeperKey],
) -> Result<PublicKeys> {
    for key in fresh {
        secret.seal(&path(*key), key.purpose(), owner, random32()?.as_ref())?;
    }
    public_keys(&|key| secret.open32(&path(key), key.purpose(), owner))
}
