//! A key's word: what its holder is to be an author of, told to the desk of a token agent; and the desk's reading of it.
//!
//! INVARIANT: what a desk shows is computed from the act itself, and the act is the one that the message is the key's word for:
//! nothing that a service says in between changes either.

use keyward_domain::approval::About;
use keyward_domain::scheme::KeyId;
use keyward_ledger_core::entry::{Act, AuditAct, Authored, Case, Entry, RuleName};
use keyward_proto::custody as proto;

use crate::approvals;
use crate::associations::act_words;
use crate::client::Client;
use crate::error::ClientError;
use crate::petition::{Blank, Petition, fingerprint, own_word};
use crate::sign::{Order, Signature};

/// An act that an association or an approval wants, as the desk reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) about: Subject,
    /// All of it, one line each.
    pub(crate) lines: Vec<String>,
}

/// What a word is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    Association,
    Approval,
}

impl Client {
    /// Has a key in a token say what a petition asks for; a token agent is told what that is, and what an approval is about.
    pub(crate) async fn token_word(
        &self,
        key_id: &KeyId,
        (petition, blank): (&Petition, &Blank),
        about: Option<&About>,
    ) -> Result<Signature, ClientError> {
        let order = Order::message(key_id.to_string(), petition.message(blank))?;
        self.sign(&order.telling(tell(petition.act(), about))).await
    }
}

/// What the desk is told.
pub(crate) fn tell(act: &Act, about: Option<&About>) -> proto::Word {
    let entry = Entry::Authored(Authored { act: act.clone(), authors: Vec::new() }).encode();
    proto::Word { entry: entry.into(), about: about.map(approvals::to_proto) }
}

/// Reads what a key is asked to say: none if the message is anything else than its own word, on this ledger, for an act of an
/// association or an approval, which is told in full.
pub(crate) fn told(
    message: &[u8],
    ledger_and_key: (&[u8; 32], &[u8; 32]),
    word: &proto::Word,
) -> Option<Told> {
    let proto::Word { entry, about } = word;
    let Entry::Authored(Authored { act, authors }) = Entry::decode(entry).ok()? else { return None };
    if !authors.is_empty() {
        return None;
    }
    let payload = act.payload();
    let not_after = own_word(message, ledger_and_key, act.kind(), &payload)?;
    let about = about.clone().map(approvals::of_proto).transpose().ok()?;
    let (subject, mut lines) = match &act {
        Act::Association(act) if about.is_none() => {
            let mut lines: Vec<_> = act_words(act).lines().map(str::to_owned).collect();
            lines
                .push(format!("fingerprint {}: compare it with who made the request", fingerprint(&payload)));
            (Subject::Association, lines)
        }
        _ => (Subject::Approval, approval(&act, about.as_ref())?),
    };
    lines.push(format!("counts up to height {not_after}"));
    Some(Told { about: subject, lines })
}

