//! Whom an account trusts, as the ledger proves it.

use keyward_ledger_core::entry::{Case, DelegationTerms, Party, RuleName};
use keyward_ledger_core::state::delegation::{
    DelegationState, Delegations, NextDelegation, delegation_key, delegations_key,
};
use keyward_ledger_core::state::layout::{
    TimelockCase, TimelockCaseStatus, TimelockState, timelock_case_key, timelock_key,
};
use keyward_ledger_verify::Failure;
use keyward_proto::custody::{ShowDelegationsRequest, ShownDelegation};

use super::error::DelegationError;
use crate::client::Client;
use crate::evidence::EvidenceError;
use crate::receipts::{Trusted, now_ms};

/// An account's delegations, proven.
#[derive(Clone, Debug)]
pub struct Trust {
    /// The account.
    pub account: [u8; 32],
    /// How many changes it has signed.
    pub changes: u32,
    /// Before this block time no change holds, in milliseconds since 1970.
    pub hold_ms: u64,
    /// All of them for the account itself; for others those that name them.
    pub delegations: Vec<DelegationStatus>,
    /// A height that the ledger has passed.
    pub height: u64,
    /// When this was read, by the clock of this side or the time of the newest block shown, whichever is later; in
    /// milliseconds since 1970.
    pub read_ms: u64,
}

/// One of them.
#[derive(Clone, Debug)]
pub struct DelegationStatus {
    /// Its rule.
    pub rule: RuleName,
    /// The number of the change that was in force when it was last looked at; the smaller, the older the trust.
    pub version: u32,
    /// Whether acting was revoked already.
    pub stopped: bool,
    /// What was in force when the ledger last looked; [`Trust::in_force`] says what is now.
    pub terms: Option<DelegationTerms>,
    /// What waits.
    pub next: Option<NextDelegation>,
    /// The recovery that waits or is disputed.
    pub recovery: Option<LiveRecovery>,
}

/// A recovery that was opened and has not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LiveRecovery {
    /// Its case and what it is about.
    pub case: Case,
    /// From when it may be executed, in milliseconds since 1970.
    pub opens_ms: u64,
    /// Until when.
    pub ends_ms: u64,
    /// Whether the judges have to decide.
    pub disputed: bool,
}

impl Trust {
    /// The delegation whose name has this id.
    pub fn named(&self, name: &[u8; 32]) -> Option<&DelegationStatus> {
        self.delegations.iter().find(|one| one.rule.name == *name)
    }

    /// Whether what waits has waited long enough: the ledger lets it hold the next time that it looks. While a recovery
    /// lives nothing does.
    pub fn is_due(&self, one: &DelegationStatus) -> bool {
        let waited = |next: &NextDelegation| next.from_ms.max(self.hold_ms) <= self.read_ms;
        one.next.as_ref().is_some_and(waited) && self.delegations.iter().all(|other| other.recovery.is_none())
    }

    /// What is in force now.
    pub fn in_force<'a>(&self, one: &'a DelegationStatus) -> Option<&'a DelegationTerms> {
        match &one.next {
            Some(next) if self.is_due(one) => next.terms.as_ref(),
            _ => one.terms.as_ref(),
        }
    }
}

impl DelegationStatus {
    /// Whether its terms, those in force or those that wait, name an account.
    pub fn names(&self, account: &[u8; 32]) -> bool {
        let next = self.next.as_ref().and_then(|next| next.terms.as_ref());
        let mut terms = self.terms.iter().chain(next);
        terms.any(|terms| terms.delegates.contains(&Party::Credential(*account)))
    }
}

impl Client {
    pub(super) fn trust(&self) -> Result<&Trusted, DelegationError> {
        self.trusted.as_deref().ok_or(DelegationError::TrustMissing)
    }

