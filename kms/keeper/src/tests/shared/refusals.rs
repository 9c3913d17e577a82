//! What a keeper does not sign, whatever it is told: each check by itself.

use keyward_domain::scheme::KeyId;
use keyward_ledger_core::{
    ed25519::SigningKey,
    entry::{
        Act, ApprovalTerms, Authored, Case, Define, Entry, Group, Party, Release, RuleName, SharedAct,
        SharedIntent, kind,
    },
    genesis::Role,
    hash::{Hash, commitment, sha256},
    shared::approval_payload,
    state::{
        layout::{
            AccountState, CredentialState, KeyState, KeyStatus, account_key, credential_key, intent_key,
            key_key,
        },
        policy::{PolicyState, policy_key},
        shared::{SharedIntentState, shared_intent_key},
    },
};
use keyward_policies::tenant_set_hash;

use super::{
    super::{
        chain::Sight,
        world::{ACCOUNT, SERVICE, World},
    },
    code,
    world::{FLOOR, LOCK_MS, Made, OPENING, Phone, Try, Wish, caller},
};
use crate::{SharedError, shared::permit::Disclosed};

const MESSAGE: &[u8] = b"pay nobody";

/// A key, and an attempt whose commitments are there.
struct Stage {
    world: World,
    made: Made,
    attempt: Try,
    messages: Vec<Vec<u8>>,
}

impl Stage {
    async fn new(wish: &Wish) -> Self {
        let world = World::new();
        let made = world.make_key(wish).await;
        let attempt = made.try_to(1, 1, &[1, 2], MESSAGE);
        let messages = made.commitments(&world, &attempt).await;
        Self { world, made, attempt, messages }
    }

    fn intent(&self) -> SharedIntent {
        self.made.intent(&self.attempt.plan)
    }

    fn shown(&self, leaf: u64) -> Disclosed {
        self.made.shown(&self.attempt.plan, leaf)
    }

    async fn ask(&self, shown: &Disclosed) -> Result<Vec<u8>, SharedError> {
        let keeper = self.world.keeper(1);
        keeper.cosign(&self.attempt.plan, shown, self.messages.clone()).await.map(|answer| answer.message)
    }

    /// After whatever was refused, the honest way still goes: nothing was used up.
    async fn still_signs(&self, leaf: u64) {
        self.ask(&self.shown(leaf)).await.unwrap();
    }
}

#[tokio::test]
async fn an_intent_that_is_not_final_not_accepted_or_not_this_one_allows_nothing() {
    let stage = Stage::new(&Wish::default()).await;
    let next = stage.world.chain().log.len() as u64;
    assert_eq!(code(stage.ask(&stage.shown(next)).await), "SHARED_INTENT_REFUSED", "there is no such record");
    assert_eq!(code(stage.ask(&stage.shown(0)).await), "SHARED_INTENT_REFUSED", "a record of something else");
    // Another author, an account that has nothing to do with the key.
    let other = [0x99; 32];
    let key = SigningKey::from_seed(&other);
    stage.world.set_state(account_key(&other), AccountState { open: true, height: 1 }.encode());
    let credential = CredentialState { version: 1, public_key: key.public_key() };
    stage.world.set_state(credential_key(&other), credential.encode());
    let act = Act::Shared(SharedAct::Intent(Box::new(stage.intent())));
    let authors = vec![stage.world.author_as((other, &key), &act)];
    let entry = Entry::Authored(Authored { act, authors });
    let (leaf, outcome) = stage.world.chain().record(&SERVICE, Role::Service, &entry);
    assert_eq!(outcome.name(), "AUTHOR_NOT_NAMED");
    assert_eq!(code(stage.ask(&stage.shown(leaf)).await), "SHARED_INTENT_REFUSED", "the ledger refused it");
    // One that is accepted, for something else each.
    let changes: [fn(&mut SharedIntent); 3] =
        [|it| it.id = [9; 32], |it| it.signers = vec![1, 3], |it| it.commitment = [0; 32]];
    let expected = ["SHARED_INTENT_REFUSED", "SHARED_INTENT_REFUSED", "PAYLOAD_OTHER"];
    for (number, (change, expected)) in (0_u8..).zip(changes.into_iter().zip(expected)) {
        // One id is claimed once.
        let next = stage.made.try_to(0x30 + number, 1, &[1, 2], MESSAGE);
        let messages = stage.made.commitments(&stage.world, &next).await;
        let mut intent = stage.made.intent(&next.plan);
        change(&mut intent);
        let (leaf, outcome) = stage.world.claim(&intent);
        assert!(outcome.is_accepted());
        let shown = stage.made.shown(&next.plan, leaf);
        let refused = stage.world.keeper(1).cosign(&next.plan, &shown, messages).await;
        assert_eq!(code(refused), expected);
    }
    let (leaf, _) = stage.world.claim(&stage.intent());
    // Whoever has begun nothing here asks in vain, and costs no question to the ledger.
    let stranger = stage.made.plan([0x77; 32], 1, &[1, 2], MESSAGE);
    stage.world.see(1, Sight::Away);
    let refused = stage.world.keeper(1).cosign(&stranger, &stage.shown(leaf), stage.messages.clone()).await;
    assert_eq!(code(refused), "SHARED_ATTEMPT_STALE");
    stage.world.see(1, Sight::Clear);
    stage.still_signs(leaf).await;
}

