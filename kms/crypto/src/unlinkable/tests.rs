//! Vectors of the second implementation (`tests/vectors/addresses.py`), properties, and every refusal.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use keyward_domain::scheme::{PublicKey, Scheme, verify};
use zeroize::Zeroizing;

use super::*;
use crate::vectors::{Part, parts};

mod grants;
mod punctured;

const VECTORS: &str = include_str!("../../tests/vectors/addresses.txt");
const RECORD: [u8; 32] = [7; 32];

fn root_of(part: &Part<'_>) -> AddressRoot {
    AddressRoot::from_bytes(Zeroizing::new(part.bytes("Root").try_into().unwrap()))
}

fn root(number: u8) -> AddressRoot {
    AddressRoot::from_bytes(Zeroizing::new([number; 32]))
}

fn own(root: &AddressRoot, epoch: u32) -> EpochAddresses {
    EpochAddresses::new(root.viewing_leaf(epoch), root.spending_leaf(epoch).unwrap().point())
}

fn covered(cover: &ViewingCover, epoch: u32) -> bool {
    cover.leaf(epoch).is_some()
}

#[test]
fn vectors_of_the_other_implementation_come_out() {
    let parts = parts(VECTORS);
    assert_eq!(parts.len(), 4);
    for part in &parts {
        let root = root_of(part);
        let epochs: Vec<u32> = part.arrays("Epochs").into_iter().map(u32::from_be_bytes).collect();
        let record = part.bytes("Record").try_into().unwrap();
        for (at, &epoch) in epochs.iter().enumerate() {
            let addresses = own(&root, epoch);
            for index in [0, 1, u32::MAX] {
                let expected = part.arrays(&format!("Address{index}"))[at];
                assert_eq!(addresses.address(index).unwrap(), expected, "{epoch} {index}");
            }
            let point = root.spending_leaf(epoch).unwrap().point();
            assert_eq!(point.encode().unwrap(), part.list("SpendingPoints")[at]);
            assert_eq!(SpendingPoint::decode(&point.encode().unwrap()).unwrap(), point);
            let sealed = seal_detail(addresses.view(), &record, b"public", b"detail").unwrap();
            assert_eq!(sealed[1..33], part.list("DetailCommitments")[at]);
            let meta = MetaAddress::new(addresses.view(), point).unwrap();
            assert_eq!(meta.encode().unwrap(), part.list("MetaAddresses")[at]);
            assert_eq!(MetaAddress::decode(&meta.encode().unwrap()).unwrap(), meta);
        }
        let handles = [(86_400_000, 20_000), (3_600_000, 20_000), (86_400_000, 20_001)];
        assert_eq!(
            handles.map(|(window, number)| root.handle(window, number)).to_vec(),
            part.arrays("Handles")
        );
        let cover = ViewingCover::of(&root, epochs[0]..=*epochs.last().unwrap());
        assert!(cover.encode().matches(&part.bytes("Cover")));
        let view = root.viewing_leaf(epochs[0]);
        let spending = root.spending_leaf(epochs[0]).unwrap();
        let (paid, payment) = MetaAddress::new(&view, spending.point()).unwrap().pay_with(&record).unwrap();
        assert_eq!(paid.to_vec(), part.bytes("Paid"));
        assert_eq!(payment.encode().unwrap(), part.bytes("Payment"));
        assert_eq!(Payment::decode(&part.bytes("Payment")).unwrap(), payment);
    }
}

#[test]
fn keys_sign_for_their_addresses_and_stay_with_their_epoch() {
    let root = root(1);
    let (addresses, spending) = (own(&root, 9), root.spending_leaf(9).unwrap());
    for index in [0, 77] {
        let address = addresses.address(index).unwrap();
        let key = spending.key(addresses.view(), index, Scheme::EcdsaSecp256k1).unwrap();
        assert_eq!(key.public_key().as_bytes(), address);
        let signature = key.sign_message(b"a transaction").unwrap();
        let public = PublicKey::parse(Scheme::EcdsaSecp256k1, &address).unwrap();
        verify(&public, b"a transaction", &signature).unwrap();
        let key = spending.key(addresses.view(), index, Scheme::Bip340).unwrap();
        assert_eq!(key.public_key().as_bytes(), &address[1..]);
    }
    let other = root.viewing_leaf(10);
    let refused = spending.key(&other, 0, Scheme::EcdsaSecp256k1).unwrap_err();
    assert!(matches!(refused, AddressError::Epochs { one: 9, other: 10 }));
    let mixed = EpochAddresses::new(root.viewing_leaf(10), spending.point());
    assert!(matches!(mixed.address(0), Err(AddressError::Epochs { one: 10, other: 9 })));
}

