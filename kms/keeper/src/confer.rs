//! Hearing another keeper of the same vault: dealing, promising, acknowledging, helping. Nothing is done on the word of one
//! keeper that the ledger does not know, nor before its time, nor for others than the ledger's state says.

use std::sync::Arc;

use keyward_crypto::vault::{Agreed, Dealing, Handout, Renewal, Repair, RepairError};
use keyward_ledger_core::{
    ed25519,
    entry::RuleName,
    hash::Hash,
    state::vault::VaultState,
    vault::{Refresh, Shares, acknowledge},
};

use crate::{
    deposit::in_time,
    error::KeeperError,
    keeper::Keeper,
    place::Place,
    shared::{RefreshWord, VERSION},
    word::{Handed, Lost, Reply, Said, What, Word, promise_message},
};

/// How far the clocks of two keepers may be apart, in milliseconds, and how long a word counts.
const WORD_MS: u64 = 60_000;

/// What a word is about.
enum About {
    Vault(Word),
    Key(RefreshWord),
}

/// A vault as it stands, and which holder of it asks.
struct Asked<'a> {
    vault: &'a VaultState,
    from: &'a Hash,
    index: u8,
    now_ms: u64,
}

impl Keeper {
    /// Answers a word of another keeper of the same vault.
    pub async fn confer(&self, said: &Said) -> Result<Vec<u8>, KeeperError> {
        let malformed = |_error| KeeperError::Malformed { what: "word" };
        let word = match said.word.first() {
            Some(&VERSION) => About::Key(RefreshWord::decode(&said.word).map_err(malformed)?),
            _ => About::Vault(Word::decode(&said.word).map_err(malformed)?),
        };
        if self.0.joined.get().is_none() {
            return Err(KeeperError::NotDue);
        }
        if self.0.ledger.now_ms().abs_diff(said.time_ms) > WORD_MS {
            return Err(KeeperError::Stranger);
        }
        let from = self.keeper_of(&said.from).await?.filter(|from| from.present);
        let signed =
            from.is_some_and(|from| said.is_signed(&from.keeper.key, &self.0.ledger.chain_id(), &self.0.id));
        if !signed {
            return Err(KeeperError::Stranger);
        }
        let _turn = self.0.turns.word(&said.from)?;
        match word {
            About::Vault(word) => self.hear(&said.from, word).await,
            About::Key(word) => self.hear_refresh(&said.from, word).await.map_err(KeeperError::from),
        }
    }

    /// Answers a word of a keeper that is known to have said it.
    pub(crate) async fn hear(&self, from: &Hash, word: Word) -> Result<Vec<u8>, KeeperError> {
        let Word { vault: name, shares, chosen, what } = word;
        let (vault, now_ms) = self.live(&name).await?;
        let vault = vault.ok_or(KeeperError::NoShare)?;
        let index = index_of(&vault.keepers, from).ok_or(KeeperError::Stranger)?;
        // Who holds nothing yet may be about to.
        let comes = matches!(what, What::Take { .. } | What::Acknowledge { .. });
        if !comes && !vault.keepers.contains(&self.0.id) {
            return Err(KeeperError::Stranger);
        }
        if vault.shares != shares {
            return Err(KeeperError::Stale);
        }
        let asked = Asked { vault: &vault, from, index, now_ms };
        match what {
            What::Deal { to } => self.deal(&asked, &to, chosen).await,
            What::Take { to, expires_ms, handed } => {
                in_time(Some(expires_ms), now_ms)?;
                Ok(self.take(&asked, &to, chosen, (expires_ms, handed)).await?.encode())
            }
            What::Acknowledge { refresh, promises } => {
                Ok(self.acknowledge(&asked, &refresh, &promises).await?.to_vec())
            }
            What::Split { lost, request } if lost.index == index => {
                self.split(&asked, chosen, lost, request).await
            }
            What::Add { lost, handed } if lost.index == index => {
                Ok(self.add(&asked, chosen, lost, handed).await?.encode())
            }
            What::Split { .. } | What::Add { .. } => Err(KeeperError::Stranger),
        }
    }

