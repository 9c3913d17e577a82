//! The third round: everybody's pieces are opened, held against the openings, and added up to the share.

use super::{Generation, Openings, ecdsa};
use crate::hpke_box::BoxKey;
use crate::random::with_randomness;
use crate::shared::confirmation::Dealt;
use crate::shared::errors::{Lie, RunError};
use crate::shared::facts::SharedKey;
use crate::shared::message::{Message, Step, collect};
use crate::shared::pieces::{self, sealed_bytes};
use crate::shared::share::KeyShare;
use crate::shared::suite::dealing::holds;
use crate::shared::suite::each;
use crate::shared::suite::generation::{Pieces, Second};

/// A holder between the second and the last round. Secret, in memory only; to be dropped when the share is kept.
pub struct Dealer {
    pub(super) place: u8,
    pub(super) own: Message,
    pub(super) dealing: Dealing,
}

pub(super) enum Dealing {
    Frost { second: Box<dyn Second>, kept: Pieces },
    Ecdsa(Box<ecdsa::Dealing>),
}

impl Dealer {
    /// The round that [`answers`](crate::shared::SharedScheme::answers) tells of, from everybody's dealings: proofs are opened. It is made once; asked again
    /// with the same dealings, it is the same message.
    pub fn agree(
        &mut self,
        openings: &Openings,
        dealings: &[Vec<u8>],
        sign: impl FnOnce(&[u8]) -> [u8; 64],
    ) -> Result<Message, RunError> {
        match &mut self.dealing {
            Dealing::Frost { .. } => Err(RunError::NoStep { step: Step::Agreement }),
            Dealing::Ecdsa(dealing) => with_randomness(|random| {
                dealing.agree((self.place, &self.own), openings, dealings, sign, random)
            }),
        }
    }

    /// Last round: the share, from everybody's dealings and, if the scheme has them, agreements. FROST's openings fix what it
    /// is, so it may be asked again with other dealings after some were refused; ECDSA's state is used up by one try.
    pub fn finish(
        &mut self,
        openings: &Openings,
        dealings: &[Vec<u8>],
        agreements: &[Vec<u8>],
        key: &BoxKey,
    ) -> Result<Dealt, RunError> {
        let Self { place, own, dealing } = self;
        let place = *place;
        let (second, kept) = match dealing {
            Dealing::Frost { second, kept } if agreements.is_empty() => (second, kept),
            Dealing::Frost { .. } => return Err(RunError::NoStep { step: Step::Agreement }),
            Dealing::Ecdsa(dealing) => return dealing.finish(place, openings, dealings, agreements, key),
        };
        let mut pieces = kept.clone();
        let Generation { name, scheme, roster, run } = &openings.generation;
        let places: Vec<u8> = roster.holders().places().collect();
        let dealings = collect(roster, run, Step::Dealing, &places, dealings)?;
        if dealings.get(&place) != Some(own) {
            return Err(RunError::Foreign { place });
        }
        for message in dealings.values().filter(|message| message.from() != place) {
            pieces.extend(openings.piece(message, place, key)?);
        }
        let (values, public) = second.finish(&pieces)?;
        let shared = SharedKey::new(*name, *scheme, 1, roster.holders().clone(), public)?;
        let share = KeyShare::new(&shared, place, values.into_values().collect())?;
        Ok(Dealt::new((run, roster), shared, share, places))
    }
}

impl Openings {
    /// Opens a dealer's piece and holds it against its opening.
    fn piece(&self, message: &Message, to: u8, key: &BoxKey) -> Result<Pieces, RunError> {
        let (from, generation) = (message.from(), &self.generation);
        let evidence = || {
            let opening = self.messages.get(&from).map(Message::encode);
            opening.into_iter().chain([message.encode()]).collect::<Vec<_>>()
        };
        let malformed = || RunError::lied(from, Lie::Malformed, evidence());
        let (transcript, mut rest) = message.body().split_first_chunk::<32>().ok_or_else(malformed)?;
        if *transcript != self.transcript {
            return Err(RunError::Diverged { place: from });
        }
        let mut mine = None;
        for receiver in generation.receivers(from) {
            let length = sealed_bytes(generation.count(from, receiver));
            let (sealed, behind) = rest.split_at_checked(length).ok_or_else(malformed)?;
            mine = if receiver == to { Some(sealed) } else { mine };
            rest = behind;
        }
        let sealed = mine.filter(|_| rest.is_empty()).ok_or_else(malformed)?;
        let opened = pieces::open(self.way(from, to), key, sealed, generation.count(from, to));
        let scalars = opened.ok_or_else(|| RunError::lied(from, Lie::Piece, evidence()))?;
        let mut scalars = scalars.into_iter();
        let mut pieces = Pieces::new();
        for giving in generation.holders().identifiers(from) {
            let shown = self.shown.get(&giving).ok_or_else(malformed)?;
            for receiving in generation.holders().identifiers(to) {
                let piece = scalars.next().ok_or_else(malformed)?;
                each!(generation.scheme, holds(receiving, &piece, &shown.commitments))
                    .map_err(|source| RunError::caught(from, Lie::Piece, evidence(), source))?;
                pieces.insert((giving, receiving), piece);
            }
        }
        Ok(pieces)
    }
}
