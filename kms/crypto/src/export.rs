//! Public keys in the forms that other programs read.

mod jwk;
mod openssh;
#[cfg(test)]
pub(crate) mod tests;

use keyward_domain::scheme::{PublicKey, Scheme};
use thiserror::Error;

use crate::address::{Network, ethereum_address, p2tr_address, p2wpkh_address};
use crate::pem;

/// A form of a public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportFormat {
    /// `SubjectPublicKeyInfo` in PEM (RFC 7468, section 13).
    SpkiPem,
    /// `SubjectPublicKeyInfo` in DER (RFC 5280; points uncompressed).
    SpkiDer,
    /// JSON Web Key (RFC 7517, 7518, 8037, 8812), its thumbprint (RFC 7638) as `kid`.
    Jwk,
    /// A line of `authorized_keys` without a comment (RFC 4253, 5656, 8709).
    OpenSsh,
    /// An Ethereum address with the checksum of EIP-55.
    AddressEthereum,
    /// A Bitcoin address that pays to the hash of the key.
    AddressP2wpkh,
    /// A Bitcoin address that pays to the key, tweaked, without scripts.
    AddressP2tr,
}

impl ExportFormat {
    /// Every form.
    pub const ALL: [Self; 7] = [
        Self::SpkiPem,
        Self::SpkiDer,
        Self::Jwk,
        Self::OpenSsh,
        Self::AddressEthereum,
        Self::AddressP2wpkh,
        Self::AddressP2tr,
    ];

    /// The name in commands and messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SpkiPem => "spki-pem",
            Self::SpkiDer => "spki-der",
            Self::Jwk => "jwk",
            Self::OpenSsh => "openssh",
            Self::AddressEthereum => "address-ethereum",
            Self::AddressP2wpkh => "address-p2wpkh",
            Self::AddressP2tr => "address-p2tr",
        }
    }

    /// The form of a name, if there is one.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }
}

/// A form that a key does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a key of `{scheme}` has no form `{}`", format.name())]
pub struct ExportError {
    /// The form asked for.
    pub format: ExportFormat,
    /// The key's scheme.
    pub scheme: Scheme,
}

/// A public key in a form: text in UTF-8 without a line end (PEM ends with one), or DER.
pub fn export(key: &PublicKey, format: ExportFormat, network: Network) -> Result<Vec<u8>, ExportError> {
    let exported = match format {
        ExportFormat::SpkiPem => key.to_spki_uncompressed().map(|der| pem::public_key(&der).into_bytes()),
        ExportFormat::SpkiDer => key.to_spki_uncompressed(),
        ExportFormat::Jwk => jwk::jwk(key).map(String::into_bytes),
        ExportFormat::OpenSsh => openssh::line(key).map(String::into_bytes),
        ExportFormat::AddressEthereum => ethereum_address(key).map(String::into_bytes),
        ExportFormat::AddressP2wpkh => p2wpkh_address(key, network).map(String::into_bytes),
        ExportFormat::AddressP2tr => p2tr_address(key, network).map(String::into_bytes),
    };
    exported.ok_or(ExportError { format, scheme: key.scheme() })
}
