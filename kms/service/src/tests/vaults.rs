//! Handing in what a person signed about a vault, and showing what the ledger proves.

use keyward_crypto::SigningKey as Credential;
use keyward_domain::Code;
use keyward_ledger_core::{
    contracts::{attempts::success_message, authored::authored_message},
    ed25519::SigningKey,
    entry::{Act, AttemptsTerms, Author, Authored, Entry, Party, RuleName, VaultAct, VaultAttempt},
    hash::Hash,
    state::{
        keeper::{keeper_key, keepers_key},
        layout::attempts_key,
        vault::{HolderState, holder_key, vault_key},
    },
    vault::{Sealing, Shares, Stretching, VaultMode, acknowledge, vault_rule},
};
use keyward_store::VaultState;

use super::{
    accounts::{credential, person},
    keepers::{keeper_id, keeper_signing_key},
    ledger::state_receipt,
    world::{CHAIN, Mood, World, code},
};
use crate::{
    accounts::close::Closed,
    caller::Caller,
    failure::Failure,
    ports::{Ledger as _, LedgerError},
    vaults::{
        entries::{HandIn, HandedIn, Kind, VAULTS_MAX},
        floods::Flood,
    },
};

pub(super) const VAULT: Hash = [0x5a; 32];

/// A person with a vault's signing side.
pub(super) struct Owner {
    pub(super) caller: Caller,
    credential: Credential,
    nonce: std::cell::Cell<u8>,
}

pub(super) fn success_key() -> SigningKey {
    SigningKey::from_seed(&[0x77; 32])
}

impl Owner {
    pub(super) async fn new(world: &World, user: &str) -> Self {
        let caller = person(world, user).await;
        let credential = credential(world, user).await;
        Self { caller, credential, nonce: std::cell::Cell::new(0) }
    }

    pub(super) fn account(&self) -> Hash {
        self.caller.person.as_ref().unwrap().account.0
    }

    pub(super) fn vault(&self) -> RuleName {
        RuleName { owner: self.account(), name: VAULT }
    }

    pub(super) fn sealing(&self, vault: Hash, version: u32, keepers: &[u8]) -> Sealing {
        let points = |secret: u8| vec![[secret; 32], [secret + 1; 32]];
        Sealing {
            expires_ms: None,
            vault: RuleName { owner: self.account(), name: vault },
            version,
            mode: VaultMode::Vault,
            shares: Shares {
                keepers: keepers.iter().map(|number| keeper_id(*number)).collect(),
                evaluation: points(0xc0),
                mask: points(0xd0),
            },
            stretching: Stretching { memory_kib: 65_536, passes: 3, lanes: 4 },
            terms: AttemptsTerms {
                limit: 3,
                lifetime: 5,
                cool_down_ms: 60_000,
                refill_ms: 3_600_000,
                success_key: success_key().public_key(),
                needed: 0,
                askers: Vec::new(),
            },
            ciphertext_hash: [0xcc; 32],
        }
    }

    /// An entry that the account signs.
    pub(super) fn signed(&self, world: &World, act: VaultAct) -> Vec<u8> {
        self.signed_act(world, Act::Vault(act))
    }

    /// The entry with which it closes its account.
    pub(super) fn closing(&self, world: &World) -> Vec<u8> {
        self.signed_act(world, Act::CloseAccount { account: self.account() })
    }

    pub(super) async fn close(&self, world: &World, mark: &[u8]) -> Result<Closed, Failure> {
        world.custody.close_account(&self.caller, &self.closing(world), mark).await
    }

    pub(super) fn signed_act(&self, world: &World, act: Act) -> Vec<u8> {
        let nonce = self.nonce.get();
        self.nonce.set(nonce + 1);
        let not_after = world.ledger.height() + 100;
        let (party, nonce) = (Party::Credential(self.account()), [nonce; 32]);
        let message = authored_message(&CHAIN, act.kind(), &act.payload(), party, &nonce, not_after);
        let signature = self.credential.sign_message(&message).unwrap();
        let author = Author { party, nonce, not_after, public_key: Vec::new(), signature };
        Entry::Authored(Authored { act, authors: vec![author] }).encode()
    }

