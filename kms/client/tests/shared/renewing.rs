//! Dealing a key's shares anew, and giving a keeper its share back.

use keyward_client::shared::{RenewOrder, SharedError, SharedSignOrder};
use keyward_crypto::shared::SharedScheme;
use keyward_domain::scheme::Scheme;

use super::world::{ALIAS, ANNA, Lies, World, login, named};

fn pay() -> SharedSignOrder {
    SharedSignOrder::message(SharedScheme::Ed25519, b"pay").unwrap()
}

fn to_four() -> RenewOrder {
    RenewOrder { threshold: Some(3), keepers: Some(named(&[2, 3, 4, 5])) }
}

#[tokio::test]
async fn the_key_stays_when_its_shares_go_to_other_keepers_and_the_old_shares_are_worthless() {
    for scheme in [Scheme::Ed25519, Scheme::Bip340] {
        let (world, folder) = (World::start().await, tempfile::tempdir().unwrap());
        let device = world.device(folder.path());
        let made = world.made(&device, scheme).await;
        let old = world.signer(&device).await;
        let client = world.client(ANNA).await;
        client.renew_shared_key(ALIAS, &to_four(), &login(ANNA), &device, &|_| ()).await.unwrap();
        let state = world.state();
        assert_eq!((state.share_version, state.circle.threshold, state.circle.keepers.len()), (2, 3, 4));
        let order = SharedSignOrder::message(SharedScheme::of(scheme).unwrap(), b"pay").unwrap();
        let signed = world.signer(&device).await.sign(&order).await.unwrap();
        assert_eq!(signed.public_key.id().0, made.key.key_id.as_ref());
        assert!(old.sign(&order).await.is_err(), "what was opened before signs no more");
        let (_, part) = device.load_part(&state.name.name, &login(ANNA).export_key).unwrap();
        assert_eq!(part.shares.len(), 1, "the old share is gone");
    }
}

#[tokio::test]
async fn a_renewal_that_is_not_recorded_leaves_the_key_as_it_is_with_both_shares_kept() {
    let (world, folder) = (World::start().await, tempfile::tempdir().unwrap());
    let device = world.device(folder.path());
    world.made(&device, Scheme::Ed25519).await;
    world.lie(Lies { swallows: true, ..Lies::default() });
    let client = world.client(ANNA).await;
    let renewed = client.renew_shared_key(ALIAS, &to_four(), &login(ANNA), &device, &|_| ()).await;
    renewed.unwrap_err();
    world.lie(Lies::default());
    let (_, part) = device.load_part(&world.state().name.name, &login(ANNA).export_key).unwrap();
    assert_eq!(part.shares.len(), 2, "the new one may yet count");
    world.signer(&device).await.sign(&pay()).await.unwrap();
    client.renew_shared_key(ALIAS, &to_four(), &login(ANNA), &device, &|_| ()).await.unwrap();
    world.signer(&device).await.sign(&pay()).await.unwrap();
}

#[tokio::test]
async fn however_often_a_renewal_comes_to_nothing_the_present_share_stays() {
    let (world, folder) = (World::start().await, tempfile::tempdir().unwrap());
    let device = world.device(folder.path());
    world.made(&device, Scheme::Ed25519).await;
    let client = world.client(ANNA).await;
    world.lie(Lies { swallows: true, ..Lies::default() });
    let mut last = None;
    for _ in 0..9 {
        let refused = client.renew_shared_key(ALIAS, &to_four(), &login(ANNA), &device, &|_| ()).await;
        last = refused.unwrap_err().code().map(str::to_owned);
    }
    assert_eq!(last.as_deref(), Some("SHARED_SHARES_WAIT"));
    world.lie(Lies::default());
    world.signer(&device).await.sign(&pay()).await.unwrap();
    // What the ledger takes no more goes, and there is room again.
    world.chain.lock().unwrap().time_ms += 2 * 60 * 60 * 1_000;
    client.renew_shared_key(ALIAS, &to_four(), &login(ANNA), &device, &|_| ()).await.unwrap();
    world.signer(&device).await.sign(&pay()).await.unwrap();
}

#[tokio::test]
async fn a_renewal_whose_answer_is_lost_has_happened_and_this_device_signs_on() {
    let (world, folder) = (World::start().await, tempfile::tempdir().unwrap());
    let device = world.device(folder.path());
    world.made(&device, Scheme::Ed25519).await;
    world.lie(Lies {
        recorded: Some(Box::new(|world, answer| {
            // Recorded, and its receipt exchanged on the way.
            let mut answer = answer?;
            answer.receipt = world.chain.lock().unwrap().receipt(0).into();
            Ok(answer)
        })),
        ..Lies::default()
    });
    let client = world.client(ANNA).await;
    let lost = client.renew_shared_key(ALIAS, &to_four(), &login(ANNA), &device, &|_| ()).await;
    assert_eq!(lost.unwrap_err().code(), Some("SHARED_SUBSTITUTED"));
    world.lie(Lies::default());
    assert_eq!(world.state().share_version, 2);
    world.signer(&device).await.sign(&pay()).await.unwrap();
}

#[tokio::test]
async fn a_keeper_that_lies_in_a_renewal_is_named_and_nothing_is_recorded() {
    for step in ["redeal", "keep renewed"] {
        let (world, folder) = (World::start().await, tempfile::tempdir().unwrap());
        let device = world.device(folder.path());
        world.made(&device, Scheme::Ed25519).await;
        world.lie(Lies {
            round: Some(Box::new(move |_, number, now, mut round| {
                if now == step && number == 1 {
                    let mut message = round.message.to_vec();
                    let at = message.len() / 2;
                    message[at] ^= 1;
                    round.message = message.into();
                }
                round
            })),
            ..Lies::default()
        });
        let client = world.client(ANNA).await;
        let order = RenewOrder { threshold: Some(2), keepers: Some(named(&[1, 2, 4])) };
        let refused = client.renew_shared_key(ALIAS, &order, &login(ANNA), &device, &|_| ()).await;
        let error = refused.unwrap_err();
        let SharedError::Faults { faults } = &error else { panic!("{step}: {error}") };
        assert_eq!(faults[0].keeper, "keeper-2", "{step}");
        assert_eq!((world.called("change"), world.state().share_version), (0, 1), "{step}");
    }
}

#[tokio::test]
async fn a_keeper_gets_its_lost_share_back_and_signs_with_it() {
    let (world, folder) = (World::start().await, tempfile::tempdir().unwrap());
    let device = world.device(folder.path());
    let made = world.made(&device, Scheme::Ed25519).await;
    world.keepers[0].forget();
    let client = world.client(ANNA).await;
    client.repair_shared_key(ALIAS, "keeper-1", &login(ANNA), &device, &|_| ()).await.unwrap();
    assert!(world.keepers[0].share(&made.key.key_id, 1).is_some());
    world.lie(Lies { away: vec![2], ..Lies::default() });
    world.signer(&device).await.sign(&pay()).await.unwrap();
    let nobody = client.repair_shared_key(ALIAS, "keeper-5", &login(ANNA), &device, &|_| ()).await;
    assert_eq!(nobody.unwrap_err().code(), Some("SHARED_NOT_A_HOLDER"));
    // With one helper of two away, nothing can be given back.
    let few = client.repair_shared_key(ALIAS, "keeper-1", &login(ANNA), &device, &|_| ()).await;
    assert_eq!(few.unwrap_err().code(), Some("SHARED_KEEPERS_FAILED"));
}
