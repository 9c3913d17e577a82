//! Each fault of a real token during each verb that uses it: a typed failure in bounded time, no second signature, no
//! half-made key, and the same service goes on once the token is whole again.
//!
//! The token is the bundled one in a child process, so that every test has a store of its own, and a crash is the
//! child's.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use keyward_domain::{AccountId, Code};
use keyward_policies::Verb as Needs;
use keyward_store::{Database, Store};
use keyward_token::{HostProgram, KeyKind, Module, Pin, TokenName, find_module};
use tempfile::TempDir;
use zeroize::Zeroizing;

use super::world::{World, check, unsaid};
use crate::{
    adapters::{Couriers, kek::TokenKek, tokens::Modules},
    caller::Caller,
    config::Limits,
    custody::Custody,
    failure::Failure,
    guard::Input,
    keys::rotate::To,
    run::{Parts, assemble},
    tokens::link::Link,
};

const PIN: &str = "12345678";
const TOKEN: &str = "bank";
/// How long the token may take for one job of the service.
const DEADLINE: Duration = Duration::from_secs(2);
/// How long it may take for what a test does beside the service.
const PATIENT: Duration = Duration::from_secs(60);
/// How long a verb may take that meets a fault: a few jobs, each with the deadline.
const BOUND: Duration = Duration::from_secs(90);
/// How long until the service serves again.
const RECOVERY: Duration = Duration::from_secs(180);

/// What happens, as lines of the simulator's control file.
const FAULTS: [&[&str]; 11] = [
    &["pull 0"],
    &["pull 0 on use"],
    &["pull 0 on use after"],
    &["error 0 CKR_DEVICE_ERROR on use always"],
    &["error 0 CKR_DEVICE_ERROR on use always after"],
    &["error 0 CKR_DEVICE_ERROR on use"],
    &["lose 0 on use"],
    &["buggy 0", "error 0 0x20 on use"],
    &["latency 0 600000 on use"],
    &["garble 0 on use always"],
    &["crash 0 on use always"],
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Link,
    Create,
    SignLinked,
    SignHosted,
    RotateLinked,
    RotateHosted,
}

/// A service with a real token, on the ledger of a world.
struct Desk {
    world: World,
    custody: Arc<Custody>,
    module: Module,
    store: PathBuf,
    operator: Caller,
    app: Caller,
    accounts: [AccountId; 2],
    /// How many keys were made in the token so far.
    made: usize,
    signed: usize,
    _folder: TempDir,
}

