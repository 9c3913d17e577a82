//! A short ledger with all that proves it, and validators that say what a test wants of them.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation)]

use std::{collections::HashMap, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use keyward_ledger_core::{
    batch::{Batch, SignedBatch},
    block::Regime,
    certificate::{Certificate, Signer, finalize_message},
    ed25519::SigningKey,
    entry::Entry,
    execute::{BlockLimits, Ledger},
    genesis::{Genesis, GenesisDocument, Role, Submitter},
    hash::Hash,
    log::{Frontier, HashStore, prove_consistency, prove_inclusion, prove_range},
    record::Record,
    trust::Trust,
};
use keyward_ledger_verify::SetTracker;
use keyward_proto::ledger::{
    self as proto, Anchor,
    ledger_client::LedgerClient,
    ledger_server::{Ledger as Service, LedgerServer},
};
use tokio_stream::Stream;
use tonic::{
    Request, Response, Status,
    transport::{Endpoint, Server, server::TcpIncoming},
};

use crate::{Client, Config, Identity, connection::Node};

#[derive(Default)]
struct Nodes(HashMap<(u32, u64), Hash>);

impl HashStore for Nodes {
    fn node(&self, level: u32, index: u64) -> Option<Hash> {
        self.0.get(&(level, index)).copied()
    }
}

/// The ledger after a block.
struct Height {
    ledger: Ledger,
    anchor: Anchor,
    block: Bytes,
    records: Vec<Record>,
    first_leaf: u64,
}

/// A ledger of four validators: from height 1 on each block holds a note and a new account.
pub(crate) struct World {
    pub(crate) genesis: Genesis,
    pub(crate) validators: Vec<SigningKey>,
    heights: Vec<Height>,
    pub(crate) records: Vec<Record>,
    nodes: Nodes,
    log: Frontier,
}

/// Whose batches the blocks hold: the sequence is the height.
pub(crate) fn heard() -> SigningKey {
    SigningKey::from_seed(&[9; 32])
}

/// A submitter of whom the ledger holds nothing.
pub(crate) fn unheard() -> SigningKey {
    SigningKey::from_seed(&[10; 32])
}

impl World {
    pub(crate) fn of(blocks: u64) -> Self {
        let mut validators: Vec<_> = (1..=4).map(|n| SigningKey::from_seed(&[n; 32])).collect();
        validators.sort_by_key(SigningKey::public_key);
        let mut submitters =
            [heard(), unheard()].map(|key| Submitter::new(key.public_key(), Role::Service)).to_vec();
        submitters.sort_by_key(|submitter| submitter.key);
        let genesis = Genesis::new(GenesisDocument {
            name: "answers".into(),
            time_ms: 1,
            validators: validators.iter().map(SigningKey::public_key).collect(),
            submitters,
            keepers: Vec::new(),
            epoch_length: 64,
            regime: Regime::Fast,
            clock_bound_ms: 1000,
        })
        .unwrap();
        let (heights, records, nodes, log) = Default::default();
        let mut world = Self { genesis, validators, heights, records, nodes, log };
        for height in 1..=blocks {
            let entries = vec![
                Entry::Note(vec![height as u8; 3]).encode(),
                Entry::OpenAccount { account: [height as u8; 32] }.encode(),
            ];
            let chain_id = *world.genesis.chain_id();
            let batch = Batch { chain_id, sequence: height, not_after: 99, entries };
            world.record(batch.sign(&heard()).unwrap());
        }
        world
    }

    /// The height of the newest block.
    pub(crate) const fn height(&self) -> u64 {
        self.heights.len() as u64
    }

    /// Records a batch in a block of its own; gives its height.
    pub(crate) fn record(&mut self, batch: SignedBatch) -> u64 {
        let (height, chain_id) = (self.height() + 1, *self.genesis.chain_id());
        let first = Ledger::genesis(&self.genesis);
        let ledger = self.heights.last().map_or(&first, |last| &last.ledger);
        let by = &self.validators[height as usize % 4];
        let proposal = ledger.propose(10 * height, &[batch], &BlockLimits::default(), by).unwrap();
        let first_leaf = self.log.size();
        for leaf in &proposal.executed.leaf_hashes {
            self.log.append_with(*leaf, |level, index, hash| {
                self.nodes.0.insert((level, index), hash);
            });
        }
        let records: Vec<_> = proposal.executed.records().collect();
        self.records.extend(records.iter().cloned());
        let digest = *proposal.block.digest();
        let message = finalize_message(&chain_id, 0, height, height - 1, &digest);
        let sign = |n: usize| Signer { index: n as u32, signature: self.validators[n].sign(&message) };
        let signers = (0..3).map(sign).collect();
        let certificate =
            Certificate { epoch: 0, view: height, parent_view: height - 1, block_digest: digest, signers };
        let anchor = Anchor {
            header: Bytes::copy_from_slice(&proposal.block.signed_header.encode()),
            certificate: certificate.encode().into(),
            links: Vec::new(),
        };
        let (ledger, block) = (proposal.executed.ledger, proposal.block.encode().into());
        self.heights.push(Height { ledger, anchor, block, records, first_leaf });
        height
    }

    fn at(&self, height: u64) -> &Height {
        &self.heights[height as usize - 1]
    }

    pub(crate) fn anchor(&self) -> Anchor {
        self.heights.last().unwrap().anchor.clone()
    }

    /// The root of the log.
    pub(crate) fn root(&self) -> Hash {
        self.heights.last().unwrap().ledger.log().root()
    }

    /// That the log begins with the one of a size.
    pub(crate) fn consistency(&self, from: u64) -> Vec<Bytes> {
        let proof = prove_consistency(&self.nodes, from, self.records.len() as u64).unwrap();
        proof.iter().map(|hash| Bytes::copy_from_slice(hash)).collect()
    }

    pub(crate) fn proof(&self, leaf_index: u64) -> proto::RecordProof {
        let path = prove_inclusion(&self.nodes, leaf_index, self.records.len() as u64).unwrap();
        proto::RecordProof {
            leaf_index,
            leaf: self.records[leaf_index as usize].encode().into(),
            path: path.iter().map(|hash| Bytes::copy_from_slice(hash)).collect(),
        }
    }

    /// What an honest validator answers at a height about a state key.
    pub(crate) fn state(&self, height: u64, key: &[u8]) -> proto::GetStateResponse {
        let Height { ledger, anchor, .. } = self.at(height);
        proto::GetStateResponse {
            value: None,
            proof: ledger.state().prove(key).encode().into(),
            anchor: Some(anchor.clone()),
        }
    }

    /// A block as an honest validator sends it.
    pub(crate) fn block(&self, height: u64) -> proto::Block {
        let Height { anchor, block, records, first_leaf, .. } = self.at(height);
        proto::Block {
            height,
            block: block.clone(),
            first_leaf: *first_leaf,
            outcomes: records.iter().map(|record| record.outcome.encode().into()).collect(),
            range_proof: self.range(height),
            descendants: Vec::new(),
            anchor: Some(anchor.clone()),
        }
    }

    /// What an honest validator says of the batch in the block of a height.
    pub(crate) fn finality(&self, height: u64) -> proto::BatchFinal {
        let Height { anchor, records, first_leaf, .. } = self.at(height);
        proto::BatchFinal {
            height,
            time_ms: 10 * height,
            first_leaf: *first_leaf,
            outcomes: records.iter().map(|record| record.outcome.encode().into()).collect(),
            range_proof: self.range(height),
            anchor: Some(anchor.clone()),
        }
    }

    fn range(&self, height: u64) -> Vec<Bytes> {
        let Height { records, first_leaf, .. } = self.at(height);
        let end = first_leaf + records.len() as u64;
        let proof = prove_range(&self.nodes, *first_leaf..end, end).unwrap();
        proof.iter().map(|hash| Bytes::copy_from_slice(hash)).collect()
    }

    /// A client of validators who all answer at once: its deadline is for machines that are busy.
    pub(crate) async fn client(&self, faces: Vec<Arc<dyn Says>>) -> Client {
        self.client_within(faces, Duration::from_secs(60)).await
    }

    /// A client of validators of whom some say nothing: it waits for them, but not for long.
    pub(crate) async fn client_in_a_hurry(&self, faces: Vec<Arc<dyn Says>>) -> Client {
        self.client_within(faces, Duration::from_millis(250)).await
    }

    pub(crate) async fn client_within(&self, faces: Vec<Arc<dyn Says>>, deadline: Duration) -> Client {
        let mut nodes = Vec::new();
        for face in faces {
            nodes.push(serve(face).await);
        }
        let trust = Trust::genesis(self.genesis.name().to_owned(), *self.genesis.chain_id());
        let tracker = SetTracker::new(trust.clone(), &self.genesis.proof()).unwrap();
        let identity =
            Identity { ca_pem: String::new(), certificate_pem: String::new(), key_pem: String::new().into() };
        let config = Config { nodes: Vec::new(), identity, trust, deadline, dial: None };
        Client::of(config, nodes, self.genesis.clone(), tracker)
    }
}

/// What a validator says; nothing, where a test does not say what.
pub(crate) trait Says: Send + Sync + 'static {
    fn submit(&self, _request: proto::SubmitRequest) -> Result<proto::SubmitResponse, Status> {
        Err(nothing())
    }

    fn state(&self, _key: &[u8]) -> Result<proto::GetStateResponse, Status> {
        Err(nothing())
    }

    fn follow(&self, _from: u64) -> Result<Answers<proto::Block>, Status> {
        Err(nothing())
    }

    fn watch(&self) -> Result<Answers<proto::OutcomeResponse>, Status> {
        Err(nothing())
    }

    fn checkpoint(
        &self,
        _request: proto::GetCheckpointRequest,
    ) -> Result<proto::GetCheckpointResponse, Status> {
        Err(nothing())
    }
}

