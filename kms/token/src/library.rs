//! What a module's threads share: the tokens seen so far, their logins, and the sessions that lie ready.
//!
//! A thread takes a session out, works in it alone, and gives it back; more are opened as threads need them, up to
//! what the token bears. A session that is open stays open, so the login stands. Whoever logs in, or begins again
//! after a loss, waits until every session of the token is back: a session is closed before another can get its
//! handle, and no key is used under a login that is about to end.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::slot::{Limit, Slot, TokenInfo as RawInfo};

use crate::doing::Doing;
use crate::error::{DeviceCause, TokenError};
use crate::session::Open;
use crate::types::{Pin, TokenInfo, TokenName};
use crate::worker::{Fault, Worker, is_lost, while_doing};

/// A started module.
pub(crate) struct Library {
    path: PathBuf,
    pkcs11: Pkcs11,
    /// How many sessions of one token are used at once.
    lanes: usize,
    pub(crate) doing: Arc<Doing>,
    /// Held while a key-encryption key is looked for and made: two of one label would be ambiguous for ever.
    pub(crate) making: Mutex<()>,
    state: Mutex<State>,
    changed: Condvar,
}

/// What is known of all tokens.
#[derive(Default)]
pub(crate) struct State {
    started_here: bool,
    names: HashMap<TokenName, usize>,
    /// Tokens seen so far; an index stays valid.
    pub(crate) tokens: Vec<Known>,
    /// How many wait for all sessions to come back.
    quiet: usize,
    lives: u64,
    /// PINs of tokens that were not seen yet.
    held: HashMap<TokenName, Pin>,
}

/// A token, present or not.
pub(crate) struct Known {
    label: String,
    serial: String,
    pub(crate) life: Option<Life>,
    pub(crate) pin: Option<Pin>,
    /// PINs that it refused since it took one: not given again, and counted beside one that is held.
    pub(crate) refused: Vec<Pin>,
    /// How many wait for all its sessions to come back.
    quiet: usize,
}

/// A token from one beginning to the next loss.
pub(crate) struct Life {
    number: u64,
    pub(crate) logged_in: bool,
    /// Grows with each login: handles of an earlier one are not used again.
    pub(crate) logins: u64,
    slot: Slot,
    info: RawInfo,
    pub(crate) idle: Vec<Open>,
    out: usize,
    most: usize,
}

/// Wrong PINs that a token is asked about while the right one stands.
pub(crate) const GUESSES_MAX: usize = 3;
/// How many PINs that were refused are remembered; the oldest go first.
pub(crate) const REFUSED_MAX: usize = 64;

type Guard<'a> = MutexGuard<'a, State>;

impl Library {
    /// Loads and starts a module; it says how many threads may use it.
    pub(crate) fn start(path: &Path, lanes: usize, doing: Arc<Doing>) -> Result<Self, TokenError> {
        let unusable =
            |error| TokenError::ModuleUnusable { path: path.to_owned(), source: DeviceCause::from(error) };
        let pkcs11 = Pkcs11::new(path).map_err(unusable)?;
        let (started_here, lanes) = match initialise(&pkcs11, CInitializeFlags::OS_LOCKING_OK) {
            Ok(()) => (true, lanes),
            // Whoever started it may not have asked for locks.
            Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => (false, 1),
            Err(Error::Pkcs11(RvError::CantLock, _)) => {
                initialise(&pkcs11, CInitializeFlags::empty()).map_err(unusable)?;
                (true, 1)
            }
            Err(error) => return Err(unusable(error)),
        };
        let state = Mutex::new(State { started_here, ..State::default() });
        let (making, changed) = (Mutex::new(()), Condvar::new());
        Ok(Self { path: path.to_owned(), pkcs11, lanes, doing, making, state, changed })
    }

    pub(crate) const fn lanes(&self) -> usize {
        self.lanes
    }

