//! The thread's side: sessions, logins and new beginnings.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::MechanismType;
use cryptoki::object::ObjectHandle;
use cryptoki::session::{Session, UserType};
use cryptoki::slot::{Slot, TokenInfo as RawInfo};

use crate::error::{DeviceCause, PinTries, TokenError};
use crate::keys::PrivateKey;
use crate::types::{Pin, TokenInfo, TokenName};

/// All that the thread knows of its module.
pub(crate) struct Worker {
    path: PathBuf,
    library: Pkcs11,
    started_here: bool,
    names: HashMap<TokenName, usize>,
    /// Tokens seen so far; an index stays valid.
    tokens: Vec<Known>,
}

/// A token, present or not.
struct Known {
    label: String,
    serial: String,
    open: Option<Open>,
    pin: Option<Pin>,
    refused: Option<Pin>,
}

/// A token with an open session; everything in here dies with the session.
pub(crate) struct Open {
    pub(crate) library: Pkcs11,
    pub(crate) slot: Slot,
    /// The anchor: as long as it is open, the login stands.
    pub(crate) session: Session,
    pub(crate) logged_in: bool,
    pub(crate) login_required: bool,
    pub(crate) keys: HashMap<Vec<u8>, PrivateKey>,
    pub(crate) keks: HashMap<String, ObjectHandle>,
    pub(crate) offers: Vec<(MechanismType, bool)>,
}

/// A failure, and whether a new session may help.
pub(crate) enum Fault {
    /// The session or the device is gone.
    Lost(TokenError),
    /// Trying again changes nothing.
    Final(TokenError),
}

/// A login that failed.
struct LoginFailed {
    error: TokenError,
    /// Whether the token has looked at the PIN and refused it; one that is locked does not look.
    pin_refused: bool,
}

impl<E: Into<TokenError>> From<E> for LoginFailed {
    fn from(error: E) -> Self {
        Self { error: error.into(), pin_refused: false }
    }
}

impl From<TokenError> for Fault {
    fn from(error: TokenError) -> Self {
        Self::Final(error)
    }
}

impl From<Fault> for TokenError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Lost(error) | Fault::Final(error) => error,
        }
    }
}

/// Names what was being done when the token answered with an error.
pub(crate) fn while_doing(token: &TokenName, what: &'static str) -> impl Fn(Error) -> Fault {
    let token = token.to_string();
    move |error| {
        let lost = is_lost(&error);
        let error = TokenError::Device { token: token.clone(), what, source: DeviceCause(error) };
        if lost { Fault::Lost(error) } else { Fault::Final(error) }
    }
}

fn is_lost(error: &Error) -> bool {
    let Error::Pkcs11(code, _) = error else { return false };
    matches!(
        code,
        RvError::DeviceError
            | RvError::DeviceRemoved
            | RvError::GeneralError
            | RvError::FunctionFailed
            | RvError::SessionClosed
            | RvError::SessionHandleInvalid
            | RvError::SlotIdInvalid
            | RvError::TokenNotPresent
            | RvError::TokenNotRecognized
            | RvError::UserNotLoggedIn
            | RvError::KeyHandleInvalid
            | RvError::ObjectHandleInvalid
            | RvError::OperationActive
            | RvError::CryptokiNotInitialized
    )
}

impl Worker {
    pub(crate) fn start(path: &Path) -> Result<Self, TokenError> {
        let unusable =
            |error| TokenError::ModuleUnusable { path: path.to_owned(), source: DeviceCause(error) };
        let library = Pkcs11::new(path).map_err(unusable)?;
        let started_here = match initialise(&library) {
            Ok(()) => true,
            Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => false,
            Err(error) => return Err(unusable(error)),
        };
        let (names, tokens) = (HashMap::new(), Vec::new());
        Ok(Self { path: path.to_owned(), library, started_here, names, tokens })
    }

