//! From a caller's template to a complete object: what belongs to a class, what is missing, what contradicts.

mod certificate;

use cryptoki_sys as sys;
use cryptoki_sys::{CK_ATTRIBUTE_TYPE, CK_KEY_TYPE, CK_MECHANISM_TYPE, CK_OBJECT_CLASS};

use crate::attribute::{ATTRIBUTE_BYTES_MAX, Attributes};
use crate::error::{Refusal, Result};
use crate::key::Key;
use crate::object::Object;

/// Where an object's key material comes from.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub(crate) enum Origin {
    /// Given by the caller.
    Imported,
    /// Made in the token by this mechanism.
    Generated(CK_MECHANISM_TYPE),
}

/// A complete object for `C_CreateObject`.
pub(crate) fn create(mut attributes: Attributes) -> Result<Attributes> {
    let class = attributes.number(sys::CKA_CLASS).ok_or(Refusal::TemplateIncomplete)?;
    check_storage(&attributes)?;
    match class {
        sys::CKO_DATA => {
            [sys::CKA_APPLICATION, sys::CKA_OBJECT_ID, sys::CKA_VALUE]
                .into_iter()
                .for_each(|attribute| attributes.default_bytes(attribute, &[]));
        }
        sys::CKO_CERTIFICATE => certificate::complete(&mut attributes)?,
        sys::CKO_PUBLIC_KEY | sys::CKO_PRIVATE_KEY | sys::CKO_SECRET_KEY => {
            let key_type = attributes.number(sys::CKA_KEY_TYPE).ok_or(Refusal::TemplateIncomplete)?;
            complete_key(&mut attributes, class, key_type, Origin::Imported)?;
        }
        _ => return Err(Refusal::AttributeValue.into()),
    }
    complete_storage(&mut attributes, class);
    check_membership(&attributes, class)?;
    check_material(&mut attributes)?;
    Ok(attributes)
}

/// The frame of a generated key: everything but the key material, which must not be in the template.
pub(crate) fn frame(
    mut template: Attributes,
    class: CK_OBJECT_CLASS,
    key_type: CK_KEY_TYPE,
    mechanism: CK_MECHANISM_TYPE,
) -> Result<Attributes> {
    if template.number(sys::CKA_CLASS).is_some_and(|given| given != class)
        || template.number(sys::CKA_KEY_TYPE).is_some_and(|given| given != key_type)
        || template.iter().any(|(attribute, _)| is_material(attribute))
    {
        return Err(Refusal::TemplateInconsistent.into());
    }
    check_storage(&template)?;
    template.set_number(sys::CKA_CLASS, class);
    template.set_number(sys::CKA_KEY_TYPE, key_type);
    complete_key(&mut template, class, key_type, Origin::Generated(mechanism))?;
    complete_storage(&mut template, class);
    check_membership(&template, class)?;
    Ok(template)
}

/// A complete object for key material that came out of a wrapping.
pub(crate) fn unwrapped(
    template: Attributes,
    class: CK_OBJECT_CLASS,
    key_type: CK_KEY_TYPE,
    material: Attributes,
) -> Result<Attributes> {
    with_material(template, class, key_type, material)
}

/// A complete object for key material derived from `base`. What was never outside as `base` still was not.
pub(crate) fn derived(
    template: Attributes,
    class: CK_OBJECT_CLASS,
    key_type: CK_KEY_TYPE,
    base: &Object,
    material: Attributes,
) -> Result<Attributes> {
    let mut attributes = with_material(template, class, key_type, material)?;
    let sensitive = attributes.flag(sys::CKA_SENSITIVE) == Some(true);
    let extractable = attributes.flag(sys::CKA_EXTRACTABLE) == Some(true);
    attributes.set_flag(sys::CKA_ALWAYS_SENSITIVE, sensitive && base.flag(sys::CKA_ALWAYS_SENSITIVE));
    attributes.set_flag(sys::CKA_NEVER_EXTRACTABLE, !extractable && base.flag(sys::CKA_NEVER_EXTRACTABLE));
    Ok(attributes)
}

