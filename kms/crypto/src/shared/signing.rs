//! Signing: the user and exactly t keepers, in two rounds of FROST.
//!
//! A run is one attempt at one intent, with one message, one tweak and one set of signers; a signer's nonces are made for a run
//! in one life of its process, stand in memory only, and are used up by the one call that signs. After a restart they are
//! gone, and so is the attempt. A signer answers the first round of a run once, and repeats that answer when it is asked again.

use std::collections::BTreeMap;
use std::fmt;

use keyward_domain::payload::MESSAGE_LEN_MAX;
use opaque_ke::rand::{CryptoRng, RngCore};

use super::errors::{Lie, RunError};
use super::facts::SharedKey;
use super::message::{Message, Step, alone, collect};
use super::pieces::elements;
use super::roster::Roster;
use super::run::{self, Kind};
use super::scheme::{SharedScheme, Tweak};
use super::share::KeyShare;
use super::suite::signing::{self, NoncePair};
use super::suite::{Element, each};
use crate::random::with_randomness;

mod package;

pub use package::Package;

const BOOT_BYTES: usize = 32;

/// One life of a signer's process. It cannot be read from anywhere, so no nonce outlives it.
pub struct Boot([u8; BOOT_BYTES]);

impl Boot {
    /// At the start of a process.
    pub fn begin() -> Result<Self, RunError> {
        with_randomness(|random| Ok(Self::random(random)))
    }

    pub(crate) fn random(random: &mut (impl RngCore + CryptoRng)) -> Self {
        let mut boot = [0; BOOT_BYTES];
        random.fill_bytes(&mut boot);
        Self(boot)
    }
}

/// What is to be signed, and by whom.
#[derive(Clone, Debug)]
pub struct SigningPlan {
    /// The intent on the ledger that allows it.
    pub intent: [u8; 32],
    /// Which attempt at it this is.
    pub attempt: u32,
    /// The keepers that sign with the user: exactly the threshold, ascending.
    pub keepers: Vec<u8>,
    /// For Ed25519 the message, at most 1 MiB; for BIP340 the digest of 32 bytes that is signed.
    pub message: Vec<u8>,
    /// What is added to the key before.
    pub tweak: Tweak,
}

/// One attempt at a signature.
#[derive(Clone, Debug)]
pub struct Signing {
    key: SharedKey,
    roster: Roster,
    plan: SigningPlan,
    signers: Vec<u8>,
    run: [u8; 32],
}

impl Signing {
    /// With this key, by this plan.
    pub fn new(key: SharedKey, roster: Roster, plan: SigningPlan) -> Result<Self, RunError> {
        key.check_roster(&roster)?;
        let found = plan.message.len();
        match key.scheme() {
            SharedScheme::Bip340 if found != 32 => return Err(RunError::Digest { found }),
            SharedScheme::Ed25519 if found > MESSAGE_LEN_MAX => return Err(RunError::TooLong { found }),
            SharedScheme::Ed25519 if plan.tweak != Tweak::None => return Err(RunError::Tweak),
            _ => {}
        }
        let needed = key.holders().threshold();
        let signers = key.holders().authorised(&plan.keepers).ok_or(RunError::Keepers { needed })?;
        let SigningPlan { intent, attempt, message, tweak, .. } = &plan;
        let (attempt, tweak) = (attempt.to_be_bytes(), tweak.encode());
        let parts: [&[u8]; 7] = [&key.hash(), &roster.encode(), intent, &attempt, &tweak, &signers, message];
        let run = run::id(Kind::Signing, key.name(), &parts);
        Ok(Self { key, roster, plan, signers, run })
    }

    /// Names the run.
    pub const fn id(&self) -> &[u8; 32] {
        &self.run
    }

    /// First round, at one signer.
    pub fn commit(
        &self,
        share: &KeyShare,
        boot: &Boot,
        sign: impl FnOnce(&[u8]) -> [u8; 64],
    ) -> Result<(Nonces, Message), RunError> {
        with_randomness(|random| self.commit_with(share, boot, sign, random))
    }

