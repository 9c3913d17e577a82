//! The token key, what wraps it under a PIN, and what it seals. Argon2id and AES-256-GCM only; no files.

use std::fmt;

use aes_gcm::aead::{Aead, Payload};
use aes_gcm::{Aes256Gcm, KeyInit};
use argon2::{Algorithm, Argon2, Params, Version};
use zeroize::Zeroizing;

use crate::error::{Damage, Result};

const WRAP_TAG: &[u8] = b"hsm-sim/wrap/v1";

/// Who a PIN belongs to.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub enum Role {
    /// The security officer: sets user PINs.
    Officer = 1,
    /// The user: uses keys.
    User = 2,
}

/// The cost of Argon2id.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub(crate) struct Costs {
    pub(crate) memory_kib: u32,
    pub(crate) passes: u32,
    pub(crate) lanes: u32,
}

impl Costs {
    /// RFC 9106 and OWASP's smallest recommended setting: about 20 ms.
    pub(crate) const STANDARD: Self = Self { memory_kib: 19 * 1024, passes: 2, lanes: 1 };

    /// Bounds, so that a changed file cannot make a login take hours.
    pub(crate) fn check(self) -> Result<Self, Damage> {
        let memory = (8 * 1024..=256 * 1024).contains(&self.memory_kib);
        if memory && (1..=8).contains(&self.passes) && (1..=4).contains(&self.lanes) {
            Ok(self)
        } else {
            Err(Damage::Field("argon2 costs"))
        }
    }
}

/// The token key wrapped under one PIN, with the count of failures since it last opened.
#[derive(Debug, PartialEq, Eq, Clone)]
pub(crate) struct Wrap {
    pub(crate) failures: u8,
    pub(crate) costs: Costs,
    pub(crate) salt: [u8; 16],
    pub(crate) nonce: [u8; 12],
    pub(crate) sealed: [u8; 48],
}

/// The AES-256 key that seals a token's private objects. In memory only while somebody is logged in.
pub(crate) struct TokenKey(Zeroizing<[u8; 32]>);

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenKey(redacted)")
    }
}

impl TokenKey {
    pub(crate) fn generate() -> Result<Self> {
        let mut key = Zeroizing::new([0; 32]);
        getrandom::fill(key.as_mut_slice())?;
        Ok(Self(key))
    }

    pub(crate) fn wrap(&self, pin: &[u8], role: Role, incarnation: &[u8; 16]) -> Result<Wrap> {
        let (salt, nonce) = (random()?, random()?);
        let costs = Costs::STANDARD;
        let payload = Payload { msg: self.0.as_slice(), aad: &wrap_context(role, incarnation) };
        let bytes = pin_cipher(pin, &salt, costs)?.encrypt(&nonce.into(), payload)?;
        let mut sealed = [0; 48];
        bytes.iter().zip(&mut sealed).for_each(|(from, to)| *to = *from);
        Ok(Wrap { failures: 0, costs, salt, nonce, sealed })
    }

    /// Opens a wrap; `None` if the PIN is wrong.
    pub(crate) fn unwrap(
        wrap: &Wrap,
        pin: &[u8],
        role: Role,
        incarnation: &[u8; 16],
    ) -> Result<Option<Self>> {
        let payload = Payload { msg: &wrap.sealed, aad: &wrap_context(role, incarnation) };
        let opened = pin_cipher(pin, &wrap.salt, wrap.costs)?.decrypt(&wrap.nonce.into(), payload);
        // The only way for this to fail is a tag that does not match: a wrong PIN.
        let opened = opened.ok().map(Zeroizing::new);
        Ok(opened.and_then(|bytes| bytes.as_array().map(|key| Self(Zeroizing::new(*key)))))
    }

    /// `nonce[12] || ciphertext || tag[16]`.
    pub(crate) fn seal(&self, plain: &[u8], context: &[u8]) -> Result<Vec<u8>> {
        let nonce: [u8; 12] = random()?;
        let mut out = nonce.to_vec();
        out.extend(self.cipher().encrypt(&nonce.into(), Payload { msg: plain, aad: context })?);
        Ok(out)
    }

    pub(crate) fn open(&self, sealed: &[u8], context: &[u8]) -> Result<Zeroizing<Vec<u8>>, Damage> {
        let (nonce, body) = sealed.split_first_chunk::<12>().ok_or(Damage::CutOff)?;
        let opened = self.cipher().decrypt(&(*nonce).into(), Payload { msg: body, aad: context });
        opened.map(Zeroizing::new).or(Err(Damage::Seal))
    }

    fn cipher(&self) -> Aes256Gcm {
        Aes256Gcm::new((&*self.0).into())
    }
}

/// Fresh random bytes.
pub(crate) fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

fn wrap_context(role: Role, incarnation: &[u8; 16]) -> Vec<u8> {
    [WRAP_TAG, &[role as u8], incarnation].concat()
}

fn pin_cipher(pin: &[u8], salt: &[u8; 16], costs: Costs) -> Result<Aes256Gcm> {
    let params = Params::new(costs.memory_kib, costs.passes, costs.lanes, Some(32))?;
    let mut key = Zeroizing::new([0; 32]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params).hash_password_into(
        pin,
        salt,
        key.as_mut_slice(),
    )?;
    Ok(Aes256Gcm::new((&*key).into()))
}
