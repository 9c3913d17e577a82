//! A custody service in front of a toy ledger and five keepers, honest, or lying in the one point that a test says.

pub(crate) mod face;
pub(crate) mod keeper;

use std::sync::{Arc, Mutex};

use keyward_client::vault::{Factors, KeeperChoice, SealOrder, Sealed, VaultTerms};
use keyward_client::{Client, Password};
use keyward_crypto::vault::{VaultMode, VaultStretch, VaultedKey};
use keyward_crypto::{SecretBytes, SigningKey};
use keyward_domain::VaultName;
use keyward_domain::scheme::Scheme;
use keyward_ledger_core::hash::Hash;
use keyward_proto::custody::{
    ListKeepersResponse, ListSignersResponse, ShowVaultResponse, VaultEntryResponse,
};
use tonic::Status;

use crate::toy;
pub(crate) use crate::toy::{ANNA, BORIS, CLARA, Chain, login, refused};
pub(crate) use face::{shown, signer};
pub(crate) use keeper::Keeper;

pub(crate) type Answer = Result<Vec<u8>, Status>;
type Lie<T> = toy::Lie<World, T>;
type KeeperLie = Option<Box<dyn Fn(usize, Answer) -> Answer + Send>>;

/// In what the service lies; in nothing by default.
#[derive(Default)]
pub(crate) struct Lies {
    pub(crate) keepers: Lie<ListKeepersResponse>,
    pub(crate) show: Lie<ShowVaultResponse>,
    pub(crate) signers: Lie<ListSignersResponse>,
    pub(crate) recorded: Lie<Result<VaultEntryResponse, Status>>,
    pub(crate) deposit: KeeperLie,
    pub(crate) evaluate: KeeperLie,
    pub(crate) release: KeeperLie,
    pub(crate) drill: KeeperLie,
    /// Keepers, by number from 0, that never answer.
    pub(crate) silent: Vec<usize>,
    /// Entries are not handed in at all.
    pub(crate) swallows: bool,
}

pub(crate) struct World {
    pub(crate) chain: Mutex<Chain>,
    pub(crate) keepers: Vec<Keeper>,
    pub(crate) lies: Mutex<Lies>,
    /// How many calls there were.
    pub(crate) calls: Mutex<usize>,
    /// Which keepers were asked to evaluate, by number.
    pub(crate) evaluated: Mutex<Vec<usize>>,
    /// The entries that were handed in, in order.
    pub(crate) handed_in: Mutex<Vec<Vec<u8>>>,
    address: String,
}

pub(crate) fn password(text: &str) -> Password {
    Password::new(text.to_owned()).unwrap()
}

pub(crate) fn main_vault() -> VaultName {
    VaultName::parse(VaultName::DEFAULT).unwrap()
}

pub(crate) const TERMS: VaultTerms =
    VaultTerms { limit: 3, lifetime: 4, cool_down_ms: 0, refill_ms: 60_000, factors: Factors::Own };

pub(crate) fn key(number: u8) -> VaultedKey {
    let key = SigningKey::from_secret(Scheme::Ed25519, &[number; 32]).unwrap();
    let id = *key.public_key().id().as_bytes();
    VaultedKey { id, public_key: key.public_key().clone(), secret: SecretBytes::new(vec![number; 32]) }
}

/// Two keys for all five keepers, three of them needed.
pub(crate) fn order() -> SealOrder {
    SealOrder {
        keys: vec![key(7), key(8)],
        keepers: KeeperChoice::Named((1..=5).map(|number| format!("keeper-{number}")).collect()),
        threshold: 3,
        terms: TERMS,
        mode: VaultMode::Own,
        stretch: VaultStretch { memory_kib: 19 * 1024, passes: 2, lanes: 1 },
        anew: false,
    }
}

impl World {
    pub(crate) async fn start() -> Arc<Self> {
        let mut chain = Chain::new(0);
        toy::open_accounts(&mut chain, &[ANNA, BORIS, CLARA]);
        let mut keepers = Keeper::admitted(&mut chain);
        keepers.sort_by(|one, other| one.name.cmp(&other.name));
        let (incoming, address) = toy::listen();
        let world = Arc::new(Self {
            chain: Mutex::new(chain),
            keepers,
            lies: Mutex::default(),
            calls: Mutex::default(),
            evaluated: Mutex::default(),
            handed_in: Mutex::default(),
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

    /// Seals an account's vault under the password `right`.
    pub(crate) async fn seal(&self, account: Hash, order: SealOrder) -> Sealed {
        let client = self.client(account).await;
        let sealed =
            client.seal_vault(&login(account), &main_vault(), &password("right"), order, &|_| ()).await;
        sealed.unwrap()
    }

    pub(crate) fn lie(&self, lies: Lies) {
        *self.lies.lock().unwrap() = lies;
    }

    pub(crate) fn snapshot(&self) -> Chain {
        self.chain.lock().unwrap().clone()
    }
}
