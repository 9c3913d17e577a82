//! Rules and cases, as the ledger proves them; and what a case is about, held against it.

use std::fmt;

use keyward_domain::approval::AddressSigning;
use keyward_ledger_core::entry::{
    AuditTerms, Case, Grant, Party, PublishAudit, PublishPolicy, RuleName, kind,
};
use keyward_ledger_core::scheme::{KeyId, Scheme};
use keyward_ledger_core::state::layout::{
    ApprovalCase, ApprovalCaseStatus as Status, ApprovalState, approval_case_key, approval_key,
};
use keyward_ledger_verify::StateVerdict;
use keyward_proto::custody::{
    ApprovalAbout, ApprovalOfAddress, ApprovalOfAuditTerms, ApprovalOfPublication, ListApprovalRulesRequest,
    ListApprovalsRequest, ShowApprovalRequest, approval_about,
};

use super::error::ApprovalError;
use super::{About, Publication, Published, Signing};
use crate::client::{Client, bytes32};
use crate::error::ClientError;
use crate::evidence::EvidenceError;

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

/// A case as the ledger proves it, and what it is about: the same thing, as this side has computed. Prints redacted.
#[derive(Clone)]
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

impl fmt::Debug for ShownCase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ShownCase(redacted)")
    }
}

impl ShownCase {
    /// Who asks: the account that the ledger has, or, of a case that names nobody there, the one that it is about. Nothing where
    /// nobody says.
    pub fn asker(&self) -> Option<[u8; 32]> {
        match &self.about {
            Some(About::Address(asked)) => Some(asked.account),
            None if self.is_blind() => None,
            _ => Some(self.initiator),
        }
    }

    /// Whether the case names nobody on the ledger: its payload stands in the initiator's place.
    pub(super) fn is_blind(&self) -> bool {
        self.initiator == self.case.payload
    }

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
                return Err(EvidenceError::Substituted("a rule of another account").into());
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
            return Err(EvidenceError::Substituted("another number of rules than one").into());
        };
        let (rule, height) = self.rule_state(&id, &one.rule)?;
        Ok((rule.map(|rule| Rule { name: Some(*name), ..rule }), height))
    }

    /// Whose a rule is and what it is called, by its id: what the service says is the rule's only if the id follows from it.
    pub async fn approval_rule_name(&self, id: &[u8; 32]) -> Result<RuleName, ApprovalError> {
        let shown = self.shown_rules(Some(*id)).await?;
        let [one] = shown.as_slice() else {
            return Err(EvidenceError::Substituted("another number of rules than one").into());
        };
        if one.owner.is_empty() {
            return Err(ApprovalError::RuleUnnamed);
        }
        let name = RuleName { owner: bytes32("owner", &one.owner)?, name: bytes32("name", &one.name)? };
        if name.id(kind::DEFINE_APPROVAL) != *id {
            return Err(EvidenceError::Substituted("the names of another rule").into());
        }
        Ok(name)
    }

    async fn shown_rules(
        &self,
        one: Option<[u8; 32]>,
    ) -> Result<Vec<keyward_proto::custody::ShownApprovalRule>, ApprovalError> {
        let rule = one.map(|id| id.to_vec()).unwrap_or_default().into();
        let request = self.request(ListApprovalRulesRequest { rule, rate: false });
        Ok(self.answer(self.approvals().rules(request).await)?.rules)
    }

    fn rule_state(&self, id: &[u8; 32], receipt: &[u8]) -> Result<(Option<Rule>, u64), ApprovalError> {
        let what = "an approval rule";
        let proven = self.proven(what, &approval_key(id), receipt)?;
        let Some(value) = proven.value else { return Ok((None, proven.height)) };
        let state = ApprovalState::decode(&value).map_err(EvidenceError::malformed(what))?;
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
        let found = ApprovalCase::decode(&value).map_err(EvidenceError::malformed(what))?;
        let (rule, _) = self.rule_state(&found.rule, &shown.rule)?;
        let rule = rule.ok_or(ApprovalError::RuleUnknown)?;
        let about = shown.about.map(of_proto).transpose()?;
        let mut words = Vec::new();
        if let Some(about) = &about {
            if about.payload() != found.payload {
                return Err(EvidenceError::Substituted("something that the case is not about").into());
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
        Ok(self.approval_trust()?.proven(what, key, receipt)?)
    }
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
        Some(Of::Grant(m)) => {
            let grant = Grant::decode(&m.grant).map_err(EvidenceError::malformed("the grant"))?;
            Ok(About::Grant { grant, purpose: m.purpose })
        }
        Some(Of::Audit(m)) => audit_terms(&m),
        Some(Of::Address(m)) => address(m),
        None => Err(EvidenceError::Substituted("a case about what this version does not know").into()),
    }
}

