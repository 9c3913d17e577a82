//! Going on with a signature whose intent is on the ledger, and whose answer nobody heard. The ledger lets an address sign once, so what was
//! paid to it would be lost otherwise.

use keyward_domain::{AccountId, Code};
use keyward_ledger_core::{
    entry::{Entry, UseAddress},
    state::addresses::{read_leaf, used_address_key},
};
use keyward_store::{AddressRow, Id, IdempotencyKey as Name, IntentState, NewIntent};

use crate::{
    custody::Custody,
    failure::Failure,
    guard::{AddressPassage, SignedAddress},
    ports::Final,
};

impl Custody {
    /// Signs for the intent that has the address, if it is this server's, final, without a signature, and of the very same payload under
    /// the same scheme: then it is the same request again. `key` is the address's.
    pub(super) async fn resume_address(
        &self,
        row: &AddressRow,
        (key, payload_hash): (&keyward_crypto::SigningKey, Id),
        name: Option<Name>,
    ) -> Result<SignedAddress, Failure> {
        let intent = match row.intent {
            Some(intent) => self.store.intent(intent).await?,
            None => None,
        };
        let same = |intent: &NewIntent| {
            (intent.key_id, intent.payload_hash, intent.submitter)
                == (key.public_key().id().0, payload_hash, self.ledger.submitter())
        };
        let open = intent.filter(|intent| {
            matches!(intent.state, IntentState::Submitted | IntentState::Final) && same(&intent.new)
        });
        let intent = open.ok_or_else(used_before)?.new;
        let (record, used) = self.record_that_used(row).await?.ok_or_else(used_before)?;
        // What is just under way is not on the list: it gets its answer from who began it.
        if used.id != intent.id || !self.unreleased.contains(&intent.id) {
            return Err(used_before());
        }
        let account = AccountId(row.account);
        self.require_open_on_ledger(account).await?;
        let (address, public) = (row.new, key.public_key().clone());
        let passage = AddressPassage { account, address, intent, used, key: public, name };
        let signature = key.sign_digest(&payload_hash).map_err(Failure::internal)?;
        let signed = self.release_address(&passage, record.as_ref(), (signature, None)).await?;
        self.remember_use(&passage, record.as_ref()).await;
        Ok(signed)
    }

    /// The accepted record that used an address.
    async fn record_that_used(
        &self,
        row: &AddressRow,
    ) -> Result<Option<(Box<dyn Final>, UseAddress)>, Failure> {
        let [_, x @ ..] = row.new.public_key;
        let Some(leaf) = self.ledger.state(used_address_key(&x)).await? else { return Ok(None) };
        let record = self.ledger.record(read_leaf(&leaf).map_err(Failure::internal)?).await?;
        match Entry::decode(record.entry()).map_err(Failure::internal)? {
            Entry::UseAddress(used) if record.outcome().is_accepted() => Ok(Some((record, used))),
            _ => Ok(None),
        }
    }
}

pub(super) fn used_before() -> Failure {
    Failure::new(Code::AddressUsed, "the address is used, or may be")
}
