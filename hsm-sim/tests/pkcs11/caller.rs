//! A C caller: its own copy of the library, so that tests do not share state, and short names for the calls.

use std::ffi::c_void;
use std::path::{Path, PathBuf};
use std::ptr::null_mut;
use std::sync::Mutex;

use cryptoki_sys::*;
use tempfile::TempDir;

pub(crate) const OFFICER_PIN: &[u8] = b"officer-pin-5151";
pub(crate) const USER_PIN: &[u8] = b"user-pin-4242";
pub(crate) const SECP256K1: &[u8] = &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x0a];
pub(crate) const P256: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
pub(crate) const ED25519: &[u8] = &[0x06, 0x03, 0x2b, 0x65, 0x70];

/// The library is told its folder by an environment variable, which a process has only one of.
static ENVIRONMENT: Mutex<()> = Mutex::new(());

/// Calls a function of the list.
macro_rules! c {
    ($caller:expr, $name:ident $(, $argument:expr)* $(,)?) => {
        unsafe { ($caller.list().$name.expect("every slot is filled"))($($argument),*) }
    };
}
pub(crate) use c;

/// Calls a function that must succeed.
macro_rules! ok {
    ($caller:expr, $name:ident $(, $argument:expr)* $(,)?) => {
        assert_eq!($crate::caller::c!($caller, $name $(, $argument)*), cryptoki_sys::CKR_OK, stringify!($name))
    };
}
pub(crate) use ok;

/// The library under test, beside this test's executable.
pub(crate) fn library_path() -> PathBuf {
    let executable = std::env::current_exe().unwrap();
    let folder = executable.parent().unwrap();
    let places = [folder.join("libhsm_sim.so"), folder.parent().unwrap().join("libhsm_sim.so")];
    places.iter().find(|path| path.exists()).expect("cargo builds the library for its tests").clone()
}

/// One loaded copy of the library.
pub(crate) struct Caller {
    list: *const CK_FUNCTION_LIST,
    _copy: TempDir,
}

// The list is read-only and the library locks for itself.
unsafe impl Send for Caller {}
unsafe impl Sync for Caller {}

impl Caller {
    pub(crate) fn load() -> Self {
        let copy = tempfile::tempdir().unwrap();
        let path = copy.path().join("token.so");
        std::fs::copy(library_path(), &path).unwrap();
        let mut list = null_mut();
        unsafe {
            // Never unloaded: a Rust library has threads' destructors registered.
            let library = Box::leak(Box::new(libloading::Library::new(&path).unwrap()));
            let entry: libloading::Symbol<'_, unsafe extern "C" fn(*mut *mut CK_FUNCTION_LIST) -> CK_RV> =
                library.get(b"C_GetFunctionList\0").unwrap();
            assert_eq!(entry(null_mut()), CKR_ARGUMENTS_BAD);
            assert_eq!(entry(&mut list), CKR_OK);
        }
        Self { list, _copy: copy }
    }

    pub(crate) fn list(&self) -> &CK_FUNCTION_LIST {
        unsafe { &*self.list }
    }

    pub(crate) fn initialize(&self, folder: &Path) -> CK_RV {
        self.initialize_with(folder, null_mut())
    }

    pub(crate) fn initialize_with(&self, folder: &Path, arguments: *mut CK_C_INITIALIZE_ARGS) -> CK_RV {
        let _guard = ENVIRONMENT.lock().unwrap();
        unsafe { std::env::set_var("HSM_SIM_DIR", folder) };
        c!(self, C_Initialize, arguments.cast())
    }

    pub(crate) fn start(folder: &Path) -> Self {
        let caller = Self::load();
        assert_eq!(caller.initialize(folder), CKR_OK);
        caller
    }

    /// Finalizes and initializes again, as a restarted application.
    pub(crate) fn restart(&self, folder: &Path) {
        ok!(self, C_Finalize, null_mut());
        assert_eq!(self.initialize(folder), CKR_OK);
    }

    pub(crate) fn init_token(&self, slot: CK_SLOT_ID, pin: &[u8], label: &str) -> CK_RV {
        let mut padded = [b' '; 32];
        padded[..label.len()].copy_from_slice(label.as_bytes());
        c!(self, C_InitToken, slot, pin.as_ptr().cast_mut(), pin.len() as CK_ULONG, padded.as_mut_ptr())
    }

