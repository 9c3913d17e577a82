//! The digests, and the message authentication codes made from them, behind one type each.

use aes::{Aes128, Aes192, Aes256};
use cmac::Cmac;
use cryptoki_sys as sys;
use cryptoki_sys::{CK_MECHANISM_TYPE, CK_ULONG};
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::digest::{Digest, DynDigest, Output};
use sha2::{Sha224, Sha256, Sha384, Sha512};
use sm3::Sm3;
use zeroize::Zeroizing;

use crate::error::Refusal;
use crate::mechanism::{CKM_KEYWARD_HMAC_SM3, CKM_KEYWARD_SM3};

/// A hash function.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub(crate) enum Hash {
    Sha1,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
    Sm3,
}

/// Runs code for the hash's own type; SM3 has no place in RSA and is refused by `$other`.
macro_rules! with_sha {
    ($hash:expr, $type:ident => $run:expr, $other:expr) => {
        match $hash {
            $crate::hash::Hash::Sha1 => {
                type $type = sha1::Sha1;
                $run
            }
            $crate::hash::Hash::Sha224 => {
                type $type = sha2::Sha224;
                $run
            }
            $crate::hash::Hash::Sha256 => {
                type $type = sha2::Sha256;
                $run
            }
            $crate::hash::Hash::Sha384 => {
                type $type = sha2::Sha384;
                $run
            }
            $crate::hash::Hash::Sha512 => {
                type $type = sha2::Sha512;
                $run
            }
            $crate::hash::Hash::Sm3 => $other,
        }
    };
}
pub(crate) use with_sha;

impl Hash {
    /// The hash of a digest mechanism.
    pub(crate) fn of_mechanism(kind: CK_MECHANISM_TYPE) -> Option<Self> {
        Some(match kind {
            sys::CKM_SHA_1 => Self::Sha1,
            sys::CKM_SHA224 => Self::Sha224,
            sys::CKM_SHA256 => Self::Sha256,
            sys::CKM_SHA384 => Self::Sha384,
            sys::CKM_SHA512 => Self::Sha512,
            CKM_KEYWARD_SM3 => Self::Sm3,
            _ => return None,
        })
    }

    /// The hash of a mask generation function (RFC 8017, appendix B.2.1).
    pub(crate) fn of_mask(mask: CK_ULONG) -> Option<Self> {
        Some(match mask {
            sys::CKG_MGF1_SHA1 => Self::Sha1,
            sys::CKG_MGF1_SHA224 => Self::Sha224,
            sys::CKG_MGF1_SHA256 => Self::Sha256,
            sys::CKG_MGF1_SHA384 => Self::Sha384,
            sys::CKG_MGF1_SHA512 => Self::Sha512,
            _ => return None,
        })
    }

    pub(crate) fn bytes(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha224 => 28,
            Self::Sha256 | Self::Sm3 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    pub(crate) fn start(self) -> Hashed {
        let state: Box<dyn DynDigest + Send> = match self {
            Self::Sha1 => Box::new(Sha1::new()),
            Self::Sha224 => Box::new(Sha224::new()),
            Self::Sha256 => Box::new(Sha256::new()),
            Self::Sha384 => Box::new(Sha384::new()),
            Self::Sha512 => Box::new(Sha512::new()),
            Self::Sm3 => Box::new(Sm3::new()),
        };
        Hashed(state)
    }

    pub(crate) fn digest(self, parts: &[&[u8]]) -> Zeroizing<Vec<u8>> {
        let mut state = self.start();
        parts.iter().for_each(|part| state.update(part));
        state.finish()
    }
}

/// A digest under way.
pub(crate) struct Hashed(Box<dyn DynDigest + Send>);

impl Hashed {
    pub(crate) fn update(&mut self, part: &[u8]) {
        self.0.update(part);
    }

