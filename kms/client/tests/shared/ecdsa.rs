//! Keys of ECDSA, shared by an experimental protocol: made and used, with keepers that lie in the steps that it has more than
//! the others.

use std::sync::{Arc, Mutex};

use keyward_client::DeviceKeys;
use keyward_client::shared::{RenewOrder, SharedError, SharedFaultCause, SharedSignOrder, SharedSigner};
use keyward_crypto::shared::{SharedScheme, Tweak};
use keyward_domain::scheme::{Scheme, normalise_ecdsa, verify};
use keyward_ledger_verify::verify_receipt;
use keyward_proto::custody::answer_shared_response::Result as Answered;
use keyward_proto::custody::finish_shared_response::Result as Finished;
use keyward_proto::custody::{Round, SharedFaults};

use super::world::{ALIAS, ANNA, Lies, World, login, order};

const SCHEME: Scheme = Scheme::EcdsaSecp256k1;

struct Ready {
    world: Arc<World>,
    device: DeviceKeys,
    signer: SharedSigner,
    _folder: tempfile::TempDir,
}

async fn ready() -> Ready {
    let (world, folder) = (World::start().await, tempfile::tempdir().unwrap());
    let device = world.device(folder.path());
    world.made(&device, SCHEME).await;
    let signer = world.signer(&device).await;
    Ready { world, device, signer, _folder: folder }
}

fn pay() -> SharedSignOrder {
    SharedSignOrder::message(SharedScheme::EcdsaSecp256k1, b"pay").unwrap()
}

#[tokio::test]
async fn it_is_made_for_those_alone_who_ask_for_an_experiment() {
    let (world, folder) = (World::start().await, tempfile::tempdir().unwrap());
    let (client, device) = (world.client(ANNA).await, world.device(folder.path()));
    let mut order = order(SCHEME);
    order.experimental = false;
    let error = client.create_shared_key(&order, &login(ANNA), &device, &|_| ()).await.unwrap_err();
    assert_eq!(error.code(), Some("SHARED_EXPERIMENTAL"), "{error}");
    assert!(world.calls.lock().unwrap().is_empty() && device.parts().unwrap().is_empty());
}

#[tokio::test]
async fn user_and_keepers_sign_what_verifies_everywhere_and_with_a_receipt() {
    let Ready { world, device, signer, _folder } = ready().await;
    let status = signer.status();
    let (_, part) = device.load_part(&status.state.name.name, &login(ANNA).export_key).unwrap();
    assert_eq!((part.shares.len(), part.waiting), (1, None));
    let key = status.key.public_key(&Tweak::None).unwrap();
    let trust = world.chain.lock().unwrap().trust_file();
    for away in [None, Some(0), Some(2)] {
        world.lie(Lies { away: away.into_iter().collect(), ..Lies::default() });
        let signed = signer.sign(&pay()).await.unwrap();
        assert!(signed.experimental && signed.public_key == key && signed.signature_der.is_some());
        verify(&key, b"pay", &signed.signature).unwrap();
        assert_eq!(normalise_ecdsa(SCHEME, &signed.signature).unwrap()[..], signed.signature, "low S");
        let verdict = verify_receipt(&trust, &signed.receipt, Some(b"pay")).unwrap();
        assert_eq!(verdict.entry_kind, "intent-shared");
        let other = verify_receipt(&trust, &signed.receipt, Some(b"pax")).unwrap_err();
        assert_eq!(other.code(), "OTHER_MESSAGE");
    }
    // What the scheme does not know is refused here, and nobody is asked.
    let begun = world.called("begin");
    let tweaked = signer.sign(&pay().tweaked(Tweak::KeyPath)).await.unwrap_err();
    assert_eq!((tweaked.code(), world.called("begin")), (Some("SHARED_TWEAK"), begun));
}

#[tokio::test]
async fn no_vault_takes_its_share_and_nothing_of_it_is_dealt_anew_or_repaired() {
    let Ready { world, device, _folder, .. } = ready().await;
    let (client, login) = (world.client(ANNA).await, login(ANNA));
    let one = client.vaulted_share(ALIAS, &login, &device).await.unwrap_err();
    let (shares, left) = client.vaulted_shares(&login, &device).await.unwrap();
    assert_eq!((shares.len(), left), (0, vec![ALIAS.to_owned()]), "told, not passed over");
    let before = world.calls.lock().unwrap().iter().filter(|call| *call != "show").count();
    let renew = RenewOrder::default();
    let renewed = client.renew_shared_key(ALIAS, &renew, &login, &device, &|_| ()).await.unwrap_err();
    let repaired = client.repair_shared_key(ALIAS, "keeper-1", &login, &device, &|_| ()).await.unwrap_err();
    for error in [one, renewed, repaired] {
        assert_eq!(error.code(), Some("SHARED_EXPERIMENTAL"), "{error}");
        assert!(error.remedy().unwrap().contains("new key"));
    }
    let after = world.calls.lock().unwrap().iter().filter(|call| *call != "show").count();
    assert_eq!(before, after, "no keeper was asked");
}

