//! Starting and stopping: store, token, ledger, then the gRPC face; the other way round at the end.

use std::{future::Future, net::SocketAddr, pin::Pin, sync::Arc, time::Duration};

use keyward_crypto::CoreDumpError;
use keyward_domain::key::{DESTRUCTION_WAIT_MAX_MS, DESTRUCTION_WAIT_MIN_MS};
use keyward_ledger_client::{Client, ClientError, Committer};
use keyward_policies::{DelegatePolicies, PolicyError, PolicySet};
use keyward_store::{Database, Location, Store, StoreError};
use keyward_token::{Module, ModuleSource, TokenError, TokenName};
use tokio::{
    net::TcpListener,
    sync::{Semaphore, oneshot},
    task::JoinSet,
    time::sleep,
};
use tonic::{
    Request, Status,
    service::{Routes, interceptor::InterceptedService},
    transport::{Certificate, Identity, Server, ServerTlsConfig, server::TcpIncoming},
};
use tonic_health::ServingStatus;

use crate::{
    adapters::{
        self, Couriers, SystemClock, keepers::Channels, kek::TokenKek, ledger::Validators, tokens::Modules,
    },
    agents::Agents,
    config::{AddressesConfig, AgentConfig, Config, KekConfig, LedgerConfig, Limits, NoticesError, Tls},
    custody::{Custody, random},
    face::{Coded, Face, coded},
    failure::{Failure, chain},
    kek, notices,
    notices::Notices,
    opened::Opened,
    policies::InForce,
    ports::{Clock, Keepers, Kek, Ledger, Tokens},
    releases,
    risk::Risk,
    secrets, upkeep,
};

/// How long the start waits for a first validator.
const LEDGER_WAIT: Duration = Duration::from_secs(30);
const LEDGER_PAUSE: Duration = Duration::from_millis(500);
/// How long a rule that was defined right before may take until the validator that is asked has it.
const RULE_WAIT: Duration = Duration::from_secs(5);
/// How much longer than the ledger's own deadline a request waits, for queueing.
const QUEUEING: Duration = Duration::from_millis(500);
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
const STREAMS_PER_CONNECTION_MAX: u32 = 4096;
const STREAM_WINDOW_BYTES: u32 = 2 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 8 << 20;

/// What a started service tells.
#[derive(Clone, Copy, Debug)]
pub struct Ready {
    /// Where it listens.
    pub address: SocketAddr,
    /// How many intents earlier runs left without a signature; none gets one, but an address's if the very same is asked for again.
    pub unreleased: usize,
}

