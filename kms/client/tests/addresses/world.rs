//! A custody service in front of a toy ledger, honest, or lying in the one point that a test says.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use keyward_client::Client;
use keyward_client::DeviceKeys;
use keyward_client::addresses::{AddressOrder, AddressesError, Book, ChooseTerms, Custody, OwnRoot};
use keyward_crypto::unlinkable::{AddressRoot, Closing, ViewingLeaf};
use keyward_domain::approval::AddressSigning;
use keyward_domain::detail::Detail;
use keyward_ledger_core::entry::{AnnouncePayment, Entry, UseAddress, tenant_id};
use keyward_ledger_core::hash::Hash;
use keyward_proto::custody::*;
use tempfile::TempDir;

use crate::addresses::face;
use crate::addresses::keepers::Keeper;
use crate::toy::{self, Chain};
pub(crate) use crate::toy::{ANNA, BORIS, CLARA, login};

pub(crate) const HOUR_MS: u64 = 3_600_000;
pub(crate) const MESSAGE: &[u8] = b"pay 12.50 to clara";

type Lie<T> = toy::Lie<World, T>;

/// In what the service lies; in nothing by default.
#[derive(Default)]
pub(crate) struct Lies {
    pub(crate) show: Lie<ShowAddressesResponse>,
    pub(crate) prepare: Lie<PrepareAddressesResponse>,
    pub(crate) choose: Lie<ChooseAddressesResponse>,
    pub(crate) next: Lie<NextAddressesResponse>,
    pub(crate) list: Lie<ListAddressesResponse>,
    pub(crate) signed: Lie<SignAddressResponse>,
    /// What the detail says, before it is sealed.
    pub(crate) detail: Lie<Detail>,
    /// What a case is about.
    pub(crate) asked: Lie<Option<AddressSigning>>,
    /// The intent, before its detail is sealed.
    pub(crate) intent: Lie<UseAddress>,
    /// The leaf that the detail is sealed for.
    pub(crate) leaf: Lie<ViewingLeaf>,
    pub(crate) begun: Lie<BeginAddressResponse>,
    pub(crate) recorded: Lie<RecordAddressResponse>,
    pub(crate) closing: Lie<Closing>,
    pub(crate) closed: Lie<CloseAddressEpochResponse>,
    pub(crate) meta: Lie<MetaAddressResponse>,
    pub(crate) announce: Lie<[u8; 50]>,
    pub(crate) announced: Lie<AnnouncedResponse>,
    pub(crate) scan: Lie<ScanPaymentsResponse>,
    pub(crate) acknowledged: Lie<DealViewingResponse>,
    pub(crate) dealt: Lie<Result<AuditEntryResponse, tonic::Status>>,
    /// How many proofs come when intents have another end than those that they are of.
    pub(crate) stale: usize,
    /// Dealings are not recorded at all.
    pub(crate) swallows: bool,
    /// Keepers, by number from 0, that take nothing.
    pub(crate) away: Vec<usize>,
}

/// An own intent that waits for its proof, or for its signature.
#[derive(Clone)]
pub(crate) struct Begun {
    pub(crate) account: Hash,
    pub(crate) body: Vec<u8>,
    pub(crate) opening: Hash,
    pub(crate) payload_hash: Hash,
    pub(crate) source: AddressSource,
    pub(crate) case: Option<Hash>,
    pub(crate) leaf: Option<u64>,
}

pub(crate) struct World {
    pub(crate) chain: Mutex<Chain>,
    pub(crate) lies: Mutex<Lies>,
    pub(crate) epoch_ms: u64,
    /// How many addresses Boris was given, by epoch.
    pub(crate) given: Mutex<HashMap<u32, u32>>,
    /// In the order in which they were begun.
    pub(crate) begun: Mutex<Vec<Begun>>,
    /// What cases are about, by case.
    pub(crate) mail: Mutex<HashMap<Hash, AddressSigning>>,
    pub(crate) keepers: Vec<Keeper>,
    /// Hashes of the dealings that were handed to keepers, in order.
    pub(crate) dealings: Mutex<Vec<Hash>>,
    /// What is public of them.
    pub(crate) kept: Mutex<HashMap<Hash, Vec<u8>>>,
    /// Names of calls, in order.
    pub(crate) calls: Mutex<Vec<&'static str>>,
    address: String,
}

/// The root of Boris, which the service hosts.
pub(crate) fn hosted() -> AddressRoot {
    AddressRoot::from_bytes(zeroize::Zeroizing::new([0x42; 32]))
}

pub(crate) fn order() -> AddressOrder {
    AddressOrder::message(MESSAGE).unwrap()
}

