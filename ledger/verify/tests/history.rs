//! A run of blocks is checked to its end, and the first thing that does not hold is named with its height.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use crate::common::golden::Golden;
use crate::common::{ACCOUNT, World, acts, certify, delegation, mutate::hammer, validators, vault};
use keyward_ledger_core::block::{Block, Header, SignedHeader};
use keyward_ledger_core::certificate::Certificate;
use keyward_ledger_core::ed25519::SigningKey;
use keyward_ledger_core::entry::{Act, DelegationAct, Entry, VaultAct};
use keyward_ledger_core::export::{
    CHUNK_MAGIC, Chunk, ChunkName, Manifest, ProvenBlock, decode_links, encode_links,
};
use keyward_ledger_core::hash::sha256;
use keyward_ledger_core::log::{Frontier, prove_range};
use keyward_ledger_core::outcome::{Outcome, Refusal};
use keyward_ledger_core::record::Record;
use keyward_ledger_core::trust::{Checkpoint, Trust};
use keyward_ledger_verify::{Anchor, Broken, Depth, Failure, History, HistoryFailure, HistoryVerdict};

/// Notes, acts, a refused entry, and a block without any.
fn world() -> World {
    let mut world = World::new();
    let note = |text: &str| Entry::Note(text.as_bytes().to_vec());
    world.submit(&[note("first"), Entry::OpenAccount { account: ACCOUNT }]);
    world.block(&[]);
    world.submit(&[Entry::OpenAccount { account: ACCOUNT }, note("the account exists")]);
    let (a, b) = {
        let [service, other] = [21, 22].map(|seed| SigningKey::from_seed(&[seed; 32]));
        (world.batch(&service, &[note("a")]), world.batch(&other, &[note("b"), note("c")]))
    };
    world.block(&[a, b]);
    for n in 0..8 {
        world.submit(&[note(&format!("note {n}"))]);
    }
    world
}

/// A block as it is served, certified at a height that is its own or above.
fn proven(world: &World, height: u64, certified: u64) -> ProvenBlock {
    let (block, executed) = &world.blocks[height as usize - 1];
    let top = &world.blocks[certified as usize - 1].0.signed_header;
    let (first, count) = (executed.first_leaf(), executed.leaf_hashes.len() as u64);
    ProvenBlock {
        block: block.encode(),
        first_leaf: first,
        outcomes: executed.batches.iter().flat_map(|batch| batch.outcomes.clone()).collect(),
        range_proof: match count {
            0 => Vec::new(),
            count => prove_range(&world.nodes, first..first + count, top.header.log_size).unwrap(),
        },
        descendants: (height + 1..=certified)
            .map(|at| world.blocks[at as usize - 1].0.signed_header.clone())
            .collect(),
        certificate: certify(&world.validators, top, 3),
    }
}

/// Every third block has its certificate above it.
fn run(world: &World) -> Vec<ProvenBlock> {
    let last = world.blocks.len() as u64;
    let certified = |height: u64| if height.is_multiple_of(3) { (height + 1).min(last) } else { height };
    (1..=last).map(|height| proven(world, height, certified(height))).collect()
}

fn check_from(
    world: &World,
    trust: &Trust,
    from: u64,
    depth: Depth,
    blocks: &[ProvenBlock],
) -> Result<HistoryVerdict, Broken> {
    let mut history = History::new(trust, &world.genesis, &[], from, depth).unwrap();
    for block in blocks {
        let height = history.next_height();
        let held = history.check(block)?;
        assert_eq!((held.block.header().height, held.set_size), (height, 4));
    }
    history.finish()
}

fn check(world: &World, blocks: &[ProvenBlock]) -> Result<HistoryVerdict, Broken> {
    check_from(world, &world.trust(), 1, Depth::Execution, blocks)
}

fn chained(world: &World, blocks: &[ProvenBlock]) -> Result<HistoryVerdict, Broken> {
    check_from(world, &world.trust(), 1, Depth::Chain, blocks)
}

