//! The doubles, and one value that holds them.

use std::{
    collections::BTreeMap,
    num::NonZeroU32,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
};

use keyward_crypto::{Envelope, KeyEncryptionKey as _, MemoryKek, SecretBytes, SigningKey};
use keyward_domain::{
    AccountId, Code, Fingerprint, Principal,
    scheme::{Scheme, verify, verify_digest},
};
use keyward_ledger_core::entry::Entry;
use keyward_policies::Verb;
use keyward_store::{Database, Store};
use tempfile::TempDir;
use zeroize::Zeroizing;

pub(super) use super::ledger::{CHAIN, Mood, SUBMITTER};
use super::{
    keepers::FakeKeepers,
    ledger::{Beside, FakeLedger},
};
use crate::{
    adapters::Couriers,
    caller::{Caller, Shown},
    config::{AddressesConfig, AgentConfig, Limits},
    custody::Custody,
    failure::Failure,
    guard::{Input, Said, Signed},
    kek::{FIRST, labelled},
    ports::{Attached, Clock, FoundKey, Kek, Later, ToSign, Tokens},
    run::{Parts, assemble},
};

pub(super) const PIN: &[u8] = b"123456";

#[derive(Default)]
pub(super) struct FakeKek {
    /// By number, as a token keeps them.
    pub(super) keks: Mutex<BTreeMap<u32, Arc<MemoryKek>>>,
    current: AtomicU32,
    pub(super) broken: AtomicBool,
    /// Nothing is removed.
    pub(super) stuck: AtomicBool,
}

impl FakeKek {
    fn kek(&self, number: NonZeroU32) -> Result<Arc<MemoryKek>, Failure> {
        let found = self.keks.lock().unwrap().get(&number.get()).cloned();
        found.ok_or_else(|| Failure::new(Code::TokenKeyMissing, "no such key-encryption key"))
    }

    fn check(&self) -> Result<(), Failure> {
        match self.broken.load(Ordering::Relaxed) {
            true => Err(Failure::new(Code::TokenUnavailable, "no token")),
            false => Ok(()),
        }
    }
}

impl Kek for FakeKek {
    fn seal_under(
        &self,
        number: NonZeroU32,
        aad: Vec<u8>,
        plaintext: Zeroizing<Vec<u8>>,
    ) -> Later<'_, Result<Vec<u8>, Failure>> {
        Box::pin(async move {
            self.check()?;
            let nonce = Envelope::fresh_nonce().unwrap();
            let ciphertext = self.kek(number)?.encrypt(&nonce, &aad, &plaintext).unwrap();
            Ok(Envelope { kek: Some(number), nonce, ciphertext }.encode())
        })
    }
    fn open(&self, aad: Vec<u8>, sealed: Vec<u8>) -> Later<'_, Result<SecretBytes, Failure>> {
        Box::pin(async move {
            self.check()?;
            let envelope = Envelope::decode(&sealed).map_err(Failure::internal)?;
            let kek = self.kek(envelope.kek.unwrap_or(FIRST))?;
            keyward_crypto::open(&*kek, &aad, &sealed).map_err(Failure::internal)
        })
    }
    fn ready(&self) -> Later<'_, bool> {
        Box::pin(async move { self.check().is_ok() })
    }
    fn label(&self, number: NonZeroU32) -> String {
        labelled("kek", number)
    }
    fn current(&self) -> NonZeroU32 {
        NonZeroU32::new(self.current.load(Ordering::Relaxed)).unwrap_or(FIRST)
    }
    fn adopt(&self, number: NonZeroU32) {
        self.current.fetch_max(number.get(), Ordering::Relaxed);
    }
    fn exists(&self, number: NonZeroU32) -> Later<'_, Result<bool, Failure>> {
        Box::pin(async move {
            self.check()?;
            Ok(self.keks.lock().unwrap().contains_key(&number.get()))
        })
    }
    fn make(&self, number: NonZeroU32) -> Later<'_, Result<(), Failure>> {
        Box::pin(async move {
            self.check()?;
            let fresh = || Arc::new(MemoryKek::generate().unwrap());
            self.keks.lock().unwrap().entry(number.get()).or_insert_with(fresh);
            Ok(())
        })
    }
    fn remove(&self, number: NonZeroU32) -> Later<'_, Result<bool, Failure>> {
        Box::pin(async move {
            self.check()?;
            if self.stuck.load(Ordering::Relaxed) {
                return Err(Failure::new(Code::TokenUnavailable, "it does not let go"));
            }
            Ok(self.keks.lock().unwrap().remove(&number.get()).is_some())
        })
    }
}

