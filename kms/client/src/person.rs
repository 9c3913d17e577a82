//! A person's side: the password is stretched here, keys are made and proved here, and hosted ones sealed to the service.

use std::fmt;

use keyward_crypto::{
    ClientLogin, ClientRegistration, ImportBinding, OpaqueError, SecretBytes, SigningKey, account_credential,
    app_export_key, seal_to_service,
};
use keyward_domain::Mode;
use keyward_domain::scheme::{KeyId, PublicKey, Scheme};
use keyward_ledger_core::entry::Party;
use keyward_proto::custody::{
    Account, ImportKeyRequest, LoginFinishRequest, LoginStartRequest, PrepareImportRequest,
    RegisterFinishRequest, RegisterStartRequest, RotateKeyRequest, RotateToImport, ShowAccountRequest,
    rotate_key_request::To,
};
use zeroize::Zeroizing;

use crate::challenge::{self, Challenge, Parts};
use crate::client::{Client, bytes32, idempotency_key};
use crate::device::DeviceError;
use crate::error::ClientError;
use crate::keys::KeyWithReceipt;
use crate::password::Password;

/// An account that was opened.
#[derive(Clone, Debug)]
pub struct Registered {
    /// Its name on the ledger.
    pub account: [u8; 32],
    /// Its credential, derived from the password at every login.
    pub credential: PublicKey,
    /// The receipt of the credential's binding.
    pub receipt: Vec<u8>,
}

/// A key that was made here, with its proof.
pub(crate) struct Made {
    pub(crate) public_key: PublicKey,
    pub(crate) parts: Parts,
    pub(crate) challenge: Challenge,
    pub(crate) proof: Vec<u8>,
    /// What the service is to seal the key to itself with; none for mode `self`.
    sealing_key: Vec<u8>,
}

/// A login that succeeded.
#[derive(Debug)]
pub struct Login {
    /// The session.
    pub session: Session,
    /// The account's credential; it exists on this side only.
    pub credential: SigningKey,
    /// The OPAQUE export key, 64 bytes, wiped on drop: what this side seals opens under keys that are derived from it.
    pub export_key: SecretBytes,
}

impl Login {
    /// What an app has in the place of a login: a key of mode `self` that it keeps itself, which speaks for its account, and what
    /// its side seals opens with. There is no session: the app's certificate takes its place.
    pub fn of_app(account: [u8; 32], key: SigningKey) -> Result<Self, ClientError> {
        let export_key =
            app_export_key(&key).map_err(|error| ClientError::Device(DeviceError::Seal(error)))?;
        let session = Session { token: Zeroizing::default(), expires_unix_ms: 0, account };
        Ok(Self { session, credential: key, export_key })
    }

    /// Who speaks: the account's credential, or an app's own key.
    pub(crate) fn party(&self) -> Party {
        if self.session.token.is_empty() {
            Party::Key(self.credential.public_key().id())
        } else {
            Party::Credential(self.session.account)
        }
    }
}

/// A session.
pub struct Session {
    /// 32 bytes; wiped on drop.
    pub token: Zeroizing<Vec<u8>>,
    /// When it ends, in milliseconds since 1970.
    pub expires_unix_ms: u64,
    /// The account's name on the ledger.
    pub account: [u8; 32],
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Session(redacted, until {})", self.expires_unix_ms)
    }
}

