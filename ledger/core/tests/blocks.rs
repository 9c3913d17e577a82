//! What may enter a block, which blocks may follow, and what genesis documents and batches are refused.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use crate::common::{World, signed, vault};
use keyward_ledger_core::batch::{BATCH_ENTRIES_MAX, Batch, BatchError, SignedBatch, UnverifiedBatch};
use keyward_ledger_core::block::{Block, BlockError, Header, Regime, SignedHeader, body_hash};
use keyward_ledger_core::ed25519::SigningKey;
use keyward_ledger_core::entry::{ENTRY_BYTES_MAX, Entry};
use keyward_ledger_core::execute::{BatchRefusal, BlockLimits, BlockRefusal, Submission};
use keyward_ledger_core::genesis::{Genesis, GenesisDocument, GenesisError, Role, Submitter};
use keyward_ledger_core::keeper::Keeper;
use keyward_ledger_core::state::layout::SEQUENCE_WINDOW;

fn note(byte: u8) -> Vec<Entry> {
    vec![Entry::Note(vec![byte])]
}

/// A block with these batches, whether they may enter or not, signed by the first validator.
fn forced(world: &World, batches: &[SignedBatch], change: impl FnOnce(&mut Header)) -> Block {
    let proposer = &world.validators[0];
    let empty = world.ledger.propose(0, &[], &BlockLimits::default(), proposer).unwrap();
    let mut header = empty.block.header().clone();
    header.body_hash = body_hash(batches.iter().map(SignedBatch::id));
    change(&mut header);
    let batches = batches.iter().map(|batch| batch.clone().into()).collect();
    Block::new(SignedHeader::sign(header, proposer), batches).unwrap()
}

fn refusal(world: &World, batches: &[SignedBatch]) -> (usize, BatchRefusal) {
    match world.ledger.validate(&forced(world, batches, |_| {}), batches) {
        Err(BlockRefusal::Batch { index, cause }) => (index, cause),
        other => panic!("{other:?}"),
    }
}

fn submission(world: &World, sequence: u64, digest: &[u8; 32]) -> Submission {
    world.ledger.submission(&world.service.public_key(), sequence, digest).unwrap()
}

#[test]
fn window_admits_each_sequence_once() {
    let mut world = World::new();
    let (chain_id, service) = (world.chain_id(), SigningKey::from_seed(&[21; 32]));
    let batch = |sequence, byte| signed(chain_id, &service, sequence, 1_000, &note(byte));
    // Any order within the window.
    world.block(&[batch(5, 0), batch(2, 0), batch(SEQUENCE_WINDOW, 0)]);
    let newest = 2 * SEQUENCE_WINDOW;
    assert_eq!(
        world.ledger.check_batch(&batch(newest + 1, 0)),
        Err(BatchRefusal::SequenceTooFarAhead { sequence: newest + 1, newest })
    );
    assert_eq!(world.ledger.check_batch(&batch(2, 1)), Err(BatchRefusal::SequenceConflict { sequence: 2 }));
    let Err(BatchRefusal::Replayed { original, height: 1 }) = world.ledger.check_batch(&batch(2, 0)) else {
        panic!()
    };
    assert_eq!((original.height, original.first_leaf, original.count), (1, 1, 1));
    assert_eq!(submission(&world, 2, batch(2, 0).digest()), Submission::Recorded(original));
    assert_eq!(submission(&world, 2, batch(2, 1).digest()), Submission::Conflict);
    assert_eq!(submission(&world, 3, &[0; 32]), Submission::New);
    // The window moves: what falls out is too old, slots are used again.
    world.block(&[batch(newest, 0)]);
    let oldest = newest + 1 - SEQUENCE_WINDOW;
    assert_eq!(submission(&world, oldest - 1, &[0; 32]), Submission::TooOld { oldest });
    assert_eq!(
        world.ledger.check_batch(&batch(2, 0)),
        Err(BatchRefusal::SequenceTooOld { sequence: 2, oldest })
    );
    let keys = world.ledger.state().len();
    world.block(&[batch(oldest + 4, 0)]);
    assert_eq!(world.ledger.state().len(), keys, "slot 5 is used again");
    assert_eq!(world.ledger.submission(&[9; 32], 1, &[0; 32]).unwrap(), Submission::Stranger);
}