    pub(crate) fn open(&self, slot: CK_SLOT_ID, flags: CK_FLAGS) -> CK_SESSION_HANDLE {
        let mut session = 0;
        ok!(self, C_OpenSession, slot, flags | CKF_SERIAL_SESSION, null_mut(), None, &mut session);
        session
    }

    pub(crate) fn login(&self, session: CK_SESSION_HANDLE, user: CK_USER_TYPE, pin: &[u8]) -> CK_RV {
        c!(self, C_Login, session, user, pin.as_ptr().cast_mut(), pin.len() as CK_ULONG)
    }

    pub(crate) fn token_info(&self, slot: CK_SLOT_ID) -> CK_TOKEN_INFO {
        let mut info = CK_TOKEN_INFO::default();
        ok!(self, C_GetTokenInfo, slot, &mut info);
        info
    }

    pub(crate) fn user_session(&self) -> CK_SESSION_HANDLE {
        let session = self.open(0, CKF_RW_SESSION);
        assert_eq!(self.login(session, CKU_USER, USER_PIN), CKR_OK);
        session
    }

    pub(crate) fn generate_pair(
        &self,
        session: CK_SESSION_HANDLE,
        mechanism: CK_MECHANISM_TYPE,
        public: Template,
        private: Template,
    ) -> (CK_OBJECT_HANDLE, CK_OBJECT_HANDLE) {
        let (mut public, mut private) = (public, private);
        let (mut first, mut second) = (0, 0);
        let ((public, public_count), (private, private_count)) = (public.raw(), private.raw());
        ok!(
            self,
            C_GenerateKeyPair,
            session,
            &mut plain(mechanism),
            public,
            public_count,
            private,
            private_count,
            &mut first,
            &mut second,
        );
        assert!(first != 0 && second != 0 && first != second);
        (first, second)
    }

    /// A key pair of a curve, on the token.
    pub(crate) fn curve_pair(
        &self,
        session: CK_SESSION_HANDLE,
        params: &[u8],
        label: &str,
    ) -> (CK_ULONG, CK_ULONG) {
        let mechanism = if params == ED25519 { CKM_EC_EDWARDS_KEY_PAIR_GEN } else { CKM_EC_KEY_PAIR_GEN };
        let label = |template: Template| template.with(CKA_LABEL, label.as_bytes()).flag(CKA_TOKEN, true);
        self.generate_pair(
            session,
            mechanism,
            label(Template::default().with(CKA_EC_PARAMS, params)),
            label(Template::default()),
        )
    }

    pub(crate) fn create(
        &self,
        session: CK_SESSION_HANDLE,
        mut template: Template,
    ) -> Result<CK_OBJECT_HANDLE, CK_RV> {
        let mut object = 0;
        let (entries, count) = template.raw();
        match c!(self, C_CreateObject, session, entries, count, &mut object) {
            CKR_OK => Ok(object),
            code => Err(code),
        }
    }

    pub(crate) fn attribute(
        &self,
        session: CK_SESSION_HANDLE,
        object: CK_OBJECT_HANDLE,
        attribute: CK_ATTRIBUTE_TYPE,
    ) -> Result<Vec<u8>, CK_RV> {
        let mut entry = CK_ATTRIBUTE { type_: attribute, pValue: null_mut(), ulValueLen: 0 };
        match c!(self, C_GetAttributeValue, session, object, &mut entry, 1) {
            CKR_OK => {}
            code => return Err(code),
        }
        let mut value = vec![0_u8; entry.ulValueLen as usize];
        entry.pValue = value.as_mut_ptr().cast::<c_void>();
        ok!(self, C_GetAttributeValue, session, object, &mut entry, 1);
        Ok(value)
    }

    pub(crate) fn find(&self, session: CK_SESSION_HANDLE, mut template: Template) -> Vec<CK_OBJECT_HANDLE> {
        let (entries, count) = template.raw();
        ok!(self, C_FindObjectsInit, session, entries, count);
        let (mut found, mut page, mut got) = (Vec::new(), [0; 7], 0);
        loop {
            ok!(self, C_FindObjects, session, page.as_mut_ptr(), page.len() as CK_ULONG, &mut got);
            if got == 0 {
                break;
            }
            found.extend_from_slice(&page[..got as usize]);
        }
        ok!(self, C_FindObjectsFinal, session);
        found
    }