    pub(crate) fn commit_with(
        &self,
        share: &KeyShare,
        boot: &Boot,
        sign: impl FnOnce(&[u8]) -> [u8; 64],
        random: &mut (impl RngCore + CryptoRng),
    ) -> Result<(Nonces, Message), RunError> {
        let place = share.place();
        if !self.signers.contains(&place) {
            return Err(RunError::NotAPart { place });
        }
        let (mut pairs, mut body) = (BTreeMap::new(), boot.0.to_vec());
        for (number, value) in share.values(&self.key)? {
            let (pair, shown) = each!(self.key.scheme(), signing::commit(value, random))?;
            pairs.insert(number, pair);
            shown.iter().for_each(|commitment| body.extend_from_slice(commitment));
        }
        let own = Message::new((Step::Commitment, &self.run, place), body, sign);
        Ok((Nonces { boot: boot.0, pairs, own: own.clone() }, own))
    }

    /// Puts everybody's commitments together: for everybody to check, and nobody's nonces are touched.
    pub fn package(&self, messages: &[Vec<u8>]) -> Result<Package, RunError> {
        let found = collect(&self.roster, &self.run, Step::Commitment, &self.signers, messages);
        let messages = found.map_err(restarted)?;
        let mut commitments = BTreeMap::new();
        for (&place, message) in &messages {
            commitments.extend(self.read(place, message)?);
        }
        let hash = run::transcript(&self.run, messages.values().map(Message::hash));
        Ok(Package { signing: self.clone(), messages, commitments, hash })
    }

    /// Judges one commitment by itself: signed by a signer, for this run, well formed. A keeper asks before it makes nonces for
    /// a run that the user's device has begun.
    pub fn judge(&self, commitment: &[u8]) -> Result<(), RunError> {
        let message = alone(&self.roster, &self.run, Step::Commitment, &self.signers, commitment)?;
        self.read(message.from(), &message).map(drop)
    }

    fn read(&self, place: u8, message: &Message) -> Result<BTreeMap<u16, [Element; 2]>, RunError> {
        let malformed = || RunError::lied(place, Lie::Malformed, vec![message.encode()]);
        let (_, rest) = message.body().split_first_chunk::<BOOT_BYTES>().ok_or_else(malformed)?;
        let numbers = self.key.holders().identifiers(place);
        let read = elements(rest, 2 * numbers.len(), self.key.scheme().element_bytes());
        let (list, behind) = read.ok_or_else(malformed)?;
        let (pairs, _) = list.as_chunks::<2>();
        if !behind.is_empty() {
            return Err(malformed());
        }
        for pair in pairs {
            each!(self.key.scheme(), signing::check(pair))
                .map_err(|source| RunError::caught(place, Lie::Nonce, vec![message.encode()], source))?;
        }
        Ok(numbers.into_iter().zip(pairs.iter().cloned()).collect())
    }
}

/// Two commitments of one holder from two lives of its process are no lie.
fn restarted(error: RunError) -> RunError {
    let RunError::Equivocated { place, evidence } = &error else { return error };
    let boots = evidence.each_ref().map(|bytes| {
        let message = Message::decode(bytes).ok()?;
        message.body().first_chunk::<BOOT_BYTES>().copied()
    });
    let [first, second] = boots;
    if first != second { RunError::Restarted { place: *place } } else { error }
}

/// A signer's nonces of one run: secret, in memory only, wiped on drop. There is no way to copy or keep them, and signing
/// takes them away.
pub struct Nonces {
    boot: [u8; BOOT_BYTES],
    pairs: BTreeMap<u16, NoncePair>,
    own: Message,
}

impl Nonces {
    /// What was answered in the first round, to be answered again.
    pub const fn commitment(&self) -> &Message {
        &self.own
    }

    /// Second round, at one signer. The nonces are gone before anything leaves, also when nothing is signed.
    pub fn sign(
        self,
        share: &KeyShare,
        boot: &Boot,
        package: &Package,
        sign: impl FnOnce(&[u8]) -> [u8; 64],
    ) -> Result<Message, RunError> {
        let Self { boot: made, pairs, own } = self;
        let (place, signing) = (share.place(), &package.signing);
        if made != boot.0 || own.from() != place || package.messages.get(&place) != Some(&own) {
            return Err(RunError::Foreign { place });
        }
        let mut values = share.values(&signing.key)?;
        let mut body = package.hash.to_vec();
        for (number, pair) in pairs {
            let value = values.remove(&number).ok_or(RunError::NotAPart { place })?;
            let scheme = signing.key.scheme();
            body.extend(each!(scheme, signing::sign(package.task(), number, value, pair))?);
        }
        Ok(Message::new((Step::Share, &signing.run, place), body, sign))
    }
}

impl fmt::Debug for Nonces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Nonces(redacted)")
    }
}
