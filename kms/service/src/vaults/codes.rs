//! One-time codes: what the service asks for before it hands in an attempt, once a person has set them up.
//!
//! They keep out who stole a session or a password. The service alone checks them, so against the service itself they are
//! nothing: what protects from it is the ledger's count and the keepers. Each code counts once, wrong ones are charged as
//! logins are, both in the database, so that many servers allow no more than one.
//!
//! An officer's end of another person's codes is a note on the ledger before it is done:
//! `u8 len || "keyward/code-note/v1" || verb u8 (1) || nonce[32] || commitment[32]`, with
//! `blinding = SHA-256(u8 len || "keyward/code-blinding/v1" || account salt[32] || nonce)` and `commitment =
//! SHA-256(u8 len || "keyward/code-note/v1" || blinding || verb u8 || account[32] || officer)`.

use keyward_crypto::{SecretBytes, code_secret_aad, code_uri, fresh_code_secret, step_of_code};
use keyward_domain::{AccountId, Code, LoginLimit, UserName};
use keyward_ledger_core::entry::Entry;
use keyward_policies::Verb;
use keyward_store::{Account, Act, ActKind, Change, CodeState, OneTimeCode, StoreError};
use zeroize::Zeroizing;

use super::floods::Flood;
use crate::{
    accounts::PERSON,
    acts::{Plan, Settled, heights},
    caller::Caller,
    custody::{Custody, random},
    failure::Failure,
    note::{committed, labelled},
};

const NOTE_LABEL: &str = "keyward/code-note/v1";
const BLINDING_LABEL: &str = "keyward/code-blinding/v1";
/// The one verb of the note: an officer has ended the codes.
const ENDED: u8 = 1;

/// How often a code is charged anew because another one was faster.
const CHARGES_MAX: usize = 16;

/// A secret that is shown this once.
#[derive(Debug)]
pub(crate) struct FreshCode {
    pub(crate) secret: SecretBytes,
    pub(crate) uri: Zeroizing<String>,
}

impl Custody {
    /// Makes a fresh secret for the person. In the place of one that counts only with a code of that one.
    pub(crate) async fn set_up_code(&self, caller: &Caller, code: &str) -> Result<FreshCode, Failure> {
        let (_permit, account) = (self.permit()?, self.vault_account(caller, Verb::VaultCode)?);
        self.floods.charge(account.0, Flood::Entry, self.clock.now_ms())?;
        let mut changes = vec![Change::NeedOpenAccount(account.0)];
        match self.store.one_time_code(account.0, CodeState::Live).await? {
            Some(_) => self.check_code(account, code).await?,
            // One that comes to count meanwhile must not be replaced without a code of it.
            None => changes.push(Change::NeedNoLiveCode(account.0)),
        }
        let secret = fresh_code_secret().map_err(Failure::internal)?;
        let plain = secret.expose(|bytes| Zeroizing::new(bytes.to_vec()));
        let sealed = self.kek.seal(code_secret_aad(&account.0), plain).await?;
        let kek = self.kek_of(&sealed)?;
        let (account, state) = (account.0, CodeState::Fresh);
        changes.push(Change::PutCode(OneTimeCode {
            account,
            state,
            sealed,
            kek,
            last_step: 0,
            failures: 0,
            last_ms: 0,
        }));
        self.store.apply(changes).await.map_err(meanwhile)?;
        let user = caller.person()?.user.as_str();
        Ok(FreshCode { uri: secret.expose(|bytes| code_uri(bytes, user)), secret })
    }

    /// A first code of the fresh secret: from here on its codes are asked for.
    pub(crate) async fn confirm_code(&self, caller: &Caller, code: &str) -> Result<(), Failure> {
        let (_permit, account) = (self.permit()?, self.vault_account(caller, Verb::VaultCode)?);
        self.floods.charge(account.0, Flood::Question, self.clock.now_ms())?;
        self.show_code(account, CodeState::Fresh, code).await?;
        let changes = vec![
            Change::NeedOpenAccount(account.0),
            Change::RemoveCode(account.0, CodeState::Live),
            Change::ConfirmCode(account.0),
        ];
        self.store.apply(changes).await.map_err(meanwhile)
    }

    /// Ends one-time codes: the person's own with a code, another's where the policies let the caller. Returns the receipt of
    /// the note that says the latter; of the former there is none.
    pub(crate) async fn remove_code(
        &self,
        caller: &Caller,
        code: &str,
        user: &str,
    ) -> Result<Vec<u8>, Failure> {
        let _permit = self.permit()?;
        if user.is_empty() {
            self.remove_own_code(caller, code).await.map(|()| Vec::new())
        } else {
            self.reset_codes(caller, user).await
        }
    }

    async fn remove_own_code(&self, caller: &Caller, code: &str) -> Result<(), Failure> {
        let account = self.vault_account(caller, Verb::VaultCode)?;
        self.floods.charge(account.0, Flood::Question, self.clock.now_ms())?;
        match self.store.one_time_code(account.0, CodeState::Live).await? {
            Some(_) => self.check_code(account, code).await?,
            None if self.store.one_time_code(account.0, CodeState::Fresh).await?.is_none() => {
                return Err(unknown());
            }
            // One that never counted needs no code.
            None => {
                let fresh = Change::RemoveCode(account.0, CodeState::Fresh);
                let changes = vec![Change::NeedNoLiveCode(account.0), fresh];
                return self.store.apply(changes).await.map_err(meanwhile);
            }
        }
        Ok(self.store.apply(Self::without_codes(account.0).to_vec()).await?)
    }

