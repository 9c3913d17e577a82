//! Looking through announcements for those of a hosted account's own payments, some pages with each call. What is found was announced by
//! somebody who had the account's meta-address; whether anything was paid it does not say.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use keyward_crypto::unlinkable::{AddressRoot, Payment};
use keyward_policies::Verb;
use keyward_store::{AddressOrigin, Change, NewAddress};

use super::{Announced, Listed};
use crate::{caller::Caller, custody::Custody, failure::Failure, vaults::floods::Flood};

/// Pages of announcements that one call looks at.
const PAGES_MAX: u32 = 64;

/// What a call has shown.
#[derive(Debug)]
pub(crate) struct Scanned {
    pub(crate) found: Vec<Listed>,
    /// Announcements.
    pub(crate) looked_at: u64,
    /// Where the next call goes on; none: there are no more.
    pub(crate) next_leaf: Option<u64>,
}

impl Custody {
    /// Looks from a log index on. Run it in a task of its own.
    pub(crate) async fn scan_payments(
        &self,
        caller: &Caller,
        epochs: (u32, u32),
        from_leaf: u64,
    ) -> Result<Scanned, Failure> {
        let _permit = self.permit()?;
        let account = self.address_account(caller, Verb::AddressUse)?;
        let (row, root) = self.hosted_addresses(account).await?;
        self.floods.charge(account.0, Flood::Question, self.clock.now_ms())?;
        let (mut found, mut looked_at, mut next_leaf) = (Vec::new(), 0_u64, Some(from_leaf));
        for _ in 0..PAGES_MAX {
            let Some(from) = next_leaf else { break };
            let (page, next) = self.page_of_payments(row.epoch_ms, epochs, from).await?;
            looked_at += page.len() as u64;
            let root = root.clone();
            // Two multiplications for each would keep the others of this thread waiting.
            let seen = tokio::task::spawn_blocking(move || seen(&root, page));
            found.extend(seen.await.map_err(Failure::internal)??);
            next_leaf = next;
        }
        // The same payment may have been announced more than once.
        found.sort_by_key(|address: &NewAddress| address.public_key);
        found.dedup_by_key(|address| address.public_key);
        let (rows, now_ms) = (found.clone(), self.clock.now_ms());
        if !found.is_empty() {
            self.store.apply(vec![Change::PutAddresses { account: account.0, rows, now_ms }]).await?;
        }
        Ok(Scanned { found: self.listed(&row, &found).await?, looked_at, next_leaf })
    }
}

fn seen(root: &Arc<AddressRoot>, announced: Vec<Announced>) -> Result<Vec<NewAddress>, Failure> {
    let (mut found, mut leaves) = (Vec::new(), HashMap::new());
    for Announced { epoch, payment, .. } in announced {
        // Anybody may announce what is no point.
        let Ok(read) = Payment::decode(&payment) else { continue };
        let (view, spending) = match leaves.entry(epoch) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => {
                let spending = root.spending_leaf(epoch).map_err(Failure::internal)?.point();
                place.insert((root.viewing_leaf(epoch), spending))
            }
        };
        let address = read.seen(view, *spending).map_err(Failure::internal)?;
        found.extend(address.map(|public_key| {
            let origin = AddressOrigin::Payment(payment);
            NewAddress { public_key, epoch, origin }
        }));
    }
    Ok(found)
}
