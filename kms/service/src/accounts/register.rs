//! Registering a person: OPAQUE, and a credential of the person's own, bound on the ledger.

use keyward_crypto::OpaqueServer;
use keyward_domain::{AccountId, AccountName, Challenge, Code, Purpose, UserName};
use keyward_ledger_core::{
    contracts::registry::credential_challenge,
    ed25519,
    entry::{BindCredential, Entry},
};
use keyward_store::{Account, AccountState, ActKind, Change, Id, Registration, Taken};

use super::{PERSON, record};
use crate::{
    acts::Plan,
    custody::{Custody, random},
    failure::Failure,
};

/// Whose login is registered.
#[derive(Debug)]
pub(super) struct Subject {
    pub(super) name: String,
    pub(super) account: Id,
    pub(super) salt: Id,
}

/// What the client needs to finish.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) id: [u8; 16],
    pub(crate) response: Vec<u8>,
    pub(crate) account: [u8; 32],
    pub(crate) nonce: [u8; 32],
    pub(crate) not_after: u64,
}

/// What the client finishes with.
#[derive(Debug)]
pub(crate) struct Finish {
    pub(crate) id: [u8; 16],
    pub(crate) upload: Vec<u8>,
    pub(crate) credential: [u8; 32],
    pub(crate) proof: [u8; 64],
}

impl Custody {
    /// Starts a registration; nothing is promised about the name until it is finished.
    pub(crate) async fn register_start(&self, user: &str, request: &[u8]) -> Result<Started, Failure> {
        let user = UserName::parse(user).map_err(Failure::of)?;
        let (salt, account) = self.new_commitment(&AccountName::of_user(&user))?;
        self.start_registration(Subject { name: user.as_str().to_owned(), account, salt }, request).await
    }

    /// Answers the first message of an OPAQUE registration, and keeps what finishing needs.
    pub(super) async fn start_registration(
        &self,
        subject: Subject,
        request: &[u8],
    ) -> Result<Started, Failure> {
        let Subject { name, account, salt } = subject;
        let (now_ms, height) = (self.clock.now_ms(), self.ledger.height());
        let challenge = Challenge::new(Purpose::Credential, AccountId(account), random()?, now_ms, height);
        let response = self.opaque.register(&challenge.nonce, request).map_err(malformed)?;
        let row = Registration {
            id: random()?,
            name,
            account,
            salt,
            nonce: challenge.nonce,
            not_after: challenge.not_after,
            expires_ms: challenge.expires_ms,
        };
        let started = Started { id: row.id, response, account, nonce: row.nonce, not_after: row.not_after };
        self.store.apply(vec![Change::PutRegistration(row)]).await?;
        Ok(started)
    }

    /// Finishes it: account and credential become final on the ledger. Returns the account and the
    /// credential's receipt.
    pub(crate) async fn register_finish(&self, finish: Finish) -> Result<([u8; 32], Vec<u8>), Failure> {
        let now_ms = self.clock.now_ms();
        let row = match self.store.take_registration(finish.id, now_ms).await? {
            Taken::Live(row) if self.ledger.height() <= row.not_after => row,
            Taken::Live(_) | Taken::Expired => {
                return Err(Failure::new(Code::RegistrationExpired, "the registration expired"));
            }
            Taken::Unknown => {
                return Err(Failure::new(
                    Code::ChallengeReplayed,
                    "the registration was finished before, or never started",
                ));
            }
        };
        let record = record::keep(&row.nonce, &OpaqueServer::record(&finish.upload).map_err(malformed)?);
        self.check_credential(&row, &finish)?;
        let account = row.account;
        let receipt = self.perform(self.registration_plan(row, record, &finish, now_ms)).await?;
        Ok((account, receipt))
    }

    fn check_credential(&self, row: &Registration, finish: &Finish) -> Result<(), Failure> {
        let message = credential_challenge(
            &self.ledger.chain_id(),
            &row.account,
            1,
            &finish.credential,
            &row.nonce,
            row.not_after,
        );
        ed25519::verify(&finish.credential, &message, &finish.proof).map_err(|error| {
            Failure::because(Code::ProofInvalid, "the credential's proof does not verify", error)
        })
    }

    fn registration_plan(&self, row: Registration, record: Vec<u8>, finish: &Finish, now_ms: u64) -> Plan {
        let account = row.account;
        let bind = BindCredential {
            account,
            version: 1,
            public_key: finish.credential,
            nonce: row.nonce,
            not_after: row.not_after,
            proof: finish.proof,
            holder_signature: None,
        };
        let new = Account {
            account,
            kind: PERSON.to_owned(),
            name: row.name,
            salt: row.salt,
            opaque_record: Some(record),
            credential: Some(finish.credential),
            state: AccountState::Pending,
            login_failures: 0,
            login_last_ms: 0,
            created_ms: now_ms,
        };
        Plan {
            kind: ActKind::Open,
            subject: account,
            entries: vec![Entry::OpenAccount { account }, Entry::BindCredential(bind)],
            before: vec![Change::InsertAccount(new)],
            accepted: vec![Change::SetAccountState(account, AccountState::Pending, AccountState::Open)],
            refused: vec![Change::RemovePendingAccount(account)],
            name: None,
            app: String::new(),
        }
    }
}

pub(super) fn malformed(error: keyward_crypto::OpaqueError) -> Failure {
    Failure::because(Code::InvalidArgument, "the message is not one of an OPAQUE registration", error)
}
