//! One Keyward for the stories of the custody service, and the proof that a refusal changed nothing: before and after
//! it the ledger's log, every key, every token, every watched account and the list of unreleased intents are the same.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
    future::Future,
    path::PathBuf,
    sync::OnceLock,
};

use keyward_client::{Client, ClientError, Connection, Identity, KeySearch, Link, Login, Password, Refusal};
use keyward_crypto::Stretch;
use keyward_domain::{Code, scheme::Scheme};
use keyward_ledger_core::{
    entry::{Act, Authored, Entry},
    hash::Hash,
};
use keyward_proto::custody as proto;
use keyward_store::Database;
use tokio::sync::{Mutex, MutexGuard};
use tonic::{Response, Status};
use zeroize::Zeroizing;

use crate::support::{keyward::Keyward, until};

/// Stories take turns, so that each knows who wrote what.
static TURN: Mutex<()> = Mutex::const_new(());
/// What was read of the log so far.
static TALLY: Mutex<Tally> =
    Mutex::const_new(Tally { leaf: 0, owed: BTreeSet::new(), closed: BTreeSet::new(), fresh: Vec::new() });

const ROLES: [&str; 4] = ["app", "operator", "officer", "auditor"];
pub const TOKEN: &str = "keyward-local";

/// A Keyward of the custody stories alone: nobody else writes to its ledger.
pub fn keyward() -> &'static Keyward {
    static OWN: OnceLock<Keyward> = OnceLock::new();
    OWN.get_or_init(Keyward::start)
}

struct Tally {
    leaf: u64,
    /// Accepted intents whose release is not recorded yet.
    owed: BTreeSet<Hash>,
    /// Closed accounts whose keys are not destroyed yet: the service ends them by itself.
    closed: BTreeSet<Hash>,
    fresh: Vec<Recorded>,
}

/// A record that became final: what it says and what the ledger said to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    pub entry: &'static str,
    pub outcome: String,
}

/// What may not change when something is refused.
struct Picture {
    log_size: u64,
    keys: BTreeMap<String, Vec<proto::Key>>,
    accounts: BTreeMap<String, Result<proto::Account, String>>,
    tokens: Vec<proto::Token>,
    unreleased: BTreeSet<Hash>,
}

impl Picture {
    fn is(&self, before: &Self, code: Code) {
        assert_eq!(self.log_size, before.log_size, "`{code}` was recorded");
        assert_eq!(self.unreleased, before.unreleased, "`{code}` left an intent");
        assert_eq!(self.accounts, before.accounts, "`{code}` changed an account");
        assert_eq!(self.tokens, before.tokens, "`{code}` changed a token");
        assert_eq!(self.keys, before.keys, "`{code}` changed a key");
    }
}

/// A story's turn with the running service.
pub struct World {
    pub app: Client,
    pub operator: Client,
    pub officer: Client,
    pub auditor: Client,
    ledger: keyward_ledger_client::Client,
    watched: BTreeMap<String, Client>,
    _turn: MutexGuard<'static, ()>,
}

/// A person within a live session, in the app's connection.
pub struct Person {
    pub account: [u8; 32],
    pub client: Client,
    pub token: Vec<u8>,
    pub login: Login,
}

impl Person {
    /// Closes the account.
    pub async fn close(&self) -> Result<Vec<u8>, ClientError> {
        self.client.close_account(&self.login).await.map(|closed| closed.receipt)
    }
}

/// The PIN of the shared token.
pub fn pin() -> String {
    let text = std::fs::read_to_string(keyward().dir().join("token.pin")).unwrap();
    text.lines().find(|line| !line.starts_with('#')).unwrap().trim().to_owned()
}

pub fn password() -> Password {
    Password::new("correct horse battery staple".to_owned()).unwrap()
}

impl World {
    /// Waits for the turn; the log is quiet then.
    pub async fn enter() -> Self {
        let turn = TURN.lock().await;
        let keyward = tokio::task::spawn_blocking(keyward).await.unwrap();
        let [app, operator, officer, auditor] = ROLES.map(|role| keyward.client(role));
        let world = Self {
            app: app.await.with_stretch(Stretch::WeakForTests),
            operator: operator.await.with_stretch(Stretch::WeakForTests),
            officer: officer.await,
            auditor: auditor.await,
            ledger: keyward.ledger(&keyward.nodes()).await,
            watched: BTreeMap::new(),
            _turn: turn,
        };
        world.open_accounts().await;
        world.news().await;
        world
    }

    /// The accounts of app and operator are opened by their first keys: no story is the first.
    async fn open_accounts(&self) {
        if self.app.list_keys().await.unwrap().is_empty() {
            self.app.create_app_key("first", Scheme::Ed25519).await.unwrap();
        }
        if self.operator.list_keys().await.unwrap().iter().all(|key| key.mode != "linked") {
            let link = Link {
                token: TOKEN.into(),
                key_label: "sample-rsa-2048".into(),
                id: Vec::new(),
                scheme: Scheme::RsaPss,
                alias: "first".into(),
                agent: String::new(),
                pin: Zeroizing::new(pin().into_bytes()),
            };
            self.operator.link(link).await.unwrap();
        }
    }

