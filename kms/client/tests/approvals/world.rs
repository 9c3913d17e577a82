//! A custody service in front of a toy ledger, honest, or lying in the one point that a test says.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use keyward_client::approvals::{
    About, ApprovalError, ApprovalTerms, Approved, Group, Party, RuleName, ShownCase, Signing, Voice,
};
use keyward_client::{Client, Order};
use keyward_crypto::SigningKey;
use keyward_domain::ApprovalRuleName;
use keyward_domain::scheme::Scheme;
use keyward_ledger_core::entry::Mode;
use keyward_ledger_core::hash::{Hash, sha256};
use keyward_ledger_core::state::layout::{KeyState, KeyStatus, key_key};
use keyward_proto::custody::{
    ApprovalAbout, ApprovalEntryResponse, ListApprovalRulesResponse, PublishPolicyResponse,
    ShowApprovalResponse, ShowPolicyResponse, ShowRiskResponse, SignResponse,
};
use tonic::Status;

use crate::approvals::face;
use crate::toy::{self, Chain};
pub(crate) use crate::toy::{ANNA, BORIS, CLARA, login};

pub(crate) const DORA: Hash = [0x44; 32];
pub(crate) const MESSAGE: &[u8] = b"pay 12.50 to clara";
pub(crate) const LIVE_MS: u64 = 60_000;

type Lie<T> = toy::Lie<World, T>;

/// In what the service lies; in nothing by default.
#[derive(Default)]
pub(crate) struct Lies {
    pub(crate) show: Lie<ShowApprovalResponse>,
    pub(crate) rules: Lie<ListApprovalRulesResponse>,
    pub(crate) recorded: Lie<Result<ApprovalEntryResponse, Status>>,
    pub(crate) signed: Lie<SignResponse>,
    pub(crate) policy: Lie<ShowPolicyResponse>,
    pub(crate) risk: Lie<ShowRiskResponse>,
    pub(crate) published: Lie<PublishPolicyResponse>,
    /// Entries are changed on the way.
    pub(crate) entry: Lie<Vec<u8>>,
    /// It says that it took a case back, and hands nothing in.
    pub(crate) here: bool,
}

pub(crate) struct World {
    pub(crate) chain: Mutex<Chain>,
    pub(crate) lies: Mutex<Lies>,
    /// What was handed in, in order.
    pub(crate) handed_in: Mutex<Vec<Vec<u8>>>,
    /// What cases are about, by case.
    pub(crate) mail: Mutex<HashMap<Hash, ApprovalAbout>>,
    /// Texts of policy sets, by their hash.
    pub(crate) texts: Mutex<HashMap<Hash, String>>,
    address: String,
}

/// Anna's hosted key.
pub(crate) fn hosted() -> SigningKey {
    SigningKey::from_secret(Scheme::EcdsaP256, &[0x14; 32]).unwrap()
}

pub(crate) fn rule() -> RuleName {
    RuleName { owner: DORA, name: ApprovalRuleName::parse("treasury").unwrap().id() }
}

/// So many of Boris and Clara.
pub(crate) fn terms(needed: u8) -> ApprovalTerms {
    let members = [BORIS, CLARA].map(Party::Credential).to_vec();
    ApprovalTerms { live_ms_max: LIVE_MS, groups: vec![Group { role: "treasury".into(), needed, members }] }
}

pub(crate) fn signing() -> Signing {
    Signing {
        key_id: hosted().public_key().id(),
        payload: MESSAGE.to_vec(),
        format: String::new(),
        payload_hash: sha256(&[MESSAGE]),
        opening: [7; 32],
    }
}

impl World {
    pub(crate) async fn start() -> Arc<Self> {
        let mut chain = Chain::new(0);
        toy::open_accounts(&mut chain, &[ANNA, BORIS, CLARA, DORA]);
        let key = KeyState {
            account: ANNA,
            mode: Mode::Hosted,
            scheme: Scheme::EcdsaP256,
            status: KeyStatus::Active,
            height: 1,
            version: 1,
        };
        chain.state.insert(&key_key(&hosted().public_key().id()), &key.encode());
        let (incoming, address) = toy::listen();
        let (chain, lies, handed_in) = (Mutex::new(chain), Mutex::default(), Mutex::default());
        let (mail, texts) = (Mutex::default(), Mutex::default());
        let world = Arc::new(Self { chain, lies, handed_in, mail, texts, address });
        toy::serve(face::router(Arc::clone(&world)), incoming);
        world
    }

    /// Dora has defined the rule, and Anna has asked.
    pub(crate) async fn asked(needed: u8) -> (Arc<Self>, Hash) {
        let world = Self::start().await;
        let dora = world.client(DORA).await;
        dora.define_approval_rule(&login(DORA), &rule().name, terms(needed)).await.unwrap();
        let anna = world.client(ANNA).await;
        let about = About::Signing(signing());
        let (_, case) =
            anna.ask_approval(Voice::Account(&login(ANNA)), &rule(), &about, LIVE_MS).await.unwrap();
        (world, case)
    }

    /// The ledger's time goes on. This side's clock does not: it stays behind, which no proof minds.
    pub(crate) fn pass(&self, ms: u64) {
        let mut chain = self.chain.lock().unwrap();
        chain.time_ms += ms;
        chain.record(&keyward_ledger_core::entry::Entry::Note(vec![1]).encode());
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

    pub(crate) async fn see(&self, account: Hash, case: &Hash) -> Result<ShownCase, ApprovalError> {
        self.client(account).await.approval_case(case).await
    }

    pub(crate) async fn give(&self, account: Hash, case: &Hash) -> Result<(), ApprovalError> {
        let shown = self.see(account, case).await?;
        let client = self.client(account).await;
        client.give_approval(Voice::Account(&login(account)), &shown, None).await.map(drop)
    }

    /// Anna has her key sign what the case is about.
    pub(crate) async fn sign(&self, case: &Hash) -> Result<Approved, ApprovalError> {
        let anna = self.client(ANNA).await;
        let shown = anna.approval_case(case).await?;
        let use_entry = anna.use_approval(Voice::Account(&login(ANNA)), &shown).await?;
        anna.sign_approved(&Order::approved(&signing())?, &shown, &use_entry).await
    }

    pub(crate) fn handed_in(&self) -> usize {
        self.handed_in.lock().unwrap().len()
    }
}
