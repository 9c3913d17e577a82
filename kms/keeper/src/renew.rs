//! Beginning a renewal or a repair: a keeper asks the others, and lets the ledger know.

use std::collections::BTreeSet;

use keyward_crypto::vault::{BoxKey, Dealing, Repair, RepairError, RepairSum};
use keyward_ledger_core::{
    entry::{Act, Authored, Entry, VaultAct},
    hash::Hash,
    state::vault::VaultState,
};

use crate::{
    confer::{indices, refresh},
    error::KeeperError,
    keeper::Keeper,
    place::Place,
    shares::SharesError,
    word::{Handed, Lost, Said, What, Word},
};

/// How much later than the keeper before it in the vault's list one begins a renewal, in milliseconds: three hours.
const TURN_MS: u64 = 3 * 60 * 60 * 1_000;

/// Which keeper failed, and how.
type Failed = (u8, KeeperError);

impl Keeper {
    /// Gives a vault what it needs of its keepers: our lost share back, or new shares when it is time.
    pub(crate) async fn keep_alive(&self, vault: &VaultState, now_ms: u64) -> Result<(), KeeperError> {
        let Some(joined) = self.0.joined.get() else { return Ok(()) };
        let Some(place) = vault.keepers.iter().position(|keeper| *keeper == self.0.id) else { return Ok(()) };
        // INVARIANT: a vault has at most 16 keepers.
        let index = u8::try_from(place).unwrap_or(u8::MAX).saturating_add(1);
        let now = Place::now(vault);
        let lost = self.on_disk(move |inner| match inner.shares.load(&now) {
            Err(error @ SharesError::Io { .. }) => Err(error),
            // What does not open is as good as lost.
            loaded => Ok(!matches!(loaded, Ok(Some(_)))),
        });
        if lost.await? {
            return self.repair(vault, index, now_ms).await;
        }
        let wait_ms = joined.interval_ms.saturating_add(TURN_MS.saturating_mul(u64::from(index - 1)));
        if now_ms.saturating_sub(self.dealt_ms(vault).await?) >= wait_ms {
            self.renew(vault, index).await?;
        }
        Ok(())
    }

    /// Has the shares dealt anew among those who hold them. All of them must take part: who missed it would hold nothing.
    async fn renew(&self, vault: &VaultState, own: u8) -> Result<(), KeeperError> {
        let needed = usize::from(vault.threshold);
        let all: Vec<u8> = (1..).zip(&vault.keepers).map(|(index, _)| index).collect();
        let mut dealers: Vec<_> =
            [own].into_iter().chain(all.iter().copied().filter(|index| *index != own)).take(needed).collect();
        dealers.sort_unstable();
        let word = |what| Word { vault: vault.vault, shares: vault.shares, chosen: dealers.clone(), what };
        let mut dealings = Vec::with_capacity(needed);
        for dealer in &dealers {
            let answer = self.ask(vault, *dealer, word(What::Deal)).await?;
            dealings.push(Dealing::decode(&answer).ok_or(KeeperError::Malformed { what: "dealing" })?);
        }
        let renewal = self.renewal(vault, dealers.clone()).await?;
        let handouts = dealings.iter().map(|dealing| dealing.handout.clone()).collect();
        let refresh = refresh(&vault.vault, &renewal.agree(handouts)?);
        let mut acknowledgements = Vec::with_capacity(all.len());
        for index in all {
            let answer =
                self.ask(vault, index, word(What::Accept(handed(&dealings, usize::from(index) - 1)))).await?;
            let answer = <[u8; 64]>::try_from(answer.as_slice());
            let refused = |_length| KeeperError::Malformed { what: "acknowledgement" };
            acknowledgements.push(answer.map_err(refused)?);
        }
        let act = VaultAct::Refresh { refresh: Box::new(refresh), acknowledgements, consents: Vec::new() };
        let entry = Entry::Authored(Authored { act: Act::Vault(act), authors: Vec::new() });
        let outcome = self.0.ledger.submit(&entry).await?;
        if outcome.is_accepted() {
            tracing::info!("the shares of a vault were dealt anew");
        } else {
            tracing::warn!(outcome = outcome.name(), "new shares of a vault are not taken");
        }
        Ok(())
    }

