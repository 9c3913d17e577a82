//! The frozen formats: `tests/vectors/{tags,entries,ledger,contracts,associations,addresses,key-states}.json`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod addresses;
mod runs;

use crate::common::association::{self as groups, GROUP, Holder};
use crate::common::golden::Golden;
use crate::common::{self, ACCOUNT, Keys, World, acts, certify, service, set_of, signer, validators, vault};
use keyward_ledger_core::address::proof_text;
use keyward_ledger_core::block::Regime;
use keyward_ledger_core::block::SignedHeader;
use keyward_ledger_core::certificate::{consensus_namespace, finalize_message, quorum};
use keyward_ledger_core::change::{
    Change, Configuration, Member, RegimeMode, approval_message, change_id, rotation_message,
    submitters_message,
};
use keyward_ledger_core::contracts::attempts::success_message;
use keyward_ledger_core::contracts::authored::authored_message;
use keyward_ledger_core::contracts::regime::{agreement_message, complaint_message};
use keyward_ledger_core::contracts::registry::{
    credential_challenge, possession_challenge, rotation_challenge,
};
use keyward_ledger_core::contracts::timelock::dispute_payload;
use keyward_ledger_core::entry::{Act, Authored, BindCredential, Case, Entry, Mode, Release, kind};
use keyward_ledger_core::entry::{
    Agreement, ApproveChange, Complaint, ComplaintKind, Evidence, ProposeChange, SignedVote,
};
use keyward_ledger_core::genesis::{Role, Submitter};
use keyward_ledger_core::hash::{Tag, account_commitment, signature_hash};
use keyward_ledger_core::outcome::{Outcome, Refusal};
use keyward_ledger_core::scheme::Scheme;
use keyward_ledger_core::state::association;
use keyward_ledger_core::state::layout::{self, KeyStatus, TimelockState, Waiting};
use keyward_ledger_core::state::member::{ChangeState, ChangeStatus, MemberState, TermState};
use keyward_ledger_core::state::regime::{Book, FaultState, Reason, RegimeState, Trigger};
use keyward_ledger_core::trust::{Checkpoint, Trust};

/// RSA-PSS draws a salt, so its signatures are never the same.
fn repeatable() -> Vec<Box<dyn Keys>> {
    signer::all().into_iter().filter(|keys| keys.public_key().scheme() != Scheme::RsaPss).collect()
}

#[test]
fn tags_are_frozen() {
    let mut golden = Golden::default();
    for tag in Tag::ALL {
        assert!(tag.label().len() < 256);
        golden.hex(tag.label(), tag.hash(&[]));
    }
    golden.hex("account of salt 00.. and `bank/alice`", account_commitment(&[0; 32], "bank/alice"));
    golden.hex("signature of 64 zero bytes", signature_hash(&[0; 64]));
    golden.check("tags.json");
}