    /// The delegations of the session's account, or of another those that name it.
    pub async fn delegations(&self, of: Option<[u8; 32]>) -> Result<Trust, DelegationError> {
        let trusted = self.trust()?;
        let own = self.account.ok_or(DelegationError::AccountMissing)?;
        let account = of.unwrap_or(own);
        let message = ShowDelegationsRequest { account: account.to_vec().into() };
        let shown = self.answer(self.delegation().show(self.request(message)).await)?;
        let now_ms = now_ms();
        let (what, key) = ("the account's delegations", delegations_key(&account));
        let proven = trusted.proven(what, &key, &shown.account)?;
        let all = match &proven.value {
            None => Delegations::default(),
            Some(value) => Delegations::decode(value).map_err(EvidenceError::malformed(what))?,
        };
        let mut rules = all.rules.iter();
        let mut delegations = Vec::new();
        for one in &shown.delegations {
            let found = rules.find_map(|rule| one_of(trusted, rule, one).transpose()).transpose()?;
            let known = found.filter(|found| account == own || found.names(&own));
            delegations.push(known.ok_or(EvidenceError::Substituted("a delegation that is none of these"))?);
        }
        if account == own && delegations.len() < all.rules.len() {
            return Err(EvidenceError::Substituted("fewer delegations than the account has").into());
        }
        let (changes, hold_ms, height) = (all.changes, all.hold_ms, proven.height);
        let read_ms = now_ms.max(proven.time_ms);
        Ok(Trust { account, changes, hold_ms, delegations, height, read_ms })
    }

    /// The delegation of an account that goes by a rule, with everything that was shown beside it.
    pub(super) async fn delegation_of(
        &self,
        rule: &RuleName,
    ) -> Result<(Trust, DelegationStatus), DelegationError> {
        let trust = self.delegations(Some(rule.owner)).await?;
        let found = trust.named(&rule.name).cloned().ok_or(DelegationError::Unknown)?;
        Ok((trust, found))
    }
}

/// The delegation, if it is the one of this rule.
fn one_of(
    trusted: &Trusted,
    rule: &[u8; 32],
    shown: &ShownDelegation,
) -> Result<Option<DelegationStatus>, DelegationError> {
    let what = "a delegation";
    let value = match trusted.proven(what, &delegation_key(rule), &shown.delegation) {
        Err(EvidenceError::Proof { source: Failure::OtherStateKey, .. }) => return Ok(None),
        proven => proven?.value,
    };
    let Some(value) = value else { return Ok(None) };
    let found = DelegationState::decode(&value).map_err(EvidenceError::malformed(what))?;
    let what = "a delegation's recoveries";
    let timelock = match trusted.proven(what, &timelock_key(rule), &shown.timelock)?.value {
        None => None,
        Some(value) => Some(TimelockState::decode(&value).map_err(EvidenceError::malformed(what))?),
    };
    let recovery = match timelock.and_then(|timelock| timelock.live) {
        None => None,
        Some((id, _)) => live(trusted, id, &shown.recovery)?,
    };
    let DelegationState { rule, version, stopped, terms, next } = found;
    Ok(Some(DelegationStatus { rule, version, stopped, terms, next, recovery }))
}

fn live(trusted: &Trusted, id: [u8; 32], receipt: &[u8]) -> Result<Option<LiveRecovery>, DelegationError> {
    let what = "a recovery";
    let proven = trusted.proven(what, &timelock_case_key(&id), receipt)?;
    let Some(value) = proven.value else { return Ok(None) };
    let TimelockCase { payload, opens_ms, ends_ms, status, .. } =
        TimelockCase::decode(&value).map_err(EvidenceError::malformed(what))?;
    let lives = matches!(status, TimelockCaseStatus::Waiting | TimelockCaseStatus::Disputed);
    let disputed = status == TimelockCaseStatus::Disputed;
    let case = Case { id, payload };
    Ok((lives && ends_ms >= proven.time_ms).then_some(LiveRecovery { case, opens_ms, ends_ms, disputed }))
}
