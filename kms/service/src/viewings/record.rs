//! Recording a dealing, with what the account signed. Nothing more is kept: an entry is accepted once, and found again by itself.

use keyward_domain::Code;
use keyward_ledger_core::{
    contracts::authored::AUTHORED_BLOCKS_MAX,
    entry::{Act, AddressAct, Authored, DealViewing, Entry},
};

use super::{malformed, not_own};
use crate::{
    caller::Caller,
    custody::Custody,
    delegation::refusal,
    failure::Failure,
    handed_in,
    ports::Final,
    vaults::{entries::HandedIn, floods::Flood},
};

/// Dealings of one run that are looked through: more do not wait.
const LOOK_MAX: u32 = 64;

impl Custody {
    /// Hands the entry in and waits until it is final. Run it in a task of its own: what was begun runs to its end.
    pub(crate) async fn record_dealing(&self, caller: &Caller, bytes: &[u8]) -> Result<HandedIn, Failure> {
        let _permit = self.permit()?;
        let account = self.dealing_account(caller)?;
        let entry = handed_in::read(bytes, Code::ViewingRequestMalformed)?;
        let run = dealt(&entry).ok_or_else(|| malformed("the entry deals no epochs"))?.run;
        if run.account != account.0 {
            return Err(not_own());
        }
        self.floods.charge(account.0, Flood::Dealing, self.clock.now_ms())?;
        // Once it is recorded no other one of these epochs is: without its bytes nobody could ever open them.
        let kept = self.store.dealings(account.0, run.first, run.last, LOOK_MAX).await?;
        if !kept.iter().any(|row| (row.first, row.last, row.hash) == (run.first, run.last, run.dealing_hash))
        {
            return Err(malformed("the dealing of the entry was not handed in before it"));
        }
        let record = self.ledger.commit(entry.clone()).await?;
        if record.outcome().is_accepted() {
            return Ok(done(record.as_ref()));
        }
        // Refused, because it came through before, or for good.
        match self.recorded_before(&entry, AUTHORED_BLOCKS_MAX).await? {
            Some(found) => Ok(done(found.as_ref())),
            None => Err(refusal(record.as_ref())),
        }
    }
}

fn done(record: &dyn Final) -> HandedIn {
    HandedIn { leaf_index: record.leaf_index(), receipt: record.receipt(None) }
}

fn dealt(entry: &Entry) -> Option<&DealViewing> {
    match entry {
        Entry::Authored(Authored { act: Act::Addresses(AddressAct::Deal(deal)), .. }) => Some(deal),
        _ => None,
    }
}
