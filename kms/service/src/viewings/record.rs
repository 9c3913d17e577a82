//! Recording a dealing, with what the account signed. Nothing more is kept: an entry is accepted once, and found again by itself.

use keyward_domain::Code;
use keyward_ledger_core::entry::{Act, AddressAct, Authored, DealViewing, Entry};

use super::{malformed, not_own};
use crate::{
    caller::Caller,
    custody::Custody,
    failure::Failure,
    handed_in,
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
        self.hand_in_once(&entry).await
    }
}

fn dealt(entry: &Entry) -> Option<&DealViewing> {
    match entry {
        Entry::Authored(Authored { act: Act::Addresses(AddressAct::Deal(deal)), .. }) => Some(deal),
        _ => None,
    }
}
