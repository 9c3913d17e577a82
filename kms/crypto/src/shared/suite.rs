//! Where the library is called: bytes in, bytes out, so that nothing above depends on a curve.
//!
//! Elements and scalars are read by the library's own strict decoders (canonical, on the curve, of prime order, not the
//! identity), which is the only way in.

use std::collections::BTreeMap;
use std::error::Error as StdError;

use curve25519_dalek_4::edwards::CompressedEdwardsY;
use frost_core::keys::{KeyPackage, PublicKeyPackage, SigningShare, VerifyingShare};
use frost_core::{Ciphersuite, Error, Identifier, VerifyingKey};
use frost_ed25519::Ed25519Sha512;
use frost_secp256k1_tr::Secp256K1Sha256TR;
use frost_secp256k1_tr::keys::Tweak as _;
use thiserror::Error as ThisError;
use zeroize::Zeroizing;

use super::scheme::Tweak;

pub(crate) mod dealing;
pub(crate) mod ecdsa;
pub(crate) mod generation;
pub(crate) mod signing;

/// A scalar that is secret: wiped on drop.
pub(crate) type Secret = Zeroizing<[u8; 32]>;
/// The one encoding of a group element.
pub(crate) type Element = Vec<u8>;

/// Calls a function of FROST for the curve of a scheme.
macro_rules! each {
    ($scheme:expr, $($function:ident)::+ ( $($argument:expr),* $(,)? )) => {
        match $scheme {
            $crate::shared::SharedScheme::Ed25519 => {
                $($function)::+::<frost_ed25519::Ed25519Sha512>($($argument),*)
            }
            $crate::shared::SharedScheme::Bip340 => {
                $($function)::+::<frost_secp256k1_tr::Secp256K1Sha256TR>($($argument),*)
            }
            $crate::shared::SharedScheme::EcdsaSecp256k1 => {
                Err($crate::shared::suite::LibraryError::other_protocol())
            }
        }
    };
}
pub(crate) use each;

/// Calls a function for the group of a scheme, whatever its protocol.
macro_rules! group {
    ($scheme:expr, $($function:ident)::+ ( $($argument:expr),* $(,)? )) => {
        match $scheme {
            $crate::shared::SharedScheme::Ed25519 => {
                $($function)::+::<frost_ed25519::Ed25519Sha512>($($argument),*)
            }
            $crate::shared::SharedScheme::Bip340 | $crate::shared::SharedScheme::EcdsaSecp256k1 => {
                $($function)::+::<frost_secp256k1_tr::Secp256K1Sha256TR>($($argument),*)
            }
        }
    };
}
pub(crate) use group;

/// What the signing library refused.
#[derive(Debug, ThisError)]
#[error("the signing library refused")]
pub struct LibraryError {
    #[source]
    source: Box<dyn StdError + Send + Sync>,
    culprit: Option<u16>,
}

impl LibraryError {
    pub(crate) fn new(source: impl Into<Box<dyn StdError + Send + Sync>>, culprit: Option<u16>) -> Self {
        Self { source: source.into(), culprit }
    }

    /// A scheme of another protocol came to FROST.
    pub(crate) fn other_protocol() -> Self {
        Self::new("the scheme has another protocol", None)
    }

    /// The identifier whose value is wrong, if the library names one.
    pub(crate) const fn culprit(&self) -> Option<u16> {
        self.culprit
    }
}

impl<C: Ciphersuite> From<Error<C>> for LibraryError {
    fn from(error: Error<C>) -> Self {
        let culprit = error.culprits().first().and_then(number::<C>);
        Self { source: error.to_string().into(), culprit }
    }
}

/// What the two curves differ in.
pub(crate) trait Suite: Ciphersuite {
    /// An element that was read strictly before: its order, which costs as much as a signature, is not checked again.
    fn known(element: &Element) -> Result<frost_core::Element<Self>, Error<Self>>;
    /// The one encoding of a public key in Keyward.
    fn public_key(key: &VerifyingKey<Self>) -> Result<Vec<u8>, Error<Self>>;
    /// A signer's share under the tweak.
    fn tweaked(package: KeyPackage<Self>, tweak: &Tweak) -> Result<KeyPackage<Self>, Error<Self>>;
    /// The public keys under the tweak.
    fn tweaked_public(
        package: PublicKeyPackage<Self>,
        tweak: &Tweak,
    ) -> Result<PublicKeyPackage<Self>, Error<Self>>;
}

impl Suite for Ed25519Sha512 {
    fn known(element: &Element) -> Result<frost_core::Element<Self>, Error<Self>> {
        let bytes = CompressedEdwardsY::from_slice(element).map_err(|_| Error::DeserializationError)?;
        bytes.decompress().ok_or(Error::DeserializationError)
    }