/// Where Anna keeps her root.
pub(crate) struct Device {
    pub(crate) folder: TempDir,
    pub(crate) keys: DeviceKeys,
    pub(crate) login: keyward_client::Login,
}

impl Device {
    pub(crate) fn root(&self) -> OwnRoot<'_> {
        OwnRoot::at(&self.keys, &self.login.export_key)
    }

    pub(crate) fn book(&self) -> Book {
        self.root().read().unwrap()
    }
}

impl World {
    /// Whether the next proof is of an intent with another end than those that are begun now.
    pub(crate) fn takes_stale(&self) -> bool {
        let mut lies = self.lies.lock().unwrap();
        let is_stale = lies.stale > 0;
        lies.stale = lies.stale.saturating_sub(1);
        is_stale
    }

    pub(crate) async fn start() -> Arc<Self> {
        let mut chain = Chain::new(1);
        // Far from the edges of an epoch, and ahead of this side's clock, which then says nothing.
        chain.time_ms = (chain.time_ms / HOUR_MS + 1) * HOUR_MS + HOUR_MS / 2;
        toy::open_accounts(&mut chain, &[ANNA, BORIS, CLARA]);
        let keepers = Keeper::admitted(&mut chain);
        let (incoming, address) = toy::listen();
        let world = Arc::new(Self {
            chain: Mutex::new(chain),
            lies: Mutex::default(),
            epoch_ms: HOUR_MS,
            given: Mutex::default(),
            begun: Mutex::default(),
            mail: Mutex::default(),
            keepers,
            dealings: Mutex::default(),
            kept: Mutex::default(),
            calls: Mutex::default(),
            address,
        });
        toy::serve(face::router(Arc::clone(&world)), incoming);
        world
    }

    /// Boris has hosted addresses.
    pub(crate) async fn hosted() -> (Arc<Self>, Client) {
        let world = Self::start().await;
        let boris = world.client(BORIS).await;
        boris.choose_addresses(&login(BORIS), Custody::Hosted, ChooseTerms::default()).await.unwrap();
        (world, boris)
    }

    /// Anna has her own.
    pub(crate) async fn own() -> (Arc<Self>, Client, Device) {
        Self::start().await.chosen().await
    }

    /// The same in the morning of some day (UTC).
    pub(crate) async fn own_in_the_morning() -> (Arc<Self>, Client, Device) {
        let world = Self::start().await;
        let of_day_ms = world.chain.lock().unwrap().time_ms % (24 * HOUR_MS);
        world.pass(30 * HOUR_MS - of_day_ms);
        world.chosen().await
    }

    async fn chosen(self: Arc<Self>) -> (Arc<Self>, Client, Device) {
        let world = self;
        let anna = world.client(ANNA).await;
        let device = world.device();
        device.root().make().unwrap();
        anna.choose_addresses(&login(ANNA), Custody::Own, ChooseTerms::default()).await.unwrap();
        (world, anna, device)
    }

    pub(crate) fn device(&self) -> Device {
        self.device_of(ANNA)
    }

    pub(crate) fn device_of(&self, account: Hash) -> Device {
        let folder = tempfile::tempdir().unwrap();
        let chain_id = self.chain.lock().unwrap().chain_id();
        let keys = DeviceKeys::open(folder.path(), chain_id, account).unwrap();
        Device { folder, keys, login: login(account) }
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

    /// The ledger's time goes on. This side's clock stays behind, which no proof minds.
    pub(crate) fn pass(&self, ms: u64) {
        let mut chain = self.chain.lock().unwrap();
        chain.time_ms += ms;
        chain.record(&Entry::Note(vec![1]).encode());
    }

    /// Announces a payment, whatever its bytes.
    pub(crate) fn announce(&self, epoch: u32, payment: [u8; 50]) {
        let announce = AnnouncePayment { epoch_ms: self.epoch_ms, epoch, payment };
        self.chain.lock().unwrap().record(&Entry::AnnouncePayment(announce).encode());
    }

    /// The epoch under way.
    pub(crate) fn epoch(&self) -> u32 {
        (self.chain.lock().unwrap().time_ms / self.epoch_ms) as u32
    }

    pub(crate) fn tenant(&self) -> Hash {
        tenant_id("bank")
    }

    /// How often that was called.
    pub(crate) fn called(&self, name: &str) -> usize {
        self.calls.lock().unwrap().iter().filter(|call| **call == name).count()
    }
}

/// The refusal's name.
pub(crate) fn code<T: std::fmt::Debug>(result: Result<T, AddressesError>) -> String {
    let error = result.unwrap_err();
    error.code().unwrap_or_else(|| panic!("no code: {error}")).to_owned()
}