#[test]
fn block_with_a_batch_that_may_not_enter_is_invalid_as_a_whole() {
    let mut world = World::new();
    let chain_id = world.chain_id();
    let service = SigningKey::from_seed(&[21; 32]);
    let stranger = SigningKey::from_seed(&[99; 32]);
    let good = signed(chain_id, &service, 1, 1_000, &note(1));
    world.block(std::slice::from_ref(&good));
    let next = signed(chain_id, &service, 2, 1_000, &note(2));
    let cases = [
        (good, "REPLAYED"),
        (signed(chain_id, &service, 1, 1_000, &note(9)), "SEQUENCE_CONFLICT"),
        (signed([1; 32], &service, 3, 1_000, &note(1)), "WRONG_CHAIN"),
        (signed(chain_id, &stranger, 1, 1_000, &note(1)), "SUBMITTER_UNKNOWN"),
        (signed(chain_id, &service, 3, 1, &note(1)), "EXPIRED"),
        (signed(chain_id, &service, 3_000, 1_000, &note(1)), "SEQUENCE_TOO_FAR_AHEAD"),
        (next.clone(), "REPLAYED"),
    ];
    for (bad, code) in cases {
        let (index, cause) = refusal(&world, &[next.clone(), bad.clone()]);
        assert_eq!((index, cause.code()), (1, code));
        // A proposer leaves it out and goes on.
        let candidates = [next.clone(), bad, signed(chain_id, &service, 4, 1_000, &note(4))];
        let proposal =
            world.ledger.propose(0, &candidates, &BlockLimits::default(), &world.validators[0]).unwrap();
        assert_eq!((proposal.refused.len(), proposal.refused[0].0), (1, 1));
        assert_eq!(proposal.block.batches.len(), 2);
        world.ledger.validate(&proposal.block, &proposal.block.verify_batches(|_| false).unwrap()).unwrap();
    }
}

#[test]
fn limits_of_submitter_and_proposer_are_held() {
    let world = World::new();
    let operator = SigningKey::from_seed(&[23; 32]);
    let batch = |sequence, count| {
        signed(world.chain_id(), &operator, sequence, 1_000, &vec![Entry::Note(vec![0; 50]); count])
    };
    let limit = BatchRefusal::SubmitterLimit { entries: 9, limit: 8 };
    assert_eq!(refusal(&world, &[batch(1, 4), batch(2, 5)]), (1, limit.clone()));
    assert!(limit.may_pass_later());
    assert_eq!(world.ledger.check_batch(&batch(1, 8)), Ok(()));
    assert_eq!(world.ledger.check_batch(&batch(1, 9)), Err(limit), "it would wait for ever");
    let candidates = [batch(1, 4), batch(2, 3), batch(3, 1)];
    let count = |limits: &BlockLimits| {
        let proposal = world.ledger.propose(0, &candidates, limits, &world.validators[0]).unwrap();
        assert_eq!(proposal.refused, []);
        proposal.block.batches.len()
    };
    let all = BlockLimits::default();
    assert_eq!(count(&all), 3);
    assert_eq!(count(&BlockLimits { batches: 1, ..all }), 1);
    assert_eq!(count(&BlockLimits { entries: 5, ..all }), 2);
    assert_eq!(count(&BlockLimits { body_bytes: 8 + candidates[0].bytes().len(), ..all }), 1);
    assert_eq!(count(&BlockLimits { body_bytes: 0, ..all }), 0);
}

