//! Acting for somebody: the ledger charges it first, then the service signs once with a key of theirs.

use std::time::Instant;

use keyward_domain::scheme::KeyId;
use keyward_ledger_core::entry::{Act, Authored, DelegationAct, Entry, RuleName};
use keyward_ledger_core::hash::{commitment, sha256};
use keyward_proto::custody::act_request;
use keyward_proto::custody::{ActRequest, ActResponse, DelegatePoliciesRequest, DelegatePolicy};

use super::entry::HAND_IN_TRIES;
use super::error::DelegationError;
use super::request::{Payload, Request, What, With};
use super::{Acted, PolicySet};
use crate::client::{Client, bytes32};
use crate::error::ClientError;
use crate::evidence::EvidenceError;
use crate::sign::{Order, Signature, believed};

/// `u8 27 || "keyward/delegated-intent/v1"`: the name of the intent that an act leads to.
const INTENT_LABEL: &[u8] = b"\x1bkeyward/delegated-intent/v1";
/// `u8 17 || "keyward/policy/v1"`.
const POLICY_LABEL: &[u8] = b"\x11keyward/policy/v1";

/// What is to be signed for somebody. Prints redacted.
#[derive(Clone, Copy)]
pub enum ToSign<'a> {
    /// A message of at most 1 MiB.
    Message(&'a [u8]),
    /// The SHA-256 digest of one; not for Ed25519 keys.
    Digest([u8; 32]),
}

impl std::fmt::Debug for ToSign<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ToSign(redacted)")
    }
}

impl Client {
    /// A request to sign with a key of the account that owns the rule, for so much; nobody has signed it yet. The amount is what the delegates declare: the ledger
    /// counts it, and nobody reads it out of the message.
    pub fn request_act(
        &self,
        rule: RuleName,
        key_id: KeyId,
        what: ToSign<'_>,
        amount: u128,
    ) -> Result<Request, DelegationError> {
        let chain_id = self.trust()?.chain_id;
        let (mut r, mut mark) = ([0; 32], [0; 16]);
        getrandom::fill(&mut r).and_then(|()| getrandom::fill(&mut mark)).map_err(ClientError::Randomness)?;
        let what = match what {
            ToSign::Message(message) => What::Message(message.to_vec()),
            ToSign::Digest(digest) => What::Digest(digest),
        };
        let payload = Payload { r, mark, what };
        payload.order(key_id)?.refuse_reserved()?;
        let commitment = commitment(&r, &payload.hash());
        let act = Act::Delegation(DelegationAct::Operate { rule, key_id, commitment, amount });
        let authored = Authored { act, authors: Vec::new() };
        Ok(Request { chain_id, with: With::Payload(payload), authored })
    }

    /// Has a request to sign done, once enough delegates have signed it; the session is one of theirs. Sent again, it goes on where it stopped, and gives
    /// the same signature.
    pub async fn send_act(&self, request: &Request) -> Result<Acted, DelegationError> {
        let (Act::Delegation(DelegationAct::Operate { rule, key_id, .. }), With::Payload(payload)) =
            (&request.authored.act, &request.with)
        else {
            return Err(DelegationError::Request { why: "it is no act" });
        };
        let order = payload.order(*key_id)?;
        order.refuse_reserved()?;
        let (trust, found) = self.delegation_of(rule).await?;
        let policy = trust.in_force(&found).map(|terms| terms.policy);
        let entry = Entry::Authored(request.authored.clone());
        let answer = self.call_act(&entry, payload).await?;
        let done = self.done(&entry, &answer.act_receipt, answer.act_leaf_index)?;
        let signed = answer.signed.ok_or(EvidenceError::Substituted("no signature"))?;
        let signature = believed(self, &order, signed)?;
        self.check_paid(&signature, &order, request, done.leaf_index, policy)?;
        Ok(Acted { done, signature })
    }

