//! Rotating, showing and removing key-encryption keys.

use std::num::NonZeroU32;

use keyward_domain::Code;
use keyward_ledger_core::{entry::Entry, outcome::Refusal};
use keyward_policies::Verb;
use keyward_store::{Act, ActKind, Change, Claim, Claimed, IdempotencyKey as Name};

use super::{KekState, load, note::Step, reseal::Left};
use crate::{
    acts::{Plan, Settled},
    caller::Caller,
    custody::{Custody, random},
    failure::Failure,
    once::{Once, request_hash},
};

/// Whose idempotency keys the steps of a rotation have, so that each is taken once by all servers together.
const PRINCIPAL: &str = "keyward/kek";
/// How long after a rotation an old key stays at least: longer than any server needs to read the new number and to
/// write what it sealed before it had.
pub(super) const RETIRE_AFTER_MS: u64 = 60_000;
/// Numbers that the status looks for in the token.
const LOOKED_FOR_MAX: usize = 16;

/// What officers see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KekStatus {
    pub(crate) state: KekState,
    pub(crate) label: String,
    /// What is not under the current key.
    pub(crate) left: Left,
    /// Which keys the token has, the newest first.
    pub(crate) present: Vec<NonZeroU32>,
}

impl Custody {
    /// How the rotation stands.
    pub(crate) async fn kek_status(&self, caller: &Caller) -> Result<KekStatus, Failure> {
        self.authorise_tenant(caller, Verb::KekShow)?;
        let state = self.follow_kek().await?;
        let mut present = Vec::new();
        for number in (1..=state.number.get()).rev().filter_map(NonZeroU32::new).take(LOOKED_FOR_MAX) {
            if self.kek.exists(number).await? {
                present.push(number);
            }
        }
        let left = self.left_under_older(state.number).await?;
        Ok(KekStatus { state, label: self.kek.label(state.number), left, present })
    }

    /// Makes the next key in the token and lets it seal from now on; returns the receipt.
    pub(crate) async fn rotate_kek(&self, caller: &Caller, mark: &[u8]) -> Result<Vec<u8>, Failure> {
        let _permit = self.permit()?;
        self.authorise_tenant(caller, Verb::KekRotate)?;
        let name = match self.once(caller, mark, request_hash("kek.rotate", &[])).await? {
            Once::Done(receipt) => return Ok(receipt),
            Once::Fresh(name) => name,
        };
        let planned = async {
            let (state, row) = load(self.store.as_ref(), self.kek.as_ref()).await?;
            let next = state.number.checked_add(1).ok_or_else(|| too_many("key-encryption keys"))?;
            let step = self.take_step(Step::Begun, next).await?;
            let plan = self.plan_rotation(state, row, next, &step).await;
            if plan.is_err() {
                self.give_back(Some(step.clone())).await;
            }
            Ok((next, step, plan?))
        };
        let (next, step, plan) = match planned.await {
            Ok(planned) => planned,
            Err(failure) => {
                self.give_back(name).await;
                return Err(failure);
            }
        };
        let performed = self.perform(Plan { name, ..plan }).await;
        if performed.is_err() {
            self.give_back(Some(step)).await;
        }
        let receipt = performed?;
        self.kek.adopt(next);
        tracing::info!(label = self.kek.label(next), "a new key-encryption key seals");
        Ok(receipt)
    }

    async fn plan_rotation(
        &self,
        state: KekState,
        row: Option<Vec<u8>>,
        next: NonZeroU32,
        step: &Name,
    ) -> Result<Plan, Failure> {
        self.kek.make(next).await?;
        let to = KekState { number: next, since_ms: self.clock.now_ms(), resealed: false };
        let switch = self.kek_state_change(row, to).await?;
        let note = self.kek_note(Step::Begun, state.number.get(), next).await?;
        Ok(self.plan_step(Step::Begun, next, note, vec![switch], step))
    }

    /// Records that nothing is under an older key.
    pub(super) async fn end_rotation(&self, state: KekState, row: Vec<u8>) -> Result<(), Failure> {
        let step = match self.take_step(Step::Resealed, state.number).await {
            Ok(step) => step,
            // Another server does it.
            Err(failure) if failure.code == Code::IdempotencyPending => return Ok(()),
            Err(failure) => return Err(failure),
        };
        let ended = async {
            let to = KekState { resealed: true, ..state };
            let change = self.kek_state_change(Some(row), to).await?;
            let note =
                self.kek_note(Step::Resealed, state.number.get().saturating_sub(1), state.number).await?;
            self.perform(self.plan_step(Step::Resealed, state.number, note, vec![change], &step)).await
        };
        let ended = ended.await;
        if ended.is_err() {
            self.give_back(Some(step)).await;
        }
        ended?;
        tracing::info!(
            label = self.kek.label(state.number),
            "everything is under the new key-encryption key"
        );
        Ok(())
    }