/// What is found when the block at a height is changed: executed, by proofs, and in the chain under the last certificate.
fn broken(
    world: &World,
    height: u64,
    change: impl Fn(&mut ProvenBlock),
) -> (HistoryFailure, Option<HistoryFailure>, Option<HistoryFailure>) {
    let mut blocks = run(world);
    change(&mut blocks[height as usize - 1]);
    let found = check(world, &blocks).unwrap_err();
    assert_eq!(found.height, height, "{found:?}");
    let from = 2;
    let at = |checked: Result<HistoryVerdict, Broken>| {
        let found = checked.err()?;
        assert_eq!(found.height, height, "{found:?}");
        Some(found.cause)
    };
    let proofs = check_from(world, &world.trust(), from, Depth::Proofs, &blocks[from as usize - 1..]);
    (found.cause, at(proofs), at(chained(world, &blocks)))
}

#[test]
fn a_whole_ledger_holds_and_so_does_every_later_part_of_it() {
    let world = world();
    let blocks = run(&world);
    let verdict = check(&world, &blocks).unwrap();
    assert_eq!((verdict.from, verdict.to, verdict.depth), (1, 12, Depth::Execution));
    assert_eq!((verdict.records, &verdict.anchor), (15, &Anchor::Genesis));
    assert_eq!(verdict.tip_digest, *world.ledger.tip());
    let chain = chained(&world, &blocks).unwrap();
    assert_eq!(chain, HistoryVerdict { depth: Depth::Chain, ..verdict });
    for from in 2..=12 {
        for depth in [Depth::Chain, Depth::Execution] {
            let part = &blocks[from as usize - 1..];
            let verdict = check_from(&world, &world.trust(), from, depth, part).unwrap();
            assert_eq!((verdict.from, verdict.to, verdict.depth), (from, 12, Depth::Proofs));
        }
    }
    for depth in [Depth::Chain, Depth::Proofs, Depth::Execution] {
        let nothing = check_from(&world, &world.trust(), 1, depth, &[]);
        assert!(nothing.is_err(), "nothing is not a ledger");
        let mut history = History::new(&world.trust(), &world.genesis, &[], 1, depth).unwrap();
        let mut records = Vec::new();
        for block in &blocks {
            records.extend(history.check(block).unwrap().records);
        }
        assert!(records.iter().map(|(at, _)| *at).eq(0..15));
        assert!(records.iter().map(|(_, record)| record).eq(&world.records));
    }
}

/// Keepers, a vault with a guess that is refused with a moment, and a recovery.
fn trusted_world() -> World {
    let mut world = World::new();
    let [owner, alice] = [0x41, 0x42].map(acts::Person);
    world.enroll_all(&[owner, alice]);
    world.admit_keepers(&[1, 2]);
    let seal = world.sealed(vault::sealing(owner, 1, &[1, 2], 2), &[1, 2]);
    let ask = |number| Act::Vault(VaultAct::Attempt(vault::vault_attempt(owner, 1, number)));
    let recovery = delegation::recovery(owner);
    let proof = delegation::new_key().sign(&recovery.payload(&world.chain_id()));
    let open = Act::Delegation(DelegationAct::OpenRecovery { recovery, proof });
    let appoint = delegation::appoint(owner, 1, delegation::delegation_terms(1, &[alice]));
    assert_eq!(world.answer(seal, &[owner]), "ACCEPTED");
    assert_eq!(world.answer(appoint, &[owner]), "ACCEPTED");
    world.made(ask(1), &[]);
    assert_eq!(world.answer(ask(2), &[]), "ATTEMPTS_COOLING");
    world.wait(delegation::DELAY_MS);
    let case = world.made(open, &[alice]);
    world.wait(delegation::DELAY_MS);
    let execute = DelegationAct::ExecuteRecovery { recovery, case, judged: None };
    assert_eq!(world.answer(Act::Delegation(execute), &[alice]), "ACCEPTED");
    world
}

