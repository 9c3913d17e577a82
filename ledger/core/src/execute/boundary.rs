//! The end of an epoch: what was decided takes effect, and which set and regime each epoch has.

use std::sync::Arc;

use super::overlay::Overlay;
use super::{Ledger, Run, StateBroken};
use crate::block::Regime;
use crate::certificate::ValidatorSet;
use crate::change::{Configuration, Member};
use crate::contracts::{Context, Stop, members, regime};
use crate::entry::Complaint;
use crate::hash::{Hash, ZERO};
use crate::state::member::{
    ChangeState, MemberState, OBSERVERS_MAX, TermState, change_key, decode_list, member_key, observers_key,
};
use crate::state::regime::{
    Agreed, Book, FaultState, Reason, RegimeState, Trigger, agreements_key, fault_key, read_agreements,
};

/// The version of the rules by which this program executes blocks.
pub const EXECUTION_VERSION: u32 = 1;

/// Who runs an epoch, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    /// The first epoch of this set and regime.
    pub first_epoch: u64,
    /// The regime.
    pub regime: Regime,
    /// The validators.
    pub set: Arc<ValidatorSet>,
    /// Those of them that do not lead.
    pub suspects: Vec<[u8; 32]>,
}

/// A change of the validator set: after the block at this height another set certifies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetChange {
    /// The last height of the set before.
    pub height: u64,
    /// The set from then on.
    pub set: ValidatorSet,
}

impl Ledger {
    /// Who runs an epoch that has begun; sets and regimes older than the newest two are found too.
    pub fn term(&self, epoch: u64) -> Result<Term, StateBroken> {
        let found = members::term_of(&Overlay::new(&self.state), epoch).map_err(StateBroken::of("epoch"))?;
        Ok(match found {
            Some(TermState { first_epoch, regime, set, suspects }) => {
                Term { first_epoch, regime, set: Arc::new(set), suspects }
            }
            None => Term {
                first_epoch: 0,
                regime: self.parameters.regime,
                set: self.set.clone(),
                suspects: Vec::new(),
            },
        })
    }

    /// Every change of the validator set since genesis, oldest first, from the `after`-th on.
    pub fn set_changes(&self, after: usize) -> Result<Vec<SetChange>, StateBroken> {
        let broken = || StateBroken::of("epoch");
        let state = Overlay::new(&self.state);
        let Some(last) = members::last_term(&state).map_err(broken())? else { return Ok(Vec::new()) };
        let mut before = members::term(&state, 0).map_err(broken())?;
        let mut changes = Vec::new();
        for number in 1..=last {
            let term = members::term(&state, number).map_err(broken())?;
            if term.set != before.set {
                let height = term.first_epoch.saturating_mul(self.parameters.epoch_length).saturating_sub(1);
                changes.push(SetChange { height, set: term.set.clone() });
            }
            before = term;
        }
        Ok(changes.split_off(after.min(changes.len())))
    }

    /// The configuration in force.
    pub fn configuration(&self) -> Result<Configuration, StateBroken> {
        members::configuration(&Overlay::new(&self.state)).map_err(StateBroken::of("config"))
    }

    /// The keys of the observers, ascending.
    pub fn observers(&self) -> Result<Vec<[u8; 32]>, StateBroken> {
        decode_list(self.state.get(&observers_key()), OBSERVERS_MAX).map_err(StateBroken::of("observers"))
    }

    /// What a node says of itself, if it was ever admitted by entry.
    pub fn member(&self, key: &[u8; 32]) -> Result<Option<MemberState>, StateBroken> {
        let value = self.state.get(&member_key(key));
        value.map(|value| MemberState::decode(key, value)).transpose().map_err(StateBroken::of("member"))
    }

    /// The validators and observers that were admitted by entry, with their addresses.
    pub fn members(&self) -> Result<Vec<Member>, StateBroken> {
        let keys: Vec<_> = self.set.keys().chain(self.observers()?).collect();
        let known = keys.iter().map(|key| self.member(key)).collect::<Result<Vec<_>, _>>()?;
        Ok(known.into_iter().flatten().map(|known| known.member).collect())
    }

    /// The proposed change of an id, if it has not expired.
    pub fn change(&self, id: &Hash) -> Result<Option<ChangeState>, StateBroken> {
        let value = self.state.get(&change_key(id));
        value.map(ChangeState::decode).transpose().map_err(StateBroken::of("change"))
    }

