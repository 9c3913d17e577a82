//! Changes of the validator set, headers and certificates, and state receipts.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use crate::common::golden::Golden;
use crate::common::{ACCOUNT, World, certified_by, certify, mutate::hammer, set_of, validators};
use keyward_ledger_core::block::{Block, Header, body_hash};
use keyward_ledger_core::ed25519::SigningKey;
use keyward_ledger_core::entry::Entry;
use keyward_ledger_core::export::ProvenBlock;
use keyward_ledger_core::log::{leaf_hash, prove_range};
use keyward_ledger_core::receipt::{Certified, Receipt, SetLink, StateReceipt};
use keyward_ledger_core::state::layout::{AccountState, account_key};
use keyward_ledger_core::trust::{Checkpoint, Trust};
use keyward_ledger_verify::{
    Anchor, CertificateFailure, Depth, Failure, History, MaxAge, SetTracker, StateQuery, verify_receipt,
    verify_state,
};

/// Three terms: the world's validators up to height 7, others up to 15, others from 16 on.
struct Terms {
    world: World,
    sets: [Vec<SigningKey>; 3],
    links: Vec<SetLink>,
}

impl Terms {
    fn new() -> Self {
        let mut world = World::new();
        world.submit(&[Entry::Note(b"first".to_vec()), Entry::OpenAccount { account: ACCOUNT }]);
        let sets = [validators(1, 4), validators(61, 7), validators(81, 1)];
        let mut terms = Self { world, sets, links: Vec::new() };
        terms.links = vec![terms.link(0, 7), terms.link(1, 15)];
        terms
    }

    /// A header at a height under the term, with the log and state of the world.
    fn header(&self, term: usize, height: u64) -> Header {
        let set_hash = *set_of(&self.sets[term]).hash();
        let last = self.world.blocks.last().unwrap().0.header().clone();
        Header {
            height,
            epoch: height / 8,
            time_ms: last.time_ms + height,
            set_hash,
            next_set_hash: set_hash,
            ..last
        }
    }

    fn link(&self, term: usize, height: u64) -> SetLink {
        let set = set_of(&self.sets[term + 1]);
        let header = Header { next_set_hash: *set.hash(), ..self.header(term, height) };
        let (signed_header, certificate) = certified_by(&self.sets[term], header);
        SetLink { signed_header, certificate, set }
    }

    fn certified(&self, term: usize, height: u64) -> Certified {
        let (signed_header, certificate) = certified_by(&self.sets[term], self.header(term, height));
        let links = self.links[..term].to_vec();
        Certified { signed_header, certificate, genesis: self.world.genesis.proof(), links }
    }

    fn receipt(&self, certified: Certified) -> Receipt {
        Receipt { certified, ..self.world.receipt(0, 1, None) }
    }

    fn verify(&self, certified: Certified) -> Result<Anchor, Failure> {
        self.verify_with(&self.world.trust(), certified)
    }

    fn verify_with(&self, trust: &Trust, certified: Certified) -> Result<Anchor, Failure> {
        let receipt = self.receipt(certified).encode();
        verify_receipt(trust.encode().as_bytes(), &receipt, None).map(|verdict| verdict.anchor)
    }
}

#[test]
fn every_term_certifies_its_own_blocks_only() {
    let terms = Terms::new();
    for (term, height) in [(0, 5), (0, 7), (1, 8), (1, 15), (2, 16), (2, 900)] {
        assert_eq!(terms.verify(terms.certified(term, height)), Ok(Anchor::Genesis), "{term} {height}");
    }
    let other_set = Failure::Certificate(CertificateFailure::OtherSet);
    let without_links = Certified { links: Vec::new(), ..terms.certified(1, 8) };
    assert_eq!(terms.verify(without_links), Err(other_set.clone()));
    let one_missing = Certified { links: terms.links[1..].to_vec(), ..terms.certified(2, 16) };
    assert!(matches!(
        terms.verify(one_missing),
        Err(Failure::Link { index: 0, cause: CertificateFailure::OtherSet })
    ));
    let one_too_many = Certified { links: terms.links.clone(), ..terms.certified(1, 15) };
    assert_eq!(terms.verify(one_too_many), Err(Failure::LinkOrder { index: 1 }));
    let old_set_later = Certified { links: terms.links.clone(), ..terms.certified(1, 20) };
    assert_eq!(terms.verify(old_set_later), Err(other_set));
    // The new set cannot certify within the epoch of its own link.
    let mut early = Terms::new();
    early.links[0] = early.link(0, 4);
    assert_eq!(
        early.verify(early.certified(1, 6)),
        Err(Failure::Certificate(CertificateFailure::EpochOrder))
    );
    let twice = Certified { links: vec![terms.links[0].clone(); 2], ..terms.certified(1, 9) };
    assert_eq!(terms.verify(twice), Err(Failure::LinkOrder { index: 1 }));
}

