//! Asks keepers at once, as many as are still needed, and others in the place of those who fail or keep silent.

use std::future::Future;
use std::time::{Duration, Instant};

use keyward_crypto::vault::AnswerError;
use keyward_domain::Code;
use tokio::task::JoinSet;

use super::fault::{Fault, FaultCause};
use super::status::Holder;
use crate::error::ClientError;

/// How long a keeper may keep silent before another one is asked as well.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);

/// How long a keeper may take to see what the ledger has recorded.
const SEES_WITHIN: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Asks one keeper, again where it has not seen yet what this side has proven, or says that this may help.
pub(crate) async fn patiently<F>(call: impl Fn() -> F + Send) -> Result<Vec<u8>, ClientError>
where
    F: Future<Output = Result<Vec<u8>, ClientError>> + Send,
{
    let (until, mut pause) = (Instant::now() + SEES_WITHIN, PAUSE);
    loop {
        match call().await {
            Err(error) if may_change(&error) && Instant::now() + pause < until => {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
            done => return done,
        }
    }
}

fn may_change(error: &ClientError) -> bool {
    let ClientError::Refused(refusal) = error else { return false };
    refusal.retry || matches!(refusal.code, Some(Code::VaultNotGranted | Code::VaultNotOpened))
}

/// Asks until `take` has enough, or nobody is left. Gives whether there are enough, and adds what was wrong to `faults`.
pub(super) async fn gather<F>(
    holders: &[Holder],
    needed: usize,
    ask: impl Fn(&Holder) -> F,
    mut take: impl FnMut(u8, &[u8]) -> Result<bool, AnswerError>,
    faults: &mut Vec<Fault>,
) -> bool
where
    F: Future<Output = Result<Vec<u8>, ClientError>> + Send + 'static,
{
    let mut waiting = holders.iter();
    let mut asked = Vec::new();
    let mut running = JoinSet::new();
    for _ in 0..needed {
        ask_next(&mut waiting, &mut running, &mut asked, &ask);
    }
    loop {
        let joined = tokio::select! {
            joined = running.join_next() => joined,
            () = tokio::time::sleep(PATIENCE), if waiting.len() > 0 => {
                ask_next(&mut waiting, &mut running, &mut asked, &ask);
                continue;
            }
        };
        let Some(joined) = joined else { return false };
        let cause = match joined {
            Ok((index, Ok(answer))) => match take(index, &answer) {
                Ok(true) => {
                    faults.extend(asked.drain(..).filter(|fault: &Fault| fault.index != index));
                    return true;
                }
                Ok(false) => {
                    asked.retain(|fault| fault.index != index);
                    continue;
                }
                Err(error) => (index, FaultCause::Answer(error)),
            },
            Ok((index, Err(error))) => (index, FaultCause::Call(error)),
            Err(error) => (0, FaultCause::Lost(error)),
        };
        blame(cause, &mut asked, faults);
        ask_next(&mut waiting, &mut running, &mut asked, &ask);
    }
}

fn ask_next<'a, F>(
    waiting: &mut std::slice::Iter<'a, Holder>,
    running: &mut JoinSet<(u8, Result<Vec<u8>, ClientError>)>,
    asked: &mut Vec<Fault>,
    ask: &impl Fn(&'a Holder) -> F,
) where
    F: Future<Output = Result<Vec<u8>, ClientError>> + Send + 'static,
{
    let Some(holder) = waiting.next() else { return };
    let (index, answer) = (holder.index, ask(holder));
    // As long as it has not answered, this is what is to be said of it.
    asked.push(Fault { index, keeper: holder.keeper.name.clone(), cause: FaultCause::Silent });
    running.spawn(async move { (index, answer.await) });
}

fn blame((index, cause): (u8, FaultCause), asked: &mut Vec<Fault>, faults: &mut Vec<Fault>) {
    if let Some(place) = asked.iter().position(|fault| fault.index == index) {
        let fault = asked.swap_remove(place);
        faults.push(Fault { cause, ..fault });
    }
}
