//! The first step: decided, recorded, and the signers' commitments collected while the intent becomes final.

use std::sync::Arc;

use bytes::Bytes;
use keyward_crypto::shared::SharedScheme;
use keyward_domain::{AccountId, Code, meaning::Meaning, risk::Verb};
use keyward_policies::Facts as SaidFacts;
use keyward_store::{Claimed, Id, IntentState, NewIntent};

use super::{
    BeginShared, SignedShared, StartShared, Task,
    again::output_key,
    round::{Round, attempt},
    wanted::Wanted,
};
use crate::{
    caller::Caller,
    custody::Custody,
    failure::Failure,
    guard::{DECISIONS_MAX, INTENT_BLOCKS, Said, kept, waiting::Waiting},
    hex::hex,
    keybook::KnownKey,
    once::judge,
    ports::Final,
    risk::Asking,
    shared::{encoded, facts::Facts, refusal},
    vaults::floods::Flood,
};

/// Signings of one account that wait at once.
const WAITING_FOR_ONE_MAX: usize = 256;
/// How often what waits holds the message: as it is handed on, and in the run.
const COPIES: usize = 3;
/// What is kept of an attempt at threshold ECDSA, by the device's message.
const OF_DEVICES: usize = 8;

/// What was decided of an intent.
struct Decided {
    key: Arc<KnownKey>,
    facts: Arc<Facts>,
    payload_hash: Id,
    /// What risk is judged by.
    said: Said,
}

impl Custody {
    /// Decides, and records the intent; answers when it is final and accepted and its signers have committed. Run it in a task
    /// of its own.
    pub(crate) async fn begin_shared(
        &self,
        caller: &Caller,
        asked: &BeginShared,
    ) -> Result<StartShared, Failure> {
        let _permit = self.permit()?;
        let account = caller.own_account()?;
        let wanted = Wanted::read(asked)?;
        if let Some(waiting) = self.begun_shared.of(&wanted.intent.id, account) {
            return self.begin_again(caller, &waiting, &wanted, asked).await;
        }
        for _ in 0..DECISIONS_MAX {
            let decided = self.decide_intent(caller, account, &wanted).await?;
            if let Some(start) = self.try_begin_shared(caller, &wanted, decided, asked).await? {
                return Ok(start);
            }
        }
        Err(Failure::new(Code::ServiceBusy, "the key is being changed"))
    }

    /// Whether the account may have this signed now, with this key and through this server.
    async fn decide_intent(
        &self,
        caller: &Caller,
        account: AccountId,
        wanted: &Wanted,
    ) -> Result<Decided, Failure> {
        let intent = &wanted.intent;
        let key = self.shared_key_to_sign(caller, account, &intent.key_id.0).await?;
        let payload_hash = wanted.signed(key.public_key.scheme())?.hash();
        let meaning = wanted.meaning(&payload_hash)?;
        if intent.executor != self.ledger.submitter() {
            let message = "the intent names another server as its executor";
            return Err(Failure::new(Code::SharedExecutorOther, message));
        }
        let height = self.ledger.height();
        if intent.not_after <= height {
            return Err(Failure::new(Code::AuthorSignatureExpired, "the intent's last height has passed"));
        }
        if intent.not_after > height.saturating_add(INTENT_BLOCKS) {
            let message = format!("an intent stands for at most `{INTENT_BLOCKS}` blocks");
            return Err(Failure::new(Code::AuthorSignatureExpired, message));
        }
        let facts = self.shared_facts(&key, intent.share_version).await?;
        if facts.state.share_version != intent.share_version {
            return Err(Failure::new(Code::SharedVersionStale, "the intent names shares of another version"));
        }
        let (_, approvals) = self.decide_for(caller, &facts, wanted, &meaning).await?;
        let said = Said { facts: SaidFacts::of(&meaning), approvals, word: Vec::new(), unlinkable: false };
        Ok(Decided { key, facts, payload_hash, said })
    }

    /// The policies' word, under the set that the intent names. Gives the text that keepers need of it, and the rules under which
    /// it is approved.
    pub(super) async fn decide_for(
        &self,
        caller: &Caller,
        facts: &Facts,
        wanted: &Wanted,
        meaning: &Meaning,
    ) -> Result<(String, Vec<Id>), Failure> {
        let (set, text) = self.policies_of(facts.state.policy_tenant).await?;
        if set.hash() != wanted.intent.policy {
            return Err(Failure::new(Code::SharedPolicyOther, "the intent names another policy set"));
        }
        let approvals = self.approvals_of(caller, &wanted.intent).await?;
        self.decide_shared(&set, (&facts.state, &wanted.intent), meaning, &approvals)?;
        Ok((text, approvals))
    }

    /// A shared key of the account that may be used now. No refusal is from memory.
    async fn shared_key_to_sign(
        &self,
        caller: &Caller,
        account: AccountId,
        key_id: &Id,
    ) -> Result<Arc<KnownKey>, Failure> {
        let known = self.named_key(caller, &hex(key_id)).await;
        if let Ok(key) = known
            && key.account() == account
            && encoded(&key).is_ok()
            && key.check_use().is_ok()
        {
            return Ok(key);
        }
        let key = self.own_shared_key(caller, account, key_id).await?;
        key.check_use()?;
        Ok(key)
    }