    /// Ends another person's codes, recorded first.
    async fn reset_codes(&self, caller: &Caller, user: &str) -> Result<Vec<u8>, Failure> {
        let account = self.account_to_reset(caller, user).await?;
        let plan = Plan {
            kind: ActKind::Code,
            subject: account.account,
            entries: vec![reset_note(&account, &caller.name())?],
            before: Vec::new(),
            accepted: Self::without_codes(account.account).to_vec(),
            refused: Vec::new(),
            name: None,
            app: String::new(),
        };
        self.perform(plan).await
    }

    /// Settles a reset that a crash or an outage left: done if it is recorded, and not begun again. None while it may still
    /// come.
    pub(crate) async fn settle_code(&self, act: &Act, entries: &[Entry]) -> Result<Option<Settled>, Failure> {
        let Some(note) = entries.first() else { return Ok(Some(Settled::undone(Vec::new()))) };
        let recorded = self.ledger.accepted_within(heights(act), note.clone()).await?;
        Ok(match recorded {
            Some(_) => Some(Settled { changes: Self::without_codes(act.subject).to_vec(), receipt: None }),
            None => (self.ledger.height() > act.until).then(|| Settled::undone(Vec::new())),
        })
    }

    /// What the end of an account removes.
    pub(crate) fn without_codes(account: [u8; 32]) -> [Change; 2] {
        [CodeState::Fresh, CodeState::Live].map(|state| Change::RemoveCode(account, state))
    }

    /// Who may not is not told whether there is such an account.
    async fn account_to_reset(&self, caller: &Caller, user: &str) -> Result<Account, Failure> {
        let nobody = || Failure::new(Code::AccountUnknown, "no such account that you may do this with");
        let user = UserName::parse(user).map_err(Failure::of)?;
        let row = self.store.account_by_name(PERSON, user.as_str()).await?.ok_or_else(nobody)?;
        let decided = self.authorise_account(caller, Verb::VaultCodeReset, AccountId(row.account));
        decided.map_err(|_refused| nobody())?;
        Ok(row)
    }

    /// Refuses without a code of the live secret, where the account has one.
    pub(super) async fn check_code(&self, account: AccountId, code: &str) -> Result<(), Failure> {
        if self.store.one_time_code(account.0, CodeState::Live).await?.is_none() {
            return Ok(());
        }
        if code.is_empty() {
            let message = "the account has set up one-time codes";
            return Err(Failure::new(Code::OneTimeCodeRequired, message));
        }
        self.show_code(account, CodeState::Live, code).await
    }

    /// Charges a shown code before it is answered: the row decides between servers.
    async fn show_code(&self, account: AccountId, state: CodeState, code: &str) -> Result<(), Failure> {
        for _ in 0..CHARGES_MAX {
            let row = self.store.one_time_code(account.0, state).await?.ok_or_else(unknown)?;
            let now_ms = self.clock.now_ms();
            let limit = LoginLimit { failures: row.failures, last_ms: row.last_ms };
            let charged = limit.attempt(now_ms).map_err(|limited| Failure {
                wait_ms: Some(limited.wait_ms),
                ..Failure::new(Code::OneTimeCodeLimited, "too many wrong one-time codes were given")
            })?;
            let secret = self.kek.open(code_secret_aad(&account.0), row.sealed.clone()).await?;
            let step = secret.expose(|secret| step_of_code(secret, code, now_ms, row.last_step));
            let charge = Change::ChargeCode {
                last_step: step.unwrap_or(row.last_step),
                failures: if step.is_some() { 0 } else { charged.failures },
                last_ms: charged.last_ms,
                from: row,
            };
            match (self.store.apply(vec![charge]).await, step) {
                (Err(StoreError::Missing { .. }), _) => {}
                (Err(error), _) => return Err(error.into()),
                (Ok(()), Some(_)) => return Ok(()),
                (Ok(()), None) => {
                    return Err(Failure::new(
                        Code::OneTimeCodeWrong,
                        "the one-time code is wrong or was used before",
                    ));
                }
            }
        }
        Err(Failure::new(Code::ServiceBusy, "too many codes of this account are shown at once"))
    }
}

fn reset_note(account: &Account, officer: &str) -> Result<Entry, Failure> {
    let nonce: [u8; 32] = random()?;
    let blinding = labelled(BLINDING_LABEL, &[&account.salt, &nonce]);
    Ok(committed(NOTE_LABEL, ENDED, &nonce, &blinding, &[&account.account, officer.as_bytes()]))
}

fn unknown() -> Failure {
    Failure::new(Code::OneTimeCodeUnknown, "the account has no such one-time codes")
}

/// Somebody else set up or confirmed codes between our look and our write.
fn meanwhile(error: StoreError) -> Failure {
    match error {
        StoreError::Missing { what: "one-time code" } => {
            Failure::because(Code::ServiceBusy, "the account's one-time codes are being changed", error)
        }
        error => error.into(),
    }
}