    pub(super) fn seal_entry(&self, world: &World, sealing: Sealing, keepers: &[u8]) -> Vec<u8> {
        let hash = sealing.hash();
        let signed = (1..).zip(keepers);
        let acknowledgements = signed
            .map(|(index, number)| acknowledge(&keeper_signing_key(*number), &CHAIN, &hash, index))
            .collect();
        self.signed(world, VaultAct::Seal { sealing: Box::new(sealing), acknowledgements })
    }

    pub(super) async fn seal(&self, world: &World, vault: Hash, version: u32) -> Result<HandedIn, Failure> {
        let entry = self.seal_entry(world, self.sealing(vault, version, &[1, 2, 3]), &[1, 2, 3]);
        self.hand_in(world, Kind::Seal, &entry, b"").await
    }

    pub(super) fn attempt(&self, number: u8) -> VaultAttempt {
        let (version, share_version, reply_key) = (1, 1, [0x44; 32]);
        VaultAttempt { vault: self.vault(), version, share_version, element: [number; 32], reply_key }
    }

    pub(super) fn attempt_entry(&self, number: u8) -> Vec<u8> {
        unsigned(VaultAct::Attempt(self.attempt(number)))
    }

    pub(super) async fn hand_in(
        &self,
        world: &World,
        kind: Kind,
        entry: &[u8],
        mark: &[u8],
    ) -> Result<HandedIn, Failure> {
        world.custody.hand_in(&self.caller, HandIn { kind, entry, mark, code: "" }).await
    }

    /// The entry that proves an attempt by its record.
    pub(super) fn open_entry(&self, world: &World, number: u8, granted: &HandedIn) -> Vec<u8> {
        let outcome = world.ledger.log()[granted.leaf_index as usize].1.clone();
        let id: Hash = outcome.data.as_slice().try_into().unwrap();
        let signature = success_key().sign(&success_message(&CHAIN, &id));
        unsigned(VaultAct::Open { attempt: self.attempt(number), signature })
    }
}

pub(super) fn unsigned(act: VaultAct) -> Vec<u8> {
    Entry::Authored(Authored { act: Act::Vault(act), authors: Vec::new() }).encode()
}

pub(super) async fn world() -> (World, Owner) {
    let world = World::new().await;
    world.admit_keepers(&[1, 2, 3]);
    let owner = Owner::new(&world, "alice").await;
    (world, owner)
}

async fn rows(world: &World, owner: &Owner) -> Vec<(Hash, VaultState)> {
    let rows = world.custody.store.vaults(owner.account()).await.unwrap();
    rows.into_iter().map(|row| (row.vault, row.state)).collect()
}

fn attempts(world: &World) -> usize {
    world.ledger.count(|entry| {
        matches!(entry, Entry::Authored(Authored { act: Act::Vault(VaultAct::Attempt(_)), .. }))
    })
}

#[tokio::test]
async fn a_vault_is_sealed_attempted_opened_and_destroyed_by_what_its_owner_signs() {
    let (world, owner) = world().await;
    let sealed = owner.seal(&world, VAULT, 1).await.unwrap();
    assert_eq!(sealed.receipt, sealed.leaf_index.to_be_bytes());
    assert_eq!(rows(&world, &owner).await, [(VAULT, VaultState::Sealed)]);
    let granted = owner.hand_in(&world, Kind::Attempt, &owner.attempt_entry(1), b"").await.unwrap();
    let open = owner.open_entry(&world, 1, &granted);
    let opened = owner.hand_in(&world, Kind::Open, &open, b"").await.unwrap();
    assert!(opened.leaf_index > granted.leaf_index);
    assert_eq!(code(owner.hand_in(&world, Kind::Open, &open, b"").await), Code::AttemptProven);
    owner.seal(&world, VAULT, 2).await.unwrap();
    assert_eq!(code(owner.seal(&world, VAULT, 2).await), Code::VaultVersionStale);
    let stale = owner.signed(&world, VaultAct::Destroy { vault: owner.vault(), version: 1 });
    assert_eq!(code(owner.hand_in(&world, Kind::Destroy, &stale, b"").await), Code::VaultVersionStale);
    let destroy = owner.signed(&world, VaultAct::Destroy { vault: owner.vault(), version: 2 });
    owner.hand_in(&world, Kind::Destroy, &destroy, b"").await.unwrap();
    assert_eq!(rows(&world, &owner).await, [(VAULT, VaultState::Ended)]);
    assert_eq!(code(owner.seal(&world, VAULT, 3).await), Code::VaultDestroyed);
    assert_eq!(
        code(owner.hand_in(&world, Kind::Attempt, &owner.attempt_entry(2), b"").await),
        Code::VaultDestroyed
    );
}