impl Desk {
    async fn new() -> Self {
        let world = World::new().await;
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("store");
        fs::create_dir(&store).unwrap();
        let path = find_module(None, None, Some(&std::env::current_exe().unwrap())).unwrap();
        let module = Module::open_in_child(&path, host(&store)).unwrap().with_deadline(PATIENT);
        let pin = || Pin::new(PIN.into()).unwrap();
        let token = module.init_token(Pin::new("87654321".into()).unwrap(), pin(), TOKEN).await.unwrap();
        let modules = Modules::new(vec![module.with_deadline(DEADLINE)]);
        let name = TokenName::new(token.serial);
        module.login(&name, pin()).await.unwrap();
        modules.keep(name.as_str());
        let database = Database::sqlite(&folder.path().join("custody.db")).await.unwrap();
        let parts = Parts {
            tenant: "default".into(),
            store: Arc::new(database) as Arc<dyn Store>,
            ledger: world.ledger.clone(),
            kek: Arc::new(TokenKek::new(module.with_deadline(DEADLINE), name, "kek".into())),
            tokens: Arc::new(modules),
            keepers: world.keepers.clone(),
            couriers: Couriers::default(),
            agents: Vec::new(),
            addresses: Default::default(),
        };
        // No hosted key stays opened: each signature asks the token.
        let limits = Limits { opened_key_lifetime: Duration::ZERO, ..Limits::default() };
        let custody = Arc::new(assemble(parts, world.clock.clone(), &limits).await.unwrap());
        let caller = |uri: &'static str, verb| {
            let custody = custody.clone();
            async move {
                let caller = custody.authenticate(&super::world::shown(uri, None)).await.unwrap();
                custody.with_account(&caller, verb).await.unwrap()
            }
        };
        let (operator, bank) = caller("keyward://operator/ops", Needs::TokenLink).await;
        let (app, shop) = caller("keyward://app/pay", Needs::KeyCreate).await;
        let accounts = [bank, shop];
        let (made, signed) = (0, 0);
        let mut desk =
            Self { world, custody, module, store, operator, app, accounts, made, signed, _folder: folder };
        let label = desk.fresh_key().await;
        desk.until_whole(Verb::Link, &label, "linked", "at first").await;
        desk.until_whole(Verb::Create, "", "hosted", "at first").await;
        desk
    }

    /// The label of a key in the token that is bound to nothing yet.
    async fn fresh_key(&mut self) -> String {
        self.made += 1;
        let label = format!("key-{}", self.made);
        self.module.generate_key(&TokenName::new(TOKEN), KeyKind::P256, &label).await.unwrap();
        label
    }

    /// Why a link is refused, once the token answers in time.
    async fn link_refused<'a>(&self, link: impl Fn() -> Link<'a>) -> Code {
        let began = Instant::now();
        loop {
            match super::world::code(self.custody.link_key(&self.operator, link()).await) {
                Code::TokenUnavailable if began.elapsed() < RECOVERY => {}
                code => return code,
            }
        }
    }

    async fn create(&self, alias: &str) -> Result<(), Failure> {
        self.custody.create_key(&self.app, alias, "ecdsa-secp256k1", &[]).await.map(|_| ())
    }

    /// One verb on the key of that alias; `label` names a key of the token for those that bind one.
    async fn run(&self, verb: Verb, label: &str, alias: &str) -> Result<usize, Failure> {
        let sign = |caller| async move {
            let signed = self.custody.sign(caller, alias, (&Input::Message(b"pay 5"), unsaid()), &[]).await?;
            check(&signed, b"pay 5");
            Ok(1)
        };
        match verb {
            Verb::SignLinked => sign(&self.operator).await,
            Verb::SignHosted => sign(&self.app).await,
            Verb::Link => self.custody.link_key(&self.operator, from_token(label, alias)).await.map(|_| 0),
            Verb::Create => self.create(alias).await.map(|()| 0),
            Verb::RotateLinked => {
                let to = To::Token(from_token(label, ""));
                self.custody.rotate_key(&self.operator, "linked", to, &[]).await.map(|_| 0)
            }
            Verb::RotateHosted => {
                self.custody.rotate_key(&self.app, "hosted", To::Made, &[]).await.map(|_| 0)
            }
        }
    }

    /// Every key of both callers, all versions.
    async fn keys(&self) -> usize {
        let mut count = 0;
        for account in self.accounts {
            count += self.custody.store.keys(account.0).await.unwrap().len();
        }
        count
    }

    async fn meet(&mut self, faults: &[&str], verb: Verb) {
        let at = format!("{verb:?} with {faults:?}");
        let label = match verb {
            Verb::Link | Verb::RotateLinked => self.fresh_key().await,
            _ => String::new(),
        };
        let alias = match verb {
            Verb::Link | Verb::Create => format!("k{}-{}", self.made, self.signed + self.keys().await),
            Verb::SignLinked | Verb::RotateLinked => "linked".to_owned(),
            Verb::SignHosted | Verb::RotateHosted => "hosted".to_owned(),
        };
        let keys = self.keys().await;
        self.set(faults);
        let began = Instant::now();
        let met = self.run(verb, &label, &alias).await;
        assert!(began.elapsed() < BOUND, "{at} took {:?}", began.elapsed());
        let binds = usize::from(!matches!(verb, Verb::SignLinked | Verb::SignHosted));
        let done = match met {
            Ok(signed) => {
                self.signed += signed;
                assert_eq!(self.keys().await, keys + binds, "{at}: done");
                true
            }
            Err(failure) => {
                let typed = [
                    Code::TokenUnavailable,
                    Code::TokenMissing,
                    Code::SignatureInvalid,
                    Code::Internal, // a hosted key whose envelope was garbled: no fault of the caller
                ];
                assert!(typed.contains(&failure.code), "{at}: {failure:?}");
                assert_eq!(self.keys().await, keys, "{at}: refused, and left a key");
                false
            }
        };
        // A fault that stays is met: else nobody read the control file.
        let stays = |fault: &&str| {
            let always = "error 0 CKR_DEVICE_ERROR on use always";
            *fault == "pull 0"
                || fault.starts_with("latency")
                || fault.starts_with("crash")
                || *fault == always
        };
        assert!(!(done && faults.iter().any(stays)), "{at}: the fault was not met");
        self.set(&[]);
        // The same again, without a restart; what is done is not done twice.
        if !(done && binds == 1) {
            self.until_whole(verb, &label, &alias, &at).await;
        }
        assert_eq!(self.keys().await, keys + binds, "{at}: keys at the end");
        let used = match verb {
            Verb::Link | Verb::SignLinked | Verb::RotateLinked => Verb::SignLinked,
            Verb::Create | Verb::SignHosted | Verb::RotateHosted => Verb::SignHosted,
        };
        self.until_whole(used, "", &alias, &format!("{at}, then used")).await;
        while self.custody.record_releases().await.unwrap() > 0 {}
        assert_eq!(self.world.signatures(), self.signed, "{at}: releases on the ledger");
    }

    /// The verb without faults, and without a restart. For a while it may still be told that the token is not there:
    /// a child whose module hung takes what comes until it is ended.
    async fn until_whole(&mut self, verb: Verb, label: &str, alias: &str, at: &str) {
        let began = Instant::now();
        loop {
            match self.run(verb, label, alias).await {
                Ok(signed) => {
                    self.signed += signed;
                    return;
                }
                Err(failure) => {
                    let again = [Code::TokenUnavailable, Code::ServiceBusy];
                    assert!(again.contains(&failure.code), "{at}, then whole: {failure:?}");
                    assert!(began.elapsed() < RECOVERY, "{at}: {failure:?}");
                }
            }
        }
    }

    fn set(&self, faults: &[&str]) {
        let (file, draft) = (self.store.join("faults"), self.store.join("faults.new"));
        if faults.is_empty() {
            let _none = fs::remove_file(file);
            return;
        }
        fs::write(&draft, format!("hsm-sim faults 1\n{}\n", faults.join("\n"))).unwrap();
        fs::rename(draft, file).unwrap();
    }
}

