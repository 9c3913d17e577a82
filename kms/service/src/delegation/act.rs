//! Acting for an account within limits: the act is charged on the ledger first, then the guard makes its one signature.
//!
//! INVARIANT: nothing is signed for an act but the message that its commitment hides, with the key that it names, under the
//! policy set that the terms in force name; and never a message of Keyward's own.

use std::sync::Arc;

use keyward_domain::{AccountId, Code, Mode, Payload, payload::is_reserved, risk::Verb as RiskVerb};
use keyward_ledger_core::{
    contracts::intent::INTENT_BLOCKS_MAX,
    entry::{DelegationAct, Entry, Party, RuleName, Scope},
    hash::commitment,
    outcome::Refusal,
};
use keyward_policies::{Resource, Verb};
use keyward_store::{Custody as Place, Id, IdempotencyKey as Name};

use super::{act_of, malformed, refusal};
use crate::{
    caller::Caller,
    custody::Custody,
    failure::Failure,
    guard::{Acted, DECISIONS_MAX, Input, Paid, Permission, Said, Signed, kept, payload, shared_alone},
    handed_in,
    keybook::KnownKey,
    once::{Once, request_hash},
    ports::Final,
    risk::Asking,
    vaults::{
        entries::{self, HandedIn},
        floods::Flood,
    },
};

/// What a delegate asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AskToAct<'a, B> {
    pub(crate) entry: &'a [u8],
    /// Opens the act's commitment.
    pub(crate) r: Id,
    pub(crate) input: &'a Input<B>,
    /// What the payload says.
    pub(crate) said: &'a Said,
    pub(crate) mark: &'a [u8],
}

/// The record that paid for a signature, and the signature.
#[derive(Debug)]
pub(crate) struct DoneAct {
    pub(crate) act: HandedIn,
    pub(crate) signed: Signed,
}

/// What an entry wants done, and by whom.
struct Wanted {
    entry: Entry,
    rule: RuleName,
    key_id: Id,
    commitment: Id,
    parties: Vec<Party>,
}

/// A key that may be used so, and the policy set that says so.
struct Allowed {
    key: Arc<KnownKey>,
    policy: Id,
}

impl Custody {
    /// Acts. Once begun it runs to its end: run it in a task of its own.
    pub(crate) async fn delegated_act<B: AsRef<[u8]> + Sync>(
        &self,
        caller: &Caller,
        ask: AskToAct<'_, B>,
    ) -> Result<DoneAct, Failure> {
        let _permit = self.permit()?;
        let own = caller.person()?.account;
        self.authorise_account(caller, Verb::DelegationAct, own)?;
        let wanted = Wanted::of(ask.entry)?;
        if !self.spoke(&wanted.parties, own).await? {
            return Err(Failure::new(Code::NotAllowed, "the session's account has not signed the act"));
        }
        let Allowed { key, .. } = self.may_act(caller, own, &wanted, ask.said, self.clock.now_ms()).await?;
        let payload = payload(&key, ask.input)?;
        refuse_own_messages(&key, &payload)?;
        let payload_hash = payload.hash();
        if commitment(&ask.r, &payload_hash) != wanted.commitment {
            let what = "the act's commitment is not one to this message under this `r`";
            return Err(Failure::new(Code::ActCommitmentOther, what));
        }
        let form: &[u8] = match ask.input {
            Input::Message(_) => b"message",
            Input::Digest(_) => b"digest",
        };
        let hash = request_hash("delegation.act", &[&own.0, ask.entry, &ask.r, form, &payload_hash]);
        let name = match self.once(caller, ask.mark, hash).await? {
            Once::Done(bytes) => return DoneAct::of_kept(key, &bytes),
            Once::Fresh(name) => name,
        };
        let done = self.act_once(caller, own, &wanted, &ask, key, name.clone()).await;
        if done.is_err() {
            self.give_back(name).await;
        }
        done
    }

    async fn act_once<B: AsRef<[u8]> + Sync>(
        &self,
        caller: &Caller,
        own: AccountId,
        wanted: &Wanted,
        ask: &AskToAct<'_, B>,
        key: Arc<KnownKey>,
        name: Option<Name>,
    ) -> Result<DoneAct, Failure> {
        self.floods.charge(own.0, Flood::Entry, self.clock.now_ms())?;
        // What can be known to fail must fail before anything is charged.
        let _place = self.agent_place(&key)?;
        if let Place::Hosted { sealed, .. } = &key.row.custody {
            self.opened_key(&key, sealed).await?;
        }
        let weighed = self
            .weigh(Asking { caller, account: key.account(), said: ask.said, verb: RiskVerb::Act })
            .await?;
        let record = self.recorded_act(&wanted.entry).await?;
        self.learn(weighed).await;
        let act_bytes = entries::kept(record.as_ref());
        let mut acted = Acted {
            record: record.as_ref(),
            input: ask.input,
            r: ask.r,
            policy: [0; 32],
            name,
            before: before(&act_bytes),
            paid: Paid::Act,
        };
        let signed = self.sign_decided(caller, own, (wanted, ask.said), &mut acted).await.map_err(charged)?;
        Ok(DoneAct { act: HandedIn::of_kept(&act_bytes)?, signed })
    }

    /// Decides anew now that the act stands, and signs. What is in force now counts, with what was due at the act's block: who
    /// was revoked since, or whose terms are others by now, has charged for nothing.
    async fn sign_decided<B: AsRef<[u8]> + Sync>(
        &self,
        caller: &Caller,
        own: AccountId,
        (wanted, said): (&Wanted, &Said),
        acted: &mut Acted<'_, B>,
    ) -> Result<Signed, Failure> {
        for _ in 0..DECISIONS_MAX {
            let allowed = self.may_act(caller, own, wanted, said, acted.record.time_ms()).await?;
            acted.policy = allowed.policy;
            if let Some(signed) = self.try_sign_acted(caller, acted, allowed.key).await? {
                return Ok(signed);
            }
        }
        Err(Failure::new(Code::ServiceBusy, "the key is being changed"))
    }

