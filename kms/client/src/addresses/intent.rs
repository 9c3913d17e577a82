//! An intent that an own address is to vouch for: it must be the one that was asked for, and nothing else.
//!
//! A service would gain by another payload's commitment, by a detail that names another account or that nobody with the epoch's
//! leaf can read, by approvals of another case than the one that was looked at, and by a limit's handle, which would link what it stands on.

use keyward_crypto::unlinkable::{ViewingLeaf, open_detail};
use keyward_domain::detail::{ApprovedBy, Detail, Source};
use keyward_ledger_core::entry::UseAddress;
use keyward_ledger_core::hash::commitment;

use super::Address;
use super::book::AddressSource;
use super::error::AddressesError;
use super::order::AddressOrder;

/// What was asked for.
pub(super) struct Asked<'a> {
    pub(super) account: [u8; 32],
    pub(super) epoch_ms: u64,
    /// The leaf of the epoch under way, for which the detail is sealed.
    pub(super) view: &'a ViewingLeaf,
    pub(super) source: AddressSource,
    pub(super) public_key: Address,
    pub(super) order: &'a AddressOrder,
    /// The case, and the salt with which it is about just this.
    pub(super) approved: Option<ApprovedBy>,
}

impl Asked<'_> {
    /// Reads the body of an intent, and holds all of it against what was asked for.
    pub(super) fn check(&self, body: &[u8], opening: &[u8; 32]) -> Result<UseAddress, AddressesError> {
        let used = UseAddress::from_body(body, [0; 64]).map_err(AddressesError::IntentMalformed)?;
        self.check_public(&used, opening)?;
        self.check_detail(&used, opening)?;
        Ok(used)
    }

    fn check_public(&self, used: &UseAddress, opening: &[u8; 32]) -> Result<(), AddressesError> {
        let epoch = (self.epoch_ms, self.view.epoch());
        let checks = [
            (used.public_key == self.public_key, "is of another address"),
            (used.scheme == self.order.scheme(), "is for another scheme"),
            ((used.epoch_ms, used.epoch) == epoch, "is of another epoch"),
            (used.commitment == commitment(opening, self.order.payload_hash()), "commits to another payload"),
            (used.limit.is_none(), "bears a handle, which would link it to others"),
        ];
        refuted(&checks).map_or(Ok(()), |what| Err(AddressesError::Intent { what }))
    }

    fn check_detail(&self, used: &UseAddress, opening: &[u8; 32]) -> Result<(), AddressesError> {
        let opened = open_detail(self.view, &used.id, &used.public_fields(), &used.detail)
            .map_err(AddressesError::DetailClosed)?;
        let detail = opened.expose(Detail::decode).map_err(AddressesError::DetailMalformed)?;
        let checks = [
            (detail.account == self.account, "names another account"),
            (is_source(&detail.source, &self.source), "names another source of the address"),
            (detail.payload_hash == *self.order.payload_hash(), "names another payload"),
            (detail.opening == *opening, "opens another commitment"),
            (detail.format == self.order.format(), "names another format"),
            (detail.approved == self.approved, "names other approvals than those that it is to be done by"),
            (detail.said == self.order.said(), "says something else than the payload"),
        ];
        refuted(&checks).map_or(Ok(()), |what| Err(AddressesError::Detail { what }))
    }
}

fn refuted(checks: &[(bool, &'static str)]) -> Option<&'static str> {
    checks.iter().find(|(holds, _)| !holds).map(|(_, what)| *what)
}

fn is_source(said: &Source, asked: &AddressSource) -> bool {
    match (said, asked) {
        (Source::Index(said), AddressSource::Index { index, .. }) => said == index,
        (Source::Payment { epoch, payment }, AddressSource::Payment { epoch: asked, payment: paid }) => {
            epoch == asked && payment == paid
        }
        _ => false,
    }
}