#[test]
fn vaults_and_recoveries_are_checked_by_executing_them() {
    let world = trusted_world();
    let blocks = run(&world);
    let verdict = check(&world, &blocks).unwrap();
    assert_eq!((verdict.depth, verdict.tip_digest), (Depth::Execution, *world.ledger.tip()));
    // Whoever says that the guess which came too early was granted is found out, as is another moment.
    let cooling = |outcome: &Outcome| outcome.refusal() == Some(Refusal::AttemptsCooling);
    let at = blocks.iter().position(|block| block.outcomes.iter().any(cooling)).unwrap();
    let changes: [fn(&mut Outcome); 3] =
        [|outcome| outcome.code = 0, |outcome| outcome.data[7] ^= 1, |outcome| outcome.data.clear()];
    for change in changes {
        let mut other = blocks.clone();
        change(&mut other[at].outcomes[0]);
        assert_eq!(check(&world, &other).unwrap_err().height, at as u64 + 1);
        let cause = HistoryFailure::LogRoot;
        assert_eq!(chained(&world, &other).unwrap_err(), Broken { height: at as u64 + 1, cause });
    }
}

#[test]
fn each_thing_that_does_not_hold_is_named_with_its_height() {
    let world = world();
    let at = |height: u64| world.blocks[height as usize - 1].0.clone();
    let (cut, also, chain) = broken(&world, 5, |block| block.block.truncate(block.block.len() - 1));
    assert!(matches!(cut, HistoryFailure::Block(_)) && chain == also && also == Some(cut));

    let (other, also, chain) = broken(&world, 6, |block| *block = proven(&world, 7, 7));
    assert_eq!((&other, also.as_ref()), (&HistoryFailure::Height { found: 7 }, Some(&other)));
    assert_eq!(chain, also);

    // Another block at its height, with a certificate: the quorum signed twice.
    let fork = |parent: [u8; 32]| {
        let mut header = at(6).header().clone();
        header.parent = parent;
        let proposer = world.validators.iter().find(|key| key.public_key() == header.proposer).unwrap();
        let signed = SignedHeader::sign(header, proposer);
        let certificate = certify(&world.validators, &signed, 3);
        (Block::new(signed, at(6).batches).unwrap().encode(), certificate)
    };
    let (cause, also, chain) = broken(&world, 6, |block| {
        let (bytes, certificate) = fork([9; 32]);
        *block = ProvenBlock { block: bytes, certificate, descendants: Vec::new(), ..proven(&world, 6, 6) };
    });
    assert_eq!((&cause, also.as_ref()), (&HistoryFailure::Parent, Some(&cause)));
    assert_eq!(chain, also);

    let (cause, also, chain) = broken(&world, 6, |block| block.descendants[0].header.parent = [1; 32]);
    assert_eq!((&cause, also.as_ref()), (&HistoryFailure::Descendants, Some(&cause)));
    assert_eq!(chain, also);

    for spoil in [
        |block: &mut ProvenBlock| block.certificate.signers[1].signature[7] ^= 1,
        |block: &mut ProvenBlock| block.certificate.signers.truncate(2),
        |block: &mut ProvenBlock| block.certificate.view += 1,
    ] {
        let (cause, also, chain) = broken(&world, 5, spoil);
        assert_eq!(chain, None, "blocks above it certify it");
        assert!(matches!(cause, HistoryFailure::Certificate(Failure::Certificate(_))), "{cause:?}");
        assert_eq!((also, cause.code()), (Some(cause.clone()), "CERTIFICATE_INVALID"));
    }
    let strangers = validators(71, 4);
    let (cause, ..) =
        broken(&world, 5, |block| block.certificate = certify(&strangers, &at(5).signed_header, 3));
    assert!(matches!(cause, HistoryFailure::Certificate(_)));

    let (cause, also, chain) =
        broken(&world, 4, |block| block.outcomes[0] = Outcome::refused(Refusal::AccountExists));
    assert_eq!((cause, chain), (HistoryFailure::Outcome { index: 0 }, Some(HistoryFailure::LogRoot)));
    assert!(matches!(also, Some(HistoryFailure::Log(_))), "the log tells without execution: {also:?}");
    let (cause, also, chain) = broken(&world, 4, |block| drop(block.outcomes.pop()));
    assert_eq!(cause, HistoryFailure::OutcomeCount { entries: 3, outcomes: 2 });
    assert_eq!((&also, &chain), (&Some(cause.clone()), &Some(cause)));

    for spoil in [
        |block: &mut ProvenBlock| block.range_proof[0][0] ^= 1,
        |block: &mut ProvenBlock| block.range_proof.truncate(block.range_proof.len() - 1),
        |block: &mut ProvenBlock| block.range_proof.push([0; 32]),
    ] {
        let (cause, also, chain) = broken(&world, 5, spoil);
        assert!(matches!(cause, HistoryFailure::Log(_)), "{cause:?}");
        assert_eq!((also, chain), (Some(cause), None), "the log that grows needs no proof");
    }
    for height in [2, 5] {
        let (cause, also, chain) = broken(&world, height, |block| block.first_leaf += 1);
        assert_eq!(chain, also);
        assert_eq!((&cause, also.as_ref()), (&HistoryFailure::LogPlace, Some(&cause)));
    }
    let (cause, ..) = broken(&world, 2, |block| block.range_proof.push([0; 32]));
    assert_eq!(cause, HistoryFailure::LogPlace);
}

