//! New shares for the keepers of a key, by the keepers alone: whoever has had a disk of each of them at other times has nothing.
//!
//! A keeper whose turn it is has t of them deal and all of them keep, then tells the ledger. Each works out from final state that it
//! is time; nobody trusts the one who begins.

use keyward_crypto::shared::{Refresh, SharedKey};
use keyward_ledger_core::{
    entry::{Renewal as Kind, SharedRenewal},
    hash::Hash,
    shared::acknowledge,
};

use super::{
    error::SharedError, kept::KeptShare, renew::in_time, roster::Facts, store::keep_longer, word::RefreshWord,
};
use crate::{callers::Caller, error::KeeperError, keeper::Keeper, word::Reply};

/// How far ahead a refresh may be recorded, in milliseconds of ledger time: an hour.
pub(crate) const LIFE_MS: u64 = 60 * 60 * 1_000;

impl Keeper {
    /// Answers a word about a shared key, of a keeper that is known to have said it: a shift, or what came of everybody's.
    pub(crate) async fn hear_refresh(&self, from: &Hash, word: RefreshWord) -> Result<Vec<u8>, SharedError> {
        let facts = self.shared_key(&word.key_id).await?;
        facts.require_held()?;
        self.require_open(&facts.shared.name.owner).await?;
        facts.place_of(from).map_err(|_none| KeeperError::Stranger)?;
        if word.key_hash != facts.shared.key_hash {
            return Err(SharedError::Stale { now: facts.shared.share_version });
        }
        // A single keeper must not be able to have it done again and again.
        let joined = self.0.joined.get().ok_or(KeeperError::NotDue)?;
        if self.age_ms(&facts).await? < joined.interval_ms / 2 {
            return Err(KeeperError::NotDue.into());
        }
        let kept = self.share_now(&facts).await?;
        let roster = self.roster_now(&facts).await?;
        let refresh = Refresh::new(kept.key.clone(), roster, &word.dealers, word.attempt)?;
        match word.dealt {
            None => self.shift(from, &facts, refresh).await,
            Some(dealt) => self.keep_refreshed(&facts, refresh, dealt).await.map(|reply| reply.encode()),
        }
    }

    /// What we deal in a refresh: the same whenever it is asked for, as long as we run.
    async fn shift(&self, from: &Hash, facts: &Facts, refresh: Refresh) -> Result<Vec<u8>, SharedError> {
        let (inner, place) = (self.0.clone(), facts.place_of(&self.0.id)?);
        let (caller, times) = (Caller(from.to_vec()), [facts.now_ms, facts.now_ms.saturating_add(LIFE_MS)]);
        self.work(move || {
            let runs = &inner.shared.dealings;
            if let Some(before) = runs.with(refresh.id(), |message| message.encode()) {
                return Ok(before);
            }
            let message = refresh.deal(place, |bytes| inner.signing.sign(bytes))?;
            if runs.begin(&caller, *refresh.id(), message.clone(), times)? {
                return Ok(message.encode());
            }
            runs.with(refresh.id(), |message| message.encode()).ok_or(SharedError::NoRun)
        })
        .await
    }

    /// Keeps the new share beside the old one, and acknowledges the record; or complains of a dealer.
    async fn keep_refreshed(
        &self,
        facts: &Facts,
        refresh: Refresh,
        (expires_ms, shifts): (u64, Vec<Vec<u8>>),
    ) -> Result<Reply, SharedError> {
        in_time(expires_ms, facts.now_ms)?;
        let old = self.share_now(facts).await?;
        let alone = self.0.writing.clone().lock_owned().await;
        let (inner, facts, place) = (self.0.clone(), facts.clone(), facts.place_of(&self.0.id)?);
        let chain_id = self.0.ledger.chain_id();
        self.work(move || {
            let _alone = alone;
            let own = inner.shared.dealings.with(refresh.id(), |message| message.clone());
            let received = refresh
                .agree(&shifts)
                .and_then(|refreshed| refreshed.receive(&old.share, own.as_ref(), &inner.sealing));
            let dealt = match received {
                Ok(dealt) => dealt,
                Err(error) => {
                    tracing::warn!(%error, "new shares of a shared key are refused");
                    let other = error.liar().filter(|liar| *liar != place);
                    return other.map(Reply::Complaint).ok_or(error.into());
                }
            };
            let record = record(&facts, dealt.key(), expires_ms).record_hash();
            keep_longer(
                &inner,
                &KeptShare::of(&dealt, *refresh.id(), expires_ms, &inner.signing)?,
                facts.now_ms,
            )?;
            Ok(Reply::Done(acknowledge(&inner.signing, &chain_id, &record, place).to_vec()))
        })
        .await
    }

    /// How old a key's shares are, in milliseconds of ledger time.
    pub(crate) async fn age_ms(&self, facts: &Facts) -> Result<u64, SharedError> {
        let record = self.0.ledger.record(facts.shared.leaf).await?;
        Ok(facts.now_ms.saturating_sub(record.time_ms))
    }
}

/// The record of a refresh, without acknowledgements.
pub(crate) fn record(facts: &Facts, key: &SharedKey, expires_ms: u64) -> SharedRenewal {
    SharedRenewal {
        key_id: facts.key_id,
        share_version: key.share_version(),
        renewal: Kind::Refresh,
        circle: facts.shared.circle.clone(),
        device: facts.device(),
        key_hash: key.hash(),
        expires_ms,
        acknowledgements: Vec::new(),
    }
}
