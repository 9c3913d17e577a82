//! Signing: both rounds, retries, two services, stops and rolled-back disks.

use keyward_crypto::shared::{SharedScheme, Tweak};
use keyward_domain::scheme::{verify, verify_digest};
use keyward_ledger_core::entry::Tweak as OnLedger;

use super::{
    super::world::World,
    code,
    world::{FLOOR, MINUTE_MS, Wish, caller},
};
use crate::{Keeper, shared::Commitments};

const MESSAGE: &[u8] = b"pay nobody";
const DIGEST: [u8; 32] = [0xd1; 32];

#[tokio::test]
async fn the_user_and_any_two_of_three_keepers_sign() {
    let world = World::new();
    let made = world.make_key(&Wish::default()).await;
    for (intent, signers) in [(1, [1, 2]), (2, [1, 3]), (3, [2, 3])] {
        let attempt = made.try_to(intent, 1, &signers, MESSAGE);
        let signature = made.sign(&world, attempt).await.unwrap();
        verify(&made.key.public_key(&Tweak::None).unwrap(), MESSAGE, &signature).unwrap();
    }
}

#[tokio::test]
async fn a_taproot_output_is_signed_for_under_the_tweak_of_the_intent_alone() {
    let world = World::new();
    let wish = Wish { scheme: SharedScheme::Bip340, threshold: 3, numbers: vec![5, 1, 4], ..Wish::default() };
    let made = world.make_key(&wish).await;
    for (intent, tweak) in [(1, Tweak::None), (2, Tweak::KeyPath), (3, Tweak::Scripts([8; 32]))] {
        let plan =
            crate::shared::plan::SigningPlan { tweak, ..made.plan([intent; 32], 1, &[1, 2, 3], &DIGEST) };
        let signature = made.sign(&world, made.begin(plan)).await.unwrap();
        verify_digest(&made.key.public_key(&tweak).unwrap(), &DIGEST, &signature).unwrap();
    }
    // The intent is for another output than the run.
    let attempt = made.try_to(4, 1, &[1, 2, 3], &DIGEST);
    let messages = made.commitments(&world, &attempt).await;
    let mut intent = made.intent(&attempt.plan);
    intent.tweak = OnLedger::KeyPath;
    let (leaf, _) = world.claim(&intent);
    let refused = world.keeper(5).cosign(&attempt.plan, &made.shown(&attempt.plan, leaf), messages).await;
    assert_eq!(code(refused), "SHARED_INTENT_REFUSED");
}

#[tokio::test]
async fn nonces_answer_once_and_the_first_round_repeats_itself() {
    let world = World::new();
    let made = world.make_key(&Wish::default()).await;
    let attempt = made.try_to(1, 1, &[1, 2], MESSAGE);
    let messages = made.commitments(&world, &attempt).await;
    assert_eq!(made.commitments(&world, &attempt).await, messages, "asked again");
    let (leaf, _) = world.claim(&made.intent(&attempt.plan));
    let shown = made.shown(&attempt.plan, leaf);
    // What is refused costs no nonces.
    let junk = vec![messages[0].clone(), messages[2].clone()];
    assert_eq!(
        code(world.keeper(1).cosign(&attempt.plan, &shown, junk).await),
        "SHARED_MESSAGE_REFUSED",
        "its own is missing"
    );
    let sign = async |keeper: &Keeper| keeper.cosign(&attempt.plan, &shown, messages.clone()).await;
    sign(world.keeper(1)).await.unwrap();
    assert_eq!(code(sign(world.keeper(1)).await), "SHARED_ATTEMPT_STALE");
    let again = world.keeper(1).commit(&caller(), &attempt.plan, &attempt.device).await;
    assert_eq!(code(again), "SHARED_ATTEMPT_STALE", "no second commitment in one life");
    // Nonces end with their minute.
    world.pass(MINUTE_MS + 1);
    assert_eq!(code(sign(world.keeper(2)).await), "SHARED_ATTEMPT_STALE");
    let next = made.try_to(1, 2, &[1, 2], MESSAGE);
    let messages = made.commitments(&world, &next).await;
    let mut shares = Vec::new();
    for keeper in made.signers(&world, &next.plan) {
        shares.push(keeper.cosign(&next.plan, &shown, messages.clone()).await.unwrap().message);
    }
    made.finish(next, &messages, shares);
}