#[tokio::test]
async fn a_validator_that_is_a_moment_behind_is_waited_for() {
    let stage = Stage::new(&Wish::default()).await;
    let past = stage.world.chain().clone();
    let (leaf, _) = stage.world.claim(&stage.intent());
    stage.world.see(1, Sight::Past(Box::new(past)));
    let shown = stage.shown(leaf);
    let (answer, ()) = tokio::join!(stage.ask(&shown), async { stage.world.see(1, Sight::Clear) });
    answer.unwrap();
}

#[tokio::test]
async fn an_intent_that_has_expired_or_was_released_allows_nothing() {
    let stage = Stage::new(&Wish::default()).await;
    let (leaf, _) = stage.world.claim(&stage.intent());
    stage.world.chain().grown = 40;
    let live = stage.world.chain().clone();
    stage.world.chain().grown += 1;
    assert_eq!(
        code(stage.ask(&stage.shown(leaf)).await),
        "SHARED_INTENT_REFUSED",
        "one block after its last"
    );
    // Released: whoever has the signature needs no other one.
    let release = Release { intent_id: [1; 32], signature_hash: [2; 32] };
    *stage.world.chain() = live;
    let entry = Entry::Release(release);
    assert!(stage.world.chain().record(&SERVICE, Role::Service, &entry).1.is_accepted());
    assert_eq!(code(stage.ask(&stage.shown(leaf)).await), "SHARED_INTENT_REFUSED", "released");
}

#[tokio::test]
async fn an_id_that_is_claimed_again_after_its_end_speaks_for_the_later_intent_alone() {
    let stage = Stage::new(&Wish::default()).await;
    let (first, _) = stage.world.claim(&stage.intent());
    stage.world.chain().grown = 41;
    stage.world.chain().state.remove(&intent_key(&[1; 32]));
    let mut later = stage.intent();
    later.not_after = 90;
    later.commitment = [5; 32];
    let (second, outcome) = stage.world.claim(&later);
    assert!(outcome.is_accepted(), "{}", outcome.name());
    assert_eq!(code(stage.ask(&stage.shown(first)).await), "SHARED_INTENT_REFUSED");
    assert_eq!(code(stage.ask(&stage.shown(second)).await), "PAYLOAD_OTHER");
}

#[tokio::test]
async fn what_is_shown_must_be_what_is_signed_and_what_the_intent_commits_to() {
    let stage = Stage::new(&Wish::default()).await;
    let (leaf, _) = stage.world.claim(&stage.intent());
    let shown = stage.shown(leaf);
    let refused = async |shown: Disclosed| code(stage.ask(&shown).await);
    assert_eq!(refused(Disclosed { opening: [1; 32], ..shown.clone() }).await, "PAYLOAD_OTHER");
    assert_eq!(refused(Disclosed { payload: b"pay me".to_vec(), ..shown.clone() }).await, "PAYLOAD_OTHER");
    assert_eq!(
        refused(Disclosed { format: "morse".into(), ..shown.clone() }).await,
        "PAYLOAD_FORMAT_UNKNOWN"
    );
    assert_eq!(refused(Disclosed { format: "pain.001".into(), ..shown.clone() }).await, "PAYLOAD_UNREAD");
    // Another message under the same intent: the run is another one, and so is its payload.
    let other = stage.made.try_to(1, 2, &[1, 2], b"pay me");
    let messages = stage.made.commitments(&stage.world, &other).await;
    let asked = Disclosed { payload: b"pay me".to_vec(), ..shown.clone() };
    assert_eq!(code(stage.world.keeper(1).cosign(&other.plan, &asked, messages).await), "PAYLOAD_OTHER");
    // The message in full says the same as its hash.
    stage.ask(&Disclosed { payload: MESSAGE.to_vec(), ..shown }).await.unwrap();
}

