//! Who calls: the role in the client certificate, held against the table of readers.

use std::net::SocketAddr;

use tonic::{Request, Status};
use x509_parser::{certificate::X509Certificate, extensions::GeneralName, prelude::FromDer as _};

use super::Face;
use crate::{
    readers::{Class, Reader},
    refusal::Refusal,
};

/// The role of a request's certificate. TLS has checked its issuer, purpose and time.
pub(super) fn reader<T>(request: &Request<T>) -> Reader {
    let certificates = request.peer_certs();
    certificates.as_ref().and_then(|chain| chain.first()).map_or(Reader::Nobody, |leaf| role_in(leaf))
}

/// Which connection a request came by.
pub(super) fn connection<T>(request: &Request<T>) -> Option<SocketAddr> {
    request.remote_addr()
}

/// The role in a certificate's one SAN URI.
fn role_in(der: &[u8]) -> Reader {
    let Ok((_, certificate)) = X509Certificate::from_der(der) else { return Reader::Nobody };
    let Ok(names) = certificate.subject_alternative_name() else { return Reader::Nobody };
    let mut uris = names.iter().flat_map(|names| &names.value.general_names).filter_map(|name| match name {
        GeneralName::URI(uri) => Some(*uri),
        _ => None,
    });
    match (uris.next(), uris.next()) {
        (Some(uri), None) => Reader::of_uri(uri),
        _ => Reader::Nobody,
    }
}

impl Face {
    /// Refuses, and counts, what the caller's role may not read.
    pub(super) fn authorise<T>(&self, request: &Request<T>, class: Class) -> Result<(), Status> {
        let reader = reader(request);
        if reader.may_read(class) {
            return Ok(());
        }
        self.refused_reads.count(reader, class);
        tracing::info!(role = reader.name(), class = class.name(), "a read is refused");
        let message =
            format!("the role `{}` may not read what is of the class `{}`", reader.name(), class.name());
        Err(Refusal::ReadNotAllowed.status(message))
    }
}
