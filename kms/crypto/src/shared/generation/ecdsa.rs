//! The rounds of DKLs23's key generation. The opening deals, the dealing commits, and the agreement opens what was committed
//! to: proofs of the shares for everybody, and for each other holder, sealed, seeds and oblivious transfers.
//!
//! A dealer whose pieces lie on no polynomial spoils the key, and nobody can say who it was.

use std::collections::BTreeMap;

use dkls23_core::utilities::proofs::DLogProof;
use opaque_ke::rand::{CryptoRng, RngCore};

use super::{Dealer, Generation, Opener, Openings};
use crate::hpke_box::BoxKey;
use crate::shared::confirmation::Dealt;
use crate::shared::errors::{Lie, RunError};
use crate::shared::facts::SharedKey;
use crate::shared::holders::Holders;
use crate::shared::message::{Message, Step, collect};
use crate::shared::parts::Ways;
use crate::shared::pieces::{self, Way, sealed_bytes};
use crate::shared::run;
use crate::shared::share::KeyShare;
use crate::shared::suite::ecdsa::Curve;
use crate::shared::suite::ecdsa::generation::{
    self, Commitments, Committed, Opened, Transfers, is_piece, proof,
};
use crate::shared::suite::generation::Pieces;

/// Pieces answer nothing: the run is all there is before them.
const NOTHING: [u8; 32] = [0; 32];
const HASH_BYTES: usize = 32;

/// A holder between opening and dealing.
pub(super) struct Begun {
    opened: Opened,
    /// From the own parties to the own.
    kept: Pieces,
}

/// A holder between dealing and confirmation.
pub(super) struct Dealing {
    committed: Option<Committed>,
    own: BTreeMap<u16, Commitments>,
    agreed: Option<Agreed>,
}

struct Agreed {
    transcript: [u8; 32],
    message: Message,
    /// From the own parties to the own.
    kept: Transfers,
}

/// First round: pieces for everybody, sealed.
pub(super) fn open(
    generation: &Generation,
    place: u8,
    sign: impl FnOnce(&[u8]) -> [u8; 64],
    random: &mut (impl RngCore + CryptoRng),
) -> Result<(Opener, Message), RunError> {
    let (holders, run) = (generation.holders(), &generation.run);
    generation.scheme.check_keepers(holders)?;
    let (opened, mut pieces) = generation::open(holders, &holders.identifiers(place), run)?;
    let mut body = Vec::new();
    for to in generation.receivers(place) {
        let way = Way { run, transcript: &NOTHING, from: place, to };
        let theirs = pieces.iter().filter(|((_, number), _)| holders.owner(*number) == to);
        body.extend(pieces::seal(way, &generation.roster, theirs.map(|(_, piece)| piece), random)?);
    }
    pieces.retain(|(_, number), _| holders.owner(*number) == place);
    let message = Message::new((Step::Opening, run, place), body, sign);
    let begun = super::Begun::Ecdsa(Begun { opened, kept: pieces });
    Ok((Opener { place, own: message.clone(), begun }, message))
}

impl Begun {
    /// Second round: commitments to what the pieces add up to, and to seeds.
    pub(super) fn deal(
        self,
        place: u8,
        openings: &Openings,
        key: &BoxKey,
        sign: impl FnOnce(&[u8]) -> [u8; 64],
    ) -> Result<(Dealer, Message), RunError> {
        let Self { opened, kept: mut pieces } = self;
        for message in openings.messages.values().filter(|message| message.from() != place) {
            pieces.extend(openings.dealt(message, place, key)?);
        }
        let (committed, own) = opened.commit(&pieces)?;
        let mut body = openings.transcript.to_vec();
        for (&number, Commitments { proof, seeds }) in &own {
            body.extend_from_slice(proof);
            let others = openings.generation.strangers(number);
            let seeds = others.iter().filter_map(|other| seeds.get(other));
            seeds.for_each(|seed| body.extend_from_slice(seed));
        }
        let message = Message::new((Step::Dealing, &openings.generation.run, place), body, sign);
        let dealing = Dealing { committed: Some(committed), own, agreed: None };
        let dealing = super::Dealing::Ecdsa(Box::new(dealing));
        Ok((Dealer { place, own: message.clone(), dealing }, message))
    }
}

