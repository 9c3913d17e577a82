//! Publication: a text is checked and kept, and the entry that puts it in force is handed in; once under each idempotency key, and
//! settled whatever stops between.

use std::sync::Arc;

use keyward_domain::{AccountId, Code, publication::Published, risk::RuleSet};
use keyward_ledger_core::{
    entry::{Authored, Entry, Party, PublishPolicy},
    outcome::Refusal,
};
use keyward_policies::{Actor, ActorKind, PolicySet, Request, Resource, Verb};
use keyward_store::{Act as Row, ActKind, Change, PolicyVersion};

use super::{decode, own_tenant};
use crate::{
    acts::{Plan, Settled, heights},
    authorise::not_allowed,
    caller::Caller,
    custody::Custody,
    failure::Failure,
    handed_in,
    once::{Once, request_hash},
    ports::Final,
    vaults::{
        entries::{HandedIn, kept},
        floods::Flood,
    },
};

/// What an officer wants in force.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AskToPublish<'a> {
    pub(crate) of: Published,
    pub(crate) text: &'a str,
    pub(crate) entry: &'a [u8],
    pub(crate) mark: &'a [u8],
}

impl Custody {
    /// Who administers policies does it by the certificate of their office, whatever session stands beside it.
    pub(crate) fn authorise_office(&self, caller: &Caller, verb: Verb) -> Result<(), Failure> {
        let kind = ActorKind::of(caller.principal.role()).ok_or_else(|| not_allowed(caller, verb))?;
        let (tenant, name) = (self.tenant.as_str(), caller.principal.name());
        let actor = Actor { tenant, kind, name, account: None };
        let request = Request { actor, verb, resource: Resource::Tenant { tenant } };
        let decision = self.policies.now().decide(&request).map_err(Failure::internal)?;
        if decision.allowed { Ok(()) } else { Err(not_allowed(caller, verb)) }
    }

    /// Puts the next version in force. Once begun it runs to its end: run it in a task of its own.
    pub(crate) async fn publish(
        &self,
        caller: &Caller,
        ask: AskToPublish<'_>,
    ) -> Result<(HandedIn, u32), Failure> {
        let _permit = self.permit()?;
        self.authorise_office(caller, Verb::PolicyPublish)?;
        let account = caller.person()?.account;
        caller.in_time(self.clock.now_ms())?;
        let entry = handed_in::read(ask.entry, Code::PolicyRequestMalformed)?;
        let (of, publish, author) = publication(&entry)?;
        if of != ask.of {
            return Err(malformed(format!("the entry publishes {}", of.words())));
        }
        if !self.spoke(&[author], account).await? {
            return Err(Failure::new(Code::NotAllowed, "the session's account has not signed the entry"));
        }
        self.check_publication(of, &publish, ask.text).await?;
        let verb = match of {
            Published::Policy => "policy.publish",
            Published::Risk => "risk.publish",
        };
        let hash = request_hash(verb, &[&account.0, ask.entry]);
        let name = match self.once(caller, ask.mark, hash).await? {
            Once::Done(bytes) => return Ok((HandedIn::of_kept(&bytes)?, publish.version)),
            Once::Fresh(name) => name,
        };
        let charged = async {
            self.floods.charge(account.0, Flood::Entry, self.clock.now_ms())?;
            self.check_version(of, &publish).await?;
            match &publish.case {
                Some(case) => self.check_approvers(caller, case).await,
                None => Ok(()),
            }
        };
        if let Err(failure) = charged.await {
            self.give_back(name).await;
            return Err(failure);
        }
        let (text, kept_ms) = (ask.text.to_owned(), self.clock.now_ms());
        let keep = Change::KeepPolicyText { hash: publish.set, text, kept_ms };
        let plan = Plan {
            kind: ActKind::Policy,
            subject: account.0,
            entries: vec![entry],
            before: vec![keep.clone()],
            accepted: vec![keep, in_force(of, &publish, account, kept_ms)],
            refused: vec![Change::ForgetPolicyText(publish.set)],
            name,
            app: String::new(),
        };
        let kept = self.perform(plan).await?;
        let looked = match of {
            Published::Policy => self.look_at_policies().await,
            Published::Risk => self.look_at_risk().await,
        };
        if let Err(failure) = looked {
            tracing::info!(%failure, "what was published is in force a little later");
        }
        Ok((HandedIn::of_kept(&kept)?, publish.version))
    }

