use curve25519_dalek_4::scalar::Scalar;
use voprf::{
    BlindedElement, EvaluationElement, OprfServer, Ristretto255, VoprfClient, VoprfServer, derive_key,
};

use super::super::group::SecretScalar;
use super::super::oprf::{Blinded, Evaluation, Evaluator, OprfError, combine, verify};
use super::super::sharing::{Commitments, SharingError, deal, share_keys};
use super::super::{GroupError, oprf};
use super::Seeded;
use crate::vectors::{Part, parts};

const VECTORS: &str = include_str!("../../../tests/vectors/rfc9497.txt");

/// A generator that hands out one scalar, as the library's "random" one.
struct Fixed(Vec<u8>);

impl opaque_ke::rand::RngCore for Fixed {
    fn next_u32(&mut self) -> u32 {
        panic!("bytes only")
    }

    fn next_u64(&mut self) -> u64 {
        panic!("bytes only")
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        bytes.fill(0);
        bytes[..32].copy_from_slice(&self.0);
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), opaque_ke::rand::Error> {
        self.fill_bytes(bytes);
        Ok(())
    }
}

impl opaque_ke::rand::CryptoRng for Fixed {}

fn scalar(bytes: &[u8]) -> SecretScalar {
    SecretScalar::parse(bytes.try_into().unwrap()).unwrap()
}

fn vectors(mode: &str) -> (Part<'static>, Vec<Part<'static>>) {
    let mut parts = parts(VECTORS).into_iter().skip_while(|part| part.optional("Mode") != Some(mode));
    let key = parts.next().unwrap();
    (key, parts.take_while(|part| part.kind == "vector").collect())
}

#[test]
fn oprf_mode_gives_the_published_vectors() {
    let (key, vectors) = vectors("OPRF");
    let derived = derive_key::<Ristretto255>(&key.bytes("Seed"), &key.bytes("KeyInfo"), voprf::Mode::Oprf);
    assert_eq!(derived.unwrap().to_bytes()[..], key.bytes("skSm"));
    let server = OprfServer::<Ristretto255>::new_with_key(&key.bytes("skSm")).unwrap();
    assert_eq!(vectors.len(), 2);
    for vector in vectors {
        let blind = *scalar(&vector.bytes("Blind")).value();
        let input = vector.bytes("Input");
        let started =
            voprf::OprfClient::<Ristretto255>::deterministic_blind_unchecked(&input, blind).unwrap();
        assert_eq!(started.message.serialize()[..], vector.bytes("BlindedElement"));
        let evaluated = server.blind_evaluate(&started.message);
        assert_eq!(evaluated.serialize()[..], vector.bytes("EvaluationElement"));
        assert_eq!(started.state.finalize(&input, &evaluated).unwrap()[..], vector.bytes("Output"));
    }
}

#[test]
fn voprf_mode_gives_the_published_vectors_with_their_proofs() {
    let (key, vectors) = vectors("VOPRF");
    let (secret, public) = (scalar(&key.bytes("skSm")), key.bytes("pkSm").try_into().unwrap());
    let single: Vec<_> = vectors.iter().filter(|vector| !vector.text("Input").contains(',')).collect();
    assert_eq!(single.len(), 2);
    for vector in single {
        let input = vector.bytes("Input");
        let blinded = Blinded::with_blind(&input, &scalar(&vector.bytes("Blind"))).unwrap();
        assert_eq!(blinded.element()[..], vector.bytes("BlindedElement"));
        let evaluation = Evaluator::new(&secret)
            .unwrap()
            .evaluate(blinded.element(), &mut Fixed(vector.bytes("ProofRandomScalar")))
            .unwrap();
        assert_eq!(evaluation.element[..], vector.bytes("EvaluationElement"));
        assert_eq!(evaluation.proof[..], vector.bytes("Proof"));
        verify(blinded.element(), &evaluation, &public).unwrap();
        assert_eq!(
            blinded.finalize(&input, &evaluation.element).unwrap()[..],
            vector.bytes("Output"),
            "the plain client's last step is the verifiable one's"
        );
    }
}

