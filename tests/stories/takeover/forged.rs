//! Entries in the names of others: with no signature, with the thief's in their name, with that of a key which the thief has
//! bound to their account, and with one of theirs that was given for something else.

use keyward_ledger_core::{
    contracts::registry::credential_challenge,
    entry::{
        Act, Authored, BindCredential, Define, DelegationAct, DelegationTerms, Entry, Party, PublishPolicy,
        Renewal, RuleName, Scope, SharedAct, SharedIntent, SharedRenewal, VaultAct, VaultAttempt, Window,
    },
    shared::{Device, veto_message},
};

use super::{thief::Thief, victims::Victims};

/// By no author, in the victim's name, by the thief's own key in the victim's account.
const PLAIN: [&str; 3] = ["AUTHORS_MISSING", "AUTHOR_SIGNATURE_INVALID", "AUTHOR_NOT_NAMED"];
/// The same where any key of the account may ask, and approvals decide.
const UNAPPROVED: [&str; 3] = ["AUTHORS_MISSING", "AUTHOR_SIGNATURE_INVALID", "APPROVALS_MISSING"];
const CLARA: usize = 0;
const BOB: usize = 1;

/// Everything is refused by name. Gives the place of a refused intent.
pub async fn everything(thief: &Thief, victims: &Victims<'_>) -> u64 {
    let shared = victims.shared(&thief.ledger).await;
    let thiefs = Device { signing_key: thief.public(CLARA), sealing_key: [9; 32] };
    let intent = SharedIntent {
        id: thief.fresh(),
        executor: thief.submitter,
        not_after: thief.not_after(),
        case: None,
        ..victims.signed.1.clone()
    };
    let renewal = |renewal: Renewal| SharedRenewal {
        key_id: victims.key_id,
        share_version: shared.share_version + 1,
        renewal,
        circle: shared.circle.clone(),
        device: shared.device,
        key_hash: [7; 32],
        expires_ms: u64::MAX,
        acknowledgements: vec![[7; 64]; shared.circle.keepers.len()],
    };
    let attempt = VaultAttempt { element: thief.fresh(), reply_key: [9; 32], ..victims.attempt };
    let next = PublishPolicy { version: victims.policy.version + 1, set: [7; 32], ..victims.policy };
    let everybody = Define { version: victims.rule.version + 1, ..victims.rule.clone() };
    let intent = Act::Shared(SharedAct::Intent(Box::new(intent)));
    let dealt = Act::Shared(SharedAct::Renew(Box::new(renewal(Renewal::Renew))));
    let device = Act::Shared(SharedAct::ReplaceDevice { key_id: victims.key_id, device: thiefs });
    let acts = [
        ("an intent", intent.clone(), CLARA, PLAIN),
        ("a renewal", dealt.clone(), CLARA, PLAIN),
        ("a device", device.clone(), CLARA, PLAIN),
        ("an attempt at a vault", Act::Vault(VaultAct::Attempt(attempt)), CLARA, PLAIN),
        ("delegates", delegates(thief, victims), CLARA, PLAIN),
        ("the end of an account", Act::CloseAccount { account: victims.accounts[CLARA] }, CLARA, PLAIN),
        ("an approval", Act::Approve { case: victims.case, group: 0 }, BOB, PLAIN),
        ("another rule", Act::DefineApproval(everybody), BOB, PLAIN),
        ("the use of a case", Act::UseApproval(victims.case), CLARA, UNAPPROVED),
        ("a policy", Act::PublishPolicy(next), BOB, UNAPPROVED),
    ];
    let mut refused = None;
    for (what, act, victim, names) in acts {
        let key = &thief.keys[victim];
        let owner = Party::Credential(victims.accounts[victim]);
        let authors = [
            Vec::new(),
            vec![thief.author(&act, owner, key)],
            vec![thief.author(&act, Party::Key(key.public_key().id()), key)],
        ];
        for (authors, name) in authors.into_iter().zip(names) {
            let (found, leaf) = thief.hand_in(&entry(&act, authors)).await;
            assert_eq!(found, name, "{what}");
            refused = refused.or(Some(leaf));
        }
    }
    // Clara's own signature under an intent, once more and under something else.
    let (genuine, ..) = &victims.signed;
    let (again, _) = thief.hand_in(&Entry::Authored(genuine.clone())).await;
    assert!(matches!(again, "NOT_EXECUTOR" | "INTENT_REPLAYED"), "{again}");
    for act in [intent, dealt, device] {
        let (borrowed, _) = thief.hand_in(&entry(&act, genuine.authors.clone())).await;
        assert_eq!(borrowed, "AUTHOR_REPLAYED");
    }
    without_authors(thief, victims, renewal(Renewal::Refresh)).await;
    refused.unwrap()
}