#[tokio::test]
async fn no_entry_is_handed_in_but_one_of_the_calls_kind_and_the_sessions_account() {
    let (world, owner) = world().await;
    owner.seal(&world, VAULT, 1).await.unwrap();
    let other = Owner::new(&world, "bob").await;
    let before = world.ledger.log().len();
    let attempt = owner.attempt_entry(1);
    let erase = unsigned(VaultAct::Erase { vault: owner.vault(), version: 1, keeper: keeper_id(1) });
    let note = Entry::Note(vec![1, 2, 3]).encode();
    let close = Entry::CloseAccount { account: owner.account() }.encode();
    for kind in [Kind::Seal, Kind::Open, Kind::Destroy] {
        assert_eq!(code(owner.hand_in(&world, kind, &attempt, b"").await), Code::VaultRequestMalformed);
    }
    for entry in [&erase, &note, &close] {
        for kind in [Kind::Seal, Kind::Attempt, Kind::Open, Kind::Destroy] {
            assert_eq!(code(owner.hand_in(&world, kind, entry, b"").await), Code::VaultRequestMalformed);
        }
    }
    for broken in [&[][..], &[0xff; 9], &[&attempt[..], &[0]].concat()] {
        assert_eq!(code(owner.hand_in(&world, Kind::Attempt, broken, b"").await), Code::EntryMalformed);
    }
    let long = vec![0; 5000];
    assert_eq!(code(owner.hand_in(&world, Kind::Seal, &long, b"").await), Code::VaultRequestMalformed);
    assert_eq!(code(other.hand_in(&world, Kind::Attempt, &attempt, b"").await), Code::NotAllowed);
    let theirs = owner.seal_entry(&world, owner.sealing([9; 32], 1, &[1, 2]), &[1, 2]);
    assert_eq!(code(other.hand_in(&world, Kind::Seal, &theirs, b"").await), Code::NotAllowed);
    let mut unsound = owner.sealing([9; 32], 1, &[1, 2]);
    unsound.stretching.passes = 0;
    let unsound = owner.seal_entry(&world, unsound, &[1, 2]);
    assert_eq!(code(owner.hand_in(&world, Kind::Seal, &unsound, b"").await), Code::VaultInvalid);
    assert_eq!(world.ledger.log().len(), before, "nothing reached the ledger");
}

#[tokio::test]
async fn whoever_has_no_session_spends_no_attempt() {
    let (world, owner) = world().await;
    owner.seal(&world, VAULT, 1).await.unwrap();
    let entry = owner.attempt_entry(1);
    for uri in ["keyward://app/wallet", "keyward://operator/ops", "keyward://officer/olga"] {
        let caller = world.caller(uri).await;
        let what = HandIn { kind: Kind::Attempt, entry: &entry, mark: b"", code: "" };
        assert_eq!(code(world.custody.hand_in(&caller, what).await), Code::SessionRequired, "{uri}");
        assert_eq!(code(world.custody.show_vault(&caller, VAULT).await), Code::SessionRequired, "{uri}");
        // Who may share keys with keepers sees who they are; nobody else without a session.
        let keepers = world.custody.show_keepers(&caller).await;
        assert_eq!(keepers.is_ok(), caller.account.is_some(), "{uri}: {keepers:?}");
    }
    let mut late = owner.caller.clone();
    late.deadline_ms = Some(1);
    let what = HandIn { kind: Kind::Attempt, entry: &entry, mark: b"", code: "" };
    assert_eq!(code(world.custody.hand_in(&late, what).await), Code::DeadlineExceeded);
    assert_eq!(attempts(&world), 0);
}

