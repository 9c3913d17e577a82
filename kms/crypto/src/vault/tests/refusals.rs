use curve25519_dalek_4::scalar::Scalar;

use super::super::answers::{EvaluationAnswer, ReleaseAnswer};
use super::super::group::SecretScalar;
use super::super::oprf::Evaluator;
use super::super::share::share_info;
use super::super::*;
use super::Seeded;
use super::world::{Keeper, WEAK, World, bytes, text, vaulted};
use crate::hpke_box;
use crate::secret::SecretBytes;

fn code(result: Result<KeeperShare, Complaint>) -> &'static str {
    result.unwrap_err().code()
}

#[test]
fn dealer_that_cheats_is_caught_by_the_keeper_it_cheats() {
    let mut world = World::sealed(Seeded::printed(), 2, 3, None);
    let info = share_info(&world.vault, &[1; 32]);
    let message = world.keeper(1).share().message().to_vec();
    let mut say = |plain: &[u8]| {
        let to = world.keepers[0].key.public();
        let sealed = hpke_box::seal(&to, &info, plain, &mut world.random).unwrap();
        KeeperShare::open(&world.vault, &[1; 32], &world.keepers[0].key, &sealed)
    };
    say(&message).unwrap();
    let mut changed = |at: usize| {
        let mut changed = message.clone();
        changed[at] ^= 1;
        code(say(&changed))
    };
    assert_eq!(changed(0), "VAULT_SHARE_MALFORMED");
    assert_eq!(changed(1), "VAULT_KEY_SHARE_WRONG");
    assert_eq!(changed(33), "VAULT_MASK_SHARE_WRONG");
    assert_eq!(changed(65), "VAULT_MASK_SHARE_WRONG");
    assert_eq!(changed(97), "VAULT_CIPHERTEXT_WRONG");
    assert_eq!(code(say(&message[..96])), "VAULT_SHARE_MALFORMED");
    assert_eq!(code(say(&[&message[..1], &[0; 32], &message[33..]].concat())), "VAULT_SHARE_MALFORMED");
    assert_eq!(code(say(&[&message[..1], &[255; 32], &message[33..]].concat())), "VAULT_SHARE_MALFORMED");
    assert_eq!(code(say(&vec![1; 40_000])), "VAULT_SHARE_UNREADABLE");
}

#[test]
fn share_opens_for_its_keeper_sealing_version_and_vault_only() {
    let world = World::sealed(Seeded::printed(), 2, 3, None);
    let facts = world.vault.facts();
    let sealed = &world.carried[0];
    let open = |facts: VaultFacts, id: u8, keeper: &Keeper, sealed: &[u8]| {
        KeeperShare::open(&Vault::check(facts).unwrap(), &[id; 32], &keeper.key, sealed)
    };
    open(facts.clone(), 1, world.keeper(1), sealed).unwrap();
    for other in [
        VaultFacts { chain_id: [1; 32], ..facts.clone() },
        VaultFacts { account: [1; 32], ..facts.clone() },
        VaultFacts { vault: [1; 32], ..facts.clone() },
        VaultFacts { version: 2, ..facts.clone() },
        VaultFacts { share_version: 2, ..facts.clone() },
        VaultFacts { shares_hash: [1; 32], ..facts.clone() },
    ] {
        assert_eq!(code(open(other, 1, world.keeper(1), sealed)), "VAULT_SHARE_UNREADABLE");
    }
    assert_eq!(code(open(facts.clone(), 2, world.keeper(1), sealed)), "VAULT_SHARE_UNREADABLE");
    assert_eq!(code(open(facts.clone(), 1, world.keeper(2), sealed)), "VAULT_SHARE_UNREADABLE");
    assert_eq!(code(open(facts.clone(), 9, world.keeper(1), sealed)), "VAULT_NOT_A_KEEPER");
    for at in 0..sealed.len() {
        let mut changed = sealed.clone();
        changed[at] ^= 1;
        assert_eq!(code(open(facts.clone(), 1, world.keeper(1), &changed)), "VAULT_SHARE_UNREADABLE", "{at}");
    }
    for cut in [0, 31, 32, 47, sealed.len() - 1] {
        assert_eq!(code(open(facts.clone(), 1, world.keeper(1), &sealed[..cut])), "VAULT_SHARE_UNREADABLE");
    }
}

