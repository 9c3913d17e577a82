//! Delegated acts: charged first, signed once, and each refusal by its name.

use keyward_crypto::SigningKey;
use keyward_domain::{
    Code, Mode, Payload,
    scheme::{KeyId, Scheme},
};
use keyward_ledger_core::{
    entry::{Act, DelegationAct, DelegationTerms, Entry, Intent, Scope, Window},
    hash::{Hash, commitment, sha256},
};
use keyward_store::IntentState;

use super::{
    accounts::{credential, import, make},
    delegation::{DAY_MS, Somebody, appointment_of, authors_of, hand_in, opened, rule, signed, terms, world},
    policies::{OPAQUE, put_in_force},
    risk::{NOTHING, put_in_force as put_risk_in_force},
    world::{CHAIN, Mood, World, check, code, unsaid},
};
use crate::{
    delegation::{
        act::{AskToAct, DoneAct, refuse_own_messages},
        entries::Kind,
    },
    failure::Failure,
    guard::{Input, Paid, intent_id, intent_until},
    keybook::KnownKey,
    ports::Ledger as _,
};

const MESSAGE: &[u8] = b"pay the rent";
const R: Hash = [5; 32];

/// Under these `policy` delegates of `delegates` act for 100 in all, three times a day.
fn operating(policy: Hash, delegates: &[&Somebody], needed: u8) -> DelegationTerms {
    DelegationTerms {
        scope: Scope::BOTH,
        needed,
        policy,
        windows: vec![Window { length_ms: DAY_MS, count_max: 3, amount_max: 100 }],
        ..terms(delegates)
    }
}

/// Alice, whose delegate Bob may act with her hosted key `rent`; the terms hold.
struct Acting {
    world: World,
    alice: Somebody,
    bob: Somebody,
    key_id: Hash,
}

impl Acting {
    async fn new() -> Self {
        let world = world().await;
        let policy = world.custody.delegate_policies.editions()[0].policies.hash();
        let (alice, bob) = (Somebody::new(&world, "alice").await, Somebody::new(&world, "bob").await);
        let made = make(&world, &alice.caller, Scheme::Ed25519).await;
        let bound = world.custody.import_key(&alice.caller, &import(&made, "rent")).await.unwrap();
        let key_id = bound.0.row.key_id;
        let mut acting = Self { world, alice, bob, key_id };
        acting.appoint(1, operating(policy, &[&acting.bob], 1)).await;
        acting
    }

    /// Appoints, and waits until it holds.
    async fn appoint(&mut self, version: u32, terms: DelegationTerms) {
        let act = appointment_of(self.alice.account(), version, terms);
        let entry = signed(&self.world, act, &[&self.alice]);
        hand_in(&self.world, &self.alice, Kind::Appoint, &entry, None).await.unwrap();
        self.pass_day().await;
    }

    async fn pass_day(&mut self) {
        self.world.pass_ms(DAY_MS);
        self.log_in().await;
    }

    /// Sessions end with the day, and with a run of the service.
    async fn log_in(&mut self) {
        self.alice = Somebody::new(&self.world, "alice").await;
        self.bob = Somebody::new(&self.world, "bob").await;
    }

    fn operate(&self, amount: u128) -> DelegationAct {
        DelegationAct::Operate {
            rule: rule(self.alice.account()),
            key_id: KeyId(self.key_id),
            commitment: commitment(&R, &sha256(&[MESSAGE])),
            amount,
        }
    }

    fn entry(&self, amount: u128) -> Vec<u8> {
        signed(&self.world, self.operate(amount), &[&self.bob])
    }

    async fn act_as(&self, who: &Somebody, entry: &[u8], mark: &[u8]) -> Result<DoneAct, Failure> {
        let ask = AskToAct { entry, r: R, input: &Input::Message(MESSAGE), said: unsaid(), mark };
        self.world.custody.delegated_act(&who.caller, ask).await
    }

    async fn act(&self, entry: &[u8], mark: &[u8]) -> Result<DoneAct, Failure> {
        self.act_as(&self.bob, entry, mark).await
    }

    fn acts(&self) -> usize {
        let operates = |entry: &Entry| matches!(entry, Entry::Authored(of) if matches!(&of.act, Act::Delegation(DelegationAct::Operate { .. })));
        self.world.ledger.count(operates)
    }