pub(super) struct FakeTokens {
    key: SigningKey,
    /// `payments-2`, with the id 2.
    second: SigningKey,
    pub(super) logged_in: AtomicBool,
    pub(super) lies: AtomicBool,
    wrong: AtomicU64,
    /// How many have logged in.
    pub(super) logins: AtomicU64,
    /// How many have said that they need the token no more.
    pub(super) released: AtomicU64,
}

impl FakeTokens {
    pub(super) fn found(&self) -> FoundKey {
        FoundKey {
            label: "payments".into(),
            id: vec![1],
            kind: "p256".into(),
            public_keys: vec![self.key.public_key().clone()],
            claims: vec!["sensitive".into()],
        }
    }
}

impl Tokens for FakeTokens {
    fn list(&self) -> Later<'_, Result<Vec<Attached>, Failure>> {
        Box::pin(async move {
            Ok(vec![Attached {
                label: "bank".into(),
                serial: "77".into(),
                manufacturer: "us".into(),
                model: "fake".into(),
                module: "fake.so".into(),
                logged_in: self.logged_in.load(Ordering::Relaxed),
                keys: vec![self.found()],
            }])
        })
    }
    fn find_token(&self, name: String) -> Later<'_, Result<(String, String), Failure>> {
        Box::pin(async move {
            match name.as_str() {
                "bank" | "77" => Ok(("bank".into(), "77".into())),
                _ => Err(Failure::new(Code::TokenMissing, "no such token")),
            }
        })
    }
    fn login(&self, _: String, pin: Zeroizing<Vec<u8>>) -> Later<'_, Result<(), Failure>> {
        Box::pin(async move {
            if self.wrong.load(Ordering::Relaxed) >= 3 {
                return Err(Failure::new(Code::PinLocked, "locked"));
            }
            if pin.as_slice() != PIN {
                self.wrong.fetch_add(1, Ordering::Relaxed);
                return Err(Failure::new(Code::PinWrong, "wrong pin"));
            }
            self.logged_in.store(true, Ordering::Relaxed);
            self.logins.fetch_add(1, Ordering::Relaxed);
            Ok(())
        })
    }
    fn release(&self, _: String) -> Later<'_, ()> {
        self.released.fetch_add(1, Ordering::Relaxed);
        Box::pin(async {})
    }
    fn find_key(&self, _: String, label: String, _: Vec<u8>) -> Later<'_, Result<FoundKey, Failure>> {
        Box::pin(async move {
            match label.as_str() {
                "payments" => Ok(self.found()),
                "payments-2" => Ok(FoundKey {
                    label,
                    id: vec![2],
                    public_keys: vec![self.second.public_key().clone()],
                    ..self.found()
                }),
                _ => Err(Failure::new(Code::TokenKeyMissing, "no such key")),
            }
        })
    }
    fn sign(&self, _: String, id: Vec<u8>, _: Scheme, what: ToSign) -> Later<'_, Result<Vec<u8>, Failure>> {
        Box::pin(async move {
            if !self.logged_in.load(Ordering::Relaxed) {
                return Err(Failure::new(Code::TokenUnavailable, "not logged in"));
            }
            let key = if id == [2] { &self.second } else { &self.key };
            let mut signature = match what {
                ToSign::Message(message) => key.sign_message(&message).unwrap(),
                ToSign::Digest(digest) => key.sign_digest(&digest).unwrap(),
            };
            if self.lies.load(Ordering::Relaxed) {
                signature[7] ^= 1;
            }
            Ok(signature)
        })
    }
}

