//! Who gets parts, of what, and for how long.

use keyward_crypto::{
    unlinkable::ViewingCover,
    viewing::{GatheringError, PartError, ViewingShare},
};
use keyward_ledger_core::{
    entry::{AuditAct, OpenGrant},
    state::audit::audit_key,
};

use super::{
    super::{
        chain::Sight,
        world::{ACCOUNT, World, files, id_of, sealing_key, signing},
    },
    code,
    world::{AUDITOR, Dealt, FIRST, GRANT, KEPT_MS, LIVE_MS, TENANT, cover, opening},
};
use crate::STATE_AGE_MAX_MS;

fn same(one: &ViewingCover, other: &ViewingCover) -> bool {
    one.encode().expose(|bytes| other.encode().matches(bytes))
}

#[tokio::test]
async fn any_three_of_five_keepers_open_a_run_to_the_grantee_and_two_open_nothing() {
    let world = World::with_addresses();
    let dealt = world.dealt(FIRST, FIRST + 4).await;
    let key = world.issue(FIRST, FIRST + 9);
    let leaf = world.opened(FIRST, FIRST + 4);
    for numbers in [[1, 2, 3], [5, 3, 1], [2, 4, 5]] {
        let mut gathering = world.gathering(&dealt, &key, leaf);
        for number in numbers {
            assert!(!gathering.is_enough());
            assert!(matches!(gathering.cover(), Err(GatheringError::TooFew { needed: 3, .. })));
            let part = world.keeper(number).open_viewing(leaf, FIRST).await.unwrap();
            gathering.part(&key, &id_of(number), &part).unwrap();
        }
        assert!(same(&gathering.cover().unwrap(), &cover(FIRST, FIRST + 4)));
    }
    // Sealed to the grantee of the record: nobody else reads it, and it is no part of another keeper.
    let part = world.keeper(1).open_viewing(leaf, FIRST).await.unwrap();
    let mut gathering = world.gathering(&dealt, &key, leaf);
    let stranger = keyward_crypto::unlinkable::GrantKey::generate().unwrap();
    let refused = gathering.part(&stranger, &id_of(1), &part).unwrap_err();
    assert!(matches!(refused, PartError::Unreadable { .. }));
    let refused = gathering.part(&key, &id_of(2), &part).unwrap_err();
    assert!(matches!(refused, PartError::Unreadable { .. }));
}

#[tokio::test]
async fn an_opening_is_answered_as_often_as_it_is_asked_also_after_a_start_and_at_once() {
    let mut world = World::with_addresses();
    let dealt = world.dealt(FIRST, FIRST).await;
    let key = world.issue(FIRST, FIRST);
    let (one, other) = (world.opened(FIRST, FIRST), world.opened(FIRST, FIRST));
    let keeper = world.keeper(1);
    let (first, again) = tokio::join!(keeper.open_viewing(one, FIRST), keeper.open_viewing(one, FIRST));
    let from_memory = keeper.open_viewing(one, FIRST).await.unwrap();
    let of_other = keeper.open_viewing(other, FIRST).await.unwrap();
    world.restart(1);
    let anew = world.keeper(1).open_viewing(one, FIRST).await.unwrap();
    for (leaf, part) in
        [(one, first.unwrap()), (one, again.unwrap()), (one, from_memory), (one, anew), (other, of_other)]
    {
        let mut gathering = world.gathering(&dealt, &key, leaf);
        gathering.part(&key, &id_of(1), &part).unwrap();
        let twice = gathering.part(&key, &id_of(1), &part).unwrap_err();
        assert!(matches!(twice, PartError::Twice { .. }), "a keeper counts once");
    }
}