fn with_material(
    mut template: Attributes,
    class: CK_OBJECT_CLASS,
    key_type: CK_KEY_TYPE,
    material: Attributes,
) -> Result<Attributes> {
    if template.iter().any(|(attribute, _)| is_material(attribute)) {
        return Err(Refusal::TemplateInconsistent.into());
    }
    template.set_number(sys::CKA_CLASS, class);
    template.set_number(sys::CKA_KEY_TYPE, key_type);
    for (attribute, value) in material.into_iter() {
        if template.get(attribute).is_some_and(|given| *given != value) {
            return Err(Refusal::TemplateInconsistent.into());
        }
        template.set(attribute, value);
    }
    create(template)
}

/// What a template may say of any object.
fn check_storage(attributes: &Attributes) -> Result<(), Refusal> {
    if attributes.get(sys::CKA_UNIQUE_ID).is_some() {
        return Err(Refusal::AttributeReadOnly);
    }
    check_values(attributes)
}

/// Values that can be wrong by themselves: what is too long to be read again, dates that are neither empty nor eight
/// digits, lists of mechanisms that are not whole.
pub(crate) fn check_values(attributes: &Attributes) -> Result<(), Refusal> {
    let bytes = |attribute| attributes.bytes(attribute).map_or(0, <[u8]>::len);
    if attributes.iter().any(|(attribute, _)| bytes(attribute) > ATTRIBUTE_BYTES_MAX) {
        return Err(Refusal::AttributeValue);
    }
    let date = |attribute| {
        let date = attributes.bytes(attribute).unwrap_or_default();
        let sound = date.is_empty() || (date.len() == 8 && date.iter().all(u8::is_ascii_digit));
        if sound { Ok(date) } else { Err(Refusal::AttributeValue) }
    };
    let (start, end) = (date(sys::CKA_START_DATE)?, date(sys::CKA_END_DATE)?);
    if !start.is_empty() && !end.is_empty() && start > end {
        return Err(Refusal::TemplateInconsistent);
    }
    let mechanisms = attributes.bytes(sys::CKA_ALLOWED_MECHANISMS).unwrap_or_default();
    let whole = mechanisms.len().is_multiple_of(size_of::<CK_MECHANISM_TYPE>());
    if whole { Ok(()) } else { Err(Refusal::AttributeValue) }
}

fn complete_storage(attributes: &mut Attributes, class: CK_OBJECT_CLASS) {
    let secret = matches!(class, sys::CKO_PRIVATE_KEY | sys::CKO_SECRET_KEY);
    attributes.default_flag(sys::CKA_TOKEN, false);
    attributes.default_flag(sys::CKA_PRIVATE, secret);
    attributes.default_flag(sys::CKA_MODIFIABLE, true);
    attributes.default_flag(sys::CKA_DESTROYABLE, true);
    attributes.default_flag(sys::CKA_COPYABLE, true);
    attributes.default_bytes(sys::CKA_LABEL, &[]);
}

fn complete_key(
    attributes: &mut Attributes,
    class: CK_OBJECT_CLASS,
    key_type: CK_KEY_TYPE,
    origin: Origin,
) -> Result<(), Refusal> {
    let read_only =
        [sys::CKA_LOCAL, sys::CKA_KEY_GEN_MECHANISM, sys::CKA_ALWAYS_SENSITIVE, sys::CKA_NEVER_EXTRACTABLE];
    if read_only.into_iter().any(|attribute| attributes.get(attribute).is_some()) {
        return Err(Refusal::AttributeReadOnly);
    }
    for attribute in [sys::CKA_ID, sys::CKA_START_DATE, sys::CKA_END_DATE, sys::CKA_ALLOWED_MECHANISMS] {
        attributes.default_bytes(attribute, &[]);
    }
    let (local, mechanism) = match origin {
        Origin::Imported => (false, sys::CK_UNAVAILABLE_INFORMATION),
        Origin::Generated(mechanism) => (true, mechanism),
    };
    attributes.default_flag(sys::CKA_DERIVE, false);
    attributes.set_flag(sys::CKA_LOCAL, local);
    attributes.set_number(sys::CKA_KEY_GEN_MECHANISM, mechanism);
    complete_uses(attributes, class, key_type);
    if class == sys::CKO_PUBLIC_KEY {
        attributes.default_bytes(sys::CKA_SUBJECT, &[]);
        attributes.default_bytes(sys::CKA_PUBLIC_KEY_INFO, &[]);
        return Ok(());
    }
    complete_secrecy(attributes, class, local)
}

