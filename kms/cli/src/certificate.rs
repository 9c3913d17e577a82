//! Whom a certificate names: the owner of the sealed files beside it.

use std::path::Path;

use keyward_domain::Principal;
use x509_parser::{extensions::GeneralName, pem::parse_x509_pem};

use crate::failure::{Failure, Result};
use crate::files;

/// The principal in the one SAN URI of the certificate in a file.
pub(crate) fn principal_of(path: &Path) -> Result<Principal> {
    let broken = || {
        let what = format!("`{}` is no certificate of ours", path.display());
        Failure::refused(what, "give a certificate with one SAN URI `keyward://<role>/<name>`")
    };
    let text = files::read(path)?;
    let (_, pem) = parse_x509_pem(&text).map_err(|error| broken().because(&error))?;
    let certificate = pem.parse_x509().map_err(|error| broken().because(&error))?;
    let names = certificate.subject_alternative_name().map_err(|error| broken().because(&error))?;
    let mut uris = names.iter().flat_map(|names| &names.value.general_names).filter_map(|name| match name {
        GeneralName::URI(uri) => Some(*uri),
        _ => None,
    });
    match (uris.next(), uris.next()) {
        (Some(uri), None) => Principal::parse(uri).map_err(|error| broken().because(&error)),
        _ => Err(broken()),
    }
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
        assert_eq!(principal_of(&path).unwrap(), node);
        for other in [authority.certificate_pem.as_str(), "no certificate", ""] {
            files::write(&path, other.as_bytes(), Access::Public).unwrap();
            assert!(principal_of(&path).is_err(), "{other}");
        }
    }
}
