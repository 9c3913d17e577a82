//! What was done about the grant.

use keyward_ledger_core::entry::{Act, AuditAct, Authored, OpenGrant, Party};
use keyward_ledger_core::hash::Hash;

use super::Place;
use crate::relink::{At, Relinker};

/// Something that was done about the grant.
#[derive(Clone, Debug)]
pub struct GrantAct {
    /// Its record.
    pub place: Place,
    /// What.
    pub what: GrantStep,
    /// Who; submitters speak for nobody.
    pub author: Option<Party>,
    /// The Ed25519 key of the submitter that handed it in: its word alone, where there is no author.
    pub submitter: Hash,
}

/// A step in a grant's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrantStep {
    /// It was asked for.
    Requested,
    /// Approvals were asked for.
    CaseOpened {
        /// The case.
        case: Hash,
    },
    /// Somebody approved, and did not take it back.
    Approved {
        /// The case.
        case: Hash,
    },
    /// It was issued.
    Issued {
        /// The case that decided.
        case: Hash,
    },
    /// A run of epochs was opened.
    Opened(OpenGrant),
    /// What opens them was handed over.
    Delivered {
        /// Of which opening.
        opened: OpenGrant,
        /// The hash of the package.
        package_hash: Hash,
    },
    /// Something was looked at.
    Used {
        /// How many queries.
        count: u32,
        /// The hash of what they were.
        what: Hash,
    },
    /// It ended.
    Revoked {
        /// The hash of the reason.
        reason: Hash,
    },
}

impl Relinker {
    /// An act, if it is about the grant, or in the case that decided. Anybody can open another case about the same grant, under a
    /// rule of their own: what is said there decides nothing.
    pub(crate) fn acted(&mut self, at: &mut At<'_>, authored: &Authored) {
        let (grant, decided) = (self.granted.grant.id, self.granted.case);
        let author = authored.authors.first().map(|author| author.party);
        let (about, step) = match &authored.act {
            Act::OpenApproval { .. } if at.record.outcome.data == decided => {
                (grant, GrantStep::CaseOpened { case: decided })
            }
            Act::Approve { case, .. } if case.id == decided => (grant, GrantStep::Approved { case: decided }),
            Act::WithdrawApproval(case) if case.id == decided => return self.took_back(author),
            Act::Audit(AuditAct::Request(asked)) => (asked.id, GrantStep::Requested),
            Act::Audit(AuditAct::Issue { grant, case }) => (*grant, GrantStep::Issued { case: *case }),
            Act::Audit(AuditAct::Open(opened)) => (opened.grant, GrantStep::Opened(*opened)),
            Act::Audit(AuditAct::Revoke(revoke)) => {
                (revoke.grant, GrantStep::Revoked { reason: revoke.reason })
            }
            _ => return,
        };
        self.step(at, &about, step, author);
    }

    /// Whoever takes an approval back has not approved: an account by whatever speaks for it.
    fn took_back(&mut self, author: Option<Party>) {
        let Some(party) = author else { return };
        let account = self.cases.account_of(&party);
        let same = |one: Party| one == party || (account.is_some() && self.cases.account_of(&one) == account);
        self.acts
            .retain(|act| !(matches!(act.what, GrantStep::Approved { .. }) && act.author.is_some_and(same)));
    }

    pub(crate) fn step(&mut self, at: &mut At<'_>, grant: &Hash, what: GrantStep, author: Option<Party>) {
        if *grant == self.granted.grant.id {
            let submitter = at.record.submitter;
            self.acts.push(GrantAct { place: at.place(), what, author, submitter });
        }
    }
}
