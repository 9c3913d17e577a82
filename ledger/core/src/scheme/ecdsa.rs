//! The two spellings of an ECDSA or SM2 signature, and low S: of `s` and `n - s` the smaller one (SEC1, BIP 62).
//! SM2 has no second `s`, so nothing is lowered there.

use thiserror::Error;

use super::Scheme;

/// Bytes that are no ECDSA or SM2 signature.
#[derive(Debug, Error)]
pub enum EcdsaFormError {
    /// The scheme is neither ECDSA nor SM2.
    #[error("`{scheme}` is neither ecdsa nor sm2")]
    NotEcdsa {
        /// The scheme.
        scheme: Scheme,
    },
    /// Neither 64 bytes `r || s` nor DER, or a number out of range.
    #[error("{len} bytes are no `{scheme}` signature")]
    Malformed {
        /// The scheme.
        scheme: Scheme,
        /// Their count.
        len: usize,
        /// What the curve library said.
        #[source]
        source: k256::ecdsa::Error,
    },
}

/// The one encoding of an ECDSA signature, from what tokens and libraries produce: 64 bytes are taken as
/// `r || s`, all else as DER; the result is `r || s`, of ECDSA with low S.
pub fn normalise_ecdsa(scheme: Scheme, signature: &[u8]) -> Result<[u8; 64], EcdsaFormError> {
    let malformed = |source| EcdsaFormError::Malformed { scheme, len: signature.len(), source };
    let raw = signature.len() == 64;
    match scheme {
        Scheme::EcdsaSecp256k1 => {
            use k256::ecdsa::Signature;
            let parsed = if raw { Signature::from_slice(signature) } else { Signature::from_der(signature) };
            Ok(parsed.map_err(malformed)?.normalize_s().to_bytes().into())
        }
        Scheme::EcdsaP256 => {
            use p256::ecdsa::Signature;
            let parsed = if raw { Signature::from_slice(signature) } else { Signature::from_der(signature) };
            Ok(parsed.map_err(malformed)?.normalize_s().to_bytes().into())
        }
        Scheme::Sm2 => {
            use sm2::dsa::Signature;
            let parsed = if raw { Signature::from_slice(signature) } else { Signature::from_der(signature) };
            Ok(parsed.map_err(malformed)?.to_bytes().into())
        }
        _ => Err(EcdsaFormError::NotEcdsa { scheme }),
    }
}

/// The DER form of 64 bytes `r || s`, as `openssl` reads it.
pub fn ecdsa_der(scheme: Scheme, signature: &[u8]) -> Result<Vec<u8>, EcdsaFormError> {
    let malformed = |source| EcdsaFormError::Malformed { scheme, len: signature.len(), source };
    match scheme {
        Scheme::EcdsaSecp256k1 => {
            Ok(k256::ecdsa::Signature::from_slice(signature).map_err(malformed)?.to_der().as_bytes().to_vec())
        }
        Scheme::EcdsaP256 => {
            Ok(p256::ecdsa::Signature::from_slice(signature).map_err(malformed)?.to_der().as_bytes().to_vec())
        }
        Scheme::Sm2 => Ok(sm2::dsa::Signature::from_slice(signature).map_err(malformed)?.to_der().to_vec()),
        _ => Err(EcdsaFormError::NotEcdsa { scheme }),
    }
}

/// The DER form beside an answer: only ECDSA and SM2 signatures have one.
pub fn signature_der(scheme: Scheme, signature: &[u8]) -> Option<Vec<u8>> {
    ecdsa_der(scheme, signature).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const SECP256K1_N: &str = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141";

    #[test]
    fn high_s_becomes_low_and_low_s_stays() {
        // The same published signature in both spellings: bitcointalk 285142 gives s, libraries n - s.
        let high = hex::decode("934b1ea10a4b3c1757e2b0c017d0b6143ce3c9a7e6a4a49860d7a6ab210ee3d8dbbd3162d46e9f9bef7feb87c16dc13b4f6568a87f4e83f728e2443ba586675c").unwrap();
        let low = hex::decode("934b1ea10a4b3c1757e2b0c017d0b6143ce3c9a7e6a4a49860d7a6ab210ee3d82442ce9d2b916064108014783e923ec36b49743e2ffa1c4496f01a512aafd9e5").unwrap();
        assert_eq!(normalise_ecdsa(Scheme::EcdsaSecp256k1, &high).unwrap().as_slice(), low);
        assert_eq!(normalise_ecdsa(Scheme::EcdsaSecp256k1, &low).unwrap().as_slice(), low);
        let der = hex::decode("3045022100934b1ea10a4b3c1757e2b0c017d0b6143ce3c9a7e6a4a49860d7a6ab210ee3d802202442ce9d2b916064108014783e923ec36b49743e2ffa1c4496f01a512aafd9e5").unwrap();
        assert_eq!(ecdsa_der(Scheme::EcdsaSecp256k1, &low).unwrap(), der);
        assert_eq!(normalise_ecdsa(Scheme::EcdsaSecp256k1, &der).unwrap().as_slice(), low);
    }

    #[test]
    fn numbers_out_of_range_and_wrong_lengths_are_refused() {
        for scheme in [Scheme::EcdsaSecp256k1, Scheme::EcdsaP256, Scheme::Sm2] {
            for len in [0, 1, 63, 65, 96, 200] {
                assert!(normalise_ecdsa(scheme, &vec![1; len]).is_err(), "{len}");
            }
            assert!(normalise_ecdsa(scheme, &[0; 64]).is_err());
            assert!(normalise_ecdsa(scheme, &[0xff; 64]).is_err());
        }
        let n = hex::decode(SECP256K1_N).unwrap();
        assert!(normalise_ecdsa(Scheme::EcdsaSecp256k1, &[n.as_slice(), &[1; 32]].concat()).is_err());
        assert!(normalise_ecdsa(Scheme::EcdsaSecp256k1, &[&[1; 32], n.as_slice()].concat()).is_err());
        assert!(matches!(normalise_ecdsa(Scheme::Ed25519, &[1; 64]), Err(EcdsaFormError::NotEcdsa { .. })));
        assert!(signature_der(Scheme::Bip340, &[1; 64]).is_none());
    }
}
