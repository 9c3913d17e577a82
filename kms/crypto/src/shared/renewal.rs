//! New shares of the same key, for the same holders or for others: a change of keepers or of the threshold.
//!
//! The user and t keepers, the dealers, each share their own values among those who hold from then on; Lagrange's weights
//! put the new polynomial together (Y. Desmedt, S. Jajodia, "Redistributing secret shares to new access structures", 1997),
//! as the vault does it. The key stays, and old shares are worth nothing beside new ones as long as one dealer is honest.
//! Without the user there are not enough dealers: nobody can have the key dealt to keepers of their own choice.

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
use super::suite::dealing::{deal, evaluate, holds, interpolate, interpolate_secret};
use super::suite::generation::Pieces;
use super::suite::{Element, Public, Secret, each};
use crate::hpke_box::BoxKey;
use crate::random::with_randomness;

/// Pieces answer nothing: the run is all there is before them.
const NOTHING: [u8; 32] = [0; 32];

/// Who deals, and who holds from then on.
#[derive(Clone, Debug)]
pub struct Renewal {
    key: SharedKey,
    from: Roster,
    to: Roster,
    dealers: Vec<u8>,
    run: [u8; 32],
}

impl Renewal {
    /// Of a key as it is: to these holders, dealt by the user and these keepers (exactly the threshold, ascending). The user
    /// stays, and whoever is in both rosters has the same keys in both.
    pub fn new(
        key: SharedKey,
        from: Roster,
        to: Roster,
        keepers: &[u8],
        attempt: u32,
    ) -> Result<Self, RunError> {
        key.scheme().refuse_experimental()?;
        key.check_roster(&from)?;
        if from.holders().at(USER) != to.holders().at(USER) || !from.agrees_with(&to) {
            return Err(RunError::OtherHolders);
        }
        let needed = key.holders().threshold();
        let dealers = key.holders().authorised(keepers).ok_or(RunError::Keepers { needed })?;
        key.share_version().checked_add(1).ok_or(RunError::Versions)?;
        let attempt = attempt.to_be_bytes();
        let parts: [&[u8]; 5] = [&key.hash(), &from.encode(), &to.encode(), &dealers, &attempt];
        let run = run::id(Kind::Renewal, key.name(), &parts);
        Ok(Self { key, from, to, dealers, run })
    }

    /// Names the run.
    pub const fn id(&self) -> &[u8; 32] {
        &self.run
    }

    /// A dealer's part. It keeps what it hands out, and hands out the same when it is asked again.
    pub fn deal(&self, share: &KeyShare, sign: impl FnOnce(&[u8]) -> [u8; 64]) -> Result<Message, RunError> {
        with_randomness(|random| self.deal_with(share, sign, random))
    }

    pub(crate) fn deal_with(
        &self,
        share: &KeyShare,
        sign: impl FnOnce(&[u8]) -> [u8; 64],
        random: &mut (impl RngCore + CryptoRng),
    ) -> Result<Message, RunError> {
        let from = share.place();
        if !self.dealers.contains(&from) {
            return Err(RunError::NotAPart { place: from });
        }
        let (to, needed) = (self.holders().all_identifiers(), self.holders().needed());
        let (mut body, mut pieces) = (Vec::new(), Pieces::new());
        for (number, value) in share.values(&self.key)? {
            let (commitments, dealt) = each!(self.key.scheme(), deal(value, needed, &to, random))?;
            commitments.iter().for_each(|commitment| body.extend_from_slice(commitment));
            pieces.extend(dealt.into_iter().map(|(to, piece)| ((number, to), piece)));
        }
        for place in self.holders().places() {
            let mine = pieces.iter().filter(|((_, number), _)| self.holders().owner(*number) == place);
            let scalars = mine.map(|(_, piece)| piece);
            body.extend(pieces::seal(self.way(from, place), &self.to, scalars, random)?);
        }
        Ok(Message::new((Step::Redealing, &self.run, from), body, sign))
    }

    /// Holds all dealers' messages against the key, and says what is public afterwards: for everybody to check.
    pub fn agree(&self, messages: &[Vec<u8>]) -> Result<Renewed, RunError> {
        let messages = collect(&self.from, &self.run, Step::Redealing, &self.dealers, messages)?;
        let mut commitments = BTreeMap::new();
        for message in messages.values() {
            commitments.extend(self.read(message)?);
        }
        let mut shares = BTreeMap::new();
        for at in self.holders().all_identifiers() {
            let value = |(&number, list): (&u16, &Vec<Element>)| {
                Ok::<_, RunError>((number, each!(self.key.scheme(), evaluate(list, at))?))
            };
            let values = commitments.iter().map(value).collect::<Result<BTreeMap<_, _>, _>>()?;
            shares.insert(at, each!(self.key.scheme(), interpolate(&values, None))?);
        }
        let public = Public { key: self.key.public().key.clone(), shares, needed: self.holders().needed() };
        let version = self.key.share_version().saturating_add(1); // `new` has refused the last one
        let key =
            SharedKey::new(*self.key.name(), self.key.scheme(), version, self.holders().clone(), public)?;
        Ok(Renewed { renewal: self.clone(), messages, commitments, key })
    }

