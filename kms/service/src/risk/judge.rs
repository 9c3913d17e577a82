//! A request held against the rules and the account's history: it goes on, waits for the approval of others, or ends here.
//!
//! Where rules hold anything back, the history that lets a request pass is kept in the same write as its intent: of two requests
//! that race, on one server or two, the second is judged with the first one in mind. Where they only watch, histories are kept
//! every few seconds.

use keyward_domain::{
    AccountId, Code,
    risk::{Decision, Mark, Outcome, Request, RuleSet, Verb, Verdict, verdict},
};
use keyward_store::{AddressUse, Claim, Claimed, Id, NewIntent, RiskHistory, StoreError};

use super::book::{Entered, Known, Taken};
use crate::{caller::Caller, custody::Custody, failure::Failure, guard::Said, hex::hex};

/// How long an account that is only watched stays out of the log at its usual level.
const QUIET_MS: u64 = 60_000;

/// Who asks for what.
#[derive(Clone, Copy)]
pub(crate) struct Asking<'a> {
    pub(crate) caller: &'a Caller,
    /// Whose key or address it is for.
    pub(crate) account: AccountId,
    pub(crate) said: &'a Said,
    pub(crate) verb: Verb,
}

/// What is kept of a request that may go on.
pub(crate) enum ToKeep {
    /// An intent of a key, and the claim to its idempotency key.
    Key(NewIntent, Option<Claim>),
    /// An intent of an address.
    Address(NewIntent, AddressUse),
}

/// A request that may go on, and is taken in once the ledger has let it.
#[must_use = "what goes on is taken in"]
pub(crate) struct Weighed {
    account: AccountId,
    request: Request,
    outcome: Outcome,
    enforced: bool,
    unlinkable: bool,
}

impl Custody {
    /// Keeps an intent that the rules let pass, with the account's history where the rules hold anything back. What passed by
    /// an approval, which is the ledger's to confirm, is to be taken in afterwards.
    pub(crate) async fn begin_judged(
        &self,
        asking: Asking<'_>,
        what: ToKeep,
    ) -> Result<(Claimed, Option<Weighed>), Failure> {
        let rules = self.risk_rules().await?;
        let (account, request) = (asking.account, self.risk_request(asking));
        let unlinkable = asking.said.unlinkable;
        let Some(mut known) = self.enter_judging(&rules, asking).await? else {
            return Ok((self.keep(what, None).await?, None));
        };
        let outcome = match self.weigh_entered(&rules, &mut known, asking, &request).await {
            Ok(outcome) => outcome,
            Err(refused) => {
                drop(known);
                return self.refuse_judged(what, refused).await;
            }
        };
        let enforced = rules.enforces();
        if outcome == Outcome::Approved || !enforced {
            drop(known);
            let claimed = self.keep(what, None).await?;
            let weighed = Weighed { account, request, outcome, enforced, unlinkable };
            let taken = (claimed == Claimed::New).then_some(weighed);
            return Ok(match taken {
                Some(weighed) if outcome == Outcome::Allowed => {
                    self.learn(weighed).await;
                    (claimed, None)
                }
                taken => (claimed, taken),
            });
        }
        let mut next = known.history.clone();
        next.record(&request, outcome);
        let row = self.risk.row(account.0, &known, &next)?;
        let claimed = match self.keep(what, Some(row)).await {
            Ok(claimed) => claimed,
            Err(error) => {
                // Whether it was kept is not known.
                known.outdated();
                return Err(error.into());
            }
        };
        match claimed {
            Claimed::New => {
                known.kept(next);
                if !unlinkable {
                    self.risk.remember(account, &request, Some(outcome));
                }
            }
            Claimed::Stale => known.outdated(),
            _ => {}
        }
        Ok((claimed, None))
    }

    async fn keep(&self, what: ToKeep, history: Option<RiskHistory>) -> Result<Claimed, StoreError> {
        match what {
            ToKeep::Key(intent, claim) => self.store.begin_judged_intent(intent, claim, history).await,
            ToKeep::Address(intent, address) => {
                self.store.begin_address_intent(intent, address, history).await
            }
        }
    }

    /// What the rules say of a request that is paid for on the ledger before its intent. Changes nothing.
    pub(crate) async fn weigh(&self, asking: Asking<'_>) -> Result<Weighed, Failure> {
        let rules = self.risk_rules().await?;
        let (account, request) = (asking.account, self.risk_request(asking));
        let outcome = match self.enter_judging(&rules, asking).await? {
            Some(mut known) => self.weigh_entered(&rules, &mut known, asking, &request).await?,
            None => Outcome::Allowed,
        };
        let (enforced, unlinkable) = (rules.enforces(), asking.said.unlinkable);
        Ok(Weighed { account, request, outcome, enforced, unlinkable })
    }

