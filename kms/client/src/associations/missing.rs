//! Whose signatures an act of an association still needs, as far as this side can tell.

use keyward_ledger_core::address::Address;
use keyward_ledger_core::entry::{Act, AssociationAct, Member, Party, Quorum};
use keyward_ledger_core::state::association::{AssociationState, DisputeState};

use crate::petition::Petition;

/// Whose signatures an act still needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Missing {
    /// How many more of the quorum; who of it has not signed.
    pub quorum: Option<(u8, Vec<Party>)>,
    /// Accounts of members that come, leave or dispute.
    pub accounts: Vec<[u8; 32]>,
}

impl Missing {
    /// Whether enough have signed.
    pub fn is_nobody(&self) -> bool {
        self.quorum.is_none() && self.accounts.is_empty()
    }
}

/// Whose signatures a petition still needs, as far as this side can tell; `speakers` says for which accounts keys have signed
/// ([`Client::association_speakers`](crate::Client::association_speakers)). The ledger decides.
pub fn missing(
    petition: &Petition,
    standing: Option<&AssociationState>,
    speakers: &[(Party, [u8; 32])],
) -> Missing {
    let Act::Association(act) = petition.act() else { return Missing::default() };
    let signed: Vec<_> = petition.authors().iter().map(|author| author.party).collect();
    let accounts: Vec<_> = signed.iter().filter_map(|party| account_of(party, speakers)).collect();
    let of_members = |members: &[Member]| members.iter().map(|member| member.account).collect::<Vec<_>>();
    let member_at = |address: &Address| standing?.members.iter().find(|member| member.address == *address);
    match (act, standing) {
        (AssociationAct::Open { terms, members, .. }, _) => Missing {
            quorum: of_quorum(&terms.change, &signed),
            accounts: silent(of_members(members), &accounts),
        },
        (AssociationAct::Update { added, .. }, Some(standing)) => Missing {
            quorum: of_quorum(&standing.terms.change, &signed),
            accounts: silent(of_members(added), &accounts),
        },
        (AssociationAct::Leave { address, .. }, Some(_)) => {
            let account = member_at(address).map(|member| member.account);
            Missing { quorum: None, accounts: silent(account.into_iter().collect(), &accounts) }
        }
        (AssociationAct::Settle { .. }, Some(standing)) => {
            let own = |of: DisputeState| {
                accounts.len() == signed.len() && accounts.iter().all(|account| *account == of.account)
            };
            let by_itself = !signed.is_empty() && standing.dispute.is_some_and(own);
            let quorum = if by_itself { None } else { of_quorum(&standing.terms.settle, &signed) };
            Missing { quorum, accounts: Vec::new() }
        }
        _ => Missing::default(),
    }
}

fn of_quorum(quorum: &Quorum, signed: &[Party]) -> Option<(u8, Vec<Party>)> {
    let silent: Vec<_> = quorum.parties.iter().filter(|party| !signed.contains(party)).copied().collect();
    let given = u8::try_from(quorum.parties.len().saturating_sub(silent.len())).unwrap_or(u8::MAX);
    let more = quorum.needed.saturating_sub(given);
    (more > 0).then_some((more, silent))
}

fn account_of(party: &Party, speakers: &[(Party, [u8; 32])]) -> Option<[u8; 32]> {
    match party {
        Party::Credential(account) => Some(*account),
        Party::Key(_) => speakers.iter().find(|(of, _)| of == party).map(|(_, account)| *account),
    }
}

