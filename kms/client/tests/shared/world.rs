//! A custody service in front of a toy ledger and five keepers, honest, or lying in the one point that a test says.

pub(crate) mod face;
pub(crate) mod keeper;

use std::path::Path;
use std::sync::{Arc, Mutex};

use keyward_client::shared::{SharedOrder, SharedSigner};
use keyward_client::vault::KeeperChoice;
use keyward_client::{Client, DeviceKeys, KeyWithReceipt};
use keyward_crypto::shared::{Holder, Roster, SharedKey};
use keyward_domain::scheme::Scheme;
use keyward_ledger_core::hash::Hash;
use keyward_ledger_core::scheme::KeyId;
use keyward_ledger_core::shared::Device;
use keyward_ledger_core::state::keeper::{KeeperState, keeper_key, keepers_key};
use keyward_ledger_core::state::shared::{SharedKeyState, shared_key_key};
use keyward_proto::custody::{
    AnswerSharedResponse, BeginSharedResponse, FinishSharedResponse, ListKeepersResponse, Round,
    SharedEntryResponse, ShowSharedKeyResponse,
};
use tonic::Status;

use crate::toy;
pub(crate) use crate::toy::{ANNA, BORIS, Chain, SERVICE, login};
pub(crate) use keeper::Keeper;

pub(crate) const ALIAS: &str = "treasury";
pub(crate) const LOCK_MS: u64 = 3_600_000;

type Lie<T> = toy::Lie<World, T>;
/// Of a keeper, by number from 0, in the step of this name.
type KeeperLie = Option<Box<dyn Fn(&World, usize, &str, Round) -> Round + Send>>;
type Seen = Option<Box<dyn Fn(&World, &[u8]) + Send>>;

/// In what the service or a keeper lies; in nothing by default.
#[derive(Default)]
pub(crate) struct Lies {
    pub(crate) keepers: Lie<ListKeepersResponse>,
    pub(crate) show: Lie<ShowSharedKeyResponse>,
    pub(crate) recorded: Lie<Result<SharedEntryResponse, Status>>,
    /// Told of every entry before it is recorded.
    pub(crate) seen: Seen,
    pub(crate) round: KeeperLie,
    pub(crate) begun: Lie<BeginSharedResponse>,
    pub(crate) answered: Lie<AnswerSharedResponse>,
    pub(crate) finished: Lie<FinishSharedResponse>,
    /// Keepers, by number from 0, that refuse everything.
    pub(crate) away: Vec<usize>,
    /// Entries are not handed in at all.
    pub(crate) swallows: bool,
    /// The next answer to a binding is lost on its way.
    pub(crate) loses_binding: bool,
    /// The next binding is lost on its way.
    pub(crate) drops_binding: bool,
}

pub(crate) struct World {
    pub(crate) chain: Mutex<Chain>,
    pub(crate) keepers: Vec<Keeper>,
    pub(crate) lies: Mutex<Lies>,
    /// The names of the calls, in order.
    pub(crate) calls: Mutex<Vec<String>>,
    /// What the service keeps of shared keys.
    pub(crate) keys: Mutex<Vec<(KeyId, Vec<u8>, String)>>,
    begun: Mutex<Vec<face::Waiting>>,
    address: String,
}

pub(crate) fn named(numbers: &[usize]) -> KeeperChoice {
    KeeperChoice::Named(numbers.iter().map(|number| format!("keeper-{number}")).collect())
}

/// A key of two of three keepers.
pub(crate) fn order(scheme: Scheme) -> SharedOrder {
    SharedOrder {
        alias: ALIAS.to_owned(),
        scheme,
        experimental: true,
        threshold: 2,
        keepers: named(&[1, 2, 3]),
        approval_rule: None,
        policy_tenant: None,
        lock_ms: LOCK_MS,
    }
}

