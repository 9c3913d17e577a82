//! Certificates: requests for an organisation's own authority, and a local one for trying things out, with one root and
//! one certificate per node, service and role.

use std::time::{Duration, SystemTime};

use keyward_domain::Principal;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, SanType, SerialNumber,
};
use zeroize::Zeroizing;

use crate::failure::{Failure, Result};
use crate::sealed::random32;

const ORGANISATION: &str = "Keyward local, NON-PRODUCTION";
const LIFETIME: Duration = Duration::from_secs(5 * 365 * 24 * 3600);
/// Clocks of other machines may be slow.
const BEFORE: Duration = Duration::from_secs(24 * 3600);

/// A certificate and its private key, both PEM.
pub(crate) struct Issued {
    pub(crate) certificate_pem: String,
    pub(crate) key_pem: Zeroizing<String>,
}

/// A key, and what asks an authority for its certificate, both PEM.
pub(crate) struct Requested {
    pub(crate) request_pem: String,
    pub(crate) key_pem: Zeroizing<String>,
}

/// A fresh key, and a request (PKCS #10) that names its owner and its hosts.
pub(crate) fn request(owner: &Principal, hosts: &[String]) -> Result<Requested> {
    let key = KeyPair::generate().map_err(failed)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, owner.to_string());
    name_hosts(&mut params, owner, hosts)?;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = usages(!hosts.is_empty());
    let request_pem = params.serialize_request(&key).and_then(|request| request.pem()).map_err(failed)?;
    Ok(Requested { request_pem, key_pem: Zeroizing::new(key.serialize_pem()) })
}

/// Of those that serve and call, or call alone.
fn usages(serves: bool) -> Vec<ExtendedKeyUsagePurpose> {
    let serving = serves.then_some(ExtendedKeyUsagePurpose::ServerAuth);
    serving.into_iter().chain([ExtendedKeyUsagePurpose::ClientAuth]).collect()
}

fn name_hosts<H: AsRef<str>>(params: &mut CertificateParams, owner: &Principal, hosts: &[H]) -> Result<()> {
    params.subject_alt_names.push(SanType::URI(owner.uri().try_into().map_err(failed)?));
    for host in hosts.iter().map(AsRef::as_ref) {
        params.subject_alt_names.push(match host.parse() {
            Ok(address) => SanType::IpAddress(address),
            Err(_not_an_address) => SanType::DnsName(host.try_into().map_err(failed)?),
        });
    }
    Ok(())
}

/// The authority: its certificate and key.
pub(crate) struct Authority {
    pub(crate) certificate_pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// A fresh authority. Its key lives no longer than this value: nobody can be certified later.
    pub(crate) fn create() -> Result<Self> {
        let key = KeyPair::generate().map_err(failed)?;
        let mut params = params("Keyward local authority")?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate_pem = params.self_signed(&key).map_err(failed)?.pem();
        Ok(Self { certificate_pem, issuer: Issuer::new(params, key) })
    }

    /// A certificate of a node or service on this machine: it serves and it calls.
    pub(crate) fn issue_server(&self, principal: &Principal) -> Result<Issued> {
        let hosts = ["localhost", "127.0.0.1", "::1"];
        self.issue(principal, &hosts)
    }

    /// A certificate of a caller.
    pub(crate) fn issue_client(&self, principal: &Principal) -> Result<Issued> {
        self.issue(principal, &[])
    }

    fn issue(&self, principal: &Principal, hosts: &[&str]) -> Result<Issued> {
        let key = KeyPair::generate().map_err(failed)?;
        let mut params = params(&principal.to_string())?;
        name_hosts(&mut params, principal, hosts)?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = usages(!hosts.is_empty());
        params.use_authority_key_identifier_extension = true;
        let certificate_pem = params.signed_by(&key, &self.issuer).map_err(failed)?.pem();
        Ok(Issued { certificate_pem, key_pem: Zeroizing::new(key.serialize_pem()) })
    }
}

fn params(common_name: &str) -> Result<CertificateParams> {
    let mut params = CertificateParams::default();
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationName, ORGANISATION);
    name.push(DnType::CommonName, common_name);
    params.distinguished_name = name;
    let now = SystemTime::now();
    params.not_before = (now - BEFORE).into();
    params.not_after = (now + LIFETIME).into();
    let random = random32()?;
    // A positive serial number of at most 20 bytes (RFC 5280, section 4.1.2.2).
    let mut serial: Vec<u8> = random.iter().copied().take(16).collect();
    serial.insert(0, 0x01);
    params.serial_number = Some(SerialNumber::from(serial));
    Ok(params)
}

#[expect(clippy::needless_pass_by_value, reason = "called as `map_err(failed)`")]
fn failed(error: rcgen::Error) -> Failure {
    Failure::refused("cannot make a certificate", "try again in a fresh folder").because(&error)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use keyward_domain::Role;
    use rustls::RootCertStore;
    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
    use std::sync::Arc;

    use super::*;

    fn der(pem: &str) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
    }

    fn roots(authority: &Authority) -> Arc<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots.add(der(&authority.certificate_pem)).unwrap();
        Arc::new(roots)
    }

    #[test]
    fn certificates_hold_for_what_they_are_issued_for() {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let authority = Authority::create().unwrap();
        let node = authority.issue_server(&Principal::new(Role::Node, "node-1").unwrap()).unwrap();
        let app = authority.issue_client(&Principal::new(Role::App, "local-app").unwrap()).unwrap();
        let clients =
            rustls::server::WebPkiClientVerifier::builder_with_provider(roots(&authority), provider.clone())
                .build()
                .unwrap();
        for issued in [&node, &app] {
            clients.verify_client_cert(&der(&issued.certificate_pem), &[], UnixTime::now()).unwrap();
        }
        let stranger = Authority::create().unwrap();
        let foreign = stranger.issue_client(&Principal::new(Role::App, "local-app").unwrap()).unwrap();
        assert!(clients.verify_client_cert(&der(&foreign.certificate_pem), &[], UnixTime::now()).is_err());

        let servers =
            rustls::client::WebPkiServerVerifier::builder_with_provider(roots(&authority), provider)
                .build()
                .unwrap();
        let name = ServerName::try_from("127.0.0.1").unwrap();
        use rustls::client::danger::ServerCertVerifier as _;
        let verify = |pem: &str| servers.verify_server_cert(&der(pem), &[], &name, &[], UnixTime::now());
        verify(&node.certificate_pem).unwrap();
        assert!(verify(&app.certificate_pem).is_err());
    }
}
