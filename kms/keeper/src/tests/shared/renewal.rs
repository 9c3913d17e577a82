//! Shares dealt anew, given back and erased; devices that are replaced.

use keyward_crypto::shared::{KeyShare, Message, Renewal, Repair, SharedKey, USER};
use keyward_ledger_core::{
    entry::{Renewal as Kind, SharedAct, SharedRenewal},
    shared::veto_message,
    state::layout::{KeyState, KeyStatus, key_key},
};

use super::{
    super::{
        chain::CHAIN,
        world::{World, signing},
    },
    code, forged,
    world::{LOCK_MS, MINUTE_MS, Made, Phone, Wish, caller, circle, roster},
};
use crate::shared::plan::{RenewalPlan, RepairPlan};

const MESSAGE: &[u8] = b"pay nobody";

/// A renewal under way: to whom, and what the dealers sent.
pub(super) struct Under {
    renewal: Renewal,
    plan: RenewalPlan,
    own: Message,
    messages: Vec<Vec<u8>>,
    /// The keepers to come.
    numbers: Vec<u8>,
}

/// Has the user and two keepers (by place) deal to others.
pub(super) async fn redeal(
    world: &World,
    made: &Made,
    threshold: u8,
    numbers: &[u8],
    dealers: &[u8],
) -> Under {
    redeal_in(world, made, (threshold, numbers, dealers), 1).await
}

/// The same to the same number of keepers, dealt by the first two, as one attempt of several.
async fn redeal_as(world: &World, made: &Made, numbers: &[u8], attempt: u32) -> Under {
    redeal_in(world, made, (2, numbers, &[1, 2]), attempt).await
}

async fn redeal_in(
    world: &World,
    made: &Made,
    (threshold, numbers, dealers): (u8, &[u8], &[u8]),
    attempt: u32,
) -> Under {
    let (from, to) = (made.roster(), roster(&made.phone, threshold, numbers));
    let renewal = Renewal::new(made.key.clone(), from, to, dealers, attempt).unwrap();
    let own = renewal.deal(&made.share, |bytes| made.phone.sign(bytes)).unwrap();
    let plan = RenewalPlan {
        key_id: made.key_id,
        circle: circle(threshold, numbers),
        device: made.phone.device(),
        dealers: dealers.to_vec(),
        attempt,
    };
    let mut messages = vec![own.encode()];
    for place in dealers {
        let keeper = world.keeper(made.numbers[usize::from(*place) - 1]);
        messages.push(keeper.redeal_key(&caller(), &plan, &own.encode()).await.unwrap().message);
    }
    Under { renewal, plan, own, messages, numbers: numbers.to_vec() }
}

impl Under {
    pub(super) fn record(
        &self,
        key: &SharedKey,
        expires_ms: u64,
        acknowledgements: Vec<[u8; 64]>,
    ) -> SharedAct {
        SharedAct::Renew(Box::new(SharedRenewal {
            key_id: self.plan.key_id,
            share_version: key.share_version(),
            renewal: Kind::Renew,
            circle: self.plan.circle.clone(),
            device: self.plan.device,
            key_hash: key.hash(),
            expires_ms,
            acknowledgements,
        }))
    }

    /// Has everybody to come keep its share; the user's, with the acknowledgements.
    pub(super) async fn keep(
        &self,
        world: &World,
        made: &Made,
        expires_ms: u64,
    ) -> (KeyShare, SharedKey, Vec<[u8; 64]>) {
        let renewed = self.renewal.agree(&self.messages).unwrap();
        let dealt = renewed.receive(USER, Some(&self.own), &made.phone.sealing).unwrap();
        let mut confirmations = vec![dealt.confirmation(|bytes| made.phone.sign(bytes)).encode()];
        let mut acknowledgements = Vec::new();
        let key = made.key.encode();
        for keeper in world.keepers_of(&self.numbers) {
            let answer =
                keeper.keep_renewed_key(&self.plan, &key, self.messages.clone(), expires_ms).await.unwrap();
            confirmations.push(answer.message);
            acknowledgements.push(answer.acknowledgement.unwrap());
        }
        let (share, key) = dealt.confirmed(&confirmations).unwrap();
        (share, key, acknowledgements)
    }
}

