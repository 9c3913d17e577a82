use super::super::*;
use super::Seeded;
use super::world::{World, bytes, text, vaulted};
use crate::secret::SecretBytes;

#[test]
fn any_threshold_of_keepers_gives_the_key_back_and_others_may_release() {
    for (threshold, count) in [(2, 2), (3, 5), (4, 7)] {
        let mut world = World::sealed(Seeded::printed(), threshold, count, None);
        for _ in 0..3 {
            let who = world.random.choose_in_any_order(threshold, count);
            let then = world.random.choose_in_any_order(threshold, count);
            let keys = world.recover("right", [&who, &then], None).unwrap();
            assert_eq!(keys.len(), 1);
            let key = keys[0].signing_key().unwrap();
            assert_eq!(key.public_key(), world.signer.public_key());
        }
    }
}

#[test]
fn wrong_password_is_seen_before_anything_is_released() {
    let mut world = World::sealed(Seeded::printed(), 3, 5, None);
    for wrong in ["wrong", "righ", "right "] {
        let (_, outcome) = world.guess(wrong, &[1, 3, 5]);
        assert!(matches!(outcome, Err(RecoveryError::WrongPassword)), "{wrong:?}");
    }
    assert!(world.guess("right", &[5, 3, 1]).1.is_ok());
}

#[test]
fn mode_self_takes_keepers_and_export_key_together() {
    let export = SecretBytes::new(vec![9; 64]);
    let mut world = World::sealed(Seeded::printed(), 2, 3, Some(&export));
    assert_eq!(world.vault.facts().mode, VaultMode::Own);
    let who: [&[u8]; 2] = [&[1, 2], &[2, 3]];
    assert_eq!(world.recover("right", who, Some(&export)).unwrap().len(), 1);
    let missing = world.recover("right", who, None).unwrap_err();
    assert!(matches!(missing, RecoveryError::Keys(VaultKeyError::ExportKey { len: 0 })));
    let other = world.recover("right", who, Some(&SecretBytes::new(vec![8; 64]))).unwrap_err();
    assert!(matches!(other, RecoveryError::Contents(ContentsError::Refused(_))));

    let mut world = World::sealed(Seeded::printed(), 2, 3, None);
    let taken = world.recover("right", who, Some(&export)).unwrap_err();
    assert!(matches!(taken, RecoveryError::Keys(VaultKeyError::ExportKey { len: 64 })));
}

#[test]
fn sealing_anew_changes_every_secret_and_takes_only_the_new_password() {
    let mut world = World::sealed(Seeded::printed(), 2, 3, None);
    let before = world.vault.facts().clone();
    let (key, _) = vaulted([3; 32]);
    let plan = VaultPlan { version: 2, ..world.plan.clone() };
    let draft = VaultDraft::new(plan, &text("new"), &[key], None).unwrap();
    let vault = draft.vault([8; 32]).unwrap();
    let sealed = draft.shares([8; 32]).unwrap();
    let old_shares: Vec<_> = world.keepers.iter_mut().map(|keeper| keeper.share.take().unwrap()).collect();
    for ((id, keeper), sealed) in (1..).zip(&mut world.keepers).zip(&sealed) {
        let share = KeeperShare::open(&vault, &[id; 32], &keeper.key, sealed).unwrap();
        keeper.share = Some(share);
    }
    let after = vault.facts();
    assert!(before.evaluation.iter().all(|old| !after.evaluation.contains(old)));
    assert!(before.mask.iter().all(|old| !after.mask.contains(old)));
    assert_ne!(before.proof_key, after.proof_key);
    assert!(old_shares.iter().all(|share| share.check(&vault).is_err()), "old shares are of no use");
    world.vault = vault;
    assert!(matches!(world.guess("right", &[1, 2]).1, Err(RecoveryError::WrongPassword)));
    assert_eq!(world.recover("new", [&[1, 2], &[1, 3]], None).unwrap().len(), 1);
}

#[test]
fn kept_share_comes_back_whole_and_answers() {
    let mut world = World::sealed(Seeded::printed(), 2, 3, None);
    for keeper in &mut world.keepers {
        let secret = keeper.share().to_secret();
        let again = secret.expose(KeeperShare::from_secret).unwrap();
        assert_eq!((again.shares(), again.index()), (keeper.share().shares(), keeper.share().index()));
        again.check(&world.vault).unwrap();
        let mut long = secret.expose(<[u8]>::to_vec);
        for cut in [0, 1, 40, 109, 170, 266] {
            assert!(KeeperShare::from_secret(&long[..cut]).is_err(), "cut at {cut}");
        }
        long[0] = 2;
        assert!(KeeperShare::from_secret(&long).is_err(), "another version");
        keeper.share = Some(again);
    }
    assert!(world.recover("right", [&[1, 2], &[2, 3]], None).is_ok());
}

