//! FROST's distributed key generation, by the library, for all identifiers of one holder at once.

use std::collections::BTreeMap;

use frost_core::keys::VerifiableSecretSharingCommitment;
use frost_core::keys::dkg::{part1, part2, part3, round1, round2, verify_proof_of_knowledge};
use frost_core::{Error, Identifier, Signature};
use opaque_ke::rand::{CryptoRng, RngCore};

use super::{Element, LibraryError, Public, Secret, Suite, identifier, secret};

/// What an identifier shows in the first round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    /// Commitments to its polynomial, the constant term first.
    pub(crate) commitments: Vec<Element>,
    /// Proof that it knows the constant term.
    pub(crate) proof: Vec<u8>,
}

/// Scalars on their way: by sender's and receiver's identifier.
pub(crate) type Pieces = BTreeMap<(u16, u16), Secret>;

/// What a holder keeps between the first and the second round.
pub(crate) trait First: Send {
    /// Deals to everybody, the holder's own other identifiers included.
    fn deal(self: Box<Self>, shown: &BTreeMap<u16, Shown>)
    -> Result<(Box<dyn Second>, Pieces), LibraryError>;
}

/// What a holder keeps between the second and the third round.
pub(crate) trait Second: Send {
    /// The holder's shares, and what is public of the key.
    fn finish(&self, pieces: &Pieces) -> Result<(BTreeMap<u16, Secret>, Public), LibraryError>;
}

/// What is kept, and what each own identifier shows.
pub(crate) type Opening = (Box<dyn First>, BTreeMap<u16, Shown>);

/// The first round.
pub(crate) fn open<C: Suite>(
    own: &[u16],
    [total, needed]: [u16; 2],
    random: &mut (impl RngCore + CryptoRng),
) -> Result<Opening, LibraryError> {
    let (mut secrets, mut shown) = (BTreeMap::new(), BTreeMap::new());
    for &number in own {
        let (kept, package) = part1::<C, _>(identifier::<C>(number)?, total, needed, &mut *random)?;
        let commitments = package.commitment().serialize()?;
        shown.insert(number, Shown { commitments, proof: package.proof_of_knowledge().serialize()? });
        secrets.insert(number, kept);
    }
    Ok((Box::new(Opened::<C> { secrets, needed }), shown))
}

/// Whether what an identifier shows is well formed, and its proof holds.
pub(crate) fn check<C: Suite>(number: u16, shown: &Shown, needed: u16) -> Result<(), LibraryError> {
    let package = package::<C>(shown, needed)?;
    verify_proof_of_knowledge(identifier::<C>(number)?, package.commitment(), package.proof_of_knowledge())?;
    Ok(())
}

fn package<C: Suite>(shown: &Shown, needed: u16) -> Result<round1::Package<C>, Error<C>> {
    if shown.commitments.len() != usize::from(needed) {
        return Err(Error::IncorrectNumberOfCommitments);
    }
    let commitment = VerifiableSecretSharingCommitment::deserialize(&shown.commitments)?;
    Ok(round1::Package::new(commitment, Signature::deserialize(&shown.proof)?))
}

struct Opened<C: Suite> {
    secrets: BTreeMap<u16, round1::SecretPackage<C>>,
    needed: u16,
}

impl<C: Suite> First for Opened<C> {
    fn deal(
        self: Box<Self>,
        shown: &BTreeMap<u16, Shown>,
    ) -> Result<(Box<dyn Second>, Pieces), LibraryError> {
        let Self { secrets: kept, needed } = *self;
        let read = |(&number, shown): (&u16, &Shown)| Ok((number, package::<C>(shown, needed)?));
        let packages: BTreeMap<u16, _> = shown.iter().map(read).collect::<Result<_, Error<C>>>()?;
        let (mut secrets, mut pieces) = (BTreeMap::new(), Pieces::new());
        for (from, kept) in kept {
            let (kept, dealt) = part2(kept, &others(&packages, from)?)?;
            for &to in packages.keys().filter(|&&to| to != from) {
                let piece = dealt.get(&identifier::<C>(to)?).ok_or(Error::<C>::PackageNotFound)?;
                pieces.insert((from, to), secret::<C>(piece.signing_share().serialize())?);
            }
            secrets.insert(from, kept);
        }
        Ok((Box::new(Dealt { secrets, packages }), pieces))
    }
}

struct Dealt<C: Suite> {
    secrets: BTreeMap<u16, round2::SecretPackage<C>>,
    packages: BTreeMap<u16, round1::Package<C>>,
}

impl<C: Suite> Second for Dealt<C> {
    fn finish(&self, pieces: &Pieces) -> Result<(BTreeMap<u16, Secret>, Public), LibraryError> {
        let (mut shares, mut public) = (BTreeMap::new(), None);
        for (&to, kept) in &self.secrets {
            let mut received = BTreeMap::new();
            for &from in self.packages.keys().filter(|&&from| from != to) {
                let piece = pieces.get(&(from, to)).ok_or(Error::<C>::PackageNotFound)?;
                let piece = frost_core::keys::SigningShare::deserialize(piece.as_slice())?;
                received.insert(identifier::<C>(from)?, round2::Package::new(piece));
            }
            let (key, publics) = part3(kept, &others(&self.packages, to)?, &received)?;
            shares.insert(to, secret::<C>(key.signing_share().serialize())?);
            public = Some(publics);
        }
        let publics = public.ok_or(Error::<C>::IncorrectNumberOfIdentifiers)?;
        let share = |number: &u16| {
            let share = publics.verifying_shares().get(&identifier::<C>(*number)?);
            Ok((*number, share.ok_or(Error::UnknownIdentifier)?.serialize()?))
        };
        let public = Public {
            key: publics.verifying_key().serialize()?,
            shares: self.packages.keys().map(share).collect::<Result<_, Error<C>>>()?,
            needed: publics.min_signers().ok_or(Error::<C>::InvalidMinSigners)?,
        };
        Ok((shares, public))
    }
}

type Packages<C> = BTreeMap<Identifier<C>, round1::Package<C>>;

fn others<C: Suite>(packages: &BTreeMap<u16, round1::Package<C>>, own: u16) -> Result<Packages<C>, Error<C>> {
    let others = packages.iter().filter(|(number, _)| **number != own);
    others.map(|(&number, package)| Ok((identifier::<C>(number)?, package.clone()))).collect()
}