    pub(crate) const fn pkcs11(&self) -> &Pkcs11 {
        &self.pkcs11
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A session of the token for one thread, logged in if a PIN is held.
    pub(crate) fn take(&self, token: &TokenName, worker: &Worker<'_>) -> Result<Open, Fault> {
        let mut state = self.state();
        loop {
            let (mut held, at) = self.connect(state, token, worker)?;
            if held.quiet == 0
                && let Some(open) = self.take_ready(&mut held, at, token)?
            {
                return Ok(open);
            }
            state = self.wait(held, worker)?;
        }
    }

    /// An idle session, or a new one if the token bears one more.
    fn take_ready(&self, state: &mut State, at: usize, token: &TokenName) -> Result<Option<Open>, Fault> {
        let Some(known) = state.tokens.get_mut(at) else { return Ok(None) };
        let Some(life) = known.life.as_mut().filter(|_| known.quiet == 0) else { return Ok(None) };
        let mut ready = life.idle.pop();
        if ready.is_none() && life.out < life.most {
            match Open::new(&self.pkcs11, life.slot, &life.info, token, (at, life.number)) {
                Ok(open) => ready = Some(open),
                // The token bears no more than are out: wait for one of them.
                Err(_) if life.out > 0 => life.most = life.out,
                Err(fault) => return Err(fault),
            }
        }
        Ok(ready.map(|mut open| {
            open.join(life.logins, life.logged_in);
            life.out += 1;
            open
        }))
    }

    /// Takes a session back.
    pub(crate) fn give_back(&self, open: Open) {
        let mut state = self.state();
        if let Some(life) = state.life_of(&open) {
            life.out = life.out.saturating_sub(1);
            life.idle.push(open);
        }
        drop(state);
        self.changed.notify_all();
    }

    /// Exchanges a session that is not usable any more for a fresh one; the login stands.
    pub(crate) fn replace(&self, open: Open, token: &TokenName) {
        let mut state = self.state();
        if let Some(life) = state.life_of(&open) {
            let place = (open.at, open.life);
            life.out = life.out.saturating_sub(1);
            match Open::new(&self.pkcs11, life.slot, &life.info, token, place) {
                Ok(fresh) => life.idle.push(fresh),
                // The last session goes, and the login with it: begin again from the start.
                Err(_) if life.out == 0 && life.idle.is_empty() => state.end_life(&open),
                Err(_) => {}
            }
        }
        drop(open);
        drop(state);
        self.changed.notify_all();
    }

    /// Drops every session of a token after one of them turned out to be lost; the next job begins again. If that
    /// was done already since the session was opened, nothing more is dropped.
    pub(crate) fn lose(&self, open: Open, worker: &Worker<'_>) -> Result<(), Fault> {
        let (at, life) = (open.at, open.life);
        self.give_back(open);
        let mut state = self.quiet(self.state(), Some(at), worker)?;
        if let Some(known) = state.tokens.get_mut(at)
            && known.life.as_ref().is_some_and(|known| known.number == life)
        {
            known.life = None;
        }
        Ok(())
    }

    /// The token with no session out, for as long as the guard is held.
    pub(crate) fn alone_with(
        &self,
        token: &TokenName,
        worker: &Worker<'_>,
    ) -> Result<(Guard<'_>, usize), Fault> {
        loop {
            let (state, at) = self.connect(self.state(), token, worker)?;
            let state = self.quiet(state, Some(at), worker)?;
            if state.tokens.get(at).is_some_and(|known| known.life.is_some()) {
                return Ok((state, at));
            }
        }
    }

    /// Keeps a PIN to log in with as soon as the token is there.
    pub(crate) fn hold(&self, token: TokenName, pin: Pin) {
        self.state().held.insert(token, pin);
    }

    /// Forgets the PIN that is held, whether the token is there or not.
    pub(crate) fn forget(&self, token: &TokenName) {
        let mut state = self.state();
        state.held.remove(token);
        if let Some(at) = state.names.get(token).copied()
            && let Some(known) = state.tokens.get_mut(at)
        {
            known.pin = None;
        }
    }

    /// Slots with a token in them, asked afresh: slot numbers change.
    pub(crate) fn present(&self, worker: &Worker<'_>) -> Result<Vec<(Slot, RawInfo)>, Fault> {
        let module = TokenName::new(self.path.display().to_string());
        let slots = match self.pkcs11.get_slots_with_token() {
            Err(Error::Pkcs11(RvError::CryptokiNotInitialized, _)) => {
                self.begin_again(worker)?;
                self.pkcs11.get_slots_with_token()
            }
            other => other,
        };
        let slots = slots.map_err(while_doing(&module, "list its slots"))?;
        let mut present = Vec::new();
        for slot in slots {
            match self.pkcs11.get_token_info(slot) {
                Ok(info) => present.push((slot, info)),
                // Taken out between the two questions, or damaged: the others are still there.
                Err(error) if is_lost(&error) => tracing::debug!(%error, "a token does not describe itself"),
                Err(error) => return Err(while_doing(&module, "describe a token")(error)),
            }
        }
        Ok(present)
    }

    /// What callers are told of a token.
    pub(crate) fn describe(&self, info: &RawInfo) -> TokenInfo {
        let state = self.state();
        let life = state.tokens.iter().find(|known| known.is(info)).and_then(|known| known.life.as_ref());
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
            logged_in: life.is_some_and(|life| life.logged_in),
        }
    }