    /// Closes every session, and the library if it was started here.
    pub(crate) fn stop(mut self) {
        self.tokens.clear();
        if self.started_here
            && let Err(error) = self.library.finalize()
        {
            tracing::warn!(module = %self.path.display(), %error, "token module did not end cleanly");
        }
    }

    /// The tokens that are present.
    pub(crate) fn tokens(&mut self) -> Result<Vec<TokenInfo>, TokenError> {
        let present = self.present()?;
        Ok(present.iter().map(|(_, info)| self.describe(info)).collect())
    }

    /// Works in a session of the token. When the session turns out to be lost, everything is dropped, opened
    /// and found again, once.
    pub(crate) fn with<R>(
        &mut self,
        token: &TokenName,
        mut work: impl FnMut(&mut Open) -> Result<R, Fault>,
    ) -> Result<R, TokenError> {
        match self.connect(token).and_then(|at| work(self.opened(token, at)?)) {
            Ok(result) => Ok(result),
            Err(Fault::Final(error)) => Err(error),
            Err(Fault::Lost(error)) => {
                tracing::warn!(%token, %error, "token session lost: beginning again");
                self.forget(token);
                let at = self.connect(token)?;
                Ok(work(self.opened(token, at)?)?)
            }
        }
    }

    /// Logs in. `C_Login` is called at most once for a PIN that is not known to be right.
    pub(crate) fn login(&mut self, token: &TokenName, pin: Pin) -> Result<(), TokenError> {
        // Asks for a session that is alive, so that the PIN is not spent on a dead one.
        self.with(token, |open| {
            open.session.get_session_info().map(|_| ()).map_err(while_doing(token, "show its session"))
        })?;
        let at = self.connect(token)?;
        let Some(known) = self.tokens.get_mut(at) else { return Err(missing(token, Vec::new())) };
        if known.refused.as_ref().is_some_and(|refused| refused.matches(&pin)) {
            return Err(TokenError::PinRefusedBefore { token: token.clone() });
        }
        let Some(open) = known.open.as_mut() else { return Err(missing(token, Vec::new())) };
        if open.logged_in {
            if known.pin.as_ref().is_some_and(|held| held.matches(&pin)) {
                return Ok(());
            }
            // Logged in with another PIN: only a fresh login shows whether this one is right, too.
            open.session.logout().map_err(while_doing(token, "log out"))?;
            open.reset();
        }
        match open.log_in(token, &pin) {
            Ok(()) => {
                known.pin = Some(pin);
                known.refused = None;
                Ok(())
            }
            Err(failed) => {
                if failed.pin_refused {
                    known.refused = Some(pin);
                }
                if let Some(held) = &known.pin
                    && let Err(again) = open.log_in(token, held)
                {
                    let error = again.error;
                    tracing::warn!(%token, %error, "could not log in again with the PIN held");
                }
                Err(failed.error)
            }
        }
    }

    /// Random bytes of the token's own generator.
    pub(crate) fn random(&mut self, token: &TokenName, len: usize) -> Result<Vec<u8>, TokenError> {
        self.with(token, |open| {
            let mut bytes = vec![0; len];
            open.session
                .generate_random_slice(&mut bytes)
                .map_err(while_doing(token, "give random bytes"))?;
            Ok(bytes)
        })
    }

    /// Slots with a token in them, asked afresh: slot numbers change.
    pub(crate) fn present(&mut self) -> Result<Vec<(Slot, RawInfo)>, Fault> {
        let module = TokenName::new(self.path.display().to_string());
        let slots = match self.library.get_slots_with_token() {
            Err(Error::Pkcs11(RvError::CryptokiNotInitialized, _)) => {
                self.begin_again()?;
                self.library.get_slots_with_token()
            }
            other => other,
        };
        let slots = slots.map_err(while_doing(&module, "list its slots"))?;
        let mut present = Vec::new();
        for slot in slots {
            match self.library.get_token_info(slot) {
                Ok(info) => present.push((slot, info)),
                Err(error) if is_lost(&error) => {} // taken out between the two questions
                Err(error) => return Err(while_doing(&module, "describe a token")(error)),
            }
        }
        Ok(present)
    }

