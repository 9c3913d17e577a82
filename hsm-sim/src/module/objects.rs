//! Objects: creating, finding, reading, changing, destroying, and making keys.

use std::sync::Arc;

use cryptoki_sys as sys;
use cryptoki_sys::{CK_ATTRIBUTE_TYPE, CK_OBJECT_HANDLE, CK_SESSION_HANDLE};
use zeroize::Zeroizing;

use super::{Module, Session, SessionObject, State};
use crate::attribute::Attributes;
use crate::error::{Refusal, Result};
use crate::generate;
use crate::image::unique_id;
use crate::mechanism::Mechanism;
use crate::object::Object;
use crate::seal::{Role, random};
use crate::template;

/// A template as it comes from a caller: attribute types and their bytes.
pub type Template = Vec<(CK_ATTRIBUTE_TYPE, Zeroizing<Vec<u8>>)>;

impl Module {
    /// `C_CreateObject`.
    ///
    /// # Errors
    /// If the template is incomplete or inconsistent, or the session may not make such an object.
    pub fn create_object(&self, handle: CK_SESSION_HANDLE, template: &Template) -> Result<CK_OBJECT_HANDLE> {
        self.check_session(handle)?;
        let object = template::create(Attributes::parse(template)?)?;
        self.state().add_one(handle, object)
    }

    /// `C_GenerateKey`.
    ///
    /// # Errors
    /// As [`Module::create_object`], and if the mechanism makes no secret keys.
    pub fn generate_key(
        &self,
        handle: CK_SESSION_HANDLE,
        mechanism: &Mechanism,
        template: &Template,
    ) -> Result<CK_OBJECT_HANDLE> {
        self.check_session(handle)?;
        let object = generate::secret(mechanism, Attributes::parse(template)?)?;
        self.state().add_one(handle, object)
    }

    /// `C_GenerateKeyPair`: the public and the private key's handle.
    ///
    /// # Errors
    /// As [`Module::create_object`], and if the mechanism makes no key pairs.
    pub fn generate_key_pair(
        &self,
        handle: CK_SESSION_HANDLE,
        mechanism: &Mechanism,
        public: &Template,
        private: &Template,
    ) -> Result<(CK_OBJECT_HANDLE, CK_OBJECT_HANDLE)> {
        let (public, private) = (Attributes::parse(public)?, Attributes::parse(private)?);
        // Refused before the key is made, because RSA takes seconds; checked again when it is stored.
        let probe = |attributes: &Attributes, private| {
            let flag = |attribute, default| attributes.flag(attribute).unwrap_or(default);
            self.state().check_write(handle, flag(sys::CKA_TOKEN, false), flag(sys::CKA_PRIVATE, private))
        };
        probe(&public, false)?;
        probe(&private, true)?;
        let (public, private) = generate::pair(mechanism, public, private)?;
        let handles = self.state().add(handle, vec![public, private])?;
        match handles.as_slice() {
            [public, private] => Ok((*public, *private)),
            _ => Err(Refusal::TokenMemory.into()),
        }
    }

    /// `C_DestroyObject`.
    ///
    /// # Errors
    /// If there is no such object, or the session or the object do not permit it.
    pub fn destroy_object(&self, handle: CK_SESSION_HANDLE, object: CK_OBJECT_HANDLE) -> Result<()> {
        self.state().alter(handle, object, |object, _| match object.flag(sys::CKA_DESTROYABLE) {
            true => Ok(None),
            false => Err(Refusal::ActionProhibited.into()),
        })
    }

    /// `C_CopyObject`: the copy's handle.
    ///
    /// # Errors
    /// If the object may not be copied, or not so, or the session may not make such an object.
    pub fn copy_object(
        &self,
        handle: CK_SESSION_HANDLE,
        object: CK_OBJECT_HANDLE,
        template: &Template,
    ) -> Result<CK_OBJECT_HANDLE> {
        self.check_session(handle)?;
        let changes = Attributes::parse(template)?;
        let mut state = self.state();
        let (session, original) = state.visible(handle, object)?;
        original.key_is_here()?;
        let role = state.token(session.slot)?.role();
        let copy = original.copied(changes, role)?;
        state.add_one(handle, copy.attributes().duplicate())
    }