#[tokio::test]
async fn shares_go_to_other_keepers_and_old_ones_sign_no_more() {
    let world = World::new();
    let mut made = world.make_key(&Wish::default()).await;
    let old = made.try_to(1, 1, &[1, 2], MESSAGE);
    let of_old = made.commitments(&world, &old).await;
    let (leaf, _) = world.claim(&made.intent(&old.plan));
    let under = redeal(&world, &made, 2, &[4, 1, 5], &[1, 3]).await;
    let expires_ms = world.chain().now_ms + MINUTE_MS;
    let (share, key, acknowledgements) = under.keep(&world, &made, expires_ms).await;
    assert_eq!([1, 2, 3, 4, 5].map(|number| world.files(number)), [2, 1, 1, 1, 1]);
    // Until it is recorded the old shares sign, and nothing goes.
    for number in 1..=5 {
        world.keeper(number).round().await.unwrap();
    }
    assert_eq!([1, 2, 3, 4, 5].map(|number| world.files(number)), [2, 1, 1, 1, 1]);
    world.keeper(1).cosign(&old.plan, &made.shown(&old.plan, leaf), of_old.clone()).await.unwrap();
    let act = under.record(&key, expires_ms, acknowledgements);
    assert_eq!(world.record_shared(act).1.name(), "ACCEPTED");
    world.pass(1_000);
    let refused = world.keeper(2).cosign(&old.plan, &made.shown(&old.plan, leaf), of_old).await;
    assert_eq!(code(refused), "SHARED_VERSION_STALE");
    for number in 1..=5 {
        world.keeper(number).round().await.unwrap();
    }
    assert_eq!([1, 2, 3, 4, 5].map(|number| world.files(number)), [1, 0, 0, 1, 1]);
    (made.share, made.key, made.numbers) = (share, key, vec![4, 1, 5]);
    for (intent, signers) in [(2, [1, 2]), (3, [2, 3])] {
        made.sign(&world, made.try_to(intent, 1, &signers, MESSAGE)).await.unwrap();
    }
}

#[tokio::test]
async fn a_renewal_needs_the_user_the_device_in_force_and_keepers_of_the_ledger() {
    let mut world = World::new();
    let made = world.make_key(&Wish::default()).await;
    let under = redeal(&world, &made, 2, &[1, 2, 3], &[1, 2]).await;
    let (key, expires_ms) = (made.key.encode(), world.chain().now_ms + MINUTE_MS);
    let redeals = async |plan: &RenewalPlan, device: &[u8]| {
        code(world.keeper(1).redeal_key(&caller(), plan, device).await)
    };
    assert_eq!(redeals(&under.plan, b"").await, "SHARED_MESSAGE_REFUSED");
    assert_eq!(redeals(&under.plan, &under.messages[1]).await, "SHARED_REQUEST_MALFORMED", "a keeper's");
    let other = RenewalPlan { attempt: 2, ..under.plan.clone() };
    assert_eq!(redeals(&other, &under.own.encode()).await, "SHARED_MESSAGE_REFUSED", "of another run");
    let thief = RenewalPlan { device: Phone::new(0x66).device(), ..under.plan.clone() };
    assert_eq!(redeals(&thief, &under.own.encode()).await, "SHARED_DEVICE_REFUSED");
    let stranger = RenewalPlan { circle: circle(2, &[1, 2, 7]), ..under.plan.clone() };
    assert_eq!(redeals(&stranger, &under.own.encode()).await, "SHARED_KEEPER_UNKNOWN");
    // Who is named: a dealer that signs two dealings, or one that does not hold.
    let keeps = async |world: &World, messages: Vec<Vec<u8>>, expires_ms: u64| {
        world.keeper(3).keep_renewed_key(&under.plan, &key, messages, expires_ms).await
    };
    let mut lied = under.messages.clone();
    lied[2] = forged(&under.messages[2], &signing(2));
    assert_eq!(keeps(&world, lied, expires_ms).await.unwrap_err().liar(), Some(2), "its piece for keeper 3");
    let twice = [&under.messages[..], &[forged(&under.messages[1], &signing(1))]].concat();
    assert_eq!(keeps(&world, twice, expires_ms).await.unwrap_err().liar(), Some(1));
    let short = under.messages[..2].to_vec();
    assert_eq!(code(keeps(&world, short, expires_ms).await), "SHARED_MESSAGE_REFUSED");
    assert_eq!(code(keeps(&world, under.messages.clone(), 1).await), "AUTHOR_SIGNATURE_EXPIRED");
    let foreign =
        world.keeper(3).keep_renewed_key(&under.plan, b"", under.messages.clone(), expires_ms).await;
    assert_eq!(code(foreign), "SHARED_REQUEST_MALFORMED");
    assert_eq!(world.files(3), 1, "nothing was kept");
    // A dealer that was stopped does not know what it has dealt.
    world.restart(1);
    let stopped =
        world.keeper(1).keep_renewed_key(&under.plan, &key, under.messages.clone(), expires_ms).await;
    assert_eq!(code(stopped), "SHARED_ATTEMPT_STALE");
    // What nobody records goes.
    keeps(&world, under.messages.clone(), expires_ms).await.unwrap();
    assert_eq!(world.files(3), 2);
    world.pass(MINUTE_MS + 1);
    world.keeper(3).round().await.unwrap();
    assert_eq!(world.files(3), 1);
}

