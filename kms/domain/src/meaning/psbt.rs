//! Partially signed Bitcoin transactions, version 0 (BIP 174, BIP 371): what goes to which script, and the digests that a
//! signer of a P2WPKH or of a taproot key path signs (BIP 143, BIP 341), over all inputs and outputs.

use std::collections::BTreeMap;

use super::{Amount, Form, Meaning, MeaningError, TRANSFERS_MAX, Transfer, hex};

pub(super) mod digest;
pub(super) mod transaction;

use digest::Digests;
use transaction::{Output, Reader, Transaction};

const MAGIC: &[u8] = b"psbt\xff";
const UNSIGNED_TRANSACTION: u8 = 0x00;
const PSBT_VERSION: u8 = 0xfb;
const SPENT_TRANSACTION: u8 = 0x00;
const SPENT_OUTPUT: u8 = 0x01;
const SIGHASH_TYPE: u8 = 0x03;

const fn malformed(what: &'static str) -> MeaningError {
    MeaningError::Malformed { form: Form::BitcoinPsbt, what }
}

const fn unread(what: &'static str) -> MeaningError {
    MeaningError::Unread { form: Form::BitcoinPsbt, what }
}

pub(super) fn read(payload: &[u8]) -> Result<Meaning, MeaningError> {
    let mut reader = Reader(payload.strip_prefix(MAGIC).ok_or(malformed("another beginning"))?);
    let global = map(&mut reader)?;
    if global.get(&[PSBT_VERSION][..]).is_some_and(|version| *version != [0; 4]) {
        return Err(unread("another version than 0"));
    }
    let unsigned = global.get(&[UNSIGNED_TRANSACTION][..]).ok_or(malformed("no transaction"))?;
    let transaction = Transaction::read_whole(unsigned, false)?;
    if transaction.inputs.iter().any(|input| !input.script.is_empty()) {
        return Err(malformed("the transaction is signed already"));
    }
    if transaction.outputs.len().max(transaction.inputs.len()) > TRANSFERS_MAX {
        return Err(unread("too many inputs or outputs"));
    }
    let inputs = transaction.inputs.iter().map(|_| map(&mut reader)).collect::<Result<Vec<_>, _>>()?;
    for _ in &transaction.outputs {
        map(&mut reader)?; // only says where the keys of outputs come from
    }
    if !reader.0.is_empty() {
        return Err(malformed("something follows"));
    }
    let spent = spent(&transaction, &inputs)?;
    let digests = digests(&transaction, &inputs, &spent)?;
    meaning(&transaction, &spent, digests)
}

type Map<'a> = BTreeMap<&'a [u8], &'a [u8]>;

/// Keys and values up to an empty key; no key stands twice.
fn map<'a>(reader: &mut Reader<'a>) -> Result<Map<'a>, MeaningError> {
    let mut map = Map::new();
    loop {
        let key = reader.bytes()?;
        if key.is_empty() {
            return Ok(map);
        }
        if map.insert(key, reader.bytes()?).is_some() {
            return Err(malformed("a key stands twice"));
        }
    }
}

/// What the inputs spend. Unless all of them are taproot, whose digests are over all amounts, each amount must be proved by the
/// whole transaction that it comes from: a signer of version 0 would otherwise be lied to about the fee.
fn spent(transaction: &Transaction<'_>, inputs: &[Map<'_>]) -> Result<Vec<Output>, MeaningError> {
    let mut all = Vec::new();
    let mut proven = true;
    for (input, map) in transaction.inputs.iter().zip(inputs) {
        let shown = map.get(&[SPENT_OUTPUT][..]).map(|bytes| Output::read_whole(bytes)).transpose()?;
        let before = map.get(&[SPENT_TRANSACTION][..]);
        let whole = before.map(|bytes| Transaction::read_whole(bytes, true)).transpose()?;
        let found = match &whole {
            Some(whole) if whole.id() != input.transaction => {
                return Err(malformed("an input comes from another transaction than is shown"));
            }
            Some(whole) => Some(whole.output(input.output).ok_or(malformed("an input that there is not"))?),
            None => None,
        };
        let output = match (found, shown) {
            (Some(found), Some(shown)) if found != shown => {
                return Err(malformed("an input's amount or script is another than shown"));
            }
            (Some(found), _) => found,
            (None, Some(shown)) => {
                proven = false;
                shown
            }
            (None, None) => return Err(unread("an input of which nothing is shown")),
        };
        all.push(output);
    }
    if proven || all.iter().all(Output::is_taproot) {
        Ok(all)
    } else {
        Err(unread("an input's amount is not proved by the transaction that it comes from"))
    }
}

/// Of every input of a kind that is signed here. Other signatures than over everything are refused.
fn digests(
    transaction: &Transaction<'_>,
    inputs: &[Map<'_>],
    spent: &[Output],
) -> Result<Vec<[u8; 32]>, MeaningError> {
    let (all, mut digests) = (Digests::of(transaction, spent), Vec::new());
    for (place, ((input, output), map)) in transaction.inputs.iter().zip(spent).zip(inputs).enumerate() {
        let kind = match map.get(&[SIGHASH_TYPE][..]) {
            None => None,
            Some(&[kind, 0, 0, 0]) => Some(*kind),
            Some(_) => return Err(malformed("a kind of signature")),
        };
        match (output.is_taproot(), output.key_hash(), kind) {
            (true, _, None | Some(0)) => digests.push(all.taproot(place, 0)),
            (true, _, Some(1)) => digests.push(all.taproot(place, 1)),
            (false, Some(hash), None | Some(1)) => {
                digests.push(all.segwit(input, &hash, output.amount));
            }
            (false, None, None | Some(1)) => {} // spent by somebody else
            _ => return Err(unread("a signature that is not over everything")),
        }
    }
    if digests.is_empty() { Err(unread("no input that is signed here")) } else { Ok(digests) }
}

fn meaning(
    transaction: &Transaction<'_>,
    spent: &[Output],
    digests: Vec<[u8; 32]>,
) -> Result<Meaning, MeaningError> {
    let satoshi = |value| Amount { value, decimals: 0, unit: "sat".to_owned() };
    let sum = |outputs: &[Output]| outputs.iter().map(|output| u128::from(output.amount)).sum::<u128>();
    let fee = sum(spent).checked_sub(sum(&transaction.outputs));
    let fee = fee.ok_or(malformed("more goes out than comes in"))?;
    let transfer = |output: &Output| Transfer {
        amount: satoshi(u128::from(output.amount)),
        to: format!("script:{}", hex(&output.script)),
    };
    Ok(Meaning {
        form: Form::BitcoinPsbt,
        network: None,
        transfers: transaction.outputs.iter().map(transfer).collect(),
        calls: Vec::new(),
        fee: Some(satoshi(fee)),
        digests,
    })
}
