//! Asking for approval of what an address is to sign: the service asks, in nobody's name; this side checks what for.

use std::time::Instant;

use keyward_domain::approval::AddressSigning;
use keyward_ledger_core::entry::{Entry, RuleName, kind};
use keyward_proto::custody::{AskAddressRequest, ask_address_request, sign_address_request};

use super::entry::HAND_IN_TRIES;
use super::error::ApprovalError;
use super::show::ShownCase;
use super::{About, Done};
use crate::addresses::AddressOrder;
use crate::client::Client;
use crate::evidence::EvidenceError;

impl Client {
    /// Has a case opened for an order that an address is to sign, under a rule, for so many milliseconds. Gives the
    /// case as the ledger proves it: approvers are shown this order and this account, and nothing else.
    pub async fn ask_address_approval(
        &self,
        order: &AddressOrder,
        rule: &RuleName,
        live_ms: u64,
    ) -> Result<(Done, ShownCase), ApprovalError> {
        order.refuse_reserved()?;
        self.approval_trust()?;
        let rule = rule.id(kind::DEFINE_APPROVAL);
        let request = AskAddressRequest {
            scheme: order.scheme().name().to_owned(),
            payload: Some(to_ask(order)),
            format: order.format().to_owned(),
            rule: rule.to_vec().into(),
            live_ms,
            idempotency_key: order.mark(),
        };
        let (request, patient) = (&request, self.clone().with_tries(self.tries.max(HAND_IN_TRIES)));
        let answer = patient.try_again(Instant::now() + self.deadline, |left| async move {
            self.answer(self.addresses().ask(self.request_within(request.clone(), left)).await)
        });
        let answer = answer.await?;
        let (receipt, leaf_index) = (answer.receipt.to_vec(), answer.leaf_index);
        let verdict = self.approval_trust()?.accepted_at(leaf_index, &receipt, |entry| {
            matches!(entry, Entry::OpenBlindCase(open) if open.rule == rule && open.live_ms == live_ms)
        })?;
        let case = <[u8; 32]>::try_from(verdict.outcome.data.as_slice());
        let case = case.or(Err(EvidenceError::Substituted("an outcome without a case")))?;
        let shown = self.approval_case(&case).await?;
        match &shown.about {
            Some(About::Address(asked)) if self.is_ours(asked, order) => {}
            _ => return Err(EvidenceError::Substituted("a case about something else").into()),
        }
        Ok((Done { receipt, leaf_index, time_ms: verdict.time_ms }, shown))
    }

    fn is_ours(&self, asked: &AddressSigning, order: &AddressOrder) -> bool {
        self.account.is_none_or(|own| own == asked.account) && order.is_asked(asked)
    }
}

fn to_ask(order: &AddressOrder) -> ask_address_request::Payload {
    match order.to_sign() {
        sign_address_request::Payload::Message(message) => ask_address_request::Payload::Message(message),
        sign_address_request::Payload::Digest(digest) => ask_address_request::Payload::Digest(digest),
    }
}