#[test]
fn entries_and_outcomes_are_frozen() {
    let (mut golden, world) = (Golden::default(), World::new());
    let chain_id = world.chain_id();
    for refusal in Refusal::ALL {
        golden.hex(&format!("outcome {}", refusal.name()), Outcome::refused(*refusal).encode());
    }
    golden.hex("outcome ACCEPTED", Outcome::ACCEPTED.encode());
    for keys in repeatable().into_iter().chain([Box::new(signer::Sm2) as Box<dyn Keys>]) {
        let (key, scheme) = (keys.public_key(), keys.public_key().scheme());
        let challenge = possession_challenge(&chain_id, &ACCOUNT, Mode::Hosted, &key, &[9; 32], 100);
        golden.hex(&format!("{scheme} public key"), key.as_bytes());
        golden.hex(&format!("{scheme} key id"), key.id().0);
        golden.hex(&format!("{scheme} possession challenge"), challenge);
        golden.hex(&format!("{scheme} bind-key"), Entry::BindKey(world.bind(&*keys, [9; 32])).encode());
        if let Some(spki) = key.to_spki_der() {
            golden.hex(&format!("{scheme} public key for openssl"), spki);
        }
    }
    let credential = BindCredential {
        account: ACCOUNT,
        version: 1,
        public_key: world.service.public_key(),
        nonce: [9; 32],
        not_after: 100,
        proof: [0x77; 64],
        holder_signature: None,
    };
    let challenge = credential_challenge(&chain_id, &ACCOUNT, 1, &world.service.public_key(), &[9; 32], 100);
    golden.hex("credential challenge", challenge);
    let (key_id, next) = (signer::Ed25519.public_key().id(), signer::Secp256k1.public_key());
    let challenge = rotation_challenge(&chain_id, &ACCOUNT, Mode::Hosted, &next, &[9; 32], 100, &key_id);
    golden.hex("rotation challenge", challenge);
    let held = BindCredential { holder_signature: Some([0x78; 64]), ..credential.clone() };
    let entries = [
        ("note", Entry::Note(b"hello".to_vec())),
        ("open-account", Entry::OpenAccount { account: ACCOUNT }),
        ("close-account", Entry::CloseAccount { account: ACCOUNT }),
        ("bind-credential", Entry::BindCredential(credential)),
        ("bind-credential with a holder", Entry::BindCredential(held)),
        ("freeze-key", Entry::FreezeKey { key_id }),
        ("unfreeze-key", Entry::UnfreezeKey { key_id }),
        ("schedule-destroy-key", Entry::ScheduleDestroyKey { key_id, wait_ms: 604_800_000 }),
        ("cancel-destroy-key", Entry::CancelDestroyKey { key_id }),
        ("destroy-key", Entry::DestroyKey { key_id }),
        ("rotate-key", Entry::RotateKey(world.rotate(&signer::Secp256k1, [9; 32], key_id))),
        ("bind-key of mode self", Entry::BindKey(world.bind_as(Mode::Own, &signer::Ed25519, [9; 32]))),
        (
            "rotate-self-key",
            Entry::RotateKey(world.rotate_own(&signer::Secp256k1, [9; 32], &signer::Ed25519)),
        ),
        ("intent", Entry::Intent(world.intent([0x11; 32], key_id, b"message"))),
        ("release", Entry::Release(Release { intent_id: [0x11; 32], signature_hash: signature_hash(b"x") })),
    ];
    for (name, entry) in entries {
        golden.hex(name, entry.encode());
    }
    for (name, entry) in common::addresses::bare_samples(&world) {
        golden.hex(name, entry.encode());
    }
    for act in acts::samples() {
        let (name, kind) = (keyward_ledger_core::entry::kind_name(act.kind()), act.kind());
        let (payload, party) = (act.payload(), acts::Person(0x41).party());
        golden.hex(&format!("{name} payload"), payload);
        let message = authored_message(&chain_id, kind, &payload, party, &[9; 32], 100);
        golden.hex(&format!("{name} message"), message);
        golden.hex(name, Entry::Authored(Authored { act, authors: acts::sample_authors() }).encode());
    }
    golden.check("entries.json");
}

#[test]
fn ledger_is_frozen() {
    let (mut golden, mut world) = (Golden::default(), World::new());
    let open = Entry::OpenAccount { account: ACCOUNT };
    let bind = Entry::BindKey(world.bind(&signer::Ed25519, [9; 32]));
    world.submit(&[open.clone(), bind, open, Entry::Note(b"hello".to_vec())]);
    let intent = world.intent([0x11; 32], signer::Ed25519.public_key().id(), b"message");
    world.submit(&[Entry::Intent(intent)]);
    golden.hex("genesis", world.genesis.encode());
    golden.hex("chain id", world.chain_id());
    golden.hex("set hash", world.genesis.set().hash());
    golden.hex("genesis block", world.genesis.block().encode());
    golden.hex("genesis block digest", world.genesis.block().digest());
    for (block, executed) in &world.blocks {
        let (header, height) = (block.header(), block.header().height);
        golden.hex(&format!("block {height}"), block.encode());
        golden.hex(&format!("block {height} digest"), block.digest());
        golden.hex(&format!("block {height} batch digest"), block.batches[0].digest());
        golden.hex(&format!("block {height} batch id"), block.batches[0].id());
        golden.hex(&format!("block {height} log root"), header.log_root);
        golden.hex(&format!("block {height} state root"), header.state_root);
        golden.hex(&format!("block {height} outcomes"), executed.outcomes().encode());
        let certificate = world.certified(height).certificate;
        golden.hex(&format!("block {height} finalize message"), certificate.message(&world.chain_id()));
        golden.hex(&format!("block {height} certificate"), certificate.encode());
    }
    golden.hex("consensus namespace", consensus_namespace(&world.chain_id()));
    for (index, record) in world.records.iter().enumerate() {
        golden.hex(&format!("record {index}"), record.encode());
        golden.hex(&format!("record {index} id"), record.id());
    }
    for (key, value) in world.ledger.state().iter() {
        golden.hex(&format!("state {}", hex::encode(key)), value);
    }
    golden.hex(
        "state proof of the account",
        world.ledger.state().prove(&layout::account_key(&ACCOUNT)).encode(),
    );
    golden.hex("state proof of nobody", world.ledger.state().prove(b"nobody").encode());
    golden.text("trust", &world.trust().encode());
    let block = &world.blocks[1].0;
    let checkpoint = Checkpoint { height: 2, digest: *block.digest(), set_hash: block.header().set_hash };
    golden.text("trust with a checkpoint", &Trust { checkpoint: Some(checkpoint), ..world.trust() }.encode());
    let kept = vault::genesis_with_keepers(&world);
    golden.hex("genesis with keepers", kept.encode());
    golden.hex("genesis with keepers: chain id", kept.chain_id());
    golden.hex("genesis with keepers: block", kept.block().encode());
    for (key, value) in kept.state().iter().filter(|(key, _)| world.genesis.state().get(key).is_none()) {
        golden.hex(&format!("genesis with keepers: state {}", hex::encode(key)), value);
    }
    golden.check("ledger.json");
}