    fn public_key(key: &VerifyingKey<Self>) -> Result<Vec<u8>, Error<Self>> {
        key.serialize()
    }

    fn tweaked(package: KeyPackage<Self>, tweak: &Tweak) -> Result<KeyPackage<Self>, Error<Self>> {
        if *tweak == Tweak::None { Ok(package) } else { Err(Error::InvalidCoefficient) }
    }

    fn tweaked_public(
        package: PublicKeyPackage<Self>,
        tweak: &Tweak,
    ) -> Result<PublicKeyPackage<Self>, Error<Self>> {
        if *tweak == Tweak::None { Ok(package) } else { Err(Error::InvalidCoefficient) }
    }
}

impl Suite for Secp256K1Sha256TR {
    /// All points of the curve have the one order.
    fn known(element: &Element) -> Result<frost_core::Element<Self>, Error<Self>> {
        dealing::element::<Self>(element)
    }

    /// x alone: the library signs for the point with an even y.
    fn public_key(key: &VerifyingKey<Self>) -> Result<Vec<u8>, Error<Self>> {
        Ok(key.serialize()?.split_off(1))
    }

    fn tweaked(package: KeyPackage<Self>, tweak: &Tweak) -> Result<KeyPackage<Self>, Error<Self>> {
        Ok(match tweak {
            Tweak::None => package,
            Tweak::KeyPath => package.tweak::<&[u8]>(None),
            Tweak::Scripts(root) => package.tweak(Some(root)),
        })
    }

    fn tweaked_public(
        package: PublicKeyPackage<Self>,
        tweak: &Tweak,
    ) -> Result<PublicKeyPackage<Self>, Error<Self>> {
        Ok(match tweak {
            Tweak::None => package,
            Tweak::KeyPath => package.tweak::<&[u8]>(None),
            Tweak::Scripts(root) => package.tweak(Some(root)),
        })
    }
}

/// What is public of a shared key, in bytes. Those of a [`super::SharedKey`] were read strictly when it was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Public {
    /// The key as a point.
    pub(crate) key: Element,
    /// Each identifier's share on the generator.
    pub(crate) shares: BTreeMap<u16, Element>,
    /// How many of them sign.
    pub(crate) needed: u16,
}

impl Public {
    pub(super) fn package<C: Suite>(&self) -> Result<PublicKeyPackage<C>, Error<C>> {
        let share = |(&number, share): (&u16, &Element)| {
            Ok((identifier::<C>(number)?, VerifyingShare::new(C::known(share)?)))
        };
        let shares = self.shares.iter().map(share).collect::<Result<_, Error<C>>>()?;
        Ok(PublicKeyPackage::new(shares, self.verifying_key()?, Some(self.needed)))
    }

    fn verifying_key<C: Suite>(&self) -> Result<VerifyingKey<C>, Error<C>> {
        Ok(VerifyingKey::new(C::known(&self.key)?))
    }

    pub(super) fn signer<C: Suite>(&self, number: u16, secret: &Secret) -> Result<KeyPackage<C>, Error<C>> {
        let share = self.shares.get(&number).ok_or(Error::UnknownIdentifier)?;
        Ok(KeyPackage::new(
            identifier::<C>(number)?,
            SigningShare::deserialize(secret.as_slice())?,
            VerifyingShare::new(C::known(share)?),
            self.verifying_key()?,
            self.needed,
        ))
    }
}

/// The key that signatures under the tweak verify with.
pub(crate) fn output_key<C: Suite>(public: &Public, tweak: &Tweak) -> Result<Vec<u8>, LibraryError> {
    let key = PublicKeyPackage::new(BTreeMap::new(), public.verifying_key()?, Some(public.needed));
    let tweaked = C::tweaked_public(key, tweak)?;
    Ok(C::public_key(tweaked.verifying_key())?)
}

pub(super) fn identifier<C: Ciphersuite>(number: u16) -> Result<Identifier<C>, Error<C>> {
    Identifier::try_from(number)
}

/// The number of an identifier, for naming a liar: none of ours is above 512.
fn number<C: Ciphersuite>(wanted: &Identifier<C>) -> Option<u16> {
    (1..=512).find(|&number| identifier::<C>(number).is_ok_and(|found| found == *wanted))
}

/// Takes the library's bytes of a scalar over.
pub(super) fn secret<C: Ciphersuite>(bytes: Vec<u8>) -> Result<Secret, Error<C>> {
    let bytes = Zeroizing::new(bytes);
    bytes.as_slice().try_into().map(Zeroizing::new).map_err(|_| Error::SerializationError)
}
