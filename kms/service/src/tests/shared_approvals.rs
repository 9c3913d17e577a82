//! Shared keys under an approval rule: nothing is signed without what others approved, and nobody approves for themselves.

use keyward_crypto::shared::SharedScheme;
use keyward_domain::{ApprovalRuleName, Code};
use keyward_ledger_core::{
    contracts::authored::authored_message,
    entry::{
        Act, ApprovalTerms, Author, Authored, Case, Define, Entry, Group, Party, RuleName, SharedIntent, kind,
    },
    hash::Hash,
    shared::approval_payload,
};

use super::{
    accounts::log_in,
    delegation::Somebody,
    risk::{NOTHING, put_in_force as put_risk_in_force},
    treasury::{Attempt, Made, Treasury, acknowledged, begun, signed},
    world::{CHAIN, World, code, shown},
};
use crate::{custody::random, hex::hex, ports::Final as _};

const R: Hash = [4; 32];

/// Alice's treasury; Bob approves, by Dora's rule.
struct Desk {
    treasury: Treasury,
    bob: Somebody,
}

fn rule(dora: &Somebody) -> RuleName {
    RuleName { owner: dora.account(), name: ApprovalRuleName::parse("treasury").unwrap().id() }
}

/// What somebody's credential signs, recorded. Gives what the ledger answers.
fn record(world: &World, who: &Somebody, act: Act) -> Vec<u8> {
    let (party, nonce) = (Party::Credential(who.account()), random().unwrap());
    let not_after = 1000;
    let message = authored_message(&CHAIN, act.kind(), &act.payload(), party, &nonce, not_after);
    let signature = who.key.sign_message(&message).unwrap();
    let author = Author { party, nonce, not_after, public_key: Vec::new(), signature };
    let recorded = world.ledger.record(Entry::Authored(Authored { act, authors: vec![author] }));
    assert!(recorded.outcome().is_accepted(), "{:?}", recorded.outcome());
    recorded.outcome().data.clone()
}

impl Desk {
    async fn new() -> Self {
        let mut made = Made::new(SharedScheme::Ed25519).await;
        let bob = Somebody::new(&made.world, "bob").await;
        let dora = Somebody::new(&made.world, "dora").await;
        let members = vec![Party::Credential(bob.account())];
        let terms = ApprovalTerms {
            live_ms_max: 60_000,
            groups: vec![Group { role: "treasury".into(), needed: 1, members }],
        };
        record(&made.world, &dora, Act::DefineApproval(Define { rule: rule(&dora), version: 1, terms }));
        made.binding.approval_rule = Some(rule(&dora).id(kind::DEFINE_APPROVAL));
        acknowledged(&mut made.binding);
        Self { treasury: made.bind().await, bob }
    }

    /// A case about a signature over this message.
    async fn case(&self, message: &[u8]) -> Case {
        let Treasury { world, alice, key_id, .. } = &self.treasury;
        let commitment = self.treasury.intent(message, &R, &[1, 2]).commitment;
        let payload = approval_payload(key_id, &commitment);
        let dora = Somebody::new(world, "dora").await;
        let asked = Act::OpenApproval { rule: rule(&dora), payload, live_ms: 60_000 };
        Case { id: record(world, alice, asked).try_into().unwrap(), payload }
    }

    fn approve(&self, case: Case) {
        record(&self.treasury.world, &self.bob, Act::Approve { case, group: 0 });
    }

    /// An intent that uses a case up.
    fn attempt(&self, message: &[u8], case: Option<Hash>) -> Attempt {
        let intent = SharedIntent { case, ..self.treasury.intent(message, &R, &[1, 2]) };
        self.treasury.attempt_at(intent, (message, R), b"")
    }
}

