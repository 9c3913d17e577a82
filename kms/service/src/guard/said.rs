//! What a request says of its payload, held against what is signed, and the decision that hangs on it.

use std::sync::Arc;

use keyward_domain::{Code, Coded as _, disclosure::disclosed, payload::DIGEST_LEN};
use keyward_policies::{Actor, Facts, Resource, SigningRequest, Verb, Verdict};
use keyward_store::Id;
use sha2::{Digest as _, Sha256};

use super::Input;
use crate::{authorise::not_allowed, caller::Caller, custody::Custody, failure::Failure, keybook::KnownKey};

/// How a payload is written, and the payload where what is signed is its digest.
#[derive(Clone, Debug)]
pub(crate) struct Shown<B> {
    /// A form of `keyward_domain::meaning`.
    pub(crate) format: String,
    /// Empty: the message itself.
    pub(crate) payload: B,
}

/// What policies look at before a key signs.
#[derive(Clone, Debug)]
pub(crate) struct Said {
    pub(crate) facts: Facts,
    /// The rules under which exactly this payload is approved.
    pub(crate) approvals: Vec<Id>,
    /// What a token agent is told of a message that is its key's word (a `Word`, encoded): read there and by nobody else.
    pub(crate) word: Vec<u8>,
    /// An unlinkable address signs. Unless the request is refused for good, for whom stands in no log, and it is remembered for no dry run
    /// and no replay: its payee, its moment or its count would each do to find it on the ledger.
    pub(crate) unlinkable: bool,
}

/// The longest word: an act, and what an approval is about in full.
const WORD_BYTES_MAX: usize = (1 << 20) + (64 << 10);

impl Said {
    /// What is said is read from the payload itself, and refused unless the payload is what is signed. Nothing said: opaque.
    pub(crate) fn of<B: AsRef<[u8]>>(input: &Input<B>, shown: Option<&Shown<B>>) -> Result<Self, Failure> {
        let facts = match shown {
            None => Facts::opaque(),
            Some(Shown { format, payload }) => {
                let payload = match (payload.as_ref(), input) {
                    (&[], Input::Message(message)) => message.as_ref(),
                    (&[], Input::Digest(_)) => {
                        let what = "a digest does not say what it is of: show the payload too";
                        return Err(Failure::new(Code::PayloadMissing, what));
                    }
                    (payload, _) => payload,
                };
                let said = disclosed(format, payload, &signed_hash(input)?);
                Facts::of(&said.map_err(|error| Failure::because(error.code(), error.to_string(), error))?)
            }
        };
        Ok(Self { facts, approvals: Vec::new(), word: Vec::new(), unlinkable: false })
    }

    /// The same with what a token agent is told.
    pub(crate) fn telling(self, word: Vec<u8>) -> Result<Self, Failure> {
        if word.len() > WORD_BYTES_MAX {
            let what = format!("`{}` bytes of `word` are more than `{WORD_BYTES_MAX}`", word.len());
            return Err(Failure::new(Code::InvalidArgument, what));
        }
        Ok(Self { word, ..self })
    }

    /// The same with what approves it.
    pub(crate) fn approved(self, rules: impl IntoIterator<Item = Id>) -> Self {
        Self { approvals: rules.into_iter().collect(), ..self }
    }
}

/// What the intent will commit to.
fn signed_hash<B: AsRef<[u8]>>(input: &Input<B>) -> Result<[u8; DIGEST_LEN], Failure> {
    match input {
        Input::Message(message) => Ok(Sha256::digest(message.as_ref()).into()),
        Input::Digest(digest) => digest.as_ref().try_into().map_err(|_| {
            let len = digest.as_ref().len();
            Failure::of(keyward_domain::payload::PayloadError::DigestLength(len))
        }),
    }
}

/// Under whose permission a key is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Permission {
    /// The floor's and the tenant's.
    Own,
    /// A set for delegates has permitted it: the tenant's remains.
    Delegated,
}