#[test]
fn every_wrong_field_of_a_header_is_refused_by_name() {
    let mut world = World::new();
    world.submit(&note(1));
    type Change = fn(&mut Header);
    let cases: [(&str, Change); 11] = [
        ("chain id", |h| h.chain_id[0] ^= 1),
        ("height", |h| h.height += 1),
        ("parent", |h| h.parent[0] ^= 1),
        ("epoch", |h| h.epoch += 1),
        ("regime", |h| h.regime = Regime::Fast),
        ("set hash", |h| h.set_hash[0] ^= 1),
        ("log size", |h| h.log_size += 1),
        ("log root", |h| h.log_root[0] ^= 1),
        ("state root", |h| h.state_root[0] ^= 1),
        ("next set hash", |h| h.next_set_hash[0] ^= 1),
        ("none", |_| {}),
    ];
    for (field, change) in cases {
        match world.ledger.validate(&forced(&world, &[], change), &[]) {
            Err(BlockRefusal::Header { field: found }) => assert_eq!(found, field),
            other => assert!(field == "none" && other.is_ok(), "{field}: {other:?}"),
        }
    }
    let back = forced(&world, &[], |h| h.time_ms -= 1);
    assert!(matches!(world.ledger.validate(&back, &[]), Err(BlockRefusal::TimeWentBack { .. })));
    let stranger = forced(&world, &[], |h| h.proposer = [3; 32]);
    assert_eq!(world.ledger.validate(&stranger, &[]).unwrap_err(), BlockRefusal::Stranger);
    let other_signer = forced(&world, &[], |h| h.proposer = h.proposer.map(|_| 0));
    assert_eq!(world.ledger.validate(&other_signer, &[]).unwrap_err(), BlockRefusal::Stranger);
    let second = world.validators[1].public_key();
    let not_signed = forced(&world, &[], |h| h.proposer = second);
    assert!(matches!(world.ledger.validate(&not_signed, &[]), Err(BlockRefusal::Signature(_))));
    let batch = world.batch(&SigningKey::from_seed(&[21; 32]), &note(2));
    let empty = forced(&world, &[], |_| {});
    assert_eq!(world.ledger.validate(&empty, &[batch]).unwrap_err(), BlockRefusal::OtherBatches);
    let header = empty.header();
    world.ledger.check_clock(header, header.time_ms + 5_000).unwrap();
    for now_ms in [header.time_ms + 5_001, header.time_ms - 5_001] {
        assert!(matches!(world.ledger.check_clock(header, now_ms), Err(BlockRefusal::Clock { .. })));
    }
}

#[test]
fn block_has_one_body() {
    let mut world = World::new();
    let batch = world.batch(&SigningKey::from_seed(&[21; 32]), &note(1));
    world.block(&[batch]);
    let block = &world.blocks[0].0;
    let good = block.encode();
    assert_eq!(&Block::decode(&good).unwrap(), block);
    let signed_header = block.signed_header.clone();
    assert_eq!(Block::new(signed_header.clone(), Vec::new()).unwrap_err(), BlockError::Body);
    // Another signature over the same batch is another body, although the batch's digest is the same.
    let mut bytes = block.batches[0].bytes().to_vec();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    let twin = UnverifiedBatch::decode(&bytes).unwrap();
    assert_eq!(twin.digest(), block.batches[0].digest());
    assert_ne!(twin.id(), block.batches[0].id());
    assert!(matches!(twin.clone().verify(), Err(BatchError::Signature(_))));
    assert_eq!(Block::new(signed_header, vec![twin]).unwrap_err(), BlockError::Body);
    for at in 0..good.len() {
        let mut changed = good.clone();
        changed[at] ^= 1;
        // The header decodes as another block; a changed body never decodes.
        if let Ok(other) = Block::decode(&changed) {
            assert!(at < 354 && other.digest() != block.digest(), "byte {at}");
        }
        assert!(Block::decode(&good[..at]).is_err());
    }
    assert!(Block::decode(&[good.as_slice(), &[0]].concat()).is_err());
}