    /// A renewal to these keepers, all of whom must be keepers of the ledger, and by dealers who go on holding.
    pub(crate) async fn renewal(
        &self,
        vault: &VaultState,
        to: &[Hash],
        dealers: Vec<u8>,
    ) -> Result<Renewal, KeeperError> {
        let goes_on = |dealer: &u8| keeper_at(vault, *dealer).is_some_and(|keeper| to.contains(keeper));
        if !dealers.iter().all(goes_on) {
            return Err(KeeperError::Successors);
        }
        let keepers = self.keepers(to, true).await?;
        let checked = self.vault_now(vault).await?;
        Ok(Renewal::new(checked, keepers, dealers)?)
    }

    async fn deal(&self, asked: &Asked<'_>, to: &[Hash], dealers: Vec<u8>) -> Result<Vec<u8>, KeeperError> {
        self.may_hold(asked.vault, to, asked.now_ms).await?;
        let renewal = self.renewal(asked.vault, to, dealers).await?;
        let run = *renewal.id();
        self.handed_out(asked, run, move |share, sign| Ok(renewal.deal(share, sign)?)).await
    }

    /// What is handed out in a run: the same whenever it is asked for, as long as we run.
    async fn handed_out(
        &self,
        asked: &Asked<'_>,
        run: Hash,
        make: impl FnOnce(
            &keyward_crypto::vault::KeeperShare,
            &dyn Fn(&[u8]) -> [u8; 64],
        ) -> Result<Dealing, KeeperError>
        + Send
        + 'static,
    ) -> Result<Vec<u8>, KeeperError> {
        let dealing = match self.0.dealings.find(&run) {
            Some(dealing) => dealing,
            None => {
                let made = self.with_share(Place::now(asked.vault), move |held, signing| {
                    make(&held.share, &|message| signing.sign(message))
                });
                Arc::new(made.await?)
            }
        };
        Ok(self.0.dealings.remember(asked.from, run, dealing).encode())
    }

    /// Takes a share of a renewal: kept, then promised.
    async fn take(
        &self,
        asked: &Asked<'_>,
        to: &[Hash],
        dealers: Vec<u8>,
        (expires_ms, handed): (u64, Handed),
    ) -> Result<Reply, KeeperError> {
        self.may_hold(asked.vault, to, asked.now_ms).await?;
        if !to.contains(&self.0.id) {
            return Err(KeeperError::Stranger);
        }
        let renewal = self.renewal(asked.vault, to, dealers).await?;
        let own = self.0.dealings.find(renewal.id());
        let (inner, name) = (self.0.clone(), asked.vault.vault);
        let share = self.work(move || {
            let agreed = renewal.agree(handouts(&handed)?)?;
            let hash = refresh(&name, &agreed, expires_ms).hash();
            let own = own.as_ref().map(|own| &own.handout);
            Ok(agreed.receive(hash, &inner.id, &inner.sealing, own, &handed.pieces)?)
        });
        let share = match share.await {
            Ok(share) => share,
            Err(KeeperError::Renewal(error)) => {
                let dealer =
                    error.dealer().filter(|dealer| keeper_at(asked.vault, *dealer) != Some(&self.0.id));
                tracing::warn!(%error, "new shares of a vault are refused");
                return dealer.map(Reply::Complaint).ok_or(error.into());
            }
            Err(error) => return Err(error),
        };
        let message = promise_message(&self.0.ledger.chain_id(), &share.shares().shares_hash, share.index());
        self.promise(share, asked.index, asked.now_ms).await?;
        Ok(Reply::Done(self.0.signing.sign(&message).to_vec()))
    }

