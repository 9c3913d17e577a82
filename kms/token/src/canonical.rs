//! From what tokens produce to the one encoding of a signature.

use keyward_domain::scheme::{Scheme, normalise_ecdsa};

/// The one encoding, if `raw` is a signature of the scheme at all: ECDSA as `r || s` or DER becomes 64 bytes
/// with low S, an RSA signature has the length of its modulus.
pub(crate) fn signature(scheme: Scheme, modulus_bytes: usize, raw: Vec<u8>) -> Option<Vec<u8>> {
    match scheme {
        Scheme::EcdsaSecp256k1 | Scheme::EcdsaP256 | Scheme::Sm2 => {
            normalise_ecdsa(scheme, &raw).ok().map(Vec::from)
        }
        Scheme::Bip340 | Scheme::Ed25519 => (raw.len() == 64).then_some(raw),
        Scheme::RsaPss | Scheme::RsaPkcs1 => (raw.len() == modulus_bytes).then_some(raw),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn high_s_and_der_become_low_s_and_raw() {
        let high = hex::decode("934b1ea10a4b3c1757e2b0c017d0b6143ce3c9a7e6a4a49860d7a6ab210ee3d8dbbd3162d46e9f9bef7feb87c16dc13b4f6568a87f4e83f728e2443ba586675c").unwrap();
        let low = hex::decode("934b1ea10a4b3c1757e2b0c017d0b6143ce3c9a7e6a4a49860d7a6ab210ee3d82442ce9d2b916064108014783e923ec36b49743e2ffa1c4496f01a512aafd9e5").unwrap();
        let der = hex::decode("3045022100934b1ea10a4b3c1757e2b0c017d0b6143ce3c9a7e6a4a49860d7a6ab210ee3d802202442ce9d2b916064108014783e923ec36b49743e2ffa1c4496f01a512aafd9e5").unwrap();
        for raw in [&high, &low, &der] {
            assert_eq!(signature(Scheme::EcdsaSecp256k1, 0, raw.clone()).unwrap(), low);
        }
    }

    #[test]
    fn other_lengths_are_no_signatures() {
        for scheme in Scheme::ALL {
            for len in [0, 1, 63, 65, 255, 257] {
                assert!(signature(scheme, 256, vec![1; len]).is_none(), "{scheme} {len}");
            }
        }
    }
}
