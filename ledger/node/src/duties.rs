//! What a validator tells the ledger by itself, with its own key: evidence of faults, complaints, agreements, and
//! the complaints of submitters whose batches wait here.
//!
//! One batch is under way at a time and none is handed in more often than once a second, so that a node that sees
//! many faults does not fill blocks with them. Nothing is said that the next block would refuse.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use keyward_ledger_core::{
    batch::{Batch, SignedBatch},
    block::{Regime, SIGNED_HEADER_BYTES, SignedHeader},
    change::RegimeMode,
    contracts::regime::{agreement_message, complaint_message},
    ed25519::SigningKey,
    entry::{Agreement, Complaint, ComplaintKind, Entry, Evidence, SignedVote, kind, kind_of},
    execute::{Ledger, StateBroken, Submission},
    hash::{Hash, ZERO},
};
use keyward_ledger_engine::{EngineHandle, Evidence as Proof};
use tracing::{info, warn};

use crate::{face::take_in, shared::Shared};

/// Time between two looks at what there is to say.
const LOOK: Duration = Duration::from_millis(500);
/// Looks between two batches.
const LOOKS_BETWEEN: u32 = 2;
/// Pieces of evidence and complaints that wait; the oldest go first.
const WAITING_MAX: usize = 64;
/// Entries of one batch.
const ENTRIES_MAX: usize = 8;
/// Blocks in which a batch of ours may become final.
const LIFE_BLOCKS: u64 = 64;
/// Waiting batches of each submitter in which its complaint is looked for: the newest ones.
const POOLED_MAX: usize = 8;
/// Epochs whose skipped views are remembered.
const EPOCHS_KEPT: usize = 3;

/// What other parts of the node report.
#[derive(Default)]
pub(crate) struct Reports(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    evidence: VecDeque<(u64, Evidence)>,
    complaints: VecDeque<(ComplaintKind, u64, Hash)>,
    skipped: BTreeMap<u64, u64>,
}

impl Reports {
    /// Signed evidence that the engine hands out.
    pub(crate) fn fault(&self, proof: &Proof) {
        let votes = proof.votes.clone();
        let votes = votes.map(|vote| SignedVote { message: vote.message, signature: vote.signature });
        let evidence = Evidence { validator: proof.validator, votes };
        let mut inner = self.inner();
        let known = inner
            .evidence
            .iter()
            .any(|(epoch, other)| (*epoch, other.validator) == (proof.epoch, evidence.validator));
        if !known && inner.evidence.len() < WAITING_MAX {
            inner.evidence.push_back((proof.epoch, evidence));
        }
    }

    /// A view that a quorum skipped.
    pub(crate) fn skipped(&self, epoch: u64) {
        let mut inner = self.inner();
        let count = inner.skipped.entry(epoch).or_default();
        *count = count.saturating_add(1);
        while inner.skipped.len() > EPOCHS_KEPT {
            inner.skipped.pop_first();
        }
    }

    /// A state root or stored bytes that do not fit what is certified: see [`ComplaintKind`].
    pub(crate) fn complain(&self, kind: ComplaintKind, number: u64, hash: Hash) {
        let mut inner = self.inner();
        let known = inner.complaints.iter().any(|(other, ..)| *other == kind);
        if !known {
            inner.complaints.push_back((kind, number, hash));
        }
    }

    #[cfg(test)]
    pub(crate) fn complains_of(&self, kind: ComplaintKind) -> bool {
        self.inner().complaints.iter().any(|(other, ..)| *other == kind)
    }

    /// What has become final is not said again.
    fn said(&self, complaints: &[(ComplaintKind, u64)]) {
        let mut inner = self.inner();
        for (kind, epoch) in complaints {
            match kind {
                ComplaintKind::SkippedViews => drop(inner.skipped.remove(epoch)),
                _ => inner.complaints.retain(|(other, ..)| other != kind),
            }
        }
    }