#[tokio::test]
async fn nothing_but_a_final_accepted_opening_of_the_whole_run_is_answered() {
    let world = World::with_addresses();
    let acknowledged = world.deal(FIRST, FIRST + 4);
    let acknowledgements = world.give_all(&acknowledged).await;
    let (recorded, outcome) = world.record_dealt(&acknowledged, acknowledgements);
    assert!(outcome.is_accepted());
    world.dealt(FIRST + 5, FIRST + 6).await;
    world.issue(FIRST, FIRST + 9);
    let keeper = world.keeper(1);
    let asked = async |leaf, first| code(keeper.open_viewing(leaf, first).await);
    assert_eq!(asked(999, FIRST).await, "VIEWING_NOT_OPENED", "there is no such record");
    assert_eq!(asked(recorded, FIRST).await, "VIEWING_NOT_OPENED", "it is the dealing itself");
    let (refused, outcome) = world.open(FIRST, FIRST + 10);
    assert_eq!(outcome.name(), "GRANT_SCOPE");
    assert_eq!(asked(refused, FIRST).await, "VIEWING_NOT_OPENED", "the ledger refused it");
    for (first, last) in [(FIRST, FIRST + 3), (FIRST + 1, FIRST + 4), (FIRST + 5, FIRST + 6)] {
        let leaf = world.opened(first, last);
        assert_eq!(asked(leaf, FIRST).await, "VIEWING_NOT_OPENED", "{first}..={last}");
    }
    let leaf = world.opened(FIRST, FIRST + 6);
    for first in [FIRST + 1, FIRST + 4, FIRST + 7, 0, u32::MAX] {
        assert_eq!(asked(leaf, first).await, "VIEWING_NOT_OPENED", "no dealing begins with {first}");
    }
    for first in [FIRST, FIRST + 5] {
        keeper.open_viewing(leaf, first).await.unwrap();
    }
}

#[tokio::test]
async fn an_opening_of_one_account_opens_nothing_of_another() {
    let world = World::with_addresses();
    world.dealt(FIRST, FIRST + 1).await;
    world.issue(FIRST, FIRST + 9);
    let stranger =
        AuditAct::Open(OpenGrant { grant: GRANT, account: AUDITOR, first: FIRST, last: FIRST + 1 });
    let (leaf, outcome) = world.audit(stranger);
    assert!(!outcome.is_accepted());
    assert_eq!(code(world.keeper(1).open_viewing(leaf, FIRST).await), "VIEWING_NOT_OPENED");
}

#[tokio::test]
async fn who_is_no_longer_granted_gets_nothing_also_for_what_was_opened_before() {
    let world = World::with_addresses();
    world.dealt(FIRST, FIRST).await;
    world.issue(FIRST, FIRST);
    let (asked_before, not_asked) = (world.opened(FIRST, FIRST), world.opened(FIRST, FIRST));
    let keeper = world.keeper(1);
    keeper.open_viewing(asked_before, FIRST).await.unwrap();
    world.revoke();
    for leaf in [asked_before, not_asked] {
        assert_eq!(code(keeper.open_viewing(leaf, FIRST).await), "GRANT_STATE", "not from memory either");
    }
    assert_eq!(world.open(FIRST, FIRST).1.name(), "GRANT_STATE");
}

#[tokio::test]
async fn a_grant_is_answered_up_to_its_end() {
    let world = World::with_addresses();
    world.dealt(FIRST, FIRST).await;
    world.issue(FIRST, FIRST);
    let leaf = world.opened(FIRST, FIRST);
    world.pass(LIVE_MS - 1);
    world.keeper(1).open_viewing(leaf, FIRST).await.unwrap();
    world.pass(1);
    assert_eq!(code(world.keeper(1).open_viewing(leaf, FIRST).await), "GRANT_EXPIRED");
}

