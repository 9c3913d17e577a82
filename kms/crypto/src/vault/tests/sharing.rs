use curve25519_dalek_4::constants::RISTRETTO_BASEPOINT_TABLE as G;

use super::super::group::{GroupError, SecretScalar, encode, mask_base, weights};
use super::super::sharing::{
    Commitments, KEEPERS_MAX, SharingError, check_threshold, combine, deal, deal_blinded, share_keys,
};
use super::Seeded;
use crate::vectors::{Part, parts};

const VECTORS: &str = include_str!("../../../tests/vectors/vsss.txt");

fn scalars(part: &Part<'_>, name: &str) -> Vec<SecretScalar> {
    part.arrays::<32>(name).iter().map(|bytes| SecretScalar::parse(bytes).unwrap()).collect()
}

#[test]
fn shares_dealt_elsewhere_check_and_combine_here() {
    let parts = parts(VECTORS);
    assert_eq!(parts.len(), 8);
    for part in parts {
        let threshold: u8 = part.text("Threshold").parse().unwrap();
        let commitments = Commitments::parse(&part.arrays("Commitments"), threshold).unwrap();
        let shares = scalars(&part, "Shares");
        let numbered: Vec<_> = (1..).zip(&shares).collect();
        match part.kind {
            "feldman" => {
                assert!(numbered.iter().all(|(index, share)| commitments.holds(*index, share)));
                assert!(!commitments.holds(1, &shares[1]));
            }
            _ => {
                let blinders = scalars(&part, "Blinders");
                for ((index, share), blinder) in numbered.iter().zip(&blinders) {
                    assert!(commitments.holds_blinded(*index, share, blinder));
                }
                assert!(!commitments.holds_blinded(1, &shares[0], &blinders[1]));
                assert!(!commitments.holds_blinded(1, &shares[1], &blinders[0]));
            }
        }
        let last = &numbered[numbered.len() - usize::from(threshold)..];
        assert_eq!(combine(last, threshold).unwrap().bytes()[..], part.bytes("Secret"));
    }
}

#[test]
fn any_threshold_of_shares_gives_the_secret_and_each_share_checks() {
    let mut random = Seeded::printed();
    for (threshold, keepers) in [(2, 2), (3, 5), (8, 8), (5, KEEPERS_MAX)] {
        let secret = SecretScalar::random(&mut random);
        let blinder = SecretScalar::random(&mut random);
        let count = usize::from(keepers);
        let dealt = deal(secret.value(), threshold, count, &mut random).unwrap();
        let both = [secret.value(), blinder.value()];
        let blinded = deal_blinded(both, threshold, count, &mut random).unwrap();
        let feldman = Commitments::parse(&dealt.commitments, threshold).unwrap();
        let pedersen = Commitments::parse(&blinded.commitments, threshold).unwrap();
        let shares: Vec<_> = (1..).zip(dealt.shares).collect();
        let pairs = blinded.shares.iter().zip(&blinded.blinders);
        for ((index, share), (mask, blinder)) in shares.iter().zip(pairs) {
            assert!(feldman.holds(*index, share) && pedersen.holds_blinded(*index, mask, blinder));
            let next = index % keepers + 1;
            assert!(!feldman.holds(next, share), "share {index} is not share {next}");
            assert!(!pedersen.holds_blinded(next, mask, blinder));
        }
        for _ in 0..4 {
            let who = random.choose_in_any_order(threshold, keepers);
            let chosen: Vec<_> = who.iter().map(|&i| (i, &shares[usize::from(i) - 1].1)).collect();
            assert_eq!(combine(&chosen, threshold).unwrap().bytes(), secret.bytes());
            let refused = combine(&chosen[1..], threshold).unwrap_err();
            assert!(matches!(refused, SharingError::Shares { .. }));
            let twice: Vec<_> = chosen[1..].iter().chain(chosen.last()).copied().collect();
            assert!(matches!(combine(&twice, threshold), Err(SharingError::Group(GroupError::Twice { .. }))));
        }
        let keys = share_keys(&feldman, keepers).unwrap();
        for (index, share) in &shares {
            assert_eq!(keys[usize::from(*index) - 1], encode(&(share.value() * G)));
        }
    }
}

#[test]
fn shares_of_two_versions_do_not_check_against_one_anothers_commitments() {
    let mut random = Seeded::printed();
    let secret = SecretScalar::random(&mut random);
    let [old, new] = [(); 2].map(|()| deal(secret.value(), 2, 2, &mut random).unwrap());
    let commitments = Commitments::parse(&new.commitments, 2).unwrap();
    assert!(commitments.holds(1, &new.shares[0]) && !commitments.holds(1, &old.shares[0]));
    // Mixed all the same, they give another secret: that is why each is checked before.
    let mixed = combine(&[(1, &old.shares[0]), (2, &new.shares[1])], 2).unwrap();
    assert_ne!(mixed.bytes(), secret.bytes());
}

#[test]
fn commitments_of_a_wrong_count_or_encoding_are_refused() {
    let mut random = Seeded::printed();
    let secret = SecretScalar::random(&mut random);
    let good = deal(secret.value(), 3, 3, &mut random).unwrap().commitments;
    for count in [0, 2, 4] {
        let mut wrong = good.clone();
        wrong.resize(count, good[0]);
        let refused = SharingError::Count { expected: 3, found: count };
        assert_eq!(Commitments::parse(&wrong, 3).unwrap_err(), refused);
    }
    for (bad, source) in [([0; 32], GroupError::Identity), ([0xff; 32], GroupError::Element)] {
        for place in 0..3 {
            let mut wrong = good.clone();
            wrong[place] = bad;
            assert_eq!(
                Commitments::parse(&wrong, 3).unwrap_err(),
                SharingError::Commitment { place, source }
            );
        }
    }
}

#[test]
fn commitments_that_give_a_keeper_the_identity_are_refused() {
    let mut random = Seeded::printed();
    // f(x) = c - (c / 2) x is zero at keeper 2.
    let constant = SecretScalar::random(&mut random);
    let slope = -constant.value() * curve25519_dalek_4::scalar::Scalar::from(2_u8).invert();
    let bytes = [encode(&(constant.value() * G)), encode(&(&slope * G))];
    let commitments = Commitments::parse(&bytes, 2).unwrap();
    assert_eq!(share_keys(&commitments, 3).unwrap_err(), SharingError::ShareKey { index: 2 });
}

#[test]
fn thresholds_that_protect_nothing_or_nobody_reaches_are_refused() {
    for (threshold, keepers) in [(0, 3), (1, 1), (1, 5), (3, 2), (2, 0), (2, 17), (2, 257), (255, 300)] {
        assert_eq!(
            check_threshold(threshold, keepers).unwrap_err(),
            SharingError::Threshold { threshold, keepers }
        );
    }
    for (threshold, keepers) in [(2, 2), (2, 16), (16, 16), (3, 5)] {
        assert_eq!(usize::from(check_threshold(threshold, keepers).unwrap()), keepers);
    }
}

#[test]
fn weights_refuse_the_number_0_and_a_number_that_stands_twice() {
    assert_eq!(weights(&[1, 0], 0).unwrap_err(), GroupError::Index { index: 0 });
    assert_eq!(weights(&[1, 2, 1], 0).unwrap_err(), GroupError::Twice { index: 1 });
}

#[test]
fn second_base_is_the_golden_one() {
    let golden = "1c37017d425ffeba0f68952b59c70560a95863a3f8daf27a5436628c20578522";
    assert_eq!(hex::encode(encode(mask_base())), golden);
}