pub(crate) type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Answers, and after them the end of the stream, or silence.
pub(crate) fn answers<T: Send + 'static>(answers: Vec<T>, then_silence: bool) -> Answers<T> {
    use tokio_stream::StreamExt as _;
    let said = tokio_stream::iter(answers.into_iter().map(Ok));
    if then_silence { Box::pin(said.chain(tokio_stream::pending())) } else { Box::pin(said) }
}

fn nothing() -> Status {
    Status::unavailable("nothing to say")
}

/// A refusal with a stable code, as a validator sends it.
pub(crate) fn refusal(code: &'static str) -> Status {
    let mut status = Status::failed_precondition("no");
    status.metadata_mut().insert("keyward-code", code.parse().unwrap());
    status
}

async fn serve(face: Arc<dyn Says>) -> Node {
    let incoming = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = format!("http://{}", incoming.local_addr().unwrap());
    tokio::spawn(Server::builder().add_service(LedgerServer::new(Face(face))).serve_with_incoming(incoming));
    let channel = Endpoint::from_shared(address.clone()).unwrap().connect().await.unwrap();
    Node { address, rpc: LedgerClient::new(channel) }
}

struct Face(Arc<dyn Says>);

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl Service for Face {
    type WatchBatchStream = Answers<proto::OutcomeResponse>;
    type FollowStream = Answers<proto::Block>;

    async fn submit(&self, request: Request<proto::SubmitRequest>) -> Answer<proto::SubmitResponse> {
        self.0.submit(request.into_inner()).map(Response::new)
    }

    async fn get_state(&self, request: Request<proto::GetStateRequest>) -> Answer<proto::GetStateResponse> {
        self.0.state(&request.get_ref().key).map(Response::new)
    }

    async fn follow(&self, request: Request<proto::FollowRequest>) -> Answer<Self::FollowStream> {
        self.0.follow(request.get_ref().from_height).map(Response::new)
    }

    async fn watch_batch(&self, _: Request<proto::OutcomeRequest>) -> Answer<Self::WatchBatchStream> {
        self.0.watch().map(Response::new)
    }

    async fn get_checkpoint(
        &self,
        request: Request<proto::GetCheckpointRequest>,
    ) -> Answer<proto::GetCheckpointResponse> {
        self.0.checkpoint(request.into_inner()).map(Response::new)
    }

    async fn read(&self, _: Request<proto::ReadRequest>) -> Answer<proto::ReadResponse> {
        Err(nothing())
    }

    async fn outcome(&self, _: Request<proto::OutcomeRequest>) -> Answer<proto::OutcomeResponse> {
        Err(nothing())
    }

    async fn get_record(&self, _: Request<proto::GetRecordRequest>) -> Answer<proto::GetRecordResponse> {
        Err(nothing())
    }

    async fn find(&self, _: Request<proto::FindRequest>) -> Answer<proto::FindResponse> {
        Err(nothing())
    }

    async fn get_block(&self, _: Request<proto::GetBlockRequest>) -> Answer<proto::Block> {
        Err(nothing())
    }

    async fn status(&self, _: Request<proto::StatusRequest>) -> Answer<proto::StatusResponse> {
        Err(nothing())
    }

    async fn scrub(&self, _: Request<proto::ScrubRequest>) -> Answer<proto::ScrubResponse> {
        Err(nothing())
    }

    async fn get_genesis(&self, _: Request<proto::GetGenesisRequest>) -> Answer<proto::GetGenesisResponse> {
        Err(nothing())
    }
}
