//! What t-1 keepers' whole disks are worth together with everything that others can see.

use curve25519_dalek_4::ristretto::RistrettoPoint;
use curve25519_dalek_4::scalar::Scalar;
use curve25519_dalek_4::traits::Identity as _;
use voprf::{EvaluationElement, OprfClient, Ristretto255, VoprfClient};

use super::super::contents::{self, Place};
use super::super::group::{SecretScalar, element, encode, weights};
use super::super::keys::{Root, stretch};
use super::super::*;
use super::Seeded;
use super::world::{World, text};

const WORDS: [&str; 8] = ["123456", "password", "right", "Right", "letmein", "", "correct horse", "right1"];

/// Everything that was stolen or seen.
struct Loot<'a> {
    vault: &'a Vault,
    shares: Vec<&'a KeeperShare>,
    /// What keepers and relay saw of a recovery that was right: the blinded element and the evaluations of those who
    /// are in on it (the others' were sealed to the user).
    element: [u8; 32],
    evaluations: Vec<(u8, [u8; 32])>,
}

/// What the attacker takes for the evaluation of a password's point under the whole key.
type Candidate = (String, RistrettoPoint);

impl Loot<'_> {
    /// Every way the attacker has to an evaluation of `point`: all subsets of its shares as if they were enough, and
    /// for one share too few, whatever public or own value might stand in for the missing evaluation.
    fn candidates(&self, point: &RistrettoPoint) -> Vec<Candidate> {
        let facts = self.vault.facts();
        let mut found = Vec::new();
        for set in 1..1_u32 << self.shares.len() {
            let chosen: Vec<_> =
                (0..self.shares.len()).filter(|bit| set >> bit & 1 == 1).map(|at| self.shares[at]).collect();
            let own = |at: usize| point * chosen[at].parts()[0].value();
            let indices: Vec<u8> = chosen.iter().map(|share| share.index()).collect();
            let sum = |indices: &[u8], last: Option<RistrettoPoint>| {
                let weights = weights(indices, 0).unwrap();
                let points = (0..chosen.len()).map(own).chain(last);
                weights.iter().zip(points).fold(RistrettoPoint::identity(), |sum, (w, point)| sum + w * point)
            };
            found.push((format!("{indices:?} alone"), sum(&indices, None)));
            let missing = (1..=facts.keepers.len() as u8).filter(|index| !indices.contains(index));
            for index in missing {
                let with: Vec<u8> = indices.iter().copied().chain([index]).collect();
                let key = element(self.vault.evaluation_key(index).unwrap()).unwrap();
                let stand_ins = [
                    ("nothing", RistrettoPoint::identity()),
                    ("the point", *point),
                    ("its key", key),
                    ("its key and the point", key + point),
                    ("the blinded element", element(&self.element).unwrap()),
                    ("another's", own(0)),
                ];
                let seen = self.evaluations.iter().map(|(_, bytes)| ("a seen one", element(bytes).unwrap()));
                for (name, last) in stand_ins.into_iter().chain(seen) {
                    found.push((format!("{indices:?} and {name} for {index}"), sum(&with, Some(last))));
                }
            }
        }
        let public = facts.evaluation.iter().map(|bytes| element(bytes).unwrap());
        found.extend(public.map(|point| ("a commitment".to_owned(), point)));
        found
    }

    /// The words that some check of the attacker's tells apart from the others: A, or the ciphertext under the mask as
    /// far as its shares give one.
    fn confirmed(&self, words: &[&str]) -> Vec<String> {
        let facts = self.vault.facts();
        let one = SecretScalar::new(Scalar::ONE);
        let mut confirmed = Vec::new();
        for word in words.iter().filter(|word| !word.is_empty()) {
            let stretched = stretch(&text(word), &facts.account, &facts.vault, &facts.stretch).unwrap();
            let blinded =
                VoprfClient::<Ristretto255>::deterministic_blind_unchecked(&*stretched, *one.value())
                    .unwrap();
            let point = element(&blinded.message.serialize().into()).unwrap();
            for (_, candidate) in self.candidates(&point) {
                if candidate == RistrettoPoint::identity() {
                    continue;
                }
                let client = OprfClient::<Ristretto255>::deserialize(one.bytes()).unwrap();
                let evaluation = EvaluationElement::deserialize(&encode(&candidate)).unwrap();
                let output = client.finalize(&*stretched, &evaluation).unwrap();
                let root = Root::new(&output.into()).unwrap();
                let is_right = root.proof_key().unwrap().public_key().as_bytes() == facts.proof_key;
                if is_right || self.opens(&root) {
                    confirmed.push((*word).to_owned());
                    break;
                }
            }
        }
        confirmed
    }

    /// Whether the ciphertext opens under this root and any mask that subsets of the shares give, or zero.
    fn opens(&self, root: &Root) -> bool {
        let facts = self.vault.facts();
        let place =
            Place { account: &facts.account, vault: &facts.vault, version: facts.version, mode: facts.mode };
        (0..1_u32 << self.shares.len()).any(|set| {
            let chosen: Vec<_> =
                (0..self.shares.len()).filter(|bit| set >> bit & 1 == 1).map(|at| self.shares[at]).collect();
            let indices: Vec<u8> = chosen.iter().map(|share| share.index()).collect();
            let weights = weights(&indices, 0).unwrap();
            let mask =
                chosen.iter().zip(&weights).map(|(share, weight)| share.parts()[1].value() * weight).sum();
            let key = root.data_key(&SecretScalar::new(mask), facts.mode, None).unwrap();
            contents::open(&key, &place, chosen.first().unwrap_or(&self.shares[0]).ciphertext()).is_ok()
        })
    }
}

#[test]
fn fewer_disks_than_the_threshold_hold_nothing_to_check_a_guess_against_and_the_threshold_does() {
    let mut world = World::sealed(Seeded::printed(), 3, 5, None);
    let (_, request) = world.begin("right");
    let seen = |who: &[u8]| -> Vec<(u8, [u8; 32])> {
        who.iter()
            .map(|&index| {
                let point = element(&request.element).unwrap();
                (index, encode(&(point * world.keeper(index).share().parts()[0].value())))
            })
            .collect()
    };
    let loot = |who: &[u8]| Loot {
        vault: &world.vault,
        shares: who.iter().map(|&index| world.keeper(index).share()).collect(),
        element: request.element,
        evaluations: seen(who),
    };
    for one in 1..=5_u8 {
        for two in one + 1..=5 {
            let found = loot(&[one, two]).confirmed(&WORDS);
            assert!(found.is_empty(), "disks {one} and {two} confirm {found:?}");
        }
    }
    // The same attacker with one disk more: this test can fail.
    for who in [[1, 2, 3], [1, 3, 5], [2, 4, 5]] {
        assert_eq!(loot(&who).confirmed(&WORDS), ["right"], "disks {who:?}");
    }
}

#[test]
fn the_right_root_opens_nothing_without_as_many_masks_as_the_threshold() {
    let world = World::sealed(Seeded::printed(), 3, 5, None);
    let root = world.root("right");
    let opens = |who: &[u8]| {
        let shares = who.iter().map(|&index| world.keeper(index).share()).collect();
        Loot { vault: &world.vault, shares, element: [0; 32], evaluations: Vec::new() }.opens(&root)
    };
    for one in 1..=5_u8 {
        for two in one + 1..=5 {
            assert!(!opens(&[one, two]), "the masks of {one} and {two}");
        }
    }
    assert!(opens(&[1, 4, 5]) && opens(&[2, 3, 4]), "this test can fail");
}