#[tokio::test]
async fn an_attempt_that_comes_too_early_is_told_when_there_may_be_one() {
    let (world, owner) = world().await;
    owner.seal(&world, VAULT, 1).await.unwrap();
    let ask = async |number| owner.hand_in(&world, Kind::Attempt, &owner.attempt_entry(number), b"").await;
    ask(1).await.unwrap();
    world.pass_ms(10_000);
    let cooling = ask(2).await.unwrap_err();
    assert_eq!((cooling.code, cooling.wait_ms), (Code::AttemptsCooling, Some(50_000)));
    for number in [2, 3] {
        world.pass_ms(60_000);
        ask(number).await.unwrap();
    }
    world.pass_ms(60_000);
    let spent = ask(4).await.unwrap_err();
    assert_eq!(spent.code, Code::AttemptsSpent);
    let wait_ms = spent.wait_ms.unwrap();
    assert!((1..3_600_000).contains(&wait_ms), "{wait_ms}");
    world.pass_ms(wait_ms);
    ask(4).await.unwrap();
    world.pass_ms(3_600_000);
    ask(5).await.unwrap();
    world.pass_ms(3_600_000);
    let locked = ask(6).await.unwrap_err();
    assert_eq!((locked.code, locked.wait_ms), (Code::AttemptsLocked, None));
}

#[tokio::test]
async fn a_retry_under_the_same_mark_spends_no_second_attempt() {
    let (world, owner) = world().await;
    owner.seal(&world, VAULT, 1).await.unwrap();
    let entry = owner.attempt_entry(1);
    let first = owner.hand_in(&world, Kind::Attempt, &entry, b"mark").await.unwrap();
    assert_eq!(owner.hand_in(&world, Kind::Attempt, &entry, b"mark").await.unwrap(), first);
    assert_eq!(attempts(&world), 1);
    let other = owner.attempt_entry(2);
    assert_eq!(code(owner.hand_in(&world, Kind::Attempt, &other, b"mark").await), Code::IdempotencyConflict);
    assert_eq!(code(owner.hand_in(&world, Kind::Open, &entry, b"mark").await), Code::VaultRequestMalformed);
    assert_eq!(attempts(&world), 1);
}

