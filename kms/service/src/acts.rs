//! Acts: changes that stand on the ledger first and in the database after it. An act is written down before its
//! entry leaves, and removed in the same transaction that brings the database in step; what a crash or an outage
//! leaves between is settled by asking the ledger, so that the two never disagree for good.

use std::{
    collections::{HashMap, HashSet},
    ops::RangeInclusive,
    sync::{Mutex, PoisonError},
};

use keyward_domain::{Code, scheme::KeyId};
use keyward_ledger_core::{
    codec::{Reader, Writer},
    entry::{ENTRY_BYTES_MAX, Entry},
    outcome::Refusal,
    state::layout::{KeyState as LedgerKey, KeyStatus, key_key},
};
use keyward_store::{AccountState, Act, ActKind, Change, Id, IdempotencyKey as Name, KeyState, StoreError};

use crate::{
    approvals,
    custody::{Custody, random},
    delegation,
    failure::Failure,
    guard::refused,
    hex::{hex, unhex},
    policies,
    ports::{Final, LedgerError},
    shared,
    vaults::{entries, refusal::refusal},
};

/// Blocks after which an entry that was handed in can no longer become final; the ledger client's own bound for
/// batches is below it.
const UNTIL_BLOCKS: u64 = 4096;
/// Entries of one act.
const ENTRIES_MAX: usize = 4;

/// A change and what it does to the database at each end.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) kind: ActKind,
    /// The account or key.
    pub(crate) subject: Id,
    /// Recorded one after the other; the last one's receipt is the answer.
    pub(crate) entries: Vec<Entry>,
    pub(crate) before: Vec<Change>,
    /// Moments of key states count from the time of the last record.
    pub(crate) accepted: Vec<Change>,
    pub(crate) refused: Vec<Change>,
    /// The idempotency key that the receipt completes.
    pub(crate) name: Option<Name>,
    /// The app, for authorisations.
    pub(crate) app: String,
}

/// Acts that this run works on: the settling task leaves them alone.
#[derive(Debug, Default)]
pub(crate) struct InFlight(Mutex<HashSet<Id>>);

impl InFlight {
    fn insert(&self, id: Id) -> Guarded<'_> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
        Guarded { list: self, id }
    }

    /// The same for what somebody else may have in hand: then nothing.
    pub(crate) fn enter(&self, id: Id) -> Option<Guarded<'_>> {
        let fresh = self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
        fresh.then_some(Guarded { list: self, id })
    }

    fn contains(&self, id: &Id) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(id)
    }
}

/// The tokens whose logins count for keys of which it is not known yet whether they will be bound.
#[derive(Default)]
pub(crate) struct Undecided(Mutex<HashMap<Id, Vec<String>>>);

impl Undecided {
    pub(crate) fn insert(&self, key_id: Id, serial: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(key_id).or_default().push(serial);
    }

    pub(crate) fn take(&self, key_id: &Id) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(key_id).unwrap_or_default()
    }
}

/// What an act came to.
#[derive(Debug)]
pub(crate) struct Settled {
    pub(crate) changes: Vec<Change>,
    /// Completes the request that began the act; none: it may be asked again.
    pub(crate) receipt: Option<Vec<u8>>,
}

impl Settled {
    /// The change does not stand.
    pub(crate) fn undone(changes: Vec<Change>) -> Self {
        Self { changes, receipt: None }
    }
}

#[derive(Debug)]
pub(crate) struct Guarded<'a> {
    list: &'a InFlight,
    id: Id,
}

impl Drop for Guarded<'_> {
    fn drop(&mut self) {
        self.list.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}

impl Custody {
    /// Performs an act. When it fails its idempotency key is given back, unless the act stays: then the key stays
    /// with it, and what settles the act completes or forgets it. Returns what the idempotency key keeps: the receipt, for
    /// vaults, delegations and approvals with its place before it.
    pub(crate) async fn perform(&self, plan: Plan) -> Result<Vec<u8>, Failure> {
        self.perform_with(plan, async { Ok(()) }).await
    }

    /// The same with a step outside of the database, once the entries are recorded. The act outlives the step: when
    /// it fails or is cut short, settling takes it again.
    pub(crate) async fn perform_with(
        &self,
        plan: Plan,
        step: impl Future<Output = Result<(), Failure>> + Send,
    ) -> Result<Vec<u8>, Failure> {
        let name = plan.name.clone();
        let done = self.try_perform(plan, step).await;
        if done.is_err() {
            self.give_back(name).await;
        }
        done
    }