    /// Somebody ended the library under us. INVARIANT: every session is dropped before the library starts again,
    /// because their handles may soon belong to other sessions.
    fn begin_again(&self, worker: &Worker<'_>) -> Result<(), Fault> {
        let mut state = self.quiet(self.state(), None, worker)?;
        state.tokens.iter_mut().for_each(|known| known.life = None);
        let flags = if self.lanes > 1 { CInitializeFlags::OS_LOCKING_OK } else { CInitializeFlags::empty() };
        match initialise(&self.pkcs11, flags) {
            Ok(()) => state.started_here = true,
            Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
            Err(error) => {
                let source = DeviceCause::from(error);
                return Err(Fault::Final(TokenError::ModuleUnusable { path: self.path.clone(), source }));
            }
        }
        Ok(())
    }

    /// The token's index, with a session open and, if a PIN is held, logged in.
    fn connect<'a>(
        &'a self,
        state: Guard<'a>,
        token: &TokenName,
        worker: &Worker<'_>,
    ) -> Result<(Guard<'a>, usize), Fault> {
        if let Some(at) = state.names.get(token).copied()
            && state.tokens.get(at).is_some_and(|known| known.life.is_some())
        {
            return Ok((state, at));
        }
        drop(state);
        let (slot, info) = self.locate(token, worker)?;
        let mut state = self.state();
        let at = state.index_of(&info);
        state.names.insert(token.clone(), at);
        state.lives += 1;
        let number = state.lives;
        let held = state.held.remove(token);
        let Some(known) = state.tokens.get_mut(at) else { return Err(missing(token, Vec::new()).into()) };
        known.pin = known.pin.take().or(held);
        if known.life.is_none() {
            let mut open = Open::new(&self.pkcs11, slot, &info, token, (at, number))?;
            match open.log_in_again(token, known) {
                // What becomes of the PIN that is held is no answer to whoever brings one.
                Err(Fault::Final(error)) if worker.brings_pin => {
                    tracing::info!(%token, %error, "not logged in with the PIN held: another one is brought");
                }
                result => result?,
            }
            let logged_in = open.logged_in;
            let most = self.lanes.min(most_sessions(&info)).max(1);
            let idle = vec![open];
            known.life = Some(Life { number, logged_in, logins: 0, slot, info, idle, out: 0, most });
        }
        Ok((state, at))
    }

    /// The one token of that label or serial.
    fn locate(&self, token: &TokenName, worker: &Worker<'_>) -> Result<(Slot, RawInfo), Fault> {
        let present = self.present(worker)?;
        let shown = |info: &RawInfo| format!("{} ({})", info.label(), info.serial_number());
        let initialised = || present.iter().filter(|(_, info)| info.token_initialized());
        let mut matching =
            initialised().filter(|(_, info)| [info.label(), info.serial_number()].contains(&token.as_str()));
        let Some((slot, info)) = matching.next() else {
            return Err(missing(token, initialised().map(|(_, info)| shown(info)).collect()).into());
        };
        match matching.next() {
            None => Ok((*slot, info.clone())),
            Some((_, second)) => Err(Fault::Final(TokenError::TokenAmbiguous {
                wanted: token.clone(),
                first: shown(info),
                second: shown(second),
            })),
        }
    }

    /// Waits until the sessions of one token, or of all, are back; none leaves meanwhile.
    fn quiet<'a>(
        &'a self,
        mut state: Guard<'a>,
        at: Option<usize>,
        worker: &Worker<'_>,
    ) -> Result<Guard<'a>, Fault> {
        state.quieten(at, |waiting| waiting + 1);
        loop {
            if state.all_back(at) {
                state.quieten(at, |waiting| waiting.saturating_sub(1));
                self.changed.notify_all();
                return Ok(state);
            }
            let left = worker.left();
            if left.is_zero() {
                state.quieten(at, |waiting| waiting.saturating_sub(1));
                self.changed.notify_all();
                return Err(Fault::Final(worker.late()));
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits for a session to come back, as long as the job has time.
    fn wait<'a>(&'a self, state: Guard<'a>, worker: &Worker<'_>) -> Result<Guard<'a>, Fault> {
        let left = worker.left();
        if left.is_zero() {
            return Err(Fault::Final(worker.late()));
        }
        Ok(self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0)
    }

    fn state(&self) -> Guard<'_> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Library {
    /// Closes every session, and the library if it was started here.
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        state.tokens.clear();
        if state.started_here
            && let Err(error) = self.pkcs11.clone().finalize()
        {
            tracing::warn!(module = %self.path.display(), %error, "token module did not end cleanly");
        }
    }
}