    fn intent_of(&self, done: &DoneAct) -> Intent {
        let log = self.world.ledger.log();
        let found = log.iter().skip(done.act.leaf_index as usize).find_map(|(entry, _)| match entry {
            Entry::Intent(intent) => Some(intent.clone()),
            _ => None,
        });
        found.unwrap()
    }

    /// Nothing more was charged or signed than this.
    fn check_counts(&self, acts: usize, intents: usize) {
        assert_eq!((self.acts(), self.world.intents()), (acts, intents));
    }
}

#[tokio::test]
async fn an_act_is_charged_first_and_its_intent_follows_from_it_alone() {
    let acting = Acting::new().await;
    let entry = acting.entry(40);
    let done = acting.act(&entry, b"one").await.unwrap();
    check(&done.signed, MESSAGE);
    assert_eq!(done.signed.key.row.key_id, acting.key_id);
    let (act, _) = acting.world.ledger.log()[done.act.leaf_index as usize].clone();
    assert_eq!(act.encode(), entry);
    let record = acting.world.custody.ledger.record(done.act.leaf_index).await.unwrap();
    assert_eq!(done.act.receipt, record.receipt(None));
    let intent = acting.intent_of(&done);
    assert_eq!(intent.id, intent_id(Paid::Act, &CHAIN, record.as_ref()));
    assert_eq!(intent.commitment, commitment(&R, &sha256(&[MESSAGE])), "the act's own");
    assert_eq!(intent.policy, acting.world.custody.delegate_policies.editions()[0].policies.hash());
    assert_eq!((intent.not_after, intent.key_id.0), (intent_until(record.height()), acting.key_id));
    acting.world.custody.record_releases().await.unwrap();
    assert_eq!(acting.world.signatures(), 1);
    let key = acting.world.custody.key_by_id(acting.key_id).await.unwrap().unwrap();
    assert_eq!(key.mode(), Mode::Hosted);
}

#[tokio::test]
async fn the_same_request_gets_the_same_answer_and_no_second_signature() {
    let acting = Acting::new().await;
    let entry = acting.entry(40);
    let first = acting.act(&entry, b"one").await.unwrap();
    let again = acting.act(&entry, b"one").await.unwrap();
    assert_eq!(
        (&again.signed.signature, &again.signed.receipt),
        (&first.signed.signature, &first.signed.receipt)
    );
    assert_eq!(again.act, first.act);
    // Replayed under another name, or none.
    assert_eq!(code(acting.act(&entry, b"two").await), Code::ActDone);
    assert_eq!(code(acting.act(&entry, &[]).await), Code::ActDone);
    // Another request under the same name.
    assert_eq!(code(acting.act(&acting.entry(40), b"one").await), Code::IdempotencyConflict);
    acting.check_counts(1, 1);
}

#[tokio::test]
async fn limits_are_the_ledgers_and_a_refused_act_signs_nothing() {
    let mut acting = Acting::new().await;
    assert_eq!(code(acting.act(&acting.entry(101), &[]).await), Code::RateExceeded);
    acting.act(&acting.entry(60), &[]).await.unwrap();
    assert_eq!(code(acting.act(&acting.entry(41), &[]).await), Code::RateExceeded);
    acting.act(&acting.entry(40), &[]).await.unwrap();
    acting.act(&acting.entry(0), &[]).await.unwrap();
    assert_eq!(code(acting.act(&acting.entry(0), &[]).await), Code::RateExceeded, "three in a day");
    acting.check_counts(3, 3);
    acting.pass_day().await;
    acting.act(&acting.entry(100), &[]).await.unwrap();
}

#[tokio::test]
async fn only_the_message_that_the_act_hides_is_signed() {
    let acting = Acting::new().await;
    let entry = acting.entry(1);
    for (r, message) in [(R, &b"pay me"[..]), ([6; 32], MESSAGE)] {
        let ask = AskToAct { entry: &entry, r, input: &Input::Message(message), said: unsaid(), mark: &[] };
        let refused = acting.world.custody.delegated_act(&acting.bob.caller, ask).await;
        assert_eq!(code(refused), Code::ActCommitmentOther);
    }
    let digest = AskToAct {
        entry: &entry,
        r: R,
        input: &Input::Digest(&sha256(&[MESSAGE])[..]),
        said: unsaid(),
        mark: &[],
    };
    let refused = acting.world.custody.delegated_act(&acting.bob.caller, digest).await;
    assert_eq!(code(refused), Code::DigestNotAllowed, "an ed25519 key signs messages");
    acting.check_counts(0, 0);
}

