//! Authorisation: one question to the policies, default deny.

use keyward_domain::{AccountId, Code};
use keyward_policies::{Actor, ActorKind, Decision, Request, Resource, Verb};

use crate::{caller::Caller, custody::Custody, failure::Failure, keybook::KnownKey};

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
        if self.decide(caller, verb, resource)?.allowed {
            return Ok(());
        }
        if verb != Verb::KeyShow && self.decide(caller, Verb::KeyShow, resource)?.allowed {
            return Err(not_allowed(caller, verb));
        }
        Err(Failure::new(Code::KeyUnknown, "no such key that you may use"))
    }

    pub(crate) fn authorise(
        &self,
        caller: &Caller,
        verb: Verb,
        resource: Resource<'_>,
    ) -> Result<(), Failure> {
        if self.decide(caller, verb, resource)?.allowed { Ok(()) } else { Err(not_allowed(caller, verb)) }
    }

    fn key_resource<'a>(&'a self, caller: &Caller, key: &KnownKey) -> Resource<'a> {
        Resource::Key {
            tenant: &self.tenant,
            id: key.row.key_id,
            account: key.account(),
            mode: key.mode(),
            person: key.person,
            authorised: caller.person.is_none() && key.apps.iter().any(|app| app == caller.principal.name()),
        }
    }

    fn decide(&self, caller: &Caller, verb: Verb, resource: Resource<'_>) -> Result<Decision, Failure> {
        let kind = match &caller.person {
            Some(_) => Some(ActorKind::User),
            None => ActorKind::of(caller.principal.role()),
        };
        let kind = kind.ok_or_else(|| not_allowed(caller, verb))?;
        let name = match &caller.person {
            Some(person) => person.user.as_str(),
            None => caller.principal.name(),
        };
        let actor = Actor { tenant: &self.tenant, kind, name, account: caller.account };
        let decision = self.policies.decide(&Request { actor, verb, resource }).map_err(Failure::internal)?;
        tracing::debug!(%verb, name, allowed = decision.allowed, policies = ?decision.policies, "decided");
        Ok(decision)
    }
}

fn not_allowed(caller: &Caller, verb: Verb) -> Failure {
    let who = caller.name();
    Failure::new(Code::NotAllowed, format!("`{who}` may not `{verb}` here"))
}
