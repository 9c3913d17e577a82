//! What a validator says by itself, on a ledger without engine and network.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
use super::*;
use crate::{
    index::Index,
    lookup::{self, Lookup},
    machine::Machine,
    shared::View,
};
use keyward_ledger_core::{
    certificate::finalize_message,
    execute::{BlockLimits, Executed},
    genesis::{Genesis, GenesisDocument, Role, Submitter},
    outcome::Outcome,
};
use keyward_ledger_engine::{self as engine, Fault, Segments, SegmentsConfig};
use tempfile::TempDir;

struct World {
    shared: Arc<Shared>,
    ledger: Ledger,
    _dir: TempDir,
}

fn validator(n: u8) -> SigningKey {
    SigningKey::from_seed(&[n; 32])
}

fn submitter(n: u8) -> SigningKey {
    SigningKey::from_seed(&[100 + n; 32])
}

impl World {
    fn new() -> Self {
        let sorted = |mut keys: Vec<[u8; 32]>| {
            keys.sort_unstable();
            keys
        };
        let submitters = sorted((0..3).map(|n| submitter(n).public_key()).collect());
        let genesis = Genesis::new(GenesisDocument {
            name: "duties".into(),
            time_ms: 1,
            validators: sorted((1..=4).map(|n| validator(n).public_key()).collect()),
            submitters: submitters.into_iter().map(|key| Submitter::new(key, Role::Service)).collect(),
            keepers: Vec::new(),
            epoch_length: 8,
            regime: Regime::Fast,
            clock_bound_ms: 1000,
        })
        .unwrap();
        let dir = tempfile::tempdir().unwrap();
        let config = SegmentsConfig { segment_bytes_max: 1 << 20, record_bytes_max: 1 << 20 };
        let (store, _) = Segments::open(&dir.path().join("blocks"), config).unwrap();
        let index = Index::open(&dir.path().join("index")).unwrap();
        let ledger = Ledger::genesis(&genesis);
        let view = View { ledger: ledger.clone(), anchor: None };
        let own = validator(1).public_key();
        let look_up = dir.path().join("look-up");
        let lookup = Lookup::open(&look_up, genesis.chain_id(), lookup::Layout::default()).unwrap();
        let derived = (index, lookup);
        let shared = Shared::new(genesis, own, Vec::new(), Arc::new(store), derived, &Machine::real(), view);
        Self { shared: Arc::new(shared), ledger, _dir: dir }
    }

    fn batch(&self, by: &SigningKey, sequence: u64, entries: &[Entry]) -> SignedBatch {
        let entries = entries.iter().map(Entry::encode).collect();
        let chain_id = *self.ledger.chain_id();
        Batch { chain_id, sequence, not_after: 1000, entries }.sign(by).unwrap()
    }

    /// Makes the next block, as the executor does: what it holds does not wait any more.
    fn block(&mut self, batches: &[SignedBatch]) -> Executed {
        let time_ms = self.ledger.height() * 10 + 10;
        let made = self.ledger.propose(time_ms, batches, &BlockLimits::default(), &validator(2)).unwrap();
        assert_eq!(made.refused, []);
        self.ledger = made.executed.ledger.clone();
        let view = View { ledger: self.ledger.clone(), anchor: None };
        self.shared.view.send_replace(Arc::new(view));
        for batch in batches {
            self.shared.pool().remove(batch.submitter(), batch.sequence());
        }
        made.executed
    }

    fn say(&self, under_way: &mut Option<UnderWay>) -> Option<SignedBatch> {
        let said = say(&self.shared, &self.ledger, &validator(1), under_way).unwrap()?;
        Some(keyward_ledger_core::batch::UnverifiedBatch::decode(&said).unwrap().verify().unwrap())
    }

    /// A complaint of a submitter that its batch of this sequence is not taken up.
    fn unheard(&self, by: &SigningKey, epoch: u64, number: u64) -> Complaint {
        let author = by.public_key();
        let kind = ComplaintKind::Unheard;
        let mut complaint = Complaint { kind, author, epoch, number, hash: [4; 32], signature: [0; 64] };
        complaint.signature = by.sign(&complaint_message(self.ledger.chain_id(), &complaint));
        complaint
    }
}

fn names(executed: &Executed) -> Vec<&'static str> {
    executed.batches[0].outcomes.iter().map(Outcome::name).collect()
}

#[test]
fn a_complaint_is_said_again_when_a_batch_of_an_earlier_run_took_its_sequence() {
    let mut world = World::new();
    let mut under_way = None;
    world.shared.reports.complain(ComplaintKind::Scrub, 0, ZERO);
    let first = world.say(&mut under_way).unwrap();
    assert!(world.say(&mut under_way).is_none(), "one at a time");
    // What this node handed in before it was started again waits elsewhere, and becomes final.
    let earlier = world.batch(&validator(1), first.sequence(), &[Entry::Note(vec![1])]);
    world.block(&[earlier]);
    let again = world.say(&mut under_way).unwrap();
    assert_eq!(again.sequence(), first.sequence() + 1);
    assert_eq!(names(&world.block(&[again])), ["ACCEPTED"]);
    assert!(world.say(&mut under_way).is_none(), "and not once more");
    assert!(under_way.is_none());
    assert!(world.shared.reports.inner().complaints.is_empty());
}