#[tokio::test]
async fn strangers_owners_and_those_who_have_not_signed_do_not_act() {
    let acting = Acting::new().await;
    let carol = Somebody::new(&acting.world, "carol").await;
    let entry = acting.entry(1);
    assert_eq!(code(acting.act_as(&carol, &entry, &[]).await), Code::NotAllowed, "Bob signed, Carol asks");
    let hers = signed(&acting.world, acting.operate(1), &[&carol]);
    assert_eq!(code(acting.act_as(&carol, &hers, &[]).await), Code::AuthorNotNamed);
    let own = signed(&acting.world, acting.operate(1), &[&acting.alice]);
    assert_eq!(code(acting.act_as(&acting.alice, &own, &[]).await), Code::AuthorNotNamed);
    let app = Somebody { caller: acting.world.app().await, key: credential(&acting.world, "bob").await };
    assert_eq!(code(acting.act_as(&app, &entry, &[]).await), Code::SessionRequired);
    let both = signed(&acting.world, acting.operate(1), &[&acting.bob, &carol]);
    assert_eq!(code(acting.act(&both, &[]).await), Code::AuthorNotNamed, "the ledger counts every author");
    assert_eq!(code(acting.act(&Entry::Note(vec![1]).encode(), &[]).await), Code::DelegationRequestMalformed);
    assert_eq!(code(acting.act(&[1], &[]).await), Code::EntryMalformed);
    acting.check_counts(0, 0);
}

#[tokio::test]
async fn as_many_delegates_sign_as_the_terms_ask_for() {
    let mut acting = Acting::new().await;
    let carol = Somebody::new(&acting.world, "carol").await;
    let policy = acting.world.custody.delegate_policies.editions()[0].policies.hash();
    acting.appoint(2, operating(policy, &[&acting.bob, &carol], 2)).await;
    let carol = Somebody::new(&acting.world, "carol").await;
    assert_eq!(code(acting.act(&acting.entry(1), &[]).await), Code::AuthorsMissing);
    let both = signed(&acting.world, acting.operate(1), &[&acting.bob, &carol]);
    acting.act_as(&carol, &both, &[]).await.unwrap();
    assert_eq!(code(acting.act(&both, &[]).await), Code::ActDone, "the other one asks too");
    acting.check_counts(1, 1);
}

#[tokio::test]
async fn keys_that_are_not_the_owners_or_not_in_use_are_refused_before_a_charge() {
    let acting = Acting::new().await;
    let other = make(&acting.world, &acting.bob.caller, Scheme::Ed25519).await;
    let other = acting.world.custody.import_key(&acting.bob.caller, &import(&other, "own")).await.unwrap();
    let strange = DelegationAct::Operate {
        rule: rule(acting.alice.account()),
        key_id: KeyId(other.0.row.key_id),
        commitment: commitment(&R, &sha256(&[MESSAGE])),
        amount: 1,
    };
    let entry = signed(&acting.world, strange, &[&acting.bob]);
    assert_eq!(code(acting.act(&entry, &[]).await), Code::KeyUnknown);
    acting.world.custody.freeze_key(&acting.alice.caller, "rent", &[]).await.unwrap();
    assert_eq!(code(acting.act(&acting.entry(1), &[]).await), Code::KeyFrozen);
    acting.check_counts(0, 0);
}

#[tokio::test]
async fn a_key_that_another_service_froze_is_refused_by_the_ledger_uncharged() {
    let acting = Acting::new().await;
    acting.world.ledger.record(Entry::FreezeKey { key_id: KeyId(acting.key_id) });
    assert_eq!(code(acting.act(&acting.entry(1), &[]).await), Code::KeyFrozen);
    acting.check_counts(0, 0);
}