    /// Acknowledges a share that was promised, once everybody has promised the same: until then nobody is bound, and
    /// afterwards nothing is missing but what all of them have agreed to give.
    async fn acknowledge(
        &self,
        asked: &Asked<'_>,
        refresh: &[u8],
        promises: &[[u8; 64]],
    ) -> Result<[u8; 64], KeeperError> {
        let Asked { vault, .. } = asked;
        let refresh =
            Refresh::decode(refresh).map_err(|_error| KeeperError::Malformed { what: "refresh" })?;
        let next = vault.share_version.checked_add(1);
        let is_next = refresh.vault == vault.vault
            && refresh.version == vault.version
            && next == Some(refresh.share_version);
        let own = index_of(&refresh.shares.keepers, &self.0.id).filter(|_| is_next);
        let own = own.ok_or(KeeperError::Stale)?;
        in_time(refresh.expires_ms, asked.now_ms)?;
        let hash = refresh.hash();
        if promises.len() != refresh.shares.keepers.len() {
            return Err(KeeperError::Malformed { what: "number of promises" });
        }
        for ((index, keeper), promise) in (1..).zip(&refresh.shares.keepers).zip(promises) {
            let missing = KeeperError::NotPromised { index };
            let Some(keeper) = self.keeper_of(keeper).await?.filter(|keeper| keeper.present) else {
                return Err(missing);
            };
            let message = promise_message(&self.0.ledger.chain_id(), &hash, index);
            ed25519::verify(&keeper.keeper.key, &message, promise).map_err(|_error| missing)?;
        }
        let place = Place { share_version: refresh.share_version, hash, ..Place::now(vault) };
        self.bind(place, asked.index, asked.now_ms).await?;
        Ok(acknowledge(&self.0.signing, &self.0.ledger.chain_id(), &hash, own))
    }

    async fn split(
        &self,
        asked: &Asked<'_>,
        helpers: Vec<u8>,
        lost: Lost,
        request: [u8; 64],
    ) -> Result<Vec<u8>, KeeperError> {
        let repair = Repair::new(self.vault_now(asked.vault).await?, lost.index, helpers, lost.nonce)?;
        let run = *repair.id();
        self.handed_out(asked, run, move |share, sign| Ok(repair.split(share, &request, sign)?)).await
    }

    async fn add(
        &self,
        asked: &Asked<'_>,
        helpers: Vec<u8>,
        lost: Lost,
        handed: Handed,
    ) -> Result<Reply, KeeperError> {
        let repair = Repair::new(self.vault_now(asked.vault).await?, lost.index, helpers, lost.nonce)?;
        let own = self.0.dealings.find(repair.id()).ok_or(KeeperError::NoShare)?;
        let inner = self.0.clone();
        let sum = self.with_share(Place::now(asked.vault), move |held, signing| {
            let (handouts, key) = (handouts(&handed)?, &inner.sealing);
            let sign = |message: &[u8]| signing.sign(message);
            Ok(repair.add(&held.share, key, &own.handout, &handouts, &handed.pieces, sign)?)
        });
        match sum.await {
            Ok(sum) => Ok(Reply::Done(sum.encode())),
            Err(KeeperError::Repair(error)) => {
                let other = |helper: &u8| keeper_at(asked.vault, *helper) != Some(&self.0.id);
                tracing::warn!(%error, "what helpers split is refused");
                RepairError::helper(&error).filter(other).map(Reply::Complaint).ok_or(error.into())
            }
            Err(error) => Err(error),
        }
    }
}

/// The place of a keeper in a list, from 1.
pub(crate) fn index_of(keepers: &[Hash], id: &Hash) -> Option<u8> {
    (1..).zip(keepers).find(|(_, keeper)| *keeper == id).map(|(index, _)| index)
}

/// The keeper of an index of a vault.
pub(crate) fn keeper_at(vault: &VaultState, index: u8) -> Option<&Hash> {
    vault.keepers.get(usize::from(index).checked_sub(1)?)
}

/// What those chosen have handed out.
fn handouts(handed: &Handed) -> Result<Vec<Handout>, KeeperError> {
    let handouts = handed.handouts.iter().map(|handout| Handout::decode(handout));
    handouts.collect::<Option<_>>().ok_or(KeeperError::Malformed { what: "handout" })
}

/// What the ledger is told of a renewal. It does not depend on its own hash.
pub(crate) fn refresh(name: &RuleName, agreed: &Agreed, expires_ms: u64) -> Refresh {
    let facts = agreed.facts([0; 32]);
    Refresh {
        expires_ms: Some(expires_ms),
        vault: *name,
        version: facts.version,
        share_version: facts.share_version,
        shares: Shares {
            keepers: facts.keepers.iter().map(|keeper| keeper.id).collect(),
            evaluation: facts.evaluation,
            mask: facts.mask,
        },
    }
}
