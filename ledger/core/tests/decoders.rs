//! Every decoder: refuses each cut and each extra byte, never panics, and accepts only what it would write.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::association::{self, GROUP, Holder};
use common::{ACCOUNT, Keys, World, acts, delegation, mutate::hammer, shared, signer, vault};
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

#[test]
fn state_values() {
    let world = world();
    let value = |prefix: &[u8]| {
        let (_, value) = world.ledger.state().iter().find(|(key, _)| key.starts_with(prefix)).unwrap();
        vec![value.to_vec()]
    };
    check("parameters", &value(b"parameters"), |b| layout::Parameters::decode(b).ok().map(|v| v.encode()));
    check("submitter", &value(b"submitter/"), |b| layout::SubmitterState::decode(b).ok().map(|v| v.encode()));
    check("batch state", &value(b"batch/"), |b| layout::BatchState::decode(b).ok().map(|v| v.encode()));
    check("account", &value(b"account/"), |b| layout::AccountState::decode(b).ok().map(|v| v.encode()));
    check_keys(&value(b"key/"));
    check("intent", &value(b"intent/"), |b| layout::IntentState::decode(b).ok().map(|v| v.encode()));
    let credential = layout::CredentialState { version: 1, public_key: [1; 32] }.encode();
    check("credential", &[credential], |b| layout::CredentialState::decode(b).ok().map(|v| v.encode()));
}

/// Rules and cases as the contracts leave them behind.
#[test]
fn rules_and_cases_of_the_state() {
    let mut world = World::new();
    let [owner, alice, bob] = [0x41, 0x42, 0x43].map(acts::Person);
    world.enroll_all(&[owner, alice, bob]);
    let rule = owner.rule();
    let mut timelock = acts::timelock_terms(1, &[alice, bob], &[owner]);
    timelock.judges = Some([5; 32]);
    let attempts = keyward_ledger_core::entry::AttemptsTerms {
        needed: 1,
        askers: acts::parties(&[alice, bob]),
        ..acts::attempts_terms()
    };
    for act in [
        Act::DefineAttempts(acts::define(owner, 1, attempts)),
        Act::DefineRate(acts::define(owner, 1, acts::rate_terms())),
        Act::DefineApproval(acts::define(owner, 1, acts::approval_terms(&[(1, &[alice]), (1, &[bob])]))),
        Act::DefineTimelock(acts::define(owner, 1, timelock)),
    ] {
        assert_eq!(world.answer(act, &[owner]), "ACCEPTED");
    }
    world.made(Act::GrantAttempt { rule, attempt: acts::attempt(1, 1) }, &[alice]);
    let open = Act::OpenApproval { rule, payload: acts::PAYLOAD, live_ms: 60_000 };
    let case = acts::case(world.made(open, &[owner]));
    world.act(Act::Approve { case, group: 1 }, &[bob]);
    world.made(Act::OpenTimelock { rule, payload: acts::PAYLOAD }, &[alice]);
    let value = |prefix: &[u8]| -> Vec<Vec<u8>> {
        let (_, value) = world.ledger.state().iter().find(|(key, _)| key.starts_with(prefix)).unwrap();
        vec![value.to_vec()]
    };
    macro_rules! states {
        ($($prefix:literal $state:ident,)*) => {
            $(check($prefix, &value($prefix.as_bytes()), |b| {
                layout::$state::decode(b).ok().map(|value| value.encode())
            });)*
        };
    }
    states! {
        "attempts/rule/" AttemptsState,
        "attempts/grant/" GrantState,
        "rate/rule/" RateState,
        "approval/rule/" ApprovalState,
        "approval/case/" ApprovalCase,
        "timelock/rule/" TimelockState,
        "timelock/case/" TimelockCase,
    }
}

