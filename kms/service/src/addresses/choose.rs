//! Choosing addresses, for good; and how that stands.

use keyward_domain::Code;
use keyward_ledger_core::{
    entry::{Act, AddressAct, ChooseAddresses, Custody as Root, Entry},
    state::addresses::addresses_key,
};
use keyward_policies::Verb;
use keyward_store::{Act as Row, ActKind, AddressCustody, AddressEpoch, Change, Id};

use crate::{
    acts::{Plan, Settled},
    caller::Caller,
    custody::Custody,
    failure::Failure,
    handed_in::{self, Sought},
    once::{Once, request_hash},
    policies::own_tenant,
    vaults::floods::Flood,
};

/// Epochs that are shown.
const EPOCHS_MAX: u32 = 256;

/// What an entry must say here.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) tenant: Id,
    pub(crate) epoch_ms: u64,
    pub(crate) height: u64,
    pub(crate) chain_id: Id,
}

/// What an account chose, and what it did since.
#[derive(Debug)]
pub(crate) struct ShownAddresses {
    /// The state receipt.
    pub(crate) chosen: Vec<u8>,
    pub(crate) epochs: Vec<AddressEpoch>,
}

impl Custody {
    /// What `choose-addresses` must say here.
    pub(crate) async fn prepare_addresses(&self, caller: &Caller) -> Result<Prepared, Failure> {
        self.address_account(caller, Verb::AddressChoose)?;
        Ok(Prepared {
            tenant: own_tenant(&self.tenant),
            epoch_ms: self.epoch_ms(),
            height: self.ledger.refresh().await?,
            chain_id: self.ledger.chain_id(),
        })
    }

    pub(super) fn epoch_ms(&self) -> u64 {
        u64::try_from(self.addresses.epoch.as_millis()).unwrap_or(u64::MAX)
    }

    /// Hands in the choice of the caller's account; a root that is to be hosted is made first. Run it in a task of its own.
    pub(crate) async fn choose_addresses(
        &self,
        caller: &Caller,
        entry: &[u8],
        mark: &[u8],
    ) -> Result<Vec<u8>, Failure> {
        let _permit = self.permit()?;
        let account = self.address_account(caller, Verb::AddressChoose)?;
        let (handed_in, wanted) = read(entry)?;
        if wanted.account != account.0 {
            return Err(malformed("the entry chooses for another account"));
        }
        if wanted.tenant != own_tenant(&self.tenant) || wanted.epoch_ms != self.epoch_ms() {
            return Err(malformed("tenant and length of an epoch are not those of this service"));
        }
        let hash = request_hash("address.choose", &[&account.0, entry]);
        let name = match self.once(caller, mark, hash).await? {
            Once::Done(receipt) => return Ok(receipt),
            Once::Fresh(name) => name,
        };
        let custody = match wanted.custody {
            Root::Hosted => AddressCustody::Hosted,
            Root::Own => AddressCustody::Own,
        };
        // An entry that the ledger refuses stands there too.
        let row = match self.floods.charge(account.0, Flood::Entry, self.clock.now_ms()) {
            Ok(()) => self.new_address_account(account, custody, wanted.epoch_ms).await,
            Err(failure) => Err(failure),
        };
        let row = match row {
            Ok(row) => row,
            Err(failure) => {
                self.give_back(name).await;
                return Err(failure);
            }
        };
        self.perform(Plan {
            kind: ActKind::Addresses,
            subject: account.0,
            entries: vec![handed_in],
            before: vec![Change::NeedOpenAccount(account.0), Change::PutAddressAccount(row)],
            accepted: vec![Change::SetAddressesChosen(account.0)],
            refused: vec![Change::RemovePendingAddresses(account.0)],
            name,
            app: String::new(),
        })
        .await
    }

    /// Settles a choice that a crash or an outage left. None while it may still come by itself.
    pub(crate) async fn settle_addresses(
        &self,
        act: &Row,
        entries: &[Entry],
    ) -> Result<Option<Settled>, Failure> {
        let Some(entry) = entries.first() else { return Ok(Some(Settled::undone(Vec::new()))) };
        Ok(match self.seek(act, entry, true).await? {
            Sought::Found(record) => Some(Settled {
                changes: vec![Change::SetAddressesChosen(act.subject)],
                receipt: Some(record.receipt(None)),
            }),
            Sought::Waits => None,
            Sought::Lost => Some(Settled::undone(vec![Change::RemovePendingAddresses(act.subject)])),
        })
    }

    /// How the account's addresses stand.
    pub(crate) async fn show_addresses(&self, caller: &Caller) -> Result<ShownAddresses, Failure> {
        let account = self.address_account(caller, Verb::AddressShow)?;
        let chosen = self.ledger.proven(addresses_key(&account.0)).await?.receipt;
        let epochs = self.store.address_epochs(account.0, EPOCHS_MAX).await?;
        Ok(ShownAddresses { chosen, epochs })
    }
}

/// The entry, if it is a choice of addresses. Whose signature it bears the ledger knows.
fn read(bytes: &[u8]) -> Result<(Entry, ChooseAddresses), Failure> {
    let entry = handed_in::read(bytes, Code::AddressRequestMalformed)?;
    let wanted = match &entry {
        Entry::Authored(authored) => match &authored.act {
            Act::Addresses(AddressAct::Choose(wanted)) => Some(*wanted),
            _ => None,
        },
        _ => None,
    };
    wanted.map(|wanted| (entry, wanted)).ok_or_else(|| malformed("the entry chooses no addresses"))
}

pub(super) fn malformed(what: impl Into<String>) -> Failure {
    Failure::new(Code::AddressRequestMalformed, what)
}