#[test]
fn links_must_lead_to_the_set_that_they_name() {
    let mut terms = Terms::new();
    let good = terms.links[0].clone();
    terms.links[0].set = set_of(&terms.sets[2]);
    assert_eq!(terms.verify(terms.certified(1, 8)), Err(Failure::LinkSet { index: 0 }));
    let header = terms.header(0, 7);
    let (signed_header, certificate) = certified_by(&terms.sets[0], header);
    terms.links[0] = SetLink { signed_header, certificate, set: set_of(&terms.sets[0]) };
    assert_eq!(
        terms.verify(terms.certified(1, 8)),
        Err(Failure::LinkSet { index: 0 }),
        "a link that changes nothing"
    );
    let strangers = certify(&terms.sets[1], &good.signed_header, 7);
    terms.links[0] = SetLink { certificate: strangers, ..good };
    assert!(matches!(terms.verify(terms.certified(1, 8)), Err(Failure::Link { index: 0, .. })));
}

/// A run of empty blocks through a change of the validators is certified by those of its last block's term.
#[test]
fn a_chain_through_a_change_of_the_set_needs_its_link_and_the_new_quorum() {
    let world = World::new();
    let sets = [validators(1, 4), validators(61, 7)];
    let hashes = [0, 1].map(|term: usize| *set_of(&sets[term]).hash());
    let (mut blocks, mut links) = (Vec::new(), Vec::new());
    let mut parent = world.genesis.block().signed_header.clone();
    for height in 1..=12 {
        let term = usize::from(height > 7);
        let header = Header {
            chain_id: world.chain_id(),
            height,
            epoch: height / 8,
            parent: parent.digest(),
            body_hash: body_hash([].iter()),
            set_hash: hashes[term],
            next_set_hash: hashes[usize::from(height >= 7)],
            ..parent.header
        };
        let (signed, certificate) = certified_by(&sets[term], header);
        if height == 7 {
            let (signed_header, certificate) = (signed.clone(), certificate.clone());
            links.push(SetLink { signed_header, certificate, set: set_of(&sets[1]) });
        }
        blocks.push(ProvenBlock {
            block: Block::new(signed.clone(), Vec::new()).unwrap().encode(),
            first_leaf: 0,
            outcomes: Vec::new(),
            range_proof: Vec::new(),
            descendants: Vec::new(),
            certificate,
        });
        parent = signed;
    }
    let check = |depth, links: &[SetLink], blocks: &[ProvenBlock]| {
        let mut history = History::new(&world.trust(), &world.genesis, links, 1, depth).unwrap();
        blocks.iter().try_for_each(|block| history.check(block).map(drop))?;
        history.finish().map(|verdict| verdict.to)
    };
    for depth in [Depth::Chain, Depth::Proofs] {
        assert_eq!(check(depth, &links, &blocks), Ok(12));
        assert_eq!(check(depth, &links, &blocks[..7]), Ok(7));
        let unlinked = check(depth, &[], &blocks).unwrap_err();
        assert_eq!(unlinked.cause.code(), "CERTIFICATE_INVALID");
        assert_eq!(unlinked.height, if depth == Depth::Chain { 12 } else { 8 });
        // Those who left certify nothing any more.
        let mut left = blocks.clone();
        left[11].certificate = certify(&sets[0], &parent, 4);
        assert_eq!(check(depth, &links, &left).unwrap_err().height, 12);
    }
}

#[test]
fn checkpoint_pins_the_set_in_force_at_its_height() {
    let terms = Terms::new();
    let pin = |height, digest, set: usize| Trust {
        checkpoint: Some(Checkpoint { height, digest, set_hash: *set_of(&terms.sets[set]).hash() }),
        ..terms.world.trust()
    };
    let link = terms.links[1].signed_header.digest();
    let anchor = Ok(Anchor::Checkpoint { height: 15 });
    assert_eq!(terms.verify_with(&pin(15, link, 1), terms.certified(2, 16)), anchor);
    let other_block = terms.verify_with(&pin(15, [0; 32], 1), terms.certified(2, 16));
    assert_eq!(other_block, Err(Failure::OtherCheckpointBlock { height: 15 }));
    let other_set = terms.verify_with(&pin(15, link, 2), terms.certified(2, 16));
    assert_eq!(other_set, Err(Failure::OtherCheckpointSet { height: 15 }));
    let between = terms.verify_with(&pin(10, [0; 32], 1), terms.certified(2, 16));
    assert_eq!(between, Ok(Anchor::Checkpoint { height: 10 }));
    let older = terms.verify_with(&pin(15, link, 1), terms.certified(1, 9));
    assert!(matches!(older, Err(Failure::OlderThanCheckpoint { .. })));
    assert!(terms.verify_with(&pin(16, [0; 32], 1), terms.certified(2, 20)).is_err());
}

