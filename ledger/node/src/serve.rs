//! The gRPC server: the ledger's face, health and reflection, and what runs beside them.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use keyward_ledger_engine::EngineHandle;
use keyward_proto::ledger::ledger_server::LedgerServer;
use tokio::{net::TcpListener, sync::watch};
use tonic::{
    service::Routes,
    transport::{Certificate, Identity, Server, ServerTlsConfig, server::TcpIncoming},
};
use tracing::info;

use crate::{
    Config, DRAIN, RunError,
    checkpoint::Checkpoints,
    face::{self, Face, Streams},
    shared::Shared,
};

/// The largest request: a batch of the greatest length with its frame.
pub(crate) const REQUEST_BYTES_MAX: usize = 2 << 20;
/// The largest answer: a block of the greatest length with its proofs.
const ANSWER_BYTES_MAX: usize = 8 << 20;
/// Calls of one connection at once; more wait on the caller's side.
const CALLS_PER_CONNECTION_MAX: u32 = 1024;

/// What answers calls.
pub(crate) struct Calls {
    pub(crate) shared: Arc<Shared>,
    pub(crate) engine: Arc<EngineHandle>,
    pub(crate) checkpoints: Option<Arc<Checkpoints>>,
    pub(crate) beside: Routes,
}

/// Serves until `shutdown` completes, and open calls a little longer.
pub(crate) async fn serve(
    config: &Config,
    calls: Calls,
    shutdown: impl Future<Output = ()> + Send,
    ready: impl FnOnce(SocketAddr),
) -> Result<(), RunError> {
    let listen_error = |source| RunError::Listen { address: config.rpc_listen, source };
    let listener = TcpListener::bind(config.rpc_listen).await.map_err(listen_error)?;
    let address = listener.local_addr().map_err(listen_error)?;
    let (stop, stopping) = watch::channel(false);
    let Calls { shared, engine, checkpoints, beside } = calls;
    let face = Face {
        shared,
        engine,
        checkpoints,
        stopping: stopping.clone(),
        refused_reads: Arc::default(),
        streams: Streams::default(),
    };
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_serving::<LedgerServer<Face>>().await;
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(keyward_proto::DESCRIPTORS)
        .build_v1();
    let reflection = reflection.map_err(|error| listen_error(io::Error::other(error)))?;
    let tls = ServerTlsConfig::new()
        .identity(Identity::from_pem(&config.tls.certificate_pem, config.tls.key_pem.as_bytes()))
        .client_ca_root(Certificate::from_pem(&config.tls.ca_pem));
    let ledger = LedgerServer::new(face)
        .max_decoding_message_size(REQUEST_BYTES_MAX)
        .max_encoding_message_size(ANSWER_BYTES_MAX);
    let server = Server::builder()
        .tls_config(tls)?
        .initial_stream_window_size(4 << 20)
        .initial_connection_window_size(8 << 20)
        .max_concurrent_streams(Some(CALLS_PER_CONNECTION_MAX))
        .http2_keepalive_interval(Some(Duration::from_secs(10)));
    let router = face::coded(server).add_routes(beside);
    let router = router.add_service(health_service).add_service(reflection).add_service(ledger);
    let mut stopped = stopping;
    let serving = router.serve_with_incoming_shutdown(
        TcpIncoming::from(listener).with_nodelay(Some(true)),
        async move {
            let _closed = stopped.wait_for(|stopping| *stopping).await;
        },
    );
    tokio::pin!(serving);
    info!(%address, "validator serves");
    ready(address);
    tokio::select! {
        result = &mut serving => return result.map_err(RunError::from),
        () = shutdown => {}
    }
    stop.send_replace(true);
    match tokio::time::timeout(DRAIN, serving).await {
        Ok(result) => result.map_err(RunError::from),
        Err(_elapsed) => Ok(()),
    }
}
