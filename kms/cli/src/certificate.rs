//! Whom a certificate names: the owner of the sealed files beside it, and the host that it serves as.

use std::net::IpAddr;
use std::path::Path;

use keyward_domain::Principal;
use x509_parser::{extensions::GeneralName, pem::parse_x509_pem};

use crate::failure::{Failure, Result};
use crate::files;

/// The principal in the one SAN URI of the certificate in a file.
pub(crate) fn principal_of(path: &Path) -> Result<Principal> {
    let uris = names_of(path, |name| match name {
        GeneralName::URI(uri) => Some((*uri).to_owned()),
        _ => None,
    })?;
    match uris.as_slice() {
        [uri] => Principal::parse(uri).map_err(|error| broken(path).because(&error)),
        _ => Err(broken(path)),
    }
}

/// A host that the certificate in a file is good for, as it stands in a URL.
pub(crate) fn host_of(path: &Path) -> Result<String> {
    let hosts = names_of(path, |name| match name {
        GeneralName::DNSName(host) => Some((*host).to_owned()),
        GeneralName::IPAddress(bytes) => {
            let v4 = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
            let ip = v4.or_else(|_longer| <[u8; 16]>::try_from(*bytes).map(IpAddr::from)).ok()?;
            Some(if ip.is_ipv6() { format!("[{ip}]") } else { ip.to_string() })
        }
        _ => None,
    })?;
    hosts.into_iter().next().ok_or_else(|| {
        let what = format!("`{}` names no host", path.display());
        Failure::refused(
            what,
            "give a certificate with the node's host (`keyward certificate request --host`)",
        )
    })
}

/// What is picked of the alternative names of the certificate in a file.
fn names_of(path: &Path, pick: impl Fn(&GeneralName<'_>) -> Option<String>) -> Result<Vec<String>> {
    let text = files::read(path)?;
    let (_, pem) = parse_x509_pem(&text).map_err(|error| broken(path).because(&error))?;
    let certificate = pem.parse_x509().map_err(|error| broken(path).because(&error))?;
    let names = certificate.subject_alternative_name().map_err(|error| broken(path).because(&error))?;
    Ok(names.iter().flat_map(|names| &names.value.general_names).filter_map(pick).collect())
}

fn broken(path: &Path) -> Failure {
    let what = format!("`{}` is no certificate of ours", path.display());
    Failure::refused(what, "give a certificate with one SAN URI `keyward://<role>/<name>`")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use keyward_domain::Role;

    use super::*;
    use crate::authority::Authority;
    use crate::files::Access;

    #[test]
    fn a_certificate_of_ours_names_its_owner_and_nothing_else_does() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("certificate.pem");
        let node = Principal::new(Role::Node, "node-1").unwrap();
        let authority = Authority::create().unwrap();
        let issued = authority.issue_server(&node).unwrap();
        files::write(&path, issued.certificate_pem.as_bytes(), Access::Public).unwrap();
        assert_eq!((principal_of(&path).unwrap(), host_of(&path).unwrap()), (node, "localhost".into()));
        for other in [authority.certificate_pem.as_str(), "no certificate", ""] {
            files::write(&path, other.as_bytes(), Access::Public).unwrap();
            assert!(principal_of(&path).is_err() && host_of(&path).is_err(), "{other}");
        }
    }
}