#[test]
fn voprf_mode_gives_the_published_batch() {
    let (key, vectors) = vectors("VOPRF");
    let batches: Vec<_> = vectors.iter().filter(|vector| vector.text("Input").contains(',')).collect();
    assert_eq!(batches.len(), 1);
    let server = VoprfServer::<Ristretto255>::new_with_key(&key.bytes("skSm")).unwrap();
    let (inputs, blinds) = (batches[0].list("Input"), batches[0].list("Blind"));
    let started: Vec<_> = inputs
        .iter()
        .zip(&blinds)
        .map(|(input, blind)| {
            VoprfClient::<Ristretto255>::deterministic_blind_unchecked(input, *scalar(blind).value()).unwrap()
        })
        .collect();
    let messages: Vec<BlindedElement<Ristretto255>> =
        started.iter().map(|started| started.message.clone()).collect();
    let prepared: Vec<_> = server.batch_blind_evaluate_prepare(messages.iter()).collect();
    let mut nonce = Fixed(batches[0].bytes("ProofRandomScalar"));
    let done = server.batch_blind_evaluate_finish(&mut nonce, messages.iter(), &prepared).unwrap();
    let evaluated: Vec<EvaluationElement<Ristretto255>> = done.messages.collect();
    for (place, message) in messages.iter().enumerate() {
        assert_eq!(message.serialize()[..], batches[0].list("BlindedElement")[place]);
        assert_eq!(evaluated[place].serialize()[..], batches[0].list("EvaluationElement")[place]);
    }
    assert_eq!(done.proof.serialize()[..], batches[0].bytes("Proof"));
    let clients: Vec<_> = started.into_iter().map(|started| started.state).collect();
    let slices: Vec<&[u8]> = inputs.iter().map(Vec::as_slice).collect();
    let outputs =
        VoprfClient::batch_finalize(&slices, &clients, &evaluated, &done.proof, server.get_public_key());
    let outputs: Vec<_> = outputs.unwrap().map(|output| output.unwrap().to_vec()).collect();
    assert_eq!(outputs, batches[0].list("Output"));
}

struct Shared {
    key: SecretScalar,
    shares: Vec<SecretScalar>,
    keys: Vec<[u8; 32]>,
}

fn shared(random: &mut Seeded, threshold: u8, keepers: u8) -> Shared {
    let key = SecretScalar::random(random);
    let dealt = deal(key.value(), threshold, usize::from(keepers), random).unwrap();
    let commitments = Commitments::parse(&dealt.commitments, threshold).unwrap();
    Shared { key, shares: dealt.shares, keys: share_keys(&commitments, keepers).unwrap() }
}

fn answers(shared: &Shared, element: &[u8; 32], who: &[u8], random: &mut Seeded) -> Vec<(u8, [u8; 32])> {
    let answer = |&index: &u8| {
        let evaluation = Evaluator::new(&shared.shares[usize::from(index) - 1])
            .unwrap()
            .evaluate(element, random)
            .unwrap();
        verify(element, &evaluation, &shared.keys[usize::from(index) - 1]).unwrap();
        (index, evaluation.element)
    };
    who.iter().map(answer).collect()
}

#[test]
fn any_threshold_of_keepers_gives_the_output_of_the_one_key_and_fewer_do_not() {
    let mut random = Seeded::printed();
    for (threshold, keepers) in [(2, 2), (2, 3), (3, 5), (5, 8), (7, 16)] {
        let shared = shared(&mut random, threshold, keepers);
        let server = VoprfServer::<Ristretto255>::new_with_key(shared.key.bytes()).unwrap();
        let expected = server.evaluate(b"a stretched password").unwrap();
        for _ in 0..4 {
            let blinded = Blinded::new(b"a stretched password", &mut random).unwrap();
            let who = random.choose_in_any_order(threshold, keepers);
            let answers = answers(&shared, blinded.element(), &who, &mut random);
            let combined = combine(&answers, threshold).unwrap();
            let output = blinded.finalize(b"a stretched password", &combined).unwrap();
            assert_eq!(output[..], expected[..], "{who:?}");
            // One fewer, put together as if that were enough.
            if threshold > 2 {
                let combined = combine(&answers[1..], threshold - 1).unwrap();
                let output = blinded.finalize(b"a stretched password", &combined).unwrap();
                assert_ne!(output[..], expected[..], "{who:?}");
            }
            assert!(matches!(
                combine(&answers[1..], threshold),
                Err(OprfError::Sharing(SharingError::Shares { .. }))
            ));
        }
    }
}

