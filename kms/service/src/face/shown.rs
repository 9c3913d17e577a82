//! What a request shows: its connection's client certificate and its session token.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use keyward_domain::{Code, Fingerprint, Principal};
use sha2::{Digest as _, Sha256};
use tonic::Request;
use x509_parser::{certificate::X509Certificate, extensions::GeneralName, prelude::FromDer as _};

use crate::{caller::Shown, failure::Failure};

/// Certificates whose principals are remembered at most.
const KNOWN_MAX: usize = 4096;

/// Principals by certificate, so that each certificate is parsed once.
#[derive(Debug, Default)]
pub(super) struct Identities(Mutex<HashMap<[u8; 32], Principal>>);

impl Identities {
    /// What the request shows; refused when it is malformed.
    pub(super) fn shown<Q>(&self, request: &Request<Q>) -> Result<Shown, Failure> {
        let certificates = request.peer_certs();
        let leaf = certificates.as_ref().and_then(|chain| chain.first());
        let certificate = leaf.map(|leaf| self.principal(leaf)).transpose()?;
        Ok(Shown { certificate, token: token(request)? })
    }

    /// The certificate's fingerprint, for calls that accept none.
    pub(super) fn fingerprint<Q>(request: &Request<Q>) -> Option<Fingerprint> {
        let certificates = request.peer_certs()?;
        certificates.first().map(|leaf| Fingerprint(Sha256::digest(leaf).into()))
    }

    fn principal(&self, der: &[u8]) -> Result<(Principal, Fingerprint), Failure> {
        let fingerprint: [u8; 32] = Sha256::digest(der).into();
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(principal) = known.get(&fingerprint) {
            return Ok((principal.clone(), Fingerprint(fingerprint)));
        }
        let principal = principal_of(der)?;
        if known.len() >= KNOWN_MAX {
            known.clear();
        }
        known.insert(fingerprint, principal.clone());
        Ok((principal, Fingerprint(fingerprint)))
    }
}

/// The one SAN URI of a certificate; TLS has checked its issuer, purpose and time.
fn principal_of(der: &[u8]) -> Result<Principal, Failure> {
    let invalid = |message: &str| Failure::new(Code::ClientCertificateInvalid, message);
    let (_, certificate) = X509Certificate::from_der(der).map_err(|error| {
        Failure::because(Code::ClientCertificateInvalid, "the certificate is malformed", error)
    })?;
    let names = certificate.subject_alternative_name().map_err(|error| {
        Failure::because(Code::ClientCertificateInvalid, "the certificate's names are malformed", error)
    })?;
    let mut uris = names.iter().flat_map(|names| &names.value.general_names).filter_map(|name| match name {
        GeneralName::URI(uri) => Some(*uri),
        _ => None,
    });
    match (uris.next(), uris.next()) {
        (Some(uri), None) => Principal::parse(uri).map_err(Failure::of),
        (None, _) => Err(invalid("the certificate names no principal")),
        (Some(_), Some(_)) => Err(invalid("the certificate names more than one principal")),
    }
}

/// `authorization: Bearer <64 hex>`.
fn token<Q>(request: &Request<Q>) -> Result<Option<[u8; 32]>, Failure> {
    let Some(value) = request.metadata().get("authorization") else { return Ok(None) };
    let malformed =
        || Failure::new(Code::SessionUnknown, "`authorization` is not `Bearer` and 64 hex digits");
    let text = value.to_str().map_err(|error| Failure { cause: Some(error.into()), ..malformed() })?;
    let hex = text.strip_prefix("Bearer ").ok_or_else(malformed)?;
    keyward_ledger_core::codec::parse_hex32(hex).map(Some).ok_or_else(malformed)
}
