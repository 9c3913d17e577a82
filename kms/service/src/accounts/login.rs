//! Login: OPAQUE. Unknown names get fake records and the same limits; states of logins under way are in memory
//! only, each is used once.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use keyward_crypto::ServerLogin;
use keyward_domain::{Code, Fingerprint, LoginLimit, UserName, login, session};
use keyward_store::{Account, AccountState, Change, Session};
use sha2::{Digest as _, Sha256};

use super::PERSON;
use crate::{
    custody::{Custody, random},
    failure::Failure,
};

/// Logins under way at most, and names whose tries are counted at most.
const UNDER_WAY_MAX: usize = 4096;
const NAMES_MAX: usize = 65_536;
/// How long a login may take.
const LIFETIME_MS: u64 = 60_000;

/// Logins under way and what is known of tries.
#[derive(Default)]
pub(crate) struct Logins {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    under_way: HashMap<[u8; 16], UnderWay>,
    limits: HashMap<String, LoginLimit>,
}

struct UnderWay {
    state: ServerLogin,
    user: UserName,
    account: Option<[u8; 32]>,
    expires_ms: u64,
}

impl Logins {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Charges a try; `stored` is what the database knows, when this run knows nothing yet.
    fn charge(&self, user: &UserName, stored: LoginLimit, now_ms: u64) -> Result<LoginLimit, Failure> {
        let mut inner = self.lock();
        let known = inner.limits.get(user.as_str()).copied().unwrap_or(stored);
        let charged = known.attempt(now_ms).map_err(Failure::of)?;
        if inner.limits.len() >= NAMES_MAX {
            inner.limits.retain(|_, limit| limit.last_ms.saturating_add(login::COOL_DOWN_MS) > now_ms);
            if inner.limits.len() >= NAMES_MAX {
                return Err(Failure::new(Code::ServiceBusy, "too many names are being tried"));
            }
        }
        inner.limits.insert(user.as_str().to_owned(), charged);
        Ok(charged)
    }

    fn begin(&self, id: [u8; 16], login: UnderWay, now_ms: u64) -> Result<(), Failure> {
        let mut inner = self.lock();
        if inner.under_way.len() >= UNDER_WAY_MAX {
            inner.under_way.retain(|_, login| login.expires_ms > now_ms);
            if inner.under_way.len() >= UNDER_WAY_MAX {
                return Err(Failure::new(Code::ServiceBusy, "too many logins are under way"));
            }
        }
        inner.under_way.insert(id, login);
        Ok(())
    }

    fn succeeded(&self, user: &UserName) -> LoginLimit {
        let mut inner = self.lock();
        let limit = inner.limits.get(user.as_str()).copied().unwrap_or_default().succeeded();
        inner.limits.insert(user.as_str().to_owned(), limit);
        limit
    }
}

/// A session, as the client gets it.
pub(crate) struct LoggedIn {
    pub(crate) token: [u8; 32],
    pub(crate) expires_ms: u64,
    pub(crate) account: [u8; 32],
}

impl Custody {
    /// Starts a login and charges the name for it. Returns its id and the OPAQUE response.
    pub(crate) async fn login_start(
        &self,
        user: &str,
        request: &[u8],
    ) -> Result<([u8; 16], Vec<u8>), Failure> {
        let user = UserName::parse(user).map_err(Failure::of)?;
        let now_ms = self.clock.now_ms();
        let row = self.store.account_by_name(PERSON, user.as_str()).await?;
        let stored = row.as_ref().map(stored_limit).unwrap_or_default();
        let charged = self.logins.charge(&user, stored, now_ms)?;
        if let Some(row) = &row {
            self.keep_limit(row.account, charged).await?;
        }
        // Accounts that are not open are answered like unknown ones.
        let row = row.filter(|row| row.state == AccountState::Open);
        let record = row.as_ref().and_then(|row| row.opaque_record.as_deref());
        let (state, response) =
            self.opaque.login(user.as_str().as_bytes(), record, request).map_err(|error| {
                Failure::because(Code::InvalidArgument, "the message is not one of an OPAQUE login", error)
            })?;
        let id = random()?;
        let account = row.map(|row| row.account);
        let expires_ms = now_ms.saturating_add(LIFETIME_MS);
        self.logins.begin(id, UnderWay { state, user, account, expires_ms }, now_ms)?;
        Ok((id, response))
    }

    /// Finishes a login: a session for the account, bound to the certificate if there is one.
    pub(crate) async fn login_finish(
        &self,
        id: [u8; 16],
        finalization: &[u8],
        certificate: Option<Fingerprint>,
    ) -> Result<LoggedIn, Failure> {
        let login = self.logins.lock().under_way.remove(&id);
        let now_ms = self.clock.now_ms();
        let Some(login) = login.filter(|login| login.expires_ms > now_ms) else {
            return Err(Failure::new(
                Code::LoginExpired,
                "the login expired, was finished before or never started",
            ));
        };
        let failed = || Failure::new(Code::LoginFailed, "user name or password is wrong");
        login
            .state
            .finish(finalization)
            .map_err(|error| Failure { cause: Some(error.into()), ..failed() })?;
        let account = login.account.ok_or_else(failed)?;
        self.keep_limit(account, self.logins.succeeded(&login.user)).await?;
        let token: [u8; 32] = random()?;
        let expires_ms = now_ms.saturating_add(session::LIFETIME_MS);
        let row = Session {
            token_hash: Sha256::digest(token).into(),
            account,
            fingerprint: certificate.map(|certificate| certificate.0),
            expires_ms,
        };
        self.store.apply(vec![Change::PutSession(row)]).await?;
        Ok(LoggedIn { token, expires_ms, account })
    }

    async fn keep_limit(&self, account: [u8; 32], limit: LoginLimit) -> Result<(), Failure> {
        let LoginLimit { failures, last_ms } = limit;
        Ok(self.store.apply(vec![Change::SetLogins { account, failures, last_ms }]).await?)
    }
}

fn stored_limit(row: &Account) -> LoginLimit {
    LoginLimit { failures: row.login_failures, last_ms: row.login_last_ms }
}
