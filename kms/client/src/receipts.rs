//! Receipts, checked against the trust file before their answer is believed.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use keyward_domain::scheme::KeyId;
use keyward_ledger_core::entry::Entry;
use keyward_ledger_core::state::layout::{CredentialState, credential_key};
use keyward_ledger_verify::{Failure, MaxAge, Opening, StateQuery, StateVerdict, Verdict, Verifier};

use crate::challenge::Challenge;
use crate::client::Client;
use crate::error::ClientError;
use crate::evidence::EvidenceError;
use crate::vault::STATE_AGE_MAX;

/// A trust file that was read.
pub(crate) struct Trusted {
    pub(crate) file: Vec<u8>,
    pub(crate) verifier: Verifier,
    pub(crate) chain_id: [u8; 32],
}

impl Trusted {
    pub(crate) fn parse(file: &[u8]) -> Result<Self, ClientError> {
        let verifier = Verifier::new(file).map_err(ClientError::Trust)?;
        Ok(Self { file: file.to_vec(), chain_id: verifier.trust().chain_id, verifier })
    }
}

/// An account's credential as the ledger proves it, and the height at which it is that.
pub(crate) struct ProvenCredential {
    pub(crate) state: Option<CredentialState>,
    pub(crate) height: u64,
}

impl Trusted {
    pub(crate) const fn chain_id(&self) -> [u8; 32] {
        self.chain_id
    }

    /// What stands under a state key, from a recent state receipt.
    pub(crate) fn recent(&self, key: &[u8], receipt: &[u8]) -> Result<StateVerdict, Failure> {
        let query = StateQuery { key, min_height: 0, max_age: Some(recent()) };
        self.verifier.state(receipt, &query)
    }

    /// The same: `what` is what stands there, in words.
    pub(crate) fn proven(
        &self,
        what: &'static str,
        key: &[u8],
        receipt: &[u8],
    ) -> Result<StateVerdict, EvidenceError> {
        self.recent(key, receipt).map_err(EvidenceError::proof(what))
    }

    /// The record of an entry that is wanted, which the ledger has accepted; wherever it stands.
    pub(crate) fn accepted(
        &self,
        receipt: &[u8],
        is_wanted: impl Fn(&Entry) -> bool,
    ) -> Result<Verdict, EvidenceError> {
        let found = self.verifier.receipt(receipt, None).map_err(EvidenceError::proof("the entry"))?;
        if !found.entry.as_ref().is_some_and(is_wanted) {
            return Err(EvidenceError::Substituted("the receipt of another entry"));
        }
        EvidenceError::accepted(&found.outcome)?;
        Ok(found)
    }

    /// The same where the service says that it stands.
    pub(crate) fn accepted_at(
        &self,
        leaf_index: u64,
        receipt: &[u8],
        is_wanted: impl Fn(&Entry) -> bool,
    ) -> Result<Verdict, EvidenceError> {
        let found = self.accepted(receipt, is_wanted)?;
        if found.leaf_index != leaf_index {
            return Err(EvidenceError::Substituted("the receipt of another entry"));
        }
        Ok(found)
    }

    /// An account's present credential, from a recent state receipt.
    pub(crate) fn credential(
        &self,
        account: &[u8; 32],
        receipt: &[u8],
    ) -> Result<ProvenCredential, ClientError> {
        let proven = self.recent(&credential_key(account), receipt).map_err(ClientError::Receipt)?;
        let state = proven.value.and_then(|value| CredentialState::decode(&value).ok());
        Ok(ProvenCredential { state, height: proven.height })
    }
}

impl Client {
    /// Refuses a challenge of another ledger.
    pub(crate) fn check_chain(&self, chain_id: &[u8; 32]) -> Result<(), ClientError> {
        if let Some(trusted) = &self.trusted
            && trusted.chain_id != *chain_id
        {
            let (expected, found) = (hex::encode(trusted.chain_id), hex::encode(chain_id));
            return Err(ClientError::OtherChain { expected, found });
        }
        Ok(())
    }

    /// Refuses a challenge of another ledger or for another account than the session's.
    pub(crate) fn check_challenge(&self, chain_id: &[u8; 32], account: &[u8; 32]) -> Result<(), ClientError> {
        self.check_chain(chain_id)?;
        if self.account.is_some_and(|own| own != *account) {
            return Err(ClientError::OtherAccount);
        }
        Ok(())
    }

    /// The verdict on a receipt of an accepted entry; none without a trust file.
    pub(crate) fn verdict(
        &self,
        receipt: &[u8],
        message: Option<&[u8]>,
    ) -> Result<Option<Verdict>, ClientError> {
        let Some(trusted) = &self.trusted else { return Ok(None) };
        let verdict = trusted.verifier.receipt(receipt, message).map_err(ClientError::Receipt)?;
        EvidenceError::accepted(&verdict.outcome).map_err(ClientError::RefusedByLedger)?;
        Ok(Some(verdict))
    }

