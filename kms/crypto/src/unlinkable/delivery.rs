//! What a grant delivers of a hosted account: the viewing cover of a run of epochs, sealed to the grantee.

use std::fmt;

use opaque_ke::rand::{CryptoRng, RngCore};

use super::cover::{COVER_BYTES_MAX, ViewingCover};
use super::error::AddressError;
use crate::hpke_box::{self, BoxKey};
use crate::labels;
use crate::random::with_randomness;

/// The X25519 key that a grantee has made for one grant, in locked memory: what the grant opens is sealed to it.
pub struct GrantKey(BoxKey);

impl GrantKey {
    /// A fresh one.
    pub fn generate() -> Result<Self, AddressError> {
        Ok(Self(BoxKey::generate()?))
    }

    /// From the 32 bytes that [`Self::expose`] lent.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, AddressError> {
        Ok(Self(BoxKey::from_secret(bytes)?))
    }

    /// The public part, as it stands in the grant.
    pub const fn public(&self) -> [u8; 32] {
        self.0.public()
    }

    /// Lends the secret, only so that it can be sealed.
    pub fn expose<R>(&self, f: impl for<'a> FnOnce(&'a [u8]) -> R) -> R {
        self.0.expose(f)
    }

    pub(crate) const fn as_box(&self) -> &BoxKey {
        &self.0
    }
}

impl fmt::Debug for GrantKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GrantKey(redacted)")
    }
}

/// Which delivery under which grant: what a package is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The ledger.
    pub chain_id: [u8; 32],
    /// The grant's id.
    pub grant: [u8; 32],
    /// The account's name on the ledger.
    pub account: [u8; 32],
    /// The first address epoch that is opened.
    pub first: u32,
    /// The last one.
    pub last: u32,
}

impl Delivery {
    /// HPKE `info`: `label || chain id[32] || grant id[32] || account[32] || first u32 || last u32`.
    pub(super) fn info(&self) -> Vec<u8> {
        let Self { chain_id, grant, account, first, last } = self;
        let label = labels::tagged(labels::GRANT_DELIVERY);
        [&label[..], chain_id, grant, account, &first.to_be_bytes(), &last.to_be_bytes()].concat()
    }

    fn is_of(&self, cover: &ViewingCover) -> Result<(), AddressError> {
        let (found, expected) = (cover.epochs(), self.first..=self.last);
        if found == expected { Ok(()) } else { Err(AddressError::Range { found, expected }) }
    }
}

/// Seals the cover of exactly the delivery's epochs to the grantee.
pub fn seal_delivery(
    delivery: &Delivery,
    grantee: &[u8; 32],
    cover: &ViewingCover,
) -> Result<Vec<u8>, AddressError> {
    with_randomness(|random| seal_delivery_with(delivery, grantee, cover, random))
}

pub(super) fn seal_delivery_with(
    delivery: &Delivery,
    grantee: &[u8; 32],
    cover: &ViewingCover,
    random: &mut (impl RngCore + CryptoRng),
) -> Result<Vec<u8>, AddressError> {
    delivery.is_of(cover)?;
    Ok(cover.encode().expose(|plain| hpke_box::seal(grantee, &delivery.info(), plain, random))?)
}

/// Opens what [`seal_delivery`] sealed; refused unless it is the cover of exactly the delivery's epochs.
pub fn open_delivery(
    delivery: &Delivery,
    key: &GrantKey,
    sealed: &[u8],
) -> Result<ViewingCover, AddressError> {
    let plain = key.as_box().open(&delivery.info(), sealed, COVER_BYTES_MAX)?;
    let cover = plain.expose(ViewingCover::decode)?;
    delivery.is_of(&cover)?;
    Ok(cover)
}