    /// Judges one dealer's message by itself: what a judge does with the evidence of a wrong one.
    pub fn judge(&self, message: &[u8]) -> Result<(), RunError> {
        self.read(&alone(&self.from, &self.run, Step::Redealing, &self.dealers, message)?).map(drop)
    }

    /// A dealer's commitments: to its own values, and as many as the new holders need.
    fn read(&self, message: &Message) -> Result<BTreeMap<u16, Vec<Element>>, RunError> {
        let (from, scheme) = (message.from(), self.key.scheme());
        let evidence = || vec![message.encode()];
        let malformed = || RunError::lied(from, Lie::Malformed, evidence());
        let (mut all, mut rest) = (BTreeMap::new(), message.body());
        for number in self.key.holders().identifiers(from) {
            let read = elements(rest, usize::from(self.holders().needed()), scheme.element_bytes());
            let (commitments, behind) = read.ok_or_else(malformed)?;
            if commitments.first() != self.key.public().shares.get(&number) {
                return Err(RunError::lied(from, Lie::Constant, evidence()));
            }
            each!(scheme, evaluate(&commitments, number)) // reads every one of them
                .map_err(|source| RunError::caught(from, Lie::Opening, evidence(), source))?;
            all.insert(number, commitments);
            rest = behind;
        }
        let pieces = self.holders().places().map(|to| sealed_bytes(self.count(from, to))).sum::<usize>();
        if rest.len() == pieces { Ok(all) } else { Err(malformed()) }
    }

    /// Who holds from then on.
    const fn holders(&self) -> &Holders {
        self.to.holders()
    }

    const fn way(&self, from: u8, to: u8) -> Way<'_> {
        Way { run: &self.run, transcript: &NOTHING, from, to }
    }

    fn count(&self, from: u8, to: u8) -> usize {
        self.key.holders().identifiers(from).len() * self.holders().identifiers(to).len()
    }
}

/// A renewal whose dealings hold: what is public of the new shares is fixed.
#[derive(Clone, Debug)]
pub struct Renewed {
    renewal: Renewal,
    messages: BTreeMap<u8, Message>,
    commitments: BTreeMap<u16, Vec<Element>>,
    key: SharedKey,
}

impl Renewed {
    /// What is public afterwards.
    pub const fn key(&self) -> &SharedKey {
        &self.key
    }

    /// Refuses unless a dealer's own message stands among these as it was made: to be asked before a dealer that holds
    /// nothing afterwards agrees to anything.
    pub fn stand_by(&self, own: &Message) -> Result<(), RunError> {
        let place = own.from();
        if self.messages.get(&place) == Some(own) { Ok(()) } else { Err(RunError::Foreign { place }) }
    }

    /// A holder's new share. Whoever has dealt gives its own message.
    pub fn receive(&self, place: u8, own: Option<&Message>, key: &BoxKey) -> Result<Dealt, RunError> {
        own.map_or(Ok(()), |own| self.stand_by(own))?;
        self.renewal.holders().at(place).ok_or(RunError::NotAHolder { place })?;
        let mut pieces = Pieces::new();
        for message in self.messages.values() {
            pieces.extend(self.piece(message, place, key)?);
        }
        let mut values = Vec::new();
        for number in self.renewal.holders().identifiers(place) {
            let mine = pieces.iter().filter(|((_, to), _)| *to == number);
            let mine: BTreeMap<u16, Secret> = mine.map(|((from, _), piece)| (*from, piece.clone())).collect();
            values.push(each!(self.key.scheme(), interpolate_secret(&mine, None))?);
        }
        let share = KeyShare::new(&self.key, place, values)?;
        let witnesses = self.renewal.holders().places().collect();
        Ok(Dealt::new((&self.renewal.run, &self.renewal.to), self.key.clone(), share, witnesses))
    }

    fn piece(&self, message: &Message, to: u8, key: &BoxKey) -> Result<Pieces, RunError> {
        let (from, renewal) = (message.from(), &self.renewal);
        let wrong = || RunError::lied(from, Lie::Piece, vec![message.encode()]);
        let before: usize = (USER..to).map(|place| sealed_bytes(renewal.count(from, place))).sum();
        let numbers = renewal.key.holders().identifiers(from);
        let elements = numbers.len() * usize::from(renewal.holders().needed());
        let start = elements * self.key.scheme().element_bytes() + before;
        let end = start + sealed_bytes(renewal.count(from, to));
        let sealed = message.body().get(start..end).ok_or_else(wrong)?;
        let opened = pieces::open(renewal.way(from, to), key, sealed, renewal.count(from, to));
        let mut scalars = opened.ok_or_else(wrong)?.into_iter();
        let mut pieces = Pieces::new();
        for giving in numbers {
            let commitments = self.commitments.get(&giving).ok_or_else(wrong)?;
            for receiving in renewal.holders().identifiers(to) {
                let piece = scalars.next().ok_or_else(wrong)?;
                each!(self.key.scheme(), holds(receiving, &piece, commitments))
                    .map_err(|source| RunError::caught(from, Lie::Piece, vec![message.encode()], source))?;
                pieces.insert((giving, receiving), piece);
            }
        }
        Ok(pieces)
    }
}
