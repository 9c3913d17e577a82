//! Asks keepers through the service, all at once; what it carries back is believed by nobody yet.

use std::future::Future;
use std::time::{Duration, Instant};

use keyward_proto::custody::ask_co_signer_request::Request;
use keyward_proto::custody::ask_co_signer_response::Answer;
use keyward_proto::custody::{AskCoSignerRequest, Round, ShowShareRequest, ShowShareResponse};
use tokio::task::JoinSet;

use super::error::{SharedError, SharedFault, SharedFaultCause};
use crate::client::Client;
use crate::error::ClientError;
use crate::vault::LedgerKeeper;

/// How long a keeper may take to see what the ledger has recorded.
const SEES_WITHIN: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// A keeper in its place.
pub(super) type Placed<'a> = (u8, &'a LedgerKeeper);

/// Keepers in their places, from 1.
pub(super) fn placed(keepers: &[LedgerKeeper]) -> Vec<Placed<'_>> {
    (1..).zip(keepers).collect()
}

impl Client {
    /// Asks these keepers at once, each for the answer to its own request, in their order. All must answer.
    pub(super) async fn ask_all(
        &self,
        keepers: &[Placed<'_>],
        request: impl Fn(u8) -> Request,
    ) -> Result<Vec<Round>, SharedError> {
        let mut answers: Vec<Option<Round>> = keepers.iter().map(|_| None).collect();
        let mut faults = Vec::new();
        let results = every(keepers, |place, keeper| self.clone().round(keeper, request(place))).await;
        for (index, result) in results {
            match (result, answers.get_mut(index), keepers.get(index)) {
                (Ok(round), Some(slot), _) => *slot = Some(round),
                (Err(cause), _, Some((place, keeper))) => {
                    faults.push(SharedFault { place: *place, keeper: keeper.name.clone(), cause });
                }
                _ => {}
            }
        }
        if !faults.is_empty() {
            faults.sort_by_key(|fault| fault.place);
            return Err(SharedError::Faults { faults });
        }
        Ok(answers.into_iter().flatten().collect())
    }

    /// One keeper's answer.
    pub(super) async fn ask_one(&self, keeper: Placed<'_>, request: Request) -> Result<Round, SharedError> {
        let rounds = self.ask_all(&[keeper], |_| request.clone()).await?;
        rounds.into_iter().next().ok_or(ClientError::Answer { what: "no keeper has answered" }.into())
    }

    /// Which of these keepers answer, and hold a share of this version: what a keeper itself says.
    pub(super) async fn holding(
        &self,
        keepers: &[Placed<'_>],
        key_id: &[u8; 32],
        share_version: u32,
    ) -> Vec<u8> {
        let ask = |_place, keeper: [u8; 32]| self.clone().share(keeper, *key_id);
        let results = every(keepers, ask).await;
        let mut there: Vec<u8> = results
            .into_iter()
            .filter(|(_, result)| {
                result.as_ref().is_ok_and(|share: &ShowShareResponse| share.share_version == share_version)
            })
            .filter_map(|(index, _)| Some(keepers.get(index)?.0))
            .collect();
        there.sort_unstable();
        there
    }

    async fn round(self, keeper: [u8; 32], request: Request) -> Result<Round, SharedFaultCause> {
        match self.answered(keeper, request).await? {
            Some(Answer::Round(round)) => Ok(round),
            _ => Err(ClientError::Answer { what: "a keeper's round is missing" }.into()),
        }
    }

    async fn share(self, keeper: [u8; 32], key_id: [u8; 32]) -> Result<ShowShareResponse, SharedFaultCause> {
        let request = Request::ShowShare(ShowShareRequest { key_id: key_id.to_vec().into() });
        match self.answered(keeper, request).await? {
            Some(Answer::Share(share)) => Ok(share),
            _ => Err(ClientError::Answer { what: "a keeper's share is not shown" }.into()),
        }
    }

    /// Again where the keeper has not seen yet what this side has proven, or the service says that this may help.
    async fn answered(&self, keeper: [u8; 32], request: Request) -> Result<Option<Answer>, ClientError> {
        let message = AskCoSignerRequest { keeper: keeper.to_vec().into(), request: Some(request) };
        let (until, mut pause) = (Instant::now() + SEES_WITHIN, PAUSE);
        loop {
            match self.answer(self.shared().ask(self.request(message.clone())).await) {
                Err(ClientError::Refused(refusal)) if refusal.retry && Instant::now() + pause < until => {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
                answered => return Ok(answered?.answer),
            }
        }
    }
}

/// Runs one call for each keeper; results come with the index of theirs.
async fn every<F, T>(
    keepers: &[Placed<'_>],
    call: impl Fn(u8, [u8; 32]) -> F,
) -> Vec<(usize, Result<T, SharedFaultCause>)>
where
    F: Future<Output = Result<T, SharedFaultCause>> + Send + 'static,
    T: Send + 'static,
{
    let mut running = JoinSet::new();
    let mut asked = Vec::new();
    for (index, (place, keeper)) in keepers.iter().enumerate() {
        let answer = call(*place, keeper.id);
        asked.push(running.spawn(async move { (index, answer.await) }).id());
    }
    let mut results = Vec::with_capacity(keepers.len());
    while let Some(joined) = running.join_next_with_id().await {
        results.push(match joined {
            Ok((_, result)) => result,
            Err(error) => {
                let index = asked.iter().position(|id| *id == error.id()).unwrap_or(usize::MAX);
                (index, Err(SharedFaultCause::Lost(error)))
            }
        });
    }
    results
}
