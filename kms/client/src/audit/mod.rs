//! Audits from the side of those who set terms, ask for grants, open and revoke them.
//!
//! The service is believed in nothing: terms and grants come as state receipts, entries count by their own receipts, and a package
//! by the record that has its hash, once it opens with the grant's key and covers exactly the epochs that were opened.

mod dealt;
mod error;
mod grant;
mod open;
mod terms;

pub use crate::approvals::Done;
pub use dealt::{OpenedDealing, PartFault};
pub use error::AuditError;
pub use grant::{AskedGrant, ListedGrant, ShownGrant};
pub use keyward_crypto::unlinkable::{GrantKey, ViewingCover};
pub use keyward_ledger_core::entry::{AuditTerms, Grant, OpenGrant, PublishAudit, RevokeGrant};
pub use keyward_ledger_core::state::audit::{AuditGrantState, AuditGrantStatus, AuditState};
pub use open::Opened;
pub use terms::ShownTerms;

use keyward_ledger_core::entry::{Act, AuditAct};
use keyward_ledger_verify::StateVerdict;
use keyward_proto::custody::audit_client::AuditClient;
use tonic::codegen::Bytes;
use tonic::transport::Channel;

use crate::approvals::Voice;
use crate::client::Client;
use crate::error::ClientError;

/// What keepers opened of a whole period, with its proofs, may be longer than the library's own bound for answers.
const ANSWER_BYTES_MAX: usize = 16 << 20;

impl Client {
    /// Audits, for calls made by hand.
    pub fn audits(&self) -> AuditClient<Channel> {
        AuditClient::new(self.channel()).max_decoding_message_size(ANSWER_BYTES_MAX)
    }

    /// What stands under a key, from a recent state receipt.
    fn proven_audit(
        &self,
        what: &'static str,
        key: &[u8],
        receipt: &[u8],
    ) -> Result<StateVerdict, AuditError> {
        Ok(self.approval_trust()?.proven(what, key, receipt)?)
    }

    /// Signs an act, hands it in until somebody says what became of it, and believes its receipt alone.
    async fn hand_in_audit<F, S>(
        &self,
        voice: Voice<'_>,
        (act, height): (AuditAct, u64),
        send: F,
    ) -> Result<Done, AuditError>
    where
        F: Fn(Bytes, Bytes, std::time::Duration) -> S,
        S: Future<Output = Result<(Bytes, u64), ClientError>>,
    {
        let entry = self.signed_approval(voice, Act::Audit(act), None, height).await?;
        Ok(self.hand_in_entry(&entry, send).await?.0)
    }
}
