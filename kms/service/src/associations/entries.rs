//! Handing in what parties signed about associations. Nothing is kept: an entry is accepted once, and found again by itself.

use keyward_domain::Code;
use keyward_ledger_core::entry::{Act, Entry, Party};
use keyward_policies::Verb;

use crate::{
    caller::Caller,
    custody::Custody,
    failure::Failure,
    handed_in,
    vaults::{entries::HandedIn, floods::Flood},
};

impl Custody {
    /// Hands an entry in and waits until it is final. Run it in a task of its own: what was begun runs to its end.
    pub(crate) async fn hand_in_association(
        &self,
        caller: &Caller,
        bytes: &[u8],
    ) -> Result<HandedIn, Failure> {
        let _permit = self.permit()?;
        let account = caller.own_account()?;
        self.authorise_account(caller, Verb::AssociationChange, account)?;
        caller.in_time(self.clock.now_ms())?;
        let (entry, parties) = own_entry(bytes)?;
        if !self.spoke(&parties, account).await? {
            return Err(Failure::new(Code::NotAllowed, "the caller's account has not signed the entry"));
        }
        self.floods.charge(account.0, Flood::Entry, self.clock.now_ms())?;
        self.hand_in_once(&entry).await
    }
}

/// The entry, if it is about an association, and who signed it.
fn own_entry(bytes: &[u8]) -> Result<(Entry, Vec<Party>), Failure> {
    let entry = handed_in::read(bytes, Code::AssociationRequestMalformed)?;
    match &entry {
        Entry::Authored(authored) if matches!(authored.act, Act::Association(_)) => {
            let parties = authored.authors.iter().map(|author| author.party).collect();
            Ok((entry, parties))
        }
        _ => Err(Failure::new(Code::AssociationRequestMalformed, "the entry is about no association")),
    }
}
