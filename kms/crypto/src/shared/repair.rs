//! Giving a keeper its lost share back, by the library's repair (D. Stinson, R. Wei, "Combinatorial repairability for
//! threshold schemes", 2018, with checks): the user and t other keepers help, and none of them learns anything.
//!
//! The user's own share comes back from the vault alone: n keepers lack one value, and could otherwise sign without the user.

use std::collections::BTreeMap;

use opaque_ke::rand::{CryptoRng, RngCore};

use super::errors::{Lie, RunError};
use super::facts::SharedKey;
use super::holders::USER;
use super::message::{Message, Step, alone, collect};
use super::pieces::{self, Way, elements, sealed_bytes};
use super::roster::Roster;
use super::run::{self, Kind};
use super::share::KeyShare;
use super::suite::dealing::{base, sum, summands, weigh};
use super::suite::generation::Pieces;
use super::suite::{Element, each};
use crate::random::with_randomness;

mod columns;

pub use columns::Columns;

/// Whose share is lost, and who helps.
#[derive(Clone, Debug)]
pub struct Repair {
    key: SharedKey,
    roster: Roster,
    lost: u8,
    helpers: Vec<u8>,
    run: [u8; 32],
}

impl Repair {
    /// The share of keeper `lost`, with the help of the user and these others (exactly the threshold, ascending).
    pub fn new(
        key: SharedKey,
        roster: Roster,
        lost: u8,
        keepers: &[u8],
        attempt: u32,
    ) -> Result<Self, RunError> {
        key.scheme().refuse_experimental()?;
        key.check_roster(&roster)?;
        let needed = key.holders().threshold();
        if lost == USER || key.holders().at(lost).is_none() {
            return Err(RunError::NotAPart { place: lost });
        }
        let helpers = key.holders().authorised(keepers).filter(|helpers| !helpers.contains(&lost));
        let helpers = helpers.ok_or(RunError::Keepers { needed })?;
        let attempt = attempt.to_be_bytes();
        let parts: [&[u8]; 5] = [&key.hash(), &roster.encode(), &[lost], &helpers, &attempt];
        let run = run::id(Kind::Repair, key.name(), &parts);
        Ok(Self { key, roster, lost, helpers, run })
    }

    /// Names the run.
    pub const fn id(&self) -> &[u8; 32] {
        &self.run
    }

    /// The keeper asks for its share.
    pub fn request(&self, sign: impl FnOnce(&[u8]) -> [u8; 64]) -> Message {
        Message::new((Step::Request, &self.run, self.lost), Vec::new(), sign)
    }

    /// A helper's first step, only when the keeper has asked.
    pub fn split(
        &self,
        share: &KeyShare,
        request: &[u8],
        sign: impl FnOnce(&[u8]) -> [u8; 64],
    ) -> Result<Message, RunError> {
        with_randomness(|random| self.split_with(share, request, sign, random))
    }

    pub(crate) fn split_with(
        &self,
        share: &KeyShare,
        request: &[u8],
        sign: impl FnOnce(&[u8]) -> [u8; 64],
        random: &mut (impl RngCore + CryptoRng),
    ) -> Result<Message, RunError> {
        let (from, holders, scheme) = (share.place(), self.key.holders(), self.key.scheme());
        if !self.helpers.contains(&from) {
            return Err(RunError::NotAPart { place: from });
        }
        let request = alone(&self.roster, &self.run, Step::Request, &[self.lost], request)?;
        if !request.body().is_empty() {
            return Err(RunError::lied(self.lost, Lie::Malformed, vec![request.encode()]));
        }
        let all = holders.identifiers_of(&self.helpers);
        let (mut body, mut pieces) = (Vec::new(), Pieces::new());
        for (number, value) in share.values(&self.key)? {
            let way = [number, u16::from(self.lost)];
            let split = each!(scheme, summands(self.key.public(), way, value, &all, random))?;
            for (to, summand) in split {
                body.extend(each!(scheme, base(&summand))?);
                pieces.insert((number, to), summand);
            }
        }
        for &place in &self.helpers {
            let mine = pieces.iter().filter(|((_, number), _)| holders.owner(*number) == place);
            let scalars = mine.map(|(_, piece)| piece);
            body.extend(pieces::seal(self.way(&[0; 32], from, place), &self.roster, scalars, random)?);
        }
        Ok(Message::new((Step::Split, &self.run, from), body, sign))
    }

    /// Holds what all helpers committed to against the key: for everybody to check.
    pub fn columns(&self, messages: &[Vec<u8>]) -> Result<Columns, RunError> {
        let messages = collect(&self.roster, &self.run, Step::Split, &self.helpers, messages)?;
        let mut commitments = BTreeMap::new();
        for message in messages.values() {
            commitments.extend(self.read(message)?);
        }
        let transcript = run::transcript(&self.run, messages.values().map(Message::hash));
        Ok(Columns { repair: self.clone(), messages, commitments, transcript })
    }

    /// Judges one split by itself: what a judge does with the evidence of a wrong one.
    pub fn judge(&self, split: &[u8]) -> Result<(), RunError> {
        self.read(&alone(&self.roster, &self.run, Step::Split, &self.helpers, split)?).map(drop)
    }

    /// A helper's commitments, which add up to its part of the lost share.
    fn read(&self, message: &Message) -> Result<BTreeMap<(u16, u16), Element>, RunError> {
        let (from, scheme, holders) = (message.from(), self.key.scheme(), self.key.holders());
        let evidence = || vec![message.encode()];
        let malformed = || RunError::lied(from, Lie::Malformed, evidence());
        let caught = |source| RunError::caught(from, Lie::Summands, evidence(), source);
        let numbers = holders.identifiers_of(&self.helpers);
        let (mut all, mut rest) = (BTreeMap::new(), message.body());
        for number in holders.identifiers(from) {
            let read = elements(rest, numbers.len(), scheme.element_bytes());
            let (list, behind) = read.ok_or_else(malformed)?;
            let share = self.key.public().shares.get(&number).ok_or_else(malformed)?;
            let due = each!(scheme, weigh(&numbers, number, u16::from(self.lost), share))?;
            if each!(scheme, sum(&list)).map_err(caught)? != due {
                return Err(RunError::lied(from, Lie::Summands, evidence()));
            }
            all.extend(numbers.iter().map(|&to| (number, to)).zip(list));
            rest = behind;
        }
        let pieces = self.helpers.iter().map(|&to| sealed_bytes(self.count(from, to))).sum::<usize>();
        if rest.len() == pieces { Ok(all) } else { Err(malformed()) }
    }

    const fn way<'a>(&'a self, transcript: &'a [u8; 32], from: u8, to: u8) -> Way<'a> {
        Way { run: &self.run, transcript, from, to }
    }

    fn count(&self, from: u8, to: u8) -> usize {
        self.key.holders().identifiers(from).len() * self.key.holders().identifiers(to).len()
    }
}
