//! Rules and cases, as the ledger proves them; and what a case is about, held against it.

use keyward_ledger_core::codec::DecodeError;
use keyward_ledger_core::entry::{Case, Party, PublishPolicy, RuleName, kind};
use keyward_ledger_core::scheme::KeyId;
use keyward_ledger_core::state::layout::{
    ApprovalCase, ApprovalCaseStatus as Status, ApprovalState, approval_case_key, approval_key,
};
use keyward_ledger_verify::StateVerdict;
use keyward_proto::custody::{
    ApprovalAbout, ApprovalOfPublication, ListApprovalRulesRequest, ListApprovalsRequest,
    ShowApprovalRequest, approval_about,
};

use super::error::ApprovalError;
use super::{About, Publication, Published, Signing};
use crate::client::{Client, bytes32};
use crate::error::ClientError;

/// A rule, proven.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Its id on the ledger.
    pub id: [u8; 32],
    /// Whose it is and what it is called, where the service knows; the id follows from both.
    pub name: Option<RuleName>,
    /// Its version, its terms, and how many cases it has had.
    pub state: ApprovalState,
    /// The height that this holds for.
    pub height: u64,
}

/// A case that the service keeps for the session's account; its own word.
#[derive(Clone, Debug)]
pub struct ListedCase {
    /// The case.
    pub case: [u8; 32],
    /// Who asked.
    pub initiator: [u8; 32],
    /// When, in milliseconds since 1970.
    pub asked_ms: u64,
    /// When it ends, in milliseconds since 1970.
    pub ends_ms: u64,
}

/// A case as the ledger proves it, and what it is about: the same thing, as this side has computed.
#[derive(Clone, Debug)]
pub struct ShownCase {
    /// The case and the hash of what it is about.
    pub case: Case,
    /// Who asked.
    pub initiator: [u8; 32],
    /// When it ends, in milliseconds since 1970.
    pub ends_ms: u64,
    /// Where it stands on the ledger.
    pub status: Status,
    /// Who has approved, and for which group.
    pub approvals: Vec<(u8, [u8; 32])>,
    /// The rule as it is now.
    pub rule: Rule,
    /// Whether the rule was defined anew since the case was opened.
    pub outdated: bool,
    /// What it is about; its hash is the case's. Nothing where the service does not keep it.
    pub about: Option<About>,
    /// The same in words, made here.
    pub words: Vec<String>,
    /// The height that all of this holds for.
    pub height: u64,
    /// The time of that block, in milliseconds since 1970.
    pub read_ms: u64,
}

impl ShownCase {
    /// How many approvals a group still lacks, for each group.
    pub fn missing(&self) -> Vec<u8> {
        let groups = (0_u8..).zip(&self.rule.state.terms.groups);
        let given = |number: u8| self.approvals.iter().filter(|(group, _)| *group == number).count();
        groups
            .map(|(number, group)| {
                group.needed.saturating_sub(u8::try_from(given(number)).unwrap_or(u8::MAX))
            })
            .collect()
    }

    /// The first group that names somebody and still lacks approvals, else the first that names them.
    pub fn group_of(&self, party: &Party) -> Option<u8> {
        let missing = self.missing();
        let named: Vec<_> = (0_u8..)
            .zip(&self.rule.state.terms.groups)
            .filter(|(_, group)| group.members.contains(party))
            .map(|(number, _)| number)
            .collect();
        let lacks = |number: &&u8| missing.get(usize::from(**number)).is_some_and(|missing| *missing > 0);
        named.iter().find(lacks).or(named.first()).copied()
    }

    /// Refuses a case in which nothing more can be said.
    pub fn check_open(&self) -> Result<(), ApprovalError> {
        match self.status {
            Status::Closed => Err(ApprovalError::NotOpen("refused or withdrawn")),
            Status::Used => Err(ApprovalError::NotOpen("used up")),
            Status::Open if self.ends_ms < self.read_ms => Err(ApprovalError::NotOpen("over")),
            Status::Open if self.outdated => Err(ApprovalError::RuleVersion),
            Status::Open => Ok(()),
        }
    }

    /// The same for who uses the approvals up: a use that was cut off goes on, as long as the service keeps what it is about.
    pub fn check_payable(&self) -> Result<(), ApprovalError> {
        match self.status {
            Status::Used if self.about.is_some() => Ok(()),
            _ => self.check_open(),
        }
    }

    /// What is to be signed, if that is what it is about.
    pub fn signing(&self) -> Option<&Signing> {
        match &self.about {
            Some(About::Signing(signing)) => Some(signing),
            _ => None,
        }
    }
}

impl Client {
    /// The rules that the session's account has defined at this service.
    pub async fn approval_rules(&self) -> Result<Vec<Rule>, ApprovalError> {
        self.approval_trust()?;
        let own = self.account;
        let shown = self.shown_rules(None).await?;
        let mut rules = Vec::new();
        for one in shown {
            let name = RuleName { owner: bytes32("owner", &one.owner)?, name: bytes32("name", &one.name)? };
            if own.is_some_and(|own| own != name.owner) {
                return Err(ApprovalError::Substituted { what: "a rule of another account" });
            }
            let proven = self.rule_state(&name.id(kind::DEFINE_APPROVAL), &one.rule)?;
            rules.extend(proven.0.map(|rule| Rule { name: Some(name), ..rule }));
        }
        Ok(rules)
    }

    /// A rule by its owner and name.
    pub async fn approval_rule(&self, name: &RuleName) -> Result<Rule, ApprovalError> {
        self.approval_rule_at(name).await?.0.ok_or(ApprovalError::RuleUnknown)
    }

