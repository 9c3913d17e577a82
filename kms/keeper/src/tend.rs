//! Looking after shares: what is sealed stays, what nobody needs any more is erased, and the ledger is told.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use keyward_ledger_core::{
    entry::{Act, Authored, Entry, RuleName, VaultAct},
    hash::Hash,
    state::vault::{HolderState, VaultState, holder_key},
    vault::vault_rule,
};

use crate::{
    chest::Sweep,
    deposit::PENDING_MS,
    desk::chain,
    error::KeeperError,
    held::{Bond, Held},
    keeper::{Inner, Keeper, unreadable},
    place::Place,
    renewed::PROMISE_MS,
    shares::SharesError,
};

/// The pause between two rounds.
pub const ROUND_PAUSE: Duration = Duration::from_secs(30);

/// Vaults that callers were told something of that wants looking after, and where the round over all others stands.
#[derive(Debug, Default)]
pub(crate) struct Noticed {
    vaults: Mutex<BTreeSet<[Hash; 2]>>,
    sweep: Sweep,
    /// Words that the ledger did not take: it is told again after the next start.
    refused: Mutex<BTreeSet<([Hash; 2], u32)>>,
}

/// Vaults of the kept ones that a round looks at, and the rest of those whose accounts begin alike: nobody tells a keeper
/// that a vault was destroyed.
const SWEEP_MIN: usize = 256;
/// Vaults noticed at most; the round over all finds the others.
const NOTICED_MAX: usize = 4_096;

impl Noticed {
    /// Has a vault looked at by the next round; false if there is no room for it.
    pub(crate) fn insert(&self, vault: &RuleName) -> bool {
        let mut vaults = self.vaults.lock().unwrap_or_else(PoisonError::into_inner);
        let room = vaults.len() < NOTICED_MAX || vaults.contains(&[vault.owner, vault.name]);
        if room {
            vaults.insert([vault.owner, vault.name]);
        }
        room
    }

    /// The next round need not look at it.
    pub(crate) fn remove(&self, vault: &RuleName) {
        let mut vaults = self.vaults.lock().unwrap_or_else(PoisonError::into_inner);
        vaults.remove(&[vault.owner, vault.name]);
    }

    fn take(&self) -> BTreeSet<[Hash; 2]> {
        std::mem::take(&mut self.vaults.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn refused(&self, vault: &RuleName, version: u32) {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if refused.len() < NOTICED_MAX {
            refused.insert(([vault.owner, vault.name], version));
        }
    }

    fn is_refused(&self, vault: &RuleName, version: u32) -> bool {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.contains(&([vault.owner, vault.name], version))
    }
}

/// What becomes of a share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It is one of the vault's present shares.
    Needed,
    /// Its sealing may still become final.
    Waits,
    /// Nobody will ask for it again.
    Over,
}

impl Keeper {
    /// Looks after the shares for as long as it is polled.
    pub async fn tend(&self) {
        loop {
            if let Err(error) = self.round().await {
                tracing::warn!(%error, "shares are not looked after now; the next round tries again");
            }
            tokio::time::sleep(self.pause()).await;
        }
    }

    /// The pause between two rounds: shorter than a turn, so that none passes in it alone.
    fn pause(&self) -> Duration {
        let turn = self.0.joined.get().map(|joined| Duration::from_millis(joined.turn_ms() / 2));
        turn.map_or(ROUND_PAUSE, |half| half.min(ROUND_PAUSE))
    }

