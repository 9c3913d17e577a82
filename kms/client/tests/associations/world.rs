//! A custody service in front of a toy ledger, honest, or lying in the one point that a test says.

use std::sync::{Arc, Mutex};

use keyward_client::associations::{
    Address, AddressFormat, AssociationAct, AssociationError, AssociationTerms, Member, Quorum, proof_text,
};
use keyward_client::delegation::Done;
use keyward_client::{Client, Petition};
use keyward_ledger_core::ed25519::SigningKey as Foreign;
use keyward_ledger_core::entry::{Mode, Party};
use keyward_ledger_core::hash::Hash;
use keyward_ledger_core::scheme::{KeyId, Scheme};
use keyward_ledger_core::state::association::{AssociationState, address_key, association_key};
use keyward_ledger_core::state::layout::{KeyState, KeyStatus, account_key, key_key};
use keyward_proto::custody::associations_server::{Associations, AssociationsServer};
use keyward_proto::custody::{
    AssociationEntryRequest, AssociationEntryResponse, ProvenMember, ShowAssociationRequest,
    ShowAssociationResponse,
};
use tonic::codegen::Bytes;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

use crate::toy::{self, Answered, Chain};
pub(crate) use crate::toy::{ANNA, BORIS, CLARA, login};

pub(crate) const GROUP: Hash = [9; 32];
/// Anna's hosted key.
pub(crate) const KEY: KeyId = KeyId([5; 32]);

type Lie<T> = toy::Lie<World, T>;

/// In what the service lies; in nothing by default.
#[derive(Default)]
pub(crate) struct Lies {
    pub(crate) show: Lie<ShowAssociationResponse>,
    pub(crate) recorded: Lie<Result<AssociationEntryResponse, Status>>,
    /// Entries do not reach the ledger.
    pub(crate) swallows: bool,
}

pub(crate) struct World {
    pub(crate) chain: Mutex<Chain>,
    pub(crate) lies: Mutex<Lies>,
    /// What was handed in, in order.
    pub(crate) handed_in: Mutex<Vec<Vec<u8>>>,
    /// How often something was shown.
    pub(crate) shown: Mutex<usize>,
    address: String,
}

struct Face(Arc<World>);

/// A key on another chain.
fn foreign(seed: u8) -> Foreign {
    Foreign::from_seed(&[seed; 32])
}

pub(crate) fn address(seed: u8) -> Address {
    Address { format: AddressFormat::Ed25519, bytes: foreign(seed).public_key().to_vec() }
}

fn key_state(status: KeyStatus) -> Vec<u8> {
    let (mode, scheme) = (Mode::Hosted, Scheme::EcdsaP256);
    KeyState { account: ANNA, mode, scheme, status, height: 1, version: 1 }.encode()
}

/// What an honest service shows.
pub(crate) fn shown(chain: &Chain, group: &Hash, members: bool) -> ShowAssociationResponse {
    let key = association_key(group);
    let mut shown = ShowAssociationResponse { association: chain.proof(&key).into(), ..Default::default() };
    let Some(value) = chain.state.get(&key).filter(|_| members) else { return shown };
    let one = |member: &keyward_client::associations::MemberState| {
        let key = member.address.key_id().map(|id| chain.proof(&key_key(&id))).unwrap_or_default();
        ProvenMember {
            address: chain.proof(&address_key(&member.address)).into(),
            account: chain.proof(&account_key(&member.account)).into(),
            key: key.into(),
        }
    };
    shown.members = AssociationState::decode(value).unwrap().members.iter().map(one).collect();
    shown.again = chain.proof(&key).into();
    shown
}

#[tonic::async_trait]
impl Associations for Face {
    async fn show(&self, request: Request<ShowAssociationRequest>) -> Answered<ShowAssociationResponse> {
        *self.0.shown.lock().unwrap() += 1;
        let ShowAssociationRequest { association, members, keys } = request.into_inner();
        let mut response = {
            let chain = self.0.chain.lock().unwrap();
            let key = |id: &Bytes| chain.proof(&key_key(&KeyId(id[..].try_into().unwrap()))).into();
            let keys = keys.iter().map(key).collect();
            ShowAssociationResponse { keys, ..shown(&chain, &association[..].try_into().unwrap(), members) }
        };
        if let Some(lie) = &self.0.lies.lock().unwrap().show {
            response = lie(&self.0, response);
        }
        Ok(Response::new(response))
    }

