//! Another password: OPAQUE anew, and another credential that the present one agrees to.
//!
//! A session alone changes nothing: whoever holds a stolen one lacks the credential, which comes from the old password.

use keyward_crypto::OpaqueServer;
use keyward_domain::Code;
use keyward_ledger_core::{
    contracts::registry::credential_challenge,
    ed25519,
    entry::{BindCredential, Entry},
    state::layout::{CredentialState, credential_key},
};
use keyward_policies::Verb;
use keyward_store::{AccountState, Act, ActKind, Change, Id, Taken};

use super::record;
use super::register::{Finish, Started, Subject, malformed};
use crate::{
    acts::{Plan, Settled},
    caller::Caller,
    custody::Custody,
    failure::Failure,
    handed_in::Sought,
    hex::{hex, unhex},
};

/// What a person's side needs to finish.
#[derive(Debug)]
pub(crate) struct Offer {
    pub(crate) started: Started,
    /// Of the new credential.
    pub(crate) version: u32,
    /// The state receipt of the present one.
    pub(crate) present: Vec<u8>,
}

impl Custody {
    /// Starts a change of the caller's password.
    pub(crate) async fn password_start(&self, caller: &Caller, request: &[u8]) -> Result<Offer, Failure> {
        let person = caller.person()?;
        self.authorise_account(caller, Verb::AccountPassword, person.account)?;
        let account = person.account.0;
        let row = self.store.account(account).await?;
        let row = row.ok_or_else(|| Failure::new(Code::AccountUnknown, "there is no such account"))?;
        let present = self.ledger.proven(credential_key(&account)).await?;
        let version = decode(present.value)?.version.saturating_add(1);
        let started =
            self.start_registration(Subject { name: row.name, account, salt: row.salt }, request).await?;
        Ok(Offer { started, version, present: present.receipt })
    }

    /// Finishes it with the present credential's consent: the new one becomes final on the ledger, then logins are held
    /// against the new password and every session ends. Returns the receipt.
    pub(crate) async fn password_finish(
        &self,
        caller: &Caller,
        finish: Finish,
        holder_signature: [u8; 64],
    ) -> Result<Vec<u8>, Failure> {
        let person = caller.person()?;
        self.authorise_account(caller, Verb::AccountPassword, person.account)?;
        let account = person.account.0;
        let now_ms = self.clock.now_ms();
        let row = match self.store.take_registration(finish.id, now_ms).await? {
            Taken::Live(row) if row.account == account && self.ledger.height() <= row.not_after => row,
            Taken::Live(row) if row.account != account => {
                return Err(Failure::new(Code::ChallengeReplayed, "it was started for another account"));
            }
            Taken::Live(_) | Taken::Expired => {
                return Err(Failure::new(Code::RegistrationExpired, "the change of password expired"));
            }
            Taken::Unknown => {
                let what = "the change of password was finished before, or never started";
                return Err(Failure::new(Code::ChallengeReplayed, what));
            }
        };
        let record = record::keep(&row.nonce, &OpaqueServer::record(&finish.upload).map_err(malformed)?);
        let present = self.credential(account).await?;
        // A recovery that is bound meanwhile is not written over.
        let known = self.store.account(account).await?.and_then(|row| row.opaque_record);
        let known = known.ok_or_else(|| Failure::new(Code::AccountUnknown, "the account has no login"))?;
        let held = Change::NeedLogin { account, opaque_record: known };
        let bind = BindCredential {
            account,
            version: present.version.saturating_add(1),
            public_key: finish.credential,
            nonce: row.nonce,
            not_after: row.not_after,
            proof: finish.proof,
            holder_signature: Some(holder_signature),
        };
        self.check_consent(&present, &bind)?;
        let receipt = self
            .perform(Plan {
                kind: ActKind::Password,
                subject: account,
                accepted: [vec![held], changes(account, record.clone(), bind.public_key)].concat(),
                entries: vec![Entry::BindCredential(bind)],
                before: Vec::new(),
                refused: Vec::new(),
                name: None,
                // What settling needs after a crash.
                app: hex(&record),
            })
            .await?;
        self.sessions.forget(person.account);
        Ok(receipt)
    }

    /// The ledger would say the same; said here it costs no entry.
    fn check_consent(&self, present: &CredentialState, bind: &BindCredential) -> Result<(), Failure> {
        let message = credential_challenge(
            &self.ledger.chain_id(),
            &bind.account,
            bind.version,
            &bind.public_key,
            &bind.nonce,
            bind.not_after,
        );
        ed25519::verify(&bind.public_key, &message, &bind.proof).map_err(|error| {
            Failure::because(Code::ProofInvalid, "the new credential's proof does not verify", error)
        })?;
        let agreed = bind.holder_signature.unwrap_or([0; 64]);
        ed25519::verify(&present.public_key, &message, &agreed).map_err(|error| {
            Failure::because(Code::ProofInvalid, "the present credential does not agree", error)
        })
    }

    async fn credential(&self, account: Id) -> Result<CredentialState, Failure> {
        decode(self.ledger.state(credential_key(&account)).await?)
    }

    /// The database follows what the ledger came to; nothing is done again.
    pub(crate) async fn settle_password(
        &self,
        act: &Act,
        entries: &[Entry],
        record: &str,
    ) -> Result<Option<Settled>, Failure> {
        let Some(Entry::BindCredential(bind)) = entries.first() else {
            return Err(Failure::internal("a change of password without its entry"));
        };
        let recorded = match self.seek(act, &Entry::BindCredential(bind.clone()), false).await? {
            Sought::Found(recorded) => recorded,
            Sought::Waits => return Ok(None),
            Sought::Lost => return Ok(Some(Settled::undone(Vec::new()))),
        };
        let present = self.ledger.proven(credential_key(&act.subject)).await?;
        // What a node that lags behind shows is of before, and says nothing of what came of it.
        if present.height < recorded.height() {
            return Ok(None);
        }
        let present = decode(present.value)?;
        let record =
            unhex(record).ok_or_else(|| Failure::internal("a change of password without its record"))?;
        let row = self.store.account(act.subject).await?;
        // One that was closed meanwhile has no password any more, and one that was recovered another one.
        let counts = row.is_some_and(|row| row.state == AccountState::Open)
            && (present.version, present.public_key) == (bind.version, bind.public_key);
        let changes = if counts { changes(act.subject, record, bind.public_key) } else { Vec::new() };
        Ok(Some(Settled { changes, receipt: None }))
    }
}

fn decode(value: Option<Vec<u8>>) -> Result<CredentialState, Failure> {
    let value = value.ok_or_else(|| Failure::new(Code::AccountUnknown, "the account has no credential"))?;
    CredentialState::decode(&value).map_err(Failure::internal)
}

fn changes(account: Id, opaque_record: Vec<u8>, credential: Id) -> Vec<Change> {
    vec![Change::SetPassword { account, opaque_record, credential }, Change::EndSessions(account)]
}