impl World {
    pub(crate) async fn start() -> Arc<Self> {
        let mut chain = Chain::new(0);
        let keepers: Vec<_> = (1..=5).map(Keeper::new).collect();
        toy::open_accounts(&mut chain, &[ANNA, BORIS]);
        let mut ids: Vec<_> = keepers.iter().map(Keeper::id).collect();
        ids.sort_unstable();
        let list = [&5_u32.to_be_bytes()[..], &ids.concat()].concat();
        chain.state.insert(&keepers_key(), &list);
        for keeper in &keepers {
            let state = KeeperState { present: true, height: 1, keeper: keeper.on_ledger() };
            chain.state.insert(&keeper_key(&keeper.id()), &state.encode());
        }
        let (incoming, address) = toy::listen();
        let world = Arc::new(Self {
            chain: Mutex::new(chain),
            keepers,
            lies: Mutex::default(),
            calls: Mutex::default(),
            keys: Mutex::default(),
            begun: Mutex::default(),
            address,
        });
        toy::serve(face::router(Arc::clone(&world)), incoming);
        world
    }

    /// An account's client that verifies, in its session.
    pub(crate) async fn client(&self, account: Hash) -> Client {
        let trust = self.chain.lock().unwrap().trust_file();
        self.untrusting(account).await.with_trust(&trust).unwrap()
    }

    pub(crate) async fn untrusting(&self, account: Hash) -> Client {
        toy::client(&self.address, account).await
    }

    /// Anna's device in a folder.
    pub(crate) fn device(&self, folder: &Path) -> DeviceKeys {
        DeviceKeys::open(folder, self.chain.lock().unwrap().chain_id(), ANNA).unwrap()
    }

    /// Anna's key of two of three keepers.
    pub(crate) async fn made(&self, device: &DeviceKeys, scheme: Scheme) -> KeyWithReceipt {
        let client = self.client(ANNA).await;
        client.create_shared_key(&order(scheme), &login(ANNA), device, &|_| ()).await.unwrap()
    }

    /// Anna's part, opened for signing.
    pub(crate) async fn signer(&self, device: &DeviceKeys) -> SharedSigner {
        self.client(ANNA).await.shared_signer(ALIAS, login(ANNA), device).await.unwrap()
    }

    pub(crate) fn lie(&self, lies: Lies) {
        *self.lies.lock().unwrap() = lies;
    }

    /// What the ledger has of the one shared key.
    pub(crate) fn state(&self) -> SharedKeyState {
        let id = self.keys.lock().unwrap()[0].0;
        let chain = self.chain.lock().unwrap();
        SharedKeyState::decode(chain.state.get(&shared_key_key(&id)).unwrap()).unwrap()
    }

    /// How many calls of this name there were.
    pub(crate) fn called(&self, name: &str) -> usize {
        self.calls.lock().unwrap().iter().filter(|call| *call == name).count()
    }

    pub(crate) fn by_id(&self, id: &[u8]) -> usize {
        self.keepers.iter().position(|keeper| keeper.id() == id).unwrap()
    }

    /// The holders as the ledger has them, with this device.
    pub(crate) fn roster(&self, account: Hash, device: &Device, keepers: &[Hash], threshold: u8) -> Roster {
        let user = Holder { id: account, signing_key: device.signing_key, sealing_key: device.sealing_key };
        let keepers = keepers.iter().map(|id| self.keepers[self.by_id(id)].holder()).collect();
        Roster::new(user, keepers, threshold).unwrap()
    }

    pub(crate) fn roster_now(&self, state: &SharedKeyState) -> Roster {
        let time_ms = self.chain.lock().unwrap().time_ms;
        let device = *state.device_in_force(time_ms);
        self.roster(state.name.owner, &device, &state.circle.keepers, state.circle.threshold)
    }

    /// The public part of the one shared key, as the service keeps it.
    pub(crate) fn key(&self) -> SharedKey {
        SharedKey::decode(&self.keys.lock().unwrap()[0].1).unwrap()
    }
}
