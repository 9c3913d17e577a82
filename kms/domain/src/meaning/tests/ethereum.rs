//! Ethereum: published transactions and their signing hashes, then what is not read.

use super::super::*;
use super::{bytes, word};

/// EIP-155's own example.
pub(super) const EIP155: &str =
    "ec098504a817c800825208943535353535353535353535353535353535353535880de0b6b3a764000080018080";
pub(super) const RECEIVER: &str = "0x3535353535353535353535353535353535353535";

#[test]
fn the_example_of_eip_155_says_who_gets_how_much() {
    let meaning = Meaning::read(Form::Ethereum, &bytes(EIP155)).unwrap();
    assert_eq!(meaning.network.as_deref(), Some("eip155:1"));
    let [Transfer { amount, to }] = &meaning.transfers[..] else { panic!("{meaning:?}") };
    assert_eq!((amount.to_string(), to.as_str()), ("1000000000000000000 wei".to_owned(), RECEIVER));
    assert_eq!(meaning.fee.as_ref().unwrap().value, 21_000 * 20_000_000_000);
    assert_eq!(meaning.digests, [word("daf5a779ae972f972197303d7b574746c7ef83eadac0f2791ad23db92e4c8e53")]);
    assert!(meaning.is_clear());
}

/// RLP, for tests: texts of bytes and lists of them.
pub(super) enum Item {
    Text(Vec<u8>),
    List(Vec<Item>),
}

fn rlp(item: &Item) -> Vec<u8> {
    let (body, base) = match item {
        Item::Text(text) if text.len() == 1 && text[0] < 0x80 => return text.clone(),
        Item::Text(text) => (text.clone(), 0x80),
        Item::List(items) => (items.iter().flat_map(rlp).collect(), 0xc0),
    };
    let head = match body.len() {
        short @ 0..=55 => vec![base + short as u8],
        long @ 56..=255 => vec![base + 56, long as u8],
        long => vec![base + 57, (long >> 8) as u8, long as u8],
    };
    [head, body].concat()
}

fn number(number: u64) -> Item {
    Item::Text(number.to_be_bytes().into_iter().skip_while(|byte| *byte == 0).collect())
}

/// Type 2, on chain 10: nonce 1, tip 2, most 3, gas 4.
pub(super) fn type_2(to: &[u8], value: u64, data: &[u8], access: Vec<Item>) -> Vec<u8> {
    let fields = vec![
        number(10),
        number(1),
        number(2),
        number(3),
        number(4),
        Item::Text(to.to_vec()),
        number(value),
        Item::Text(data.to_vec()),
        Item::List(access),
    ];
    [vec![2], rlp(&Item::List(fields))].concat()
}

#[test]
fn type_2_and_type_1_are_read_and_their_access_lists_checked() {
    let entry = Item::List(vec![Item::Text(vec![9; 20]), Item::List(vec![Item::Text(vec![8; 32])])]);
    let payload = type_2(&[0x35; 20], 7, &[], vec![entry]);
    let meaning = Meaning::read(Form::Ethereum, &payload).unwrap();
    assert_eq!(meaning.network.as_deref(), Some("eip155:10"));
    assert_eq!((meaning.transfers[0].amount.value, meaning.fee.as_ref().unwrap().value), (7, 12));
    let short = Item::List(vec![Item::Text(vec![9; 19]), Item::List(vec![])]);
    assert!(Meaning::read(Form::Ethereum, &type_2(&[0x35; 20], 7, &[], vec![short])).is_err());
    let fields = [10, 1, 3, 4].map(number).into_iter();
    let rest = [Item::Text(vec![0x35; 20]), number(7), Item::Text(vec![]), Item::List(vec![])];
    let type_1 = [vec![1], rlp(&Item::List(fields.chain(rest).collect()))].concat();
    let meaning = Meaning::read(Form::Ethereum, &type_1).unwrap();
    assert_eq!((meaning.transfers[0].to.as_str(), meaning.fee.unwrap().value), (RECEIVER, 12));
}

