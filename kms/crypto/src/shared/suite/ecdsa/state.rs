//! What a holder's parties keep besides their values to multiply with every other party: seeds and oblivious transfers.

use std::collections::BTreeMap;

use dkls23_core::protocols::derivation::DerivData;
use dkls23_core::protocols::{Party, PartyIndex};
use dkls23_core::utilities::multiplication::{MulReceiver, MulSender};
use dkls23_core::utilities::zero_shares::ZeroShare;
use zeroize::Zeroizing;

use super::{Curve, decode, encode, index, parameters, point, scalar};
use crate::shared::facts::SharedKey;
use crate::shared::suite::{LibraryError, Secret};

/// By identifier.
pub(crate) type Parties = BTreeMap<u16, Party<Curve>>;
type Senders = BTreeMap<PartyIndex, MulSender<Curve>>;
type Receivers = BTreeMap<PartyIndex, MulReceiver<Curve>>;

/// Names the key as it is now in everything that the parties compute.
pub(crate) fn settle(parties: &mut Parties, key: &SharedKey) {
    parties.values_mut().for_each(|party| party.session_id = key.hash().to_vec());
}

/// The parties' state, without what the key and the values say.
pub(crate) fn to_bytes(parties: &Parties) -> Result<Zeroizing<Vec<u8>>, LibraryError> {
    let state =
        |party: &'_ Party<Curve>| encode(&(&party.zero_share, &party.mul_senders, &party.mul_receivers));
    let states = parties.values().map(state).collect::<Result<Vec<_>, _>>()?;
    let room = states.iter().map(|state| 4 + state.len()).sum();
    let mut out = Zeroizing::new(Vec::with_capacity(room));
    for state in states {
        out.extend_from_slice(&u32::try_from(state.len()).unwrap_or(u32::MAX).to_be_bytes());
        out.extend_from_slice(&state);
    }
    Ok(out)
}

/// From these bytes, if they are of parties of this key.
pub(crate) fn from_bytes(
    mut bytes: &[u8],
    values: &BTreeMap<u16, &Secret>,
    key: &SharedKey,
) -> Option<Parties> {
    let mut parties = Parties::new();
    for (&number, value) in values {
        let (&length, rest) = bytes.split_first_chunk::<4>()?;
        let (state, rest) = rest.split_at_checked(usize::try_from(u32::from_be_bytes(length)).ok()?)?;
        parties.insert(number, party(number, value, state, key)?);
        bytes = rest;
    }
    bytes.is_empty().then_some(parties)
}

fn party(number: u16, value: &Secret, state: &[u8], key: &SharedKey) -> Option<Party<Curve>> {
    let (zero_share, mul_senders, mul_receivers): (ZeroShare, Senders, Receivers) = decode(state)?;
    let holders = key.holders();
    let (own, parameters) = (index(number, holders).ok()?, parameters(holders).ok()?);
    let others = || (1..=parameters.share_count).filter(|&party| party != own.as_u8());
    let whole = zero_share.seeds.iter().map(|seed| seed.index_counterparty.as_u8()).eq(others())
        && mul_senders.keys().map(PartyIndex::as_u8).eq(others())
        && mul_receivers.keys().map(PartyIndex::as_u8).eq(others())
        && mul_senders.values().all(|sender| sender.check_state().is_ok())
        && mul_receivers.values().all(|receiver| receiver.check_state(None).is_ok());
    if !whole {
        return None;
    }
    let (poly_point, pk) = (scalar(value)?, point(&key.public().key)?);
    let derivation_data = DerivData {
        depth: 0,
        child_number: 0,
        parent_fingerprint: [0; 4],
        poly_point,
        pk,
        chain_code: [0; 32],
    };
    Some(Party {
        parameters,
        party_index: own,
        session_id: key.hash().to_vec(),
        poly_point,
        pk,
        zero_share,
        mul_senders,
        mul_receivers,
        derivation_data,
        address: String::new(),
    })
}
