//! The epoch loop: one simplex engine per epoch, stopped at the boundary block, then the next.
use crate::{
    Application, EngineError, EpochPlan, Event, Id, LeaderTerm, Role, Store,
    block::{Block, Sealed},
    early::Early,
    elector::Turns,
    journal::{self, Journal},
    node::{
        App, BUFFER_BYTES, MAILBOX_SIZE, MarshalMailbox, Progress, Schemes, Settings, VIEW_RETENTION,
        non_zero,
    },
    strict::{StrictScheme, strict_key},
    watch::Watch,
};
use commonware_codec::{Copying, DecodeExt as _};
use commonware_consensus::{
    Heightable as _, Reporters,
    simplex::{self, elector::Terms},
    types::{Epoch, Epocher, FixedEpocher, Height, TermLength, ViewDelta},
};
use commonware_cryptography::{Digested, certificate::Scheme as _, ed25519::PublicKey, sha256::Digest};
use commonware_macros::select;
use commonware_p2p::{
    Blocker, Receiver, Sender,
    utils::mux::{Builder as _, Muxer, SubReceiver, SubSender},
};
use commonware_parallel::Sequential;
use commonware_runtime::{
    Clock, Error as RuntimeError, Handle, Metrics, Spawner, Storage, buffer::paged::CacheRef,
};
use commonware_utils::{
    Acknowledgement as _, TryCollect as _, acknowledgement::Exact, ordered::Set, vec::NonEmptyVec,
};
use futures::{StreamExt as _, channel::mpsc};
use rand_core::CryptoRng;
use std::{
    num::NonZeroU32,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tracing::info;

/// What every epoch needs.
pub(crate) struct Epochs<E, B>
where
    E: Spawner + Clock + Metrics,
{
    pub(crate) settings: Settings,
    pub(crate) epocher: FixedEpocher,
    pub(crate) cache: CacheRef,
    pub(crate) schemes: Schemes,
    pub(crate) application: Arc<dyn Application>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) automaton: App<E>,
    pub(crate) blocker: B,
    pub(crate) marshal: MarshalMailbox,
    pub(crate) progress: Arc<Progress>,
    /// With a vote journal that is not ours or not whole: the last epoch in which this key may have voted here, as
    /// far as the store goes. It votes in later ones alone.
    pub(crate) quiet_through: Option<u64>,
}

/// An epoch about to run.
pub(crate) struct Start {
    number: u64,
    last: u64,
    /// Digest of the block below the epoch's first.
    boundary: [u8; 32],
    plan: EpochPlan,
    scheme: StrictScheme,
}

/// Runs epochs until the network or marshal goes away (which is a shutdown) or something is wrong.
pub(crate) async fn run<E, B, S, R>(
    context: E,
    epochs: Epochs<E, B>,
    first: Start,
    (votes, certificates, requests): ((S, R), (S, R), (S, R)),
    mut finalized: mpsc::UnboundedReceiver<(Digested<Sealed>, Exact)>,
) -> Result<(), EngineError>
where
    E: Spawner + Clock + CryptoRng + Metrics + Storage,
    B: Blocker<PublicKey = PublicKey> + Sync,
    S: Sender<PublicKey = PublicKey>,
    R: Receiver<PublicKey = PublicKey>,
{
    let (mux, mut votes, mut other_votes) =
        Muxer::builder(context.child("vote_mux"), votes.0, votes.1).with_backup().build();
    let _votes = mux.start();
    let (mux, mut certificates, mut other_certificates) =
        Muxer::builder(context.child("certificate_mux"), certificates.0, certificates.1)
            .with_backup()
            .build();
    let _certificates = mux.start();
    let (mux, mut requests) = Muxer::new(context.child("request_mux"), requests.0, requests.1);
    let _requests = mux.start();

    let mut start = first;
    let mut network = Network {
        votes: Early::new(votes.register(start.number).await?),
        certificates: Early::new(certificates.register(start.number).await?),
        requests: requests.register(start.number).await?,
    };
    loop {
        let number = start.number;
        epochs.forget(&context, number).await?;
        let running = epochs.engine(&context, &start, network);
        let mut next = Network {
            votes: Early::new(votes.register(number + 1).await?),
            certificates: Early::new(certificates.register(number + 1).await?),
            requests: requests.register(number + 1).await?,
        };
        let last = Height::new(start.last);
        let boundary = loop {
            // Who is in a later epoch than ours?
            let ahead = select! {
                from = next.votes.listen() => from.map(|from| (number + 1, from)),
                from = next.certificates.listen() => from.map(|from| (number + 1, from)),
                message = other_votes.recv() => message.map(|(epoch, (from, _))| (epoch, from)),
                message = other_certificates.recv() => message.map(|(epoch, (from, _))| (epoch, from)),
                block = finalized.next() => {
                    let Some((block, ack)) = block else { return Ok(()) };
                    epochs.finalized(&block).await;
                    ack.acknowledge();
                    if block.height() == last { break block.inner().0.digest }
                    continue;
                },
            };
            let Some((epoch, from)) = ahead else { return Ok(()) };
            // It has the certificate that closes our epoch.
            if epoch > number {
                epochs.marshal.hint_finalized(last, NonEmptyVec::new(from));
            }
        };
        running.abort();
        start = epochs.start(number + 1, boundary)?;
        network = next;
    }
}

