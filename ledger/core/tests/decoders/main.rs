//! Every decoder: refuses each cut and each extra byte, never panics, and accepts only what it would write.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod keys;
mod states;

use crate::common::association::{self, GROUP, Holder};
use crate::common::{
    ACCOUNT, Keys, World, acts, addresses, delegation, mutate::hammer, shared, signer, vault,
};
use keyward_ledger_core::batch::UnverifiedBatch;
use keyward_ledger_core::block::{Block, Header, Regime, SignedHeader};
use keyward_ledger_core::certificate::{Certificate, ValidatorSet, finalize_message};
use keyward_ledger_core::change::{Change, Configuration, Member, RECOVERY_DELAY_MIN_MS};
use keyward_ledger_core::ed25519::SigningKey;
use keyward_ledger_core::entry::Member as Associate;
use keyward_ledger_core::entry::{Act, Authored, BindCredential, DelegationTerms, Entry, Release};
use keyward_ledger_core::entry::{
    Agreement, ApproveChange, Complaint, ComplaintKind, Evidence, ProposeChange, SignedVote,
};
use keyward_ledger_core::execute::{BlockOutcomes, LedgerHead};
use keyward_ledger_core::genesis::{Genesis, Role, Submitter};
use keyward_ledger_core::keeper::Keeper;
use keyward_ledger_core::log::Frontier;
use keyward_ledger_core::outcome::{Outcome, Refusal};
use keyward_ledger_core::receipt::{Receipt, StateReceipt};
use keyward_ledger_core::record::Record;
use keyward_ledger_core::scheme::{KeyId, PublicKey, PublicKeyError, Scheme};
use keyward_ledger_core::state::association::MemberState as AssociateState;
use keyward_ledger_core::state::association::{AddressState, AssociationState, DisputeState};
use keyward_ledger_core::state::delegation::{DelegationState, Delegations, NextDelegation};
use keyward_ledger_core::state::keeper::KeeperState;
use keyward_ledger_core::state::member::{ChangeState, ChangeStatus, MemberState, TermState};
use keyward_ledger_core::state::policy::PolicyState;
use keyward_ledger_core::state::regime::{Book, Reason, RegimeState, Trigger};
use keyward_ledger_core::state::shared::{
    PendingDevice, SharedIntentState, SharedKeyState, SharedNameState, SharedRunState, shared_attempts,
};
use keyward_ledger_core::state::vault::{HolderState, VaultState};
use keyward_ledger_core::state::{StateProof, layout};
use keyward_ledger_core::trust::{Checkpoint, Trust};
use keyward_ledger_core::vault::{Refresh, Sealing};
use keyward_ledger_core::vote::Vote;

const ROUNDS: usize = 4_000;

/// Decodes and encodes again; none when refused.
type Decoder = fn(&[u8]) -> Option<Vec<u8>>;

/// A decoder's rule: cuts and extra bytes are refused, and what is accepted has one encoding.
fn check(name: &str, samples: &[Vec<u8>], decode: Decoder) {
    for sample in samples {
        assert_eq!(decode(sample).as_ref(), Some(sample), "{name}");
        for end in 0..sample.len() {
            assert_eq!(decode(&sample[..end]), None, "{name} cut at {end} of {}", sample.len());
        }
        assert_eq!(decode(&[sample.as_slice(), &[0]].concat()), None, "{name} with one byte more");
    }
    hammer(name, samples, ROUNDS, |bytes| {
        if let Some(again) = decode(bytes) {
            assert_eq!(again, bytes, "{name} accepts bytes that it would not write");
        }
    });
}