#[tokio::test]
async fn terms_under_no_policy_set_of_the_service_let_nobody_act() {
    let mut acting = Acting::new().await;
    for (version, policy) in [(2, [0; 32]), (3, acting.world.custody.policies.now().hash())] {
        acting.appoint(version, operating(policy, &[&acting.bob], 1)).await;
        assert_eq!(code(acting.act(&acting.entry(1), &[]).await), Code::DelegationPolicyUnknown);
    }
    acting.check_counts(0, 0);
}

#[tokio::test]
async fn nobody_acts_before_terms_hold_after_a_revocation_or_under_another_scope() {
    let mut acting = Acting::new().await;
    let revoke = DelegationAct::Revoke { rule: rule(acting.alice.account()), version: 2 };
    let revoke = signed(&acting.world, revoke, &[&acting.alice]);
    let before = acting.entry(1);
    hand_in(&acting.world, &acting.alice, Kind::Revoke, &revoke, None).await.unwrap();
    assert_eq!(code(acting.act(&before, &[]).await), Code::DelegationNotInForce, "at once");
    let policy = acting.world.custody.delegate_policies.editions()[0].policies.hash();
    let act = appointment_of(acting.alice.account(), 3, operating(policy, &[&acting.bob], 1));
    let entry = signed(&acting.world, act, &[&acting.alice]);
    hand_in(&acting.world, &acting.alice, Kind::Appoint, &entry, None).await.unwrap();
    assert_eq!(code(acting.act(&acting.entry(1), &[]).await), Code::DelegationNotInForce, "not yet");
    acting.pass_day().await;
    acting.act(&acting.entry(1), &[]).await.unwrap();
    let recovering = terms(&[&acting.bob]);
    acting.appoint(4, recovering).await;
    assert_eq!(code(acting.act(&acting.entry(1), &[]).await), Code::DelegationNotInForce, "to recover only");
    acting.check_counts(1, 1);
}

#[tokio::test]
async fn a_change_that_is_due_but_held_by_a_recovery_does_not_count_yet() {
    let mut acting = Acting::new().await;
    let policy = acting.world.custody.delegate_policies.editions()[0].policies.hash();
    let carol = Somebody::new(&acting.world, "carol").await;
    let act = appointment_of(acting.alice.account(), 2, operating(policy, &[&carol], 1));
    let entry = signed(&acting.world, act, &[&acting.alice]);
    hand_in(&acting.world, &acting.alice, Kind::Appoint, &entry, None).await.unwrap();
    opened(&acting.world, &acting.bob).await;
    acting.pass_day().await;
    let carol = Somebody::new(&acting.world, "carol").await;
    let hers = signed(&acting.world, acting.operate(1), &[&carol]);
    assert_eq!(code(acting.act_as(&carol, &hers, &[]).await), Code::AuthorNotNamed);
    acting.act(&acting.entry(1), &[]).await.unwrap();
    acting.check_counts(1, 1);
}

#[tokio::test]
async fn a_delegate_appoints_nobody_raises_no_limit_and_builds_no_chain() {
    let acting = Acting::new().await;
    let policy = acting.world.custody.delegate_policies.editions()[0].policies.hash();
    let (owner, before) = (acting.alice.account(), acting.world.ledger.log().len());
    let mut higher = operating(policy, &[&acting.bob], 1);
    higher.windows[0].amount_max = 1_000_000;
    let raise = signed(&acting.world, appointment_of(owner, 2, higher), &[&acting.bob]);
    let refused = hand_in(&acting.world, &acting.bob, Kind::Appoint, &raise, None).await;
    assert_eq!(code(refused), Code::AuthorNotNamed, "the owner alone appoints");
    let carol = Somebody::new(&acting.world, "carol").await;
    // Bob's delegate is not Alice's.
    let chain = signed(
        &acting.world,
        appointment_of(acting.bob.account(), 1, operating(policy, &[&carol], 1)),
        &[&acting.bob],
    );
    hand_in(&acting.world, &acting.bob, Kind::Appoint, &chain, None).await.unwrap();
    assert!(acting.world.ledger.log().len() > before);
    let mut acting = acting;
    acting.pass_day().await;
    let carol = Somebody::new(&acting.world, "carol").await;
    let hers = signed(&acting.world, acting.operate(1), &[&carol]);
    assert_eq!(code(acting.act_as(&carol, &hers, &[]).await), Code::AuthorNotNamed);
    // And an account is no delegate of itself.
    let own = appointment_of(owner, 2, operating(policy, &[&acting.alice], 1));
    let own = signed(&acting.world, own, &[&acting.alice]);
    assert_eq!(
        code(hand_in(&acting.world, &acting.alice, Kind::Appoint, &own, None).await),
        Code::RuleInvalid
    );
    acting.check_counts(0, 0);
}