    /// Gets our share of a vault back from the others; one that fails is left out, as long as enough are left.
    async fn repair(&self, vault: &VaultState, lost: u8, now_ms: u64) -> Result<(), KeeperError> {
        let mut failed = BTreeSet::from([lost]);
        loop {
            match self.repair_without(vault, lost, &failed, now_ms).await {
                Err((index, error)) if failed.insert(index) => {
                    tracing::warn!(index, %error, "a keeper did not help to repair a share");
                }
                Err((_, error)) => return Err(error),
                Ok(()) => return Ok(()),
            }
        }
    }

    async fn repair_without(
        &self,
        vault: &VaultState,
        lost: u8,
        failed: &BTreeSet<u8>,
        now_ms: u64,
    ) -> Result<(), Failed> {
        let own = |error| (lost, error);
        let checked = self.vault_now(vault).await.map_err(own)?;
        let helpers = indices(&checked).into_iter().filter(|index| !failed.contains(index));
        let helpers: Vec<_> = helpers.take(usize::from(vault.threshold)).collect();
        let nonce = BoxKey::generate().map_err(|error| own(KeeperError::Internal(error.into())))?.public();
        let run = Lost { index: lost, nonce };
        let repair = Repair::new(checked, lost, helpers.clone(), nonce).map_err(|error| own(error.into()))?;
        let request = self.0.signing.sign(&repair.request_message());
        let word = |what| Word { vault: vault.vault, shares: vault.shares, chosen: helpers.clone(), what };
        let mut dealings = Vec::with_capacity(helpers.len());
        for helper in &helpers {
            let answer = self.ask(vault, *helper, word(What::Split { lost: run, request })).await;
            let answer = answer.map_err(|error| (*helper, error))?;
            let dealing = Dealing::decode(&answer).ok_or(KeeperError::Malformed { what: "dealing" });
            dealings.push(dealing.map_err(|error| (*helper, error))?);
        }
        let mut sums = Vec::with_capacity(helpers.len());
        for (place, helper) in helpers.iter().enumerate() {
            let what = What::Add { lost: run, handed: handed(&dealings, place) };
            let answer = self.ask(vault, *helper, word(what)).await.map_err(|error| (*helper, error))?;
            let sum = RepairSum::decode(&answer).ok_or(KeeperError::Malformed { what: "sum" });
            sums.push(sum.map_err(|error| (*helper, error))?);
        }
        let handouts: Vec<_> = dealings.into_iter().map(|dealing| dealing.handout).collect();
        let share = repair.finish(&self.0.sealing, &handouts, &sums);
        let share = share.map_err(|error| -> Failed { (to_blame(&error).unwrap_or(lost), error.into()) })?;
        self.restore(share, now_ms).await.map_err(own)?;
        tracing::info!("a lost share of a vault came back");
        Ok(())
    }

    /// Asks a keeper of the vault; ourselves without a way.
    async fn ask(&self, vault: &VaultState, index: u8, word: Word) -> Result<Vec<u8>, KeeperError> {
        let unknown = || KeeperError::Keeper { index };
        let to: &Hash = usize::from(index)
            .checked_sub(1)
            .and_then(|place| vault.keepers.get(place))
            .ok_or_else(unknown)?;
        if *to == self.0.id {
            return self.hear(&self.0.id, word).await;
        }
        let address = self.keeper_of(to).await?.ok_or_else(unknown)?.keeper.rpc;
        let circle = self.0.joined.get().ok_or(KeeperError::NotDue)?.circle.clone();
        let (chain_id, time_ms) = (self.0.ledger.chain_id(), self.0.ledger.now_ms());
        let said = Said::new(&self.0.signing, &chain_id, [&self.0.id, to], time_ms, word.encode());
        Ok(circle.say(&address, said).await?)
    }
}

/// Which helper an error is about.
const fn to_blame(error: &RepairError) -> Option<u8> {
    match error {
        RepairError::Unsigned { helper }
        | RepairError::Foreign { helper }
        | RepairError::Commitment { helper, .. }
        | RepairError::Changed { helper }
        | RepairError::Wrong { helper, .. } => Some(*helper),
        _ => None,
    }
}

/// What was handed out, with the pieces for the receiver at a place.
fn handed(dealings: &[Dealing], place: usize) -> Handed {
    Handed {
        handouts: dealings.iter().map(|dealing| dealing.handout.encode()).collect(),
        pieces: dealings.iter().filter_map(|dealing| dealing.pieces.get(place).cloned()).collect(),
    }
}
