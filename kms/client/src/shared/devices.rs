//! Another device in the place of the one that speaks for a key: after the key's lock, unless the present one stops it.

use keyward_ledger_core::entry::SharedAct;
use keyward_ledger_core::shared::veto_message;

use super::entry::{signed, unsigned};
use super::error::SharedError;
use super::part::{device_of, open, signer};
use crate::client::Client;
use crate::device::DeviceKeys;
use crate::person::Login;

/// A device that is to speak for a key.
#[derive(Clone, Debug)]
pub struct DeviceChange {
    /// From when on, in milliseconds since 1970; nothing if it speaks for the key already.
    pub opens_ms: Option<u64>,
    /// The receipt.
    pub receipt: Vec<u8>,
}

impl Client {
    /// Has this device speak for a key after the key's lock. The share must be here already, from a vault.
    pub async fn replace_shared_device(
        &self,
        key: &str,
        login: &Login,
        device: &DeviceKeys,
    ) -> Result<DeviceChange, SharedError> {
        let (view, status) = (self.view()?, self.shared_status(key).await?);
        let opened = open(&status, key, device, &login.export_key)?;
        opened.share(&status.key)?;
        match opened.must_speak(&status) {
            Ok(()) => return Err(SharedError::DevicePresent),
            Err(SharedError::DeviceOther) => {}
            Err(error) => return Err(error),
        }
        let act = SharedAct::ReplaceDevice { key_id: status.key_id, device: device_of(&opened.part) };
        let entry = signed(&view, act, login, status.height)?;
        let receipt = self.change(&view, &entry, Vec::new()).await?;
        let after = self.shared_status(key).await?;
        let opens_ms = after.state.waiting_device(after.time_ms).map(|waiting| waiting.opens_ms);
        Ok(DeviceChange { opens_ms, receipt })
    }

    /// Keeps the device that waits from speaking for a key; gives the receipt. This device must speak for it now.
    pub async fn cancel_shared_device(
        &self,
        key: &str,
        login: &Login,
        device: &DeviceKeys,
    ) -> Result<Vec<u8>, SharedError> {
        let (view, status) = (self.view()?, self.shared_status(key).await?);
        let opened = open(&status, key, device, &login.export_key)?;
        opened.must_speak(&status)?;
        let waiting = status.state.waiting_device(status.time_ms).ok_or(SharedError::DeviceNone)?;
        let message = veto_message(&view.chain_id(), &status.key_id, &waiting.device.signing_key);
        let signature = signer(&opened.part.signing)(&message);
        let entry = unsigned(SharedAct::CancelDevice { key_id: status.key_id, signature });
        self.change(&view, &entry, Vec::new()).await
    }
}