    pub fn keyward(&self) -> &'static Keyward {
        keyward()
    }

    /// The authority's certificate, and an identity of a role as TLS takes it.
    pub async fn connect(
        &self,
        identity: Option<(String, Zeroizing<String>)>,
    ) -> Result<Client, ClientError> {
        let (ca_pem, ..) = keyward().identity("app");
        let identity = identity.map(|(certificate_pem, key_pem)| Identity { certificate_pem, key_pem });
        let connection = Connection { address: keyward().service(), ca_pem, identity };
        let trust = std::fs::read(keyward().trust()).unwrap();
        Client::connect(&connection).await?.with_stretch(Stretch::WeakForTests).with_trust(&trust)
    }

    /// Nobody: a connection without a certificate.
    pub async fn nobody(&self) -> Client {
        self.connect(None).await.unwrap()
    }

    /// Registers a person and logs in; from now on the account is watched, too.
    pub async fn person(&mut self, name: &str) -> Person {
        let registered = self.app.register(name, &password()).await.unwrap();
        let person = self.log_in(name).await;
        assert_eq!(person.account, registered.account);
        self.watched.insert(name.to_owned(), person.client.clone());
        person
    }

    /// A session of a registered person.
    pub async fn log_in(&self, name: &str) -> Person {
        let login = self.app.login(name, &password()).await.unwrap();
        let session = &login.session;
        let client = self.app.clone().with_session(&session.token).unwrap().with_account(session.account);
        Person { account: session.account, client, token: session.token.to_vec(), login }
    }

    /// The service's database, opened beside it: for rows that only time would bring about.
    pub async fn database(&self) -> Database {
        Database::sqlite(&keyward().dir().join("service/keyward.sqlite")).await.unwrap()
    }

    pub async fn height(&self) -> u64 {
        self.ledger.status().await.unwrap().height
    }

    /// A call that must be refused with this code, and change nothing.
    pub async fn refused<T: Debug, E: Said>(
        &self,
        code: Code,
        call: impl Future<Output = Result<T, E>>,
    ) -> Refusal {
        let before = self.picture().await;
        let refusal = match call.await {
            Err(error) => error.said(),
            Ok(answer) => panic!("`{code}` was expected, it was done: {answer:?}"),
        };
        check(code, &refusal);
        self.picture().await.is(&before, code);
        refusal
    }

    /// The same on the command line, with its exit code.
    pub async fn refused_on_the_command_line(&self, code: Code, exit: i32, role: &str, arguments: &[&str]) {
        let before = self.picture().await;
        let arguments = [&["--output", "json"], arguments].concat();
        let answer = tokio::task::block_in_place(|| keyward().run_as(role, &arguments));
        assert_eq!((answer.code, answer.refusal().as_str()), (Some(exit), code.name()), "{answer:?}");
        assert_eq!(answer.json()["error"]["next"], code.remedy(), "{answer:?}");
        assert!(answer.err.contains("next: "), "{answer:?}");
        self.picture().await.is(&before, code);
    }

    /// What was recorded since this was last asked, when nothing more is under way.
    pub async fn news(&self) -> Vec<Recorded> {
        self.settle().await;
        std::mem::take(&mut TALLY.lock().await.fresh)
    }

    /// The intents that the service says were never released.
    async fn unreleased(&self) -> BTreeSet<Hash> {
        let status = self.operator.status().await.unwrap();
        status.unreleased.iter().map(|intent| intent.intent_id.as_ref().try_into().unwrap()).collect()
    }

    async fn log_size(&self) -> u64 {
        let statuses = self.ledger.statuses().await;
        statuses.iter().filter_map(|(_, status)| Some(status.as_ref().ok()?.log_size)).max().unwrap()
    }

    async fn all_destroyed(&self, account: Hash) -> bool {
        let all = KeySearch { account: Some(account), all_versions: true, ..KeySearch::default() };
        self.officer.search_keys(&all).await.unwrap().iter().all(|key| key.state == "destroyed")
    }

    /// Waits until every accepted intent is released, or told as unreleased, and the keys of closed accounts are gone.
    async fn settle(&self) {
        until("every intent's release to be recorded", async || {
            let mut tally = TALLY.lock().await;
            for leaf in tally.leaf..self.log_size().await {
                let recorded = match self.ledger.record(leaf).await {
                    Ok(recorded) => recorded,
                    // Another validator is a block behind the one that told the size.
                    Err(error) if error.to_string().contains("RECORD_UNKNOWN") => return false,
                    Err(error) => panic!("{error}"),
                };
                let entry = Entry::decode(&recorded.record().entry).unwrap();
                match &entry {
                    Entry::Intent(intent) if recorded.outcome.is_accepted() => {
                        tally.owed.insert(intent.id);
                    }
                    Entry::Release(release) if recorded.outcome.is_accepted() => {
                        tally.owed.remove(&release.intent_id);
                    }
                    Entry::Authored(Authored { act: Act::CloseAccount { account }, .. })
                        if recorded.outcome.is_accepted() =>
                    {
                        tally.closed.insert(*account);
                    }
                    _ => {}
                }
                let outcome = recorded.outcome.name().to_owned();
                tally.fresh.push(Recorded { entry: entry.name(), outcome });
                tally.leaf = leaf + 1;
            }
            for account in tally.closed.clone() {
                if !self.all_destroyed(account).await {
                    return false;
                }
                tally.closed.remove(&account);
            }
            tally.owed.is_empty() || tally.owed.is_subset(&self.unreleased().await)
        })
        .await;
    }

    async fn picture(&self) -> Picture {
        self.settle().await;
        let mut keys = BTreeMap::new();
        let roles = [&self.app, &self.operator, &self.officer, &self.auditor];
        for (name, client) in ROLES.iter().zip(roles) {
            keys.insert((*name).to_owned(), client.list_keys().await.unwrap());
        }
        let mut accounts = BTreeMap::new();
        for (name, client) in &self.watched {
            accounts.insert(
                name.clone(),
                client.show_account().await.map_err(|error| format!("{:?}", error.code())),
            );
            keys.insert(format!("user/{name}"), client.list_keys().await.unwrap_or_default());
        }
        Picture {
            keys,
            accounts,
            tokens: self.operator.list_tokens().await.unwrap(),
            unreleased: self.unreleased().await,
            log_size: self.log_size().await,
        }
    }

    /// A file of this story that only its owner reads.
    pub fn secret_file(&self, name: &str, text: &str) -> PathBuf {
        let path = PathBuf::from(keyward().write(name, text));
        let owner_only = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&path, owner_only).unwrap();
        path
    }
}