#[tokio::test]
async fn an_act_whose_answer_was_lost_is_completed_by_the_same_request_after_a_crash() {
    let mut acting = Acting::new().await;
    let entry = acting.entry(40);
    acting.world.ledger.set(Mood::Deaf);
    assert_eq!(code(acting.act(&entry, b"one").await), Code::LedgerUnavailable);
    acting.check_counts(1, 0);
    acting.world.ledger.set(Mood::Good);
    acting.world = acting.world.restart().await;
    acting.log_in().await;
    let done = acting.act(&entry, b"one").await.unwrap();
    check(&done.signed, MESSAGE);
    assert_eq!(acting.act(&entry, b"one").await.unwrap().signed.signature, done.signed.signature);
    acting.check_counts(1, 1);
}

#[tokio::test]
async fn an_intent_that_was_left_without_a_signature_gets_none_and_no_second_one() {
    let mut acting = Acting::new().await;
    let entry = acting.entry(40);
    let done = acting.act(&acting.entry(1), &[]).await.unwrap();
    let id = acting.intent_of(&done).id;
    assert_eq!(acting.world.custody.store.intent(id).await.unwrap().unwrap().state, IntentState::Signed);
    // Of this one the intent is on the ledger, and the run that made it kept nothing.
    let record = acting.world.ledger.record(Entry::decode(&entry).unwrap());
    let left = intent_id(Paid::Act, &CHAIN, &record);
    let intent = Entry::Intent(Intent {
        id: left,
        key_id: KeyId(acting.key_id),
        executor: acting.world.custody.ledger.submitter(),
        commitment: commitment(&R, &sha256(&[MESSAGE])),
        policy: [0; 32],
        not_after: acting.world.ledger.height() + 4000,
    });
    acting.world.ledger.record(intent);
    acting.world = acting.world.restart().await;
    acting.log_in().await;
    assert_eq!(code(acting.act(&entry, b"one").await), Code::ActUnsigned);
    assert_eq!(code(acting.act(&entry, b"one").await), Code::ActUnsigned);
    acting.check_counts(2, 2);
}

