//! Entries about delegates: signed here, handed in by the service, believed when their receipt verifies.

use std::time::{Duration, Instant};

use keyward_crypto::SigningKey;
use keyward_ledger_core::entry::{
    Act, Author, Authored, Define, DelegationAct, DelegationTerms, Entry, Party, RuleName,
};
use keyward_proto::custody::delegation_client::DelegationClient;
use keyward_proto::custody::recovery_client::RecoveryClient;
use keyward_proto::custody::{DelegationEntryRequest, DelegationEntryResponse, OpenRecoveryRequest};
use tonic::codegen::Bytes;
use tonic::transport::Channel;

use super::Done;
use super::error::DelegationError;
use super::request::{NewLogin, Request};
use crate::client::{Client, idempotency_key};
use crate::error::ClientError;
use crate::person::Login;
use crate::petition::Blank;

/// How many blocks a signature counts: somewhat less than the ledger allows, because the height that this side knows may be
/// some minutes old.
const SIGNED_BLOCKS: u64 = 14_336;
/// How often an entry is handed in where nobody says whether it arrived: its mark sees to it that it is done once.
pub(super) const HAND_IN_TRIES: u32 = 4;

/// Which call hands an entry in.
#[derive(Clone, Copy)]
pub(super) enum Call<'a> {
    Appoint,
    Revoke,
    Open(&'a NewLogin),
    Veto,
    Cancel,
    Execute,
}

/// Who speaks in an entry, and with what.
#[derive(Clone, Copy)]
pub(super) enum Speaker<'a> {
    Account(&'a Login),
    Key(&'a SigningKey),
}

impl Client {
    /// Delegations, for calls made by hand.
    pub fn delegation(&self) -> DelegationClient<Channel> {
        DelegationClient::new(self.channel())
    }

    /// Recoveries, for calls made by hand.
    pub fn recovery(&self) -> RecoveryClient<Channel> {
        RecoveryClient::new(self.channel())
    }

    /// Appoints delegates, or changes what they may do, under a name with this id. It holds after the longest delay of all
    /// that the account trusts.
    pub async fn appoint_delegates(
        &self,
        login: &Login,
        name: &[u8; 32],
        terms: DelegationTerms,
    ) -> Result<Done, DelegationError> {
        let trust = self.delegations(None).await?;
        let (rule, version) =
            (RuleName { owner: trust.account, name: *name }, trust.changes.saturating_add(1));
        let act = DelegationAct::Appoint(Define { rule, version, terms });
        self.hand_in_alone(Call::Appoint, Speaker::Account(login), act, trust.height).await
    }

    /// Ends a delegation: acting at once, recovering after its delay.
    pub async fn revoke_delegates(&self, login: &Login, name: &[u8; 32]) -> Result<Done, DelegationError> {
        let trust = self.delegations(None).await?;
        let rule = trust.named(name).ok_or(DelegationError::Unknown)?.rule;
        let act = DelegationAct::Revoke { rule, version: trust.changes.saturating_add(1) };
        self.hand_in_alone(Call::Revoke, Speaker::Account(login), act, trust.height).await
    }

    /// Adds the login's signature to a request whose fingerprint is the one that was `heard` from its maker. A delegation
    /// must name the login's account.
    pub async fn sign_request(
        &self,
        login: &Login,
        request: &mut Request,
        heard: &str,
    ) -> Result<(), DelegationError> {
        if request.chain_id != self.trust()?.chain_id {
            return Err(DelegationError::Request { why: "it is for another ledger" });
        }
        if !request.has_fingerprint(heard) {
            return Err(DelegationError::Fingerprint);
        }
        if request.signed_by().contains(&login.session.account) {
            return Err(DelegationError::SignedBefore);
        }
        let height = match request.rule() {
            Some(rule) => self.delegation_of(&rule).await?.0.height,
            None => self.delegations(None).await?.height,
        };
        let author = self.author(Speaker::Account(login), &request.authored.act, height)?;
        request.authored.authors.push(author);
        request.authored.authors.sort_by_key(|author| author.party);
        Ok(())
    }

    pub(super) async fn hand_in_alone(
        &self,
        call: Call<'_>,
        speaker: Speaker<'_>,
        act: DelegationAct,
        height: u64,
    ) -> Result<Done, DelegationError> {
        let act = Act::Delegation(act);
        let author = self.author(speaker, &act, height)?;
        self.hand_in_delegation(call, &Entry::Authored(Authored { act, authors: vec![author] })).await
    }

    fn author(&self, speaker: Speaker<'_>, act: &Act, height: u64) -> Result<Author, DelegationError> {
        let (party, key) = match speaker {
            Speaker::Account(login) if self.account != Some(login.session.account) => {
                return Err(DelegationError::OtherAccount);
            }
            Speaker::Account(login) => (Party::Credential(login.session.account), &login.credential),
            Speaker::Key(key) => (Party::Key(key.public_key().id()), key),
        };
        let not_after = height.saturating_add(SIGNED_BLOCKS);
        let blank = Blank::new(party, not_after).map_err(ClientError::Randomness)?;
        blank.sign(&self.trust()?.chain_id, act, key).map_err(DelegationError::Sign)
    }

    /// Hands an entry in until somebody says what became of it, and believes its receipt alone.
    pub(super) async fn hand_in_delegation(
        &self,
        call: Call<'_>,
        entry: &Entry,
    ) -> Result<Done, DelegationError> {
        let (bytes, mark) = (Bytes::from(entry.encode()), idempotency_key()?);
        let patient = self.clone().with_tries(self.tries.max(HAND_IN_TRIES));
        let until = Instant::now() + self.deadline;
        let answer =
            patient.try_again(until, |left| self.call(call, bytes.clone(), mark.clone(), left)).await?;
        self.done(entry, &answer.receipt, answer.leaf_index)
    }

    async fn call(
        &self,
        call: Call<'_>,
        entry: Bytes,
        idempotency_key: Bytes,
        left: Duration,
    ) -> Result<DelegationEntryResponse, ClientError> {
        if let Call::Open(NewLogin { name, upload }) = call {
            let registration_upload = upload.clone().into();
            let registration_name = name.to_vec().into();
            let message =
                OpenRecoveryRequest { entry, registration_upload, idempotency_key, registration_name };
            return self.answer(self.recovery().open(self.request_within(message, left)).await);
        }
        let request = self.request_within(DelegationEntryRequest { entry, idempotency_key }, left);
        self.answer(match call {
            Call::Appoint => self.delegation().appoint(request).await,
            Call::Revoke => self.delegation().revoke(request).await,
            Call::Veto => self.recovery().veto(request).await,
            Call::Execute => self.recovery().execute(request).await,
            Call::Cancel | Call::Open(_) => self.recovery().cancel(request).await,
        })
    }

    /// The receipt must be of exactly this entry, recorded where the service says, and accepted.
    pub(super) fn done(
        &self,
        entry: &Entry,
        receipt: &[u8],
        leaf_index: u64,
    ) -> Result<Done, DelegationError> {
        let found = self.trust()?.accepted_at(leaf_index, receipt, |found| found == entry)?;
        Ok(Done { receipt: receipt.to_vec(), leaf_index, time_ms: found.time_ms })
    }
}
