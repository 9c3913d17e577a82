//! FROST's two rounds of signing, by the library.

use std::collections::BTreeMap;

use frost_core::keys::SigningShare;
use frost_core::round1::{self, Nonce, NonceCommitment, SigningCommitments, SigningNonces};
use frost_core::round2::{self, SignatureShare};
use frost_core::{CheaterDetection, Error, SigningPackage, aggregate_custom, verify_signature_share};
use opaque_ke::rand::{CryptoRng, RngCore};

use super::{Element, LibraryError, Public, Secret, Suite, identifier, secret};
use crate::shared::scheme::Tweak;

/// A pair of nonces: secret, used once, wiped on drop.
pub(crate) struct NoncePair {
    hiding: Secret,
    binding: Secret,
}

/// What is signed, and with which commitments.
#[derive(Clone, Copy)]
pub(crate) struct Task<'a> {
    pub(crate) public: &'a Public,
    pub(crate) tweak: &'a Tweak,
    pub(crate) message: &'a [u8],
    /// Of every signing identifier: the hiding and the binding commitment, which [`check`] has read.
    pub(crate) commitments: &'a BTreeMap<u16, [Element; 2]>,
}

impl Task<'_> {
    fn package<C: Suite>(&self) -> Result<SigningPackage<C>, Error<C>> {
        let read = |(&number, pair): (&u16, &[Element; 2])| Ok((identifier::<C>(number)?, known(pair)?));
        let commitments = self.commitments.iter().map(read).collect::<Result<_, Error<C>>>()?;
        Ok(SigningPackage::new(commitments, self.message))
    }
}

/// Reads a pair of commitments.
pub(crate) fn check<C: Suite>(pair: &[Element; 2]) -> Result<(), LibraryError> {
    for commitment in pair {
        NonceCommitment::<C>::deserialize(commitment)?;
    }
    Ok(())
}

fn known<C: Suite>([hiding, binding]: &[Element; 2]) -> Result<SigningCommitments<C>, Error<C>> {
    let [hiding, binding] = [C::known(hiding)?, C::known(binding)?].map(NonceCommitment::new);
    Ok(SigningCommitments::new(hiding, binding))
}

/// The first round, for one identifier.
pub(crate) fn commit<C: Suite>(
    share: &Secret,
    random: &mut (impl RngCore + CryptoRng),
) -> Result<(NoncePair, [Element; 2]), LibraryError> {
    let share = SigningShare::<C>::deserialize(share.as_slice())?;
    let (nonces, shown) = round1::commit(&share, random);
    let hiding = secret::<C>(nonces.hiding().serialize())?;
    let binding = secret::<C>(nonces.binding().serialize())?;
    Ok((NoncePair { hiding, binding }, [shown.hiding().serialize()?, shown.binding().serialize()?]))
}

/// The second round, for one identifier. The nonces are gone afterwards, whatever comes of it.
pub(crate) fn sign<C: Suite>(
    task: Task<'_>,
    number: u16,
    share: &Secret,
    nonces: NoncePair,
) -> Result<[u8; 32], LibraryError> {
    let NoncePair { hiding, binding } = nonces;
    let nonces = SigningNonces::<C>::from_nonces(
        Nonce::deserialize(hiding.as_slice())?,
        Nonce::deserialize(binding.as_slice())?,
    );
    let signer = C::tweaked(task.public.signer(number, share)?, task.tweak)?;
    let share = round2::sign(&task.package()?, &nonces, &signer)?;
    Ok(*secret::<C>(share.serialize())?)
}

/// Puts the shares together and verifies the signature; the first wrong share is named.
pub(crate) fn aggregate<C: Suite>(
    task: Task<'_>,
    shares: &BTreeMap<u16, [u8; 32]>,
) -> Result<Vec<u8>, LibraryError> {
    let read = |(&number, share): (&u16, &[u8; 32])| {
        Ok((identifier::<C>(number)?, SignatureShare::deserialize(share)?))
    };
    let shares = shares.iter().map(read).collect::<Result<_, Error<C>>>()?;
    let public = C::tweaked_public(task.public.package()?, task.tweak)?;
    let signature = aggregate_custom(&task.package()?, &shares, &public, CheaterDetection::FirstCheater)?;
    Ok(signature.serialize()?)
}

/// Whether one identifier's share is right, whatever the others gave.
pub(crate) fn check_share<C: Suite>(
    task: Task<'_>,
    number: u16,
    share: &[u8; 32],
) -> Result<(), LibraryError> {
    let share = SignatureShare::<C>::deserialize(share)?;
    let public = C::tweaked_public(task.public.package()?, task.tweak)?;
    let (name, key) = (identifier::<C>(number)?, public.verifying_key());
    let verifying = public.verifying_shares().get(&name).ok_or(Error::<C>::UnknownIdentifier)?;
    verify_signature_share(name, verifying, &share, &task.package()?, key)?;
    Ok(())
}

/// Whether a signature share is one at all.
pub(crate) fn read_share<C: Suite>(share: &[u8; 32]) -> Result<(), LibraryError> {
    SignatureShare::<C>::deserialize(share)?;
    Ok(())
}
