//! The rounds of DKLs23's signing, the key's holders multiplying in pairs. Commitment and answer carry sealed parts for each other
//! signer; the share is for everybody, and anybody puts the shares together.
//!
//! Who lies to a holder in a product is banned by it; who spoils the sum of the shares cannot be found.

use std::collections::BTreeMap;

use keyward_domain::scheme::verify_digest;
use opaque_ke::rand::{CryptoRng, RngCore};

use super::{Boot, Package, Signing};
use crate::hpke_box::BoxKey;
use crate::shared::errors::{Lie, RunError};
use crate::shared::message::{Message, Step, collect};
use crate::shared::parts::{Part, Ways};
use crate::shared::run;
use crate::shared::scheme::Tweak;
use crate::shared::share::KeyShare;
use crate::shared::suite::ecdsa::signing::{
    self, First, Parts, Second, Shown, Task, is_share, signature, two_faced,
};

/// The first parts answer nothing: the run is all there is before them.
pub(super) const NOTHING: [u8; 32] = [0; 32];
const HASH_BYTES: usize = 32;
/// `package hash[32] || transcript of the answers[32] || abscissa[32]`.
const HEAD_BYTES: usize = 3 * HASH_BYTES;

/// A signer after its commitment.
pub(super) struct Committed {
    secrets: signing::Committed,
    /// From the own parties to the own.
    kept: Parts<First>,
}

/// A signer after its answer.
pub(super) struct Answered {
    secrets: signing::Answered,
    /// From the own parties to the own.
    kept: Parts<Second>,
    message: Message,
}

impl Signing {
    pub(super) fn ways<'a>(&'a self, transcript: &'a [u8; 32]) -> Ways<'a> {
        Ways { run: &self.run, transcript, roster: &self.roster, places: &self.signers }
    }

    fn digest(&self) -> Result<[u8; 32], RunError> {
        let message = self.plan.message.as_slice();
        message.try_into().map_err(|_| RunError::Digest { found: message.len() })
    }

    pub(super) fn commit_products(
        &self,
        share: &KeyShare,
        boot: &Boot,
        sign: impl FnOnce(&[u8]) -> [u8; 64],
        random: &mut (impl RngCore + CryptoRng),
    ) -> Result<(Committed, Message), RunError> {
        share.values(&self.key)?;
        let (place, parties) = (share.place(), share.parties(&self.signers)?);
        let (digest, signers) = (self.digest()?, self.key.holders().identifiers_of(&self.signers));
        let made = signing::commit(self.task(&signers, &digest), parties);
        let (secrets, parts) =
            made.map_err(|refused| refused.at(place, self.key.holders(), Lie::Part, |_| Vec::new()))?;
        let (sealed, kept) = self.ways(&NOTHING).seal(place, parts, random)?;
        let body = [&boot.0[..], &sealed].concat();
        let message = Message::new((Step::Commitment, &self.run, place), body, sign);
        Ok((Committed { secrets, kept }, message))
    }

    fn task<'a>(&'a self, signers: &'a [u16], digest: &'a [u8; 32]) -> Task<'a> {
        Task { holders: self.key.holders(), signers, run: &self.run, digest }
    }
}

impl Committed {
    /// Opens everybody's parts and multiplies with them.
    pub(super) fn answer(
        self,
        share: &KeyShare,
        package: &Package,
        key: &BoxKey,
        sign: impl FnOnce(&[u8]) -> [u8; 64],
        random: &mut (impl RngCore + CryptoRng),
    ) -> Result<Answered, RunError> {
        let (place, signing) = (share.place(), &package.signing);
        let parties = share.parties(&signing.signers)?;
        let mut parts = package.opened(&package.messages, (&NOTHING, super::BOOT_BYTES), place, key)?;
        parts.extend(self.kept);
        let (digest, signers) = (signing.digest()?, signing.key.holders().identifiers_of(&signing.signers));
        let made = self.secrets.answer(signing.task(&signers, &digest), parties, &parts);
        let (secrets, parts) = made.map_err(|refused| {
            let evidence = |liar| package.messages.get(&liar).map(Message::encode).into_iter().collect();
            refused.at(place, signing.key.holders(), Lie::Part, evidence)
        })?;
        let (sealed, kept) = signing.ways(&package.hash).seal(place, parts, random)?;
        let body = [&package.hash[..], &sealed].concat();
        let message = Message::new((Step::Answer, &signing.run, place), body, sign);
        Ok(Answered { secrets, kept, message })
    }
}

impl Answered {
    pub(super) const fn message(&self) -> &Message {
        &self.message
    }

