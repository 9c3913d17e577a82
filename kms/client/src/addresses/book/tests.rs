#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
use keyward_crypto::unlinkable::AddressRoot;
use zeroize::Zeroizing;

use super::*;

const PAYMENT: [u8; PAYMENT_BYTES] = [6; PAYMENT_BYTES];

fn book() -> Book {
    let root = AddressRoot::from_bytes(Zeroizing::new([5; 32]));
    Book::new(PuncturedViewing::from_root(&root))
}

fn index(epoch: u32, index: u32) -> AddressSource {
    AddressSource::Index { epoch, index }
}

fn begun(byte: u8) -> Begun {
    Begun { body: vec![byte; 3], opening: [8; 32], proof: [9; 64], receipt: vec![4; 2] }
}

fn found(spent: bool) -> Found {
    Found { epoch: 3, payment: PAYMENT, leaf_index: 11, spent, confirmed: false }
}

/// Every field has something in it.
fn full() -> Book {
    let mut book = book();
    for _ in 0..2 {
        book.give_out(4).unwrap();
    }
    book.begin(4, index(4, 0), begun(7)).unwrap();
    let spent = book.of_intent(4, &[7; 3]).unwrap();
    (spent.leaf, spent.begun) = (Some((12, [1; 32])), None);
    book.find(found(false));
    book.begin(5, AddressSource::Payment { epoch: 3, payment: PAYMENT }, begun(8)).unwrap();
    book.epochs.get_mut(&4).unwrap().closed = Some(13);
    book
}

#[test]
fn a_book_has_the_golden_bytes_and_comes_back_from_them() {
    let bytes = full().encode().expose(|bytes| hex::encode(bytes));
    assert_eq!(bytes, include_str!("golden.txt").trim_end());
    let again = Book::decode(&hex::decode(&bytes).unwrap()).unwrap();
    assert_eq!((again.epochs, again.payments), (full().epochs, full().payments));
}

#[test]
fn what_links_an_account_and_an_address_is_not_printed() {
    let book = full();
    let printed = format!("{book:?} {:?} {:?}", book.epochs[&4], book.payments);
    let expected = "Book(2 epochs, redacted) EpochBook { next: 2, spent: [Spent(redacted)], closed: Some(13) } \
                    [Found(redacted)]";
    assert_eq!(printed, expected);
    assert_eq!(format!("{:?}", begun(7)), "Begun(redacted)");
}

#[test]
fn cut_prolonged_and_later_books_are_refused() {
    let bytes = full().encode().expose(|bytes| bytes.to_vec());
    for len in 0..bytes.len() {
        assert!(Book::decode(&bytes[..len]).is_err(), "cut at {len}");
    }
    assert!(Book::decode(&[&bytes[..], &[0]].concat()).is_err());
    let later = [&[2], &bytes[1..]].concat();
    assert!(Book::decode(&later).is_err());
}

#[test]
fn no_index_is_given_out_twice_and_not_more_than_there_are() {
    let mut book = book();
    assert_eq!([book.give_out(1).unwrap(), book.give_out(1).unwrap(), book.give_out(2).unwrap()], [0, 1, 0]);
    book.epochs.get_mut(&1).unwrap().next = u32::MAX;
    assert!(matches!(book.give_out(1), Err(AddressesError::Exhausted { epoch: 1 })));
}

#[test]
fn a_use_that_was_recorded_stays_and_one_that_was_not_is_begun_anew() {
    let mut book = book();
    book.begin(1, index(1, 0), begun(1)).unwrap();
    book.begin(1, index(1, 0), begun(2)).unwrap();
    assert_eq!(book.epochs[&1].spent.len(), 1);
    assert_eq!(book.spent(&index(1, 0)).unwrap().1.begun, Some(begun(2)));
    book.of_intent(1, &[2; 3]).unwrap().leaf = Some((5, [1; 32]));
    let again = book.begin(1, index(1, 0), begun(3));
    assert!(matches!(again, Err(AddressesError::Spent)), "what the ledger has is never forgotten");
    assert_eq!(book.epochs[&1].recorded(), 1);
    assert!(book.spent(&index(1, 1)).is_none());
}

#[test]
fn what_is_found_is_kept_once_and_marked_when_it_is_used() {
    let mut book = book();
    assert!(book.find(found(false)) && book.find(found(false)));
    assert_eq!(book.payments().len(), 1);
    assert_eq!(
        (book.unspent_through(3), book.unconfirmed_through(3), book.unconfirmed_through(2)),
        (0, 1, 0)
    );
    book.find(Found { confirmed: true, ..found(false) });
    book.find(found(false));
    assert_eq!((book.unspent_through(3), book.unconfirmed_through(3)), (1, 0), "what is known stays known");
    book.begin(9, AddressSource::Payment { epoch: 3, payment: PAYMENT }, begun(1)).unwrap();
    assert_eq!(book.unspent_through(3), 0);
    assert_eq!((book.unclosed_through(8), book.unclosed_through(9)), (vec![], vec![9]));
}

#[test]
fn who_announces_much_leaves_room_for_what_is_done_and_for_what_is_known_to_be_paid() {
    let mut book = book();
    for leaf_index in 0..PAYMENTS_MAX {
        let mut payment = PAYMENT;
        payment[..8].copy_from_slice(&(leaf_index as u64).to_be_bytes());
        book.payments.push(Found { payment, ..found(false) });
    }
    assert!(!book.find(found(false)), "it is not kept, and nothing fails");
    assert!(
        book.find(Found { confirmed: true, ..found(false) }),
        "what is known takes the place of what may be none"
    );
    assert_eq!((book.payments.len(), book.unspent_through(3)), (PAYMENTS_MAX, 1));
    for found in &mut book.payments {
        found.confirmed = true;
    }
    let other = Found { payment: [7; PAYMENT_BYTES], confirmed: true, ..found(false) };
    assert!(!book.find(other));
    book.give_out(1).unwrap();
    assert!(book.encode().len() < keyward_crypto::DEVICE_SECRET_BYTES_MAX / 2 + 4_096);
}

#[test]
fn the_root_of_an_epoch_is_that_of_its_records_in_the_ledgers_order() {
    let mut book = book();
    for (at, leaf) in [(0, 9), (1, 4), (2, 7)] {
        book.begin(1, index(1, at), begun(at as u8)).unwrap();
        book.of_intent(1, &[at as u8; 3]).unwrap().leaf = Some((leaf, [leaf as u8; 32]));
    }
    book.begin(1, index(1, 3), begun(3)).unwrap();
    let mut expected = Frontier::default();
    for leaf in [4, 7, 9] {
        expected.append([leaf; 32]);
    }
    assert_eq!(book.epochs[&1].root(), expected.root());
    assert_eq!((book.epochs[&1].recorded(), book.epochs[&1].uncertain()), (3, 1));
}
