//! New shares for the keepers, by the keepers alone: the user's values, the key and a recovery share stay as they are.
//!
//! A. Herzberg, S. Jarecki, H. Krawczyk, M. Yung, "Proactive secret sharing" (CRYPTO 1995): a random polynomial that is zero at 0
//! is added to the one that is shared. Here it is zero at the user's identifiers too, by its form: each of t keepers deals a
//! random r of degree t - 2 by Feldman's scheme, and everybody multiplies what it was dealt by `x (x - u_1) .. (x - u_w)`, which is
//! public. Whatever a dealer deals, key and user are untouched, and the degree is n.

use std::collections::BTreeMap;

use opaque_ke::rand::{CryptoRng, RngCore};

use super::confirmation::Dealt;
use super::errors::{Lie, RunError};
use super::facts::SharedKey;
use super::holders::{Holders, USER};
use super::message::{Message, Step, alone, collect};
use super::pieces::{self, Way, elements, sealed_bytes};
use super::roster::Roster;
use super::run::{self, Kind};
use super::share::KeyShare;
use super::suite::dealing::{deal_fresh, evaluate, holds, moved, moved_secret};
use super::suite::{Element, Public, Secret, each};
use crate::hpke_box::BoxKey;
use crate::random::with_randomness;

/// Pieces answer nothing: the run is all there is before them.
const NOTHING: [u8; 32] = [0; 32];

/// Which keepers deal.
#[derive(Clone, Debug)]
pub struct Refresh {
    key: SharedKey,
    roster: Roster,
    dealers: Vec<u8>,
    run: [u8; 32],
}

impl Refresh {
    /// Of a key as it is, dealt by these keepers (exactly the threshold, ascending, so that one of them is honest).
    pub fn new(key: SharedKey, roster: Roster, keepers: &[u8], attempt: u32) -> Result<Self, RunError> {
        key.scheme().refuse_experimental()?;
        key.check_roster(&roster)?;
        let needed = key.holders().threshold();
        if !key.holders().is_threshold(keepers) {
            return Err(RunError::Keepers { needed });
        }
        key.share_version().checked_add(1).ok_or(RunError::Versions)?;
        let parts: [&[u8]; 4] = [&key.hash(), &roster.encode(), keepers, &attempt.to_be_bytes()];
        let run = run::id(Kind::Refresh, key.name(), &parts);
        Ok(Self { key, roster, dealers: keepers.to_vec(), run })
    }

    /// Names the run.
    pub const fn id(&self) -> &[u8; 32] {
        &self.run
    }

    /// A dealer's part. It keeps what it hands out, and hands out the same when it is asked again.
    pub fn deal(&self, place: u8, sign: impl FnOnce(&[u8]) -> [u8; 64]) -> Result<Message, RunError> {
        with_randomness(|random| self.deal_with(place, sign, random))
    }

    pub(crate) fn deal_with(
        &self,
        place: u8,
        sign: impl FnOnce(&[u8]) -> [u8; 64],
        random: &mut (impl RngCore + CryptoRng),
    ) -> Result<Message, RunError> {
        if !self.dealers.contains(&place) {
            return Err(RunError::NotAPart { place });
        }
        let keepers = self.holders().keeper_places();
        let to: Vec<u16> = keepers.iter().map(|&place| u16::from(place)).collect();
        let (commitments, dealt) = each!(self.key.scheme(), deal_fresh(self.needed(), &to, random))?;
        let mut body = commitments.concat();
        for (to, piece) in keepers.into_iter().zip(dealt.values()) {
            body.extend(pieces::seal(self.way(place, to), &self.roster, [piece].into_iter(), random)?);
        }
        Ok(Message::new((Step::Shift, &self.run, place), body, sign))
    }

    /// Holds all dealers' messages, and says what is public afterwards: for everybody to check.
    pub fn agree(&self, messages: &[Vec<u8>]) -> Result<Refreshed, RunError> {
        let messages = collect(&self.roster, &self.run, Step::Shift, &self.dealers, messages)?;
        let mut commitments = BTreeMap::new();
        for (&place, message) in &messages {
            commitments.insert(place, self.read(message)?);
        }
        let (scheme, zeros) = (self.key.scheme(), self.holders().identifiers(USER));
        let mut public: Public = self.key.public().clone();
        for keeper in self.holders().keeper_places() {
            let at = u16::from(keeper);
            let pieces = commitments.values().map(|list| each!(scheme, evaluate(list, at)));
            let pieces: Vec<Element> = pieces.collect::<Result<_, _>>()?;
            if let Some(share) = public.shares.get_mut(&at) {
                *share = each!(scheme, moved(share, at, &zeros, &pieces))?;
            }
        }
        let version = self.key.share_version().saturating_add(1); // `new` has refused the last one
        let key = SharedKey::new(*self.key.name(), scheme, version, self.holders().clone(), public)?;
        Ok(Refreshed { refresh: self.clone(), messages, commitments, key })
    }

