//! The service's face: what it answers, after its lies.

use std::ops::RangeInclusive;
use std::sync::Arc;

use keyward_crypto::SigningKey;
use keyward_crypto::unlinkable::{
    Closing, EpochAddresses, MetaAddress, Payment, SpendingPoint, ViewingLeaf, closing_tag, seal_closing,
    seal_detail,
};
use keyward_domain::approval::AddressSigning;
use keyward_domain::detail::{ApprovedBy, Detail, Source as DetailSource, records_root};
use keyward_domain::scheme::Scheme;
use keyward_ledger_core::entry::{AnnouncePayment, CloseEpoch, Entry, UseAddress};
use keyward_ledger_core::hash::{Hash, commitment, sha256};
use keyward_ledger_core::log::leaf_hash;
use keyward_ledger_core::receipt::{Receipt, Released};
use keyward_ledger_core::scheme::PublicKey;
use keyward_ledger_core::state::addresses::addresses_key;
use keyward_ledger_core::unlinkable::{SEALED_CLOSING_BYTES, use_address_message};
use keyward_proto::custody::address_source::Source;
use keyward_proto::custody::addresses_server::{Addresses, AddressesServer};
use keyward_proto::custody::approvals_server::ApprovalsServer;
use keyward_proto::custody::vaults_server::VaultsServer;
use keyward_proto::custody::viewings_server::ViewingsServer;
use keyward_proto::custody::*;
use tonic::transport::Server;
use tonic::transport::server::Router;
use tonic::{Request, Response, Status};
use zeroize::Zeroizing;

use crate::addresses::desk::Desk;
use crate::addresses::world::{BORIS, Begun, World, hosted};
use crate::toy::{self, Answered, Chain, SERVICE, account, refused};

#[derive(Clone)]
struct Face(Arc<World>);

pub(crate) fn router(world: Arc<World>) -> Router {
    let keepers = crate::addresses::keepers::Face(Arc::clone(&world));
    Server::builder()
        .add_service(ApprovalsServer::new(Desk(Arc::clone(&world))))
        .add_service(AddressesServer::new(Face(world)))
        .add_service(VaultsServer::new(keepers.clone()))
        .add_service(ViewingsServer::new(keepers))
}

/// Says it, after the lie that is told about it.
macro_rules! say {
    ($face:expr, $lie:ident, $honest:expr) => {{
        let honest = $honest;
        $face.0.calls.lock().unwrap().push(stringify!($lie));
        match &$face.0.lies.lock().unwrap().$lie {
            Some(lie) => lie(&$face.0, honest),
            None => honest,
        }
    }};
}

fn released(chain: &Chain, leaf: u64, one: (&UseAddress, &Hash, &Hash), signature: &[u8]) -> Vec<u8> {
    let (used, r, payload_hash) = one;
    let mut receipt = Receipt::decode(&chain.receipt(leaf)).unwrap();
    let public_key: PublicKey = used.key().unwrap();
    let signature = signature.to_vec();
    receipt.released = Some(Released { public_key, r: *r, payload_hash: *payload_hash, signature });
    receipt.encode()
}

fn source_of(source: &AddressSource) -> DetailSource {
    match source.source.clone().unwrap() {
        Source::Index(index) => DetailSource::Index(index),
        Source::Payment(payment) => {
            DetailSource::Payment { epoch: source.epoch, payment: payment[..].try_into().unwrap() }
        }
    }
}

impl Face {
    /// An intent with its sealed detail; what it opens with. `asked`: whose it is, its scheme's name and format, and its case.
    fn intent(
        &self,
        (account, scheme, format, case): (Hash, &str, &str, Option<Hash>),
        view: ViewingLeaf,
        (source, public_key): (&AddressSource, &[u8]),
        payload_hash: &Hash,
    ) -> (Vec<u8>, Hash) {
        let (id, opening) = (sha256(&[public_key, payload_hash, b"id"]), sha256(&[public_key, b"r"]));
        let detail = Detail {
            account,
            source: source_of(source),
            payload_hash: *payload_hash,
            opening,
            policy: [9; 32],
            approved: case.map(|case| ApprovedBy { case, salt: self.0.mail.lock().unwrap()[&case].salt }),
            app: "app".into(),
            format: format.into(),
            said: Vec::new(),
        };
        let (epoch, not_after) = (view.epoch(), self.0.chain.lock().unwrap().height + 100);
        let used = UseAddress {
            id,
            scheme: Scheme::from_name(scheme).unwrap(),
            public_key: public_key.try_into().unwrap(),
            epoch_ms: self.0.epoch_ms,
            epoch,
            executor: SERVICE,
            commitment: commitment(&opening, payload_hash),
            not_after,
            limit: None,
            detail: Vec::new(),
            proof: [0; 64],
        };
        let (detail, used) = (say!(self, detail, detail), say!(self, intent, used));
        let view = say!(self, leaf, view);
        let sealed = seal_detail(&view, &used.id, &used.public_fields(), &detail.encode().unwrap()).unwrap();
        (UseAddress { detail: sealed, ..used }.body(), opening)
    }