#[tokio::test]
async fn a_stop_between_the_rounds_or_a_disk_put_back_never_uses_nonces_again() {
    let mut world = World::new();
    let made = world.make_key(&Wish::default()).await;
    let before = world.folder_of(5).with_file_name("before");
    world.copy(&world.folder_of(1), &before);
    let attempt = made.try_to(1, 1, &[1, 2], MESSAGE);
    let messages = made.commitments(&world, &attempt).await;
    let (leaf, _) = world.claim(&made.intent(&attempt.plan));
    let shown = made.shown(&attempt.plan, leaf);
    for rolled_back in [false, true] {
        if rolled_back {
            let back = world.folder_of(1);
            world.copy(&before, &back);
        }
        world.restart(1);
        let refused = world.keeper(1).cosign(&attempt.plan, &shown, messages.clone()).await;
        assert_eq!(code(refused), "SHARED_ATTEMPT_STALE");
    }
    // In its new life it answers the attempt with other nonces, and the first ones sign nothing.
    let fresh = world.keeper(1).commit(&caller(), &attempt.plan, &attempt.device).await.unwrap();
    assert_ne!(fresh.message, messages[1]);
    let refused = world.keeper(1).cosign(&attempt.plan, &shown, messages.clone()).await;
    assert_eq!(code(refused), "SHARED_ATTEMPT_STALE", "the package has the commitment of the other life");
    // Both lives' commitments together accuse nobody: an attempt is begun anew.
    let both = [&messages[..], &[fresh.message]].concat();
    let refused = attempt.signing.package(&both).unwrap_err();
    assert_eq!(refused.liar(), None);
    let next = made.try_to(1, 2, &[1, 2], MESSAGE);
    let messages = made.commitments(&world, &next).await;
    let mut shares = Vec::new();
    for keeper in made.signers(&world, &next.plan) {
        shares.push(keeper.cosign(&next.plan, &shown, messages.clone()).await.unwrap().message);
    }
    made.finish(next, &messages, shares);
}

#[tokio::test]
async fn two_services_that_start_the_same_signing_both_end_with_a_signature() {
    let world = World::new();
    let made = world.make_key(&Wish::default()).await;
    // The same intent, begun by two services that know nothing of each other; one of them with other signers.
    let (first, second) = (made.try_to(1, 1, &[1, 2], MESSAGE), made.try_to(1, 2, &[1, 2], MESSAGE));
    let of_first = made.commitments(&world, &first).await;
    let of_second = made.commitments(&world, &second).await;
    let (leaf, _) = world.claim(&made.intent(&first.plan));
    let shown = made.shown(&first.plan, leaf);
    // A relay that mixes the two gets nothing, and nobody is to blame.
    let mixed = vec![of_first[0].clone(), of_first[1].clone(), of_second[2].clone()];
    let refused = world.keeper(1).cosign(&first.plan, &shown, mixed).await.unwrap_err();
    assert_eq!(refused.liar(), None);
    for (attempt, messages) in [(first, of_first), (second, of_second)] {
        let mut shares = Vec::new();
        for keeper in made.signers(&world, &attempt.plan) {
            shares.push(keeper.cosign(&attempt.plan, &shown, messages.clone()).await.unwrap().message);
        }
        made.finish(attempt, &messages, shares);
    }
}

#[tokio::test]
async fn one_attempt_has_one_plan() {
    let world = World::new();
    let made = world.make_key(&Wish::default()).await;
    let attempt = made.try_to(1, 1, &[1, 2], MESSAGE);
    made.commitments(&world, &attempt).await;
    for other in [made.try_to(1, 1, &[1, 3], MESSAGE), made.try_to(1, 1, &[1, 2], b"pay me")] {
        let refused = world.keeper(1).commit(&caller(), &other.plan, &other.device).await;
        assert_eq!(code(refused), "SHARED_ATTEMPT_STALE");
    }
}

#[tokio::test]
async fn a_life_ends_before_it_forgets_what_it_answered() {
    let world = World::new();
    let made = world.make_key(&Wish::default()).await;
    let commitments = Commitments::of(2);
    let keeper = world.keeper(1);
    let facts = keeper.shared_key(&made.key_id).await.unwrap();
    let kept = keeper.share_now(&facts).await.unwrap();
    let mut boots = Vec::new();
    for (number, intent) in [1_u8, 2, 3, 1].into_iter().enumerate() {
        let attempt = made.try_to(intent, 1, &[1, 2], MESSAGE);
        let who = (&caller(), attempt.plan.attempted());
        let sign = |bytes: &[u8]| super::super::world::signing(1).sign(bytes);
        let run = (&attempt.signing, attempt.signing.judge(&attempt.device).unwrap());
        let message = commitments.commit(who, run, &kept, 0, sign).unwrap();
        boots.push(message.encode()[39..71].to_vec());
        let taken = commitments.take(&attempt.plan.attempted(), (attempt.signing.id(), false), 0);
        assert!(taken.is_ok(), "{number}");
    }
    assert_eq!(boots[0], boots[1]);
    assert_ne!(boots[1], boots[2]);
    assert_eq!(boots[2], boots[3], "the first intent again, in another life");
    assert_eq!(FLOOR.tenant_hash(), None);
}
