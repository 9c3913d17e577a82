//! One job on a thread of the module: in a session, once more in a fresh one if that was lost.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use cryptoki::error::{Error, RvError};
use zeroize::Zeroizing;

use crate::error::{DeviceCause, TokenError};
use crate::library::{Library, missing};
use crate::queue::{Job, Outcome, Queue};
use crate::request::{Answer, Request};
use crate::session::Open;
use crate::types::{Pin, TokenInfo, TokenName};

/// Wrong PINs that a token is asked about while the right one stands.
const GUESSES_MAX: u32 = 3;

/// A thread's view of its module, for one job.
pub(crate) struct Worker<'a> {
    pub(crate) library: &'a Library,
    until: Instant,
    deadline: Duration,
}

/// A failure, and what may help.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The device, or its login, is gone: begin again.
    Lost(TokenError),
    /// This session is not usable any more, or a handle in it: take a fresh one.
    Stale(TokenError),
    /// Trying again changes nothing.
    Final(TokenError),
}

impl From<TokenError> for Fault {
    fn from(error: TokenError) -> Self {
        Self::Final(error)
    }
}

impl From<Fault> for TokenError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Lost(error) | Fault::Stale(error) | Fault::Final(error) => error,
        }
    }
}

/// Names what was being done when the token answered with an error.
pub(crate) fn while_doing(token: &TokenName, what: &'static str) -> impl Fn(Error) -> Fault {
    let token = token.to_string();
    move |error| {
        let (lost, stale) = (is_lost(&error), is_stale(&error));
        let source = DeviceCause::from(error);
        let error = TokenError::Device { token: token.clone(), what: what.into(), source };
        match (lost, stale) {
            (true, _) => Fault::Lost(error),
            (_, true) => Fault::Stale(error),
            _ => Fault::Final(error),
        }
    }
}

pub(crate) fn is_lost(error: &Error) -> bool {
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
            | RvError::CryptokiNotInitialized
    )
}

/// An operation that an error left behind, or an object that is gone or has another handle now.
fn is_stale(error: &Error) -> bool {
    let Error::Pkcs11(code, _) = error else { return false };
    matches!(
        code,
        RvError::OperationActive
            | RvError::OperationNotInitialized
            | RvError::KeyHandleInvalid
            | RvError::ObjectHandleInvalid
    )
}

/// A session that is taken out, and comes back whatever happens.
struct Taken<'a> {
    worker: &'a Worker<'a>,
    token: &'a TokenName,
    open: Option<Open>,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        if let Some(open) = self.open.take() {
            self.worker.library.replace(open, self.token); // the work panicked inside the module's binding
        }
    }
}

/// The thread: one job after the other, until the queue is closed.
pub(crate) fn serve(library: &Library, lane: usize, queue: &Queue) {
    while let Some(Job { request, until, deadline, reply, .. }) = queue.next() {
        if reply.is_gone() {
            continue; // whoever asked has left: do not begin
        }
        let worker = Worker { library, until, deadline };
        let outcome = if worker.left().is_zero() {
            Err(worker.late())
        } else {
            let what = request.what();
            library.doing.begin(lane, what, deadline);
            let outcome = catch_unwind(AssertUnwindSafe(|| worker.answer(request)));
            library.doing.end(lane);
            outcome.unwrap_or_else(|_panic| Err(worker.broke_down(what)))
        };
        let _gone = reply.send(outcome); // whoever asked may have left
    }
}

