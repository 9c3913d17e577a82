//! The tenant's policies from an officer's side: which set is in force is proven, and the next one is signed here.

use std::time::Duration;

use keyward_domain::approval::{Publication, Published, policy_text_hash};
use keyward_ledger_core::entry::PublishPolicy;
use keyward_ledger_core::state::policy::PolicyState;
use keyward_proto::custody::policies_client::PoliciesClient;
use keyward_proto::custody::{
    DryRunPolicyRequest, DryRunPolicyResponse, ExplainPolicyRequest, ListPoliciesRequest, PolicyVerdict,
    PolicyVersion, PublishPolicyRequest, ShowPolicyRequest,
};
use thiserror::Error;
use tonic::codegen::Bytes;
use tonic::transport::Channel;

use crate::approvals::{ApprovalError, Done, Voice};
use crate::client::{Client, bytes32};
use crate::error::ClientError;
use crate::evidence::EvidenceError;

/// A set, the floor and a proof fit.
const ANSWER_BYTES_MAX: usize = 4 << 20;

const IN_FORCE: &str = "what is in force";

/// Why policies, or rules of risk, cannot be read or published.
#[derive(Debug, Error)]
pub enum PoliciesError {
    /// What the service shows of the ledger is not accepted, or is a refusal.
    #[error(transparent)]
    Evidence(#[from] EvidenceError),
    /// The entry could not be signed, or was refused.
    #[error(transparent)]
    Entry(ApprovalError),
    /// The service refused, or did not answer.
    #[error(transparent)]
    Client(#[from] ClientError),
}

impl From<ApprovalError> for PoliciesError {
    fn from(error: ApprovalError) -> Self {
        match error {
            ApprovalError::Client(error) => Self::Client(error),
            error => Self::Entry(error),
        }
    }
}

impl PoliciesError {
    /// The stable code.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Evidence(error) => Some(error.code("POLICY_UNPROVEN", "POLICY_SUBSTITUTED")),
            Self::Entry(error) => error.code(),
            Self::Client(error) => error.code(),
        }
    }

    /// What to do next, where this side knows it.
    pub fn remedy(&self) -> Option<&'static str> {
        match self {
            Self::Evidence(error) => Some(error.remedy(
                "look at what is in force (`keyward policy show`, `keyward risk show`), and begin again",
            )),
            Self::Entry(error) => error.remedy(),
            Self::Client(error) => error.remedy(),
        }
    }

    /// Whether nobody could be reached, so that nothing was decided.
    pub fn unreachable(&self) -> bool {
        match self {
            Self::Entry(error) => error.unreachable(),
            Self::Client(error) => error.unreachable(),
            Self::Evidence(_) => false,
        }
    }
}

/// A tenant's set, with the floor under it.
#[derive(Clone, Debug)]
pub struct ShownPolicy {
    /// The tenant's id on the ledger.
    pub tenant: [u8; 32],
    /// 0: none was ever published.
    pub version: u32,
    /// The hash of the set's text, where there is one.
    pub hash: Option<[u8; 32]>,
    /// Cedar; nothing where the service does not keep it.
    pub text: Option<String>,
    /// The approval rule for the next version, where the ledger has proven it here.
    pub rule: Option<[u8; 32]>,
    /// Whether the ledger has proven, against the client's own trust file, that this is what is in force.
    pub proven: bool,
    /// What intents name.
    pub policy: [u8; 32],
    /// The schema of the floor and of every set.
    pub schema: String,
    /// The floor: name and text.
    pub floor: Vec<(String, String)>,
}

impl ShownPolicy {
    /// The publication of the next version. Version 1 needs the rule for the versions after it to be named.
    pub fn next(&self, text: &str, rule: Option<[u8; 32]>) -> Option<Publication> {
        next(Published::Policy, (self.tenant, self.version), text, rule.or(self.rule)?)
    }
}

/// The publication of a text in the version after this one.
pub(crate) fn next(
    of: Published,
    (tenant, version): ([u8; 32], u32),
    text: &str,
    rule: [u8; 32],
) -> Option<Publication> {
    let (version, set) = (version.checked_add(1)?, of.text_hash(text));
    let publish = PublishPolicy { tenant, version, set, rule, case: None };
    Some(Publication { of, publish, text: text.to_owned() })
}

impl Client {
    /// Policies, for calls made by hand.
    pub fn policies(&self) -> PoliciesClient<Channel> {
        PoliciesClient::new(self.channel()).max_decoding_message_size(ANSWER_BYTES_MAX)
    }