#[test]
fn keeper_answers_for_exactly_the_element_and_shares_of_the_attempt() {
    let mut world = World::sealed(Seeded::printed(), 2, 3, None);
    let (_, request) = world.begin("right");
    let grant = world.grant(&request);
    let keeper = world.keeper(1);
    let ask = |grant: &Grant, element: &[u8; 32]| {
        keeper.share().evaluate(grant, element, |message| keeper.sign(message)).map(drop)
    };
    ask(&grant, &request.element).unwrap();
    let stale = ShareSet { share_version: 2, ..grant.shares };
    let resealed = ShareSet { version: 2, ..grant.shares };
    let elsewhere = ShareSet { vault: [1; 32], ..grant.shares };
    let redrafted = ShareSet { shares_hash: [1; 32], ..grant.shares };
    for shares in [stale, resealed, elsewhere, redrafted] {
        let other = Grant { shares, ..grant.clone() };
        assert!(matches!(ask(&other, &request.element), Err(KeeperError::OtherShares)));
        let refused = keeper.share().release(&other, &[0; 64], |message| keeper.sign(message));
        assert!(matches!(refused, Err(KeeperError::OtherShares)));
    }
    let (_, second) = Recovery::begin(world.vault.clone(), &text("right")).unwrap();
    assert!(matches!(ask(&grant, &second.element), Err(KeeperError::OtherElement)));
    for bad in [[0; 32], [255; 32]] {
        let fixed = Grant { element_hash: element_hash(&bad), ..grant.clone() };
        assert!(matches!(ask(&fixed, &bad), Err(KeeperError::Oprf(OprfError::Element(_)))));
    }
    let bad_reply = Grant { reply_key: [0; 32], ..grant.clone() };
    assert!(matches!(ask(&bad_reply, &request.element), Err(KeeperError::Seal(_))));
}

/// An answer as the keeper of `index` would seal it, with whatever content.
fn forged(world: &mut World, index: u8, grant: &Grant, plain: &[u8], release: bool) -> Vec<u8> {
    let info = match release {
        false => EvaluationAnswer::info(grant, index),
        true => ReleaseAnswer::info(grant, index),
    };
    hpke_box::seal(&grant.reply_key, &info, plain, &mut world.random).unwrap()
}

#[test]
fn keeper_that_signs_a_wrong_evaluation_is_convicted_and_the_recovery_goes_on() {
    let mut world = World::sealed(Seeded::printed(), 2, 3, None);
    let (recovery, request) = world.begin("right");
    let grant = world.grant(&request);
    let mut evaluating = recovery.granted(&grant).unwrap();
    // Keeper 1 evaluates under another scalar, with a proof that is right for that one.
    let wrong = SecretScalar::new(Scalar::from(5_u8));
    let evaluation = Evaluator::new(&wrong).unwrap().evaluate(&request.element, &mut world.random).unwrap();
    let keeper = world.keeper(1);
    let answer =
        EvaluationAnswer::new(&grant, 1, &request.element, evaluation, |message| keeper.sign(message));
    let sealed = forged(&mut world, 1, &grant, &answer.encode(), false);
    let Err(AnswerError::Wrong { index: 1, evidence }) = evaluating.answer(1, &sealed) else {
        panic!("a wrong proof passed")
    };
    // Anybody who knows the vault and the attempt from the ledger sees the same.
    let anybody = Vault::check(world.vault.facts().clone()).unwrap();
    assert!(evidence.convicts(&anybody, &grant));
    let mut altered = evidence.clone();
    altered.index = 2;
    assert!(!altered.convicts(&anybody, &grant), "nobody else is convicted by it");
    altered.index = 9;
    assert!(!altered.convicts(&anybody, &grant));
    let mut altered = evidence.clone();
    altered.attempt[0] ^= 1;
    assert!(!altered.convicts(&anybody, &grant));
    // The others are enough.
    for index in [2, 3] {
        evaluating.answer(index, &world.evaluation(index, &grant, &request)).unwrap();
    }
    evaluating.derive().unwrap();
}

#[test]
fn right_answers_convict_nobody_whatever_is_made_of_them() {
    let mut world = World::sealed(Seeded::printed(), 2, 3, None);
    let (_, request) = world.begin("right");
    let grant = world.grant(&request);
    let keeper = world.keeper(1);
    let evaluation =
        keeper.share().evaluator().unwrap().evaluate(&request.element, &mut Seeded::new(1)).unwrap();
    let answer = EvaluationAnswer::new(&grant, 1, &request.element, evaluation.clone(), |message| {
        keeper.sign(message)
    });
    let evidence = |evaluation: Evaluation, signature| Evidence {
        index: 1,
        attempt: grant.attempt,
        reply_key: grant.reply_key,
        answered: Answered::Evaluation { element: request.element, evaluation },
        signature,
    };
    assert!(!evidence(evaluation.clone(), answer.signature).convicts(&world.vault, &grant));
    let mut changed = evaluation;
    changed.proof[0] ^= 1;
    assert!(!evidence(changed, answer.signature).convicts(&world.vault, &grant));
}