impl Client {
    /// Opens an account.
    pub async fn register(&self, user_name: &str, password: &Password) -> Result<Registered, ClientError> {
        let secret = password.shared();
        let (registration, request) = ClientRegistration::start(&secret).map_err(ClientError::Opaque)?;
        let start =
            RegisterStartRequest { user_name: user_name.to_owned(), registration_request: request.into() };
        let start = self.answer(self.accounts().register_start(self.request(start)).await)?;
        let parts = parts(&start.chain_id, &start.account, &start.nonce, start.not_after)?;
        self.check_chain(&parts.chain_id)?;

        let (response, stretch) = (start.registration_response, self.stretch);
        let registered = stretching(move || registration.finish(&secret, &response, stretch)).await?;
        let credential = account_credential(&registered.export_key).map_err(ClientError::Opaque)?;
        let public = bytes32("credential", credential.public_key().as_bytes())?;
        let challenge = challenge::credential(&parts, 1, &public);
        let proof = prove(&credential, &challenge)?;
        let finish = RegisterFinishRequest {
            registration_id: start.registration_id,
            registration_upload: registered.upload.into(),
            credential: public.to_vec().into(),
            credential_proof: proof.clone().into(),
        };
        let finish = self.answer(self.accounts().register_finish(self.request(finish)).await)?;
        self.check_binding(&finish.receipt, &challenge, &proof)?;
        let credential = credential.public_key().clone();
        Ok(Registered { account: parts.account, credential, receipt: finish.receipt.to_vec() })
    }

    /// Logs in; use the session with [`Client::with_session`] and [`Client::with_account`].
    pub async fn login(&self, user_name: &str, password: &Password) -> Result<Login, ClientError> {
        let secret = password.shared();
        let (login, request) = ClientLogin::start(&secret).map_err(ClientError::Opaque)?;
        let start = LoginStartRequest { user_name: user_name.to_owned(), credential_request: request.into() };
        let start = self.answer(self.accounts().login_start(self.request(start)).await)?;
        let (response, stretch) = (start.credential_response, self.stretch);
        let logged_in = stretching(move || login.finish(&secret, &response, stretch)).await?;
        let finish = LoginFinishRequest {
            login_id: start.login_id,
            credential_finalization: logged_in.finalization.into(),
        };
        let finish = self.answer(self.accounts().login_finish(self.request(finish)).await)?;
        let token = Zeroizing::new(bytes32("session", &finish.session)?.to_vec());
        let account = bytes32("account", &finish.account)?;
        let session = Session { token, expires_unix_ms: finish.expires_unix_ms, account };
        let credential = account_credential(&logged_in.export_key).map_err(ClientError::Opaque)?;
        Ok(Login { session, credential, export_key: logged_in.export_key })
    }

    /// The session's account.
    pub async fn show_account(&self) -> Result<Account, ClientError> {
        self.answer(self.accounts().show(self.request(ShowAccountRequest {})).await)
    }

    /// Makes a key on this side, proves its possession, and seals it to the service.
    pub async fn create_person_key(
        &self,
        alias: &str,
        scheme: Scheme,
    ) -> Result<KeyWithReceipt, ClientError> {
        let key = SigningKey::generate(scheme).map_err(ClientError::Key)?;
        self.import_key(alias, &key).await
    }

    /// Hands a key in, of the session's person or of the calling app: with proof of possession, sealed to the service.
    /// The answer is believed when key id and receipt are those of this very key.
    pub async fn import_key(&self, alias: &str, key: &SigningKey) -> Result<KeyWithReceipt, ClientError> {
        let scheme = key.scheme();
        let made = self.prove(key, Mode::Hosted, None).await?;
        let sealed = Self::seal(key, &made)?;
        let message = ImportKeyRequest {
            alias: alias.to_owned(),
            scheme: scheme.name().to_owned(),
            public_key: made.public_key.as_bytes().to_vec().into(),
            nonce: made.parts.nonce.to_vec().into(),
            not_after: made.parts.not_after,
            proof: made.proof.clone().into(),
            sealed_private_key: sealed.into(),
            idempotency_key: idempotency_key()?,
            mode: String::new(),
        };
        let imported = self.answer(self.keys().import(self.request(message)).await)?;
        self.check_made(KeyWithReceipt::of(imported)?, &made)
    }

