//! Another password: begun with the present one, finished once everything that the present one opens is ready for the
//! next.

use std::fmt;
use std::path::Path;

use keyward_crypto::{ClientRegistration, SecretBytes, account_credential};
use keyward_domain::Mode;
use keyward_domain::challenge::LIFETIME_BLOCKS;
use keyward_domain::scheme::{KeyId, PublicKey};
use keyward_ledger_core::state::layout::CredentialState;
use keyward_proto::custody::{
    ChangePasswordFinishRequest, ChangePasswordStartRequest, ChangePasswordStartResponse, Key,
};

use crate::challenge::{self, Challenge, Parts};
use crate::client::{Client, bytes32};
use crate::device::{DeviceKeys, Prepared};
use crate::error::ClientError;
use crate::keys::KeySearch;
use crate::password::Password;
use crate::person::{parts, prove, stretching};

/// Blocks by which the service may know more than it can prove yet.
const HEIGHT_SLACK: u64 = 256;

/// A change of password that the service waits for.
pub struct PasswordChange {
    client: Client,
    finish: ChangePasswordFinishRequest,
    challenge: Challenge,
    credential: PublicKey,
    old_export_key: SecretBytes,
    new_export_key: SecretBytes,
    /// Keeps other keys from the device until this has ended.
    prepared: Vec<Prepared>,
}

impl fmt::Debug for PasswordChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordChange(redacted)")
    }
}

impl Client {
    /// Begins a change of password: logs in with the present one, and stretches the next. Nothing is changed until
    /// [`PasswordChange::finish`], so that what lies on this side can be made ready before.
    pub async fn begin_password_change(
        &self,
        user_name: &str,
        present: &Password,
        next: &Password,
    ) -> Result<PasswordChange, ClientError> {
        let login = self.login(user_name, present).await?;
        let client = self.clone().with_session(&login.session.token)?.with_account(login.session.account);

        let secret = next.shared();
        let (registration, request) = ClientRegistration::start(&secret).map_err(ClientError::Opaque)?;
        let start = ChangePasswordStartRequest { registration_request: request.into() };
        let start = client.answer(client.accounts().change_password_start(client.request(start)).await)?;
        let parts = parts(&start.chain_id, &start.account, &start.nonce, start.not_after)?;
        client.check_challenge(&parts.chain_id, &parts.account)?;
        client.check_terms(&parts, &start, login.credential.public_key())?;

        let (response, stretch) = (start.registration_response, client.stretch);
        let registered = stretching(move || registration.finish(&secret, &response, stretch)).await?;
        let credential = account_credential(&registered.export_key).map_err(ClientError::Opaque)?;
        let public = bytes32("credential", credential.public_key().as_bytes())?;
        let challenge = challenge::credential(&parts, start.version, &public);
        let finish = ChangePasswordFinishRequest {
            registration_id: start.registration_id,
            registration_upload: registered.upload.into(),
            credential: public.to_vec().into(),
            credential_proof: prove(&credential, &challenge)?.into(),
            holder_signature: prove(&login.credential, &challenge)?.into(),
        };
        Ok(PasswordChange {
            client,
            finish,
            challenge,
            credential: credential.public_key().clone(),
            old_export_key: login.export_key,
            new_export_key: registered.export_key,
            prepared: Vec::new(),
        })
    }
}

impl Client {
    /// What is signed must be the next version after this login's own, and must not count for longer than a challenge
    /// does: a service that kept it could bring back a password that was given up.
    fn check_terms(
        &self,
        parts: &Parts,
        start: &ChangePasswordStartResponse,
        login: &PublicKey,
    ) -> Result<(), ClientError> {
        let Some(trusted) = &self.trusted else { return Ok(()) };
        let present = trusted.credential(&parts.account, &start.credential)?;
        check_present(present.state.as_ref(), login, start.version)?;
        if parts.not_after > present.height.saturating_add(LIFETIME_BLOCKS + HEIGHT_SLACK) {
            return Err(ClientError::Answer { what: "the change of password would count for too long" });
        }
        Ok(())
    }
}

/// The login's credential must be the ledger's, and what comes next must be the version after it. Where the ledger is
/// ahead, a change that was begun before is about to count: another one on top would be the next of something else.
fn check_present(
    present: Option<&CredentialState>,
    login: &PublicKey,
    version: u32,
) -> Result<(), ClientError> {
    if present.is_some_and(|present| present.public_key != *login.as_bytes()) {
        return Err(ClientError::ChangePending);
    }
    if present.and_then(|present| present.version.checked_add(1)) != Some(version) {
        return Err(ClientError::Answer { what: "the new credential's version is not the next one" });
    }
    Ok(())
}

/// Those of mode `self`, and shared ones, of which the device has no file. A share's file names its key's alias alone.
fn elsewhere(keys: Vec<Key>, device: Option<&DeviceKeys>) -> Result<Vec<Key>, ClientError> {
    let parts = device.map_or(Ok(Vec::new()), DeviceKeys::parts)?;
    let mut found = Vec::new();
    for key in keys {
        let id = KeyId(bytes32("key id", &key.key_id)?);
        let here = match Mode::from_name(&key.mode) {
            Some(Mode::Own) => device.map_or(Ok(false), |device| device.holds(&id))?,
            Some(Mode::Shared) => parts.iter().any(|part| part.alias == key.alias),
            _ => true,
        };
        if !here {
            found.push(key);
        }
    }
    Ok(found)
}