    /// One round: over the shares that wait, those that callers gave reason to look at, and a part of all that are kept.
    pub async fn round(&self) -> Result<(), KeeperError> {
        if let Err(error) = self.find_own().await {
            tracing::warn!(%error, "vaults of this keeper are not looked for now; the next round goes on");
        }
        // Neither keeps the other waiting.
        if let Err(error) = self.tend_shared().await {
            tracing::warn!(
                error = chain(&error),
                "shares of shared keys are not looked after now; the next round goes on"
            );
        }
        if let Err(error) = self.tend_viewing().await {
            tracing::warn!(
                error = chain(&error),
                "shares of closed address epochs are not looked after now; the next round goes on"
            );
        }
        let noticed = self.0.noticed.take();
        let done = self.round_over(noticed.clone()).await;
        if done.is_err() {
            // Some of them nothing on our disk names.
            let again = noticed.into_iter().map(|[owner, name]| RuleName { owner, name });
            again.for_each(|vault| {
                self.0.noticed.insert(&vault);
            });
        }
        done
    }

    async fn round_over(&self, mut vaults: BTreeSet<[Hash; 2]>) -> Result<(), KeeperError> {
        let found = self.on_disk(move |inner| {
            let waiting = inner.shares.waiting()?.into_iter().map(|place| place.vault());
            let kept = inner.noticed.sweep.next(SWEEP_MIN, |first| inner.shares.vaults(first))?;
            Ok(waiting.chain(kept).map(|vault| [vault.owner, vault.name]).collect::<Vec<_>>())
        });
        vaults.extend(found.await?);
        let waiting = self.on_disk(|inner| inner.shares.waiting()).await?;
        let mut by_vault: BTreeMap<[Hash; 2], Vec<Place>> = BTreeMap::new();
        for place in waiting {
            by_vault.entry([place.account, place.vault]).or_default().push(place);
        }
        let (mut alive, mut broken) = (Vec::new(), None);
        for vault in vaults {
            let [owner, name] = vault;
            let waiting = by_vault.remove(&vault).unwrap_or_default();
            match self.tidy_up(&RuleName { owner, name }, &waiting).await {
                Ok((Some(found), now_ms)) if !found.destroyed => alive.push((found, now_ms)),
                Ok(_ended) => self.nothing_waits(&RuleName { owner, name }),
                // Without the ledger there is nothing to do for the others either.
                Err(error @ KeeperError::Ledger(_)) => return Err(error),
                Err(error) => broken = broken.or(Some(error)),
            }
        }
        for vault in self.on_disk(|inner| inner.owed.all()).await? {
            match self.tell(&vault).await {
                Ok(()) => {}
                Err(error @ KeeperError::Ledger(_)) => return Err(error),
                Err(error) => broken = broken.or(Some(error)),
            }
        }
        self.keep_alive(alive).await?;
        broken.map_or(Ok(()), Err)
    }

    /// Keeps, leaves or erases each share of a vault, by final state, which it gives; those that wait were listed before.
    pub(crate) async fn tidy_up(
        &self,
        name: &RuleName,
        waiting: &[Place],
    ) -> Result<(Option<VaultState>, u64), KeeperError> {
        let (vault, now_ms) = self.vault(name).await?;
        // Who has lost what it held, with its disk, says so too.
        let owes = match &vault {
            Some(vault) if vault.destroyed => {
                let holder = self.holder(name).await?;
                holder.is_some_and(|holder| holder.erased < holder.held).then_some(vault.version)
            }
            _ => None,
        };
        let (name, waiting, found) = (*name, waiting.to_vec(), vault.clone());
        self.alone(move |inner| {
            if let Some(version) = owes {
                inner.owed.owe(&name, version)?;
            }
            for place in inner.shares.of(&name, &waiting)? {
                if let Err(error) = tidy(inner, &place, found.as_ref(), now_ms) {
                    // One damaged file must not keep the others from being looked after.
                    tracing::error!(%error, "a share cannot be looked after");
                }
            }
            Ok(())
        })
        .await?;
        Ok((vault, now_ms))
    }

    /// What the ledger says that we hold of a vault.
    async fn holder(&self, vault: &RuleName) -> Result<Option<HolderState>, KeeperError> {
        let (value, _) = self.state(&holder_key(&vault_rule(vault), &self.0.id)).await?;
        value.map(|value| HolderState::decode(&value)).transpose().map_err(unreadable)
    }

