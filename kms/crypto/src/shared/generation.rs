//! Making a key that nobody ever has: FROST's distributed key generation, or that of DKLs23, all holders taking part.
//!
//! FROST has three rounds: openings (commitments, proofs of knowledge; their hashes are entries of the ledger), dealings (a sealed
//! piece for each other holder, bound to the openings that its dealer saw), confirmations. Dealing uses up the state before it,
//! so nothing is dealt twice from one polynomial. DKLs23 ([`ecdsa`]) has sealed pieces in its openings, commitments in its
//! dealings, and a round more, the agreement.

use std::collections::BTreeMap;

use opaque_ke::rand::{CryptoRng, RngCore};

use super::errors::{Lie, RunError};
use super::facts::KeyName;
use super::holders::Holders;
use super::message::{Message, Step, alone, collect};
use super::pieces::{self, Way, elements};
use super::roster::Roster;
use super::run::{self, Kind};
use super::scheme::SharedScheme;
use super::suite::each;
use super::suite::generation::{self, First, Shown};
use crate::hpke_box::BoxKey;
use crate::random::with_randomness;

mod dealer;
mod ecdsa;

pub use dealer::Dealer;
use dealer::Dealing;

/// Length of a proof of knowledge.
const PROOF_BYTES: usize = 64;

/// A key that is to be made.
#[derive(Clone, Debug)]
pub struct Generation {
    name: KeyName,
    scheme: SharedScheme,
    roster: Roster,
    run: [u8; 32],
}

impl Generation {
    /// Of this name, for these holders. An attempt that failed is begun again under the next number, if need be with others.
    pub fn new(name: KeyName, scheme: SharedScheme, roster: Roster, attempt: u32) -> Self {
        let parts: [&[u8]; 3] = [&[scheme.code()], &roster.encode(), &attempt.to_be_bytes()];
        let run = run::id(Kind::Generation, &name, &parts);
        Self { name, scheme, roster, run }
    }

    /// Names the run.
    pub const fn id(&self) -> &[u8; 32] {
        &self.run
    }

    /// First round, at one holder.
    pub fn open(
        &self,
        place: u8,
        sign: impl FnOnce(&[u8]) -> [u8; 64],
    ) -> Result<(Opener, Message), RunError> {
        with_randomness(|random| self.open_with(place, sign, random))
    }

    pub(crate) fn open_with(
        &self,
        place: u8,
        sign: impl FnOnce(&[u8]) -> [u8; 64],
        random: &mut (impl RngCore + CryptoRng),
    ) -> Result<(Opener, Message), RunError> {
        self.holders().at(place).ok_or(RunError::NotAHolder { place })?;
        if self.scheme.answers() {
            return ecdsa::open(self, place, sign, random);
        }
        let own = self.holders().identifiers(place);
        let [total, needed] = self.sizes();
        let (first, shown) = each!(self.scheme, generation::open(&own, [total, needed], random))?;
        let mut body = Vec::new();
        for shown in shown.values() {
            shown.commitments.iter().for_each(|commitment| body.extend_from_slice(commitment));
            body.extend_from_slice(&shown.proof);
        }
        let message = Message::new((Step::Opening, &self.run, place), body, sign);
        Ok((Opener { place, own: message.clone(), begun: Begun::Frost(first) }, message))
    }

    /// Holds everybody's openings against their proofs: for everybody to check.
    pub fn openings(&self, messages: &[Vec<u8>]) -> Result<Openings, RunError> {
        let places: Vec<u8> = self.holders().places().collect();
        let messages = collect(&self.roster, &self.run, Step::Opening, &places, messages)?;
        let mut shown = BTreeMap::new();
        for (&place, message) in &messages {
            shown.extend(self.read(place, message)?);
        }
        let transcript = run::transcript(&self.run, messages.values().map(Message::hash));
        Ok(Openings { generation: self.clone(), messages, shown, transcript })
    }

    /// Judges one opening by itself: what a judge does with the evidence of a wrong one.
    pub fn judge(&self, opening: &[u8]) -> Result<(), RunError> {
        let places: Vec<u8> = self.holders().places().collect();
        let message = alone(&self.roster, &self.run, Step::Opening, &places, opening)?;
        self.read(message.from(), &message).map(drop)
    }