    pub(crate) fn library(&self) -> &Pkcs11 {
        &self.library
    }

    pub(crate) fn describe(&self, info: &RawInfo) -> TokenInfo {
        let is_this = |known: &&Known| known.is(info);
        let open = self.tokens.iter().find(is_this).and_then(|known| known.open.as_ref());
        TokenInfo {
            label: info.label().to_owned(),
            serial: info.serial_number().to_owned(),
            manufacturer: info.manufacturer_id().to_owned(),
            model: info.model().to_owned(),
            initialised: info.token_initialized(),
            pin_set: info.user_pin_initialized(),
            pin_locked: info.user_pin_locked(),
            pin_final_try: info.user_pin_final_try(),
            pin_count_low: info.user_pin_count_low(),
            logged_in: open.is_some_and(|open| open.logged_in),
        }
    }

    /// Drops the token's session and all that hangs on it.
    pub(crate) fn forget(&mut self, token: &TokenName) {
        if let Some(known) = self.names.get(token).and_then(|at| self.tokens.get_mut(*at)) {
            known.open = None;
        }
    }

    /// Somebody ended the library under us. INVARIANT: every session is dropped before the library starts
    /// again, because their handles may soon belong to other sessions.
    fn begin_again(&mut self) -> Result<(), Fault> {
        for known in &mut self.tokens {
            known.open = None;
        }
        match initialise(&self.library) {
            Ok(()) => self.started_here = true,
            Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
            Err(error) => {
                let source = DeviceCause(error);
                return Err(Fault::Final(TokenError::ModuleUnusable { path: self.path.clone(), source }));
            }
        }
        Ok(())
    }

    /// The index of the token, with a session open and, if a PIN is held, logged in.
    fn connect(&mut self, token: &TokenName) -> Result<usize, Fault> {
        if let Some(at) = self.names.get(token).copied() {
            if self.tokens.get(at).is_some_and(|known| known.open.is_some()) {
                return Ok(at);
            }
            self.names.remove(token);
        }
        let (slot, info) = self.locate(token)?;
        let at = self.index_of(&info);
        self.names.insert(token.clone(), at);
        let library = self.library.clone();
        let Some(known) = self.tokens.get_mut(at) else { return Err(missing(token, Vec::new()).into()) };
        if known.open.is_none() {
            let mut open = Open::new(&library, slot, &info, token)?;
            if let Some(pin) = known.pin.take() {
                match open.log_in(token, &pin) {
                    Ok(()) => known.pin = Some(pin),
                    Err(failed) => {
                        // A refused PIN is not tried again until a new one is given; a device that failed or is
                        // locked says nothing about the PIN.
                        let place = if failed.pin_refused { &mut known.refused } else { &mut known.pin };
                        *place = Some(pin);
                        return Err(failed.error.into());
                    }
                }
            }
            known.open = Some(open);
        }
        Ok(at)
    }

    /// The one token of that label or serial.
    fn locate(&mut self, token: &TokenName) -> Result<(Slot, RawInfo), Fault> {
        let present = self.present()?;
        let shown = |info: &RawInfo| format!("{} ({})", info.label(), info.serial_number());
        let names: Vec<String> = present
            .iter()
            .filter(|(_, info)| info.token_initialized())
            .map(|(_, info)| shown(info))
            .collect();
        let mut matching = present.into_iter().filter(|(_, info)| {
            info.token_initialized() && [info.label(), info.serial_number()].contains(&token.as_str())
        });
        let Some(found) = matching.next() else { return Err(missing(token, names).into()) };
        match matching.next() {
            None => Ok(found),
            Some((_, second)) => Err(Fault::Final(TokenError::TokenAmbiguous {
                wanted: token.clone(),
                first: shown(&found.1),
                second: shown(&second),
            })),
        }
    }

