//! What a grant opens: vectors of `tests/vectors/grants.py`, closings, and deliveries.

use zeroize::Zeroizing;

use super::{RECORD, own, root, root_of};
use crate::seeded::Seeded;
use crate::unlinkable::delivery::seal_delivery_with;
use crate::unlinkable::*;
use crate::vectors::{Part, parts};

const VECTORS: &str = include_str!("../../../tests/vectors/grants.txt");

fn epochs(part: &Part<'_>) -> (u32, u32) {
    let [first, last] = part.arrays("Epochs").try_into().unwrap();
    (u32::from_be_bytes(first), u32::from_be_bytes(last))
}

fn id(part: &Part<'_>, name: &str) -> [u8; 32] {
    part.bytes(name).try_into().unwrap()
}

#[test]
fn what_the_other_implementation_sealed_opens_here() {
    let parts = parts(VECTORS);
    assert_eq!(parts.len(), 3);
    for part in &parts {
        let (root, (first, last)) = (root_of(part), epochs(part));
        let (view, public) = (root.viewing_leaf(first), part.bytes("Public"));
        let (record, sealed) = (id(part, "Record"), part.bytes("SealedDetail"));
        let detail = part.bytes("Detail");
        assert!(detail_is_for(&view, &record, &sealed));
        assert!(open_detail(&view, &record, &public, &sealed).unwrap().matches(&detail));
        assert_eq!(seal_detail(&view, &record, &public, &detail).unwrap(), sealed);
        let tags = [first, last].map(|epoch| closing_tag(&root.viewing_leaf(epoch)).unwrap());
        assert_eq!(tags.to_vec(), part.arrays("Tags"));
        let closing = open_closing(&view, &public, &part.bytes("SealedClosing")).unwrap();
        assert_eq!(closing.encode().unwrap(), part.bytes("Closing"));
        assert_eq!(closing.spending, root.spending_leaf(first).unwrap().point());
        let key = GrantKey::from_bytes(&part.bytes("GrantSecret")).unwrap();
        assert_eq!(key.public().to_vec(), part.bytes("GrantKey"));
        let (chain_id, grant, account) = (id(part, "ChainId"), id(part, "Grant"), id(part, "Account"));
        let delivery = Delivery { chain_id, grant, account, first, last };
        let cover = open_delivery(&delivery, &key, &part.bytes("Delivery")).unwrap();
        assert!(cover.encode().matches(&part.bytes("Cover")));
        assert!(ViewingCover::of(&root, first..=last).encode().matches(&part.bytes("Cover")));
        for (expected, from) in part.list("Punctured").iter().zip([0, first, last + 1]) {
            let all = PuncturedViewing::from_root(&root);
            let left = if from == 0 { all } else { all.after(from - 1).unwrap() };
            assert!(left.encode().matches(expected), "from {from}");
            assert!(PuncturedViewing::decode(expected).unwrap().encode().matches(expected));
        }
    }
}

fn closing(root: &AddressRoot, epoch: u32) -> Closing {
    let spending = root.spending_leaf(epoch).unwrap().point();
    Closing { spending, addresses: 9, records: u32::MAX, root: [5; 32] }
}

#[test]
fn a_closing_opens_for_who_sees_its_epoch_and_for_nobody_else() {
    let (root, public) = (root(6), b"tag and epoch");
    let view = root.viewing_leaf(3);
    let sealed = seal_closing(&view, public, &closing(&root, 3)).unwrap();
    assert_eq!(sealed.len(), SEALED_CLOSING_BYTES);
    assert_eq!(sealed.len(), 305);
    assert_eq!(open_closing(&view, public, &sealed).unwrap(), closing(&root, 3));
    for other in [root.viewing_leaf(4), super::root(7).viewing_leaf(3)] {
        assert!(matches!(open_closing(&other, public, &sealed), Err(AddressError::OtherKey)));
    }
    assert!(matches!(open_closing(&view, b"other", &sealed), Err(AddressError::Changed(_))));
    for at in 0..8 * sealed.len() {
        let mut changed = sealed.clone();
        changed[at / 8] ^= 1 << (at % 8);
        let refused = open_closing(&view, public, &changed).unwrap_err();
        match at / 8 {
            0 => assert!(matches!(refused, AddressError::Version { .. })),
            1..65 => assert!(matches!(refused, AddressError::OtherKey)),
            _ => assert!(matches!(refused, AddressError::Changed(_))),
        }
    }
    for end in 0..sealed.len() {
        assert!(open_closing(&view, public, &sealed[..end]).is_err());
    }
    assert!(open_closing(&view, public, &[&sealed[..], &[0]].concat()).is_err());
}

#[test]
fn a_closing_that_is_sealed_again_has_another_key() {
    let root = root(6);
    let view = root.viewing_leaf(3);
    let [one, other] =
        [1, 2].map(|records| seal_closing(&view, b"", &Closing { records, ..closing(&root, 3) }).unwrap());
    assert_ne!(one[1..33], other[1..33], "the salt is fresh");
    assert_ne!(one[33..65], other[33..65], "and with it the key");
    // The tag stays: the ledger takes one of them.
    assert_eq!(closing_tag(&view).unwrap(), closing_tag(&root.viewing_leaf(3)).unwrap());
}

