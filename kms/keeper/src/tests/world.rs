//! Five keepers on a ledger, and a person with vaults.

use std::{
    path::Path,
    sync::{Arc, Mutex, MutexGuard, atomic::AtomicUsize},
};

use keyward_crypto::{
    MemoryKek, SecretBytes,
    vault::{
        AttemptRequest, BoxKey, Grant, Recovery, Vault, VaultDraft, VaultKeeper, VaultPlan, VaultStretch,
        VaultedKey,
    },
};
use keyward_domain::{
    scheme::{PublicKey, Scheme},
    vault_deposit_message,
};
use keyward_ledger_core::{
    codec::Writer,
    contracts::authored::authored_message,
    ed25519::SigningKey,
    entry::{Act, AttemptsTerms, Author, Authored, Entry, Party, RuleName, VaultAct, VaultAttempt},
    genesis::Role,
    hash::Hash,
    keeper::{Keeper as OnLedger, keeper_id},
    outcome::Outcome,
    state::{
        keeper::{KeeperState, keeper_key, keepers_key},
        layout::{AccountState, AttemptsState, CredentialState, account_key, attempts_key, credential_key},
        vault::{HolderState, VaultState, holder_key, vault_key},
    },
    vault::{Sealing, Shares, Stretching, VaultMode as SealedMode, vault_rule},
};

use super::chain::{CHAIN, Chain, Seen, Sight};
use crate::{EXPIRES_MAX_MS, Keeper, Keys};

pub(super) const ACCOUNT: Hash = [0x41; 32];
pub(super) const VAULT: Hash = [0x5a; 32];
pub(super) const OTHER_VAULT: Hash = [0x5b; 32];
pub(super) const SERVICE: Hash = [0x55; 32];
pub(super) const KEEPERS: u8 = 5;
/// Those that may come later, too.
const KEEPERS_MAX: u8 = 7;
pub(super) const THRESHOLD: u8 = 3;
pub(super) const SECRET: [u8; 32] = [7; 32];
pub(super) const LIMIT: u32 = 3;
pub(super) const LIFETIME: u32 = 10;
pub(super) const REFILL_MS: u64 = 60_000;
/// How long drafts of sealings count.
pub(super) const LIFE_MS: u64 = EXPIRES_MAX_MS / 2;

/// Everything at once.
pub(super) struct World {
    chain: Arc<Mutex<Chain>>,
    sights: Vec<Arc<Mutex<Sight>>>,
    folder: tempfile::TempDir,
    pub(super) keepers: Vec<Keeper>,
    nonce: Mutex<u32>,
    /// How often keepers asked for state.
    pub(super) asked: Arc<AtomicUsize>,
}

pub(super) fn signing(number: u8) -> SigningKey {
    SigningKey::from_seed(&[0xa0 + number; 32])
}

pub(super) fn sealing_key(number: u8) -> BoxKey {
    BoxKey::from_secret(&[0x10 + number; 32]).unwrap()
}

pub(super) fn owner() -> SigningKey {
    SigningKey::from_seed(&[0x41; 32])
}

pub(super) fn name_of(number: u8) -> String {
    format!("keeper-{number}")
}

pub(super) fn id_of(number: u8) -> Hash {
    keeper_id(&name_of(number))
}

pub(super) fn address_of(number: u8) -> String {
    format!("https://{}.example:7600", name_of(number))
}

pub(super) fn vault_name() -> RuleName {
    named(VAULT)
}

pub(super) fn named(vault: Hash) -> RuleName {
    RuleName { owner: ACCOUNT, name: vault }
}

pub(super) fn password(text: &str) -> SecretBytes {
    SecretBytes::new(text.as_bytes().to_vec())
}

/// What the account signs so that keepers take shares.
pub(super) fn signed_deposit(sealing: &Sealing) -> [u8; 64] {
    owner().sign(&vault_deposit_message(&CHAIN, &sealing.hash()))
}

/// What a vault is to be: who holds its shares, and how it is opened.
pub(super) struct Wish<'a> {
    pub(super) vault: Hash,
    pub(super) version: u32,
    pub(super) password: &'a str,
    pub(super) keepers: &'a [u8],
    pub(super) threshold: u8,
}

