//! What a person's side does itself: stretches the password, makes and proves keys, holds receipts against the trust
//! file. The service learns neither password nor, in the clear on the way, a private key.

use keyward_crypto::{
    ClientLogin, ClientRegistration, ImportBinding, OpaqueError, SecretBytes, SigningKey, Stretch,
    account_credential, seal_to_service,
};
use keyward_domain::UserName;
use keyward_domain::scheme::Scheme;
use keyward_ledger_core::contracts::registry::{credential_challenge, possession_challenge};
use keyward_ledger_core::entry::Mode;
use keyward_ledger_core::trust::Trust;
use keyward_proto::custody::{
    ImportKeyRequest, KeyWithReceipt, LoginFinishRequest, LoginStartRequest, PrepareImportRequest,
    RegisterFinishRequest, RegisterStartRequest,
};
use zeroize::Zeroizing;

use crate::failure::{Failure, Result};
use crate::service::{Service, idempotency_key};

/// A password; wiped when dropped.
pub(crate) type Password = SecretBytes;

/// An account that was opened.
pub(crate) struct Registered {
    /// The account's name on the ledger.
    pub(crate) account: [u8; 32],
    /// The receipt of its credential's binding.
    pub(crate) receipt: Vec<u8>,
}

/// A login that succeeded.
pub(crate) struct LoggedIn {
    pub(crate) token: Zeroizing<Vec<u8>>,
    pub(crate) account: Vec<u8>,
    pub(crate) expires_unix_ms: u64,
}

/// Opens an account; its credential is derived from the password on this side.
pub(crate) async fn register(
    service: &Service,
    user: &UserName,
    password: &Password,
    trust: &Trust,
) -> Result<Registered> {
    let cannot = "cannot register";
    let (registration, request) =
        ClientRegistration::start(password).map_err(|error| opaque(cannot, &error))?;
    let message =
        RegisterStartRequest { user_name: user.as_str().to_owned(), registration_request: request.into() };
    let start =
        service.accounts().register_start(service.request(message)).await.map_err(service.refused(cannot))?;
    let start = start.into_inner();
    let registered = tokio::task::block_in_place(|| {
        registration.finish(password, &start.registration_response, Stretch::Standard)
    })
    .map_err(|error| opaque(cannot, &error))?;
    let credential = account_credential(&registered.export_key).map_err(|error| opaque(cannot, &error))?;
    let (chain_id, account) = (bytes32("chain id", &start.chain_id)?, bytes32("account", &start.account)?);
    if chain_id != trust.chain_id {
        return Err(other_ledger());
    }
    let public_key = bytes32("credential", credential.public_key().as_bytes())?;
    let nonce = bytes32("nonce", &start.nonce)?;
    let challenge = credential_challenge(&chain_id, &account, 1, &public_key, &nonce, start.not_after);
    let message = RegisterFinishRequest {
        registration_id: start.registration_id,
        registration_upload: registered.upload.into(),
        credential: public_key.to_vec().into(),
        credential_proof: prove(&credential, &challenge)?.into(),
    };
    let finish = service.accounts().register_finish(service.request(message)).await;
    let finish = finish.map_err(service.refused(cannot))?.into_inner();
    Ok(Registered { account, receipt: finish.receipt.to_vec() })
}

/// Logs in.
pub(crate) async fn log_in(service: &Service, user: &UserName, password: &Password) -> Result<LoggedIn> {
    let cannot = "cannot log in";
    let (login, request) = ClientLogin::start(password).map_err(|error| opaque(cannot, &error))?;
    let message =
        LoginStartRequest { user_name: user.as_str().to_owned(), credential_request: request.into() };
    let start =
        service.accounts().login_start(service.request(message)).await.map_err(service.refused(cannot))?;
    let start = start.into_inner();
    let logged_in =
        tokio::task::block_in_place(|| login.finish(password, &start.credential_response, Stretch::Standard))
            .map_err(|error| opaque(cannot, &error))?;
    let message = LoginFinishRequest {
        login_id: start.login_id,
        credential_finalization: logged_in.finalization.into(),
    };
    let finish = service.accounts().login_finish(service.request(message)).await;
    let finish = finish.map_err(service.refused(cannot))?.into_inner();
    Ok(LoggedIn {
        token: Zeroizing::new(finish.session.to_vec()),
        account: finish.account.to_vec(),
        expires_unix_ms: finish.expires_unix_ms,
    })
}

/// Makes a key on this side, proves it, and seals it to the service, bound to the challenge.
pub(crate) async fn import_key(service: &Service, alias: &str, scheme: Scheme) -> Result<KeyWithReceipt> {
    let cannot = "cannot make the key";
    let own = |error: &(dyn std::error::Error + 'static)| {
        Failure::refused(cannot, "choose another scheme").because(error)
    };
    let message = PrepareImportRequest { scheme: scheme.name().to_owned() };
    let prepared =
        service.keys().prepare_import(service.request(message)).await.map_err(service.refused(cannot))?;
    let prepared = prepared.into_inner();
    let key = SigningKey::generate(scheme).map_err(|error| own(&error))?;
    let (chain_id, account) =
        (bytes32("chain id", &prepared.chain_id)?, bytes32("account", &prepared.account)?);
    let nonce = bytes32("nonce", &prepared.nonce)?;
    let public_key = key.public_key();
    let challenge =
        possession_challenge(&chain_id, &account, Mode::Hosted, public_key, &nonce, prepared.not_after);
    let binding = ImportBinding { chain_id: &chain_id, account: &account, nonce: &nonce, public_key };
    let sealed = key.expose(|secret| seal_to_service(&prepared.sealing_key, &binding, secret));
    let message = ImportKeyRequest {
        alias: alias.to_owned(),
        scheme: scheme.name().to_owned(),
        public_key: public_key.as_bytes().to_vec().into(),
        nonce: prepared.nonce,
        not_after: prepared.not_after,
        proof: prove(&key, &challenge)?.into(),
        sealed_private_key: sealed.map_err(|error| own(&error))?.into(),
        idempotency_key: idempotency_key()?.into(),
    };
    let imported = service.keys().import(service.request(message)).await.map_err(service.refused(cannot))?;
    Ok(imported.into_inner())
}

fn prove(key: &SigningKey, challenge: &[u8]) -> Result<Vec<u8>> {
    key.sign_message(challenge).map_err(|error| {
        Failure::refused("cannot prove the possession of the key", "try again").because(&error)
    })
}

fn opaque(what: &str, error: &OpaqueError) -> Failure {
    let failure = Failure::refused(what, "try again").because(error);
    match error {
        OpaqueError::WrongPassword(_) => failure.coded(keyward_domain::Code::LoginFailed),
        _ => failure,
    }
}

fn bytes32(what: &str, bytes: &[u8]) -> Result<[u8; 32]> {
    bytes.try_into().map_err(|error: std::array::TryFromSliceError| {
        Failure::refused(format!("the service answered a malformed {what}"), "tell the operator")
            .because(&error)
    })
}

fn other_ledger() -> Failure {
    Failure::refused(
        "the service is on another ledger than the trust file names",
        "compare the trust file with the operator's",
    )
}