#[test]
fn keeper_that_releases_a_wrong_part_or_ciphertext_is_convicted() {
    let mut world = World::sealed(Seeded::printed(), 2, 3, None);
    let (grant, proven) = world.guess("right", &[1, 2]);
    let mut proven = proven.unwrap();
    let proof = proven.proof().unwrap();
    let (good, ciphertext) = {
        let share = world.keeper(1).share();
        let [_, mask, blinder] = share.parts();
        ([*mask.bytes(), *blinder.bytes()], share.ciphertext().to_vec())
    };
    let cut = &ciphertext[1..];
    let cases: [([u8; 32], [u8; 32], &[u8]); 5] = [
        ([1; 32], good[1], &ciphertext),
        (good[0], [1; 32], &ciphertext),
        ([0; 32], good[1], &ciphertext),
        ([255; 32], good[1], &ciphertext),
        (good[0], good[1], cut),
    ];
    for (mask, blinder, ciphertext) in cases {
        let keeper = world.keeper(1);
        let answer =
            ReleaseAnswer::new(&grant, 1, [&mask, &blinder], ciphertext, |message| keeper.sign(message));
        let sealed = forged(&mut world, 1, &grant, &answer.encode(), true);
        let Err(AnswerError::Wrong { index: 1, evidence }) = proven.release(1, &sealed) else {
            panic!("a wrong release passed")
        };
        assert!(evidence.convicts(&world.vault, &grant));
        assert_eq!(format!("{:?}", evidence.answered), "Release(redacted)");
    }
    for index in [2, 3] {
        proven.release(index, &world.released(index, &grant, &proof)).unwrap();
    }
    proven.open(None).unwrap();
}

#[test]
fn answers_that_anybody_could_have_made_blame_nobody() {
    let mut world = World::sealed(Seeded::printed(), 2, 3, None);
    let (recovery, request) = world.begin("right");
    let grant = world.grant(&request);
    let other_attempt = world.grant(&request);
    let mut evaluating = recovery.granted(&grant).unwrap();
    let good = world.evaluation(1, &grant, &request);
    let unreadable = |result| matches!(result, Err(AnswerError::Unreadable { .. }));
    assert!(unreadable(evaluating.answer(2, &good)), "another keeper's answer");
    let replayed = world.evaluation(1, &other_attempt, &request);
    assert!(unreadable(evaluating.answer(1, &replayed)), "another attempt's answer");
    assert!(
        unreadable(evaluating.answer(1, &world.released(1, &grant, &world.proof(&grant)))),
        "a release is no evaluation"
    );
    for at in [0, 31, 32, 60, good.len() - 1] {
        let mut changed = good.clone();
        changed[at] ^= 1;
        assert!(unreadable(evaluating.answer(1, &changed)));
        assert!(unreadable(evaluating.answer(1, &good[..at])));
    }
    for index in [0, 4, 255] {
        assert!(matches!(evaluating.answer(index, &good), Err(AnswerError::Stranger { .. })));
    }
    let garbage = forged(&mut world, 1, &grant, &[1; 161], false);
    assert!(matches!(evaluating.answer(1, &garbage), Err(AnswerError::Unsigned { index: 1 })));
    let garbage = forged(&mut world, 1, &grant, &[1; 160], false);
    assert!(matches!(evaluating.answer(1, &garbage), Err(AnswerError::Malformed { index: 1 })));
    // A right evaluation of keeper 1 that keeper 2 has signed.
    let evaluation =
        world.keeper(1).share().evaluator().unwrap().evaluate(&request.element, &mut Seeded::new(1)).unwrap();
    let keeper = world.keeper(2);
    let answer =
        EvaluationAnswer::new(&grant, 1, &request.element, evaluation, |message| keeper.sign(message));
    let sealed = forged(&mut world, 1, &grant, &answer.encode(), false);
    assert!(matches!(evaluating.answer(1, &sealed), Err(AnswerError::Unsigned { index: 1 })));
    // None of it counted.
    let refused = evaluating.derive().unwrap_err();
    assert!(matches!(refused, RecoveryError::TooFew { needed: 2, found: 0 }));
}

#[test]
fn fewer_releases_than_needed_open_nothing() {
    let mut world = World::sealed(Seeded::printed(), 3, 5, None);
    let refused = world.recover("right", [&[1, 2, 3], &[1, 2]], None).unwrap_err();
    assert!(matches!(refused, RecoveryError::TooFew { needed: 3, found: 2 }));
    let refused = world.guess("right", &[1, 2]).1.unwrap_err();
    assert!(matches!(refused, RecoveryError::TooFew { needed: 3, found: 2 }));
}