impl Dealing {
    pub(super) fn agree(
        &mut self,
        (place, own): (u8, &Message),
        openings: &Openings,
        dealings: &[Vec<u8>],
        sign: impl FnOnce(&[u8]) -> [u8; 64],
        random: &mut (impl RngCore + CryptoRng),
    ) -> Result<Message, RunError> {
        let (dealings, _, transcript) = openings.committed(dealings)?;
        if dealings.get(&place) != Some(own) {
            return Err(RunError::Foreign { place });
        }
        match &self.agreed {
            Some(agreed) if agreed.transcript == transcript => return Ok(agreed.message.clone()),
            Some(_) => return Err(RunError::Spent { place }),
            None => {}
        }
        let committed = self.committed.as_mut().ok_or(RunError::Spent { place })?;
        let (proofs, transfers) = committed.agree()?;
        let mut body = transcript.to_vec();
        for proof in proofs.values() {
            // INVARIANT: a proof has a few KB.
            body.extend_from_slice(&u32::try_from(proof.len()).unwrap_or(u32::MAX).to_be_bytes());
            body.extend_from_slice(proof);
        }
        let places = openings.places();
        let (sealed, kept) = openings.ways(&transcript, &places).seal(place, transfers, random)?;
        body.extend(sealed);
        let message = Message::new((Step::Agreement, &openings.generation.run, place), body, sign);
        self.agreed = Some(Agreed { transcript, message: message.clone(), kept });
        Ok(message)
    }

    pub(super) fn finish(
        &mut self,
        place: u8,
        openings: &Openings,
        dealings: &[Vec<u8>],
        agreements: &[Vec<u8>],
        key: &BoxKey,
    ) -> Result<Dealt, RunError> {
        let Generation { name, scheme, roster, run } = &openings.generation;
        let (_, mut commitments, transcript) = openings.committed(dealings)?;
        let places = openings.places();
        let messages = collect(roster, run, Step::Agreement, &places, agreements)?;
        let agreed = self.agreed.as_ref().filter(|agreed| agreed.transcript == transcript);
        if agreed.is_none_or(|agreed| messages.get(&place) != Some(&agreed.message)) {
            return Err(RunError::Foreign { place });
        }
        let (mut proofs, mut transfers) = (BTreeMap::new(), Transfers::new());
        for (&from, message) in &messages {
            let sealed = openings.proofs(&transcript, from, message, &mut proofs)?;
            let Some(sealed) = sealed.get(&place) else { continue };
            let opened = openings.ways(&transcript, &places).open([from, place], key, sealed);
            let lied = || RunError::lied(from, Lie::Agreement, vec![message.encode()]);
            transfers.extend(opened.ok_or_else(lied)?);
        }
        // From here on the state is gone, whatever comes of it.
        let spent = || RunError::Spent { place };
        let (agreed, committed) =
            (self.agreed.take().ok_or_else(spent)?, self.committed.take().ok_or_else(spent)?);
        transfers.extend(agreed.kept);
        commitments.extend(std::mem::take(&mut self.own));
        let made = committed.finish(&commitments, &proofs, transfers).map_err(|refused| {
            refused.at(place, roster.holders(), Lie::Agreement, |liar| {
                messages.get(&liar).map(Message::encode).into_iter().collect()
            })
        })?;
        let shared = SharedKey::new(*name, *scheme, 1, roster.holders().clone(), made.public)?;
        let values = made.values.into_values().collect();
        let share = KeyShare::with_parties(&shared, place, values, made.parties)?;
        Ok(Dealt::new((run, roster), shared, share, places))
    }
}

impl Generation {
    /// The identifiers of other holders than this one's.
    fn strangers(&self, number: u16) -> Vec<u16> {
        let holders = self.holders();
        let own = holders.owner(number);
        holders.all_identifiers().into_iter().filter(|&other| holders.owner(other) != own).collect()
    }
}

type Dealings = (BTreeMap<u8, Message>, BTreeMap<u16, Commitments>, [u8; 32]);

impl Openings {
    fn places(&self) -> Vec<u8> {
        self.generation.holders().places().collect()
    }