/// The blocks of another ledger with the same genesis: as anybody can make them up, but for the certificates.
fn made_up(certified: impl Fn(&ProvenBlock, u64) -> Certificate) -> Vec<ProvenBlock> {
    let mut other = World::new();
    for n in 0..12 {
        other.submit(&[Entry::Note(format!("made up {n}").into_bytes())]);
    }
    let mut blocks: Vec<_> = (1..=12).map(|height| proven(&other, height, height)).collect();
    for (height, block) in (1..).zip(&mut blocks) {
        block.certificate = certified(block, height);
    }
    blocks
}

/// A chain can be right in itself and nobody's: nothing of it holds before the last certificate does.
#[test]
fn a_chain_holds_under_the_certificate_of_its_last_block_alone() {
    let world = world();
    let blocks = run(&world);
    for last in 1..=12 {
        assert_eq!(chained(&world, &blocks[..last]).unwrap().to, last as u64);
    }
    let refused = |blocks: &[ProvenBlock]| {
        let found = chained(&world, blocks).unwrap_err();
        assert!(matches!(found.cause, HistoryFailure::Certificate(_)), "{found:?}");
        (found.height, found.cause.code())
    };
    let strangers = validators(71, 4);
    let signed = |block: &ProvenBlock| Block::decode(&block.block).unwrap().signed_header;
    let by_strangers = made_up(|block, _| certify(&strangers, &signed(block), 3));
    assert_eq!(refused(&by_strangers), (12, "CERTIFICATE_INVALID"));
    let too_few = made_up(|block, _| certify(&world.validators, &signed(block), 2));
    assert_eq!(refused(&too_few), (12, "CERTIFICATE_INVALID"));
    // Real certificates, of other blocks.
    let borrowed = made_up(|_, height| proven(&world, height, height).certificate);
    assert_eq!(refused(&borrowed), (12, "CERTIFICATE_INVALID"));
    for spoil in [
        |block: &mut ProvenBlock| block.certificate.signers[2].signature[0] ^= 1,
        |block: &mut ProvenBlock| block.certificate.epoch += 1,
        |block: &mut ProvenBlock| block.certificate.signers[2].index = 7,
    ] {
        let mut other = blocks.clone();
        spoil(&mut other[11]);
        assert_eq!(refused(&other), (12, "CERTIFICATE_INVALID"));
    }
    // Another one's blocks before, between or after: each depth sees where.
    for (first, last) in [(0, 4), (4, 8), (8, 12)] {
        let mut other = blocks.clone();
        other[first..last].clone_from_slice(&by_strangers[first..last]);
        let chain = chained(&world, &other).unwrap_err();
        let at = if first == 0 { last } else { first } as u64 + 1;
        assert_eq!(chain, Broken { height: at, cause: HistoryFailure::Parent });
        assert!(check(&world, &other).unwrap_err().height <= at);
    }
    // An outcome that was changed, with the header that goes with it: the next block follows another one.
    let mut other = blocks.clone();
    let (mut log, first) = (Frontier::default(), other[4].first_leaf as usize);
    let changed =
        Record { outcome: Outcome::refused(Refusal::AccountExists), ..world.records[first].clone() };
    other[4].outcomes = vec![changed.outcome.clone()];
    world.records[..first].iter().chain([&changed]).for_each(|record| log.append(record.id()));
    let (block, _) = &world.blocks[4];
    let header = Header { log_root: log.root(), ..block.header().clone() };
    let lie = SignedHeader::sign(header, &strangers[0]);
    other[4].block = Block::new(lie, block.batches.clone()).unwrap().encode();
    let parent = Broken { height: 6, cause: HistoryFailure::Parent };
    assert_eq!(chained(&world, &other).unwrap_err(), parent);
    assert_eq!(refused(&other[..5]), (5, "CERTIFICATE_INVALID"));
    let mut gap = blocks.clone();
    gap.remove(6);
    let missing = HistoryFailure::Height { found: 8 };
    assert_eq!(chained(&world, &gap).unwrap_err(), Broken { height: 7, cause: missing });
}

