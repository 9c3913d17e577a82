//! Login: OPAQUE. Unknown names get fake records and the same limits, counted in the same database, so that neither many
//! servers nor a restart tell them apart; states of logins under way are in memory only, each is used once.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use keyward_crypto::ServerLogin;
use keyward_domain::{AccountId, Code, Fingerprint, LoginLimit, UserName, login, session};
use keyward_store::{AccountState, Change, Session, StoreError};
use sha2::{Digest as _, Sha256};

use super::{PERSON, record};
use crate::{
    custody::{Custody, random},
    failure::Failure,
    note::labelled,
};

/// Logins under way at most.
const UNDER_WAY_MAX: usize = 4096;
/// How often a try is charged anew because another one was faster.
const CHARGES_MAX: usize = 16;
/// How long a login may take.
const LIFETIME_MS: u64 = 60_000;
/// Names that nobody has are kept as `SHA-256(u8 len || label || name)`.
const UNKNOWN_LABEL: &str = "keyward/unknown-name/v1";

/// Logins under way.
#[derive(Default)]
pub(crate) struct Logins {
    under_way: Mutex<HashMap<[u8; 16], UnderWay>>,
}

struct UnderWay {
    state: ServerLogin,
    /// The account, and the record that the login is held against.
    account: Option<([u8; 32], Vec<u8>)>,
    expires_ms: u64,
}

impl Logins {
    fn lock(&self) -> MutexGuard<'_, HashMap<[u8; 16], UnderWay>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, id: [u8; 16], login: UnderWay, now_ms: u64) -> Result<(), Failure> {
        let mut under_way = self.lock();
        if under_way.len() >= UNDER_WAY_MAX {
            under_way.retain(|_, login| login.expires_ms > now_ms);
            if under_way.len() >= UNDER_WAY_MAX {
                return Err(Failure::new(Code::ServiceBusy, "too many logins are under way"));
            }
        }
        under_way.insert(id, login);
        Ok(())
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
        match &row {
            Some(row) => self.charge_account(row.account, now_ms).await?,
            None => self.charge_unknown(&user, now_ms).await?,
        }
        // Accounts that are not open are answered like unknown ones.
        let row = row.filter(|row| row.state == AccountState::Open);
        let kept = row.as_ref().and_then(|row| row.opaque_record.as_deref());
        let (name, record) = match kept.map(|kept| record::read(kept, user.as_str())) {
            Some((name, record)) => (name, Some(record)),
            None => (user.as_str().as_bytes(), None),
        };
        let (state, response) = self.opaque.login(name, record, request).map_err(|error| {
            Failure::because(Code::InvalidArgument, "the message is not one of an OPAQUE login", error)
        })?;
        let id = random()?;
        let account = row.and_then(|row| Some((row.account, row.opaque_record?)));
        let expires_ms = now_ms.saturating_add(LIFETIME_MS);
        self.logins.begin(id, UnderWay { state, account, expires_ms }, now_ms)?;
        Ok((id, response))
    }

    /// Finishes a login: a session for the account, bound to the certificate if there is one.
    pub(crate) async fn login_finish(
        &self,
        id: [u8; 16],
        finalization: &[u8],
        certificate: Option<Fingerprint>,
    ) -> Result<LoggedIn, Failure> {
        let login = self.logins.lock().remove(&id);
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
        let (account, opaque_record) = login.account.ok_or_else(failed)?;
        let reset = Change::SetLogins { account, from: None, failures: 0, last_ms: now_ms };
        let token: [u8; 32] = random()?;
        let expires_ms = now_ms.saturating_add(session::LIFETIME_MS);
        let row = Session {
            token_hash: Sha256::digest(token).into(),
            account,
            fingerprint: certificate.map(|certificate| certificate.0),
            expires_ms,
        };
        let newest = row.token_hash;
        let keep = Change::KeepSessions { account, newest, most: session::LIVE_MAX };
        // Another password, a recovery or the account's end may have come since it began: those ended every session.
        let held = Change::NeedLogin { account, opaque_record };
        let kept = self.store.apply(vec![held, reset, Change::PutSession(row), keep]).await;
        kept.map_err(|error| match error {
            StoreError::Missing { what: "login" } => Failure { cause: Some(error.into()), ..failed() },
            error => error.into(),
        })?;
        // One of those in memory may have ended for this one.
        self.sessions.forget(AccountId(account));
        Ok(LoggedIn { token, expires_ms, account })
    }

    /// Charges a try of an account: the row decides between servers, so that many of them allow no more tries
    /// than one.
    pub(crate) async fn charge_account(&self, account: [u8; 32], now_ms: u64) -> Result<(), Failure> {
        for _ in 0..CHARGES_MAX {
            let Some(row) = self.store.account(account).await? else { return Ok(()) };
            let limit = LoginLimit { failures: row.login_failures, last_ms: row.login_last_ms };
            let LoginLimit { failures, last_ms } = limit.attempt(now_ms).map_err(Failure::of)?;
            let from = Some((row.login_failures, row.login_last_ms));
            match self.store.apply(vec![Change::SetLogins { account, from, failures, last_ms }]).await {
                Err(StoreError::Missing { .. }) => {}
                other => {
                    other?;
                    // The try before did not end in a session: else none would be counted.
                    if row.login_failures > 0 {
                        self.note_failed_login(account, now_ms).await;
                    }
                    return Ok(());
                }
            }
        }
        Err(too_many_at_once())
    }

    /// Charges a try of a name that nobody has: it is answered like one that somebody has, and costs as much.
    pub(crate) async fn charge_unknown(&self, user: &UserName, now_ms: u64) -> Result<(), Failure> {
        let name = labelled(UNKNOWN_LABEL, &[user.as_str().as_bytes()]);
        for _ in 0..CHARGES_MAX {
            let from = self.store.unknown_name(name).await?;
            let known = from.map(|(failures, last_ms)| LoginLimit { failures, last_ms }).unwrap_or_default();
            let LoginLimit { failures, last_ms } = known.attempt(now_ms).map_err(Failure::of)?;
            let expires_ms = last_ms.saturating_add(login::COOL_DOWN_MS);
            let charge = Change::SetUnknownName { name, from, failures, last_ms, expires_ms };
            match self.store.apply(vec![charge]).await {
                Err(StoreError::Missing { .. }) => {}
                other => return Ok(other?),
            }
        }
        Err(too_many_at_once())
    }
}

fn too_many_at_once() -> Failure {
    Failure::new(Code::ServiceBusy, "too many logins of this name are under way")
}
