//! The validators that a client may ask, each behind its own TLS channel.

use std::{fmt, sync::Arc, time::Duration};

use keyward_proto::ledger::ledger_client::LedgerClient;
use thiserror::Error;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity as TlsIdentity};
use zeroize::Zeroizing;

use crate::dial::{Dial, Through};

/// The largest answer that is taken: a block of the greatest length with its proofs.
pub(crate) const MESSAGE_BYTES_MAX: usize = 8 << 20;
const CONNECT_TIME_OUT: Duration = Duration::from_secs(2);

/// Who the client is in TLS, and whom it trusts there.
pub struct Identity {
    /// Certificates of the authorities that sign the validators' server certificates, PEM.
    pub ca_pem: String,
    /// The client's certificate, PEM.
    pub certificate_pem: String,
    /// Its private key, PEM.
    pub key_pem: Zeroizing<String>,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity(redacted)")
    }
}

/// Why a channel cannot be set up.
#[derive(Debug, Error)]
pub enum ConnectionError {
    /// No validator was named.
    #[error("no validator address is configured")]
    NoNodes,
    /// An address or the TLS material is refused.
    #[error("the validator address `{address}` or its tls material is refused")]
    Refused {
        /// The address.
        address: String,
        /// The cause.
        #[source]
        source: tonic::transport::Error,
    },
}

/// One validator.
#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) address: String,
    pub(crate) rpc: LedgerClient<Channel>,
}

/// Channels to each address; they connect when they are first used, and again after a failure.
pub(crate) fn channels(
    addresses: &[String],
    identity: &Identity,
    dial: Option<&Arc<dyn Dial>>,
) -> Result<Vec<Node>, ConnectionError> {
    if addresses.is_empty() {
        return Err(ConnectionError::NoNodes);
    }
    addresses.iter().map(|address| node(address, identity, dial)).collect()
}

/// A channel to whoever answers callers at an address, as this identity; it connects when it is first used.
pub fn channel(
    address: &str,
    identity: &Identity,
    dial: Option<&Arc<dyn Dial>>,
) -> Result<Channel, ConnectionError> {
    let refused = |source| ConnectionError::Refused { address: address.to_owned(), source };
    let tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(&identity.ca_pem))
        .identity(TlsIdentity::from_pem(&identity.certificate_pem, identity.key_pem.as_bytes()));
    let endpoint = Endpoint::from_shared(address.to_owned())
        .and_then(|endpoint| endpoint.tls_config(tls))
        .map_err(refused)?
        .connect_timeout(CONNECT_TIME_OUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(Duration::from_secs(10))
        .keep_alive_timeout(Duration::from_secs(10))
        .initial_stream_window_size(4 << 20)
        .initial_connection_window_size(8 << 20);
    Ok(match dial {
        None => endpoint.connect_lazy(),
        Some(dial) => endpoint.connect_with_connector_lazy(Through(dial.clone())),
    })
}

fn node(address: &str, identity: &Identity, dial: Option<&Arc<dyn Dial>>) -> Result<Node, ConnectionError> {
    let rpc = LedgerClient::new(channel(address, identity, dial)?)
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX);
    Ok(Node { address: address.to_owned(), rpc })
}