#[test]
fn repeated_answers_of_a_keeper_are_of_the_same_evaluation_under_another_proof() {
    let mut world = World::sealed(Seeded::printed(), 2, 3, None);
    let (recovery, request) = world.begin("right");
    let grant = world.grant(&request);
    let mut evaluating = recovery.granted(&grant).unwrap();
    let (one, two) = (world.evaluation(1, &grant, &request), world.evaluation(1, &grant, &request));
    assert_ne!(one, two);
    assert!(!evaluating.answer(1, &two).unwrap());
    assert!(matches!(evaluating.answer(1, &one), Err(AnswerError::Repeated { index: 1 })));
    assert!(evaluating.answer(3, &world.evaluation(3, &grant, &request)).unwrap());
    evaluating.derive().unwrap();
}

#[test]
fn drill_shows_each_share_and_nothing_of_a_recovery() {
    let mut world = World::sealed(Seeded::printed(), 2, 3, None);
    let nonce = bytes(&mut world.random);
    for index in 1..=3 {
        let keeper = world.keeper(index);
        let answer = keeper.share().drill(&world.vault, &nonce, |message| keeper.sign(message)).unwrap();
        let answer = DrillAnswer::decode(&answer.encode()).unwrap();
        verify_drill(&world.vault, &nonce, index, &answer).unwrap();
        let other = bytes(&mut Seeded::new(1));
        for (nonce, index) in [(other, index), (nonce, index % 3 + 1)] {
            let refused = verify_drill(&world.vault, &nonce, index, &answer);
            assert!(matches!(refused, Err(DrillError::Unsigned { .. })));
        }
        assert!(matches!(
            verify_drill(&world.vault, &nonce, 4, &answer),
            Err(DrillError::Stranger { index: 4 })
        ));
        // Another keeper's right evaluation under this one's signature.
        let next = world.keeper(index % 3 + 1);
        let false_one = next.share().drill(&world.vault, &nonce, |message| next.sign(message)).unwrap();
        let evaluation = false_one.evaluation;
        let mut signed = None;
        keeper
            .share()
            .drill(&world.vault, &nonce, |message| {
                let start = message.len() - 96;
                let forged = [&message[..start], &evaluation.element[..], &evaluation.proof[..]].concat();
                signed = Some(keeper.sign(&forged));
                [0; 64]
            })
            .unwrap();
        let forged = DrillAnswer { evaluation, signature: signed.unwrap() };
        assert!(matches!(
            verify_drill(&world.vault, &nonce, index, &forged),
            Err(DrillError::Oprf(OprfError::Refused(_)))
        ));
    }
}

#[test]
fn keeper_that_lost_a_part_of_its_share_answers_no_drill() {
    let world = World::sealed(Seeded::printed(), 2, 3, None);
    let keeper = world.keeper(1);
    let secret = keeper.share().to_secret().expose(<[u8]>::to_vec);
    // version, chain, account, vault, two versions, hash, A, index, version, then k, m, blinder, ciphertext.
    let start = 1 + 96 + 8 + 32 + 32 + 1 + 1;
    for (at, code) in [
        (start, "VAULT_KEY_SHARE_WRONG"),
        (start + 32, "VAULT_MASK_SHARE_WRONG"),
        (start + 64, "VAULT_MASK_SHARE_WRONG"),
        (start + 96, "VAULT_CIPHERTEXT_WRONG"),
    ] {
        let mut changed = secret.clone();
        changed[at] ^= 1;
        let share = KeeperShare::from_secret(&changed).unwrap();
        match share.drill(&world.vault, &[1; 32], |message| keeper.sign(message)) {
            Err(DrillError::Share(complaint)) => assert_eq!(complaint.code(), code),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn secrets_print_redacted() {
    let mut world = World::sealed(Seeded::printed(), 2, 2, None);
    let (recovery, request) = world.begin("right");
    let grant = world.grant(&request);
    let mut texts = vec![format!("{recovery:?}"), format!("{:?}", world.keeper(1).share())];
    texts.push(format!("{:?}", world.keeper(1).key));
    let evaluating = recovery.granted(&grant).unwrap();
    texts.push(format!("{evaluating:?}"));
    texts.push(format!("{:?}", world.guess("right", &[1, 2]).1.unwrap()));
    let draft = VaultDraft::new(world.plan.clone(), &text("x"), &[vaulted([1; 32]).0], None).unwrap();
    texts.push(format!("{draft:?}"));
    assert!(texts.iter().all(|text| text.ends_with("(redacted)")), "{texts:?}");
    assert!(!format!("{:?}", vaulted([1; 32]).0).contains("secret"));
}
