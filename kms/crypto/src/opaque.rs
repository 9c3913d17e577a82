//! Password login: OPAQUE (RFC 9807) over ristretto255 with SHA-512 and 3DH, Argon2id on the client.
//!
//! The server never sees the password nor anything it can be guessed from without the OPRF seed. Messages
//! are bytes in and out; transport and storage are not the business of this module.

use std::fmt;

use hkdf::Hkdf;
use keyward_domain::scheme::Scheme;
use opaque_ke::errors::{InternalError, ProtocolError};
use opaque_ke::generic_array::{ArrayLength, GenericArray};
use opaque_ke::{
    CipherSuite, ClientLoginFinishParameters, ClientRegistrationFinishParameters, CredentialFinalization,
    CredentialRequest, CredentialResponse, RegistrationRequest, RegistrationResponse, RegistrationUpload,
    Ristretto255, ServerLoginParameters, ServerRegistration, ServerSetup, TripleDh,
};
use sha2::Sha256;
use thiserror::Error;
use zeroize::{Zeroize as _, Zeroizing};

use crate::labels;
use crate::random::with_randomness;
use crate::secret::SecretBytes;
use crate::signing::{SigningKey, SigningKeyError};

/// Argon2id memory of a login, in KiB (RFC 9106, second recommended option).
const MEMORY_KIB: u32 = 64 * 1024;
/// Argon2id passes of a login.
const PASSES: u32 = 3;
/// Argon2id memory in tests.
const TEST_MEMORY_KIB: u32 = 64;

/// Why a step of registration or login failed.
#[derive(Debug, Error)]
pub enum OpaqueError {
    /// The password is wrong, the user unknown, or a message was changed: these look alike on purpose.
    #[error("user name or password is wrong")]
    WrongPassword(#[source] ProtocolError),
    /// The bytes are not the message of this step.
    #[error("the {what} is malformed")]
    Malformed {
        /// Which message.
        what: &'static str,
        /// What the library said.
        #[source]
        source: ProtocolError,
    },
    /// The library failed.
    #[error("password login failed inside")]
    Failed(#[source] ProtocolError),
    /// The operating system gave no randomness.
    #[error("no randomness from the operating system")]
    Randomness(#[from] getrandom::Error),
    /// The account's credential could not be made.
    #[error("the account's credential could not be made")]
    Credential(#[source] SigningKeyError),
    /// The export key has an impossible length.
    #[error("an export key of {len} bytes is too short")]
    ExportKey {
        /// Its length.
        len: usize,
    },
}

/// How hard the password is stretched, on the client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stretch {
    /// 64 MiB and three passes.
    #[default]
    Standard,
    /// 64 KiB and one pass: protects nothing, keeps tests quick.
    WeakForTests,
}

/// RFC 9807, section 7: the OPRF output is already unique per user, so the salt is constant.
const STRETCH_SALT: [u8; 16] = [0; 16];

impl opaque_ke::ksf::Ksf for Stretch {
    fn hash<L: ArrayLength<u8>>(
        &self,
        input: GenericArray<u8, L>,
    ) -> Result<GenericArray<u8, L>, InternalError> {
        let mut output = GenericArray::default();
        // The library's error has no room for a cause; the parameters are constants, so it cannot happen.
        let params = match self {
            Self::Standard => argon2::Params::new(MEMORY_KIB, PASSES, 1, None),
            Self::WeakForTests => argon2::Params::new(TEST_MEMORY_KIB, 1, 1, None),
        };
        let argon2 =
            |params| argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
        params
            .and_then(|params| argon2(params).hash_password_into(&input, &STRETCH_SALT, &mut output))
            .ok()
            .ok_or(InternalError::KsfError)?;
        Ok(output)
    }
}

struct Suite;

impl CipherSuite for Suite {
    type OprfCs = Ristretto255;
    type KeyExchange = TripleDh<Ristretto255, sha2_10::Sha512>;
    type Ksf = Stretch;
}

/// The server's side: OPRF seed and server key.
pub struct OpaqueServer(ServerSetup<Suite>);

impl OpaqueServer {
    /// A fresh one; every record is bound to it, so it is made once and kept sealed.
    pub fn generate() -> Result<Self, OpaqueError> {
        with_randomness(|random| Ok(Self(ServerSetup::new(random))))
    }

    /// From the bytes of [`Self::to_secret`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, OpaqueError> {
        Ok(Self(whole("server setup", bytes, ServerSetup::deserialize, |setup| setup.serialize().to_vec())?))
    }

    /// The whole secret, only so that it can be sealed.
    pub fn to_secret(&self) -> SecretBytes {
        SecretBytes::new(self.0.serialize().to_vec())
    }

    /// Registration, step 2 of 3: answers a registration request with a registration response.
    pub fn register(&self, user: &[u8], request: &[u8]) -> Result<Vec<u8>, OpaqueError> {
        let request = whole("registration request", request, RegistrationRequest::deserialize, |message| {
            message.serialize().to_vec()
        })?;
        let started = ServerRegistration::start(&self.0, request, user).map_err(OpaqueError::Failed)?;
        Ok(started.message.serialize().to_vec())
    }

    /// Registration, the end: the record to keep, from the client's upload.
    pub fn record(upload: &[u8]) -> Result<Vec<u8>, OpaqueError> {
        let upload =
            whole("registration upload", upload, RegistrationUpload::<Suite>::deserialize, |message| {
                message.serialize().to_vec()
            })?;
        Ok(ServerRegistration::finish(upload).serialize().to_vec())
    }

    /// Login, step 2 of 3: answers a credential request. Without a record (unknown user) the answer is made
    /// from a fake one and looks the same (RFC 9807, section 10.9).
    pub fn login(
        &self,
        user: &[u8],
        record: Option<&[u8]>,
        request: &[u8],
    ) -> Result<(ServerLogin, Vec<u8>), OpaqueError> {
        let request = whole("credential request", request, CredentialRequest::deserialize, |message| {
            message.serialize().to_vec()
        })?;
        let parse = |record| {
            whole("registration record", record, ServerRegistration::deserialize, |record| {
                record.serialize().to_vec()
            })
        };
        let record = record.map(parse).transpose()?;
        let started = with_randomness(|random| {
            opaque_ke::ServerLogin::start(random, &self.0, record, request, user, server_parameters())
                .map_err(OpaqueError::Failed)
        })?;
        Ok((ServerLogin(started.state), started.message.serialize().to_vec()))
    }
}

impl fmt::Debug for OpaqueServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OpaqueServer(redacted)")
    }
}