    /// Signs in one part, with the length asked for first.
    pub(crate) fn sign(
        &self,
        session: CK_SESSION_HANDLE,
        mechanism: &mut CK_MECHANISM,
        key: CK_OBJECT_HANDLE,
        data: &[u8],
    ) -> Result<Vec<u8>, CK_RV> {
        match c!(self, C_SignInit, session, mechanism, key) {
            CKR_OK => {}
            code => return Err(code),
        }
        let data = (data.as_ptr().cast_mut(), data.len() as CK_ULONG);
        crate::steps::output(|out, length| c!(self, C_Sign, session, data.0, data.1, out, length))
    }

    pub(crate) fn verify(
        &self,
        session: CK_SESSION_HANDLE,
        mechanism: &mut CK_MECHANISM,
        key: CK_OBJECT_HANDLE,
        data: &[u8],
        signature: &[u8],
    ) -> CK_RV {
        ok!(self, C_VerifyInit, session, mechanism, key);
        let (data, data_length) = (data.as_ptr().cast_mut(), data.len() as CK_ULONG);
        let (signature, length) = (signature.as_ptr().cast_mut(), signature.len() as CK_ULONG);
        c!(self, C_Verify, session, data, data_length, signature, length)
    }
}

/// A mechanism without parameter.
pub(crate) fn plain(mechanism: CK_MECHANISM_TYPE) -> CK_MECHANISM {
    CK_MECHANISM { mechanism, pParameter: null_mut(), ulParameterLen: 0 }
}

/// A mechanism whose parameter is `value`, which must outlive it.
pub(crate) fn with_parameter<T>(mechanism: CK_MECHANISM_TYPE, value: &mut T) -> CK_MECHANISM {
    let parameter: *mut T = value;
    CK_MECHANISM { mechanism, pParameter: parameter.cast(), ulParameterLen: size_of::<T>() as CK_ULONG }
}

/// A template under construction.
#[derive(Default, Clone)]
pub(crate) struct Template {
    values: Vec<(CK_ATTRIBUTE_TYPE, Vec<u8>)>,
    entries: Vec<CK_ATTRIBUTE>,
}

impl Template {
    pub(crate) fn with(mut self, attribute: CK_ATTRIBUTE_TYPE, value: &[u8]) -> Self {
        self.values.push((attribute, value.to_vec()));
        self
    }

    pub(crate) fn flag(self, attribute: CK_ATTRIBUTE_TYPE, flag: bool) -> Self {
        self.with(attribute, &[u8::from(flag)])
    }

    pub(crate) fn number(self, attribute: CK_ATTRIBUTE_TYPE, number: CK_ULONG) -> Self {
        self.with(attribute, &number.to_ne_bytes())
    }

    pub(crate) fn raw(&mut self) -> (*mut CK_ATTRIBUTE, CK_ULONG) {
        self.entries = self
            .values
            .iter_mut()
            .map(|(attribute, value)| CK_ATTRIBUTE {
                type_: *attribute,
                pValue: value.as_mut_ptr().cast(),
                ulValueLen: value.len() as CK_ULONG,
            })
            .collect();
        (self.entries.as_mut_ptr(), self.entries.len() as CK_ULONG)
    }
}

/// A token in slot 0 with both PINs set.
pub(crate) struct Bench {
    pub(crate) caller: Caller,
    pub(crate) folder: TempDir,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let caller = Caller::start(folder.path());
        assert_eq!(caller.init_token(0, OFFICER_PIN, "bench"), CKR_OK);
        let session = caller.open(0, CKF_RW_SESSION);
        assert_eq!(caller.login(session, CKU_SO, OFFICER_PIN), CKR_OK);
        ok!(caller, C_InitPIN, session, USER_PIN.as_ptr().cast_mut(), USER_PIN.len() as CK_ULONG);
        ok!(caller, C_CloseSession, session);
        Self { caller, folder }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn file(&self) -> Vec<u8> {
        std::fs::read(self.path().join("token-0.hsm")).unwrap()
    }
}
