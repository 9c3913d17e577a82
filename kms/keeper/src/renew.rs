//! Beginning a renewal: t holders deal, everybody who is to hold a share takes it and promises, then acknowledges, and the
//! ledger is told.

use std::collections::BTreeMap;
use std::sync::PoisonError;

use keyward_crypto::vault::Dealing;
use keyward_ledger_core::{
    ed25519,
    entry::{Act, Authored, Entry, VaultAct},
    hash::Hash,
    state::vault::VaultState,
    vault::{Refresh, acknowledgement_message},
};

use crate::{
    choice::Choice,
    confer::refresh,
    error::KeeperError,
    keeper::Keeper,
    renewed::PROMISE_MS,
    repair::words,
    word::{Handed, Reply, What, Word, promise_message},
};

/// Why a try came to nothing.
enum Failed {
    /// It may go better if these do not deal.
    Dealers(Vec<u8>, KeeperError),
    /// It would not go better with other dealers.
    Own(KeeperError),
}

impl From<KeeperError> for Failed {
    fn from(error: KeeperError) -> Self {
        Self::Own(error)
    }
}

/// What is the same for everybody in one renewal.
struct Run<'a> {
    vault: &'a VaultState,
    to: &'a [Hash],
    dealers: &'a [u8],
}

impl Run<'_> {
    fn word(&self, what: What) -> Word {
        let Self { vault, dealers, .. } = self;
        Word { vault: vault.vault, shares: vault.shares, chosen: dealers.to_vec(), what }
    }
}

impl Keeper {
    /// Has the shares of a vault dealt to these keepers. Any t of the holders who stay deal; one that lies is left out. All
    /// of those who are to hold a share must take part: who missed it would hold nothing.
    pub(crate) async fn renew(&self, vault: &VaultState, to: &[Hash]) -> Result<(), KeeperError> {
        let dealers = (1..).zip(&vault.keepers).filter(|(_, id)| to.contains(id));
        let dealers: Vec<u8> = dealers.map(|(index, _)| index).collect();
        let mut failure = KeeperError::TooFew { needed: vault.threshold, found: dealers.len() };
        let mut choice = Choice::new(dealers, vault.threshold);
        while let Some(dealers) = choice.pick() {
            failure = match self.renew_by(&Run { vault, to, dealers: &dealers }).await {
                Ok(()) => return Ok(()),
                Err(Failed::Dealers(indices, error)) => {
                    indices.iter().for_each(|index| choice.leave_out(*index));
                    error
                }
                Err(Failed::Own(error)) => return Err(error),
            };
            tracing::warn!(error = %words(&failure), "a dealer of new shares is left out");
        }
        Err(failure)
    }

    async fn renew_by(&self, run: &Run<'_>) -> Result<(), Failed> {
        let Run { vault, to, dealers } = *run;
        let (_, now_ms) = self.vault(&vault.vault).await?;
        let expires_ms = now_ms.saturating_add(PROMISE_MS);
        let renewal = self.renewal(vault, to, dealers.to_vec()).await?;
        let dealings =
            self.dealings_of(run, |dealing| renewal.check(&dealing.handout).map_err(Into::into)).await?;
        let handouts = dealings.iter().map(|dealing| dealing.handout.clone()).collect();
        let refresh = refresh(&vault.vault, &renewal.agree(handouts).map_err(KeeperError::from)?, expires_ms);
        let promises = self.promises_of(run, &dealings, (expires_ms, &refresh)).await?;
        let acknowledgements = self.acknowledgements_of(run, &refresh, promises).await?;
        let act = VaultAct::Refresh { refresh: Box::new(refresh), acknowledgements, consents: Vec::new() };
        let entry = Entry::Authored(Authored { act: Act::Vault(act), authors: Vec::new() });
        let outcome = self.0.ledger.submit(&entry).await.map_err(KeeperError::from)?;
        if !outcome.is_accepted() {
            return Err(KeeperError::NotTaken { outcome: outcome.name() }.into());
        }
        tracing::info!(keepers = to.len(), "the shares of a vault were dealt anew");
        Ok(())
    }

    /// What each dealer hands out. A dealer that keeps silent will not take its new share either; one that refuses, or lies,
    /// may still take one that others deal.
    async fn dealings_of(
        &self,
        run: &Run<'_>,
        check: impl Fn(&Dealing) -> Result<(), KeeperError>,
    ) -> Result<Vec<Dealing>, Failed> {
        let Run { vault, to, dealers } = *run;
        let word = run.word(What::Deal { to: to.to_vec() });
        let answers = self.ask_holders(vault, dealers.iter().map(|dealer| (*dealer, word.clone()))).await?;
        let (mut dealings, mut failed, mut first) = (Vec::with_capacity(dealers.len()), Vec::new(), None);
        for (dealer, answer) in dealers.iter().zip(answers) {
            let error = match answer {
                Ok(answer) => {
                    let dealing = Dealing::decode(&answer).ok_or(KeeperError::Wrong { what: "dealing" });
                    match dealing.and_then(|dealing| check(&dealing).map(|()| dealing)) {
                        Ok(dealing) => {
                            dealings.push(dealing);
                            continue;
                        }
                        Err(error) => self.failing_at(vault, *dealer, error).await,
                    }
                }
                Err(error) if is_refusal(&error) => error,
                Err(error) => return Err(error.into()),
            };
            failed.push(*dealer);
            first.get_or_insert(error);
        }
        first.map_or(Ok(dealings), |error| Err(Failed::Dealers(failed, error)))
    }

