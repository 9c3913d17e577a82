//! The tenant's rules of risk from an officer's side: which set is in force is proven, and the next one is signed here.

use keyward_domain::approval::{Publication, Published};
use keyward_proto::custody::risk_client::RiskClient;
use keyward_proto::custody::{
    ListRiskRequest, PublishRiskRequest, ReplayRiskRequest, ReplayRiskResponse, RiskOfAccountRequest,
    RiskOfAccountResponse, RiskVersion, ShowRiskRequest,
};
use tonic::codegen::Bytes;
use tonic::transport::Channel;

use crate::approvals::{Done, Voice};
use crate::client::{Client, bytes32};
use crate::error::ClientError;
use crate::evidence::EvidenceError;
use crate::policies::{PoliciesError, next};

/// A tenant's rules.
#[derive(Clone, Debug)]
pub struct ShownRisk {
    /// The tenant's id on the ledger.
    pub tenant: [u8; 32],
    /// 0: none was ever published.
    pub version: u32,
    /// The hash of the published text, where there is one.
    pub hash: Option<[u8; 32]>,
    /// TOML: of version 0 the service's own rules; nothing where the service does not keep it.
    pub text: Option<String>,
    /// The approval rule for the next version, where the ledger has proven it here.
    pub rule: Option<[u8; 32]>,
    /// Whether the ledger has proven, against the client's own trust file, that this is what is in force.
    pub proven: bool,
}

impl ShownRisk {
    /// The publication of the next version. Version 1 needs the rule for the versions after it to be named.
    pub fn next(&self, text: &str, rule: Option<[u8; 32]>) -> Option<Publication> {
        next(Published::Risk, (self.tenant, self.version), text, rule.or(self.rule)?)
    }
}

impl Client {
    /// Risk, for calls made by hand.
    pub fn risk(&self) -> RiskClient<Channel> {
        RiskClient::new(self.channel())
    }

    /// The rules in force (0), or a version that was. With a trust file, what is in force is proven, and its text the one of the
    /// proven hash.
    pub async fn show_risk(&self, version: u32) -> Result<ShownRisk, PoliciesError> {
        let shown = self.answer(self.risk().show(self.request(ShowRiskRequest { version })).await)?;
        let tenant = bytes32("tenant", &shown.tenant)?;
        let hash = match shown.hash.is_empty() {
            true => None,
            false => Some(bytes32("hash", &shown.hash)?),
        };
        if hash.is_some_and(|hash| !shown.text.is_empty() && Published::Risk.text_hash(&shown.text) != hash) {
            return Err(EvidenceError::Substituted("another text than the one of the hash").into());
        }
        let proven = match version {
            0 => {
                let found = (shown.version, &shown.hash[..], &shown.state[..]);
                self.proven_publication(Published::Risk, &tenant, found)?
            }
            _ => None,
        };
        Ok(ShownRisk {
            tenant,
            version: shown.version,
            hash,
            text: Some(shown.text).filter(|text| !text.is_empty()),
            rule: proven.flatten().map(|state| state.rule),
            proven: proven.is_some(),
        })
    }

    /// Puts rules in force, from version 2 on with the case that has approved them. Gives their version.
    pub async fn publish_risk(
        &self,
        voice: Voice<'_>,
        publication: &Publication,
        case: Option<[u8; 32]>,
    ) -> Result<(Done, u32), PoliciesError> {
        let shown = self.answer(self.risk().show(self.request(ShowRiskRequest { version: 0 })).await)?;
        let send = |entry: Bytes, idempotency_key: Bytes, left| {
            let text = publication.text.clone();
            let message = PublishRiskRequest { text, entry, idempotency_key };
            let mut risk = self.risk();
            async move {
                let answer = self.answer(risk.publish(self.request_within(message, left)).await)?;
                Ok((answer.receipt, answer.leaf_index))
            }
        };
        self.hand_in_publication(voice, (publication, case), &shown.state, send).await
    }

    /// How lately judged requests would be judged under a text; those before `since_ms` only make the histories.
    pub async fn replay_risk(&self, text: &str, since_ms: u64) -> Result<ReplayRiskResponse, ClientError> {
        let message = ReplayRiskRequest { text: text.to_owned(), since_unix_ms: since_ms };
        self.answer(self.risk().replay(self.request(message)).await)
    }

    /// What is known of an account's habits, in numbers.
    pub async fn risk_of_account(&self, account: &[u8; 32]) -> Result<RiskOfAccountResponse, ClientError> {
        let message = RiskOfAccountRequest { account: Bytes::copy_from_slice(account) };
        self.answer(self.risk().account(self.request(message)).await)
    }

    /// The versions that the service knows of, newest first.
    pub async fn list_risk(&self) -> Result<Vec<RiskVersion>, ClientError> {
        Ok(self.answer(self.risk().list(self.request(ListRiskRequest {})).await)?.versions)
    }
}
