//! Sharing a share, and sums of what was shared: by the library's dealer, its repair and Lagrange's weights.

use std::collections::{BTreeMap, BTreeSet};

use frost_core::keys::repairable::{Delta, repair_share_part1, repair_share_part2, repair_share_part3};
use frost_core::keys::{
    IdentifierList, SecretShare, SigningShare, VerifiableSecretSharingCommitment, VerifyingShare, split,
};
use frost_core::{Ciphersuite, Error, Field, Group, Identifier, SigningKey, compute_lagrange_coefficient};
use opaque_ke::rand::{CryptoRng, RngCore};

use super::{Element, LibraryError, Public, Secret, Suite, identifier, secret};

type FieldOf<C> = <<C as Ciphersuite>::Group as Group>::Field;

/// Feldman's sharing of a scalar: commitments, the constant term first, and a piece for each identifier.
pub(crate) fn deal<C: Suite>(
    value: &Secret,
    needed: u16,
    to: &[u16],
    random: &mut (impl RngCore + CryptoRng),
) -> Result<(Vec<Element>, BTreeMap<u16, Secret>), LibraryError> {
    let key = SigningKey::<C>::deserialize(value.as_slice())?;
    let names = to.iter().map(|&number| identifier::<C>(number)).collect::<Result<Vec<_>, _>>()?;
    let count = u16::try_from(to.len()).map_err(|_| Error::<C>::InvalidMaxSigners)?;
    let (shares, _) = split(&key, count, needed, IdentifierList::Custom(&names), random)?;
    let (mut pieces, mut commitments) = (BTreeMap::new(), Vec::new());
    for (&number, name) in to.iter().zip(&names) {
        let share = shares.get(name).ok_or(Error::<C>::PackageNotFound)?;
        commitments = share.commitment().serialize()?;
        pieces.insert(number, secret::<C>(share.signing_share().serialize())?);
    }
    Ok((commitments, pieces))
}

/// Feldman's sharing of a fresh scalar, of which one value may be enough: then everybody's is the same.
pub(crate) fn deal_fresh<C: Suite>(
    needed: u16,
    to: &[u16],
    random: &mut (impl RngCore + CryptoRng),
) -> Result<(Vec<Element>, BTreeMap<u16, Secret>), LibraryError> {
    let value = secret::<C>(SigningKey::<C>::new(&mut *random).serialize())?;
    if needed == 1 {
        let pieces = to.iter().map(|&number| (number, value.clone())).collect();
        return Ok((vec![base::<C>(&value)?], pieces));
    }
    deal::<C>(&value, needed, to, random)
}

/// `x * (x - zero) * ..` at an identifier: vanishes at 0 and at these identifiers.
fn vanishing<C: Suite>(at: u16, zeros: &[u16]) -> Result<frost_core::Scalar<C>, Error<C>> {
    let at = identifier::<C>(at)?.to_scalar();
    zeros.iter().try_fold(at, |product, &zero| Ok(product * (at - identifier::<C>(zero)?.to_scalar())))
}

/// A value moved by the sum of pieces times what vanishes at 0 and at `zeros`, on the generator.
pub(crate) fn moved<'a, C: Suite>(
    value: &Element,
    at: u16,
    zeros: &[u16],
    pieces: impl IntoIterator<Item = &'a Element>,
) -> Result<Element, LibraryError> {
    let mut sum = <C::Group as Group>::identity();
    for piece in pieces {
        sum = sum + element::<C>(piece)?;
    }
    encoded::<C>(&(element::<C>(value)? + sum * vanishing::<C>(at, zeros)?))
}

/// The same in the open.
pub(crate) fn moved_secret<'a, C: Suite>(
    value: &Secret,
    at: u16,
    zeros: &[u16],
    pieces: impl IntoIterator<Item = &'a Secret>,
) -> Result<Secret, LibraryError> {
    let mut sum = FieldOf::<C>::zero();
    for piece in pieces {
        sum = sum + SigningShare::<C>::deserialize(piece.as_slice())?.to_scalar();
    }
    let value = SigningShare::<C>::deserialize(value.as_slice())?.to_scalar();
    Ok(secret::<C>(SigningShare::<C>::new(value + sum * vanishing::<C>(at, zeros)?).serialize())?)
}

/// Feldman's check of a piece.
pub(crate) fn holds<C: Suite>(to: u16, piece: &Secret, commitments: &[Element]) -> Result<(), LibraryError> {
    let commitment = VerifiableSecretSharingCommitment::<C>::deserialize(commitments)?;
    let piece = SigningShare::deserialize(piece.as_slice())?;
    SecretShare::new(identifier::<C>(to)?, piece, commitment).verify()?;
    Ok(())
}

/// The commitment to the piece of an identifier.
pub(crate) fn evaluate<C: Suite>(commitments: &[Element], at: u16) -> Result<Element, LibraryError> {
    let commitment = VerifiableSecretSharingCommitment::<C>::deserialize(commitments)?;
    Ok(VerifyingShare::from_commitment(identifier::<C>(at)?, &commitment).serialize()?)
}

/// A scalar on the generator.
pub(crate) fn base<C: Suite>(value: &Secret) -> Result<Element, LibraryError> {
    Ok(VerifyingShare::<C>::from(SigningShare::deserialize(value.as_slice())?).serialize()?)
}

