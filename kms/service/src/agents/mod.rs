//! Token agents: which there are, which of them hold a stream to this server, and the requests that wait for them.
//!
//! A request is a row that every server of the database sees: the server that an app asks and the one that holds the
//! agent's stream need not be the same.

mod hub;
mod jobs;
mod under_way;
mod wire;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use keyward_domain::Code;
use keyward_policies::{Resource, Verb};
use tokio::sync::{oneshot, watch};

pub(crate) use self::{
    hub::attend,
    jobs::{Proving, Signing},
    under_way::UnderWay,
};
use crate::{
    caller::Caller, config::AgentConfig, custody::Custody, failure::Failure, keybook::KnownKey,
    ports::Attached,
};

/// Requests that wait for agents at once: far below those that may be under way, so that a closed desk holds up
/// nobody else.
const WAITING_MAX: usize = 256;
/// Requests that wait for one agent at once.
pub(crate) const WAITING_FOR_ONE_MAX: usize = 64;

/// The agents of this service.
#[derive(Debug)]
pub(crate) struct Agents {
    /// The operators that may link through each.
    listed: BTreeMap<String, Vec<String>>,
    /// How long a request waits at most.
    wait_max: Duration,
    attached: Mutex<HashMap<String, Stream>>,
    waiting: Mutex<HashMap<String, usize>>,
    under_way: UnderWay,
    /// Counts requests and answers of this server, to wake who waits for them; other servers' are looked for.
    asked: watch::Sender<u64>,
    answered: watch::Sender<u64>,
}

/// A stream that this server holds.
#[derive(Debug)]
struct Stream {
    generation: u64,
    tokens: Vec<Attached>,
    /// Told when a newer stream takes its place.
    _replaced: oneshot::Sender<()>,
}

impl Agents {
    pub(crate) fn new(agents: Vec<AgentConfig>, wait_max: Duration) -> Self {
        Self {
            listed: agents.into_iter().map(|agent| (agent.name, agent.operators)).collect(),
            wait_max,
            attached: Mutex::default(),
            waiting: Mutex::default(),
            under_way: UnderWay::default(),
            asked: watch::Sender::new(0),
            answered: watch::Sender::new(0),
        }
    }

    fn streams(&self) -> MutexGuard<'_, HashMap<String, Stream>> {
        self.attached.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn attach(&self, agent: &str, tokens: Vec<Attached>) -> (u64, oneshot::Receiver<()>) {
        let (replaced, told) = oneshot::channel();
        let mut streams = self.streams();
        let generation = streams.get(agent).map_or(1, |older| older.generation + 1);
        // The older stream hears of it by the end of its sender.
        streams.insert(agent.to_owned(), Stream { generation, tokens, _replaced: replaced });
        (generation, told)
    }

    fn set_tokens(&self, agent: &str, generation: u64, tokens: Vec<Attached>) {
        if let Some(stream) = self.streams().get_mut(agent).filter(|stream| stream.generation == generation) {
            stream.tokens = tokens;
        }
    }

    fn detach(&self, agent: &str, generation: u64) {
        let mut streams = self.streams();
        if streams.get(agent).is_some_and(|stream| stream.generation == generation) {
            streams.remove(agent);
        }
    }

    /// What is attached to an agent whose stream this server holds.
    pub(crate) fn tokens(&self, agent: &str) -> Option<Vec<Attached>> {
        self.streams().get(agent).map(|stream| stream.tokens.clone())
    }

    /// What is attached to each agent whose stream this server holds.
    pub(crate) fn all_tokens(&self) -> Vec<(String, Attached)> {
        let streams = self.streams();
        let mut all: Vec<_> = streams
            .iter()
            .flat_map(|(agent, stream)| stream.tokens.iter().map(|token| (agent.clone(), token.clone())))
            .collect();
        all.sort_by(|(agent, token), (other, next)| (agent, &token.label).cmp(&(other, &next.label)));
        all
    }
}

/// A place among the requests that may wait for an agent.
#[derive(Debug)]
pub(crate) struct Place {
    custody_agents: Arc<Agents>,
    agent: String,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut waiting = self.custody_agents.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = waiting.get_mut(&self.agent) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                waiting.remove(&self.agent);
            }
        }
    }
}

impl Custody {
    /// Takes a place, before an intent is made for a key that an agent signs with; keys of other places need none.
    pub(crate) fn agent_place(&self, key: &KnownKey) -> Result<Option<Place>, Failure> {
        key.agent().map(|agent| self.agent_place_of(agent)).transpose()
    }

    fn agent_place_of(&self, agent: &str) -> Result<Place, Failure> {
        let mut waiting = self.agents.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let all: usize = waiting.values().sum();
        let own = waiting.get(agent).copied().unwrap_or_default();
        if all >= WAITING_MAX || own >= WAITING_FOR_ONE_MAX {
            let message = format!("too many requests wait for the agent `{agent}`");
            return Err(Failure::new(Code::ServiceBusy, message));
        }
        *waiting.entry(agent.to_owned()).or_default() += 1;
        Ok(Place { custody_agents: self.agents.clone(), agent: agent.to_owned() })
    }

    /// May the caller do this at an agent's desk? Agents that are not configured do not exist.
    pub(crate) fn authorise_desk(&self, caller: &Caller, verb: Verb, agent: &str) -> Result<(), Failure> {
        let unknown = || Failure::new(Code::AgentUnknown, "no such agent that you may use");
        let operators = self.agents.listed.get(agent).ok_or_else(unknown)?;
        let allowed = self.authorise(caller, verb, Resource::Desk { tenant: &self.tenant, agent, operators });
        allowed.map_err(|failure| if verb == Verb::AgentLink { unknown() } else { failure })
    }
}
