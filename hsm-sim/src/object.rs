//! An object of the token: attributes, who may see which, and the key made from them.

use std::sync::{Arc, OnceLock};

use cryptoki_sys as sys;
use cryptoki_sys::{CK_ATTRIBUTE_TYPE, CK_MECHANISM_TYPE, CK_OBJECT_CLASS};
use zeroize::Zeroizing;

use crate::attribute::{Attributes, Value, is_secret};
use crate::error::{Refusal, Result};
use crate::key::Key;
use crate::seal::Role;
use crate::template::check_values;

/// One object. It does not change: a new label makes a new object under the old handle.
#[derive(Debug)]
pub(crate) struct Object {
    attributes: Attributes,
    key: OnceLock<Option<Arc<Key>>>,
}

impl Object {
    pub(crate) fn new(attributes: Attributes) -> Self {
        Self { attributes, key: OnceLock::new() }
    }

    pub(crate) fn attributes(&self) -> &Attributes {
        &self.attributes
    }

    pub(crate) fn class(&self) -> Option<CK_OBJECT_CLASS> {
        self.attributes.number(sys::CKA_CLASS)
    }

    pub(crate) fn flag(&self, attribute: CK_ATTRIBUTE_TYPE) -> bool {
        self.attributes.flag(attribute).unwrap_or(false)
    }

    pub(crate) fn is_private(&self) -> bool {
        self.flag(sys::CKA_PRIVATE)
    }

    pub(crate) fn is_on_token(&self) -> bool {
        self.flag(sys::CKA_TOKEN)
    }

    /// Refuses a secret key that is listed in public, before login: its key material is not here.
    pub(crate) fn key_is_here(&self) -> Result<(), Refusal> {
        let here = !self.is_keyed() || self.attributes.iter().any(|(attribute, _)| is_secret(attribute));
        if here { Ok(()) } else { Err(Refusal::NotLoggedIn) }
    }

    /// The key, made on first use and kept.
    pub(crate) fn key(&self) -> Result<Arc<Key>> {
        if let Some(made) = self.key.get() {
            return Ok(made.clone().ok_or(Refusal::KeyHandle)?);
        }
        self.key_is_here()?;
        let made = Key::of(&self.attributes)?.map(Arc::new);
        Ok(self.key.get_or_init(|| made).clone().ok_or(Refusal::KeyHandle)?)
    }

    /// The key for one use, if the object permits it.
    pub(crate) fn key_for(&self, class: CK_OBJECT_CLASS, permission: CK_ATTRIBUTE_TYPE) -> Result<Arc<Key>> {
        let key = self.key()?;
        if self.class() != Some(class) {
            return Err(Refusal::KeyType.into());
        }
        if !self.flag(permission) {
            return Err(Refusal::KeyUse.into());
        }
        Ok(key)
    }

    /// Whether this key may leave the token wrapped under that one.
    pub(crate) fn wrappable_with(&self, wrapping: &Self) -> Result<(), Refusal> {
        if !self.flag(sys::CKA_EXTRACTABLE) {
            return Err(Refusal::KeyUnextractable);
        }
        if self.flag(sys::CKA_WRAP_WITH_TRUSTED) && !wrapping.flag(sys::CKA_TRUSTED) {
            return Err(Refusal::KeyNotWrappable);
        }
        Ok(())
    }

    /// For a secret that anybody may list: its key material, and the rest.
    pub(crate) fn halves(&self) -> Option<(Self, Self)> {
        if !self.is_keyed() || self.is_private() {
            return None;
        }
        let (mut sealed, mut listed) = (Attributes::default(), self.attributes.duplicate());
        for (attribute, _) in self.attributes.iter().filter(|(attribute, _)| is_secret(*attribute)) {
            listed.remove(attribute).into_iter().for_each(|value| sealed.set(attribute, value));
        }
        Some((Self::new(sealed), Self::new(listed)))
    }

    /// The two halves in one again.
    pub(crate) fn joined(&self, sealed: &Self) -> Self {
        let mut attributes = sealed.attributes.duplicate();
        let listed = self.attributes.duplicate();
        listed.into_iter().for_each(|(attribute, value)| attributes.set(attribute, value));
        Self::new(attributes)
    }

    fn is_keyed(&self) -> bool {
        matches!(self.class(), Some(sys::CKO_PRIVATE_KEY | sys::CKO_SECRET_KEY))
    }

    /// Whether `CKA_ALLOWED_MECHANISMS`, if the object has it, names this mechanism.
    pub(crate) fn allows(&self, mechanism: CK_MECHANISM_TYPE) -> bool {
        let Some(allowed) = self.attributes.bytes(sys::CKA_ALLOWED_MECHANISMS) else { return true };
        allowed.is_empty()
            || allowed.as_chunks().0.iter().any(|bytes| CK_MECHANISM_TYPE::from_ne_bytes(*bytes) == mechanism)
    }