    /// Refuses a text that no decision could be made under, and an entry that is not about it.
    async fn check_publication(
        &self,
        of: Published,
        publish: &PublishPolicy,
        text: &str,
    ) -> Result<(), Failure> {
        if publish.tenant != own_tenant(&self.tenant) {
            return Err(Failure::new(Code::PolicyTenantOther, "the entry publishes for another tenant"));
        }
        match of {
            Published::Policy => drop(checked(self.policies.floor(), text).await?),
            Published::Risk => drop(RuleSet::parse(text).map_err(Failure::of)?),
        }
        if of.text_hash(text) != publish.set {
            return Err(Failure::new(
                Code::PolicyTextOther,
                "the entry publishes another text: its hash differs",
            ));
        }
        Ok(())
    }

    /// Refuses what the ledger would refuse, in words that say what it should have been.
    async fn check_version(&self, of: Published, publish: &PublishPolicy) -> Result<(), Failure> {
        let state = decode(self.ledger.state(of.state_key(&publish.tenant)).await?)?;
        let next = state.as_ref().map_or(1, |state| state.version.saturating_add(1));
        if publish.version != next {
            let what = format!("version {} does not follow: the next one is {next}", publish.version);
            return Err(Failure::new(Code::PolicyVersion, what));
        }
        match (state, publish.case) {
            (Some(state), None) => {
                let rule = crate::hex::hex(&state.rule);
                let what = format!("the rule {rule} approves version {next}, and the entry names no case");
                Err(Failure::new(Code::ApprovalsMissing, what))
            }
            _ => Ok(()),
        }
    }

    /// Settles a publication that a crash or an outage left. None while it may still come by itself.
    pub(crate) async fn settle_policy(
        &self,
        act: &Row,
        entries: &[Entry],
    ) -> Result<Option<Settled>, Failure> {
        let known = entries.first().and_then(|entry| Some((entry, publication(entry).ok()?)));
        let Some((entry, (of, publish, _))) = known else { return Ok(Some(Settled::undone(Vec::new()))) };
        let found = self.ledger.accepted_within(heights(act), entry.clone()).await?;
        match found {
            Some(record) => {
                let changes = vec![in_force(of, &publish, AccountId(act.subject), self.clock.now_ms())];
                Ok(Some(Settled { changes, receipt: Some(kept(record.as_ref())) }))
            }
            None if self.ledger.height() <= act.until => Ok(None),
            None => Ok(Some(Settled::undone(vec![Change::ForgetPolicyText(publish.set)]))),
        }
    }
}

fn in_force(of: Published, publish: &PublishPolicy, account: AccountId, kept_ms: u64) -> Change {
    let (version, hash) = (publish.version, publish.set);
    let row = PolicyVersion { version, hash, account: Some(account.0), kept_ms };
    match of {
        Published::Policy => Change::PutPolicyVersion(row),
        Published::Risk => Change::PutRiskVersion(row),
    }
}

/// A publication, and who signed it.
fn publication(entry: &Entry) -> Result<(Published, PublishPolicy, Party), Failure> {
    if let Entry::Authored(Authored { act, authors }) = entry
        && let (Some((of, publish)), [author]) = (Published::of(act), authors.as_slice())
    {
        return Ok((of, *publish, author.party));
    }
    Err(malformed("the entry is no publication, signed by one author"))
}

fn malformed(why: impl Into<String>) -> Failure {
    Failure::new(Code::PolicyRequestMalformed, why)
}

/// A tenant's text, checked on a thread where its work keeps nobody waiting.
pub(super) async fn checked(floor: &Arc<PolicySet>, text: &str) -> Result<PolicySet, Failure> {
    let (floor, text) = (floor.clone(), text.to_owned());
    let checked = tokio::task::spawn_blocking(move || floor.with_tenant(&text)).await;
    checked.map_err(Failure::internal)?.map_err(|error| {
        let code = Code::ALL.iter().copied().find(|code| code.name() == error.code());
        let words: String = error.to_string().chars().take(WORDS_MAX).collect();
        Failure::because(code.unwrap_or(Code::PolicyInvalid), words, error)
    })
}

/// The most of Cedar's words that a caller is told.
const WORDS_MAX: usize = 1000;

/// A refused publication, as the officer sees it.
pub(crate) fn policy_refusal(record: &dyn Final) -> Failure {
    let outcome = record.outcome();
    let code = match outcome.refusal() {
        Some(Refusal::Expired | Refusal::ExpiryTooFar) => Code::AuthorSignatureExpired,
        Some(Refusal::RuleVersion) => Code::PolicyVersion,
        _ => Code::of_ledger(outcome.name()),
    };
    Failure::new(code, format!("the ledger refused it (`{}`)", outcome.name()))
}
