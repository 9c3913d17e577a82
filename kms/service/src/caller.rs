//! Who calls: a principal by its certificate, and a person by a live session beside it.

use std::net::IpAddr;

use keyward_domain::{AccountId, AccountName, Code, Fingerprint, Principal, Role, UserName, risk::Mark};
use keyward_store::{Change, Session, StoreError};
use sha2::{Digest as _, Sha256};

use crate::{custody::Custody, failure::Failure};

/// What a connection and a request show.
#[derive(Debug, Default)]
pub(crate) struct Shown {
    /// The client certificate's principal and fingerprint; TLS has checked who issued it.
    pub(crate) certificate: Option<(Principal, Fingerprint)>,
    /// The session token.
    pub(crate) token: Option<[u8; 32]>,
    /// When the caller stops waiting, by our clock.
    pub(crate) deadline_ms: Option<u64>,
    /// The connection's other end.
    pub(crate) address: Option<IpAddr>,
}

/// Where a request comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The connection's other end.
    Address(IpAddr),
    /// The client certificate's fingerprint, where no address is known.
    Certificate([u8; 32]),
}

impl Origin {
    /// What stands for it in an account's history.
    pub(crate) fn mark(&self, account: &AccountId) -> Mark {
        match self {
            Self::Address(address) => Mark::of_address(account, *address),
            Self::Certificate(fingerprint) => Mark::of_certificate(account, fingerprint),
        }
    }
}

/// A person within a live session.
#[derive(Clone, Debug)]
pub(crate) struct Person {
    pub(crate) account: AccountId,
    pub(crate) user: UserName,
}

/// An authenticated caller.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) principal: Principal,
    pub(crate) person: Option<Person>,
    /// The account of the caller's own keys: the person's, else the certificate's.
    pub(crate) account: Option<AccountId>,
    /// When the caller stops waiting, by our clock.
    pub(crate) deadline_ms: Option<u64>,
    pub(crate) origin: Origin,
}

impl Caller {
    /// Refuses to begin what the caller no longer waits for. What was begun runs to its end all the same.
    pub(crate) fn in_time(&self, now_ms: u64) -> Result<(), Failure> {
        match self.deadline_ms {
            Some(deadline_ms) if deadline_ms <= now_ms => {
                Err(Failure::new(Code::DeadlineExceeded, "the deadline passed before the request was begun"))
            }
            _ => Ok(()),
        }
    }

    /// Whose idempotency keys these are.
    pub(crate) fn name(&self) -> String {
        match &self.person {
            Some(person) => AccountName::of_user(&person.user).to_string(),
            None => self.principal.to_string(),
        }
    }

    /// The person; refused without a live session.
    pub(crate) fn person(&self) -> Result<&Person, Failure> {
        self.person.as_ref().ok_or_else(|| Failure::new(Code::SessionRequired, "a live session is needed"))
    }

    /// The account of the caller's own keys.
    pub(crate) fn own_account(&self) -> Result<AccountId, Failure> {
        self.account.ok_or_else(|| {
            Failure::new(Code::NotAllowed, format!("`{}` has no account of its own", self.principal))
        })
    }
}

impl Custody {
    /// Authenticates; everything that is not shown in full is refused.
    pub(crate) async fn authenticate(&self, shown: &Shown) -> Result<Caller, Failure> {
        let Some((principal, fingerprint)) = &shown.certificate else {
            return Err(Failure::new(
                Code::ClientCertificateRequired,
                "this call needs a client certificate",
            ));
        };
        if matches!(principal.role(), Role::Service | Role::Node) {
            return Err(Failure::new(
                Code::NotAllowed,
                format!("`{principal}` is no principal of the custody service"),
            ));
        }
        let person = match &shown.token {
            Some(token) => Some(self.person_of(token, *fingerprint).await?),
            None => None,
        };
        let account = match (&person, AccountName::of_principal(principal)) {
            (Some(person), _) => Some(person.account),
            (None, Some(name)) => self.known_account(&name).await?,
            (None, None) => None,
        };
        let origin = shown.address.map_or(Origin::Certificate(fingerprint.0), Origin::Address);
        let deadline_ms = shown.deadline_ms;
        Ok(Caller { principal: principal.clone(), person, account, deadline_ms, origin })
    }