#[tokio::test]
async fn a_keeper_that_lies_while_all_agree_is_named_and_nothing_is_bound() {
    let (world, folder) = (World::start().await, tempfile::tempdir().unwrap());
    let (client, device) = (world.client(ANNA).await, world.device(folder.path()));
    type Change = fn(&mut Round);
    let torn: Change = |round| round.message = round.message.slice(..round.message.len() - 1);
    let other: Change = |round| {
        // One byte of what is sealed to somebody.
        let mut message = round.message.to_vec();
        let middle = message.len() / 2;
        message[middle] ^= 1;
        round.message = message.into();
    };
    for change in [torn, other] {
        world.lie(Lies {
            round: Some(Box::new(move |_, number, step, mut round| {
                if (number, step) == (1, "agree") {
                    change(&mut round);
                }
                round
            })),
            ..Lies::default()
        });
        let error =
            client.create_shared_key(&order(SCHEME), &login(ANNA), &device, &|_| ()).await.unwrap_err();
        assert!(matches!(&error, SharedError::Faults { .. } | SharedError::Run(_)), "{error}");
        if let SharedError::Faults { faults } = &error {
            assert!(
                (faults[0].place, matches!(faults[0].cause, SharedFaultCause::Run(_))) == (2, true),
                "{error}"
            );
        }
        assert_eq!((world.called("bind"), world.keys.lock().unwrap().len()), (0, 0));
        assert!(device.parts().unwrap().is_empty(), "no share of it was kept");
    }
}

#[tokio::test]
async fn answers_that_are_not_the_keepers_get_no_share() {
    let Ready { world, device, signer, _folder } = ready().await;
    let earlier = Mutex::new(None::<tonic::codegen::Bytes>);
    world.lie(Lies {
        answered: Some(Box::new(move |_, mut answer| {
            if let Some(Answered::Answers(told)) = &mut answer.result {
                // One of an earlier run, or torn.
                let present = told.answers[0].clone();
                let torn = present.slice(..present.len() - 1);
                told.answers[0] = earlier.lock().unwrap().replace(present).unwrap_or(torn);
            }
            answer
        })),
        ..Lies::default()
    });
    for _ in 0..2 {
        let error = signer.sign(&pay()).await.unwrap_err();
        assert!(matches!(error, SharedError::Faults { .. } | SharedError::Run(_)), "{error}");
    }
    assert_eq!(world.called("finish"), 0, "no share left this side");
    world.lie(Lies::default());
    signer.sign(&pay()).await.unwrap();
    let banned = device.banned(&world.state().name.name, 1).unwrap();
    assert!(banned.is_empty(), "whoever carried it may have changed it");
}

#[tokio::test]
async fn a_spoilt_signature_that_names_nobody_is_tried_with_others_and_not_for_ever() {
    let Ready { world, signer, _folder, .. } = ready().await;
    let spoilt = |times: usize| {
        let left = Mutex::new(times);
        Lies {
            finished: Some(Box::new(move |_, mut answer| {
                let mut left = left.lock().unwrap();
                if *left > 0 {
                    *left -= 1;
                    answer.result = Some(Finished::Faults(SharedFaults::default()));
                }
                answer
            })),
            ..Lies::default()
        }
    };
    world.lie(spoilt(1));
    signer.sign(&pay()).await.unwrap();
    assert_eq!(world.called("finish"), 2);
    world.lie(spoilt(usize::MAX));
    let error = signer.sign(&pay()).await.unwrap_err();
    assert_eq!(error.code(), Some("SHARED_SPOILT"), "{error}");
    assert_eq!(world.called("finish"), 2 + 6);
}

#[tokio::test]
async fn a_keeper_that_spoils_a_product_is_never_multiplied_with_again() {
    let Ready { world, device, signer, _folder } = ready().await;
    let (name, key_id) = (world.state().name.name, world.keys.lock().unwrap()[0].0.0);
    let before = world.signer(&device).await;
    world.keepers[0].cheats(&key_id);
    signer.sign(&pay()).await.unwrap();
    assert_eq!(device.banned(&name, 1).unwrap().into_iter().collect::<Vec<_>>(), [1], "noted, and left out");
    // Whoever opened the share before knows it too, and so does whoever opens it now.
    for signer in [before, world.signer(&device).await] {
        let begun = world.called("begin");
        for _ in 0..3 {
            signer.sign(&pay()).await.unwrap();
        }
        assert_eq!(world.called("begin"), begun + 3, "without it from the first");
    }
    // Where a keeper is away, the banned one does not take its place.
    world.lie(Lies { away: vec![1], ..Lies::default() });
    let error = signer.sign(&pay()).await.unwrap_err();
    let SharedError::Faults { faults } = &error else { panic!("{error}") };
    assert!(faults.iter().all(|fault| fault.place == 2), "{error}");
    world.lie(Lies::default());
    world.keepers[1].cheats(&key_id);
    let error = signer.sign(&pay()).await.unwrap_err();
    assert_eq!(error.code(), Some("SHARED_BANNED"), "{error}");
    assert!(error.to_string().contains("keeper-1, keeper-2"), "{error}");
    let begun = world.called("begin");
    let error = world.signer(&device).await.sign(&pay()).await.unwrap_err();
    assert_eq!((error.code(), world.called("begin")), (Some("SHARED_BANNED"), begun), "nobody is asked");
}
