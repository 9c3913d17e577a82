//! Signing: the user and exactly t keepers, in two rounds of FROST, or three of DKLs23 ([`ecdsa`]).
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
use super::message::{Message, Step, alone, collect_read};
use super::pieces::elements;
use super::roster::Roster;
use super::run::{self, Kind};
use super::scheme::{SharedScheme, Tweak};
use super::share::KeyShare;
use super::suite::signing::{self, NoncePair};
use super::suite::{Element, each};
use crate::hpke_box::BoxKey;
use crate::random::with_randomness;

mod ecdsa;
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
    /// For Ed25519 the message, at most 1 MiB; for BIP340 and ECDSA the digest of 32 bytes that is signed.
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
            SharedScheme::Bip340 | SharedScheme::EcdsaSecp256k1 if found != 32 => {
                return Err(RunError::Digest { found });
            }
            SharedScheme::Ed25519 if found > MESSAGE_LEN_MAX => return Err(RunError::TooLong { found }),
            SharedScheme::Ed25519 | SharedScheme::EcdsaSecp256k1 if plan.tweak != Tweak::None => {
                return Err(RunError::Tweak);
            }
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
        if self.key.scheme().answers() {
            let (committed, own) = self.commit_products(share, boot, sign, random)?;
            return Ok((
                Nonces { boot: boot.0, secrets: Secrets::Committed(committed), own: own.clone() },
                own,
            ));
        }
        let (mut pairs, mut body) = (BTreeMap::new(), boot.0.to_vec());
        for (number, value) in share.values(&self.key)? {
            let (pair, shown) = each!(self.key.scheme(), signing::commit(value, random))?;
            pairs.insert(number, pair);
            shown.iter().for_each(|commitment| body.extend_from_slice(commitment));
        }
        let own = Message::new((Step::Commitment, &self.run, place), body, sign);
        Ok((Nonces { boot: boot.0, secrets: Secrets::Frost(pairs), own: own.clone() }, own))
    }

    /// Puts everybody's commitments together: for everybody to check, and nobody's nonces are touched.
    pub fn package(&self, messages: &[Vec<u8>]) -> Result<Package, RunError> {
        self.package_with(&[], messages)
    }

    /// The same, for who has judged some of them in this run before: exactly these are not judged again.
    pub fn package_with(&self, judged: &[&Judged], messages: &[Vec<u8>]) -> Result<Package, RunError> {
        let found = collect_read(&self.signers, messages, |bytes| {
            let known = judged.iter().find(|known| *known.0.run() == self.run && known.0.encode() == bytes);
            match known {
                Some(known) => Ok(known.0.clone()),
                None => alone(&self.roster, &self.run, Step::Commitment, &self.signers, bytes),
            }
        });
        let messages = found.map_err(restarted)?;
        let mut commitments = BTreeMap::new();
        for (&place, message) in &messages {
            commitments.extend(match judged.iter().any(|known| known.0 == *message) {
                true => self.split(place, message)?,
                false => self.read(place, message)?,
            });
        }
        let hash = run::transcript(&self.run, messages.values().map(Message::hash));
        Ok(Package { signing: self.clone(), messages, commitments, hash })
    }

    /// Judges one commitment by itself: signed by a signer, for this run, well formed. A keeper asks before it makes nonces for
    /// a run that the user's device has begun.
    pub fn judge(&self, commitment: &[u8]) -> Result<Judged, RunError> {
        let message = alone(&self.roster, &self.run, Step::Commitment, &self.signers, commitment)?;
        self.read(message.from(), &message)?;
        Ok(Judged(message))
    }

    fn read(&self, place: u8, message: &Message) -> Result<BTreeMap<u16, [Element; 2]>, RunError> {
        let commitments = self.split(place, message)?;
        for pair in commitments.values() {
            each!(self.key.scheme(), signing::check(pair))
                .map_err(|source| RunError::caught(place, Lie::Nonce, vec![message.encode()], source))?;
        }
        Ok(commitments)
    }

    fn split(&self, place: u8, message: &Message) -> Result<BTreeMap<u16, [Element; 2]>, RunError> {
        let malformed = || RunError::lied(place, Lie::Malformed, vec![message.encode()]);
        let (_, rest) = message.body().split_first_chunk::<BOOT_BYTES>().ok_or_else(malformed)?;
        if self.key.scheme().answers() {
            self.ways(&ecdsa::NOTHING).split(place, rest).ok_or_else(malformed)?;
            return Ok(BTreeMap::new());
        }
        let numbers = self.key.holders().identifiers(place);
        let read = elements(rest, 2 * numbers.len(), self.key.scheme().element_bytes());
        let (list, behind) = read.ok_or_else(malformed)?;
        let (pairs, _) = list.as_chunks::<2>();
        if !behind.is_empty() {
            return Err(malformed());
        }
        Ok(numbers.into_iter().zip(pairs.iter().cloned()).collect())
    }
}