/// A login that waits for its last message; wiped on drop.
pub struct ServerLogin(opaque_ke::ServerLogin<Suite>);

impl ServerLogin {
    /// Login, the end: right only if the client knew the password. Answers with the 64-byte session key.
    pub fn finish(self, finalization: &[u8]) -> Result<SecretBytes, OpaqueError> {
        let finalization =
            whole("credential finalization", finalization, CredentialFinalization::deserialize, |message| {
                message.serialize().to_vec()
            })?;
        let mut finished = self.0.finish(finalization, server_parameters()).map_err(refused)?;
        let key = SecretBytes::new(finished.session_key.to_vec());
        finished.session_key.zeroize();
        Ok(key)
    }
}

impl fmt::Debug for ServerLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerLogin(redacted)")
    }
}

/// The client's side of a registration; wiped on drop.
pub struct ClientRegistration(opaque_ke::ClientRegistration<Suite>);

/// The end of a registration.
#[derive(Debug)]
pub struct Registered {
    /// The registration upload, for the server.
    pub upload: Vec<u8>,
    /// The export key, 64 bytes: the same at every later login; the server never learns it.
    pub export_key: SecretBytes,
}

impl ClientRegistration {
    /// Step 1 of 3: the state to keep and the registration request.
    pub fn start(password: &SecretBytes) -> Result<(Self, Vec<u8>), OpaqueError> {
        let started = with_randomness(|random| {
            password
                .expose(|password| opaque_ke::ClientRegistration::start(random, password))
                .map_err(OpaqueError::Failed)
        })?;
        Ok((Self(started.state), started.message.serialize().to_vec()))
    }

    /// Step 3 of 3; takes as long as the stretching takes.
    pub fn finish(
        self,
        password: &SecretBytes,
        response: &[u8],
        stretch: Stretch,
    ) -> Result<Registered, OpaqueError> {
        let response =
            whole("registration response", response, RegistrationResponse::deserialize, |message| {
                message.serialize().to_vec()
            })?;
        let parameters = ClientRegistrationFinishParameters { ksf: Some(&stretch), ..Default::default() };
        let mut finished = with_randomness(|random| {
            password
                .expose(|password| self.0.finish(random, password, response, parameters))
                .map_err(OpaqueError::Failed)
        })?;
        let export_key = SecretBytes::new(finished.export_key.to_vec());
        finished.export_key.zeroize();
        Ok(Registered { upload: finished.message.serialize().to_vec(), export_key })
    }
}

