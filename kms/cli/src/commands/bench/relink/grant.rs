//! A grant for the measurement: its records begin the log, and its file holds their receipts.

use keyward_audit::{Delivery, GrantFile, Opening, Receipts};
use keyward_crypto::unlinkable::ViewingCover;
use keyward_ledger_core::entry::{
    Act, AuditAct, Author, Authored, DeliverGrant, Entry, Grant, OpenGrant, Party,
};
use keyward_ledger_core::hash::Hash;

use super::chain::Chain;
use crate::failure::{Failure, Result};
use crate::sealed::random32;

const PURPOSE: &str = "a measurement";

/// The epochs that it opens, and when they are.
pub(super) struct Span {
    pub(super) account: Hash,
    pub(super) first: u32,
    pub(super) last: u32,
    pub(super) until_ms: u64,
}

/// Takes a grant that was issued and opened into a ledger's first block.
pub(super) fn made(chain: &mut Chain, span: &Span, cover: ViewingCover) -> Result<GrantFile> {
    let grant = Grant {
        id: *random32()?,
        tenant: *random32()?,
        grantee_key: *random32()?,
        purpose_hash: Grant::purpose_hash_of(PURPOSE),
        from_ms: 0,
        until_ms: span.until_ms,
        expires_ms: u64::MAX,
        accounts: vec![span.account],
    };
    let opened = OpenGrant { grant: grant.id, account: span.account, first: span.first, last: span.last };
    let issue = AuditAct::Issue { grant: grant.id, case: *random32()? };
    for entry in [
        authored(AuditAct::Request(grant)),
        authored(issue),
        authored(AuditAct::Open(opened)),
        Entry::DeliverGrant(DeliverGrant { opened, package_hash: *random32()? }),
    ] {
        chain.take(0, &entry)?;
    }
    let failed = || Failure::refused("the grant could not be made", "report this as a fault");
    let block = chain.close()?.ok_or_else(failed)?;
    let receipts = Receipts::new(chain.genesis(), Vec::new()).of(&block, |_| true);
    let receipts = receipts.map_err(|error| failed().because(&error))?;
    let receipts: Vec<_> = receipts.into_iter().map(|(_, receipt)| receipt).collect();
    let [request, issue, open, delivered] = <[Vec<u8>; 4]>::try_from(receipts).map_err(|_others| failed())?;
    let (account, first, last) = (span.account, span.first, span.last);
    let delivery = Delivery::Hosted { delivered, cover };
    Ok(GrantFile {
        chain_id: *chain.genesis().chain_id(),
        purpose: PURPOSE.to_owned(),
        request,
        approvals: Vec::new(),
        issue,
        openings: vec![Opening { account, first, last, opened: open, delivery }],
    })
}

/// Receipts prove that a record is in the log, and that the ledger took it; nobody looks at authors' signatures again.
fn authored(act: AuditAct) -> Entry {
    let author = Author {
        party: Party::Credential([2; 32]),
        nonce: [3; 32],
        not_after: 1,
        public_key: Vec::new(),
        signature: vec![4; 64],
    };
    Entry::Authored(Authored { act: Act::Audit(act), authors: vec![author] })
}