    /// Takes in what went on; where the rules hold anything back it is kept before anything else is done.
    pub(crate) async fn learn(&self, weighed: Weighed) {
        let Weighed { account, request, outcome, enforced, unlinkable } = weighed;
        if !unlinkable {
            self.risk.remember(account, &request, Some(outcome));
        }
        let taken = async {
            let mut known = self.enter_history(account.0).await?;
            known.take(Taken::Done(request, outcome));
            if enforced { self.keep_history(account.0, &mut known).await } else { Ok(()) }
        };
        if let Err(failure) = taken.await {
            tracing::warn!(%failure, "what was done is kept later in the account's history");
        }
    }

    /// The account's turn. Rules that only watch hold nothing back where a history is not to be had either.
    async fn enter_judging(&self, rules: &RuleSet, asking: Asking<'_>) -> Result<Option<Entered>, Failure> {
        match self.enter_history(asking.account.0).await {
            Ok(known) => Ok(Some(known)),
            Err(failure) if rules.enforces() => Err(failure),
            Err(failure) => {
                let account = named(asking, Decision::Allow);
                tracing::error!(account, %failure, "the account's history is not to be had: nothing is judged");
                Ok(None)
            }
        }
    }

    /// No refusal is from memory: another server may have kept what makes it usual.
    async fn weigh_entered(
        &self,
        rules: &RuleSet,
        known: &mut Entered,
        asking: Asking<'_>,
        request: &Request,
    ) -> Result<Outcome, Failure> {
        let account = asking.account;
        let judged = verdict(rules, &known.history, request);
        let judged = match judged.acts {
            Decision::Allow => judged,
            Decision::Ask | Decision::Refuse => {
                known.outdated();
                self.load_history(account.0, known).await?;
                verdict(rules, &known.history, request)
            }
        };
        tell(asking, known, &judged, request.time_ms);
        let rule = rules.rule();
        // Anybody may define a rule whose approvers are accomplices: only the one that the set names says anything.
        let approved = rule.is_some_and(|rule| asking.said.approvals.contains(&rule));
        match judged.acts {
            Decision::Allow | Decision::Ask if approved => Ok(Outcome::Approved),
            Decision::Allow => Ok(Outcome::Allowed),
            decision => {
                // What waits for approval goes on later.
                if !asking.said.unlinkable || decision == Decision::Refuse {
                    self.risk.remember(account, request, None);
                }
                Err(refusal(decision, rule, &judged))
            }
        }
    }

    /// A request that was answered before gets its answer, whatever is thought of it now. A claim is the caller's to give back.
    async fn refuse_judged(
        &self,
        what: ToKeep,
        refused: Failure,
    ) -> Result<(Claimed, Option<Weighed>), Failure> {
        let ToKeep::Key(_, Some(claim)) = what else { return Err(refused) };
        match self.store.claim(claim).await? {
            Claimed::New => Err(refused),
            claimed => Ok((claimed, None)),
        }
    }

    fn risk_request(&self, asking: Asking<'_>) -> Request {
        let Asking { caller, account, said, verb } = asking;
        let app = match verb {
            Verb::Sign => Mark::of_app(&account, &caller.principal.to_string()),
            // A delegate is a person.
            Verb::Act => Mark::of_app(&account, &caller.name()),
        };
        let (origin, now_ms) = (caller.origin.mark(&account), self.clock.now_ms());
        keyward_policies::risk::request(&said.facts, &account, verb, now_ms, Some(app), Some(origin))
    }
}

/// The account in the log; none where an address of it may sign: right after it the ledger names the address.
fn named(asking: Asking<'_>, acts: Decision) -> Option<String> {
    (!asking.said.unlinkable || acts == Decision::Refuse).then(|| asking.account.to_string())
}

/// The score goes to the log, whatever comes of it; what is only watched speaks up once a minute.
fn tell(asking: Asking<'_>, known: &mut Known, judged: &Verdict, now_ms: u64) {
    let account = named(asking, judged.acts);
    let (score, says, acts) = (judged.score, judged.decision.name(), judged.acts.name());
    let watched = judged.acts == Decision::Allow;
    if judged.decision == Decision::Allow || watched && now_ms < known.quiet_until_ms {
        tracing::debug!(account, score, says, acts, "judged");
        return;
    }
    known.quiet_until_ms = now_ms.saturating_add(QUIET_MS);
    let reasons: Vec<_> = judged.reasons.iter().map(|reason| reason.detail()).collect();
    tracing::info!(account, score, says, acts, ?reasons, "judged a risk");
}

/// What who asked is told: reasons, and no number that would help a thief.
fn refusal(decision: Decision, rule: Option<Id>, judged: &Verdict) -> Failure {
    let words = judged.words();
    match (decision, rule) {
        (Decision::Ask, Some(rule)) => {
            let what = format!("it waits for approval under {} (risk: {words})", hex(&rule));
            Failure::new(Code::ApprovalRequired, what)
        }
        _ => Failure::new(Code::RiskRefused, format!("it is refused as a risk: {words}")),
    }
}