impl fmt::Debug for ClientRegistration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientRegistration(redacted)")
    }
}

/// The client's side of a login; wiped on drop.
pub struct ClientLogin(opaque_ke::ClientLogin<Suite>);

/// The end of a login.
#[derive(Debug)]
pub struct LoggedIn {
    /// The credential finalization, for the server.
    pub finalization: Vec<u8>,
    /// The export key, 64 bytes, as at registration.
    pub export_key: SecretBytes,
    /// The session key, 64 bytes, shared with the server.
    pub session_key: SecretBytes,
}

impl ClientLogin {
    /// Step 1 of 3: the state to keep and the credential request.
    pub fn start(password: &SecretBytes) -> Result<(Self, Vec<u8>), OpaqueError> {
        let started = with_randomness(|random| {
            password
                .expose(|password| opaque_ke::ClientLogin::start(random, password))
                .map_err(OpaqueError::Failed)
        })?;
        Ok((Self(started.state), started.message.serialize().to_vec()))
    }

    /// Step 3 of 3; takes as long as the stretching takes.
    pub fn finish(
        self,
        password: &SecretBytes,
        response: &[u8],
        stretch: Stretch,
    ) -> Result<LoggedIn, OpaqueError> {
        let response = whole("credential response", response, CredentialResponse::deserialize, |message| {
            message.serialize().to_vec()
        })?;
        let parameters = ClientLoginFinishParameters {
            context: Some(labels::OPAQUE_CONTEXT.as_bytes()),
            ksf: Some(&stretch),
            ..Default::default()
        };
        let mut finished = with_randomness(|random| {
            password.expose(|password| self.0.finish(random, password, response, parameters)).map_err(refused)
        })?;
        let export_key = SecretBytes::new(finished.export_key.to_vec());
        let session_key = SecretBytes::new(finished.session_key.to_vec());
        finished.export_key.zeroize();
        finished.session_key.zeroize();
        Ok(LoggedIn { finalization: finished.message.serialize().to_vec(), export_key, session_key })
    }
}

impl fmt::Debug for ClientLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientLogin(redacted)")
    }
}

/// The account's credential: an Ed25519 key whose seed is `HKDF-SHA256(export key, info = label)`. It exists
/// on the user's side only, and comes back at every login.
pub fn account_credential(export_key: &SecretBytes) -> Result<SigningKey, OpaqueError> {
    let len = export_key.len();
    if len < 64 {
        return Err(OpaqueError::ExportKey { len });
    }
    let mut seed = Zeroizing::new([0; 32]);
    // INVARIANT: HKDF-SHA256 gives up to 8160 bytes, so 32 never fail; the length was checked above.
    let expanded = export_key.expose(|key| {
        Hkdf::<Sha256>::new(None, key).expand(labels::ACCOUNT_CREDENTIAL.as_bytes(), seed.as_mut_slice())
    });
    if expanded.is_err() {
        return Err(OpaqueError::ExportKey { len });
    }
    SigningKey::from_secret(Scheme::Ed25519, seed.as_slice()).map_err(OpaqueError::Credential)
}

fn server_parameters() -> ServerLoginParameters<'static, 'static> {
    ServerLoginParameters { context: Some(labels::OPAQUE_CONTEXT.as_bytes()), ..Default::default() }
}

/// Parses a message and holds that it has no other encoding: the library itself lets some trailing bytes pass.
fn whole<T>(
    what: &'static str,
    bytes: &[u8],
    parse: impl FnOnce(&[u8]) -> Result<T, ProtocolError>,
    encode: impl FnOnce(&T) -> Vec<u8>,
) -> Result<T, OpaqueError> {
    let message = parse(bytes).map_err(|source| OpaqueError::Malformed { what, source })?;
    if encode(&message) == bytes {
        Ok(message)
    } else {
        Err(OpaqueError::Malformed { what, source: ProtocolError::SerializationError })
    }
}

fn refused(error: ProtocolError) -> OpaqueError {
    match error {
        ProtocolError::InvalidLoginError => OpaqueError::WrongPassword(error),
        other => OpaqueError::Failed(other),
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod vectors;
