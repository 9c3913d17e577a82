//! `timelock`: waits, is stopped or decided, and is executed once.

use super::*;

const DELAY_MS: u64 = 60_000;

/// Alice and Bob open together, the owner vetoes, Carol judges if `judged`.
fn locked(judged: bool) -> World {
    let mut world = world();
    let judges = Act::DefineApproval(define(CAROL, 1, approval_terms(&[(1, &[ALICE, CAROL])])));
    assert_eq!(world.answer(judges, &[CAROL]), "ACCEPTED");
    let mut terms = timelock_terms(2, &[ALICE, BOB], &[OWNER]);
    terms.judges = judged.then(|| CAROL.rule().id(keyward_ledger_core::entry::kind::DEFINE_APPROVAL));
    assert_eq!(world.answer(Act::DefineTimelock(define(OWNER, 1, terms)), &[OWNER]), "ACCEPTED");
    world
}

fn open_act() -> Act {
    Act::OpenTimelock { rule: OWNER.rule(), payload: PAYLOAD }
}

fn execute(id: Hash) -> Act {
    Act::ExecuteTimelock { case: case(id), judged: None }
}

#[test]
fn an_act_waits_out_its_delay_and_is_executed_once() {
    let mut world = locked(false);
    refused(&mut world, open_act(), &[ALICE], "AUTHORS_MISSING");
    refused(&mut world, open_act(), &[ALICE, CAROL], "AUTHOR_NOT_NAMED");
    let id = world.made(open_act(), &[ALICE, BOB]);
    let opened = world.ledger.time_ms();
    refused(&mut world, open_act(), &[ALICE, BOB], "TIMELOCK_BUSY");
    let change = Act::DefineTimelock(define(OWNER, 2, timelock_terms(1, &[CAROL], &[OWNER])));
    assert_eq!(world.answer(change.clone(), &[OWNER]), "ACCEPTED", "it waits");
    world.step_ms = 0;
    refused(&mut world, execute(id), &[ALICE], "TIMELOCK_EARLY");
    world.wait(opened + DELAY_MS - 1 - world.ledger.time_ms());
    refused(&mut world, execute(id), &[ALICE], "TIMELOCK_EARLY");
    world.wait(1);
    refused(&mut world, execute(id), &[OWNER], "AUTHOR_NOT_NAMED");
    let other = Act::ExecuteTimelock { case: Case { id, payload: [1; 32] }, judged: None };
    refused(&mut world, other, &[ALICE], "CASE_PAYLOAD");
    let judged = Act::ExecuteTimelock { case: case(id), judged: Some([1; 32]) };
    refused(&mut world, judged, &[ALICE], "CASE_UNKNOWN");
    assert_eq!(world.answer(execute(id), &[ALICE]), "ACCEPTED");
    refused(&mut world, execute(id), &[ALICE], "CASE_USED");
    refused(&mut world, Act::VetoTimelock(case(id)), &[OWNER], "CASE_USED");
    // Executed or not, the act is over: what waited holds.
    refused(&mut world, change, &[OWNER], "RULE_VERSION");
    world.made(open_act(), &[CAROL]);
    assert_eq!(rule(&world).version, 2);
}

#[test]
fn who_executes_and_opens_at_once_does_not_get_past_a_change() {
    let mut world = locked(false);
    let id = world.made(open_act(), &[ALICE, BOB]);
    let change = Act::DefineTimelock(define(OWNER, 2, timelock_terms(1, &[CAROL], &[OWNER])));
    assert_eq!(world.answer(change, &[OWNER]), "ACCEPTED");
    world.wait(DELAY_MS);
    let both = [world.signed_by(execute(id), &[ALICE]), world.signed_by(open_act(), &[ALICE, BOB])];
    assert_eq!(world.names(&both), ["ACCEPTED", "AUTHOR_NOT_NAMED"]);
}

#[test]
fn what_a_replaced_credential_defined_never_holds() {
    let mut world = locked(false);
    let thief = |version| Act::DefineTimelock(define(OWNER, version, timelock_terms(1, &[STRANGER], &[])));
    let id = world.made(open_act(), &[ALICE, BOB]);
    assert_eq!(world.answer(thief(2), &[OWNER]), "ACCEPTED", "it waits");
    let key = SigningKey::from_seed(&[0x51; 32]);
    world.replace_credential(OWNER, &OWNER.key(), &key);
    world.wait(DELAY_MS);
    assert_eq!(world.answer(execute(id), &[ALICE]), "ACCEPTED");
    refused(&mut world, open_act(), &[STRANGER], "AUTHOR_NOT_NAMED");
    let id = world.made(open_act(), &[ALICE, BOB]);
    assert_eq!((rule(&world).version, rule(&world).next), (1, None));
    // Nor after an act that was cancelled, or that ran out of time; the version is the new credential's to give.
    let by_new = |world: &mut World, act: Act| {
        let sign = |message: &[u8]| key.sign(message).to_vec();
        let authors = vec![world.author(&act, OWNER.party(), &sign)];
        world.names(&[Entry::Authored(Authored { act, authors })])
    };
    assert_eq!(by_new(&mut world, thief(2)), ["ACCEPTED"]);
    world.replace_credential(OWNER, &key, &SigningKey::from_seed(&[0x52; 32]));
    assert_eq!(world.answer(Act::CancelTimelock(case(id)), &[BOB]), "ACCEPTED");
    refused(&mut world, open_act(), &[STRANGER], "AUTHOR_NOT_NAMED");
    world.made(open_act(), &[ALICE, BOB]);
    assert_eq!(rule(&world).version, 1);
}

