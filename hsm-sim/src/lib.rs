//! A software token behind the PKCS#11 v2.40 interface. NOT FOR PRODUCTION: it is the default of a first run and
//! the double of a real token in tests; whoever reads its process reads its keys.
//!
//! `libhsm_sim.so` exports `C_GetFunctionList`. The C boundary (`ffi`, the only unsafe code) is a thin shell
//! around [`Module`], whose methods are the PKCS#11 functions on safe types. What the token supports and how a
//! program should drive it is in `README.md`; the token file is in `SPEC.md`, included here:
//!
#![doc = include_str!("../SPEC.md")]

#[cfg(not(all(unix, target_pointer_width = "64")))]
compile_error!("the software token needs a 64-bit Unix: `CK_ULONG` is stored as 64 bits");

mod attribute;
mod cipher;
mod codec;
mod derive;
mod error;
pub mod faults;
mod ffi;
mod generate;
mod hash;
mod image;
mod key;
mod mechanism;
mod module;
mod object;
mod operation;
mod seal;
mod store;
mod template;
mod token;
mod wrapping;

pub use attribute::{ATTRIBUTE_BYTES_MAX, ATTRIBUTES_MAX};
pub use error::{Damage, Error, Refusal, Result};
pub use ffi::C_GetFunctionList;
pub use mechanism::{
    AAD_BYTES_MAX, CKM_KEYWARD_BIP340, CKM_KEYWARD_HMAC_SM3, CKM_KEYWARD_SM2, CKM_KEYWARD_SM2_KEY_PAIR_GEN,
    CKM_KEYWARD_SM2_SM3, CKM_KEYWARD_SM3, Info, MECHANISMS, Mechanism, Oaep, PARAMETER_BYTES_MAX, Parameter,
};
pub use module::crypto::Activity;
pub use module::objects::Template;
pub use module::{Module, SESSIONS_MAX, SLOTS, SessionStatus, TokenStatus};
pub use operation::{MESSAGE_BYTES_MAX, Reply, Room};
pub use seal::Role;
pub use store::FOLDER_VARIABLE;
pub use token::{PIN_BYTES, PIN_FAILURES_MAX};

/// Reads a token file and says what is wrong with it, if anything. Opens nothing that is sealed.
///
/// # Errors
/// The first thing that does not hold.
pub fn check_token_file(bytes: &[u8]) -> Result<(), Damage> {
    image::Image::decode(bytes).map(|_| ())
}