#[tokio::test]
async fn what_a_closed_account_did_is_opened_as_long_as_terms_keep_it_and_erased_after() {
    let mut world = World::with_addresses();
    let dealt = world.dealt(FIRST, FIRST).await;
    let key = world.issue(FIRST, FIRST);
    let before = world.opened(FIRST, FIRST);
    let closed_ms = world.close();
    world.tend(1).await;
    world.restart(1);
    let after = world.opened(FIRST, FIRST);
    for leaf in [before, after] {
        let part = world.keeper(1).open_viewing(leaf, FIRST).await.unwrap();
        world.gathering(&dealt, &key, leaf).part(&key, &id_of(1), &part).unwrap();
    }
    // To the last millisecond, and for no opening later.
    let now_ms = world.chain().now_ms;
    world.pass(closed_ms + KEPT_MS - 1 - now_ms);
    world.keeper(1).open_viewing(after, FIRST).await.unwrap();
    world.tend(1).await;
    assert_eq!(world.files(1), 1);
    world.pass(1);
    for leaf in [before, after] {
        assert_eq!(
            code(world.keeper(1).open_viewing(leaf, FIRST).await),
            "ACCOUNT_CLOSED",
            "nor from memory"
        );
    }
    world.tend(1).await;
    assert_eq!(world.files(1), 0, "nothing of it is opened any more");
}

#[tokio::test]
async fn terms_of_now_say_how_long_a_closed_account_is_kept() {
    let world = World::with_addresses();
    world.dealt(FIRST, FIRST).await;
    world.issue(FIRST, FIRST);
    let leaf = world.opened(FIRST, FIRST);
    world.close();
    world.publish(0);
    assert_eq!(code(world.keeper(1).open_viewing(leaf, FIRST).await), "ACCOUNT_CLOSED");
    world.publish(KEPT_MS);
    world.keeper(1).open_viewing(leaf, FIRST).await.unwrap();
    world.publish(0);
    world.tend(1).await;
    assert_eq!((world.files(1), world.files(2)), (0, 1));
    world.publish(KEPT_MS);
    let leaf = world.opened(FIRST, FIRST);
    assert_eq!(code(world.keeper(1).open_viewing(leaf, FIRST).await), "VIEWING_SHARE_MISSING");
    world.keeper(2).open_viewing(leaf, FIRST).await.unwrap();
}

#[tokio::test]
async fn an_account_that_is_closed_without_terms_is_erased_at_once() {
    let world = World::with_addresses();
    world.dealt(FIRST, FIRST).await;
    world.chain().state.remove(&audit_key(&TENANT));
    world.tend(1).await;
    assert_eq!(world.files(1), 1, "it is open");
    world.close();
    world.tend(1).await;
    assert_eq!(world.files(1), 0);
}

/// Recorded in the last moment: the keeper hears of both at once.
#[tokio::test]
async fn a_dealing_that_was_recorded_before_its_account_was_closed_is_kept() {
    let world = World::with_addresses();
    let dealt = world.deal(FIRST, FIRST);
    let acknowledgements = world.give_all(&dealt).await;
    assert!(world.record_dealt(&dealt, acknowledgements).1.is_accepted());
    world.close();
    world.tend(1).await;
    world.issue(FIRST, FIRST);
    let leaf = world.opened(FIRST, FIRST);
    world.keeper(1).open_viewing(leaf, FIRST).await.unwrap();
}

#[tokio::test]
async fn a_keeper_that_holds_nothing_or_was_never_dealt_to_says_so_and_one_that_left_still_answers() {
    let world = World::with_addresses();
    let dealt = world.deal_to(ACCOUNT, (FIRST, FIRST), &[1, 2, 3, 4]);
    let acknowledgements = world.give_all(&dealt).await;
    assert!(world.record_dealt(&dealt, acknowledgements).1.is_accepted());
    let key = world.issue(FIRST, FIRST);
    let leaf = world.opened(FIRST, FIRST);
    assert_eq!(code(world.keeper(5).open_viewing(leaf, FIRST).await), "VIEWING_SHARE_MISSING");
    std::fs::remove_dir_all(world.folder_of(1)).unwrap();
    assert_eq!(code(world.keeper(1).open_viewing(leaf, FIRST).await), "VIEWING_SHARE_MISSING");
    world.set_present(2, false);
    let mut gathering = world.gathering(&dealt, &key, leaf);
    for number in [2, 3, 4] {
        let part = world.keeper(number).open_viewing(leaf, FIRST).await.unwrap();
        gathering.part(&key, &id_of(number), &part).unwrap();
    }
    assert!(same(&gathering.cover().unwrap(), &cover(FIRST, FIRST)), "one lost its disk, one left");
}

