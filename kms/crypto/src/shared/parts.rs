//! What a holder's parties send to another holder's, sealed together, with the length before it:
//! `u32 length || sealed(version u8 (1) || (u32 length || part)*)` for every other holder, ascending.

use std::collections::BTreeMap;

use opaque_ke::rand::{CryptoRng, RngCore};
use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::{Zeroize as _, Zeroizing};

use super::errors::RunError;
use super::holders::Holders;
use super::pieces::{self, Way};
use super::roster::Roster;
use super::suite::ecdsa::signing::{First, Parts, Second};
use super::suite::ecdsa::{self, generation::Transfer};
use crate::hpke_box::{BoxKey, OVERHEAD_BYTES};

const VERSION: u8 = 1;
const LENGTH_BYTES: usize = 4;
/// The longest sealed part: transfers of a user's four parties to a keeper take little more than half of it.
const SEALED_BYTES_MAX: usize = 1024 * 1024;

/// What says itself which party it goes from and to.
pub(crate) trait Part: Serialize + DeserializeOwned {
    /// The sender's and the receiver's number.
    fn way(&self) -> Option<[u8; 2]>;
    /// Wipes what is secret of it.
    fn wipe(&mut self);
}

impl Part for First {
    fn way(&self) -> Option<[u8; 2]> {
        Some([self.parties.sender.as_u8(), self.parties.receiver.as_u8()])
    }

    fn wipe(&mut self) {
        self.zeroize();
    }
}

impl Part for Second {
    fn way(&self) -> Option<[u8; 2]> {
        Some([self.parties.sender.as_u8(), self.parties.receiver.as_u8()])
    }

    fn wipe(&mut self) {
        self.zeroize();
    }
}

impl Part for Transfer {
    fn way(&self) -> Option<[u8; 2]> {
        let ways = [&self.0.parties, &self.1.parties];
        let [first, second] = ways.map(|parties| [parties.sender.as_u8(), parties.receiver.as_u8()]);
        (first == second).then_some(first)
    }

    fn wipe(&mut self) {
        self.0.seed.zeroize();
    }
}

/// Between whom, in which run, answering what.
#[derive(Clone, Copy)]
pub(crate) struct Ways<'a> {
    pub(crate) run: &'a [u8; 32],
    pub(crate) transcript: &'a [u8; 32],
    pub(crate) roster: &'a Roster,
    /// Every holder that takes part, ascending.
    pub(crate) places: &'a [u8],
}

impl<'a> Ways<'a> {
    const fn holders(&self) -> &'a Holders {
        self.roster.holders()
    }

    const fn way(&self, from: u8, to: u8) -> Way<'a> {
        Way { run: self.run, transcript: self.transcript, from, to }
    }

    fn others(&self, from: u8) -> impl Iterator<Item = u8> + use<'a> {
        self.places.iter().copied().filter(move |&to| to != from)
    }

    /// The body's end, and the parts that stay with their holder.
    pub(crate) fn seal<T: Part>(
        &self,
        from: u8,
        parts: Parts<T>,
        random: &mut (impl RngCore + CryptoRng),
    ) -> Result<(Vec<u8>, Parts<T>), RunError> {
        let mut body = Vec::new();
        for to in self.others(from) {
            let theirs = parts.iter().filter(|((_, number), _)| self.holders().owner(*number) == to);
            let sealed = pieces::seal_bytes(self.way(from, to), self.roster, &plain(theirs)?, random)?;
            // INVARIANT: far shorter than 4 GiB.
            body.extend_from_slice(&u32::try_from(sealed.len()).unwrap_or(u32::MAX).to_be_bytes());
            body.extend_from_slice(&sealed);
        }
        let is_own = |number: &u16| self.holders().owner(*number) == from;
        let (own, mut others): (Parts<T>, Parts<T>) =
            parts.into_iter().partition(|((_, number), _)| is_own(number));
        others.values_mut().for_each(Part::wipe);
        Ok((body, own))
    }

    /// What is sealed to each other holder, if the body's end has nothing else.
    pub(crate) fn split<'b>(&self, from: u8, mut rest: &'b [u8]) -> Option<BTreeMap<u8, &'b [u8]>> {
        let mut all = BTreeMap::new();
        for to in self.others(from) {
            let (&length, behind) = rest.split_first_chunk::<LENGTH_BYTES>()?;
            let length = usize::try_from(u32::from_be_bytes(length)).ok()?;
            let fits = (OVERHEAD_BYTES..=SEALED_BYTES_MAX).contains(&length);
            let (sealed, behind) = behind.split_at_checked(length).filter(|_| fits)?;
            all.insert(to, sealed);
            rest = behind;
        }
        rest.is_empty().then_some(all)
    }

    /// Opens what another holder sealed to this one: a part from each of its parties to each of the own.
    pub(crate) fn open<T: Part>(&self, [from, to]: [u8; 2], key: &BoxKey, sealed: &[u8]) -> Option<Parts<T>> {
        let plain = pieces::open_bytes(self.way(from, to), key, sealed, SEALED_BYTES_MAX)?;
        let holders = self.holders();
        let expected = holders
            .identifiers(from)
            .into_iter()
            .flat_map(|giving| holders.identifiers(to).into_iter().map(move |receiving| (giving, receiving)));
        plain.expose(|plain| {
            let mut rest = plain.strip_prefix(&[VERSION])?;
            let mut parts = Parts::new();
            for (giving, receiving) in expected {
                let (&length, behind) = rest.split_first_chunk::<LENGTH_BYTES>()?;
                let length = usize::try_from(u32::from_be_bytes(length)).ok()?;
                let (part, behind) = behind.split_at_checked(length)?;
                let part: T = ecdsa::decode(part)?;
                let way = [giving, receiving].map(|number| holders.party(number));
                parts.insert((giving, receiving), Some(part).filter(|part| part.way() == Some(way))?);
                rest = behind;
            }
            rest.is_empty().then_some(parts)
        })
    }
}

/// `version u8 (1) || (u32 length || part)*`.
fn plain<'a, T: Part + 'a>(
    parts: impl Iterator<Item = (&'a (u16, u16), &'a T)>,
) -> Result<Zeroizing<Vec<u8>>, RunError> {
    let parts = parts.map(|(_, part)| ecdsa::encode(part)).collect::<Result<Vec<_>, _>>()?;
    let room = parts.iter().map(|part| LENGTH_BYTES + part.len()).sum::<usize>();
    let mut out = Zeroizing::new(Vec::with_capacity(1 + room));
    out.push(VERSION);
    for part in parts {
        out.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
        out.extend_from_slice(&part);
    }
    Ok(out)
}
