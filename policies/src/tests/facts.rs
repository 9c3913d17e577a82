//! What payloads say becomes numbers and names that policies look at, never less than there is.

use keyward_domain::meaning::{Amount, Call, Form, Meaning, Transfer};

use crate::{Facts, MIXED_CURRENCIES, UNKNOWN_DESTINATION};

fn pays(form: Form, amounts: &[(u128, u8, &str)]) -> Meaning {
    let transfer = |(place, (value, decimals, unit)): (usize, &(u128, u8, &str))| Transfer {
        amount: Amount { value: *value, decimals: *decimals, unit: (*unit).to_owned() },
        to: format!("to:{place}"),
    };
    Meaning {
        form,
        network: Some("eip155:1".to_owned()),
        transfers: amounts.iter().enumerate().map(transfer).collect(),
        calls: Vec::new(),
        fee: None,
        digests: vec![[1; 32]],
    }
}

fn amount(form: Form, amounts: &[(u128, u8, &str)]) -> (String, i64) {
    let facts = Facts::of(&pays(form, amounts));
    (facts.currency, facts.amount)
}

#[test]
fn amounts_are_summed_in_minor_units_and_never_rounded_down() {
    let pain = |amounts: &[(u128, u8, &str)]| amount(Form::Pain001, amounts);
    assert_eq!(pain(&[(123_450_000, 5, "EUR")]), ("EUR".into(), 123_450));
    assert_eq!(pain(&[(1, 5, "EUR")]), ("EUR".into(), 1), "a thousandth of a cent is not nothing");
    assert_eq!(pain(&[(100_00000, 5, "EUR"), (50_00000, 5, "EUR")]), ("EUR".into(), 15_000));
    assert_eq!(pain(&[(1000_00000, 5, "JPY")]), ("JPY".into(), 1000));
    assert_eq!(pain(&[(1_00000, 5, "KWD")]), ("KWD".into(), 1000));
    assert_eq!(pain(&[(7, 0, "EUR")]), ("EUR".into(), 700));
    let ether = |wei| amount(Form::Ethereum, &[(wei, 0, "wei")]);
    assert_eq!(ether(1_000_000_000_000_000_000), ("gwei".into(), 1_000_000_000));
    assert_eq!(ether(1), ("gwei".into(), 1));
    assert_eq!(amount(Form::BitcoinPsbt, &[(150, 0, "sat"), (50, 0, "sat")]), ("sat".into(), 200));
}

#[test]
fn what_does_not_fit_is_above_every_limit() {
    assert_eq!(amount(Form::Ethereum, &[(u128::MAX, 0, "wei")]).1, i64::MAX);
    assert_eq!(amount(Form::Ethereum, &[(u128::MAX, 0, "0xtoken")]), ("0xtoken".into(), i64::MAX));
    assert_eq!(amount(Form::Pain001, &[(u128::MAX, 0, "EUR")]).1, i64::MAX);
    let sum = [(1 << 62, 0, "sat"), (1 << 62, 0, "sat")];
    assert_eq!(amount(Form::BitcoinPsbt, &sum).1, i64::MAX);
    assert_eq!(amount(Form::Pain001, &[(5, 255, "EUR")]).1, 1);
}

#[test]
fn several_currencies_are_mixed_and_above_every_limit() {
    let mixed = (MIXED_CURRENCIES.to_owned(), i64::MAX);
    assert_eq!(amount(Form::Pain001, &[(1, 5, "EUR"), (1, 5, "USD")]), mixed);
    assert_eq!(amount(Form::Ethereum, &[(1, 0, "wei"), (1, 0, "0xtoken")]), mixed);
    // A transfer of tokens names its contract with no ether.
    assert_eq!(amount(Form::Ethereum, &[(0, 0, "wei"), (9, 0, "0xtoken")]), ("0xtoken".into(), 9));
    assert_eq!(amount(Form::Ethereum, &[(0, 0, "wei")]), (String::new(), 0));
}

#[test]
fn what_is_not_understood_is_opaque_whatever_else_is() {
    let mut meaning = pays(Form::Ethereum, &[(1, 0, "wei")]);
    assert!(!Facts::of(&meaning).opaque);
    meaning.calls.push(Call { to: Some("0xcontract".to_owned()), selector: None });
    let facts = Facts::of(&meaning);
    assert_eq!((facts.opaque, facts.amount), (true, i64::MAX));
    for name in ["to:0", "0xcontract", UNKNOWN_DESTINATION] {
        assert!(facts.destinations.contains(name), "{name}");
    }
    assert_eq!(Facts::of(&Meaning::opaque([1; 32])), Facts::opaque());
}

#[test]
fn the_fee_stands_beside_the_amount() {
    let mut meaning = pays(Form::Ethereum, &[(1_000_000_000, 0, "wei")]);
    meaning.fee = Some(Amount { value: 2_000_000_001, decimals: 0, unit: "wei".to_owned() });
    let facts = Facts::of(&meaning);
    assert_eq!((facts.amount, facts.fee, facts.network.as_str()), (1, 3, "eip155:1"));
}