#[tokio::test]
async fn another_device_signs_after_its_lock_with_the_same_share_and_a_veto_keeps_it_out() {
    let world = World::new();
    let mut made = world.make_key(&Wish::default()).await;
    let next = Phone::new(0x31);
    let replace = || SharedAct::ReplaceDevice { key_id: made.key_id, device: next.device() };
    assert!(world.record_shared(replace()).1.is_accepted());
    let message = veto_message(&CHAIN, &made.key_id, &next.signing.public_key());
    let signature = made.phone.sign(&message);
    let cancel = SharedAct::CancelDevice { key_id: made.key_id, signature };
    let (_, outcome) = world.record_act(keyward_ledger_core::entry::Act::Shared(cancel), false);
    assert_eq!(outcome.name(), "ACCEPTED");
    world.pass(LOCK_MS);
    made.sign(&world, made.try_to(1, 1, &[1, 2], MESSAGE)).await.unwrap();
    assert!(world.record_shared(replace()).1.is_accepted());
    world.pass(LOCK_MS);
    made.phone = next;
    made.sign(&world, made.try_to(2, 1, &[2, 3], MESSAGE)).await.unwrap();
}

#[tokio::test]
async fn a_key_fills_its_own_room_and_no_other_keys() {
    let world = World::new();
    let made = world.make_key(&Wish::default()).await;
    for number in [1, 2, 3] {
        world.keeper(number).round().await.unwrap();
    }
    let (key, expires_ms) = (made.key.encode(), world.chain().now_ms + MINUTE_MS);
    for tried in 0..9 {
        // Each has another key hash: nobody records any of them.
        let under = redeal_as(&world, &made, &[1, 2, 3], tried + 1).await;
        let kept =
            world.keeper(3).keep_renewed_key(&under.plan, &key, under.messages.clone(), expires_ms).await;
        match tried {
            8 => assert_eq!(code(kept), "SERVICE_BUSY"),
            _ => assert!(kept.is_ok(), "{tried}"),
        }
    }
    assert_eq!(world.files(3), 9);
    world.make_key(&Wish { name: [0x4f; 32], ..Wish::default() }).await;
}

/// A repair of the share at place 3.
fn repair(made: &Made, attempt: u32) -> (Repair, RepairPlan) {
    let helpers = vec![1, 2];
    let run = Repair::new(made.key.clone(), made.roster(), 3, &helpers, attempt).unwrap();
    (run, RepairPlan { key_id: made.key_id, lost: 3, helpers, attempt })
}