/// A commitment that was judged in its run, or made here.
#[derive(Clone, Debug)]
pub struct Judged(Message);

impl Judged {
    /// One's own: nobody judges what they have made themselves.
    pub fn own(nonces: &Nonces) -> Self {
        Self(nonces.commitment().clone())
    }

    /// The place of the holder that made it.
    pub const fn from(&self) -> u8 {
        self.0.from()
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
    secrets: Secrets,
    own: Message,
}

enum Secrets {
    Frost(BTreeMap<u16, NoncePair>),
    Committed(ecdsa::Committed),
    Answered(ecdsa::Answered),
}

impl Nonces {
    /// What was answered in the first round, to be answered again.
    pub const fn commitment(&self) -> &Message {
        &self.own
    }

    /// What was answered in the round between, to be answered again.
    pub const fn answered(&self) -> Option<&Message> {
        match &self.secrets {
            Secrets::Answered(answered) => Some(answered.message()),
            _ => None,
        }
    }

    /// The round between that [`SharedScheme::answers`] tells of. What was secret before is gone, also when nothing is answered.
    pub fn answer(
        self,
        share: &KeyShare,
        boot: &Boot,
        package: &Package,
        key: &BoxKey,
        sign: impl FnOnce(&[u8]) -> [u8; 64],
    ) -> Result<(Self, Message), RunError> {
        self.check(share, boot, package)?;
        let Self { boot, secrets, own } = self;
        let answered = match secrets {
            Secrets::Frost(_) => return Err(RunError::NoStep { step: Step::Answer }),
            Secrets::Answered(_) => return Err(RunError::Spent { place: share.place() }),
            Secrets::Committed(committed) => {
                with_randomness(|random| committed.answer(share, package, key, sign, random))?
            }
        };
        let message = answered.message().clone();
        Ok((Self { boot, secrets: Secrets::Answered(answered), own }, message))
    }

    /// Last round, at one signer, from everybody's answers if the scheme has them. The nonces are gone before anything leaves,
    /// also when nothing is signed.
    pub fn sign(
        self,
        share: &KeyShare,
        boot: &Boot,
        package: &Package,
        answers: &[Vec<u8>],
        key: &BoxKey,
        sign: impl FnOnce(&[u8]) -> [u8; 64],
    ) -> Result<Message, RunError> {
        self.check(share, boot, package)?;
        let Self { secrets, .. } = self;
        let (place, signing) = (share.place(), &package.signing);
        let pairs = match secrets {
            Secrets::Frost(pairs) if answers.is_empty() => pairs,
            Secrets::Frost(_) => return Err(RunError::NoStep { step: Step::Answer }),
            Secrets::Committed(_) => return Err(RunError::Missing { places: signing.signers.clone() }),
            Secrets::Answered(answered) => return answered.share(share, package, answers, key, sign),
        };
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

impl Nonces {
    fn check(&self, share: &KeyShare, boot: &Boot, package: &Package) -> Result<(), RunError> {
        let place = share.place();
        let own = self.own.from() == place && package.messages.get(&place) == Some(&self.own);
        if self.boot == boot.0 && own { Ok(()) } else { Err(RunError::Foreign { place }) }
    }
}

impl fmt::Debug for Nonces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Nonces(redacted)")
    }
}