    fn vouched(&self, key: &SigningKey, body: &[u8]) -> UseAddress {
        let chain_id = self.0.chain.lock().unwrap().chain_id();
        let proof = key.sign_message(&use_address_message(&chain_id, body)).unwrap();
        UseAddress::from_body(body, proof.try_into().unwrap()).unwrap()
    }

    fn record_use(&self, used: &UseAddress) -> Result<u64, Status> {
        let mut chain = self.0.chain.lock().unwrap();
        let (leaf, outcome) = chain.record(&Entry::UseAddress(used.clone()).encode());
        if outcome.is_accepted() { Ok(leaf) } else { Err(refused(outcome.name())) }
    }

    /// The next index that Boris is given.
    fn give(&self, epoch: u32) -> u32 {
        let mut given = self.0.given.lock().unwrap();
        let next = given.entry(epoch).or_default();
        *next += 1;
        *next - 1
    }
}

fn boris(epoch: u32) -> EpochAddresses {
    EpochAddresses::new(hosted().viewing_leaf(epoch), hosted().spending_leaf(epoch).unwrap().point())
}

fn listed(epoch: u32, index: u32) -> ListedAddress {
    ListedAddress {
        public_key: boris(epoch).address(index).unwrap().to_vec().into(),
        source: Some(AddressSource { epoch, source: Some(Source::Index(index)) }),
        state: "fresh".into(),
        leaf_index: 0,
        created_unix_ms: u64::from(index) + 1,
    }
}

fn digest(payload: &[u8], is_message: bool) -> Hash {
    if is_message { sha256(&[payload]) } else { payload.try_into().unwrap() }
}

#[tonic::async_trait]
impl Addresses for Face {
    async fn prepare(&self, _: Request<PrepareAddressesRequest>) -> Answered<PrepareAddressesResponse> {
        let (height, chain_id) = {
            let chain = self.0.chain.lock().unwrap();
            (chain.height, chain.chain_id())
        };
        let honest = PrepareAddressesResponse {
            tenant: self.0.tenant().to_vec().into(),
            epoch_ms: self.0.epoch_ms,
            height,
            chain_id: chain_id.to_vec().into(),
        };
        Ok(Response::new(say!(self, prepare, honest)))
    }

    async fn choose(&self, request: Request<ChooseAddressesRequest>) -> Answered<ChooseAddressesResponse> {
        let (receipt, _) = toy::record(&mut self.0.chain.lock().unwrap(), &request.get_ref().entry)?;
        Ok(Response::new(say!(self, choose, ChooseAddressesResponse { receipt: receipt.into() })))
    }

    async fn show(&self, request: Request<ShowAddressesRequest>) -> Answered<ShowAddressesResponse> {
        let chosen = self.0.chain.lock().unwrap().proof(&addresses_key(&account(&request)));
        let honest = ShowAddressesResponse { chosen: chosen.into(), epochs: Vec::new() };
        Ok(Response::new(say!(self, show, honest)))
    }

    async fn ask(&self, request: Request<AskAddressRequest>) -> Answered<AskAddressResponse> {
        let account = account(&request);
        let request = request.into_inner();
        let Some(ask_address_request::Payload::Message(message)) = request.payload else {
            panic!("a digest")
        };
        let salt = sha256(&[&request.idempotency_key, b"salt"]);
        let scheme = Scheme::from_name(&request.scheme).unwrap();
        let (payload, payload_hash) = (message.to_vec(), sha256(&[&message]));
        let asked = AddressSigning { account, salt, scheme, payload, format: request.format, payload_hash };
        let (_, leaf_index) = self.0.open_case(asked);
        let receipt = self.0.chain.lock().unwrap().receipt(leaf_index);
        Ok(Response::new(AskAddressResponse { receipt: receipt.into(), leaf_index }))
    }

