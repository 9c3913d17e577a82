//! TLS connections to programs that are not ours: their authorities stand in the configuration, no system's list is asked.

use std::{sync::Arc, time::Duration};

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{
    config::NoticesError,
    ports::{CourierError, silent},
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// One peer: a name that its certificate must have, a port, the authorities that may have issued it.
#[derive(Clone)]
pub(super) struct Peer {
    host: String,
    name: ServerName<'static>,
    port: u16,
    connector: TlsConnector,
}

impl Peer {
    pub(super) fn new(host: &str, port: u16, ca_pem: &str) -> Result<Self, NoticesError> {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|error| NoticesError::Host { host: host.to_owned(), source: error.into() })?;
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(ca_pem.as_bytes()) {
            let certificate =
                certificate.map_err(|error| NoticesError::Authorities { source: error.into() })?;
            roots.add(certificate).map_err(|error| NoticesError::Authorities { source: error.into() })?;
        }
        if roots.is_empty() {
            return Err(NoticesError::Authorities { source: "there is no certificate in it".into() });
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| NoticesError::Authorities { source: error.into() })?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { host: host.to_owned(), name, port, connector: TlsConnector::from(Arc::new(config)) })
    }

    pub(super) async fn dial(&self) -> Result<TcpStream, CourierError> {
        let dialled = timeout(CONNECT_TIMEOUT, TcpStream::connect((self.host.as_str(), self.port))).await;
        dialled.map_err(silent)?.map_err(silent)
    }

    /// The peer's certificate is checked before this answers.
    pub(super) async fn secure(&self, stream: TcpStream) -> Result<TlsStream<TcpStream>, CourierError> {
        let secured = timeout(CONNECT_TIMEOUT, self.connector.connect(self.name.clone(), stream)).await;
        secured.map_err(silent)?.map_err(silent)
    }
}