fn rule(world: &World) -> TimelockState {
    let key = timelock_key(&OWNER.rule().id(keyward_ledger_core::entry::kind::DEFINE_TIMELOCK));
    TimelockState::decode(world.ledger.state().get(&key).unwrap()).unwrap()
}

#[test]
fn no_opener_holds_off_a_change_of_the_rule() {
    let mut world = locked(false);
    let change =
        |version, who| Act::DefineTimelock(define(OWNER, version, timelock_terms(1, &[who], &[OWNER])));
    world.made(open_act(), &[ALICE, BOB]);
    let before = rule(&world);
    refused(&mut world, change(3, CAROL), &[OWNER], "RULE_VERSION");
    assert_eq!(world.answer(change(2, STRANGER), &[OWNER]), "ACCEPTED");
    assert_eq!(world.answer(change(2, CAROL), &[OWNER]), "ACCEPTED", "the last definition counts");
    let terms = timelock_terms(1, &[CAROL], &[OWNER]);
    let waits = TimelockState { next: Some(Waiting { terms, credential: Some(1) }), ..before.clone() };
    assert_eq!(rule(&world), waits, "the act goes on under the rule that it was opened under");
    assert_eq!(TimelockState::decode(&waits.encode()).unwrap(), waits);
    // The act's time runs out: at that moment the next one needs Carol.
    world.wait(DELAY_MS + 120_001);
    refused(&mut world, open_act(), &[ALICE, BOB], "AUTHOR_NOT_NAMED");
    refused(&mut world, change(2, ALICE), &[OWNER], "RULE_VERSION");
    let id = world.made(open_act(), &[CAROL]);
    assert_eq!((rule(&world).version, rule(&world).next), (2, None));
    // So it does when the act is vetoed.
    assert_eq!(world.answer(change(3, BOB), &[OWNER]), "ACCEPTED");
    assert_eq!(world.answer(Act::VetoTimelock(case(id)), &[OWNER]), "ACCEPTED");
    refused(&mut world, open_act(), &[CAROL], "AUTHOR_NOT_NAMED");
    world.made(open_act(), &[BOB]);
    assert_eq!((rule(&world).version, rule(&world).vetoes), (3, 1));
}

#[test]
fn a_vetoed_cancelled_or_expired_act_is_never_executed() {
    let mut world = locked(false);
    let veto = |id| Act::VetoTimelock(case(id));
    let id = world.made(open_act(), &[ALICE, BOB]);
    refused(&mut world, veto(id), &[ALICE], "AUTHOR_NOT_NAMED");
    assert_eq!(world.answer(veto(id), &[OWNER]), "ACCEPTED");
    world.wait(DELAY_MS);
    refused(&mut world, execute(id), &[ALICE], "CASE_CLOSED");

    let id = world.made(open_act(), &[ALICE, BOB]);
    refused(&mut world, Act::CancelTimelock(case(id)), &[OWNER], "AUTHOR_NOT_NAMED");
    assert_eq!(world.answer(Act::CancelTimelock(case(id)), &[BOB]), "ACCEPTED");
    world.wait(DELAY_MS);
    refused(&mut world, execute(id), &[ALICE], "CASE_CLOSED");

    let id = world.made(open_act(), &[ALICE, BOB]);
    world.wait(DELAY_MS);
    assert_eq!(world.answer(veto(id), &[OWNER]), "ACCEPTED", "a veto counts until the act is done");
    refused(&mut world, execute(id), &[ALICE], "CASE_CLOSED");

    let id = world.made(open_act(), &[ALICE, BOB]);
    world.wait(DELAY_MS + 120_001);
    refused(&mut world, execute(id), &[ALICE], "CASE_UNKNOWN");
    assert_eq!(world.count(b"timelock/case/"), 0);
    world.made(open_act(), &[ALICE, BOB]);
}

#[test]
fn two_openers_of_one_account_are_one() {
    let mut world = world();
    let token = world.link(ALICE, &signer::Secp256k1, Mode::Linked);
    let mut terms = timelock_terms(2, &[ALICE], &[OWNER]);
    terms.openers.push(token);
    assert_eq!(world.answer(Act::DefineTimelock(define(OWNER, 1, terms)), &[OWNER]), "ACCEPTED");
    let act = open_act();
    let sign = |message: &[u8]| ALICE.key().sign(message).to_vec();
    let mut by_token = world.author(&act, token, &|message| signer::Secp256k1.sign(message));
    by_token.public_key = signer::Secp256k1.public_key().as_bytes().to_vec();
    let authors = vec![world.author(&act, ALICE.party(), &sign), by_token];
    assert_eq!(world.names(&[Entry::Authored(Authored { act, authors })]), ["AUTHORS_MISSING"]);
}

