//! What a request shows: its connection's client certificate and its session token.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use keyward_domain::{Code, Fingerprint, Principal};
use sha2::{Digest as _, Sha256};
use tonic::Request;
use x509_parser::{certificate::X509Certificate, extensions::GeneralName, prelude::FromDer as _};

use super::edge::Arrived;
use crate::{caller::Shown, failure::Failure};

/// Certificates whose principals are remembered at most.
const KNOWN_MAX: usize = 4096;

/// Principals by certificate, so that each certificate is parsed once.
#[derive(Debug, Default)]
pub(super) struct Identities(Mutex<HashMap<[u8; 32], Principal>>);

impl Identities {
    /// What the request shows; refused when it is malformed.
    pub(super) fn shown<Q>(&self, request: &Request<Q>, now_ms: u64) -> Result<Shown, Failure> {
        let certificates = request.peer_certs();
        let leaf = certificates.as_ref().and_then(|chain| chain.first());
        let certificate = leaf.map(|leaf| self.principal(leaf)).transpose()?;
        let deadline_ms = time_out_ms(request)?.map(|left_ms| now_ms.saturating_add(left_ms));
        let address = request.remote_addr().map(|address| address.ip());
        Ok(Shown { certificate, token: token(request)?, deadline_ms, address })
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

/// `grpc-timeout`: one to eight digits and a unit (gRPC over HTTP/2, "Requests"), in whole milliseconds that are left of it.
fn time_out_ms<Q>(request: &Request<Q>) -> Result<Option<u64>, Failure> {
    let Some(value) = request.metadata().get("grpc-timeout") else { return Ok(None) };
    let malformed = || Failure::new(Code::RequestMalformed, "`grpc-timeout` is not 1 to 8 digits and a unit");
    let text = value.to_str().map_err(|error| Failure { cause: Some(error.into()), ..malformed() })?;
    let time_out_ms = parse_time_out(text).ok_or_else(malformed)?;
    let arrived = request.extensions().get::<Arrived>();
    let gone = arrived.map(|Arrived(at)| at.elapsed()).unwrap_or_default();
    Ok(Some(time_out_ms.saturating_sub(u64::try_from(gone.as_millis()).unwrap_or(u64::MAX))))
}

fn parse_time_out(text: &str) -> Option<u64> {
    let (unit, digits) = text.as_bytes().split_last()?;
    if !(1..=8).contains(&digits.len()) || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number: u64 = text.get(..digits.len())?.parse().ok()?;
    match unit {
        b'H' => Some(number * 3_600_000),
        b'M' => Some(number * 60_000),
        b'S' => Some(number * 1000),
        b'm' => Some(number),
        b'u' => Some(number / 1000),
        b'n' => Some(number / 1_000_000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::parse_time_out;

    #[test]
    fn a_time_out_has_digits_and_a_unit() {
        let good = [
            ("2H", 7_200_000),
            ("1M", 60_000),
            ("20S", 20_000),
            ("99999999m", 99_999_999),
            ("1500u", 1),
            ("0n", 0),
        ];
        for (text, milliseconds) in good {
            assert_eq!(parse_time_out(text), Some(milliseconds), "{text}");
        }
        for text in ["", "S", "1", "1s", "+1S", "-1S", "1 S", "123456789S", "1.5S", "\u{e9}S"] {
            assert_eq!(parse_time_out(text), None, "{text}");
        }
    }
}
