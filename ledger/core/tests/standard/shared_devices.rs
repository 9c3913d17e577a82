//! `shared`: shares dealt anew, other holders, and devices that wait.

use crate::common::shared::{LOCK_MS, circle, device, renewal, replace};
use keyward_ledger_core::entry::{Renewal, SharedAct, SharedIntent, SharedRenewal, kind};
use keyward_ledger_core::shared::SHARED_LIFE_MAX_MS;

use super::shared::{KEEPERS, bound, bound_with, claim, key_id, refresh};
use super::*;

#[test]
fn shares_are_dealt_anew_by_the_word_of_all_who_hold_them_and_never_go_back() {
    let mut world = bound();
    let good = refresh(&world, 2);
    let act = world.renew_shared(good.clone(), &KEEPERS);
    refused(&mut world, act.clone(), &[OWNER], "AUTHOR_NOT_NAMED");
    for version in [0, 1, 3] {
        let other = world.renew_shared(SharedRenewal { share_version: version, ..good.clone() }, &KEEPERS);
        refused(&mut world, other, &[], "SHARED_VERSION_STALE");
    }
    let moved = SharedRenewal { circle: circle(&[1, 2, 4], 2), ..good.clone() };
    let moved = world.renew_shared(moved, &[1, 2, 4]);
    refused(&mut world, moved, &[], "SHARED_HOLDERS_CHANGED");
    let higher = SharedRenewal { circle: circle(&KEEPERS, 3), ..good.clone() };
    let higher = world.renew_shared(higher, &KEEPERS);
    refused(&mut world, higher, &[], "SHARED_HOLDERS_CHANGED");
    let elsewhere = world.renew_shared(SharedRenewal { device: device(2), ..good.clone() }, &KEEPERS);
    refused(&mut world, elsewhere, &[], "SHARED_DEVICE_OTHER");
    let by_others = world.renew_shared(good.clone(), &[1, 2, 4]);
    refused(&mut world, by_others, &[], "SHARED_ACKNOWLEDGEMENT_INVALID");
    let late = SharedRenewal { expires_ms: world.ledger.time_ms(), ..good.clone() };
    let late = world.renew_shared(late, &KEEPERS);
    refused(&mut world, late, &[], "EXPIRED");
    let far = SharedRenewal { expires_ms: world.soon() + SHARED_LIFE_MAX_MS, ..good };
    let far = world.renew_shared(far, &KEEPERS);
    refused(&mut world, far, &[], "EXPIRY_TOO_FAR");
    assert_eq!(world.answer(act.clone(), &[]), "ACCEPTED");
    refused(&mut world, act, &[], "SHARED_VERSION_STALE");
    let shared = world.shared_key(&key_id()).unwrap();
    assert_eq!((shared.share_version, shared.key_hash), (2, [0x73; 32]));
    assert_eq!(world.records[shared.leaf as usize].entry[..2], kind::RENEW_SHARED_KEY.to_be_bytes());
    let old = claim(world.claim_shared(1));
    refused(&mut world, old, &[OWNER], "SHARED_VERSION_STALE");
    let new = claim(SharedIntent { share_version: 2, ..world.claim_shared(1) });
    assert_eq!(world.answer(new, &[OWNER]), "ACCEPTED");
}

#[test]
fn other_holders_come_by_the_word_of_a_speaker() {
    let mut world = bound();
    let good = renewal(2, Renewal::Renew, circle(&[4, 1, 5, 2], 3), world.soon());
    let act = world.renew_shared(good.clone(), &[4, 1, 5, 2]);
    refused(&mut world, act.clone(), &[], "AUTHORS_MISSING");
    refused(&mut world, act.clone(), &[ALICE], "AUTHOR_NOT_NAMED");
    for circle in [circle(&[4, 4], 2), circle(&[4, 1], 1), circle(&[4, 1], 3), circle(&[], 0)] {
        let acknowledgements = vec![[1; 64]; circle.keepers.len()];
        let other = SharedRenewal { circle, acknowledgements, ..good.clone() };
        refused(&mut world, Act::Shared(SharedAct::Renew(Box::new(other))), &[OWNER], "SHARED_INVALID");
    }
    let stranger = SharedRenewal { circle: circle(&[1, 9], 2), ..good };
    let stranger = world.renew_shared(stranger, &[1, 9]);
    refused(&mut world, stranger, &[OWNER], "SHARED_KEEPER_UNKNOWN");
    assert_eq!(world.answer(act, &[OWNER]), "ACCEPTED");
    let shared = world.shared_key(&key_id()).unwrap();
    assert_eq!((shared.circle, shared.share_version), (circle(&[4, 1, 5, 2], 3), 2));
    let intent = |signers| SharedIntent { share_version: 2, signers, ..world.claim_shared(1) };
    let (few, enough) = (claim(intent(vec![1, 4])), claim(intent(vec![1, 2, 4])));
    refused(&mut world, few, &[OWNER], "SHARED_SIGNERS");
    assert_eq!(world.answer(enough, &[OWNER]), "ACCEPTED");
}