impl Worker<'_> {
    /// How much time the job has left.
    pub(crate) fn left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }

    /// That time is over.
    pub(crate) fn late(&self) -> TokenError {
        TokenError::late(self.library.path(), self.deadline, self.library.doing.stuck())
    }

    fn broke_down(&self, what: &'static str) -> TokenError {
        let token = self.library.path().display().to_string();
        TokenError::Device { token, what: what.into(), source: DeviceCause::told("its binding panicked") }
    }

    fn answer(&self, request: Request) -> Outcome {
        let bytes = |bytes| Answer::Bytes { bytes: Zeroizing::new(bytes) };
        Ok(match request {
            Request::Tokens {} => Answer::Tokens { tokens: self.tokens()? },
            Request::Keys { token } => Answer::Keys { keys: self.keys(&token)? },
            Request::FindKey { token, label, id } => Answer::Key { key: self.find_key(&token, &label, &id)? },
            Request::Login { token, pin } => self.login(&token, pin).map(|()| Answer::Done {})?,
            Request::Logout { token } => self.logout(&token).map(|()| Answer::Done {})?,
            Request::HoldPin { token, pin } => {
                self.library.hold(token, pin);
                Answer::Done {}
            }
            Request::GenerateKey { token, kind, label, id } => {
                Answer::Key { key: self.generate_key(&token, kind, &label, &id)? }
            }
            Request::RemoveKey { token, id } => self.remove_key(&token, &id).map(|()| Answer::Done {})?,
            Request::GenerateKek { token, label, id } => {
                self.generate_kek(&token, &label, &id).map(|()| Answer::Done {})?
            }
            Request::FindKek { token, label } => Answer::Found { found: self.find_kek(&token, &label)? },
            Request::DestroyKek { token, label } => {
                Answer::Found { found: self.destroy_kek(&token, &label)? }
            }
            Request::Encrypt { token, kek, nonce, aad, plaintext } => {
                bytes(self.encrypt(&token, &kek, nonce, &aad, &plaintext)?)
            }
            Request::Decrypt { token, kek, nonce, aad, ciphertext } => {
                Answer::Bytes { bytes: self.decrypt(&token, &kek, nonce, &aad, &ciphertext)? }
            }
            Request::Sign { token, id, scheme, payload } => bytes(self.sign(&token, &id, scheme, &payload)?),
            Request::Random { token, len } => bytes(self.random(&token, len)?),
            Request::InitToken { so_pin, pin, label } => {
                Answer::Token { token: self.init_token(&so_pin, &pin, &label)? }
            }
        })
    }

    /// Works in a session of the token. When the session turns out to be lost, everything is dropped, opened and
    /// found again, once; when only a handle or an operation in it is stale, a fresh session is taken, once. What
    /// the first attempt made is not looked at again: one answer at most leaves.
    pub(crate) fn with<R>(
        &self,
        token: &TokenName,
        mut work: impl FnMut(&mut Open) -> Result<R, Fault>,
    ) -> Result<R, TokenError> {
        let (mut lost, mut stale) = (false, false);
        loop {
            match self.try_with(token, &mut work) {
                Err(Fault::Lost(error)) if !lost && !self.left().is_zero() => {
                    tracing::warn!(%token, %error, "token session lost: beginning again");
                    lost = true;
                }
                Err(Fault::Stale(error)) if !stale && !self.left().is_zero() => {
                    tracing::info!(%token, %error, "token session stale: taking a fresh one");
                    stale = true;
                }
                result => return Ok(result?),
            }
        }
    }

    fn try_with<R>(
        &self,
        token: &TokenName,
        work: &mut impl FnMut(&mut Open) -> Result<R, Fault>,
    ) -> Result<R, Fault> {
        let mut taken = Taken { worker: self, token, open: Some(self.library.take(token, self)?) };
        let Some(open) = taken.open.as_mut() else { return Err(missing(token, Vec::new()).into()) };
        let result = work(open);
        if let Some(open) = taken.open.take() {
            match &result {
                Err(Fault::Lost(_)) => self.library.lose(open, self)?,
                Err(Fault::Stale(_)) => self.library.replace(open, token),
                _ => self.library.give_back(open),
            }
        }
        result
    }

    /// The tokens that are present.
    fn tokens(&self) -> Result<Vec<TokenInfo>, TokenError> {
        let present = self.library.present(self)?;
        Ok(present.iter().map(|(_, info)| self.library.describe(info)).collect())
    }

    /// Logs in. `C_Login` is called at most once for a PIN that is not known to be right.
    fn login(&self, token: &TokenName, pin: Pin) -> Result<(), TokenError> {
        // Asks for a session that is alive, so that the PIN is not spent on a dead one.
        self.with(token, |open| {
            open.session.get_session_info().map(|_| ()).map_err(while_doing(token, "show its session"))
        })?;
        let (mut state, at) = self.library.alone_with(token, self)?;
        let Some(known) = state.tokens.get_mut(at) else { return Err(missing(token, Vec::new())) };
        if known.refused.as_ref().is_some_and(|refused| refused.matches(&pin)) {
            return Err(TokenError::PinRefusedBefore { token: token.clone() });
        }
        // The login that stands sets the token's own count of wrong PINs back each time, so they are counted here.
        if known.guesses >= GUESSES_MAX && known.pin.as_ref().is_some_and(|held| !held.matches(&pin)) {
            return Err(TokenError::PinGuessed { token: token.clone() });
        }
        let Some(life) = known.life.as_mut() else { return Err(missing(token, Vec::new())) };
        let Some(open) = life.idle.last_mut() else { return Err(missing(token, Vec::new())) };
        if life.logged_in {
            if known.pin.as_ref().is_some_and(|held| held.matches(&pin)) {
                return Ok(());
            }
            // Logged in with another PIN: only a fresh login shows whether this one is right, too.
            open.session.logout().map_err(while_doing(token, "log out"))?;
        }
        life.logged_in = false;
        life.logins += 1;
        match open.log_in(token, &pin) {
            Ok(()) => {
                life.logged_in = true;
                known.pin = Some(pin);
                known.refused = None;
                known.guesses = 0;
                Ok(())
            }
            Err(failed) => {
                if failed.pin_refused {
                    known.guesses = known.guesses.saturating_add(1);
                    known.refused = Some(pin);
                }
                if let Some(held) = &known.pin {
                    match open.log_in(token, held) {
                        Ok(()) => life.logged_in = true,
                        Err(again) => {
                            let error = TokenError::from(again.error);
                            tracing::warn!(%token, %error, "could not log in again with the PIN held");
                        }
                    }
                }
                Err(failed.error.into())
            }
        }
    }

    /// Logs out and forgets the PIN.
    fn logout(&self, token: &TokenName) -> Result<(), TokenError> {
        let (mut state, at) = self.library.alone_with(token, self)?;
        let Some(known) = state.tokens.get_mut(at) else { return Ok(()) };
        known.pin = None;
        let Some(life) = known.life.as_mut().filter(|life| life.logged_in) else { return Ok(()) };
        life.logged_in = false;
        life.logins += 1;
        match life.idle.last().map(|open| open.session.logout()) {
            None | Some(Ok(()) | Err(Error::Pkcs11(RvError::UserNotLoggedIn, _))) => Ok(()),
            Some(Err(error)) => {
                // Closing every session of the process logs out, too.
                known.life = None;
                Err(while_doing(token, "log out")(error).into())
            }
        }
    }

    /// Random bytes of the token's own generator.
    fn random(&self, token: &TokenName, len: usize) -> Result<Vec<u8>, TokenError> {
        self.with(token, |open| {
            let mut bytes = vec![0; len];
            open.session
                .generate_random_slice(&mut bytes)
                .map_err(while_doing(token, "give random bytes"))?;
            Ok(bytes)
        })
    }
}
