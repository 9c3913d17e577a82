//! Keeping vaults alive together with other keepers: lost shares first, then shares that are old or whose keepers changed.

use std::{
    sync::PoisonError,
    time::{Duration, Instant},
};

use keyward_ledger_core::{entry::RuleName, hash::Hash, state::vault::VaultState};

use crate::{
    circle::Joined, confer::index_of, error::KeeperError, keeper::Keeper, place::Place, repair::words,
    shares::SharesError, successors::Successors,
};

/// How long a round repairs, and how long it deals anew, before the rest waits for the next one.
const TIME: Duration = Duration::from_secs(60);
/// Pages of the ledger that a round looks through for vaults of ours.
const PAGES: usize = 8;

impl Keeper {
    /// Gives vaults what they need of their keepers, as far as the time goes; the next round looks at the rest. Those that
    /// another keeper failed come last, so that they do not keep the others waiting.
    pub(crate) async fn keep_alive(&self, mut vaults: Vec<(VaultState, u64)>) -> Result<(), KeeperError> {
        let Some(joined) = self.0.joined.get() else { return Ok(()) };
        joined.silent.lock().unwrap_or_else(PoisonError::into_inner).clear();
        vaults.sort_by_key(|(vault, _)| joined.agenda.tried_ms(&vault.vault));
        let (mut lost, mut held) = (Vec::new(), Vec::new());
        for (vault, now_ms) in vaults {
            let Some(index) = index_of(&vault.keepers, &self.0.id) else {
                joined.agenda.is_done(&vault.vault);
                continue;
            };
            match self.lacks_share(&vault).await {
                Ok(true) => lost.push((vault, index, now_ms)),
                Ok(false) => held.push((vault, now_ms)),
                // One file that cannot be read must not keep the others from what they need.
                Err(error) => self.note(joined, &vault, now_ms, Err(error))?,
            }
        }
        if lost.is_empty() && held.is_empty() {
            return Ok(());
        }
        // Nothing on our disk names them: the next round looks at them again, whatever ends this one.
        lost.iter().for_each(|(vault, ..)| {
            self.0.noticed.insert(&vault.vault);
        });
        let keepers = self.ledger_keepers().await?;
        let began = Instant::now();
        for (vault, index, now_ms) in &lost {
            if began.elapsed() > TIME {
                break;
            }
            let done = match self.successors(vault, &keepers).await {
                Ok(successors) => self.repair(vault, *index, &successors.staying, *now_ms).await,
                Err(error) => Err(error),
            };
            if done.is_ok() {
                joined.agenda.is_done(&vault.vault);
                self.0.noticed.remove(&vault.vault);
            }
            self.note(joined, vault, *now_ms, done)?;
        }
        let began = Instant::now();
        for (vault, now_ms) in &held {
            if began.elapsed() > TIME {
                self.0.noticed.insert(&vault.vault);
                continue;
            }
            let done = self.renew_in_turn(joined, vault, &keepers, *now_ms).await;
            self.note(joined, vault, *now_ms, done)?;
        }
        Ok(())
    }

    /// Whether a present share of a vault is not here. What does not open is as good as lost.
    async fn lacks_share(&self, vault: &VaultState) -> Result<bool, KeeperError> {
        let now = Place::now(vault);
        self.on_disk(move |inner| match inner.shares.load(&now) {
            Err(error @ SharesError::Io { .. }) => Err(error),
            loaded => Ok(!matches!(loaded, Ok(Some(_)))),
        })
        .await
    }

    /// Writes down what came of it. Without the ledger there is nothing to do for the others either.
    fn note(
        &self,
        joined: &Joined,
        vault: &VaultState,
        now_ms: u64,
        done: Result<(), KeeperError>,
    ) -> Result<(), KeeperError> {
        match done {
            Ok(()) => Ok(()),
            Err(error @ KeeperError::Ledger(_)) => Err(error),
            Err(error) => {
                let (why, account) = (words(&error), hex::encode(vault.vault.owner));
                tracing::warn!(why, account, "a vault's shares are neither dealt anew nor repaired now");
                joined.agenda.waits(&vault.vault, now_ms, why);
                Ok(())
            }
        }
    }

    /// Has a vault's shares dealt anew if they are old or a keeper of theirs came or went, and if it is our turn to begin.
    async fn renew_in_turn(
        &self,
        joined: &Joined,
        vault: &VaultState,
        keepers: &[Hash],
        now_ms: u64,
    ) -> Result<(), KeeperError> {
        let successors = self.successors(vault, keepers).await?;
        let age_ms = now_ms.saturating_sub(self.origin(vault).await?.dealt_ms);
        let old = age_ms >= joined.interval_ms;
        if !old && successors.all == vault.keepers {
            joined.agenda.is_done(&vault.vault);
            return Ok(());
        }
        if !self.is_open(&vault.vault.owner).await? {
            // The ledger takes nothing for it any more; its vaults end soon.
            joined.agenda.is_done(&vault.vault);
            return Ok(());
        }
        let found = successors.staying.len();
        if found < usize::from(vault.threshold) {
            return Err(KeeperError::TooFew { needed: vault.threshold, found });
        }
        let turn_ms = joined.turn_ms();
        let first = usize::try_from((now_ms / turn_ms) % (found as u64)).unwrap_or_default();
        if successors.staying.get(first) != Some(&self.0.id)
            || joined.agenda.rests(&vault.vault, now_ms, turn_ms)
        {
            return Ok(());
        }
        self.renew_to_all(vault, &successors, old).await?;
        joined.agenda.is_done(&vault.vault);
        Ok(())
    }

    /// Deals to everybody who is to hold shares; without the newcomers if one of those fails and it helps to go on.
    async fn renew_to_all(
        &self,
        vault: &VaultState,
        successors: &Successors,
        old: bool,
    ) -> Result<(), KeeperError> {
        let Successors { staying, all } = successors;
        let failure = match self.renew(vault, all).await {
            Err(error) if fails_as_newcomer(&error, staying) && (old || !successors.all_stay(vault)) => error,
            done => return done,
        };
        tracing::warn!(why = words(&failure), "a vault's shares are dealt without a keeper that came");
        self.renew(vault, staying).await
    }

    /// Looks through the ledger for vaults that name us, once after each start: an empty or an old disk does not know them.
    pub(crate) async fn find_own(&self) -> Result<(), KeeperError> {
        let Some(joined) = self.0.joined.get() else { return Ok(()) };
        for _ in 0..PAGES {
            let Some(from) = joined.agenda.find_from() else { break };
            let (vaults, next) = self.0.ledger.vaults_of(&self.0.id, from).await?;
            if !vaults.iter().all(|vault| self.0.noticed.insert(vault)) {
                break;
            }
            joined.agenda.found_to(next);
        }
        Ok(())
    }

    /// What waited of a vault that ended, or that is nobody's here, waits no more.
    pub(crate) fn nothing_waits(&self, vault: &RuleName) {
        if let Some(joined) = self.0.joined.get() {
            joined.agenda.is_done(vault);
        }
    }
}

/// Whether it is a keeper which holds nothing yet that fails.
fn fails_as_newcomer(error: &KeeperError, staying: &[Hash]) -> bool {
    matches!(error, KeeperError::Failing { id, .. } if !staying.contains(id))
}
