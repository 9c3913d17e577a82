//! Signing with a shared key, with keepers and services that lie.

use keyward_client::shared::{SharedError, SharedSignOrder, SharedSigner};
use keyward_crypto::shared::{SharedScheme, Tweak};
use keyward_domain::scheme::{Scheme, verify, verify_digest};
use keyward_ledger_core::hash::sha256;
use keyward_ledger_verify::verify_receipt;
use keyward_proto::custody::begin_shared_response::Result as Begun;
use keyward_proto::custody::finish_shared_response::Result as Finished;

use super::world::{ALIAS, ANNA, Lies, World, login, named, order};

async fn ready(scheme: Scheme) -> (std::sync::Arc<World>, tempfile::TempDir, SharedSigner) {
    let (world, folder) = (World::start().await, tempfile::tempdir().unwrap());
    let device = world.device(folder.path());
    world.made(&device, scheme).await;
    let signer = world.signer(&device).await;
    (world, folder, signer)
}

fn pay() -> SharedSignOrder {
    SharedSignOrder::message(SharedScheme::Ed25519, b"pay").unwrap()
}

#[tokio::test]
async fn user_and_keepers_sign_what_verifies_everywhere() {
    let (world, _folder, signer) = ready(Scheme::Ed25519).await;
    let signed = signer.sign(&pay()).await.unwrap();
    verify(&signed.public_key, b"pay", &signed.signature).unwrap();
    let trust = world.chain.lock().unwrap().trust_file();
    let verdict = verify_receipt(&trust, &signed.receipt, Some(b"pay")).unwrap();
    assert_eq!(verdict.entry_kind, "intent-shared");
    assert_eq!(verify_receipt(&trust, &signed.receipt, Some(b"pax")).unwrap_err().code(), "OTHER_MESSAGE");
}

#[tokio::test]
async fn a_tweaked_signature_verifies_under_the_output_key_alone() {
    let (world, _folder, signer) = ready(Scheme::Bip340).await;
    let (digest, trust) = (sha256(&[b"pay"]), world.chain.lock().unwrap().trust_file());
    let plain = signer.status().key.public_key(&Tweak::None).unwrap();
    for tweak in [Tweak::None, Tweak::KeyPath, Tweak::Scripts([9; 32])] {
        let order = SharedSignOrder::digest(&digest).unwrap().tweaked(tweak);
        let signed = signer.sign(&order).await.unwrap();
        verify_digest(&signed.public_key, &digest, &signed.signature).unwrap();
        assert_eq!(signed.public_key == plain, tweak == Tweak::None);
        let verdict = verify_receipt(&trust, &signed.receipt, None).unwrap();
        assert_eq!(verdict.public_key, Some(plain.clone()));
        assert_eq!(verdict.output_key, (tweak != Tweak::None).then_some(signed.public_key));
    }
}

#[tokio::test]
async fn a_keeper_that_is_away_is_left_out_and_too_few_are_named() {
    let (world, _folder, signer) = ready(Scheme::Ed25519).await;
    for away in 0..3 {
        world.lie(Lies { away: vec![away], ..Lies::default() });
        signer.sign(&pay()).await.unwrap();
    }
    world.lie(Lies { away: vec![0, 2], ..Lies::default() });
    let error = signer.sign(&pay()).await.unwrap_err();
    let SharedError::Faults { faults } = &error else { panic!("{error}") };
    assert!(!faults.is_empty() && faults.iter().all(|fault| fault.place != 2), "{error}");
    world.lie(Lies::default());
    signer.sign(&pay()).await.unwrap();
}