    /// Opens everybody's answers; the share.
    pub(super) fn share(
        self,
        share: &KeyShare,
        package: &Package,
        answers: &[Vec<u8>],
        key: &BoxKey,
        sign: impl FnOnce(&[u8]) -> [u8; 64],
    ) -> Result<Message, RunError> {
        let (place, signing) = (share.place(), &package.signing);
        let (holders, parties) = (signing.key.holders(), share.parties(&signing.signers)?);
        let messages = package.answers(answers)?;
        if messages.get(&place) != Some(&self.message) {
            return Err(RunError::Foreign { place });
        }
        let evidence = |liar| {
            let both = [package.messages.get(&liar), messages.get(&liar)];
            both.into_iter().flatten().map(Message::encode).collect()
        };
        let mut parts = package.opened(&messages, (&package.hash, HASH_BYTES), place, key)?;
        if let Some(liar) = two_faced(&parts).map(|number| holders.owner(number)) {
            return Err(RunError::lied(liar, Lie::Part, evidence(liar)));
        }
        parts.extend(self.kept);
        let (digest, signers) = (signing.digest()?, holders.identifiers_of(&signing.signers));
        let made = self.secrets.share(signing.task(&signers, &digest), parties, &parts);
        let Shown { abscissa, shares } =
            made.map_err(|refused| refused.at(place, holders, Lie::Part, evidence))?;
        let transcript = run::transcript(&signing.run, messages.values().map(Message::hash));
        let shares = shares.into_values().flatten().flatten();
        let body = [package.hash, transcript, abscissa].into_iter().flatten().chain(shares).collect();
        Ok(Message::new((Step::Share, &signing.run, place), body, sign))
    }
}

/// What a share says.
pub(super) struct Read {
    transcript: [u8; 32],
    abscissa: [u8; 32],
    shares: Vec<[[u8; 32]; 2]>,
}

impl Package {
    /// Everybody's answers to these commitments.
    fn answers(&self, answers: &[Vec<u8>]) -> Result<BTreeMap<u8, Message>, RunError> {
        let Signing { roster, run, signers, .. } = &self.signing;
        let messages = collect(roster, run, Step::Answer, signers, answers)?;
        messages.values().try_for_each(|message| self.read_answer(message))?;
        Ok(messages)
    }

    /// An answer to these commitments, well formed as far as everybody sees.
    pub(super) fn read_answer(&self, message: &Message) -> Result<(), RunError> {
        let place = message.from();
        let malformed = || RunError::lied(place, Lie::Malformed, vec![message.encode()]);
        let (hash, rest) = message.body().split_first_chunk::<HASH_BYTES>().ok_or_else(malformed)?;
        if *hash != self.hash {
            return Err(RunError::Diverged { place });
        }
        self.signing.ways(hash).split(place, rest).map(drop).ok_or_else(malformed)
    }

    /// The parts of everybody else's messages to the own parties, which stand behind a head.
    fn opened<T: Part>(
        &self,
        messages: &BTreeMap<u8, Message>,
        (transcript, head): (&[u8; 32], usize),
        place: u8,
        key: &BoxKey,
    ) -> Result<Parts<T>, RunError> {
        let ways = self.signing.ways(transcript);
        let mut parts = Parts::new();
        for (&from, message) in messages.iter().filter(|(from, _)| **from != place) {
            let lied = |lie| RunError::lied(from, lie, vec![message.encode()]);
            let sealed = message.body().get(head..).and_then(|rest| ways.split(from, rest));
            let sealed = sealed.ok_or_else(|| lied(Lie::Malformed))?;
            let sealed = sealed.get(&place).ok_or(RunError::NotAPart { place })?;
            parts.extend(ways.open([from, place], key, sealed).ok_or_else(|| lied(Lie::Part))?);
        }
        Ok(parts)
    }

    /// The signature, from everybody's shares. Whoever is wrong among them is not found.
    pub(super) fn products_signature(&self, messages: &[Vec<u8>]) -> Result<Vec<u8>, RunError> {
        let Signing { key, roster, signers, run, .. } = &self.signing;
        let messages = collect(roster, run, Step::Share, signers, messages)?;
        let read = messages.values().map(|message| self.read_products(message));
        let read = read.collect::<Result<Vec<_>, _>>()?;
        let Some(first) = read.first() else { return Err(RunError::Spoilt) };
        let other = messages.keys().zip(&read).find(|(_, read)| read.transcript != first.transcript);
        if let Some((&place, _)) = other {
            return Err(RunError::Diverged { place });
        }
        if read.iter().any(|read| read.abscissa != first.abscissa) {
            return Err(RunError::Spoilt);
        }
        let signature = signature(&first.abscissa, read.iter().flat_map(|read| &read.shares));
        let signature = signature.ok_or(RunError::Spoilt)?;
        let verified = verify_digest(&key.public_key(&Tweak::None)?, &self.signing.digest()?, &signature);
        verified.map_err(|_| RunError::Spoilt)?;
        Ok(signature)
    }

    pub(super) fn read_products(&self, message: &Message) -> Result<Read, RunError> {
        let place = message.from();
        let malformed = || RunError::lied(place, Lie::Malformed, vec![message.encode()]);
        let (head, rest) = message.body().split_first_chunk::<HEAD_BYTES>().ok_or_else(malformed)?;
        let ([hash, transcript, abscissa], []) = head.as_chunks::<HASH_BYTES>() else {
            return Err(malformed());
        };
        let (scalars, behind) = rest.as_chunks::<HASH_BYTES>();
        let (shares, odd) = scalars.as_chunks::<2>();
        let count = self.signing.key.holders().identifiers(place).len();
        if !behind.is_empty() || !odd.is_empty() || shares.len() != count || !shares.iter().all(is_share) {
            return Err(malformed());
        }
        if *hash != self.hash {
            return Err(RunError::Diverged { place });
        }
        Ok(Read { transcript: *transcript, abscissa: *abscissa, shares: shares.to_vec() })
    }
}
