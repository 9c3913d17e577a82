//! Unsigned Ethereum transactions: type 0 with EIP-155, type 1 (EIP-2930), type 2 (EIP-1559).

use alloy_rlp::{Decodable, Header};
use sha3::{Digest as _, Keccak256};

use super::{Amount, Call, Form, Meaning, MeaningError, Transfer, hex};

/// `transfer(address,uint256)` of ERC-20.
const ERC20_TRANSFER: [u8; 4] = [0xa9, 0x05, 0x9c, 0xbb];
const WORD: usize = 32;

const fn malformed(what: &'static str) -> MeaningError {
    MeaningError::Malformed { form: Form::Ethereum, what }
}

const fn unread(what: &'static str) -> MeaningError {
    MeaningError::Unread { form: Form::Ethereum, what }
}

/// What matters of the three kinds.
struct Transaction<'a> {
    chain_id: u64,
    price: u128,
    gas: u64,
    to: &'a [u8],
    value: u128,
    data: &'a [u8],
}

pub(super) fn read(payload: &[u8]) -> Result<Meaning, MeaningError> {
    let transaction = match payload.split_first() {
        Some((1, rest)) => typed(rest, false)?,
        Some((2, rest)) => typed(rest, true)?,
        Some((0xc0.., _)) => legacy(payload)?,
        _ => return Err(malformed("neither a list nor of type 1 or 2")),
    };
    meaning(&transaction, Keccak256::digest(payload).into())
}

/// `[nonce, gas price, gas, to, value, data, chain id, 0, 0]`.
fn legacy(payload: &[u8]) -> Result<Transaction<'_>, MeaningError> {
    let mut rest = whole_list(payload)?;
    let _nonce: u64 = number(&mut rest)?;
    let (price, gas) = (number(&mut rest)?, number(&mut rest)?);
    let (to, value, data) = (bytes(&mut rest)?, number(&mut rest)?, bytes(&mut rest)?);
    if rest.is_empty() {
        return Err(unread("no chain id: it would count on every chain"));
    }
    let chain_id = number(&mut rest)?;
    if [number::<u64>(&mut rest)?, number::<u64>(&mut rest)?] != [0, 0] {
        return Err(malformed("it is signed already"));
    }
    end(rest)?;
    Ok(Transaction { chain_id, price, gas, to, value, data })
}

/// `[chain id, nonce, (tip, most) or price, gas, to, value, data, access list]`.
fn typed(payload: &[u8], tip: bool) -> Result<Transaction<'_>, MeaningError> {
    let mut rest = whole_list(payload)?;
    let chain_id = number(&mut rest)?;
    let _nonce: u64 = number(&mut rest)?;
    if tip {
        let _tip: u128 = number(&mut rest)?;
    }
    let (price, gas) = (number(&mut rest)?, number(&mut rest)?);
    let (to, value, data) = (bytes(&mut rest)?, number(&mut rest)?, bytes(&mut rest)?);
    access_list(list(&mut rest)?)?;
    end(rest)?;
    Ok(Transaction { chain_id, price, gas, to, value, data })
}

/// `[[address, [slot, ..]], ..]`: warms storage up, moves nothing.
fn access_list(mut entries: &[u8]) -> Result<(), MeaningError> {
    while !entries.is_empty() {
        let mut entry = list(&mut entries)?;
        let address = bytes(&mut entry)?;
        let mut slots = list(&mut entry)?;
        end(entry)?;
        while !slots.is_empty() {
            if bytes(&mut slots)?.len() != WORD {
                return Err(malformed("a slot of the access list"));
            }
        }
        if address.len() != 20 {
            return Err(malformed("an address of the access list"));
        }
    }
    Ok(())
}

fn meaning(transaction: &Transaction<'_>, digest: [u8; 32]) -> Result<Meaning, MeaningError> {
    let Transaction { chain_id, price, gas, to, value, data } = *transaction;
    let to = match to.len() {
        0 => None,
        20 => Some(format!("0x{}", hex(to))),
        _ => return Err(malformed("the receiver is no address")),
    };
    let wei = |value| Amount { value, decimals: 0, unit: "wei".to_owned() };
    let (mut transfers, mut calls) = (Vec::new(), Vec::new());
    if let Some(to) = to.as_ref().filter(|_| value > 0 || data.is_empty()) {
        transfers.push(Transfer { amount: wei(value), to: to.clone() });
    }
    match (&to, token(data)?) {
        (Some(contract), Some((receiver, value))) => {
            let amount = Amount { value, decimals: 0, unit: contract.clone() };
            transfers.push(Transfer { amount, to: receiver });
        }
        (Some(_), None) if data.is_empty() => {}
        // a contract is created with whatever it is given, or told what is not read here
        _ => calls.push(Call { to: to.clone(), selector: data.first_chunk().copied() }),
    }
    let fee = price.checked_mul(u128::from(gas)).ok_or(unread("a fee above all there is"))?;
    let network = Some(format!("eip155:{chain_id}"));
    Ok(Meaning {
        form: Form::Ethereum,
        network,
        transfers,
        calls,
        fee: Some(wei(fee)),
        digests: vec![digest],
    })
}

/// Receiver and value of an ERC-20 transfer, if the data are exactly one.
fn token(data: &[u8]) -> Result<Option<(String, u128)>, MeaningError> {
    let Some(words) = data.strip_prefix(&ERC20_TRANSFER) else { return Ok(None) };
    let (words, rest) = words.as_chunks::<WORD>();
    let (&[receiver, value], []) = (words, rest) else { return Ok(None) };
    let (
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, receiver @ ..],
        [high @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _],
    ) = (&receiver, &value)
    else {
        return Ok(None);
    };
    if high.iter().any(|&byte| byte != 0) {
        return Err(unread("an amount of tokens above 2^128"));
    }
    let value = value.last_chunk().map_or(0, |low| u128::from_be_bytes(*low));
    Ok(Some((format!("0x{}", hex(receiver)), value)))
}

fn whole_list(mut payload: &[u8]) -> Result<&[u8], MeaningError> {
    let inner = list(&mut payload)?;
    end(payload)?;
    Ok(inner)
}

fn list<'a>(from: &mut &'a [u8]) -> Result<&'a [u8], MeaningError> {
    Header::decode_bytes(from, true).map_err(|_| malformed("not canonical RLP"))
}

fn bytes<'a>(from: &mut &'a [u8]) -> Result<&'a [u8], MeaningError> {
    Header::decode_bytes(from, false).map_err(|_| malformed("not canonical RLP"))
}

fn number<T: Decodable>(from: &mut &[u8]) -> Result<T, MeaningError> {
    T::decode(from).map_err(|_| malformed("a number is not canonical RLP, or too large"))
}

const fn end(rest: &[u8]) -> Result<(), MeaningError> {
    if rest.is_empty() { Ok(()) } else { Err(malformed("something follows")) }
}
