//! Keys, signatures, sealing and password login, without any input or output.
//!
//! Signing and sealing live here; the one rule of verification lives in the ledger's core, and a token's
//! own cryptography in the token room. Randomness comes from the operating system. The page below defines
//! every byte that is kept or sent.
#![doc = include_str!("../SPEC.md")]

mod address;
mod committing;
mod device;
mod device_file;
mod device_secret;
mod device_share;
mod envelope;
mod export;
mod hpke_box;
mod import;
mod key_file;
pub mod labels;
mod locked;
mod one_time;
mod opaque;
mod pem;
mod random;
mod secret;
#[cfg(test)]
mod seeded;
pub mod shared;
mod signing;
pub mod unlinkable;
pub mod vault;
#[cfg(test)]
mod vectors;
pub mod viewing;

pub use address::{
    BitcoinKind, Network, bitcoin_address_text, ethereum_address, ethereum_address_text, p2tr_address,
    p2wpkh_address, parse_bitcoin_address, parse_ethereum_address,
};
pub use device::{DeviceKey, DeviceKeyError, app_export_key};
pub use device_secret::{DEVICE_SECRET_BYTES_MAX, DeviceSecret, SecretKind};
pub use device_share::{DeviceShare, KeptShare, SHARES_MAX, SharePart, Waiting};
pub use envelope::{
    Envelope, KeyEncryptionKey, MemoryKek, NONCE_BYTES, SealError, hosted_key_aad, keeper_share_aad, open,
    profile_aad, profile_key_aad, seal, service_secret_aad,
};
pub use export::{ExportError, ExportFormat, export};
pub use hpke_box::BoxError as ImportError;
pub use import::{ImportBinding, ImportSealingKey, seal_to_service};
pub use key_file::{KeyFileError, read_private_key, write_private_key};
pub use keyward_domain::scheme::{EcdsaFormError, ecdsa_der, normalise_ecdsa, signature_der};
pub use locked::{CoreDumpError, LockError, LockedSecret, disable_core_dumps};
pub use one_time::{
    CODE_DIGITS, CODE_SECRET_BYTES, CODE_STEP_S, code_of_step, code_secret_aad, code_uri, fresh_code_secret,
    step_of_code,
};
pub use opaque::{
    ClientLogin, ClientRegistration, LoggedIn, OpaqueError, OpaqueServer, Registered, ServerLogin, Stretch,
    account_credential,
};
pub use pem::public_key_pem;
pub use secret::SecretBytes;
pub use signing::{SECRET_BYTES, SignError, SigningKey, SigningKeyError};
