//! Vaults, delegations and shared keys, frozen: `tests/vectors/{vault,delegation,shared}.json`. Bytes, hashes, what is signed, and a run with its
//! answers, state and roots.

use crate::common::delegation::{DELAY_MS, appoint, delegation_terms, new_key, operate, recovery};
use crate::common::golden::Golden;
use crate::common::service;
use crate::common::shared::{LOCK_MS, binding, circle, device, renewal, replace};
use crate::common::vault::{id_of, keeper, keeper_key, refresh, sealing, shares, vault_attempt, vault_of};
use keyward_ledger_core::entry::{
    ApprovalTerms, DelegationAct, DelegationTerms, Release, Renewal, SharedAct, SharedBinding, SharedIntent,
    SharedOpening, VaultAct, VaultAttempt, kind,
};
use keyward_ledger_core::hash::signature_hash;
use keyward_ledger_core::keeper::Keeper;
use keyward_ledger_core::shared::{self, approval_payload, veto_message};
use keyward_ledger_core::vault::{acknowledge, acknowledgement_message, consent_message};

use super::*;

#[test]
fn vaults_are_frozen() {
    let (mut golden, mut world) = (Golden::default(), world());
    let chain_id = world.chain_id();
    let beside = Keeper { validator: Some([6; 32]), ..keeper(1) };
    golden.hex("keeper message", keeper(1).message(&chain_id));
    golden.hex("keeper message with a validator", beside.message(&chain_id));
    golden.hex("keeper id", id_of(1));
    world.admit_keepers(&[1, 2, 3, 4]);
    world.step_ms = 30_000;
    let first = sealing(OWNER, 1, &[1, 2, 3], 2);
    let dealt = refresh(OWNER, 1, 2, shares(&[1, 2, 4], 2, 1));
    golden.hex("sealing", first.encode()).hex("sealing hash", first.hash());
    golden.hex("refresh", dealt.encode()).hex("refresh hash", dealt.hash());
    let (mut ending, mut ending_deal) = (first.clone(), dealt.clone());
    (ending.expires_ms, ending_deal.expires_ms) = (Some(1_700_000_000_000), Some(1_700_000_000_001));
    golden.hex("sealing with an end", ending.encode()).hex("hash of a sealing with an end", ending.hash());
    golden.hex("refresh with an end", ending_deal.encode());
    golden.hex("hash of a refresh with an end", ending_deal.hash());
    golden.hex("acknowledgement message 2", acknowledgement_message(&chain_id, &first.hash(), 2));
    golden.hex("acknowledgement 2", acknowledge(&keeper_key(2), &chain_id, &first.hash(), 2));
    golden.hex("consent message 3", consent_message(&chain_id, &dealt.hash(), 3));
    let mut run = |name: &str, act: Act, people: &[Person], keeper: Option<u8>| -> Hash {
        let entry = world.signed_by(act, people);
        let by = keeper.map_or_else(service, keeper_key);
        let outcome = world.frozen(&mut golden, name, entry, &by);
        golden.hex(&format!("{name}: outcome"), outcome.encode());
        outcome.data.try_into().unwrap_or_default()
    };
    let sealed = |sealing: &keyward_ledger_core::vault::Sealing, keepers: &[u8]| {
        let signed = (1..).zip(keepers);
        let signed = signed
            .map(|(index, number)| acknowledge(&keeper_key(*number), &chain_id, &sealing.hash(), index));
        Act::Vault(VaultAct::Seal { sealing: Box::new(sealing.clone()), acknowledgements: signed.collect() })
    };
    let ask = |attempt| Act::Vault(VaultAct::Attempt(attempt));
    let erase = |version, number| {
        Act::Vault(VaultAct::Erase { vault: vault_of(OWNER), version, keeper: id_of(number) })
    };
    let attempt = |number| vault_attempt(OWNER, 1, number);
    run("01 seal", sealed(&first, &[1, 2, 3]), &[OWNER], None);
    let id = run("02 attempt", ask(attempt(1)), &[], None);
    run("03 attempt again", ask(attempt(1)), &[], None);
    run("04 attempt by a keeper", ask(attempt(2)), &[], Some(1));
    run("05 attempt another", ask(attempt(2)), &[], None);
    run("06 attempt a third", ask(attempt(3)), &[], None);
    run("07 attempt too many", ask(attempt(4)), &[], None);
    let signature = success_key().sign(&success_message(&chain_id, &id));
    run("08 open", Act::Vault(VaultAct::Open { attempt: attempt(1), signature }), &[], None);
    let acknowledgements = (1..).zip([1, 2, 4]);
    let acknowledgements = acknowledgements
        .map(|(index, number)| acknowledge(&keeper_key(number), &chain_id, &dealt.hash(), index))
        .collect();
    let consents = vec![(3, keeper_key(3).sign(&consent_message(&chain_id, &dealt.hash(), 3)))];
    let renew = VaultAct::Refresh { refresh: Box::new(dealt.clone()), acknowledgements, consents };
    run("09 refresh", Act::Vault(renew), &[], None);
    run("10 erase what was handed over", erase(1, 3), &[], Some(3));
    run("11 erase what is in use", erase(1, 1), &[], Some(1));
    run("12 attempt at old shares", ask(attempt(5)), &[], None);
    run("13 attempt at new shares", ask(VaultAttempt { share_version: 2, ..attempt(5) }), &[], None);
    run("14 seal anew", sealed(&sealing(OWNER, 2, &[4, 1], 2), &[4, 1]), &[OWNER], None);
    run("15 erase what is old", erase(1, 2), &[], Some(2));
    run("16 destroy", Act::Vault(VaultAct::Destroy { vault: vault_of(OWNER), version: 2 }), &[OWNER], None);
    run("17 erase", erase(2, 1), &[], Some(1));
    run("18 attempt at nothing", ask(vault_attempt(OWNER, 2, 6)), &[], None);
    for (key, value) in world.business() {
        golden.hex(&format!("state {}", hex::encode(key)), value);
    }
    golden.check("vault.json");
}

