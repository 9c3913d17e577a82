//! A validator on a machine of the caller's: the room's own code, without the threads, the clock and the sockets that
//! [`run`](crate::run) gives it. Simulations take such seats, also those of other rooms that stand beside a validator.

use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::Arc,
};

use keyward_ledger_core::ed25519::SigningKey;
use keyward_ledger_engine::{Application, BoxFuture, EngineConfig, EngineHandle, Format, Role, Store};
use keyward_proto::ledger::{
    GetRecordResponse, GetStateResponse, SubmitRequest, SubmitResponse, ledger_server::Ledger as _,
};
use tokio::sync::{mpsc, watch};
use tonic::{Request, Status};

use crate::{
    Config, Parts, RunError,
    application::BlockFormat,
    catch_up::Offers,
    duties, engine_config,
    executor::{Diverged, Executor, Job},
    face::{Face, Streams},
    intake,
    machine::Machine,
    repair,
    shared::Shared,
};

/// Work that goes on until the validator ends; the caller polls it.
pub type Going = BoxFuture<'static, ()>;

/// A validator that was recovered from its files and waits for its engine.
pub struct Seat {
    config: Config,
    pub(crate) parts: Parts,
}

impl std::fmt::Debug for Seat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seat")
    }
}

impl Seat {
    /// Recovers a validator from its files.
    pub fn open(config: Config, machine: Machine) -> Result<Self, RunError> {
        let parts = Parts::assemble(&config, machine)?;
        Ok(Self { config, parts })
    }

    /// What its blocks look like to the engine.
    pub fn format() -> Arc<dyn Format> {
        Arc::new(BlockFormat)
    }

    /// What its engine is started with. A key whose votes are lost must not take the role of a validator.
    pub fn engine(&self, role: Role) -> Result<EngineConfig, RunError> {
        engine_config(&self.config, &self.parts.shared, role)
    }

    /// The state machine, for the engine.
    pub fn application(&self) -> Arc<dyn Application> {
        self.parts.application.clone()
    }

    /// The block store, for the engine.
    pub fn store(&self) -> Arc<dyn Store> {
        self.parts.store.clone()
    }

    /// Begins to execute and to hear the others; the engine may start then. The first ends with false when the node's own
    /// results are not those that the others certified.
    pub fn begin(self) -> (BoxFuture<'static, bool>, Going, Begun) {
        let Parts { shared, executor, queue, incoming, jobs, .. } = self.parts;
        let offers = Offers::new(self.config.data_dir.join("snapshots"));
        let begun = Begun { shared: shared.clone(), key: SigningKey::from_seed(&self.config.validator_key) };
        drop(jobs); // those of the application hold the queue open
        (Box::pin(execute(executor, queue)), Box::pin(intake::run(shared, incoming, offers)), begun)
    }
}

async fn execute(mut executor: Executor, mut queue: mpsc::Receiver<Job>) -> bool {
    while let Some(job) = queue.recv().await {
        match catch_unwind(AssertUnwindSafe(|| executor.work(job))) {
            Ok(true) => {}
            Ok(false) => break,
            Err(panic) if panic.is::<Diverged>() => return false,
            Err(panic) => resume_unwind(panic),
        }
    }
    true
}

/// A validator that executes, and whose engine does not run yet.
pub struct Begun {
    pub(crate) shared: Arc<Shared>,
    key: SigningKey,
}

impl std::fmt::Debug for Begun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Begun")
    }
}

impl Begun {
    /// Goes on with an engine that runs: what it does from now on by itself, and what it answers. Calls that wait end when
    /// `stopping` turns true, or nobody can turn it any more.
    pub fn serve(self, engine: Arc<EngineHandle>, stopping: watch::Receiver<bool>) -> ([Going; 2], Answers) {
        let Self { shared, key } = self;
        let others: Arc<dyn repair::Others> = engine.clone();
        shared.others.send_replace(Arc::downgrade(&others));
        drop(others);
        let going: [Going; 2] = [
            Box::pin(intake::pass_on_again(shared.clone(), engine.clone())),
            Box::pin(duties::run(shared.clone(), engine.clone(), key)),
        ];
        let (refused_reads, streams) = (Arc::default(), Streams::default());
        let face = Face { shared, engine, checkpoints: None, stopping, refused_reads, streams };
        (going, Answers { face })
    }
}

/// What a validator answers to a caller in its own process: what its gRPC face would, with the same proofs, but for the
/// question who calls.
#[derive(Clone)]
pub struct Answers {
    pub(crate) face: Face,
}

impl std::fmt::Debug for Answers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Answers")
    }
}

impl Answers {
    /// The newest finalized height.
    pub fn height(&self) -> u64 {
        self.face.shared.view().ledger.height()
    }

    /// The newest height that is certified here since the start, if any is.
    pub fn certified(&self) -> Option<u64> {
        self.face.shared.view().anchor.as_ref().map(|anchor| anchor.height())
    }

    /// Takes a batch in.
    pub async fn submit(&self, request: SubmitRequest) -> Result<SubmitResponse, Status> {
        self.face.submit(Request::new(request)).await.map(tonic::Response::into_inner)
    }

    /// A record by its place in the log.
    pub async fn record(&self, leaf_index: u64) -> Result<GetRecordResponse, Status> {
        self.face.record(leaf_index).await
    }

    /// What stands under a key of the newest certified state.
    pub async fn state(&self, key: &[u8]) -> Result<GetStateResponse, Status> {
        self.face.state(key).await
    }
}
