//! Rows of what token agents are asked.

use std::fmt;

use super::Id;

words! {
    /// Where a job of an agent stands.
    JobState {
        /// The agent has not seen it.
        Waiting = "waiting",
        /// The agent has it.
        Taken = "taken",
        /// Done; the answer is there.
        Answered = "answered",
        /// The agent or its operator said no.
        Refused = "refused",
        /// Nobody answered in time.
        Expired = "expired",
    }
}

/// Something that an agent beside a token is asked to do.
#[derive(Clone, PartialEq, Eq)]
pub struct AgentJob {
    /// The intent's id, or the nonce of a link.
    pub id: Id,
    /// Whose job it is.
    pub agent: String,
    /// What kind of job, in words of the service.
    pub kind: String,
    /// What is to be done, in bytes of the service.
    pub body: Vec<u8>,
    /// Where it stands.
    pub state: JobState,
    /// What the agent answered.
    pub answer: Option<Vec<u8>>,
    /// When it was made.
    pub created_ms: u64,
    /// When it is too late.
    pub expires_ms: u64,
}

impl fmt::Debug for AgentJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AgentJob({}, {}, {})", self.agent, self.kind, self.state.word())
    }
}