/// An act about approvals in words. What gives rights is read in full; what takes them away needs no more than its case.
fn approval(act: &Act, about: Option<&About>) -> Option<Vec<String>> {
    let case = |case: &Case| format!("case {}", hex::encode(case.id));
    let (head, payload) = match act {
        Act::OpenApproval { rule: RuleName { owner, name }, payload, live_ms } => {
            let (owner, name) = (hex::encode(owner), hex::encode(name));
            let head = format!(
                "ask for approval, within {} s, under the rule {name} of account {owner}",
                live_ms / 1000
            );
            (head, payload)
        }
        Act::Approve { case: of, group } => (format!("APPROVE {}, for group {group}", case(of)), &of.payload),
        Act::UseApproval(of) => (format!("use up the approvals of {}", case(of)), &of.payload),
        Act::RefuseApproval(of) => return Some(vec![format!("refuse {}: it is closed", case(of))]),
        Act::WithdrawApproval(of) => return Some(vec![format!("take back what was said in {}", case(of))]),
        Act::Audit(AuditAct::Revoke(revoke)) => {
            return Some(vec![format!("revoke grant {}: it opens nothing more", hex::encode(revoke.grant))]);
        }
        _ => return None,
    };
    let about = about.filter(|about| about.payload() == *payload)?;
    let words = about.words().ok()?;
    Some([head].into_iter().chain(words).chain([format!("hash {}", hex::encode(payload))]).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use keyward_domain::approval::Signing;
    use keyward_ledger_core::entry::{AssociationAct, Party, PublishPolicy, RevokeGrant};
    use keyward_ledger_core::hash::sha256;

    use super::*;

    const CHAIN: [u8; 32] = [0xcc; 32];
    const KEY: [u8; 32] = [6; 32];

    fn leave(version: u32) -> Act {
        let address = crate::associations::parse_address(&format!("key:{}", "5e".repeat(32))).unwrap();
        Act::Association(AssociationAct::Leave { association: [9; 32], version, address })
    }

    fn pay(payload: &[u8]) -> About {
        let (key_id, payload_hash) = (KeyId([1; 32]), sha256(&[payload]));
        let (payload, format, opening) = (payload.to_vec(), String::new(), [3; 32]);
        About::Signing(Signing { key_id, payload, format, payload_hash, opening })
    }

    fn approve(about: &About) -> Act {
        Act::Approve { case: Case { id: [7; 32], payload: about.payload() }, group: 0 }
    }

    fn message(act: &Act, party: Party) -> Vec<u8> {
        let petition = Petition::new(CHAIN, act.clone());
        petition.message(&petition.blank(party, 1000).unwrap())
    }

    fn own(act: &Act) -> Vec<u8> {
        message(act, Party::Key(KeyId(KEY)))
    }

    fn read(act: &Act, about: Option<&About>) -> Option<Told> {
        told(&own(act), (&CHAIN, &KEY), &tell(act, about))
    }

    #[test]
    fn a_consent_to_an_association_is_told_in_full_with_its_fingerprint() {
        let act = leave(2);
        let told = read(&act, None).unwrap();
        assert_eq!(told.about, Subject::Association);
        let all = told.lines.join("\n");
        for part in [&hex::encode([9; 32])[..], "version 2", &"5e".repeat(32), "height 1000"] {
            assert!(all.contains(part), "{part} is not told: {all}");
        }
        assert!(all.contains(&Petition::new(CHAIN, act).fingerprint()));
    }

    #[test]
    fn an_approval_is_told_with_what_it_is_about_and_its_hash() {
        let about = pay(b"pay 12 EUR");
        let rule = RuleName { owner: [1; 32], name: [2; 32] };
        let ask = Act::OpenApproval { rule, payload: about.payload(), live_ms: 60_000 };
        let of = Case { id: [7; 32], payload: about.payload() };
        for act in [ask, approve(&about), Act::UseApproval(of)] {
            let told = read(&act, Some(&about)).unwrap();
            let all = told.lines.join("\n");
            assert_eq!(told.about, Subject::Approval);
            assert!(all.contains("pay 12 EUR") && all.contains(&hex::encode(about.payload())), "{all}");
            assert_eq!(read(&act, None), None, "nobody says unseen what gives rights");
            assert_eq!(read(&act, Some(&pay(b"pay 13 EUR"))), None, "it is about something else");
        }
        let revoke = AuditAct::Revoke(RevokeGrant { grant: [7; 32], reason: [0; 32] });
        for act in [Act::RefuseApproval(of), Act::WithdrawApproval(of), Act::Audit(revoke)] {
            assert!(read(&act, None).unwrap().lines[0].contains(&hex::encode([7; 32])));
        }
    }

    #[test]
    fn a_payload_that_does_not_read_as_said_is_not_told() {
        let About::Signing(signing) = pay(b"pay 12 EUR") else { panic!("a signing") };
        for lie in [
            Signing { format: "ethereum".to_owned(), ..signing.clone() },
            Signing { payload: b"pay 1 EUR".to_vec(), ..signing },
        ] {
            let lie = About::Signing(lie);
            assert_eq!(read(&approve(&lie), Some(&lie)), None);
        }
    }

    #[test]
    fn a_message_is_read_as_nothing_else_than_the_keys_word_for_the_act_that_is_told() {
        let (act, other) = (leave(2), leave(3));
        let (good, word) = (own(&act), tell(&act, None));
        assert!(told(&good, (&CHAIN, &KEY), &word).is_some());
        assert_eq!(told(&good, (&CHAIN, &KEY), &tell(&other, None)), None, "another act is told");
        assert_eq!(told(&good, (&[0; 32], &KEY), &word), None, "another ledger");
        assert_eq!(told(&good, (&CHAIN, &[7; 32]), &word), None, "another key");
        assert_eq!(told(&message(&act, Party::Credential(KEY)), (&CHAIN, &KEY), &word), None, "no key");
        assert_eq!(told(&good[1..], (&CHAIN, &KEY), &word), None);
        assert_eq!(told(&[&good[..], &[0]].concat(), (&CHAIN, &KEY), &word), None);
        assert_eq!(told(&good, (&CHAIN, &KEY), &proto::Word::default()), None, "nothing is told");
        let cut = proto::Word { entry: word.entry.slice(1..), ..word.clone() };
        assert_eq!(told(&good, (&CHAIN, &KEY), &cut), None);
        assert_eq!(told(&good, (&CHAIN, &KEY), &tell(&act, Some(&pay(b"x")))), None, "something beside");
    }

    #[test]
    fn no_other_act_is_ever_told() {
        let (tenant, set, rule) = ([1; 32], [2; 32], [3; 32]);
        let publish = PublishPolicy { tenant, version: 1, set, rule, case: None };
        let issue = Act::Audit(AuditAct::Issue { grant: [1; 32], case: [2; 32] });
        for act in [Act::CloseAccount { account: [1; 32] }, Act::PublishPolicy(publish), issue] {
            assert_eq!(read(&act, None), None);
            assert_eq!(read(&act, Some(&pay(b"x"))), None);
        }
    }
}