#[test]
fn no_two_places_of_two_accounts_have_one_address() {
    let mut seen = std::collections::BTreeSet::new();
    for (account, epoch, index) in
        [1, 2].into_iter().flat_map(|a| (0..4).flat_map(move |e| (0..8).map(move |i| (a, e, i))))
    {
        assert!(seen.insert(own(&root(account), epoch).address(index).unwrap()));
    }
    let handles: std::collections::BTreeSet<_> =
        [1, 2].into_iter().flat_map(|a| (0..9).map(move |n| root(a).handle(1000, n))).collect();
    assert_eq!(handles.len(), 18);
}

#[test]
fn covers_open_their_epochs_and_no_others() {
    let root = root(3);
    // All short ranges near a boundary of subtrees, and the ends of the numbers.
    let starts = (0..20).chain(1020..1028).chain([u32::MAX - 20, u32::MAX - 1, u32::MAX]);
    for first in starts {
        for last in first..=first.saturating_add(17) {
            let cover = ViewingCover::of(&root, first..=last);
            for epoch in first.saturating_sub(3)..=last.saturating_add(3) {
                let found = cover.leaf(epoch);
                assert_eq!(found.is_some(), (first..=last).contains(&epoch), "{epoch} of {first}..={last}");
                let Some(leaf) = found else { continue };
                let seen = EpochAddresses::new(leaf, root.spending_leaf(epoch).unwrap().point());
                assert_eq!(seen.view().scalar("x").unwrap(), root.viewing_leaf(epoch).scalar("x").unwrap());
            }
        }
    }
}

#[test]
fn a_part_of_a_cover_is_the_roots_own_and_none_reaches_further() {
    let root = root(8);
    let whole = ViewingCover::of(&root, 0..=1_030);
    let bytes = |cover: &ViewingCover| cover.encode().expose(<[u8]>::to_vec);
    for (first, last) in [(0, 0), (0, 1_030), (3, 17), (511, 513), (1_023, 1_024), (1_030, 1_030)] {
        let part = whole.within(first..=last).unwrap();
        assert_eq!(bytes(&part), bytes(&ViewingCover::of(&root, first..=last)), "{first}..={last}");
        assert!(!covered(&part, last + 1) && !covered(&part, first.wrapping_sub(1)));
    }
    let (after, before) = (9_u32, 8_u32);
    for beyond in [0..=1_031, 1_031..=1_031, 1_031..=u32::MAX, 0..=u32::MAX, after..=before] {
        assert!(whole.within(beyond.clone()).is_none(), "{beyond:?}");
        assert!(ViewingCover::of(&root, 5..=9).within(beyond).is_none());
    }
    assert!(ViewingCover::of(&root, 5..=9).within(4..=9).is_none());
}

#[test]
fn covers_are_small_and_read_back() {
    let root = root(4);
    let whole = [(0, u32::MAX), (1, u32::MAX - 1), (0, 0), (1, 1), (489_000, 497_760), (1 << 31, u32::MAX)];
    for (first, last) in whole {
        let cover = ViewingCover::of(&root, first..=last);
        let bytes = cover.encode();
        assert!((bytes.len() - 9) / 32 <= COVER_NODES_MAX);
        let read = bytes.expose(ViewingCover::decode).unwrap();
        assert_eq!(read.epochs(), first..=last);
        for epoch in [first, last] {
            let [one, other] = [&cover, &read].map(|cover| cover.leaf(epoch).unwrap().scalar("x").unwrap());
            assert_eq!(one, other);
        }
        assert_eq!(covered(&read, first.wrapping_sub(1)), first == 0 && last == u32::MAX);
    }
    assert_eq!(ViewingCover::of(&root, 1..=u32::MAX - 1).encode().len(), 9 + 32 * COVER_NODES_MAX);
    let [one, two] = [(0, u32::MAX), (0, 1)].map(|(a, b)| ViewingCover::of(&root, a..=b).encode().len());
    assert_eq!([one, two], [41, 41]);
}