fn entries(world: &World) -> Vec<Entry> {
    let credential = BindCredential {
        account: ACCOUNT,
        version: 2,
        public_key: [1; 32],
        nonce: [2; 32],
        not_after: 3,
        proof: [4; 64],
        holder_signature: Some([5; 64]),
    };
    let mut entries = vec![
        Entry::OpenAccount { account: ACCOUNT },
        Entry::CloseAccount { account: ACCOUNT },
        Entry::BindCredential(BindCredential { holder_signature: None, ..credential.clone() }),
        Entry::BindCredential(credential),
        Entry::FreezeKey { key_id: signer::P256.public_key().id() },
        Entry::UnfreezeKey { key_id: signer::P256.public_key().id() },
        Entry::ScheduleDestroyKey { key_id: signer::P256.public_key().id(), wait_ms: 7 },
        Entry::CancelDestroyKey { key_id: signer::P256.public_key().id() },
        Entry::DestroyKey { key_id: signer::P256.public_key().id() },
        Entry::RotateKey(world.rotate(&signer::Ed25519, [9; 32], signer::P256.public_key().id())),
        Entry::RotateKey(world.rotate_own(&signer::Ed25519, [9; 32], &signer::P256)),
        Entry::Intent(world.intent([1; 32], signer::P256.public_key().id(), b"m")),
        Entry::Release(Release { intent_id: [1; 32], signature_hash: [2; 32] }),
        Entry::ProposeChange(ProposeChange {
            change: Change::Promote { key: [3; 32] }.encode(),
            not_after: 9,
            proposer: [4; 32],
            signature: [5; 64],
        }),
        Entry::ApproveChange(ApproveChange { change_id: [1; 32], validator: [2; 32], signature: [3; 64] }),
        Entry::Evidence(Evidence { validator: [1; 32], votes: [vote(7), vote(9)] }),
        Entry::Complaint(Complaint {
            kind: ComplaintKind::Unheard,
            author: [1; 32],
            epoch: 2,
            number: 3,
            hash: [4; 32],
            signature: [5; 64],
        }),
        Entry::Agreement(Agreement { member: [1; 32], height: 2, state_root: [3; 32], signature: [4; 64] }),
    ];
    entries.extend(addresses::bare_samples(world).into_iter().map(|(_, entry)| entry));
    let authored = |(number, act)| {
        // None, one of each kind: every list has a sample that holds something.
        let authors = if number % 2 == 0 { acts::sample_authors() } else { Vec::new() };
        Entry::Authored(Authored { act, authors })
    };
    entries.extend((0..).zip([acts::samples(), shared::other_intents()].concat()).map(authored));
    entries.extend(signer::all().iter().map(|keys| Entry::BindKey(world.bind(&**keys, [9; 32]))));
    entries
}

fn vote(len: usize) -> SignedVote {
    SignedVote { message: vec![6; len], signature: [8; 64] }
}

