//! What keepers remember of the ledger for a second, and the key changes meanwhile.

use std::sync::atomic::Ordering;
use std::time::Instant;

use keyward_ledger_core::{
    entry::SharedAct,
    state::{
        keeper::{KeeperState, keeper_key},
        layout::{KeyState, KeyStatus, key_key},
    },
};
use tokio::task::JoinSet;

use super::{
    super::world::{World, id_of, signing},
    code,
    renewal::redeal,
    world::{LOCK_MS, MINUTE_MS, Made, Phone, Wish, caller},
};

const MESSAGE: &[u8] = b"pay nobody";

async fn sign(world: &World, made: &Made, intent: u8) {
    made.sign(world, made.try_to(intent, 1, &[1, 2], MESSAGE)).await.unwrap();
}

#[tokio::test]
async fn new_shares_sign_in_the_moment_of_their_record() {
    let world = World::new();
    let mut made = world.make_key(&Wish::default()).await;
    let under = redeal(&world, &made, 2, &[1, 2, 3], &[1, 2]).await;
    let expires_ms = world.chain().now_ms + MINUTE_MS;
    let (share, key, acknowledgements) = under.keep(&world, &made, expires_ms).await;
    // All keepers know the key as it is before.
    sign(&world, &made, 1).await;
    let old = made.try_to(2, 1, &[1, 2], MESSAGE);
    let of_old = made.commitments(&world, &old).await;
    let (leaf, _) = world.claim(&made.intent(&old.plan));
    assert!(world.record_shared(under.record(&key, expires_ms, acknowledgements)).1.is_accepted());
    (made.share, made.key) = (share, key);
    sign(&world, &made, 3).await;
    let refused = world.keeper(1).cosign(&old.plan, &made.shown(&old.plan, leaf), of_old).await;
    assert_eq!(code(refused), "SHARED_VERSION_STALE", "and the former ones do not");
}

#[tokio::test]
async fn a_share_of_a_second_round_follows_a_record_of_the_moment() {
    let world = World::new();
    let made = world.make_key(&Wish::default()).await;
    let key = key_key(&made.key_id);
    let state = KeyState::decode(&world.state(&key).unwrap()).unwrap();
    world.set_state(key.clone(), KeyState { status: KeyStatus::Frozen, ..state }.encode());
    let attempt = made.try_to(1, 1, &[1, 2], MESSAGE);
    let refused = world.keeper(1).commit(&caller(), &attempt.plan, &attempt.device).await;
    assert_eq!(code(refused), "KEY_FROZEN");
    world.set_state(key.clone(), state.encode());
    let messages = made.commitments(&world, &attempt).await;
    let (leaf, _) = world.claim(&made.intent(&attempt.plan));
    let shown = made.shown(&attempt.plan, leaf);
    world.keeper(1).cosign(&attempt.plan, &shown, messages).await.unwrap();
}

#[tokio::test]
async fn another_device_signs_in_the_moment_in_which_it_comes_into_force() {
    let world = World::new();
    let mut made = world.make_key(&Wish::default()).await;
    let next = Phone::new(0x31);
    let replace = SharedAct::ReplaceDevice { key_id: made.key_id, device: next.device() };
    assert!(world.record_shared(replace).1.is_accepted());
    world.pass(LOCK_MS - 500);
    sign(&world, &made, 1).await;
    world.pass(500);
    made.phone = next;
    sign(&world, &made, 2).await;
}

#[tokio::test]
async fn a_keeper_that_has_other_keys_now_is_known_by_them() {
    let world = World::new();
    let made = world.make_key(&Wish::default()).await;
    sign(&world, &made, 1).await;
    let key = keeper_key(&id_of(2));
    let kept = world.state(&key).unwrap();
    let mut other = KeeperState::decode(&kept).unwrap();
    other.keeper.key = signing(6).public_key();
    world.pass(1_000);
    world.set_state(key.clone(), other.encode());
    let attempt = made.try_to(2, 1, &[1, 2], MESSAGE);
    let refused = world.keeper(1).commit(&caller(), &attempt.plan, &attempt.device).await;
    assert_eq!(code(refused), "SHARED_MESSAGE_REFUSED");
    world.set_state(key, kept);
    sign(&world, &made, 3).await;
}

#[tokio::test]
async fn who_sends_what_fits_nothing_has_the_ledger_asked_no_more_than_ten_times_a_second() {
    let world = World::new();
    let made = world.make_key(&Wish::default()).await;
    sign(&world, &made, 1).await;
    let thief = Made { phone: Phone::new(0x66), ..made };
    let attempt = thief.try_to(2, 1, &[1, 2], MESSAGE);
    let (started, before) = (Instant::now(), world.asked.load(Ordering::Relaxed));
    let mut junk = JoinSet::new();
    for _ in 0..64 {
        let (keeper, plan, device) = (world.keeper(1).clone(), attempt.plan.clone(), attempt.device.clone());
        junk.spawn(async move { code(keeper.commit(&caller(), &plan, &device).await) });
    }
    for refused in junk.join_all().await {
        assert_eq!(refused, "SHARED_MESSAGE_REFUSED");
    }
    // Key, its status, its account and three keepers.
    let asked = world.asked.load(Ordering::Relaxed) - before;
    let rounds = usize::try_from(started.elapsed().as_millis() / 100).unwrap() + 1;
    assert!(asked <= 6 * rounds, "{asked} questions in {rounds} rounds");
}
