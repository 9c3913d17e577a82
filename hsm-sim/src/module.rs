//! The library's state: slots, sessions, who is logged in, session objects. The safe layer behind the C list.
//!
//! Each method is one PKCS#11 function. Locks are taken in one order: the state, then one session's operations;
//! cryptography on a key runs with the session's lock only, so that sessions sign side by side.

pub(crate) mod crypto;
mod events;
mod faults;
mod keys;
pub(crate) mod objects;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cryptoki_sys as sys;
use cryptoki_sys::{CK_FLAGS, CK_OBJECT_HANDLE, CK_SESSION_HANDLE, CK_SLOT_ID, CK_STATE};

use self::faults::Closing;
use crate::error::{Refusal, Result};
use crate::faults::Injector;
use crate::object::Object;
use crate::operation::{Context, Operations};
use crate::seal::Role;
use crate::store;
use crate::token::{Freshness, Handles, Token};

/// The slots, numbered from 0; each holds a token, initialised or not.
pub const SLOTS: u64 = 4;
/// The most sessions open at once.
pub const SESSIONS_MAX: usize = 4096;

/// The token library of one application.
pub struct Module {
    state: Mutex<State>,
    faults: Injector,
    closing: Closing,
}

impl fmt::Debug for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Module(redacted)")
    }
}

struct State {
    handles: Handles,
    tokens: Vec<Token>,
    sessions: BTreeMap<CK_SESSION_HANDLE, Arc<Session>>,
    session_objects: BTreeMap<CK_OBJECT_HANDLE, SessionObject>,
    bays: Vec<Bay>,
    /// Sessions that went with their token and have not been told yet.
    lost: BTreeSet<CK_SESSION_HANDLE>,
}

/// What a slot shows from outside.
#[derive(Debug, Default, Clone)]
struct Bay {
    /// The token is out.
    pulled: bool,
    /// Something happened that `C_WaitForSlotEvent` has not reported.
    event: bool,
}

struct Session {
    slot: CK_SLOT_ID,
    read_write: bool,
    operations: Mutex<Operations>,
}

/// An object that dies with the session that made it.
struct SessionObject {
    slot: CK_SLOT_ID,
    owner: CK_SESSION_HANDLE,
    object: Arc<Object>,
}

/// What `C_GetTokenInfo` shows.
#[derive(Debug)]
pub struct TokenStatus {
    /// Padded with blanks.
    pub label: [u8; 32],
    /// 16 hexadecimal digits, blanks before initialisation.
    pub serial: [u8; 16],
    /// `CKF_...`.
    pub flags: CK_FLAGS,
    /// Sessions open in this process.
    pub sessions: u64,
    /// Of them, read-write ones.
    pub sessions_read_write: u64,
}

/// What `C_GetSessionInfo` shows.
#[derive(Debug)]
pub struct SessionStatus {
    /// The slot of its token.
    pub slot: CK_SLOT_ID,
    /// `CKS_...`.
    pub state: CK_STATE,
    /// `CKF_...`.
    pub flags: CK_FLAGS,
}

impl Module {
    /// A library on the folder of the environment (`HSM_SIM_DIR`, or the user's data folder).
    ///
    /// # Errors
    /// If no folder can be named.
    pub fn from_environment() -> Result<Self> {
        store::folder().map(|folder| Self::new(&folder))
    }