    const fn ways<'a>(&'a self, transcript: &'a [u8; 32], places: &'a [u8]) -> Ways<'a> {
        let Generation { roster, run, .. } = &self.generation;
        Ways { run, transcript, roster, places }
    }

    /// Opens a dealer's pieces.
    fn dealt(&self, message: &Message, to: u8, key: &BoxKey) -> Result<Pieces, RunError> {
        let (from, generation) = (message.from(), &self.generation);
        let lied = |lie| RunError::lied(from, lie, vec![message.encode()]);
        let before = generation.receivers(from).filter(|&other| other < to);
        let skipped = before.map(|other| sealed_bytes(generation.count(from, other))).sum();
        let count = generation.count(from, to);
        let sealed = message.body().get(skipped..).and_then(|rest| rest.get(..sealed_bytes(count)));
        let way = Way { run: &generation.run, transcript: &NOTHING, from, to };
        let sealed = sealed.ok_or_else(|| lied(Lie::Malformed))?;
        let scalars = pieces::open(way, key, sealed, count).ok_or_else(|| lied(Lie::Piece))?;
        if !scalars.iter().all(is_piece) {
            return Err(lied(Lie::Piece));
        }
        let holders: &Holders = generation.holders();
        let pairs = holders
            .identifiers(from)
            .into_iter()
            .flat_map(|giving| holders.identifiers(to).into_iter().map(move |receiving| (giving, receiving)));
        Ok(pairs.zip(scalars).collect())
    }

    /// Everybody's commitments, and the transcript that the agreement answers.
    fn committed(&self, dealings: &[Vec<u8>]) -> Result<Dealings, RunError> {
        let Generation { roster, run, .. } = &self.generation;
        let messages = collect(roster, run, Step::Dealing, &self.places(), dealings)?;
        let mut commitments = BTreeMap::new();
        for (&place, message) in &messages {
            let malformed = || RunError::lied(place, Lie::Malformed, vec![message.encode()]);
            let (transcript, rest) =
                message.body().split_first_chunk::<HASH_BYTES>().ok_or_else(malformed)?;
            if *transcript != self.transcript {
                return Err(RunError::Diverged { place });
            }
            commitments.extend(self.read_commitments(place, rest).ok_or_else(malformed)?);
        }
        let transcript = run::transcript(run, messages.values().map(Message::hash));
        Ok((messages, commitments, transcript))
    }

    fn read_commitments(&self, place: u8, rest: &[u8]) -> Option<BTreeMap<u16, Commitments>> {
        let (hashes, behind) = rest.as_chunks::<HASH_BYTES>();
        let mut hashes = hashes.iter().copied();
        let mut all = BTreeMap::new();
        for number in self.generation.holders().identifiers(place) {
            let proof = hashes.next()?;
            let seeds =
                self.generation.strangers(number).into_iter().map(|other| Some((other, hashes.next()?)));
            all.insert(number, Commitments { proof, seeds: seeds.collect::<Option<_>>()? });
        }
        (behind.is_empty() && hashes.next().is_none()).then_some(all)
    }

    /// Reads the proofs of an agreement, and what is sealed to each other holder.
    fn proofs<'a>(
        &self,
        transcript: &[u8; 32],
        from: u8,
        message: &'a Message,
        proofs: &mut BTreeMap<u16, DLogProof<Curve>>,
    ) -> Result<BTreeMap<u8, &'a [u8]>, RunError> {
        let malformed = || RunError::lied(from, Lie::Malformed, vec![message.encode()]);
        let (found, mut rest) = message.body().split_first_chunk::<HASH_BYTES>().ok_or_else(malformed)?;
        if found != transcript {
            return Err(RunError::Diverged { place: from });
        }
        for number in self.generation.holders().identifiers(from) {
            let (&length, behind) = rest.split_first_chunk::<4>().ok_or_else(malformed)?;
            let length = usize::try_from(u32::from_be_bytes(length)).map_err(|_| malformed())?;
            let (bytes, behind) = behind.split_at_checked(length).ok_or_else(malformed)?;
            proofs.insert(number, proof(bytes).ok_or_else(malformed)?);
            rest = behind;
        }
        self.ways(transcript, &self.places()).split(from, rest).ok_or_else(malformed)
    }
}