    async fn hand_in(&self, request: Request<AssociationEntryRequest>) -> Answered<AssociationEntryResponse> {
        let entry = request.into_inner().entry;
        self.0.handed_in.lock().unwrap().push(entry.to_vec());
        let recorded = if self.0.lies.lock().unwrap().swallows {
            Err(toy::refused("LEDGER_REFUSED"))
        } else {
            toy::record(&mut self.0.chain.lock().unwrap(), &entry)
        };
        let mut answer = recorded
            .map(|(receipt, leaf_index)| AssociationEntryResponse { receipt: receipt.into(), leaf_index });
        if let Some(lie) = &self.0.lies.lock().unwrap().recorded {
            answer = lie(&self.0, answer);
        }
        answer.map(Response::new)
    }
}

impl World {
    pub(crate) async fn start() -> Arc<Self> {
        let mut chain = Chain::new(0);
        toy::open_accounts(&mut chain, &[ANNA, BORIS, CLARA]);
        chain.state.insert(&key_key(&KEY), &key_state(KeyStatus::Active));
        let (incoming, address) = toy::listen();
        let (lies, handed_in, shown) = (Mutex::default(), Mutex::default(), Mutex::default());
        let world = Arc::new(Self { chain: Mutex::new(chain), lies, handed_in, shown, address });
        let face = AssociationsServer::new(Face(Arc::clone(&world)));
        toy::serve(Server::builder().add_service(face), incoming);
        world
    }

    /// Anna's hosted key and Boris's address on another chain, in version 1; Anna changes it.
    pub(crate) async fn grouped() -> Arc<Self> {
        let world = Self::start().await;
        let key = Member { account: ANNA, address: Address::key(&KEY), proof: Vec::new() };
        let members = vec![key, world.member(&GROUP, BORIS, 7, 1)];
        world.hand_in(world.open(GROUP, members), &[ANNA, BORIS]).await.unwrap();
        world
    }

    pub(crate) fn open(&self, association: Hash, mut members: Vec<Member>) -> AssociationAct {
        members.sort_by(|one, other| one.address.cmp(&other.address));
        let quorum = Quorum { needed: 1, parties: vec![Party::Credential(ANNA)] };
        let terms = AssociationTerms { change: quorum.clone(), settle: quorum };
        AssociationAct::Open { association, terms, members }
    }

    /// An address on another chain, with what it signs to come in a version.
    pub(crate) fn member(&self, group: &Hash, account: Hash, seed: u8, version: u32) -> Member {
        let (chain, address) = (self.chain.lock().unwrap().chain_id(), address(seed));
        let text = proof_text(&chain, group, version, &account, &address);
        Member { account, address, proof: foreign(seed).sign(text.as_bytes()).to_vec() }
    }

    /// Signed by these accounts in turn, and handed in by the last one.
    pub(crate) async fn hand_in(
        &self,
        act: AssociationAct,
        accounts: &[Hash],
    ) -> Result<Done, AssociationError> {
        let mut client = self.client(accounts[0]).await;
        let mut petition: Petition = client.association_petition(act)?;
        for account in accounts {
            client = self.client(*account).await;
            client.sign_association(&login(*account), &mut petition).await?;
        }
        client.hand_in_association(&petition).await
    }

    /// Boris's address goes: version 2.
    pub(crate) async fn leaves(&self) -> Result<Done, AssociationError> {
        let leave = AssociationAct::Leave { association: GROUP, version: 2, address: address(7) };
        self.hand_in(leave, &[BORIS]).await
    }

    pub(crate) fn freeze(&self) {
        let mut chain = self.chain.lock().unwrap();
        chain.state.insert(&key_key(&KEY), &key_state(KeyStatus::Frozen));
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

    /// What is shown is this.
    pub(crate) fn show(
        &self,
        lie: impl Fn(&Self, ShowAssociationResponse) -> ShowAssociationResponse + Send + 'static,
    ) {
        self.lie(Lies { show: Some(Box::new(lie)), ..Lies::default() });
    }

    pub(crate) fn snapshot(&self) -> Chain {
        self.chain.lock().unwrap().clone()
    }
}