    /// What `C_GetAttributeValue` may answer.
    pub(crate) fn reveal(&self, attribute: CK_ATTRIBUTE_TYPE) -> Result<Zeroizing<Vec<u8>>, Refusal> {
        if self.hides(attribute) {
            return Err(Refusal::AttributeSensitive);
        }
        self.attributes.get(attribute).map(Value::to_native).ok_or(Refusal::AttributeType)
    }

    /// Whether a search template fits. Hidden attributes never match, so a search is no oracle.
    pub(crate) fn matches(&self, template: &Attributes) -> bool {
        template.iter().all(|(attribute, value)| {
            !self.hides(attribute) && self.attributes.get(attribute).is_some_and(|own| own == value)
        })
    }

    fn hides(&self, attribute: CK_ATTRIBUTE_TYPE) -> bool {
        self.is_keyed()
            && is_secret(attribute)
            && (self.flag(sys::CKA_SENSITIVE) || !self.flag(sys::CKA_EXTRACTABLE))
    }

    /// The object with the changes of a `C_SetAttributeValue` template.
    pub(crate) fn changed(&self, changes: Attributes, role: Option<Role>) -> Result<Self, Refusal> {
        if !self.flag(sys::CKA_MODIFIABLE) {
            return Err(Refusal::ActionProhibited);
        }
        self.with(changes, |attribute, value| self.may_become(attribute, value, role))
    }

    /// A copy with the changes of a `C_CopyObject` template: what `C_SetAttributeValue` may change, and where the
    /// copy lies. It is no less private, and what cannot be modified is not modified on the way.
    pub(crate) fn copied(&self, changes: Attributes, role: Option<Role>) -> Result<Self, Refusal> {
        if !self.flag(sys::CKA_COPYABLE) {
            return Err(Refusal::ActionProhibited);
        }
        self.with(changes, |attribute, value| match (attribute, value) {
            (sys::CKA_TOKEN, _) => true,
            _ if !self.flag(sys::CKA_MODIFIABLE) => false,
            (sys::CKA_PRIVATE, Value::Flag(private)) => *private,
            (sys::CKA_MODIFIABLE | sys::CKA_DESTROYABLE, _) => true,
            _ => self.may_become(attribute, value, role),
        })
    }

    fn with(
        &self,
        changes: Attributes,
        permits: impl Fn(CK_ATTRIBUTE_TYPE, &Value) -> bool,
    ) -> Result<Self, Refusal> {
        let mut attributes = self.attributes.duplicate();
        for (attribute, value) in changes.into_iter() {
            let known = attributes.get(attribute).ok_or(Refusal::AttributeType)?;
            // The same value changes nothing; of key material, saying so would tell whether a guess is right.
            let same = *known == value && !(self.is_keyed() && is_secret(attribute));
            if !same && !permits(attribute, &value) {
                return Err(Refusal::AttributeReadOnly);
            }
            attributes.set(attribute, value);
        }
        check_values(&attributes)?;
        Ok(Self::new(attributes))
    }

    /// Whether an attribute may change to a value (PKCS#11 v2.40, footnotes 8, 11 and 12 of table 15).
    fn may_become(&self, attribute: CK_ATTRIBUTE_TYPE, value: &Value, role: Option<Role>) -> bool {
        let (turned_on, turned_off) = (*value == Value::Flag(true), *value == Value::Flag(false));
        let class = self.class();
        match attribute {
            sys::CKA_LABEL => true,
            sys::CKA_COPYABLE => turned_off,
            sys::CKA_TRUSTED => role == Some(Role::Officer),
            sys::CKA_SENSITIVE | sys::CKA_WRAP_WITH_TRUSTED => turned_on,
            sys::CKA_EXTRACTABLE => turned_off,
            sys::CKA_APPLICATION | sys::CKA_OBJECT_ID | sys::CKA_VALUE => class == Some(sys::CKO_DATA),
            sys::CKA_ISSUER | sys::CKA_SERIAL_NUMBER => class == Some(sys::CKO_CERTIFICATE),
            sys::CKA_SUBJECT => class != Some(sys::CKO_CERTIFICATE),
            sys::CKA_ID | sys::CKA_START_DATE | sys::CKA_END_DATE | sys::CKA_PUBLIC_KEY_INFO => true,
            sys::CKA_ENCRYPT | sys::CKA_DECRYPT | sys::CKA_SIGN | sys::CKA_VERIFY => true,
            sys::CKA_SIGN_RECOVER | sys::CKA_VERIFY_RECOVER => true,
            sys::CKA_WRAP | sys::CKA_UNWRAP | sys::CKA_DERIVE => true,
            _ => false,
        }
    }

    /// A rough size in bytes, for `C_GetObjectSize`.
    pub(crate) fn size(&self) -> u64 {
        self.attributes.encoded_bytes() as u64
    }
}
