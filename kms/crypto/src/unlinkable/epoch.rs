//! The addresses of one address epoch.
//!
//! Whoever holds one private key of an epoch and its viewing leaf can compute the epoch's spending scalar, and no other
//! epoch's: one-time private keys stay in here.

use std::fmt;

use k256::{ProjectivePoint, Scalar};
use keyward_domain::scheme::Scheme;
use zeroize::Zeroizing;

use super::error::{AddressError, behind_version};
use super::scalar::{POINT_BYTES, compressed, expand, point, scalar};
use super::tree::Bytes;
use crate::labels;
use crate::signing::SigningKey;

/// The public key of a one-time address: a compressed point of secp256k1.
pub type Address = [u8; POINT_BYTES];

/// What recognises the addresses of one epoch, and reads what was sealed with them.
pub struct ViewingLeaf {
    epoch: u32,
    secret: Bytes,
}

impl ViewingLeaf {
    pub(super) const fn new(epoch: u32, secret: Bytes) -> Self {
        Self { epoch, secret }
    }

    /// From the bytes of [`Self::expose`].
    pub const fn from_bytes(epoch: u32, secret: Zeroizing<[u8; 32]>) -> Self {
        Self::new(epoch, secret)
    }

    /// Its address epoch.
    pub const fn epoch(&self) -> u32 {
        self.epoch
    }

    /// What is added to the spending key for an address.
    fn tweak(&self, index: u32) -> Result<Zeroizing<Scalar>, AddressError> {
        let context = [&self.epoch.to_be_bytes()[..], &index.to_be_bytes()];
        scalar(&self.secret, labels::ADDRESS_TWEAK, &context)
    }

    /// A scalar of this epoch for another use.
    pub(super) fn scalar(&self, label: &str) -> Result<Zeroizing<Scalar>, AddressError> {
        scalar(&self.secret, label, &[&self.epoch.to_be_bytes()])
    }

    /// Bytes of this epoch for a record.
    pub(super) fn of_record(
        &self,
        label: &str,
        record: &[u8; 32],
    ) -> Result<Zeroizing<[u8; 64]>, AddressError> {
        self.bytes(label, record)
    }

    /// Bytes of this epoch.
    pub(super) fn bytes<const N: usize>(
        &self,
        label: &str,
        context: &[u8],
    ) -> Result<Zeroizing<[u8; N]>, AddressError> {
        expand(&self.secret, label, &[&self.epoch.to_be_bytes(), context])
    }

    /// Lends the secret: for the service's memory while the epoch lasts, or a grant's file.
    pub fn expose<R>(&self, f: impl for<'a> FnOnce(&'a [u8; 32]) -> R) -> R {
        f(&self.secret)
    }
}

impl fmt::Debug for ViewingLeaf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ViewingLeaf({}, redacted)", self.epoch)
    }
}

/// The public half of an epoch's spending key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpendingPoint {
    epoch: u32,
    point: ProjectivePoint,
}

impl SpendingPoint {
    /// Its address epoch.
    pub const fn epoch(&self) -> u32 {
        self.epoch
    }

    /// `version u8 (1) || epoch u32 || point[33]`.
    pub fn encode(&self) -> Result<Vec<u8>, AddressError> {
        Ok([&[VERSION][..], &self.epoch.to_be_bytes(), &compressed(&self.point)?].concat())
    }

    /// Reads what [`Self::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, AddressError> {
        const WHAT: &str = "spending point";
        let malformed = || AddressError::Malformed { what: WHAT, len: bytes.len() };
        let rest = behind_version(VERSION, WHAT, bytes)?;
        let (epoch, rest) = rest.split_first_chunk().ok_or_else(malformed)?;
        let encoded = rest.try_into().map_err(|_| malformed())?;
        Ok(Self { epoch: u32::from_be_bytes(*epoch), point: point(encoded, WHAT)? })
    }

    /// As a point.
    pub(super) const fn point(&self) -> &ProjectivePoint {
        &self.point
    }
}

const VERSION: u8 = 1;

/// What signs with the addresses of one epoch, together with its viewing leaf.
pub struct SpendingLeaf {
    epoch: u32,
    scalar: Zeroizing<Scalar>,
}

impl SpendingLeaf {
    pub(super) fn new(epoch: u32, secret: &[u8; 32]) -> Result<Self, AddressError> {
        let scalar = scalar(secret, labels::ADDRESS_SPENDING_SCALAR, &[&epoch.to_be_bytes()])?;
        Ok(Self { epoch, scalar })
    }

    /// Its public half.
    pub fn point(&self) -> SpendingPoint {
        SpendingPoint { epoch: self.epoch, point: ProjectivePoint::mul_by_generator(&self.scalar) }
    }

    /// The key of the address at `index`, to sign one transaction.
    pub fn key(&self, view: &ViewingLeaf, index: u32, scheme: Scheme) -> Result<SigningKey, AddressError> {
        self.plus(view.epoch, &*view.tweak(index)?, scheme)
    }

    pub(super) fn plus(
        &self,
        epoch: u32,
        tweak: &Scalar,
        scheme: Scheme,
    ) -> Result<SigningKey, AddressError> {
        if epoch != self.epoch {
            return Err(AddressError::Epochs { one: self.epoch, other: epoch });
        }
        let sum = Zeroizing::new(*self.scalar + tweak);
        let bytes: Zeroizing<[u8; 32]> = Zeroizing::new(sum.to_bytes().into());
        Ok(SigningKey::from_secret(scheme, bytes.as_slice())?)
    }
}

impl fmt::Debug for SpendingLeaf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SpendingLeaf({}, redacted)", self.epoch)
    }
}

/// All addresses of an account in one epoch, for who may see them.
#[derive(Debug)]
pub struct EpochAddresses {
    view: ViewingLeaf,
    spending: SpendingPoint,
}

impl EpochAddresses {
    /// Both parts are of one epoch, or no address is.
    pub const fn new(view: ViewingLeaf, spending: SpendingPoint) -> Self {
        Self { view, spending }
    }

    /// Its address epoch.
    pub const fn epoch(&self) -> u32 {
        self.view.epoch
    }

    /// What recognises its addresses.
    pub const fn view(&self) -> &ViewingLeaf {
        &self.view
    }

    /// The address at `index`. It is used for one transaction.
    pub fn address(&self, index: u32) -> Result<Address, AddressError> {
        if self.view.epoch != self.spending.epoch {
            return Err(AddressError::Epochs { one: self.view.epoch, other: self.spending.epoch });
        }
        let tweak = ProjectivePoint::mul_by_generator(&*self.view.tweak(index)?);
        compressed(&(self.spending.point + tweak))
    }
}