    async fn person_of(&self, token: &[u8; 32], fingerprint: Fingerprint) -> Result<Person, Failure> {
        let token_hash: [u8; 32] = Sha256::digest(token).into();
        let now_ms = self.clock.now_ms();
        let session = match self.sessions.find(&token_hash, now_ms) {
            Some(live) => live,
            None => self.load_session(token_hash, now_ms).await?,
        };
        match session.fingerprint {
            Some(own) if own != fingerprint.0 => Err(foreign()),
            Some(_) => Ok(session.person),
            None => {
                let bind = Change::BindSession { token_hash, fingerprint: fingerprint.0 };
                // Another certificate may have been faster: the row decides.
                match self.store.apply(vec![bind]).await {
                    Ok(()) => self.sessions.bind(&token_hash, fingerprint.0),
                    Err(StoreError::Missing { .. }) => {
                        // It was bound meanwhile, perhaps by another server and to the same certificate.
                        self.sessions.forget(session.person.account);
                        let row = self.store.session(token_hash, now_ms).await?;
                        if row.and_then(|row| row.fingerprint) != Some(fingerprint.0) {
                            return Err(foreign());
                        }
                    }
                    Err(error) => return Err(error.into()),
                }
                Ok(session.person)
            }
        }
    }

    async fn load_session(&self, token_hash: [u8; 32], now_ms: u64) -> Result<Live, Failure> {
        let generation = self.sessions.generation();
        let Some(row) = self.store.session(token_hash, now_ms).await? else {
            return Err(Failure::new(Code::SessionExpired, "the session has ended or never was"));
        };
        let Some(account) = self.store.account(row.account).await? else { return Err(foreign()) };
        let user = UserName::parse(&account.name).map_err(Failure::of)?;
        let person = Person { account: AccountId(row.account), user };
        let known_until_ms = now_ms.saturating_add(KNOWN_MS).min(row.expires_ms);
        let live = Live { person, fingerprint: row.fingerprint, known_until_ms };
        self.sessions.keep(generation, row, live.clone());
        Ok(live)
    }
}

fn foreign() -> Failure {
    Failure::new(Code::SessionUnknown, "the session belongs to another client certificate")
}

/// A live session in memory.
#[derive(Clone, Debug)]
pub(crate) struct Live {
    pub(crate) person: Person,
    pub(crate) fingerprint: Option<[u8; 32]>,
    pub(crate) known_until_ms: u64,
}

/// Live sessions that were shown lately; what is here stood in the store a moment ago.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    inner: std::sync::Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    generation: u64,
    live: std::collections::HashMap<[u8; 32], Live>,
}

/// How long a session counts as live without another look: so long may another server have ended it.
const KNOWN_MS: u64 = 3_000;
/// Sessions in memory at most.
const SESSIONS_MAX: usize = 16_384;

impl Sessions {
    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn generation(&self) -> u64 {
        self.lock().generation
    }

    fn find(&self, token_hash: &[u8; 32], now_ms: u64) -> Option<Live> {
        self.lock().live.get(token_hash).filter(|live| live.known_until_ms > now_ms).cloned()
    }

    fn keep(&self, generation: u64, row: Session, live: Live) {
        let mut inner = self.lock();
        if inner.generation != generation {
            return;
        }
        if inner.live.len() >= SESSIONS_MAX {
            inner.live.clear();
        }
        inner.live.insert(row.token_hash, live);
    }

    fn bind(&self, token_hash: &[u8; 32], fingerprint: [u8; 32]) {
        if let Some(live) = self.lock().live.get_mut(token_hash) {
            live.fingerprint = Some(fingerprint);
        }
    }

    /// Forgets the sessions of an account that were ended in the store.
    pub(crate) fn forget(&self, account: AccountId) {
        let mut inner = self.lock();
        inner.generation += 1;
        inner.live.retain(|_, live| live.person.account != account);
    }
}