#[test]
fn a_closing_is_of_its_epoch_and_a_detail_is_no_closing() {
    let root = root(6);
    let view = root.viewing_leaf(3);
    let refused = seal_closing(&view, b"", &closing(&root, 4)).unwrap_err();
    assert!(matches!(refused, AddressError::Epochs { one: 3, other: 4 }));
    let bytes = closing(&root, 3).encode().unwrap();
    let detail = seal_detail(&view, &RECORD, b"", &bytes).unwrap();
    assert!(open_closing(&view, b"", &detail).is_err());
    let sealed = seal_closing(&view, b"", &closing(&root, 3)).unwrap();
    assert!(!detail_is_for(&view, &closing_tag(&view).unwrap(), &sealed));
    for end in 0..bytes.len() {
        assert!(Closing::decode(&bytes[..end]).is_err());
    }
    assert!(Closing::decode(&[&bytes[..], &[0]].concat()).is_err());
    assert!(matches!(Closing::decode(&[2]), Err(AddressError::Version { version: 2, .. })));
}

#[test]
fn tags_of_two_epochs_or_accounts_are_different_and_are_nothing_else_of_the_leaf() {
    let mut seen = std::collections::BTreeSet::new();
    for (account, epoch) in (1..4).flat_map(|account| (0..8).map(move |epoch| (account, epoch))) {
        let view = root(account).viewing_leaf(epoch);
        assert!(seen.insert(closing_tag(&view).unwrap()));
        assert!(view.expose(|leaf| seen.insert(*leaf)));
    }
}

#[test]
fn a_leaf_comes_back_from_its_bytes() {
    let root = root(2);
    let leaf = root.viewing_leaf(7);
    let again = ViewingLeaf::from_bytes(7, Zeroizing::new(leaf.expose(|bytes| *bytes)));
    let point = root.spending_leaf(7).unwrap().point();
    assert_eq!(EpochAddresses::new(again, point).address(1).unwrap(), own(&root, 7).address(1).unwrap());
}

fn delivery() -> Delivery {
    Delivery { chain_id: [1; 32], grant: [2; 32], account: [3; 32], first: 10, last: 20 }
}

#[test]
fn a_package_opens_for_its_grant_account_and_range_alone() {
    let (key, cover) = (GrantKey::generate().unwrap(), ViewingCover::of(&root(3), 10..=20));
    let delivery = delivery();
    let sealed = seal_delivery(&delivery, &key.public(), &cover).unwrap();
    let opened = open_delivery(&delivery, &key, &sealed).unwrap();
    assert!(cover.encode().expose(|bytes| opened.encode().matches(bytes)));
    let others = [
        Delivery { chain_id: [9; 32], ..delivery },
        Delivery { grant: [9; 32], ..delivery },
        Delivery { account: [9; 32], ..delivery },
        Delivery { first: 9, ..delivery },
        Delivery { last: 21, ..delivery },
    ];
    for other in others {
        assert!(matches!(open_delivery(&other, &key, &sealed), Err(AddressError::Box(_))), "{other:?}");
    }
    let stranger = GrantKey::generate().unwrap();
    assert!(matches!(open_delivery(&delivery, &stranger, &sealed), Err(AddressError::Box(_))));
    for at in 0..8 * sealed.len() {
        let mut changed = sealed.clone();
        changed[at / 8] ^= 1 << (at % 8);
        // RFC 7748 ignores the highest bit of a point, and HPKE binds the bytes as they came.
        assert!(matches!(open_delivery(&delivery, &key, &changed), Err(AddressError::Box(_))), "{at}");
    }
    for end in 0..sealed.len() {
        assert!(open_delivery(&delivery, &key, &sealed[..end]).is_err());
    }
}

#[test]
fn a_cover_of_another_range_is_neither_sealed_nor_opened() {
    let (key, delivery) = (GrantKey::generate().unwrap(), delivery());
    for range in [9..=20, 10..=21, 10..=19, 0..=u32::MAX] {
        let cover = ViewingCover::of(&root(3), range);
        let refused = seal_delivery(&delivery, &key.public(), &cover).unwrap_err();
        assert!(matches!(refused, AddressError::Range { .. }));
        // A service that lies seals a wider cover under the narrow name.
        let info = delivery.info();
        let plain = cover.encode();
        let sealed = plain
            .expose(|plain| crate::hpke_box::seal(&key.public(), &info, plain, &mut Seeded::new(1)).unwrap());
        assert!(matches!(open_delivery(&delivery, &key, &sealed), Err(AddressError::Range { .. })));
    }
}

#[test]
fn two_packages_of_one_delivery_have_nothing_in_common() {
    let (key, cover) = (GrantKey::generate().unwrap(), ViewingCover::of(&root(3), 10..=20));
    let mut random = Seeded::printed();
    let [one, other] =
        [(); 2].map(|()| seal_delivery_with(&delivery(), &key.public(), &cover, &mut random).unwrap());
    assert_ne!(one[..32], other[..32]);
    assert_ne!(one[32..], other[32..]);
}

#[test]
fn a_grants_key_comes_back_from_its_bytes_and_prints_nothing() {
    let key = GrantKey::generate().unwrap();
    let again = key.expose(GrantKey::from_bytes).unwrap();
    assert_eq!(again.public(), key.public());
    assert_eq!(format!("{key:?}"), "GrantKey(redacted)");
    assert!(GrantKey::from_bytes(&[1; 31]).is_err());
    assert!(seal_delivery(&delivery(), &[0; 32], &ViewingCover::of(&root(3), 10..=20)).is_err(), "no key");
}
