//! Looks at records and the state beside them, gathered: who comes while a question is under way goes with the next one, so
//! that under load many share one. Alone nobody waits.

use std::sync::Arc;

use keyward_ledger_client::{KEYS_MAX, LEAVES_MAX};
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::ledger::{Final, Ledger, LedgerError, Look, singly};

/// Questions under way at once.
const UNDER_WAY_MAX: usize = 2;
/// Looks that wait for the next question at most: more than calls there are.
const WAITING_MAX: usize = 512;

/// What a question brings: of one height, as it was asked for.
pub(crate) struct Together {
    pub(crate) records: Vec<Option<Final>>,
    pub(crate) values: Vec<Option<Vec<u8>>>,
    pub(crate) time_ms: u64,
}

type Answer = Result<Option<Look>, LedgerError>;

struct Wanted {
    leaf_index: u64,
    keys: Vec<Vec<u8>>,
    answer: oneshot::Sender<Answer>,
}

/// What looks are handed to.
pub(crate) struct Looks(mpsc::Sender<Wanted>);

impl Looks {
    /// Asks so, until it is dropped; a question that brings nothing says why.
    pub(crate) fn start<F>(ask: impl Fn(Vec<u64>, Vec<Vec<u8>>) -> F + Send + 'static) -> Self
    where
        F: Future<Output = Result<Together, String>> + Send + 'static,
    {
        let (sender, mut wanted) = mpsc::channel::<Wanted>(WAITING_MAX);
        tokio::spawn(async move {
            let (places, mut left) = (Arc::new(Semaphore::new(UNDER_WAY_MAX)), None);
            loop {
                let first = match left.take() {
                    Some(first) => Some(first),
                    None => wanted.recv().await,
                };
                let Some(first) = first else { return };
                let Ok(place) = places.clone().acquire_owned().await else { return };
                let mut group = Group::of(first);
                while let Ok(more) = wanted.try_recv() {
                    if let Err(more) = group.take(more) {
                        left = Some(more);
                        break;
                    }
                }
                let Group { wanted, leaves, keys } = group;
                let asked = ask(leaves, keys);
                tokio::spawn(async move {
                    hand_out(wanted, asked.await);
                    drop(place);
                });
            }
        });
        Self(sender)
    }

    /// Where the validator that was asked has no such record, the ledger is asked singly: that there is none is not proven, and
    /// so no single validator's word.
    pub(crate) async fn look<L: Ledger + ?Sized>(
        &self,
        ledger: &L,
        leaf_index: u64,
        keys: Vec<Vec<u8>>,
    ) -> Answer {
        match self.gathered(leaf_index, keys.clone()).await? {
            None => singly(ledger, leaf_index, &keys).await,
            found => Ok(found),
        }
    }

    async fn gathered(&self, leaf_index: u64, keys: Vec<Vec<u8>>) -> Answer {
        let ended = || LedgerError::Unavailable("looks have ended".into());
        let (answer, answered) = oneshot::channel();
        self.0.send(Wanted { leaf_index, keys, answer }).await.map_err(|_closed| ended())?;
        answered.await.map_err(|_dropped| ended())?
    }
}

/// Looks that go in one question.
struct Group {
    wanted: Vec<Wanted>,
    leaves: Vec<u64>,
    keys: Vec<Vec<u8>>,
}

impl Group {
    fn of(first: Wanted) -> Self {
        Self { leaves: vec![first.leaf_index], keys: first.keys.clone(), wanted: vec![first] }
    }

