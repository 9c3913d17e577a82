//! A request for an agent: put down, waited for, answered or given up.

use std::time::Duration;

use keyward_domain::{AccountId, Code, Payload, scheme::PublicKey};
use keyward_proto::custody::{AgentProve, AgentSign, Word, agent_sign};
use keyward_store::{AgentJob, Change, Id, JobState, NewIntent, StoreError};
use prost::Message as _;
use tokio::time::{sleep, timeout};

use super::wire::{PROVE, SIGN, refusal};
use crate::{caller::Caller, custody::Custody, failure::Failure};

/// How often a row is looked at that another server may have answered.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How much of a caller's time is kept for recording the answer and sending it.
const KEPT_MS_MAX: u64 = 1000;

/// A signature that an agent is asked for.
pub(crate) struct Signing<'a> {
    pub(crate) caller: &'a Caller,
    pub(crate) intent: &'a NewIntent,
    pub(crate) public_key: &'a PublicKey,
    pub(crate) payload: &'a Payload<'a>,
    /// Of the intent.
    pub(crate) receipt: Vec<u8>,
    /// What the desk is told of a message that is its key's word.
    pub(crate) word: &'a [u8],
}

/// A proof of possession that an agent is asked for.
pub(crate) struct Proving<'a> {
    pub(crate) caller: &'a Caller,
    pub(crate) account: AccountId,
    pub(crate) alias: &'a str,
    pub(crate) public_key: &'a PublicKey,
    pub(crate) nonce: Id,
    pub(crate) not_after: u64,
    /// The key that it takes the place of.
    pub(crate) previous: Option<Id>,
}

impl Custody {
    /// Has an agent's token sign; the signature is not verified yet.
    pub(crate) async fn sign_through_agent(
        &self,
        agent: &str,
        signing: Signing<'_>,
    ) -> Result<Vec<u8>, Failure> {
        let Signing { caller, intent, public_key, payload, receipt, word } = signing;
        let expires_ms = self.agent_deadline(caller)?;
        let sign = AgentSign {
            job: intent.id.to_vec().into(),
            receipt: receipt.into(),
            r: intent.r.to_vec().into(),
            payload: Some(match payload {
                Payload::Message(message) => agent_sign::Payload::Message(message.to_vec().into()),
                Payload::Digest(digest) => agent_sign::Payload::Digest(digest.to_vec().into()),
            }),
            key_id: intent.key_id.to_vec().into(),
            scheme: public_key.scheme().name().to_owned(),
            asker: caller.name(),
            expires_unix_ms: expires_ms,
            word: match word {
                [] => None,
                word => Some(Word::decode(word).map_err(Failure::internal)?),
            },
        };
        self.ask_agent(agent, SIGN, intent.id, sign.encode_to_vec(), expires_ms).await
    }

    /// Has an agent's token prove that it holds a key; the proof is not verified yet.
    pub(crate) async fn prove_through_agent(
        &self,
        agent: &str,
        proving: Proving<'_>,
    ) -> Result<Vec<u8>, Failure> {
        let Proving { caller, account, alias, public_key, nonce, not_after, previous } = proving;
        let expires_ms = self.agent_deadline(caller)?;
        let _place = self.agent_place_of(agent)?;
        let prove = AgentProve {
            job: nonce.to_vec().into(),
            account: account.0.to_vec().into(),
            public_key: public_key.as_bytes().to_vec().into(),
            scheme: public_key.scheme().name().to_owned(),
            not_after,
            asker: caller.name(),
            alias: alias.to_owned(),
            expires_unix_ms: expires_ms,
            previous: previous.map(|id| id.to_vec()).unwrap_or_default().into(),
        };
        self.ask_agent(agent, PROVE, nonce, prove.encode_to_vec(), expires_ms).await
    }

    /// Until when an agent may answer: the caller's own deadline with some time kept, and never longer than the
    /// service's bound.
    fn agent_deadline(&self, caller: &Caller) -> Result<u64, Failure> {
        let now_ms = self.clock.now_ms();
        let longest =
            now_ms.saturating_add(u64::try_from(self.agents.wait_max.as_millis()).unwrap_or(u64::MAX));
        let Some(deadline_ms) = caller.deadline_ms else { return Ok(longest) };
        let left_ms = deadline_ms.saturating_sub(now_ms);
        let expires_ms = deadline_ms.saturating_sub(KEPT_MS_MAX.min(left_ms / 5));
        if expires_ms <= now_ms {
            return Err(Failure::new(Code::DeadlineExceeded, "the deadline leaves no time to ask the agent"));
        }
        Ok(expires_ms.min(longest))
    }

    async fn ask_agent(
        &self,
        agent: &str,
        kind: &str,
        id: Id,
        body: Vec<u8>,
        expires_ms: u64,
    ) -> Result<Vec<u8>, Failure> {
        let job = AgentJob {
            id,
            agent: agent.to_owned(),
            kind: kind.to_owned(),
            body,
            state: JobState::Waiting,
            answer: None,
            created_ms: self.clock.now_ms(),
            expires_ms,
        };
        let mut answered = self.agents.answered.subscribe();
        self.store.apply(vec![Change::PutAgentJob(job)]).await?;
        self.agents.asked.send_modify(|count| *count = count.wrapping_add(1));
        loop {
            answered.mark_unchanged();
            let row = match self.store.agent_job(id).await {
                Ok(row) => row.ok_or_else(|| Failure::internal("a request to an agent is gone"))?,
                // The agent may sign all the same: the request stays its own until nothing can be answered any more.
                Err(error) if self.clock.now_ms() < expires_ms => {
                    tracing::warn!(agent, %error, "a request to an agent cannot be read now");
                    sleep(LOOK_EVERY).await;
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            match row.state {
                JobState::Answered => return Ok(row.answer.unwrap_or_default()),
                JobState::Refused => return Err(refusal(agent, &row.answer.unwrap_or_default())),
                JobState::Expired => return Err(expired(agent, row.answer.is_some())),
                JobState::Waiting | JobState::Taken if self.clock.now_ms() >= expires_ms => {
                    if self.expire(&row).await? {
                        return Err(expired(agent, row.state == JobState::Taken));
                    }
                }
                JobState::Waiting | JobState::Taken => {
                    // Whichever comes first: an answer through this server, or time to look for another server's.
                    let _either = timeout(LOOK_EVERY, answered.changed()).await;
                }
            }
        }
    }

    /// Takes back what an earlier run asked an agent for, if it still waits there.
    pub(crate) async fn withdraw_request(&self, id: Id) -> Result<(), Failure> {
        match self.store.agent_job(id).await? {
            Some(row) => self.expire(&row).await.map(drop),
            None => Ok(()),
        }
    }

    /// Gives a request up; false when an answer was faster.
    async fn expire(&self, row: &AgentJob) -> Result<bool, Failure> {
        let now_ms = self.clock.now_ms();
        let change = Change::AnswerAgentJob { id: row.id, state: JobState::Expired, answer: None, now_ms };
        match self.store.apply(vec![change]).await {
            Ok(()) => {
                self.agents.asked.send_modify(|count| *count = count.wrapping_add(1));
                Ok(true)
            }
            Err(StoreError::Missing { .. }) => {
                sleep(Duration::from_millis(1)).await;
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }
}

fn expired(agent: &str, was_seen: bool) -> Failure {
    match was_seen {
        true => Failure::new(Code::RequestExpired, format!("nobody at the agent `{agent}` answered in time")),
        false => Failure::new(
            Code::AgentUnavailable,
            format!("the agent `{agent}` holds no stream to this service"),
        ),
    }
}