    /// Whether something waits for the end of the epoch, so that blocks should not be paced.
    pub fn hurries(&self) -> Result<bool, StateBroken> {
        let (state, next) = (Overlay::new(&self.state), self.height.saturating_add(1));
        let due = regime::is_due(&state).map_err(StateBroken::of("regime"))?;
        Ok(due || members::is_due(&state, &self.set, next).map_err(StateBroken::of("change"))?)
    }

    /// The regime in force, since when and why.
    pub fn regime(&self) -> Result<RegimeState, StateBroken> {
        let found = regime::last_switch(&Overlay::new(&self.state)).map_err(StateBroken::of("regime"))?;
        let trigger = Trigger { reason: Reason::Genesis, leaf_index: 0, subject: ZERO };
        let regime = self.parameters.regime;
        Ok(found.unwrap_or(RegimeState { regime, first_epoch: 0, height: 0, trigger }))
    }

    /// What stands against the fast regime.
    pub fn book(&self) -> Result<Book, StateBroken> {
        regime::book(&Overlay::new(&self.state)).map_err(StateBroken::of("regime"))
    }

    /// Whether a fault of this epoch or a later one is written down, so that complaints of the epoch add nothing.
    pub fn has_fault(&self, epoch: u64) -> Result<bool, StateBroken> {
        regime::has_fault(&Overlay::new(&self.state), epoch).map_err(StateBroken::of("regime"))
    }

    /// Whether the next block would accept this complaint.
    pub fn takes_complaint(&self, complaint: &Complaint) -> Result<bool, StateBroken> {
        let context = Context {
            chain_id: &self.chain_id,
            height: self.height.saturating_add(1),
            time_ms: self.time_ms,
            leaf_index: self.log.size(),
        };
        match regime::complain(&mut Overlay::new(&self.state), &context, complaint) {
            Ok(()) => Ok(true),
            Err(Stop::Refused(_)) => Ok(false),
            Err(Stop::Broken(error)) => Err(StateBroken::of("regime")(error)),
        }
    }

    /// A member's last agreement.
    pub fn agreed(&self, member: &[u8; 32]) -> Result<Option<Agreed>, StateBroken> {
        let value = self.state.get(&agreements_key());
        let agreed = read_agreements(value).map_err(StateBroken::of("agreements"))?;
        Ok(agreed.into_iter().find(|agreed| agreed.member == *member))
    }

    /// A validator's last conviction.
    pub fn fault(&self, validator: &[u8; 32]) -> Result<Option<FaultState>, StateBroken> {
        let value = self.state.get(&fault_key(validator));
        value.map(FaultState::decode).transpose().map_err(StateBroken::of("fault"))
    }

    /// The execution version that blocks of an epoch need.
    pub fn version_of(&self, epoch: u64) -> Result<u32, StateBroken> {
        let announced = members::announced(&Overlay::new(&self.state)).map_err(StateBroken::of("version"))?;
        Ok(match announced {
            Some((version, from_epoch)) if epoch >= from_epoch => version,
            // An announcement is replaced only once it holds, so what came before it is not newer than this.
            _ => EXECUTION_VERSION,
        })
    }
}

impl Run {
    /// After the batches: if this block is the last of its epoch, what was decided takes effect.
    pub(crate) fn close(&mut self) -> Result<(), StateBroken> {
        let ledger = &mut self.ledger;
        let (epoch, next_epoch) =
            (ledger.epoch_of(ledger.height), ledger.epoch_of(ledger.height.saturating_add(1)));
        if epoch == next_epoch {
            return Ok(());
        }
        let context = Context {
            chain_id: &ledger.chain_id,
            height: ledger.height,
            time_ms: ledger.time_ms,
            leaf_index: ledger.log.size(),
        };
        let mut overlay = Overlay::new(&ledger.state);
        let next = members::close(&mut overlay, &ledger.set, &context, next_epoch)
            .map_err(StateBroken::of("epoch"))?;
        overlay.finish().commit(&mut ledger.state, &mut ledger.expiry);
        ledger.parameters = next.parameters;
        if next.set != *ledger.set {
            ledger.set = Arc::new(next.set);
        }
        Ok(())
    }
}
