//! A grant file whose receipts were verified: who may look, at what, and by what right.

use std::collections::BTreeMap;

use keyward_ledger_core::entry::{Act, AuditAct, Authored, Entry, Grant, OpenGrant, Party};
use keyward_ledger_core::hash::Hash;
use keyward_ledger_core::log::leaf_hash;
use keyward_ledger_core::receipt::Receipt;
use keyward_ledger_verify::{Verdict, Verifier};

use crate::error::AuditError;
use crate::finding::Place;
use crate::grant_file::{Delivery, GrantFile, Opening};

/// What a grant file shows under a trust file.
#[derive(Clone, Debug)]
pub struct Granted {
    /// The ledger's name, as the trust file has it.
    pub ledger: String,
    /// The ledger: its genesis hash.
    pub chain_id: Hash,
    /// The grant.
    pub grant: Grant,
    /// What it is for.
    pub purpose: String,
    /// Who asked, which is who may look.
    pub grantee: Party,
    /// Where it was asked for.
    pub requested: Place,
    /// Where it was issued.
    pub issued: Place,
    /// The approval case that it was issued by.
    pub case: Hash,
    /// Every record that the file has a receipt of, by its index in the log.
    pub(crate) shown: BTreeMap<u64, Hash>,
}

impl Granted {
    /// Whether the file has a receipt of the record at this index.
    pub fn shows(&self, leaf_index: u64) -> bool {
        self.shown.contains_key(&leaf_index)
    }
}

/// A receipt that holds, of an accepted entry.
struct Shown {
    place: Place,
    entry: Entry,
}

impl GrantFile {
    /// Verifies every receipt against a trust file, and that they are of this grant and of what was opened.
    pub fn check(&self, trust: &[u8]) -> Result<Granted, AuditError> {
        let verifier = Verifier::new(trust).map_err(AuditError::Trust)?;
        let trusted = verifier.trust();
        if trusted.chain_id != self.chain_id {
            let [found, trusted] = [self.chain_id, trusted.chain_id].map(hex::encode);
            return Err(AuditError::OtherLedger { found, trusted });
        }
        let mut shown = BTreeMap::new();
        let mut show = |what, bytes: &[u8]| -> Result<Shown, AuditError> {
            let found = show(&verifier, what, bytes)?;
            shown.insert(found.place.leaf_index, found.place.leaf_hash);
            Ok(found)
        };
        let requested = show("request-grant", &self.request)?;
        let (grant, grantee) = request(requested.entry)?;
        if Grant::purpose_hash_of(&self.purpose) != grant.purpose_hash {
            return Err(AuditError::OtherPurpose);
        }
        let issued = show("issue-grant", &self.issue)?;
        let case = issue(&issued.entry, &grant)?;
        for receipt in &self.approvals {
            approval(&show("an approval", receipt)?.entry, &grant, &case)?;
        }
        for opening in &self.openings {
            check_opening(opening, &grant, &mut show)?;
        }
        Ok(Granted {
            ledger: trusted.name.clone(),
            chain_id: self.chain_id,
            grant,
            purpose: self.purpose.clone(),
            grantee,
            requested: requested.place,
            issued: issued.place,
            case,
            shown,
        })
    }
}

fn show(verifier: &Verifier, what: &'static str, bytes: &[u8]) -> Result<Shown, AuditError> {
    let cause = |cause| AuditError::Receipt { what, cause };
    let verdict = verifier.receipt(bytes, None).map_err(cause)?;
    let receipt =
        Receipt::decode(bytes).map_err(|error| cause(keyward_ledger_verify::Failure::Receipt(error)))?;
    if !verdict.accepted {
        return Err(other(what, format!("the ledger refused it ({})", verdict.outcome.name())));
    }
    let place = place(&verdict, leaf_hash(&receipt.record));
    let kind = verdict.entry_kind;
    verdict.entry.map(|entry| Shown { place, entry }).ok_or_else(|| other(what, format!("a {kind} entry")))
}

const fn place(verdict: &Verdict, leaf_hash: Hash) -> Place {
    Place { leaf_index: verdict.leaf_index, leaf_hash, height: verdict.height, time_ms: verdict.time_ms }
}

const fn other(what: &'static str, why: String) -> AuditError {
    AuditError::OtherReceipt { what, why }
}

fn request(entry: Entry) -> Result<(Grant, Party), AuditError> {
    match entry {
        Entry::Authored(Authored { act: Act::Audit(AuditAct::Request(grant)), authors }) => {
            let author = authors.first().map(|author| author.party);
            author.map(|author| (grant, author)).ok_or_else(|| other("request-grant", "nobody asked".into()))
        }
        entry => Err(other("request-grant", format!("a {} entry", entry.name()))),
    }
}

fn issue(entry: &Entry, asked: &Grant) -> Result<Hash, AuditError> {
    match entry {
        Entry::Authored(Authored { act: Act::Audit(AuditAct::Issue { grant, case }), .. })
            if *grant == asked.id =>
        {
            Ok(*case)
        }
        entry => Err(other("issue-grant", format!("a {} entry of something else", entry.name()))),
    }
}

/// The opening of a case about this grant, or an approval in the one that it was issued by.
fn approval(entry: &Entry, grant: &Grant, issued_by: &Hash) -> Result<(), AuditError> {
    let payload = grant.payload();
    match entry {
        Entry::Authored(Authored { act: Act::OpenApproval { payload: about, .. }, .. })
            if *about == payload =>
        {
            Ok(())
        }
        Entry::Authored(Authored { act: Act::Approve { case, .. }, .. })
            if case.payload == payload && case.id == *issued_by =>
        {
            Ok(())
        }
        entry => Err(other("an approval", format!("a {} entry of something else", entry.name()))),
    }
}

fn check_opening(
    opening: &Opening,
    grant: &Grant,
    show: &mut impl FnMut(&'static str, &[u8]) -> Result<Shown, AuditError>,
) -> Result<(), AuditError> {
    let Opening { account, first, last, .. } = *opening;
    let expected = OpenGrant { grant: grant.id, account, first, last };
    match show("open-grant", &opening.opened)?.entry {
        Entry::Authored(Authored { act: Act::Audit(AuditAct::Open(opened)), .. }) if opened == expected => {}
        entry => return Err(other("open-grant", format!("a {} entry of something else", entry.name()))),
    }
    let Delivery::Hosted { delivered, .. } = &opening.delivery else { return Ok(()) };
    if delivered.is_empty() {
        return Err(AuditError::NotDelivered { account, first, last });
    }
    match show("deliver-grant", delivered)?.entry {
        Entry::DeliverGrant(delivered) if delivered.opened == expected => Ok(()),
        entry => Err(other("deliver-grant", format!("a {} entry of something else", entry.name()))),
    }
}
