//! Scalars and points of secp256k1, from secrets that are pseudo-random.

use hkdf::Hkdf;
use k256::elliptic_curve::ops::Reduce as _;
use k256::elliptic_curve::sec1::ToSec1Point as _;
use k256::{ProjectivePoint, PublicKey, Scalar, WideBytes};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::error::AddressError;
use crate::labels;

/// Length of a compressed point.
pub(super) const POINT_BYTES: usize = 33;

/// HKDF-Expand (RFC 5869) under a pseudo-random key, with `label || context` as `info`.
pub(super) fn expand<const N: usize>(
    key: &[u8; 32],
    label: &str,
    context: &[&[u8]],
) -> Result<Zeroizing<[u8; N]>, AddressError> {
    let mut out = Zeroizing::new([0; N]);
    let label = labels::tagged(label);
    let info = [&[label.as_slice()], context].concat();
    let hkdf = Hkdf::<Sha256>::from_prk(key).map_err(|_| AddressError::Derivation)?;
    hkdf.expand_multi_info(&info, out.as_mut_slice()).map_err(|_| AddressError::Derivation)?;
    Ok(out)
}

/// 512 pseudo-random bits modulo the group order: as good as uniform. Zero is refused.
pub(super) fn scalar(
    key: &[u8; 32],
    label: &str,
    context: &[&[u8]],
) -> Result<Zeroizing<Scalar>, AddressError> {
    let wide: Zeroizing<[u8; 64]> = expand(key, label, context)?;
    let wide: Zeroizing<WideBytes> = Zeroizing::new((*wide).into());
    let scalar = Zeroizing::new(Scalar::reduce(&*wide));
    if bool::from(scalar.is_zero()) { Err(AddressError::NoKey) } else { Ok(scalar) }
}

/// Reads a compressed point that is not infinite.
pub(super) fn point(bytes: &[u8; POINT_BYTES], what: &'static str) -> Result<ProjectivePoint, AddressError> {
    // The library takes "compact" points (5) too, which would be a second encoding.
    let key = PublicKey::from_sec1_bytes(bytes).ok().filter(|_| matches!(bytes, [2 | 3, ..]));
    key.map(|key| key.to_projective()).ok_or(AddressError::Point { what })
}

/// The one encoding of a point; the infinite one has none.
pub(super) fn compressed(point: &ProjectivePoint) -> Result<[u8; POINT_BYTES], AddressError> {
    let encoded = point.to_affine().to_sec1_point(true);
    encoded.as_bytes().try_into().map_err(|_| AddressError::NoKey)
}