    /// `C_SetAttributeValue`: names, dates and uses; `CKA_SENSITIVE` and `CKA_WRAP_WITH_TRUSTED` on,
    /// `CKA_EXTRACTABLE` and `CKA_COPYABLE` off; `CKA_TRUSTED` by the security officer.
    ///
    /// # Errors
    /// If the object has no such attribute or it cannot be changed; nothing is changed then.
    pub fn set_attributes(
        &self,
        handle: CK_SESSION_HANDLE,
        object: CK_OBJECT_HANDLE,
        template: &Template,
    ) -> Result<()> {
        self.check_session(handle)?;
        let changes = Attributes::parse(template)?;
        self.state().alter(handle, object, |object, role| Ok(Some(object.changed(changes, role)?)))
    }

    /// What `C_GetAttributeValue` answers for each attribute, in order.
    ///
    /// # Errors
    /// If there is no such object; what each attribute refuses is in its own place.
    pub fn attributes(
        &self,
        handle: CK_SESSION_HANDLE,
        object: CK_OBJECT_HANDLE,
        wanted: &[CK_ATTRIBUTE_TYPE],
    ) -> Result<Vec<Result<Zeroizing<Vec<u8>>, Refusal>>> {
        let (_, object) = self.state().visible(handle, object)?;
        Ok(wanted.iter().map(|attribute| object.reveal(*attribute)).collect())
    }

    /// `C_GetObjectSize`, roughly, in bytes.
    ///
    /// # Errors
    /// If there is no such object.
    pub fn object_size(&self, handle: CK_SESSION_HANDLE, object: CK_OBJECT_HANDLE) -> Result<u64> {
        self.state().visible(handle, object).map(|(_, object)| object.size())
    }

    /// `C_FindObjectsInit`: fixes what is found at this moment.
    ///
    /// # Errors
    /// If a search is active or the template cannot be read.
    pub fn find_init(&self, handle: CK_SESSION_HANDLE, template: &Template) -> Result<()> {
        let mut state = self.state();
        let session = state.live(handle)?;
        let mut operations = session.operations();
        if operations.search.is_some() {
            return Err(Refusal::OperationActive.into());
        }
        let found = match Attributes::parse(template) {
            Ok(template) => state.matching(&session, &template)?,
            // No object of this token has an attribute that the token does not know.
            Err(Refusal::AttributeType) => Vec::new(),
            Err(refusal) => return Err(refusal.into()),
        };
        operations.search = Some(found.into_iter());
        Ok(())
    }

    /// `C_FindObjects`: at most `most` handles.
    ///
    /// # Errors
    /// If no search is active.
    pub fn find(&self, handle: CK_SESSION_HANDLE, most: usize) -> Result<Vec<CK_OBJECT_HANDLE>> {
        let session = self.state().session(handle)?;
        let mut operations = session.operations();
        let search = operations.search.as_mut().ok_or(Refusal::OperationMissing)?;
        Ok(search.take(most).collect())
    }

    /// `C_FindObjectsFinal`.
    ///
    /// # Errors
    /// If no search is active.
    pub fn find_final(&self, handle: CK_SESSION_HANDLE) -> Result<()> {
        let session = self.state().session(handle)?;
        let ended = session.operations().search.take();
        Ok(ended.map(|_| ()).ok_or(Refusal::OperationMissing)?)
    }
}

impl State {
    pub(super) fn add_one(
        &mut self,
        handle: CK_SESSION_HANDLE,
        object: Attributes,
    ) -> Result<CK_OBJECT_HANDLE> {
        let handles = self.add(handle, vec![object])?;
        Ok(handles.first().copied().ok_or(Refusal::TokenMemory)?)
    }

