//! Threshold ECDSA: the steps between, what is refused in them as in the last one, and bans.

use std::sync::Arc;

use keyward_crypto::shared::{Boot, KeyShare, Message, SharedScheme, Step, Tweak, equivocation};
use keyward_domain::scheme::verify_digest;
use keyward_ledger_core::{
    ed25519::SigningKey,
    entry::SharedIntent,
    state::layout::{KeyState, KeyStatus, key_key},
};

use super::{
    super::{
        chain::Sight,
        world::{World, files, signing},
    },
    code, forged,
    world::{MINUTE_MS, Made, Phone, Try, Wish, caller},
};
use crate::{SharedError, shared::permit::Disclosed};

const DIGEST: [u8; 32] = [0xd1; 32];

fn wish() -> Wish {
    Wish { scheme: SharedScheme::EcdsaSecp256k1, ..Wish::default() }
}

/// A key, and an attempt at a final intent whose commitments are there.
struct Stage {
    world: World,
    made: Made,
    attempt: Try,
    messages: Vec<Vec<u8>>,
    shown: Disclosed,
}

impl Stage {
    async fn new() -> Self {
        let world = World::new();
        let made = world.make_key(&wish()).await;
        Self::at(world, made, 1).await
    }

    /// The first attempt at an intent of this number, with the first two keepers.
    async fn at(world: World, made: Made, intent: u8) -> Self {
        let attempt = made.try_to(intent, 1, &[1, 2], &DIGEST);
        let messages = made.commitments(&world, &attempt).await;
        let (leaf, outcome) = world.claim(&made.intent(&attempt.plan));
        assert_eq!(outcome.name(), "ACCEPTED");
        let shown = made.shown(&attempt.plan, leaf);
        Self { world, made, attempt, messages, shown }
    }

    async fn answer(&self, number: u8, messages: &[Vec<u8>]) -> Result<Vec<u8>, SharedError> {
        let answer =
            self.world.keeper(number).answer_commitments(&self.attempt.plan, &self.shown, messages.to_vec());
        answer.await.map(|answer| answer.message)
    }

    async fn cosign(&self, number: u8, answers: &[Vec<u8>]) -> Result<Vec<u8>, SharedError> {
        let said = [&self.messages[..], answers].concat();
        let answer = self.world.keeper(number).cosign(&self.attempt.plan, &self.shown, said);
        answer.await.map(|answer| answer.message)
    }

    /// All answers; the device has used its nonces for its own.
    async fn answers(self) -> (Self, Vec<Vec<u8>>) {
        let Self { world, made, attempt, messages, shown } = self;
        let (attempt, answers) = made.answers(&world, attempt, (&messages, &shown)).await.unwrap();
        (Self { world, made, attempt, messages, shown }, answers)
    }
}

#[tokio::test]
async fn the_user_and_any_two_of_three_keepers_sign() {
    let world = World::new();
    let made = world.make_key(&wish()).await;
    for (intent, signers) in [(1, [1, 2]), (2, [1, 3]), (3, [2, 3])] {
        let signature = made.sign(&world, made.try_to(intent, 1, &signers, &DIGEST)).await.unwrap();
        // Low S: the ledger takes no other.
        verify_digest(&made.key.public_key(&Tweak::None).unwrap(), &DIGEST, &signature).unwrap();
    }
}

#[tokio::test]
async fn more_keepers_than_the_scheme_bears_begin_no_key() {
    let mut world = World::new();
    world.admit(6);
    let phone = Phone::new(0x21);
    let all = Wish { numbers: vec![1, 2, 3, 4, 5, 6], ..wish() };
    assert_eq!(code(world.keeper(1).open_key(&caller(), &all.plan(&phone)).await), "SHARED_INVALID");
    let five = Wish { numbers: vec![1, 2, 3, 4, 5], ..wish() };
    world.keeper(1).open_key(&caller(), &five.plan(&phone)).await.unwrap();
}

