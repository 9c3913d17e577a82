//! Asking other keepers of a vault, all at once, and remembering who keeps silent.

use std::{future::poll_fn, pin::Pin, sync::PoisonError, task::Poll};

use keyward_ledger_core::hash::Hash;

use crate::{
    circle::CircleError,
    error::KeeperError,
    keeper::Keeper,
    word::{Said, Word},
};

/// What came of asking a keeper.
pub(crate) type Answer = Result<Vec<u8>, KeeperError>;

/// A keeper that is being asked.
type Asking<'a> = Pin<Box<dyn Future<Output = Answer> + Send + 'a>>;

impl Keeper {
    /// Asks a keeper; ourselves without a way. One that kept silent in this round is not asked again.
    pub(crate) async fn ask(&self, to: &Hash, word: Word) -> Answer {
        let asked = self.asked(to, word).await;
        match asked {
            Ok(answer) => Ok(answer),
            // Without the ledger nobody is to blame.
            Err(error @ KeeperError::Ledger(_)) => Err(error),
            Err(error) => Err(self.failing(to, error).await),
        }
    }

    async fn asked(&self, to: &Hash, word: Word) -> Answer {
        if *to == self.0.id {
            return self.hear(&self.0.id, word).await;
        }
        self.said_to(to, word.encode()).await
    }

    /// Says something to another keeper.
    pub(crate) async fn said_to(&self, to: &Hash, word: Vec<u8>) -> Answer {
        let joined = self.0.joined.get().ok_or(KeeperError::NotDue)?;
        let known = self.keeper_of(to).await?.filter(|known| known.present);
        let address = known.ok_or(KeeperError::Stranger)?.keeper.rpc;
        let silent = || joined.silent.lock().unwrap_or_else(PoisonError::into_inner);
        if silent().contains(to) {
            let source = "it kept silent a moment ago".into();
            return Err(CircleError { address, source }.into());
        }
        let (chain_id, time_ms) = (self.0.ledger.chain_id(), self.0.ledger.now_ms());
        let said = Said::new(&self.0.signing, &chain_id, [&self.0.id, to], time_ms, word);
        let answer = joined.circle.say(&address, said).await;
        if answer.as_ref().is_err_and(|error| !error.is_refusal()) {
            silent().insert(*to);
        }
        Ok(answer?)
    }

    /// Asks several: ourselves first, then the others at once. The answers in their order.
    pub(crate) async fn ask_all(&self, words: Vec<(Hash, Word)>) -> Vec<Answer> {
        let own = (0..).zip(&words).find(|(_, (to, _))| *to == self.0.id);
        let own = match own {
            Some((place, (to, word))) => Some((place, self.ask(to, word.clone()).await)),
            None => None,
        };
        let mut others = Vec::with_capacity(words.len());
        for (to, word) in words.into_iter().filter(|(to, _)| *to != self.0.id) {
            others.push(Box::pin(async move { self.ask(&to, word).await }) as Asking<'_>);
        }
        let mut answers = at_once(others).await;
        if let Some((place, own)) = own {
            answers.insert(usize::min(place, answers.len()), own);
        }
        answers
    }

    /// Says which keeper an error is of.
    pub(crate) async fn failing(&self, id: &Hash, error: KeeperError) -> KeeperError {
        let name = match self.keeper_of(id).await {
            Ok(Some(known)) => known.keeper.name,
            _ => hex::encode(id),
        };
        KeeperError::Failing { id: *id, name, source: Box::new(error) }
    }
}

/// Waits for all at once; the answers in their order. There are at most sixteen, so each is looked at whenever one may go on.
async fn at_once(asking: Vec<Asking<'_>>) -> Vec<Answer> {
    let mut asking: Vec<_> = asking.into_iter().map(|asking| (Some(asking), None)).collect();
    poll_fn(|context| {
        for (waits, answer) in &mut asking {
            if let Some(Poll::Ready(found)) = waits.as_mut().map(|waits| waits.as_mut().poll(context)) {
                (*waits, *answer) = (None, Some(found));
            }
        }
        if asking.iter().all(|(waits, _)| waits.is_none()) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    asking.into_iter().filter_map(|(_, answer)| answer).collect()
}
