//! What this side derives from its own root: addresses, their keys, and whether one is its own.

use keyward_crypto::SigningKey;
use keyward_crypto::unlinkable::{EpochAddresses, Payment, SpendingPoint, ViewingLeaf};
use keyward_domain::scheme::Scheme;

use super::Address;
use super::book::{AddressSource, Book};
use super::error::AddressesError;

impl Book {
    /// What recognises addresses of an epoch.
    pub(super) fn view(&self, epoch: u32) -> Result<ViewingLeaf, AddressesError> {
        self.viewing.viewing_leaf(epoch).ok_or(AddressesError::Erased { epoch })
    }

    /// The public half of an epoch's spending key.
    pub(super) fn spending(&self, epoch: u32) -> Result<SpendingPoint, AddressesError> {
        Ok(self.viewing.spending_leaf(epoch)?.point())
    }

    /// All addresses of an epoch.
    pub(super) fn addresses(&self, epoch: u32) -> Result<EpochAddresses, AddressesError> {
        Ok(EpochAddresses::new(self.view(epoch)?, self.spending(epoch)?))
    }

    /// The address of a source.
    pub(super) fn address(&self, source: &AddressSource) -> Result<Address, AddressesError> {
        match source {
            AddressSource::Index { epoch, index } => Ok(self.addresses(*epoch)?.address(*index)?),
            AddressSource::Payment { epoch, payment } => {
                let seen = Payment::decode(payment)?.seen(&self.view(*epoch)?, self.spending(*epoch)?)?;
                seen.ok_or(AddressesError::NotOurs)
            }
        }
    }

    /// The key of a source's address.
    pub(super) fn key(&self, source: &AddressSource, scheme: Scheme) -> Result<SigningKey, AddressesError> {
        let (view, spending) = (self.view(source.epoch())?, self.viewing.spending_leaf(source.epoch())?);
        Ok(match source {
            AddressSource::Index { index, .. } => spending.key(&view, *index, scheme)?,
            AddressSource::Payment { payment, .. } => {
                Payment::decode(payment)?.key(&view, &spending, scheme)?
            }
        })
    }

    /// Where an address comes from, if it was given out or found here. The newest are looked at first.
    pub(super) fn source(&self, address: &Address) -> Result<AddressSource, AddressesError> {
        for found in self.payments.iter().rev() {
            let source = AddressSource::Payment { epoch: found.epoch, payment: found.payment };
            if matches!(self.address(&source), Ok(own) if own == *address) {
                return Ok(source);
            }
        }
        for (&epoch, book) in self.epochs.iter().rev() {
            let addresses = self.addresses(epoch)?;
            for index in (0..book.next).rev() {
                if addresses.address(index)? == *address {
                    return Ok(AddressSource::Index { epoch, index });
                }
            }
        }
        Err(AddressesError::NotOurs)
    }
}
