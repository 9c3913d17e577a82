//! Longer steps of the C caller: enciphering, wrapping, deriving, each with the length asked for first.

use std::ptr::null_mut;

use cryptoki_sys::*;

use crate::caller::{Caller, Template, c};

/// A mechanism whose parameter is `bytes`, which must outlive it.
pub(crate) fn with_bytes(mechanism: CK_MECHANISM_TYPE, bytes: &mut [u8]) -> CK_MECHANISM {
    let length = bytes.len() as CK_ULONG;
    CK_MECHANISM { mechanism, pParameter: bytes.as_mut_ptr().cast(), ulParameterLen: length }
}

/// A secret key's template.
pub(crate) fn secret(key_type: CK_KEY_TYPE, value: &[u8]) -> Template {
    Template::default()
        .number(CKA_CLASS, CKO_SECRET_KEY)
        .number(CKA_KEY_TYPE, key_type)
        .with(CKA_VALUE, value)
}

/// A session key that may do everything and leave the token.
pub(crate) fn open_secret(key_type: CK_KEY_TYPE, value: &[u8]) -> Template {
    let uses = [CKA_ENCRYPT, CKA_DECRYPT, CKA_SIGN, CKA_VERIFY, CKA_WRAP, CKA_UNWRAP, CKA_DERIVE];
    let template = secret(key_type, value).flag(CKA_SENSITIVE, false).flag(CKA_EXTRACTABLE, true);
    uses.into_iter().fold(template, |template, permission| template.flag(permission, true))
}

/// Asks for the length, then for the output; the length must be enough.
pub(crate) fn output(mut call: impl FnMut(*mut u8, *mut CK_ULONG) -> CK_RV) -> Result<Vec<u8>, CK_RV> {
    let mut length = 0;
    match call(null_mut(), &mut length) {
        CKR_OK => {}
        code => return Err(code),
    }
    let mut out = vec![0; length as usize];
    match call(out.as_mut_ptr(), &mut length) {
        CKR_OK => {
            out.truncate(length as usize);
            Ok(out)
        }
        code => Err(code),
    }
}

impl Caller {
    pub(crate) fn encrypt(
        &self,
        session: CK_SESSION_HANDLE,
        mechanism: &mut CK_MECHANISM,
        key: CK_OBJECT_HANDLE,
        data: &[u8],
    ) -> Result<Vec<u8>, CK_RV> {
        match c!(self, C_EncryptInit, session, mechanism, key) {
            CKR_OK => {}
            code => return Err(code),
        }
        let (data, bytes) = (data.as_ptr().cast_mut(), data.len() as CK_ULONG);
        output(|out, length| c!(self, C_Encrypt, session, data, bytes, out, length))
    }

    pub(crate) fn decrypt(
        &self,
        session: CK_SESSION_HANDLE,
        mechanism: &mut CK_MECHANISM,
        key: CK_OBJECT_HANDLE,
        data: &[u8],
    ) -> Result<Vec<u8>, CK_RV> {
        match c!(self, C_DecryptInit, session, mechanism, key) {
            CKR_OK => {}
            code => return Err(code),
        }
        let (data, bytes) = (data.as_ptr().cast_mut(), data.len() as CK_ULONG);
        output(|out, length| c!(self, C_Decrypt, session, data, bytes, out, length))
    }

    /// In parts of `step` bytes.
    pub(crate) fn cipher_in_parts(
        &self,
        session: CK_SESSION_HANDLE,
        mechanism: &mut CK_MECHANISM,
        key: CK_OBJECT_HANDLE,
        (data, step, encrypts): (&[u8], usize, bool),
    ) -> Result<Vec<u8>, CK_RV> {
        let begun = match encrypts {
            true => c!(self, C_EncryptInit, session, mechanism, key),
            false => c!(self, C_DecryptInit, session, mechanism, key),
        };
        if begun != CKR_OK {
            return Err(begun);
        }
        let mut whole = Vec::new();
        for part in data.chunks(step) {
            let (part, bytes) = (part.as_ptr().cast_mut(), part.len() as CK_ULONG);
            whole.extend(output(|out, length| match encrypts {
                true => c!(self, C_EncryptUpdate, session, part, bytes, out, length),
                false => c!(self, C_DecryptUpdate, session, part, bytes, out, length),
            })?);
        }
        whole.extend(output(|out, length| match encrypts {
            true => c!(self, C_EncryptFinal, session, out, length),
            false => c!(self, C_DecryptFinal, session, out, length),
        })?);
        Ok(whole)
    }

    pub(crate) fn digest(
        &self,
        session: CK_SESSION_HANDLE,
        mechanism: &mut CK_MECHANISM,
        data: &[u8],
    ) -> Result<Vec<u8>, CK_RV> {
        match c!(self, C_DigestInit, session, mechanism) {
            CKR_OK => {}
            code => return Err(code),
        }
        let (data, bytes) = (data.as_ptr().cast_mut(), data.len() as CK_ULONG);
        output(|out, length| c!(self, C_Digest, session, data, bytes, out, length))
    }

    pub(crate) fn wrap(
        &self,
        session: CK_SESSION_HANDLE,
        mechanism: &mut CK_MECHANISM,
        under: CK_OBJECT_HANDLE,
        key: CK_OBJECT_HANDLE,
    ) -> Result<Vec<u8>, CK_RV> {
        output(|out, length| c!(self, C_WrapKey, session, &raw mut *mechanism, under, key, out, length))
    }

    pub(crate) fn unwrap(
        &self,
        session: CK_SESSION_HANDLE,
        mechanism: &mut CK_MECHANISM,
        under: CK_OBJECT_HANDLE,
        wrapped: &[u8],
        mut template: Template,
    ) -> Result<CK_OBJECT_HANDLE, CK_RV> {
        let (mut made, (entries, count)) = (0, template.raw());
        let (wrapped, bytes) = (wrapped.as_ptr().cast_mut(), wrapped.len() as CK_ULONG);
        match c!(self, C_UnwrapKey, session, mechanism, under, wrapped, bytes, entries, count, &mut made) {
            CKR_OK => Ok(made),
            code => Err(code),
        }
    }

    pub(crate) fn derive(
        &self,
        session: CK_SESSION_HANDLE,
        mechanism: &mut CK_MECHANISM,
        base: CK_OBJECT_HANDLE,
        mut template: Template,
    ) -> Result<CK_OBJECT_HANDLE, CK_RV> {
        let (mut made, (entries, count)) = (0, template.raw());
        match c!(self, C_DeriveKey, session, mechanism, base, entries, count, &mut made) {
            CKR_OK => Ok(made),
            code => Err(code),
        }
    }
}