fn complete_uses(attributes: &mut Attributes, class: CK_OBJECT_CLASS, key_type: CK_KEY_TYPE) {
    let aes = key_type == sys::CKK_AES;
    let generic = key_type == sys::CKK_GENERIC_SECRET;
    let uses: &[(CK_ATTRIBUTE_TYPE, bool)] = match class {
        sys::CKO_PUBLIC_KEY => &[
            (sys::CKA_VERIFY, true),
            (sys::CKA_VERIFY_RECOVER, false),
            (sys::CKA_ENCRYPT, false),
            (sys::CKA_WRAP, false),
            (sys::CKA_TRUSTED, false),
        ],
        sys::CKO_PRIVATE_KEY => &[
            (sys::CKA_SIGN, true),
            (sys::CKA_SIGN_RECOVER, false),
            (sys::CKA_DECRYPT, false),
            (sys::CKA_UNWRAP, false),
        ],
        _ => &[
            (sys::CKA_ENCRYPT, aes),
            (sys::CKA_DECRYPT, aes),
            (sys::CKA_SIGN, generic),
            (sys::CKA_VERIFY, generic),
            (sys::CKA_WRAP, false),
            (sys::CKA_UNWRAP, false),
            (sys::CKA_TRUSTED, false),
        ],
    };
    uses.iter().for_each(|(attribute, default)| attributes.default_flag(*attribute, *default));
}

/// Keys are sensitive and stay in the token unless the template says otherwise.
fn complete_secrecy(attributes: &mut Attributes, class: CK_OBJECT_CLASS, local: bool) -> Result<(), Refusal> {
    let asks = attributes.flag(sys::CKA_ALWAYS_AUTHENTICATE) == Some(true);
    if asks && attributes.flag(sys::CKA_PRIVATE) == Some(false) {
        return Err(Refusal::TemplateInconsistent);
    }
    attributes.default_flag(sys::CKA_SENSITIVE, true);
    attributes.default_flag(sys::CKA_EXTRACTABLE, false);
    attributes.default_flag(sys::CKA_WRAP_WITH_TRUSTED, false);
    if class == sys::CKO_PRIVATE_KEY {
        attributes.default_flag(sys::CKA_ALWAYS_AUTHENTICATE, false);
        attributes.default_bytes(sys::CKA_SUBJECT, &[]);
        attributes.default_bytes(sys::CKA_PUBLIC_KEY_INFO, &[]);
    }
    let sensitive = attributes.flag(sys::CKA_SENSITIVE) == Some(true);
    let extractable = attributes.flag(sys::CKA_EXTRACTABLE) == Some(true);
    attributes.set_flag(sys::CKA_ALWAYS_SENSITIVE, local && sensitive);
    attributes.set_flag(sys::CKA_NEVER_EXTRACTABLE, local && !extractable);
    Ok(())
}

/// Checks imported key material by building the key, and fills in what follows from it.
fn check_material(attributes: &mut Attributes) -> Result<()> {
    match Key::of(attributes)? {
        Some(Key::RsaPublic(key)) => {
            let given = attributes.number(sys::CKA_MODULUS_BITS);
            key.to_attributes(attributes);
            let agrees = given.is_none_or(|given| attributes.number(sys::CKA_MODULUS_BITS) == Some(given));
            if agrees { Ok(()) } else { Err(Refusal::TemplateInconsistent.into()) }
        }
        Some(_) if attributes.number(sys::CKA_CLASS) == Some(sys::CKO_SECRET_KEY) => {
            match attributes.bytes(sys::CKA_VALUE).map_or(0, <[u8]>::len) {
                0 => Err(Refusal::AttributeValue.into()),
                bytes => set_value_length(attributes, bytes as u64),
            }
        }
        _ => Ok(()),
    }
}