/// One key for each status and form; what the first ledger never had.
#[test]
fn key_states_are_frozen() {
    let mut golden = Golden::default();
    let successor = signer::Ed25519.public_key().id();
    let (scheme, moment) = (Scheme::Ed25519, 1_700_000_604_800_000);
    let first = layout::KeyState {
        account: ACCOUNT,
        mode: Mode::Hosted,
        scheme,
        status: KeyStatus::Active,
        height: 7,
        version: 1,
    };
    let scheduled = |successor| KeyStatus::Scheduled { destroy_after_ms: moment, successor };
    let destroyed = |successor| KeyStatus::Destroyed { at_ms: moment, successor };
    for (name, status, version) in [
        ("active", KeyStatus::Active, 1),
        ("frozen", KeyStatus::Frozen, 1),
        ("active, version 2", KeyStatus::Active, 2),
        ("frozen, version 3", KeyStatus::Frozen, 3),
        ("superseded", KeyStatus::Superseded { successor }, 1),
        ("scheduled", scheduled(None), 1),
        ("scheduled after superseded", scheduled(Some(successor)), 2),
        ("destroyed", destroyed(None), 1),
        ("destroyed after superseded", destroyed(Some(successor)), 2),
    ] {
        golden.hex(name, layout::KeyState { status, version, ..first }.encode());
    }
    golden.hex("of mode self", layout::KeyState { mode: Mode::Own, ..first }.encode());
    golden.hex("of mode shared", layout::KeyState { mode: Mode::Shared, ..first }.encode());
    golden.check("key-states.json");
}

#[test]
fn quorum_is_that_of_a_third_of_faults() {
    let table = [(1, 1), (2, 2), (3, 3), (4, 3), (5, 4), (6, 5), (7, 5), (8, 6), (10, 7), (100, 67)];
    for (members, needed) in table {
        assert_eq!(quorum(members), needed);
    }
}

#[test]
fn certificate_needs_a_quorum_of_distinct_members_with_valid_signatures() {
    let world = World::new();
    let validators = validators(1, 4);
    let set = set_of(&validators);
    let signed_header: SignedHeader = world.genesis.block().signed_header.clone();
    let chain_id = world.chain_id();
    for signers in 0..=4 {
        let certificate = certify(&validators, &signed_header, signers);
        assert_eq!(set.verify(&chain_id, &certificate).is_ok(), signers >= 3, "{signers}");
    }
    let good = certify(&validators, &signed_header, 4);
    type Change = fn(&mut keyward_ledger_core::certificate::Certificate);
    let changes: [Change; 8] = [
        |c| c.epoch += 1,
        |c| c.view += 1,
        |c| c.parent_view += 1,
        |c| c.block_digest[0] ^= 1,
        |c| c.signers[3].index = 4,
        |c| c.signers[3].index = u32::MAX,
        |c| c.signers[3].signature[0] ^= 1,
        |c| c.signers.swap(0, 1),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let mut certificate = good.clone();
        change(&mut certificate);
        assert!(set.verify(&chain_id, &certificate).is_err(), "change {number}");
    }
    let mut twice = good.clone();
    twice.signers[1] = twice.signers[0];
    assert!(keyward_ledger_core::certificate::Certificate::decode(&twice.encode()).is_err());
    assert!(set.verify(&chain_id, &twice).is_err());
    assert!(set.verify(&[0; 32], &good).is_err(), "another ledger");
}

