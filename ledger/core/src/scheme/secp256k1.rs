//! Verification over secp256k1, by libsecp256k1: every signature of the service passes here before it leaves, and it
//! takes less than half of what `k256` does. What is accepted is the same; a test holds the two against each other.

use secp256k1::{Error, Message, PublicKey, XOnlyPublicKey, ecdsa, schnorr};

use crate::hash::Hash;

/// An ECDSA signature as `r || s`, both in `1..n`, over a digest; says whether its S is low. The key is 33 bytes SEC1.
pub(super) fn verify_ecdsa(key: &[u8], digest: &Hash, signature: &[u8]) -> Result<bool, Error> {
    let found = ecdsa::Signature::from_compact(signature)?;
    let mut low = found;
    // libsecp256k1 takes low S only.
    low.normalize_s();
    ecdsa::verify(&low, Message::from_digest(*digest), &PublicKey::from_slice(key)?)?;
    Ok(low == found)
}

/// A BIP340 signature over a digest as its message. The key is 32 bytes, x only.
pub(super) fn verify_bip340(key: &[u8], digest: &Hash, signature: &[u8]) -> Result<(), Error> {
    let signature = signature.try_into().map_err(|_length| Error::InvalidSignature)?;
    let key = key.try_into().map_err(|_length| Error::InvalidPublicKey)?;
    schnorr::verify(
        &schnorr::Signature::from_byte_array(signature),
        digest,
        &XOnlyPublicKey::from_byte_array(key)?,
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use k256::ecdsa::signature::hazmat::{PrehashSigner as _, PrehashVerifier as _};

    use super::*;
    use crate::hash::sha256;

    const N: &str = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141";
    const N_HALF: &str = "7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0";

    fn ecdsa_by_k256(key: &[u8], digest: &Hash, signature: &[u8]) -> Option<bool> {
        let found = k256::ecdsa::Signature::from_slice(signature).ok()?;
        let low = found.normalize_s();
        let key = k256::ecdsa::VerifyingKey::from_sec1_bytes(key).ok()?;
        key.verify_prehash(digest, &low).ok().map(|()| low == found)
    }

    fn bip340_by_k256(key: &[u8], digest: &Hash, signature: &[u8]) -> bool {
        let Ok(signature) = k256::schnorr::Signature::try_from(signature) else { return false };
        let key = k256::schnorr::VerifyingKey::from_slice(key);
        key.is_ok_and(|key| key.verify_raw(digest, &signature).is_ok())
    }

    /// The signature, each of its bytes changed, and its numbers at the edges of their range.
    fn variants(signature: &[u8]) -> Vec<Vec<u8>> {
        let mut variants = vec![signature.to_vec(), Vec::new(), vec![0; 64], vec![0xff; 64]];
        for place in 0..signature.len() {
            let mut changed = signature.to_vec();
            changed[place] ^= 1 << (place % 8);
            variants.push(changed);
        }
        for edge in [N, N_HALF, &"0".repeat(64), &"f".repeat(64)] {
            let edge = hex::decode(edge).unwrap();
            variants.push([&edge, &signature[32..]].concat());
            variants.push([&signature[..32], &edge].concat());
        }
        variants.extend([signature[..63].to_vec(), [signature, &[0]].concat()]);
        variants
    }

    #[test]
    fn both_libraries_say_the_same_of_ecdsa() {
        for seed in 1..16_u8 {
            let digest = sha256(&[&[seed]]);
            let signer = k256::ecdsa::SigningKey::from_slice(&[seed; 32]).unwrap();
            let key = signer.verifying_key().to_sec1_point(true);
            let good: k256::ecdsa::Signature = signer.sign_prehash(&digest).unwrap();
            let good = good.normalize_s();
            let high =
                k256::ecdsa::Signature::from_scalars(good.r().to_bytes(), (-*good.s()).to_bytes()).unwrap();
            assert_eq!(verify_ecdsa(key.as_bytes(), &digest, &good.to_bytes()), Ok(true));
            assert_eq!(verify_ecdsa(key.as_bytes(), &digest, &high.to_bytes()), Ok(false));
            for signature in variants(&good.to_bytes()).into_iter().chain(variants(&high.to_bytes())) {
                let (ours, theirs) = (
                    verify_ecdsa(key.as_bytes(), &digest, &signature).ok(),
                    ecdsa_by_k256(key.as_bytes(), &digest, &signature),
                );
                assert_eq!(ours, theirs, "{}", hex::encode(&signature));
                assert!(verify_ecdsa(key.as_bytes(), &sha256(&[&[seed, 1]]), &signature).is_err());
            }
        }
    }

    #[test]
    fn both_libraries_say_the_same_of_bip340() {
        for seed in 1..16_u8 {
            let digest = sha256(&[&[seed]]);
            let signer = k256::schnorr::SigningKey::from_slice(&[seed; 32]).unwrap();
            let key = signer.verifying_key().to_bytes();
            let good = signer.sign_raw(&digest, &[seed; 32]).unwrap().to_bytes();
            assert_eq!(verify_bip340(&key, &digest, &good), Ok(()));
            for signature in variants(&good) {
                let (ours, theirs) = (
                    verify_bip340(&key, &digest, &signature).is_ok(),
                    bip340_by_k256(&key, &digest, &signature),
                );
                assert_eq!(ours, theirs, "{}", hex::encode(&signature));
            }
        }
    }
}
