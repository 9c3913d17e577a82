//! What is known of an account beside its transactions: its choice of addresses, and its closing.

use keyward_ledger_core::entry::{ChooseAddresses, Custody};
use keyward_ledger_core::hash::Hash;

use super::Place;
use crate::relink::{At, Relinker};

/// What is known of an account beside its transactions.
#[derive(Clone, Copy, Debug)]
pub struct AccountFinding {
    /// The account.
    pub account: Hash,
    /// Where its root lies.
    pub custody: Custody,
    /// The length of its epochs, in milliseconds.
    pub epoch_ms: u64,
    /// Where it chose them.
    pub chosen: Place,
    /// Where it was closed, if it was. A use names no account, so the ledger takes one with its keys afterwards too.
    pub closed: Option<Place>,
}

impl Relinker {
    /// An account chose addresses.
    pub(crate) fn chose(&mut self, at: &mut At<'_>, choose: &ChooseAddresses) {
        if self.concerns(choose) {
            let (account, custody, epoch_ms) = (choose.account, choose.custody, choose.epoch_ms);
            let (chosen, closed) = (at.place(), None);
            self.accounts.insert(account, AccountFinding { account, custody, epoch_ms, chosen, closed });
        }
    }

    /// An account was closed.
    pub(crate) fn left(&mut self, at: &mut At<'_>, account: &Hash) {
        self.cases.left(account);
        if let Some(known) = self.accounts.get_mut(account) {
            known.closed = Some(at.place());
        }
    }

    /// Whether the grant is for the account.
    fn concerns(&self, choose: &ChooseAddresses) -> bool {
        let grant = &self.granted.grant;
        (grant.is_whole_tenant() && grant.tenant == choose.tenant)
            || grant.accounts.contains(&choose.account)
            || self.leaves.openings().iter().any(|opening| opening.account == choose.account)
    }
}
