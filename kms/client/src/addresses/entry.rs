//! What the service says was recorded: believed when its receipt verifies, is of the very entry, and accepted.

use keyward_ledger_core::entry::Entry;
use keyward_ledger_core::hash::Hash;
use keyward_ledger_core::log::leaf_hash;
use keyward_ledger_core::receipt::Receipt;
use keyward_ledger_verify::Verdict;
use keyward_proto::custody::AddressSource as ProtoSource;
use keyward_proto::custody::address_source::Source;
use keyward_proto::custody::addresses_client::AddressesClient;
use tonic::codegen::Bytes;
use tonic::transport::Channel;

use super::Address;
use super::book::AddressSource;
use super::error::AddressesError;
use crate::client::Client;
use crate::evidence::EvidenceError;
use crate::receipts::Trusted;

/// A page of announcements, or of addresses, may be longer than the library's own bound.
const ANSWER_BYTES_MAX: usize = 16 << 20;
/// How often a marked call is made where nobody says whether it arrived.
pub(super) const TRIES: u32 = 4;

impl Client {
    /// Addresses, for calls made by hand.
    pub fn addresses(&self) -> AddressesClient<Channel> {
        AddressesClient::new(self.channel()).max_decoding_message_size(ANSWER_BYTES_MAX)
    }

    pub(super) fn address_trust(&self) -> Result<&Trusted, AddressesError> {
        self.trusted.as_deref().ok_or(AddressesError::TrustMissing)
    }

    /// Marked calls of addresses are tried again at least so often.
    pub(super) fn patient(&self) -> Self {
        self.clone().with_tries(self.tries.max(TRIES))
    }

    /// The receipt must be of an entry that is wanted, and accepted.
    pub(crate) fn recorded_address(
        &self,
        receipt: &[u8],
        what: &'static str,
        is_wanted: impl Fn(&Entry) -> bool,
    ) -> Result<Verdict, AddressesError> {
        let verdict = self.address_trust()?.verifier.receipt(receipt, None);
        let verdict = verdict.map_err(|source| AddressesError::Proof { what, source })?;
        if !verdict.entry.as_ref().is_some_and(is_wanted) {
            return Err(AddressesError::Substituted { what: "the receipt of another entry" });
        }
        EvidenceError::accepted(&verdict.outcome).map_err(AddressesError::RefusedByLedger)?;
        Ok(verdict)
    }
}

/// Place and leaf hash of a receipt's record. The receipt was verified before.
pub(super) fn leaf_of(receipt: &[u8]) -> Result<(u64, Hash), AddressesError> {
    let receipt = Receipt::decode(receipt)?;
    Ok((receipt.leaf_index, leaf_hash(&receipt.record)))
}

/// An address as the service names it.
pub(super) fn address_of(bytes: &[u8]) -> Result<Address, AddressesError> {
    bytes.try_into().map_err(|_length| AddressesError::Substituted { what: "an address of another length" })
}

pub(super) fn source_of(source: Option<&ProtoSource>) -> Result<AddressSource, AddressesError> {
    const NONE: AddressesError = AddressesError::Substituted { what: "an address without its source" };
    let ProtoSource { epoch, source } = source.ok_or(NONE)?;
    let epoch = *epoch;
    match source.as_ref().ok_or(NONE)? {
        Source::Index(index) => Ok(AddressSource::Index { epoch, index: *index }),
        Source::Payment(payment) => match payment[..].try_into() {
            Ok(payment) => Ok(AddressSource::Payment { epoch, payment }),
            Err(_length) => Err(AddressesError::Substituted { what: "a payment of another length" }),
        },
    }
}

pub(super) fn source_to_proto(source: &AddressSource) -> ProtoSource {
    let (epoch, source) = match source {
        AddressSource::Index { epoch, index } => (*epoch, Source::Index(*index)),
        AddressSource::Payment { epoch, payment } => {
            (*epoch, Source::Payment(Bytes::copy_from_slice(payment)))
        }
    };
    ProtoSource { epoch, source: Some(source) }
}
