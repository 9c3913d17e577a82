//! Signatures of addresses: believed when they verify, and when the ledger has recorded, for just this, that the address is used.

use std::time::Instant;

use keyward_crypto::{ethereum_address, signature_der};
use keyward_domain::scheme::{PublicKey, Scheme, verify_digest};
use keyward_ledger_core::entry::{Entry, UseAddress};
use keyward_proto::custody::{SignAddressRequest, SignAddressResponse};

use super::Address;
use super::book::AddressSource;
use super::entry::{address_of, source_of};
use super::error::AddressesError;
use super::order::AddressOrder;
use crate::client::Client;
use crate::error::ClientError;
use crate::sign::Signature;

/// Which address signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// One that nobody has seen yet.
    Fresh,
    /// This one.
    Given(Address),
}

/// The signature of an address. Prints redacted: its receipt opens the commitment.
#[derive(Clone)]
pub struct AddressSignature {
    /// As of any key; the public key is in its scheme's form.
    pub signature: Signature,
    /// The address.
    pub address: Address,
    /// Where it comes from.
    pub source: AddressSource,
    /// The epoch of its use.
    pub epoch: u32,
    /// Where its intent stands on the ledger.
    pub leaf_index: u64,
    /// Whether the service has taken it, and records its release. The receipt is whole either way.
    pub released: bool,
}

impl Client {
    /// Has an address of a hosted root sign, within the client's deadline; under the order's mark it is done once.
    pub async fn sign_address(
        &self,
        order: &AddressOrder,
        which: Which,
    ) -> Result<AddressSignature, AddressesError> {
        order.refuse_reserved()?;
        self.address_trust()?;
        let public_key = match which {
            Which::Fresh => Vec::new(),
            Which::Given(address) => address.to_vec(),
        };
        let request = SignAddressRequest {
            public_key: public_key.into(),
            scheme: order.scheme().name().to_owned(),
            payload: Some(order.to_sign()),
            format: order.format().to_owned(),
            idempotency_key: order.mark(),
            case_id: order.case_id(),
        };
        let (patient, request) = (self.patient(), &request);
        let answer = patient.try_again(Instant::now() + self.deadline, |left| async move {
            self.answer(self.addresses().sign(self.request_within(request.clone(), left)).await)
        });
        self.believed_address(order, which, answer.await?)
    }

    /// The signature must be the asked one's, its receipt one that this address was used for just this payload.
    pub(super) fn believed_address(
        &self,
        order: &AddressOrder,
        which: Which,
        answer: SignAddressResponse,
    ) -> Result<AddressSignature, AddressesError> {
        let (address, source) = (address_of(&answer.public_key)?, source_of(answer.source.as_ref())?);
        if matches!(which, Which::Given(asked) if asked != address) {
            return Err(AddressesError::Substituted { what: "a signature of another address" });
        }
        let (used, leaf_index) = self.released_address(order, &answer, &address)?;
        if matches!(source, AddressSource::Index { epoch, .. } if epoch != used.epoch) {
            return Err(AddressesError::Substituted {
                what: "an address of another epoch than its record's",
            });
        }
        let public_key = key_of(&used)?;
        verify_digest(&public_key, order.payload_hash(), &answer.signature)
            .map_err(ClientError::Signature)?;
        let is_ecdsa = order.scheme() == Scheme::EcdsaSecp256k1;
        let signature = Signature {
            signature_der: signature_der(order.scheme(), &answer.signature),
            address: if is_ecdsa { ethereum_address(&public_key) } else { None },
            signature: answer.signature.to_vec(),
            public_key,
            receipt: answer.receipt.to_vec(),
            experimental: false,
        };
        Ok(AddressSignature { signature, address, source, epoch: used.epoch, leaf_index, released: true })
    }

    /// The use of the address that the receipt proves, with the signature that it releases.
    fn released_address(
        &self,
        order: &AddressOrder,
        answer: &SignAddressResponse,
        address: &Address,
    ) -> Result<(UseAddress, u64), AddressesError> {
        let verdict = self.recorded_address(&answer.receipt, "the signature", |entry| {
            matches!(entry, Entry::UseAddress(used)
                if used.public_key == *address && used.scheme == order.scheme())
        })?;
        if verdict.signature.as_deref() != Some(&answer.signature[..]) {
            return Err(AddressesError::Substituted { what: "a receipt that releases another signature" });
        }
        if verdict.payload_hash.as_ref() != Some(order.payload_hash()) {
            return Err(AddressesError::Substituted { what: "a receipt for another payload" });
        }
        match verdict.entry {
            Some(Entry::UseAddress(used)) => Ok((used, verdict.leaf_index)),
            _ => Err(AddressesError::Substituted { what: "the receipt of another entry" }),
        }
    }
}

pub(super) fn key_of(used: &UseAddress) -> Result<PublicKey, AddressesError> {
    used.key().ok_or(AddressesError::Substituted { what: "an address that is no key" })
}
