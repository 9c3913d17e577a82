//! What the state holds, as each contract writes it.

use keyward_ledger_core::entry::{AddressAct, AuditAct, CloseEpoch, Custody, DealViewing, Grant, UseAddress};
use keyward_ledger_core::state::addresses::{AddressesState, DealtState, HandleState, read_leaf};
use keyward_ledger_core::state::audit::{AuditGrantState, AuditGrantStatus, AuditState};

use super::*;
use crate::common::addresses;

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

/// Addresses, dealings, audit terms and grants, with every part there and not there.
#[test]
fn addresses_and_audits() {
    let chosen = |dealt, closed_ms| AddressesState {
        tenant: [2; 32],
        custody: Custody::Own,
        epoch_ms: 60_000,
        first: 4,
        dealt,
        leaf: 5,
        closed_ms,
    };
    let each = [(None, None), (Some(9), None), (None, Some(7)), (Some(9), Some(7))];
    check("addresses", &each.map(|(dealt, closed_ms)| chosen(dealt, closed_ms).encode()), |bytes| {
        AddressesState::decode(bytes).ok().map(|state| state.encode())
    });
    let handle = HandleState { ends_ms: 7, count: 8 };
    check("handle", &[handle.encode()], |b| HandleState::decode(b).ok().map(|state| state.encode()));
    let dealt =
        DealtState { last: 9, dealing_hash: [1; 32], threshold: 2, keepers: vec![[2; 32], [3; 32]], leaf: 4 };
    check("dealt epochs", &[dealt.encode()], |b| DealtState::decode(b).ok().map(|state| state.encode()));
    check("log index", &[7_u64.to_be_bytes().to_vec()], |bytes| {
        read_leaf(bytes).ok().map(|leaf| leaf.to_be_bytes().to_vec())
    });
    let terms = AuditState { version: 2, terms: addresses::terms(), rule: [3; 32], leaf: 4 };
    check("audit terms", &[terms.encode()], |b| AuditState::decode(b).ok().map(|state| state.encode()));
    let people = [0x41, 0x42].map(acts::Person);
    let asked = [addresses::grant(1, &people, 2, 3, 4), addresses::grant(2, &[], 2, 3, 4)];
    check("grant", &asked.clone().map(|grant| grant.encode()), |bytes| {
        Grant::decode(bytes).ok().map(|grant| grant.encode())
    });
    let status = [AuditGrantStatus::Requested, AuditGrantStatus::Issued, AuditGrantStatus::Revoked];
    let states = status.map(|status| {
        let [grant, _] = asked.clone();
        let (requested_leaf, issued_leaf, revoked_ms) = (6, 7, 8);
        let grantee = [5; 32];
        let state = AuditGrantState {
            status,
            grantee,
            terms_version: 1,
            requested_leaf,
            issued_leaf,
            revoked_ms,
            grant,
        };
        state.encode()
    });
    check("audit grant", &states, |bytes| AuditGrantState::decode(bytes).ok().map(|state| state.encode()));
    let body = world().use_address(1, addresses::AddressKey(1, false), Scheme::Bip340).body();
    check("body of a use", &[body], |b| UseAddress::from_body(b, [0; 64]).ok().map(|used| used.body()));
}

/// What no honest side writes is refused before any contract sees it.
#[test]
fn entries_about_addresses_and_grants_have_one_form() {
    let (world, key) = (world(), addresses::AddressKey(1, false));
    let used = world.use_address(1, key, Scheme::EcdsaSecp256k1);
    let read = |used: &UseAddress| Entry::decode(&Entry::UseAddress(used.clone()).encode());
    for len in 0..1_200 {
        let sealed = UseAddress { detail: vec![0; len], ..used.clone() };
        assert_eq!(read(&sealed).is_ok(), len == 1_073, "a detail of {len}");
        let closing = CloseEpoch { closing: vec![0; len], ..addresses::closing(1, 2) };
        let again = Entry::decode(&Entry::CloseEpoch(closing).encode());
        assert_eq!(again.is_ok(), len == 305, "a closing of {len}");
    }
    for scheme in [Scheme::EcdsaP256, Scheme::Ed25519, Scheme::RsaPss, Scheme::RsaPkcs1, Scheme::Sm2] {
        assert!(read(&UseAddress { scheme, ..used.clone() }).is_err(), "{scheme}");
    }
    let grant = addresses::grant(1, &[acts::Person(1), acts::Person(2)], 2, 3, 4);
    let with = |accounts: Vec<[u8; 32]>| Grant::decode(&Grant { accounts, ..grant.clone() }.encode());
    assert!(with(vec![[2; 32], [1; 32]]).is_err() && with(vec![[1; 32]; 2]).is_err());
    let many = |count: u8| (0..count).map(|number| [number; 32]).collect::<Vec<_>>();
    assert!(with(many(64)).is_ok() && with(many(65)).is_err());
    let deal = |acknowledgements: Vec<([u8; 32], [u8; 64])>| {
        let act = DealViewing { run: addresses::run(acts::Person(1), 1, 2), threshold: 2, acknowledgements };
        let act = Act::Addresses(AddressAct::Deal(act));
        Entry::decode(&Entry::Authored(Authored { act, authors: Vec::new() }).encode())
    };
    let by = |id: u8| ([id; 32], [0; 64]);
    assert!(deal(vec![by(1), by(2)]).is_ok());
    assert!(deal(vec![by(2), by(1)]).is_err() && deal(vec![by(1), by(1)]).is_err());
    assert!(deal((0..16).map(by).collect()).is_ok() && deal((0..17).map(by).collect()).is_err());
}

/// The longest of each fits an entry, with an author.
#[test]
fn the_longest_grant_and_dealing_fit_an_entry() {
    let accounts = (0..64_u8).map(|number| [number; 32]).collect();
    let grant = Grant { accounts, ..addresses::grant(1, &[], 2, 3, 4) };
    let acknowledgements = (0..16).map(|number| ([number; 32], [0; 64])).collect();
    let deal = DealViewing { run: addresses::run(acts::Person(1), 1, 2), threshold: 2, acknowledgements };
    for act in [Act::Audit(AuditAct::Request(grant)), Act::Addresses(AddressAct::Deal(deal))] {
        let entry = Entry::Authored(Authored { act, authors: acts::sample_authors() });
        assert_eq!(Entry::decode(&entry.encode()), Ok(entry));
    }
}
