//! SM2 signatures: verified, never made (GB/T 32918.2-2016; draft-shen-sm2-ecdsa-02, section 5).
//!
//! `e = SM3(Z_A || message)`, where `Z_A` hashes the signer's id, the curve and the public key. There is no
//! second `s` that everybody can make from the first one, as ECDSA has it: `r || s` with both in `1..n` is the
//! one encoding, and nothing is normalised.

use sm2::dsa::signature::Verifier as _;
use sm2::elliptic_curve::sec1::ToSec1Point as _;

/// The id that a signer has where nothing else was agreed (GM/T 0009-2012, section 10).
pub const SM2_ID: &str = "1234567812345678";

/// Checks a SEC1 point and gives its compressed form, 33 bytes.
pub(super) fn compressed(point: &[u8]) -> Result<Vec<u8>, sm2::elliptic_curve::Error> {
    Ok(sm2::PublicKey::from_sec1_bytes(point)?.to_sec1_point(true).as_bytes().to_vec())
}

/// Verifies 64 bytes `r || s` over a message.
pub(super) fn verify(
    point: &[u8],
    message: &[u8],
    signature: &[u8],
) -> Result<(), sm2::dsa::signature::Error> {
    let key = sm2::dsa::VerifyingKey::from_sec1_bytes(SM2_ID, point)?;
    key.verify(message, &sm2::dsa::Signature::from_slice(signature)?)
}