#[tokio::test]
async fn what_a_crash_or_an_outage_leaves_is_settled_once() {
    for mood in [Mood::Deaf, Mood::Gone] {
        let (world, owner) = world().await;
        let seal = owner.seal_entry(&world, owner.sealing(VAULT, 1, &[1, 2, 3]), &[1, 2, 3]);
        let lost = async |world: &World, kind, entry: &[u8], mark: &[u8]| {
            world.ledger.set(mood);
            let lost = owner.hand_in(world, kind, entry, mark).await;
            assert_eq!(code(lost), Code::LedgerUnavailable);
            assert_eq!(code(owner.hand_in(world, kind, entry, mark).await), Code::IdempotencyPending);
            world.ledger.set(Mood::Good);
        };
        lost(&world, Kind::Seal, &seal, b"seal").await;
        assert_eq!(rows(&world, &owner).await, [(VAULT, VaultState::Pending)]);
        let world = world.restart().await;
        world.custody.store.take_over().await.unwrap();
        assert_eq!(world.custody.settle_acts().await.unwrap(), 0);
        assert_eq!(rows(&world, &owner).await, [(VAULT, VaultState::Sealed)]);
        let sealed = owner.hand_in(&world, Kind::Seal, &seal, b"seal").await.unwrap();
        assert_eq!(sealed.receipt, sealed.leaf_index.to_be_bytes());

        let attempt = owner.attempt_entry(1);
        lost(&world, Kind::Attempt, &attempt, b"attempt").await;
        // One that was not recorded is handed in by its person alone: settled later it would be a guess for nobody.
        let recorded = mood == Mood::Deaf;
        assert_eq!(world.custody.settle_acts().await.unwrap(), usize::from(!recorded));
        assert_eq!(attempts(&world), usize::from(recorded));
        let mark: &[u8] = if recorded { b"attempt" } else { b"once more" };
        let granted = owner.hand_in(&world, Kind::Attempt, &attempt, mark).await.unwrap();
        assert_eq!(attempts(&world), 1, "{mood:?}");
        // Under a fresh mark it is the same attempt to the ledger too.
        owner.hand_in(&world, Kind::Attempt, &attempt, b"another").await.unwrap();
        let cooling = owner.hand_in(&world, Kind::Attempt, &owner.attempt_entry(2), b"").await.unwrap_err();
        assert_eq!(cooling.code, Code::AttemptsCooling, "one guess was spent");

        let open = owner.open_entry(&world, 1, &granted);
        lost(&world, Kind::Open, &open, b"open").await;
        assert_eq!(world.custody.settle_acts().await.unwrap(), 0);
        owner.hand_in(&world, Kind::Open, &open, b"open").await.unwrap();
        let destroy = owner.signed(&world, VaultAct::Destroy { vault: owner.vault(), version: 1 });
        lost(&world, Kind::Destroy, &destroy, b"destroy").await;
        assert_eq!(world.custody.settle_acts().await.unwrap(), 0);
        assert_eq!(rows(&world, &owner).await, [(VAULT, VaultState::Ended)]);
        owner.hand_in(&world, Kind::Destroy, &destroy, b"destroy").await.unwrap();
    }
}