#[tokio::test]
async fn an_agreement_repeats_itself_and_a_keeper_that_stopped_has_none() {
    let mut world = World::new();
    let (wish, phone) = (wish(), Phone::new(0x21));
    let plan = wish.plan(&phone);
    let mut run = world.deal_key(&wish, &phone).await;
    assert_eq!(code(world.keeper(1).keep_key(&plan, run.all(), [None; 2]).await), "SHARED_MESSAGE_REFUSED");
    let said = run.all();
    let agreed = world.keeper(1).agree_key(&plan, said.clone()).await.unwrap();
    assert_eq!(world.keeper(1).agree_key(&plan, said.clone()).await.unwrap(), agreed);
    assert_eq!(Message::decode(&agreed.message).unwrap().step(), Step::Agreement);
    // Without all dealings, or before anything was dealt here, there is none.
    let short = said[..said.len() - 1].to_vec();
    assert_eq!(code(world.keeper(2).agree_key(&plan, short).await), "SHARED_MESSAGE_REFUSED");
    world.restart(3);
    assert_eq!(code(world.keeper(3).agree_key(&plan, said.clone()).await), "SHARED_ATTEMPT_STALE");
    // And nothing of it is for keys of other schemes.
    let other = Wish { name: [0x4f; 32], ..Wish::default() };
    let frost = world.deal_key(&other, &phone).await;
    let refused = world.keeper(1).agree_key(&other.plan(&phone), frost.all()).await;
    assert_eq!(code(refused), "SHARED_REQUEST_MALFORMED");
    // The next attempt makes the key.
    let next = Wish { attempt: 2, ..wish };
    run = world.deal_key(&next, &phone).await;
    world.agree_key(&next, &phone, &mut run).await;
    let kept = world.keeper(3).keep_key(&next.plan(&phone), run.all(), [None; 2]).await.unwrap();
    world.restart(3);
    assert_eq!(world.keeper(3).keep_key(&next.plan(&phone), run.all(), [None; 2]).await.unwrap(), kept);
}

