//! Asking again: the answer that was not heard, and the next attempt at an intent that waits.

use bytes::Bytes;
use keyward_crypto::shared::SharedKey;
use keyward_domain::{Code, scheme::PublicKey};
use keyward_ledger_core::entry::{SharedAct, Tweak};
use keyward_store::IdempotencyKey as Name;

use super::{
    BeginShared, Committed, Faults, SignedShared, StartShared, Task,
    faults::{Broken, device_wrong},
    round::{Ready, Round, attempt},
    wanted::{Wanted, tweak_of},
};
use crate::{
    caller::Caller,
    custody::Custody,
    failure::Failure,
    guard::{
        Signed,
        waiting::{Fate, Found, Waiting},
    },
    keybook::KnownKey,
    shared::{encoded, malformed, read_entry},
    vaults::floods::Flood,
};

impl Custody {
    /// The next attempt at an intent that waits, or the same one again for who did not hear the answer.
    pub(super) async fn begin_again(
        &self,
        caller: &Caller,
        waiting: &Waiting<Task>,
        wanted: &Wanted,
        asked: &BeginShared,
    ) -> Result<StartShared, Failure> {
        let mut fate = waiting.fate.lock().await;
        let now_ms = self.clock.now_ms();
        let task = match waiting.found(&mut fate, (caller, now_ms))? {
            Found::Open(task) => task,
            Found::Released { signature, receipt } => {
                return signed_again(waiting, signature, receipt).map(StartShared::Signed);
            }
        };
        if !task.wanted.says_the_same(wanted) {
            return Err(malformed("an intent of this id was begun before, and says something else"));
        }
        let Round { attempt: last, device, ready, .. } = &task.round;
        if let Some(ready) = ready
            && (asked.attempt, &asked.device) == (*last, device)
        {
            return Ok(committed_to(waiting, ready.commitments.clone()));
        }
        if asked.attempt <= *last {
            return Err(Failure::new(Code::SharedAttemptStale, format!("attempt `{last}` was begun before")));
        }
        // The first attempt was paid for with its intent; from here on each keeper is asked once more.
        for _signer in &wanted.intent.signers {
            self.floods.charge(waiting.account.0, Flood::SharedQuestion, now_ms)?;
        }
        let key = self.key_now(waiting).await?;
        key.check_use()?;
        let facts = self.shared_facts(&key, wanted.intent.share_version).await?;
        let step = (asked.attempt, &asked.device);
        let signing = attempt(wanted, &facts, step, now_ms).inspect_err(|_| {
            self.shared_book.forget(&key.row.key_id);
        })?;
        if facts.key.scheme().answers() {
            self.check_room_for(waiting.account, wanted, (facts.key.scheme(), &asked.device))?;
        }
        // From here on the attempt before is no more, whatever comes of this one.
        task.round = Round::new(asked.attempt, asked.device.clone(), None);
        task.facts = facts.clone();
        let (ready, told) = self.told(&key, self.commitments((wanted, &facts), &signing, step).await);
        task.round.ready = ready;
        waiting.holds(task.bytes());
        told.answer(waiting)
    }

    /// What came of the signers; where somebody failed, keepers may have other keys than we know of.
    pub(super) fn told(&self, key: &KnownKey, committed: Result<Ready, Broken>) -> (Option<Ready>, Told) {
        match committed {
            Ok(ready) => {
                let told = Told::Committed(ready.commitments.clone());
                (Some(ready), told)
            }
            Err(broken) => {
                self.shared_book.forget(&key.row.key_id);
                (None, Told::Broken(broken))
            }
        }
    }

    /// Ends what waits under an idempotency key for a device that asks anew: it has lost what it had of that attempt, or goes on
    /// with other signers. Says whether there was such a thing.
    pub(super) async fn end_named(&self, name: Option<&Name>) -> bool {
        let Some(waiting) = name.and_then(|name| self.begun_shared.named(name)) else { return false };
        // Somebody is just finishing it.
        let Ok(mut fate) = waiting.fate.try_lock() else { return false };
        if !matches!(*fate, Fate::Open(_)) {
            return false;
        }
        waiting.end(&mut fate, Fate::Ended, self.clock.now_ms());
        self.give_up(&self.begun_shared, &waiting).await;
        true
    }
}

/// What is told of the signers' commitments.
pub(super) enum Told {
    Committed(Vec<Bytes>),
    Broken(Broken),
}

impl Told {
    pub(super) fn answer(self, waiting: &Waiting<Task>) -> Result<StartShared, Failure> {
        match self {
            Self::Committed(commitments) => Ok(committed_to(waiting, commitments)),
            Self::Broken(Broken::Faults(faults)) => {
                Ok(StartShared::Faults(Faults { faults, expires_ms: waiting.expires_ms }))
            }
            Self::Broken(Broken::Device(error)) => Err(device_wrong(error)),
        }
    }
}

/// The answer to an attempt in which every signer has committed.
fn committed_to(waiting: &Waiting<Task>, commitments: Vec<Bytes>) -> StartShared {
    StartShared::Committed(Committed {
        intent: waiting.intent.id,
        receipt: waiting.record.receipt(None),
        leaf_index: waiting.record.leaf_index(),
        commitments,
        expires_ms: waiting.expires_ms,
    })
}

/// The signature that an intent has released.
pub(super) fn signed_again(
    waiting: &Waiting<Task>,
    signature: &[u8],
    receipt: &[u8],
) -> Result<SignedShared, Failure> {
    let (_, act) = read_entry(waiting.record.entry())?;
    let SharedAct::Intent(intent) = act else {
        return Err(Failure::internal("the record of a shared key's intent is none"));
    };
    let key = SharedKey::decode(encoded(&waiting.key)?).map_err(Failure::internal)?;
    let (signature, receipt) = (signature.to_vec(), receipt.to_vec());
    let signed = Signed { key: waiting.key.clone(), signature, receipt };
    Ok(SignedShared { signed, output_key: output_key(&key, &intent.tweak)? })
}

/// The key that a signature under this tweak verifies with.
pub(super) fn output_key(key: &SharedKey, tweak: &Tweak) -> Result<PublicKey, Failure> {
    key.public_key(&tweak_of(tweak)).map_err(Failure::internal)
}
