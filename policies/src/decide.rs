//! Decisions under a set: the floor permits, the tenant's set narrows.

use std::collections::BTreeSet;

use cedar::{Context, Decision as Said, Entities, EntityUid};
use cedar_policy as cedar;

use crate::{
    entities::{Signature, context},
    error::{DecideError, PolicyError, words},
    narrowing::Narrowing,
    request::{Actor, ActorKind, Request, Resource, Verb},
    set::PolicySet,
    signing::{SharedSigning, SigningRequest},
    tenant::TenantSet,
    verdict::Verdict,
};

/// What the policies say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Whether to go on.
    pub allowed: bool,
    /// The names of the policies that made it, sorted; none means denied by default. Those of a tenant's set begin with
    /// `tenant/`.
    pub policies: Vec<String>,
}

/// A question, without its context.
struct Question {
    kind: ActorKind,
    actor: EntityUid,
    action: EntityUid,
    resource: EntityUid,
    entities: Entities,
}

impl PolicySet {
    /// Decides; whatever is not permitted is denied, and any error means: refuse. A signature is decided by
    /// [`Self::decide_signing`].
    pub fn decide(&self, request: &Request<'_>) -> Result<Decision, DecideError> {
        if request.verb == Verb::KeySign || request.actor.kind == ActorKind::Holder {
            return Err(DecideError::Request("a signature is decided with what is signed".to_owned()));
        }
        let question = self.question(request.verb, &request.actor, &request.resource)?;
        let context = context(&request.resource, None)?;
        let floor = self.floor_slice(request.verb)?;
        let (allowed, mut policies) = self.ask([floor], &question, context.clone())?.floor();
        if !allowed || self.narrowed(request.verb).is_none() {
            return Ok(Decision { allowed, policies });
        }
        let Some(own) = self.tenant_slice(request.verb) else {
            return Ok(Decision { allowed: false, policies: vec![CLOSED.to_owned()] });
        };
        let (allowed, narrowing) = self.narrow(own, &question, context)?;
        if allowed {
            policies.extend(narrowing.into_iter().map(named_tenant));
            return Ok(Decision { allowed, policies });
        }
        Ok(Decision { allowed, policies: reasons(narrowing) })
    }

    /// Decides about a signature. What cannot be decided is denied.
    pub fn decide_signing(&self, request: &SigningRequest<'_>) -> Verdict {
        self.judge(request, Layers::Both).unwrap_or_else(failed)
    }

    /// Decides about the signature of a delegate, whom a set of its own permits what the floor does not: under the tenant's set
    /// alone.
    pub fn decide_delegated(&self, request: &SigningRequest<'_>) -> Verdict {
        self.judge(request, Layers::TenantAlone).unwrap_or_else(failed)
    }

    /// Decides about a signature with a shared key, as every keeper does too.
    pub fn decide_shared(&self, request: &SharedSigning<'_>) -> Verdict {
        // Keepers know no tenant's name, and need none: a key is its account's own.
        let tenant = "";
        let SharedSigning { account, key_id, facts, time_ms, approvals } = *request;
        let actor = Actor { tenant, kind: ActorKind::Holder, name: "", account: Some(account) };
        let key = Resource::Shared { id: key_id, account };
        self.decide_signing(&SigningRequest { actor, key, facts, time_ms, approvals })
    }

    fn judge(&self, request: &SigningRequest<'_>, layers: Layers) -> Result<Verdict, DecideError> {
        let SigningRequest { actor, key, facts, time_ms, approvals } = request;
        if !matches!(key, Resource::Key { .. } | Resource::Shared { .. }) {
            return Err(DecideError::Request("only keys sign".to_owned()));
        }
        let verb = Verb::KeySign;
        let question = self.question(verb, actor, key)?;
        let signature = Signature { facts, time_ms: *time_ms };
        let with = |approvals: &[[u8; 32]]| context(key, Some((signature, approvals)));
        let asked = with(approvals)?;
        let mut policies = Vec::new();
        if matches!(layers, Layers::Both) {
            let (allowed, floor) = self.ask([self.floor_slice(verb)?], &question, asked.clone())?.floor();
            if !allowed {
                return Ok(Verdict::Deny { reasons: floor });
            }
            policies = floor;
        }
        let Some(tenant) = self.narrowed(verb) else { return Ok(Verdict::Allow { policies }) };
        let Some(own) = self.tenant_slice(verb) else {
            return Ok(Verdict::Deny { reasons: vec![CLOSED.to_owned()] });
        };
        let (allowed, narrowing) = self.narrow(own, &question, asked)?;
        if allowed {
            policies.extend(narrowing.into_iter().map(named_tenant));
            return Ok(Verdict::Allow { policies });
        }
        let missing: Option<BTreeSet<_>> =
            narrowing.iter().map(|id| tenant.approvals.get(&cedar::PolicyId::new(id)).copied()).collect();
        let named = reasons(narrowing);
        if let Some(missing) = missing.filter(|missing| !missing.is_empty()) {
            let more: Vec<_> = approvals.iter().copied().chain(missing.iter().copied()).collect();
            if self.narrow(own, &question, with(&more)?)?.0 {
                return Ok(Verdict::NeedsApproval { rules: missing.into_iter().collect(), policies: named });
            }
        }
        Ok(Verdict::Deny { reasons: named })
    }

