//! Runs through contracts: entries, answers, ids, state and roots.

use super::*;

/// A run through every standard contract: answers, ids, state and roots.
#[test]
fn contract_runs_are_frozen() {
    let (mut golden, mut world) = (Golden::default(), World::new());
    let [owner, alice, bob] = [0x41, 0x42, 0x43].map(acts::Person);
    world.enroll_all(&[owner, alice, bob]);
    world.step_ms = 30_000;
    let answer = |world: &mut World, golden: &mut Golden, name: &str, act: Act, people: &[acts::Person]| {
        let entry = world.signed_by(act, people);
        let outcome = world.frozen(golden, name, entry, &service());
        golden.hex(&format!("{name}: outcome"), outcome.encode());
        outcome.data.try_into().unwrap_or_default()
    };
    let mut run = |name: &str, act: Act, people: &[acts::Person]| -> [u8; 32] {
        answer(&mut world, &mut golden, name, act, people)
    };
    let rule = owner.rule();
    let grant = |number| Act::GrantAttempt { rule, attempt: acts::attempt(1, number) };
    run("01 define attempts", Act::DefineAttempts(acts::define(owner, 1, acts::attempts_terms())), &[owner]);
    let attempt_id = run("02 grant", grant(1), &[]);
    run("03 grant again", grant(1), &[]);
    run("04 grant another", grant(2), &[]);
    run("05 grant a third", grant(3), &[]);
    run("06 grant too many", grant(4), &[]);
    let chain_id = World::new().chain_id();
    let signature = acts::success_key().sign(&success_message(&chain_id, &attempt_id));
    let prove = Act::ProveAttempt { rule, attempt: acts::attempt(1, 1), signature };
    run("07 prove", prove.clone(), &[]);
    run("08 prove again", prove, &[]);
    run("09 define rate", Act::DefineRate(acts::define(owner, 1, acts::rate_terms())), &[owner]);
    let charge = |amount| Act::ChargeRate { rule, amount, what: acts::PAYLOAD };
    run("10 charge", charge(100), &[]);
    run("11 charge too much", charge(151), &[]);
    let terms = acts::approval_terms(&[(1, &[alice, bob])]);
    run("12 define approval", Act::DefineApproval(acts::define(owner, 1, terms)), &[owner]);
    let open = Act::OpenApproval { rule, payload: acts::PAYLOAD, live_ms: 600_000 };
    let case = acts::case(run("13 open approval", open, &[alice]));
    run("14 approve as initiator", Act::Approve { case, group: 0 }, &[alice]);
    run("15 approve", Act::Approve { case, group: 0 }, &[bob]);
    run("16 use", Act::UseApproval(case), &[alice]);
    run("17 use again", Act::UseApproval(case), &[alice]);
    let mut terms = acts::timelock_terms(2, &[alice, bob], &[owner]);
    terms.judges = Some(rule.id(kind::DEFINE_APPROVAL));
    run("18 define timelock", Act::DefineTimelock(acts::define(owner, 1, terms)), &[owner]);
    let open = Act::OpenTimelock { rule, payload: acts::PAYLOAD };
    let first = acts::case(run("19 open", open.clone(), &[alice, bob]));
    run("20 execute early", Act::ExecuteTimelock { case: first, judged: None }, &[alice]);
    run("21 veto", Act::VetoTimelock(first), &[owner]);
    let second = acts::case(run("22 open again", open, &[alice, bob]));
    run("23 veto again", Act::VetoTimelock(second), &[owner]);
    run("24 execute disputed", Act::ExecuteTimelock { case: second, judged: None }, &[alice]);
    golden.hex("attempt id", attempt_id);
    golden.hex("success message", success_message(&chain_id, &attempt_id));
    golden.hex("dispute payload", dispute_payload(&second));
    for (key, value) in world.business() {
        golden.hex(&format!("state {}", hex::encode(key)), value);
    }
    let (id, terms) = (rule.id(kind::DEFINE_TIMELOCK), acts::timelock_terms(1, &[bob], &[owner]));
    let disputed = world.ledger.state().get(&layout::timelock_key(&id)).unwrap();
    for (credential, of) in [(None, ""), (Some(1), " for the owner's first credential")] {
        let next = Some(Waiting { terms: terms.clone(), credential });
        let waits = TimelockState { next, ..TimelockState::decode(disputed).unwrap() };
        golden.hex(&format!("timelock rule with a definition that waits{of}"), waits.encode());
    }
    golden.check("contracts.json");
}