/// A quorum of liars can certify what they like: execution still says what does not follow.
#[test]
fn a_certified_block_that_does_not_follow_from_its_batches_is_found_by_execution() {
    let world = world();
    let lie = |change: &dyn Fn(&mut Header)| {
        let (block, _) = &world.blocks[4];
        let mut header = block.header().clone();
        change(&mut header);
        let proposer = world.validators.iter().find(|key| key.public_key() == header.proposer).unwrap();
        let signed = SignedHeader::sign(header, proposer);
        let certificate = certify(&world.validators, &signed, 3);
        let bytes = Block::new(signed, block.batches.clone()).unwrap().encode();
        let mut blocks = run(&world);
        blocks[4] = ProvenBlock { block: bytes, certificate, ..proven(&world, 5, 5) };
        check(&world, &blocks).unwrap_err()
    };
    for change in [
        &(|header: &mut Header| header.state_root = [1; 32]) as &dyn Fn(&mut Header),
        &|header| header.log_root = [1; 32],
        &|header| header.next_set_hash = [1; 32],
        &|header| header.log_size += 1,
        &|header| header.time_ms = 0,
    ] {
        let found = lie(change);
        assert_eq!(found.height, 5);
        assert!(matches!(found.cause, HistoryFailure::Execution(_)), "{found:?}");
    }
}

#[test]
fn a_pinned_block_must_be_the_one_in_the_chain_and_be_reached() {
    let world = world();
    let blocks = run(&world);
    let pinned = |height: u64, digest| {
        let set_hash = *world.genesis.set().hash();
        Trust { checkpoint: Some(Checkpoint { height, digest, set_hash }), ..world.trust() }
    };
    let digest = *world.blocks[6].0.digest();
    let trust = pinned(7, digest);
    for depth in [Depth::Chain, Depth::Execution] {
        let verdict = check_from(&world, &trust, 1, depth, &blocks).unwrap();
        assert_eq!(verdict.anchor, Anchor::Checkpoint { height: 7 });
        check_from(&world, &trust, 9, depth, &blocks[8..]).unwrap();
        let other = check_from(&world, &pinned(7, [1; 32]), 1, depth, &blocks).unwrap_err();
        assert_eq!(other, Broken { height: 7, cause: HistoryFailure::Checkpoint });
        let short = check_from(&world, &trust, 1, depth, &blocks[..6]).unwrap_err();
        assert!(matches!(short.cause, HistoryFailure::Certificate(Failure::OlderThanCheckpoint { .. })));
        let mut of_others = pinned(7, digest);
        of_others.checkpoint.as_mut().unwrap().set_hash = [5; 32];
        let others = check_from(&world, &of_others, 1, depth, &blocks).unwrap_err();
        assert_eq!(others, Broken { height: 7, cause: HistoryFailure::Checkpoint });
    }
}

