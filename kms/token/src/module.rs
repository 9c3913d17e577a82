//! A loaded module and what it can be asked.

use std::path::{Path, PathBuf};
use std::sync::mpsc as blocking;
use std::thread;
use std::time::Duration;

use keyward_domain::scheme::Scheme;
use tokio::sync::mpsc;
use zeroize::Zeroizing;

use crate::call::{Call, Job};
use crate::error::TokenError;
use crate::types::{KeyKind, Payload, Pin, TokenInfo, TokenKey, TokenName};
use crate::worker::Worker;

/// How long a job may take, waiting included, unless the caller says otherwise.
pub const DEADLINE: Duration = Duration::from_secs(10);
/// How many jobs may wait.
pub const QUEUE_JOBS_MAX: usize = 1024;

/// A PKCS#11 module, owned by a thread of its own; clones share it, and it ends with the last of them.
///
/// Open one module once per process: PKCS#11 state belongs to the process, not to this value.
#[derive(Clone, Debug)]
pub struct Module {
    jobs: mpsc::Sender<Job>,
    path: PathBuf,
    deadline: Duration,
}

impl Module {
    /// Loads a module and starts its thread; blocks until it has started.
    pub fn open(path: &Path) -> Result<Self, TokenError> {
        let (jobs, queue) = mpsc::channel(QUEUE_JOBS_MAX);
        let (ready, started) = blocking::sync_channel(1);
        let owned = path.to_owned();
        thread::Builder::new()
            .name(String::from("keyward-token"))
            .spawn(move || serve(&owned, queue, &ready))
            .map_err(|source| TokenError::Thread { path: path.to_owned(), source })?;
        match started.recv_timeout(DEADLINE) {
            Ok(result) => result?,
            Err(blocking::RecvTimeoutError::Timeout) => {
                let deadline_ms = u64::try_from(DEADLINE.as_millis()).unwrap_or(u64::MAX);
                return Err(TokenError::Timeout { path: path.to_owned(), deadline_ms });
            }
            Err(blocking::RecvTimeoutError::Disconnected) => {
                return Err(TokenError::Stopped { path: path.to_owned() });
            }
        }
        Ok(Self { jobs, path: path.to_owned(), deadline: DEADLINE })
    }

    /// The same module, with another deadline for what this handle asks.
    pub fn with_deadline(&self, deadline: Duration) -> Self {
        Self { deadline, ..self.clone() }
    }

    /// Where the module was loaded from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The tokens that are present, initialised or not.
    pub fn tokens(&self) -> Call<Vec<TokenInfo>> {
        self.call(Worker::tokens)
    }

    /// The signing keys in a token; before a login only those whose public part the token shows.
    pub fn keys(&self, token: &TokenName) -> Call<Vec<TokenKey>> {
        let token = token.clone();
        self.call(move |worker| worker.keys(&token))
    }

    /// The one key with this label (empty: any) and `CKA_ID` (empty: any); two that match are refused.
    pub fn find_key(&self, token: &TokenName, label: &str, id: &[u8]) -> Call<TokenKey> {
        let (token, label, id) = (token.clone(), label.to_owned(), id.to_vec());
        self.call(move |worker| worker.find_key(&token, &label, &id))
    }

    /// Logs in as the user; the PIN is kept, wiped on drop, to log in again after a lost session. A PIN that
    /// was wrong once is not tried again.
    pub fn login(&self, token: &TokenName, pin: Pin) -> Call<()> {
        let token = token.clone();
        self.call(move |worker| worker.login(&token, pin))
    }

    /// Makes a key pair that stays in the token, under a label that is not taken yet.
    pub fn generate_key(&self, token: &TokenName, kind: KeyKind, label: &str) -> Call<TokenKey> {
        let (token, label) = (token.clone(), label.to_owned());
        self.call(move |worker| worker.generate_key(&token, kind, &label))
    }

    /// Makes an AES-256 key-encryption key that cannot leave the token.
    pub fn generate_kek(&self, token: &TokenName, label: &str) -> Call<()> {
        let (token, label) = (token.clone(), label.to_owned());
        self.call(move |worker| worker.generate_kek(&token, &label))
    }

    /// Whether the token holds this key-encryption key.
    pub fn find_kek(&self, token: &TokenName, label: &str) -> Call<bool> {
        let (token, label) = (token.clone(), label.to_owned());
        self.call(move |worker| worker.find_kek(&token, &label))
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
        self.call(move |worker| worker.encrypt(&token, &kek, nonce, &aad, &plaintext))
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
        let (token, kek, aad, ciphertext) =
            (token.clone(), kek.to_owned(), aad.to_vec(), ciphertext.to_vec());
        self.call(move |worker| worker.decrypt(&token, &kek, nonce, &aad, &ciphertext))
    }

    /// Signs with the key of this `CKA_ID`. The signature has its one encoding (ECDSA: 64 bytes, low S) but
    /// was not verified.
    pub fn sign(&self, token: &TokenName, id: &[u8], scheme: Scheme, payload: Payload) -> Call<Vec<u8>> {
        let (token, id) = (token.clone(), id.to_vec());
        self.call(move |worker| worker.sign(&token, &id, scheme, &payload))
    }

    /// Random bytes from the token.
    pub fn random(&self, token: &TokenName, len: usize) -> Call<Vec<u8>> {
        let token = token.clone();
        self.call(move |worker| worker.random(&token, len))
    }

    /// Initialises the first free token, with both PINs and a label that is not taken yet.
    pub fn init_token(&self, so_pin: Pin, pin: Pin, label: &str) -> Call<TokenInfo> {
        let label = label.to_owned();
        self.call(move |worker| worker.init_token(&so_pin, &pin, &label))
    }

    fn call<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Worker) -> Result<R, TokenError> + Send + 'static,
    ) -> Call<R> {
        Call::new(self.jobs.clone(), self.path.clone(), self.deadline, work)
    }
}

/// The thread: one job after the other, until the last handle is gone.
fn serve(path: &Path, mut queue: mpsc::Receiver<Job>, ready: &blocking::SyncSender<Result<(), TokenError>>) {
    let (mut worker, answer) = match Worker::start(path) {
        Ok(worker) => (Some(worker), Ok(())),
        Err(error) => (None, Err(error)),
    };
    let _gone = ready.send(answer);
    while let Some(worker) = worker.as_mut()
        && let Some(job) = queue.blocking_recv()
    {
        job(worker);
    }
    if let Some(worker) = worker {
        worker.stop();
    }
}
