//! Certificates: X.509, in the token or at a URL (PKCS#11 v2.40, section 4.6).

use cryptoki_sys as sys;
use cryptoki_sys::CK_ATTRIBUTE_TYPE;
use sha1::{Digest, Sha1};

use crate::attribute::Attributes;
use crate::error::Refusal;

/// Fills in what a certificate has, and checks what is given.
pub(super) fn complete(attributes: &mut Attributes) -> Result<(), Refusal> {
    let kind = attributes.number(sys::CKA_CERTIFICATE_TYPE).ok_or(Refusal::TemplateIncomplete)?;
    if kind != sys::CKC_X_509 {
        return Err(Refusal::AttributeValue);
    }
    if attributes.bytes(sys::CKA_SUBJECT).is_none_or(<[u8]>::is_empty) {
        return Err(Refusal::TemplateIncomplete);
    }
    attributes.default_flag(sys::CKA_TRUSTED, false);
    attributes.default_number(sys::CKA_NAME_HASH_ALGORITHM, sys::CKM_SHA_1);
    for attribute in [sys::CKA_CERTIFICATE_CATEGORY, sys::CKA_JAVA_MIDP_SECURITY_DOMAIN] {
        attributes.default_number(attribute, 0);
        if attributes.number(attribute).is_some_and(|number| number > 3) {
            return Err(Refusal::AttributeValue);
        }
    }
    for attribute in OPTIONAL {
        attributes.default_bytes(attribute, &[]);
    }
    check_value(attributes)
}

/// Bytes that are empty if the template does not give them.
const OPTIONAL: [CK_ATTRIBUTE_TYPE; 11] = [
    sys::CKA_VALUE,
    sys::CKA_URL,
    sys::CKA_HASH_OF_SUBJECT_PUBLIC_KEY,
    sys::CKA_HASH_OF_ISSUER_PUBLIC_KEY,
    sys::CKA_ID,
    sys::CKA_ISSUER,
    sys::CKA_SERIAL_NUMBER,
    sys::CKA_START_DATE,
    sys::CKA_END_DATE,
    sys::CKA_PUBLIC_KEY_INFO,
    sys::CKA_CHECK_VALUE,
];

/// The certificate itself, or where it is and the hashes of its keys. `CKA_CHECK_VALUE` follows from it.
fn check_value(attributes: &mut Attributes) -> Result<(), Refusal> {
    let given = |attribute| attributes.bytes(attribute).is_some_and(|bytes| !bytes.is_empty());
    let located = given(sys::CKA_URL)
        && given(sys::CKA_HASH_OF_SUBJECT_PUBLIC_KEY)
        && given(sys::CKA_HASH_OF_ISSUER_PUBLIC_KEY);
    let value = attributes.bytes(sys::CKA_VALUE).unwrap_or_default();
    if value.is_empty() {
        return if located { Ok(()) } else { Err(Refusal::TemplateIncomplete) };
    }
    if !is_sequence(value) {
        return Err(Refusal::AttributeValue);
    }
    let digest = Sha1::digest(value);
    let check: &[u8] = digest.first_chunk::<3>().map_or(&[], |check| check);
    if given(sys::CKA_CHECK_VALUE) && attributes.bytes(sys::CKA_CHECK_VALUE) != Some(check) {
        return Err(Refusal::AttributeValue);
    }
    attributes.set_bytes(sys::CKA_CHECK_VALUE, check);
    Ok(())
}

/// Whether the bytes are one DER SEQUENCE. What is in it is the business of whoever reads it.
fn is_sequence(bytes: &[u8]) -> bool {
    match bytes {
        [0x30, length @ 0..=0x7f, content @ ..] => content.len() == usize::from(*length),
        [0x30, 0x81, length, content @ ..] => content.len() == usize::from(*length),
        [0x30, 0x82, a, b, content @ ..] => content.len() == usize::from(u16::from_be_bytes([*a, *b])),
        _ => false,
    }
}

/// Whether certificates have this attribute.
pub(super) fn has(attribute: CK_ATTRIBUTE_TYPE) -> bool {
    OPTIONAL.contains(&attribute)
        || matches!(
            attribute,
            sys::CKA_CERTIFICATE_TYPE
                | sys::CKA_CERTIFICATE_CATEGORY
                | sys::CKA_JAVA_MIDP_SECURITY_DOMAIN
                | sys::CKA_NAME_HASH_ALGORITHM
                | sys::CKA_TRUSTED
                | sys::CKA_SUBJECT
        )
}