#[test]
fn a_cover_of_other_shape_is_refused() {
    let good = ViewingCover::of(&root(5), 4..=9).encode().expose(<[u8]>::to_vec);
    let refused = |bytes: &[u8]| ViewingCover::decode(bytes).unwrap_err();
    for end in 0..good.len() {
        assert!(matches!(refused(&good[..end]), AddressError::Malformed { .. }));
    }
    assert!(matches!(refused(&[&good[..], &[0]].concat()), AddressError::Malformed { .. }));
    assert!(matches!(refused(&[&good[..], &[0; 32]].concat()), AddressError::Malformed { .. }));
    let with = |at: usize, byte| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        bytes
    };
    assert!(matches!(refused(&with(0, 2)), AddressError::Version { version: 2, .. }));
    // Another range has other nodes; an empty one has none.
    assert!(matches!(refused(&with(8, 10)), AddressError::Malformed { .. }));
    assert!(matches!(refused(&with(8, 3)), AddressError::Malformed { .. }));
    let (first, last) = (9_u32, 4_u32);
    assert!(ViewingCover::of(&root(5), first..=last).leaf(5).is_none());
    let empty = ViewingCover::of(&root(5), first..=last).encode();
    assert!(matches!(empty.expose(ViewingCover::decode).unwrap_err(), AddressError::Malformed { .. }));
}

#[test]
fn a_detail_opens_for_its_record_epoch_account_and_public_fields_alone() {
    let view = root(6).viewing_leaf(3);
    let sealed = seal_detail(&view, &RECORD, b"public", b"12 EUR to B").unwrap();
    assert!(open_detail(&view, &RECORD, b"public", &sealed).unwrap().matches(b"12 EUR to B"));
    let others = [
        (root(6).viewing_leaf(4), RECORD),
        (root(7).viewing_leaf(3), RECORD),
        (root(6).viewing_leaf(3), [8; 32]),
    ];
    for (view, record) in others {
        let refused = open_detail(&view, &record, b"public", &sealed).unwrap_err();
        assert!(matches!(refused, AddressError::OtherKey));
    }
    assert!(matches!(open_detail(&view, &RECORD, b"Public", &sealed), Err(AddressError::Changed(_))));
    for at in 0..sealed.len() {
        let mut changed = sealed.clone();
        changed[at] ^= 1;
        let refused = open_detail(&view, &RECORD, b"public", &changed).unwrap_err();
        match at {
            0 => assert!(matches!(refused, AddressError::Version { version: 0, .. })),
            1..33 => assert!(matches!(refused, AddressError::OtherKey)),
            _ => assert!(matches!(refused, AddressError::Changed(_))),
        }
    }
    for end in 0..sealed.len() {
        assert!(open_detail(&view, &RECORD, b"public", &sealed[..end]).is_err());
    }
}

#[test]
fn every_detail_has_one_size() {
    let view = root(6).viewing_leaf(3);
    for len in [0, 1, 252, 253, DETAIL_BYTES_MAX] {
        let bytes = seal_detail(&view, &RECORD, b"", &vec![1; len]).unwrap();
        assert_eq!(bytes.len(), 1 + 32 + 1024 + 16, "{len}");
        assert!(open_detail(&view, &RECORD, b"", &bytes).unwrap().matches(&vec![1; len]));
    }
    let refused = seal_detail(&view, &RECORD, b"", &[1; DETAIL_BYTES_MAX + 1]);
    assert!(matches!(refused, Err(AddressError::TooLong { len: 1021 })));
}

#[test]
fn a_trial_tells_by_the_commitment_alone_whose_detail_it_is() {
    let view = root(6).viewing_leaf(3);
    let mut sealed = seal_detail(&view, &RECORD, b"public", b"detail").unwrap();
    assert!(detail_is_for(&view, &RECORD, &sealed));
    // A record is still found whose writer has spoilt the rest, or wrote another length.
    sealed[33] ^= 1;
    assert!(detail_is_for(&view, &RECORD, &sealed) && detail_is_for(&view, &RECORD, &sealed[..305]));
    assert!(!detail_is_for(&root(6).viewing_leaf(4), &RECORD, &sealed));
    assert!(!detail_is_for(&root(7).viewing_leaf(3), &RECORD, &sealed));
    assert!(!detail_is_for(&view, &[8; 32], &sealed));
    for at in 0..33 {
        let mut other = sealed.clone();
        other[at] ^= 1;
        assert!(!detail_is_for(&view, &RECORD, &other), "{at}");
    }
    for end in 0..33 {
        assert!(!detail_is_for(&view, &RECORD, &sealed[..end]), "{end}");
    }
}

