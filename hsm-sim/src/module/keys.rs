//! Keys from keys: wrapping, unwrapping, deriving.

use std::sync::Arc;

use cryptoki_sys as sys;
use cryptoki_sys::{CK_ATTRIBUTE_TYPE, CK_OBJECT_CLASS, CK_OBJECT_HANDLE, CK_SESSION_HANDLE};

use super::Module;
use super::crypto::{no_key, usable};
use super::objects::Template;
use crate::attribute::Attributes;
use crate::error::{Error, Refusal, Result};
use crate::key::{Key, pkcs8};
use crate::mechanism::{Derivation, Mechanism, Wrapping};
use crate::object::Object;
use crate::operation::{Reply, Room};
use crate::{derive, template, wrapping};

impl Module {
    /// `C_WrapKey`: a secret key's value or a private key's `PrivateKeyInfo`, encrypted.
    ///
    /// # Errors
    /// If the mechanism or one of the keys does not fit, or the key may not leave the token.
    pub fn wrap_key(
        &self,
        handle: CK_SESSION_HANDLE,
        mechanism: &Mechanism,
        under: CK_OBJECT_HANDLE,
        key: CK_OBJECT_HANDLE,
        room: Room,
    ) -> Result<Reply> {
        let how = Wrapping::parse(mechanism)?;
        let (wrapper, secret) = {
            let mut state = self.state();
            let (_, under) = state.visible(handle, under).map_err(as_refusal(WRAPPING))?;
            let (_, wrapped) = state.visible(handle, key).map_err(no_key)?;
            let class = wrapping_class(&how, sys::CKO_PUBLIC_KEY);
            let wrapper = used(&under, mechanism, class, sys::CKA_WRAP, WRAPPING)?;
            wrapped.wrappable_with(&under)?;
            (wrapper, secret_of(&wrapped)?)
        };
        let needed = wrapping::wrapped_bytes(&how, &wrapper, secret.len())?;
        match room {
            Room::Query => Ok(Reply::Length(needed)),
            Room::Bytes(room) if room < needed => Ok(Reply::TooSmall(needed)),
            Room::Bytes(_) => wrapping::wrap(&how, &wrapper, &secret).map(Reply::Bytes),
        }
    }

    /// `C_UnwrapKey`: the new object's handle.
    ///
    /// # Errors
    /// If the mechanism or the key does not fit, what comes out is no such key, or the template does not suit it.
    pub fn unwrap_key(
        &self,
        handle: CK_SESSION_HANDLE,
        mechanism: &Mechanism,
        under: CK_OBJECT_HANDLE,
        wrapped: &[u8],
        template: &Template,
    ) -> Result<CK_OBJECT_HANDLE> {
        let how = Wrapping::parse(mechanism)?;
        let template = Attributes::parse(template)?;
        let class = template.number(sys::CKA_CLASS).ok_or(Refusal::TemplateIncomplete)?;
        let key_type = template.number(sys::CKA_KEY_TYPE).ok_or(Refusal::TemplateIncomplete)?;
        let unwrapper = {
            let mut state = self.state();
            let (_, under) = state.visible(handle, under).map_err(as_refusal(UNWRAPPING))?;
            let unwrapper_class = wrapping_class(&how, sys::CKO_PRIVATE_KEY);
            if under.flag(sys::CKA_ALWAYS_AUTHENTICATE) {
                // There is no operation that a PIN could be given for.
                return Err(Refusal::NotLoggedIn.into());
            }
            used(&under, mechanism, unwrapper_class, sys::CKA_UNWRAP, UNWRAPPING)?
        };
        let secret = wrapping::unwrap(&how, &unwrapper, wrapped)?;
        let material = match class {
            sys::CKO_SECRET_KEY => {
                let mut material = Attributes::default();
                material.set_bytes(sys::CKA_VALUE, &secret);
                material
            }
            sys::CKO_PRIVATE_KEY => pkcs8::decode(key_type, &secret)?,
            _ => return Err(Refusal::TemplateInconsistent.into()),
        };
        let object = template::unwrapped(template, class, key_type, material).map_err(not_a_key)?;
        self.state().add_one(handle, object)
    }