#[tokio::test]
async fn a_lost_share_comes_back_with_the_users_help_and_signs() {
    let mut world = World::new();
    let made = world.make_key(&Wish::default()).await;
    let key = made.key.encode();
    let (run, plan) = repair(&made, 1);
    assert_eq!(code(world.keeper(3).ask_repair(&plan, &key).await), "SHARED_SHARE_HELD");
    std::fs::remove_dir_all(world.folder_of(3)).unwrap();
    world.restart(3);
    let gone = made.try_to(1, 1, &[1, 3], MESSAGE);
    let refused = world.keeper(3).commit(&caller(), &gone.plan, &gone.device).await;
    assert_eq!(code(refused), "SHARED_SHARE_MISSING");
    assert_eq!(code(world.keeper(3).ask_repair(&plan, b"junk").await), "SHARED_REQUEST_MALFORMED");
    let asked = world.keeper(3).ask_repair(&plan, &key).await.unwrap().message;
    let own = run.split(&made.share, &asked, |bytes| made.phone.sign(bytes)).unwrap();
    let split = async |number: u8, request: &[u8], device: &[u8]| {
        world.keeper(number).split_share(&caller(), &plan, [request, device]).await
    };
    assert_eq!(code(split(1, &asked, b"").await), "SHARED_MESSAGE_REFUSED", "the user does not help");
    assert_eq!(code(split(1, b"", &own.encode()).await), "SHARED_MESSAGE_REFUSED", "nobody has asked");
    let mut splits = vec![own.encode()];
    for number in [1, 2] {
        splits.push(split(number, &asked, &own.encode()).await.unwrap().message);
    }
    assert_eq!(split(1, &asked, &own.encode()).await.unwrap().message, splits[1], "asked again");
    let columns = run.columns(&splits).unwrap();
    let summed = columns.add(&own, &made.phone.sealing, |bytes| made.phone.sign(bytes)).unwrap();
    let mut sums = vec![summed.encode()];
    for number in [1, 2] {
        sums.push(world.keeper(number).sum_share(&plan, splits.clone()).await.unwrap().message);
    }
    let mut lied = sums.clone();
    lied[2] = forged(&sums[2], &signing(2));
    let refused = world.keeper(3).keep_repaired_share(&plan, &key, [splits.clone(), lied]).await.unwrap_err();
    assert_eq!(refused.liar(), Some(2));
    assert_eq!(world.files(3), 0);
    world.keeper(3).keep_repaired_share(&plan, &key, [splits.clone(), sums.clone()]).await.unwrap();
    let again = world.keeper(3).keep_repaired_share(&plan, &key, [splits, sums]).await;
    assert_eq!(code(again), "SHARED_SHARE_HELD");
    world.restart(3);
    world.keeper(3).round().await.unwrap();
    assert_eq!(world.files(3), 1, "it is one of the present shares");
    made.sign(&world, made.try_to(2, 1, &[1, 3], MESSAGE)).await.unwrap();
}

#[tokio::test]
async fn the_shares_of_a_destroyed_key_are_erased_and_a_frozen_ones_stay() {
    let mut world = World::new();
    let made = world.make_key(&Wish::default()).await;
    let copy = world.folder_of(5).with_file_name("copy");
    world.copy(&world.folder_of(1), &copy);
    let key = key_key(&made.key_id);
    let state = KeyState::decode(&world.state(&key).unwrap()).unwrap();
    let set = |world: &World, status| {
        world.set_state(key.clone(), KeyState { status, ..state }.encode());
        world.pass(1_000);
    };
    set(&world, KeyStatus::Frozen);
    world.keeper(1).round().await.unwrap();
    assert_eq!(world.files(1), 1);
    set(&world, KeyStatus::Destroyed { at_ms: 1, successor: None });
    for rolled_back in [false, true] {
        if rolled_back {
            let back = world.folder_of(1);
            world.copy(&copy, &back);
            world.restart(1);
        }
        world.keeper(1).round().await.unwrap();
        assert_eq!(world.files(1), 0);
    }
}
