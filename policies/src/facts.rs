//! What a payload says, as far as policies look at it.

use std::collections::{BTreeMap, BTreeSet};

use keyward_domain::meaning::{Amount, Form, Meaning};
use serde::{Deserialize, Serialize};

/// Stands among the destinations of what is opaque, so that no list of allowed ones has all of them.
pub const UNKNOWN_DESTINATION: &str = "unknown";
/// The currency of a payload that pays in several; its amount is then above every limit.
pub const MIXED_CURRENCIES: &str = "mixed";

/// What a payload says, as far as policies look at it. Whatever is not known is as bad as it can be: the highest amount, and a
/// destination that stands in no list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Facts {
    /// How it is written: the name of a form of `keyward_domain::meaning`; `opaque` where nobody said.
    pub format: String,
    /// Whether anything in it is not understood.
    pub opaque: bool,
    /// Where it counts, as CAIP-2 names chains; empty where the payload does not say.
    pub network: String,
    /// What the amount is of: `gwei`, `sat`, a currency's code, a token's contract, `mixed`, or empty.
    pub currency: String,
    /// All that is transferred, in the minor unit of a currency (cents of a euro); never rounded down, and at most 2^63 - 1.
    pub amount: i64,
    /// Of what is understood in part: all that is transferred as far as it is understood. What an account usually does is of that;
    /// policies, for which anything may be in the rest, do not look at it.
    #[serde(skip)]
    pub understood: i64,
    /// The most that it costs beside, in `gwei` or `sat`.
    pub fee: i64,
    /// Everybody to whom something goes, and every contract that is called.
    pub destinations: BTreeSet<String>,
}

impl Default for Facts {
    /// A payload that pays nobody.
    fn default() -> Self {
        Self {
            format: String::new(),
            opaque: false,
            network: String::new(),
            currency: String::new(),
            amount: 0,
            understood: 0,
            fee: 0,
            destinations: BTreeSet::new(),
        }
    }
}

impl Facts {
    /// Of bytes of which nothing is known.
    pub fn opaque() -> Self {
        Self {
            format: "opaque".to_owned(),
            opaque: true,
            amount: i64::MAX,
            fee: i64::MAX,
            destinations: [UNKNOWN_DESTINATION.to_owned()].into(),
            ..Self::default()
        }
    }
}

/// Currencies whose minor unit is not the hundredth (ISO 4217): those without one, and those of a thousandth.
const WHOLE: [&str; 16] = [
    "BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI", "VND", "VUV", "XAF",
    "XOF",
];
const THOUSANDTHS: [&str; 7] = ["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"];
/// Wei of a gwei: ether in gwei fits a policy's numbers.
const GWEI_DECIMALS: u8 = 9;

impl Facts {
    /// Of a payload as it was read.
    pub fn of(meaning: &Meaning) -> Self {
        if meaning.form == Form::Opaque {
            return Self::opaque();
        }
        let called = meaning.calls.iter().filter_map(|call| call.to.clone());
        let mut destinations: BTreeSet<_> =
            meaning.transfers.iter().map(|one| one.to.clone()).chain(called).collect();
        let opaque = !meaning.is_clear();
        if opaque {
            destinations.insert(UNKNOWN_DESTINATION.to_owned());
        }
        let (currency, amount) = total(meaning.transfers.iter().map(|transfer| &transfer.amount));
        Self {
            format: meaning.form.name().to_owned(),
            opaque,
            network: meaning.network.clone().unwrap_or_default(),
            currency,
            // What is called may move anything.
            amount: if opaque { i64::MAX } else { amount },
            understood: if opaque { amount } else { 0 },
            fee: meaning.fee.as_ref().map_or(0, |fee| minor(fee).1),
            destinations,
        }
    }
}

/// The sum in minor units; above every limit where there are several currencies.
fn total<'a>(amounts: impl Iterator<Item = &'a Amount>) -> (String, i64) {
    // A transfer of tokens is sent with no ether: that says nothing of a second currency.
    let paid: Vec<_> = amounts.filter(|amount| amount.value > 0).collect();
    let mut sums = BTreeMap::<String, i64>::new();
    for amount in paid {
        let (currency, minor) = minor(amount);
        let sum = sums.entry(currency).or_default();
        *sum = sum.saturating_add(minor);
    }
    match sums.len() {
        0 => (String::new(), 0),
        1 => sums.pop_first().unwrap_or_default(),
        _ => (MIXED_CURRENCIES.to_owned(), i64::MAX),
    }
}

/// A currency and how many of its minor unit, rounded up.
fn minor(amount: &Amount) -> (String, i64) {
    let Amount { value, decimals, unit } = amount;
    let (currency, wanted) = match unit.as_str() {
        // In parts of 10^-18, of which a gwei has 10^9.
        "wei" => return ("gwei".to_owned(), scaled(*value, GWEI_DECIMALS, 0)),
        "sat" => ("sat", 0),
        unit if unit.len() != 3 => (unit, 0),
        unit if WHOLE.contains(&unit) => (unit, 0),
        unit if THOUSANDTHS.contains(&unit) => (unit, 3),
        unit => (unit, 2),
    };
    (currency.to_owned(), scaled(*value, *decimals, wanted))
}

/// A number with so many decimals, in parts of another number of decimals; rounded up, and at most 2^63 - 1.
fn scaled(value: u128, decimals: u8, wanted: u8) -> i64 {
    let scaled = match decimals.checked_sub(wanted) {
        Some(fewer) => {
            10_u128.checked_pow(fewer.into()).map_or(u128::from(value > 0), |by| value.div_ceil(by))
        }
        None => {
            let by = 10_u128.checked_pow((wanted - decimals).into());
            by.and_then(|by| value.checked_mul(by)).unwrap_or(u128::MAX)
        }
    };
    i64::try_from(scaled).unwrap_or(i64::MAX)
}