    /// Gives it back when there is no room.
    fn take(&mut self, more: Wanted) -> Result<(), Wanted> {
        let keys = self.keys.len().saturating_add(more.keys.len());
        if self.leaves.len() >= LEAVES_MAX || keys > KEYS_MAX {
            return Err(more);
        }
        self.leaves.push(more.leaf_index);
        self.keys.extend_from_slice(&more.keys);
        self.wanted.push(more);
        Ok(())
    }
}

/// To each its own; whoever asked may have hung up.
fn hand_out(wanted: Vec<Wanted>, found: Result<Together, String>) {
    match found {
        Ok(Together { records, values, time_ms }) => {
            let mut values = values.into_iter();
            for (one, record) in wanted.into_iter().zip(records) {
                let values = values.by_ref().take(one.keys.len()).collect();
                let look = record.map(|record| Look { record, values, time_ms });
                drop(one.answer.send(Ok(look)));
            }
        }
        Err(why) => {
            for one in wanted {
                drop(one.answer.send(Err(LedgerError::Unavailable(why.clone().into()))));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]
    use std::sync::Mutex;

    use keyward_ledger_core::{entry::Entry, hash::Hash, outcome::Outcome};
    use tokio::task::JoinSet;

    use super::*;
    use crate::ledger::Pending;

    type Asked = Arc<Mutex<Vec<(Vec<u64>, Vec<Vec<u8>>)>>>;

    /// Answers with what was asked for, one question for each permit; there is no record from leaf 1000 on, and the ledger is
    /// away for who asks about leaf 999.
    fn looks(gate: &Arc<Semaphore>) -> (Arc<Looks>, Asked) {
        let (asked, gate) = (Asked::default(), gate.clone());
        let noted = asked.clone();
        let looks = Looks::start(move |leaves: Vec<u64>, keys: Vec<Vec<u8>>| {
            noted.lock().unwrap().push((leaves.clone(), keys.clone()));
            let gate = gate.clone();
            async move {
                gate.acquire().await.unwrap().forget();
                if leaves.contains(&999) {
                    return Err("away".to_owned());
                }
                let record = |leaf: &u64| {
                    let entry = leaf.to_be_bytes().to_vec();
                    (*leaf < 1000).then_some(Final { entry, outcome: Outcome::ACCEPTED, time_ms: *leaf })
                };
                let values = keys.into_iter().map(Some).collect();
                Ok(Together { records: leaves.iter().map(record).collect(), values, time_ms: 2000 })
            }
        });
        (Arc::new(looks), asked)
    }

    fn keys(leaf: u64) -> Vec<Vec<u8>> {
        vec![format!("live {leaf}").into_bytes(), format!("claim {leaf}").into_bytes()]
    }

    fn spawn(looks: &Arc<Looks>, leaves: impl Iterator<Item = u64>) -> JoinSet<(u64, Answer)> {
        let mut all = JoinSet::new();
        for leaf in leaves {
            let looks = looks.clone();
            all.spawn(async move { (leaf, looks.gathered(leaf, keys(leaf)).await) });
        }
        all
    }

    #[tokio::test]
    async fn who_comes_while_questions_are_under_way_shares_the_next_ones_and_gets_its_own_answer() {
        let gate = Arc::new(Semaphore::new(0));
        let (looks, asked) = looks(&gate);
        let mut all = spawn(&looks, 0..150);
        while asked.lock().unwrap().len() < UNDER_WAY_MAX {
            tokio::task::yield_now().await;
        }
        // One hangs up; nobody else is disturbed.
        drop(spawn(&looks, 200..201));
        gate.add_permits(1000);
        let mut answered = 0;
        while let Some(done) = all.join_next().await {
            let (leaf, answer) = done.unwrap();
            let look = answer.unwrap().unwrap();
            assert_eq!((look.record.entry, look.time_ms), (leaf.to_be_bytes().to_vec(), 2000));
            assert_eq!(look.values, keys(leaf).into_iter().map(Some).collect::<Vec<_>>());
            answered += 1;
        }
        assert_eq!(answered, 150);
        let asked = asked.lock().unwrap();
        assert!(asked.len() <= 8, "{} questions for 150 looks", asked.len());
        assert!(asked.iter().all(|(leaves, keys)| leaves.len() <= LEAVES_MAX && keys.len() <= KEYS_MAX));
    }

    #[tokio::test]
    async fn what_is_not_there_and_a_ledger_that_is_away_are_told() {
        let (looks, _) = looks(&Arc::new(Semaphore::new(1000)));
        assert!(looks.gathered(1000, keys(1000)).await.unwrap().is_none());
        let refused = looks.gathered(999, keys(999)).await.unwrap_err();
        assert!(matches!(refused, LedgerError::Unavailable(_)));
        assert!(looks.gathered(1, keys(1)).await.unwrap().is_some(), "and the next is answered");
    }

    /// The other validators: they have one more record, and say at which times their state is.
    struct Others(Mutex<Vec<u64>>);

    impl Ledger for Others {
        fn chain_id(&self) -> Hash {
            [0; 32]
        }
        fn record(&self, leaf_index: u64) -> Pending<'_, Final> {
            let found = Final { entry: b"theirs".to_vec(), outcome: Outcome::ACCEPTED, time_ms: 1500 };
            let found = (leaf_index <= 1000).then_some(found).ok_or(LedgerError::NoRecord { leaf_index });
            Box::pin(async move { found })
        }
        fn state<'a>(&'a self, key: &'a [u8]) -> Pending<'a, (Option<Vec<u8>>, u64)> {
            let time_ms = self.0.lock().unwrap().pop().expect("nobody asks singly without need");
            Box::pin(async move { Ok((Some(key.to_vec()), time_ms)) })
        }
        fn submit<'a>(&'a self, _entry: &'a Entry) -> Pending<'a, Outcome> {
            Box::pin(async { Err(LedgerError::Unavailable("not here".into())) })
        }
    }

    #[tokio::test]
    async fn that_there_is_no_record_is_not_one_validators_word() {
        let (looks, asked) = looks(&Arc::new(Semaphore::new(1000)));
        let others = Others(Mutex::new(vec![1600, 1700, 1400, 1700]));
        // Their state is older than the record at first.
        assert!(looks.look(&others, 1000, keys(1000)).await.unwrap().is_none());
        let look = looks.look(&others, 1000, keys(1000)).await.unwrap().unwrap();
        assert_eq!((look.record.entry, look.time_ms), (b"theirs".to_vec(), 1600));
        assert_eq!(look.values, keys(1000).into_iter().map(Some).collect::<Vec<_>>());
        assert!(looks.look(&others, 1001, keys(1001)).await.unwrap().is_none(), "nobody has it");
        assert_eq!(asked.lock().unwrap().len(), 3);
        // What was answered is not asked for again, and who cannot be asked is not asked twice.
        let look = looks.look(&others, 1, keys(1)).await.unwrap().unwrap();
        assert_eq!(look.time_ms, 2000);
        assert!(matches!(looks.look(&others, 999, keys(999)).await, Err(LedgerError::Unavailable(_))));
    }
}