#[tokio::test]
async fn what_allows_no_share_allows_no_answer_either() {
    let world = World::new();
    let made = world.make_key(&wish()).await;
    let stage = Stage::at(world, made, 1).await;
    // Not final, or a record of something else.
    let next = stage.world.chain().log.len() as u64;
    for leaf_index in [next, 0] {
        let shown = Disclosed { leaf_index, ..stage.shown.clone() };
        let asked =
            stage.world.keeper(1).answer_commitments(&stage.attempt.plan, &shown, stage.messages.clone());
        assert_eq!(code(asked.await), "SHARED_INTENT_REFUSED");
    }
    let shown = Disclosed { opening: [0; 32], ..stage.shown.clone() };
    let asked = stage.world.keeper(1).answer_commitments(&stage.attempt.plan, &shown, stage.messages.clone());
    assert_eq!(code(asked.await), "PAYLOAD_OTHER");
    // An accepted intent for other signers.
    let other = stage.made.try_to(2, 1, &[1, 2], &DIGEST);
    let messages = stage.made.commitments(&stage.world, &other).await;
    let intent = SharedIntent { signers: vec![1, 3], ..stage.made.intent(&other.plan) };
    let (leaf, _) = stage.world.claim(&intent);
    let shown = stage.made.shown(&other.plan, leaf);
    let asked = stage.world.keeper(1).answer_commitments(&other.plan, &shown, messages).await;
    assert_eq!(code(asked), "SHARED_INTENT_REFUSED");
    // Nothing begun here: no question to the ledger.
    stage.world.see(1, Sight::Away);
    let stranger = stage.made.plan([0x77; 32], 1, &[1, 2], &DIGEST);
    let asked =
        stage.world.keeper(1).answer_commitments(&stranger, &stage.shown, stage.messages.clone()).await;
    assert_eq!(code(asked), "SHARED_ATTEMPT_STALE");
    assert_eq!(code(stage.answer(1, &stage.messages).await), "LEDGER_UNAVAILABLE");
    stage.world.see(1, Sight::Clear);
    // No share before the answers, whatever is called one.
    let commitments = stage.messages.clone();
    assert_eq!(code(stage.cosign(1, &[]).await), "SHARED_ATTEMPT_STALE");
    assert_eq!(code(stage.cosign(1, &commitments).await), "SHARED_ATTEMPT_STALE");
    // A missing commitment, or one that somebody else has signed, costs nothing.
    assert_eq!(code(stage.answer(1, &commitments[1..]).await), "SHARED_MESSAGE_REFUSED");
    let unsigned = forged(&commitments[2], &SigningKey::from_seed(&[9; 32]));
    let spoilt = vec![commitments[0].clone(), commitments[1].clone(), unsigned];
    assert_eq!(code(stage.answer(1, &spoilt).await), "SHARED_MESSAGE_REFUSED");
    let answer = stage.answer(1, &commitments).await.unwrap();
    assert_eq!(stage.answer(1, &commitments).await.unwrap(), answer, "asked again");
    // The key is checked again before the share: frozen in between.
    let (stage, answers) = stage.answers().await;
    assert_eq!(answers[1], answer);
    let key = key_key(&stage.made.key_id);
    let active = KeyState::decode(&stage.world.state(&key).unwrap()).unwrap();
    for (status, expected) in [(KeyStatus::Frozen, Some("KEY_FROZEN")), (KeyStatus::Active, None)] {
        stage.world.set_state(key.clone(), KeyState { status, ..active }.encode());
        stage.world.pass(1_000);
        if let Some(expected) = expected {
            assert_eq!(code(stage.cosign(1, &answers).await), expected);
        }
    }
    let mut shares = Vec::new();
    for number in [1, 2] {
        shares.push(stage.cosign(number, &answers).await.unwrap());
        assert_eq!(code(stage.cosign(number, &answers).await), "SHARED_ATTEMPT_STALE", "once");
        assert_eq!(code(stage.answer(number, &stage.messages).await), "SHARED_ATTEMPT_STALE");
    }
    let Stage { made, attempt, messages, .. } = stage;
    made.finish_answered(attempt, [&messages, &answers], shares);
}

#[tokio::test]
async fn a_frost_key_answers_nothing_and_keeps_its_nonces() {
    let world = World::new();
    let made = world.make_key(&Wish::default()).await;
    let stage = Stage::at(world, made, 1).await;
    assert_eq!(code(stage.answer(1, &stage.messages).await), "SHARED_REQUEST_MALFORMED");
    stage.cosign(1, &[]).await.unwrap();
}

#[tokio::test]
async fn a_stop_after_either_step_or_a_minute_ends_the_attempt_and_the_next_one_signs() {
    let mut stage = Stage::new().await;
    stage.world.restart(1);
    assert_eq!(code(stage.answer(1, &stage.messages).await), "SHARED_ATTEMPT_STALE");
    let Stage { world, made, .. } = stage;
    let (mut stage, answers) = Stage::at(world, made, 2).await.answers().await;
    stage.world.restart(1);
    assert_eq!(code(stage.cosign(1, &answers).await), "SHARED_ATTEMPT_STALE");
    stage.world.pass(MINUTE_MS + 1);
    assert_eq!(code(stage.cosign(2, &answers).await), "SHARED_ATTEMPT_STALE");
    let Stage { world, made, .. } = stage;
    made.sign(&world, made.try_to(3, 1, &[1, 2], &DIGEST)).await.unwrap();
}