#[test]
fn changes_and_what_the_state_holds_of_them() {
    let member = Member {
        key: [1; 32],
        name: "bank-a".into(),
        peer: "10.1.2.3:7000".parse().unwrap(),
        rpc: "https://a.example:7443".into(),
    };
    let away = Member { peer: "[2001:db8::1]:7001".parse().unwrap(), ..member.clone() };
    let beside = Keeper { validator: Some([6; 32]), ..vault::keeper(2) };
    let changes = [
        Change::Admit { member: member.clone(), proof: [7; 64] },
        Change::Admit { member: away, proof: [8; 64] },
        Change::Promote { key: [2; 32] },
        Change::Remove { key: [2; 32] },
        Change::Rotate { old: [2; 32], new: [3; 32], proof: [9; 64] },
        Change::SetSubmitter(Submitter { key: [4; 32], role: Role::Keeper, block_entries_max: 9 }),
        Change::RemoveSubmitter { key: [4; 32] },
        Change::Configure(Configuration::initial(5000)),
        Change::Announce { version: 2, from_epoch: 77 },
        Change::SetKeeper { keeper: vault::keeper(1), block_entries_max: 9, proof: [9; 64] },
        Change::SetKeeper { keeper: beside, block_entries_max: 9, proof: [9; 64] },
        Change::RemoveKeeper { id: vault::id_of(1) },
    ];
    let samples: Vec<_> = changes.iter().map(Change::encode).collect();
    check("change", &samples, |bytes| Change::decode(bytes).ok().map(|change| change.encode()));
    check_configuration();
    let state = ChangeState {
        status: ChangeStatus::Dropped,
        height: 9,
        not_after: 500,
        proposer: [1; 32],
        approvals: vec![[1; 32], [2; 32]],
        change: samples[2].clone(),
    };
    check("change state", &[state.encode()], |bytes| {
        ChangeState::decode(bytes).ok().map(|state| state.encode())
    });
    let state = MemberState { present: true, height: 9, member };
    check("member state", &[state.encode()], |bytes| {
        MemberState::decode(&[1; 32], bytes).ok().map(|state| state.encode())
    });
    let term = TermState {
        first_epoch: 3,
        regime: Regime::Fast,
        set: world().genesis.set().clone(),
        suspects: vec![[1; 32]],
    };
    check("term", &[term.encode()], |bytes| TermState::decode(bytes).ok().map(|term| term.encode()));
    let trigger = Trigger { reason: Reason::Scrubs, leaf_index: 77, subject: [1; 32] };
    let regime = RegimeState { regime: Regime::Strict, first_epoch: 4, height: 1023, trigger };
    check("regime", &[regime.encode()], |bytes| RegimeState::decode(bytes).ok().map(|state| state.encode()));
    let book = Book { fault_epoch: 3, suspects: vec![[1; 32]], waiting: Some(trigger) };
    let calm = Book::default();
    check("book", &[book.encode(), calm.encode()], |bytes| {
        Book::decode(bytes).ok().map(|book| book.encode())
    });
    let vote = finalize_message(&[7; 32], 300, 5_000_000, 4_999_999, &[9; 32]);
    hammer("vote", &[vote], ROUNDS, |bytes| {
        // One vote has one message: what parses says where it differs.
        let _read = Vote::parse(&[7; 32], bytes);
    });
}

fn world() -> World {
    let mut world = World::new();
    let bind = world.bind(&signer::P256, [1; 32]);
    world.submit(&[
        Entry::OpenAccount { account: ACCOUNT },
        Entry::BindKey(bind),
        Entry::OpenAccount { account: ACCOUNT },
    ]);
    let intent = world.intent([1; 32], signer::P256.public_key().id(), b"message");
    world.submit(&[Entry::Intent(intent), Entry::Note(b"note".to_vec())]);
    world
}

#[test]
fn entries_records_and_outcomes() {
    let world = world();
    let samples: Vec<_> = entries(&world).iter().map(Entry::encode).collect();
    check("entry", &samples, |bytes| match Entry::decode(bytes).ok()? {
        Entry::Note(_) => None,
        entry => Some(entry.encode()),
    });
    // A note is whatever follows its kind.
    assert_eq!(Entry::decode(&[0, 1]).unwrap(), Entry::Note(Vec::new()));
    assert!(Entry::decode(&[0]).is_err());
    let records: Vec<_> = world.records.iter().map(Record::encode).collect();
    check("record", &records, |bytes| Record::decode(bytes).ok().map(|record| record.encode()));
    let outcomes: Vec<_> = Refusal::ALL.iter().map(|refusal| Outcome::refused(*refusal).encode()).collect();
    check("outcome", &outcomes, |bytes| Outcome::decode(bytes).ok().map(|outcome| outcome.encode()));
    let blocks: Vec<_> = world.blocks.iter().map(|(_, executed)| executed.outcomes().encode()).collect();
    check("block outcomes", &blocks, |bytes| {
        BlockOutcomes::decode(bytes).ok().map(|outcomes| outcomes.encode())
    });
}

