//! Signing in the token: which mechanism a scheme uses, and what it is fed.

use cryptoki::mechanism::eddsa::{EddsaParams, EddsaSignatureScheme};
use cryptoki::mechanism::rsa::{PkcsMgfType, PkcsPssParams};
use cryptoki::mechanism::vendor_defined::VendorDefinedMechanism;
use cryptoki::mechanism::{Mechanism, MechanismType};
use cryptoki::object::ObjectHandle;
use keyward_domain::scheme::Scheme;
use sha2::{Digest as _, Sha256};

use crate::canonical;
use crate::error::TokenError;
use crate::keys::PrivateKey;
use crate::offers;
use crate::session::Open;
use crate::types::{KeyKind, Payload, TokenName};
use crate::worker::{Fault, Worker, while_doing};

/// RFC 8017, section 9.2, note 1: what stands before a SHA-256 digest in PKCS#1 v1.5.
const DIGEST_INFO_SHA256: [u8; 19] = [
    0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00,
    0x04, 0x20,
];
const PSS_SALT_BYTES: u64 = 32;

impl Worker<'_> {
    pub(crate) fn sign(
        &self,
        token: &TokenName,
        id: &[u8],
        scheme: Scheme,
        payload: &Payload,
    ) -> Result<Vec<u8>, TokenError> {
        self.with(token, |open| {
            let key = open.private_key(token, id)?;
            if !key.kind.schemes().contains(&scheme) {
                return Err(Fault::Final(TokenError::SchemeNotOfKey { kind: key.kind, scheme }));
            }
            if !open.offers_scheme(scheme) {
                return Err(Fault::Final(TokenError::SchemeNotOffered { token: token.clone(), scheme }));
            }
            let raw = open.sign(token, key, scheme, payload)?;
            let len = raw.len();
            canonical::signature(scheme, modulus_bytes(key.kind), raw)
                .ok_or_else(|| Fault::Final(TokenError::SignatureForm { token: token.clone(), scheme, len }))
        })
    }
}

impl Open {
    fn sign(
        &mut self,
        token: &TokenName,
        key: PrivateKey,
        scheme: Scheme,
        payload: &Payload,
    ) -> Result<Vec<u8>, Fault> {
        let digest_not_signed = || TokenError::DigestNotSigned { token: token.clone(), scheme };
        match scheme {
            Scheme::EcdsaSecp256k1 | Scheme::EcdsaP256 => {
                self.run(token, &Mechanism::Ecdsa, key.handle, &digest(payload))
            }
            Scheme::Bip340 => {
                let vendor = offers::bip340().map_err(while_doing(token, "name bip340"))?;
                let mechanism = Mechanism::VendorDefined(VendorDefinedMechanism::new::<()>(vendor, None));
                self.run(token, &mechanism, key.handle, &digest(payload))
            }
            Scheme::Ed25519 => {
                let Payload::Message(message) = payload else { return Err(digest_not_signed().into()) };
                let mechanism = Mechanism::Eddsa(EddsaParams::new(EddsaSignatureScheme::Ed25519));
                self.run(token, &mechanism, key.handle, message)
            }
            Scheme::Sm2 => {
                // The token hashes: it knows the public key that goes into the hash, and takes the usual id.
                let Payload::Message(message) = payload else { return Err(digest_not_signed().into()) };
                let Some(vendor) = self.sm2_mechanism() else {
                    return Err(TokenError::SchemeNotOffered { token: token.clone(), scheme }.into());
                };
                let mechanism = Mechanism::VendorDefined(VendorDefinedMechanism::new::<()>(vendor, None));
                self.run(token, &mechanism, key.handle, message)
            }
            Scheme::RsaPkcs1 if self.offers(MechanismType::RSA_PKCS) => {
                let info = [&DIGEST_INFO_SHA256[..], &digest(payload)].concat();
                self.run(token, &Mechanism::RsaPkcs, key.handle, &info)
            }
            Scheme::RsaPss if self.offers(MechanismType::RSA_PKCS_PSS) => {
                self.run(token, &Mechanism::RsaPkcsPss(pss()), key.handle, &digest(payload))
            }
            Scheme::RsaPkcs1 | Scheme::RsaPss => {
                // The token hashes by itself, so it needs the message.
                let Payload::Message(message) = payload else { return Err(digest_not_signed().into()) };
                let hashing = if scheme == Scheme::RsaPss {
                    Mechanism::Sha256RsaPkcsPss(pss())
                } else {
                    Mechanism::Sha256RsaPkcs
                };
                self.run(token, &hashing, key.handle, message)
            }
        }
    }

    fn run(
        &self,
        token: &TokenName,
        mechanism: &Mechanism<'_>,
        key: ObjectHandle,
        data: &[u8],
    ) -> Result<Vec<u8>, Fault> {
        self.session.sign(mechanism, key, data).map_err(while_doing(token, "sign"))
    }
}

fn digest(payload: &Payload) -> [u8; 32] {
    match payload {
        Payload::Message(message) => Sha256::digest(message).into(),
        Payload::Digest(digest) => *digest,
    }
}

fn pss() -> PkcsPssParams {
    PkcsPssParams {
        hash_alg: MechanismType::SHA256,
        mgf: PkcsMgfType::MGF1_SHA256,
        s_len: PSS_SALT_BYTES.into(),
    }
}

fn modulus_bytes(kind: KeyKind) -> usize {
    match kind {
        KeyKind::Rsa { bits } => usize::try_from(bits.div_ceil(8)).unwrap_or(usize::MAX),
        _ => 0,
    }
}
