//! Looking through announcements for those of a hosted account's own payments. One in 256 of others' seems to be its own: nothing was
//! paid to what is derived from it.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use keyward_crypto::unlinkable::{AddressRoot, Payment};
use keyward_domain::Code;
use keyward_policies::Verb;
use keyward_store::{AddressOrigin, Change, NewAddress};

use super::{Announced, Listed};
use crate::{caller::Caller, custody::Custody, failure::Failure, vaults::floods::Flood};

/// The most announcements that one call looks at, if it is about several epochs.
const LOOKED_AT_MAX: usize = 1 << 16;

impl Custody {
    /// What was found, and how many announcements were looked at. Run it in a task of its own.
    pub(crate) async fn scan_payments(
        &self,
        caller: &Caller,
        epochs: (u32, u32),
    ) -> Result<(Vec<Listed>, u64), Failure> {
        let _permit = self.permit()?;
        let account = self.address_account(caller, Verb::AddressUse)?;
        let (row, root) = self.hosted_addresses(account).await?;
        self.floods.charge(account.0, Flood::Question, self.clock.now_ms())?;
        let (mut found, mut looked_at, mut from_leaf) = (Vec::new(), 0_usize, Some(0));
        while let Some(from) = from_leaf {
            let (page, next) = self.page_of_payments(row.epoch_ms, epochs, from).await?;
            looked_at += page.len();
            // Of one epoch there are no fewer to name: whoever fills it with announcements keeps nobody from what was paid to them.
            if looked_at > LOOKED_AT_MAX && epochs.0 != epochs.1 {
                let what = format!("more than `{LOOKED_AT_MAX}` announcements: name fewer epochs");
                return Err(Failure::new(Code::BatchTooLarge, what));
            }
            let root = root.clone();
            // Two multiplications for each would keep the others of this thread waiting.
            let seen = tokio::task::spawn_blocking(move || seen(&root, page));
            found.extend(seen.await.map_err(Failure::internal)??);
            from_leaf = next;
        }
        let (rows, now_ms) = (found.clone(), self.clock.now_ms());
        if !found.is_empty() {
            self.store.apply(vec![Change::PutAddresses { account: account.0, rows, now_ms }]).await?;
        }
        Ok((self.listed(&row, &found).await?, looked_at as u64))
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
    // The same payment may have been announced more than once.
    found.sort_by_key(|address: &NewAddress| address.public_key);
    found.dedup_by_key(|address| address.public_key);
    Ok(found)
}