impl State {
    /// The life that a session belongs to, if it lasts.
    fn life_of(&mut self, open: &Open) -> Option<&mut Life> {
        let life = self.tokens.get_mut(open.at)?.life.as_mut()?;
        (life.number == open.life).then_some(life)
    }

    fn end_life(&mut self, open: &Open) {
        if let Some(known) = self.tokens.get_mut(open.at) {
            known.life = None;
        }
    }

    fn quieten(&mut self, at: Option<usize>, change: impl Fn(usize) -> usize) {
        match at {
            None => self.quiet = change(self.quiet),
            Some(at) => {
                if let Some(known) = self.tokens.get_mut(at) {
                    known.quiet = change(known.quiet);
                }
            }
        }
    }

    fn all_back(&self, at: Option<usize>) -> bool {
        let back = |known: &Known| known.life.as_ref().is_none_or(|life| life.out == 0);
        at.map_or_else(|| self.tokens.iter().all(back), |at| self.tokens.get(at).is_none_or(back))
    }

    fn index_of(&mut self, info: &RawInfo) -> usize {
        if let Some(at) = self.tokens.iter().position(|known| known.is(info)) {
            return at;
        }
        self.tokens.push(Known {
            label: info.label().to_owned(),
            serial: info.serial_number().to_owned(),
            life: None,
            pin: None,
            refused: Vec::new(),
            quiet: 0,
        });
        self.tokens.len() - 1
    }
}

impl Known {
    /// Takes note of a PIN that the token looked at and refused: it is not given again.
    pub(crate) fn refuse(&mut self, pin: Pin) {
        if self.pin.as_ref().is_some_and(|held| held.matches(&pin)) {
            self.pin = None;
        }
        if self.refused.len() == REFUSED_MAX {
            self.refused.remove(0);
        }
        self.refused.push(pin);
    }

    /// Refuses a PIN that was refused before, and guesses beside a PIN that is held: the login that stands sets the
    /// token's own count of wrong PINs back each time, so they are counted here.
    pub(crate) fn may_try(&self, token: &TokenName, pin: &Pin) -> Result<(), TokenError> {
        if self.refused.iter().any(|refused| refused.matches(pin)) {
            return Err(TokenError::PinRefusedBefore { token: token.clone() });
        }
        let another_is_held = self.pin.as_ref().is_some_and(|held| !held.matches(pin));
        if self.refused.len() >= GUESSES_MAX && another_is_held {
            return Err(TokenError::PinGuessed { token: token.clone() });
        }
        Ok(())
    }

    fn is(&self, info: &RawInfo) -> bool {
        self.label == info.label() && self.serial == info.serial_number()
    }
}

/// How many sessions the token says that it bears.
fn most_sessions(info: &RawInfo) -> usize {
    let most = |limit| match limit {
        Limit::Max(most) => usize::try_from(most).unwrap_or(usize::MAX),
        Limit::Unavailable | Limit::Infinite => usize::MAX,
    };
    if info.write_protected() {
        most(info.max_session_count())
    } else {
        most(info.max_session_count()).min(most(info.max_rw_session_count()))
    }
}

fn initialise(library: &Pkcs11, flags: CInitializeFlags) -> Result<(), Error> {
    library.initialize(CInitializeArgs::new(flags))
}

/// No token of that name, and what is there instead.
pub(crate) fn missing(token: &TokenName, present: Vec<String>) -> TokenError {
    TokenError::TokenMissing { wanted: token.clone(), present }
}