#[test]
fn batches_out_of_bounds_are_refused() {
    let key = SigningKey::from_seed(&[21; 32]);
    let batch =
        |sequence, entries: Vec<Vec<u8>>| Batch { chain_id: [0; 32], sequence, not_after: 1, entries };
    let refused = |batch: Batch| batch.sign(&key).unwrap_err().to_string();
    assert_eq!(refused(batch(1, vec![])), "the batch is malformed");
    refused(batch(0, vec![vec![1]]));
    refused(batch(1, vec![vec![0; ENTRY_BYTES_MAX + 1]]));
    refused(batch(1, vec![vec![0; 1]; BATCH_ENTRIES_MAX + 1]));
    refused(batch(1, vec![vec![0; ENTRY_BYTES_MAX]; 256]));
    let good = batch(1, vec![vec![0; ENTRY_BYTES_MAX], vec![]]).sign(&key).unwrap();
    assert_eq!(good.entries().map(<[u8]>::len).collect::<Vec<_>>(), [ENTRY_BYTES_MAX, 0]);
    let bytes = good.bytes().to_vec();
    assert_eq!(UnverifiedBatch::decode(&bytes).unwrap().verify().unwrap(), good);
    for at in (0..bytes.len()).step_by(7) {
        let mut changed = bytes.clone();
        changed[at] ^= 0x10;
        let verdict = UnverifiedBatch::decode(&changed).map(UnverifiedBatch::verify);
        assert!(!matches!(verdict, Ok(Ok(_))), "byte {at}");
        assert!(UnverifiedBatch::decode(&bytes[..at]).is_err());
    }
}

#[test]
fn genesis_documents_that_break_a_rule_are_refused() {
    let world = World::new();
    let good = world.genesis.document();
    let refused = |change: fn(&mut GenesisDocument)| {
        let mut document = good.clone();
        change(&mut document);
        Genesis::new(document).unwrap_err()
    };
    assert!(matches!(refused(|d| d.name = String::new()), GenesisError::Name { .. }));
    assert!(matches!(refused(|d| d.name = "Upper".into()), GenesisError::Name { .. }));
    assert!(matches!(refused(|d| d.name = "x".repeat(65)), GenesisError::Name { .. }));
    assert!(matches!(refused(|d| d.validators.clear()), GenesisError::Validators(_)));
    assert!(matches!(refused(|d| d.validators.reverse()), GenesisError::Validators(_)));
    assert!(matches!(refused(|d| d.validators[1] = d.validators[0]), GenesisError::Validators(_)));
    assert!(matches!(refused(|d| d.validators[0] = [0; 32]), GenesisError::Validators(_)));
    assert!(matches!(refused(|d| d.submitters.reverse()), GenesisError::SubmitterOrder { .. }));
    assert!(matches!(refused(|d| d.submitters[0].key = [0; 32]), GenesisError::SubmitterKey { .. }));
    assert!(matches!(refused(|d| d.submitters[0].block_entries_max = 0), GenesisError::TooSmall { .. }));
    assert!(matches!(refused(|d| d.epoch_length = 1), GenesisError::TooSmall { .. }));
    assert!(matches!(refused(|d| d.clock_bound_ms = 0), GenesisError::TooSmall { .. }));
    let many = |d: &mut GenesisDocument| d.submitters = vec![Submitter::new([1; 32], Role::Keeper); 1025];
    assert!(matches!(refused(many), GenesisError::Submitters { count: 1025 }));
    let bytes = world.genesis.encode();
    for at in 0..bytes.len() {
        assert!(Genesis::decode(&bytes[..at]).is_err());
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        // Whatever still decodes is another ledger.
        assert!(Genesis::decode(&changed).map_or(true, |other| other.chain_id() != world.genesis.chain_id()));
    }
    assert!(Genesis::decode(&[bytes.as_slice(), &[0]].concat()).is_err());
}

