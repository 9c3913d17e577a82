//! Acts of associations in words: every part of them, for who is to sign.

use keyward_ledger_core::entry::{AssociationAct, AssociationTerms, Member, Quorum};

use super::address_words;
use crate::petition::party_words;

/// What is wanted, over several lines: whoever signs has read all of it.
pub fn act_words(act: &AssociationAct) -> String {
    let id = hex::encode(act.association());
    match act {
        AssociationAct::Open { terms, members, .. } => {
            format!("open association {id}{}{}", coming(members), terms_words(terms))
        }
        AssociationAct::Update { version, terms, removed, added, .. } => {
            let gone: String =
                removed.iter().map(|address| format!("\n    - {}", address_words(address))).collect();
            let rule = terms.as_ref().map(terms_words).unwrap_or_default();
            format!("make version {version} of association {id}{gone}{}{rule}", coming(added))
        }
        AssociationAct::Leave { version, address, .. } => {
            format!("take {} out of association {id}, in version {version}", address_words(address))
        }
        AssociationAct::Dispute { version, reason, .. } => {
            let reason = hex::encode(reason);
            format!("dispute version {version} of association {id}, for the reason with hash {reason}")
        }
        AssociationAct::Settle { dispute, verdict, .. } => {
            let verdict = hex::encode(verdict);
            format!("settle dispute {dispute} of association {id}, by the verdict with hash {verdict}")
        }
    }
}

fn coming(members: &[Member]) -> String {
    let one = |of: &Member| {
        format!("\n    + {}  of account {}", address_words(&of.address), hex::encode(of.account))
    };
    members.iter().map(one).collect()
}

fn terms_words(terms: &AssociationTerms) -> String {
    let (change, settle) = (quorum_words(&terms.change), quorum_words(&terms.settle));
    format!("\n    changed by   {change}\n    settled by   {settle}")
}

/// How many of whom.
pub fn quorum_words(quorum: &Quorum) -> String {
    let parties: Vec<_> = quorum.parties.iter().map(|party| party_words(*party)).collect();
    format!("{} of {}", quorum.needed, parties.join(", "))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use keyward_ledger_core::entry::Party;

    use super::super::parse_address;
    use super::*;

    fn terms() -> AssociationTerms {
        let rule =
            |needed| Quorum { needed, parties: vec![Party::Credential([1; 32]), Party::Credential([2; 32])] };
        AssociationTerms { change: rule(1), settle: rule(2) }
    }

    #[test]
    fn who_signs_reads_every_part_of_a_change() {
        let ether = "ethereum:0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";
        let coin = "bitcoin:bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4";
        let member = Member { account: [3; 32], address: parse_address(ether).unwrap(), proof: vec![1; 65] };
        let (id, removed) = ([9; 32], vec![parse_address(coin).unwrap()]);
        let update = AssociationAct::Update {
            association: id,
            version: 4,
            terms: Some(terms()),
            removed,
            added: vec![member.clone()],
        };
        let said = act_words(&update);
        for part in [
            "version 4",
            &hex::encode(id),
            ether,
            coin,
            &hex::encode([3; 32]),
            "1 of account",
            "2 of account",
        ] {
            assert!(said.contains(part), "{part} is not said: {said}");
        }
        let open = AssociationAct::Open { association: id, terms: terms(), members: vec![member] };
        assert!(act_words(&open).contains(ether));
    }
}