    /// Adds objects: all of them or none.
    pub(super) fn add(
        &mut self,
        handle: CK_SESSION_HANDLE,
        added: Vec<Attributes>,
    ) -> Result<Vec<CK_OBJECT_HANDLE>> {
        let slot = self.live(handle)?.slot;
        let mut objects = Vec::new();
        for mut attributes in added {
            attributes.set_bytes(sys::CKA_UNIQUE_ID, &unique_id(&random()?));
            let object = Object::new(attributes);
            self.check_write(handle, object.is_on_token(), object.is_private())?;
            if object.flag(sys::CKA_TRUSTED) && self.token(slot)?.role() != Some(Role::Officer) {
                return Err(Refusal::AttributeReadOnly.into());
            }
            objects.push(object);
        }
        let places: Vec<bool> = objects.iter().map(Object::is_on_token).collect();
        let (on_token, in_session): (Vec<_>, Vec<_>) = objects.into_iter().partition(Object::is_on_token);
        let mut stored = match on_token.is_empty() {
            true => Vec::new(),
            false => self.token_mut(slot)?.add(on_token)?,
        }
        .into_iter();
        let mut kept = in_session.into_iter();
        Ok(places
            .into_iter()
            .filter_map(|on_token| match on_token {
                true => stored.next(),
                false => kept.next().map(|object| self.keep(handle, slot, object)),
            })
            .collect())
    }

    fn keep(&mut self, owner: CK_SESSION_HANDLE, slot: u64, object: Object) -> CK_OBJECT_HANDLE {
        let handle = self.handles.next();
        self.session_objects.insert(handle, SessionObject { slot, owner, object: Arc::new(object) });
        handle
    }

    /// Whether this session may write such an object. Token objects need a login, because the sealed part vouches
    /// for the public ones too; private ones need the user's.
    pub(super) fn check_write(
        &mut self,
        handle: CK_SESSION_HANDLE,
        on_token: bool,
        private: bool,
    ) -> Result<()> {
        let session = self.session(handle)?;
        let role = self.token(session.slot)?.role();
        if on_token && !session.read_write {
            return Err(Refusal::SessionReadOnly.into());
        }
        match role {
            Some(Role::User) => Ok(()),
            Some(Role::Officer) if !private => Ok(()),
            None if !on_token && !private => Ok(()),
            _ => Err(Refusal::NotLoggedIn.into()),
        }
    }

    fn alter(
        &mut self,
        handle: CK_SESSION_HANDLE,
        object: CK_OBJECT_HANDLE,
        change: impl FnOnce(&Object, Option<Role>) -> Result<Option<Object>>,
    ) -> Result<()> {
        let (session, found) = self.visible(handle, object)?;
        self.check_write(handle, found.is_on_token(), found.is_private())?;
        let role = self.token(session.slot)?.role();
        if found.is_on_token() {
            return self.token_mut(session.slot)?.alter(object, |object| change(object, role));
        }
        let altered = change(&found, role)?;
        let Some(own) = self.session_objects.get_mut(&object) else {
            return Err(Refusal::ObjectHandle.into());
        };
        match altered {
            Some(altered) => own.object = Arc::new(altered),
            None => drop(self.session_objects.remove(&object)),
        }
        Ok(())
    }

    /// An object that this session may see.
    pub(super) fn visible(
        &mut self,
        handle: CK_SESSION_HANDLE,
        object: CK_OBJECT_HANDLE,
    ) -> Result<(Arc<Session>, Arc<Object>)> {
        let session = self.live(handle)?;
        let token = self.token(session.slot)?;
        let own = self.session_objects.get(&object).filter(|own| own.slot == session.slot);
        let found = own.map(|own| &own.object).or_else(|| token.object(object));
        let shown = found.filter(|object| !object.is_private() || token.role() == Some(Role::User));
        let found = Arc::clone(shown.ok_or(Refusal::ObjectHandle)?);
        Ok((session, found))
    }

    fn matching(&self, session: &Session, template: &Attributes) -> Result<Vec<CK_OBJECT_HANDLE>> {
        let token = self.token(session.slot)?;
        let user = token.role() == Some(Role::User);
        let own = self.session_objects.iter().filter(|(_, own)| own.slot == session.slot);
        let own = own.map(|(handle, own)| (*handle, &own.object));
        let all = token.objects().chain(own);
        let seen = all.filter(|(_, object)| user || !object.is_private());
        Ok(seen.filter(|(_, object)| object.matches(template)).map(|(handle, _)| handle).collect())
    }
}