    async fn try_perform(
        &self,
        plan: Plan,
        step: impl Future<Output = Result<(), Failure>> + Send,
    ) -> Result<Vec<u8>, Failure> {
        let id = random()?;
        let _guarded = self.in_flight.insert(id);
        let act = Act {
            id,
            kind: plan.kind,
            subject: plan.subject,
            detail: detail(&plan.entries, &plan.app),
            until: self.ledger.height().saturating_add(UNTIL_BLOCKS),
            created_ms: self.clock.now_ms(),
            boot: self.boot,
            name: plan.name.clone(),
        };
        let mut before = plan.before;
        before.push(Change::PutAct(act));
        self.store.apply(before).await?;
        // What is known of the subject may be less than a moment ago: a revocation counts from here on.
        self.keys.forget(&plan.subject);
        let mut last: Option<Box<dyn Final>> = None;
        for entry in plan.entries {
            // When the outcome is unknown the act stays, and is settled later.
            let authored = matches!(entry, Entry::Authored(_));
            let record = self.ledger.commit(entry).await?;
            if !record.outcome().is_accepted() {
                let mut changes = plan.refused;
                // First the act: another server may have settled it, then nothing here happens twice.
                changes.insert(0, Change::RemoveAct(id));
                self.store.apply(changes).await?;
                return Err(match plan.kind {
                    ActKind::Vault => refusal(record.as_ref()),
                    ActKind::Shared => shared::refusal(record.as_ref()),
                    ActKind::Bind if authored => shared::refusal(record.as_ref()),
                    ActKind::Delegation | ActKind::Close => delegation::refusal(record.as_ref()),
                    ActKind::Approval | ActKind::Audit => approvals::refusal(record.as_ref()),
                    ActKind::Policy => policies::policy_refusal(record.as_ref()),
                    _ => refused(record.outcome().name()),
                });
            }
            last = Some(record);
        }
        step.await?;
        let time_ms = last.as_ref().map_or(0, |record| record.time_ms());
        let accepted = match &last {
            Some(record) => approvals::entries::placed(plan.accepted, record.as_ref()),
            None => plan.accepted,
        };
        let receipt = last.map(|record| match plan.kind {
            ActKind::Vault
            | ActKind::Delegation
            | ActKind::Approval
            | ActKind::Policy
            | ActKind::Shared
            | ActKind::Audit => entries::kept(record.as_ref()),
            _ => record.receipt(None),
        });
        let receipt = receipt.unwrap_or_default();
        let mut changes = at(accepted, time_ms);
        changes.insert(0, Change::RemoveAct(id));
        changes.extend(plan.name.map(|name| Change::Complete(name, receipt.clone())));
        self.store.apply(changes).await?;
        Ok(receipt)
    }

    /// Settles what earlier runs and outages left; returns how many acts still wait.
    pub(crate) async fn settle_acts(&self) -> Result<usize, Failure> {
        let mut waiting = 0;
        for act in self.store.acts(self.boot).await? {
            if self.in_flight.contains(&act.id) {
                continue;
            }
            match self.settle_act(&act).await {
                Ok(Some(settled)) => match self.keep_settled(&act, settled).await {
                    Ok(()) => tracing::info!(kind = act.kind.word(), "settled what was left under way"),
                    // Another server settled it meanwhile.
                    Err(StoreError::Missing { what: "act" }) => {}
                    Err(error @ (StoreError::Unavailable { .. } | StoreError::Full { .. })) => {
                        return Err(error.into());
                    }
                    // One that does not fit does not keep the others.
                    Err(error) => {
                        tracing::warn!(kind = act.kind.word(), %error, "a change that was left is not kept now");
                        waiting += 1;
                    }
                },
                // It waits for days, and nothing is wrong.
                Ok(None) if act.kind == ActKind::Recover => {}
                Ok(None) => waiting += 1,
                // Without the ledger the others cannot be settled either.
                Err(failure) if failure.code == Code::LedgerUnavailable => return Err(failure),
                Err(failure) => {
                    tracing::error!(kind = act.kind.word(), %failure, "a change cannot be settled");
                    waiting += 1;
                }
            }
        }
        Ok(waiting)
    }

    async fn keep_settled(&self, act: &Act, settled: Settled) -> Result<(), StoreError> {
        let mut changes = settled.changes;
        let never_came = changes.contains(&Change::RemovePendingKey(act.subject));
        changes.insert(0, Change::RemoveAct(act.id));
        changes.extend(act.name.clone().map(|name| match settled.receipt {
            Some(receipt) => Change::Complete(name, receipt),
            None => Change::Forget(name),
        }));
        let kept = self.store.apply(changes).await;
        self.forget(&act.subject);
        if kept.is_ok() && matches!(act.kind, ActKind::Bind | ActKind::Rotate) {
            // Of a key that is bound one login counts on.
            self.release_undecided(&act.subject, usize::from(!never_came)).await;
        }
        kept
    }