fn address(m: ApprovalOfAddress) -> Result<About, ApprovalError> {
    let strange = EvidenceError::Substituted("a scheme that there is not");
    Ok(About::Address(AddressSigning {
        account: bytes32("account", &m.account)?,
        salt: bytes32("salt", &m.salt)?,
        scheme: Scheme::from_name(&m.scheme).ok_or(strange)?,
        payload: m.payload.to_vec(),
        format: m.format,
        payload_hash: bytes32("payload hash", &m.payload_hash)?,
    }))
}

fn audit_terms(m: &ApprovalOfAuditTerms) -> Result<About, ApprovalError> {
    let wide = |_| EvidenceError::Substituted("terms for audits that there cannot be");
    let terms = AuditTerms {
        accounts_max: u16::try_from(m.accounts_max).map_err(wide)?,
        span_ms_max: m.span_ms_max,
        live_ms_max: m.live_ms_max,
        kept_ms: m.kept_ms,
    };
    let (tenant, rule) = (bytes32("tenant", &m.tenant)?, bytes32("rule", &m.rule)?);
    Ok(About::AuditTerms(PublishAudit { tenant, version: m.version, terms, rule, case: None }))
}

fn publication(of: Published, m: ApprovalOfPublication) -> Result<About, ApprovalError> {
    let (tenant, set) = (bytes32("tenant", &m.tenant)?, bytes32("hash", &m.set)?);
    let publish =
        PublishPolicy { tenant, version: m.version, set, rule: bytes32("rule", &m.rule)?, case: None };
    Ok(About::Publication(Publication { of, publish, text: m.text }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::super::entry::to_proto;
    use super::*;

    fn grant() -> About {
        let grant = Grant {
            id: [1; 32],
            tenant: [2; 32],
            grantee_key: [3; 32],
            purpose_hash: Grant::purpose_hash_of("why"),
            from_ms: 1,
            until_ms: 2,
            expires_ms: 3,
            accounts: vec![[4; 32], [5; 32]],
        };
        About::Grant { grant, purpose: "why".to_owned() }
    }

    fn terms() -> About {
        let terms = AuditTerms { accounts_max: u16::MAX, span_ms_max: 2, live_ms_max: 3, kept_ms: 4 };
        About::AuditTerms(PublishAudit { tenant: [1; 32], version: 4, terms, rule: [2; 32], case: None })
    }

    fn address() -> About {
        About::Address(AddressSigning {
            account: [1; 32],
            salt: [2; 32],
            scheme: Scheme::Bip340,
            payload: b"pay".to_vec(),
            format: "ethereum".to_owned(),
            payload_hash: [3; 32],
        })
    }

    #[test]
    fn grants_terms_and_what_addresses_sign_travel_as_they_are() {
        for about in [grant(), terms(), address()] {
            assert_eq!(of_proto(to_proto(&about)).unwrap(), about);
        }
    }

    #[test]
    fn what_is_no_grant_or_no_terms_is_refused() {
        let Some(approval_about::About::Grant(mut message)) = to_proto(&grant()).about else {
            unreachable!()
        };
        message.grant = message.grant.slice(1..);
        let refused = of_proto(ApprovalAbout { about: Some(approval_about::About::Grant(message)) });
        assert!(matches!(
            refused,
            Err(ApprovalError::Evidence(EvidenceError::Malformed { what: "the grant", .. }))
        ));
        let Some(approval_about::About::Audit(mut message)) = to_proto(&terms()).about else {
            unreachable!()
        };
        message.accounts_max += 1;
        let refused = of_proto(ApprovalAbout { about: Some(approval_about::About::Audit(message)) });
        assert!(
            matches!(refused, Err(ApprovalError::Evidence(EvidenceError::Substituted(_)))),
            "it would wrap to none"
        );
        assert!(of_proto(ApprovalAbout { about: None }).is_err());
    }
}