#[test]
fn batches_blocks_and_genesis() {
    let world = world();
    let (block, executed) = &world.blocks[1];
    check("batch", &[block.batches[0].bytes().to_vec()], |bytes| {
        UnverifiedBatch::decode(bytes).ok().map(|batch| batch.bytes().to_vec())
    });
    check("block", &[block.encode(), world.genesis.block().encode()], |bytes| {
        Block::decode(bytes).ok().map(|block| block.encode())
    });
    let header = block.header().encode();
    check("header", &[header.to_vec()], |bytes| {
        Header::decode(bytes).ok().map(|header| header.encode().to_vec())
    });
    check("signed header", &[block.signed_header.encode().to_vec()], |bytes| {
        SignedHeader::decode(bytes).ok().map(|header| header.encode().to_vec())
    });
    let founded = [world.genesis.encode(), vault::genesis_with_keepers(&world).encode()];
    check("genesis", &founded, |bytes| Genesis::decode(bytes).ok().map(|genesis| genesis.encode()));
    let log = executed.ledger.log().clone();
    check("frontier", &[log.encode()], |bytes| Frontier::decode(bytes).ok().map(|log| log.encode()));
    let head = LedgerHead { signed_header: block.signed_header.clone(), log };
    check("ledger head", &[head.encode()], |bytes| LedgerHead::decode(bytes).ok().map(|head| head.encode()));
}

#[test]
fn receipts_and_what_they_are_made_of() {
    let world = world();
    let certified = world.certified(2);
    check("certificate", &[certified.certificate.encode()], |bytes| {
        Certificate::decode(bytes).ok().map(|certificate| certificate.encode())
    });
    check("validator set", &[world.genesis.set().encode()], |bytes| {
        ValidatorSet::decode(bytes).ok().map(|set| set.encode())
    });
    let released = World::released(&signer::P256, b"message");
    let receipts = [world.receipt(3, 2, Some(released)).encode(), world.receipt(0, 2, None).encode()];
    check("receipt", &receipts, |bytes| Receipt::decode(bytes).ok().map(|receipt| receipt.encode()));
    let keys = [layout::account_key(&ACCOUNT), b"nobody".to_vec()];
    let proofs: Vec<_> = keys.iter().map(|key| world.ledger.state().prove(key).encode()).collect();
    check("state proof", &proofs, |bytes| StateProof::decode(bytes).ok().map(|proof| proof.encode()));
    let receipts: Vec<_> = keys.iter().map(|key| world.state_receipt(key).encode()).collect();
    check("state receipt", &receipts, |bytes| {
        StateReceipt::decode(bytes).ok().map(|receipt| receipt.encode())
    });
    let checkpoint = Checkpoint { height: 2, digest: [1; 32], set_hash: [2; 32] };
    let pinned = Trust { checkpoint: Some(checkpoint), ..world.trust() };
    let lines = [world.trust().encode().into_bytes(), pinned.encode().into_bytes()];
    check("trust", &lines, |bytes| Trust::decode(bytes).ok().map(|trust| trust.encode().into_bytes()));
}

/// A configuration with another delay is a short one and eight bytes more, which say anything but a day.
fn check_configuration() {
    let short = Configuration::initial(5000);
    let long = Configuration { recovery_delay_min_ms: 60_000, ..short };
    let (short, long) = (short.encode(), long.encode());
    let again = |bytes: &[u8]| Configuration::decode(bytes).ok().map(|state| state.encode());
    for end in 0..long.len() {
        assert_eq!(again(&long[..end]), (end == short.len()).then(|| short.clone()), "cut at {end}");
    }
    assert_eq!(again(&long), Some(long.clone()));
    assert_eq!(again(&[long.as_slice(), &[0]].concat()), None);
    let day = [short.as_slice(), &RECOVERY_DELAY_MIN_MS.to_be_bytes()].concat();
    assert_eq!(again(&day), None, "a day is not written");
    hammer("configuration", &[short, long], ROUNDS, |bytes| {
        if let Some(written) = again(bytes) {
            assert_eq!(written, bytes);
        }
    });
}