    /// A library on `folder`, which is made when the first token is initialised.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        let handles = Handles::new();
        let tokens: Vec<_> = (0..SLOTS).map(|slot| Token::new(folder, slot, handles.clone())).collect();
        let (sessions, session_objects) = (BTreeMap::new(), BTreeMap::new());
        let (bays, lost) = (vec![Bay::default(); tokens.len()], BTreeSet::new());
        let state = State { handles, tokens, sessions, session_objects, bays, lost };
        let faults = Injector::new(folder);
        let module = Self { state: Mutex::new(state), faults, closing: Closing::default() };
        // Events count from here. What cannot be read says so when it is used.
        let _ = module.take_event();
        module.state().bays.iter_mut().for_each(|bay| bay.event = false);
        module
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic is answered with CKR_GENERAL_ERROR; what it left behind is whole, because objects are
        // replaced, never edited.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `C_GetTokenInfo`.
    ///
    /// # Errors
    /// If there is no such slot, or its file cannot be read.
    pub fn token_status(&self, slot: CK_SLOT_ID) -> Result<TokenStatus> {
        let mut state = self.state();
        state.present(slot)?;
        state.refresh(slot)?;
        let own = || state.sessions.values().filter(|session| session.slot == slot);
        let (sessions, sessions_read_write) =
            (own().count(), own().filter(|session| session.read_write).count());
        let token = state.token(slot)?;
        Ok(TokenStatus {
            label: token.label(),
            serial: token.serial(),
            flags: token.flags(),
            sessions: sessions as u64,
            sessions_read_write: sessions_read_write as u64,
        })
    }

    /// The slots: all, or those with a token in them.
    #[must_use]
    pub fn slots(&self, with_token: bool) -> Vec<CK_SLOT_ID> {
        let state = self.state();
        let bays = (0..).zip(&state.bays).filter(|(_, bay)| !with_token || !bay.pulled);
        bays.map(|(slot, _)| slot).collect()
    }

    /// Whether there is a token in this slot.
    ///
    /// # Errors
    /// [`Refusal::Slot`] if there is no such slot.
    pub fn has_token(&self, slot: CK_SLOT_ID) -> Result<bool> {
        let state = self.state();
        state.token(slot)?;
        Ok(state.present(slot).is_ok())
    }

    /// Whether there is such a slot with a token in it.
    ///
    /// # Errors
    /// [`Refusal::Slot`] or [`Refusal::TokenNotPresent`] if not.
    pub fn check_token(&self, slot: CK_SLOT_ID) -> Result<()> {
        self.state().present(slot)
    }

    /// `C_InitToken`: the label is padded with blanks.
    ///
    /// # Errors
    /// If a session is open on the token, or the PIN is not its security officer's.
    pub fn init_token(&self, slot: CK_SLOT_ID, pin: &[u8], label: [u8; 32]) -> Result<()> {
        let mut state = self.state();
        state.present(slot)?;
        state.refresh(slot)?;
        if state.sessions.values().any(|session| session.slot == slot) {
            return Err(Refusal::SessionExists.into());
        }
        state.token_mut(slot)?.initialise(pin, label)
    }

    /// `C_OpenSession`.
    ///
    /// # Errors
    /// If the token is not initialised, or the security officer is logged in and the session is read-only.
    pub fn open_session(&self, slot: CK_SLOT_ID, read_write: bool) -> Result<CK_SESSION_HANDLE> {
        let mut state = self.state();
        state.present(slot)?;
        state.refresh(slot)?;
        let token = state.token(slot)?;
        if !token.is_initialised() {
            return Err(Refusal::TokenNotRecognized.into());
        }
        if !read_write && token.role() == Some(Role::Officer) {
            return Err(Refusal::SessionSecurityOfficer.into());
        }
        if state.sessions.len() >= SESSIONS_MAX {
            return Err(Refusal::SessionCount.into());
        }
        let handle = state.handles.next();
        let session = Session { slot, read_write, operations: Mutex::default() };
        state.sessions.insert(handle, Arc::new(session));
        Ok(handle)
    }

    /// `C_CloseSession`: its objects die; closing the last one logs out.
    ///
    /// # Errors
    /// If there is no such session.
    pub fn close_session(&self, handle: CK_SESSION_HANDLE) -> Result<()> {
        let mut state = self.state();
        let session = state.session(handle)?;
        state.sessions.remove(&handle);
        state.session_objects.retain(|_, object| object.owner != handle);
        *session.operations() = Operations::default();
        if !state.sessions.values().any(|other| other.slot == session.slot) {
            state.token_mut(session.slot)?.logout();
        }
        Ok(())
    }