#[tokio::test]
async fn a_key_that_may_not_sign_does_not_and_neither_does_a_closed_account() {
    let stage = Stage::new(&Wish::default()).await;
    let (leaf, _) = stage.world.claim(&stage.intent());
    let key = key_key(&stage.made.key_id);
    let active = KeyState::decode(&stage.world.state(&key).unwrap()).unwrap();
    let cases = [
        (KeyStatus::Frozen, "KEY_FROZEN"),
        (KeyStatus::Scheduled { destroy_after_ms: 1, successor: None }, "KEY_SCHEDULED"),
        (KeyStatus::Destroyed { at_ms: 1, successor: None }, "KEY_DESTROYED"),
    ];
    for (status, expected) in cases {
        stage.world.set_state(key.clone(), KeyState { status, ..active }.encode());
        stage.world.pass(1_000);
        assert_eq!(code(stage.ask(&stage.shown(leaf)).await), expected);
        let next = stage.made.try_to(2, 1, &[1, 2], MESSAGE);
        let commits = stage.world.keeper(1).commit(&caller(), &next.plan, &next.device).await;
        assert_eq!(code(commits), expected, "no nonces either");
    }
    stage.world.set_state(key, active.encode());
    stage.world.set_state(account_key(&ACCOUNT), AccountState { open: false, height: 1 }.encode());
    stage.world.pass(1_000);
    assert_eq!(code(stage.ask(&stage.shown(leaf)).await), "ACCOUNT_CLOSED");
    stage.world.set_state(account_key(&ACCOUNT), AccountState { open: true, height: 1 }.encode());
    stage.world.pass(1_000);
    stage.still_signs(leaf).await;
}

#[tokio::test]
async fn nobody_but_the_device_in_force_has_nonces_made() {
    let stage = Stage::new(&Wish::default()).await;
    let keeper = stage.world.keeper(1);
    let plan = stage.made.plan([2; 32], 1, &[1, 2], MESSAGE);
    let commit = async |device: &[u8]| code(keeper.commit(&caller(), &plan, device).await);
    assert_eq!(commit(b"").await, "SHARED_MESSAGE_REFUSED");
    assert_eq!(commit(&stage.attempt.device).await, "SHARED_MESSAGE_REFUSED", "of another run");
    let own = made_by_keeper(&stage, 2).await;
    let again = stage.made.plan([3; 32], 1, &[1, 2], MESSAGE);
    assert_eq!(
        code(keeper.commit(&caller(), &again, &own).await),
        "SHARED_REQUEST_MALFORMED",
        "a keeper's commitment of the very run"
    );
    let unknown = crate::shared::plan::SigningPlan { key_id: KeyId([0; 32]), ..plan.clone() };
    assert_eq!(code(keeper.commit(&caller(), &unknown, b"").await), "SHARED_KEY_UNKNOWN");
    let without = stage.made.plan([2; 32], 1, &[2, 3], MESSAGE);
    assert_eq!(code(keeper.commit(&caller(), &without, b"").await), "SHARED_SHARE_MISSING", "not a signer");
    // Another device after its lock: what the one before says counts no more.
    let thief = Phone::new(0x66);
    let replace = SharedAct::ReplaceDevice { key_id: stage.made.key_id, device: thief.device() };
    assert!(stage.world.record_shared(replace).1.is_accepted());
    let before = stage.made.try_to(4, 1, &[1, 2], MESSAGE);
    keeper.commit(&caller(), &before.plan, &before.device).await.unwrap();
    stage.world.pass(LOCK_MS);
    let after = stage.made.try_to(5, 1, &[1, 2], MESSAGE);
    assert_eq!(
        code(keeper.commit(&caller(), &after.plan, &after.device).await),
        "SHARED_MESSAGE_REFUSED",
        "the other one is in force"
    );
}

