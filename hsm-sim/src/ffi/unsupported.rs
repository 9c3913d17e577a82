//! Functions that this token does not have: each answers `CKR_FUNCTION_NOT_SUPPORTED`.
#![allow(unsafe_code, reason = "shells of the C boundary")]

use cryptoki_sys::{CK_BYTE, CK_MECHANISM, CK_OBJECT_HANDLE, CK_RV, CK_SESSION_HANDLE, CK_ULONG};

macro_rules! refuse {
    ($code:ident: $($name:ident($($argument:ty),*);)*) => {$(
        pub(super) unsafe extern "C" fn $name($(_: $argument),*) -> CK_RV {
            cryptoki_sys::$code
        }
    )*};
}

type Session = CK_SESSION_HANDLE;
type Object = CK_OBJECT_HANDLE;
type Bytes = *mut CK_BYTE;
type Length = *mut CK_ULONG;

refuse! { CKR_FUNCTION_NOT_SUPPORTED:
    C_GetOperationState(Session, Bytes, Length);
    C_SetOperationState(Session, Bytes, CK_ULONG, Object, Object);
    C_SignRecoverInit(Session, *mut CK_MECHANISM, Object);
    C_SignRecover(Session, Bytes, CK_ULONG, Bytes, Length);
    C_VerifyRecoverInit(Session, *mut CK_MECHANISM, Object);
    C_VerifyRecover(Session, Bytes, CK_ULONG, Bytes, Length);
    C_DigestEncryptUpdate(Session, Bytes, CK_ULONG, Bytes, Length);
    C_DecryptDigestUpdate(Session, Bytes, CK_ULONG, Bytes, Length);
    C_SignEncryptUpdate(Session, Bytes, CK_ULONG, Bytes, Length);
    C_DecryptVerifyUpdate(Session, Bytes, CK_ULONG, Bytes, Length);
}

// The two legacy functions have an answer of their own in the standard.
refuse! { CKR_FUNCTION_NOT_PARALLEL:
    C_GetFunctionStatus(Session);
    C_CancelFunction(Session);
}