/// The second keeper's commitment by a share whose transfers with the first one are not what they agreed on. The first one sees each
/// of the 64 with one half.
async fn lying(world: &World, made: &Made, attempt: &Try) -> Vec<u8> {
    // A party, 416 numbers of 33 bytes and 256 pairs of seeds, each list behind its count; what is changed lies in the midst of
    // the second seeds.
    const RECEIVER_BYTES: usize = 1 + (2 + 416 * 33) + 2 * (2 + 256 * 32);
    const SEEDS_BYTES: usize = 128 * 32;
    let facts = world.keeper(2).shared_key(&made.key_id).await.unwrap();
    let kept = world.keeper(2).share_now(&facts).await.unwrap();
    let share = kept.share.to_secret().expose(|bytes| {
        let mut bytes = bytes.to_vec();
        // Those with the first keeper come first, then the third, and the user's two parties.
        let end = bytes.len() - 3 * RECEIVER_BYTES - SEEDS_BYTES;
        (1..=64).for_each(|seed| bytes[end - 32 * seed] ^= 1);
        KeyShare::from_secret(&bytes, &made.key).unwrap()
    });
    let signer = signing(2);
    let (_, said) =
        attempt.signing.commit(&share, &Boot::begin().unwrap(), |bytes| signer.sign(bytes)).unwrap();
    said.encode()
}

#[tokio::test]
async fn whoever_lies_in_a_multiplication_is_banned_for_good_and_others_sign_without_it() {
    let mut stage = Stage::new().await;
    let honest = stage.messages.clone();
    stage.messages[2] = lying(&stage.world, &stage.made, &stage.attempt).await;
    // Begun before anybody lied.
    let waiting = stage.made.try_to(2, 1, &[1, 2], &DIGEST);
    let messages = stage.made.commitments(&stage.world, &waiting).await;
    let (leaf, _) = stage.world.claim(&stage.made.intent(&waiting.plan));
    let shown = stage.made.shown(&waiting.plan, leaf);
    let refused = stage.answer(1, &stage.messages).await.unwrap_err();
    assert_eq!((refused.liar(), code::<()>(Err(refused))), (Some(2), "SHARED_HOLDER_LIED"));
    assert_eq!(
        code(stage.answer(1, &honest).await),
        "SHARED_ATTEMPT_STALE",
        "nothing is left of the attempt"
    );
    let asked = stage.world.keeper(1).answer_commitments(&waiting.plan, &shown, messages).await;
    assert_eq!(code(asked), "SHARED_BANNED");
    for stopped in [false, true] {
        if stopped {
            stage.world.restart(1);
        }
        let next = stage.made.try_to(3, 1, &[1, 2], &DIGEST);
        let asked = stage.world.keeper(1).commit(&caller(), &next.plan, &next.device).await;
        assert_eq!(code(asked), "SHARED_BANNED");
        stage.world.keeper(1).round().await.unwrap();
        assert_eq!(stage.world.files(1), 1);
    }
    // It is between these two: others sign with either.
    let Stage { world, made, .. } = stage;
    for (intent, signers) in [(4, [1, 3]), (5, [2, 3])] {
        made.sign(&world, made.try_to(intent, 1, &signers, &DIGEST)).await.unwrap();
    }
}

#[tokio::test]
async fn where_a_ban_cannot_be_noted_the_share_is_used_no_more() {
    let mut stage = Stage::new().await;
    stage.messages[2] = lying(&stage.world, &stage.made, &stage.attempt).await;
    stage.world.keeper(1).round().await.unwrap();
    let file = files(&stage.world.folder_of(1).join("shared")).pop().unwrap();
    let beside = file.with_added_extension("new");
    std::fs::create_dir(&beside).unwrap();
    assert_ne!(code(stage.answer(1, &stage.messages).await), "SHARED_HOLDER_LIED");
    std::fs::remove_dir(&beside).unwrap();
    for signers in [[1, 2], [1, 3]] {
        let next = stage.made.try_to(7, 1, &signers, &DIGEST);
        let asked = stage.world.keeper(1).commit(&caller(), &next.plan, &next.device).await;
        assert_eq!(code(asked), "SHARED_SHARE_MISSING");
    }
}

