//! What can go wrong, and the PKCS#11 return value that says so.

use cryptoki_sys as sys;
use cryptoki_sys::CK_RV;
use thiserror::Error;

use crate::faults::ControlError;

/// The result of every operation of the safe layer.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an operation did not happen. At the C boundary only [`Error::code`] remains.
#[derive(Debug, Error)]
pub enum Error {
    /// The caller asked for something that the standard or the token's state forbids.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The token's folder or file cannot be read or written.
    #[error("cannot use the token store at `{path}`")]
    Store {
        /// The file or folder concerned.
        path: String,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
    /// The token's file is not what this library wrote.
    #[error("the token file `{path}` is damaged")]
    Damaged {
        /// The file concerned.
        path: String,
        /// What does not hold.
        #[source]
        source: Damage,
    },
    /// No folder for the store: neither `HSM_SIM_DIR` nor a home is set.
    #[error("no folder for tokens: set `HSM_SIM_DIR`")]
    NoFolder,
    /// The control file of faults cannot be used.
    #[error("cannot follow the control file of faults")]
    Control(#[from] ControlError),
    /// A fault on purpose answers this.
    #[error("a fault on purpose: `{0:#x}`")]
    OnPurpose(CK_RV),
    /// The operating system gave no random bytes.
    #[error("no random bytes")]
    Random(#[from] getrandom::Error),
    /// Argon2 refused its parameters.
    #[error("the key derivation failed")]
    Derivation(#[from] argon2::Error),
    /// An elliptic-curve or Ed25519 primitive failed.
    #[error("the signature primitive failed")]
    Signature(#[from] k256::ecdsa::Error),
    /// An RSA primitive failed.
    #[error("the RSA primitive failed")]
    Rsa(#[from] rsa::Error),
    /// AES-256-GCM failed to seal.
    #[error("the cipher failed")]
    Cipher(#[from] aes_gcm::Error),
}

/// What does not hold in a token file or a sealed part of it.
#[derive(Debug, Error, PartialEq, Eq, Clone, Copy)]
pub enum Damage {
    /// The file ends early, or a length points past its end.
    #[error("it is cut off")]
    CutOff,
    /// Bytes follow the end.
    #[error("bytes follow its end")]
    Trailing,
    /// It does not start with the magic of a token file.
    #[error("it is not a token file")]
    Magic,
    /// It is of a later version.
    #[error("its version is `{0}`")]
    Version(u16),
    /// The checksum differs.
    #[error("its checksum differs")]
    Checksum,
    /// A field holds a value that it cannot have.
    #[error("its field `{0}` is out of range")]
    Field(&'static str),
    /// The sealed part does not open under the token key.
    #[error("its sealed part does not open")]
    Seal,
}

impl Error {
    /// The PKCS#11 return value for this error.
    #[must_use]
    pub fn code(&self) -> CK_RV {
        match self {
            Self::Refused(refusal) => refusal.code(),
            Self::OnPurpose(code) => *code,
            Self::Store { .. } | Self::Damaged { .. } | Self::NoFolder | Self::Control(_) => {
                sys::CKR_DEVICE_ERROR
            }
            Self::Random(_) | Self::Derivation(_) | Self::Signature(_) | Self::Rsa(_) | Self::Cipher(_) => {
                sys::CKR_FUNCTION_FAILED
            }
        }
    }
}

macro_rules! refusals {
    ($($name:ident = $code:ident, $text:literal;)*) => {
        /// A typed refusal: nothing was changed.
        #[derive(Debug, Error, PartialEq, Eq, Clone, Copy)]
        pub enum Refusal {
            $(#[doc = concat!("`", stringify!($code), "`: ", $text, ".")] #[error($text)] $name,)*
        }

        impl Refusal {
            /// The PKCS#11 return value of this refusal.
            #[must_use]
            pub fn code(self) -> CK_RV {
                match self { $(Self::$name => sys::$code,)* }
            }
        }
    };
}

refusals! {
    Arguments = CKR_ARGUMENTS_BAD, "an argument is missing or out of range";
    NotInitialized = CKR_CRYPTOKI_NOT_INITIALIZED, "the library is not initialised";
    AlreadyInitialized = CKR_CRYPTOKI_ALREADY_INITIALIZED, "the library is already initialised";
    CannotLock = CKR_CANT_LOCK, "only the locks of the operating system are supported";
    Slot = CKR_SLOT_ID_INVALID, "there is no such slot";
    TokenNotRecognized = CKR_TOKEN_NOT_RECOGNIZED, "the token is not initialised";
    TokenNotPresent = CKR_TOKEN_NOT_PRESENT, "there is no token in the slot";
    TokenRemoved = CKR_DEVICE_REMOVED, "the token was removed, or initialised anew by another process";
    NoEvent = CKR_NO_EVENT, "nothing happened in a slot";
    FunctionFailed = CKR_FUNCTION_FAILED, "the function failed";
    SessionClosed = CKR_SESSION_CLOSED, "the session was closed meanwhile";
    TokenMemory = CKR_DEVICE_MEMORY, "the token is full";
    SessionHandle = CKR_SESSION_HANDLE_INVALID, "there is no such session";
    SessionCount = CKR_SESSION_COUNT, "too many sessions are open";
    SessionExists = CKR_SESSION_EXISTS, "a session is open";
    SessionParallel = CKR_SESSION_PARALLEL_NOT_SUPPORTED, "sessions are serial";
    SessionReadOnly = CKR_SESSION_READ_ONLY, "the session is read-only";
    SessionReadOnlyExists = CKR_SESSION_READ_ONLY_EXISTS, "a read-only session is open";
    SessionSecurityOfficer = CKR_SESSION_READ_WRITE_SO_EXISTS, "the security officer is logged in";
    PinIncorrect = CKR_PIN_INCORRECT, "the PIN is wrong";
    PinInvalid = CKR_PIN_INVALID, "the PIN is not UTF-8";
    PinLength = CKR_PIN_LEN_RANGE, "the PIN is too short or too long";
    PinLocked = CKR_PIN_LOCKED, "the PIN is locked";
    UserPinMissing = CKR_USER_PIN_NOT_INITIALIZED, "the user PIN is not set";
    UserType = CKR_USER_TYPE_INVALID, "there is no such user";
    NotLoggedIn = CKR_USER_NOT_LOGGED_IN, "nobody is logged in";
    AlreadyLoggedIn = CKR_USER_ALREADY_LOGGED_IN, "the user is already logged in";
    AnotherLoggedIn = CKR_USER_ANOTHER_ALREADY_LOGGED_IN, "another user is logged in";
    ObjectHandle = CKR_OBJECT_HANDLE_INVALID, "there is no such object";
    KeyHandle = CKR_KEY_HANDLE_INVALID, "there is no such key";
    KeyType = CKR_KEY_TYPE_INCONSISTENT, "the key is not of the mechanism's type";
    KeyUse = CKR_KEY_FUNCTION_NOT_PERMITTED, "the key does not permit this use";
    KeySize = CKR_KEY_SIZE_RANGE, "the key size is not supported";
    Curve = CKR_CURVE_NOT_SUPPORTED, "the curve is not supported";
    AttributeType = CKR_ATTRIBUTE_TYPE_INVALID, "the object has no such attribute";
    AttributeValue = CKR_ATTRIBUTE_VALUE_INVALID, "an attribute's value is invalid";
    AttributeReadOnly = CKR_ATTRIBUTE_READ_ONLY, "the attribute cannot be set";
    AttributeSensitive = CKR_ATTRIBUTE_SENSITIVE, "the attribute cannot be revealed";
    TemplateIncomplete = CKR_TEMPLATE_INCOMPLETE, "the template lacks an attribute";
    TemplateInconsistent = CKR_TEMPLATE_INCONSISTENT, "the template contradicts itself";
    ActionProhibited = CKR_ACTION_PROHIBITED, "the object does not permit this";
    Mechanism = CKR_MECHANISM_INVALID, "the mechanism is not supported here";
    MechanismParameter = CKR_MECHANISM_PARAM_INVALID, "the mechanism's parameter is invalid";
    OperationActive = CKR_OPERATION_ACTIVE, "an operation is active";
    OperationMissing = CKR_OPERATION_NOT_INITIALIZED, "no operation is active";
    DataLength = CKR_DATA_LEN_RANGE, "the data's length is out of range";
    CiphertextInvalid = CKR_ENCRYPTED_DATA_INVALID, "the ciphertext does not open";
    CiphertextLength = CKR_ENCRYPTED_DATA_LEN_RANGE, "the ciphertext's length is out of range";
    SignatureInvalid = CKR_SIGNATURE_INVALID, "the signature is wrong";
    SignatureLength = CKR_SIGNATURE_LEN_RANGE, "the signature's length is wrong";
    KeyUnextractable = CKR_KEY_UNEXTRACTABLE, "the key may not leave the token";
    KeyNotWrappable = CKR_KEY_NOT_WRAPPABLE, "the key cannot be wrapped so";
    KeyIndigestible = CKR_KEY_INDIGESTIBLE, "the key cannot be digested";
    WrappedKeyInvalid = CKR_WRAPPED_KEY_INVALID, "the wrapped key is none of this kind";
    WrappedKeyLength = CKR_WRAPPED_KEY_LEN_RANGE, "the wrapped key's length is out of range";
    WrappingKeyHandle = CKR_WRAPPING_KEY_HANDLE_INVALID, "there is no such wrapping key";
    WrappingKeyType = CKR_WRAPPING_KEY_TYPE_INCONSISTENT, "the wrapping key is not of the mechanism's type";
    UnwrappingKeyHandle = CKR_UNWRAPPING_KEY_HANDLE_INVALID, "there is no such unwrapping key";
    UnwrappingKeyType = CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT, "the unwrapping key is not of the mechanism's type";
    BufferTooSmall = CKR_BUFFER_TOO_SMALL, "the buffer is too small";
    NotSupported = CKR_FUNCTION_NOT_SUPPORTED, "the function is not supported";
}