    async fn next(&self, request: Request<NextAddressesRequest>) -> Answered<NextAddressesResponse> {
        let epoch = self.0.epoch();
        let addresses = (0..request.get_ref().count.max(1)).map(|_| listed(epoch, self.give(epoch)));
        let honest = NextAddressesResponse { addresses: addresses.collect() };
        Ok(Response::new(say!(self, next, honest)))
    }

    async fn list(&self, request: Request<ListAddressesRequest>) -> Answered<ListAddressesResponse> {
        let before = request.get_ref().before_unix_ms;
        let limit = request.get_ref().limit as usize;
        let mut addresses = match account(&request) {
            BORIS => {
                let (epoch, given) = (self.0.epoch(), self.0.given.lock().unwrap().clone());
                (0..given.get(&epoch).copied().unwrap_or(0)).map(|index| listed(epoch, index)).collect()
            }
            _ => self.own_listed(),
        };
        addresses.reverse();
        addresses.retain(|one| before == 0 || one.created_unix_ms < before);
        addresses.truncate(limit);
        Ok(Response::new(say!(self, list, ListAddressesResponse { addresses })))
    }

    async fn sign(&self, request: Request<SignAddressRequest>) -> Answered<SignAddressResponse> {
        let request = request.into_inner();
        let epoch = self.0.epoch();
        let index = match request.public_key.is_empty() {
            true => self.give(epoch),
            false => (0..100).find(|i| boris(epoch).address(*i).unwrap()[..] == request.public_key).unwrap(),
        };
        let payload_hash = match &request.payload {
            Some(sign_address_request::Payload::Message(message)) => digest(message, true),
            Some(sign_address_request::Payload::Digest(bytes)) => digest(bytes, false),
            None => panic!("no payload"),
        };
        let source = AddressSource { epoch, source: Some(Source::Index(index)) };
        let public_key = boris(epoch).address(index).unwrap();
        let scheme = Scheme::from_name(&request.scheme).unwrap();
        let leaf = hosted().viewing_leaf(epoch);
        let key = hosted().spending_leaf(epoch).unwrap().key(&leaf, index, scheme).unwrap();
        let asked = (BORIS, request.scheme.as_str(), request.format.as_str(), None);
        let (body, r) = self.intent(asked, leaf, (&source, &public_key), &payload_hash);
        let used = self.vouched(&key, &body);
        let place = self.record_use(&used)?;
        let signature = key.sign_digest(&payload_hash).unwrap();
        let receipt = released(&self.0.chain.lock().unwrap(), place, (&used, &r, &payload_hash), &signature);
        let honest = SignAddressResponse {
            public_key: public_key.to_vec().into(),
            signature: signature.into(),
            receipt: receipt.into(),
            source: Some(source),
        };
        Ok(Response::new(say!(self, signed, honest)))
    }

    async fn begin(&self, request: Request<BeginAddressRequest>) -> Answered<BeginAddressResponse> {
        let account = account(&request);
        let request = request.into_inner();
        let leaf: [u8; 32] = request.viewing_leaf[..].try_into().unwrap();
        let view = ViewingLeaf::from_bytes(request.epoch, Zeroizing::new(leaf));
        let source = request.source.clone().unwrap();
        let payload_hash = match &request.payload {
            Some(begin_address_request::Payload::Message(message)) => digest(message, true),
            Some(begin_address_request::Payload::Digest(bytes)) => digest(bytes, false),
            None => panic!("no payload"),
        };
        let case = Hash::try_from(&request.case_id[..]).ok();
        // Complete, or nothing is begun.
        if case.is_some_and(|case| self.0.case(&case).is_none_or(|found| found.approvals.is_empty())) {
            return Err(refused("APPROVALS_MISSING"));
        }
        let asked = (account, request.scheme.as_str(), request.format.as_str(), case);
        let (body, opening) = self.intent(asked, view, (&source, &request.public_key), &payload_hash);
        let begun = Begun { account, body: body.clone(), opening, payload_hash, source, case, leaf: None };
        self.0.begun.lock().unwrap().push(begun);
        let honest = BeginAddressResponse { intent: body.into(), opening: opening.to_vec().into() };
        Ok(Response::new(say!(self, begun, honest)))
    }