#[test]
fn a_complaint_is_said_again_when_its_batch_expired() {
    let mut world = World::new();
    let mut under_way = None;
    world.shared.reports.complain(ComplaintKind::Scrub, 0, ZERO);
    let first = world.say(&mut under_way).unwrap();
    for _ in 0..LIFE_BLOCKS {
        world.block(&[]);
        assert!(world.say(&mut under_way).is_none());
    }
    world.shared.pool().expire(world.ledger.height());
    world.block(&[]);
    let again = world.say(&mut under_way).unwrap();
    assert_eq!(again.sequence(), first.sequence());
    assert_ne!(again.digest(), first.digest());
}

#[test]
fn nothing_is_said_of_an_epoch_whose_fault_is_written_down() {
    let mut world = World::new();
    let by_others: Vec<_> = (2..=3)
        .map(|n| {
            let complaint = signed_complaint(&world.ledger, &validator(n), ComplaintKind::Scrub, 0, 0, ZERO);
            world.batch(&validator(n), 1, &[Entry::Complaint(complaint)])
        })
        .collect();
    world.block(&by_others);
    assert!(world.ledger.has_fault(0).unwrap());
    world.shared.reports.complain(ComplaintKind::Scrub, 0, ZERO);
    assert!(world.say(&mut None).is_none());
    for _ in 0..8 {
        world.block(&[]);
    }
    assert!(world.say(&mut None).is_none(), "nor does it make the next epoch one with a fault");
}

#[test]
fn each_submitter_has_one_complaint_carried_that_holds() {
    let mut world = World::new();
    let (loud, quiet) = (submitter(0), submitter(1));
    let forged = Complaint { signature: [7; 64], ..world.unheard(&loud, 0, 1) };
    let of_another_epoch = world.unheard(&loud, 7, 1);
    let of_another_author = Complaint { author: quiet.public_key(), ..world.unheard(&loud, 0, 1) };
    let refused = [forged, of_another_epoch, of_another_author].map(Entry::Complaint);
    for (sequence, entry) in (1..).zip(&refused) {
        let batch = world.batch(&loud, sequence, std::slice::from_ref(entry));
        world.shared.pool().insert(batch).unwrap();
        assert!(world.say(&mut None).is_none(), "{entry:?} is not carried");
    }
    for sequence in 4..4 + 2 * POOLED_MAX as u64 {
        let entry = Entry::Complaint(world.unheard(&loud, 0, sequence));
        world.shared.pool().insert(world.batch(&loud, sequence, &[entry])).unwrap();
    }
    let entries = [Entry::Note(vec![1]), Entry::Complaint(world.unheard(&quiet, 0, 1))];
    world.shared.pool().insert(world.batch(&quiet, 1, &entries)).unwrap();
    let said = world.say(&mut None).unwrap();
    let authors: Vec<_> = said
        .entries()
        .map(|entry| match Entry::decode(entry).unwrap() {
            Entry::Complaint(complaint) => complaint.author,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(authors.len(), 2);
    assert!(authors.contains(&loud.public_key()) && authors.contains(&quiet.public_key()));
    assert_eq!(names(&world.block(&[said])), ["ACCEPTED", "ACCEPTED"]);
    assert!(world.ledger.hurries().unwrap(), "two submitters are enough");
    assert!(world.say(&mut None).is_none(), "they are heard");
}

#[test]
fn what_the_engine_saw_of_an_equivocation_becomes_evidence_that_ends_the_fast_regime() {
    let mut world = World::new();
    let (cheat, mut under_way) = (validator(3), None);
    let vote = |digest: u8| {
        let message = finalize_message(world.ledger.chain_id(), 0, 9, 8, &[digest; 32]);
        engine::SignedVote { signature: cheat.sign(&message), message }
    };
    let votes = [vote(1), vote(2)];
    let (fault, validator) = (Fault::ConflictingFinalize, cheat.public_key());
    let seen = Proof { fault, epoch: 0, view: 9, validator, votes };
    for _ in 0..3 {
        world.shared.reports.fault(&seen);
    }
    let said = world.say(&mut under_way).unwrap();
    assert_eq!(said.entry_count(), 1, "once, however often it was seen");
    assert_eq!(names(&world.block(&[said])), ["ACCEPTED"]);
    assert!(world.say(&mut under_way).is_none());
    world.shared.reports.fault(&seen);
    assert!(world.say(&mut under_way).is_none(), "nor when it is seen again");
    assert_eq!(world.ledger.fault(&validator).unwrap().unwrap().view, 9);
    for _ in 0..8 {
        world.block(&[]);
    }
    assert_eq!(world.ledger.parameters().regime, Regime::Strict);
    assert_eq!(world.ledger.regime().unwrap().trigger.subject, validator);
}