#[test]
fn a_genesis_with_keepers_that_break_a_rule_is_refused() {
    let world = World::new();
    let good = vault::genesis_with_keepers(&world);
    let refused = |change: fn(&mut GenesisDocument)| {
        let mut document = good.document().clone();
        change(&mut document);
        Genesis::new(document).unwrap_err()
    };
    assert!(matches!(refused(|d| d.keepers.reverse()), GenesisError::KeeperOrder { index: 1 }));
    assert!(matches!(
        refused(|d| d.keepers[2] = d.keepers[1].clone()),
        GenesisError::KeeperOrder { index: 2 }
    ));
    let text = |what: &'static str| move |error: GenesisError| matches!(error, GenesisError::KeeperText { what: found, .. } if found == what);
    let named = |name: &str| {
        let keepers = vec![Keeper { name: name.into(), ..vault::keeper(1) }];
        Genesis::new(GenesisDocument { keepers, ..good.document().clone() }).unwrap_err()
    };
    for name in ["", "Upper", "dot.ted", &"x".repeat(65)] {
        assert!(text("name")(named(name)), "{name}");
    }
    assert!(text("rpc address")(refused(|d| d.keepers[0].rpc = String::new())));
    assert!(text("rpc address")(refused(|d| d.keepers[0].rpc = "https://a b".into())));
    assert!(text("rpc address")(refused(|d| d.keepers[0].rpc = "x".repeat(257))));
    assert!(matches!(refused(|d| d.keepers[1].key = [0; 32]), GenesisError::KeeperKey { index: 1, .. }));
    let taken = |error: GenesisError| matches!(error, GenesisError::KeeperKeyTaken { .. });
    assert!(taken(refused(|d| d.keepers[1].key = d.keepers[0].key)), "another keeper's");
    assert!(taken(refused(|d| d.keepers[1].key = d.validators[0])), "a validator's");
    let of_keeper = |d: &mut GenesisDocument| {
        let submitter = d.submitters.iter().find(|submitter| submitter.role == Role::Keeper).unwrap();
        d.keepers[1].key = submitter.key;
    };
    assert!(taken(refused(of_keeper)), "a submitter's, whatever its role");
    let many = |d: &mut GenesisDocument| {
        d.keepers = (0..65).map(|n| Keeper { name: format!("k{n}"), ..vault::keeper(1) }).collect();
    };
    assert!(matches!(refused(many), GenesisError::Keepers { count: 65 }));
}

#[test]
fn keepers_of_genesis_are_part_of_what_names_the_ledger_and_have_one_encoding() {
    let world = World::new();
    let (bare, kept) = (world.genesis.encode(), vault::genesis_with_keepers(&world));
    assert_eq!((bare[0], kept.encode()[0]), (1, 2));
    let bytes = kept.encode();
    assert_eq!(Genesis::decode(&bytes).unwrap().document(), kept.document());
    assert_ne!(kept.chain_id(), world.genesis.chain_id());
    for at in 0..bytes.len() {
        assert!(Genesis::decode(&bytes[..at]).is_err());
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        assert!(Genesis::decode(&changed).map_or(true, |other| other.chain_id() != kept.chain_id()), "{at}");
    }
    // No keepers in the version that has them, keepers in the one that has none, a version that there is not.
    assert!(Genesis::decode(&[&[2], &bare[1..], &[0; 4]].concat()).is_err());
    assert!(Genesis::decode(&[&[2], &bare[1..]].concat()).is_err());
    assert!(Genesis::decode(&[&[1], &bytes[1..]].concat()).is_err());
    assert!(Genesis::decode(&[&[3], &bytes[1..]].concat()).is_err());
    assert!(Genesis::decode(&[&[0], &bare[1..]].concat()).is_err());
}