    fn forget(&self, subject: &Id) {
        self.keys.forget(subject);
        self.opened.forget(subject);
        self.opening.forget(subject);
    }

    /// What brings the database in step; none while that is not known.
    async fn settle_act(&self, act: &Act) -> Result<Option<Settled>, Failure> {
        let (entries, app) = parse_detail(&act.detail).map_err(Failure::internal)?;
        match act.kind {
            ActKind::Open => self.settle_open(act, entries).await.map(Some),
            ActKind::Close => self.settle_close(act, &entries).await.map(Some),
            ActKind::Bind => self.settle_bind(act, entries).await.map(Some),
            ActKind::Freeze => {
                let receipt = self.commit_again(act, entries, Refusal::KeyFrozen).await?;
                Ok(Some(Settled { changes: self.follow_ledger(act.subject).await?, receipt }))
            }
            // Towards more rights nothing is done again: the database follows what the ledger came to.
            ActKind::Unfreeze => match self.ledger_key(act.subject).await? {
                Some(key) if key.status == KeyStatus::Active => {
                    let receipt = self.receipt_of(act, entries.last()).await?;
                    Ok(Some(Settled { changes: self.follow_ledger(act.subject).await?, receipt }))
                }
                _ if self.ledger.height() > act.until => Ok(Some(Settled::undone(Vec::new()))),
                _ => Ok(None),
            },
            ActKind::Schedule => self.settle_less(act, entries, Refusal::KeyScheduled).await.map(Some),
            ActKind::Destroy => self.settle_less(act, entries, Refusal::KeyDestroyed).await.map(Some),
            ActKind::Cancel => match self.ledger_key(act.subject).await? {
                Some(key) if !matches!(key.status, KeyStatus::Scheduled { .. }) => {
                    let receipt = self.receipt_of(act, entries.last()).await?;
                    Ok(Some(Settled { changes: self.follow_ledger(act.subject).await?, receipt }))
                }
                _ if self.ledger.height() > act.until => Ok(Some(Settled::undone(Vec::new()))),
                _ => Ok(None),
            },
            ActKind::Rotate => self.settle_rotate(act, entries).await.map(Some),
            ActKind::Labels => self.settle_labels(act, &app, &entries).await.map(Some),
            ActKind::Kek => self.settle_kek(act, entries, &app).await.map(Some),
            ActKind::Profile => self.settle_profile(act, entries, &app).await.map(Some),
            ActKind::Vault => self.settle_vault(act, &entries).await,
            ActKind::Code => self.settle_code(act, &entries).await,
            ActKind::Delegation => self.settle_delegation(act, &entries, &app).await,
            ActKind::Approval => self.settle_approval(act, &entries).await,
            ActKind::Policy => self.settle_policy(act, &entries).await,
            ActKind::Audit => self.settle_audit(act, &entries).await,
            ActKind::Recover => self.settle_recovery(act, &entries, &app).await,
            ActKind::Password => self.settle_password(act, &entries, &app).await,
            ActKind::Addresses => self.settle_addresses(act, &entries).await,
            ActKind::Shared => self.settle_shared(act, &entries, &app).await,
            ActKind::Authorise => {
                let account = self.store.key(act.subject).await?.map(|key| key.account).unwrap_or_default();
                let note = self.authorisation_note(account, act.subject, &app, false).await?;
                self.commit_again(act, vec![note], Refusal::EntryMalformed).await?;
                Ok(Some(Settled::undone(Vec::new())))
            }
            ActKind::Revoke => {
                let receipt = self.commit_again(act, entries, Refusal::EntryMalformed).await?;
                let changes = vec![Change::RemoveAuthorisation { key_id: act.subject, app }];
                Ok(Some(Settled { changes, receipt }))
            }
        }
    }

    /// Outcomes decide: the state that we can read may be older than they are.
    async fn settle_open(&self, act: &Act, entries: Vec<Entry>) -> Result<Settled, Failure> {
        let mut stands = false;
        for entry in &entries {
            let record = self.ledger.commit(entry.clone()).await?;
            let before = match entry {
                Entry::BindCredential(_) => Refusal::CredentialVersion,
                _ => Refusal::AccountExists,
            };
            // The last one decides. Refused under this name, an earlier try got through.
            stands = record.outcome().is_accepted() || record.outcome().refusal() == Some(before);
        }
        if !stands && entries.iter().any(|entry| matches!(entry, Entry::BindCredential(_))) {
            let close = self.ledger.commit(Entry::CloseAccount { account: act.subject }).await?;
            // Only an account that has a credential is closed by nobody but itself: an earlier try got through.
            stands = close.outcome().refusal() == Some(Refusal::AuthorsMissing);
        }
        if !stands {
            return Ok(Settled::undone(vec![Change::RemovePendingAccount(act.subject)]));
        }
        let changes = vec![Change::SetAccountState(act.subject, AccountState::Pending, AccountState::Open)];
        Ok(Settled { changes, receipt: self.receipt_of(act, entries.last()).await? })
    }

