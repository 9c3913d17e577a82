//! What a guess goes through, written down once more from RFC 9380, 9497 and 9807 and from `kms/crypto/SPEC.md`: an
//! attacker has a program of its own.

use argon2::{Algorithm, Argon2, Params, Version};
use curve25519_dalek_4::{ristretto::RistrettoPoint, scalar::Scalar};
use hkdf::Hkdf;
use keyward_crypto::SigningKey;
use keyward_domain::scheme::Scheme;
use sha2::{Digest as _, Sha256, Sha512};

/// The modes of RFC 9497: logins are not verifiable, vaults are.
#[derive(Clone, Copy)]
pub enum Mode {
    Login = 0,
    Vault = 1,
}

/// The steps of Argon2id.
#[derive(Clone, Copy)]
pub struct Stretch {
    pub memory_kib: u32,
    pub passes: u32,
    pub lanes: u32,
}

impl Stretch {
    pub fn apply<const N: usize>(&self, input: &[u8], salt: &[u8]) -> [u8; N] {
        let params = Params::new(self.memory_kib, self.passes, self.lanes, Some(N)).unwrap();
        let mut out = [0; N];
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        argon2.hash_password_into(input, salt, &mut out).unwrap();
        out
    }
}

/// `u8 length || label`.
pub fn tagged(label: &str) -> Vec<u8> {
    [&[u8::try_from(label.len()).unwrap()][..], label.as_bytes()].concat()
}

/// The bytes below a tag of RFC 9497, by `expand_message_xmd` of RFC 9380 with SHA-512: 64 of them.
fn uniform(input: &[u8], tag: &str, mode: Mode) -> [u8; 64] {
    let tag = [tag.as_bytes(), b"OPRFV1-", &[mode as u8], b"-ristretto255-SHA512"].concat();
    let tag = [&tag[..], &[u8::try_from(tag.len()).unwrap()]].concat();
    let first = Sha512::digest([&[0; 128], input, &64_u16.to_be_bytes(), &[0], &tag].concat());
    Sha512::digest([&first[..], &[1], &tag].concat()).into()
}

/// The point of an input.
pub fn hash_to_group(input: &[u8], mode: Mode) -> RistrettoPoint {
    RistrettoPoint::from_uniform_bytes(&uniform(input, "HashToGroup-", mode))
}

/// The key of the oblivious function that OPAQUE derives for a user from the server's seed.
pub fn login_key(seed: &[u8; 64], user: &[u8]) -> Scalar {
    let mut own = [0; 32];
    let info = [user, b"OprfKey"].concat();
    Hkdf::<Sha512>::from_prk(seed).unwrap().expand(&info, &mut own).unwrap();
    let info = b"OPAQUE-DeriveKeyPair";
    let length = u16::try_from(info.len()).unwrap().to_be_bytes();
    let input = [&own[..], &length, info, &[0]].concat();
    Scalar::from_bytes_mod_order_wide(&uniform(&input, "DeriveKeyPair", Mode::Login))
}

/// The oblivious function's output, from the evaluated point of its input.
pub fn finalize(input: &[u8], evaluated: &RistrettoPoint) -> [u8; 64] {
    let (length, element) = (u16::try_from(input.len()).unwrap().to_be_bytes(), evaluated.compress());
    let hashed = [&length[..], input, &32_u16.to_be_bytes(), element.as_bytes(), b"Finalize"];
    Sha512::digest(hashed.concat()).into()
}

/// HKDF-SHA256 without salt.
pub fn expand(input: &[u8], info: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    Hkdf::<Sha256>::new(None, input).expand(info, &mut out).unwrap();
    out
}

/// HKDF-SHA512 without salt.
pub fn expand_long(input: &[u8], info: &[u8]) -> [u8; 64] {
    let mut out = [0; 64];
    Hkdf::<Sha512>::new(None, input).expand(info, &mut out).unwrap();
    out
}

/// The public part of the Ed25519 key of a seed.
pub fn ed25519(seed: &[u8; 32]) -> [u8; 32] {
    let key = SigningKey::from_secret(Scheme::Ed25519, seed).unwrap();
    key.public_key().as_bytes().try_into().unwrap()
}

/// Lagrange's weights at 0.
pub fn weights(indices: &[u8]) -> Vec<Scalar> {
    let weight = |&own: &u8| {
        let others = indices.iter().filter(|&&other| other != own).map(|&other| Scalar::from(other));
        others.map(|other| other * (other - Scalar::from(own)).invert()).product()
    };
    indices.iter().map(weight).collect()
}

/// Every set of things, the empty one and the whole among them.
pub fn subsets<T: Copy>(of: &[T]) -> Vec<Vec<T>> {
    let chosen = |set: usize| (0..of.len()).filter(|bit| set >> bit & 1 == 1).map(|at| of[at]).collect();
    (0..1 << of.len()).map(chosen).collect()
}