    async fn call_act(&self, entry: &Entry, payload: &Payload) -> Result<ActResponse, DelegationError> {
        let message = ActRequest {
            entry: entry.encode().into(),
            r: payload.r.to_vec().into(),
            payload: Some(match &payload.what {
                What::Message(message) => act_request::Payload::Message(message.clone().into()),
                What::Digest(digest) => act_request::Payload::Digest(digest.to_vec().into()),
            }),
            idempotency_key: payload.mark.to_vec().into(),
            shown: None,
        };
        let (message, patient) = (&message, self.clone().with_tries(self.tries.max(HAND_IN_TRIES)));
        let answer = patient.try_again(Instant::now() + self.deadline, |left| async move {
            self.answer(self.delegation().act(self.request_within(message.clone(), left)).await)
        });
        Ok(answer.await?)
    }

    /// The signature must be the one that this act has paid for: of its commitment, under the name that follows from its
    /// record, and decided by the policy set that the account has named.
    fn check_paid(
        &self,
        signature: &Signature,
        order: &Order,
        request: &Request,
        leaf_index: u64,
        policy: Option<[u8; 32]>,
    ) -> Result<(), DelegationError> {
        let verdict = self.verdict(&signature.receipt, order.message_bytes())?;
        let Some(Entry::Intent(intent)) = verdict.and_then(|verdict| verdict.entry) else {
            return Err(EvidenceError::Substituted("a signature without its intent").into());
        };
        let Act::Delegation(DelegationAct::Operate { key_id, commitment, .. }) = &request.authored.act else {
            return Err(DelegationError::Request { why: "it is no act" });
        };
        let entry = sha256(&[&Entry::Authored(request.authored.clone()).encode()]);
        let id = sha256(&[INTENT_LABEL, &request.chain_id, &leaf_index.to_be_bytes(), &entry]);
        if intent.commitment != *commitment || intent.id != id || intent.key_id != *key_id {
            return Err(EvidenceError::Substituted("a signature of another act").into());
        }
        if policy.is_some_and(|policy| policy != intent.policy) {
            return Err(EvidenceError::Substituted("a signature under another policy set").into());
        }
        Ok(())
    }

    /// The policy sets under which delegates act at this service, oldest first; each hash is of the texts shown with it.
    pub async fn delegate_policies(&self) -> Result<Vec<PolicySet>, DelegationError> {
        let request = self.request(DelegatePoliciesRequest {});
        let shown = self.answer(self.delegation().policies(request).await)?.policies;
        shown.into_iter().map(checked).collect()
    }
}

impl Payload {
    fn order(&self, key_id: KeyId) -> Result<Order, ClientError> {
        match &self.what {
            What::Message(message) => Order::message(key_id.to_string(), message.clone()),
            What::Digest(digest) => Order::digest(key_id.to_string(), digest),
        }
    }
}

fn checked(shown: DelegatePolicy) -> Result<PolicySet, DelegationError> {
    let files: Vec<_> = shown.files.into_iter().map(|file| (file.name, file.text)).collect();
    let hash = policy_hash(&shown.schema, &files);
    if bytes32("policy set", &shown.hash)? != hash {
        return Err(EvidenceError::Substituted("a policy set under another hash").into());
    }
    Ok(PolicySet { hash, schema: shown.schema, files })
}

/// `SHA-256(u8 17 || "keyward/policy/v1" || text(schema) || u32 count || (text(name) || text(policies))..)`, `text` being u32
/// length and bytes.
fn policy_hash(schema: &str, files: &[(String, String)]) -> [u8; 32] {
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX).to_be_bytes();
    let mut bytes = POLICY_LABEL.to_vec();
    let text = |bytes: &mut Vec<u8>, text: &str| {
        bytes.extend_from_slice(&number(text.len()));
        bytes.extend_from_slice(text.as_bytes());
    };
    text(&mut bytes, schema);
    bytes.extend_from_slice(&number(files.len()));
    for (name, policies) in files {
        text(&mut bytes, name);
        text(&mut bytes, policies);
    }
    sha256(&[&bytes])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_carry_their_length() {
        for label in [INTENT_LABEL, POLICY_LABEL] {
            assert_eq!(label.first().map(|len| usize::from(*len)), Some(label.len() - 1));
        }
    }

    #[test]
    fn what_is_to_be_signed_is_not_printed() {
        for what in [ToSign::Message(b"pay bob"), ToSign::Digest([7; 32])] {
            assert_eq!(format!("{what:?}"), "ToSign(redacted)");
        }
    }
}