#[tokio::test]
async fn an_act_too_old_for_an_intent_gets_none() {
    let acting = Acting::new().await;
    let mut entry = acting.operate(1);
    if let DelegationAct::Operate { amount, .. } = &mut entry {
        *amount = 2;
    }
    let entry = authors_of(&acting.world, entry, &[&acting.bob], 16_000);
    acting.world.ledger.record(Entry::decode(&entry).unwrap());
    acting.world.ledger.height.fetch_add(4_000, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(code(acting.act(&entry, b"one").await), Code::ActUnsigned);
    acting.world.ledger.height.fetch_add(1_000, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(code(acting.act(&entry, b"one").await), Code::AuthorReplayed);
    acting.check_counts(1, 0);
}

#[tokio::test]
async fn of_two_servers_and_of_two_requests_at_once_one_signs() {
    let acting = Acting::new().await;
    let second = acting.world.beside().await;
    let entry = acting.entry(40);
    let ask = |mark| AskToAct { entry: &entry, r: R, input: &Input::Message(MESSAGE), said: unsaid(), mark };
    let (one, two, three) = tokio::join!(
        acting.world.custody.delegated_act(&acting.bob.caller, ask(b"a")),
        acting.world.custody.delegated_act(&acting.bob.caller, ask(b"b")),
        second.delegated_act(&acting.bob.caller, ask(b"c")),
    );
    let done = [one, two, three].into_iter().filter(|done| match done {
        Ok(_) => true,
        Err(failure) => {
            let named = matches!(failure.code, Code::IdempotencyPending | Code::ActDone | Code::ActUnsigned);
            assert!(named, "{failure:?}");
            false
        }
    });
    assert_eq!(done.count(), 1);
    acting.check_counts(1, 1);
}

#[tokio::test]
async fn a_key_of_mode_self_is_not_acted_with() {
    let acting = Acting::new().await;
    let prepared = acting.world.custody.prepare_import(&acting.alice.caller, "ed25519").await.unwrap();
    let key = SigningKey::generate(Scheme::Ed25519).unwrap();
    let account = acting.alice.account();
    let message = keyward_domain::possession_challenge(
        &CHAIN,
        &account,
        Mode::Own,
        key.public_key(),
        &prepared.nonce,
        prepared.not_after,
    );
    let proof = key.sign_message(&message).unwrap();
    let import = crate::keys::import::Import {
        alias: "mine",
        scheme: "ed25519",
        public_key: key.public_key().as_bytes(),
        nonce: prepared.nonce,
        not_after: prepared.not_after,
        proof: &proof,
        mode: Mode::Own,
        sealed: &[],
        consent: &[],
        mark: &[],
    };
    let bound = acting.world.custody.import_key(&acting.alice.caller, &import).await.unwrap();
    let acting = Acting { key_id: bound.0.row.key_id, ..acting };
    assert_eq!(code(acting.act(&acting.entry(1), &[]).await), Code::KeyIsSelf);
    acting.check_counts(0, 0);
}

#[tokio::test]
async fn delegates_sign_none_of_keywards_own_messages_and_nothing_unseen_with_a_token() {
    let acting = Acting::new().await;
    let label = b"keyward/authored/v1";
    let own = [&[label.len() as u8][..], label, b"and the rest"].concat();
    let joins = b"Keyward association v1: ledger 00".to_vec();
    for own in [own, joins] {
        let act = DelegationAct::Operate {
            rule: rule(acting.alice.account()),
            key_id: KeyId(acting.key_id),
            commitment: commitment(&R, &sha256(&[&own])),
            amount: 1,
        };
        let entry = signed(&acting.world, act, &[&acting.bob]);
        let input = Input::Message(&own[..]);
        let ask = AskToAct { entry: &entry, r: R, input: &input, said: unsaid(), mark: &[] };
        let refused = acting.world.custody.delegated_act(&acting.bob.caller, ask).await;
        assert_eq!(code(refused), Code::PayloadReserved);
    }
    acting.check_counts(0, 0);

    let hosted = acting.world.custody.key_by_id(acting.key_id).await.unwrap().unwrap();
    let (label, serial, agent) = ("bank".to_owned(), "77".to_owned(), None);
    let mut row = hosted.row.clone();
    row.custody = keyward_store::Custody::Linked { label, serial, id: vec![1], agent };
    let linked =
        KnownKey { row, public_key: hosted.public_key.clone(), address: None, person: true, apps: vec![] };
    let (message, digest) = (Payload::Message(MESSAGE), Payload::Digest([1; 32]));
    refuse_own_messages(&linked, &message).unwrap();
    assert_eq!(code(refuse_own_messages(&linked, &digest)), Code::DigestNotAllowed);
    refuse_own_messages(&hosted, &digest).unwrap();
}

#[tokio::test]
async fn what_the_tenant_forbids_no_delegate_does_and_nothing_is_charged() {
    let acting = Acting::new().await;
    put_in_force(&acting.world, 1, OPAQUE).await;
    assert_eq!(code(acting.act(&acting.entry(10), b"mark").await), Code::PolicyDenied);
    assert_eq!((acting.acts(), acting.world.intents()), (0, 0));
    put_in_force(&acting.world, 2, "// nothing is narrowed").await;
    acting.act(&acting.entry(10), b"mark").await.unwrap();
    assert_eq!((acting.acts(), acting.world.intents()), (1, 1));
}

#[tokio::test]
async fn what_the_rules_of_risk_refuse_is_not_charged() {
    let acting = Acting::new().await;
    put_risk_in_force(&acting.world, 1, NOTHING).await;
    let entry = acting.entry(1);
    assert_eq!(code(acting.act(&entry, b"mark").await), Code::RiskRefused);
    acting.check_counts(0, 0);
    put_risk_in_force(&acting.world, 2, &NOTHING.replace("enforce", "watch")).await;
    check(&acting.act(&entry, b"mark").await.unwrap().signed, MESSAGE);
}
