//! What an audit comes to.

use std::collections::{HashMap, HashSet};

use keyward_crypto::viewing::Dealing;

use crate::finding::{AccountEpoch, EpochFinding, PaymentReceived, Relinked, RunFinding, RunSource};
use crate::grant_file::{Delivery, Opening};
use crate::relink::Relinker;

impl Relinker {
    /// What was found in the records so far; more may be fed afterwards.
    pub fn relinked(&self) -> Relinked {
        let mut payments = self.payments();
        payments.sort_by_key(|payment| payment.place);
        let runs = self.all_runs();
        let opened: HashSet<_> = runs.iter().map(|run| run.account).collect();
        Relinked {
            granted: self.granted.clone(),
            accounts: self.accounts.values().filter(|one| opened.contains(&one.account)).copied().collect(),
            unopened: self.unopened(&runs),
            runs,
            acts: self.acts.clone(),
            transactions: self.transactions.clone(),
            payments,
            epochs: self.epochs(),
            claims: self.claims,
            looked: self.looked,
        }
    }

    fn payments(&self) -> Vec<PaymentReceived> {
        let used: HashMap<_, _> =
            self.transactions.iter().map(|one| (x(&one.public_key), one.place.leaf_index)).collect();
        let with_use = |payment: &PaymentReceived| PaymentReceived {
            used_by: used.get(x(&payment.public_key)).copied(),
            ..*payment
        };
        self.payments.iter().map(with_use).collect()
    }

    fn epochs(&self) -> Vec<EpochFinding> {
        let mut lying: HashMap<AccountEpoch, u32> = HashMap::new();
        for one in self.transactions.iter().filter(|one| !one.lies.is_empty()) {
            *lying.entry(one.of).or_default() += 1;
        }
        let finding = |(of, epoch): (&AccountEpoch, &crate::epoch::Epoch)| {
            epoch.finding(*of, lying.get(of).copied().unwrap_or_default(), self.looked.as_ref())
        };
        self.epochs.iter().map(finding).collect()
    }

    /// What was opened, by account and epochs. Openings may overlap, so that a dealing stands in several: it is one run.
    fn all_runs(&self) -> Vec<RunFinding> {
        let mut runs: Vec<_> = self.leaves.openings().iter().flat_map(|opening| self.runs(opening)).collect();
        let unrecorded = |run: &RunFinding| run.source == RunSource::KeepersUnrecorded;
        runs.sort_by_key(|run| (run.account, run.first, run.last, unrecorded(run)));
        runs.dedup_by_key(|run| (run.account, run.first, run.last));
        runs
    }

    fn runs(&self, opening: &Opening) -> Vec<RunFinding> {
        let run = |first, last, source| RunFinding {
            account: opening.account,
            first,
            last,
            source,
            active: self.active(opening.account, first, last),
        };
        match &opening.delivery {
            Delivery::Hosted { .. } => vec![run(opening.first, opening.last, RunSource::Hosted)],
            Delivery::Own(dealt) => {
                let of_dealing = |dealt: &crate::grant_file::Dealt| {
                    let (first, last) = (*dealt.cover.epochs().start(), *dealt.cover.epochs().end());
                    let recorded = self.dealt.get(&(opening.account, first, last));
                    let recorded = recorded.filter(|(hash, _)| {
                        Dealing::decode(&dealt.dealing).is_ok_and(|dealing| dealing.hash() == *hash)
                    });
                    let source =
                        recorded.map_or(RunSource::KeepersUnrecorded, |(_, at)| RunSource::Keepers(*at));
                    run(first, last, source)
                };
                dealt.iter().map(of_dealing).collect()
            }
        }
    }

    fn active(&self, account: [u8; 32], first: u32, last: u32) -> u32 {
        let place = |epoch| AccountEpoch { account, epoch };
        u32::try_from(self.epochs.range(place(first)..=place(last)).count()).unwrap_or(u32::MAX)
    }
}

/// What BIP340 knows an address by: its x alone. Two addresses that differ in the parity of y have one key, up to its sign.
fn x(address: &[u8; 33]) -> &[u8] {
    address.split_first().map(|(_, x)| x).unwrap_or_default()
}