    /// `C_CloseAllSessions`.
    ///
    /// # Errors
    /// If there is no such slot.
    pub fn close_all_sessions(&self, slot: CK_SLOT_ID) -> Result<()> {
        let mut state = self.state();
        state.present(slot)?;
        state.token_mut(slot)?.logout();
        state.drop_sessions(slot);
        Ok(())
    }

    /// `C_GetSessionInfo`.
    ///
    /// # Errors
    /// If there is no such session.
    pub fn session_status(&self, handle: CK_SESSION_HANDLE) -> Result<SessionStatus> {
        let mut state = self.state();
        let session = state.live(handle)?;
        let role = state.token(session.slot)?.role();
        let (mut flags, mut session_state) = (sys::CKF_SERIAL_SESSION, read_only_state(role));
        if session.read_write {
            flags |= sys::CKF_RW_SESSION;
            session_state = read_write_state(role);
        }
        Ok(SessionStatus { slot: session.slot, state: session_state, flags })
    }

    /// `C_Login`.
    ///
    /// # Errors
    /// If the PIN is wrong or locked, or somebody is logged in.
    pub fn login(&self, handle: CK_SESSION_HANDLE, role: Role, pin: &[u8]) -> Result<()> {
        let mut state = self.state();
        let session = state.live(handle)?;
        match state.token(session.slot)?.role() {
            Some(known) if known == role => return Err(Refusal::AlreadyLoggedIn.into()),
            Some(_) => return Err(Refusal::AnotherLoggedIn.into()),
            None => {}
        }
        let mut own = state.sessions.values().filter(|other| other.slot == session.slot);
        if role == Role::Officer && own.any(|other| !other.read_write) {
            return Err(Refusal::SessionReadOnlyExists.into());
        }
        state.token_mut(session.slot)?.login(role, pin)
    }

    /// `C_Login` with `CKU_CONTEXT_SPECIFIC`: the PIN once more, for an operation with a key that asks for it.
    ///
    /// # Errors
    /// If no such operation waits, or the PIN is wrong or locked. The operation goes on waiting then.
    pub fn login_for_operation(&self, handle: CK_SESSION_HANDLE, pin: &[u8]) -> Result<()> {
        let mut state = self.state();
        let session = state.live(handle)?;
        if session.operations().context != Context::Needed {
            return Err(Refusal::OperationMissing.into());
        }
        state.token_mut(session.slot)?.confirm_user(pin)?;
        session.operations().context = Context::Given;
        Ok(())
    }

    /// `C_Logout`: private objects, session ones too, and operations on keys end.
    ///
    /// # Errors
    /// If nobody is logged in.
    pub fn logout(&self, handle: CK_SESSION_HANDLE) -> Result<()> {
        let mut state = self.state();
        let session = state.session(handle)?;
        let token = state.token_mut(session.slot)?;
        if token.role().is_none() {
            return Err(Refusal::NotLoggedIn.into());
        }
        token.logout();
        state.session_objects.retain(|_, own| own.slot != session.slot || !own.object.is_private());
        let own = state.sessions.values().filter(|other| other.slot == session.slot);
        own.for_each(|other| other.operations().end_keyed());
        Ok(())
    }

    /// `C_InitPIN`.
    ///
    /// # Errors
    /// If the security officer is not logged in, or the PIN's length is out of range.
    pub fn init_pin(&self, handle: CK_SESSION_HANDLE, pin: &[u8]) -> Result<()> {
        let mut state = self.state();
        let session = state.live(handle)?;
        match state.token(session.slot)?.role() {
            Some(Role::Officer) => state.token_mut(session.slot)?.set_user_pin(pin),
            _ => Err(Refusal::NotLoggedIn.into()),
        }
    }

    /// `C_SetPIN`.
    ///
    /// # Errors
    /// If the session is read-only, the old PIN is wrong or locked, or the new one's length is out of range.
    pub fn set_pin(&self, handle: CK_SESSION_HANDLE, old: &[u8], new: &[u8]) -> Result<()> {
        let mut state = self.state();
        let session = state.live(handle)?;
        if !session.read_write {
            return Err(Refusal::SessionReadOnly.into());
        }
        state.token_mut(session.slot)?.change_pin(old, new)
    }