    /// None when it is to be decided again: the key's row changed, or what waited under the same idempotency key was ended.
    async fn try_begin_shared(
        &self,
        caller: &Caller,
        wanted: &Wanted,
        decided: Decided,
        asked: &BeginShared,
    ) -> Result<Option<StartShared>, Failure> {
        let Decided { key, facts, payload_hash, said } = decided;
        let now_ms = self.clock.now_ms();
        let step = (asked.attempt, &asked.device);
        let signing = attempt(wanted, &facts, step, now_ms).inspect_err(|_| {
            // Its device may have been replaced.
            self.shared_book.forget(&key.row.key_id);
        })?;
        let account = key.account();
        let claim = self.claim_of(caller, &asked.mark, wanted.hash(&key.public_key, &payload_hash))?;
        let name = claim.as_ref().map(|claim| claim.name.clone());
        self.check_room_for(account, wanted, (facts.key.scheme(), &asked.device))?;
        self.floods.check(account.0, Flood::SharedEntry, now_ms)?;
        let intent = self.intent_of(&key, wanted, payload_hash);
        let asking = Asking { caller, account: key.account(), said: &said, verb: Verb::Sign };
        let (claimed, weighed) = self.keep_intent(asking, &intent, claim).await?;
        match claimed {
            Claimed::Stale => return Ok(None),
            Claimed::InProgress if self.end_named(name.as_ref()).await => return Ok(None),
            _ => {}
        }
        if let Some(done) = judge(claimed)? {
            let output_key = output_key(&facts.key, &wanted.intent.tweak)?;
            let signed = kept(key, &done)?;
            return Ok(Some(StartShared::Signed(SignedShared { signed, output_key })));
        }
        let committing = async { Ok(self.commitments((wanted, &facts), &signing, step).await) };
        let claiming = self.claim_shared(account, &intent, wanted);
        let recorded = futures::future::try_join(claiming, committing).await;
        let (record, committed) = match recorded {
            Ok(done) => done,
            Err(failure) => {
                self.shared_book.forget(&key.row.key_id);
                self.give_back(name).await;
                return Err(failure);
            }
        };
        if let Some(weighed) = weighed {
            self.learn(weighed).await;
        }
        let (ready, told) = self.told(&key, committed);
        let round = Round::new(asked.attempt, asked.device.clone(), ready);
        let task = Task { wanted: wanted.clone(), facts, round };
        let bytes = task.bytes();
        let waiting = Waiting::new(key, (intent, name, record), (task, bytes), now_ms);
        let start = told.answer(&waiting);
        self.begun_shared.insert(Arc::new(waiting));
        start.map(Some)
    }

    /// Refuses more than may wait of an account, and in all.
    pub(super) fn check_room_for(
        &self,
        account: AccountId,
        wanted: &Wanted,
        (scheme, device): (SharedScheme, &Bytes),
    ) -> Result<(), Failure> {
        let messages = if scheme.answers() { device.len().saturating_mul(OF_DEVICES) } else { 0 };
        let bytes = bytes_of(wanted).saturating_add(messages);
        self.begun_shared.check_room(account, bytes, WAITING_FOR_ONE_MAX)
    }

    fn intent_of(&self, key: &KnownKey, wanted: &Wanted, payload_hash: Id) -> NewIntent {
        NewIntent {
            id: wanted.intent.id,
            key_id: key.row.key_id,
            key_revision: key.row.revision,
            submitter: self.ledger.submitter(),
            r: wanted.r,
            payload_hash,
            policy: wanted.intent.policy,
            not_after: wanted.intent.not_after,
            created_ms: self.clock.now_ms(),
        }
    }

    /// Records the intent; answers only with a record that is final and accepted.
    async fn claim_shared(
        &self,
        account: AccountId,
        intent: &NewIntent,
        wanted: &Wanted,
    ) -> Result<Box<dyn Final>, Failure> {
        let record = match self.ledger.commit(wanted.entry.clone()).await {
            Ok(record) => record,
            Err(error) => {
                self.settle(intent, IntentState::Submitted, None).await;
                return Err(error.into());
            }
        };
        if record.outcome().is_accepted() {
            return Ok(record);
        }
        self.settle(intent, IntentState::Refused, Some((record.leaf_index(), record.height()))).await;
        // What the ledger refuses stands on it all the same.
        let _spent = self.floods.charge(account.0, Flood::SharedEntry, self.clock.now_ms());
        Err(refusal(record.as_ref()))
    }
}

impl Task {
    /// What of it is kept while it waits.
    pub(super) fn bytes(&self) -> usize {
        let messages = if self.facts.key.scheme().answers() { self.round.bytes() } else { 0 };
        bytes_of(&self.wanted).saturating_add(messages)
    }
}

/// The same without what signers send.
fn bytes_of(wanted: &Wanted) -> usize {
    wanted.message.len().saturating_mul(COPIES).saturating_add(wanted.payload.payload.len()).max(1)
}