#[derive(Default)]
pub(super) struct FakeClock(pub(super) AtomicU64);

impl Clock for FakeClock {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A service and its world; restarts keep the world.
pub(super) struct World {
    pub(super) custody: Arc<Custody>,
    pub(super) ledger: Arc<FakeLedger>,
    pub(super) kek: Arc<FakeKek>,
    pub(super) tokens: Arc<FakeTokens>,
    pub(super) keepers: Arc<FakeKeepers>,
    pub(super) clock: Arc<FakeClock>,
    pub(super) limits: Limits,
    pub(super) couriers: Couriers,
    pub(super) addresses: AddressesConfig,
    folder: TempDir,
}

impl World {
    pub(super) async fn new() -> Self {
        Self::with(Limits::default()).await
    }

    pub(super) async fn with(limits: Limits) -> Self {
        Self::made(limits, Couriers::default(), AddressesConfig::default()).await
    }

    /// One that tells owners.
    pub(super) async fn telling(couriers: Couriers) -> Self {
        Self::made(Limits::default(), couriers, AddressesConfig::default()).await
    }

    /// One whose addresses are counted by a rule on the ledger.
    pub(super) async fn limited(limit: [u8; 32]) -> Self {
        let addresses = AddressesConfig { limit: Some(limit), ..AddressesConfig::default() };
        Self::made(Limits::default(), Couriers::default(), addresses).await
    }

    async fn made(limits: Limits, couriers: Couriers, addresses: AddressesConfig) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(FakeClock(AtomicU64::new(1_000_000)));
        let ledger = Arc::new(FakeLedger::new(clock.clone()));
        let kek = Arc::new(FakeKek::default());
        let tokens = Arc::new(FakeTokens {
            key: SigningKey::generate(Scheme::EcdsaP256).unwrap(),
            second: SigningKey::generate(Scheme::EcdsaP256).unwrap(),
            logged_in: AtomicBool::new(false),
            lies: AtomicBool::new(false),
            wrong: AtomicU64::new(0),
            logins: AtomicU64::new(0),
            released: AtomicU64::new(0),
        });
        let keepers = Arc::new(FakeKeepers::default());
        let custody =
            start(&folder, &ledger, &kek, &tokens, &keepers, &clock, (&limits, &couriers, &addresses)).await;
        Self { custody, ledger, kek, tokens, keepers, clock, limits, couriers, addresses, folder }
    }

    /// Ends this run as a crash would, and starts another on the same files.
    pub(super) async fn restart(self) -> Self {
        let Self { custody, ledger, kek, tokens, keepers, clock, limits, couriers, addresses, folder } = self;
        custody.store.close().await.unwrap();
        drop(custody);
        tokens.logged_in.store(false, Ordering::Relaxed);
        let custody =
            start(&folder, &ledger, &kek, &tokens, &keepers, &clock, (&limits, &couriers, &addresses)).await;
        custody.find_unreleased().await.unwrap();
        custody.log_in_to_tokens().await.unwrap();
        Self { custody, ledger, kek, tokens, keepers, clock, limits, couriers, addresses, folder }
    }

    /// Another server over the same database, ledger and token.
    pub(super) async fn beside(&self) -> Arc<Custody> {
        let file = self.folder.path().join("custody.db");
        let parts = Parts {
            tenant: "default".into(),
            store: Arc::new(Database::sqlite(&file).await.unwrap()),
            ledger: Arc::new(Beside(self.ledger.clone())),
            kek: self.kek.clone(),
            tokens: self.tokens.clone(),
            keepers: self.keepers.clone(),
            agents: agents(),
            couriers: self.couriers.clone(),
            addresses: self.addresses,
        };
        let custody = Arc::new(assemble(parts, self.clock.clone(), &self.limits).await.unwrap());
        custody.enter("second".into()).await.unwrap();
        custody
    }

    /// Every byte of the database.
    pub(super) fn database(&self) -> Vec<u8> {
        let files = std::fs::read_dir(self.folder.path()).unwrap();
        files.flat_map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect()
    }

