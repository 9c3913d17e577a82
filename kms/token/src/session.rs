//! One session of a token, and logging in through it.

use std::collections::HashMap;

use cryptoki::context::Pkcs11;
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::MechanismType;
use cryptoki::object::ObjectHandle;
use cryptoki::session::{Session, UserType};
use cryptoki::slot::{Slot, TokenInfo as RawInfo};

use crate::error::{DeviceCause, PinTries, TokenError};
use crate::keys::PrivateKey;
use crate::library::Known;
use crate::types::{Pin, TokenName};
use crate::worker::{Fault, while_doing};

/// An open session; everything in here dies with it.
pub(crate) struct Open {
    pub(crate) library: Pkcs11,
    pub(crate) slot: Slot,
    pub(crate) session: Session,
    pub(crate) logged_in: bool,
    login_required: bool,
    pub(crate) keys: HashMap<Vec<u8>, PrivateKey>,
    pub(crate) keks: HashMap<String, ObjectHandle>,
    pub(crate) offers: Vec<(MechanismType, bool)>,
    /// The token it belongs to, and which of its lives.
    pub(crate) at: usize,
    pub(crate) life: u64,
    logins: u64,
}

/// A login that failed.
pub(crate) struct LoginFailed {
    pub(crate) error: Fault,
    /// Whether the token has looked at the PIN and refused it; one that is locked does not look.
    pub(crate) pin_refused: bool,
}

impl<E: Into<Fault>> From<E> for LoginFailed {
    fn from(error: E) -> Self {
        Self { error: error.into(), pin_refused: false }
    }
}

impl Open {
    pub(crate) fn new(
        library: &Pkcs11,
        slot: Slot,
        info: &RawInfo,
        token: &TokenName,
        (at, life): (usize, u64),
    ) -> Result<Self, Fault> {
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
            at,
            life,
            logins: 0,
        })
    }

    /// Takes up the token's login: handles that were found under another one are forgotten.
    pub(crate) fn join(&mut self, logins: u64, logged_in: bool) {
        if self.logins != logins {
            self.keys.clear();
            self.keks.clear();
            self.logins = logins;
        }
        self.logged_in = logged_in;
    }

    /// Refuses when the token wants a login first.
    pub(crate) fn require_login(&self, token: &TokenName) -> Result<(), Fault> {
        if self.login_required && !self.logged_in {
            return Err(Fault::Final(TokenError::NotLoggedIn { token: token.clone() }));
        }
        Ok(())
    }

    /// Logs in with the PIN that is held, if one is. It is not given when one try is left, nor after the token
    /// refused it; a device that failed, or says that the PIN is locked, says nothing about the PIN.
    pub(crate) fn log_in_again(&mut self, token: &TokenName, known: &mut Known) -> Result<(), Fault> {
        let Some(pin) = known.pin.take() else { return Ok(()) };
        let info = match self.info(token) {
            Ok(info) => info,
            Err(fault) => {
                known.pin = Some(pin);
                return Err(fault);
            }
        };
        if info.user_pin_final_try() && !info.user_pin_locked() {
            known.pin = Some(pin);
            return Err(Fault::Final(TokenError::PinHeldBack { token: token.clone() }));
        }
        let Err(failed) = self.log_in(token, &pin) else {
            known.pin = Some(pin);
            return Ok(());
        };
        if failed.pin_refused {
            known.refuse(pin);
        } else if !matches!(failed.error, Fault::Final(TokenError::PinLocked { .. }))
            || self.info(token).is_ok_and(|info| info.user_pin_locked())
        {
            known.pin = Some(pin);
        }
        Err(failed.error)
    }

    /// Gives the PIN to the token, unless it says that the PIN is locked.
    pub(crate) fn log_in(&mut self, token: &TokenName, pin: &Pin) -> Result<(), LoginFailed> {
        if self.info(token)?.user_pin_locked() {
            return Err(TokenError::PinLocked { token: token.clone() }.into());
        }
        let mut result = self.session.login(UserType::User, Some(pin.auth()));
        if let Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) = result {
            // The PIN was not looked at: log the process out, so that it is.
            self.session.logout().map_err(while_doing(token, "log out"))?;
            result = self.session.login(UserType::User, Some(pin.auth()));
        }
        let Err(error) = result else {
            self.logged_in = true;
            return Ok(());
        };
        let token = token.clone();
        let pin_refused = matches!(
            error,
            Error::Pkcs11(RvError::PinIncorrect | RvError::PinInvalid | RvError::PinLenRange, _)
        );
        let error = match error {
            Error::Pkcs11(RvError::PinIncorrect, _) => self.wrong_pin(token).into(),
            Error::Pkcs11(RvError::PinLocked, _) => TokenError::PinLocked { token }.into(),
            Error::Pkcs11(RvError::UserPinNotInitialized, _) => TokenError::PinNotSet { token }.into(),
            Error::Pkcs11(RvError::PinInvalid | RvError::PinLenRange, _) => {
                TokenError::PinForm { token, source: DeviceCause::from(error) }.into()
            }
            error => while_doing(&token, "log in")(error),
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

    fn info(&self, token: &TokenName) -> Result<RawInfo, Fault> {
        self.library.get_token_info(self.slot).map_err(while_doing(token, "describe itself"))
    }
}