#[test]
fn delegations_are_frozen() {
    let (mut golden, mut world) = (Golden::default(), world());
    let judges = ApprovalTerms { live_ms_max: 9 * DELAY_MS, ..approval_terms(&[(1, &[CAROL])]) };
    assert_eq!(world.answer(Act::DefineApproval(define(CAROL, 1, judges)), &[CAROL]), "ACCEPTED");
    let judges = Some(CAROL.rule());
    let Party::Key(key) = world.link(OWNER, &signer::Ed25519, Mode::Hosted) else { panic!() };
    let Party::Key(vetoer) = world.link(OWNER, &signer::Secp256k1, Mode::Linked) else { panic!() };
    world.step_ms = DELAY_MS / 2;
    let chain_id = world.chain_id();
    let payload = recovery(OWNER).payload(&chain_id);
    golden.hex("recovery message", payload);
    let mut run = |name: &str, act: Act, people: &[Person]| -> Hash {
        let entry = world.signed_by(act, people);
        let outcome = world.frozen(&mut golden, name, entry, &service());
        golden.hex(&format!("{name}: outcome"), outcome.encode());
        outcome.data.try_into().unwrap_or_default()
    };
    let terms = DelegationTerms { judges, vetoers: vec![vetoer], ..delegation_terms(2, &[ALICE, BOB]) };
    let proof = new_key().sign(&payload);
    let open = Act::Delegation(DelegationAct::OpenRecovery { recovery: recovery(OWNER), proof });
    let veto = |id| Act::Delegation(DelegationAct::VetoRecovery(Case { id, payload }));
    let execute = |case, judged| {
        Act::Delegation(DelegationAct::ExecuteRecovery { recovery: recovery(OWNER), case, judged })
    };
    let revoke = |version| Act::Delegation(DelegationAct::Revoke { rule: OWNER.rule(), version });
    run("01 appoint", appoint(OWNER, 1, terms.clone()), &[OWNER]);
    run("02 act too early", operate(OWNER, key, 1), &[ALICE, BOB]);
    run("03 act", operate(OWNER, key, 100), &[ALICE, BOB]);
    run("04 act too much", operate(OWNER, key, 101), &[ALICE, BOB]);
    run("05 change", appoint(OWNER, 2, DelegationTerms { delay_ms: 2 * DELAY_MS, ..terms }), &[OWNER]);
    let first = run("06 open", open.clone(), &[ALICE, BOB]);
    run("07 open again", open.clone(), &[ALICE, BOB]);
    run("08 veto", veto(first), &[OWNER]);
    let second = run("09 open once more", open.clone(), &[ALICE, BOB]);
    run("10 veto once more", veto(second), &[OWNER]);
    run("11 execute disputed", execute(second, None), &[ALICE]);
    let judge = Act::OpenApproval {
        rule: CAROL.rule(),
        payload: dispute_payload(&Case { id: second, payload }),
        live_ms: 8 * DELAY_MS,
    };
    let judged = run("12 ask the judges", judge, &[ALICE]);
    let judged_case = Case { id: judged, payload: dispute_payload(&Case { id: second, payload }) };
    run("13 judge", Act::Approve { case: judged_case, group: 0 }, &[CAROL]);
    run("14 execute", execute(second, Some(judged)), &[BOB]);
    run("15 revoke by the lost credential", revoke(3), &[OWNER]);
    let third = run("16 open a third", open, &[ALICE, BOB]);
    let back = Act::Delegation(DelegationAct::CancelRecovery(Case { id: third, payload }));
    run("17 cancel alone", back.clone(), &[ALICE]);
    run("18 cancel", back, &[ALICE, BOB]);
    for (key, value) in world.business() {
        golden.hex(&format!("state {}", hex::encode(key)), value);
    }
    golden.check("delegation.json");
}