#[tokio::test]
async fn a_key_with_a_rule_signs_what_others_approved_once_and_nothing_else() {
    let desk = Desk::new().await;
    let begin = async |attempt: &Attempt| desk.treasury.begin(attempt).await;
    assert_eq!(code(begin(&desk.attempt(b"pay", None)).await), Code::ApprovalsMissing);
    let case = desk.case(b"pay").await;
    assert_eq!(code(begin(&desk.attempt(b"pay", Some(case.id))).await), Code::ApprovalsMissing);
    desk.approve(case);
    assert_eq!(code(begin(&desk.attempt(b"pay more", Some(case.id))).await), Code::CasePayload);
    assert_eq!(code(begin(&desk.attempt(b"pay", Some([9; 32]))).await), Code::CaseUnknown);
    assert_eq!(desk.treasury.intents(), 0);
    desk.treasury.sign(desk.attempt(b"pay", Some(case.id))).await.unwrap();
    assert_eq!(code(begin(&desk.attempt(b"pay", Some(case.id))).await), Code::CaseUsed);
    assert_eq!((desk.treasury.intents(), desk.treasury.queued().await), (1, 1));
}

#[tokio::test]
async fn an_approval_by_the_one_who_has_it_signed_counts_for_nothing_and_leaves_the_case_alone() {
    let desk = Desk::new().await;
    let Desk { treasury, bob } = &desk;
    let case = desk.case(b"pay").await;
    desk.approve(case);
    // Bob, at the desk of whose certificate Alice's session is used, would approve his own signature.
    let token = log_in(&treasury.world, "alice", "correct horse", None).await.unwrap();
    let custody = &treasury.world.custody;
    let mixed = custody.authenticate(&shown("keyward://operator/bob", Some(token))).await.unwrap();
    assert_ne!(mixed.account.unwrap().0, bob.account());
    let attempt = desk.attempt(b"pay", Some(case.id));
    assert_eq!(code(custody.begin_shared(&mixed, &attempt.asked).await), Code::ApproverIsInitiator);
    assert_eq!(treasury.intents(), 0);
    // Begun by Alice alone, and finished at that desk: the same, and the attempt stands.
    let mut attempt = desk.attempt(b"pay", Some(case.id));
    let commitments = begun(treasury.begin(&attempt).await.unwrap());
    let share = treasury.share(&mut attempt, &commitments);
    assert_eq!(code(custody.finish_shared(&mixed, &share).await), Code::ApproverIsInitiator);
    assert_eq!(treasury.keeper(1, |room| room.asked.len()), 1, "no keeper was asked for its share");
    signed(treasury.finish(&share).await.unwrap());
}

/// Asks about whatever nobody here can read, under the rule of this id.
fn asking(rule: &Hash) -> String {
    let rule = format!("mode = \"enforce\"\nrule = \"{}\"", hex(rule));
    let text = NOTHING.replace("mode = \"enforce\"", &rule).replace("refuse = 60", "refuse = 150");
    format!("{text}[logins]\nfree = 0\npoints_each = 50\npoints_max = 100\n")
}

#[tokio::test]
async fn what_the_rules_of_risk_ask_about_takes_the_approval_that_the_ledger_confirms() {
    let desk = Desk::new().await;
    let dora = Somebody::new(&desk.treasury.world, "dora").await;
    let text = asking(&rule(&dora).id(kind::DEFINE_APPROVAL));
    put_risk_in_force(&desk.treasury.world, 1, &text).await;
    let begin = async |attempt: &Attempt| desk.treasury.begin(attempt).await;
    assert_eq!(code(begin(&desk.attempt(b"pay", None)).await), Code::ApprovalRequired);
    let case = desk.case(b"pay").await;
    let custody = &desk.treasury.world.custody;
    let account = desk.treasury.alice.account();
    // Named, and not approved: the ledger refuses it, and no habit comes of it.
    assert_eq!(code(begin(&desk.attempt(b"pay", Some(case.id))).await), Code::ApprovalsMissing);
    assert_eq!(custody.store.risk_history(account).await.unwrap(), None);
    desk.approve(case);
    desk.treasury.sign(desk.attempt(b"pay", Some(case.id))).await.unwrap();
    assert_eq!(custody.store.risk_history(account).await.unwrap().unwrap().0, 1);
}