#[test]
fn tokens_calls_and_new_contracts_are_told_apart() {
    let transfer = [&[0xa9, 0x05, 0x9c, 0xbb][..], &[0; 12], &[0x35; 20], &[0; 30], &[1, 0]].concat();
    let meaning = Meaning::read(Form::Ethereum, &type_2(&[0xaa; 20], 0, &transfer, vec![])).unwrap();
    let [Transfer { amount, to }] = &meaning.transfers[..] else { panic!("{meaning:?}") };
    assert_eq!((amount.value, to.as_str()), (256, RECEIVER));
    assert_eq!(amount.unit, format!("0x{}", "aa".repeat(20)));
    assert!(meaning.is_clear());

    // one byte more is no transfer, nor is an amount that is passed over
    let longer = [&transfer[..], &[0]].concat();
    let meaning = Meaning::read(Form::Ethereum, &type_2(&[0xaa; 20], 5, &longer, vec![])).unwrap();
    assert!(!meaning.is_clear());
    assert_eq!(meaning.calls[0].selector, Some([0xa9, 0x05, 0x9c, 0xbb]));
    assert_eq!(meaning.transfers[0].amount.value, 5);
    let mut huge = transfer.clone();
    huge[4 + 32] = 1;
    let refused = Meaning::read(Form::Ethereum, &type_2(&[0xaa; 20], 0, &huge, vec![]));
    assert!(matches!(refused, Err(MeaningError::Unread { .. })));

    let meaning = Meaning::read(Form::Ethereum, &type_2(&[], 3, &[1, 2], vec![])).unwrap();
    assert_eq!(meaning.calls, [Call { to: None, selector: None }]);
}

#[test]
fn ethereum_payloads_that_are_not_canonical_or_count_everywhere_are_refused() {
    let good = bytes(EIP155);
    for end in 0..good.len() {
        assert!(Meaning::read(Form::Ethereum, &good[..end]).is_err(), "{end}");
    }
    let with = |place: usize, byte: u8| {
        let mut payload = good.clone();
        payload[place] = byte;
        Meaning::read(Form::Ethereum, &payload)
    };
    assert!(with(1, 0).is_err(), "a zero is written as nothing");
    assert!(matches!(with(good.len() - 1, 1), Err(MeaningError::Malformed { .. })), "signed");
    assert!(Meaning::read(Form::Ethereum, &[&good[..], &[0x80]].concat()).is_err());
    let everywhere = [&[0xe9][..], &good[1..good.len() - 3]].concat();
    assert!(matches!(Meaning::read(Form::Ethereum, &everywhere), Err(MeaningError::Unread { .. })));
    assert!(Meaning::read(Form::Ethereum, &[3, 0xc0]).is_err());
}

/// Transactions that were signed and published, without their signatures; the digests are those from which their
/// signatures give the published senders.
#[test]
fn published_transactions_of_types_1_and_2_have_their_signing_hashes() {
    // ethereum/tests, one storage slot to warm up; sent by 0x5482624482f9454fbb0dff7b7201a709ba5fb4c2
    let type_1 = "01f85801800a8301e974943068947c19dbbc5a170610a69c65e341f0a0b7458080f838f7940000000000000000
        000000000000000000000000e1a00000000000000000000000000000000000000000000000000000000000000000";
    let meaning = Meaning::read(Form::Ethereum, &bytes(type_1)).unwrap();
    assert_eq!(meaning.digests, [word("aa9a862c95f3f72aa762fb89951dccb593f1c3078cb258480a78b7728f94fc5b")]);
    let [Transfer { amount, to }] = &meaning.transfers[..] else { panic!("{meaning:?}") };
    assert_eq!((amount.value, to.as_str()), (0, "0x3068947c19dbbc5a170610a69c65e341f0a0b745"));
    assert_eq!(meaning.fee.unwrap().value, 10 * 0x01_e974);

    // of main net: 0x0ec0b6a2df4d87424e5f6ad2a654e27aaeb7dac20ae9e8385cc09087ad532ee0, which calls a contract
    let type_2 =
        "02f86d0142843b9aca008504a817c80082ad62946069a6c32cf691f5982febae4faf8a6f3ab2f0f680b844a22cb465
        0000000000000000000000005eee75727d804a2b13038928d36f8b188945a57a
        0000000000000000000000000000000000000000000000000000000000000000c0";
    let meaning = Meaning::read(Form::Ethereum, &bytes(type_2)).unwrap();
    assert_eq!(meaning.digests, [word("0d5688ac3897124635b6cf1bc0e29d6dfebceebdc10a54d74f2ef8b56535b682")]);
    let to = Some("0x6069a6c32cf691f5982febae4faf8a6f3ab2f0f6".to_owned());
    assert_eq!(meaning.calls, [Call { to, selector: Some([0xa2, 0x2c, 0xb4, 0x65]) }]);
    assert!(meaning.transfers.is_empty() && !meaning.is_clear());
    assert_eq!(meaning.fee.unwrap().value, 0x04_a817_c800 * 0xad62);
}
