//! Approvals of uses. A case that approves what an address signs names nobody; the detail of the use names the case, and the salt
//! by which the case's payload follows from the account and what was signed.

use std::collections::{HashMap, HashSet};

use keyward_domain::blind::Blinded;
use keyward_domain::detail::Detail;
use keyward_ledger_core::entry::{Act, Authored, BindKey, Mode, OpenBlindCase, Party, UseBlindCase};
use keyward_ledger_core::hash::Hash;
use keyward_ledger_core::scheme::{PublicKey, Scheme};

use super::{Lie, Place};

/// Who has approved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approver {
    /// Whose word it was.
    pub party: Party,
    /// The account that this speaks for; nothing where it is a key that these records do not bind.
    pub account: Option<Hash>,
    /// The record of the word.
    pub place: Place,
}

/// A case, as these records have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApprovalCase {
    /// The rule that it was approved under.
    pub rule: Hash,
    /// Where it was opened.
    pub opened: Place,
    /// Where it was used up, complete.
    pub used: Option<Place>,
    /// Whose approvals stood then: not those of accounts that were closed by then, which count no more.
    pub approvers: Vec<Approver>,
    payload: Hash,
}

/// What a use says that it was approved by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approval {
    /// The case.
    pub case: Hash,
    /// What these records have of it.
    pub found: Option<ApprovalCase>,
}

/// The cases that name nobody, of whichever account, and whom linked and own keys speak for.
#[derive(Debug, Default)]
pub(crate) struct Cases {
    cases: HashMap<Hash, ApprovalCase>,
    accounts: HashMap<Hash, Hash>,
    closed: HashSet<Hash>,
    /// Cases that a use has named.
    named: HashSet<Hash>,
}

impl Cases {
    pub(crate) fn bound(&mut self, bind: &BindKey) {
        if !matches!(bind.mode, Mode::Linked | Mode::Own) {
            return;
        }
        if let Ok(key) = PublicKey::parse(bind.scheme, &bind.public_key) {
            self.accounts.insert(key.id().0, bind.account);
        }
    }

    /// For which account somebody speaks, as far as these records tell.
    pub(crate) fn account_of(&self, party: &Party) -> Option<Hash> {
        match party {
            Party::Credential(account) => Some(*account),
            Party::Key(key_id) => self.accounts.get(&key_id.0).copied(),
        }
    }

    /// An account was closed.
    pub(crate) fn left(&mut self, account: &Hash) {
        self.closed.insert(*account);
    }

    /// `case` is what the record's outcome says.
    pub(crate) fn opened(&mut self, open: &OpenBlindCase, case: &[u8], opened: Place) {
        let Ok(case) = Hash::try_from(case) else { return };
        let (rule, payload) = (open.rule, open.payload());
        self.cases.insert(case, ApprovalCase { rule, opened, used: None, approvers: Vec::new(), payload });
    }

    pub(crate) fn used(&mut self, used: &UseBlindCase, place: Place) {
        if let Some(case) = self.cases.get_mut(&used.case) {
            case.used.get_or_insert(place);
            case.approvers.retain(|one| !one.account.is_some_and(|account| self.closed.contains(&account)));
        }
    }

    /// A word about a case, if it is one of these.
    pub(crate) fn said(&mut self, authored: &Authored, place: impl FnOnce() -> Place) {
        let Some(party) = authored.authors.first().map(|author| author.party) else { return };
        let account = self.account_of(&party);
        match &authored.act {
            Act::Approve { case, .. } => {
                if let Some(case) = self.cases.get_mut(&case.id) {
                    case.approvers.push(Approver { party, account, place: place() });
                }
            }
            // An account takes its word back by whatever speaks for it.
            Act::WithdrawApproval(case) => {
                if let Some(case) = self.cases.get_mut(&case.id) {
                    let same = |one: &Approver| {
                        one.party == party || (one.account.is_some() && one.account == account)
                    };
                    case.approvers.retain(|one| !same(one));
                }
            }
            _ => {}
        }
    }

    /// What approved a use, and what of it is not true. `whole`: these records begin with the log.
    pub(crate) fn of_use(
        &mut self,
        detail: &Detail,
        scheme: Scheme,
        whole: bool,
    ) -> (Option<Approval>, Vec<Lie>) {
        let Some(by) = &detail.approved else { return (None, Vec::new()) };
        let found = self.cases.get(&by.case).cloned();
        let again = !self.named.insert(by.case);
        let mut lies = Vec::new();
        match &found {
            None if whole => lies.push(Lie::ApprovalUnknown),
            None => {}
            Some(case) => {
                let Detail { account, payload_hash, format, .. } = detail;
                let payload = Blinded { salt: &by.salt, account, scheme, payload_hash, format }.payload();
                let wrong = [
                    (case.payload != payload, Lie::ApprovalOther),
                    (case.used.is_none(), Lie::ApprovalIncomplete),
                    (case.approvers.iter().any(|one| one.account == Some(*account)), Lie::ApprovalOwn),
                ];
                lies.extend(wrong.into_iter().filter_map(|(wrong, lie)| wrong.then_some(lie)));
            }
        }
        if again {
            lies.push(Lie::ApprovalTwice);
        }
        (Some(Approval { case: by.case, found }), lies)
    }
}

impl Approval {
    /// The places of the records that it speaks of.
    pub fn places(&self) -> impl Iterator<Item = Place> {
        self.found.iter().flat_map(|case| {
            let words = case.approvers.iter().map(|one| one.place);
            [case.opened].into_iter().chain(words).chain(case.used)
        })
    }
}
