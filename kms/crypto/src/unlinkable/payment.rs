//! Being paid at an address that only payer and receiver recognise: stealth addresses with two keys (ERC-5564, there with a
//! meta-address for ever and a view tag of one byte beside the address; here with one for each address epoch, and a tag that is all
//! there is).

use k256::{ProjectivePoint, Scalar};
use keyward_domain::scheme::Scheme;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::epoch::{Address, SpendingLeaf, SpendingPoint, ViewingLeaf};
use super::error::{AddressError, behind_version};
use super::scalar::{POINT_BYTES, compressed, expand, point, scalar};
use super::tree::Bytes;
use crate::labels;
use crate::signing::SigningKey;

const VERSION: u8 = 1;
/// So long that no foreign payment has it by chance.
const TAG_BYTES: usize = 16;
const META: &str = "meta-address";
const PAYMENT: &str = "payment";

/// What a receiver gives to payers, for one address epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetaAddress {
    spending: SpendingPoint,
    viewing: ProjectivePoint,
}

/// What a payer publishes beside the payment: without it nobody finds the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payment {
    ephemeral: ProjectivePoint,
    /// Of the shared secret: it tells the receiver, after half of the work, which payments are made to it.
    tag: [u8; TAG_BYTES],
}

impl MetaAddress {
    /// Of the receiver's epoch.
    pub fn new(view: &ViewingLeaf, spending: SpendingPoint) -> Result<Self, AddressError> {
        if view.epoch() != spending.epoch() {
            return Err(AddressError::Epochs { one: view.epoch(), other: spending.epoch() });
        }
        let secret = view.scalar(labels::ADDRESS_META)?;
        Ok(Self { spending, viewing: ProjectivePoint::mul_by_generator(&secret) })
    }

    /// Its address epoch.
    pub const fn epoch(&self) -> u32 {
        self.spending.epoch()
    }

    /// `spending point[38] || viewing point[33]`.
    pub fn encode(&self) -> Result<Vec<u8>, AddressError> {
        Ok([&self.spending.encode()?[..], &compressed(&self.viewing)?].concat())
    }

    /// Reads what [`Self::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, AddressError> {
        let malformed = || AddressError::Malformed { what: META, len: bytes.len() };
        let (spending, viewing) = bytes.split_last_chunk::<POINT_BYTES>().ok_or_else(malformed)?;
        Ok(Self { spending: SpendingPoint::decode(spending)?, viewing: point(viewing, META)? })
    }

    /// A fresh address to pay to, and what is published with the payment.
    pub fn pay(&self) -> Result<(Address, Payment), AddressError> {
        let mut seed = Zeroizing::new([0; 32]);
        getrandom::fill(seed.as_mut_slice())?;
        self.pay_with(&seed)
    }

    pub(super) fn pay_with(&self, seed: &[u8; 32]) -> Result<(Address, Payment), AddressError> {
        let ephemeral = scalar(seed, labels::ADDRESS_PAYMENT, &[])?;
        let public = ProjectivePoint::mul_by_generator(&ephemeral);
        let shared = Shared::of(&(self.viewing * *ephemeral), &public, self)?;
        let payment = Payment { ephemeral: public, tag: shared.tag()? };
        Ok((shared.address(&self.spending)?, payment))
    }
}

impl Payment {
    /// `version u8 (1) || ephemeral point[33] || tag[16]`.
    pub fn encode(&self) -> Result<Vec<u8>, AddressError> {
        Ok([&[VERSION][..], &compressed(&self.ephemeral)?, &self.tag].concat())
    }

    /// Reads what [`Self::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, AddressError> {
        let malformed = || AddressError::Malformed { what: PAYMENT, len: bytes.len() };
        let rest = behind_version(VERSION, PAYMENT, bytes)?;
        let (ephemeral, tag) = rest.split_first_chunk::<POINT_BYTES>().ok_or_else(malformed)?;
        let tag = tag.try_into().map_err(|_length| malformed())?;
        Ok(Self { ephemeral: point(ephemeral, PAYMENT)?, tag })
    }

    /// The address that it was made to, if it was made to this receiver in this epoch. Whether anything lies there it does not say.
    pub fn seen(&self, view: &ViewingLeaf, spending: SpendingPoint) -> Result<Option<Address>, AddressError> {
        let shared = self.shared(view, spending)?;
        let is_ours: bool = shared.tag()?.ct_eq(&self.tag).into();
        if is_ours { shared.address(&spending).map(Some) } else { Ok(None) }
    }

    /// The receiver's key of that address.
    pub fn key(
        &self,
        view: &ViewingLeaf,
        spending: &SpendingLeaf,
        scheme: Scheme,
    ) -> Result<SigningKey, AddressError> {
        let tweak = self.shared(view, spending.point())?.tweak()?;
        spending.plus(view.epoch(), &tweak, scheme)
    }

    fn shared(&self, view: &ViewingLeaf, spending: SpendingPoint) -> Result<Shared, AddressError> {
        let meta = MetaAddress::new(view, spending)?;
        let secret = view.scalar(labels::ADDRESS_META)?;
        Shared::of(&(self.ephemeral * *secret), &self.ephemeral, &meta)
    }
}

/// What payer and receiver share.
struct Shared(Bytes);

impl Shared {
    /// `SHA-256(label || Diffie-Hellman[33] || ephemeral[33] || meta-address[71])`.
    fn of(
        product: &ProjectivePoint,
        ephemeral: &ProjectivePoint,
        meta: &MetaAddress,
    ) -> Result<Self, AddressError> {
        let product = Zeroizing::new(compressed(product)?);
        let mut hash = Sha256::new_with_prefix(labels::tagged(labels::ADDRESS_SHARED));
        hash.update(product.as_slice());
        hash.update(compressed(ephemeral)?);
        hash.update(meta.encode()?);
        Ok(Self(Zeroizing::new(hash.finalize().into())))
    }

    fn tag(&self) -> Result<[u8; TAG_BYTES], AddressError> {
        Ok(*expand(&self.0, labels::ADDRESS_TAG, &[])?)
    }

    fn tweak(&self) -> Result<Zeroizing<Scalar>, AddressError> {
        scalar(&self.0, labels::ADDRESS_PAID, &[])
    }

    fn address(&self, spending: &SpendingPoint) -> Result<Address, AddressError> {
        compressed(&(*spending.point() + ProjectivePoint::mul_by_generator(&*self.tweak()?)))
    }
}
