//! Giving out the next addresses of a hosted root.

use std::collections::HashMap;

use keyward_crypto::unlinkable::{AddressRoot, EpochAddresses, MetaAddress};
use keyward_domain::{AccountId, Code};
use keyward_ledger_core::unlinkable::AddressEpoch;
use keyward_policies::Verb;
use keyward_store::{AddressAccount, AddressOrigin, AddressRow, AddressSpan, Change, NewAddress};

use super::{ADDRESSES_MAX, Listed};
use crate::{
    caller::Caller,
    custody::Custody,
    failure::Failure,
    once::{Once, request_hash},
};

/// Addresses of an epoch that may be given out and not used.
const UNUSED_MAX: u32 = 1024;

/// Indices of an epoch: what an idempotency key keeps of a request for them.
#[derive(Clone, Copy, Debug)]
struct Given {
    epoch: u32,
    first: u32,
    count: u32,
}

impl Given {
    fn encode(self) -> Vec<u8> {
        [self.epoch, self.first, self.count].iter().flat_map(|number| number.to_be_bytes()).collect()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let numbers = <&[u8; 12]>::try_from(bytes).ok()?.as_chunks::<4>().0;
        let [epoch, first, count] = numbers else { return None };
        let [epoch, first, count] = [epoch, first, count].map(|number| u32::from_be_bytes(*number));
        Some(Self { epoch, first, count })
    }

    fn addresses(self, root: &AddressRoot) -> Result<Vec<NewAddress>, Failure> {
        let Self { epoch, first, count } = self;
        let spending = root.spending_leaf(epoch).map_err(Failure::internal)?;
        let all = EpochAddresses::new(root.viewing_leaf(epoch), spending.point());
        let one = |index| {
            let public_key = all.address(index).map_err(Failure::internal)?;
            Ok(NewAddress { public_key, epoch, origin: AddressOrigin::Index(index) })
        };
        (first..first.saturating_add(count)).map(one).collect()
    }
}

impl Custody {
    /// So many fresh addresses of the epoch under way. Run it in a task of its own.
    pub(crate) async fn next_addresses(
        &self,
        caller: &Caller,
        count: u32,
        mark: &[u8],
    ) -> Result<Vec<Listed>, Failure> {
        let _permit = self.permit()?;
        let account = self.address_account(caller, Verb::AddressUse)?;
        let count = count.max(1);
        if count > ADDRESSES_MAX {
            let what = format!("`{count}` addresses at once are more than `{ADDRESSES_MAX}`");
            return Err(Failure::new(Code::InvalidArgument, what));
        }
        let (row, root) = self.hosted_addresses(account).await?;
        let hash = request_hash("address.next", &[&account.0, &count.to_be_bytes()]);
        let name = match self.once(caller, mark, hash).await? {
            Once::Done(bytes) => {
                let given = Given::decode(&bytes);
                let given = given.ok_or_else(|| Failure::internal("a kept response cannot be read"))?;
                return self.listed(&row, &given.addresses(&root)?).await;
            }
            Once::Fresh(name) => name,
        };
        let given = async {
            self.refuse_hoarding(&row, count).await?;
            let given = self.give_out(account, &row, &root, count).await?;
            let rows = given.addresses(&root)?;
            let put =
                Change::PutAddresses { account: account.0, rows: rows.clone(), now_ms: self.clock.now_ms() };
            let done = name.clone().map(|name| Change::Complete(name, given.encode()));
            self.store.apply([put].into_iter().chain(done).collect()).await?;
            Ok(rows)
        };
        match given.await {
            Ok(rows) => self.listed(&row, &rows).await,
            Err(failure) => {
                self.give_back(name).await;
                Err(failure)
            }
        }
    }

    /// An app that never uses what it is given would fill the disk. What was drawn to be signed with at once and refused fills none.
    async fn refuse_hoarding(&self, row: &AddressAccount, more: u32) -> Result<(), Failure> {
        let epoch = self.address_epoch_now(row)?;
        if self.store.unused_addresses(row.account, epoch).await?.saturating_add(more) <= UNUSED_MAX {
            return Ok(());
        }
        let what = format!("more than `{UNUSED_MAX}` addresses of the epoch would be unused");
        Err(Failure::new(Code::AddressesMax, what))
    }

    /// One fresh address, to sign with at once.
    pub(super) async fn fresh_address(
        &self,
        account: AccountId,
        row: &AddressAccount,
        root: &AddressRoot,
    ) -> Result<NewAddress, Failure> {
        let given = self.give_out(account, row, root, 1).await?.addresses(root)?;
        given.first().copied().ok_or_else(|| Failure::internal("no address was given out"))
    }

    /// Takes indices, which nobody else has or will get: those of a request that ends here are never used.
    async fn give_out(
        &self,
        account: AccountId,
        row: &AddressAccount,
        root: &AddressRoot,
        count: u32,
    ) -> Result<Given, Failure> {
        let epoch = self.address_epoch_now(row)?;
        let sealed = self.seal_epoch(account, root, epoch)?;
        let span = AddressSpan { account: account.0, epoch, count, sealed };
        let first = self.store.allocate_addresses(span).await?;
        Ok(Given { epoch, first, count })
    }

    /// What payers need to pay to a fresh address in the epoch under way, and when that ends.
    pub(crate) async fn meta_address(&self, caller: &Caller) -> Result<(Vec<u8>, u64), Failure> {
        let account = self.address_account(caller, Verb::AddressUse)?;
        let (row, root) = self.hosted_addresses(account).await?;
        // Who sees the epoch finds its payments by what closes it.
        let epoch = self.give_out(account, &row, &root, 0).await?.epoch;
        let spending = root.spending_leaf(epoch).map_err(Failure::internal)?.point();
        let meta = MetaAddress::new(&root.viewing_leaf(epoch), spending).map_err(Failure::internal)?;
        let ends_ms = AddressEpoch::new(row.epoch_ms, epoch).ends_ms();
        Ok((meta.encode().map_err(Failure::internal)?, ends_ms))
    }

    /// The rows of addresses, in their order.
    pub(super) async fn listed(
        &self,
        chosen: &AddressAccount,
        addresses: &[NewAddress],
    ) -> Result<Vec<Listed>, Failure> {
        let limit = u32::try_from(addresses.len()).unwrap_or(u32::MAX);
        let newest = self.store.addresses(chosen.account, u64::MAX, limit).await?;
        let newest: HashMap<[u8; 33], AddressRow> =
            newest.into_iter().map(|row| (row.new.public_key, row)).collect();
        let now_ms = self.clock.now_ms();
        let mut listed = Vec::with_capacity(addresses.len());
        for address in addresses {
            let row = match newest.get(&address.public_key) {
                Some(row) => Some(*row),
                None => self.store.address(chosen.account, address.public_key).await?,
            };
            let row = row.ok_or_else(|| Failure::internal("an address that was kept is gone"))?;
            listed.push(Listed::of(row, chosen, now_ms));
        }
        Ok(listed)
    }
}
