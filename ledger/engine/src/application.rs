//! What the engine asks of the application that executes blocks: propose, verify, take what is final.
use crate::{Block, Certificate, Peer};
use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use std::{fmt, future::Future, pin::Pin, time::Duration};

/// A boxed future that may move between threads.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Where in the protocol a proposal stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProposeContext {
    /// Epoch of the proposal.
    pub epoch: u64,
    /// View of the proposal.
    pub view: u64,
    /// View of the parent's proposal; 0 for the epoch's starting block.
    pub parent_view: u64,
    /// Public key of the view's leader.
    pub leader: [u8; 32],
    /// How long the leader may take before the others give up on the view. `propose` should return well
    /// before it is over, `verify` too.
    pub time_out: Duration,
}

/// The unfinalized and then finalized blocks below a parent, newest first, read only as far as needed.
///
/// A block that this node does not hold is fetched from the others, so a read may wait. Stop at the
/// first block whose state is known; the stream ends at the genesis block.
pub struct Ancestors(Pin<Box<dyn Stream<Item = Block> + Send>>);

impl Ancestors {
    /// Makes ancestors from blocks in order, newest first.
    pub fn new(blocks: impl Stream<Item = Block> + Send + 'static) -> Self {
        Self(Box::pin(blocks))
    }

    /// The next block down, or `None` below genesis or when it can no longer be had.
    pub async fn next(&mut self) -> Option<Block> {
        self.0.next().await
    }
}

impl fmt::Debug for Ancestors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ancestors")
    }
}

/// How leaders change in an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaderTerm {
    /// Every view has another leader.
    Rotating,
    /// One leader for this many views (at least 2), replicating in a pipeline.
    Stable {
        /// Views per leader.
        views: u32,
    },
}

/// Who runs an epoch, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EpochPlan {
    /// Ed25519 public keys of the validators; the order does not matter, certificates index the sorted set.
    pub validators: Vec<[u8; 32]>,
    /// How leaders change.
    pub term: LeaderTerm,
    /// Validators that do not lead, unless too few others are left.
    pub suspects: Vec<[u8; 32]>,
    /// All nodes to be connected with, validators or not. Empty: those that the engine was started with.
    pub peers: Vec<Peer>,
}

impl EpochPlan {
    /// A plan without suspects, among the nodes that the engine was started with.
    pub const fn new(validators: Vec<[u8; 32]>, term: LeaderTerm) -> Self {
        Self { validators, term, suspects: Vec::new(), peers: Vec::new() }
    }
}

/// A vote as anybody can check it: an Ed25519 signature by the strict rule over exactly these bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedVote {
    /// The signed bytes, namespace included.
    pub message: Vec<u8>,
    /// The signature over them.
    pub signature: [u8; 64],
}

/// What a validator did against the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Voted for two proposals in one view.
    ConflictingNotarize,
    /// Voted to finalize two proposals in one view.
    ConflictingFinalize,
    /// Voted both to skip a view and to finalize in it.
    NullifyAndFinalize,
}

/// Signed evidence of a fault, verified before it is handed out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// What was done.
    pub fault: Fault,
    /// In which epoch.
    pub epoch: u64,
    /// In which view.
    pub view: u64,
    /// By whom.
    pub validator: [u8; 32],
    /// The two votes that exclude each other.
    pub votes: [SignedVote; 2],
}

/// Something the application should know that is not a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// An epoch's engine runs from now on.
    EpochStarted {
        /// The epoch.
        epoch: u64,
        /// Whether this node votes in it.
        voting: bool,
    },
    /// A view was skipped by a quorum.
    Nullified {
        /// Epoch of the view.
        epoch: u64,
        /// The view.
        view: u64,
    },
    /// A validator signed two votes that exclude each other.
    Fault(Box<Evidence>),
    /// Stored bytes do not check; the copy is no longer served and counts as missing.
    StoreDamaged {
        /// What the store said.
        reason: String,
    },
}

/// The state machine above the engine.
///
/// Futures may wait on other threads. `propose` and `verify` may be dropped when the protocol moves on,
/// so they must be cancel-safe. A panic in any of them ends the process.
pub trait Application: Send + Sync + 'static {
    /// Makes the bytes of a block on top of `parent`, or `None` to pass. The application waits here for
    /// transactions or its idle pace, bounded well below [`ProposeContext::time_out`].
    fn propose(
        &self,
        context: ProposeContext,
        parent: Block,
        ancestors: Ancestors,
    ) -> BoxFuture<'_, Option<Bytes>>;

    /// Says whether this node votes for `block`. `false` is for good: a block that may become valid later
    /// must be waited for, not refused. Height and parent digest were already compared.
    fn verify(
        &self,
        context: ProposeContext,
        parent: Block,
        block: Block,
        ancestors: Ancestors,
    ) -> BoxFuture<'_, bool>;

    /// Takes a finalized, durable block, in height order without gaps. Blocks may come again after a
    /// restart; the engine counts one as done only after this returns.
    fn finalized(&self, block: Block) -> BoxFuture<'_, ()>;

    /// Takes the certificate over the block at `height`. Not every height gets one: a certificate covers
    /// all blocks below. Must not block.
    fn certificate(&self, height: u64, certificate: Certificate);

    /// Who runs `epoch`. Called when an epoch starts, after its predecessor's last block was `finalized`,
    /// and after a restart for the epoch of the last block that was counted as done, which may be one
    /// behind the application's. The answer for an epoch must never change.
    fn plan(&self, epoch: u64) -> EpochPlan;

    /// Takes a message that the application of the peer with key `from` sent with
    /// [`EngineHandle::gossip`](crate::EngineHandle::gossip). Peers may lie, repeat and flood: check it, bound
    /// what is kept. Must not block.
    fn gossip(&self, _from: [u8; 32], _message: Bytes) {}

    /// Takes a notice. Must not block.
    fn event(&self, event: Event);
}
