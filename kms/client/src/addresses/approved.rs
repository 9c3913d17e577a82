//! What others must approve, signed with an own address: the case is held against the ledger and this very order before an address is
//! given out, and a use that was begun with it goes on when the command is given again.

use keyward_crypto::unlinkable::{ViewingLeaf, open_detail};
use keyward_domain::detail::{ApprovedBy, Detail};
use keyward_ledger_core::entry::UseAddress;
use keyward_ledger_core::hash::commitment;

use super::book::{AddressSource, Begun, Book};
use super::error::AddressesError;
use super::order::AddressOrder;
use super::own::Started;
use super::root::OwnRoot;
use crate::approvals::{About, ApprovalError};
use crate::client::Client;

impl Client {
    /// The case of an order, and the salt with which what it is about has the hash that the ledger proves: this account, and this order.
    pub(super) async fn own_approval(
        &self,
        account: &[u8; 32],
        order: &AddressOrder,
    ) -> Result<Option<ApprovedBy>, AddressesError> {
        let Some(case) = order.case() else { return Ok(None) };
        let shown = self.approval_case(case).await?;
        shown.check_payable()?;
        match &shown.about {
            Some(About::Address(asked)) if asked.account == *account && order.is_asked(asked) => {
                Ok(Some(ApprovedBy { case: *case, salt: asked.salt }))
            }
            Some(_) => Err(ApprovalError::OtherPayload.into()),
            None => Err(ApprovalError::Withdrawn.into()),
        }
    }

    /// A use that was begun with the order's case, if the service records it, or has. Else another address may be used with the case:
    /// whether that still pays for one, the service says.
    pub(super) async fn resumed_approved(
        &self,
        root: &OwnRoot<'_>,
        order: &AddressOrder,
    ) -> Result<Option<(AddressSource, Started)>, AddressesError> {
        let Some(case) = order.case() else { return Ok(None) };
        let book = root.read()?;
        let Some(source) = book.begun_with(case, order) else { return Ok(None) };
        match self.resumed(root, &book, (&source, order)).await {
            Ok(started) => Ok(started.map(|started| (source, started))),
            Err(AddressesError::Spent) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Book {
    /// The address whose use was begun with a case for this very order: one that is recorded, else the last.
    fn begun_with(&self, case: &[u8; 32], order: &AddressOrder) -> Option<AddressSource> {
        let mut found: Option<(AddressSource, bool)> = None;
        for (epoch, book) in self.epochs() {
            let Ok(view) = self.view(*epoch) else { continue };
            for spent in &book.spent {
                let is_it = spent.begun.as_ref().is_some_and(|begun| begun.is_by(&view, case, order));
                let is_better = found.is_none_or(|(_, recorded)| spent.leaf.is_some() || !recorded);
                if is_it && is_better {
                    found = Some((spent.source, spent.leaf.is_some()));
                }
            }
        }
        found.map(|(source, _)| source)
    }
}

impl Begun {
    fn is_by(&self, view: &ViewingLeaf, case: &[u8; 32], order: &AddressOrder) -> bool {
        let Ok(used) = UseAddress::from_body(&self.body, self.proof) else { return false };
        let opened = open_detail(view, &used.id, &used.public_fields(), &used.detail);
        let detail = opened.ok().and_then(|detail| detail.expose(Detail::decode).ok());
        used.scheme == order.scheme()
            && used.commitment == commitment(&self.opening, order.payload_hash())
            && detail.and_then(|detail| detail.approved).is_some_and(|by| by.case == *case)
    }
}