/// Why the service did not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Core dumps could not be turned off, and secrets are in memory.
    #[error("core dumps cannot be turned off")]
    CoreDumps(#[from] CoreDumpError),
    /// The database does not open.
    #[error("the database `{at}` does not open")]
    Store {
        /// Where it is.
        at: Location,
        /// Why.
        #[source]
        source: StoreError,
    },
    /// The token with the key-encryption key, or a configured module, is not usable.
    #[error("the token is not usable")]
    Token(#[from] TokenError),
    /// The policies of this build do not parse.
    #[error("the policies are refused")]
    Policies(#[from] PolicyError),
    /// Another server that lives uses our submitter key, or who does cannot be said.
    #[error("this server cannot join the others over the database")]
    Join(#[source] StoreError),
    /// No validator of the right ledger answered.
    #[error("the ledger cannot be reached")]
    Ledger(#[from] ClientError),
    /// The service's own secrets or records cannot be read.
    #[error("the service cannot start: {0}")]
    Start(String),
    /// Owners cannot be told as configured.
    #[error("the notices are not usable")]
    Notices(#[from] NoticesError),
    /// The address is not free, or not ours.
    #[error("cannot listen on `{address}`")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The TLS texts are refused, or the server failed.
    #[error("the server failed")]
    Server(#[from] tonic::transport::Error),
    /// The descriptors for reflection are refused.
    #[error("reflection failed")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// A task of the service panicked: a broken invariant.
    #[error("a task of the service broke down")]
    Task(#[from] tokio::task::JoinError),
}

impl RunError {
    fn start(failure: Failure) -> Self {
        let cause = failure.cause.as_deref().map(|cause| format!(": {}", chain(cause))).unwrap_or_default();
        Self::Start(format!("{}{cause}", failure.message))
    }
}

/// What ends a run.
type Shutdown = Pin<Box<dyn Future<Output = ()> + Send>>;
/// What is called once the service listens.
type OnReady<'a> = Box<dyn FnOnce(Ready) + Send + 'a>;
type Running<'a> = Pin<Box<dyn Future<Output = Result<(), RunError>> + 'a>>;

/// Runs a custody service until `shutdown`; `ready` is called once it listens.
pub async fn run(
    config: Config,
    shutdown: impl Future<Output = ()> + Send + 'static,
    ready: impl FnOnce(Ready) + Send,
) -> Result<(), RunError> {
    boxed(config, Box::pin(shutdown), Box::new(ready)).await
}

/// Not generic, so that the whole service is compiled here and not once more in each program that runs it.
fn boxed(config: Config, shutdown: Shutdown, ready: OnReady<'_>) -> Running<'_> {
    Box::pin(serve(config, shutdown, ready))
}

async fn serve(config: Config, shutdown: Shutdown, ready: OnReady<'_>) -> Result<(), RunError> {
    keyward_crypto::disable_core_dumps()?;
    install_tls_provider();
    let Config { tenant, listen, tls, database, ledger, tokens, kek, agents, notices, addresses, limits } =
        config;
    let couriers = adapters::couriers(&notices)?;
    let store = open_store(database).await?;
    let (tokens, kek) = attach(tokens, kek).await?;
    let keepers = Arc::new(Channels::new(copied(&ledger.identity), ledger.dial.clone()));
    let ledger: Arc<dyn Ledger> = Arc::new(connect(ledger).await?);
    let parts = Parts {
        tenant,
        agents,
        couriers,
        addresses,
        store: store.clone(),
        ledger,
        keepers,
        kek: Arc::new(kek),
        tokens: Arc::new(tokens),
    };
    let custody = Arc::new(assemble(parts, Arc::new(SystemClock), &limits).await.map_err(RunError::start)?);
    custody.check_limit(RULE_WAIT).await.map_err(RunError::start)?;
    custody.enter(listen.to_string()).await.map_err(RunError::Join)?;
    let unreleased = custody.find_unreleased().await.map_err(RunError::start)?;
    custody.log_in_to_tokens().await.map_err(RunError::start)?;
    warm_up(&custody).await;

    let (server, routes) = server(&tls, &Face::new(custody.clone(), limits.stream_in_flight)).await?;
    let listener =
        TcpListener::bind(listen).await.map_err(|source| RunError::Listen { address: listen, source })?;
    let address = listener.local_addr().map_err(|source| RunError::Listen { address: listen, source })?;
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let mut tasks = JoinSet::new();
    tasks.spawn(releases::run(custody.clone()));
    if custody.notices.is_some() {
        tasks.spawn(notices::run(custody.clone()));
    }
    tasks.spawn(crate::addresses::close::run(custody.clone()));
    tasks.spawn(upkeep::run(custody.clone(), limits.keep_settled));
    ready(Ready { address, unreleased });
    let mut server = server;
    let (stop, stopping) = oneshot::channel::<()>();
    let asked = async move {
        shutdown.await;
        let _server_gone = stop.send(());
    };
    let drained = async move {
        match stopping.await {
            Ok(()) => sleep(DRAIN).await,
            Err(_never_asked) => std::future::pending().await,
        }
    };
    let served = tokio::select! {
        served = server.add_routes(routes).serve_with_incoming_shutdown(incoming, asked) => served.map_err(RunError::from),
        // Streams that stay open end here; whoever waits in them asks again.
        () = drained => Ok(()),
        // They end only where the service must not go on.
        Some(ended) = tasks.join_next() => {
            let lost = || RunError::Start("another server has its submitter key now".to_owned());
            ended.map_err(RunError::from).and_then(|()| Err(lost()))
        }
    };
    tasks.shutdown().await;
    if let Err(failure) = custody.keep_histories().await {
        tracing::warn!(%failure, "what accounts did last is missing in their histories");
    }
    if let Err(error) = store.close().await {
        tracing::warn!(%error, "the database was not closed in order");
    }
    served
}

/// How long open calls may go on after the service was asked to stop: longer than the ledger's deadline, so
/// that a signature under way still leaves.
const DRAIN: Duration = Duration::from_secs(7);

pub(crate) fn install_tls_provider() {
    if rustls::crypto::CryptoProvider::get_default().is_none()
        && rustls::crypto::aws_lc_rs::default_provider().install_default().is_err()
    {
        tracing::debug!("somebody else installed a tls provider just now");
    }
}

async fn open_store(at: Location) -> Result<Arc<dyn Store>, RunError> {
    let store = Database::open(&at).await.map_err(|source| RunError::Store { at, source })?;
    Ok(Arc::new(store))
}

async fn attach(sources: Vec<ModuleSource>, kek: KekConfig) -> Result<(Modules, TokenKek), RunError> {
    let open = move || sources.iter().map(Module::open_source).collect::<Result<Vec<_>, _>>();
    let modules = Modules::new(tokio::task::spawn_blocking(open).await??);
    let KekConfig { token, label, pin } = kek;
    let (module, info) = modules.locate(&token).await?;
    let name = TokenName::new(info.serial);
    module.login(&name, pin).await?;
    modules.keep(name.as_str());
    Ok((modules, TokenKek::new(module, name, label)))
}

async fn connect(config: LedgerConfig) -> Result<Validators, RunError> {
    let LedgerConfig { nodes, dial, identity, trust, submitter, deadline } = config;
    let until = tokio::time::Instant::now() + LEDGER_WAIT;
    loop {
        let identity = copied(&identity);
        let (nodes, trust, dial) = (nodes.clone(), trust.clone(), dial.clone());
        let config = keyward_ledger_client::Config { nodes, identity, trust, deadline, dial };
        let connected = async {
            let client = Client::connect(config).await?;
            // The highest sequence must be there before the committer takes the key.
            client.state(&keyward_ledger_core::state::layout::parameters_key()).await?;
            Ok::<_, ClientError>(client)
        };
        match connected.await {
            Ok(client) => {
                let committer = Committer::start(client.clone(), submitter).await?;
                return Ok(Validators::new(client, committer, deadline + QUEUEING));
            }
            Err(error @ ClientError::Unreachable { .. }) if tokio::time::Instant::now() < until => {
                tracing::info!(%error, "waiting for the ledger");
                sleep(LEDGER_PAUSE).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// The same TLS identity for another who connects.
fn copied(identity: &keyward_ledger_client::Identity) -> keyward_ledger_client::Identity {
    keyward_ledger_client::Identity {
        ca_pem: identity.ca_pem.clone(),
        certificate_pem: identity.certificate_pem.clone(),
        key_pem: identity.key_pem.clone(),
    }
}

/// The rooms' doors.
pub(crate) struct Parts {
    pub(crate) tenant: String,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) ledger: Arc<dyn Ledger>,
    pub(crate) keepers: Arc<dyn Keepers>,
    pub(crate) kek: Arc<dyn Kek>,
    pub(crate) tokens: Arc<dyn Tokens>,
    pub(crate) agents: Vec<AgentConfig>,
    pub(crate) couriers: Couriers,
    pub(crate) addresses: AddressesConfig,
}

/// Puts the service together; opens or makes its secrets.
pub(crate) async fn assemble(
    parts: Parts,
    clock: Arc<dyn Clock>,
    limits: &Limits,
) -> Result<Custody, Failure> {
    let Parts { tenant, store, ledger, keepers, kek, tokens, agents, couriers, addresses } = parts;
    kek::start(store.as_ref(), kek.as_ref()).await?;
    let lifetime_ms = u64::try_from(limits.opened_key_lifetime.as_millis()).unwrap_or(u64::MAX);
    let wait_ms = u64::try_from(limits.destruction_wait_min.as_millis()).unwrap_or(u64::MAX);
    let custody = Custody {
        tenant,
        boot: random()?,
        policies: InForce::new(PolicySet::embedded().map_err(Failure::internal)?),
        risk: Risk::new(secrets::risk(store.as_ref(), kek.as_ref()).await?)?,
        delegate_policies: DelegatePolicies::embedded().map_err(Failure::internal)?,
        opaque: secrets::opaque(store.as_ref(), kek.as_ref()).await?,
        sealing: secrets::sealing(store.as_ref(), kek.as_ref()).await?,
        mail_key: secrets::mail(store.as_ref(), kek.as_ref()).await?,
        epoch_key: secrets::epochs(store.as_ref(), kek.as_ref()).await?,
        addresses,
        address_limit: Default::default(),
        roots: Opened::new(limits.opened_keys, lifetime_ms),
        begun_addresses: Default::default(),
        closings: Default::default(),
        kept_round: Default::default(),
        orphan_round: Default::default(),
        closing_round: Default::default(),
        keys: Default::default(),
        opened: Opened::new(limits.opened_keys, lifetime_ms),
        sessions: Default::default(),
        logins: Default::default(),
        opening: Default::default(),
        in_flight: Default::default(),
        undecided: Default::default(),
        unreleased: Default::default(),
        begun: Default::default(),
        begun_shared: Default::default(),
        shared_book: Default::default(),
        owed: Default::default(),
        agents: Arc::new(Agents::new(agents, limits.agent_wait)),
        notices: Notices::open(couriers, store.as_ref(), kek.as_ref()).await?,
        floods: Default::default(),
        asking: Default::default(),
        rounds: Default::default(),
        keeper_wait: limits.keeper_wait,
        destruction_wait_min_ms: wait_ms.clamp(DESTRUCTION_WAIT_MIN_MS, DESTRUCTION_WAIT_MAX_MS),
        permits: Arc::new(Semaphore::new(limits.concurrent)),
        queued: Default::default(),
        store,
        ledger,
        keepers,
        kek,
        tokens,
        clock,
    };
    // Until the ledger has said what is in force, nothing that a set may narrow passes.
    if let Err(failure) = custody.look_at_policies().await {
        tracing::warn!(%failure, "the ledger does not say yet which policies are in force");
    }
    if let Err(failure) = custody.look_at_risk().await {
        tracing::warn!(%failure, "the ledger does not say yet which rules of risk are in force");
    }
    Ok(custody)
}

/// Before the first request: the height, and what earlier runs left under way, as far as the ledger answers.
async fn warm_up(custody: &Custody) {
    if let Err(error) = custody.ledger.refresh().await {
        tracing::warn!(%error, "the ledger does not answer yet");
    }
    match custody.settle_acts().await {
        Ok(0) => {}
        Ok(waiting) => tracing::warn!(waiting, "changes of an earlier run wait for the ledger"),
        Err(failure) => tracing::warn!(%failure, "changes of an earlier run wait for the ledger"),
    }
}

pub(crate) async fn server(tls: &Tls, face: &Face) -> Result<(Coded, Routes), RunError> {
    let identity = Identity::from_pem(&tls.certificate_pem, tls.key_pem.as_bytes());
    let tls = ServerTlsConfig::new()
        .identity(identity)
        .client_ca_root(Certificate::from_pem(&tls.client_ca_pem))
        .client_auth_optional(true)
        .timeout(HANDSHAKE_TIMEOUT);
    let server = Server::builder()
        .tls_config(tls)?
        .max_concurrent_streams(STREAMS_PER_CONNECTION_MAX)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .http2_keepalive_interval(Some(Duration::from_secs(20)))
        .http2_keepalive_timeout(Some(Duration::from_secs(10)));
    let (reporter, health) = tonic_health::server::health_reporter();
    for name in [
        "",
        "keyward.v1.Accounts",
        "keyward.v1.Keys",
        "keyward.v1.Signing",
        "keyward.v1.Tokens",
        "keyward.v1.Agents",
        "keyward.v1.Vaults",
        "keyward.v1.Delegation",
        "keyward.v1.Recovery",
        "keyward.v1.Approvals",
        "keyward.v1.Policies",
        "keyward.v1.Risk",
        "keyward.v1.Shared",
        "keyward.v1.Associations",
        "keyward.v1.Addresses",
        "keyward.v1.Audit",
        "keyward.v1.Viewings",
        "keyward.v1.Admin",
    ] {
        reporter.set_service_status(name, ServingStatus::Serving).await;
    }
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(keyward_proto::DESCRIPTORS)
        .build_v1()?;
    let routes = Routes::new(health).add_service(InterceptedService::new(reflection, certified));
    Ok((coded(server), face.routes(routes)))
}

/// Only OPAQUE calls and health accept no certificate.
fn certified(request: Request<()>) -> Result<Request<()>, Status> {
    if request.peer_certs().is_some() { Ok(request) } else { Err(crate::face::certificate_required()) }
}
