//! Tests of meanings: each form for itself, then what all have in common.

use super::*;
use bitcoin::{P2TR, paying};
use ethereum::{EIP155, RECEIVER, type_2};
use pain::{IBAN, credit, pain};

mod bitcoin;
mod ethereum;
mod pain;

fn bytes(text: &str) -> Vec<u8> {
    ::hex::decode(text.split_whitespace().collect::<String>()).unwrap()
}

fn word(text: &str) -> [u8; 32] {
    bytes(text).try_into().unwrap()
}

#[test]
fn lengths_that_promise_more_than_there_is_are_refused() {
    let more = [
        (Form::Ethereum, [&[0xff][..], &[0xff; 8], &[0; 64]].concat()),
        (Form::Ethereum, [&[2, 0xfb][..], &[0xff; 4], &[0; 64]].concat()),
        (Form::BitcoinPsbt, [&b"psbt\xff"[..], &[0xff; 9], &[0; 64]].concat()),
        // a transaction that counts 2^64 - 1 inputs
        (Form::BitcoinPsbt, [&b"psbt\xff"[..], &[1, 0, 13, 2, 0, 0, 0], &[0xff; 9], &[0; 64]].concat()),
    ];
    for (form, payload) in more {
        let refused = Meaning::read(form, &payload).unwrap_err();
        assert!(matches!(refused, MeaningError::Malformed { .. }), "{refused:?}");
    }
}

#[test]
fn words_say_all_of_it_in_the_units_of_people() {
    let words = Meaning::read(Form::Ethereum, &bytes(EIP155)).unwrap().words();
    let digest = "digest daf5a779ae972f972197303d7b574746c7ef83eadac0f2791ad23db92e4c8e53".to_owned();
    let all = [format!("pays 1 ETH to {RECEIVER}"), "costs at most 0.00042 ETH beside".to_owned()];
    assert_eq!(words, [&all[..], &["counts on eip155:1".to_owned(), digest]].concat());

    let call =
        Meaning::read(Form::Ethereum, &type_2(&[0x35; 20], 7, &[1, 2, 3, 4, 5], vec![])).unwrap().words();
    assert_eq!(call[0], format!("pays 0.000000000000000007 ETH to {RECEIVER}"));
    assert!(call[1].contains(RECEIVER) && call[1].contains("01020304"), "{}", call[1]);
    let made = Meaning::read(Form::Ethereum, &type_2(&[], 0, &[1], vec![])).unwrap().words();
    assert!(made[0].contains("creates a contract"), "{}", made[0]);

    let coins =
        Meaning::read(Form::BitcoinPsbt, &paying(1_000, P2TR, |_, output| vec![(1, output)])).unwrap();
    assert_eq!(coins.words()[0], format!("pays 0.000009 BTC to script:5120{}", "05".repeat(32)));
    let euros = pain("", &credit("12.50", IBAN));
    let euros = Meaning::read(Form::Pain001, euros.as_bytes()).unwrap().words();
    assert_eq!(euros[0], "pays 12.5 EUR to iban:DE89370400440532013000");
    assert!(Meaning::opaque([1; 32]).words()[0].contains("nothing"));
}

#[test]
fn a_summary_or_digest_that_is_not_the_payloads_is_refused() {
    let payload = bytes(EIP155);
    let meaning = Meaning::read(Form::Ethereum, &payload).unwrap();
    let (digest, summary) = (meaning.digests[0], meaning.hash());
    assert_eq!(Meaning::confirm(Form::Ethereum, &payload, &digest, &summary).unwrap(), meaning);
    let other = Meaning::confirm(Form::Ethereum, &payload, &[1; 32], &summary).unwrap_err();
    assert_eq!(other, MeaningError::OtherDigest);
    // the same digest, said to be of another amount, or to say nothing
    let mut more = meaning.clone();
    more.transfers[0].amount.value += 1;
    for wrong in [more.hash(), Meaning::opaque(digest).hash()] {
        let refused = Meaning::confirm(Form::Ethereum, &payload, &digest, &wrong).unwrap_err();
        assert_eq!(refused, MeaningError::OtherSummary);
    }
    assert!(!Meaning::opaque(digest).is_clear());
    assert!(Meaning::read(Form::Opaque, &[0; 31]).is_err());
    assert_eq!(Meaning::read(Form::Opaque, &digest).unwrap(), Meaning::opaque(digest));
}

#[test]
fn the_bytes_of_a_meaning_are_the_golden_ones() {
    // A change of these bytes is a change of format: a new version beside the old one, never in its place.
    let golden =
        "01010100086569703135353a31000100000000000000000de0b6b3a7640000000003776569002a30783335333533
        35333533353335333533353335333533353335333533353335333533353335333533350000010000000000000000
        00017dfcdece40000000037765690001daf5a779ae972f972197303d7b574746c7ef83eadac0f2791ad23db92e4c
        8e53";
    let meaning = Meaning::read(Form::Ethereum, &bytes(EIP155)).unwrap();
    assert_eq!(meaning.encode(), bytes(golden));
    assert_eq!(meaning.hash(), word("deaf4eafc1195f986691895b3e16b6c9f53d63c57d8672b60391bbb4d49768a7"));
}

#[test]
fn amounts_print_exactly_and_forms_have_names() {
    let amount = |value, decimals| Amount { value, decimals, unit: "EUR".to_owned() }.to_string();
    assert_eq!([amount(5, 5), amount(100_000, 5), amount(7, 0)], ["0.00005 EUR", "1.00000 EUR", "7 EUR"]);
    assert!(Form::ALL.into_iter().all(|form| Form::from_name(form.name()) == Some(form)));
    let long = vec![0; PAYLOAD_LEN_MAX + 1];
    assert_eq!(Meaning::read(Form::Pain001, &long), Err(MeaningError::TooLong(PAYLOAD_LEN_MAX + 1)));
}
