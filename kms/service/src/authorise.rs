//! Authorisation: one question to the policies, default deny.

use keyward_domain::{AccountId, Code};
use keyward_policies::{Actor, ActorKind, DecideError, Decision, PolicySet, Request, Resource, Verb};

use crate::{caller::Caller, custody::Custody, failure::Failure, guard::denied, keybook::KnownKey};

impl Custody {
    /// May the caller do this to an account?
    pub(crate) fn authorise_account(
        &self,
        caller: &Caller,
        verb: Verb,
        account: AccountId,
    ) -> Result<(), Failure> {
        self.authorise(caller, verb, Resource::Account { tenant: &self.tenant, id: account })
    }

    /// May the caller do this to the tenant as such?
    pub(crate) fn authorise_tenant(&self, caller: &Caller, verb: Verb) -> Result<(), Failure> {
        self.authorise(caller, verb, Resource::Tenant { tenant: &self.tenant })
    }

    /// May the caller do this with a key? Who may not even see it learns nothing of it.
    pub(crate) fn authorise_key(&self, caller: &Caller, verb: Verb, key: &KnownKey) -> Result<(), Failure> {
        let resource = self.key_resource(caller, key);
        let decision = self.decide(caller, verb, resource)?;
        if decision.allowed {
            return Ok(());
        }
        if verb != Verb::KeyShow && self.decide(caller, Verb::KeyShow, resource)?.allowed {
            return Err(refused(caller, verb, &decision));
        }
        Err(Failure::new(Code::KeyUnknown, "no such key that you may use"))
    }

    pub(crate) fn authorise(
        &self,
        caller: &Caller,
        verb: Verb,
        resource: Resource<'_>,
    ) -> Result<(), Failure> {
        let decision = self.decide(caller, verb, resource)?;
        if decision.allowed { Ok(()) } else { Err(refused(caller, verb, &decision)) }
    }

    pub(crate) fn key_resource<'a>(&'a self, caller: &Caller, key: &KnownKey) -> Resource<'a> {
        Resource::Key {
            tenant: &self.tenant,
            id: key.row.key_id,
            account: key.account(),
            mode: key.mode(),
            person: key.person,
            authorised: caller.person.is_none() && key.apps.iter().any(|app| app == caller.principal.name()),
        }
    }

    pub(crate) fn decide(
        &self,
        caller: &Caller,
        verb: Verb,
        resource: Resource<'_>,
    ) -> Result<Decision, Failure> {
        let decision = self.decide_under(&self.policies.now(), caller, verb, resource)?;
        if verb.is_narrowable() {
            let (kind, name) = self.actor_of(caller, verb)?;
            let actor = Actor { tenant: &self.tenant, kind, name, account: caller.account };
            self.policies.remember(&Request { actor, verb, resource });
        }
        Ok(decision)
    }

    /// What the caller is to the policies, and by which name.
    pub(crate) fn actor_of<'a>(
        &self,
        caller: &'a Caller,
        verb: Verb,
    ) -> Result<(ActorKind, &'a str), Failure> {
        match &caller.person {
            Some(person) => Ok((ActorKind::User, person.user.as_str())),
            None => {
                let kind = ActorKind::of(caller.principal.role()).ok_or_else(|| not_allowed(caller, verb))?;
                Ok((kind, caller.principal.name()))
            }
        }
    }

    /// May the caller do this, under a policy set that is not the service's own?
    pub(crate) fn authorise_under(
        &self,
        policies: &PolicySet,
        caller: &Caller,
        verb: Verb,
        resource: Resource<'_>,
    ) -> Result<(), Failure> {
        let decision = self.decide_under(policies, caller, verb, resource)?;
        if decision.allowed { Ok(()) } else { Err(not_allowed(caller, verb)) }
    }

    fn decide_under(
        &self,
        policies: &PolicySet,
        caller: &Caller,
        verb: Verb,
        resource: Resource<'_>,
    ) -> Result<Decision, Failure> {
        let (kind, name) = self.actor_of(caller, verb)?;
        let actor = Actor { tenant: &self.tenant, kind, name, account: caller.account };
        let decision = match policies.decide(&Request { actor, verb, resource }) {
            Ok(decision) => decision,
            // A policy of the tenant's own failed: that is theirs to mend, and no reason to go on.
            Err(DecideError::Evaluation(words)) if policies.tenant_hash().is_some() => {
                Decision { allowed: false, policies: vec![format!("tenant/*: {words}")] }
            }
            Err(error) => return Err(Failure::internal(error)),
        };
        // Right after it the ledger names the address.
        let name = (verb != Verb::AddressUse).then_some(name);
        tracing::debug!(%verb, name, allowed = decision.allowed, policies = ?decision.policies, "decided");
        Ok(decision)
    }
}

/// A denial, with the policies' names where they are the tenant's own.
fn refused(caller: &Caller, verb: Verb, decision: &Decision) -> Failure {
    let own =
        !decision.policies.is_empty() && decision.policies.iter().all(|name| name.starts_with("tenant/"));
    if own { denied(&decision.policies) } else { not_allowed(caller, verb) }
}

pub(crate) fn not_allowed(caller: &Caller, verb: Verb) -> Failure {
    let who = caller.name();
    Failure::new(Code::NotAllowed, format!("`{who}` may not `{verb}` here"))
}
