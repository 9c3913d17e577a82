//! Making keys: `C_GenerateKey` and `C_GenerateKeyPair`.

use cryptoki_sys as sys;
use cryptoki_sys::CK_MECHANISM_TYPE;
use zeroize::Zeroizing;

use crate::attribute::Attributes;
use crate::error::{Refusal, Result};
use crate::key::{Curve, CurvePrivate, EdwardsPrivate, MADE_BITS, RsaPrivate, to_octet_string};
use crate::mechanism::{CKM_KEYWARD_SM2_KEY_PAIR_GEN, Mechanism, no_parameter};
use crate::template::frame;

/// Lengths of a generic secret, in bytes.
const GENERIC_BYTES: std::ops::RangeInclusive<u64> = 16..=512;
/// The public exponent when the template gives none.
const EXPONENT: [u8; 3] = [1, 0, 1];

/// A secret key, complete.
pub(crate) fn secret(mechanism: &Mechanism, template: Attributes) -> Result<Attributes> {
    let key_type = match mechanism.kind {
        sys::CKM_AES_KEY_GEN => sys::CKK_AES,
        sys::CKM_GENERIC_SECRET_KEY_GEN => sys::CKK_GENERIC_SECRET,
        _ => return Err(Refusal::Mechanism.into()),
    };
    no_parameter(mechanism)?;
    let bytes = template.number(sys::CKA_VALUE_LEN).ok_or(Refusal::TemplateIncomplete)?;
    let fits =
        if key_type == sys::CKK_AES { matches!(bytes, 16 | 24 | 32) } else { GENERIC_BYTES.contains(&bytes) };
    let length = usize::try_from(bytes).ok().filter(|_| fits).ok_or(Refusal::KeySize)?;
    let mut attributes = frame(template, sys::CKO_SECRET_KEY, key_type, mechanism.kind)?;
    let mut value = Zeroizing::new(vec![0; length]);
    getrandom::fill(&mut value)?;
    attributes.set_bytes(sys::CKA_VALUE, &value);
    Ok(attributes)
}

/// A public and a private key, complete.
pub(crate) fn pair(
    mechanism: &Mechanism,
    public: Attributes,
    private: Attributes,
) -> Result<(Attributes, Attributes)> {
    no_parameter(mechanism)?;
    match mechanism.kind {
        sys::CKM_EC_KEY_PAIR_GEN => curve_pair(mechanism.kind, sys::CKK_EC, public, private),
        CKM_KEYWARD_SM2_KEY_PAIR_GEN => curve_pair(mechanism.kind, sys::CKK_EC, public, private),
        sys::CKM_EC_EDWARDS_KEY_PAIR_GEN => curve_pair(mechanism.kind, sys::CKK_EC_EDWARDS, public, private),
        sys::CKM_RSA_PKCS_KEY_PAIR_GEN => rsa_pair(mechanism.kind, public, private),
        _ => Err(Refusal::Mechanism.into()),
    }
}

fn curve_pair(
    mechanism: CK_MECHANISM_TYPE,
    key_type: sys::CK_KEY_TYPE,
    mut public: Attributes,
    mut private: Attributes,
) -> Result<(Attributes, Attributes)> {
    let params = match (public.bytes(sys::CKA_EC_PARAMS), mechanism) {
        (Some(params), _) => params.to_vec(),
        (None, CKM_KEYWARD_SM2_KEY_PAIR_GEN) => Curve::Sm2.params().to_vec(),
        (None, _) => return Err(Refusal::TemplateIncomplete.into()),
    };
    let curve = Curve::parse(&params)?;
    if (key_type == sys::CKK_EC_EDWARDS) != (curve == Curve::Ed25519)
        || (mechanism == CKM_KEYWARD_SM2_KEY_PAIR_GEN) != (curve == Curve::Sm2)
    {
        return Err(Refusal::Curve.into());
    }
    public.set_bytes(sys::CKA_EC_PARAMS, &params);
    if private.bytes(sys::CKA_EC_PARAMS).is_some_and(|given| given != params) {
        return Err(Refusal::TemplateInconsistent.into());
    }
    private.set_bytes(sys::CKA_EC_PARAMS, &params);
    let mut public = frame(public, sys::CKO_PUBLIC_KEY, key_type, mechanism)?;
    let mut private = frame(private, sys::CKO_PRIVATE_KEY, key_type, mechanism)?;
    let (point, value) = match curve {
        Curve::Ed25519 => EdwardsPrivate::generate().map(|(key, value)| (key.point().to_vec(), value))?,
        curve => CurvePrivate::generate(curve).map(|(key, value)| (key.point(), value))?,
    };
    public.set_bytes(sys::CKA_EC_POINT, &to_octet_string(&point));
    private.set_bytes(sys::CKA_VALUE, &value);
    Ok((public, private))
}

fn rsa_pair(
    mechanism: CK_MECHANISM_TYPE,
    public: Attributes,
    mut private: Attributes,
) -> Result<(Attributes, Attributes)> {
    let bits = public.number(sys::CKA_MODULUS_BITS).ok_or(Refusal::TemplateIncomplete)?;
    if !MADE_BITS.contains(&bits) || bits % 256 != 0 {
        return Err(Refusal::KeySize.into());
    }
    let exponent = exponent(&public)?;
    if private.remove(sys::CKA_PUBLIC_EXPONENT).is_some_and(|given| given.to_native().as_slice() != exponent)
    {
        return Err(Refusal::TemplateInconsistent.into());
    }
    let mut public = frame(public, sys::CKO_PUBLIC_KEY, sys::CKK_RSA, mechanism)?;
    let mut private = frame(private, sys::CKO_PRIVATE_KEY, sys::CKK_RSA, mechanism)?;
    let key = RsaPrivate::generate(usize::try_from(bits).unwrap_or(0), &exponent)?;
    key.public().to_attributes(&mut public);
    key.to_attributes(&mut private);
    Ok((public, private))
}

/// Odd, at least 65537 and at most four bytes (FIPS 186-5, appendix A.1.1, wants more than 2^16).
fn exponent(public: &Attributes) -> Result<Vec<u8>, Refusal> {
    let Some(given) = public.bytes(sys::CKA_PUBLIC_EXPONENT) else { return Ok(EXPONENT.to_vec()) };
    let digits: Vec<u8> = given.iter().copied().skip_while(|byte| *byte == 0).collect();
    let value = digits.iter().fold(0_u64, |value, byte| (value << 8) | u64::from(*byte));
    let sound = digits.len() <= 4 && value % 2 == 1 && value > 1 << 16;
    if sound { Ok(digits) } else { Err(Refusal::AttributeValue) }
}