    fn read(&self, place: u8, message: &Message) -> Result<BTreeMap<u16, Shown>, RunError> {
        let lied = |lie| RunError::lied(place, lie, vec![message.encode()]);
        if self.scheme.answers() {
            let fits = message.body().len() == self.sealed_bytes(place);
            return if fits { Ok(BTreeMap::new()) } else { Err(lied(Lie::Malformed)) };
        }
        let [_, needed] = self.sizes();
        let (mut all, mut rest) = (BTreeMap::new(), message.body());
        for number in self.holders().identifiers(place) {
            let read = elements(rest, usize::from(needed), self.scheme.element_bytes());
            let (commitments, behind) = read.ok_or_else(|| lied(Lie::Malformed))?;
            let (proof, behind) = behind.split_at_checked(PROOF_BYTES).ok_or_else(|| lied(Lie::Malformed))?;
            let shown = Shown { commitments, proof: proof.to_vec() };
            each!(self.scheme, generation::check(number, &shown, needed))
                .map_err(|source| RunError::caught(place, Lie::Opening, vec![message.encode()], source))?;
            all.insert(number, shown);
            rest = behind;
        }
        if rest.is_empty() { Ok(all) } else { Err(lied(Lie::Malformed)) }
    }

    const fn holders(&self) -> &Holders {
        self.roster.holders()
    }

    /// How many identifiers there are, and how many of them sign.
    fn sizes(&self) -> [u16; 2] {
        // INVARIANT: at most 31 identifiers.
        let total = u16::try_from(self.holders().all_identifiers().len()).unwrap_or(u16::MAX);
        [total, self.holders().needed()]
    }

    /// Where in a dealing the sealed piece for each holder stands: all others, ascending.
    fn receivers(&self, from: u8) -> impl Iterator<Item = u8> + use<> {
        self.holders().places().filter(move |&to| to != from)
    }

    /// How long all pieces of a dealer are when they are sealed.
    fn sealed_bytes(&self, from: u8) -> usize {
        self.receivers(from).map(|to| pieces::sealed_bytes(self.count(from, to))).sum()
    }

    fn count(&self, from: u8, to: u8) -> usize {
        self.holders().identifiers(from).len() * self.holders().identifiers(to).len()
    }
}

/// A holder between the first and the second round. Secret, in memory only, used up by the second.
pub struct Opener {
    place: u8,
    own: Message,
    begun: Begun,
}

enum Begun {
    Frost(Box<dyn First>),
    Ecdsa(ecdsa::Begun),
}

/// Everybody's openings, which hold.
#[derive(Clone, Debug)]
pub struct Openings {
    generation: Generation,
    messages: BTreeMap<u8, Message>,
    shown: BTreeMap<u16, Shown>,
    transcript: [u8; 32],
}

impl Openings {
    /// The hash of each holder's opening, by place: what the ledger records.
    pub fn hashes(&self) -> BTreeMap<u8, [u8; 32]> {
        self.messages.iter().map(|(&place, message)| (place, message.hash())).collect()
    }

    const fn way(&self, from: u8, to: u8) -> Way<'_> {
        Way { run: &self.generation.run, transcript: &self.transcript, from, to }
    }
}

impl Opener {
    /// Second round: a piece for each other holder, sealed to it; or commitments to what was opened with the own key.
    pub fn deal(
        self,
        openings: &Openings,
        key: &BoxKey,
        sign: impl FnOnce(&[u8]) -> [u8; 64],
    ) -> Result<(Dealer, Message), RunError> {
        with_randomness(|random| self.deal_with(openings, key, sign, random))
    }

    pub(crate) fn deal_with(
        self,
        openings: &Openings,
        key: &BoxKey,
        sign: impl FnOnce(&[u8]) -> [u8; 64],
        random: &mut (impl RngCore + CryptoRng),
    ) -> Result<(Dealer, Message), RunError> {
        let Self { place, own, begun } = self;
        if openings.messages.get(&place) != Some(&own) {
            return Err(RunError::Foreign { place });
        }
        let first = match begun {
            Begun::Frost(first) => first,
            Begun::Ecdsa(begun) => return begun.deal(place, openings, key, sign),
        };
        let (second, pieces) = first.deal(&openings.shown)?;
        let (generation, roster) = (&openings.generation, &openings.generation.roster);
        let mut body = openings.transcript.to_vec();
        for to in generation.receivers(place) {
            let mine = pieces.iter().filter(|((_, number), _)| generation.holders().owner(*number) == to);
            let scalars = mine.map(|(_, piece)| piece);
            body.extend(pieces::seal(openings.way(place, to), roster, scalars, random)?);
        }
        let holders = generation.holders();
        let kept = pieces.into_iter().filter(|((_, number), _)| holders.owner(*number) == place).collect();
        let message = Message::new((Step::Dealing, &generation.run, place), body, sign);
        let dealing = Dealing::Frost { second, kept };
        Ok((Dealer { place, own: message.clone(), dealing }, message))
    }
}