    /// The tenant's set, where it has a say in a verb.
    fn narrowed(&self, verb: Verb) -> Option<&TenantSet> {
        let tenant = self.tenant.as_deref().filter(|_| verb.is_narrowable())?;
        (tenant.closed || tenant.slices.contains_key(&verb)).then_some(tenant)
    }

    fn tenant_slice(&self, verb: Verb) -> Option<&Narrowing> {
        self.tenant.as_ref()?.slices.get(&verb)
    }

    fn floor_slice(&self, verb: Verb) -> Result<&cedar::PolicySet, DecideError> {
        self.floor.slices.get(&verb).map(|slice| &slice.policies).ok_or_else(|| missing(verb))
    }

    fn question(
        &self,
        verb: Verb,
        actor: &Actor<'_>,
        resource: &Resource<'_>,
    ) -> Result<Question, DecideError> {
        let slice = self.floor.slices.get(&verb).ok_or_else(|| missing(verb))?;
        let (kind, actor) = (actor.kind, self.floor.types.actor(actor)?);
        let resource = self.floor.types.resource(resource)?;
        Ok(Question {
            kind,
            actor: actor.uid(),
            action: slice.action.clone(),
            resource: resource.uid(),
            entities: Entities::from_entities([actor, resource], None).map_err(words)?,
        })
    }

    /// What sets of policies say together; nothing where a policy failed.
    fn ask<'a>(
        &self,
        sets: impl IntoIterator<Item = &'a cedar::PolicySet>,
        question: &Question,
        context: Context,
    ) -> Result<Answer, DecideError> {
        let Question { actor, action, resource, entities, .. } = question;
        let request = cedar::Request::new(actor.clone(), action.clone(), resource.clone(), context, None)
            .map_err(words)?;
        let mut answer = Answer::default();
        for policies in sets {
            let response = self.floor.authorizer.is_authorized(&request, policies, entities);
            if let Some(error) = response.diagnostics().errors().next() {
                return Err(DecideError::Evaluation(error.to_string()));
            }
            let reasons = response.diagnostics().reason().map(ToString::to_string);
            match response.decision() {
                Said::Allow => answer.permits.extend(reasons),
                Said::Deny => answer.forbids.extend(reasons),
            }
        }
        Ok(answer)
    }

    /// Whether a tenant's policies leave it, and those that made that so.
    fn narrow(
        &self,
        own: &Narrowing,
        question: &Question,
        context: Context,
    ) -> Result<(bool, Vec<String>), DecideError> {
        let sets = own.of(question.kind, &question.actor, &question.resource);
        let answer = self.ask(sets, question, context)?;
        let left = !own.has_permits || !answer.permits.is_empty();
        Ok(answer.with(left))
    }

    /// Whether, as a tenant's text is written, no officer could publish another one.
    pub(crate) fn locks_out(&self, text: &str) -> Result<bool, PolicyError> {
        let verb = Verb::PolicyPublish;
        let written = TenantSet::as_written(&self.floor.schema, text, verb)?;
        let actor = Actor { tenant: "t", kind: ActorKind::Officer, name: "officer", account: None };
        let resource = Resource::Tenant { tenant: "t" };
        let asked = self.question(verb, &actor, &resource);
        let asked = asked.and_then(|question| self.narrow(&written, &question, Context::empty()));
        Ok(!asked.is_ok_and(|(allowed, _)| allowed))
    }
}

/// The policies that apply to a question.
#[derive(Default)]
struct Answer {
    permits: Vec<String>,
    forbids: Vec<String>,
}

impl Answer {
    /// Default deny.
    fn floor(self) -> (bool, Vec<String>) {
        let permitted = !self.permits.is_empty();
        self.with(permitted)
    }

    /// Whether it is allowed where nothing forbids it, and the policies that made that so, sorted.
    fn with(self, permitted: bool) -> (bool, Vec<String>) {
        let allowed = permitted && self.forbids.is_empty();
        let mut policies = if allowed { self.permits } else { self.forbids };
        policies.sort_unstable();
        (allowed, policies)
    }
}

/// Stands as the reason where the text of a tenant's set is not at hand.
const CLOSED: &str = "tenant/*: the set in force is not at hand";

/// Stands as the reason where a tenant's set permits some of a verb, and not this.
const NO_PERMIT: &str = "tenant/*: no permit of the set fits";

#[derive(Clone, Copy)]
enum Layers {
    Both,
    TenantAlone,
}

fn missing(verb: Verb) -> DecideError {
    DecideError::Request(format!("`{verb}` is not in the schema"))
}

fn failed(error: DecideError) -> Verdict {
    Verdict::Deny { reasons: vec![error.to_string()] }
}

/// Why a tenant's set denies: its forbids, or that no permit of it fits.
fn reasons(forbids: Vec<String>) -> Vec<String> {
    if forbids.is_empty() {
        return vec![NO_PERMIT.to_owned()];
    }
    forbids.into_iter().map(named_tenant).collect()
}

fn named_tenant(id: String) -> String {
    format!("tenant/{id}")
}
