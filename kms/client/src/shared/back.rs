//! A share's copy in a vault: what goes in, and what becomes of it on the device where it comes out.

use keyward_crypto::SharePart;
use keyward_crypto::shared::{KeyShare, SharedKey, Tweak, USER};
use keyward_crypto::vault::VaultedKey;

use super::error::SharedError;
use super::part::{device_of, open, share_of};
use crate::client::Client;
use crate::device::{DeviceError, DeviceKeys, KeptPart};
use crate::person::Login;

/// A share that is back.
#[derive(Clone, Debug)]
pub struct SharedBack {
    /// What the device keeps.
    pub kept: KeptPart,
    /// Whether this device speaks for the key; if not, it is to take the other's place.
    pub speaks: bool,
}

impl Client {
    /// The share of a key on this device, as a vault keeps it.
    pub async fn vaulted_share(
        &self,
        key: &str,
        login: &Login,
        device: &DeviceKeys,
    ) -> Result<VaultedKey, SharedError> {
        let status = self.shared_status(key).await?;
        status.must_not_be_experimental("no vault takes its shares")?;
        let opened = open(&status, key, device, &login.export_key)?;
        let share = opened.share(&status.key)?;
        let public_key = status.key.public_key(&Tweak::None)?;
        Ok(VaultedKey { id: status.key_id.0, public_key, secret: share.to_secret() })
    }

    /// The shares of all keys on this device that are bound, as a vault keeps them, and the aliases of those keys whose shares no
    /// vault takes.
    pub async fn vaulted_shares(
        &self,
        login: &Login,
        device: &DeviceKeys,
    ) -> Result<(Vec<VaultedKey>, Vec<String>), SharedError> {
        let (mut shares, mut left) = (Vec::new(), Vec::new());
        for kept in device.parts()? {
            let (kept, part) = device.load_part(&kept.name, &login.export_key)?;
            if part.waiting.is_some() {
                continue;
            }
            match self.vaulted_share(&kept.alias, login, device).await {
                Ok(share) => shares.push(share),
                Err(SharedError::ExperimentalWithout { .. }) => left.push(kept.alias),
                Err(error) => return Err(error),
            }
        }
        Ok((shares, left))
    }

    /// Keeps a share from a vault on this device. A device that has no part in the key gets keys of its own, with which it speaks
    /// for the key once it has taken the other's place ([`Client::replace_shared_device`]). Refused if the shares were dealt
    /// anew since the vault was sealed.
    pub async fn take_back_share(
        &self,
        vaulted: &VaultedKey,
        login: &Login,
        device: &DeviceKeys,
    ) -> Result<SharedBack, SharedError> {
        let status = self.shared_status(&hex::encode(vaulted.id)).await?;
        let share = read(vaulted, &status.key).ok_or(SharedError::ShareStale)?;
        let name = status.state.name.name;
        let (kept, mut part) = match device.load_part(&name, &login.export_key) {
            Ok(found) => found,
            Err(DeviceError::PartMissing { .. }) => {
                let part = SharePart::generate().map_err(DeviceError::Seal)?;
                (KeptPart { name, alias: status.listed.alias.clone() }, part)
            }
            Err(error) => return Err(error.into()),
        };
        if share_of(&part, &status.key).is_none() {
            // It is in force: nothing is to come.
            let present = Some((&status.key, status.time_ms));
            super::part::keep_share(&mut part, &share, 0, present)?;
            device.put_part(&kept, &part, &login.export_key)?;
        }
        Ok(SharedBack { kept, speaks: *status.device() == device_of(&part) })
    }
}

fn read(vaulted: &VaultedKey, key: &SharedKey) -> Option<KeyShare> {
    let share = vaulted.secret.expose(|secret| KeyShare::from_secret(secret, key)).ok()?;
    (share.place() == USER).then_some(share)
}
