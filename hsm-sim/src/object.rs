//! An object of the token: attributes, who may see which, and the key made from them.

use std::sync::{Arc, OnceLock};

use cryptoki_sys as sys;
use cryptoki_sys::{CK_ATTRIBUTE_TYPE, CK_MECHANISM_TYPE, CK_OBJECT_CLASS};
use zeroize::Zeroizing;

use crate::attribute::{Attributes, Value, is_secret};
use crate::error::{Refusal, Result};
use crate::key::Key;

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

    /// The key, made on first use and kept.
    pub(crate) fn key(&self) -> Result<Arc<Key>> {
        if let Some(made) = self.key.get() {
            return Ok(made.clone().ok_or(Refusal::KeyHandle)?);
        }
        if self.is_keyed() && !self.attributes.iter().any(|(attribute, _)| is_secret(attribute)) {
            // A secret key listed in public, before login.
            return Err(Refusal::NotLoggedIn.into());
        }
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
        allowed.as_chunks().0.iter().any(|bytes| CK_MECHANISM_TYPE::from_ne_bytes(*bytes) == mechanism)
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
    pub(crate) fn changed(&self, changes: Attributes) -> Result<Self, Refusal> {
        if !self.flag(sys::CKA_MODIFIABLE) {
            return Err(Refusal::ActionProhibited);
        }
        let mut attributes = self.attributes.duplicate();
        for (attribute, value) in changes.iter() {
            if attributes.get(attribute).is_none() {
                return Err(Refusal::AttributeType);
            }
            let permitted = match (attribute, value) {
                (sys::CKA_LABEL | sys::CKA_ID | sys::CKA_SUBJECT, _) => true,
                (sys::CKA_START_DATE | sys::CKA_END_DATE, _) => true,
                (sys::CKA_SENSITIVE, Value::Flag(sensitive)) => *sensitive,
                (sys::CKA_EXTRACTABLE, Value::Flag(extractable)) => !*extractable,
                (sys::CKA_APPLICATION, _) => self.class() == Some(sys::CKO_DATA),
                (sys::CKA_VALUE, _) => self.class() == Some(sys::CKO_DATA),
                _ => attributes.get(attribute) == Some(value),
            };
            if !permitted {
                return Err(Refusal::AttributeReadOnly);
            }
        }
        for (attribute, value) in changes.iter() {
            match value {
                Value::Bytes(bytes) => attributes.set_bytes(attribute, bytes),
                Value::Flag(flag) => attributes.set_flag(attribute, *flag),
                Value::Number(number) => attributes.set_number(attribute, *number),
            }
        }
        Ok(Self::new(attributes))
    }

    /// A rough size in bytes, for `C_GetObjectSize`.
    pub(crate) fn size(&self) -> u64 {
        let mut bytes = Zeroizing::new(Vec::new());
        self.attributes.encode(&mut bytes);
        bytes.len() as u64
    }
}
