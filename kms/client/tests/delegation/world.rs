//! A custody service in front of a toy ledger, honest, or lying in the one point that a test says.

use std::sync::{Arc, Mutex};

use keyward_client::delegation::{DelegationTerms, Done, KeyId, Party, Request, RuleName, Scope, Window};
use keyward_client::{Client, Password};
use keyward_crypto::{OpaqueServer, SigningKey};
use keyward_domain::DelegationName;
use keyward_domain::scheme::Scheme;
use keyward_ledger_core::change::Configuration;
use keyward_ledger_core::entry::kind;
use keyward_ledger_core::hash::Hash;
use keyward_ledger_core::state::layout::{CredentialState, credential_key};
use keyward_ledger_core::state::member::config_key;
use keyward_proto::custody::{
    ActResponse, BeginRecoveryResponse, DelegatePoliciesResponse, DelegationEntryResponse,
    ShowDelegationsResponse,
};
use tonic::Status;

use crate::delegation::face;
use crate::toy::{self, Chain};
pub(crate) use crate::toy::{ANNA, BORIS, CLARA, credential, login};

pub(crate) const DELAY_MS: u64 = 60_000;

type Lie<T> = toy::Lie<World, T>;

/// In what the service lies; in nothing by default.
#[derive(Default)]
pub(crate) struct Lies {
    pub(crate) show: Lie<ShowDelegationsResponse>,
    pub(crate) recorded: Lie<Result<DelegationEntryResponse, Status>>,
    pub(crate) begun: Lie<BeginRecoveryResponse>,
    pub(crate) acted: Lie<ActResponse>,
    pub(crate) policies: Lie<DelegatePoliciesResponse>,
    /// Entries are changed on the way, or swallowed.
    pub(crate) entry: Lie<Option<Vec<u8>>>,
}

pub(crate) struct World {
    pub(crate) chain: Mutex<Chain>,
    pub(crate) lies: Mutex<Lies>,
    pub(crate) opaque: OpaqueServer,
    /// What was handed in, in order.
    pub(crate) handed_in: Mutex<Vec<Vec<u8>>>,
    /// What every opening brought to bind: name and upload.
    pub(crate) logins: Mutex<Vec<(Vec<u8>, Vec<u8>)>>,
    address: String,
}

/// The hosted key of an account.
pub(crate) fn hosted(account: &Hash) -> SigningKey {
    SigningKey::from_secret(Scheme::EcdsaP256, &account.map(|byte| byte ^ 0x55)).unwrap()
}

pub(crate) fn main_name() -> Hash {
    DelegationName::parse("main").unwrap().id()
}

pub(crate) fn rule(owner: Hash) -> RuleName {
    RuleName { owner, name: main_name() }
}

pub(crate) fn rule_id(owner: Hash) -> Hash {
    rule(owner).id(kind::APPOINT_DELEGATES)
}

/// These may take the account back, and sign three times a day for 100 in all.
pub(crate) fn terms(delegates: &[Hash], needed: u8) -> DelegationTerms {
    DelegationTerms {
        scope: Scope::BOTH,
        delay_ms: DELAY_MS,
        open_ms: DELAY_MS,
        needed,
        delegates: delegates.iter().copied().map(Party::Credential).collect(),
        vetoers: Vec::new(),
        judges: None,
        policy: face::policy().hash,
        windows: vec![Window { length_ms: 86_400_000, count_max: 3, amount_max: 100 }],
    }
}

pub(crate) fn password(text: &str) -> Password {
    Password::new(text.to_owned()).unwrap()
}

impl World {
    pub(crate) async fn start() -> Arc<Self> {
        let mut chain = Chain::new(0);
        let configuration = Configuration { recovery_delay_min_ms: DELAY_MS, ..Configuration::initial(1000) };
        chain.state.insert(&config_key(), &configuration.encode());
        toy::open_accounts(&mut chain, &[ANNA, BORIS, CLARA]);
        for account in [ANNA, BORIS, CLARA] {
            face::bind(&mut chain, &account);
        }
        let (incoming, address) = toy::listen();
        let world = Arc::new(Self {
            chain: Mutex::new(chain),
            lies: Mutex::default(),
            opaque: OpaqueServer::generate().unwrap(),
            handed_in: Mutex::default(),
            logins: Mutex::default(),
            address,
        });
        toy::serve(face::router(Arc::clone(&world)), incoming);
        world
    }

    /// Anna has appointed these, and it holds.
    pub(crate) async fn trusting(delegates: &[Hash], needed: u8) -> Arc<Self> {
        let world = Self::start().await;
        let anna = world.client(ANNA).await;
        anna.appoint_delegates(&login(ANNA), &main_name(), terms(delegates, needed)).await.unwrap();
        world.pass(DELAY_MS);
        world
    }

    /// The ledger's time goes on. This side's clock does not: it stays behind, which no proof minds.
    pub(crate) fn pass(&self, ms: u64) {
        self.chain.lock().unwrap().time_ms += ms;
    }

    /// An account's client that verifies, in its session.
    pub(crate) async fn client(&self, account: Hash) -> Client {
        let trust = self.chain.lock().unwrap().trust_file();
        self.untrusting(account).await.with_trust(&trust).unwrap()
    }

    pub(crate) async fn untrusting(&self, account: Hash) -> Client {
        toy::client(&self.address, account).await
    }

    pub(crate) fn lie(&self, lies: Lies) {
        *self.lies.lock().unwrap() = lies;
    }

    pub(crate) fn snapshot(&self) -> Chain {
        self.chain.lock().unwrap().clone()
    }

    /// A request that Anna makes, who has lost everything.
    pub(crate) async fn lost(&self) -> Request {
        let client = self.client(BORIS).await;
        client.begin_recovery("anna", &password("new"), &main_name(), Some(ANNA)).await.unwrap()
    }

    /// A delegate signs, having heard the fingerprint.
    pub(crate) async fn sign(&self, account: Hash, request: &mut Request) {
        let heard = request.fingerprint();
        self.client(account).await.sign_request(&login(account), request, &heard).await.unwrap();
    }

    /// Boris and Clara have opened a recovery.
    pub(crate) async fn opened(&self) -> (Request, Done) {
        let mut request = self.lost().await;
        for account in [BORIS, CLARA] {
            self.sign(account, &mut request).await;
        }
        let done = self.client(CLARA).await.send_request(&request).await.unwrap();
        (request, done)
    }

    pub(crate) fn present_credential(&self, account: &Hash) -> [u8; 32] {
        let chain = self.chain.lock().unwrap();
        CredentialState::decode(chain.state.get(&credential_key(account)).unwrap()).unwrap().public_key
    }

    pub(crate) fn handed_in(&self) -> usize {
        self.handed_in.lock().unwrap().len()
    }
}

pub(crate) fn key_id(account: &Hash) -> KeyId {
    hosted(account).public_key().id()
}