    /// The act's record, final and accepted: handed in now, or found where an earlier try got through.
    async fn recorded_act(&self, entry: &Entry) -> Result<Box<dyn Final>, Failure> {
        let record = self.ledger.commit(entry.clone()).await?;
        if record.outcome().is_accepted() {
            return Ok(record);
        }
        if matches!(record.outcome().refusal(), Some(Refusal::AuthorReplayed | Refusal::Expired)) {
            // No further back than where an intent may still follow.
            if let Some(found) = self.recorded_before(entry, INTENT_BLOCKS_MAX).await? {
                return Ok(found);
            }
        }
        Err(refusal(record.as_ref()))
    }

    /// The key as its row says now, if the terms of that block time let the caller use it.
    async fn may_act(
        &self,
        caller: &Caller,
        own: AccountId,
        wanted: &Wanted,
        said: &Said,
        time_ms: u64,
    ) -> Result<Allowed, Failure> {
        let terms = self.terms_at(&wanted.rule, time_ms).await?;
        let terms = terms.filter(|terms| terms.scope.includes(Scope::OPERATE)).ok_or_else(not_in_force)?;
        let mut delegates = Vec::with_capacity(terms.delegates.len());
        for party in &terms.delegates {
            delegates.extend(self.account_of(party).await?);
        }
        if !delegates.contains(&own) {
            let what = "the terms in force do not name the session's account as a delegate";
            return Err(Failure::new(Code::AuthorNotNamed, what));
        }
        let unknown = || Failure::new(Code::KeyUnknown, "the account has no such key here");
        let row = self.store.key(wanted.key_id).await?.filter(|row| row.account == wanted.rule.owner);
        let key = Arc::new(self.known(row.ok_or_else(unknown)?).await?);
        if key.row.custody == Place::Own {
            return Err(Failure::new(Code::KeyIsSelf, "the key signs on its holder's side alone"));
        }
        if matches!(key.row.custody, Place::Shared { .. }) {
            return Err(shared_alone());
        }
        key.check_use()?;
        let policies = self.delegate_policies.find(&terms.policy).ok_or_else(|| {
            let what = "the terms name a policy set that this service does not hold";
            Failure::new(Code::DelegationPolicyUnknown, what)
        })?;
        let resource = Resource::Delegated {
            tenant: &self.tenant,
            id: key.row.key_id,
            account: key.account(),
            mode: key.mode(),
            person: key.person,
            delegates: &delegates,
        };
        self.authorise_under(policies, caller, Verb::DelegationAct, resource)?;
        // What the tenant allows nobody, no delegate does either.
        self.decide_signing(caller, &key, said, Permission::Delegated)?;
        Ok(Allowed { key, policy: terms.policy })
    }
}

impl Wanted {
    /// What a canonical delegated act says.
    fn of(bytes: &[u8]) -> Result<Self, Failure> {
        let entry = handed_in::read(bytes, Code::DelegationRequestMalformed)?;
        let Some((DelegationAct::Operate { rule, key_id, commitment, .. }, authored)) = act_of(&entry) else {
            return Err(malformed("the entry is no delegated act"));
        };
        let (rule, key_id, commitment) = (*rule, key_id.0, *commitment);
        let parties = authored.authors.iter().map(|author| author.party).collect();
        Ok(Self { rule, key_id, commitment, parties, entry })
    }
}

/// Refuses what a key must not say for its owner: messages that mean something to Keyward itself; and what a digest is of
/// nobody sees. Keys in tokens speak for their owners on the ledger, so nothing unseen is signed with them.
pub(crate) fn refuse_own_messages(key: &KnownKey, payload: &Payload<'_>) -> Result<(), Failure> {
    match payload {
        Payload::Message(message) => {
            if is_reserved(message) {
                let what = "the message is one of Keyward's own: it would speak for the key's owner";
                return Err(Failure::new(Code::PayloadReserved, what));
            }
        }
        Payload::Digest(_) if key.mode() == Mode::Linked => {
            let what = "with a key in a token only its owner signs a digest: others sign what can be read";
            return Err(Failure::new(Code::DigestNotAllowed, what));
        }
        Payload::Digest(_) => {}
    }
    Ok(())
}

/// What an idempotency key keeps before the signature: `u32 length || the act's kept record`.
pub(crate) fn before(act: &[u8]) -> Vec<u8> {
    let len = u32::try_from(act.len()).unwrap_or(u32::MAX).to_be_bytes();
    [&len[..], act].concat()
}

impl DoneAct {
    pub(crate) fn of_kept(key: Arc<KnownKey>, bytes: &[u8]) -> Result<Self, Failure> {
        let unreadable = || Failure::internal("a kept response cannot be read");
        let (len, rest) = bytes.split_first_chunk::<4>().ok_or_else(unreadable)?;
        let len = usize::try_from(u32::from_be_bytes(*len)).map_err(Failure::internal)?;
        let (act, signed) = rest.split_at_checked(len).ok_or_else(unreadable)?;
        Ok(Self { act: HandedIn::of_kept(act)?, signed: kept(key, signed)? })
    }
}

fn not_in_force() -> Failure {
    let what = "no delegation of this name lets delegates act now";
    Failure::new(Code::DelegationNotInForce, what)
}

/// A refusal after the charge says that it comes after it.
fn charged(failure: Failure) -> Failure {
    let message = format!("{}; the act is recorded and charged", failure.message);
    Failure { message, ..failure }
}