impl PasswordChange {
    /// Makes the keys of mode `self` and the shares in a folder open under both passwords; gives their number. To be done before
    /// [`PasswordChange::finish`], and with a folder that is still empty too: until this value is dropped no key comes there
    /// that would open under the present password alone.
    pub fn prepare_device(&mut self, folder: &Path) -> Result<usize, ClientError> {
        let keys = self.client.device_keys(folder)?;
        let prepared = keys.prepare(&self.old_export_key, &self.new_export_key, &self.credential)?;
        let count = prepared.keys;
        self.prepared.push(prepared);
        Ok(count)
    }

    /// The keys of the account's that are of mode `self` or shared, can still sign, and are not in a folder of this device. Once
    /// another password counts, neither their files on other devices nor a vault that was sealed before gives them back.
    /// Which keys there are is the service's word.
    pub async fn keys_elsewhere(&self, folder: &Path) -> Result<Vec<Key>, ClientError> {
        let device = if folder.exists() { Some(self.client.device_keys(folder)?) } else { None };
        // Without superseded and destroyed ones: those never sign again.
        let search = KeySearch { account: self.client.account, ..KeySearch::default() };
        elsewhere(self.client.search_keys(&search).await?, device.as_ref())
    }

    /// The credential from now on, once it is finished.
    pub const fn credential(&self) -> &PublicKey {
        &self.credential
    }

    /// Finishes it; every session of the account ends. Returns the receipt. When no answer comes, a login tells which
    /// password it is by now.
    pub async fn finish(&self) -> Result<Vec<u8>, ClientError> {
        let request = self.client.request(self.finish.clone());
        let done = self.client.answer(self.client.accounts().change_password_finish(request).await)?;
        self.client.check_binding(&done.receipt, &self.challenge, &self.finish.credential_proof)?;
        Ok(done.receipt.to_vec())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
    use keyward_crypto::SigningKey;
    use keyward_domain::scheme::Scheme;

    use super::*;

    fn credential(byte: u8) -> PublicKey {
        SigningKey::from_secret(Scheme::Ed25519, &[byte; 32]).unwrap().public_key().clone()
    }

    #[test]
    fn a_change_follows_the_credential_of_its_login_and_nothing_else() {
        let public_key = credential(1).as_bytes().try_into().unwrap();
        let present = CredentialState { version: 4, public_key };
        check_present(Some(&present), &credential(1), 5).unwrap();
        for version in [0, 4, 6] {
            let refused = check_present(Some(&present), &credential(1), version).unwrap_err();
            assert!(matches!(refused, ClientError::Answer { .. }), "{version}: {refused}");
        }
        // The ledger knows a change already that the service's login does not.
        for version in [4, 5, 6] {
            let refused = check_present(Some(&present), &credential(2), version).unwrap_err();
            assert!(matches!(refused, ClientError::ChangePending), "{version}: {refused}");
        }
        check_present(None, &credential(1), 1).unwrap_err();
        let last = CredentialState { version: u32::MAX, public_key };
        check_present(Some(&last), &credential(1), 0).unwrap_err();
    }

    #[test]
    fn a_key_of_mode_self_is_missed_unless_it_is_on_this_device() {
        let folder = tempfile::tempdir().unwrap();
        let device = DeviceKeys::open(folder.path(), [1; 32], [2; 32]).unwrap();
        let [here, away] = [3, 4].map(|byte| SigningKey::from_secret(Scheme::Ed25519, &[byte; 32]).unwrap());
        device.put(&here, None, &SecretBytes::new(vec![5; 64])).unwrap();
        let listed = |key: &SigningKey, mode: Mode| Key {
            key_id: key.public_key().id().as_bytes().to_vec().into(),
            mode: mode.name().to_owned(),
            ..Key::default()
        };
        let (own, stranger) = (listed(&away, Mode::Own), listed(&away, Mode::Hosted));
        let keys = || vec![listed(&here, Mode::Own), own.clone(), stranger.clone()];
        assert_eq!(elsewhere(keys(), Some(&device)).unwrap(), std::slice::from_ref(&own));
        assert_eq!(elsewhere(keys(), None).unwrap(), [listed(&here, Mode::Own), own.clone()]);
        let shared = Key { alias: "treasury".into(), ..listed(&away, Mode::Shared) };
        assert_eq!(elsewhere(vec![shared.clone()], Some(&device)).unwrap(), std::slice::from_ref(&shared));
        let kept = crate::device::KeptPart { name: [9; 32], alias: "treasury".into() };
        let part = keyward_crypto::SharePart::generate().unwrap();
        device.put_part(&kept, &part, &SecretBytes::new(vec![5; 64])).unwrap();
        assert_eq!(elsewhere(vec![shared], Some(&device)).unwrap(), []);
        let nameless = Key { key_id: vec![1; 31].into(), ..own.clone() };
        elsewhere(vec![nameless], Some(&device)).unwrap_err();
    }
}