    /// Closed by this entry, now or before, or by another one: what goes with it goes here. What the ledger refuses for another
    /// reason stays open here too.
    async fn settle_close(&self, act: &Act, entries: &[Entry]) -> Result<Settled, Failure> {
        let Some(entry) = entries.last() else { return Ok(Settled::undone(Vec::new())) };
        let record = self.ledger.commit(entry.clone()).await?;
        let elsewhere = record.outcome().refusal() == Some(Refusal::AccountClosed);
        let ours = if record.outcome().is_accepted() {
            Some(record)
        } else {
            self.ledger.accepted_within(heights(act), entry.clone()).await?
        };
        let row = self.store.account(act.subject).await?;
        // A second request to close it may have been faster.
        let open = row.is_some_and(|row| row.state == AccountState::Open);
        let closes = open && (elsewhere || ours.is_some());
        let changes = if closes { self.closing_beside_addresses(act.subject) } else { Vec::new() };
        if closes {
            self.keep_closed(act.subject).await;
        }
        Ok(Settled { changes, receipt: ours.map(|record| record.receipt(None)) })
    }

    async fn settle_bind(&self, act: &Act, entries: Vec<Entry>) -> Result<Settled, Failure> {
        for entry in &entries {
            self.ledger.commit(entry.clone()).await?;
        }
        let row = self.store.key(act.subject).await?;
        let ours = match (self.ledger_key(act.subject).await?, &row) {
            (Some(bound), Some(row)) => bound.account == row.account,
            _ => false,
        };
        let changes = match (ours, row.map(|row| row.state)) {
            (true, Some(KeyState::Pending)) => vec![Change::SetKeyState {
                key_id: act.subject,
                from: KeyState::Pending,
                to: KeyState::Active,
                changed_ms: self.clock.now_ms(),
                successor: None,
            }],
            (true, _) => Vec::new(),
            (false, _) => return Ok(Settled::undone(never_bound(act.subject))),
        };
        Ok(Settled { changes, receipt: self.receipt_of(act, entries.last()).await? })
    }

    /// A step towards fewer rights: done again, unless it got through. What was taken back since stays so.
    async fn settle_less(&self, act: &Act, entries: Vec<Entry>, stands: Refusal) -> Result<Settled, Failure> {
        let recorded = match entries.last() {
            Some(entry) => self.ledger.accepted_within(heights(act), entry.clone()).await?,
            None => None,
        };
        let receipt = match recorded {
            Some(record) => Some(record.receipt(None)),
            None => self.commit_again(act, entries, stands).await?,
        };
        Ok(Settled { changes: self.follow_ledger(act.subject).await?, receipt })
    }

    /// The new version as any binding; the one before as the ledger says.
    async fn settle_rotate(&self, act: &Act, entries: Vec<Entry>) -> Result<Settled, Failure> {
        let previous = entries.iter().find_map(|entry| match entry {
            Entry::RotateKey(rotate) => Some(rotate.previous.0),
            _ => None,
        });
        let mut settled = self.settle_bind(act, entries).await?;
        if let Some(previous) = previous {
            settled.changes.extend(self.follow_ledger(previous).await?);
            self.forget(&previous);
        }
        Ok(settled)
    }

    /// Brings a key's row in step with the ledger.
    pub(crate) async fn follow_ledger(&self, key_id: Id) -> Result<Vec<Change>, Failure> {
        let (Some(bound), Some(row)) = (self.ledger_key(key_id).await?, self.store.key(key_id).await?) else {
            return Ok(Vec::new());
        };
        let now_ms = self.clock.now_ms();
        let (to, changed_ms) = match bound.status {
            KeyStatus::Active => (KeyState::Active, now_ms),
            KeyStatus::Frozen => (KeyState::Frozen, now_ms),
            KeyStatus::Superseded { .. } => (KeyState::Superseded, now_ms),
            KeyStatus::Scheduled { destroy_after_ms, .. } => (KeyState::Scheduled, destroy_after_ms),
            KeyStatus::Destroyed { at_ms, .. } => (KeyState::Destroyed, at_ms),
        };
        let same = row.state == to && (to != KeyState::Scheduled || row.changed_ms == changed_ms);
        // What is still being bound has an act of its own.
        if same || row.state == KeyState::Pending {
            return Ok(Vec::new());
        }
        let successor = bound.status.successor().map(|successor| successor.0);
        let mut changes = vec![Change::SetKeyState { key_id, from: row.state, to, changed_ms, successor }];
        if to == KeyState::Destroyed {
            changes.extend([Change::EraseKey(key_id), Change::ForgetIdlePins]);
        }
        Ok(changes)
    }