#[test]
fn another_device_waits_for_the_lock_and_the_one_in_force_can_stop_it() {
    let mut world = bound();
    refused(&mut world, replace(2), &[], "AUTHORS_MISSING");
    refused(&mut world, replace(2), &[ALICE], "AUTHOR_NOT_NAMED");
    refused(&mut world, replace(1), &[OWNER], "SHARED_INVALID");
    let broken = Act::Shared(SharedAct::ReplaceDevice {
        key_id: key_id(),
        device: keyward_ledger_core::shared::Device { signing_key: [0; 32], ..device(2) },
    });
    refused(&mut world, broken, &[OWNER], "SHARED_INVALID");
    let early = world.cancel_device(1, 2);
    refused(&mut world, early, &[], "SHARED_DEVICE_NONE");
    assert_eq!(world.answer(replace(2), &[OWNER]), "ACCEPTED");
    let opens_ms = world.ledger.time_ms() + LOCK_MS;
    refused(&mut world, replace(3), &[OWNER], "SHARED_DEVICE_WAITS");
    for (by, waiting) in [(2, 2), (1, 3), (3, 2)] {
        let other = world.cancel_device(by, waiting);
        refused(&mut world, other, &[], "SHARED_VETO_INVALID");
    }
    let veto = world.cancel_device(1, 2);
    refused(&mut world, veto.clone(), &[OWNER], "AUTHOR_NOT_NAMED");
    let shared = world.shared_key(&key_id()).unwrap();
    assert_eq!(*shared.device_in_force(opens_ms - 1), device(1));
    assert_eq!(*shared.device_in_force(opens_ms), device(2));
    assert_eq!(shared.waiting_device(opens_ms - 1).map(|it| it.opens_ms), Some(opens_ms));
    assert_eq!(shared.waiting_device(opens_ms), None);
    assert_eq!(world.answer(veto.clone(), &[]), "ACCEPTED");
    refused(&mut world, veto, &[], "SHARED_DEVICE_NONE");
    assert_eq!(world.shared_key(&key_id()).unwrap().pending, None);
    world.wait(LOCK_MS);
    assert_eq!(*world.shared_key(&key_id()).unwrap().device_in_force(u64::MAX), device(1));
}

#[test]
fn a_device_that_nobody_stopped_is_in_force_from_its_moment_on_without_another_entry() {
    let mut world = bound();
    assert_eq!(world.answer(replace(2), &[OWNER]), "ACCEPTED");
    let opens_ms = world.ledger.time_ms() + LOCK_MS;
    let renewed = |world: &World, number, version| {
        let renewal = SharedRenewal { device: device(number), ..refresh(world, version) };
        world.renew_shared(renewal, &KEEPERS)
    };
    // One millisecond before: the old device, for renewals and for vetoes.
    world.wait(LOCK_MS - 1);
    let new = renewed(&world, 2, 2);
    world.step_ms = 0;
    refused(&mut world, new.clone(), &[], "SHARED_DEVICE_OTHER");
    assert_eq!(world.ledger.time_ms() + 1, opens_ms);
    world.step_ms = 1;
    assert_eq!(world.answer(new, &[]), "ACCEPTED");
    world.step_ms = 1_000;
    let late = world.cancel_device(1, 2);
    refused(&mut world, late, &[], "SHARED_DEVICE_NONE");
    let old = renewed(&world, 1, 3);
    refused(&mut world, old, &[], "SHARED_DEVICE_OTHER");
    // The next one waits in its turn, and the one in force now vetoes it.
    refused(&mut world, replace(2), &[OWNER], "SHARED_INVALID");
    assert_eq!(world.answer(replace(3), &[OWNER]), "ACCEPTED");
    assert_eq!(world.shared_key(&key_id()).unwrap().device, device(2));
    let former = world.cancel_device(1, 3);
    refused(&mut world, former, &[], "SHARED_VETO_INVALID");
    let veto = world.cancel_device(2, 3);
    assert_eq!(world.answer(veto, &[]), "ACCEPTED");
}

#[test]
fn a_key_without_a_lock_takes_another_device_at_once() {
    let mut world = bound_with(|opening, _| opening.lock_ms = 0);
    assert_eq!(world.answer(replace(2), &[OWNER]), "ACCEPTED");
    assert_eq!(*world.shared_key(&key_id()).unwrap().device_in_force(world.ledger.time_ms()), device(2));
    assert_eq!(world.answer(replace(3), &[OWNER]), "ACCEPTED");
    assert_eq!(world.shared_key(&key_id()).unwrap().device, device(2));
}
