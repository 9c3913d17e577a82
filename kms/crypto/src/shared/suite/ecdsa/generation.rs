//! The library's key generation, for all parties of one holder at once.
//!
//! The chain code that the library agrees on for BIP-32 is zero here: nothing is derived from these keys.

use std::collections::BTreeMap;

use dkls23_core::DkgSession;
use dkls23_core::protocols::dkg::{
    BroadcastDerivationPhase2to4, BroadcastDerivationPhase3to4, ProofCommitment, TransmitInitMulPhase3to4,
    TransmitInitZeroSharePhase2to4, TransmitInitZeroSharePhase3to4,
};
use dkls23_core::protocols::{PartiesMessage, Party, PartyIndex};
use dkls23_core::utilities::commits::commit;
use dkls23_core::utilities::proofs::DLogProof;
use zeroize::{Zeroize as _, Zeroizing};

use super::{Curve, Refused, decode, element, encode, index, parameters, scalar, secret};
use crate::shared::holders::Holders;
use crate::shared::suite::generation::Pieces;
use crate::shared::suite::{LibraryError, Public, Secret};

/// What a party says to another one when both open what they committed to: by sender's and receiver's identifier.
pub(crate) type Transfer = (TransmitInitZeroSharePhase3to4, TransmitInitMulPhase3to4<Curve>);
pub(crate) type Transfers = BTreeMap<(u16, u16), Transfer>;

/// What a party commits to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Commitments {
    /// To the proof that it knows its share.
    pub(crate) proof: [u8; 32],
    /// To the seed that it will share with each other party.
    pub(crate) seeds: BTreeMap<u16, [u8; 32]>,
}

/// A holder that has dealt its polynomials. Secret, wiped on drop.
pub(crate) struct Opened {
    holders: Holders,
    sessions: BTreeMap<u16, DkgSession<Curve>>,
}

/// The first phase: pieces of each own polynomial for every party.
pub(crate) fn open(holders: &Holders, own: &[u16], run: &[u8; 32]) -> Result<(Opened, Pieces), LibraryError> {
    let (mut sessions, mut pieces) = (BTreeMap::new(), Pieces::new());
    for &from in own {
        let session = DkgSession::<Curve>::new(parameters(holders)?, index(from, holders)?, run.to_vec());
        let fragments = Zeroizing::new(session.phase1());
        for to in holders.all_identifiers() {
            let fragment = fragments.get(usize::from(holders.party(to)).wrapping_sub(1));
            let fragment = fragment.ok_or_else(|| LibraryError::new("a fragment is missing", None))?;
            pieces.insert((from, to), secret(fragment));
        }
        sessions.insert(from, session);
    }
    Ok((Opened { holders: holders.clone(), sessions }, pieces))
}

/// Whether a piece is a scalar.
pub(crate) fn is_piece(piece: &Secret) -> bool {
    scalar(piece).is_some()
}

impl Opened {
    /// The second phase, from everybody's pieces for the own parties: they are added up, and committed to.
    pub(crate) fn commit(
        self,
        pieces: &Pieces,
    ) -> Result<(Committed, BTreeMap<u16, Commitments>), LibraryError> {
        let Self { holders, mut sessions } = self;
        let (mut proofs, mut commitments) = (BTreeMap::new(), BTreeMap::new());
        for (&own, session) in &mut sessions {
            let all = holders.all_identifiers();
            // One allocation: growing would leave copies that nobody wipes.
            let mut fragments = Zeroizing::new(Vec::with_capacity(all.len()));
            for from in all {
                let fragment = pieces.get(&(from, own)).and_then(|piece| scalar(piece));
                fragments.push(fragment.ok_or_else(|| LibraryError::new("a fragment is missing", None))?);
            }
            let abort = |abort| Refused::new(&abort, &holders).source;
            let (proof, seeds, _) = session.phase2(&fragments).map_err(abort)?;
            let seeds = seeds
                .iter()
                .map(|seed| (holders.identifier_of(seed.parties.receiver.as_u8()), seed.commitment));
            commitments.insert(own, Commitments { proof: proof.commitment, seeds: seeds.collect() });
            proofs.insert(own, proof.proof);
        }
        Ok((Committed { holders, sessions, proofs }, commitments))
    }
}

/// A holder that has committed. Secret, wiped on drop.
pub(crate) struct Committed {
    holders: Holders,
    sessions: BTreeMap<u16, DkgSession<Curve>>,
    proofs: BTreeMap<u16, DLogProof<Curve>>,
}

/// What comes out for one holder.
pub(crate) struct Made {
    /// Its values.
    pub(crate) values: BTreeMap<u16, Secret>,
    /// Its parties, ready to sign.
    pub(crate) parties: BTreeMap<u16, Party<Curve>>,
    /// What is public of the key.
    pub(crate) public: Public,
}