#[test]
fn every_flipped_bit_of_a_chunk_is_found_at_its_height() {
    let world = world();
    let blocks = run(&world);
    let mut bytes = CHUNK_MAGIC.to_vec();
    let mut ends = Vec::new();
    for block in &blocks {
        bytes.extend(block.encode());
        ends.push(bytes.len());
    }
    let check = |depth, bytes: &[u8]| -> Result<Vec<Record>, (u64, String)> {
        let mut history = History::new(&world.trust(), &world.genesis, &[], 1, depth).unwrap();
        let mut chunk = Chunk::open(bytes).map_err(|error| (0, error.to_string()))?;
        let mut records = Vec::new();
        loop {
            let height = history.next_height();
            match chunk.block().map_err(|error| (height, error.to_string()))? {
                Some(block) => {
                    let held = history.check(&block);
                    let held = held.map_err(|broken| (broken.height, broken.to_string()))?;
                    records.extend(held.records.into_iter().map(|(_, record)| record));
                }
                None => break,
            };
        }
        let verdict = history.finish().map_err(|broken| (broken.height, broken.to_string()))?;
        if verdict.to == 12 { Ok(records) } else { Err((verdict.to, "cut".into())) }
    };
    assert_eq!(check(Depth::Execution, &bytes).unwrap(), world.records);
    for place in 0..bytes.len() {
        let height = ends.iter().position(|end| place < *end).unwrap() as u64 + 1;
        let mut flipped = bytes.clone();
        flipped[place] ^= 1 << (place % 8);
        let found = check(Depth::Execution, &flipped).expect_err(&format!("byte {place} of block {height}"));
        let expected = if place < CHUNK_MAGIC.len() { 0 } else { height };
        // A length that reads on into the next block ends this one where nothing fits any more.
        assert_eq!(found.0, expected, "byte {place}: {}", found.1);
        match check(Depth::Chain, &flipped) {
            // Only what is not looked at: certificates of blocks that others certify, and proofs.
            Ok(records) => assert!(records == world.records, "byte {place}"),
            Err(found) => assert!((expected..=expected + 1).contains(&found.0), "byte {place}: {found:?}"),
        }
    }
    for cut in (0..bytes.len()).step_by(7) {
        for depth in [Depth::Chain, Depth::Execution] {
            assert!(check(depth, &bytes[..cut]).is_err() || cut == 0, "cut at {cut}");
        }
    }
}

#[test]
fn the_files_of_an_export_are_frozen() {
    let world = world();
    let blocks = run(&world);
    let mut golden = Golden::default();
    golden.hex("block with records", blocks[3].encode()).hex("block without records", blocks[1].encode());
    golden.hex("block certified above", blocks[2].encode());
    golden.hex("no links", encode_links(&[]));
    let chunk = |first, last| ChunkName { first, last, sha256: [7; 32] };
    let manifest = Manifest {
        name: world.genesis.name().to_owned(),
        chain_id: world.chain_id(),
        genesis: sha256(&[&world.genesis.encode()]),
        links: sha256(&[&encode_links(&[])]),
        chunks: vec![chunk(1, 9), chunk(10, 12)],
    };
    golden.text("manifest", &manifest.encode()).text("chunk file", &ChunkName::file(10));
    golden.check("exports.json");
}

#[test]
fn decoders_of_exports_refuse_noise_and_never_panic() {
    let world = world();
    let blocks = run(&world);
    let samples = [0, 2, 3].map(|at: usize| [&CHUNK_MAGIC[..], &blocks[at].encode()].concat());
    hammer("chunks", &samples, 4000, |bytes| {
        if let Ok(mut chunk) = Chunk::open(bytes) {
            while let Ok(Some(block)) = chunk.block() {
                let again = [&CHUNK_MAGIC[..], &block.encode()].concat();
                assert_eq!(Chunk::open(&again).unwrap().block().unwrap().as_ref(), Some(&block));
            }
        }
        let _refused = decode_links(bytes);
    });
}