    /// The receipt of an intent that stands: it must be this one, on this key, and commit to this payload.
    pub(crate) fn check_intent(
        &self,
        receipt: &[u8],
        intent: &[u8; 32],
        key_id: &KeyId,
        opening: Opening<'_>,
    ) -> Result<(), ClientError> {
        let Some(trusted) = &self.trusted else { return Ok(()) };
        let ready = trusted.verifier.intent(receipt, opening).map_err(ClientError::Receipt)?;
        if ready.id != *intent || ready.key_id != *key_id {
            return Err(ClientError::ReceiptMismatch { what: "it is about another intent" });
        }
        Ok(())
    }

    /// A receipt must be for the entry that binds exactly what was proved here.
    pub(crate) fn check_binding(
        &self,
        receipt: &[u8],
        challenge: &Challenge,
        proof: &[u8],
    ) -> Result<(), ClientError> {
        let Some(verdict) = self.verdict(receipt, None)? else { return Ok(()) };
        let entry = verdict.entry.map(|entry| entry.encode()).unwrap_or_default();
        // Behind its kind (and the version before) the entry repeats the challenge from the account on, then carries
        // the proof.
        let body = entry.get(2..).and_then(|body| body.strip_prefix(challenge.previous.as_slice()));
        if body.is_some_and(|body| body.starts_with(&challenge.in_entry)) && holds(&entry, proof) {
            return Ok(());
        }
        Err(ClientError::ReceiptMismatch { what: "it binds another key" })
    }

    /// A receipt must be for the entry that binds this public key.
    pub(crate) fn check_bound(&self, receipt: &[u8], public_key: &[u8]) -> Result<(), ClientError> {
        let Some(verdict) = self.verdict(receipt, None)? else { return Ok(()) };
        let entry = verdict.entry.map(|entry| entry.encode()).unwrap_or_default();
        if verdict.entry_kind == "bind-key" && holds(&entry, public_key) {
            return Ok(());
        }
        Err(ClientError::ReceiptMismatch { what: "it binds another key" })
    }

    /// A receipt must be for an entry of this kind about this subject.
    pub(crate) fn check_entry(
        &self,
        receipt: &[u8],
        kind: &'static str,
        subject: &[u8],
    ) -> Result<(), ClientError> {
        let Some(verdict) = self.verdict(receipt, None)? else { return Ok(()) };
        let entry = verdict.entry.map(|entry| entry.encode()).unwrap_or_default();
        if verdict.entry_kind == kind && entry.get(2..) == Some(subject) {
            return Ok(());
        }
        Err(ClientError::ReceiptMismatch { what: "it is about another key or account" })
    }

    /// A receipt must be for the entry by which this public key took over from that key.
    pub(crate) fn check_rotated(
        &self,
        receipt: &[u8],
        previous: &[u8],
        public_key: &[u8],
    ) -> Result<(), ClientError> {
        let Some(verdict) = self.verdict(receipt, None)? else { return Ok(()) };
        let entry = verdict.entry.map(|entry| entry.encode()).unwrap_or_default();
        let body = entry.get(2..).unwrap_or_default();
        if verdict.entry_kind == "rotate-key" && body.starts_with(previous) && holds(body, public_key) {
            return Ok(());
        }
        Err(ClientError::ReceiptMismatch { what: "it is about another rotation" })
    }

    /// A receipt must be for the entry that schedules this key, after that waiting period unless it is 0.
    pub(crate) fn check_scheduled(
        &self,
        receipt: &[u8],
        key_id: &[u8],
        wait_ms: u64,
    ) -> Result<(), ClientError> {
        let Some(verdict) = self.verdict(receipt, None)? else { return Ok(()) };
        let entry = verdict.entry.map(|entry| entry.encode()).unwrap_or_default();
        let named = entry.get(2..).and_then(|body| body.split_at_checked(32));
        let waits = |wait: &[u8]| wait_ms == 0 || wait == wait_ms.to_be_bytes();
        match named {
            Some((id, wait))
                if verdict.entry_kind == "schedule-destroy-key" && id == key_id && waits(wait) =>
            {
                Ok(())
            }
            _ => Err(ClientError::ReceiptMismatch { what: "it is about another key or waiting period" }),
        }
    }

    /// A receipt must be for an entry of this kind.
    pub(crate) fn check_kind(&self, receipt: &[u8], kind: &'static str) -> Result<(), ClientError> {
        match self.verdict(receipt, None)? {
            Some(verdict) if verdict.entry_kind != kind => {
                Err(ClientError::ReceiptMismatch { what: "it is about something else" })
            }
            _ => Ok(()),
        }
    }
}

/// How old state may be that somebody relies on now.
pub(crate) fn recent() -> MaxAge {
    MaxAge { now_ms: now_ms(), max_age_ms: millis(STATE_AGE_MAX) }
}

/// This machine's time, in milliseconds since 1970.
pub(crate) fn now_ms() -> u64 {
    millis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn holds(bytes: &[u8], part: &[u8]) -> bool {
    !part.is_empty() && bytes.windows(part.len()).any(|window| window == part)
}