#[test]
fn facts_that_do_not_fit_together_are_refused() {
    let world = World::sealed(Seeded::printed(), 2, 3, None);
    let facts = world.vault.facts();
    let refused = |facts: VaultFacts| Vault::check(facts).unwrap_err();
    assert_eq!(refused(VaultFacts { version: 0, ..facts.clone() }), FactsError::Version);
    assert_eq!(refused(VaultFacts { share_version: 0, ..facts.clone() }), FactsError::Version);
    let mut twice = facts.clone();
    twice.keepers[2].id = twice.keepers[0].id;
    assert_eq!(refused(twice), FactsError::KeeperTwice { index: 3 });
    assert!(matches!(
        refused(VaultFacts { threshold: 1, ..facts.clone() }),
        FactsError::Sharing(SharingError::Threshold { .. })
    ));
    assert!(matches!(
        refused(VaultFacts { threshold: 3, ..facts.clone() }),
        FactsError::Sharing(SharingError::Count { expected: 3, found: 2 })
    ));
    let mut identity = facts.clone();
    identity.mask[1] = [0; 32];
    assert!(matches!(refused(identity), FactsError::Sharing(SharingError::Commitment { place: 1, .. })));
}

#[test]
fn drafts_that_protect_nothing_are_refused() {
    let mut random = Seeded::printed();
    let world = World::sealed(Seeded::new(1), 2, 3, None);
    let plan = world.plan.clone();
    let seal = |plan: VaultPlan, password: &str, keys: &[VaultedKey], export: Option<&SecretBytes>| {
        VaultDraft::new(plan, &text(password), keys, export).unwrap_err()
    };
    let key = || vaulted([1; 32]).0;
    let one = VaultPlan { threshold: 1, ..plan.clone() };
    assert!(matches!(seal(one, "x", &[key()], None), DraftError::Sharing(SharingError::Threshold { .. })));
    let empty = seal(plan.clone(), "", &[key()], None);
    assert!(matches!(empty, DraftError::Keys(VaultKeyError::PasswordEmpty)));
    for memory_kib in [0, 7, 2 * 1024 * 1024 + 1] {
        let plan = VaultPlan { stretch: VaultStretch { memory_kib, ..WEAK }, ..plan.clone() };
        let refused = seal(plan, "x", &[key()], None);
        assert!(matches!(refused, DraftError::Keys(VaultKeyError::Stretch { .. })), "{memory_kib}");
    }
    let short = SecretBytes::new(vec![1; 63]);
    let refused = seal(plan.clone(), "x", &[key()], Some(&short));
    assert!(matches!(refused, DraftError::Keys(VaultKeyError::ExportKey { len: 63 })));
    assert!(matches!(
        seal(plan.clone(), "x", &[], None),
        DraftError::Contents(ContentsError::Count { count: 0 })
    ));
    let many: Vec<_> = (0..17).map(|_| key()).collect();
    assert!(matches!(
        seal(plan.clone(), "x", &many, None),
        DraftError::Contents(ContentsError::Count { count: 17 })
    ));
    let mut long = key();
    long.secret = SecretBytes::new(vec![1; 4097]);
    assert!(matches!(seal(plan.clone(), "x", &[long], None), DraftError::Contents(ContentsError::TooLong)));
    let mut strange = plan;
    strange.keepers[1].sealing_key = [0; 32];
    let draft = VaultDraft::new(strange, &text("x"), &[key()], None).unwrap();
    let refused = draft.shares(bytes(&mut random)).unwrap_err();
    assert!(matches!(refused, DraftError::Keeper { index: 2, .. }));
}

#[test]
fn contents_have_one_encoding_and_know_their_keys() {
    let keys = [vaulted([1; 32]).0, vaulted([2; 32]).0];
    let encoded = contents::encode(&keys).unwrap();
    assert_eq!(encoded.len(), 512);
    assert_eq!(contents::decode(&encoded).unwrap().len(), 2);
    let bad = |bytes: &[u8]| contents::decode(bytes).is_err();
    let mut changed = encoded.to_vec();
    changed[511] = 1;
    assert!(bad(&changed), "padding is zero");
    assert!(bad(&[&encoded[..], &[0; 512]].concat()), "no more padding than needed");
    assert!(bad(&encoded[..511]));
    for (at, value) in [(0, 2), (1, 0), (1, 17), (1, 3), (34, 255)] {
        let mut changed = encoded.to_vec();
        changed[at] = value;
        assert!(bad(&changed), "byte {at} = {value}");
    }
    let mut swapped = vaulted([1; 32]).0;
    swapped.secret = SecretBytes::new(vec![2; 32]);
    assert!(matches!(swapped.signing_key(), Err(ContentsError::Key(None))));
    swapped.secret = SecretBytes::new(vec![2; 31]);
    assert!(matches!(swapped.signing_key(), Err(ContentsError::Key(Some(_)))));
}
