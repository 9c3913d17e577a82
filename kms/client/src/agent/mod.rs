//! The token agent: a bank's desk with the bank's own tokens, which signs what the ledger has recorded and its own
//! rules allow, and believes the service in nothing.
//!
//! Reading files, terminals and printing are the command line's business.

mod check;
mod desk;
mod device;
mod event;
mod journal;
mod rules;
mod stream;
mod summary;

pub use check::{CLOCK_AHEAD_MS_MAX, CheckError, Checked, INTENT_AGE_MS_MAX, Known, check};
pub use desk::{Desk, PROTOCOL_VERSION, Parts, Person};
pub use device::{Device, DeviceRefusal, Held, HeldKey, Later, Look, Tokens};
pub use event::{Asked, Event, Verdict};
pub use journal::{Begin, IntentId, Journal, JournalError, KEEP_MS, Kept};
pub use rules::{Act, Decision, Question, Rules, RulesError};
pub use stream::{AgentError, Way, attend};
pub use summary::{Kind, Payload, Summary, Word, shown};
