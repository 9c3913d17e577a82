//! The library's bytes, written here by hand: what SPEC.md says of them, and that they stay so.

use k256::ProjectivePoint;
use k256::Scalar;
use k256::elliptic_curve::group::GroupEncoding as _;
use opaque_ke::rand::RngCore as _;
use sha2::{Digest as _, Sha256};

use super::super::super::parts::Part;
use super::super::super::suite::Public;
use super::super::super::suite::ecdsa::generation::Transfer;
use super::super::super::suite::ecdsa::signing::{First, Second};
use super::super::super::suite::ecdsa::{decode, encode};
use super::super::super::*;
use super::super::Seeded;
use super::super::world::{parties, roster};
use super::SCHEME;

const VECTORS: &str = include_str!("../../../../tests/vectors/shared_ecdsa.txt");

/// Writes fixed values in postcard's encoding.
struct Writer {
    random: Seeded,
    out: Vec<u8>,
}

impl Writer {
    fn new() -> Self {
        Self { random: Seeded::new(7), out: Vec::new() }
    }

    fn count(&mut self, mut count: usize) {
        while count > 127 {
            self.out.push(u8::try_from(count & 127).unwrap() | 128);
            count >>= 7;
        }
        self.out.push(u8::try_from(count).unwrap());
    }

    fn raw(&mut self, length: usize) {
        let mut bytes = vec![0; length];
        self.random.fill_bytes(&mut bytes);
        self.out.extend(bytes);
    }

    fn bits(&mut self, count: usize) {
        self.count(count);
        for _ in 0..count {
            self.out.push(self.random.bytes()[0] & 1);
        }
    }

    fn hashes(&mut self, count: usize, length: usize) {
        self.count(count);
        self.raw(count * length);
    }

    fn value(&mut self) -> Scalar {
        Scalar::from(self.random.next_u64()) * Scalar::from(self.random.next_u64())
    }

    fn scalar(&mut self) {
        let scalar = self.value();
        self.count(32);
        self.out.extend(scalar.to_bytes());
    }

    fn scalars(&mut self, count: usize) {
        self.count(count);
        (0..count).for_each(|_| self.scalar());
    }

    fn point(&mut self) {
        let point = (ProjectivePoint::GENERATOR * self.value()).to_bytes();
        self.count(33);
        self.out.extend(point);
    }

    fn way(&mut self) {
        self.out.extend([1, 2]);
    }

    fn first(mut self) -> Vec<u8> {
        self.way();
        self.raw(32 + 32 + 32); // binding, commitment, nonce
        self.hashes(256 * 78, 1);
        self.raw(26);
        self.hashes(256, 26);
        self.out
    }

    fn second(mut self) -> Vec<u8> {
        self.way();
        self.raw(32);
        (0..2).for_each(|_| self.point());
        self.scalar();
        (0..2).for_each(|_| self.point());
        self.hashes(64, 1); // salt
        self.count(4);
        (0..4).for_each(|_| self.scalars(416));
        self.raw(32 + 32);
        (0..2).for_each(|_| self.scalars(2));
        self.out
    }

    fn transfer(mut self) -> Vec<u8> {
        self.way();
        self.raw(32);
        self.hashes(64, 1);
        self.way();
        self.proof();
        self.scalar();
        self.count(256);
        for _ in 0..256 {
            for _ in 0..2 {
                (0..4).for_each(|_| self.point());
                self.scalar();
            }
            (0..4).for_each(|_| self.point());
            (0..2).for_each(|_| self.scalar());
        }
        self.raw(32);
        self.out
    }

    fn proof(&mut self) {
        self.point();
        self.count(64);
        (0..64).for_each(|_| self.point());
        self.count(64);
        for _ in 0..64 {
            self.hashes(4, 1);
            self.scalar();
        }
    }

    /// Of a party among these.
    fn state(mut self, own: u8, parties: u8) -> Vec<u8> {
        let others: Vec<u8> = (1..=parties).filter(|&party| party != own).collect();
        self.count(others.len());
        for &other in &others {
            self.out.extend([u8::from(own < other), other]);
            self.raw(32);
        }
        self.count(others.len());
        for &other in &others {
            self.out.push(other);
            self.scalars(416);
            self.bits(256);
            self.hashes(256, 32);
        }
        self.count(others.len());
        for &other in &others {
            self.out.push(other);
            self.scalars(416);
            self.hashes(256, 32);
            self.hashes(256, 32);
        }
        self.out
    }
}

fn reads_exactly<T: Part>(bytes: &[u8]) {
    let value: T = decode(bytes).expect("these bytes");
    assert_eq!(value.way(), Some([1, 2]));
    assert_eq!(encode(&value).unwrap().as_slice(), bytes);
    for end in (0..bytes.len()).step_by(997).chain([bytes.len() - 1]) {
        assert!(decode::<T>(&bytes[..end]).is_none(), "{end}");
    }
    assert!(decode::<T>(&[bytes, &[0]].concat()).is_none());
}