/// What carries no author, but a proof that the thief has not.
async fn without_authors(thief: &Thief, victims: &Victims<'_>, mut refresh: SharedRenewal) {
    let shared = victims.shared(&thief.ledger).await;
    let waiting = shared.pending.expect("another device waits").device.signing_key;
    let (key, chain_id) = (&thief.keys[CLARA], thief.ledger.chain_id());
    let sign = |message: &[u8]| key.sign_message(message).unwrap().try_into().unwrap();
    let signature = sign(&veto_message(&chain_id, &victims.key_id, &waiting));
    let veto = Act::Shared(SharedAct::CancelDevice { key_id: victims.key_id, signature });
    refresh.expires_ms = now_ms() + 3_600_000;
    let refresh = Act::Shared(SharedAct::Renew(Box::new(refresh)));
    // The proof of success alone gives the attempts back.
    let reset = Act::Vault(VaultAct::Open { attempt: victims.attempt, signature: [7; 64] });
    for (what, act, name) in [
        ("a veto", veto, "SHARED_VETO_INVALID"),
        ("a refresh", refresh, "SHARED_ACKNOWLEDGEMENT_INVALID"),
        ("a reset", reset, "SUCCESS_INVALID"),
    ] {
        assert_eq!(thief.hand_in(&entry(&act, Vec::new())).await.0, name, "{what}");
    }
    let (nonce, not_after, public_key) = (thief.fresh(), thief.not_after(), thief.public(CLARA));
    let account = victims.accounts[CLARA];
    let message = credential_challenge(&chain_id, &account, 2, &public_key, &nonce, not_after);
    for holder_signature in [None, Some(sign(&message))] {
        let proof = sign(&message);
        let bind =
            BindCredential { account, version: 2, public_key, nonce, not_after, proof, holder_signature };
        let (name, _) = thief.hand_in(&Entry::BindCredential(bind)).await;
        assert_eq!(name, "HOLDER_SIGNATURE_INVALID", "another credential");
    }
}

fn entry(act: &Act, authors: Vec<keyward_ledger_core::entry::Author>) -> Entry {
    Entry::Authored(Authored { act: act.clone(), authors })
}

/// The thief as clara's delegate for everything.
fn delegates(thief: &Thief, victims: &Victims<'_>) -> Act {
    let day_ms = 86_400_000;
    let terms = DelegationTerms {
        scope: Scope::BOTH,
        delay_ms: day_ms,
        open_ms: day_ms,
        needed: 1,
        delegates: vec![Party::Credential(victims.accounts[BOB])],
        vetoers: Vec::new(),
        judges: None,
        policy: [0; 32],
        windows: vec![Window { length_ms: day_ms, count_max: 1_000, amount_max: 1_000_000 }],
    };
    let rule = RuleName { owner: victims.accounts[CLARA], name: thief.fresh() };
    Act::Delegation(DelegationAct::Appoint(Define { rule, version: 1, terms }))
}

fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

impl Thief {
    fn public(&self, victim: usize) -> [u8; 32] {
        self.keys[victim].public_key().as_bytes().try_into().unwrap()
    }
}