/// A life of an association, and of a tenant's policy and rules of risk: texts, proofs, entries, answers, state and roots.
#[test]
fn association_runs_are_frozen() {
    let (mut golden, mut world) = (Golden::default(), World::new());
    let [owner, alice, bob] = [0x41, 0x42, 0x43].map(acts::Person);
    world.enroll_all(&[owner, alice, bob]);
    world.link(owner, &signer::P256, Mode::Hosted);
    let (chain_id, key_id) = (world.chain_id(), signer::P256.public_key().id());
    let holders = [
        ("ethereum", Holder::Ethereum(7)),
        ("bitcoin p2pkh", Holder::Bitcoin(8, 0)),
        ("bitcoin p2wpkh", Holder::Bitcoin(8, 1)),
        ("ed25519", Holder::Ed25519),
        ("sm2", Holder::Sm2),
    ];
    for (name, holder) in holders {
        let member = holder.member(&chain_id, &GROUP, 1, alice);
        let text = proof_text(&chain_id, &GROUP, 1, &member.account, &member.address);
        golden.text(&format!("{name} text"), &text).hex(&format!("{name} proof"), member.proof);
        golden.hex(&format!("{name} address"), &member.address.bytes);
        golden.hex(&format!("{name} state key"), association::address_key(&member.address));
    }
    let mut run = |name: &str, act: Act, people: &[acts::Person]| -> [u8; 32] {
        let entry = world.signed_by(act, people);
        let outcome = world.frozen(&mut golden, name, entry, &service());
        outcome.data.try_into().unwrap_or_default()
    };
    let terms = || groups::terms((1, &[owner, bob]), (2, &[owner, bob]));
    let member = |version, holder: Holder, person| holder.member(&chain_id, &GROUP, version, person);
    let members = vec![groups::key_member(owner, key_id), member(1, Holder::Ethereum(7), alice)];
    run("01 open", groups::open(GROUP, terms(), members), &[owner, alice]);
    let added = || vec![member(2, Holder::Bitcoin(8, 1), bob)];
    run("02 update", groups::update(2, None, &[], added()), &[bob]);
    run("03 update again", groups::update(2, None, &[], added()), &[bob]);
    run("04 dispute", groups::dispute(2), &[alice]);
    run("05 leave disputed", groups::leave(3, Holder::Ethereum(7).address()), &[alice]);
    run("06 settle", groups::settle(1), &[owner, bob]);
    run("07 leave", groups::leave(3, Holder::Ethereum(7).address()), &[alice]);
    run(
        "08 join with the old proof",
        groups::update(4, None, &[], vec![member(1, Holder::Ethereum(7), alice)]),
        &[owner, alice],
    );
    run("09 dispute", groups::dispute(3), &[owner]);
    run(
        "10 define approval",
        Act::DefineApproval(acts::define(owner, 1, acts::approval_terms(&[(1, &[bob])]))),
        &[owner],
    );
    run("11 publish", acts::publish(1, None), &[owner]);
    let Act::PublishPolicy(next) = acts::publish(2, None) else { panic!() };
    let payload = next.publication();
    let ask = Act::OpenApproval { rule: owner.rule(), payload, live_ms: 600_000 };
    let id = run("12 ask", ask, &[alice]);
    run("13 approve", Act::Approve { case: Case { id, payload }, group: 0 }, &[bob]);
    run("14 publish the next", acts::publish(2, Some(id)), &[alice]);
    run("15 publish rules of risk", acts::publish_risk(1, None), &[alice]);
    golden.hex("publication of the next", payload).hex("tenant", next.tenant);
    golden.hex("publication of the next rules of risk", next.risk_publication());
    let state = |key: &[u8]| {
        [&b"association/"[..], b"policy/", b"risk/"].iter().any(|prefix| key.starts_with(prefix))
    };
    for (key, value) in world.business().into_iter().filter(|(key, _)| state(key)) {
        golden.hex(&format!("state {}", hex::encode(key)), value);
    }
    golden.check("associations.json");
}