#[test]
fn evaluations_of_another_key_element_or_proof_are_refused() {
    let mut random = Seeded::printed();
    let shared = shared(&mut random, 2, 3);
    let blinded = Blinded::new(b"one", &mut random).unwrap();
    let other = Blinded::new(b"one", &mut random).unwrap();
    let good = Evaluator::new(&shared.shares[0]).unwrap().evaluate(blinded.element(), &mut random).unwrap();
    let refused = |element: &[u8; 32], evaluation: &Evaluation, key: &[u8; 32]| {
        matches!(verify(element, evaluation, key), Err(OprfError::Refused(_)))
    };
    verify(blinded.element(), &good, &shared.keys[0]).unwrap();
    assert!(refused(blinded.element(), &good, &shared.keys[1]), "another keeper's key");
    assert!(refused(other.element(), &good, &shared.keys[0]), "another element");
    let strange = Evaluation { element: *other.element(), ..good.clone() };
    assert!(refused(blinded.element(), &strange, &shared.keys[0]), "another evaluation");
    for at in 0..oprf::PROOF_BYTES {
        let mut changed = good.clone();
        changed.proof[at] ^= 1;
        assert!(verify(blinded.element(), &changed, &shared.keys[0]).is_err(), "byte {at} of the proof");
    }
    let late = Evaluator::new(&shared.shares[1]).unwrap().evaluate(blinded.element(), &mut random).unwrap();
    assert!(refused(blinded.element(), &late, &shared.keys[0]), "another keeper's share");
}

#[test]
fn identity_and_elements_of_another_encoding_are_refused_everywhere() {
    let mut random = Seeded::printed();
    let shared = shared(&mut random, 2, 3);
    let share = &shared.shares[0];
    let blinded = Blinded::new(b"one", &mut random).unwrap();
    let good = Evaluator::new(share).unwrap().evaluate(blinded.element(), &mut random).unwrap();
    // RFC 9496, appendix A.2: a field element that is too large, and a negative one.
    let (large, mut negative) = ([0xff; 32], [0; 32]);
    negative[0] = 1;
    for (bad, cause) in
        [([0; 32], GroupError::Identity), (large, GroupError::Element), (negative, GroupError::Element)]
    {
        let found = |result: Result<(), OprfError>| match result {
            Err(OprfError::Element(found)) => found == cause,
            Err(OprfError::Refused(_)) => true,
            _ => false,
        };
        assert!(found(Evaluator::new(share).unwrap().evaluate(&bad, &mut random).map(drop)));
        assert!(found(verify(&bad, &good, &shared.keys[0])));
        assert!(found(verify(blinded.element(), &good, &bad)));
        assert!(found(verify(
            blinded.element(),
            &Evaluation { element: bad, ..good.clone() },
            &shared.keys[0]
        )));
        assert!(found(combine(&[(1, bad), (2, good.element)], 2).map(drop)));
    }
    assert!(matches!(
        combine(&[(1, good.element), (1, good.element)], 2),
        Err(OprfError::Element(GroupError::Twice { index: 1 }))
    ));
    assert!(matches!(
        combine(&[(0, good.element), (1, good.element)], 2),
        Err(OprfError::Element(GroupError::Index { index: 0 }))
    ));
}

#[test]
fn scalars_of_another_encoding_and_zero_are_refused() {
    assert_eq!(SecretScalar::parse(&[0; 32]).unwrap_err(), GroupError::Zero);
    assert_eq!(SecretScalar::parse(&[0xff; 32]).unwrap_err(), GroupError::Scalar);
    let mut order = (-Scalar::ONE).to_bytes();
    order[0] += 1;
    assert_eq!(SecretScalar::parse(&order).unwrap_err(), GroupError::Scalar, "the order itself");
    assert_eq!(format!("{:?}", SecretScalar::new(Scalar::ONE)), "SecretScalar(redacted)");
}
