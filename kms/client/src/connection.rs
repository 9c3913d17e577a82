//! Setting up the connection, and saying what is wrong with it.

use std::error::Error;
use std::fmt;
use std::time::{Duration, Instant};

use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity as TlsIdentity};
use tonic::{Request, Status};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use zeroize::Zeroizing;

use crate::error::ClientError;
use crate::proxy::{Proxy, ProxyError, Through};

/// How long connecting may take.
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);
/// What TLS says when the other side ends the handshake and tells why.
const ALERT: &str = "received fatal alert";
/// How often a server is asked that hangs up without a word.
const GREETINGS_MAX: u32 = 8;
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// Where the service is and who we are to it.
#[derive(Debug)]
pub struct Connection {
    /// `https://host:port`.
    pub address: String,
    /// The authority that certified the service, PEM.
    pub ca_pem: String,
    /// Our certificate; registration and login need none.
    pub identity: Option<Identity>,
}

/// A client certificate and its key.
pub struct Identity {
    /// The certificate chain, PEM.
    pub certificate_pem: String,
    /// The private key, PEM; wiped on drop.
    pub key_pem: Zeroizing<String>,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity(redacted)")
    }
}

pub(crate) async fn connect(connection: &Connection, proxy: Option<&Proxy>) -> Result<Channel, ClientError> {
    let address = &connection.address;
    let unusable = |source| ClientError::Connection { address: address.clone(), source };
    let mut tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(&connection.ca_pem));
    if let Some(identity) = &connection.identity {
        tls = tls.identity(TlsIdentity::from_pem(&identity.certificate_pem, identity.key_pem.as_bytes()));
    }
    let endpoint = Endpoint::from_shared(address.clone())
        .map_err(unusable)?
        .tls_config(tls)
        .map_err(unusable)?
        .connect_timeout(CONNECT_DEADLINE)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .tcp_nodelay(true);
    let connected = match proxy {
        None => endpoint.connect().await,
        Some(proxy) => endpoint.connect_with_connector(Through(proxy.clone())).await,
    };
    let channel = connected.map_err(|error| broken(address, Box::new(error)))?;
    greet(&channel).await.map_err(|status| broken(address, Box::new(status)))?;
    Ok(channel)
}

/// With TLS 1.3 a client counts as connected before the server has looked at its certificate: only an answer shows
/// that it was taken. The connection may end before its last words are read, and then nobody learns why: ask again.
async fn greet(channel: &Channel) -> Result<(), Status> {
    let began = Instant::now();
    let mut asked = 0;
    loop {
        asked += 1;
        let mut question = Request::new(HealthCheckRequest::default());
        question.set_timeout(CONNECT_DEADLINE);
        let Err(status) = HealthClient::new(channel.clone()).check(question).await else { return Ok(()) };
        // What the network says has a cause; what a server says, whatever it is, has none.
        if status.source().is_none() {
            return Ok(());
        }
        let why = causes(&status).contains(ALERT);
        if why || asked == GREETINGS_MAX || began.elapsed() > CONNECT_DEADLINE {
            return Err(status);
        }
    }
}

/// A connection that did not come about, or broke: says why as far as can be told.
pub(crate) fn broken(address: &str, source: Box<dyn Error + Send + Sync>) -> ClientError {
    let address = address.to_owned();
    let text = causes(source.as_ref());
    if is_of_proxy(source.as_ref()) {
        ClientError::Proxy { address, source }
    } else if text.contains(ALERT) {
        ClientError::CertificateRefused { address, source }
    } else if text.contains("invalid peer certificate") {
        ClientError::ServerUnknown { address, source }
    } else {
        ClientError::Unreachable { address, source }
    }
}

fn is_of_proxy(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(cause) = next {
        if cause.is::<ProxyError>() {
            return true;
        }
        next = cause.source();
    }
    false
}

fn causes(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}