    /// The set in force (0), or a version that was. With a trust file, what is in force is proven, and its text the one of the
    /// proven hash.
    pub async fn show_policy(&self, version: u32) -> Result<ShownPolicy, PoliciesError> {
        let message = ShowPolicyRequest { version };
        let shown = self.answer(self.policies().show(self.request(message)).await)?;
        let tenant = bytes32("tenant", &shown.tenant)?;
        let hash = match shown.hash.is_empty() {
            true => None,
            false => Some(bytes32("hash", &shown.hash)?),
        };
        if hash.is_some_and(|hash| !shown.text.is_empty() && policy_text_hash(&shown.text) != hash) {
            return Err(EvidenceError::Substituted("another text than the one of the hash").into());
        }
        let proven = match version {
            0 => {
                let found = (shown.version, &shown.hash[..], &shown.state[..]);
                self.proven_publication(Published::Policy, &tenant, found)?
            }
            _ => None,
        };
        let rule = proven.flatten().map(|state| state.rule);
        Ok(ShownPolicy {
            tenant,
            version: shown.version,
            hash,
            text: Some(shown.text).filter(|text| !text.is_empty()),
            rule,
            proven: proven.is_some(),
            policy: bytes32("policy", &shown.policy)?,
            schema: shown.schema,
            floor: shown.floor.into_iter().map(|file| (file.name, file.text)).collect(),
        })
    }

    /// What the ledger proves to be in force, held against version and hash as shown; nothing without a trust file.
    pub(crate) fn proven_publication(
        &self,
        of: Published,
        tenant: &[u8; 32],
        (version, hash, receipt): (u32, &[u8], &[u8]),
    ) -> Result<Option<Option<PolicyState>>, PoliciesError> {
        let Some(trusted) = self.trusted.as_deref() else { return Ok(None) };
        let proven = trusted.proven(IN_FORCE, &of.state_key(tenant), receipt)?;
        let state = proven.value.map(|value| PolicyState::decode(&value)).transpose();
        let state = state.map_err(|_| EvidenceError::Substituted("a proof of something else"))?;
        let (proven, set) = state.map_or((0, None), |state| (state.version, Some(state.set)));
        if proven != version || set.as_ref().map_or(&[][..], |set| &set[..]) != hash {
            return Err(
                EvidenceError::Substituted("another set than the one that is proven to be in force").into()
            );
        }
        Ok(Some(state))
    }

    /// Puts a set in force, from version 2 on with the case that has approved it. Gives its version.
    pub async fn publish_policy(
        &self,
        voice: Voice<'_>,
        publication: &Publication,
        case: Option<[u8; 32]>,
    ) -> Result<(Done, u32), PoliciesError> {
        let shown =
            self.answer(self.policies().show(self.request(ShowPolicyRequest { version: 0 })).await)?;
        let send = |entry: Bytes, idempotency_key: Bytes, left| {
            let text = publication.text.clone();
            let message = PublishPolicyRequest { text, entry, idempotency_key };
            let mut policies = self.policies();
            async move {
                let answer = self.answer(policies.publish(self.request_within(message, left)).await)?;
                Ok((answer.receipt, answer.leaf_index))
            }
        };
        self.hand_in_publication(voice, (publication, case), &shown.state, send).await
    }

    /// Signs a publication at the height that the state receipt proves, hands it in until somebody says what became of it, and
    /// holds its record.
    pub(crate) async fn hand_in_publication<F, S>(
        &self,
        voice: Voice<'_>,
        (publication, case): (&Publication, Option<[u8; 32]>),
        state: &[u8],
        send: F,
    ) -> Result<(Done, u32), PoliciesError>
    where
        F: Fn(Bytes, Bytes, Duration) -> S,
        S: Future<Output = Result<(Bytes, u64), ClientError>>,
    {
        let Publication { of, publish, .. } = publication;
        let key = of.state_key(&publish.tenant);
        let height = self.approval_trust()?.proven(IN_FORCE, &key, state)?.height;
        let act = of.act(PublishPolicy { case, ..*publish });
        let entry = self.signed_approval(voice, act, None, height).await?;
        Ok((self.hand_in_entry(&entry, send).await?.0, publish.version))
    }

    /// What would be decided of a request (JSON, as in files of cases), under a text or under what is in force.
    pub async fn explain_policy(
        &self,
        request: &str,
        text: Option<&str>,
    ) -> Result<PolicyVerdict, ClientError> {
        let (request, text) = (request.to_owned(), text.unwrap_or_default().to_owned());
        let message = ExplainPolicyRequest { request, text };
        let explained = self.answer(self.policies().explain(self.request(message)).await)?;
        explained.verdict.ok_or(ClientError::Answer { what: "no verdict was sent" })
    }

    /// What of lately decided requests would be decided otherwise under a text.
    pub async fn try_policy(&self, text: &str) -> Result<DryRunPolicyResponse, ClientError> {
        let message = DryRunPolicyRequest { text: text.to_owned() };
        self.answer(self.policies().dry_run(self.request(message)).await)
    }

    /// The versions that the service knows of, newest first.
    pub async fn list_policies(&self) -> Result<Vec<PolicyVersion>, ClientError> {
        let listed = self.answer(self.policies().list(self.request(ListPoliciesRequest {})).await)?;
        Ok(listed.versions)
    }
}