/// The channels of one epoch.
struct Network<S: Sender<PublicKey = PublicKey>> {
    votes: Early<S>,
    certificates: Early<S>,
    requests: (SubSender<S>, SubReceiver<PublicKey>),
}

impl<E, B> Epochs<E, B>
where
    E: Spawner + Clock + CryptoRng + Metrics + Storage,
    B: Blocker<PublicKey = PublicKey> + Sync,
{
    /// The epoch in progress after a (re)start, with its vote journal checked.
    pub(crate) async fn first(&self, context: &E, processed: u64) -> Result<Start, EngineError> {
        let length = self.settings.epoch_length.get();
        let number = processed.saturating_add(1) / length;
        let boundary = match number {
            0 => self.settings.genesis.digest,
            // The certificate that marshal begins with is of the epoch before.
            _ if self.settings.floor.as_ref().is_some_and(|floor| floor.height == number * length - 1) => {
                self.trust_floor()?
            }
            _ => self.boundary_digest(number * length - 1)?,
        };
        let start = self.start(number, boundary)?;
        self.check_journal(context, &start).await?;
        Ok(start)
    }

    /// Lets certificates of the floor's epoch be verified; the digest of its last block.
    fn trust_floor(&self) -> Result<[u8; 32], EngineError> {
        let Some(floor) = &self.settings.floor else { return Ok(self.settings.genesis.digest) };
        let epoch = floor.certificate.epoch;
        let set = validator_set(epoch, &self.application.plan(epoch))?;
        self.schemes.install(epoch, StrictScheme::new(&self.settings.namespace, set, None));
        Ok(floor.certificate.digest)
    }

    /// Digest of the finalized block at `height`, from itself or from its child.
    fn boundary_digest(&self, height: u64) -> Result<[u8; 32], EngineError> {
        for (at, child) in [(height, false), (height + 1, true)] {
            let bytes = self.store.block(Id::Height(at)).ok().flatten();
            let block = bytes.and_then(|bytes| Block::parse(&*self.settings.codec.0, bytes));
            if let Some(block) = block {
                return Ok(if child { block.parent } else { block.digest });
            }
        }
        Err(EngineError::BoundaryMissing { height })
    }

    fn start(&self, number: u64, boundary: [u8; 32]) -> Result<Start, EngineError> {
        let plan = self.application.plan(number);
        let set = validator_set(number, &plan)?;
        let validator = self.settings.role == Role::Validator;
        if validator && self.quiet_through.and_then(|through| through.checked_add(1)) == Some(number) {
            journal::renew(self.settings.journal.as_ref(), &*self.store)?;
        }
        let votes = validator && self.quiet_through.is_none_or(|through| number > through);
        let key = votes.then(|| self.settings.key.clone());
        let scheme = StrictScheme::new(&self.settings.namespace, set, key);
        self.schemes.install(number, scheme.clone());
        self.progress.epoch.store(number, Ordering::Relaxed);
        (self.settings.track)(number, &plan.peers);
        let last = self.epocher.last(Epoch::new(number)).ok_or(EngineError::EpochsOver { epoch: number })?;
        Ok(Start { number, last: last.get(), boundary, plan, scheme })
    }

    /// A finalization in the store that carries our signature proves that the journal held a vote of that
    /// view. A journal without it was lost or rolled back: voting again could contradict what we signed.
    async fn check_journal(&self, context: &E, start: &Start) -> Result<(), EngineError> {
        // Whether the key votes in this epoch does not matter: the store may be older than its votes were.
        if let Some(Journal { folder, sound: false, of_another_key: false, .. }) = &self.settings.journal
            && self.settings.role == Role::Validator
        {
            return Err(EngineError::VoteJournalReplaced { path: folder.clone() });
        }
        let Some(me) = start.scheme.me().and_then(|me| me.signer()) else { return Ok(()) };
        let Some(signed) = self.last_signed_view(start.number, me.get())? else { return Ok(()) };
        let names = match context.scan(&self.partition(start.number, true)).await {
            Ok(names) => names,
            Err(RuntimeError::PartitionMissing(_)) => Vec::new(),
            Err(source) => return Err(EngineError::Storage { reason: source.to_string() }),
        };
        let views =
            names.iter().filter_map(|name| Some(u64::from_be_bytes(name.as_slice().try_into().ok()?)));
        match views.max() {
            Some(journal) if journal >= signed => Ok(()),
            journal => Err(EngineError::VoteJournalLost { epoch: start.number, signed, journal }),
        }
    }

    fn last_signed_view(&self, epoch: u64, me: u32) -> Result<Option<u64>, EngineError> {
        let mut height = self.store.last(crate::Kind::Certificate);
        while let Some(at) = height {
            let certificate = self.store.certificate(Id::Height(at)).map_err(EngineError::Store)?;
            if let Some(certificate) = certificate {
                if certificate.epoch < epoch {
                    return Ok(None);
                }
                let signed = certificate.signers.iter().any(|(index, _)| *index == me);
                if signed && certificate.epoch == epoch {
                    return Ok(Some(certificate.view));
                }
            }
            height = at.checked_sub(1).filter(|below| below / self.settings.epoch_length.get() >= epoch);
        }
        Ok(None)
    }

    /// Who only watches has a journal of its own: votes of a key before must not be taken for ours.
    fn partition(&self, epoch: u64, voting: bool) -> String {
        format!("{}{}-{epoch}", self.settings.prefix, if voting { "votes" } else { "watch" })
    }

    /// Removes the votes of epochs that cannot run again: every block below the previous epoch is durably
    /// counted as done when this one starts.
    async fn forget(&self, context: &E, epoch: u64) -> Result<(), EngineError> {
        let Some(old) = epoch.checked_sub(2) else { return Ok(()) };
        for voting in [true, false] {
            match context.remove(&self.partition(old, voting), None).await {
                Ok(()) | Err(RuntimeError::PartitionMissing(_)) => {}
                Err(source) => return Err(EngineError::Storage { reason: source.to_string() }),
            }
        }
        Ok(())
    }

    async fn finalized(&self, block: &Digested<Sealed>) {
        let block = block.inner().0.clone();
        let height = block.height;
        self.application.finalized(block).await;
        self.progress.height.store(height, Ordering::Release);
    }

    fn engine<S>(&self, context: &E, start: &Start, network: Network<S>) -> Handle<()>
    where
        S: Sender<PublicKey = PublicKey>,
    {
        let timing = &self.settings.timing;
        let watch = Watch { application: self.application.clone(), scheme: start.scheme.clone() };
        let voting = start.scheme.me().is_some_and(|me| me.signer().is_some());
        info!(epoch = start.number, voting, "epoch starts");
        self.application.event(Event::EpochStarted { epoch: start.number, voting });
        let engine = simplex::Engine::new(
            context.child("simplex").with_attribute("epoch", start.number),
            simplex::Config {
                scheme: start.scheme.clone(),
                elector: Turns {
                    terms: terms(start.plan.term, timing.stall_time_out, timing.pipeline_views),
                    suspects: start.plan.suspects.clone(),
                },
                blocker: self.blocker.clone(),
                automaton: self.automaton.clone(),
                relay: self.automaton.clone(),
                reporter: Reporters::from((self.automaton.clone(), watch)),
                track_historical_votes: false,
                strategy: Sequential,
                partition: self.partition(start.number, voting),
                mailbox_size: MAILBOX_SIZE,
                epoch: Epoch::new(start.number),
                floor: simplex::Floor::Genesis(Digest(start.boundary)),
                replay_buffer: BUFFER_BYTES,
                write_buffer: BUFFER_BYTES,
                page_cache: self.cache.clone(),
                leader_timeout: timing.leader_time_out,
                certification_timeout: timing.certification_time_out,
                timeout_retry: timing.retry,
                view_retention: ViewDelta::new(VIEW_RETENTION),
                skip: simplex::SkipPolicy::Enabled { timeout: timing.skip_after, budget: Default::default() },
                fetch_timeout: non_zero(timing.fetch_time_out),
                fetch_retry_delay: Duration::from_millis(100),
                forward: simplex::ForwardPolicy::SilentVoters,
            },
        );
        engine.start(network.votes.open(), network.certificates.open(), network.requests)
    }
}

fn terms(term: LeaderTerm, stall: Duration, pipeline: u64) -> Terms {
    match term {
        LeaderTerm::Stable { views } if views > 1 => match NonZeroU32::new(views) {
            Some(views) => Terms::stable(TermLength::new(views), stall, ViewDelta::new(pipeline)),
            None => Terms::rotating(),
        },
        _ => Terms::rotating(),
    }
}

fn validator_set(epoch: u64, plan: &EpochPlan) -> Result<Set<PublicKey>, EngineError> {
    let refuse = |reason: String| EngineError::Plan { epoch, reason };
    if plan.validators.is_empty() || plan.validators.len() > crate::SIGNERS_MAX as usize {
        return Err(refuse(format!("`{}` validators", plan.validators.len())));
    }
    let keys = plan.validators.iter().map(|key| match strict_key(key) {
        Some(_) => PublicKey::decode(Copying(key)).map_err(|error| refuse(error.to_string())),
        None => Err(refuse(format!("`{}` is not a canonical Ed25519 key", crate::block::hex(key)))),
    });
    let keys: Vec<PublicKey> = keys.collect::<Result<_, _>>()?;
    keys.into_iter().try_collect().map_err(|error| refuse(format!("a validator stands twice: {error}")))
}