impl Custody {
    /// The named key, if the caller may sign this with it now, and the hash of the policies that say so.
    pub(crate) async fn key_to_sign(
        &self,
        caller: &Caller,
        key_name: &str,
        said: &Said,
    ) -> Result<(Arc<KnownKey>, Id), Failure> {
        let key = self.named_key(caller, key_name).await?;
        if let Ok(policy) = self.check_sign(caller, &key, said) {
            return Ok((key, policy));
        }
        // No refusal is from memory: another server may have unfrozen the key, or let the app use it.
        if self.policies.now().is_closed() {
            self.look_at_policies().await?;
        }
        let key = self.named_key_now(caller, key_name).await?;
        let policy = self.check_sign(caller, &key, said)?;
        Ok((key, policy))
    }

    pub(crate) fn check_sign(&self, caller: &Caller, key: &KnownKey, said: &Said) -> Result<Id, Failure> {
        let policy = self.decide_signing(caller, key, said, Permission::Own)?;
        key.check_use()?;
        Ok(policy)
    }

    /// The policies' word on a signature; the hash of what decided.
    pub(crate) fn decide_signing(
        &self,
        caller: &Caller,
        key: &KnownKey,
        said: &Said,
        permission: Permission,
    ) -> Result<Id, Failure> {
        let resource = self.key_resource(caller, key);
        let (verdict, hash) = self.verdict_on(caller, resource, said, permission)?;
        match &verdict {
            Verdict::Allow { .. } => Ok(hash),
            Verdict::NeedsApproval { rules, policies } => Err(needs(rules, policies)),
            Verdict::Deny { reasons } if verdict.is_denied_above_the_floor() => Err(denied(reasons)),
            Verdict::Deny { .. } => match self.may_see(caller, key)? {
                true => Err(not_allowed(caller, Verb::KeySign)),
                false => Err(Failure::new(Code::KeyUnknown, "no such key that you may use")),
            },
        }
    }

    /// What the policies say of a signature, and the hash of what decided.
    pub(crate) fn verdict_on(
        &self,
        caller: &Caller,
        key: Resource<'_>,
        said: &Said,
        permission: Permission,
    ) -> Result<(Verdict, Id), Failure> {
        let verb = Verb::KeySign;
        let (kind, name) = self.actor_of(caller, verb)?;
        let actor = Actor { tenant: &self.tenant, kind, name, account: caller.account };
        let (facts, approvals) = (&said.facts, &said.approvals[..]);
        let request = SigningRequest { actor, key, facts, time_ms: self.clock.now_ms(), approvals };
        let set = self.policies.now();
        let delegate = permission == Permission::Delegated;
        let verdict = if delegate { set.decide_delegated(&request) } else { set.decide_signing(&request) };
        // A refusal of a set that is not at hand is looked at once more.
        if !said.unlinkable || matches!(verdict, Verdict::Deny { .. }) && !set.is_closed() {
            tracing::debug!(%verb, name, decision = verdict.name(), policies = ?verdict.policies(), "decided");
            self.policies.remember_signing(&request, delegate);
        }
        Ok((verdict, set.hash()))
    }

    fn may_see(&self, caller: &Caller, key: &KnownKey) -> Result<bool, Failure> {
        Ok(self.decide(caller, Verb::KeyShow, self.key_resource(caller, key))?.allowed)
    }
}

/// What is missing, by name, so that the caller knows whom to ask.
pub(crate) fn needs(rules: &[Id], policies: &[String]) -> Failure {
    let rules: Vec<_> = rules.iter().map(|rule| crate::hex::hex(rule)).collect();
    // One signature goes by one case, and a case by one rule.
    let more =
        if rules.len() > 1 { "; no case meets several: have one rule with a group for each" } else { "" };
    let (rules, policies) = (rules.join(" and "), policies.join(", "));
    let what = format!("it waits for approval under {rules} (policy {policies}){more}");
    Failure::new(Code::ApprovalRequired, what)
}

pub(crate) fn denied(reasons: &[String]) -> Failure {
    Failure::new(Code::PolicyDenied, format!("the tenant's policies deny it: {}", reasons.join(", ")))
}