    async fn record(&self, request: Request<RecordAddressRequest>) -> Answered<RecordAddressResponse> {
        let RecordAddressRequest { intent_id, proof } = request.into_inner();
        let at = self.find(&intent_id)?;
        let begun = self.0.begun.lock().unwrap()[at].clone();
        let leaf = match begun.leaf {
            Some(leaf) => leaf,
            None if self.0.takes_stale() => {
                self.0.begun.lock().unwrap().remove(at);
                return Err(refused("ADDRESS_INTENT_STALE"));
            }
            None => {
                begun.case.iter().try_for_each(|case| self.0.use_case(case))?;
                let proof = proof[..].try_into().unwrap();
                self.record_use(&UseAddress::from_body(&begun.body, proof).unwrap())?
            }
        };
        self.0.begun.lock().unwrap()[at].leaf = Some(leaf);
        let receipt = self.0.chain.lock().unwrap().receipt(leaf);
        Ok(Response::new(say!(self, recorded, RecordAddressResponse { receipt: receipt.into() })))
    }

    async fn finish(&self, request: Request<FinishAddressRequest>) -> Answered<SignAddressResponse> {
        let FinishAddressRequest { intent_id, signature } = request.into_inner();
        let at = self.find(&intent_id)?;
        let begun = self.0.begun.lock().unwrap()[at].clone();
        let leaf = begun.leaf.ok_or_else(|| refused("SIGNING_UNKNOWN"))?;
        let used = UseAddress::from_body(&begun.body, [0; 64]).unwrap();
        let one = (&used, &begun.opening, &begun.payload_hash);
        let receipt = released(&self.0.chain.lock().unwrap(), leaf, one, &signature);
        let honest = SignAddressResponse {
            public_key: used.public_key.to_vec().into(),
            signature,
            receipt: receipt.into(),
            source: Some(begun.source),
        };
        Ok(Response::new(say!(self, signed, honest)))
    }

    async fn close(&self, request: Request<CloseAddressEpochRequest>) -> Answered<CloseAddressEpochResponse> {
        let account = account(&request);
        let CloseAddressEpochRequest { epoch, viewing_leaf, spending_point } = request.into_inner();
        let leaf: [u8; 32] = viewing_leaf[..].try_into().unwrap();
        let view = ViewingLeaf::from_bytes(epoch, Zeroizing::new(leaf));
        let leaves = self.leaves(&account, epoch);
        let honest = Closing {
            spending: SpendingPoint::decode(&spending_point).unwrap(),
            addresses: leaves.len() as u32,
            records: leaves.len() as u32,
            root: records_root(leaves),
        };
        let closing = say!(self, closing, honest);
        let mut close = CloseEpoch {
            tag: closing_tag(&view).unwrap(),
            epoch_ms: self.0.epoch_ms,
            epoch,
            closing: vec![0; SEALED_CLOSING_BYTES],
        };
        close.closing = seal_closing(&view, &close.public_fields(), &closing).unwrap();
        let entry = Entry::CloseEpoch(close).encode();
        let (receipt, _) = toy::record(&mut self.0.chain.lock().unwrap(), &entry)?;
        Ok(Response::new(say!(self, closed, CloseAddressEpochResponse { receipt: receipt.into() })))
    }

    async fn meta(&self, _: Request<MetaAddressRequest>) -> Answered<MetaAddressResponse> {
        let epoch = self.0.epoch();
        let spending = hosted().spending_leaf(epoch).unwrap().point();
        let meta = MetaAddress::new(&hosted().viewing_leaf(epoch), spending).unwrap();
        let honest = MetaAddressResponse {
            meta_address: meta.encode().unwrap().into(),
            ends_unix_ms: (u64::from(epoch) + 1) * self.0.epoch_ms,
        };
        Ok(Response::new(say!(self, meta, honest)))
    }

    async fn announce(&self, request: Request<AnnouncePaymentRequest>) -> Answered<AnnouncePaymentResponse> {
        let AnnouncePaymentRequest { epoch, payment, epoch_ms, .. } = request.into_inner();
        let epoch_ms = if epoch_ms == 0 { self.0.epoch_ms } else { epoch_ms };
        let payment: [u8; 50] = say!(self, announce, payment[..].try_into().unwrap());
        let entry = Entry::AnnouncePayment(AnnouncePayment { epoch_ms, epoch, payment });
        let (receipt, _) = toy::record(&mut self.0.chain.lock().unwrap(), &entry.encode())?;
        Ok(Response::new(AnnouncePaymentResponse { receipt: receipt.into() }))
    }