fn set_value_length(attributes: &mut Attributes, bytes: u64) -> Result<()> {
    if attributes.number(sys::CKA_VALUE_LEN).is_some_and(|given| given != bytes) {
        return Err(Refusal::TemplateInconsistent.into());
    }
    attributes.set_number(sys::CKA_VALUE_LEN, bytes);
    Ok(())
}

fn is_material(attribute: CK_ATTRIBUTE_TYPE) -> bool {
    crate::attribute::is_secret(attribute) || matches!(attribute, sys::CKA_EC_POINT | sys::CKA_MODULUS)
}

fn check_membership(attributes: &Attributes, class: CK_OBJECT_CLASS) -> Result<(), Refusal> {
    let key_type = attributes.number(sys::CKA_KEY_TYPE);
    match attributes.iter().all(|(attribute, _)| belongs(class, key_type, attribute)) {
        true => Ok(()),
        false => Err(Refusal::TemplateInconsistent),
    }
}

/// Whether objects of a class and key type have this attribute (PKCS#11 v2.40, section 4).
fn belongs(class: CK_OBJECT_CLASS, key_type: Option<CK_KEY_TYPE>, attribute: CK_ATTRIBUTE_TYPE) -> bool {
    match attribute {
        sys::CKA_CLASS | sys::CKA_TOKEN | sys::CKA_PRIVATE | sys::CKA_LABEL => true,
        sys::CKA_MODIFIABLE | sys::CKA_DESTROYABLE | sys::CKA_COPYABLE | sys::CKA_UNIQUE_ID => true,
        _ => match class {
            sys::CKO_DATA => matches!(attribute, sys::CKA_APPLICATION | sys::CKA_OBJECT_ID | sys::CKA_VALUE),
            sys::CKO_CERTIFICATE => certificate::has(attribute),
            _ => belongs_to_key(class, key_type, attribute),
        },
    }
}

fn belongs_to_key(
    class: CK_OBJECT_CLASS,
    key_type: Option<CK_KEY_TYPE>,
    attribute: CK_ATTRIBUTE_TYPE,
) -> bool {
    let (public, private) = (class == sys::CKO_PUBLIC_KEY, class == sys::CKO_PRIVATE_KEY);
    let secret = class == sys::CKO_SECRET_KEY;
    let rsa = key_type == Some(sys::CKK_RSA);
    let curve = matches!(key_type, Some(sys::CKK_EC | sys::CKK_EC_EDWARDS));
    match attribute {
        sys::CKA_KEY_TYPE | sys::CKA_ID | sys::CKA_START_DATE | sys::CKA_END_DATE | sys::CKA_DERIVE => true,
        sys::CKA_LOCAL | sys::CKA_KEY_GEN_MECHANISM | sys::CKA_ALLOWED_MECHANISMS => true,
        sys::CKA_SUBJECT | sys::CKA_PUBLIC_KEY_INFO => public || private,
        sys::CKA_ENCRYPT | sys::CKA_VERIFY | sys::CKA_WRAP | sys::CKA_TRUSTED => public || secret,
        sys::CKA_VERIFY_RECOVER => public,
        sys::CKA_DECRYPT | sys::CKA_SIGN | sys::CKA_UNWRAP => private || secret,
        sys::CKA_SIGN_RECOVER | sys::CKA_ALWAYS_AUTHENTICATE => private,
        sys::CKA_SENSITIVE | sys::CKA_EXTRACTABLE | sys::CKA_WRAP_WITH_TRUSTED => private || secret,
        sys::CKA_ALWAYS_SENSITIVE | sys::CKA_NEVER_EXTRACTABLE => private || secret,
        sys::CKA_EC_PARAMS => curve,
        sys::CKA_EC_POINT => curve && public,
        sys::CKA_VALUE => secret || (curve && private),
        sys::CKA_VALUE_LEN => secret,
        sys::CKA_MODULUS | sys::CKA_PUBLIC_EXPONENT => rsa,
        sys::CKA_MODULUS_BITS => rsa && public,
        sys::CKA_PRIVATE_EXPONENT | sys::CKA_PRIME_1 | sys::CKA_PRIME_2 => rsa && private,
        sys::CKA_EXPONENT_1 | sys::CKA_EXPONENT_2 | sys::CKA_COEFFICIENT => rsa && private,
        _ => false,
    }
}
