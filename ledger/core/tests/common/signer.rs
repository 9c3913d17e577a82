//! One signer for each scheme, from fixed keys.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaKeyPair};
use k256::ecdsa::signature::hazmat::PrehashSigner as _;
use keyward_ledger_core::ed25519::SigningKey;
use keyward_ledger_core::hash::sha256;
use keyward_ledger_core::scheme::{PublicKey, SM2_ID, Scheme};

pub trait Keys {
    fn public_key(&self) -> PublicKey;
    fn sign(&self, message: &[u8]) -> Vec<u8>;
}

pub struct Ed25519;
pub struct Secp256k1;
pub struct Bip340;
/// The output key of [`Bip340`] under a tweak of BIP341, without scripts or with those under a Merkle root.
pub struct Taproot(pub Option<[u8; 32]>);
pub struct P256;
pub struct Rsa(pub Scheme);
pub struct Sm2;

/// Every scheme of the first version; all but RSA-PSS sign the same message the same way each time. The frozen ledger of
/// `receipts.json` is made with these: a later scheme has tests and vectors of its own.
pub fn all() -> Vec<Box<dyn Keys>> {
    vec![
        Box::new(Secp256k1),
        Box::new(Bip340),
        Box::new(P256),
        Box::new(Ed25519),
        Box::new(Rsa(Scheme::RsaPss)),
        Box::new(Rsa(Scheme::RsaPkcs1)),
    ]
}

impl Keys for Ed25519 {
    fn public_key(&self) -> PublicKey {
        PublicKey::parse(Scheme::Ed25519, &SigningKey::from_seed(&[31; 32]).public_key()).unwrap()
    }
    fn sign(&self, message: &[u8]) -> Vec<u8> {
        SigningKey::from_seed(&[31; 32]).sign(message).to_vec()
    }
}

fn secp256k1() -> k256::ecdsa::SigningKey {
    k256::ecdsa::SigningKey::from_slice(&[32; 32]).unwrap()
}

impl Keys for Secp256k1 {
    fn public_key(&self) -> PublicKey {
        PublicKey::from_sec1(
            Scheme::EcdsaSecp256k1,
            secp256k1().verifying_key().to_sec1_point(false).as_bytes(),
        )
        .unwrap()
    }
    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let signature: k256::ecdsa::Signature = secp256k1().sign_prehash(&sha256(&[message])).unwrap();
        signature.normalize_s().to_bytes().to_vec()
    }
}

impl Keys for Bip340 {
    fn public_key(&self) -> PublicKey {
        PublicKey::from_sec1(Scheme::Bip340, secp256k1().verifying_key().to_sec1_point(true).as_bytes())
            .unwrap()
    }
    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let key = k256::schnorr::SigningKey::from_slice(&[32; 32]).unwrap();
        key.sign_raw(&sha256(&[message]), &[0; 32]).unwrap().to_bytes().to_vec()
    }
}

impl Taproot {
    fn key(&self) -> k256::schnorr::SigningKey {
        let inner = k256::schnorr::SigningKey::from_slice(&[32; 32]).unwrap();
        let tag = sha256(&[b"TapTweak"]);
        let root = self.0.as_ref().map_or(&[][..], |root| root);
        let tweak = sha256(&[&tag, &tag, &inner.verifying_key().to_bytes(), root]);
        let tweak = k256::NonZeroScalar::try_from(tweak.as_slice()).unwrap();
        let sum = **inner.as_nonzero_scalar() + *tweak;
        k256::schnorr::SigningKey::from_slice(&sum.to_bytes()).unwrap()
    }
}

impl Keys for Taproot {
    fn public_key(&self) -> PublicKey {
        PublicKey::parse(Scheme::Bip340, &self.key().verifying_key().to_bytes()).unwrap()
    }
    fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.key().sign_raw(&sha256(&[message]), &[0; 32]).unwrap().to_bytes().to_vec()
    }
}

impl Keys for P256 {
    fn public_key(&self) -> PublicKey {
        let key = p256::ecdsa::SigningKey::from_slice(&[33; 32]).unwrap();
        PublicKey::from_sec1(Scheme::EcdsaP256, key.verifying_key().to_sec1_point(false).as_bytes()).unwrap()
    }
    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let key = p256::ecdsa::SigningKey::from_slice(&[33; 32]).unwrap();
        let signature: p256::ecdsa::Signature = key.sign_prehash(&sha256(&[message])).unwrap();
        signature.normalize_s().to_bytes().to_vec()
    }
}

fn rsa() -> RsaKeyPair {
    let text = include_str!("../../../../tests/vectors/test-rsa-2048.hex");
    RsaKeyPair::from_pkcs8(&hex::decode(text.trim()).unwrap()).unwrap()
}

impl Keys for Rsa {
    fn public_key(&self) -> PublicKey {
        PublicKey::parse(self.0, rsa().public_key().as_ref()).unwrap()
    }
    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let key = rsa();
        let mut signature = vec![0; key.public_modulus_len()];
        let random = SystemRandom::new();
        match self.0 {
            Scheme::RsaPss => key.sign(&RSA_PSS_SHA256, &random, message, &mut signature).unwrap(),
            _ => key.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).unwrap(),
        }
        signature
    }
}

impl Keys for Sm2 {
    fn public_key(&self) -> PublicKey {
        PublicKey::from_sec1(Scheme::Sm2, &sm2().verifying_key().to_sec1_bytes()).unwrap()
    }
    fn sign(&self, message: &[u8]) -> Vec<u8> {
        use sm2::dsa::signature::Signer as _;
        sm2().sign(message).to_vec()
    }
}

fn sm2() -> sm2::dsa::SigningKey {
    sm2::dsa::SigningKey::from_slice(SM2_ID, &[34; 32]).unwrap()
}