    /// `C_DeriveKey`: the new object's handle.
    ///
    /// # Errors
    /// If the mechanism or the key does not fit, or the template asks for more than there is.
    pub fn derive_key(
        &self,
        handle: CK_SESSION_HANDLE,
        mechanism: &Mechanism,
        base: CK_OBJECT_HANDLE,
        template: &Template,
    ) -> Result<CK_OBJECT_HANDLE> {
        let how = Derivation::parse(mechanism)?;
        let mut template = Attributes::parse(template)?;
        let (base, key) = {
            let (_, base) = self.state().visible(handle, base).map_err(no_key)?;
            let class = match how {
                Derivation::Ecdh { .. } => sys::CKO_PRIVATE_KEY,
                _ => sys::CKO_SECRET_KEY,
            };
            if base.flag(sys::CKA_ALWAYS_AUTHENTICATE) {
                return Err(Refusal::NotLoggedIn.into());
            }
            let key = usable(&base, mechanism.kind, class, sys::CKA_DERIVE)?;
            (base, key)
        };
        let class = template.number(sys::CKA_CLASS).unwrap_or(sys::CKO_SECRET_KEY);
        let key_type = template.number(sys::CKA_KEY_TYPE).unwrap_or(sys::CKK_GENERIC_SECRET);
        if class != sys::CKO_SECRET_KEY {
            return Err(Refusal::TemplateInconsistent.into());
        }
        let wanted = derive::wanted_bytes(key_type, template.number(sys::CKA_VALUE_LEN))?;
        let value = derive::derive(&how, &key, wanted)?;
        let mut material = Attributes::default();
        material.set_bytes(sys::CKA_VALUE, &value);
        template.remove(sys::CKA_VALUE_LEN);
        let object = template::derived(template, class, key_type, &base, material)?;
        self.state().add_one(handle, object)
    }
}

/// What is said of the key that wraps, or unwraps: its handle, its type.
type Names = (Refusal, Refusal);
const WRAPPING: Names = (Refusal::WrappingKeyHandle, Refusal::WrappingKeyType);
const UNWRAPPING: Names = (Refusal::UnwrappingKeyHandle, Refusal::UnwrappingKeyType);

fn as_refusal(names: Names) -> impl Fn(Error) -> Error {
    move |error| match error {
        Error::Refused(Refusal::ObjectHandle | Refusal::KeyHandle) => names.0.into(),
        Error::Refused(Refusal::KeyType) => names.1.into(),
        other => other,
    }
}

fn used(
    object: &Object,
    mechanism: &Mechanism,
    class: CK_OBJECT_CLASS,
    permission: CK_ATTRIBUTE_TYPE,
    names: Names,
) -> Result<Arc<Key>> {
    usable(object, mechanism.kind, class, permission).map_err(as_refusal(names))
}

fn wrapping_class(how: &Wrapping, rsa: CK_OBJECT_CLASS) -> CK_OBJECT_CLASS {
    match how {
        Wrapping::Rsa(_) | Wrapping::RsaAes { .. } => rsa,
        Wrapping::AesKeyWrap { .. } | Wrapping::AesCbcPad { .. } => sys::CKO_SECRET_KEY,
    }
}

fn secret_of(object: &Object) -> Result<zeroize::Zeroizing<Vec<u8>>> {
    let key = object.key()?;
    match (object.class(), key.secret()) {
        (Some(sys::CKO_SECRET_KEY), Some(value)) => Ok(zeroize::Zeroizing::new(value.to_vec())),
        (Some(sys::CKO_PRIVATE_KEY), _) => Ok(pkcs8::encode(&key)?),
        _ => Err(Refusal::KeyNotWrappable.into()),
    }
}

/// Material that came out of a wrapping and makes no key is the wrapping's fault, not the template's.
fn not_a_key(error: Error) -> Error {
    match error {
        Error::Refused(Refusal::AttributeValue | Refusal::KeySize) => Refusal::WrappedKeyInvalid.into(),
        other => other,
    }
}