#[tokio::test]
async fn without_new_state_nothing_is_answered() {
    let world = World::with_addresses();
    world.dealt(FIRST, FIRST).await;
    world.issue(FIRST, FIRST);
    let past = world.chain().clone();
    let leaf = world.opened(FIRST, FIRST);
    world.see(1, Sight::Past(Box::new(past)));
    assert_eq!(code(world.keeper(1).open_viewing(leaf, FIRST).await), "VIEWING_NOT_OPENED", "not final here");
    let past = world.chain().clone();
    world.see(1, Sight::Past(Box::new(past)));
    world.revoke();
    world.pass(STATE_AGE_MAX_MS + 1);
    assert_eq!(code(world.keeper(1).open_viewing(leaf, FIRST).await), "LEDGER_UNAVAILABLE");
    world.see(1, Sight::Away);
    assert_eq!(code(world.keeper(1).open_viewing(leaf, FIRST).await), "LEDGER_UNAVAILABLE");
    world.see(1, Sight::Clear);
    assert_eq!(code(world.keeper(1).open_viewing(leaf, FIRST).await), "GRANT_STATE");
}

/// What a keeper holds, with another's numbers in it.
fn forged(dealt: &Dealt, liar: u8, other: u8) -> ViewingShare {
    let [own, of_other] = [liar, other].map(|number| {
        let share =
            ViewingShare::open(&dealt.dealing, &id_of(number), &sealing_key(number), dealt.share(number));
        share.unwrap().to_secret().expose(<[u8]>::to_vec)
    });
    let pair = own.len() - 64;
    ViewingShare::from_secret(&[&own[..pair], &of_other[pair..]].concat()).unwrap()
}

#[tokio::test]
async fn a_keeper_that_lies_is_named_and_the_others_open_without_it() {
    let world = World::with_addresses();
    let dealt = world.dealt(FIRST, FIRST + 2).await;
    let key = world.issue(FIRST, FIRST + 2);
    let leaf = world.opened(FIRST, FIRST + 2);
    let lie =
        forged(&dealt, 2, 3).answer(&opening(&dealt, &key, leaf), |said| signing(2).sign(said)).unwrap();
    let mut gathering = world.gathering(&dealt, &key, leaf);
    let found = gathering.part(&key, &id_of(2), &lie).unwrap_err();
    let PartError::Wrong { index } = found else { panic!("{found:?}") };
    assert_eq!(Some(index), dealt.dealing.index_of(&id_of(2)));
    // Who only says that it was that keeper names nobody.
    let framed =
        forged(&dealt, 2, 3).answer(&opening(&dealt, &key, leaf), |said| signing(3).sign(said)).unwrap();
    assert!(matches!(gathering.part(&key, &id_of(2), &framed), Err(PartError::NotSigned { .. })));
    for number in [1, 4, 5] {
        let part = world.keeper(number).open_viewing(leaf, FIRST).await.unwrap();
        gathering.part(&key, &id_of(number), &part).unwrap();
    }
    assert!(same(&gathering.cover().unwrap(), &cover(FIRST, FIRST + 2)));
}

#[tokio::test]
async fn a_file_of_another_keeper_or_in_the_place_of_another_does_not_open() {
    let world = World::with_addresses();
    world.dealt(FIRST, FIRST).await;
    world.keeper(1).round().await.unwrap();
    world.issue(FIRST, FIRST);
    let leaf = world.opened(FIRST, FIRST);
    let stolen = world.open_keeper(2, &world.folder_of(1));
    assert_eq!(code(stolen.open_viewing(leaf, FIRST).await), "INTERNAL");
    let file = files(&world.folder_of(1)).remove(0);
    let mut bytes = std::fs::read(&file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&file, bytes).unwrap();
    assert_eq!(code(world.keeper(1).open_viewing(leaf, FIRST).await), "INTERNAL");
}
