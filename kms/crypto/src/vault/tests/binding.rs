//! What binds an answer: the attempt with its reply key, and the draft that the shares are of.

use super::super::answers::{EvaluationAnswer, ReleaseAnswer};
use super::super::group::ELEMENT_BYTES;
use super::super::*;
use super::Seeded;
use super::world::{World, bytes, text, vaulted};
use crate::hpke_box;

#[test]
fn recovery_goes_on_only_with_the_attempt_that_it_asked_for() {
    let mut world = World::sealed(Seeded::printed(), 2, 3, None);
    let (_, request) = world.begin("right");
    let grant = world.grant(&request);
    let other = bytes(&mut world.random);
    for changed in [
        Grant { shares: ShareSet { shares_hash: other, ..grant.shares }, ..grant.clone() },
        Grant { shares: ShareSet { share_version: 2, ..grant.shares }, ..grant.clone() },
        Grant { element_hash: other, ..grant.clone() },
        Grant { reply_key: other, ..grant.clone() },
    ] {
        let (recovery, request) = world.begin("right");
        let own = Grant { element_hash: request.element_hash, reply_key: request.reply_key, ..grant.clone() };
        let changed = Grant {
            shares: changed.shares,
            element_hash: if changed.element_hash == other { other } else { own.element_hash },
            reply_key: if changed.reply_key == other { other } else { own.reply_key },
            ..own
        };
        assert!(matches!(recovery.granted(&changed), Err(RecoveryError::OtherAttempt)), "{changed:?}");
    }
    let (recovery, request) = world.begin("right");
    assert!(recovery.granted(&world.grant(&request)).is_ok());
}

/// A service that hands in the user's element with a reply key of its own, opens the evaluations and passes them on.
#[test]
fn evaluations_for_a_strangers_reply_key_are_no_answers_to_the_user() {
    let mut world = World::sealed(Seeded::printed(), 2, 3, None);
    let (recovery, request) = world.begin("right");
    let service = BoxKey::random(&mut world.random).unwrap();
    let recorded = Grant { reply_key: service.public(), ..world.grant(&request) };
    // What the ledger holds is refused; so the service says the reply key were the user's.
    let said = Grant { reply_key: request.reply_key, ..recorded.clone() };
    let mut evaluating = recovery.granted(&said).unwrap();
    for index in [1, 2] {
        let answer = world.evaluation(index, &recorded, &request);
        let info = EvaluationAnswer::info(&recorded, index);
        let plain = service.open(&info, &answer, EvaluationAnswer::BYTES).unwrap();
        let passed_on = plain
            .expose(|plain| hpke_box::seal(&request.reply_key, &info, plain, &mut world.random).unwrap());
        let refused = evaluating.answer(index, &passed_on);
        assert!(matches!(refused, Err(AnswerError::Unsigned { .. })), "{refused:?}");
    }
    assert!(matches!(evaluating.derive(), Err(RecoveryError::TooFew { needed: 2, found: 0 })));
}

#[test]
fn releases_for_a_strangers_reply_key_are_no_answers_to_the_user() {
    let mut world = World::sealed(Seeded::printed(), 2, 3, None);
    let (grant, proven) = world.guess("right", &[1, 2]);
    let mut proven = proven.unwrap();
    let proof = proven.proof().unwrap();
    let service = BoxKey::random(&mut world.random).unwrap();
    let elsewhere = Grant { reply_key: service.public(), ..grant.clone() };
    let (answer, info) = (world.released(3, &elsewhere, &proof), ReleaseAnswer::info(&elsewhere, 3));
    let plain = service.open(&info, &answer, ReleaseAnswer::BYTES_MAX).unwrap();
    let passed_on =
        plain.expose(|plain| hpke_box::seal(&grant.reply_key, &info, plain, &mut world.random).unwrap());
    assert!(matches!(proven.release(3, &passed_on), Err(AnswerError::Unsigned { index: 3 })));
}