#[test]
fn blocks_that_are_not_certified_are_refused_by_name() {
    let terms = Terms::new();
    let keys = &terms.sets[0];
    let check = |header: Header, expected: CertificateFailure| {
        let (signed_header, certificate) = certified_by(keys, header);
        let certified = Certified { signed_header, certificate, ..terms.certified(0, 5) };
        assert_eq!(terms.verify(certified), Err(Failure::Certificate(expected)));
    };
    check(Header { height: 0, ..terms.header(0, 5) }, CertificateFailure::Genesis);
    check(Header { chain_id: [1; 32], ..terms.header(0, 5) }, CertificateFailure::OtherLedger);
    check(Header { set_hash: [1; 32], ..terms.header(0, 5) }, CertificateFailure::OtherSet);
    let with = |change: fn(&mut Certified)| {
        let mut certified = terms.certified(0, 5);
        change(&mut certified);
        match terms.verify(certified) {
            Err(Failure::Certificate(cause)) => cause,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(with(|c| c.certificate.epoch += 1), CertificateFailure::Epoch { certificate: 1, header: 0 });
    assert_eq!(with(|c| c.signed_header.header.time_ms += 1), CertificateFailure::OtherBlock);
    assert!(matches!(with(|c| c.certificate.signers.truncate(2)), CertificateFailure::Signatures(_)));
    assert!(matches!(with(|c| c.certificate.view += 1), CertificateFailure::Signatures(_)));
    // A quorum may not certify what no member proposed.
    let stranger = SigningKey::from_seed(&[99; 32]);
    for (proposer, expected) in [(stranger.public_key(), 0), (keys[1].public_key(), 1)] {
        let header = Header { proposer, ..terms.header(0, 5) };
        let signed_header = keyward_ledger_core::block::SignedHeader::sign(header, &stranger);
        let certificate = certify(keys, &signed_header, 3);
        let certified = Certified { signed_header, certificate, ..terms.certified(0, 5) };
        match terms.verify(certified) {
            Err(Failure::Certificate(CertificateFailure::Proposer)) => assert_eq!(expected, 0),
            Err(Failure::Certificate(CertificateFailure::ProposerSignature(_))) => assert_eq!(expected, 1),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn record_must_fit_the_certified_block() {
    let terms = Terms::new();
    let record = &terms.world.records[0];
    let check = |header: Header, field: &'static str| {
        let (signed_header, certificate) = certified_by(&terms.sets[0], header);
        let certified = Certified { signed_header, certificate, ..terms.certified(0, 5) };
        assert_eq!(terms.verify(certified), Err(Failure::RecordPlace { field }));
    };
    check(Header { time_ms: record.time_ms - 1, ..terms.header(0, 5) }, "time");
    check(Header { time_ms: record.time_ms + 1, ..terms.header(0, 1) }, "time");
    let outside = Receipt { leaf_index: 9, ..terms.receipt(terms.certified(0, 5)) };
    let failure =
        verify_receipt(terms.world.trust().encode().as_bytes(), &outside.encode(), None).unwrap_err();
    assert_eq!(failure.code(), "INCLUSION_INVALID");
}

#[test]
fn receipts_with_links_cannot_change() {
    let terms = Terms::new();
    let trust = terms.world.trust().encode().into_bytes();
    let receipt = terms.receipt(terms.certified(2, 16)).encode();
    verify_receipt(&trust, &receipt, None).unwrap();
    for at in 0..receipt.len() {
        let mut changed = receipt.clone();
        changed[at] ^= 1 << (at % 8);
        assert!(verify_receipt(&trust, &changed, None).is_err(), "byte {at}");
        assert!(verify_receipt(&trust, &receipt[..at], None).is_err(), "cut at {at}");
    }
}

#[test]
fn tracker_certifies_blocks_of_every_term_after_following_once() {
    let terms = Terms::new();
    let mut tracker = SetTracker::new(terms.world.trust(), &terms.world.genesis.proof()).unwrap();
    let certified = terms.certified(1, 9);
    assert!(tracker.certify(&certified.signed_header, &certified.certificate).is_err());
    for link in &terms.links {
        tracker.follow(link).unwrap();
        assert!(tracker.follow(link).is_err());
    }
    assert_eq!(tracker.link_count(), 2);
    for (term, height) in [(0, 5), (1, 9), (2, 30)] {
        let certified = terms.certified(term, height);
        let block = tracker.certify(&certified.signed_header, &certified.certificate).unwrap();
        assert_eq!((block.header().height, block.digest()), (height, &certified.signed_header.digest()));
        let leaves: Vec<_> = terms.world.records.iter().map(|record| record.encode()).collect();
        let range = prove_range(&terms.world.nodes, 0..2, 2).unwrap();
        let records = block.records(&leaves, 0, &range).unwrap();
        for (index, (record, proof)) in (0..).zip(&records) {
            assert_eq!(&block.record(&record.encode(), index, proof).unwrap(), record);
        }
        assert!(block.records(&leaves[1..], 0, &range).is_err());
        assert_eq!(leaf_hash(&leaves[0]), records[0].0.id());
    }
}

#[test]
fn receipts_with_links_and_state_receipts_are_frozen() {
    let terms = Terms::new();
    let mut golden = Golden::default();
    let link = &terms.links[1].signed_header;
    let checkpoint = Checkpoint { height: 15, digest: link.digest(), set_hash: link.header.set_hash };
    let pinned = Trust { checkpoint: Some(checkpoint), ..terms.world.trust() };
    golden.text("trust", &terms.world.trust().encode()).text("trust pinned", &pinned.encode());
    golden.hex("receipt over two changes of the set", terms.receipt(terms.certified(2, 16)).encode());
    golden.hex("state receipt of an account", terms.world.state_receipt(&account_key(&ACCOUNT)).encode());
    golden.hex("state receipt of nobody", terms.world.state_receipt(&account_key(&[1; 32])).encode());
    golden.check("sets.json");
}

#[test]
fn state_receipts_show_what_stands_and_what_does_not() {
    let mut world = World::new();
    world.submit(&[Entry::OpenAccount { account: ACCOUNT }]);
    let trust = world.trust().encode().into_bytes();
    let (key, absent) = (account_key(&ACCOUNT), account_key(&[1; 32]));
    let time_ms = world.ledger.time_ms();
    let query = |key| StateQuery { key, min_height: 0, max_age: None };
    let present = world.state_receipt(&key).encode();
    let verdict = verify_state(&trust, &present, &query(&key)).unwrap();
    let account = AccountState::decode(&verdict.value.unwrap()).unwrap();
    assert_eq!((account.open, verdict.height, verdict.time_ms, verdict.signers), (true, 1, time_ms, 3));
    let nobody = world.state_receipt(&absent).encode();
    assert_eq!(verify_state(&trust, &nobody, &query(&absent)).unwrap().value, None);
    assert_eq!(verify_state(&trust, &nobody, &query(&key)).unwrap_err(), Failure::OtherStateKey);
    let low = verify_state(&trust, &present, &StateQuery { min_height: 2, ..query(&key) });
    assert_eq!(low.unwrap_err(), Failure::TooLow { height: 1, min_height: 2 });
    let aged = |now_ms| {
        let max_age = Some(MaxAge { now_ms, max_age_ms: 1_000 });
        verify_state(&trust, &present, &StateQuery { max_age, ..query(&key) })
    };
    aged(time_ms + 1_000).unwrap();
    assert_eq!(aged(time_ms + 1_001).unwrap_err(), Failure::TooOld { age_ms: 1_001, max_age_ms: 1_000 });
    // A proof for one key says nothing about another.
    let swapped = StateReceipt { key: absent.clone(), ..world.state_receipt(&key) };
    assert!(matches!(verify_state(&trust, &swapped.encode(), &query(&absent)), Err(Failure::State(_))));
    for (sample, key) in [(&present, &key), (&nobody, &absent)] {
        for at in 0..sample.len() {
            let mut changed = sample.clone();
            changed[at] ^= 1 << (at % 8);
            assert!(verify_state(&trust, &changed, &query(key)).is_err(), "byte {at}");
            assert!(verify_state(&trust, &sample[..at], &query(key)).is_err(), "cut at {at}");
        }
    }
    hammer("state receipts", &[present.clone(), nobody.clone()], 4_000, |bytes| {
        let verified =
            [&key, &absent].into_iter().any(|key| verify_state(&trust, bytes, &query(key)).is_ok());
        assert!(!verified || bytes == present || bytes == nobody);
    });
}