    /// Removes an old key from the token, for good; returns the receipt.
    pub(crate) async fn remove_kek(
        &self,
        caller: &Caller,
        number: u32,
        mark: &[u8],
    ) -> Result<Vec<u8>, Failure> {
        let _permit = self.permit()?;
        self.authorise_tenant(caller, Verb::KekRotate)?;
        let hash = request_hash("kek.remove", &[&number.to_be_bytes()]);
        let name = match self.once(caller, mark, hash).await? {
            Once::Done(receipt) => return Ok(receipt),
            Once::Fresh(name) => name,
        };
        let planned = async {
            let number = NonZeroU32::new(number).ok_or_else(unknown)?;
            let state = self.removable(number).await?;
            if !self.kek.exists(number).await? {
                return Err(unknown());
            }
            let note = self.kek_note(Step::Removed, number.get(), state.number).await?;
            Ok((number, note))
        };
        let (number, note) = match planned.await {
            Ok(planned) => planned,
            Err(failure) => {
                self.give_back(name).await;
                return Err(failure);
            }
        };
        let plan = Plan {
            kind: ActKind::Kek,
            subject: subject(),
            entries: vec![note],
            before: Vec::new(),
            accepted: Vec::new(),
            refused: Vec::new(),
            name,
            app: detail(Step::Removed, number),
        };
        // What says that it is gone counts, and answers whoever asks again, only once it is.
        self.perform_with(plan, self.remove_from_token(number)).await
    }

    async fn remove_from_token(&self, number: NonZeroU32) -> Result<(), Failure> {
        if self.kek.remove(number).await? {
            tracing::info!(label = self.kek.label(number), "removed a key-encryption key");
        }
        Ok(())
    }

    /// The state, if this key may go: an older one, nothing is under it, and no server can still be sealing under it.
    async fn removable(&self, number: NonZeroU32) -> Result<KekState, Failure> {
        let state = self.follow_kek().await?;
        let in_use = |what: &str| Err(Failure::new(Code::KekInUse, what));
        if number > state.number {
            return Err(unknown());
        }
        if number == state.number {
            return in_use("the current key-encryption key cannot be removed");
        }
        if !state.resealed || self.left_under_older(state.number).await?.any() {
            return in_use("something is still under an older key-encryption key");
        }
        if self.clock.now_ms() < state.since_ms.saturating_add(RETIRE_AFTER_MS) {
            return in_use("the rotation was a moment ago: other servers may not have read it");
        }
        Ok(state)
    }

    /// Takes a step for this server alone; it goes to another one when this run ends.
    async fn take_step(&self, step: Step, number: NonZeroU32) -> Result<Name, Failure> {
        let key = format!("{} {number}", step.word()).into_bytes();
        let name = Name { principal: PRINCIPAL.to_owned(), key, ticket: random()? };
        let claim = Claim {
            name: name.clone(),
            request_hash: request_hash(step.word(), &[&number.get().to_be_bytes()]),
            boot: self.boot,
            now_ms: self.clock.now_ms(),
        };
        match self.store.claim(claim).await? {
            Claimed::New => Ok(name),
            _ => Err(Failure::new(Code::IdempotencyPending, "another server is at this step of a rotation")),
        }
    }

    fn plan_step(
        &self,
        step: Step,
        number: NonZeroU32,
        note: Entry,
        mut accepted: Vec<Change>,
        name: &Name,
    ) -> Plan {
        accepted.push(Change::Complete(name.clone(), Vec::new()));
        Plan {
            kind: ActKind::Kek,
            subject: subject(),
            entries: vec![note],
            before: Vec::new(),
            accepted,
            refused: Vec::new(),
            name: None,
            app: detail(step, number),
        }
    }

    /// Settles a step that a crash or an outage left: it is recorded again, and what it says is made true.
    pub(crate) async fn settle_kek(
        &self,
        act: &Act,
        entries: Vec<Entry>,
        detail: &str,
    ) -> Result<Settled, Failure> {
        let broken = || Failure::internal("an act of a rotation does not say which");
        let (word, number) = detail.split_once(' ').ok_or_else(broken)?;
        let step = Step::from_word(word).ok_or_else(broken)?;
        let number: NonZeroU32 = number.parse().map_err(Failure::internal)?;
        // One that is gone stays gone, whatever began since; the rest is to record it.
        if step == Step::Removed && self.kek.exists(number).await? {
            match self.removable(number).await {
                Ok(_) => {}
                // Not any more, or not yet: it is asked for again.
                Err(failure) if failure.code == Code::KekInUse => return Ok(Settled::undone(Vec::new())),
                Err(failure) => return Err(failure),
            }
        }
        let receipt = self.commit_again(act, entries, Refusal::EntryMalformed).await?;
        let (state, row) = load(self.store.as_ref(), self.kek.as_ref()).await?;
        let to = match step {
            Step::Begun if state.number < number => {
                Some(KekState { number, since_ms: self.clock.now_ms(), resealed: false })
            }
            Step::Resealed if state.number == number && !state.resealed => {
                Some(KekState { resealed: true, ..state })
            }
            Step::Begun | Step::Resealed => None,
            Step::Removed => {
                self.remove_from_token(number).await?;
                None
            }
        };
        let changes = match to {
            Some(to) => vec![self.kek_state_change(row, to).await?],
            None => Vec::new(),
        };
        Ok(Settled { changes, receipt })
    }
}

/// What acts of rotations are about: no account and no key.
const fn subject() -> [u8; 32] {
    [0; 32]
}

fn detail(step: Step, number: NonZeroU32) -> String {
    format!("{} {number}", step.word())
}

fn unknown() -> Failure {
    Failure::new(Code::KekUnknown, "the token has no key-encryption key of that number")
}

fn too_many(what: &str) -> Failure {
    Failure::new(Code::TooMany, format!("there are as many {what} as there may be"))
}
