//! A loaded module and what it can be asked.

use std::path::{Path, PathBuf};
use std::sync::mpsc as blocking;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use keyward_domain::scheme::Scheme;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use crate::call::{Call, Pick};
use crate::doing::Doing;
use crate::error::TokenError;
use crate::host::{Host, HostProgram};
use crate::keys::fresh_id;
use crate::library::Library;
use crate::litter::{Litter, Piece};
use crate::queue::{Job, Outcome, Queue, Reply};
use crate::request::{Answer, Request};
use crate::types::{KeyKind, Payload, Pin, TokenInfo, TokenKey, TokenName};
use crate::worker;

/// How long a job may take, waiting included, unless the caller says otherwise.
pub const DEADLINE: Duration = Duration::from_secs(10);
/// How many jobs may wait.
pub const QUEUE_JOBS_MAX: usize = 1024;
/// How many threads use a module that allows it, each with a session of its own.
pub const LANES: usize = 8;
/// How long the end of a module is waited for; one that hangs is left to the end of the process.
const ENDING: Duration = Duration::from_secs(2);
/// How much longer the making of a key may take: an RSA key takes a token up to a minute.
const KEY_MAKING: u32 = 6;

/// A PKCS#11 module, owned by threads of its own or by a child process; clones share it, and it ends with the last
/// of them.
///
/// Open one module once per process: PKCS#11 state belongs to the process, not to this value.
#[derive(Clone)]
pub struct Module {
    front: Arc<Front>,
    deadline: Duration,
}

/// Where a module is to be loaded from, and whether in a child process.
#[derive(Clone, Debug)]
pub struct ModuleSource {
    /// The library.
    pub path: PathBuf,
    /// The child's program; none: the library is loaded into this process.
    pub host: Option<HostProgram>,
}

/// What all handles of a module share.
pub(crate) struct Front {
    pub(crate) path: PathBuf,
    /// One for each job that may wait.
    pub(crate) places: Arc<Semaphore>,
    litter: Litter,
    way: Way,
}

enum Way {
    Here { queue: Queue, doing: Arc<Doing>, threads: Threads },
    Child(Host),
}

impl Front {
    fn new(path: &Path, way: Way) -> Arc<Self> {
        let places = Arc::new(Semaphore::new(QUEUE_JOBS_MAX));
        Arc::new(Self { path: path.to_owned(), places, litter: Litter::default(), way })
    }

    pub(crate) fn send(&self, job: Job) -> Result<(), TokenError> {
        match &self.way {
            Way::Here { queue, .. } => queue.push(job).map_err(|_closed| self.stopped()),
            Way::Child(host) => host.send(job),
        }
    }

    pub(crate) fn stopped(&self) -> TokenError {
        TokenError::Stopped { path: self.path.clone() }
    }

    pub(crate) fn late(&self, deadline: Duration) -> TokenError {
        let stuck = match &self.way {
            Way::Here { doing, .. } => doing.stuck(),
            Way::Child(_) => None,
        };
        TokenError::late(&self.path, deadline, stuck)
    }

    /// What half-made keys must be removed before this request.
    pub(crate) fn before(&self, request: &Request) -> Vec<Piece> {
        self.litter.before(request)
    }

    pub(crate) fn swept(&self, piece: &Piece, begun: Instant, outcome: Result<&Answer, &TokenError>) {
        self.litter.swept(piece, begun, outcome);
    }

    pub(crate) fn after(&self, made: Option<Piece>, outcome: &Outcome) {
        self.litter.after(made, outcome);
    }

    pub(crate) fn picked<R>(&self, outcome: Outcome, pick: Pick<R>) -> Result<R, TokenError> {
        // A child that answers something else than it was asked is broken.
        pick(outcome?).ok_or_else(|| self.stopped())
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        if let Way::Here { queue, threads, .. } = &self.way {
            queue.close();
            threads.wait(ENDING);
        }
    }
}

impl std::fmt::Debug for Module {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Module").field("path", &self.front.path).finish_non_exhaustive()
    }
}

impl Module {
    /// Loads a module into this process and starts its threads; blocks until it has started.
    pub fn open(path: &Path) -> Result<Self, TokenError> {
        Self::open_with(path, LANES)
    }

    /// The same with so many threads, where the module allows more than one.
    pub fn open_with(path: &Path, lanes: usize) -> Result<Self, TokenError> {
        let (queue, doing) = (Queue::default(), Arc::new(Doing::default()));
        let threads = Threads::default();
        let way = Way::Here { queue: queue.clone(), doing: doing.clone(), threads: threads.clone() };
        let front = Front::new(path, way);
        let (ready, started) = blocking::sync_channel(1);
        let (owned, first) = (path.to_owned(), queue.clone());
        threads.start(path, move || match Library::start(&owned, lanes.max(1), doing) {
            Ok(library) => {
                let library = Arc::new(library);
                let _gone = ready.send(Ok(library.clone()));
                drop(ready);
                worker::serve(&library, 0, &first);
            }
            Err(error) => {
                let _gone = ready.send(Err(error));
            }
        })?;
        let library = match started.recv_timeout(DEADLINE) {
            Ok(library) => library?,
            Err(blocking::RecvTimeoutError::Timeout) => return Err(front.late(DEADLINE)),
            Err(blocking::RecvTimeoutError::Disconnected) => return Err(front.stopped()),
        };
        for number in 1..library.lanes() {
            let (library, queue) = (library.clone(), queue.clone());
            threads.start(path, move || worker::serve(&library, number, &queue))?;
        }
        Ok(Self { front, deadline: DEADLINE })
    }