/// A draft with its sealing and the share for each keeper.
pub(super) struct Sealed {
    pub(super) draft: VaultDraft,
    pub(super) sealing: Sealing,
    pub(super) keepers: Vec<u8>,
    pub(super) shares: Vec<Vec<u8>>,
}

impl Sealed {
    /// The vault that it makes.
    pub(super) fn vault(&self) -> Vault {
        self.draft.vault(self.sealing.hash()).unwrap()
    }
}

impl World {
    pub(super) fn new() -> Self {
        let chain = Arc::new(Mutex::new(Chain { now_ms: 1_000_000, ..Chain::default() }));
        let mut world = Self {
            chain,
            sights: (1..=KEEPERS_MAX).map(|_| Arc::default()).collect(),
            folder: tempfile::tempdir().unwrap(),
            keepers: Vec::new(),
            nonce: Mutex::new(0),
            asked: Arc::default(),
        };
        let credential = CredentialState { version: 1, public_key: owner().public_key() };
        world.set_state(account_key(&ACCOUNT), AccountState { open: true, height: 1 }.encode());
        world.set_state(credential_key(&ACCOUNT), credential.encode());
        (1..=KEEPERS).for_each(|number| world.admit(number));
        world
    }

    /// Takes a keeper in; each once, in order.
    pub(super) fn admit(&mut self, number: u8) {
        let keeper = OnLedger {
            name: name_of(number),
            key: signing(number).public_key(),
            hpke_key: sealing_key(number).public(),
            validator: None,
            rpc: address_of(number),
        };
        let state = KeeperState { present: true, height: 1, keeper };
        self.set_state(keeper_key(&id_of(number)), state.encode());
        self.keepers.push(self.open_keeper(number, &self.folder_of(number)));
        self.list_keepers();
    }

    /// Takes a keeper out, or in again.
    pub(super) fn set_present(&self, number: u8, present: bool) {
        let key = keeper_key(&id_of(number));
        let state = KeeperState::decode(&self.state(&key).unwrap()).unwrap();
        self.set_state(key, KeeperState { present, ..state }.encode());
        self.list_keepers();
    }

    fn list_keepers(&self) {
        let known = (1..=KEEPERS_MAX).filter_map(|number| {
            let state = KeeperState::decode(&self.state(&keeper_key(&id_of(number)))?).unwrap();
            state.present.then(|| id_of(number))
        });
        let mut ids: Vec<_> = known.collect();
        ids.sort_unstable();
        let mut list = Writer::with_capacity(256);
        list.count(ids.len()).raw(&ids.concat());
        self.set_state(keepers_key(), list.finish());
    }

