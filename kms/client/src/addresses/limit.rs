//! The rate rule by which a service counts uses of hosted addresses: an account's word, and shown as the ledger proves it.

use keyward_ledger_core::entry::{Act, Define, RateTerms, RuleName, Terms as _, Window, kind};
use keyward_ledger_core::state::layout::{RateState, rate_key};
use keyward_proto::custody::ListApprovalRulesRequest;

use super::error::AddressesError;
use crate::approvals::{ApprovalError, Done, Voice};
use crate::client::Client;
use crate::evidence::EvidenceError;
use crate::person::Login;

/// How many addresses of one account sign in a fixed window of the ledger's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressLimit {
    count: u64,
    window_ms: u64,
}

/// A limit as the ledger proves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitRule {
    /// The rule's id, which the service's configuration names.
    pub id: [u8; 32],
    /// How often it was defined.
    pub version: u32,
    /// What it lets through.
    pub limit: AddressLimit,
    /// The height that this holds for.
    pub height: u64,
}

impl AddressLimit {
    /// At least one use, in a window of a second to 366 days.
    pub fn new(count: u64, window_ms: u64) -> Result<Self, AddressesError> {
        let limit = Self { count, window_ms };
        if count == 0 {
            return Err(AddressesError::Limit("lets no address sign"));
        }
        if !limit.terms().is_sound() {
            return Err(AddressesError::Limit("has a window that the ledger does not take"));
        }
        Ok(limit)
    }

    /// The most uses in one window.
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// The length of a window; windows begin at its multiples since 1970.
    pub const fn window_ms(&self) -> u64 {
        self.window_ms
    }

    fn terms(self) -> RateTerms {
        let window = Window { length_ms: self.window_ms, count_max: self.count, amount_max: 0 };
        RateTerms { windows: vec![window], chargers: Vec::new() }
    }

    fn of(terms: &RateTerms) -> Result<Self, AddressesError> {
        match (terms.windows.as_slice(), terms.chargers.as_slice()) {
            ([window], []) => Ok(Self { count: window.count_max, window_ms: window.length_ms }),
            _ => Err(AddressesError::Limit(
                "has several windows, or names who charges it: no uses of addresses are counted by it",
            )),
        }
    }
}

impl Client {
    /// Sets a limit of the login's account in its next version; gives the rule's id. A service counts by the one that its
    /// configuration names.
    pub async fn define_address_limit(
        &self,
        login: &Login,
        name: &[u8; 32],
        limit: AddressLimit,
    ) -> Result<(Done, [u8; 32]), AddressesError> {
        let rule = RuleName { owner: login.session.account, name: *name };
        let id = rule.id(kind::DEFINE_RATE);
        let (before, height) = self.rate_rule_at(&id).await?;
        let version = before.map_or(0, |rate| rate.version).saturating_add(1);
        let act = Act::DefineRate(Define { rule, version, terms: limit.terms() });
        let entry = self.signed_approval(Voice::Account(login), act, None, height).await?;
        Ok((self.hand_in_rule(&entry).await?, id))
    }

    /// A limit by its id.
    pub async fn address_limit(&self, id: &[u8; 32]) -> Result<LimitRule, AddressesError> {
        let (rate, height) = self.rate_rule_at(id).await?;
        let rate = rate.ok_or(AddressesError::LimitUnknown)?;
        Ok(LimitRule { id: *id, version: rate.version, limit: AddressLimit::of(&rate.terms)?, height })
    }

    /// A rate rule or its absence, and the height that this holds for.
    async fn rate_rule_at(&self, id: &[u8; 32]) -> Result<(Option<RateState>, u64), AddressesError> {
        let trusted = self.address_trust()?;
        let request = self.request(ListApprovalRulesRequest { rule: id.to_vec().into(), rate: true });
        let shown = self.answer(self.approvals().rules(request).await)?.rules;
        let [one] = shown.as_slice() else {
            return Err(AddressesError::Substituted { what: "another number of rules than one" });
        };
        let what = "a rate rule";
        let proven = trusted.proven(what, &rate_key(id), &one.rule).map_err(ApprovalError::from)?;
        let rate = proven.value.map(|value| RateState::decode(&value)).transpose();
        let rate = rate.map_err(|error| ApprovalError::from(EvidenceError::malformed(what)(error)))?;
        Ok((rate, proven.height))
    }
}