#[test]
fn keeper_releases_only_for_a_proof_of_this_attempt_under_the_vaults_key() {
    let mut world = World::sealed(Seeded::printed(), 2, 3, None);
    let (_, request) = world.begin("right");
    let (grant, second) = (world.grant(&request), world.grant(&request));
    let keeper = world.keeper(1);
    let release = |grant: &Grant, proof: &[u8; 64]| {
        keeper.share().release(grant, proof, |message| keeper.sign(message)).map(drop)
    };
    let proof = world.proof(&grant);
    release(&grant, &proof).unwrap();
    assert!(matches!(release(&second, &proof), Err(KeeperError::Unproven)), "another attempt's proof");
    let mut changed = proof;
    changed[40] ^= 1;
    assert!(matches!(release(&grant, &changed), Err(KeeperError::Unproven)));
    let message = keyward_domain::success_message(&world.plan.chain_id, &grant.attempt);
    assert!(matches!(release(&grant, &keeper.sign(&message)), Err(KeeperError::Unproven)), "a keeper's");
}

/// A dealer that gives one keeper the share of another draft of the same version.
#[test]
fn share_of_another_draft_of_the_same_version_answers_nothing_and_convicts_nobody() {
    let mut world = World::sealed(Seeded::printed(), 2, 3, None);
    let (key, _) = vaulted([3; 32]);
    let draft =
        VaultDraft::with(world.plan.clone(), &text("right"), &[key], None, &mut world.random).unwrap();
    let hash = bytes(&mut world.random);
    let (other, sealed) = (draft.vault(hash).unwrap(), draft.shares_with(hash, &mut world.random).unwrap());
    let share = KeeperShare::open(&other, &[1; 32], &world.keepers[0].key, &sealed[0]).unwrap();
    let (_, request) = world.begin("right");
    let grant = world.grant(&request);
    let keeper = world.keeper(1);
    let refused = share.evaluate(&grant, &request.element, |message| keeper.sign(message));
    assert!(matches!(refused, Err(KeeperError::OtherShares)));
    assert!(matches!(share.check(&world.vault), Err(Complaint::NotAKeeper)));

    // What it has answered honestly for its own draft is no evidence in the sealed vault.
    let own = Grant { shares: other.shares(), ..grant.clone() };
    let evaluation = share.evaluator().unwrap().evaluate(&request.element, &mut world.random).unwrap();
    let keeper = world.keeper(1);
    let answer = EvaluationAnswer::new(&own, 1, &request.element, evaluation.clone(), |m| keeper.sign(m));
    let evaluated = Answered::Evaluation { element: request.element, evaluation };
    let [_, mask, blinder] = share.parts().map(|part| *part.bytes());
    let release = ReleaseAnswer::new(&own, 1, [&mask, &blinder], share.ciphertext(), |m| keeper.sign(m));
    let ciphertext_hash = ciphertext_hash(share.ciphertext());
    let released = Answered::Release { mask: mask.into(), blinder: blinder.into(), ciphertext_hash };
    for (answered, signature) in [(evaluated, answer.signature), (released, release.signature)] {
        let (attempt, reply_key) = (grant.attempt, grant.reply_key);
        let evidence = Evidence { index: 1, attempt, reply_key, answered, signature };
        assert!(!evidence.is_right(&world.vault), "it does not fit the sealed vault");
        assert!(!evidence.convicts(&world.vault, &grant));
        assert!(!evidence.convicts(&world.vault, &own));
        assert!(!evidence.convicts(&other, &own), "in its own draft it is right");
    }
}

#[test]
fn answer_that_a_keeper_sealed_to_another_key_than_the_attempts_convicts_it() {
    let mut world = World::sealed(Seeded::printed(), 2, 3, None);
    let (_, request) = world.begin("right");
    let grant = world.grant(&request);
    let elsewhere = Grant { reply_key: [9; ELEMENT_BYTES], ..grant.clone() };
    let keeper = world.keeper(1);
    let evaluation =
        keeper.share().evaluator().unwrap().evaluate(&request.element, &mut Seeded::new(1)).unwrap();
    let convicted = |about: &Grant| {
        let answer =
            EvaluationAnswer::new(about, 1, &request.element, evaluation.clone(), |m| keeper.sign(m));
        let answered = Answered::Evaluation { element: request.element, evaluation: evaluation.clone() };
        let Grant { attempt, reply_key, .. } = *about;
        let evidence = Evidence { index: 1, attempt, reply_key, answered, signature: answer.signature };
        evidence.convicts(&world.vault, &grant)
    };
    assert!(convicted(&elsewhere));
    assert!(!convicted(&grant));
    assert!(!convicted(&Grant { attempt: [1; 32], ..elsewhere }), "nothing is known of that attempt");
}
