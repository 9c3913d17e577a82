//! Entries that people sign and hand in: read in one way, and looked for in one way when nobody knows what became of them.

use keyward_domain::Code;
use keyward_ledger_core::{
    contracts::authored::AUTHORED_BLOCKS_MAX,
    entry::{ENTRY_BYTES_MAX, Entry},
};
use keyward_store::Act;

use crate::{
    acts::heights, custody::Custody, delegation::refusal, failure::Failure, ports::Final,
    vaults::entries::HandedIn,
};

/// Reads an entry; one that is too long is refused under the code that its room has for malformed requests.
pub(crate) fn read(bytes: &[u8], malformed: Code) -> Result<Entry, Failure> {
    if bytes.len() > ENTRY_BYTES_MAX {
        return Err(Failure::new(malformed, format!("an entry has at most `{ENTRY_BYTES_MAX}` bytes")));
    }
    Entry::decode(bytes)
        .map_err(|error| Failure::because(Code::EntryMalformed, "the entry does not decode", error))
}

/// What has become of an entry that a crash or an outage left.
pub(crate) enum Sought {
    Found(Box<dyn Final>),
    /// It may still come by itself.
    Waits,
    Lost,
}

impl Custody {
    /// Hands in what people signed and nothing is kept of: it is accepted once, and found again by itself.
    pub(crate) async fn hand_in_once(&self, entry: &Entry) -> Result<HandedIn, Failure> {
        let record = self.ledger.commit(entry.clone()).await?;
        if record.outcome().is_accepted() {
            return Ok(HandedIn::of(record.as_ref()));
        }
        // Refused, because it came through before, or for good.
        match self.recorded_before(entry, AUTHORED_BLOCKS_MAX).await? {
            Some(found) => Ok(HandedIn::of(found.as_ref())),
            None => Err(refusal(record.as_ref())),
        }
    }

    /// Looks for an entry that was left, and hands it in once more if `again`.
    pub(crate) async fn seek(&self, act: &Act, entry: &Entry, again: bool) -> Result<Sought, Failure> {
        let mut found = self.ledger.accepted_within(heights(act), entry.clone()).await?;
        if found.is_none() && self.ledger.height() <= act.until {
            if !again {
                return Ok(Sought::Waits);
            }
            found = self.hand_in_again(act, entry).await?;
        }
        Ok(found.map_or(Sought::Lost, Sought::Found))
    }

    /// Hands an entry in that nobody knows the fate of. None if the ledger refuses it and never took it.
    pub(crate) async fn hand_in_again(
        &self,
        act: &Act,
        entry: &Entry,
    ) -> Result<Option<Box<dyn Final>>, Failure> {
        let again = self.ledger.commit(entry.clone()).await?;
        if again.outcome().is_accepted() {
            return Ok(Some(again));
        }
        // Refused, because the first one came through meanwhile, or for good.
        Ok(self.ledger.accepted_within(heights(act), entry.clone()).await?)
    }
}