    /// Tells the ledger what was erased of a vault, and forgets it once that is final.
    pub(crate) async fn tell(&self, vault: &RuleName) -> Result<(), KeeperError> {
        let name = *vault;
        let owed = self.on_disk(move |inner| {
            let owed = inner.owed.of(&name)?;
            let held = inner.shares.of(&name, &inner.shares.waiting()?)?;
            // What was not erased yet is not said.
            Ok(owed.filter(|owed| held.iter().all(|place| place.version > *owed)))
        });
        let Some(owed) = owed.await? else { return Ok(()) };
        let holder = self.holder(vault).await?;
        // Of a version whose sealing was never final nobody knows that we held anything.
        let version = holder.map_or(0, |holder| owed.min(holder.held));
        if holder.is_some_and(|holder| version > holder.erased) {
            // Who left the ledger cannot say anything there until it comes back.
            let own = self.keeper_of(&self.0.id).await?;
            let is_heard =
                own.is_some_and(|own| own.present && own.keeper.key == self.0.signing.public_key());
            if !is_heard || self.0.noticed.is_refused(vault, version) {
                return Ok(());
            }
            let act = VaultAct::Erase { vault: *vault, version, keeper: self.0.id };
            let entry = Entry::Authored(Authored { act: Act::Vault(act), authors: Vec::new() });
            let outcome = self.0.ledger.submit(&entry).await?;
            if !outcome.is_accepted() {
                tracing::error!(outcome = outcome.name(), "the word that a share is erased is not taken");
                self.0.noticed.refused(vault, version);
                return Ok(());
            }
        }
        self.alone(move |inner| match inner.owed.of(&name)? {
            // Something else was erased meanwhile.
            Some(now) if now != owed => Ok(()),
            _ => inner.owed.told(&name),
        })
        .await
    }
}

/// Keeps, leaves or erases one share. What is to be told of it is written down before, so that a stop in between does not
/// lose it.
fn tidy(inner: &Inner, place: &Place, vault: Option<&VaultState>, now_ms: u64) -> Result<(), SharesError> {
    let over = match fate(place, vault) {
        Fate::Needed => return inner.shares.settle(place),
        Fate::Waits => {
            match inner.shares.load(place) {
                Err(error @ SharesError::Io { .. }) => return Err(error),
                // Nobody can use what does not open.
                Err(_damaged) => true,
                Ok(held) => held.is_some_and(|held| waited_enough(&held, now_ms)),
            }
        }
        Fate::Over => true,
    };
    if !over {
        return Ok(());
    }
    if vault.is_some_and(|vault| is_told(place, vault, &inner.id)) {
        inner.owed.owe(&place.vault(), place.version)?;
    }
    inner.shares.erase(place)
}

/// Whether a share that waits has waited long enough: until the ledger takes for hours no more what it was acknowledged for.
/// Who erased it earlier would let whoever holds the acknowledgements back take the vault away.
fn waited_enough(held: &Held, now_ms: u64) -> bool {
    let over = |patience_ms| now_ms > held.kept_ms.saturating_add(patience_ms);
    match held.bond {
        Bond::Sealed => held.place.share_version == 1 && over(PENDING_MS),
        Bond::Promised { .. } => over(PROMISE_MS),
        Bond::Acknowledged { .. } => over(PENDING_MS),
    }
}

/// What becomes of a share, by the newest final state.
fn fate(place: &Place, vault: Option<&VaultState>) -> Fate {
    match vault {
        Some(vault) if vault.destroyed => Fate::Over,
        Some(vault) if Place::now(vault) == *place => Fate::Needed,
        Some(vault) if (vault.version, vault.share_version) >= (place.version, place.share_version) => {
            Fate::Over
        }
        _ => Fate::Waits,
    }
}

/// Whether the ledger is to hear that a share was erased: not while we hold another one of the same version.
fn is_told(place: &Place, vault: &VaultState, own: &Hash) -> bool {
    vault.destroyed || place.version < vault.version || !vault.keepers.contains(own)
}
