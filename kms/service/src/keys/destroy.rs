//! Destruction: scheduled with a waiting period, taken back, and done by upkeep when the time has come.
//!
//! The ledger decides when: it counts the waiting period from its own time, refuses early destruction, and never binds
//! a destroyed key again. Here the sealed private part is erased in the transaction that says so, after the entry.

use std::sync::Arc;

use keyward_domain::{Code, key::DESTRUCTION_WAIT_MAX_MS};
use keyward_ledger_core::entry::Entry;
use keyward_policies::Verb;
use keyward_store::{ActKind, Change, Key, KeyState};

use crate::{
    acts::Plan,
    caller::Caller,
    custody::Custody,
    failure::Failure,
    keybook::KnownKey,
    once::{Once, request_hash},
};

/// Keys that one round of upkeep destroys or schedules at most.
const ROUND_MAX: u32 = 64;

impl Custody {
    /// Starts the waiting period, `wait_ms` long (0: the shortest); from the record's height on the key signs nothing.
    pub(crate) async fn schedule_destruction(
        &self,
        caller: &Caller,
        name: &str,
        wait_ms: u64,
        mark: &[u8],
    ) -> Result<(Arc<KnownKey>, Vec<u8>), Failure> {
        let _permit = self.permit()?;
        let key = self.named_key_now(caller, name).await?;
        self.authorise_key(caller, Verb::KeyScheduleDestroy, &key)?;
        let wait_ms = self.waiting_period(wait_ms)?;
        let id = key.row.key_id;
        let hash = request_hash("key.schedule-destroy", &[&id, &wait_ms.to_be_bytes()]);
        let ticket = match self.once(caller, mark, hash).await? {
            Once::Done(receipt) => return Ok((key, receipt)),
            Once::Fresh(ticket) => ticket,
        };
        if let Err(error) = key.state()?.schedule(self.clock.now_ms().saturating_add(wait_ms)) {
            self.give_back(ticket).await;
            return Err(Failure::of(error));
        }
        let entry = Entry::ScheduleDestroyKey { key_id: key.public_key.id(), wait_ms };
        let plan = change(ActKind::Schedule, &key.row, entry, KeyState::Scheduled, wait_ms);
        self.perform_on_key(id, Plan { name: ticket, ..plan }).await
    }

    /// Takes a scheduled destruction back: the key is frozen then, or superseded if it has a successor.
    pub(crate) async fn cancel_destruction(
        &self,
        caller: &Caller,
        name: &str,
        mark: &[u8],
    ) -> Result<(Arc<KnownKey>, Vec<u8>), Failure> {
        let _permit = self.permit()?;
        let key = self.named_key_now(caller, name).await?;
        self.authorise_key(caller, Verb::KeyCancelDestroy, &key)?;
        let id = key.row.key_id;
        let hash = request_hash("key.cancel-destroy", &[&id]);
        let ticket = match self.once(caller, mark, hash).await? {
            Once::Done(receipt) => return Ok((key, receipt)),
            Once::Fresh(ticket) => ticket,
        };
        let superseded = key.row.successor.is_some();
        if let Err(error) = key.state()?.cancel(superseded, self.clock.now_ms()) {
            self.give_back(ticket).await;
            return Err(Failure::of(error));
        }
        let to = if superseded { KeyState::Superseded } else { KeyState::Frozen };
        let entry = Entry::CancelDestroyKey { key_id: key.public_key.id() };
        let plan = change(ActKind::Cancel, &key.row, entry, to, 0);
        self.perform_on_key(id, Plan { name: ticket, ..plan }).await
    }

    /// Performs a change of one key, and brings its row in step when somebody else was faster.
    pub(crate) async fn perform_on_key(
        &self,
        id: [u8; 32],
        plan: Plan,
    ) -> Result<(Arc<KnownKey>, Vec<u8>), Failure> {
        let performed = self.perform(plan).await;
        if performed.is_err() {
            self.heal_key(id).await;
        }
        self.keys.forget(&id);
        self.opened.forget(&id);
        let receipt = performed?;
        let key = self.key_by_id(id).await?;
        Ok((key.ok_or_else(|| Failure::new(Code::KeyUnknown, "the key is gone"))?, receipt))
    }

    fn waiting_period(&self, asked_ms: u64) -> Result<u64, Failure> {
        let shortest_ms = self.destruction_wait_min_ms;
        let wait_ms = if asked_ms == 0 { shortest_ms } else { asked_ms };
        if (shortest_ms..=DESTRUCTION_WAIT_MAX_MS).contains(&wait_ms) {
            return Ok(wait_ms);
        }
        let bounds = format!("from `{shortest_ms}` to `{DESTRUCTION_WAIT_MAX_MS}` ms");
        Err(Failure::new(Code::DestructionWait, format!("a waiting period is {bounds}, not `{wait_ms}`")))
    }

    /// Destroys what is due; returns how many keys are destroyed.
    pub(crate) async fn destroy_due_keys(&self) -> Result<usize, Failure> {
        let (mut destroyed, mut failed) = (0, None);
        for row in self.store.scheduled_keys(self.clock.now_ms(), ROUND_MAX).await? {
            let key_id = keyward_domain::scheme::KeyId(row.key_id);
            let plan = change(ActKind::Destroy, &row, Entry::DestroyKey { key_id }, KeyState::Destroyed, 0);
            let accepted =
                [plan.accepted, vec![Change::EraseKey(row.key_id), Change::ForgetIdlePins]].concat();
            match self.perform_on_key(row.key_id, Plan { accepted, ..plan }).await {
                Ok(_) => {
                    destroyed += 1;
                    tracing::info!(key = %key_id, "a key was destroyed at the end of its waiting period");
                }
                // Our clock is ahead of the ledger's: it will be due in a moment.
                Err(failure) if failure.code == Code::DestructionEarly => {}
                Err(failure) if failure.code == Code::LedgerUnavailable => return Err(failure),
                // One key that fails does not keep the others.
                Err(failure) => failed = Some(failure),
            }
        }
        failed.map_or(Ok(destroyed), Err)
    }

    /// Schedules the keys of closed accounts for destruction, which nobody else can do any more.
    pub(crate) async fn schedule_orphaned_keys(&self) -> Result<usize, Failure> {
        let rows = self.store.keys_of_closed_accounts(ROUND_MAX).await?;
        for row in &rows {
            let key_id = keyward_domain::scheme::KeyId(row.key_id);
            let wait_ms = self.destruction_wait_min_ms;
            let entry = Entry::ScheduleDestroyKey { key_id, wait_ms };
            let plan = change(ActKind::Schedule, row, entry, KeyState::Scheduled, wait_ms);
            self.perform_on_key(row.key_id, plan).await?;
        }
        Ok(rows.len())
    }
}

/// A change of a key's state by one entry; moments count from the record's time.
fn change(kind: ActKind, row: &Key, entry: Entry, to: KeyState, after_ms: u64) -> Plan {
    Plan {
        kind,
        subject: row.key_id,
        entries: vec![entry],
        before: Vec::new(),
        accepted: vec![Change::SetKeyState {
            key_id: row.key_id,
            from: row.state,
            to,
            changed_ms: after_ms,
            successor: None,
        }],
        refused: Vec::new(),
        name: None,
        app: String::new(),
    }
}
