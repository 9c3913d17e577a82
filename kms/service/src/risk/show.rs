//! Looking at risk: the rules in force and those before, other rules tried on what was judged lately, an account's habits in
//! numbers.

use keyward_domain::{
    Code,
    publication::Published,
    risk::{History, Limit, Replay, RuleSet, Summary, limits, replay},
};
use keyward_policies::{Verb, risk::DEFAULT};
use keyward_store::{Id, PolicyVersion};

use crate::{
    caller::Caller,
    custody::Custody,
    failure::Failure,
    policies::{decode, own_tenant},
};

/// Versions that are listed at most.
const LISTED_MAX: u32 = 256;

/// Rules, and what proves that they are in force.
#[derive(Debug)]
pub(crate) struct ShownRisk {
    pub(crate) version: u32,
    pub(crate) hash: Vec<u8>,
    pub(crate) text: String,
    /// State receipt; of the set in force alone.
    pub(crate) state: Vec<u8>,
}

/// What is known of an account's habits, in numbers: nobody whom it pays is named.
#[derive(Debug)]
pub(crate) struct Habits {
    pub(crate) summary: Summary,
    /// The limits that hold for it under the rules in force.
    pub(crate) limits: Vec<Limit>,
}

/// What a replay comes to.
#[derive(Debug)]
pub(crate) struct Replayed {
    pub(crate) since_ms: u64,
    pub(crate) replay: Replay,
}

impl Custody {
    /// The rules in force, or a version that was.
    pub(crate) async fn show_risk(&self, caller: &Caller, version: u32) -> Result<ShownRisk, Failure> {
        let _permit = self.permit()?;
        self.authorise_office(caller, Verb::PolicyShow)?;
        if version == 0 {
            let proven = self.ledger.proven(Published::Risk.state_key(&own_tenant(&self.tenant))).await?;
            let state = decode(proven.value)?;
            let text = match &state {
                Some(state) => self.store.policy_text(state.set).await?.unwrap_or_default(),
                None => DEFAULT.to_owned(),
            };
            return Ok(ShownRisk {
                version: state.as_ref().map_or(0, |state| state.version),
                hash: state.map_or_else(Vec::new, |state| state.set.to_vec()),
                text,
                state: proven.receipt,
            });
        }
        let rows = self.store.risk_versions(LISTED_MAX).await?;
        let row = rows.into_iter().find(|row| row.version == version).ok_or_else(|| {
            let what = format!("no version {version} of the rules of risk is known here");
            Failure::new(Code::PolicyUnknown, what)
        })?;
        let text = self.store.policy_text(row.hash).await?.unwrap_or_default();
        Ok(ShownRisk { version, hash: row.hash.to_vec(), text, state: Vec::new() })
    }

    /// The versions that are known here, newest first.
    pub(crate) async fn list_risk(&self, caller: &Caller) -> Result<Vec<PolicyVersion>, Failure> {
        let _permit = self.permit()?;
        self.authorise_office(caller, Verb::PolicyShow)?;
        Ok(self.store.risk_versions(LISTED_MAX).await?)
    }

    /// What would have been judged otherwise under this text; nothing is put in force.
    pub(crate) async fn replay_risk(
        &self,
        caller: &Caller,
        text: &str,
        since_ms: u64,
    ) -> Result<Replayed, Failure> {
        let _permit = self.permit()?;
        self.authorise_office(caller, Verb::PolicyDryRun)?;
        let tried = RuleSet::parse(text).map_err(Failure::of)?;
        let standing = self.risk_rules().await?;
        let events = self.judged_lately().await?;
        let times = events.iter().map(|event| event.request.time_ms);
        let since_ms = times.filter(|time_ms| *time_ms >= since_ms).min().unwrap_or(since_ms);
        // Some thousand verdicts: on a thread where their work keeps nobody waiting.
        let work = move || replay(&standing, &tried, events, since_ms);
        let replay = tokio::task::spawn_blocking(work).await.map_err(Failure::internal)?;
        Ok(Replayed { since_ms, replay })
    }

    /// What is known of an account's habits; none where nothing is.
    pub(crate) async fn risk_of_account(
        &self,
        caller: &Caller,
        account: Id,
    ) -> Result<Option<Habits>, Failure> {
        let _permit = self.permit()?;
        self.authorise_office(caller, Verb::PolicyShow)?;
        if self.store.account(account).await?.is_none() {
            return Err(Failure::new(Code::AccountUnknown, "no such account is known here"));
        }
        // Looked at again and again, they would tell when one of its addresses is used, and which.
        if self.store.address_account(account).await?.is_some() {
            let what = "habits of an account with unlinkable addresses are told to nobody";
            return Err(Failure::new(Code::NotAllowed, what));
        }
        let rules = self.risk_rules().await?;
        let (known, now_ms) = (self.enter_history(account).await?, self.clock.now_ms());
        let history = &known.history;
        let habits = || Habits { summary: history.summary(now_ms), limits: limits(&rules, history, now_ms) };
        Ok((*history != History::default()).then(habits))
    }
}