#[test]
fn shared_keys_are_frozen() {
    let (mut golden, mut world) = (Golden::default(), world());
    let (chain_id, key_id) = (world.chain_id(), signer::Ed25519.public_key().id());
    world.admit_keepers(&[1, 2, 3, 4]);
    world.step_ms = 1_000;
    let terms = approval_terms(&[(1, &[BOB, CAROL])]);
    assert_eq!(world.answer(Act::DefineApproval(define(BOB, 1, terms)), &[BOB]), "ACCEPTED");
    let rule = BOB.rule().id(kind::DEFINE_APPROVAL);
    let opening = |attempt, world: &World| SharedOpening {
        expires_ms: 1_700_000_900_000,
        ..world.open_shared(attempt, &[1, 2, 3])
    };
    let open = |opening| Act::Shared(SharedAct::Open(Box::new(opening)));
    let [first, second] = [opening(1, &world), opening(2, &world)];
    let made = SharedBinding { approval_rule: Some(rule), ..binding(OWNER, 2, &signer::Ed25519) };
    let record = made.record_hash(&circle(&[1, 2, 3], 2));
    golden.hex("rule id", shared::shared_rule(&made.name)).hex("record hash", record);
    golden.hex("acknowledgement message 2", shared::acknowledgement_message(&chain_id, &record, 2));
    golden.hex("acknowledgement 2", shared::acknowledge(&keeper_key(2), &chain_id, &record, 2));
    golden.hex("veto message", veto_message(&chain_id, &key_id, &device(2).signing_key));
    golden.hex("approval payload", approval_payload(&key_id, &PAYLOAD));
    let dealt = renewal(2, Renewal::Refresh, circle(&[1, 2, 3], 2), 1_700_000_900_000);
    let moved = renewal(3, Renewal::Renew, circle(&[1, 2, 4], 3), 1_700_000_900_000);
    golden.hex("record hash of a refresh", dealt.record_hash());
    golden.hex("record hash of a renewal", moved.record_hash());
    let early = binding(OWNER, 1, &signer::Ed25519);
    let [bind, early] = [made, early].map(|binding| world.bind_shared(binding, &[1, 2, 3]));
    let (refresh, renew) = (world.renew_shared(dealt, &[1, 2, 3]), world.renew_shared(moved, &[1, 2, 4]));
    let veto = world.cancel_device(1, 2);
    let wanted = SharedIntent { not_after: 120, ..world.claim_shared(1) };
    let submit = |world: &mut World, golden: &mut Golden, name: &str, entry: Entry| -> Hash {
        let outcome = world.frozen(golden, name, entry, &service());
        golden.hex(&format!("{name}: outcome"), outcome.encode());
        outcome.data.try_into().unwrap_or_default()
    };
    let mut run = |name: &str, act: Act, people: &[Person]| -> Hash {
        let entry = world.signed_by(act, people);
        submit(&mut world, &mut golden, name, entry)
    };
    let claim = |intent: SharedIntent| Act::Shared(SharedAct::Intent(Box::new(intent)));
    run("01 open", open(first), &[OWNER]);
    run("02 open the next attempt", open(second), &[OWNER]);
    run("03 bind the attempt before", early, &[OWNER]);
    run("04 bind", bind.clone(), &[OWNER]);
    run("05 bind again", bind, &[OWNER]);
    run("06 intent without approval", claim(wanted.clone()), &[OWNER]);
    let payload = approval_payload(&key_id, &PAYLOAD);
    let ask = Act::OpenApproval { rule: BOB.rule(), payload, live_ms: 600_000 };
    let case = run("07 ask", ask, &[OWNER]);
    run("08 approve", Act::Approve { case: Case { id: case, payload }, group: 0 }, &[CAROL]);
    let approved = SharedIntent { case: Some(case), ..wanted.clone() };
    run("09 intent by nobody", claim(approved.clone()), &[]);
    run("10 intent", claim(approved.clone()), &[OWNER]);
    run("11 intent under the same case", claim(SharedIntent { id: [2; 32], ..approved }), &[OWNER]);
    run("12 refresh", refresh.clone(), &[]);
    run("13 refresh again", refresh, &[]);
    run("14 intent with old shares", claim(SharedIntent { id: [2; 32], ..wanted }), &[OWNER]);
    run("15 replace the device", replace(2), &[OWNER]);
    run("16 cancel", veto, &[]);
    run("17 replace the device again", replace(2), &[OWNER]);
    run("18 renew", renew, &[OWNER]);
    let release =
        Entry::Release(Release { intent_id: [1; 32], signature_hash: signature_hash(b"signature") });
    submit(&mut world, &mut golden, "19 release", release);
    let plain = SharedOpening { lock_ms: LOCK_MS + 1, ..opening(1, &world) };
    let plain = SharedOpening { name: BOB.rule(), speakers: vec![BOB.party()], ..plain };
    let entry = world.signed_by(open(plain), &[BOB]);
    submit(&mut world, &mut golden, "20 open another", entry);
    for (key, value) in world.business() {
        golden.hex(&format!("state {}", hex::encode(key)), value);
    }
    golden.check("shared.json");
}