    pub(super) fn pass_ms(&self, ms: u64) {
        self.clock.0.fetch_add(ms, Ordering::Relaxed);
    }

    /// A caller by certificate, with its account opened where it may have one.
    pub(super) async fn caller(&self, uri: &str) -> Caller {
        let caller = self.custody.authenticate(&shown(uri, None)).await.unwrap();
        let verb = match caller.principal.role() {
            keyward_domain::Role::App => Verb::KeyCreate,
            keyward_domain::Role::Operator => Verb::TokenLink,
            _ => return caller,
        };
        self.custody.with_account(&caller, verb).await.unwrap().0
    }

    pub(super) async fn app(&self) -> Caller {
        self.caller("keyward://app/treasury").await
    }

    pub(super) async fn sign(&self, caller: &Caller, key: &str, message: &[u8]) -> Result<Signed, Failure> {
        self.custody.sign(caller, key, (&Input::Message(message), unsaid()), &[]).await
    }

    pub(super) fn signatures(&self) -> usize {
        self.ledger.count(|entry| matches!(entry, Entry::Release(_)))
    }

    pub(super) fn intents(&self) -> usize {
        self.ledger.count(|entry| matches!(entry, Entry::Intent(_)))
    }
}

async fn start(
    folder: &TempDir,
    ledger: &Arc<FakeLedger>,
    kek: &Arc<FakeKek>,
    tokens: &Arc<FakeTokens>,
    keepers: &Arc<FakeKeepers>,
    clock: &Arc<FakeClock>,
    (limits, couriers, addresses): (&Limits, &Couriers, &AddressesConfig),
) -> Arc<Custody> {
    // A new run knows the token, not which key is the current one.
    kek.current.store(0, Ordering::Relaxed);
    let store: Arc<dyn Store> = Arc::new(Database::sqlite(&folder.path().join("custody.db")).await.unwrap());
    let parts = Parts {
        tenant: "default".into(),
        store,
        ledger: ledger.clone(),
        kek: kek.clone(),
        tokens: tokens.clone(),
        keepers: keepers.clone(),
        agents: agents(),
        couriers: couriers.clone(),
        addresses: *addresses,
    };
    let custody = Arc::new(assemble(parts, clock.clone(), limits).await.unwrap());
    custody.enter("first".into()).await.unwrap();
    custody
}

/// Two desks; `ops` links through the first.
fn agents() -> Vec<AgentConfig> {
    let agent = |name: &str, operators: &[&str]| AgentConfig {
        name: name.to_owned(),
        operators: operators.iter().map(|name| (*name).to_owned()).collect(),
    };
    vec![agent("desk", &["ops", "cora"]), agent("other", &[])]
}

/// A certificate's holder, each with a fingerprint of its own, and a session token.
pub(super) fn shown(uri: &str, token: Option<[u8; 32]>) -> Shown {
    let mut fingerprint = [0; 32];
    for (place, byte) in uri.bytes().enumerate() {
        fingerprint[place % 32] ^= byte;
    }
    let certificate = Some((Principal::parse(uri).unwrap(), Fingerprint(fingerprint)));
    Shown { certificate, token, deadline_ms: None, address: None }
}

/// The code of a failure; the message must say something.
pub(super) fn code<T>(result: Result<T, Failure>) -> Code {
    match result {
        Ok(_) => panic!("it was done"),
        Err(failure) => {
            assert!(!failure.message.is_empty());
            failure.code
        }
    }
}

pub(super) fn check(signed: &Signed, message: &[u8]) {
    verify(&signed.key.public_key, message, &signed.signature).unwrap();
}

pub(super) fn check_digest(signed: &Signed, digest: &[u8; 32]) {
    verify_digest(&signed.key.public_key, digest, &signed.signature).unwrap();
}

/// Nothing is said of what is signed.
pub(super) fn unsaid() -> &'static Said {
    static UNSAID: std::sync::LazyLock<Said> =
        std::sync::LazyLock::new(|| Said::of(&Input::Message(b""), None).unwrap());
    &UNSAID
}

pub(super) fn account(caller: &Caller) -> AccountId {
    caller.account.unwrap()
}
