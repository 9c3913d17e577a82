//! One agent's stream: requests that wait go down, answers come up, and nothing is taken that was not asked for.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use keyward_domain::Code;
use keyward_proto::custody::{AgentWelcome, FromAgent, ToAgent, from_agent, to_agent};
use keyward_store::{Change, Id, JobState, StoreError};
use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval, timeout},
};
use tokio_stream::{Stream, StreamExt as _};
use tonic::Status;

use super::{WAITING_FOR_ONE_MAX, wire};
use crate::{custody::Custody, failure::Failure, hex::hex};

/// How often requests of other servers are looked for.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How long an agent may take to begin.
const HELLO_DEADLINE: Duration = Duration::from_secs(10);
/// How long an agent may let its side of the stream stand full.
const SEND_DEADLINE: Duration = Duration::from_secs(10);
/// Messages that an agent may send unasked, at once and then each second.
const UNASKED_MAX: f64 = 64.0;
const UNASKED_PER_SECOND: f64 = 8.0;

/// Serves an agent that was authenticated, until either side ends the stream; the failure is for the agent.
pub(crate) async fn attend(
    custody: Arc<Custody>,
    agent: String,
    mut incoming: impl Stream<Item = Result<FromAgent, Status>> + Send + Unpin,
    outgoing: mpsc::Sender<Result<ToAgent, Status>>,
) -> Result<(), Failure> {
    let first = timeout(HELLO_DEADLINE, incoming.next()).await;
    let Ok(Some(Ok(FromAgent { what: Some(from_agent::What::Hello(hello)) }))) = first else {
        return Err(wire::protocol("a stream begins with `hello`"));
    };
    let tokens = wire::hello(hello)?;
    let (generation, mut replaced) = custody.agents.attach(&agent, tokens);
    tracing::info!(agent, generation, "an agent holds a stream");
    let mut desk = Served {
        custody: &custody,
        agent: &agent,
        generation,
        outgoing,
        delivered: BTreeSet::new(),
        unasked: UNASKED_MAX,
        refilled: Instant::now(),
    };
    let ended = tokio::select! {
        ended = desk.serve(incoming) => ended,
        // Only the end of the sender is ever told.
        _ended = &mut replaced => {
            Err(Failure::new(Code::AgentReplaced, format!("another stream of the agent `{agent}` took this one's place")))
        }
    };
    custody.agents.detach(&agent, generation);
    tracing::info!(agent, generation, "an agent's stream ended");
    ended
}

struct Served<'a> {
    custody: &'a Custody,
    agent: &'a str,
    generation: u64,
    outgoing: mpsc::Sender<Result<ToAgent, Status>>,
    /// What was sent on this stream and is not answered yet.
    delivered: BTreeSet<Id>,
    unasked: f64,
    refilled: Instant,
}