    /// The same or its absence, and the height that this holds for.
    pub(super) async fn approval_rule_at(
        &self,
        name: &RuleName,
    ) -> Result<(Option<Rule>, u64), ApprovalError> {
        self.approval_trust()?;
        let id = name.id(kind::DEFINE_APPROVAL);
        let shown = self.shown_rules(Some(id)).await?;
        let [one] = shown.as_slice() else {
            return Err(ApprovalError::Substituted { what: "another number of rules than one" });
        };
        let (rule, height) = self.rule_state(&id, &one.rule)?;
        Ok((rule.map(|rule| Rule { name: Some(*name), ..rule }), height))
    }

    async fn shown_rules(
        &self,
        one: Option<[u8; 32]>,
    ) -> Result<Vec<keyward_proto::custody::ShownApprovalRule>, ApprovalError> {
        let rule = one.map(|id| id.to_vec()).unwrap_or_default().into();
        let request = self.request(ListApprovalRulesRequest { rule });
        Ok(self.answer(self.approvals().rules(request).await)?.rules)
    }

    fn rule_state(&self, id: &[u8; 32], receipt: &[u8]) -> Result<(Option<Rule>, u64), ApprovalError> {
        let what = "an approval rule";
        let proven = self.proven(what, &approval_key(id), receipt)?;
        let Some(value) = proven.value else { return Ok((None, proven.height)) };
        let state = decoded(what, ApprovalState::decode(&value))?;
        Ok((Some(Rule { id: *id, name: None, state, height: proven.height }), proven.height))
    }

    /// The cases that the service keeps for the session's account: what it asked for, and what it may approve.
    pub async fn approval_cases(&self) -> Result<Vec<ListedCase>, ApprovalError> {
        let request = self.request(ListApprovalsRequest {});
        let listed = self.answer(self.approvals().list(request).await)?.approvals;
        let one = |one: keyward_proto::custody::ListedApproval| -> Result<ListedCase, ClientError> {
            Ok(ListedCase {
                case: bytes32("case", &one.case_id)?,
                initiator: bytes32("initiator", &one.initiator)?,
                asked_ms: one.asked_unix_ms,
                ends_ms: one.ends_unix_ms,
            })
        };
        Ok(listed.into_iter().map(one).collect::<Result<_, _>>()?)
    }

    /// A case, proven; what the service carries with it is refused unless it is what the case is about.
    pub async fn approval_case(&self, id: &[u8; 32]) -> Result<ShownCase, ApprovalError> {
        self.approval_trust()?;
        let request = self.request(ShowApprovalRequest { case_id: id.to_vec().into() });
        let shown = self.answer(self.approvals().show(request).await)?;
        let what = "the case";
        let proven = self.proven(what, &approval_case_key(id), &shown.case)?;
        let value = proven.value.ok_or(ApprovalError::CaseUnknown)?;
        let found = decoded(what, ApprovalCase::decode(&value))?;
        let (rule, _) = self.rule_state(&found.rule, &shown.rule)?;
        let rule = rule.ok_or(ApprovalError::RuleUnknown)?;
        let about = shown.about.map(of_proto).transpose()?;
        let mut words = Vec::new();
        if let Some(about) = &about {
            if about.payload() != found.payload {
                return Err(ApprovalError::Substituted { what: "something that the case is not about" });
            }
            words = about.words().map_err(ApprovalError::Payload)?;
        }
        Ok(ShownCase {
            case: Case { id: *id, payload: found.payload },
            initiator: found.initiator,
            ends_ms: found.ends_ms,
            status: found.status,
            approvals: found.approvals,
            outdated: rule.state.version != found.version,
            rule,
            about,
            words,
            height: proven.height,
            read_ms: proven.time_ms,
        })
    }

    fn proven(&self, what: &'static str, key: &[u8], receipt: &[u8]) -> Result<StateVerdict, ApprovalError> {
        let trusted = self.approval_trust()?;
        trusted.recent(key, receipt).map_err(|source| ApprovalError::Proof { what, source })
    }
}

fn decoded<T>(what: &'static str, result: Result<T, DecodeError>) -> Result<T, ApprovalError> {
    result.map_err(|source| ApprovalError::Malformed { what, source })
}

pub(crate) fn of_proto(about: ApprovalAbout) -> Result<About, ApprovalError> {
    use approval_about::About as Of;
    match about.about {
        Some(Of::Signing(m)) => Ok(About::Signing(Signing {
            key_id: KeyId(bytes32("key id", &m.key_id)?),
            payload: m.payload.to_vec(),
            format: m.format,
            payload_hash: bytes32("payload hash", &m.payload_hash)?,
            opening: bytes32("opening", &m.opening)?,
        })),
        Some(Of::Dispute(m)) => {
            let (id, payload) = (bytes32("case", &m.case_id)?, bytes32("payload", &m.payload)?);
            Ok(About::Dispute(Case { id, payload }))
        }
        Some(Of::Publication(m)) => publication(Published::Policy, m),
        Some(Of::Risk(m)) => publication(Published::Risk, m),
        Some(Of::Grant(_) | Of::Audit(_)) | None => {
            Err(ApprovalError::Substituted { what: "a case about what this version does not know" })
        }
    }
}

fn publication(of: Published, m: ApprovalOfPublication) -> Result<About, ApprovalError> {
    let (tenant, set) = (bytes32("tenant", &m.tenant)?, bytes32("hash", &m.set)?);
    let publish =
        PublishPolicy { tenant, version: m.version, set, rule: bytes32("rule", &m.rule)?, case: None };
    Ok(About::Publication(Publication { of, publish, text: m.text }))
}
