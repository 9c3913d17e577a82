//! A user and keepers with their keys, and each protocol step by step, so that a test can lie in between.

use std::collections::BTreeMap;

use keyward_domain::scheme::Scheme;
use opaque_ke::rand::RngCore as _;

use super::super::*;
use super::Seeded;
use crate::hpke_box::BoxKey;
use crate::signing::SigningKey;

/// A holder's process.
pub(super) struct Party {
    seed: [u64; 2],
    pub(super) key: BoxKey,
    signer: SigningKey,
    holder: Holder,
}

impl Party {
    pub(super) fn new(random: &mut Seeded) -> Self {
        Self::of([random.next_u64(), random.next_u64()])
    }

    fn of(seed: [u64; 2]) -> Self {
        let [id, keys] = seed;
        let mut random = Seeded::new(keys);
        let key = BoxKey::random(&mut random).unwrap();
        let signer = SigningKey::from_secret(Scheme::Ed25519, &random.bytes()).unwrap();
        let signing_key = signer.public_key().as_bytes().try_into().unwrap();
        let holder = Holder { id: Seeded::new(id).bytes(), signing_key, sealing_key: key.public() };
        Self { seed, key, signer, holder }
    }

    /// The same one, whose keys cannot be copied.
    pub(super) fn again(&self) -> Self {
        Self::of(self.seed)
    }

    /// The same holder with new keys.
    pub(super) fn rekeyed(&self, random: &mut Seeded) -> Self {
        let [id, _] = self.seed;
        Self::of([id, random.next_u64()])
    }

    pub(super) fn holder(&self) -> Holder {
        self.holder.clone()
    }

    pub(super) fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.signer.sign_message(message).unwrap().try_into().unwrap()
    }
}

/// The user in place 0, then the keepers.
pub(super) fn parties(random: &mut Seeded, keepers: u8) -> Vec<Party> {
    (0..=keepers).map(|_| Party::new(random)).collect()
}

pub(super) fn roster(parties: &[Party], threshold: u8) -> Roster {
    let keepers = parties[1..].iter().map(Party::holder).collect();
    Roster::new(parties[0].holder(), keepers, threshold).unwrap()
}

/// In a holder's name and with its signature, whatever a test wants.
pub(super) fn lie(party: &Party, (step, run, from): (Step, &[u8; 32], u8), body: Vec<u8>) -> Vec<u8> {
    Message::new((step, run, from), body, |message| party.sign(message)).encode()
}

/// The message of one holder among others, with another body but signed by it.
pub(super) fn altered(
    messages: &[Vec<u8>],
    party: &Party,
    place: u8,
    change: impl FnOnce(&mut Vec<u8>),
) -> Vec<Vec<u8>> {
    let mut out = messages.to_vec();
    let at = out.iter().position(|bytes| Message::decode(bytes).unwrap().from() == place).unwrap();
    let message = Message::decode(&out[at]).unwrap();
    let mut body = message.body().to_vec();
    change(&mut body);
    out[at] = lie(party, (message.step(), message.run(), place), body);
    out
}

pub(super) struct World {
    pub(super) random: Seeded,
    pub(super) parties: Vec<Party>,
    pub(super) boots: Vec<Boot>,
    pub(super) key: SharedKey,
    pub(super) shares: BTreeMap<u8, KeyShare>,
}

/// A generation up to the openings.
pub(super) struct Opened {
    pub(super) generation: Generation,
    pub(super) openers: Vec<Opener>,
    pub(super) messages: Vec<Vec<u8>>,
}

pub(super) fn opened(random: &mut Seeded, scheme: SharedScheme, parties: &[Party], threshold: u8) -> Opened {
    let name = KeyName { chain_id: random.bytes(), key: random.bytes() };
    let generation = Generation::new(name, scheme, roster(parties, threshold), 1);
    let (mut openers, mut messages) = (Vec::new(), Vec::new());
    for (place, party) in (0..).zip(parties) {
        let (opener, message) = generation.open_with(place, |message| party.sign(message), random).unwrap();
        openers.push(opener);
        messages.push(message.encode());
    }
    Opened { generation, openers, messages }
}

/// Up to the dealings.
pub(super) fn dealt(
    random: &mut Seeded,
    openings: &Openings,
    openers: Vec<Opener>,
    parties: &[Party],
) -> (Vec<Dealer>, Vec<Vec<u8>>) {
    let mut deal = |(opener, party): (Opener, &Party)| {
        let (dealer, message) =
            opener.deal_with(openings, &party.key, |message| party.sign(message), random).unwrap();
        (dealer, message.encode())
    };
    openers.into_iter().zip(parties).map(&mut deal).unzip()
}

/// The round that FROST does not have.
pub(super) fn agreed(
    scheme: SharedScheme,
    (openings, dealings): (&Openings, &[Vec<u8>]),
    dealers: &mut [Dealer],
    parties: &[Party],
) -> Vec<Vec<u8>> {
    let agree = |(dealer, party): (&mut Dealer, &Party)| {
        dealer.agree(openings, dealings, |message| party.sign(message)).unwrap().encode()
    };
    if scheme.answers() { dealers.iter_mut().zip(parties).map(agree).collect() } else { Vec::new() }
}