/// Whatever carries a refusal of the service.
pub trait Said: Debug {
    fn said(self) -> Refusal;
}

impl Said for ClientError {
    fn said(self) -> Refusal {
        match self {
            Self::Refused(refusal) => refusal,
            other => panic!("no refusal of the service: {other:?}"),
        }
    }
}

impl Said for Status {
    fn said(self) -> Refusal {
        let trailer = |name: &str| {
            let value = self.metadata().get(name).unwrap_or_else(|| panic!("no `{name}` in {self:?}"));
            value.to_str().unwrap().to_owned()
        };
        let code_name = trailer("keyward-code");
        Refusal {
            status: i32::from(self.code()),
            code: Code::from_name(&code_name),
            code_name,
            message: self.message().to_owned(),
            request_id: trailer("keyward-request-id"),
            retry: trailer("keyward-retry").parse().unwrap(),
            retry_after_ms: self
                .metadata()
                .get("keyward-retry-after-ms")
                .map(|wait_ms| wait_ms.to_str().unwrap().parse().unwrap()),
        }
    }
}

/// A refusal in full: the code's own status and retry flag, what to do next, and a name for the request.
pub fn check(code: Code, refusal: &Refusal) {
    assert_eq!(refusal.code_name, code.name(), "{refusal:?}");
    assert_eq!(refusal.status, code.canonical().number(), "{refusal:?}");
    assert_eq!(refusal.retry, code.retry(), "{refusal:?}");
    assert_eq!(refusal.retry_after_ms, code.retry_after_ms(), "{refusal:?}");
    let what = refusal.message.strip_suffix(code.remedy()).expect("it says what to do next");
    assert!(what.len() > 5 && what.ends_with(": "), "it says what happened: {refusal:?}");
    let id = &refusal.request_id;
    assert!(id.len() == 16 && id.chars().all(|digit| digit.is_ascii_hexdigit()), "{refusal:?}");
}

/// A refusal inside a batch or stream.
pub fn check_inside(code: Code, refusal: &proto::Refusal) {
    let proto::Refusal { status, code: name, message, retry, retry_after_ms } = refusal;
    assert_eq!((name.as_str(), *status, *retry), (code.name(), code.canonical().number(), code.retry()));
    assert_eq!(*retry_after_ms, code.retry_after_ms().unwrap_or_default());
    assert!(message.ends_with(code.remedy()), "{message}");
}

/// The message of an answer.
pub fn inner<T>(answer: Result<Response<T>, Status>) -> Result<T, Status> {
    answer.map(Response::into_inner)
}

/// `entry` accepted.
pub fn accepted(entries: &[&'static str]) -> Vec<Recorded> {
    entries.iter().map(|entry| Recorded { entry, outcome: "ACCEPTED".into() }).collect()
}