    async fn announced(&self, request: Request<AnnouncedRequest>) -> Answered<AnnouncedResponse> {
        let AnnouncedRequest { first_epoch, last_epoch, from_leaf_index } = request.into_inner();
        let (payments, next_leaf_index) = self.page(first_epoch..=last_epoch, from_leaf_index);
        Ok(Response::new(say!(self, announced, AnnouncedResponse { payments, next_leaf_index })))
    }

    async fn scan(&self, request: Request<ScanPaymentsRequest>) -> Answered<ScanPaymentsResponse> {
        let ScanPaymentsRequest { first_epoch, last_epoch, from_leaf_index } = request.into_inner();
        let (payments, next_leaf_index) = self.page(first_epoch..=last_epoch, from_leaf_index);
        let looked_at = payments.len() as u64;
        let found = payments.into_iter().filter_map(|one| {
            let (leaf, spending) =
                (hosted().viewing_leaf(one.epoch), hosted().spending_leaf(one.epoch).unwrap().point());
            let address = Payment::decode(&one.payment).unwrap().seen(&leaf, spending).unwrap()?;
            let source = AddressSource { epoch: one.epoch, source: Some(Source::Payment(one.payment)) };
            Some(ListedAddress {
                public_key: address.to_vec().into(),
                source: Some(source),
                state: "fresh".into(),
                leaf_index: 0,
                created_unix_ms: one.leaf_index,
            })
        });
        let found = found.collect();
        Ok(Response::new(say!(self, scan, ScanPaymentsResponse { found, looked_at, next_leaf_index })))
    }
}

impl Face {
    /// A page of two announcements, and where the next one begins.
    fn page(&self, epochs: RangeInclusive<u32>, from_leaf_index: u64) -> (Vec<AnnouncedPayment>, u64) {
        let mut payments = self.announcements();
        payments.retain(|one| epochs.contains(&one.epoch) && one.leaf_index >= from_leaf_index);
        let next_leaf_index = payments.get(2).map_or(0, |one| one.leaf_index);
        payments.truncate(2);
        (payments, next_leaf_index)
    }

    fn find(&self, intent_id: &[u8]) -> Result<usize, Status> {
        let begun = self.0.begun.lock().unwrap();
        let id = |one: &Begun| UseAddress::from_body(&one.body, [0; 64]).unwrap().id;
        begun.iter().position(|one| id(one)[..] == *intent_id).ok_or_else(|| refused("SIGNING_UNKNOWN"))
    }

    /// Leaf hashes of an account's records in an epoch.
    fn leaves(&self, account: &Hash, epoch: u32) -> Vec<Hash> {
        let (chain, begun) = (self.0.chain.lock().unwrap(), self.0.begun.lock().unwrap());
        let of_epoch = |one: &&Begun| {
            let used = UseAddress::from_body(&one.body, [0; 64]).unwrap();
            one.account == *account && used.epoch == epoch
        };
        let mut leaves: Vec<_> = begun.iter().filter(of_epoch).filter_map(|one| one.leaf).collect();
        leaves.sort_unstable();
        let hash = |leaf| leaf_hash(&Receipt::decode(&chain.receipt(leaf)).unwrap().record);
        leaves.into_iter().map(hash).collect()
    }

    /// Own addresses that were recorded.
    fn own_listed(&self) -> Vec<ListedAddress> {
        let begun = self.0.begun.lock().unwrap();
        let used = begun.iter().filter(|one| one.leaf.is_some()).enumerate();
        used.map(|(at, one)| ListedAddress {
            public_key: UseAddress::from_body(&one.body, [0; 64]).unwrap().public_key.to_vec().into(),
            source: Some(one.source.clone()),
            state: "used".into(),
            leaf_index: one.leaf.unwrap(),
            created_unix_ms: at as u64 + 1,
        })
        .collect()
    }

    fn announcements(&self) -> Vec<AnnouncedPayment> {
        let chain = self.0.chain.lock().unwrap();
        let read = |leaf_index| {
            let (entry, outcome) = chain.entry(leaf_index)?;
            match Entry::decode(entry).ok()? {
                Entry::AnnouncePayment(one) if outcome.is_accepted() => Some(AnnouncedPayment {
                    epoch: one.epoch,
                    payment: one.payment.to_vec().into(),
                    leaf_index,
                }),
                _ => None,
            }
        };
        (0..).take_while(|leaf| chain.entry(*leaf).is_some()).filter_map(read).collect()
    }
}