    /// Loads a module in a child process; blocks until it has started there. A child that ends is replaced; what it
    /// had under way is answered [`TokenError::HostEnded`].
    pub fn open_in_child(path: &Path, program: HostProgram) -> Result<Self, TokenError> {
        let host = Host::start(path.to_owned(), program)?;
        Ok(Self { front: Front::new(path, Way::Child(host)), deadline: DEADLINE })
    }

    /// Loads a module as configured.
    pub fn open_source(source: &ModuleSource) -> Result<Self, TokenError> {
        match &source.host {
            Some(program) => Self::open_in_child(&source.path, program.clone()),
            None => Self::open(&source.path),
        }
    }

    /// The same module, with another deadline for what this handle asks.
    pub fn with_deadline(&self, deadline: Duration) -> Self {
        Self { deadline, ..self.clone() }
    }

    /// Where the module was loaded from.
    pub fn path(&self) -> &Path {
        &self.front.path
    }

    /// The id of the child process that has loaded it, if one does and runs.
    pub fn host_process(&self) -> Option<u32> {
        match &self.front.way {
            Way::Here { .. } => None,
            Way::Child(host) => host.process(),
        }
    }

    /// The tokens that are present, initialised or not.
    pub fn tokens(&self) -> Call<Vec<TokenInfo>> {
        self.call(Request::Tokens {}, |answer| match answer {
            Answer::Tokens { tokens } => Some(tokens),
            _ => None,
        })
    }

    /// The signing keys in a token; before a login only those whose public part the token shows.
    pub fn keys(&self, token: &TokenName) -> Call<Vec<TokenKey>> {
        self.call(Request::Keys { token: token.clone() }, |answer| match answer {
            Answer::Keys { keys } => Some(keys),
            _ => None,
        })
    }

    /// The one key with this label (empty: any) and `CKA_ID` (empty: any); two that match are refused.
    pub fn find_key(&self, token: &TokenName, label: &str, id: &[u8]) -> Call<TokenKey> {
        let (token, label, id) = (token.clone(), label.to_owned(), id.to_vec());
        self.call(Request::FindKey { token, label, id }, key)
    }

    /// Logs in as the user; the PIN is kept, wiped on drop, to log in again after a lost session. A PIN that
    /// was wrong once is not tried again.
    pub fn login(&self, token: &TokenName, pin: Pin) -> Call<()> {
        self.call(Request::Login { token: token.clone(), pin }, done)
    }

    /// Logs out and forgets the PIN.
    pub fn logout(&self, token: &TokenName) -> Call<()> {
        self.call(Request::Logout { token: token.clone() }, done)
    }

    /// Makes a key pair that stays in the token, under a label that is not taken yet. Where it is not known whether
    /// the token has made it, all of it is removed before the token's keys are looked at again.
    pub fn generate_key(&self, token: &TokenName, kind: KeyKind, label: &str) -> Call<TokenKey> {
        let (token, label) = (token.clone(), label.to_owned());
        let request = fresh_id().map(|id| Request::GenerateKey { token, kind, label, id });
        Call::new(self.front.clone(), self.deadline * KEY_MAKING, request, key)
    }

    /// Makes an AES-256 key-encryption key that cannot leave the token.
    pub fn generate_kek(&self, token: &TokenName, label: &str) -> Call<()> {
        let (token, label) = (token.clone(), label.to_owned());
        let request = fresh_id().map(|id| Request::GenerateKek { token, label, id });
        Call::new(self.front.clone(), self.deadline, request, done)
    }

    /// Whether the token holds this key-encryption key.
    pub fn find_kek(&self, token: &TokenName, label: &str) -> Call<bool> {
        let (token, label) = (token.clone(), label.to_owned());
        self.call(Request::FindKek { token, label }, found)
    }

    /// Removes a key-encryption key from the token, for good; says whether there was one.
    pub fn destroy_kek(&self, token: &TokenName, label: &str) -> Call<bool> {
        let (token, label) = (token.clone(), label.to_owned());
        self.call(Request::DestroyKek { token, label }, found)
    }