#[test]
fn from_the_second_veto_on_approvers_decide_and_no_partisan_is_one() {
    let mut world = locked(true);
    let veto = |id| Act::VetoTimelock(case(id));
    let first = world.made(open_act(), &[ALICE, BOB]);
    assert_eq!(world.answer(veto(first), &[OWNER]), "ACCEPTED");
    let id = world.made(open_act(), &[ALICE, BOB]);
    world.wait(DELAY_MS + 100_000);
    assert_eq!(world.answer(veto(id), &[OWNER]), "ACCEPTED");
    refused(&mut world, veto(id), &[OWNER], "TIMELOCK_DISPUTED");
    refused(&mut world, execute(id), &[ALICE], "TIMELOCK_DISPUTED");
    refused(&mut world, open_act(), &[ALICE, BOB], "TIMELOCK_BUSY");
    // The case lives on past the end that it had at first.
    world.wait(100_000);
    let ask = |world: &mut World, payload| {
        world.made(Act::OpenApproval { rule: CAROL.rule(), payload, live_ms: 60_000 }, &[BOB])
    };
    let approve = |id, payload| Act::Approve { case: Case { id, payload }, group: 0 };
    let execute = |judged| Act::ExecuteTimelock { case: case(id), judged: Some(judged) };
    let payload = dispute_payload(&case(id));
    let judged = ask(&mut world, payload);
    refused(&mut world, execute(judged), &[ALICE], "APPROVALS_MISSING");
    assert_eq!(world.answer(approve(judged, payload), &[ALICE]), "ACCEPTED");
    refused(&mut world, execute(judged), &[ALICE], "APPROVALS_MISSING");
    let of_another = ask(&mut world, PAYLOAD);
    assert_eq!(world.answer(approve(of_another, PAYLOAD), &[CAROL]), "ACCEPTED");
    refused(&mut world, execute(of_another), &[ALICE], "CASE_PAYLOAD");
    assert_eq!(world.answer(approve(judged, payload), &[CAROL]), "ACCEPTED");
    assert_eq!(world.answer(execute(judged), &[ALICE]), "ACCEPTED");
    refused(&mut world, execute(judged), &[ALICE], "CASE_USED");
    // The count starts again: the next veto is a first one.
    let id = world.made(open_act(), &[ALICE, BOB]);
    assert_eq!(world.answer(veto(id), &[OWNER]), "ACCEPTED");
    refused(&mut world, veto(id), &[OWNER], "CASE_CLOSED");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Executed means: opened by all it needs, the delay is over, not too late, not vetoed, not cancelled, once.
    #[test]
    fn timelocks_agree_with_a_model(steps in vec((0..6_u8, 0..60_u64), 1..40)) {
        let mut world = locked(false);
        world.step_ms = 0;
        let mut live: Option<(Hash, u64)> = None;
        let mut last: Option<(Hash, u64, &str)> = None;
        for (verb, seconds) in steps {
            world.wait(seconds * 1_000);
            let now_ms = world.ledger.time_ms();
            live = live.filter(|(_, opened_ms)| now_ms <= opened_ms + DELAY_MS + 120_000);
            if verb < 2 {
                let outcome = world.act(open_act(), &[ALICE, BOB]);
                prop_assert_eq!(outcome.name(), if live.is_some() { "TIMELOCK_BUSY" } else { "ACCEPTED" });
                if let Some(id) = id_of(&outcome) {
                    prop_assert!(last.is_none_or(|(other, ..)| other != id));
                    (live, last) = (Some((id, now_ms)), Some((id, now_ms, "waiting")));
                }
                continue;
            }
            let Some((id, opened_ms, state)) = last else { continue };
            let (act, who) = match verb {
                2 => (Act::VetoTimelock(case(id)), OWNER),
                3 => (Act::CancelTimelock(case(id)), BOB),
                _ => (execute(id), ALICE),
            };
            let wanted = match (state, verb) {
                _ if now_ms > opened_ms + DELAY_MS + 120_000 => "CASE_UNKNOWN",
                ("closed", _) => "CASE_CLOSED",
                ("executed", _) => "CASE_USED",
                (_, 4..) if now_ms < opened_ms + DELAY_MS => "TIMELOCK_EARLY",
                _ => "ACCEPTED",
            };
            prop_assert_eq!(world.answer(act, &[who]), wanted);
            if wanted == "ACCEPTED" {
                live = None;
                last = Some((id, opened_ms, if verb < 4 { "closed" } else { "executed" }));
            }
        }
    }
}