    pub(crate) fn finish(self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(self.0.finalize().into_vec())
    }
}

/// The algorithm of a message authentication code.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub(crate) enum MacKind {
    Hmac(Hash),
    /// NIST SP 800-38B.
    Cmac,
}

impl MacKind {
    pub(crate) fn of_mechanism(kind: CK_MECHANISM_TYPE) -> Option<Self> {
        Some(match kind {
            sys::CKM_SHA_1_HMAC => Self::Hmac(Hash::Sha1),
            sys::CKM_SHA224_HMAC => Self::Hmac(Hash::Sha224),
            sys::CKM_SHA256_HMAC => Self::Hmac(Hash::Sha256),
            sys::CKM_SHA384_HMAC => Self::Hmac(Hash::Sha384),
            sys::CKM_SHA512_HMAC => Self::Hmac(Hash::Sha512),
            CKM_KEYWARD_HMAC_SM3 => Self::Hmac(Hash::Sm3),
            sys::CKM_AES_CMAC => Self::Cmac,
            _ => return None,
        })
    }

    pub(crate) fn bytes(self) -> usize {
        match self {
            Self::Hmac(hash) => hash.bytes(),
            Self::Cmac => 16,
        }
    }

    pub(crate) fn start(self, key: &[u8]) -> Result<Authenticated, Refusal> {
        match (self, key.len()) {
            (Self::Hmac(Hash::Sha1), _) => begin::<Hmac<Sha1>>(key),
            (Self::Hmac(Hash::Sha224), _) => begin::<Hmac<Sha224>>(key),
            (Self::Hmac(Hash::Sha256), _) => begin::<Hmac<Sha256>>(key),
            (Self::Hmac(Hash::Sha384), _) => begin::<Hmac<Sha384>>(key),
            (Self::Hmac(Hash::Sha512), _) => begin::<Hmac<Sha512>>(key),
            (Self::Hmac(Hash::Sm3), _) => begin::<Hmac<Sm3>>(key),
            (Self::Cmac, 16) => begin::<Cmac<Aes128>>(key),
            (Self::Cmac, 24) => begin::<Cmac<Aes192>>(key),
            (Self::Cmac, 32) => begin::<Cmac<Aes256>>(key),
            (Self::Cmac, _) => Err(Refusal::KeySize),
        }
    }
}

/// A message authentication code under way. It wipes its key when it ends, as the crates below do.
pub(crate) struct Authenticated(Box<dyn Tagging + Send>);

impl Authenticated {
    pub(crate) fn update(&mut self, part: &[u8]) {
        self.0.update(part);
    }

    pub(crate) fn finish(self) -> Zeroizing<Vec<u8>> {
        self.0.finish()
    }

    /// In constant time.
    pub(crate) fn verify(self, tag: &[u8]) -> Result<(), Refusal> {
        self.0.verify(tag)
    }
}

/// The part of [`Mac`] that a trait object can have.
trait Tagging {
    fn update(&mut self, part: &[u8]);
    fn finish(self: Box<Self>) -> Zeroizing<Vec<u8>>;
    fn verify(self: Box<Self>, tag: &[u8]) -> Result<(), Refusal>;
}

impl<M: Mac> Tagging for M {
    fn update(&mut self, part: &[u8]) {
        Mac::update(self, part);
    }

    fn finish(self: Box<Self>) -> Zeroizing<Vec<u8>> {
        let tag: Output<M> = (*self).finalize().into_bytes();
        Zeroizing::new(tag.to_vec())
    }

    fn verify(self: Box<Self>, tag: &[u8]) -> Result<(), Refusal> {
        (*self).verify_slice(tag).or(Err(Refusal::SignatureInvalid))
    }
}

fn begin<M: Mac + KeyInit + Send + 'static>(key: &[u8]) -> Result<Authenticated, Refusal> {
    let mac = <M as KeyInit>::new_from_slice(key).or(Err(Refusal::KeySize))?;
    Ok(Authenticated(Box::new(mac)))
}