    /// Everybody's promise to acknowledge its new share. Whose dealing somebody complains of does not deal again: nobody
    /// can tell who of the two is wrong, and other dealers will do.
    async fn promises_of(
        &self,
        run: &Run<'_>,
        dealings: &[Dealing],
        (expires_ms, refresh): (u64, &Refresh),
    ) -> Result<Vec<[u8; 64]>, Failed> {
        let Run { vault, to, dealers } = *run;
        let take = |place| What::Take { to: to.to_vec(), expires_ms, handed: handed(dealings, place) };
        let words = to.iter().enumerate().map(|(place, id)| (*id, run.word(take(place))));
        let answers = self.ask_all(words.collect()).await;
        let (hash, mut promises) = (refresh.hash(), Vec::with_capacity(to.len()));
        for ((index, id), answer) in (1..).zip(to).zip(answers) {
            let message = promise_message(&self.0.ledger.chain_id(), &hash, index);
            match Reply::decode(&answer?) {
                Some(Reply::Complaint(dealer)) if dealers.contains(&dealer) => {
                    let error = KeeperError::Wrong { what: "dealing" };
                    let error = self.failing_at(vault, dealer, error).await;
                    let error = self.failing(id, error).await;
                    return Err(Failed::Dealers(vec![dealer], error));
                }
                Some(Reply::Done(promise)) => promises.push(self.signed(id, &message, &promise).await?),
                _ => return Err(self.failing(id, KeeperError::Wrong { what: "promise" }).await.into()),
            }
        }
        Ok(promises)
    }

    /// Everybody's acknowledgement, in the order of the new list. They are asked one after the other, and first those who
    /// promised before and did not keep it, so that they alone can bind the others to shares that come to nothing.
    async fn acknowledgements_of(
        &self,
        run: &Run<'_>,
        refresh: &Refresh,
        promises: Vec<[u8; 64]>,
    ) -> Result<Vec<[u8; 64]>, Failed> {
        let joined = self.0.joined.get().ok_or(KeeperError::NotDue)?;
        let doubtful = || joined.doubtful.lock().unwrap_or_else(PoisonError::into_inner);
        let what = What::Acknowledge { refresh: refresh.encode(), promises };
        let mut order: Vec<_> = (1..).zip(run.to).collect();
        order.sort_by_key(|(_, id)| (!doubtful().contains(*id), **id == self.0.id));
        let (hash, mut found) = (refresh.hash(), BTreeMap::new());
        for (index, id) in order {
            let message = acknowledgement_message(&self.0.ledger.chain_id(), &hash, index);
            let given = match self.ask(id, run.word(what.clone())).await {
                Ok(answer) => self.signed(id, &message, &answer).await,
                Err(error) => Err(error),
            };
            match given {
                Ok(acknowledgement) => {
                    found.insert(index, acknowledgement);
                }
                Err(error) => {
                    doubtful().insert(*id);
                    return Err(error.into());
                }
            }
        }
        // Not before: two who take turns would bind the others again and again.
        run.to.iter().for_each(|id| {
            doubtful().remove(id);
        });
        Ok(found.into_values().collect())
    }

    /// A keeper's signature, as what it gave.
    async fn signed(&self, id: &Hash, message: &[u8], given: &[u8]) -> Result<[u8; 64], KeeperError> {
        let known = self.keeper_of(id).await?;
        let signature = <[u8; 64]>::try_from(given).ok();
        let right = signature
            .zip(known)
            .filter(|(signature, known)| ed25519::verify(&known.keeper.key, message, signature).is_ok());
        match right {
            Some((signature, _)) => Ok(signature),
            None => Err(self.failing(id, KeeperError::Wrong { what: "signature" }).await),
        }
    }
}

/// Whether a keeper was there, and refused.
fn is_refusal(error: &KeeperError) -> bool {
    match error {
        KeeperError::Failing { source, .. } => match &**source {
            KeeperError::Circle(error) => error.is_refusal(),
            // Our own word.
            _ => true,
        },
        _ => false,
    }
}

/// What was handed out, with the pieces for the receiver at a place.
pub(crate) fn handed(dealings: &[Dealing], place: usize) -> Handed {
    Handed {
        handouts: dealings.iter().map(|dealing| dealing.handout.encode()).collect(),
        pieces: dealings.iter().filter_map(|dealing| dealing.pieces.get(place).cloned()).collect(),
    }
}
