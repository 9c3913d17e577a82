//! Opening: the record of it is proven before anything of what came is looked at.

use std::time::Instant;

use keyward_crypto::unlinkable::{Delivery, GrantKey, ViewingCover, open_delivery};
use keyward_ledger_core::entry::{Act, AuditAct, DeliverGrant, Entry, OpenGrant};
use keyward_ledger_core::hash::sha256;
use keyward_proto::custody::{DealtViewing, OpenGrantRequest, OpenGrantResponse};
use tonic::codegen::Bytes;

use super::{AuditError, Done, ShownGrant};
use crate::approvals::{ApprovalError, HAND_IN_TRIES, Voice};
use crate::client::{Client, idempotency_key};
use crate::person::Login;

/// What an opening gave.
#[derive(Debug)]
pub struct Opened {
    /// What was opened.
    pub open: OpenGrant,
    /// The record of the opening.
    pub opened: Done,
    /// Of a hosted account: the record of the delivery, and what opens exactly these epochs.
    pub delivered: Option<(Done, ViewingCover)>,
    /// Of an account with its own root: what keepers opened, as it came; [`Client::gathered`] checks it.
    pub dealt: Vec<DealtViewing>,
}

impl Client {
    /// Opens a run of closed epochs of one account, with the key of the grant.
    pub async fn open_grant(
        &self,
        login: &Login,
        (shown, key): (&ShownGrant, &GrantKey),
        (account, first, last): ([u8; 32], u32, u32),
    ) -> Result<Opened, AuditError> {
        if key.public() != shown.state.grant.grantee_key {
            return Err(AuditError::KeyOther);
        }
        let open = OpenGrant { grant: shown.state.grant.id, account, first, last };
        let act = Act::Audit(AuditAct::Open(open));
        let entry = self.signed_approval(Voice::Account(login), act, None, shown.height).await?;
        let answer = self.ask_to_open(&entry).await?;
        let opened = self.recorded_as(&answer.opened, |found| found == &entry)?;
        let delivered = if answer.delivered.is_empty() && answer.package.is_empty() {
            None
        } else {
            Some(self.delivered(key, &open, &answer)?)
        };
        Ok(Opened { open, opened, delivered, dealt: answer.dealt })
    }

    /// Asks until somebody says what became of it: under its mark nothing is opened twice.
    async fn ask_to_open(&self, entry: &Entry) -> Result<OpenGrantResponse, AuditError> {
        let (bytes, mark) = (Bytes::from(entry.encode()), idempotency_key()?);
        let patient = self.clone().with_tries(self.tries.max(HAND_IN_TRIES));
        let answer = patient.try_again(Instant::now() + self.deadline, |left| {
            let message = OpenGrantRequest { entry: bytes.clone(), idempotency_key: mark.clone() };
            let mut audits = self.audits();
            async move { self.answer(audits.open(self.request_within(message, left)).await) }
        });
        Ok(answer.await?)
    }

    /// The package must be the one of a record about exactly this opening, open with the key, and cover these epochs.
    fn delivered(
        &self,
        key: &GrantKey,
        open: &OpenGrant,
        answer: &OpenGrantResponse,
    ) -> Result<(Done, ViewingCover), AuditError> {
        let wanted =
            Entry::DeliverGrant(DeliverGrant { opened: *open, package_hash: sha256(&[&answer.package]) });
        let done = self.recorded_as(&answer.delivered, |found| found == &wanted)?;
        let OpenGrant { grant, account, first, last } = *open;
        let delivery = Delivery { chain_id: self.approval_trust()?.chain_id(), grant, account, first, last };
        let cover = open_delivery(&delivery, key, &answer.package).map_err(AuditError::Package)?;
        Ok((done, cover))
    }

    /// The receipt of an accepted entry, wherever it stands.
    pub(super) fn recorded_as(
        &self,
        receipt: &[u8],
        is_wanted: impl Fn(&Entry) -> bool,
    ) -> Result<Done, AuditError> {
        let verdict = self.approval_trust()?.accepted(receipt, is_wanted).map_err(ApprovalError::from)?;
        let (leaf_index, time_ms) = (verdict.leaf_index, verdict.time_ms);
        Ok(Done { receipt: receipt.to_vec(), leaf_index, time_ms })
    }
}