/// What keepers and clients read of a vault, and what the state keeps of it.
#[test]
fn vaults_and_keepers() {
    let owner = acts::Person(0x41);
    let mut asked = vault::sealing(owner, 2, &[3, 1, 2], 3);
    (asked.terms.needed, asked.terms.askers) = (1, acts::parties(&[owner, acts::Person(0x42)]));
    let ending = Sealing { expires_ms: Some(1 << 41), ..asked.clone() };
    let sealings = [vault::sealing(owner, 1, &[1, 2], 2), asked.clone(), ending].map(|it| it.encode());
    check("sealing", &sealings, |bytes| Sealing::decode(bytes).ok().map(|sealing| sealing.encode()));
    let refresh = vault::refresh(owner, 1, 2, vault::shares(&[1, 2, 3], 2, 1));
    let refreshes = [refresh.encode(), Refresh { expires_ms: Some(u64::MAX), ..refresh.clone() }.encode()];
    check("refresh", &refreshes, |bytes| Refresh::decode(bytes).ok().map(|refresh| refresh.encode()));
    let state = VaultState {
        vault: vault::vault_of(owner),
        destroyed: true,
        version: 2,
        sealing: asked.hash(),
        sealing_leaf: 7,
        share_version: 2,
        shares: refresh.hash(),
        shares_leaf: 9,
        threshold: 2,
        keepers: refresh.shares.keepers.clone(),
        constants: refresh.shares.constants().unwrap(),
    };
    check("vault", &[state.encode()], |bytes| VaultState::decode(bytes).ok().map(|state| state.encode()));
    let holder = HolderState { held: 2, erased: 1 };
    check("holder", &[holder.encode()], |bytes| {
        HolderState::decode(bytes).ok().map(|holder| holder.encode())
    });
    let states = [None, Some([6; 32])].map(|validator| {
        let keeper = Keeper { validator, ..vault::keeper(1) };
        KeeperState { present: true, height: 9, keeper }.encode()
    });
    check("keeper", &states, |bytes| KeeperState::decode(bytes).ok().map(|state| state.encode()));
    // A list that no sealing can mean is refused before it is read.
    let mut long = vault::sealing(owner, 1, &(1..=16).collect::<Vec<_>>(), 2);
    assert!(Sealing::decode(&long.encode()).is_ok());
    long.shares.keepers.push([1; 32]);
    assert!(Sealing::decode(&long.encode()).is_err());
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

/// Delegations, with every part there and not there.
#[test]
fn delegations() {
    let terms = delegation::delegation_terms(1, &[acts::Person(0x42), acts::Person(0x43)]);
    let (judges, vetoers) = (Some(acts::Person(0x44).rule()), (1..=4).map(|key| KeyId([key; 32])).collect());
    let judged = DelegationTerms { judges, vetoers, ..terms.clone() };
    let next = |terms| Some(NextDelegation { version: 4, from_ms: 7, terms });
    let states = [
        (None, None),
        (Some(terms.clone()), None),
        (Some(judged.clone()), next(None)),
        (None, next(Some(terms))),
        (Some(judged.clone()), next(Some(judged))),
    ];
    let samples = states.map(|(terms, next)| {
        DelegationState { rule: acts::Person(0x41).rule(), version: 3, stopped: true, terms, next }.encode()
    });
    check("delegation", &samples, |bytes| DelegationState::decode(bytes).ok().map(|state| state.encode()));
    let rules = vec![[2; 32], [3; 32]];
    let all = Delegations { rules, recovery: Some([2; 32]), changes: 3, hold_ms: 9, names: 4 };
    check("delegations", &[all.encode(), Delegations::default().encode()], |bytes| {
        Delegations::decode(bytes).ok().map(|all| all.encode())
    });
}

/// Associations and the places of addresses, with every part there and not there; a tenant's policy.
#[test]
fn associations_and_policies() {
    let [alice, bob] = [0x42, 0x43].map(acts::Person);
    let member = |holder: Holder| {
        let Associate { account, address, proof } = holder.member(&[1; 32], &GROUP, 3, alice);
        AssociateState { account, address, since: 3, proof }
    };
    let mut members = [Holder::Ethereum(7), Holder::Bitcoin(8, 0), Holder::Sm2].map(member).to_vec();
    members.sort_by(|one, other| one.address.cmp(&other.address));
    let short = AssociationState {
        version: 1,
        terms: association::terms((1, &[alice]), (1, &[alice, bob])),
        members: Vec::new(),
        disputes: 0,
        dispute: None,
        heard: Vec::new(),
        leaf: 5,
    };
    let dispute = Some(DisputeState { account: alice.account(), reason: [4; 32] });
    let heard = vec![bob.account(), alice.account()];
    let long = AssociationState { version: 4, members, disputes: 2, dispute, heard, ..short.clone() };
    check("association", &[short.encode(), long.encode()], |bytes| {
        AssociationState::decode(bytes).ok().map(|state| state.encode())
    });
    let places = [None, Some(9)].map(|left| AddressState { association: GROUP, since: 3, left }.encode());
    check("address", &places, |bytes| AddressState::decode(bytes).ok().map(|state| state.encode()));
    let policy = PolicyState { version: 2, set: [3; 32], rule: [4; 32], leaf: 5 }.encode();
    check("policy", &[policy], |bytes| PolicyState::decode(bytes).ok().map(|state| state.encode()));
}

/// Shared keys, how they are generated and what their intents allow, with every part there and not there.
#[test]
fn shared_keys() {
    let owner = acts::Person(0x41);
    let opening = shared::opening(owner, 2, &[3, 1, 2], 1 << 41);
    let run = SharedRunState {
        expires_ms: 1 << 41,
        name: opening.name,
        scheme: opening.scheme,
        circle: opening.circle,
        attempt: 2,
        lock_ms: 7,
        device: opening.device,
        speakers: vec![owner.party(), acts::Person(0x42).party()],
        openings: opening.openings,
    };
    let names = [SharedNameState::Run(Box::new(run.clone())), SharedNameState::Bound(KeyId([4; 32]))];
    check("shared name", &names.map(|name| name.encode()), |bytes| {
        SharedNameState::decode(bytes).ok().map(|name| name.encode())
    });
    check("attempts", &[7_u32.to_be_bytes().to_vec()], |bytes| {
        shared_attempts(Some(bytes)).ok().map(|attempts| attempts.to_be_bytes().to_vec())
    });
    let key = SharedKeyState {
        name: run.name,
        scheme: run.scheme,
        circle: run.circle,
        key_hash: [1; 32],
        share_version: 3,
        device: run.device,
        lock_ms: 7,
        approval_rule: None,
        policy_tenant: None,
        speakers: run.speakers,
        pending: None,
        leaf: 9,
    };
    let pending = Some(PendingDevice { device: shared::device(2), opens_ms: 1 << 41 });
    let full =
        SharedKeyState { approval_rule: Some([2; 32]), policy_tenant: Some([3; 32]), pending, ..key.clone() };
    check("shared key", &[key.encode(), full.encode()], |bytes| {
        SharedKeyState::decode(bytes).ok().map(|key| key.encode())
    });
    let intents = [None, Some([5; 32])].map(|approved_rule| {
        SharedIntentState { not_after: 9, act: [6; 32], share_version: 1, approved_rule }.encode()
    });
    check("shared intent", &intents, |bytes| {
        SharedIntentState::decode(bytes).ok().map(|intent| intent.encode())
    });
}

/// A key's short form and its forms with version, moment and successor, of each status.
fn check_keys(short: &[Vec<u8>]) {
    use layout::{KeyState, KeyStatus};
    let decode: Decoder = |bytes| KeyState::decode(bytes).ok().map(|value| value.encode());
    assert!(!short.is_empty() && short.iter().all(|value| value.len() == 43));
    let first = KeyState::decode(&short[0]).unwrap();
    let some = Some(KeyId([7; 32]));
    let statuses = [
        KeyStatus::Superseded { successor: KeyId([7; 32]) },
        KeyStatus::Scheduled { destroy_after_ms: 5, successor: None },
        KeyStatus::Scheduled { destroy_after_ms: u64::MAX, successor: some },
        KeyStatus::Destroyed { at_ms: 5, successor: None },
        KeyStatus::Destroyed { at_ms: 5, successor: some },
    ];
    let long = statuses.map(|status| KeyState { status, ..first }.encode());
    let later = [KeyStatus::Active, KeyStatus::Frozen]
        .map(|status| KeyState { status, version: 2, ..first }.encode());
    // A cut at the end of the short form is no other value: only active and frozen keys have one.
    check("key in its short form", short, decode);
    for sample in long.iter().chain(&later) {
        assert_eq!(decode(sample).as_ref(), Some(sample));
        for end in (0..sample.len()).filter(|end| *end != 43) {
            assert_eq!(decode(&sample[..end]), None, "key cut at {end}");
        }
        assert_eq!(decode(&[sample.as_slice(), &[0]].concat()), None);
    }
    assert!(long.iter().all(|sample| decode(&sample[..43]).is_none()));
    let samples: Vec<_> = [short, &long, &later].concat();
    hammer("key", &samples, ROUNDS, |bytes| {
        if let Some(again) = decode(bytes) {
            assert_eq!(again, bytes);
        }
    });
    let padded = [short[0].as_slice(), &1_u32.to_be_bytes(), &[0; 9]].concat();
    assert_eq!(decode(&padded), None, "the long form of a short one");
}

#[test]
fn public_keys_have_one_encoding() {
    for keys in signer::all().into_iter().chain([Box::new(signer::Sm2) as Box<dyn Keys>]) {
        let key = keys.public_key();
        let (scheme, good) = (key.scheme(), key.as_bytes());
        assert_eq!(PublicKey::parse(scheme, good).unwrap(), key);
        for end in 0..good.len() {
            assert!(PublicKey::parse(scheme, &good[..end]).is_err(), "{scheme} cut at {end}");
        }
        assert!(PublicKey::parse(scheme, &[good, &[0]].concat()).is_err());
        hammer(scheme.name(), &[good.to_vec()], 500, |bytes| {
            if let Ok(key) = PublicKey::parse(scheme, bytes) {
                assert_eq!(key.as_bytes(), bytes);
                let _ = keyward_ledger_core::scheme::verify(&key, b"m", &vec![7; key.signature_len()]);
            }
        });
        let signature = keys.sign(b"message");
        assert_eq!(signature.len(), key.signature_len());
        for at in 0..signature.len() {
            let mut changed = signature.clone();
            changed[at] ^= 1;
            assert!(
                keyward_ledger_core::scheme::verify(&key, b"message", &changed).is_err(),
                "{scheme} byte {at}"
            );
        }
        assert!(keyward_ledger_core::scheme::verify(&key, b"message", &signature[1..]).is_err());
        assert!(keyward_ledger_core::scheme::verify(&key, b"massage", &signature).is_err());
    }
    let small = SigningKey::from_seed(&[1; 32]).public_key();
    assert!(PublicKey::from_sec1(Scheme::Ed25519, &small).is_err());
    assert!(PublicKey::from_rsa(Scheme::RsaPss, &[0xff; 255], &[1, 0, 1]).is_err(), "2040 bits");
    assert!(PublicKey::from_rsa(Scheme::RsaPss, &[0xff; 1025], &[1, 0, 1]).is_err(), "8200 bits");
    assert!(PublicKey::from_rsa(Scheme::RsaPss, &[0xfe; 256], &[1, 0, 1]).is_err(), "even modulus");
    for exponent in [&[1][..], &[2], &[0], &[1, 0, 0, 0, 1]] {
        assert!(PublicKey::from_rsa(Scheme::RsaPss, &[0xff; 256], exponent).is_err(), "{exponent:?}");
    }
    let padded =
        PublicKey::from_rsa(Scheme::RsaPss, &[&[0, 0], &[0xff; 256][..]].concat(), &[0, 1, 0, 1]).unwrap();
    assert_eq!(padded.signature_len(), 256);
    let largest = PublicKey::from_rsa(Scheme::RsaPss, &[0xff; 1024], &[0xff; 4]).unwrap();
    assert_eq!(largest.as_bytes().len(), PublicKey::BYTES_MAX);
}

#[test]
fn a_point_has_one_encoding_and_so_a_key_one_id() {
    // x of each curve's generator.
    for (scheme, x) in [
        (Scheme::EcdsaSecp256k1, "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"),
        (Scheme::EcdsaP256, "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"),
        (Scheme::Sm2, "32c4ae2c1f1981195f9904466a39c9948fe30bbff2660be1715a4589334c74c7"),
    ] {
        for head in 0..=u8::MAX {
            let encoded = [&[head][..], &hex::decode(x).unwrap()].concat();
            match (head, PublicKey::parse(scheme, &encoded)) {
                (2 | 3, parsed) => assert_eq!(parsed.unwrap().as_bytes(), encoded),
                (_, refused) => assert_eq!(refused, Err(PublicKeyError::OtherForm { scheme }), "{head}"),
            }
        }
    }
}