/// Keeper 2's own commitment for intent 3.
async fn made_by_keeper(stage: &Stage, number: u8) -> Vec<u8> {
    let attempt = stage.made.try_to(3, 1, &[1, 2], MESSAGE);
    let keeper = stage.world.keeper(number);
    keeper.commit(&caller(), &attempt.plan, &attempt.device).await.unwrap().message
}

#[tokio::test]
async fn a_lying_signer_is_named_and_the_others_sign_without_it() {
    let stage = Stage::new(&Wish::default()).await;
    let (leaf, _) = stage.world.claim(&stage.intent());
    let shown = stage.shown(leaf);
    let liar = super::super::world::signing(2);
    let mut messages = stage.messages.clone();
    messages.push(super::forged(&stage.messages[2], &liar));
    let refused = stage.world.keeper(1).cosign(&stage.attempt.plan, &shown, messages).await.unwrap_err();
    assert_eq!((refused.liar(), code::<()>(Err(refused))), (Some(2), "SHARED_HOLDER_LIED"));
    // A share that is wrong is named by whoever puts the signature together; both go on without the keeper.
    let wrong = super::forged(
        &stage
            .world
            .keeper(2)
            .cosign(&stage.attempt.plan, &shown, stage.messages.clone())
            .await
            .unwrap()
            .message,
        &liar,
    );
    let package = stage.attempt.signing.package(&stage.messages).unwrap();
    assert_eq!(package.judge(&wrong).unwrap_err().liar(), Some(2));
    let next = stage.made.begin(stage.made.plan([7; 32], 1, &[1, 3], MESSAGE));
    stage.made.sign(&stage.world, next).await.unwrap();
}

/// Three people who approve, and a rule that asks for two of them.
fn approvers(world: &World) -> (RuleName, Vec<(Hash, SigningKey)>) {
    let people: Vec<_> =
        (1..=3).map(|number| ([0xe0 + number; 32], SigningKey::from_seed(&[0xe0 + number; 32]))).collect();
    for (account, key) in &people {
        world.set_state(account_key(account), AccountState { open: true, height: 1 }.encode());
        let credential = CredentialState { version: 1, public_key: key.public_key() };
        world.set_state(credential_key(account), credential.encode());
    }
    let rule = RuleName { owner: ACCOUNT, name: [0xaa; 32] };
    let members = people.iter().map(|(account, _)| Party::Credential(*account)).collect();
    let group = Group { role: "treasury".into(), needed: 2, members };
    let terms = ApprovalTerms { live_ms_max: 3_600_000, groups: vec![group] };
    let define = Act::DefineApproval(Define { rule, version: 1, terms });
    let (_, outcome) = world.record_act(define, true);
    assert_eq!(outcome.name(), "ACCEPTED");
    (rule, people)
}

#[tokio::test]
async fn a_key_with_an_approval_rule_signs_exactly_what_was_approved() {
    let world = World::new();
    let (rule, people) = approvers(&world);
    let rule_id = rule.id(kind::DEFINE_APPROVAL);
    let made = world.make_key(&Wish { approval_rule: Some(rule_id), ..Wish::default() }).await;
    let attempt = made.try_to(1, 1, &[1, 2], MESSAGE);
    let messages = made.commitments(&world, &attempt).await;
    // Without a case the ledger takes no intent, and a keeper none that says it has been approved.
    let (leaf, outcome) = world.claim(&made.intent(&attempt.plan));
    assert_eq!(outcome.name(), "APPROVALS_MISSING");
    let ask = async |leaf: u64| {
        let shown = made.shown(&attempt.plan, leaf);
        world.keeper(1).cosign(&attempt.plan, &shown, messages.clone()).await
    };
    assert_eq!(code(ask(leaf).await), "SHARED_INTENT_REFUSED");
    let payload = approval_payload(&made.key_id, &commitment(&OPENING, &sha256(&[MESSAGE])));
    let (_, opened) = world.record_act(Act::OpenApproval { rule, payload, live_ms: 3_600_000 }, true);
    let case = Case { id: opened.data.as_slice().try_into().unwrap(), payload };
    for (account, key) in &people[..2] {
        let act = Act::Approve { case, group: 0 };
        let authors = vec![world.author_as((*account, key), &act)];
        let entry = Entry::Authored(Authored { act, authors });
        assert!(world.chain().record(&SERVICE, Role::Service, &entry).1.is_accepted());
    }
    let mut intent = made.intent(&attempt.plan);
    intent.case = Some(case.id);
    let (leaf, outcome) = world.claim(&intent);
    assert_eq!(outcome.name(), "ACCEPTED");
    // The keeper's own look: state that does not say who approved is no approval.
    let live = shared_intent_key(&[1; 32]);
    let state = SharedIntentState::decode(&world.state(&live).unwrap()).unwrap();
    assert_eq!(state.approved_rule, Some(rule_id));
    for approved_rule in [None, Some([9; 32])] {
        world.set_state(live.clone(), SharedIntentState { approved_rule, ..state }.encode());
        assert_eq!(code(ask(leaf).await), "SHARED_APPROVAL_MISSING");
    }
    world.set_state(live, state.encode());
    ask(leaf).await.unwrap();
}

