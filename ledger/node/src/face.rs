//! The ledger's gRPC face: hands batches in, serves what is final with proofs.
//!
//! TLS has shown a client certificate of our authority before anything here runs. Who may write is decided
//! by the batch's signature, who may read what by the role in the certificate (`readers.rs`).

mod caller;
mod edge;
mod find;
mod health;
mod outcome;
mod read;
mod streams;
mod submit;

pub(crate) use edge::coded;
pub(crate) use streams::Streams;
pub use streams::{
    FINDS_MAX, FINDS_PER_CONNECTION_MAX, FOLLOWS_MAX, FOLLOWS_PER_CONNECTION_MAX, WATCHES_MAX,
    WATCHES_PER_CONNECTION_MAX,
};
pub(crate) use submit::take_in;

use std::{pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use keyward_ledger_core::{
    block::{Block, SIGNED_HEADER_BYTES, SignedHeader},
    execute::BlockOutcomes,
    log::{prove_inclusion, prove_range},
    record::Record,
};
use keyward_ledger_engine::EngineHandle;
use keyward_proto::ledger::{
    self as proto, GetBlockRequest, GetCheckpointRequest, GetCheckpointResponse, GetGenesisRequest,
    GetGenesisResponse, GetRecordRequest, GetRecordResponse, GetStateRequest, GetStateResponse, Operation,
    OutcomeRequest, OutcomeResponse, RecordProof, RefusedRead, ScrubRequest, ScrubResponse, StatusRequest,
    StatusResponse, SubmitRequest, SubmitResponse, get_record_request::By, ledger_server,
};
use tokio::sync::{mpsc, watch};
use tokio_stream::{Stream, wrappers::ReceiverStream};
use tonic::{Request, Response, Status};

use crate::{
    alarms::{Alarm, Code},
    checkpoint::Checkpoints,
    readers::{Class, RefusedReads},
    refusal::Refusal,
    repair,
    shared::{Anchor, Shared},
};

/// Blocks that wait for a slow follower.
const FOLLOW_BUFFER: usize = 16;

/// How long a read waits for the first certificate after a start.
const FIRST_CERTIFICATE_WAIT: Duration = Duration::from_secs(3);

/// Headers between a block and the certificate that covers it. Nearly every block has its own.
const DESCENDANTS_MAX: u64 = 256;

/// The service behind the face.
#[derive(Clone)]
pub(crate) struct Face {
    pub(crate) shared: Arc<Shared>,
    pub(crate) engine: Arc<EngineHandle>,
    pub(crate) checkpoints: Option<Arc<Checkpoints>>,
    /// Turns true when the node stops; waiting calls end then.
    pub(crate) stopping: watch::Receiver<bool>,
    pub(crate) refused_reads: Arc<RefusedReads>,
    pub(crate) streams: Streams,
}

/// A block with the records that it made.
struct Made {
    block: Block,
    outcomes: BlockOutcomes,
    first_leaf: u64,
}

impl Made {
    /// None where it did not make it.
    fn record(&self, leaf: u64) -> Option<Record> {
        let index = leaf.checked_sub(self.first_leaf)?;
        self.outcomes.record(&self.block, u32::try_from(index).ok()?)
    }

    fn has(&self, leaf: u64) -> bool {
        leaf.checked_sub(self.first_leaf).is_some_and(|index| index < u64::from(self.outcomes.count()))
    }
}

impl Face {
    /// The newest certified header. A node that has just started waits a little for its first.
    async fn anchor(&self) -> Result<Arc<Anchor>, Status> {
        let mut views = self.shared.view.subscribe();
        let certified = views.wait_for(|view| view.anchor.is_some());
        let certified = self.shared.timer.within(FIRST_CERTIFICATE_WAIT, certified).await;
        let anchor = certified.and_then(Result::ok).and_then(|view| view.anchor.clone());
        anchor.ok_or_else(|| {
            Refusal::NoCertificate.status("no block above genesis is certified here yet; try again")
        })
    }

    /// A block with its outcomes, tied to the first certified header at or above it.
    pub(crate) async fn block(&self, height: u64) -> Result<proto::Block, Status> {
        if height == 0 {
            let block = Bytes::from(self.shared.genesis.block().encode());
            return Ok(proto::Block { block, ..Default::default() });
        }
        let newest = self.anchor().await?.height();
        if height > newest {
            return Err(Refusal::HeightUnknown
                .status(format!("height {height} is not certified here; the newest is {newest}")));
        }
        let (block, outcomes, first_leaf) = self.stored(height).await?;
        let (anchor, descendants, log_size) = self.certified_above(height).await?;
        let range_proof = match u64::from(outcomes.count()) {
            0 => Vec::new(),
            count => prove_range(&self.shared.index, first_leaf..first_leaf + count, log_size)
                .map(hashes)
                .map_err(|error| failed(&error))?,
        };
        let outcomes =
            (0..outcomes.count()).filter_map(|i| outcomes.outcome(i)).map(|o| o.encode().into()).collect();
        Ok(proto::Block {
            height,
            block,
            anchor: Some(anchor),
            outcomes,
            first_leaf,
            range_proof,
            descendants,
        })
    }

    /// Refuses what lies below the first block that this node holds: another validator has it.
    fn above_floor(&self, height: u64) -> Result<(), Status> {
        if height > self.shared.floor_height() {
            Ok(())
        } else {
            Err(self.below_floor(&format!("block {height}")))
        }
    }

    pub(crate) fn below_floor(&self, what: &str) -> Status {
        let first = self.shared.floor_height() + 1;
        Refusal::BelowFloor.status(format!(
            "{what} lies below height {first}, the first that this validator holds: it began at a snapshot; ask another validator"
        ))
    }

    /// The first certificate at or above a height, the headers from there on, and the log's size under it.
    async fn certified_above(&self, height: u64) -> Result<(proto::Anchor, Vec<Bytes>, u64), Status> {
        let found = self.shared.blocks.certificate_at_or_after(height).map_err(|error| failed(&error))?;
        let missing = || {
            Refusal::StoreFailed
                .status(format!("no certificate near height {height} here; ask another validator"))
        };
        let (certified, certificate) =
            found.filter(|(at, _)| *at - height <= DESCENDANTS_MAX).ok_or_else(missing)?;
        let mut header = self.header(height).await?;
        let mut descendants = Vec::new();
        for above in height + 1..=certified {
            header = self.header(above).await?;
            descendants.push(header.clone());
        }
        let found = SignedHeader::decode(&header).map_err(|error| failed(&error))?.header;
        let certificate = crate::executor::convert(certificate).encode().into();
        let (shared, view) = (&self.shared, self.shared.view());
        let links = shared.links.below(certified, &found.set_hash, &view.ledger, &shared.blocks);
        let links = links.map_err(|error| failed(&error))?;
        Ok((proto::Anchor { header, certificate, links }, descendants, found.log_size))
    }

    async fn header(&self, height: u64) -> Result<Bytes, Status> {
        let bytes = self.bytes(height).await?;
        Ok(bytes.slice(..SIGNED_HEADER_BYTES.min(bytes.len())))
    }

    /// A block's bytes, brought back from the others if they do not check here.
    async fn bytes(&self, height: u64) -> Result<Bytes, Status> {
        let missing =
            || Refusal::StoreFailed.status(format!("block {height} is missing here; ask another validator"));
        repair::block_at(&self.shared, height).await.ok_or_else(missing)
    }

    async fn stored(&self, height: u64) -> Result<(Bytes, BlockOutcomes, u64), Status> {
        self.above_floor(height)?;
        let bytes = self.bytes(height).await?;
        let entry = self.shared.index.entry(height).map_err(|error| failed(&error))?;
        let (place, outcomes) = entry.ok_or_else(|| {
            let text = "the outcomes of a block do not check".to_owned();
            self.shared.alarms.raise(Alarm::new(Code::IndexDamaged, text).at(height));
            self.shared.scrub.ask();
            Refusal::StoreFailed
                .status(format!("the outcomes of block {height} are damaged here; ask another validator"))
        })?;
        Ok((bytes, outcomes, place.first_leaf))
    }

    pub(crate) async fn record(&self, leaf: u64) -> Result<GetRecordResponse, Status> {
        let anchor = self.anchor().await?;
        let size = anchor.ledger.log().size();
        if leaf >= size {
            return Err(Refusal::RecordUnknown
                .status(format!("the certified log has {size} records; {leaf} is none of them")));
        }
        if leaf < self.shared.floor_leaf() {
            return Err(self.below_floor(&format!("record {leaf}")));
        }
        let record = self.proven_record(&self.made(leaf, &anchor).await?, leaf, &anchor)?;
        Ok(GetRecordResponse { anchor: Some(anchor.to_proto()), record: Some(record) })
    }

    /// The block of a record that is held here.
    async fn made(&self, leaf: u64, anchor: &Anchor) -> Result<Made, Status> {
        let height =
            self.shared.index.height_of_leaf(leaf, anchor.height()).map_err(|error| failed(&error))?;
        let height = height
            .ok_or_else(|| Refusal::StoreFailed.status(format!("leaf {leaf} has no height in the index")))?;
        let (bytes, outcomes, first_leaf) = self.stored(height).await?;
        let block = Block::decode(&bytes).map_err(|error| failed(&error))?;
        Ok(Made { block, outcomes, first_leaf })
    }

    /// A record of a block, with its proof under a certified header.
    fn proven_record(&self, made: &Made, leaf: u64, anchor: &Anchor) -> Result<RecordProof, Status> {
        let record = made.record(leaf).ok_or_else(|| {
            let height = made.block.header().height;
            Refusal::StoreFailed.status(format!("leaf {leaf} is not in block {height}"))
        })?;
        let path = prove_inclusion(&self.shared.index, leaf, anchor.ledger.log().size())
            .map(hashes)
            .map_err(|error| failed(&error))?;
        Ok(RecordProof { leaf_index: leaf, leaf: record.encode().into(), path })
    }

    /// What stands under a key, or that nothing does.
    pub(crate) async fn state(&self, key: &[u8]) -> Result<GetStateResponse, Status> {
        let anchor = self.anchor().await?;
        let state = anchor.ledger.state();
        Ok(GetStateResponse {
            value: state.get(key).map(Bytes::copy_from_slice),
            proof: state.prove(key).encode().into(),
            anchor: Some(anchor.to_proto()),
        })
    }

    pub(crate) fn leaf_of(&self, id: &proto::RecordId) -> Result<u64, Status> {
        let submitter = <[u8; 32]>::try_from(&*id.submitter).map_err(|error| {
            Refusal::RequestMalformed.status(format!("a submitter has 32 bytes: {error}"))
        })?;
        let first = self
            .shared
            .index
            .sequences
            .first_leaf(&submitter, id.sequence)
            .map_err(|error| failed(&error))?;
        let unknown = || match self.shared.floor_height() {
            0 => Refusal::RecordUnknown.status("no finalized batch has this submitter and sequence"),
            _ => self.below_floor("a batch of this submitter and sequence, if there is one,"),
        };
        let first = first.ok_or_else(unknown)?;
        first.checked_add(u64::from(id.index)).ok_or_else(unknown)
    }
}

impl Anchor {
    pub(crate) fn height(&self) -> u64 {
        self.header.header.height
    }

    pub(crate) fn to_proto(&self) -> proto::Anchor {
        proto::Anchor {
            header: Bytes::copy_from_slice(&self.header.encode()),
            certificate: self.certificate.encode().into(),
            links: self.links.clone(),
        }
    }
}

pub(crate) fn hashes(hashes: Vec<[u8; 32]>) -> Vec<Bytes> {
    hashes.iter().map(|hash| Bytes::copy_from_slice(hash)).collect()
}

/// A failure of this node's own files; the caller may ask another validator.
pub(crate) fn failed(error: &dyn std::error::Error) -> Status {
    tracing::error!(%error, "alarm: a read failed");
    Refusal::StoreFailed
        .status(format!("this validator cannot read its store: {error}; ask another validator"))
}

type OutcomeStream = Pin<Box<dyn Stream<Item = Result<OutcomeResponse, Status>> + Send>>;
type BlockStream = Pin<Box<dyn Stream<Item = Result<proto::Block, Status>> + Send>>;

#[tonic::async_trait]
impl ledger_server::Ledger for Face {
    async fn submit(&self, request: Request<SubmitRequest>) -> Result<Response<SubmitResponse>, Status> {
        self.submit_batch(request.into_inner()).await.map(Response::new)
    }

    async fn get_record(
        &self,
        request: Request<GetRecordRequest>,
    ) -> Result<Response<GetRecordResponse>, Status> {
        self.authorise(&request, Class::Records)?;
        let leaf = match request.into_inner().by {
            Some(By::LeafIndex(leaf)) => leaf,
            Some(By::Id(id)) => self.leaf_of(&id)?,
            None => return Err(Refusal::RequestMalformed.status("name a record by leaf_index or by id")),
        };
        let record = self.record(leaf).await?;
        Ok(Response::new(record))
    }

    async fn find(
        &self,
        request: Request<proto::FindRequest>,
    ) -> Result<Response<proto::FindResponse>, Status> {
        self.authorise(&request, Class::Records)?;
        let connection = caller::connection(&request);
        self.find_records(&request.into_inner(), connection).await.map(Response::new)
    }

    async fn get_block(&self, request: Request<GetBlockRequest>) -> Result<Response<proto::Block>, Status> {
        self.authorise(&request, Class::Records)?;
        self.block(request.into_inner().height).await.map(Response::new)
    }

    type FollowStream = BlockStream;

    async fn follow(&self, request: Request<proto::FollowRequest>) -> Result<Response<BlockStream>, Status> {
        self.authorise(&request, Class::Records)?;
        let slot = self.streams.take(streams::Kind::Follow, caller::connection(&request))?;
        let from = request.into_inner().from_height;
        let (sender, receiver) = mpsc::channel(FOLLOW_BUFFER);
        tokio::spawn(self.clone().send_blocks(from, sender, slot));
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    async fn get_state(
        &self,
        request: Request<GetStateRequest>,
    ) -> Result<Response<GetStateResponse>, Status> {
        read::check_key(&request.get_ref().key)?;
        self.authorise(&request, Class::of_state(&request.get_ref().key))?;
        self.state(&request.get_ref().key).await.map(Response::new)
    }

    async fn read(
        &self,
        request: Request<proto::ReadRequest>,
    ) -> Result<Response<proto::ReadResponse>, Status> {
        read::check(request.get_ref())?;
        for class in read::classes(request.get_ref()) {
            self.authorise(&request, class)?;
        }
        self.read_together(request.get_ref()).await.map(Response::new)
    }

    async fn outcome(&self, request: Request<OutcomeRequest>) -> Result<Response<OutcomeResponse>, Status> {
        let name = outcome::BatchName::parse(request.get_ref())?;
        self.outcome_of(&name).await.map(Response::new)
    }

    type WatchBatchStream = OutcomeStream;

    async fn watch_batch(&self, request: Request<OutcomeRequest>) -> Result<Response<OutcomeStream>, Status> {
        let name = outcome::BatchName::parse(request.get_ref())?;
        let slot = self.streams.take(streams::Kind::Watch, caller::connection(&request))?;
        let (sender, receiver) = mpsc::channel(1);
        tokio::spawn(self.clone().watch(name, sender, slot));
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    async fn status(&self, request: Request<StatusRequest>) -> Result<Response<StatusResponse>, Status> {
        let operation = caller::reader(&request).may_read(Class::Operation).then(|| self.operation());
        let view = self.shared.view();
        let ledger = &view.ledger;
        let (pool_batches, pool_bytes) = {
            let pool = self.shared.pool();
            (pool.len() as u64, pool.bytes() as u64)
        };
        Ok(Response::new(StatusResponse {
            chain_id: Bytes::copy_from_slice(ledger.chain_id()),
            name: self.shared.genesis.name().to_owned(),
            height: ledger.height(),
            block_digest: Bytes::copy_from_slice(ledger.tip()),
            epoch: ledger.epoch_of(ledger.height()),
            regime: ledger.parameters().regime.name().to_owned(),
            log_size: ledger.log().size(),
            log_root: Bytes::copy_from_slice(&ledger.log().root()),
            state_root: Bytes::copy_from_slice(&ledger.state().root()),
            pool_batches,
            pool_bytes,
            validator: Bytes::copy_from_slice(&self.shared.validator),
            validators: ledger.set().keys().map(|key| Bytes::copy_from_slice(&key)).collect(),
            time_ms: ledger.time_ms(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            operation,
        }))
    }

    async fn scrub(&self, request: Request<ScrubRequest>) -> Result<Response<ScrubResponse>, Status> {
        self.authorise(&request, Class::Operation)?;
        self.shared.scrub.ask();
        Ok(Response::new(ScrubResponse {}))
    }

    async fn get_checkpoint(
        &self,
        request: Request<GetCheckpointRequest>,
    ) -> Result<Response<GetCheckpointResponse>, Status> {
        let none = || Refusal::CheckpointUnknown.status("this validator has no checkpoint key; ask another");
        self.authorise(&request, Class::Public)?;
        let checkpoints = self.checkpoints.as_ref().ok_or_else(none)?;
        let anchor = self.anchor().await?;
        let request = request.into_inner();
        let floor = self.shared.floor_leaf();
        if request.leaf_index.is_some_and(|leaf| leaf < floor) {
            return Err(self.below_floor("a record that old"));
        }
        if (1..floor).contains(&request.from_size) {
            return Err(self.below_floor(&format!("the log of {} records", request.from_size)));
        }
        checkpoints.answer(&self.shared, &anchor, &request).map(Response::new)
    }

    async fn get_genesis(
        &self,
        _: Request<GetGenesisRequest>,
    ) -> Result<Response<GetGenesisResponse>, Status> {
        Ok(Response::new(GetGenesisResponse { genesis: self.shared.genesis.encode().into() }))
    }
}

impl Face {
    /// What only those who look after the node are told.
    fn operation(&self) -> Operation {
        let refused = self.refused_reads.counts().map(|(reader, class, count)| RefusedRead {
            role: reader.name().to_owned(),
            class: class.name().to_owned(),
            count,
        });
        let (alarms_raised, alarms_open) = self.shared.alarms.counts();
        Operation {
            refused_reads: refused.collect(),
            scrub: Some(health::scrub_status(&self.shared)),
            alarms_raised,
            alarms_open,
            alarms: health::alarms(&self.shared),
            look_up_height: self.shared.lookup.covered(),
            floor: self.shared.floor_height(),
            cold: health::cold(&self.shared),
        }
    }

    /// Sends certified blocks from a height on until the follower hangs up or the node stops.
    async fn send_blocks(
        mut self,
        from: u64,
        sender: mpsc::Sender<Result<proto::Block, Status>>,
        _slot: streams::Slot,
    ) {
        let mut views = self.shared.view.subscribe();
        let mut next = from;
        loop {
            let certified = views.borrow_and_update().anchor.as_ref().map_or(0, |anchor| anchor.height());
            while next <= certified {
                let block = self.block(next).await;
                let failed = block.is_err();
                if sender.send(block).await.is_err() || failed {
                    return;
                }
                next += 1;
            }
            tokio::select! {
                changed = views.changed() => if changed.is_err() { return },
                _ = self.stopping.wait_for(|stopping| *stopping) => return,
                () = sender.closed() => return,
            }
        }
    }
}