/// Everybody confirms, and everybody checks it.
pub(super) fn confirmed(all: Vec<Dealt>, parties: &[Party]) -> (SharedKey, BTreeMap<u8, KeyShare>) {
    let messages: Vec<_> = all
        .iter()
        .map(|dealt| {
            let party = &parties[usize::from(dealt.share().place())];
            dealt.confirmation(|message| party.sign(message)).encode()
        })
        .collect();
    let (mut key, mut shares) = (None, BTreeMap::new());
    for dealt in all {
        let (share, whole) = dealt.confirmed(&messages).unwrap();
        shares.insert(share.place(), share);
        assert!(key.is_none_or(|key| key == whole));
        key = Some(whole);
    }
    (key.unwrap(), shares)
}

impl World {
    /// A key of this scheme, made by all of them.
    pub(super) fn generated(mut random: Seeded, scheme: SharedScheme, threshold: u8, keepers: u8) -> Self {
        let parties = parties(&mut random, keepers);
        let Opened { generation, openers, messages } = opened(&mut random, scheme, &parties, threshold);
        let openings = generation.openings(&messages).unwrap();
        let (mut dealers, dealings) = dealt(&mut random, &openings, openers, &parties);
        let agreements = agreed(scheme, (&openings, &dealings), &mut dealers, &parties);
        let finish = |(mut dealer, party): (Dealer, &Party)| {
            dealer.finish(&openings, &dealings, &agreements, &party.key).unwrap()
        };
        let all = dealers.into_iter().zip(&parties).map(finish).collect();
        let (key, shares) = confirmed(all, &parties);
        let boots = (0..=keepers).map(|_| Boot::random(&mut random)).collect();
        Self { random, parties, boots, key, shares }
    }

    pub(super) fn roster(&self) -> Roster {
        roster(&self.parties, self.key.holders().threshold())
    }

    pub(super) fn party(&self, place: u8) -> &Party {
        &self.parties[usize::from(place)]
    }

    pub(super) fn plan(&mut self, keepers: &[u8], tweak: Tweak) -> SigningPlan {
        let message = self.random.bytes().to_vec();
        SigningPlan { intent: self.random.bytes(), attempt: 1, keepers: keepers.to_vec(), message, tweak }
    }

    /// First round of everybody.
    pub(super) fn commit(&mut self, signing: &Signing, keepers: &[u8]) -> (Vec<(u8, Nonces)>, Vec<Vec<u8>>) {
        let (mut nonces, mut messages) = (Vec::new(), Vec::new());
        for place in std::iter::once(USER).chain(keepers.iter().copied()) {
            let (party, boot) = (&self.parties[usize::from(place)], &self.boots[usize::from(place)]);
            let (pair, message) = signing
                .commit_with(&self.shares[&place], boot, |message| party.sign(message), &mut self.random)
                .unwrap();
            nonces.push((place, pair));
            messages.push(message.encode());
        }
        (nonces, messages)
    }

    /// The round that FROST does not have.
    pub(super) fn answer(
        &self,
        package: &Package,
        nonces: Vec<(u8, Nonces)>,
    ) -> (Vec<(u8, Nonces)>, Vec<Vec<u8>>) {
        if !self.key.scheme().answers() {
            return (nonces, Vec::new());
        }
        let one = |(place, nonces): (u8, Nonces)| {
            let (party, boot) = (self.party(place), &self.boots[usize::from(place)]);
            let sign = |message: &[u8]| party.sign(message);
            let (nonces, message) =
                nonces.answer(&self.shares[&place], boot, package, &party.key, sign).unwrap();
            ((place, nonces), message.encode())
        };
        nonces.into_iter().map(one).unzip()
    }

    /// Last round of everybody.
    pub(super) fn share(&self, package: &Package, nonces: Vec<(u8, Nonces)>) -> Vec<Vec<u8>> {
        let (nonces, answers) = self.answer(package, nonces);
        let one = |(place, nonces): (u8, Nonces)| {
            let (party, boot) = (self.party(place), &self.boots[usize::from(place)]);
            let sign = |message: &[u8]| party.sign(message);
            let made = nonces.sign(&self.shares[&place], boot, package, &answers, &party.key, sign);
            made.unwrap().encode()
        };
        nonces.into_iter().map(one).collect()
    }

    /// Everything at once.
    pub(super) fn sign(&mut self, plan: SigningPlan) -> Result<Vec<u8>, RunError> {
        let keepers = plan.keepers.clone();
        let signing = Signing::new(self.key.clone(), self.roster(), plan)?;
        let (nonces, messages) = self.commit(&signing, &keepers);
        let package = signing.package(&messages)?;
        package.signature(&self.share(&package, nonces))
    }

    /// All dealers' messages of a renewal.
    pub(super) fn deal(&mut self, renewal: &Renewal, keepers: &[u8]) -> Vec<Vec<u8>> {
        let mut messages = Vec::new();
        for place in std::iter::once(USER).chain(keepers.iter().copied()) {
            let party = &self.parties[usize::from(place)];
            let sign = |message: &[u8]| party.sign(message);
            let share = &self.shares[&place];
            messages.push(renewal.deal_with(share, sign, &mut self.random).unwrap().encode());
        }
        messages
    }

    /// The splits of a repair.
    pub(super) fn split(&mut self, repair: &Repair, lost: u8, keepers: &[u8]) -> Vec<Vec<u8>> {
        let request = repair.request(|message| self.party(lost).sign(message)).encode();
        let mut messages = Vec::new();
        for place in std::iter::once(USER).chain(keepers.iter().copied()) {
            let party = &self.parties[usize::from(place)];
            let sign = |message: &[u8]| party.sign(message);
            let share = &self.shares[&place];
            messages.push(repair.split_with(share, &request, sign, &mut self.random).unwrap().encode());
        }
        messages
    }
}
