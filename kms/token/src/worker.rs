//! One job on a thread of the module: in a session, once more in a fresh one if that was lost.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use cryptoki::error::{Error, RvError};
use zeroize::Zeroizing;

use crate::error::{DeviceCause, TokenError};
use crate::library::{Known, Library, Life, missing};
use crate::queue::{Job, Outcome, Queue};
use crate::request::{Answer, Request};
use crate::session::Open;
use crate::types::{Pin, TokenInfo, TokenName};

/// A thread's view of its module, for one job.
pub(crate) struct Worker<'a> {
    pub(crate) library: &'a Library,
    /// Whether the job is a login.
    pub(crate) brings_pin: bool,
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
        let brings_pin = matches!(request, Request::Login { .. });
        let worker = Worker { library, brings_pin, until, deadline };
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
        let Some(mut life) = known.life.take() else { return Err(missing(token, Vec::new())) };
        let result = try_pin(&mut life, token, known, pin);
        // Where a PIN is held that does not stand, every session is closed, and the next job begins again.
        if life.logged_in || known.pin.is_none() {
            known.life = Some(life);
        }
        result
    }

    /// Forgets the PIN, whether the token is there or not, and logs out.
    fn logout(&self, token: &TokenName) -> Result<(), TokenError> {
        self.library.forget(token);
        let (mut state, at) = self.library.alone_with(token, self)?;
        let Some(known) = state.tokens.get_mut(at) else { return Ok(()) };
        known.pin = None; // it may have been known by another name
        let Some(life) = known.life.as_mut().filter(|life| life.logged_in) else { return Ok(()) };
        life.logged_in = false;
        life.logins += 1;
        let Some(Err(error)) = life.idle.last().map(log_out) else { return Ok(()) };
        // Closing every session of the process logs out, too.
        known.life = None;
        Err(while_doing(token, "log out")(error).into())
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

/// Logs out; no matter if somebody else did so before.
fn log_out(open: &Open) -> Result<(), Error> {
    match open.session.logout() {
        Err(Error::Pkcs11(RvError::UserNotLoggedIn, _)) => Ok(()),
        result => result,
    }
}

/// Logs in with a PIN, and after a wrong one again with the PIN of the login that stood.
fn try_pin(life: &mut Life, token: &TokenName, known: &mut Known, pin: Pin) -> Result<(), TokenError> {
    known.may_try(token, &pin)?;
    let stood = life.logged_in;
    if stood && known.pin.as_ref().is_some_and(|held| held.matches(&pin)) {
        return Ok(());
    }
    let Some(open) = life.idle.last_mut() else { return Err(missing(token, Vec::new())) };
    life.logged_in = false;
    life.logins += 1;
    if stood {
        // Logged in with another PIN: only a fresh login shows whether this one is right, too.
        log_out(open).map_err(while_doing(token, "log out"))?;
    }
    let Err(failed) = open.log_in(token, &pin) else {
        life.logged_in = true;
        known.pin = Some(pin);
        known.refused.clear();
        return Ok(());
    };
    if failed.pin_refused {
        known.refuse(pin);
    }
    life.logged_in = stood && restore(open, token, known);
    Err(failed.error.into())
}

/// Logs in again with the PIN of the login that stood until now; one that the token refuses is held no longer.
fn restore(open: &mut Open, token: &TokenName, known: &mut Known) -> bool {
    let Some(held) = known.pin.take() else { return false };
    let Err(failed) = open.log_in(token, &held) else {
        known.pin = Some(held);
        return true;
    };
    if failed.pin_refused {
        known.refuse(held);
    } else {
        known.pin = Some(held);
    }
    let error = TokenError::from(failed.error);
    tracing::warn!(%token, %error, "could not log in again with the PIN held");
    false
}
