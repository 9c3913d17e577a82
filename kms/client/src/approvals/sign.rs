//! A signature that approvals pay for: asked for with the initiator's word, believed when it is the one that was approved.

use std::time::Instant;

use keyward_domain::meaning::{Form, Meaning};
use keyward_domain::payload::MESSAGE_LEN_MAX;
use keyward_ledger_core::entry::{Act, Entry};
use keyward_ledger_core::hash::sha256;
use keyward_proto::custody::ApprovedUse;

use super::entry::{HAND_IN_TRIES, Voice};
use super::error::ApprovalError;
use super::show::ShownCase;
use super::{About, Done, Signing};
use crate::client::Client;
use crate::error::ClientError;
use crate::evidence::EvidenceError;
use crate::sign::{Order, Signature, believed};

const INTENT_LABEL: &[u8] = b"\x1akeyward/approved-intent/v1";

/// The record that used the approvals up, and the signature that they paid for.
#[derive(Clone, Debug)]
pub struct Approved {
    /// The record.
    pub done: Done,
    /// The signature; its receipt is the intent's.
    pub signature: Signature,
}

impl Order {
    /// Asks for exactly the signature that a case is about, under a fresh mark.
    pub fn approved(signing: &Signing) -> Result<Self, ClientError> {
        let key = signing.key_id.to_string();
        if let Some(form) = Form::from_name(&signing.format).filter(|form| *form != Form::Opaque) {
            let read = Meaning::read(form, &signing.payload).map_err(ClientError::Payload)?;
            let place = read.digests.iter().position(|one| *one == signing.payload_hash);
            let place = place.ok_or(ClientError::NoSuchDigest(read.digests.len()))?;
            return Self::payload(key, form, signing.payload.clone(), place);
        }
        let is_message =
            signing.payload.len() <= MESSAGE_LEN_MAX && sha256(&[&signing.payload]) == signing.payload_hash;
        if is_message {
            Self::message(key, signing.payload.clone())
        } else {
            Self::digest(key, &signing.payload_hash)
        }
    }
}

impl Client {
    /// The initiator's word that a case's approvals are used up, for the signature that it is about.
    pub async fn use_approval(&self, voice: Voice<'_>, shown: &ShownCase) -> Result<Entry, ApprovalError> {
        self.signed_approval(voice, Act::UseApproval(shown.case), shown.about.as_ref(), shown.height).await
    }

    /// Has an order signed that a case is about. Sent again it goes on where it stopped: a case pays for one signature.
    pub async fn sign_approved(
        &self,
        order: &Order,
        shown: &ShownCase,
        use_entry: &Entry,
    ) -> Result<Approved, ApprovalError> {
        let signing = shown.signing().ok_or(ApprovalError::OtherPayload)?;
        if order.payload_hash()? != signing.payload_hash {
            return Err(ApprovalError::OtherPayload);
        }
        let approval = ApprovedUse {
            case_id: shown.case.id.to_vec().into(),
            opening: signing.opening.to_vec().into(),
            use_entry: use_entry.encode().into(),
        };
        let request = keyward_proto::custody::SignRequest { approval: Some(approval), ..order.request(0) };
        let (request, patient) = (&request, self.clone().with_tries(self.tries.max(HAND_IN_TRIES)));
        let answer = patient.try_again(Instant::now() + self.deadline, |left| async move {
            self.answer(self.signing().sign(self.request_within(request.clone(), left)).await)
        });
        let answer = answer.await?;
        let (receipt, leaf_index) = (answer.approval_receipt.to_vec(), answer.approval_leaf_index);
        let verdict = self.approval_trust()?.accepted_at(leaf_index, &receipt, |entry| uses(entry, shown))?;
        let entry = verdict.entry.ok_or(EvidenceError::Substituted("no use of the approvals"))?;
        let done = Done { receipt, leaf_index, time_ms: verdict.time_ms };
        let signature = believed(self, order, answer)?;
        self.check_approved(&signature, order, signing, (&entry, leaf_index))?;
        Ok(Approved { done, signature })
    }

    /// The signature must be the one that this case has paid for: of its key and commitment, under the name that follows from
    /// the record that used it up.
    fn check_approved(
        &self,
        signature: &Signature,
        order: &Order,
        signing: &Signing,
        (used, leaf_index): (&Entry, u64),
    ) -> Result<(), ApprovalError> {
        let verdict = self.verdict(&signature.receipt, order.message_bytes())?;
        let Some(Entry::Intent(intent)) = verdict.and_then(|verdict| verdict.entry) else {
            return Err(EvidenceError::Substituted("a signature without its intent").into());
        };
        let chain_id = self.approval_trust()?.chain_id;
        let entry = sha256(&[&used.encode()]);
        let id = sha256(&[INTENT_LABEL, &chain_id, &leaf_index.to_be_bytes(), &entry]);
        let is_ours = intent.commitment == signing.commitment() && intent.key_id == signing.key_id;
        if is_ours && intent.id == id {
            Ok(())
        } else {
            Err(EvidenceError::Substituted("a signature of another case").into())
        }
    }
}

/// Whether an entry is the use of a case. Which word of the initiator's got through, where several were given, does not matter.
fn uses(entry: &Entry, shown: &ShownCase) -> bool {
    matches!(entry, Entry::Authored(authored) if authored.act == Act::UseApproval(shown.case))
        && matches!(shown.about, Some(About::Signing(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_label_carries_its_length() {
        assert_eq!(INTENT_LABEL.first().map(|len| usize::from(*len)), Some(INTENT_LABEL.len() - 1));
    }
}