#[tokio::test]
async fn the_policies_in_force_decide_and_no_others() {
    const TENANT: Hash = [0x77; 32];
    let forbids = "@id(\"no-opaque\") forbid (principal, action == Action::\"key.sign\", resource) when { context.opaque };";
    let stage = Stage::new(&Wish { policy_tenant: Some(TENANT), ..Wish::default() }).await;
    let publish = |version: u32, text: &str| {
        let state = PolicyState { version, set: tenant_set_hash(text), rule: [1; 32], leaf: 1 };
        stage.world.set_state(policy_key(&TENANT), state.encode());
        stage.world.pass(1_000);
    };
    // Nothing is published: the floor alone, and the intent names it.
    let (floor, _) = stage.world.claim(&stage.intent());
    publish(1, forbids);
    let with = |text: &str, leaf| Disclosed { policy: text.as_bytes().to_vec(), ..stage.shown(leaf) };
    assert_eq!(code(stage.ask(&stage.shown(floor)).await), "SHARED_POLICY_OTHER", "no text");
    assert_eq!(code(stage.ask(&with("", floor)).await), "SHARED_POLICY_OTHER", "another text");
    assert_eq!(
        code(stage.ask(&with(forbids, floor)).await),
        "SHARED_POLICY_OTHER",
        "the intent names the floor"
    );
    let mut intent = stage.intent();
    (intent.id, intent.policy) = ([2; 32], FLOOR.with_tenant(forbids).unwrap().hash());
    let (leaf, _) = stage.world.claim(&intent);
    let next = stage.made.try_to(2, 1, &[1, 2], MESSAGE);
    let messages = stage.made.commitments(&stage.world, &next).await;
    let shown = with(forbids, leaf);
    let refused = stage.world.keeper(1).cosign(&next.plan, &shown, messages.clone()).await;
    assert_eq!(code(refused), "POLICY_DENIED");
    // The next version lets it pass; what the keeper read of the one before counts no more.
    let permits = "@id(\"some\") forbid (principal, action == Action::\"key.sign\", resource) when { context.format == \"ethereum\" && !context.opaque };";
    publish(2, permits);
    let refused = stage.world.keeper(1).cosign(&next.plan, &shown, messages.clone()).await;
    assert_eq!(code(refused), "SHARED_POLICY_OTHER");
    let mut intent = stage.intent();
    (intent.id, intent.policy) = ([3; 32], FLOOR.with_tenant(permits).unwrap().hash());
    let (leaf, _) = stage.world.claim(&intent);
    let last = stage.made.try_to(3, 1, &[1, 2], MESSAGE);
    let messages = stage.made.commitments(&stage.world, &last).await;
    stage.world.keeper(1).cosign(&last.plan, &with(permits, leaf), messages).await.unwrap();
}

#[tokio::test]
async fn without_the_ledger_or_on_an_old_one_nothing_is_signed() {
    let stage = Stage::new(&Wish::default()).await;
    let (leaf, _) = stage.world.claim(&stage.intent());
    stage.world.see(1, Sight::Away);
    assert_eq!(code(stage.ask(&stage.shown(leaf)).await), "LEDGER_UNAVAILABLE");
    let past = stage.world.chain().clone();
    stage.world.pass(crate::STATE_AGE_MAX_MS + 1);
    stage.world.see(1, Sight::Past(Box::new(past)));
    assert_eq!(code(stage.ask(&stage.shown(leaf)).await), "LEDGER_UNAVAILABLE");
}
