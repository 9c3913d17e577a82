use std::collections::BTreeMap;

use zeroize::Zeroizing;

use super::super::suite::dealing::base;
use super::super::suite::signing::{Task, aggregate, commit, sign};
use super::super::suite::{Public, each, output_key};
use super::super::*;
use crate::vectors::parts;

const RFC9591: &str = include_str!("../../../tests/vectors/rfc9591.txt");
const BIP341: &str = include_str!("../../../tests/vectors/bip341.txt");

/// A generator that hands out what a vector prescribes.
struct Fixed(Vec<Vec<u8>>);

impl opaque_ke::rand::RngCore for Fixed {
    fn next_u32(&mut self) -> u32 {
        panic!("bytes only")
    }

    fn next_u64(&mut self) -> u64 {
        panic!("bytes only")
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        bytes.copy_from_slice(&self.0.remove(0));
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), opaque_ke::rand::Error> {
        self.fill_bytes(bytes);
        Ok(())
    }
}

impl opaque_ke::rand::CryptoRng for Fixed {}

#[test]
fn frost_on_ed25519_gives_the_published_vectors() {
    let parts = parts(RFC9591);
    let (group, signers) = parts.split_first().unwrap();
    let scheme = SharedScheme::Ed25519;
    let secrets: BTreeMap<u16, _> =
        (1..).zip(group.arrays::<32>("Shares").into_iter().map(Zeroizing::new)).collect();
    let base = |secret| each!(scheme, base(secret)).unwrap();
    let shares = secrets.iter().map(|(&number, secret)| (number, base(secret))).collect();
    let public = Public { key: group.bytes("Key"), shares, needed: 2 };
    let message = group.bytes("Message");
    let (mut nonces, mut commitments) = (BTreeMap::new(), BTreeMap::new());
    for signer in signers {
        let number: u16 = signer.text("Identifier").parse().unwrap();
        let mut random = Fixed(vec![signer.bytes("HidingRandomness"), signer.bytes("BindingRandomness")]);
        let (pair, shown) = each!(scheme, commit(&secrets[&number], &mut random)).unwrap();
        assert_eq!(shown, [signer.bytes("HidingCommitment"), signer.bytes("BindingCommitment")]);
        nonces.insert(number, pair);
        commitments.insert(number, shown);
    }
    let task = Task { public: &public, tweak: &Tweak::None, message: &message, commitments: &commitments };
    let mut signed = BTreeMap::new();
    for (signer, (number, pair)) in signers.iter().zip(nonces) {
        let share = each!(scheme, sign(task, number, &secrets[&number], pair)).unwrap();
        assert_eq!(share[..], signer.bytes("Share"));
        signed.insert(number, share);
    }
    assert_eq!(signed.len(), 2);
    assert_eq!(each!(scheme, aggregate(task, &signed)).unwrap(), group.bytes("Signature"));
}

#[test]
fn tweaked_keys_are_those_of_bip341() {
    let parts = parts(BIP341);
    assert_eq!(parts.len(), 4);
    for part in parts {
        // x alone is the point with an even y; with the other one nothing may change
        for parity in [2, 3] {
            let key = [&[parity][..], &part.bytes("Internal")].concat();
            let public = Public { key, shares: BTreeMap::new(), needed: 2 };
            let root = part.optional("Root").map(|root| hex::decode(root).unwrap().try_into().unwrap());
            let tweak = root.map_or(Tweak::KeyPath, Tweak::Scripts);
            let output = each!(SharedScheme::Bip340, output_key(&public, &tweak)).unwrap();
            assert_eq!(output, part.bytes("Output"), "parity {parity}");
            let plain = each!(SharedScheme::Bip340, output_key(&public, &Tweak::None)).unwrap();
            assert_eq!(plain, part.bytes("Internal"));
        }
    }
}
