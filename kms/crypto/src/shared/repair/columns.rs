//! The second half of a repair: helpers add up what they were given, and the keeper has its share.

use std::collections::BTreeMap;

use opaque_ke::rand::{CryptoRng, RngCore};

use super::Repair;
use crate::hpke_box::BoxKey;
use crate::random::with_randomness;
use crate::shared::errors::{Lie, RunError};
use crate::shared::message::{Message, Step, collect};
use crate::shared::pieces::{self, sealed_bytes};
use crate::shared::share::KeyShare;
use crate::shared::suite::dealing::{add, base, repaired, sum};
use crate::shared::suite::generation::Pieces;
use crate::shared::suite::{Element, Secret, each};

/// What all helpers committed to, which holds.
#[derive(Clone, Debug)]
pub struct Columns {
    pub(super) repair: Repair,
    pub(super) messages: BTreeMap<u8, Message>,
    pub(super) commitments: BTreeMap<(u16, u16), Element>,
    pub(super) transcript: [u8; 32],
}

impl Columns {
    /// A helper's second step: the sums of what it was given, sealed to the keeper that asked. `own` is what it has split:
    /// else whoever carries the messages could put its own in the place of all others', and have the helper's share.
    pub fn add(
        &self,
        own: &Message,
        key: &BoxKey,
        sign: impl FnOnce(&[u8]) -> [u8; 64],
    ) -> Result<Message, RunError> {
        with_randomness(|random| self.add_with(own, key, sign, random))
    }

    pub(crate) fn add_with(
        &self,
        own: &Message,
        key: &BoxKey,
        sign: impl FnOnce(&[u8]) -> [u8; 64],
        random: &mut (impl RngCore + CryptoRng),
    ) -> Result<Message, RunError> {
        let (place, repair) = (own.from(), &self.repair);
        if self.messages.get(&place) != Some(own) {
            return Err(RunError::Foreign { place });
        }
        let mut pieces = Pieces::new();
        for message in self.messages.values() {
            pieces.extend(self.piece(message, place, key)?);
        }
        let mut sums = Vec::new();
        for number in repair.key.holders().identifiers(place) {
            let mine = pieces.iter().filter(|((_, to), _)| *to == number).map(|(_, piece)| piece);
            sums.push(each!(repair.key.scheme(), add(mine))?);
        }
        let mut body = self.transcript.to_vec();
        let way = repair.way(&self.transcript, place, repair.lost);
        body.extend(pieces::seal(way, &repair.roster, sums.iter(), random)?);
        Ok(Message::new((Step::Sum, &repair.run, place), body, sign))
    }

    /// Opens what a helper has for another and holds it against its commitments.
    fn piece(&self, message: &Message, to: u8, key: &BoxKey) -> Result<Pieces, RunError> {
        let (from, repair) = (message.from(), &self.repair);
        let (holders, scheme) = (repair.key.holders(), repair.key.scheme());
        let wrong = || RunError::lied(from, Lie::Piece, vec![message.encode()]);
        let others = repair.helpers.iter().take_while(|&&place| place != to);
        let before: usize = others.map(|&place| sealed_bytes(repair.count(from, place))).sum();
        let columns = holders.identifiers(from).len() * holders.identifiers_of(&repair.helpers).len();
        let start = columns * scheme.element_bytes() + before;
        let sealed = message.body().get(start..start + sealed_bytes(repair.count(from, to)));
        let way = repair.way(&[0; 32], from, to);
        let opened = sealed.and_then(|sealed| pieces::open(way, key, sealed, repair.count(from, to)));
        let mut scalars = opened.ok_or_else(wrong)?.into_iter();
        let mut pieces = Pieces::new();
        for giving in holders.identifiers(from) {
            for receiving in holders.identifiers(to) {
                let piece = scalars.next().ok_or_else(wrong)?;
                let shown = each!(scheme, base(&piece))
                    .map_err(|source| RunError::caught(from, Lie::Piece, vec![message.encode()], source))?;
                if self.commitments.get(&(giving, receiving)) != Some(&shown) {
                    return Err(wrong());
                }
                pieces.insert((giving, receiving), piece);
            }
        }
        Ok(pieces)
    }

    /// The keeper's last step: its share, the very one that was lost.
    pub fn finish(&self, messages: &[Vec<u8>], key: &BoxKey) -> Result<KeyShare, RunError> {
        let Repair { key: shared, roster, lost, helpers, run } = &self.repair;
        let messages = collect(roster, run, Step::Sum, helpers, messages)?;
        let mut sums = Vec::new();
        for message in messages.values() {
            sums.extend(self.sums(message, key)?);
        }
        let value = each!(shared.scheme(), repaired(shared.public(), u16::from(*lost), sums.iter()))?;
        Ok(KeyShare::new(shared, *lost, vec![value])?)
    }

    fn sums(&self, message: &Message, key: &BoxKey) -> Result<Vec<Secret>, RunError> {
        let (from, repair) = (message.from(), &self.repair);
        let scheme = repair.key.scheme();
        let evidence = || self.messages.values().chain([message]).map(Message::encode).collect::<Vec<_>>();
        let malformed = || RunError::lied(from, Lie::Malformed, evidence());
        let (transcript, sealed) = message.body().split_first_chunk::<32>().ok_or_else(malformed)?;
        if *transcript != self.transcript {
            return Err(RunError::Diverged { place: from });
        }
        let numbers = repair.key.holders().identifiers(from);
        if sealed.len() != sealed_bytes(numbers.len()) {
            return Err(malformed());
        }
        let wrong = || RunError::lied(from, Lie::Sum, evidence());
        let way = repair.way(&self.transcript, from, repair.lost);
        let sums = pieces::open(way, key, sealed, numbers.len()).ok_or_else(wrong)?;
        for (number, value) in numbers.iter().zip(&sums) {
            let given = self.commitments.iter().filter(|((_, to), _)| to == number).map(|(_, shown)| shown);
            let due = each!(scheme, sum(given))?;
            if each!(scheme, base(value))
                .map_err(|source| RunError::caught(from, Lie::Sum, evidence(), source))?
                != due
            {
                return Err(wrong());
            }
        }
        Ok(sums)
    }
}
