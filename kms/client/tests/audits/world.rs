//! A custody service that hosts Dora's addresses, in front of a toy ledger, honest, or lying in the one point that a test says.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use keyward_client::approvals::{About, ApprovalTerms, Group, Party, RuleName, Voice};
use keyward_client::audit::{AskedGrant, AuditError, AuditTerms, Grant, GrantKey, Opened, ShownGrant};
use keyward_client::{Client, DeviceKeys};
use keyward_crypto::unlinkable::AddressRoot;
use keyward_domain::ApprovalRuleName;
use keyward_ledger_core::entry::{Custody, Entry, kind, tenant_id};
use keyward_ledger_core::hash::Hash;
use keyward_ledger_core::state::addresses::{AddressesState, addresses_key};
use keyward_proto::custody::{
    ApprovalAbout, AuditEntryResponse, AuditTermsResponse, OpenGrantResponse, ShowApprovalResponse,
    ShowGrantResponse,
};
use tempfile::TempDir;

use crate::audits::face;
use crate::toy::{self, Chain};
pub(crate) use crate::toy::{ANNA, BORIS, CLARA, login};

/// Whose addresses are opened, and whose rule approves.
pub(crate) const DORA: Hash = [0x44; 32];
pub(crate) const PURPOSE: &str = "case 17: where did the money go?";
pub(crate) const EPOCH_MS: u64 = 1_000;
const LIVE_MS: u64 = 60_000;

type Lie<T> = toy::Lie<World, T>;

/// In what the service lies; in nothing by default.
#[derive(Default)]
pub(crate) struct Lies {
    pub(crate) terms: Lie<AuditTermsResponse>,
    pub(crate) grant: Lie<ShowGrantResponse>,
    pub(crate) recorded: Lie<AuditEntryResponse>,
    pub(crate) case: Lie<ShowApprovalResponse>,
    /// What is sealed to whom: what goes into the package, and the key that it is sealed to.
    pub(crate) sealed: Lie<(keyward_crypto::unlinkable::Delivery, [u8; 32])>,
    pub(crate) opened: Lie<OpenGrantResponse>,
}

pub(crate) struct World {
    pub(crate) chain: Mutex<Chain>,
    pub(crate) lies: Mutex<Lies>,
    pub(crate) handed_in: Mutex<usize>,
    /// What cases are about, by case.
    pub(crate) mail: Mutex<HashMap<Hash, ApprovalAbout>>,
    pub(crate) purposes: Mutex<HashMap<Hash, String>>,
    /// Of Dora's addresses.
    pub(crate) root: AddressRoot,
    /// When Dora chose addresses.
    pub(crate) begun_ms: u64,
    folder: TempDir,
    address: String,
}

pub(crate) fn rule() -> RuleName {
    RuleName { owner: DORA, name: ApprovalRuleName::parse("grants").unwrap().id() }
}

impl World {
    /// Dora has addresses, and has defined the rule: Boris and Clara both.
    pub(crate) async fn start() -> Arc<Self> {
        let mut chain = Chain::new(0);
        toy::open_accounts(&mut chain, &[ANNA, BORIS, CLARA, DORA]);
        let begun_ms = chain.time_ms;
        let first = u32::try_from(begun_ms / EPOCH_MS).unwrap();
        let (tenant, custody, epoch_ms) = (tenant_id("bank"), Custody::Hosted, EPOCH_MS);
        let chosen =
            AddressesState { tenant, custody, epoch_ms, first, dealt: None, leaf: 0, closed_ms: None };
        chain.state.insert(&addresses_key(&DORA), &chosen.encode());
        let (incoming, address) = toy::listen();
        let world = Arc::new(Self {
            chain: Mutex::new(chain),
            lies: Mutex::default(),
            handed_in: Mutex::default(),
            mail: Mutex::default(),
            purposes: Mutex::default(),
            root: AddressRoot::generate().unwrap(),
            begun_ms,
            folder: tempfile::tempdir().unwrap(),
            address,
        });
        toy::serve(face::router(Arc::clone(&world)), incoming);
        let members = [BORIS, CLARA].map(Party::Credential).to_vec();
        let terms = ApprovalTerms {
            live_ms_max: LIVE_MS,
            groups: vec![Group { role: "supervisors".into(), needed: 2, members }],
        };
        let dora = world.client(DORA).await;
        dora.define_approval_rule(&login(DORA), &rule().name, terms).await.unwrap();
        world
    }

