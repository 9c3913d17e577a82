//! The one signature that a record pays for, a delegated act or a use of approvals: the guard's own path, behind an intent that
//! follows from that record alone.
//!
//! INVARIANT: id, commitment and last height of the intent are functions of the record, so that the ledger itself
//! refuses a second one: by its id while the first stands, by its height afterwards. No database is needed for that.

use std::sync::Arc;

use keyward_domain::Code;
use keyward_ledger_core::state::layout::intent_key;
use keyward_store::{Claimed, Id, IdempotencyKey as Name, Intent, IntentState, NewIntent, StoreError};
use sha2::{Digest as _, Sha256};

use super::{INTENT_BLOCKS, Input, Passage, Signed, payload};
use crate::{
    caller::Caller, custody::Custody, failure::Failure, keybook::KnownKey, note::labelled, ports::Final,
};

/// What a record that pays for a signature is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Paid {
    /// A delegated act.
    Act,
    /// A use of approvals.
    Approvals,
}

impl Paid {
    const fn label(self) -> &'static str {
        match self {
            Self::Act => "keyward/delegated-intent/v1",
            Self::Approvals => "keyward/approved-intent/v1",
        }
    }

    fn is_done(self) -> Failure {
        match self {
            Self::Act => Failure::new(Code::ActDone, "the act has its signature"),
            Self::Approvals => Failure::new(Code::ApprovalDone, "the case has its signature"),
        }
    }

    /// Paid for nothing: never signed for, because nobody knows what left.
    fn unsigned(self, why: &str) -> Failure {
        let code = match self {
            Self::Act => Code::ActUnsigned,
            Self::Approvals => Code::ApprovalUnsigned,
        };
        Failure::new(code, why)
    }
}

/// A record that is final and accepted, and what it paid for.
pub(crate) struct Acted<'a, B> {
    pub(crate) record: &'a dyn Final,
    pub(crate) input: &'a Input<B>,
    /// Opens the act's commitment.
    pub(crate) r: Id,
    /// The policy set under which it was decided.
    pub(crate) policy: Id,
    pub(crate) name: Option<Name>,
    /// What the idempotency key keeps before the signature.
    pub(crate) before: Vec<u8>,
    pub(crate) paid: Paid,
}

/// `SHA-256(u8 len || label || chain id[32] || leaf index u64 || SHA-256(entry))` of the record, the label being
/// "keyward/delegated-intent/v1" for acts and "keyward/approved-intent/v1" for uses of approvals.
pub(crate) fn intent_id(paid: Paid, chain_id: &Id, record: &dyn Final) -> Id {
    let entry = Sha256::digest(record.entry());
    labelled(paid.label(), &[chain_id, &record.leaf_index().to_be_bytes(), &entry])
}

/// The last height of the intent that what was recorded at this height may have.
pub(crate) const fn intent_until(height: u64) -> u64 {
    height.saturating_add(INTENT_BLOCKS)
}

impl Custody {
    /// Signs what a record paid for. None when the key's row changed since it was decided on.
    pub(crate) async fn try_sign_acted<B: AsRef<[u8]> + Sync>(
        &self,
        caller: &Caller,
        acted: &Acted<'_, B>,
        key: Arc<KnownKey>,
    ) -> Result<Option<Signed>, Failure> {
        let id = intent_id(acted.paid, &self.ledger.chain_id(), acted.record);
        let under_way = || Failure::new(Code::IdempotencyPending, "it is being signed just now");
        let _in_hand = self.in_flight.enter(id).ok_or_else(under_way)?;
        self.check_unclaimed(id, acted.paid, acted.record).await?;
        let payload = payload(&key, acted.input)?;
        let intent = NewIntent {
            id,
            key_id: key.row.key_id,
            key_revision: key.row.revision,
            submitter: self.ledger.submitter(),
            r: acted.r,
            payload_hash: payload.hash(),
            policy: acted.policy,
            not_after: intent_until(acted.record.height()),
            created_ms: self.clock.now_ms(),
        };
        match self.store.begin_intent(intent.clone(), None).await {
            Ok(Claimed::Stale) => {
                self.keys.forget(&key.row.key_id);
                self.opened.forget(&key.row.key_id);
                return Ok(None);
            }
            Ok(_) => {}
            // Another server was faster.
            Err(StoreError::Missing { .. }) => return Err(under_way()),
            Err(error) => return Err(error.into()),
        }
        let (name, before) = (acted.name.clone(), acted.before.clone());
        self.pass(&Passage { key, payload, intent, name, caller, word: &[], before }).await.map(Some)
    }

    /// Refuses what has its intent, or comes too late for one.
    pub(crate) async fn check_unclaimed(
        &self,
        id: Id,
        paid: Paid,
        record: &dyn Final,
    ) -> Result<(), Failure> {
        let height = self.ledger.height();
        if height >= intent_until(record.height()) {
            return Err(paid.unsigned("it was recorded too long ago for an intent"));
        }
        if let Some(row) = self.store.intent(id).await? {
            return Err(self.stands(paid, &row));
        }
        // Claimed, and not known here: by another service, or before the database was set back.
        match self.ledger.state(intent_key(&id)).await? {
            Some(_) => Err(paid.unsigned("its intent was claimed, and is not known here")),
            None => Ok(()),
        }
    }

    /// What an intent that is known here and not in hand says to who asks again.
    pub(crate) fn stands(&self, paid: Paid, row: &Intent) -> Failure {
        match row.state {
            IntentState::Signed | IntentState::Released | IntentState::Late => paid.is_done(),
            // Another server may be about to sign.
            IntentState::Submitted | IntentState::Final if row.new.submitter != self.ledger.submitter() => {
                Failure::new(Code::IdempotencyPending, "another server has it in hand")
            }
            _ => paid.unsigned("its intent was left without a signature"),
        }
    }
}