/// Accounts for which nobody has signed; whether a key's word is its account's own the ledger knows.
fn silent(mut accounts: Vec<[u8; 32]>, heard: &[[u8; 32]]) -> Vec<[u8; 32]> {
    accounts.sort_unstable();
    accounts.dedup();
    accounts.retain(|account| !heard.contains(account));
    accounts
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use keyward_crypto::SigningKey;
    use keyward_domain::scheme::Scheme;
    use keyward_ledger_core::address::AddressFormat;
    use keyward_ledger_core::entry::AssociationTerms;
    use keyward_ledger_core::state::association::MemberState;

    use super::*;

    const A: [u8; 32] = [1; 32];
    const B: [u8; 32] = [2; 32];
    const C: [u8; 32] = [3; 32];
    const GROUP: [u8; 32] = [9; 32];

    fn address(byte: u8) -> Address {
        Address { format: AddressFormat::Ethereum, bytes: vec![byte; 20] }
    }

    fn quorum(needed: u8, accounts: &[[u8; 32]]) -> Quorum {
        Quorum { needed, parties: accounts.iter().copied().map(Party::Credential).collect() }
    }

    fn terms() -> AssociationTerms {
        AssociationTerms { change: quorum(2, &[A, B]), settle: quorum(2, &[A, B]) }
    }

    fn standing() -> AssociationState {
        let member = MemberState { account: A, address: address(7), since: 1, proof: vec![1; 65] };
        AssociationState {
            version: 1,
            terms: terms(),
            members: vec![member],
            disputes: 1,
            dispute: Some(DisputeState { account: A, reason: [0; 32] }),
            heard: vec![A],
            leaf: 3,
        }
    }

    fn signed(act: AssociationAct, accounts: &[[u8; 32]]) -> Petition {
        let mut petition = Petition::new([0xcc; 32], Act::Association(act));
        for account in accounts {
            let key = SigningKey::from_secret(Scheme::Ed25519, account).unwrap();
            petition.sign_as_account(*account, &key, 100).unwrap();
        }
        petition
    }

    #[test]
    fn what_is_missing_are_the_rules_parties_and_whoever_comes() {
        let added = vec![Member { account: C, address: address(8), proof: vec![1; 65] }];
        let update = |accounts: &[[u8; 32]]| {
            let (added, removed) = (added.clone(), Vec::new());
            let act = AssociationAct::Update { association: GROUP, version: 2, terms: None, removed, added };
            missing(&signed(act, accounts), Some(&standing()), &[])
        };
        let both = vec![Party::Credential(A), Party::Credential(B)];
        assert_eq!(update(&[]), Missing { quorum: Some((2, both.clone())), accounts: vec![C] });
        assert_eq!(update(&[A, C]), Missing { quorum: Some((1, vec![both[1]])), accounts: Vec::new() });
        assert!(update(&[A, B, C]).is_nobody());
        let act = AssociationAct::Open { association: GROUP, terms: terms(), members: added.clone() };
        assert_eq!(missing(&signed(act, &[A, B]), None, &[]).accounts, [C]);
    }

    #[test]
    fn a_dispute_is_taken_back_by_who_raised_it_or_settled_by_the_rule() {
        let settle = |accounts: &[[u8; 32]]| {
            let act = AssociationAct::Settle { association: GROUP, dispute: 1, verdict: [0; 32] };
            missing(&signed(act, accounts), Some(&standing()), &[])
        };
        assert!(settle(&[A]).is_nobody());
        assert!(settle(&[A, B]).is_nobody());
        assert_eq!(settle(&[B]).quorum, Some((1, vec![Party::Credential(A)])));
        let leave = |address| {
            let act = AssociationAct::Leave { association: GROUP, version: 2, address };
            missing(&signed(act, &[]), Some(&standing()), &[]).accounts
        };
        assert_eq!((leave(address(7)), leave(address(6))), (vec![A], Vec::new()));
    }

    #[test]
    fn a_key_speaks_for_the_account_that_it_is_proven_to_be_of() {
        let key = SigningKey::from_secret(Scheme::Ed25519, &[7; 32]).unwrap();
        let party = Party::Key(key.public_key().id());
        let act = AssociationAct::Open {
            association: GROUP,
            terms: AssociationTerms {
                change: Quorum { needed: 1, parties: vec![party] },
                settle: quorum(1, &[A]),
            },
            members: vec![Member { account: C, address: address(8), proof: vec![1; 65] }],
        };
        let mut petition = Petition::new([0xcc; 32], Act::Association(act));
        petition.sign_as_key(&key, 100).unwrap();
        assert!(missing(&petition, None, &[(party, C)]).is_nobody());
        assert_eq!(missing(&petition, None, &[(party, B)]).accounts, [C], "of another account");
        assert_eq!(missing(&petition, None, &[]).accounts, [C], "of nobody known");
        let settle = AssociationAct::Settle { association: GROUP, dispute: 1, verdict: [0; 32] };
        let mut petition = Petition::new([0xcc; 32], Act::Association(settle));
        petition.sign_as_key(&key, 100).unwrap();
        assert!(missing(&petition, Some(&standing()), &[(party, A)]).is_nobody());
        assert!(!missing(&petition, Some(&standing()), &[]).is_nobody());
    }
}
