//! Standard contracts: native, deterministic, pure.
//!
//! A contract sees the state, the call and the context, and answers with an outcome. A refusal changes
//! nothing: writes of a refused call are thrown away by the dispatcher, whatever the contract did.

pub mod addresses;
pub mod approval;
pub mod association;
pub mod attempts;
pub mod audit;
pub mod authored;
pub mod blind;
pub mod delegation;
pub mod intent;
pub mod keys;
pub mod members;
pub mod policy;
pub mod rate;
pub mod regime;
pub mod registry;
pub mod shared;
pub mod timelock;
pub mod vault;

use thiserror::Error;

use crate::codec::DecodeError;
use crate::entry::{Act, Entry, kind, kind_of};
use crate::genesis::Role;
use crate::hash::Hash;
use crate::outcome::{Outcome, Refusal};
use crate::state::layout::End;

/// What a contract may do with the state.
pub trait StateView {
    /// The value of a key.
    fn get(&self, key: &[u8]) -> Option<&[u8]>;
    /// Sets a key's value.
    fn put(&mut self, key: Vec<u8>, value: Vec<u8>);
    /// Sets a key's value that is removed once the ledger has passed `end`, or whatever later end is set after it.
    /// INVARIANT: [`layout::end_of`](crate::state::layout::end_of) reads the same end from the value.
    fn put_until(&mut self, key: Vec<u8>, value: Vec<u8>, end: End);
}

/// Who asks for what.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// The submitter of the batch.
    pub submitter: &'a [u8; 32],
    /// The submitter's role.
    pub role: Role,
    /// The entry.
    pub entry: &'a Entry,
}

/// Where and when it is asked.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The ledger.
    pub chain_id: &'a Hash,
    /// The height of the block being executed.
    pub height: u64,
    /// The time of that block.
    pub time_ms: u64,
    /// The place in the log of the record being made.
    pub leaf_index: u64,
}

/// Why a contract does not accept: the submitter's fault, or a broken state.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Stop {
    /// The entry is refused; the refusal becomes its outcome.
    #[error("refused with `{}`", .0.name())]
    Refused(Refusal),
    /// The state holds what no contract wrote. The node has to stop: it is never an outcome.
    #[error("the state is broken")]
    Broken(#[from] DecodeError),
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// A standard contract: applies one entry. Gives the outcome of an accepted entry, or the reason to stop.
pub type Contract = fn(&mut dyn StateView, &Call<'_>, &Context<'_>) -> Result<Outcome, Stop>;

/// The contract in charge of an entry; notes need none.
pub fn contract_for(entry: &Entry) -> Option<Contract> {
    match entry {
        Entry::Note(_) => None,
        Entry::OpenAccount { .. }
        | Entry::CloseAccount { .. }
        | Entry::BindCredential(_)
        | Entry::BindKey(_)
        | Entry::FreezeKey { .. }
        | Entry::UnfreezeKey { .. }
        | Entry::ScheduleDestroyKey { .. }
        | Entry::CancelDestroyKey { .. }
        | Entry::DestroyKey { .. }
        | Entry::RotateKey(_) => Some(registry::apply),
        Entry::Intent(_) | Entry::Release(_) => Some(intent::apply),
        Entry::UseAddress(_) | Entry::CloseEpoch(_) | Entry::AnnouncePayment(_) => Some(addresses::apply),
        Entry::OpenBlindCase(_) | Entry::UseBlindCase(_) => Some(blind::apply),
        Entry::DeliverGrant(_) | Entry::UseGrant(_) => Some(audit::apply),
        Entry::Authored(authored) => Some(match &authored.act {
            Act::CloseAccount { .. } => registry::apply,
            Act::DefineAttempts(_) | Act::GrantAttempt { .. } | Act::ProveAttempt { .. } => attempts::apply,
            Act::DefineRate(_) | Act::ChargeRate { .. } => rate::apply,
            Act::DefineApproval(_)
            | Act::OpenApproval { .. }
            | Act::Approve { .. }
            | Act::RefuseApproval(_)
            | Act::WithdrawApproval(_)
            | Act::UseApproval(_) => approval::apply,
            Act::DefineTimelock(_)
            | Act::OpenTimelock { .. }
            | Act::VetoTimelock(_)
            | Act::CancelTimelock(_)
            | Act::ExecuteTimelock { .. } => timelock::apply,
            Act::Vault(_) => vault::apply,
            Act::Delegation(_) => delegation::apply,
            Act::Shared(_) => shared::apply,
            Act::PublishPolicy(_) | Act::PublishRisk(_) => policy::apply,
            Act::Association(_) => association::apply,
            Act::Addresses(_) => addresses::apply,
            Act::Audit(_) => audit::apply,
        }),
        Entry::ProposeChange(_) | Entry::ApproveChange(_) => Some(members::apply),
        Entry::Evidence(_) | Entry::Complaint(_) | Entry::Agreement(_) => Some(regime::apply),
    }
}

/// Whether encoded bytes are a note, which is accepted without decoding and leaves the state alone.
pub fn is_note(bytes: &[u8]) -> bool {
    kind_of(bytes) == Some(kind::NOTE)
}

/// Applies encoded entry bytes: decodes, finds the contract, answers. The caller drops the writes of
/// everything that is not accepted.
pub fn dispatch(
    state: &mut dyn StateView,
    submitter: &[u8; 32],
    role: Role,
    bytes: &[u8],
    context: &Context<'_>,
) -> Result<Outcome, DecodeError> {
    let entry = match Entry::decode(bytes) {
        Ok(entry) => entry,
        Err(error) => return Ok(Outcome::refused(malformed(&error))),
    };
    let Some(contract) = contract_for(&entry) else { return Ok(Outcome::ACCEPTED) };
    match contract(state, &Call { submitter, role, entry: &entry }, context) {
        Ok(outcome) => Ok(outcome),
        Err(Stop::Refused(refusal)) => Ok(Outcome::refused(refusal)),
        Err(Stop::Broken(error)) => Err(error),
    }
}

fn malformed(error: &DecodeError) -> Refusal {
    match error {
        DecodeError::UnknownCode { what: "entry kind", .. } => Refusal::EntryKindUnknown,
        _ => Refusal::EntryMalformed,
    }
}

/// Refuses unless the submitter has one of the roles.
pub(crate) fn only(call: &Call<'_>, roles: &[Role]) -> Result<(), Refusal> {
    if roles.contains(&call.role) { Ok(()) } else { Err(Refusal::RoleNotAllowed) }
}

/// Refuses an entry whose last height has passed.
pub(crate) fn not_expired(not_after: u64, context: &Context<'_>) -> Result<(), Refusal> {
    if context.height > not_after { Err(Refusal::Expired) } else { Ok(()) }
}
