#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
use super::*;
use commonware_codec::{Copying, DecodeExt as _, types::lazy::Lazy};
use commonware_consensus::{
    simplex::types::Proposal,
    types::{Epoch, Round, View},
};
use commonware_cryptography::{Signer as _, Verifier as _, certificate::Signers, sha256};
use commonware_parallel::Sequential;
use commonware_utils::{TryCollect as _, non_empty, test_rng};

const BASE: &[u8] = b"strict/test";

/// All 14 encodings of the 8 points of small order, the last six not canonical.
const SMALL_ORDER: [&str; 14] = [
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    "0100000000000000000000000000000000000000000000000000000000000080",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
];

/// The group order, little-endian.
const ORDER: &str = "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010";

fn bytes(hex: &str) -> [u8; 32] {
    let parsed = (0..32).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap());
    parsed.collect::<Vec<_>>().try_into().unwrap()
}

fn keys(n: u64) -> Vec<PrivateKey> {
    let mut keys: Vec<_> = (0..n).map(PrivateKey::from_seed).collect();
    keys.sort_by_key(PrivateKey::public_key);
    keys
}

fn schemes(n: u64) -> Vec<StrictScheme> {
    let set: Set<PublicKey> = keys(n).iter().map(PrivateKey::public_key).try_collect().unwrap();
    keys(n).into_iter().map(|key| StrictScheme::new(BASE, set.clone(), Some(key))).collect()
}

fn proposal() -> Proposal<sha256::Digest> {
    Proposal::new(Round::new(Epoch::new(3), View::new(9)), View::new(8), sha256::Digest([5; 32]))
}

fn verifies(scheme: &StrictScheme, signer: Participant, signature: Signature) -> bool {
    let proposal = proposal();
    let attestation = Attestation { signer, signature: Lazy::from(signature) };
    scheme.verify_attestation(
        &mut test_rng(),
        Subject::Finalize { proposal: &proposal },
        &attestation,
        &Sequential,
    )
}

fn signed(scheme: &StrictScheme) -> (Participant, Signature) {
    let proposal = proposal();
    let attestation = scheme.sign(Subject::Finalize { proposal: &proposal }).unwrap();
    (attestation.signer, attestation.signature.get().unwrap().clone())
}

fn signature(bytes: &[u8]) -> Signature {
    Signature::decode(Copying(bytes)).unwrap()
}

#[test]
fn an_honest_vote_verifies_and_any_flipped_bit_does_not() {
    let schemes = schemes(4);
    let (signer, good) = signed(&schemes[1]);
    assert!(verifies(&schemes[0], signer, good.clone()));
    assert!(!verifies(&schemes[0], Participant::new(2), good.clone()), "another signer");
    assert!(!verifies(&schemes[0], Participant::new(4), good.clone()), "no such signer");
    for bit in 0..512 {
        let mut raw = good.as_ref().to_vec();
        raw[bit / 8] ^= 1 << (bit % 8);
        assert!(!verifies(&schemes[0], signer, signature(&raw)), "bit {bit}");
    }
}

#[test]
fn a_scalar_above_the_group_order_is_refused() {
    let schemes = schemes(4);
    let (signer, good) = signed(&schemes[0]);
    let mut raw = good.as_ref().to_vec();
    let mut carry = 0u16;
    for (at, limb) in bytes(ORDER).iter().enumerate() {
        let sum = u16::from(raw[32 + at]) + u16::from(*limb) + carry;
        raw[32 + at] = sum as u8;
        carry = sum >> 8;
    }
    assert_eq!(carry, 0);
    assert!(!verifies(&schemes[1], signer, signature(&raw)));
}

#[test]
fn small_order_and_non_canonical_points_are_refused_where_zip_215_takes_them() {
    let (namespace, message) = (b"n".as_slice(), b"m".as_slice());
    for key in SMALL_ORDER {
        let key = bytes(key);
        assert!(strict_key(&key).is_none());
        let loose = PublicKey::decode(Copying(&key)).unwrap();
        let set: Set<PublicKey> = [loose.clone()].into_iter().try_collect().unwrap();
        let scheme = StrictScheme::new(BASE, set, None);
        for point in SMALL_ORDER {
            // R of small order and S = 0 fit every message in the cofactored equation.
            let forged = signature(&[bytes(point), [0; 32]].concat());
            assert!(loose.verify(namespace, message, &forged), "the library's rule is looser");
            assert!(!verifies(&scheme, Participant::new(0), forged));
        }
    }
}

#[test]
fn an_honest_key_refuses_small_order_commitments() {
    let schemes = schemes(4);
    for point in SMALL_ORDER {
        assert!(!verifies(&schemes[0], Participant::new(0), signature(&[bytes(point), [0; 32]].concat())));
    }
}

#[test]
fn certificates_need_a_quorum_of_signatures_that_all_hold() {
    let schemes = schemes(4);
    let proposal = proposal();
    let subject = Subject::Finalize { proposal: &proposal };
    let votes: Vec<_> = schemes.iter().map(|scheme| scheme.sign(subject).unwrap()).collect();
    let good = schemes[0].assemble(non_empty![@votes[..3].iter().cloned()], &Sequential).unwrap();
    let holds = |certificate: &Certificate| {
        schemes[3].verify_certificate(&mut test_rng(), subject, certificate, &Sequential)
    };
    assert!(holds(&good));
    let other = Subject::Notarize { proposal: &proposal };
    assert!(
        !schemes[3].verify_certificate(&mut test_rng(), other, &good, &Sequential),
        "another kind of vote"
    );
    assert!(schemes[0].assemble(non_empty![@votes[..2].iter().cloned()], &Sequential).is_err(), "no quorum");

    let make = |set: u32, signers: &[u32], signatures: &[usize]| Certificate {
        signers: Signers::new(set, signers.iter().map(|index| Participant::new(*index))).unwrap(),
        signatures: signatures.iter().map(|vote| votes[*vote].signature.clone()).collect(),
    };
    assert!(holds(&make(4, &[0, 1, 2, 3], &[0, 1, 2, 3])));
    assert!(!holds(&make(4, &[0, 1], &[0, 1])), "below the quorum");
    assert!(!holds(&make(4, &[0, 1, 2, 3], &[0, 1, 2, 2])), "one more that does not hold");
    assert!(!holds(&make(4, &[0, 1, 2], &[0, 1, 2, 3])), "more signatures than signers");
    assert!(!holds(&make(5, &[0, 1, 2], &[0, 1, 2])), "another set size");
    assert!(!holds(&make(4, &[1, 2, 3], &[0, 1, 2])), "signatures of others");
}