impl Committed {
    /// The third phase: the proofs, opened now that everybody has committed, and what goes to each other party.
    pub(crate) fn agree(&mut self) -> Result<(BTreeMap<u16, Vec<u8>>, Transfers), LibraryError> {
        let mut transfers = Transfers::new();
        let holders = &self.holders;
        for (&own, session) in &mut self.sessions {
            let abort = |abort| Refused::new(&abort, holders).source;
            let (seeds, products, _) = session.phase3().map_err(abort)?;
            for (seed, product) in seeds.into_iter().zip(products) {
                let to = holders.identifier_of(product.parties.receiver.as_u8());
                transfers.insert((own, to), (seed, product));
            }
        }
        let proof = |(&own, proof)| Ok((own, encode(proof)?.to_vec()));
        Ok((self.proofs.iter().map(proof).collect::<Result<_, LibraryError>>()?, transfers))
    }

    /// The last phase, from everybody's commitments, proofs and transfers to the own parties.
    pub(crate) fn finish(
        self,
        commitments: &BTreeMap<u16, Commitments>,
        proofs: &BTreeMap<u16, DLogProof<Curve>>,
        mut transfers: Transfers,
    ) -> Result<Made, Refused> {
        let Self { holders, sessions, .. } = self;
        let committed = committed(&holders, commitments, proofs)?;
        let (first, last) = chain_codes(&holders)?;
        let (mut values, mut parties, mut public) = (BTreeMap::new(), BTreeMap::new(), None);
        for (own, session) in sessions {
            let mine = transfers.extract_if(.., |(_, to), _| *to == own).map(|(_, transfer)| transfer);
            let (mut seeds, products): (Vec<_>, Vec<_>) = mine.unzip();
            let promised = promised(&holders, commitments, own)?;
            let made =
                session.phase4(&committed, &promised, &seeds, &products, &first, &last, |_| String::new());
            seeds.iter_mut().for_each(|seed| seed.seed.zeroize());
            let (party, package) = made.map_err(|abort| Refused::new(&abort, &holders))?;
            values.insert(own, secret(&party.poly_point));
            parties.insert(own, party);
            public = Some(package);
        }
        let package = public.ok_or_else(|| LibraryError::new("no party", None))?;
        let mut shares = BTreeMap::new();
        for number in holders.all_identifiers() {
            let share = package.verifying_share(index(number, &holders)?);
            shares.insert(number, element(share.ok_or_else(|| LibraryError::new("no share", None))?));
        }
        let public = Public { key: element(package.verifying_key()), shares, needed: holders.needed() };
        Ok(Made { values, parties, public })
    }
}

/// Reads a proof.
pub(crate) fn proof(bytes: &[u8]) -> Option<DLogProof<Curve>> {
    decode(bytes)
}

fn committed(
    holders: &Holders,
    commitments: &BTreeMap<u16, Commitments>,
    proofs: &BTreeMap<u16, DLogProof<Curve>>,
) -> Result<Vec<ProofCommitment<Curve>>, LibraryError> {
    let one = |(&number, proof): (&u16, &DLogProof<Curve>)| {
        let commitment = commitments.get(&number).ok_or_else(|| LibraryError::new("no commitment", None))?;
        let index = index(number, holders)?;
        Ok(ProofCommitment { index, proof: proof.clone(), commitment: commitment.proof })
    };
    proofs.iter().map(one).collect()
}

/// The commitments of the other parties to what they share with this one.
fn promised(
    holders: &Holders,
    commitments: &BTreeMap<u16, Commitments>,
    own: u16,
) -> Result<Vec<TransmitInitZeroSharePhase2to4>, LibraryError> {
    let mut promised = Vec::new();
    for (&from, shown) in commitments.iter().filter(|(from, _)| **from != own) {
        let commitment = *shown.seeds.get(&own).ok_or_else(|| LibraryError::new("no commitment", None))?;
        let parties = PartiesMessage { sender: index(from, holders)?, receiver: index(own, holders)? };
        promised.push(TransmitInitZeroSharePhase2to4 { parties, commitment });
    }
    Ok(promised)
}

type Shown<T> = BTreeMap<PartyIndex, T>;

/// Everybody's part of the chain code: zero.
fn chain_codes(
    holders: &Holders,
) -> Result<(Shown<BroadcastDerivationPhase2to4>, Shown<BroadcastDerivationPhase3to4>), LibraryError> {
    let aux_chain_code = [0; 32];
    let (cc_commitment, cc_salt) = commit(&aux_chain_code);
    let (mut first, mut last) = (BTreeMap::new(), BTreeMap::new());
    for number in holders.all_identifiers() {
        let sender_index = index(number, holders)?;
        first.insert(sender_index, BroadcastDerivationPhase2to4 { sender_index, cc_commitment });
        let cc_salt = cc_salt.clone();
        last.insert(sender_index, BroadcastDerivationPhase3to4 { sender_index, aux_chain_code, cc_salt });
    }
    Ok((first, last))
}
