//! Beginning a refresh: any t keepers of the key deal, all of them keep and acknowledge, and the ledger is told.

use keyward_crypto::shared::{Refresh, Refreshed};
use keyward_ledger_core::{
    ed25519,
    entry::{Act, Authored, Entry, SharedAct},
    hash::Hash,
    shared::acknowledgement_message,
};

use super::{
    error::SharedError,
    refresh::{LIFE_MS, record},
    roster::Facts,
    word::RefreshWord,
};
use crate::{choice::Choice, desk::chain, error::KeeperError, keeper::Keeper, word::Reply};

impl Keeper {
    /// Has a key's shares dealt anew among its keepers, if they are old and it is our turn.
    pub(crate) async fn refresh_in_turn(&self, facts: &Facts) -> Result<(), SharedError> {
        let Some(joined) = self.0.joined.get() else { return Ok(()) };
        let (name, keepers) = (&facts.shared.name, &facts.shared.circle.keepers);
        if facts.is_experimental() {
            joined.agenda.is_done(name);
            return Ok(());
        }
        if facts.require_held().is_err() || self.age_ms(facts).await? < joined.interval_ms {
            joined.agenda.is_done(name);
            return Ok(());
        }
        let turn_ms = joined.turn_ms();
        let first =
            usize::try_from((facts.now_ms / turn_ms) % (keepers.len().max(1) as u64)).unwrap_or_default();
        if keepers.get(first) != Some(&self.0.id) || joined.agenda.rests(name, facts.now_ms, turn_ms) {
            return Ok(());
        }
        match self.refresh_key(facts).await {
            Ok(()) => joined.agenda.is_done(name),
            Err(error @ SharedError::Other(KeeperError::Ledger(_))) => return Err(error),
            Err(error) => {
                let why = chain(&error);
                tracing::warn!(why, "the shares of a shared key are not dealt anew now");
                joined.agenda.waits(name, facts.now_ms, why);
            }
        }
        Ok(())
    }

    /// Has any t of the keepers deal; one that lies, refuses or is complained of is left out. All must keep.
    async fn refresh_key(&self, facts: &Facts) -> Result<(), SharedError> {
        let circle = &facts.shared.circle;
        let places = (1..).zip(&circle.keepers).map(|(place, _)| place).collect();
        let mut choice = Choice::new(places, circle.threshold);
        let mut failure = SharedError::NoShare;
        // What dealers remember of an earlier run, before they were stopped, is not asked for again.
        let attempt = u32::try_from(facts.now_ms / 1_000 % u64::from(u32::MAX)).unwrap_or_default();
        while let Some(dealers) = choice.pick() {
            failure = match self.refresh_by(facts, &dealers, attempt).await? {
                Ok(()) => return Ok(()),
                Err((dealer, error)) => {
                    choice.leave_out(dealer);
                    error
                }
            };
        }
        Err(failure)
    }

    /// One try; it may go better without the dealer that is named.
    async fn refresh_by(
        &self,
        facts: &Facts,
        dealers: &[u8],
        attempt: u32,
    ) -> Result<Result<(), (u8, SharedError)>, SharedError> {
        let (key_id, key_hash) = (facts.key_id, facts.shared.key_hash);
        let word = RefreshWord { key_id, key_hash, dealers: dealers.to_vec(), attempt, dealt: None };
        let kept = self.share_now(facts).await?;
        let refresh = Refresh::new(kept.key.clone(), self.roster_now(facts).await?, dealers, attempt)?;
        let keepers = &facts.shared.circle.keepers;
        let mut shifts = Vec::with_capacity(dealers.len());
        for (dealer, id) in (1..).zip(keepers).filter(|(place, _)| dealers.contains(place)) {
            let shift = match self.say(id, &word).await {
                Ok(shift) => shift,
                Err(error) => return Ok(Err((dealer, error))),
            };
            if let Err(error) = refresh.judge(&shift) {
                return Ok(Err((dealer, error.into())));
            }
            shifts.push(shift);
        }
        let refreshed: Refreshed = refresh.agree(&shifts)?;
        let expires_ms = facts.now_ms.saturating_add(LIFE_MS);
        let mut act = record(facts, refreshed.key(), expires_ms);
        let hash = act.record_hash();
        let word = RefreshWord { dealt: Some((expires_ms, shifts)), ..word };
        for (place, id) in (1..).zip(keepers) {
            match Reply::decode(&self.say(id, &word).await?) {
                Some(Reply::Done(given)) => {
                    act.acknowledgements.push(self.acknowledged(id, (&hash, place), &given).await?);
                }
                Some(Reply::Complaint(dealer)) if dealers.contains(&dealer) => {
                    return Ok(Err((dealer, KeeperError::Wrong { what: "dealing" }.into())));
                }
                _ => return Err(KeeperError::Wrong { what: "acknowledgement" }.into()),
            }
        }
        let entry = Entry::Authored(Authored {
            act: Act::Shared(SharedAct::Renew(Box::new(act))),
            authors: Vec::new(),
        });
        let outcome = self.0.ledger.submit(&entry).await?;
        if !outcome.is_accepted() {
            return Err(KeeperError::NotTaken { outcome: outcome.name() }.into());
        }
        tracing::info!("the shares of a shared key were dealt anew");
        Ok(Ok(()))
    }

    /// Says a word to a keeper of the key; to ourselves without a way.
    async fn say(&self, to: &Hash, word: &RefreshWord) -> Result<Vec<u8>, SharedError> {
        if *to == self.0.id {
            return self.hear_refresh(&self.0.id, word.clone()).await;
        }
        match self.said_to(to, word.encode()).await {
            Ok(answer) => Ok(answer),
            Err(error @ KeeperError::Ledger(_)) => Err(error.into()),
            Err(error) => Err(self.failing(to, error).await.into()),
        }
    }

    /// A keeper's signature over the record.
    async fn acknowledged(
        &self,
        id: &Hash,
        (record, place): (&Hash, u8),
        given: &[u8],
    ) -> Result<[u8; 64], SharedError> {
        let known = self.keeper_of(id).await?.ok_or(SharedError::Keeper { place })?;
        let message = acknowledgement_message(&self.0.ledger.chain_id(), record, place);
        let wrong = || SharedError::from(KeeperError::Wrong { what: "acknowledgement" });
        let signature = <[u8; 64]>::try_from(given).map_err(|_length| wrong())?;
        ed25519::verify(&known.keeper.key, &message, &signature).map_err(|_error| wrong())?;
        Ok(signature)
    }
}