    fn inner(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A batch of ours that is not known to be final.
struct UnderWay {
    batch: SignedBatch,
    complaints: Vec<(ComplaintKind, u64)>,
}

/// Looks for something to say until the node stops.
pub(crate) async fn run(shared: Arc<Shared>, engine: Arc<EngineHandle>, key: SigningKey) {
    let mut under_way = None;
    let mut looks = 0_u32;
    loop {
        shared.timer.sleep(LOOK).await;
        looks = looks.saturating_add(1);
        let view = shared.view();
        let own = key.public_key();
        if view.ledger.set().member(&own).is_none() || looks < LOOKS_BETWEEN {
            continue;
        }
        let said = say(&shared, &view.ledger, &key, &mut under_way);
        match said {
            Ok(None) => {}
            Ok(Some(batch)) => {
                looks = 0;
                engine.gossip(batch);
            }
            Err(broken) => warn!(%broken, "alarm: the state is broken"),
        }
    }
}

/// Puts what there is to say into one batch, unless the one before is still under way.
fn say(
    shared: &Shared,
    ledger: &Ledger,
    key: &SigningKey,
    under_way: &mut Option<UnderWay>,
) -> Result<Option<Bytes>, StateBroken> {
    let Some(state) = ledger.submitter(&key.public_key())? else { return Ok(None) };
    if let Some(before) = under_way.take() {
        let batch = &before.batch;
        match ledger.submission(batch.submitter(), batch.sequence(), batch.digest())? {
            Submission::Recorded(_) => shared.reports.said(&before.complaints),
            Submission::New if ledger.height() <= batch.not_after() => {
                *under_way = Some(before);
                return Ok(None);
            }
            // It came too late, or one of an earlier run of this node has its sequence: what it said is said again.
            _ => {}
        }
    }
    let mut entries = own_entries(&shared.reports, shared, ledger, key)?;
    entries.extend(carried(shared, ledger)?);
    entries.truncate(ENTRIES_MAX);
    if entries.is_empty() {
        return Ok(None);
    }
    let complaints = entries.iter().filter_map(|entry| match entry {
        Entry::Complaint(complaint) => Some((complaint.kind, complaint.epoch)),
        _ => None,
    });
    let complaints = complaints.collect();
    let kinds: Vec<_> = entries.iter().map(Entry::name).collect();
    let (sequence, not_after) =
        (state.highest.saturating_add(1), ledger.height().saturating_add(LIFE_BLOCKS));
    let entries = entries.iter().map(Entry::encode).collect();
    let batch = Batch { chain_id: *ledger.chain_id(), sequence, not_after, entries }.sign(key);
    let Ok(batch) = batch.inspect_err(|error| warn!(%error, "a batch of this node cannot be made")) else {
        return Ok(None);
    };
    if let Err(status) = take_in(shared, &batch) {
        warn!(reason = status.message(), "a batch of this node is not taken in; it is made again");
        return Ok(None);
    }
    info!(sequence, ?kinds, "this node tells the ledger");
    let bytes = Bytes::copy_from_slice(batch.bytes());
    *under_way = Some(UnderWay { batch, complaints });
    Ok(Some(bytes))
}

fn own_entries(
    reports: &Reports,
    shared: &Shared,
    ledger: &Ledger,
    key: &SigningKey,
) -> Result<Vec<Entry>, StateBroken> {
    let now = ledger.epoch_of(ledger.height().saturating_add(1));
    let mut entries = Vec::new();
    let configuration = ledger.configuration()?;
    {
        let mut inner = reports.inner();
        if ledger.has_fault(now)? {
            // The ledger knows already that this epoch is not clean.
            inner.complaints.clear();
        }
        let mut kept = VecDeque::new();
        for (epoch, evidence) in inner.evidence.drain(..) {
            let known = ledger.fault(&evidence.validator)?.is_some_and(|fault| fault.epoch >= epoch);
            if !known && epoch.saturating_add(1) >= now {
                entries.push(Entry::Evidence(evidence.clone()));
                kept.push_back((epoch, evidence));
            }
        }
        inner.evidence = kept;
        let skipped: Vec<_> = inner
            .skipped
            .iter()
            .filter(|(epoch, count)| {
                epoch.saturating_add(1) >= now
                    && **epoch <= now
                    && **count >= u64::from(configuration.skipped_views_min)
            })
            .map(|(epoch, count)| (ComplaintKind::SkippedViews, *epoch, *count, ZERO))
            .collect();
        let found = inner.complaints.iter().map(|(kind, number, hash)| (*kind, now, *number, *hash));
        let complaints: Vec<_> = found.chain(skipped).collect();
        let may_help = ledger.parameters().regime == Regime::Fast && configuration.mode == RegimeMode::Auto;
        for (kind, epoch, number, hash) in complaints {
            if kind == ComplaintKind::SkippedViews && !may_help {
                continue;
            }
            let complaint = signed_complaint(ledger, key, kind, epoch, number, hash);
            if ledger.takes_complaint(&complaint)? {
                entries.push(Entry::Complaint(complaint));
            }
        }
    }
    entries.extend(agreement(shared, ledger, key, configuration.clean_epochs)?);
    Ok(entries)
}

fn signed_complaint(
    ledger: &Ledger,
    key: &SigningKey,
    kind: ComplaintKind,
    epoch: u64,
    number: u64,
    hash: Hash,
) -> Complaint {
    let author = key.public_key();
    let mut complaint = Complaint { kind, author, epoch, number, hash, signature: [0; 64] };
    complaint.signature = key.sign(&complaint_message(ledger.chain_id(), &complaint));
    complaint
}

/// The agreement on the state after the first block of the epoch: every honest member has the same. It is given
/// only where it can bring the fast regime back.
fn agreement(
    shared: &Shared,
    ledger: &Ledger,
    key: &SigningKey,
    clean_epochs: u32,
) -> Result<Option<Entry>, StateBroken> {
    let (tip, member) = (ledger.height(), key.public_key());
    let epoch = ledger.epoch_of(tip);
    let mode = ledger.configuration()?.mode;
    let strict = ledger.parameters().regime == Regime::Strict && mode == RegimeMode::Auto;
    let clean = epoch.saturating_sub(ledger.book()?.fault_epoch) >= u64::from(clean_epochs);
    let height = epoch.saturating_mul(ledger.parameters().epoch_length);
    if !strict || !clean || height == 0 || height >= tip {
        return Ok(None);
    }
    if ledger.agreed(&member)?.is_some_and(|agreed| agreed.height >= height) {
        return Ok(None);
    }
    // The block was executed here before it became final, so its root is that of this node's state.
    let block = shared.blocks.block(height).ok().flatten();
    let header = block.and_then(|block| SignedHeader::decode(block.get(..SIGNED_HEADER_BYTES)?).ok());
    let Some(header) = header else { return Ok(None) };
    let state_root = header.header.state_root;
    let signature = key.sign(&agreement_message(ledger.chain_id(), &member, height, &state_root));
    Ok(Some(Entry::Agreement(Agreement { member, height, state_root, signature })))
}

/// Complaints in batches that wait here: a leader that does not take a submitter's batches does not take those
/// either, so the members carry them. Each submitter has one carried, the newest that the ledger would take.
fn carried(shared: &Shared, ledger: &Ledger) -> Result<Vec<Entry>, StateBroken> {
    let found = shared.pool().newest_of_each(POOLED_MAX, complaint_in);
    let mut entries = Vec::new();
    for complaints in found {
        for complaint in complaints {
            if ledger.takes_complaint(&complaint)? {
                entries.push(Entry::Complaint(complaint));
                break;
            }
        }
    }
    Ok(entries)
}

/// The first complaint in a batch, if it is the submitter's own that it is not heard.
fn complaint_in(batch: &SignedBatch) -> Option<Complaint> {
    let mut entries = batch.entries().take(ENTRIES_MAX);
    let entry = entries.find(|entry| kind_of(entry) == Some(kind::COMPLAINT))?;
    let Ok(Entry::Complaint(complaint)) = Entry::decode(entry) else { return None };
    let own = complaint.kind == ComplaintKind::Unheard && complaint.author == *batch.submitter();
    own.then_some(complaint)
}

#[cfg(test)]
mod tests;