#[tokio::test]
async fn who_waits_to_multiply_keeps_nobody_from_a_turn_to_work() {
    let stage = Stage::new().await;
    let inner = &stage.world.keeper(1).0;
    let (all, multiplying) = (inner.turns.work.available_permits(), &inner.shared.multiplying);
    let other = multiplying.clone().lock_owned().await;
    let waits = async {
        // The keeper's own, the other's, and that of who waits.
        while Arc::strong_count(multiplying) < 3 {
            tokio::task::yield_now().await;
        }
        assert_eq!(inner.turns.work.available_permits(), all);
        drop(other);
    };
    let (answer, ()) = tokio::join!(stage.answer(1, &stage.messages), waits);
    answer.unwrap();
}

#[tokio::test]
async fn the_share_is_read_only_once_the_device_has_spoken() {
    let stage = Stage::new().await;
    stage.world.keeper(1).round().await.unwrap();
    // Without its file a share cannot be read, and the key is still known.
    std::fs::remove_file(files(&stage.world.folder_of(1).join("shared")).pop().unwrap()).unwrap();
    let next = stage.made.try_to(2, 1, &[1, 2], &DIGEST);
    let unsigned = forged(&next.device, &SigningKey::from_seed(&[9; 32]));
    for (device, expected) in [(&unsigned, "SHARED_MESSAGE_REFUSED"), (&next.device, "SHARED_SHARE_MISSING")]
    {
        let asked = stage.world.keeper(1).commit(&caller(), &next.plan, device).await;
        assert_eq!(code(asked), expected);
    }
}

#[tokio::test]
async fn a_relay_that_spoils_what_it_carries_has_nobody_banned_and_costs_no_nonces() {
    let (stage, before) = Stage::new().await.answers().await;
    let Stage { world, made, .. } = stage;
    let (stage, answers) = Stage::at(world, made, 2).await.answers().await;
    // Not signed by the keeper, or signed by it in another attempt: somebody else may have put it there.
    let mut unsigned = answers.clone();
    *unsigned[2].last_mut().unwrap() ^= 1;
    let replayed = vec![answers[0].clone(), answers[1].clone(), before[2].clone()];
    for spoilt in [unsigned, replayed] {
        assert_eq!(code(stage.cosign(1, &spoilt).await), "SHARED_MESSAGE_REFUSED");
    }
    stage.cosign(1, &answers).await.unwrap();
}

#[tokio::test]
async fn two_answers_of_one_holder_convict_it() {
    let (stage, mut answers) = Stage::new().await.answers().await;
    let other = forged(&answers[2], &signing(2));
    assert_eq!(equivocation(&stage.made.roster(), [&answers[2], &other]), Some(2));
    answers.push(other);
    let refused = stage.cosign(1, &answers).await.unwrap_err();
    assert_eq!(refused.liar(), Some(2));
}

#[tokio::test]
async fn its_shares_are_not_dealt_anew_and_not_given_back() {
    let world = World::new();
    let made = world.make_key(&wish()).await;
    let plan =
        crate::shared::plan::RepairPlan { key_id: made.key_id, lost: 3, helpers: vec![1, 2], attempt: 1 };
    let asked = world.keeper(1).split_share(&caller(), &plan, [b"", b""]).await;
    assert_eq!(code(asked), "SHARED_EXPERIMENTAL");
    let plan = crate::shared::plan::RenewalPlan {
        key_id: made.key_id,
        circle: super::world::circle(2, &[1, 2, 3]),
        device: made.phone.device(),
        dealers: vec![1, 2],
        attempt: 1,
    };
    let asked = world.keeper(1).redeal_key(&caller(), &plan, b"").await;
    assert_eq!(code(asked), "SHARED_EXPERIMENTAL");
}