    pub(super) fn chain(&self) -> MutexGuard<'_, Chain> {
        self.chain.lock().unwrap()
    }

    pub(super) fn keeper(&self, number: u8) -> &Keeper {
        &self.keepers[usize::from(number) - 1]
    }

    /// Lets a keeper see the ledger otherwise from now on.
    pub(super) fn see(&self, number: u8, sight: Sight) {
        *self.sights[usize::from(number) - 1].lock().unwrap() = sight;
    }

    pub(super) fn folder_of(&self, number: u8) -> std::path::PathBuf {
        self.folder.path().join(name_of(number))
    }

    /// How many files a keeper has.
    pub(super) fn files(&self, number: u8) -> usize {
        files(&self.folder_of(number)).len()
    }

    /// Copies a keeper's disk, or puts a copy back.
    pub(super) fn copy(&self, from: &Path, to: &Path) {
        drop(std::fs::remove_dir_all(to));
        for file in files(from) {
            let copy = to.join(file.strip_prefix(from).unwrap());
            std::fs::create_dir_all(copy.parent().unwrap()).unwrap();
            std::fs::copy(&file, copy).unwrap();
        }
        std::fs::create_dir_all(to).unwrap();
    }

    /// Stops a keeper and starts it again.
    pub(super) fn restart(&mut self, number: u8) {
        self.keepers[usize::from(number) - 1] = self.open_keeper(number, &self.folder_of(number));
    }

    /// A keeper over a folder, as after a start.
    pub(super) fn open_keeper(&self, number: u8, folder: &Path) -> Keeper {
        let ledger = Seen {
            chain: self.chain.clone(),
            submitter: signing(number).public_key(),
            sight: self.sights[usize::from(number) - 1].clone(),
            asked: self.asked.clone(),
        };
        let keys = Keys {
            signing: signing(number),
            sealing: sealing_key(number),
            storage: Box::new(MemoryKek::new(&[0x70 + number; 32]).unwrap()),
        };
        Keeper::open(&name_of(number), keys, folder, Arc::new(ledger)).unwrap()
    }

    pub(super) fn pass(&self, ms: u64) {
        self.chain().now_ms += ms;
    }

    pub(super) fn set_state(&self, key: Vec<u8>, value: Vec<u8>) {
        self.chain().state.insert(key, value);
    }

    pub(super) fn state(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.chain().state.get(key).cloned()
    }

    pub(super) fn vault(&self, vault: Hash) -> Option<VaultState> {
        self.state(&vault_key(&vault_rule(&named(vault)))).map(|value| VaultState::decode(&value).unwrap())
    }

    pub(super) fn counter(&self, vault: Hash) -> Option<AttemptsState> {
        let value = self.state(&attempts_key(&vault_rule(&named(vault))));
        value.map(|value| AttemptsState::decode(&value).unwrap())
    }

    pub(super) fn holder(&self, vault: Hash, number: u8) -> HolderState {
        let key = holder_key(&vault_rule(&named(vault)), &id_of(number));
        HolderState::decode(&self.state(&key).unwrap()).unwrap()
    }

    /// Records an act in the service's batch, signed by the account if it says so.
    pub(super) fn record(&self, act: VaultAct, signed: bool) -> (u64, Outcome) {
        self.record_act(Act::Vault(act), signed)
    }

    /// The same for any act.
    pub(super) fn record_act(&self, act: Act, signed: bool) -> (u64, Outcome) {
        let authors = if signed { vec![self.author(&act)] } else { Vec::new() };
        let entry = Entry::Authored(Authored { act, authors });
        self.chain().record(&SERVICE, Role::Service, &entry)
    }

    /// Records an act in a keeper's batch.
    pub(super) fn record_as_keeper(&self, number: u8, act: VaultAct) -> Outcome {
        let entry = Entry::Authored(Authored { act: Act::Vault(act), authors: Vec::new() });
        self.chain().record(&signing(number).public_key(), Role::Keeper, &entry).1
    }

    fn author(&self, act: &Act) -> Author {
        self.author_as((ACCOUNT, &owner()), act)
    }

    /// The signature of an account's credential.
    pub(super) fn author_as(&self, (account, key): (Hash, &SigningKey), act: &Act) -> Author {
        let mut number = self.nonce.lock().unwrap();
        *number += 1;
        let mut nonce = [0; 32];
        nonce[..4].copy_from_slice(&number.to_be_bytes());
        let (party, not_after) = (Party::Credential(account), 100);
        let message = authored_message(&CHAIN, act.kind(), &act.payload(), party, &nonce, not_after);
        Author { party, nonce, not_after, public_key: Vec::new(), signature: key.sign(&message).to_vec() }
    }

    /// Drafts the usual vault's next version with a password.
    pub(super) fn draft(&self, version: u32, text: &str) -> Sealed {
        let keepers = &[1, 2, 3, 4, 5];
        self.draft_as(&Wish { vault: VAULT, version, password: text, keepers, threshold: THRESHOLD })
    }

    pub(super) fn draft_as(&self, wish: &Wish<'_>) -> Sealed {
        let Wish { vault, version, password: text, keepers: numbers, threshold } = *wish;
        let keepers = numbers
            .iter()
            .map(|number| VaultKeeper {
                id: id_of(*number),
                sealing_key: sealing_key(*number).public(),
                signing_key: signing(*number).public_key(),
            })
            .collect();
        let stretch = VaultStretch { memory_kib: 19 * 1024, passes: 2, lanes: 1 };
        let plan =
            VaultPlan { chain_id: CHAIN, account: ACCOUNT, vault, version, threshold, keepers, stretch };
        let public = SigningKey::from_seed(&SECRET).public_key();
        let public_key = PublicKey::parse(Scheme::Ed25519, &public).unwrap();
        let key = VaultedKey { id: public_key.id().0, public_key, secret: SecretBytes::new(SECRET.to_vec()) };
        let draft = VaultDraft::new(plan, &password(text), &[key], None).unwrap();
        let facts = draft.facts([0; 32]);
        let sealing = Sealing {
            expires_ms: Some(self.chain().now_ms + LIFE_MS),
            vault: named(vault),
            version,
            mode: SealedMode::Vault,
            shares: Shares {
                keepers: facts.keepers.iter().map(|keeper| keeper.id).collect(),
                evaluation: facts.evaluation,
                mask: facts.mask,
            },
            stretching: Stretching {
                memory_kib: stretch.memory_kib,
                passes: stretch.passes,
                lanes: stretch.lanes,
            },
            terms: AttemptsTerms {
                limit: LIMIT,
                lifetime: LIFETIME,
                cool_down_ms: 0,
                refill_ms: REFILL_MS,
                success_key: facts.proof_key,
                needed: 0,
                askers: Vec::new(),
            },
            ciphertext_hash: facts.ciphertext_hash,
        };
        let shares = draft.shares(sealing.hash()).unwrap();
        Sealed { draft, sealing, keepers: numbers.to_vec(), shares }
    }

    /// Gives each keeper its share.
    pub(super) async fn deposit(&self, sealed: &Sealed) -> Vec<[u8; 64]> {
        let mut acknowledgements = Vec::new();
        let (sealing, signed) = (sealed.sealing.encode(), signed_deposit(&sealed.sealing));
        for (number, share) in sealed.keepers.iter().zip(&sealed.shares) {
            acknowledgements.push(self.keeper(*number).deposit(&sealing, share, &signed).await.unwrap());
        }
        acknowledgements
    }

    /// Records a sealing that every keeper acknowledged.
    pub(super) fn seal_final(&self, sealed: &Sealed, acknowledgements: Vec<[u8; 64]>) -> Outcome {
        let act = VaultAct::Seal { sealing: Box::new(sealed.sealing.clone()), acknowledgements };
        self.record(act, true).1
    }

    /// Seals the usual vault's next version.
    pub(super) async fn seal(&self, version: u32, text: &str) -> Vault {
        let sealed = self.draft(version, text);
        self.seal_drafted(&sealed).await
    }

    pub(super) async fn seal_drafted(&self, sealed: &Sealed) -> Vault {
        let acknowledgements = self.deposit(sealed).await;
        assert_eq!(self.seal_final(sealed, acknowledgements).name(), "ACCEPTED");
        sealed.vault()
    }

    pub(super) fn destroy(&self, vault: Hash, version: u32) -> Outcome {
        self.record(VaultAct::Destroy { vault: named(vault), version }, true).1
    }

    /// Asks the ledger for an attempt with a password.
    pub(super) fn attempt(&self, vault: &Vault, text: &str) -> Asked {
        let (recovery, request) = Recovery::begin(vault.clone(), &password(text)).unwrap();
        let (attempt, leaf, outcome) = self.ask(vault, &request);
        Asked { vault: vault.clone(), recovery, request, attempt, leaf, outcome }
    }

    /// Hands in what a guess asks for.
    pub(super) fn ask(&self, vault: &Vault, request: &AttemptRequest) -> (VaultAttempt, u64, Outcome) {
        let shares = vault.shares();
        let attempt = VaultAttempt {
            vault: named(shares.vault),
            version: shares.version,
            share_version: shares.share_version,
            element: request.element_hash,
            reply_key: request.reply_key,
        };
        let (leaf, outcome) = self.record(VaultAct::Attempt(attempt), false);
        (attempt, leaf, outcome)
    }
}

/// A guess that the ledger was asked for.
pub(super) struct Asked {
    pub(super) vault: Vault,
    pub(super) recovery: Recovery,
    pub(super) request: AttemptRequest,
    pub(super) attempt: VaultAttempt,
    pub(super) leaf: u64,
    pub(super) outcome: Outcome,
}

impl Asked {
    /// What the ledger granted.
    pub(super) fn grant(&self) -> Grant {
        Grant {
            shares: self.vault.shares(),
            attempt: self.outcome.data.as_slice().try_into().unwrap(),
            element_hash: self.attempt.element,
            reply_key: self.attempt.reply_key,
        }
    }
}

/// All files below a folder.
pub(super) fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}
