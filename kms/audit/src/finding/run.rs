//! Runs of epochs that were opened, and who opened them.

use keyward_crypto::viewing::Dealing;
use keyward_ledger_core::entry::DealViewing;
use keyward_ledger_core::hash::Hash;

use super::{AccountEpoch, Place};
use crate::grant_file::{Dealt, Delivery, Opening};
use crate::relink::{At, Relinker};

/// A run of epochs that was opened, and what came of it.
#[derive(Clone, Debug)]
pub struct RunFinding {
    /// The account.
    pub account: Hash,
    /// The first epoch.
    pub first: u32,
    /// The last epoch.
    pub last: u32,
    /// How it came.
    pub source: RunSource,
    /// Epochs in which something was found.
    pub active: u32,
}

/// Who opened a run of epochs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunSource {
    /// The service that hosts the account's root.
    Hosted,
    /// Keepers, from the dealing that the ledger has at this place.
    Keepers(Place),
    /// Keepers, as the grant file says; these records have no such dealing.
    KeepersUnrecorded,
}

impl Relinker {
    /// A run was dealt to keepers.
    pub(crate) fn dealt(&mut self, at: &mut At<'_>, deal: &DealViewing) {
        let run = (deal.run.account, deal.run.first, deal.run.last);
        self.dealt.insert(run, (deal.run.dealing_hash, at.place()));
    }

    /// What was opened, by account and epochs. Openings may overlap, so that a dealing stands in several: it is one run.
    pub(crate) fn all_runs(&self) -> Vec<RunFinding> {
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
                let of_dealing = |dealt: &Dealt| {
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