    async fn ledger_key(&self, key_id: Id) -> Result<Option<LedgerKey>, Failure> {
        let value = self.ledger.state(key_key(&KeyId(key_id))).await?;
        value.map(|value| LedgerKey::decode(&value).map_err(Failure::internal)).transpose()
    }

    /// Records entries whose effect may stand already; the receipt of what made it stand.
    pub(crate) async fn commit_again(
        &self,
        act: &Act,
        entries: Vec<Entry>,
        stands: Refusal,
    ) -> Result<Option<Vec<u8>>, Failure> {
        let mut receipt = None;
        for entry in entries {
            let record =
                self.ledger.commit(entry.clone()).await.map_err(|error: LedgerError| Failure::from(error))?;
            let outcome = record.outcome();
            receipt = if outcome.is_accepted() {
                Some(record.receipt(None))
            } else {
                if outcome.refusal() != Some(stands) {
                    tracing::warn!(outcome = outcome.name(), "the ledger refused what was left under way");
                }
                self.receipt_of(act, Some(&entry)).await?
            };
        }
        Ok(receipt)
    }

    /// The receipt of an act's entry, if somebody waits for it and the entry stands on the ledger.
    pub(crate) async fn receipt_of(
        &self,
        act: &Act,
        entry: Option<&Entry>,
    ) -> Result<Option<Vec<u8>>, Failure> {
        let (Some(_), Some(entry)) = (&act.name, entry) else { return Ok(None) };
        let found = self.ledger.accepted_within(heights(act), entry.clone()).await?;
        Ok(found.map(|record| record.receipt(None)))
    }
}

/// Where an act's entries stand if they do.
pub(crate) fn heights(act: &Act) -> RangeInclusive<u64> {
    act.until.saturating_sub(UNTIL_BLOCKS)..=act.until
}

/// Undoes what was kept of a key that was not bound: its row, and the PIN of its token if no other key needs it.
pub(crate) fn never_bound(key_id: Id) -> Vec<Change> {
    vec![Change::RemovePendingKey(key_id), Change::ForgetIdlePins]
}

/// Moments of key states, which count from the record's time, as Unix milliseconds.
fn at(mut changes: Vec<Change>, time_ms: u64) -> Vec<Change> {
    for change in &mut changes {
        if let Change::SetKeyState { changed_ms, .. } = change {
            *changed_ms = changed_ms.saturating_add(time_ms);
        }
    }
    changes
}

/// What an act keeps: the app, a line end, the entries in hex.
pub(crate) fn detail(entries: &[Entry], app: &str) -> String {
    let mut bytes = Writer::with_capacity(512);
    bytes.count(entries.len());
    for entry in entries {
        bytes.bytes(&entry.encode());
    }
    format!("{app}\n{}", hex(bytes.as_slice()))
}

fn parse_detail(detail: &str) -> Result<(Vec<Entry>, String), String> {
    let (app, digits) = detail.split_once('\n').ok_or("an act without entries")?;
    let bytes = unhex(digits).ok_or("an act's entries are not hex")?;
    let mut reader = Reader::new(&bytes);
    let read = |reader: &mut Reader<'_>| Entry::decode(reader.bytes("entry", ENTRY_BYTES_MAX)?);
    let count = reader.count("entries", ENTRIES_MAX).map_err(|error| error.to_string())?;
    let mut entries = Vec::with_capacity(count);
    for _ in 0..count {
        entries.push(read(&mut reader).map_err(|error| error.to_string())?);
    }
    reader.finish("act").map_err(|error| error.to_string())?;
    Ok((entries, app.to_owned()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn an_act_comes_back_from_its_detail() {
        let entries = vec![Entry::OpenAccount { account: [0xab; 32] }, Entry::Note(vec![1, 2, 3])];
        let (again, app) = parse_detail(&detail(&entries, "treasury")).unwrap();
        assert_eq!((again, app.as_str()), (entries, "treasury"));
        for broken in ["", "app", "app\nzz", "app\n00000001", "app\n0000000000"] {
            assert!(parse_detail(broken).is_err(), "{broken}");
        }
    }
}