    /// Rotates a key of the person: its next version is made here and sealed to the service.
    pub async fn rotate_person_key(&self, key: &str) -> Result<KeyWithReceipt, ClientError> {
        let before = self.show_key(key).await?;
        let scheme =
            Scheme::from_name(&before.scheme).ok_or(ClientError::Answer { what: "unknown scheme" })?;
        let previous = KeyId(bytes32("key id", &before.key_id)?);
        let next = SigningKey::generate(scheme).map_err(ClientError::Key)?;
        let made = self.prove(&next, Mode::Hosted, Some(&previous)).await?;
        let sealed = Self::seal(&next, &made)?;
        let to = RotateToImport {
            public_key: made.public_key.as_bytes().to_vec().into(),
            nonce: made.parts.nonce.to_vec().into(),
            not_after: made.parts.not_after,
            proof: made.proof.clone().into(),
            sealed_private_key: sealed.into(),
            mode: String::new(),
            consent: Default::default(),
        };
        let message = RotateKeyRequest {
            key: key.to_owned(),
            idempotency_key: idempotency_key()?,
            to: Some(To::Import(to)),
        };
        let rotated = self.answer(self.keys().rotate(self.request(message)).await)?;
        self.check_made(KeyWithReceipt::of(rotated)?, &made)
    }

    /// A key with its proof of possession: for a new alias, or to take over from `previous`.
    pub(crate) async fn prove(
        &self,
        key: &SigningKey,
        mode: Mode,
        previous: Option<&KeyId>,
    ) -> Result<Made, ClientError> {
        let message = PrepareImportRequest { scheme: key.scheme().name().to_owned() };
        let prepared = self.answer(self.keys().prepare_import(self.request(message)).await)?;
        let parts = parts(&prepared.chain_id, &prepared.account, &prepared.nonce, prepared.not_after)?;
        self.check_challenge(&parts.chain_id, &parts.account)?;
        let challenge = match previous {
            None => challenge::possession(&parts, mode, key.public_key()),
            Some(previous) => challenge::rotation(&parts, mode, key.public_key(), previous),
        };
        let proof = prove(key, &challenge)?;
        Ok(Made {
            public_key: key.public_key().clone(),
            parts,
            challenge,
            proof,
            sealing_key: prepared.sealing_key.to_vec(),
        })
    }

    /// The private part, sealed to the service and bound to its challenge.
    fn seal(key: &SigningKey, made: &Made) -> Result<Vec<u8>, ClientError> {
        let Parts { chain_id, account, nonce, .. } = &made.parts;
        let binding = ImportBinding { chain_id, account, nonce, public_key: key.public_key() };
        let sealed = key.expose(|secret| seal_to_service(&made.sealing_key, &binding, secret));
        sealed.map_err(ClientError::Seal)
    }

    /// The service must have bound what was made here.
    pub(crate) fn check_made(
        &self,
        bound: KeyWithReceipt,
        made: &Made,
    ) -> Result<KeyWithReceipt, ClientError> {
        if bound.key.key_id.as_ref() != made.public_key.id().as_bytes() {
            return Err(ClientError::Answer { what: "it is about another key" });
        }
        self.check_binding(&bound.receipt, &made.challenge, &made.proof)?;
        Ok(bound)
    }
}

/// Argon2id takes a while: not on an async worker.
pub(crate) async fn stretching<R: Send + 'static>(
    work: impl FnOnce() -> Result<R, OpaqueError> + Send + 'static,
) -> Result<R, ClientError> {
    let result = tokio::task::spawn_blocking(work).await.map_err(ClientError::Stretch)?;
    result.map_err(|error| match error {
        OpaqueError::WrongPassword { .. } => ClientError::WrongPassword(error),
        other => ClientError::Opaque(other),
    })
}

pub(crate) fn parts(
    chain_id: &[u8],
    account: &[u8],
    nonce: &[u8],
    not_after: u64,
) -> Result<Parts, ClientError> {
    Ok(Parts {
        chain_id: bytes32("chain id", chain_id)?,
        account: bytes32("account", account)?,
        nonce: bytes32("nonce", nonce)?,
        not_after,
    })
}

pub(crate) fn prove(key: &SigningKey, challenge: &Challenge) -> Result<Vec<u8>, ClientError> {
    key.sign_message(&challenge.message).map_err(ClientError::Proof)
}