#[tokio::test]
async fn an_attempt_that_was_left_a_day_ago_is_not_handed_in_again() {
    let (world, owner) = world().await;
    owner.seal(&world, VAULT, 1).await.unwrap();
    world.ledger.set(Mood::Gone);
    let entry = owner.attempt_entry(1);
    assert_eq!(code(owner.hand_in(&world, Kind::Attempt, &entry, b"mark").await), Code::LedgerUnavailable);
    world.ledger.set(Mood::Good);
    world.pass_ms(24 * 3_600_000);
    assert_eq!(world.custody.settle_acts().await.unwrap(), 1, "it may still come by itself");
    world.ledger.height.fetch_add(5_000, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(world.custody.settle_acts().await.unwrap(), 0);
    assert_eq!(attempts(&world), 0);
    let entry = owner.attempt_entry(1);
    let owner = Owner { caller: person(&world, "alice").await, ..owner };
    owner.hand_in(&world, Kind::Attempt, &entry, b"mark").await.unwrap();
}

#[tokio::test]
async fn a_sealing_that_the_ledger_refuses_is_not_remembered() {
    let (world, owner) = world().await;
    let entry = owner.seal_entry(&world, owner.sealing(VAULT, 1, &[1, 2, 3]), &[1, 2, 2]);
    let refused = owner.hand_in(&world, Kind::Seal, &entry, b"").await;
    assert_eq!(code(refused), Code::VaultAcknowledgementInvalid);
    let entry = owner.seal_entry(&world, owner.sealing(VAULT, 1, &[1, 4]), &[1, 4]);
    assert_eq!(code(owner.hand_in(&world, Kind::Seal, &entry, b"").await), Code::VaultKeeperUnknown);
    let entry = unsigned(VaultAct::Destroy { vault: owner.vault(), version: 1 });
    assert_eq!(code(owner.hand_in(&world, Kind::Destroy, &entry, b"").await), Code::AuthorsMissing);
    assert_eq!(rows(&world, &owner).await, []);
    let entry = owner.seal_entry(&world, owner.sealing(VAULT, 1, &[1, 2]), &[1, 2]);
    world.ledger.height.fetch_add(101, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(code(owner.hand_in(&world, Kind::Seal, &entry, b"").await), Code::AuthorSignatureExpired);
}

#[tokio::test]
async fn an_account_has_so_many_vaults_and_hands_in_so_much() {
    let (world, owner) = world().await;
    for number in 0..VAULTS_MAX {
        owner.seal(&world, [number as u8; 32], 1).await.unwrap();
    }
    assert_eq!(code(owner.seal(&world, VAULT, 1).await), Code::VaultsMax);
    owner.seal(&world, [0; 32], 2).await.unwrap();
    let one = RuleName { owner: owner.account(), name: [1; 32] };
    let destroy = owner.signed(&world, VaultAct::Destroy { vault: one, version: 1 });
    owner.hand_in(&world, Kind::Destroy, &destroy, b"").await.unwrap();
    owner.seal(&world, VAULT, 1).await.unwrap();

    let log = world.ledger.log().len();
    let mut handed_in = 0;
    let limited = loop {
        match owner.hand_in(&world, Kind::Attempt, &owner.attempt_entry(1), b"").await {
            Ok(_) => handed_in += 1,
            Err(failure) => break failure,
        }
    };
    let (burst, back_ms) = Flood::Entry.bound();
    assert_eq!((limited.code, limited.wait_ms), (Code::VaultLimited, Some(back_ms)));
    assert!(handed_in < burst as usize);
    assert_eq!(world.ledger.log().len(), log + handed_in, "what is over the limit does not reach the ledger");
    world.pass_ms(back_ms);
    owner.hand_in(&world, Kind::Attempt, &owner.attempt_entry(1), b"").await.unwrap();
    Owner::new(&world, "bob").await.seal(&world, VAULT, 1).await.unwrap();
}

#[tokio::test]
async fn what_is_shown_are_the_ledgers_own_proofs() {
    let (world, owner) = world().await;
    let state = async |key: Vec<u8>| -> Result<Vec<u8>, LedgerError> {
        Ok(state_receipt(&key, world.ledger.state(key.clone()).await?.as_deref()))
    };
    let rule = vault_rule(&owner.vault());
    let shown = world.custody.show_vault(&owner.caller, VAULT).await.unwrap();
    assert_eq!(shown.vault, state_receipt(&vault_key(&rule), None), "proven absence");
    assert!(shown.sealing.is_empty() && shown.holders.is_empty() && shown.keepers.is_empty());

    let sealed = owner.seal(&world, VAULT, 1).await.unwrap();
    let holder = holder_key(&rule, &keeper_id(2));
    world.ledger.set_state(holder, HolderState { held: 1, erased: 1 }.encode());
    let shown = world.custody.show_vault(&owner.caller, VAULT).await.unwrap();
    assert_eq!(shown.vault, state(vault_key(&rule)).await.unwrap());
    assert_eq!((shown.sealing, shown.shares), (sealed.receipt, Vec::new()));
    assert_eq!(shown.counter, state(attempts_key(&rule)).await.unwrap());
    for (place, number) in [1, 2, 3].into_iter().enumerate() {
        let (holder, keeper) = (holder_key(&rule, &keeper_id(number)), keeper_key(&keeper_id(number)));
        assert_eq!(shown.holders[place], state(holder).await.unwrap());
        assert_eq!(shown.keepers[place], state(keeper).await.unwrap());
    }
    let keepers = world.custody.show_keepers(&owner.caller).await.unwrap();
    assert_eq!((keepers.list, keepers.keepers.len()), (state(keepers_key()).await.unwrap(), 3));
    // Another's vault of the same id is another vault.
    let bob = Owner::new(&world, "bob").await;
    let shown = world.custody.show_vault(&bob.caller, VAULT).await.unwrap();
    assert_eq!(shown.vault, state_receipt(&vault_key(&vault_rule(&bob.vault())), None));
    world.ledger.set(Mood::Gone);
    assert_eq!(code(world.custody.show_vault(&owner.caller, VAULT).await), Code::LedgerUnavailable);
    assert_eq!(code(world.custody.show_keepers(&owner.caller).await), Code::LedgerUnavailable);
}