/// A key of the user and both keepers from a fixed polynomial, and the share of keeper 1.
fn fixed() -> (SharedKey, Vec<u8>) {
    let mut writer = Writer::new();
    let coefficients = [writer.value(), writer.value(), writer.value()];
    let at = |x: u64| {
        let x = Scalar::from(x);
        coefficients.iter().rev().fold(Scalar::ZERO, |sum, coefficient| sum * x + coefficient)
    };
    let open = |scalar: Scalar| (ProjectivePoint::GENERATOR * scalar).to_bytes().to_vec();
    let holders = roster(&parties(&mut writer.random, 2), 2).holders().clone();
    // keepers stand at their places, the user behind them
    let shares = [(1, at(1)), (2, at(2)), (257, at(3))].map(|(number, value)| (number, open(value)));
    let public = Public { key: open(at(0)), shares: shares.into_iter().collect(), needed: 3 };
    let name = KeyName { chain_id: [1; 32], key: [2; 32] };
    let key = SharedKey::new(name, SCHEME, 1, holders, public).unwrap();
    let state = writer.state(1, 3);
    let length = u32::try_from(state.len()).unwrap().to_be_bytes();
    let head = [&[2][..], &key.stamp(1), &[1, 1], &at(1).to_bytes(), &[1, 2]].concat();
    (key, [&head[..], &length, &state].concat())
}

#[test]
fn the_bytes_of_ecdsa_keys_are_the_golden_ones() {
    let [first, second, transfer] = [Writer::new().first(), Writer::new().second(), Writer::new().transfer()];
    reads_exactly::<First>(&first);
    reads_exactly::<Second>(&second);
    reads_exactly::<Transfer>(&transfer);
    let (key, share) = fixed();
    let read = KeyShare::from_secret(&share, &key).unwrap();
    assert_eq!((read.place(), read.bans().collect::<Vec<_>>()), (1, vec![2]));
    assert!(read.to_secret().matches(&share));
    let found: String = [
        ("Key", key.encode()),
        ("KeyHash", key.hash().to_vec()),
        ("PublicKey", key.public_key(&Tweak::None).unwrap().as_bytes().to_vec()),
        ("ShareHead", share[..128].to_vec()),
        ("ShareHash", Sha256::digest(&share).to_vec()),
        ("FirstHash", Sha256::digest(&first).to_vec()),
        ("SecondHash", Sha256::digest(&second).to_vec()),
        ("TransferHash", Sha256::digest(&transfer).to_vec()),
    ]
    .map(|(name, bytes)| format!("{name} = {}\n", hex::encode(bytes)))
    .concat();
    let sizes = [&first, &second, &transfer, &share].map(Vec::len);
    let found = format!("Sizes = {sizes:?}\n{found}");
    if std::env::var_os("KEYWARD_PRINT_GOLDEN").is_some() {
        println!("{found}");
    }
    assert!(VECTORS.ends_with(&found), "the bytes of ECDSA keys changed:\n{found}");
}

#[test]
fn other_encodings_of_the_same_and_values_that_are_none_are_refused() {
    let first = Writer::new().first();
    // a count in more bytes than it takes; one over what is there
    let at = 2 + 96;
    assert_eq!(first[at..at + 3], [0x80, 0x9c, 0x01]);
    let longer = [&first[..at], &[0x80, 0x9c, 0x81, 0x00], &first[at + 3..]].concat();
    assert!(decode::<First>(&longer).is_none());
    let more = [&first[..at], &[0xff, 0xff, 0xff, 0xff, 0x0f], &first[at + 3..]].concat();
    assert!(decode::<First>(&more).is_none());
    // no party 0
    assert!(decode::<First>(&[&[0], &first[1..]].concat()).is_none());

    let second = Writer::new().second();
    let point = 2 + 32;
    assert_eq!(second[point], 33);
    let with = |at: usize, bytes: &[u8]| {
        let mut second = second.clone();
        second[at..at + bytes.len()].copy_from_slice(bytes);
        decode::<Second>(&second)
    };
    assert!(with(point + 1, &[0xff; 33]).is_none(), "no point");
    let scalar = point + 2 * 34;
    assert_eq!(second[scalar], 32);
    assert!(with(scalar + 1, &[0xff; 32]).is_none(), "above the order");
    let uncompressed = {
        let point = k256::PublicKey::from_sec1_bytes(&second[point + 1..point + 34]).unwrap();
        k256::elliptic_curve::sec1::ToSec1Point::to_sec1_point(&point, false).as_bytes().to_vec()
    };
    let other = [&second[..point], &[65], &uncompressed, &second[point + 34..]].concat();
    assert!(decode::<Second>(&other).is_none(), "a point in its other encoding");
}