    /// Judges one dealer's message by itself: what a judge does with the evidence of a wrong one.
    pub fn judge(&self, message: &[u8]) -> Result<(), RunError> {
        self.read(&alone(&self.roster, &self.run, Step::Shift, &self.dealers, message)?).map(drop)
    }

    fn read(&self, message: &Message) -> Result<Vec<Element>, RunError> {
        let (from, scheme) = (message.from(), self.key.scheme());
        let evidence = || vec![message.encode()];
        let malformed = || RunError::lied(from, Lie::Malformed, evidence());
        let read = elements(message.body(), usize::from(self.needed()), scheme.element_bytes());
        let (commitments, rest) = read.ok_or_else(malformed)?;
        each!(scheme, evaluate(&commitments, u16::from(from))) // reads every one of them
            .map_err(|source| RunError::caught(from, Lie::Opening, evidence(), source))?;
        let pieces = usize::from(self.holders().keepers()) * sealed_bytes(1);
        if rest.len() == pieces { Ok(commitments) } else { Err(malformed()) }
    }

    const fn holders(&self) -> &Holders {
        self.key.holders()
    }

    /// How many values give a dealer's polynomial: t - 1.
    const fn needed(&self) -> u16 {
        self.key.holders().threshold() as u16 - 1
    }

    const fn way(&self, from: u8, to: u8) -> Way<'_> {
        Way { run: &self.run, transcript: &NOTHING, from, to }
    }
}

/// A refresh whose dealings hold: what is public of the new shares is fixed.
#[derive(Clone, Debug)]
pub struct Refreshed {
    refresh: Refresh,
    messages: BTreeMap<u8, Message>,
    commitments: BTreeMap<u8, Vec<Element>>,
    key: SharedKey,
}

impl Refreshed {
    /// What is public afterwards. It counts once every keeper has confirmed it: [`SharedKey::refreshed`].
    pub const fn key(&self) -> &SharedKey {
        &self.key
    }

    /// A keeper's new share, from its old one. Whoever has dealt gives its own message.
    pub fn receive(&self, share: &KeyShare, own: Option<&Message>, key: &BoxKey) -> Result<Dealt, RunError> {
        let place = share.place();
        if let Some(own) = own
            && self.messages.get(&own.from()) != Some(own)
        {
            return Err(RunError::Foreign { place: own.from() });
        }
        if place == USER {
            return Err(RunError::NotAPart { place });
        }
        let pieces = self.messages.values().map(|message| self.piece(message, place, key));
        let pieces = pieces.collect::<Result<Vec<Secret>, _>>()?;
        let (at, zeros) = (u16::from(place), self.key.holders().identifiers(USER));
        let mut values = Vec::new();
        for value in share.values(&self.refresh.key)?.into_values() {
            values.push(each!(self.key.scheme(), moved_secret(value, at, &zeros, &pieces))?);
        }
        let share = KeyShare::new(&self.key, place, values)?;
        let Refresh { run, roster, .. } = &self.refresh;
        Ok(Dealt::new((run, roster), self.key.clone(), share, self.key.holders().keeper_places()))
    }

    fn piece(&self, message: &Message, to: u8, key: &BoxKey) -> Result<Secret, RunError> {
        let (from, refresh) = (message.from(), &self.refresh);
        let wrong = || RunError::lied(from, Lie::Piece, vec![message.encode()]);
        let commitments = self.commitments.get(&from).ok_or_else(wrong)?;
        let before = usize::from(to).saturating_sub(1) * sealed_bytes(1);
        let start = commitments.len() * self.key.scheme().element_bytes() + before;
        let sealed = message.body().get(start..start + sealed_bytes(1)).ok_or_else(wrong)?;
        let opened = pieces::open(refresh.way(from, to), key, sealed, 1);
        let piece = opened.and_then(|mut scalars| scalars.pop()).ok_or_else(wrong)?;
        each!(self.key.scheme(), holds(u16::from(to), &piece, commitments))
            .map_err(|source| RunError::caught(from, Lie::Piece, vec![message.encode()], source))?;
        Ok(piece)
    }
}