fn from_token<'a>(key_label: &'a str, alias: &'a str) -> Link<'a> {
    let pin = Zeroizing::new(PIN.as_bytes().to_vec());
    Link { token: TOKEN, key_label, id: &[], scheme: "ecdsa-p256", alias, agent: "", pin, mark: &[] }
}

/// The example of the token room that hosts a module; it lies beside the tests.
fn host(store: &Path) -> HostProgram {
    let program = std::env::current_exe().unwrap().ancestors().nth(2).unwrap().join("examples/host");
    assert!(program.is_file(), "`{}` was not built", program.display());
    HostProgram {
        environment: vec![("HSM_SIM_DIR".into(), store.into())],
        patience: DEADLINE,
        ..HostProgram::new(program, Vec::new())
    }
}

async fn each_fault_during(verb: Verb) {
    let mut desk = Desk::new().await;
    for faults in FAULTS {
        desk.meet(faults, verb).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_fault_during_link_leaves_no_half_made_key() {
    each_fault_during(Verb::Link).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_fault_during_create_leaves_no_half_made_key() {
    each_fault_during(Verb::Create).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_fault_during_a_signature_of_a_linked_key_releases_none_twice() {
    each_fault_during(Verb::SignLinked).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_fault_during_a_signature_of_a_hosted_key_releases_none_twice() {
    each_fault_during(Verb::SignHosted).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_fault_during_the_rotation_of_a_linked_key_leaves_one_newest_version() {
    each_fault_during(Verb::RotateLinked).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_fault_during_the_rotation_of_a_hosted_key_leaves_one_newest_version() {
    each_fault_during(Verb::RotateHosted).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_link_with_the_right_pin_leaves_no_login_behind() {
    let mut desk = Desk::new().await;
    // A second token, which nobody uses: linking a key that is not there fails after the login.
    let (other, officer) = (Pin::new("22222222".into()).unwrap(), Pin::new("33333333".into()).unwrap());
    desk.module.init_token(officer, other, "spare").await.unwrap();
    let label = desk.fresh_key().await;
    let pin = || Zeroizing::new(b"22222222".to_vec());
    let link = || Link { token: "spare", pin: pin(), ..from_token(&label, "spare-key") };
    assert_eq!(desk.link_refused(link).await, Code::TokenKeyMissing);
    let logged_in = |label: &str, tokens: &[keyward_token::TokenInfo]| {
        tokens.iter().find(|token| token.label == label).unwrap().logged_in
    };
    let tokens = desk.module.tokens().await.unwrap();
    assert!(!logged_in("spare", &tokens) && logged_in(TOKEN, &tokens));
    // A refused link to the token that is needed anyway takes no login away.
    assert_eq!(desk.link_refused(|| from_token("nothing", "x")).await, Code::TokenKeyMissing);
    desk.until_whole(Verb::SignLinked, "", "linked", "after refused links").await;
}