#[tokio::test]
async fn commitments_that_are_not_the_keepers_are_not_signed_over() {
    let (world, _folder, signer) = ready(Scheme::Ed25519).await;
    // The service puts one keeper's commitment of an earlier run in the place of its present one, or tears it.
    let earlier = std::sync::Mutex::new(None::<tonic::codegen::Bytes>);
    world.lie(Lies {
        begun: Some(Box::new(move |_, mut answer| {
            if let Some(Begun::Begun(begun)) = &mut answer.result {
                let present = begun.commitments[0].clone();
                let torn = present.slice(..present.len() - 1);
                begun.commitments[0] = earlier.lock().unwrap().replace(present).unwrap_or(torn);
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
}

#[tokio::test]
async fn an_intent_that_is_not_final_as_it_was_signed_gets_no_share() {
    let (world, _folder, signer) = ready(Scheme::Ed25519).await;
    type Change = fn(&World, &mut keyward_proto::custody::SharedBegun);
    let other: Change = |_, begun| begun.intent = vec![1; 32].into();
    let receipt: Change = |world, begun| begun.receipt = world.chain.lock().unwrap().receipt(0).into();
    let leaf: Change = |_, begun| begun.leaf_index += 1;
    for (change, code) in
        [(other, "SHARED_BEGUN_BEFORE"), (receipt, "SHARED_SUBSTITUTED"), (leaf, "SHARED_SUBSTITUTED")]
    {
        world.lie(Lies {
            begun: Some(Box::new(move |world, mut answer| {
                if let Some(Begun::Begun(begun)) = &mut answer.result {
                    change(world, begun);
                }
                answer
            })),
            ..Lies::default()
        });
        let error = signer.sign(&pay()).await.unwrap_err();
        assert_eq!(error.code(), Some(code), "{error}");
    }
    assert_eq!(world.called("finish"), 0);
}

#[tokio::test]
async fn a_signature_of_something_else_or_with_another_receipt_is_not_believed() {
    let (world, _folder, signer) = ready(Scheme::Ed25519).await;
    let before =
        signer.sign(&SharedSignOrder::message(SharedScheme::Ed25519, b"other").unwrap()).await.unwrap();
    for part in ["signature", "receipt", "both"] {
        let before = before.clone();
        world.lie(Lies {
            finished: Some(Box::new(move |_, mut answer| {
                if let Some(Finished::Signed(signed)) = &mut answer.result {
                    if part != "receipt" {
                        signed.signature = before.signature.clone().into();
                    }
                    if part != "signature" {
                        signed.receipt = before.receipt.clone().into();
                    }
                }
                answer
            })),
            ..Lies::default()
        });
        let error = signer.sign(&pay()).await.unwrap_err();
        assert!(matches!(error, SharedError::Client(_)), "{part}: {error}");
    }
}

#[tokio::test]
async fn faults_of_nobody_do_not_keep_this_side_busy() {
    let (world, _folder, signer) = ready(Scheme::Ed25519).await;
    world.lie(Lies {
        begun: Some(Box::new(|_, mut answer| {
            answer.result = Some(Begun::Faults(Default::default()));
            answer
        })),
        ..Lies::default()
    });
    let error = signer.sign(&pay()).await.unwrap_err();
    assert!(matches!(error, SharedError::Client(_)), "{error}");
    assert_eq!(world.called("begin"), 1);
}

#[tokio::test]
async fn what_is_shown_of_the_key_must_be_what_the_ledger_has() {
    let (world, folder, _signer) = ready(Scheme::Ed25519).await;
    type Change = fn(&mut keyward_proto::custody::ShowSharedKeyResponse);
    let key: Change = |shown| shown.shared_key = shown.shared_key.slice(..shown.shared_key.len() - 1);
    let proof: Change = |shown| shown.shared = shown.keepers[0].clone();
    let keepers: Change = |shown| shown.keepers.swap(0, 1);
    let fewer: Change = |shown| drop(shown.keepers.pop());
    for change in [key, proof, keepers, fewer] {
        world.lie(Lies {
            show: Some(Box::new(move |_, mut shown| {
                change(&mut shown);
                shown
            })),
            ..Lies::default()
        });
        let device = world.device(folder.path());
        let error = world.client(ANNA).await.shared_signer(ALIAS, login(ANNA), &device).await.unwrap_err();
        assert!(matches!(error.code(), Some("SHARED_UNPROVEN" | "SHARED_SUBSTITUTED")), "{error}");
    }
}

#[tokio::test]
async fn another_key_under_a_known_alias_is_found_out() {
    let (world, folder, _signer) = ready(Scheme::Ed25519).await;
    let device = world.device(folder.path());
    let mut second = order(Scheme::Ed25519);
    (second.alias, second.keepers) = ("petty".into(), named(&[3, 4, 5]));
    let client = world.client(ANNA).await;
    client.create_shared_key(&second, &login(ANNA), &device, &|_| ()).await.unwrap();
    // The service says that `treasury` is the key that was made as `petty`.
    {
        let mut keys = world.keys.lock().unwrap();
        keys.swap(0, 1);
        keys[0].2 = ALIAS.into();
        keys[1].2 = "other".into();
    }
    let error = client.shared_signer(ALIAS, login(ANNA), &device).await.unwrap_err();
    assert!(error.to_string().contains("petty") || format!("{error:?}").contains("petty"), "{error:?}");
}

#[tokio::test]
async fn a_key_with_an_approval_rule_signs_nothing_without_a_case() {
    let (world, folder) = (World::start().await, tempfile::tempdir().unwrap());
    let device = world.device(folder.path());
    let mut ruled = order(Scheme::Ed25519);
    ruled.approval_rule = Some([3; 32]);
    let client = world.client(ANNA).await;
    let made = client.create_shared_key(&ruled, &login(ANNA), &device, &|_| ()).await;
    // A rule that the ledger does not know is no rule: whichever it says, no signature comes without a case.
    let Ok(_made) = made else { return assert_eq!(world.called("begin"), 0) };
    let signer = world.signer(&device).await;
    let error = signer.sign(&pay()).await.unwrap_err();
    assert_eq!((error.code(), world.called("begin")), (Some("APPROVAL_REQUIRED"), 0), "{error}");
}