/// The polynomial's value, on the generator, at an identifier or (`None`) at 0, from its values at others.
pub(crate) fn interpolate<C: Suite>(
    values: &BTreeMap<u16, Element>,
    at: Option<u16>,
) -> Result<Element, LibraryError> {
    let mut all = interpolate_each::<C>(values, &[at])?;
    Ok(all.pop().ok_or(Error::<C>::PackageNotFound)?)
}

/// The same at several places; each value is read once.
pub(crate) fn interpolate_each<C: Suite>(
    values: &BTreeMap<u16, Element>,
    places: &[Option<u16>],
) -> Result<Vec<Element>, LibraryError> {
    let read = |(&number, value): (&u16, &Element)| Ok((number, element::<C>(value)?));
    let points = values.iter().map(read).collect::<Result<Vec<_>, Error<C>>>()?;
    let mut all = Vec::with_capacity(places.len());
    for &at in places {
        let mut sum = <C::Group as Group>::identity();
        for &(number, point) in &points {
            sum = sum + point * weight::<C>(values.keys().copied(), number, at)?;
        }
        all.push(encoded::<C>(&sum)?);
    }
    Ok(all)
}

/// The same in the open: the polynomial's value from its values at others.
pub(crate) fn interpolate_secret<C: Suite>(
    values: &BTreeMap<u16, Secret>,
    at: Option<u16>,
) -> Result<Secret, LibraryError> {
    let mut sum = FieldOf::<C>::zero();
    for (&number, value) in values {
        let weight = weight::<C>(values.keys().copied(), number, at)?;
        sum = sum + SigningShare::<C>::deserialize(value.as_slice())?.to_scalar() * weight;
    }
    Ok(secret::<C>(SigningShare::<C>::new(sum).serialize())?)
}

/// An identifier's part of the value at another one, on the generator: its value times its weight.
pub(crate) fn weigh<C: Suite>(
    all: &[u16],
    number: u16,
    at: u16,
    value: &Element,
) -> Result<Element, LibraryError> {
    encoded::<C>(&(element::<C>(value)? * weight::<C>(all.iter().copied(), number, Some(at))?))
}

/// The sum of elements.
pub(crate) fn sum<'a, C: Suite>(
    elements: impl IntoIterator<Item = &'a Element>,
) -> Result<Element, LibraryError> {
    let mut sum = <C::Group as Group>::identity();
    for value in elements {
        sum = sum + element::<C>(value)?;
    }
    encoded::<C>(&sum)
}

/// Repair, first step: a helper splits its part of the lost share into a summand for each helping identifier.
pub(crate) fn summands<C: Suite>(
    public: &Public,
    [number, lost]: [u16; 2],
    share: &Secret,
    helpers: &[u16],
    random: &mut (impl RngCore + CryptoRng),
) -> Result<BTreeMap<u16, Secret>, LibraryError> {
    let names = helpers.iter().map(|&number| identifier::<C>(number)).collect::<Result<Vec<_>, _>>()?;
    let signer = public.signer::<C>(number, share)?;
    let deltas = repair_share_part1(&names, &signer, random, identifier::<C>(lost)?)?;
    let mut out = BTreeMap::new();
    for (&number, name) in helpers.iter().zip(&names) {
        let delta = deltas.get(name).ok_or(Error::<C>::PackageNotFound)?;
        out.insert(number, secret::<C>(delta.serialize())?);
    }
    Ok(out)
}

/// Repair, second step: the sum of what one helping identifier was given.
pub(crate) fn add<'a, C: Suite>(summands: impl Iterator<Item = &'a Secret>) -> Result<Secret, LibraryError> {
    let deltas = summands.map(|summand| Delta::<C>::deserialize(summand.as_slice()));
    let deltas = deltas.collect::<Result<Vec<_>, _>>()?;
    Ok(secret::<C>(repair_share_part2(&deltas).serialize())?)
}

/// Repair, third step: the lost share.
pub(crate) fn repaired<'a, C: Suite>(
    public: &Public,
    lost: u16,
    sums: impl Iterator<Item = &'a Secret>,
) -> Result<Secret, LibraryError> {
    let sums = sums.map(|sum| frost_core::keys::repairable::Sigma::<C>::deserialize(sum.as_slice()));
    let sums = sums.collect::<Result<Vec<_>, _>>()?;
    let package = repair_share_part3(&sums, identifier::<C>(lost)?, &public.package::<C>()?)?;
    Ok(secret::<C>(package.signing_share().serialize())?)
}

fn weight<C: Suite>(
    all: impl Iterator<Item = u16>,
    number: u16,
    at: Option<u16>,
) -> Result<frost_core::Scalar<C>, Error<C>> {
    let all: BTreeSet<Identifier<C>> = all.map(identifier::<C>).collect::<Result<_, _>>()?;
    compute_lagrange_coefficient(&all, at.map(identifier::<C>).transpose()?, identifier::<C>(number)?)
}

pub(super) fn element<C: Suite>(bytes: &Element) -> Result<frost_core::Element<C>, Error<C>> {
    let bytes: <C::Group as Group>::Serialization =
        bytes.as_slice().try_into().map_err(|_| Error::DeserializationError)?;
    Ok(<C::Group as Group>::deserialize(&bytes)?)
}

fn encoded<C: Suite>(element: &frost_core::Element<C>) -> Result<Element, LibraryError> {
    let bytes = <C::Group as Group>::serialize(element).map_err(Error::<C>::from)?;
    Ok(bytes.as_ref().to_vec())
}
