//! An opening gives exactly what was opened, or nothing.

use keyward_client::approvals::Voice;
use keyward_client::audit::{GrantKey, ViewingCover};
use keyward_crypto::unlinkable::Delivery;
use keyward_proto::custody::OpenGrantResponse;

use crate::audits::world::{ANNA, BORIS, DORA, Lies, World, login};

fn sealing(lie: impl Fn(Delivery, [u8; 32]) -> (Delivery, [u8; 32]) + Send + 'static) -> Lies {
    Lies { sealed: Some(Box::new(move |_, (delivery, key)| lie(delivery, key))), ..Lies::default() }
}

fn opening(lie: impl Fn(OpenGrantResponse) -> OpenGrantResponse + Send + 'static) -> Lies {
    Lies { opened: Some(Box::new(move |_, answer| lie(answer))), ..Lies::default() }
}

/// Whether a cover opens this epoch of Dora's, and opens it as she would.
fn opens(world: &World, cover: &ViewingCover, epoch: u32) -> bool {
    let own = world.root.viewing_leaf(epoch);
    cover.leaf(epoch).is_some_and(|leaf| leaf.expose(|leaf| own.expose(|own| leaf == own)))
}

#[tokio::test]
async fn what_has_elapsed_is_opened_and_the_epochs_around_it_stay_closed() {
    let (world, grant) = World::issued().await;
    let (first, last) = (world.epoch(1), world.epoch(4));
    let opened = world.open(&grant, first, last).await.unwrap();
    let (delivered, cover) = opened.delivered.unwrap();
    assert!(delivered.leaf_index > opened.opened.leaf_index, "recorded before it leaves");
    assert!((first..=last).all(|epoch| opens(&world, &cover, epoch)));
    assert!([first - 1, last + 1].iter().all(|epoch| cover.leaf(*epoch).is_none()));
    // What is under way stays closed until it has elapsed.
    let next = world.epoch(8);
    assert_eq!(world.open(&grant, next, next).await.unwrap_err().code(), Some("EPOCH_UNDER_WAY"));
    world.pass(5_000);
    let (_, cover) = world.open(&grant, next, next).await.unwrap().delivered.unwrap();
    assert!(opens(&world, &cover, next));
    // Beyond the period, of nobody's else account, and after the revocation, nothing is.
    world.pass(30_000);
    let beyond = world.epoch(21);
    assert_eq!(world.open(&grant, beyond, beyond).await.unwrap_err().code(), Some("GRANT_SCOPE"));
    let (anna, shown, key) = world.shown(&grant).await;
    let foreign = anna.open_grant(&login(ANNA), (&shown, &key), (BORIS, first, last)).await;
    assert_eq!(foreign.unwrap_err().code(), Some("GRANT_SCOPE"));
    anna.revoke_grant(Voice::Account(&login(ANNA)), &shown, [1; 32]).await.unwrap();
    assert_eq!(world.open(&grant, first, last).await.unwrap_err().code(), Some("GRANT_STATE"));
}

#[tokio::test]
async fn a_package_that_is_not_what_was_opened_is_refused() {
    let (world, grant) = World::issued().await;
    let (first, last) = (world.epoch(1), world.epoch(2));
    let thief = GrantKey::generate().unwrap().public();
    for lie in [
        sealing(move |delivery, _| (delivery, thief)),
        sealing(|delivery, key| (Delivery { first: delivery.first - 1, ..delivery }, key)),
        sealing(|delivery, key| (Delivery { last: delivery.last + 1, ..delivery }, key)),
        sealing(|delivery, key| (Delivery { account: [9; 32], ..delivery }, key)),
        sealing(|delivery, key| (Delivery { grant: [9; 32], ..delivery }, key)),
        sealing(|delivery, key| (Delivery { chain_id: [9; 32], ..delivery }, key)),
    ] {
        world.lie(lie);
        let error = world.open(&grant, first, last).await.unwrap_err();
        assert_eq!(error.code(), Some("GRANT_PACKAGE_INVALID"), "{error}");
    }
    world.lie(Lies::default());
    world.open(&grant, first, last).await.unwrap();
}

#[tokio::test]
async fn records_of_other_openings_and_packages_without_one_are_refused() {
    let (world, grant) = World::issued().await;
    let (first, last) = (world.epoch(1), world.epoch(2));
    // What an honest answer was, of another opening.
    let kept = std::sync::Arc::new(std::sync::Mutex::new(OpenGrantResponse::default()));
    let keep = std::sync::Arc::clone(&kept);
    world.lie(opening(move |answer| {
        *keep.lock().unwrap() = answer.clone();
        answer
    }));
    world.open(&grant, first, first).await.unwrap();
    let before = kept.lock().unwrap().clone();
    let (opened, delivered, package) =
        (before.opened.clone(), before.delivered.clone(), before.package.clone());
    let lies: [(Lies, &str); 6] = [
        (
            opening(move |answer| OpenGrantResponse { opened: opened.clone(), ..answer }),
            "APPROVAL_SUBSTITUTED",
        ),
        (
            opening(move |answer| OpenGrantResponse { delivered: delivered.clone(), ..answer }),
            "APPROVAL_SUBSTITUTED",
        ),
        (
            opening(move |answer| OpenGrantResponse { package: package.clone(), ..answer }),
            "APPROVAL_SUBSTITUTED",
        ),
        (
            opening(|answer| {
                let mut package = answer.package.to_vec();
                *package.last_mut().unwrap() ^= 1;
                OpenGrantResponse { package: package.into(), ..answer }
            }),
            "APPROVAL_SUBSTITUTED",
        ),
        (
            opening(|answer| OpenGrantResponse { delivered: Default::default(), ..answer }),
            "APPROVAL_UNPROVEN",
        ),
        (opening(|answer| OpenGrantResponse { opened: vec![1].into(), ..answer }), "APPROVAL_UNPROVEN"),
    ];
    for (number, (lie, code)) in lies.into_iter().enumerate() {
        world.lie(lie);
        let error = world.open(&grant, first, last).await.unwrap_err();
        assert_eq!(error.code(), Some(code), "{number}: {error}");
    }
    // Nothing delivered is nothing, and no cover.
    world.lie(opening(|answer| OpenGrantResponse { opened: answer.opened, ..Default::default() }));
    let opened = world.open(&grant, first, last).await.unwrap();
    assert!(opened.delivered.is_none() && opened.dealt.is_empty());
}

#[tokio::test]
async fn a_key_that_is_not_the_grants_opens_nothing_and_hands_nothing_in() {
    let (world, grant) = World::issued().await;
    let (anna, shown, _) = world.shown(&grant).await;
    let handed_in = world.handed_in();
    let other = GrantKey::generate().unwrap();
    let refused =
        anna.open_grant(&login(ANNA), (&shown, &other), (DORA, world.epoch(1), world.epoch(1))).await;
    assert_eq!(refused.unwrap_err().code(), Some("GRANT_KEY_OTHER"));
    let elsewhere = keyward_client::audit::Grant { grantee_key: [7; 32], ..grant.clone() };
    let refused = anna.grant_key(&login(ANNA), &world.device(), &elsewhere).unwrap_err();
    assert_eq!(refused.code(), Some("GRANT_KEY_OTHER"));
    let unknown = keyward_client::audit::Grant { id: [7; 32], ..grant };
    let missing = anna.grant_key(&login(ANNA), &world.device(), &unknown).unwrap_err();
    assert!(missing.to_string().contains("key of grant"), "{missing}");
    assert_eq!(world.handed_in(), handed_in);
}
