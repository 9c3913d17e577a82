//! Getting a lost share back from the others, whoever of them keeps silent or lies, as long as enough are left.

use keyward_crypto::vault::{BoxKey, Dealing, KeeperShare, Repair, RepairSum};
use keyward_ledger_core::{hash::Hash, state::vault::VaultState};

use crate::{
    ask::Answer,
    choice::Choice,
    confer::keeper_at,
    error::KeeperError,
    held::{Bond, Held},
    keeper::Keeper,
    place::Place,
    renew::handed,
    word::{Lost, Reply, What, Word},
};

/// Why a try came to nothing.
enum Failed {
    /// These helpers did not do their part.
    Of(Vec<u8>, KeeperError),
    /// One of these says that the other lies.
    Between(u8, u8, KeeperError),
    /// It would not go better with others.
    Own(KeeperError),
}

impl From<KeeperError> for Failed {
    fn from(error: KeeperError) -> Self {
        Self::Own(error)
    }
}

impl Keeper {
    /// Gets our share of a vault back.
    pub(crate) async fn repair(
        &self,
        vault: &VaultState,
        lost: u8,
        staying: &[Hash],
        now_ms: u64,
    ) -> Result<(), KeeperError> {
        let others = (1..).zip(&vault.keepers).filter(|(index, id)| *index != lost && staying.contains(id));
        let others: Vec<u8> = others.map(|(index, _)| index).collect();
        let mut failure = KeeperError::TooFew { needed: vault.threshold, found: others.len() };
        let mut choice = Choice::new(others, vault.threshold);
        while let Some(helpers) = choice.pick() {
            failure = match self.repair_with(vault, lost, helpers, now_ms).await {
                Ok(()) => return Ok(()),
                Err(Failed::Of(indices, error)) => {
                    indices.iter().for_each(|index| choice.leave_out(*index));
                    error
                }
                Err(Failed::Between(one, other, error)) => {
                    choice.put_apart(one, other);
                    error
                }
                Err(Failed::Own(error)) => return Err(error),
            };
            tracing::warn!(error = %words(&failure), "a keeper did not help to repair a share");
        }
        Err(failure)
    }

    async fn repair_with(
        &self,
        vault: &VaultState,
        lost: u8,
        helpers: Vec<u8>,
        now_ms: u64,
    ) -> Result<(), Failed> {
        let checked = self.vault_now(vault).await?;
        let nonce = BoxKey::generate().map_err(|error| KeeperError::Internal(error.into()))?.public();
        let run = Lost { index: lost, nonce };
        let repair = Repair::new(checked, lost, helpers.clone(), nonce).map_err(KeeperError::from)?;
        let request = self.0.signing.sign(&repair.request_message());
        let word = |what| Word { vault: vault.vault, shares: vault.shares, chosen: helpers.clone(), what };
        let split = word(What::Split { lost: run, request });
        let answers = self.ask_holders(vault, helpers.iter().map(|helper| (*helper, split.clone()))).await?;
        let dealings = self.all_of(vault, &helpers, answers, |_, answer| {
            let dealing = Dealing::decode(answer).ok_or(KeeperError::Wrong { what: "dealing" })?;
            repair.check(&dealing.handout)?;
            Ok(dealing)
        });
        let dealings = dealings.await?;
        let add = |place| word(What::Add { lost: run, handed: handed(&dealings, place) });
        let words = helpers.iter().enumerate().map(|(place, helper)| (*helper, add(place)));
        let answers = self.ask_holders(vault, words.collect::<Vec<_>>().into_iter()).await?;
        let replies = self.all_of(vault, &helpers, answers, |_, answer| {
            Reply::decode(answer).ok_or(KeeperError::Wrong { what: "sum" })
        });
        let replies = replies.await?;
        for (helper, reply) in helpers.iter().zip(&replies) {
            if let Reply::Complaint(other) = reply {
                let error = self.failing_at(vault, *other, KeeperError::Wrong { what: "dealing" }).await;
                // Who complains of nobody that helps does not help itself.
                let apart = helpers.contains(other) && other != helper;
                return Err(if apart {
                    Failed::Between(*helper, *other, error)
                } else {
                    Failed::Of(vec![*helper], error)
                });
            }
        }
        let sums = replies.into_iter().map(|reply| match reply {
            Reply::Done(sum) => Ok(sum),
            Reply::Complaint(_) => Err(KeeperError::Wrong { what: "sum" }),
        });
        let sums: Vec<Answer> = sums.collect();
        let sums = self.all_of(vault, &helpers, sums, |helper, sum| {
            RepairSum::decode(sum)
                .filter(|sum| sum.helper == helper)
                .ok_or(KeeperError::Wrong { what: "sum" })
        });
        let sums = sums.await?;
        let handouts: Vec<_> = dealings.into_iter().map(|dealing| dealing.handout).collect();
        let share = match repair.finish(&self.0.sealing, &handouts, &sums) {
            Ok(share) => share,
            Err(error) => {
                let Some(helper) = error.helper() else { return Err(Failed::Own(error.into())) };
                return Err(Failed::Of(vec![helper], self.failing_at(vault, helper, error.into()).await));
            }
        };
        self.restore(share, now_ms).await?;
        tracing::info!("a lost share of a vault came back");
        Ok(())
    }

    /// Asks holders by their indices.
    pub(crate) async fn ask_holders(
        &self,
        vault: &VaultState,
        words: impl Iterator<Item = (u8, Word)>,
    ) -> Result<Vec<Answer>, KeeperError> {
        let words = words.map(|(index, word)| {
            keeper_at(vault, index).map(|id| (*id, word)).ok_or(KeeperError::Keeper { index })
        });
        Ok(self.ask_all(words.collect::<Result<_, _>>()?).await)
    }

    /// What each of the helpers gave, if all gave what was asked for.
    async fn all_of<T>(
        &self,
        vault: &VaultState,
        helpers: &[u8],
        answers: Vec<Answer>,
        read: impl Fn(u8, &[u8]) -> Result<T, KeeperError>,
    ) -> Result<Vec<T>, Failed> {
        let (mut given, mut failed, mut first) = (Vec::with_capacity(helpers.len()), Vec::new(), None);
        for (helper, answer) in helpers.iter().zip(answers) {
            let error = match answer.map(|answer| read(*helper, &answer)) {
                Ok(Ok(found)) => {
                    given.push(found);
                    continue;
                }
                Ok(Err(error)) => self.failing_at(vault, *helper, error).await,
                Err(error @ KeeperError::Ledger(_)) => return Err(error.into()),
                Err(error) => error,
            };
            failed.push(*helper);
            first.get_or_insert(error);
        }
        first.map_or(Ok(given), |error| Err(Failed::Of(failed, error)))
    }

    pub(crate) async fn failing_at(&self, vault: &VaultState, index: u8, error: KeeperError) -> KeeperError {
        match keeper_at(vault, index) {
            Some(id) => self.failing(id, error).await,
            None => error,
        }
    }

    /// Keeps a share that came back.
    async fn restore(&self, share: KeeperShare, now_ms: u64) -> Result<(), KeeperError> {
        let held = Held { place: Place::of(share.shares()), kept_ms: now_ms, bond: Bond::Sealed, share };
        self.alone(move |inner| {
            inner.shares.keep(&held)?;
            inner.shares.settle(&held.place)
        })
        .await
    }
}

/// An error with its causes.
pub(crate) fn words(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
