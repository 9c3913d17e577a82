//! The person's part on this device: its keys, and the share that belongs to the key as it is now.

use keyward_crypto::shared::{KeyShare, SharedKey};
use keyward_crypto::{KeptShare, SHARES_MAX, SecretBytes, SharePart, SigningKey};
use keyward_domain::KeyName;
use keyward_ledger_core::shared::Device;

use super::error::SharedError;
use super::status::SharedStatus;
use crate::device::{DeviceError, DeviceKeys, KeptPart};

/// A part that was opened.
pub(super) struct Opened {
    pub(super) kept: KeptPart,
    pub(super) part: SharePart,
}

/// Opens this device's part in a key. A key that the service names under an alias must be the one that was made under it.
pub(super) fn open(
    status: &SharedStatus,
    asked: &str,
    device: &DeviceKeys,
    export_key: &SecretBytes,
) -> Result<Opened, SharedError> {
    let (kept, part) = device.load_part(&status.state.name.name, export_key)?;
    let other = match KeyName::parse(asked) {
        Ok(KeyName::Alias(named) | KeyName::Version(named, _)) => named.as_str() != kept.alias,
        _ => false,
    };
    if other {
        let (asked, alias) = (asked.to_owned(), kept.alias);
        return Err(DeviceError::Alias { asked, id: status.key_id, alias }.into());
    }
    Ok(Opened { kept, part })
}

impl Opened {
    /// Refuses unless this device speaks for the key now.
    pub(super) fn must_speak(&self, status: &SharedStatus) -> Result<(), SharedError> {
        let own = device_of(&self.part);
        if *status.device() == own {
            return Ok(());
        }
        Err(match status.state.waiting_device(status.time_ms) {
            Some(waiting) if waiting.device == own => SharedError::DeviceWaits { opens_ms: waiting.opens_ms },
            _ => SharedError::DeviceOther,
        })
    }

    /// The share that belongs to the key as it is.
    pub(super) fn share(&self, key: &SharedKey) -> Result<KeyShare, SharedError> {
        share_of(&self.part, key).ok_or(SharedError::ShareStale)
    }
}

pub(super) fn share_of(part: &SharePart, key: &SharedKey) -> Option<KeyShare> {
    let mut newest_first = part.shares.iter().rev();
    newest_first.find_map(|share| share.bytes.expose(|bytes| KeyShare::from_secret(bytes, key)).ok())
}

/// The device's public keys, as the ledger has them.
pub(super) fn device_of(part: &SharePart) -> Device {
    // INVARIANT: an Ed25519 public key has 32 bytes.
    let signing_key = part.signing.public_key().as_bytes().try_into().unwrap_or_default();
    Device { signing_key, sealing_key: part.sealing.public() }
}

/// What signs the person's messages. A signature that cannot be made, which Ed25519 does not know, is one of zeros: nobody
/// takes it.
pub(super) fn signer(key: &SigningKey) -> impl Fn(&[u8]) -> [u8; 64] + '_ {
    |message| key.sign_message(message).ok().and_then(|bytes| bytes.try_into().ok()).unwrap_or([0; 64])
}

/// Adds a share that may come into force until a time, beside those that are there. The one that is in force is never given up:
/// what cannot come into force any more goes first, and where nothing can go, nothing is added.
pub(super) fn keep_share(
    part: &mut SharePart,
    share: &KeyShare,
    expires_ms: u64,
    present: Option<(&SharedKey, u64)>,
) -> Result<(), SharedError> {
    if let Some((key, time_ms)) = present {
        part.shares.retain(|share| fits(share, key) || share.expires_ms >= time_ms);
    }
    if part.shares.len() >= SHARES_MAX {
        return Err(SharedError::SharesWait);
    }
    part.shares.push(KeptShare { bytes: share.to_secret(), expires_ms });
    Ok(())
}

/// Forgets what does not belong to the key in force, once that is proven. Where nothing belongs to it, nothing is forgotten.
pub(super) fn keep_only(part: &mut SharePart, key: &SharedKey) {
    if part.shares.iter().any(|share| fits(share, key)) {
        part.shares.retain(|share| fits(share, key));
    }
}

fn fits(share: &KeptShare, key: &SharedKey) -> bool {
    share.bytes.expose(|bytes| KeyShare::from_secret(bytes, key)).is_ok()
}
