//! What is kept of an account that was closed: what opens its epochs up to then, for as long as its tenant's audit terms say, and nothing
//! that signs. It is kept whatever the terms seem to be when the account is closed; what erases it is a state of the ledger from after
//! that: where it has no terms, nothing is kept for long, because nobody could ever ask for it.

use std::sync::{Mutex, PoisonError};

use keyward_crypto::{
    open, seal,
    unlinkable::{AddressRoot, ViewingCover},
};
use keyward_domain::Code;
use keyward_ledger_core::{
    entry::AuditTerms,
    state::{
        addresses::{AddressesState, addresses_key},
        audit::{AuditState, audit_key},
    },
    unlinkable::{AddressEpoch, EPOCH_MS_MAX},
};
use keyward_store::{AddressAccount, AddressCustody, AddressState, Change, Id};

use crate::{custody::Custody, failure::Failure, policies::own_tenant, ports::Proven};

const KEPT_LABEL: &[u8] = b"\x1akeyward/address-viewing/v1";
/// Accounts that one look is about.
pub(super) const LOOKED_AT: u32 = 64;
/// How far ahead of our clock an account that is being closed may use addresses: longer than its closing can be on its way.
const AHEAD_MS: u64 = EPOCH_MS_MAX;

/// Behind which account the next look at a list of them begins.
#[derive(Debug, Default)]
pub(crate) struct Round(Mutex<Id>);

impl Round {
    pub(super) fn begins(&self) -> Id {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Behind these, or anew where there were no more.
    pub(super) fn goes_on(&self, seen: &[AddressAccount]) {
        let is_last = u32::try_from(seen.len()).is_ok_and(|count| count < LOOKED_AT);
        let next = seen.last().filter(|_| !is_last).map_or([0; 32], |row| row.account);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = next;
    }
}

fn kept_aad(account: &Id) -> Vec<u8> {
    [KEPT_LABEL, account].concat()
}

impl Custody {
    /// What becomes of the addresses of an account that is closed.
    pub(crate) async fn closing_addresses(&self, account: Id) -> Result<Vec<Change>, Failure> {
        let all = vec![Change::EraseAddresses(account), Change::ForgetDealingsOf(account)];
        let Some(row) = self.store.address_account(account).await? else {
            // It chose elsewhere: nothing here would say when the time of its dealings is over.
            return Ok(vec![Change::ForgetDealingsOf(account)]);
        };
        match row.state {
            // Nothing signed with it yet.
            AddressState::Pending => return Ok(all),
            // Whoever closed it before has seen to it: what was kept stays.
            AddressState::Kept | AddressState::Erased => return Ok(Vec::new()),
            AddressState::Chosen => {}
        }
        Ok(vec![self.keep_viewing(&row).await?])
    }

    /// Of a root that is the person's own nothing is here but what keepers open.
    async fn keep_viewing(&self, row: &AddressAccount) -> Result<Change, Failure> {
        let account = row.account;
        if row.custody == AddressCustody::Own {
            let (sealed_key, kek, sealed) = (Vec::new(), String::new(), Vec::new());
            return Ok(Change::KeepViewing { account, sealed_key, kek, sealed });
        }
        let root = self.address_root(row).await?;
        let cover = self.cover_so_far(&root, row.epoch_ms)?;
        let (key, sealed_key, kek) = self.fresh_data_key(&account).await?;
        let sealed = cover.encode().expose(|bytes| seal(&key, &kept_aad(&account), bytes));
        Ok(Change::KeepViewing { account, sealed_key, kek, sealed: sealed.map_err(Failure::internal)? })
    }

    /// All epochs from the first there is: those before the account chose are empty.
    fn cover_so_far(&self, root: &AddressRoot, epoch_ms: u64) -> Result<ViewingCover, Failure> {
        let last = AddressEpoch::at(epoch_ms, self.clock.now_ms().saturating_add(AHEAD_MS));
        let last = last.ok_or_else(|| Failure::internal("no address epoch reaches so far"))?;
        Ok(ViewingCover::of(root, 0..=last.number))
    }

    /// What was kept of a closed account.
    pub(super) async fn kept_cover(&self, row: &AddressAccount) -> Result<ViewingCover, Failure> {
        if row.custody != AddressCustody::Hosted {
            return Err(Failure::new(Code::AddressesOwn, "the account's root was its person's own"));
        }
        let key = self.data_key(&row.account, &row.sealed_key).await?;
        let plain = open(&key, &kept_aad(&row.account), &row.sealed_root).map_err(Failure::internal)?;
        plain.expose(ViewingCover::decode).map_err(Failure::internal)
    }

    /// Whether nothing of a closed account can be opened any more, by the terms and the time of the ledger.
    pub(super) async fn is_kept_no_more(&self, account: &Id, terms: &AuditTerms) -> Result<bool, Failure> {
        let seen = self.seen_account(account).await?;
        Ok(seen.state.is_some_and(|of| of.is_over(terms, seen.time_ms)))
    }

    async fn seen_account(&self, account: &Id) -> Result<Seen<AddressesState>, Failure> {
        let Proven { value, height, time_ms, .. } = self.ledger.proven(addresses_key(account)).await?;
        let state = value.map(|value| AddressesState::decode(&value)).transpose();
        Ok(Seen { state: state.map_err(Failure::internal)?, height, time_ms })
    }

    async fn seen_terms(&self) -> Result<Seen<AuditTerms>, Failure> {
        let proven = self.ledger.proven(audit_key(&own_tenant(&self.tenant))).await?;
        let published = proven.value.map(|value| AuditState::decode(&value)).transpose();
        let state = published.map_err(Failure::internal)?.map(|published| published.terms);
        Ok(Seen { state, height: proven.height, time_ms: proven.time_ms })
    }

    /// Erases what is kept of closed accounts and need not be any more, some accounts at each look.
    pub(crate) async fn erase_kept(&self) -> Result<(), Failure> {
        let after = self.kept_round.begins();
        let rows = self.store.kept_address_accounts(after, LOOKED_AT).await?;
        if rows.is_empty() {
            self.kept_round.goes_on(&rows);
            return Ok(());
        }
        let mut terms = self.seen_terms().await?;
        for row in &rows {
            let account = self.seen_account(&row.account).await?;
            if account.is_over(&terms) && terms.height < account.height {
                terms = self.seen_terms().await?;
            }
            // INVARIANT: it cannot be undone, so it goes by terms of the same state as the closing or of a later one: what a validator says
            // that lags may be from before there were terms, or before they kept it longer.
            if terms.height >= account.height && account.is_over(&terms) {
                let gone = [Change::EraseAddresses(row.account), Change::ForgetDealingsOf(row.account)];
                self.store.apply(gone.to_vec()).await?;
            }
        }
        self.kept_round.goes_on(&rows);
        Ok(())
    }
}

/// What stands on the ledger, and as of when.
struct Seen<T> {
    state: Option<T>,
    height: u64,
    time_ms: u64,
}

impl Seen<AddressesState> {
    /// Whether nothing of the account can be opened any more; without terms, as soon as it is closed.
    fn is_over(&self, terms: &Seen<AuditTerms>) -> bool {
        self.state.as_ref().is_some_and(|of| match &terms.state {
            Some(terms) => of.is_over(terms, self.time_ms),
            None => of.closed_ms.is_some(),
        })
    }
}