    fn index_of(&mut self, info: &RawInfo) -> usize {
        if let Some(at) = self.tokens.iter().position(|known| known.is(info)) {
            return at;
        }
        self.tokens.push(Known {
            label: info.label().to_owned(),
            serial: info.serial_number().to_owned(),
            open: None,
            pin: None,
            refused: None,
        });
        self.tokens.len() - 1
    }

    fn opened(&mut self, token: &TokenName, at: usize) -> Result<&mut Open, Fault> {
        let open = self.tokens.get_mut(at).and_then(|known| known.open.as_mut());
        open.ok_or_else(|| Fault::Lost(missing(token, Vec::new())))
    }
}

impl Known {
    fn is(&self, info: &RawInfo) -> bool {
        self.label == info.label() && self.serial == info.serial_number()
    }
}

impl Open {
    fn new(library: &Pkcs11, slot: Slot, info: &RawInfo, token: &TokenName) -> Result<Self, Fault> {
        let session = if info.write_protected() {
            library.open_ro_session(slot)
        } else {
            library.open_rw_session(slot)
        };
        Ok(Self {
            library: library.clone(),
            slot,
            session: session.map_err(while_doing(token, "open a session"))?,
            logged_in: false,
            login_required: info.login_required(),
            keys: HashMap::new(),
            keks: HashMap::new(),
            offers: Vec::new(),
        })
    }

    /// Refuses when the token wants a login first.
    pub(crate) fn require_login(&self, token: &TokenName) -> Result<(), Fault> {
        if self.login_required && !self.logged_in {
            return Err(Fault::Final(TokenError::NotLoggedIn { token: token.clone() }));
        }
        Ok(())
    }

    fn log_in(&mut self, token: &TokenName, pin: &Pin) -> Result<(), LoginFailed> {
        let info = self.library.get_token_info(self.slot).map_err(while_doing(token, "describe itself"))?;
        if info.user_pin_locked() {
            return Err(TokenError::PinLocked { token: token.clone() }.into());
        }
        let mut result = self.session.login(UserType::User, Some(pin.auth()));
        if let Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) = result {
            // The PIN was not looked at: log the process out, so that it is.
            self.session.logout().map_err(while_doing(token, "log out"))?;
            result = self.session.login(UserType::User, Some(pin.auth()));
        }
        let Err(error) = result else {
            self.reset();
            self.logged_in = true;
            return Ok(());
        };
        let token = token.clone();
        let pin_refused = matches!(
            error,
            Error::Pkcs11(RvError::PinIncorrect | RvError::PinInvalid | RvError::PinLenRange, _)
        );
        let error = match error {
            Error::Pkcs11(RvError::PinIncorrect, _) => self.wrong_pin(token),
            Error::Pkcs11(RvError::PinLocked, _) => TokenError::PinLocked { token },
            Error::Pkcs11(RvError::UserPinNotInitialized, _) => TokenError::PinNotSet { token },
            Error::Pkcs11(RvError::PinInvalid | RvError::PinLenRange, _) => {
                TokenError::PinForm { token, source: DeviceCause(error) }
            }
            error => while_doing(&token, "log in")(error).into(),
        };
        Err(LoginFailed { error, pin_refused })
    }

    fn wrong_pin(&self, token: TokenName) -> TokenError {
        let tries = match self.library.get_token_info(self.slot) {
            Ok(info) if info.user_pin_locked() => return TokenError::PinLocked { token },
            Ok(info) if info.user_pin_final_try() => PinTries::Final,
            Ok(info) if info.user_pin_count_low() => PinTries::Low,
            _ => PinTries::Unknown,
        };
        TokenError::PinWrong { token, tries }
    }

    /// Forgets the login and every handle that was found under it.
    fn reset(&mut self) {
        self.logged_in = false;
        self.keys.clear();
        self.keks.clear();
    }
}

fn initialise(library: &Pkcs11) -> Result<(), Error> {
    library.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK))
}

fn missing(token: &TokenName, present: Vec<String>) -> TokenError {
    TokenError::TokenMissing { wanted: token.clone(), present }
}