/// What members decide: entries, changes, what is signed, and how it stands in the state.
#[test]
fn changes_are_frozen() {
    let (mut golden, world) = (Golden::default(), World::new());
    let chain_id = world.chain_id();
    let member = Member {
        key: world.validators[0].public_key(),
        name: "bank-a".into(),
        peer: "10.1.2.3:7000".parse().unwrap(),
        rpc: "https://a.example:7443".into(),
    };
    let away = Member { peer: "[2001:db8::1]:7001".parse().unwrap(), ..member.clone() };
    let (old, new) = (world.validators[0].public_key(), world.validators[1].public_key());
    let submitter = Submitter { key: old, role: Role::Keeper, block_entries_max: 9 };
    let configuration =
        Configuration { version: 1, mode: RegimeMode::Strict, ..Configuration::initial(5000) };
    golden.hex("member message", member.message(&chain_id));
    golden.hex("rotation message", rotation_message(&chain_id, &old, &new));
    let submitters = [old, new].map(|key| Submitter { key, role: Role::Service, block_entries_max: 9 });
    golden.hex("submitters message", submitters_message(&member.key, &submitters));
    let changes = [
        Change::Admit { member: member.clone(), proof: [7; 64] },
        Change::Admit { member: away, proof: [8; 64] },
        Change::Promote { key: old },
        Change::Remove { key: old },
        Change::Rotate { old, new, proof: [9; 64] },
        Change::SetSubmitter(submitter),
        Change::RemoveSubmitter { key: old },
        Change::Configure(configuration),
        Change::Announce { version: 2, from_epoch: 77 },
        Change::SetKeeper { keeper: vault::keeper(1), block_entries_max: 9, proof: [10; 64] },
        Change::RemoveKeeper { id: vault::id_of(1) },
    ];
    for (number, change) in changes.iter().enumerate() {
        golden.hex(&format!("change {number} {}", change.name()), change.encode());
        assert_eq!(Change::decode(&change.encode()).unwrap(), *change);
    }
    let change = changes[2].encode();
    let id = change_id(&chain_id, &old, 500, &change);
    golden.hex("change id", id);
    golden.hex("approval message", approval_message(&chain_id, &id));
    let propose = ProposeChange { change: change.clone(), not_after: 500, proposer: old, signature: [1; 64] };
    golden.hex("propose-change", Entry::ProposeChange(propose).encode());
    let approve = ApproveChange { change_id: id, validator: new, signature: [2; 64] };
    golden.hex("approve-change", Entry::ApproveChange(approve).encode());
    let state = MemberState { present: true, height: 9, member };
    golden.hex("member state", state.encode());
    let waiting = ChangeState {
        status: ChangeStatus::Pending,
        height: 9,
        not_after: 500,
        proposer: old,
        approvals: vec![old, new],
        change,
    };
    golden.hex("change state", waiting.encode());
    let set = world.genesis.set().clone();
    let term = TermState { first_epoch: 3, regime: Regime::Fast, set, suspects: vec![old] };
    golden.hex("term state", term.encode());
    let finalize = finalize_message(&chain_id, 3, 300, 299, &[5; 32]);
    let vote = SignedVote { message: finalize, signature: [3; 64] };
    let evidence = Evidence { validator: old, votes: [vote.clone(), vote] };
    golden.hex("evidence", Entry::Evidence(evidence).encode());
    let complaint = Complaint {
        kind: ComplaintKind::SkippedViews,
        author: old,
        epoch: 3,
        number: 40,
        hash: [0; 32],
        signature: [4; 64],
    };
    golden.hex("complaint message", complaint_message(&chain_id, &complaint));
    golden.hex("complaint", Entry::Complaint(complaint).encode());
    golden.hex("agreement message", agreement_message(&chain_id, &old, 768, &[6; 32]));
    let agreement = Agreement { member: old, height: 768, state_root: [6; 32], signature: [5; 64] };
    golden.hex("agreement", Entry::Agreement(agreement).encode());
    let trigger = Trigger { reason: Reason::Equivocation, leaf_index: 77, subject: old };
    let regime = RegimeState { regime: Regime::Strict, first_epoch: 4, height: 1023, trigger };
    golden.hex("regime state", regime.encode());
    let book = Book { fault_epoch: 3, suspects: vec![old], waiting: Some(trigger) };
    golden.hex("regime book", book.encode());
    golden.hex("regime fault", FaultState { epoch: 3, view: 300, leaf_index: 77 }.encode());
    golden.check("changes.json");
}