    /// The same with terms: two accounts, a minute, two minutes.
    pub(crate) async fn published() -> Arc<Self> {
        let world = Self::start().await;
        let dora = world.client(DORA).await;
        let shown = dora.show_audit_terms(Some("bank")).await.unwrap();
        let terms =
            AuditTerms { accounts_max: 2, span_ms_max: 60_000, live_ms_max: 120_000, kept_ms: 90_000 };
        let next = shown.next(terms, Some(rule().id(kind::DEFINE_APPROVAL))).unwrap();
        let voice = Voice::Account(&login(DORA));
        dora.publish_audit_terms(voice, (&next, shown.height), None).await.unwrap();
        world
    }

    /// The ledger's time goes on. This side's clock does not: it stays behind, which no proof minds.
    pub(crate) fn pass(&self, ms: u64) {
        let mut chain = self.chain.lock().unwrap();
        chain.time_ms += ms;
        chain.record(&Entry::Note(vec![1]).encode());
    }

    pub(crate) async fn client(&self, account: Hash) -> Client {
        let trust = self.chain.lock().unwrap().trust_file();
        toy::client(&self.address, account).await.with_trust(&trust).unwrap()
    }

    pub(crate) fn device(&self) -> DeviceKeys {
        let chain_id = self.chain.lock().unwrap().chain_id();
        DeviceKeys::open(self.folder.path(), chain_id, ANNA).unwrap()
    }

    pub(crate) fn lie(&self, lies: Lies) {
        *self.lies.lock().unwrap() = lies;
    }

    pub(crate) fn handed_in(&self) -> usize {
        *self.handed_in.lock().unwrap()
    }

    /// The epoch that was under way when Dora chose, and those after it.
    pub(crate) fn epoch(&self, after: u32) -> u32 {
        u32::try_from(self.begun_ms / EPOCH_MS).unwrap() + after
    }

    pub(crate) fn asked(&self) -> AskedGrant {
        let from_ms = self.begun_ms / EPOCH_MS * EPOCH_MS;
        AskedGrant {
            accounts: vec![DORA],
            from_ms,
            until_ms: from_ms + 20 * EPOCH_MS,
            expires_ms: self.begun_ms + 100_000,
            purpose: PURPOSE.to_owned(),
        }
    }

    pub(crate) async fn request(&self) -> Result<Grant, AuditError> {
        let anna = self.client(ANNA).await;
        let terms = anna.show_audit_terms(None).await?;
        let (_, grant) = anna.request_grant(&login(ANNA), &self.device(), (&terms, self.asked())).await?;
        Ok(grant)
    }

    /// A case about a grant, with so many approvals.
    pub(crate) async fn case(&self, grant: &Grant, approvals: usize) -> Hash {
        let about = About::Grant { grant: grant.clone(), purpose: PURPOSE.to_owned() };
        let anna = self.client(ANNA).await;
        let name = anna.approval_rule_name(&rule().id(kind::DEFINE_APPROVAL)).await.unwrap();
        let (_, case) =
            anna.ask_approval(Voice::Account(&login(ANNA)), &name, &about, LIVE_MS).await.unwrap();
        for who in [BORIS, CLARA].into_iter().take(approvals) {
            let client = self.client(who).await;
            let shown = client.approval_case(&case).await.unwrap();
            client.give_approval(Voice::Account(&login(who)), &shown, None).await.unwrap();
        }
        case
    }

    pub(crate) async fn issue(&self, grant: &Grant, case: Hash) -> Result<(), AuditError> {
        let anna = self.client(ANNA).await;
        let shown = anna.show_grant(&grant.id).await?;
        anna.issue_grant(&login(ANNA), &shown, case).await.map(drop)
    }

    /// A grant in force, and time enough for its first epochs to elapse.
    pub(crate) async fn issued() -> (Arc<Self>, Grant) {
        let world = Self::published().await;
        let grant = world.request().await.unwrap();
        let case = world.case(&grant, 2).await;
        world.issue(&grant, case).await.unwrap();
        world.pass(16_000);
        (world, grant)
    }

    pub(crate) async fn shown(&self, grant: &Grant) -> (Client, ShownGrant, GrantKey) {
        let anna = self.client(ANNA).await;
        let shown = anna.show_grant(&grant.id).await.unwrap();
        let key = anna.grant_key(&login(ANNA), &self.device(), grant).unwrap();
        (anna, shown, key)
    }

    pub(crate) async fn open(&self, grant: &Grant, first: u32, last: u32) -> Result<Opened, AuditError> {
        let (anna, shown, key) = self.shown(grant).await;
        anna.open_grant(&login(ANNA), (&shown, &key), (DORA, first, last)).await
    }
}