    /// AES-256-GCM in the token: ciphertext and 16-byte tag. The nonce must be fresh.
    pub fn encrypt(
        &self,
        token: &TokenName,
        kek: &str,
        nonce: [u8; 12],
        aad: &[u8],
        plaintext: Zeroizing<Vec<u8>>,
    ) -> Call<Vec<u8>> {
        let (token, kek, aad) = (token.clone(), kek.to_owned(), aad.to_vec());
        self.call(Request::Encrypt { token, kek, nonce, aad, plaintext }, bytes)
    }

    /// Opens what [`Self::encrypt`] made.
    pub fn decrypt(
        &self,
        token: &TokenName,
        kek: &str,
        nonce: [u8; 12],
        aad: &[u8],
        ciphertext: &[u8],
    ) -> Call<Zeroizing<Vec<u8>>> {
        let (token, kek, aad) = (token.clone(), kek.to_owned(), aad.to_vec());
        let request = Request::Decrypt { token, kek, nonce, aad, ciphertext: ciphertext.to_vec() };
        self.call(request, |answer| match answer {
            Answer::Bytes { bytes } => Some(bytes),
            _ => None,
        })
    }

    /// Signs with the key of this `CKA_ID`. The signature has its one encoding (ECDSA: 64 bytes, low S) but
    /// was not verified.
    pub fn sign(&self, token: &TokenName, id: &[u8], scheme: Scheme, payload: Payload) -> Call<Vec<u8>> {
        let (token, id) = (token.clone(), id.to_vec());
        self.call(Request::Sign { token, id, scheme, payload }, bytes)
    }

    /// Random bytes from the token.
    pub fn random(&self, token: &TokenName, len: usize) -> Call<Vec<u8>> {
        self.call(Request::Random { token: token.clone(), len }, bytes)
    }

    /// Initialises the first free token, with both PINs and a label that is not taken yet.
    pub fn init_token(&self, so_pin: Pin, pin: Pin, label: &str) -> Call<TokenInfo> {
        let request = Request::InitToken { so_pin, pin, label: label.to_owned() };
        self.call(request, |answer| match answer {
            Answer::Token { token } => Some(token),
            _ => None,
        })
    }

    /// Hands a request in whose answer goes to `then`, on a thread of the module.
    pub(crate) fn hand_in(
        &self,
        request: Request,
        deadline: Duration,
        then: impl FnOnce(Outcome) + Send + 'static,
    ) -> Result<(), TokenError> {
        let path = || self.front.path.clone();
        let place = self.front.places.clone().try_acquire_owned();
        let place = place.map_err(|_full| TokenError::Busy { path: path() })?;
        let until = Instant::now().checked_add(deadline).unwrap_or_else(|| Instant::now() + DEADLINE);
        let reply = Reply::Then(Box::new(then));
        self.front.send(Job { request, until, deadline, reply, place: Some(place) })
    }

    /// The calls of this process into the module.
    pub(crate) fn doing(&self) -> Option<Arc<Doing>> {
        match &self.front.way {
            Way::Here { doing, .. } => Some(doing.clone()),
            Way::Child(_) => None,
        }
    }

    fn call<R: Send + 'static>(&self, request: Request, pick: Pick<R>) -> Call<R> {
        Call::new(self.front.clone(), self.deadline, Ok(request), pick)
    }
}

fn done(answer: Answer) -> Option<()> {
    matches!(answer, Answer::Done {}).then_some(())
}

fn found(answer: Answer) -> Option<bool> {
    match answer {
        Answer::Found { found } => Some(found),
        _ => None,
    }
}

fn key(answer: Answer) -> Option<TokenKey> {
    match answer {
        Answer::Key { key } => Some(key),
        _ => None,
    }
}

fn bytes(answer: Answer) -> Option<Vec<u8>> {
    match answer {
        Answer::Bytes { mut bytes } => Some(std::mem::take(&mut *bytes)),
        _ => None,
    }
}

/// The threads of a module that have not ended.
#[derive(Clone, Default)]
struct Threads(Arc<(Mutex<usize>, Condvar)>);

impl Threads {
    fn start(&self, path: &Path, work: impl FnOnce() + Send + 'static) -> Result<(), TokenError> {
        *self.count() += 1;
        let ending = Ending(self.clone());
        let spawned = thread::Builder::new().name(String::from("keyward-token")).spawn(move || {
            let _last = ending;
            work();
        });
        spawned.map(|_| ()).map_err(|source| TokenError::Thread { path: path.to_owned(), source })
    }

    /// Waits until all have ended, or one hangs: a process that ends while they still close their sessions would pull
    /// the library away from under them.
    fn wait(&self, patience: Duration) {
        let waited = self.0.1.wait_timeout_while(self.count(), patience, |count| *count > 0);
        drop(waited);
    }

    fn count(&self) -> MutexGuard<'_, usize> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts a thread out, as the last thing that it does.
struct Ending(Threads);

impl Drop for Ending {
    fn drop(&mut self) {
        *self.0.count() -= 1;
        self.0.0.1.notify_all();
    }
}