#[test]
fn a_payment_is_found_and_spent_by_its_receiver_alone() {
    let root = root(8);
    let (view, spending) = (root.viewing_leaf(5), root.spending_leaf(5).unwrap());
    let meta = MetaAddress::new(&view, spending.point()).unwrap();
    let (paid, payment) = meta.pay().unwrap();
    assert_eq!(payment.seen(&view, spending.point()).unwrap(), Some(paid));
    let key = payment.key(&view, &spending, Scheme::EcdsaSecp256k1).unwrap();
    assert_eq!(key.public_key().as_bytes(), paid);
    // Fresh each time, and another account or epoch never gets this address.
    assert_ne!(meta.pay().unwrap().0, paid);
    for (account, epoch) in [(8, 6), (9, 5)] {
        let other = super::tests::root(account);
        let point = other.spending_leaf(epoch).unwrap().point();
        assert_eq!(payment.seen(&other.viewing_leaf(epoch), point).unwrap(), None);
    }
    let mixed = payment.seen(&root.viewing_leaf(6), spending.point());
    assert!(matches!(mixed, Err(AddressError::Epochs { one: 6, other: 5 })));
}

#[test]
fn no_foreign_payment_looks_like_ones_own() {
    let (receiver, payer) = (root(10), root(11));
    let meta = MetaAddress::new(&payer.viewing_leaf(1), payer.spending_leaf(1).unwrap().point()).unwrap();
    let (view, point) = (receiver.viewing_leaf(1), receiver.spending_leaf(1).unwrap().point());
    // Under a tag of one byte, four of so many would.
    for seed in 0..1024_u16 {
        let seed = [seed.to_be_bytes(); 16].concat().try_into().unwrap();
        let payment = meta.pay_with(&seed).unwrap().1;
        assert_eq!(payment.seen(&view, point).unwrap(), None);
    }
    // Every bit of the tag counts.
    let own = MetaAddress::new(&view, point).unwrap();
    let (paid, payment) = own.pay().unwrap();
    assert_eq!(payment.seen(&view, point).unwrap(), Some(paid));
    for bit in 0..128 {
        let mut bytes = payment.encode().unwrap();
        bytes[34 + bit / 8] ^= 1 << (bit % 8);
        assert_eq!(Payment::decode(&bytes).unwrap().seen(&view, point).unwrap(), None);
    }
}

#[test]
fn malformed_points_are_refused_by_name() {
    let root = root(12);
    let point = root.spending_leaf(1).unwrap().point();
    let meta = MetaAddress::new(&root.viewing_leaf(1), point).unwrap();
    let payment = meta.pay().unwrap().1;
    let check = |good: &[u8], decode: &dyn Fn(&[u8]) -> Option<AddressError>, at: usize| {
        assert!(decode(good).is_none());
        for end in 0..good.len() {
            assert!(decode(&good[..end]).is_some());
        }
        assert!(decode(&[good, &[0]].concat()).is_some());
        let mut changed = good.to_vec();
        changed[0] = 9;
        assert!(matches!(decode(&changed), Some(AddressError::Version { version: 9, .. })));
        changed[0] = 1;
        // Infinity, an uncompressed head, and an x that is no field element.
        for head in [0, 4, 5] {
            changed[at] = head;
            assert!(matches!(decode(&changed), Some(AddressError::Point { .. })));
        }
        changed[at..at + 33].copy_from_slice(&[&[2][..], &[0xff; 32]].concat());
        assert!(matches!(decode(&changed), Some(AddressError::Point { .. })));
    };
    check(&point.encode().unwrap(), &|bytes| SpendingPoint::decode(bytes).err(), 5);
    check(&meta.encode().unwrap(), &|bytes| MetaAddress::decode(bytes).err(), 38);
    check(&payment.encode().unwrap(), &|bytes| Payment::decode(bytes).err(), 1);
}

#[test]
fn secrets_do_not_print() {
    let root = root(13);
    let cover = ViewingCover::of(&root, 1..=2);
    let shown = format!("{root:?} {:?} {:?} {cover:?}", root.viewing_leaf(1), root.spending_leaf(1).unwrap());
    assert_eq!(
        shown,
        "AddressRoot(redacted) ViewingLeaf(1, redacted) SpendingLeaf(1, redacted) ViewingCover(1..=2, redacted)"
    );
}