impl Served<'_> {
    async fn serve(
        &mut self,
        mut incoming: impl Stream<Item = Result<FromAgent, Status>> + Unpin,
    ) -> Result<(), Failure> {
        let welcome = AgentWelcome {
            version: wire::VERSION,
            chain_id: self.custody.ledger.chain_id().to_vec().into(),
            agent: self.agent.to_owned(),
        };
        self.send(ToAgent { what: Some(to_agent::What::Welcome(welcome)) }).await?;
        let mut asked = self.custody.agents.asked.subscribe();
        let mut look = interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                message = incoming.next() => match message {
                    Some(Ok(message)) => self.take(message).await?,
                    // The agent is gone, or what comes cannot be read: it begins anew.
                    Some(Err(_)) | None => return Ok(()),
                },
                _changed = asked.changed() => self.deliver().await?,
                _tick = look.tick() => self.deliver().await?,
            }
        }
    }

    async fn send(&self, message: ToAgent) -> Result<(), Failure> {
        match timeout(SEND_DEADLINE, self.outgoing.send(Ok(message))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Failure::because(Code::AgentUnavailable, "the agent is gone", error)),
            Err(elapsed) => Err(Failure::because(Code::AgentUnavailable, "the agent reads nothing", elapsed)),
        }
    }

    /// Sends what waits and was not sent on this stream; takes back what is no longer waited for.
    async fn deliver(&mut self) -> Result<(), Failure> {
        let now_ms = self.custody.clock.now_ms();
        let limit = u32::try_from(WAITING_FOR_ONE_MAX).unwrap_or(u32::MAX);
        let waiting = match self.custody.store.agent_jobs(self.agent, now_ms, limit).await {
            Ok(waiting) => waiting,
            Err(error) => {
                tracing::warn!(agent = self.agent, %error, "requests for an agent cannot be read");
                return Ok(());
            }
        };
        for row in &waiting {
            if self.delivered.contains(&row.id) {
                continue;
            }
            if row.state == JobState::Waiting && !self.apply(row.id, JobState::Taken, None).await? {
                continue;
            }
            self.delivered.insert(row.id);
            self.send(wire::request(row)?).await?;
        }
        let gone: Vec<_> =
            self.delivered.iter().filter(|id| !waiting.iter().any(|row| row.id == **id)).copied().collect();
        for id in gone {
            // A full list may hide a request that still waits: it is only taken back when its row says so.
            let row = self.custody.store.agent_job(id).await?;
            let waits = row.is_some_and(|row| {
                matches!(row.state, JobState::Waiting | JobState::Taken) && row.expires_ms > now_ms
            });
            if !waits {
                self.delivered.remove(&id);
                self.send(wire::withdraw(&id, "it is no longer waited for")).await?;
            }
        }
        Ok(())
    }

    /// False when the row is past that.
    async fn apply(&self, id: Id, state: JobState, answer: Option<Vec<u8>>) -> Result<bool, Failure> {
        let now_ms = self.custody.clock.now_ms();
        match self.custody.store.apply(vec![Change::AnswerAgentJob { id, state, answer, now_ms }]).await {
            Ok(()) => Ok(true),
            Err(StoreError::Missing { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    async fn take(&mut self, message: FromAgent) -> Result<(), Failure> {
        match message.what {
            Some(from_agent::What::Answer(answer)) => {
                let (id, state, answer) = wire::answer(answer)?;
                if self.delivered.remove(&id) {
                    self.answered(id, state, answer).await
                } else {
                    self.answered_unasked(id).await
                }
            }
            Some(from_agent::What::Tokens(tokens)) => {
                self.spend()?;
                let tokens = wire::tokens(tokens)?;
                self.custody.agents.set_tokens(self.agent, self.generation, tokens);
                Ok(())
            }
            Some(from_agent::What::Asking(asking)) => {
                self.spend()?;
                let id = wire::job(&asking.job)?;
                tracing::info!(agent = self.agent, job = hex(&id), "a person is asked");
                Ok(())
            }
            Some(from_agent::What::Hello(_)) => Err(wire::protocol("`hello` is said once")),
            None => Err(wire::protocol("it is empty")),
        }
    }

    async fn answered(&self, id: Id, state: JobState, answer: Vec<u8>) -> Result<(), Failure> {
        if self.apply(id, state, Some(answer)).await? {
            self.custody.agents.answered.send_modify(|count| *count = count.wrapping_add(1));
        } else {
            tracing::warn!(agent = self.agent, job = hex(&id), "an answer came too late and was dropped");
        }
        Ok(())
    }

    /// An answer to nothing that was sent on this stream: late, or made up.
    async fn answered_unasked(&mut self, id: Id) -> Result<(), Failure> {
        self.spend()?;
        match self.custody.store.agent_job(id).await? {
            Some(row) if row.agent != self.agent => {
                tracing::error!(
                    agent = self.agent,
                    job = hex(&id),
                    "an agent answers a request of another agent"
                );
                Err(Failure::new(Code::NotAllowed, "the request is another agent's"))
            }
            _ => {
                tracing::warn!(agent = self.agent, job = hex(&id), "an answer came too late and was dropped");
                Ok(())
            }
        }
    }

    /// An agent that talks more than it is asked is sent away.
    fn spend(&mut self) -> Result<(), Failure> {
        let now = Instant::now();
        let gained = (now - self.refilled).as_secs_f64() * UNASKED_PER_SECOND;
        self.refilled = now;
        self.unasked = (self.unasked + gained).min(UNASKED_MAX) - 1.0;
        if self.unasked < 0.0 {
            return Err(Failure::new(Code::TooMany, "the agent sends more than it is asked for"));
        }
        Ok(())
    }
}