    /// Whether there is such a session, for functions that need nothing else.
    ///
    /// # Errors
    /// If there is none.
    pub fn check_session(&self, handle: CK_SESSION_HANDLE) -> Result<()> {
        self.state().session(handle).map(|_| ())
    }
}

impl Session {
    fn operations(&self) -> MutexGuard<'_, Operations> {
        self.operations.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn token(&self, slot: CK_SLOT_ID) -> Result<&Token> {
        let index = usize::try_from(slot).or(Err(Refusal::Slot))?;
        Ok(self.tokens.get(index).ok_or(Refusal::Slot)?)
    }

    fn token_mut(&mut self, slot: CK_SLOT_ID) -> Result<&mut Token> {
        let index = usize::try_from(slot).or(Err(Refusal::Slot))?;
        Ok(self.tokens.get_mut(index).ok_or(Refusal::Slot)?)
    }

    /// Refuses a slot that is not there or has no token in it.
    fn present(&self, slot: CK_SLOT_ID) -> Result<()> {
        let index = usize::try_from(slot).or(Err(Refusal::Slot))?;
        let bay = self.bays.get(index).ok_or(Refusal::Slot)?;
        if bay.pulled { Err(Refusal::TokenNotPresent.into()) } else { Ok(()) }
    }

    /// A session that is open. One that went with its token is told so once.
    fn session(&mut self, handle: CK_SESSION_HANDLE) -> Result<Arc<Session>> {
        match self.sessions.get(&handle) {
            Some(session) => Ok(Arc::clone(session)),
            None if self.lost.remove(&handle) => Err(Refusal::TokenRemoved.into()),
            None => Err(Refusal::SessionHandle.into()),
        }
    }

    /// A session whose token is as it is on disk now.
    fn live(&mut self, handle: CK_SESSION_HANDLE) -> Result<Arc<Session>> {
        let slot = self.session(handle)?.slot;
        self.refresh(slot)?;
        self.session(handle)
    }

    /// Takes up what another process wrote. A token made anew loses its sessions, as a removed one would.
    fn refresh(&mut self, slot: CK_SLOT_ID) -> Result<()> {
        let freshness = self.token_mut(slot)?.refresh()?;
        if freshness == Freshness::Same {
            return Ok(());
        }
        if freshness == Freshness::Replaced {
            self.remove_sessions(slot);
        }
        let bay = usize::try_from(slot).ok().and_then(|slot| self.bays.get_mut(slot));
        bay.into_iter().for_each(|bay| bay.event = true);
        Ok(())
    }

    /// The token is gone: sessions, their objects and the login go with it.
    fn remove_sessions(&mut self, slot: CK_SLOT_ID) {
        let own = self.sessions.iter().filter(|(_, session)| session.slot == slot);
        self.lost.extend(own.map(|(handle, _)| *handle));
        while self.lost.len() > SESSIONS_MAX {
            self.lost.pop_first();
        }
        self.token_mut(slot).into_iter().for_each(Token::logout);
        self.drop_sessions(slot);
    }

    fn drop_sessions(&mut self, slot: CK_SLOT_ID) {
        let own = self.sessions.values().filter(|session| session.slot == slot);
        own.for_each(|session| *session.operations() = Operations::default());
        self.sessions.retain(|_, session| session.slot != slot);
        self.session_objects.retain(|_, object| object.slot != slot);
    }
}

fn read_only_state(role: Option<Role>) -> CK_STATE {
    match role {
        Some(Role::User) => sys::CKS_RO_USER_FUNCTIONS,
        _ => sys::CKS_RO_PUBLIC_SESSION,
    }
}

fn read_write_state(role: Option<Role>) -> CK_STATE {
    match role {
        Some(Role::User) => sys::CKS_RW_USER_FUNCTIONS,
        Some(Role::Officer) => sys::CKS_RW_SO_FUNCTIONS,
        None => sys::CKS_RW_PUBLIC_SESSION,
    }
}
