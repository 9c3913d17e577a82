//! What is said of a payload that is to be signed: its format, and the approval it comes with.

use keyward_client::Order;
use keyward_client::addresses::AddressOrder;
use keyward_client::approvals::ShownCase;
use keyward_client::shared::{Format, SharedSignOrder};
use keyward_crypto::shared::{SharedScheme, Tweak};
use keyward_domain::payload::MESSAGE_LEN_MAX;
use sha2::{Digest as _, Sha256};

use crate::failure::{Failure, Result};
use crate::service::failed;

#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct Said {
    /// How the file is written, so that policies, and keepers of a shared key, read amount and destination from it; signed is
    /// what signers of this format sign.
    #[arg(long, value_name = "FORMAT", value_parser = ["ethereum", "psbt", "bitcoin-psbt", "pain.001", "opaque"])]
    format: Option<String>,
    /// Of a payload with several digests: which one is signed, from 0.
    #[arg(long, value_name = "N", requires = "format")]
    input: Option<usize>,
    /// For a shared key of scheme bip340: signs for its taproot output key, without scripts (`key-path`) or with those under
    /// this Merkle root (64 hex digits).
    #[arg(long, value_name = "key-path|ROOT")]
    tweak: Option<String>,
    /// The approval case that this signature uses up, as `keyward approve list` names it.
    #[arg(long, value_name = "CASE")]
    pub(super) approval: Option<String>,
}

impl Said {
    /// Whether something is said that is for shared keys alone.
    pub(super) const fn is_for_shared(&self) -> bool {
        self.tweak.is_some()
    }

    /// What another key is to sign: a file, or a digest.
    pub(super) fn ordered(&self, key: &str, bytes: &[u8], digest: Option<&[u8; 32]>) -> Result<Order> {
        let order = match (self.format.as_deref(), digest) {
            (Some(_), Some(_)) => return Err(digest_has_no_format()),
            (Some(name), None) => {
                let place = self.input.unwrap_or_default();
                Order::payload(key, format(name), bytes.to_vec(), place)
            }
            (None, _) => super::unsaid(key, bytes, digest),
        };
        order.map_err(failed("cannot sign"))
    }

    /// What a one-time address is to sign: a file, or a digest. It signs once, so a payload must have one digest.
    pub(super) fn address_order(&self, bytes: &[u8], digest: Option<&[u8; 32]>) -> Result<AddressOrder> {
        let order = match (self.format.as_deref(), digest, bytes.len()) {
            (Some(_), Some(_), _) => return Err(digest_has_no_format()),
            (Some(name), None, _) => AddressOrder::payload(format(name), bytes.to_vec()),
            (None, Some(digest), _) => AddressOrder::digest(digest),
            (None, None, 0..=MESSAGE_LEN_MAX) => AddressOrder::message(bytes.to_vec()),
            (None, None, _) => AddressOrder::digest(&Sha256::digest(bytes).into()),
        };
        order.map_err(failed("cannot sign"))
    }

    /// What a shared key is to sign: a file, or a digest; with the approval that it uses up.
    pub(super) fn order(
        &self,
        scheme: SharedScheme,
        bytes: &[u8],
        digest: Option<&[u8; 32]>,
        case: Option<&ShownCase>,
    ) -> Result<SharedSignOrder> {
        let order = match (self.format.as_deref(), digest) {
            (Some(_), Some(_)) => return Err(digest_has_no_format()),
            (Some(name), None) => SharedSignOrder::payload(scheme, format(name), bytes, self.input),
            (None, Some(_)) if scheme == SharedScheme::Ed25519 => {
                let next = "give the message itself: ed25519 signs no digest";
                return Err(Failure::usage("the key signs no digest", next));
            }
            (None, Some(digest)) => SharedSignOrder::digest(digest),
            (None, None) => SharedSignOrder::message(scheme, bytes),
        };
        let order = order.map_err(failed("cannot sign"))?;
        let order = match self.tweak.as_deref() {
            None => order,
            Some("key-path") => order.tweaked(Tweak::KeyPath),
            Some(root) => order.tweaked(Tweak::Scripts(bytes32("--tweak", root)?)),
        };
        let Some(case) = case else { return Ok(order) };
        match case.signing() {
            Some(signing) if signing.payload_hash == *order.payload_hash() => {
                Ok(order.approved(case.case.id, signing.opening))
            }
            _ => {
                let what = "the case is about another payload than what would be signed";
                Err(Failure::refused(what, "sign the file that was approved, in the same format"))
            }
        }
    }
}

fn digest_has_no_format() -> Failure {
    Failure::usage("a digest has no format", "leave one of `--format` and `--digest` away")
}

/// A format by its name on the command line.
fn format(name: &str) -> Format {
    let name = if name == "psbt" { "bitcoin-psbt" } else { name };
    // The command line takes no other names.
    Format::from_name(name).unwrap_or(Format::Opaque)
}

fn bytes32(option: &str, text: &str) -> Result<[u8; 32]> {
    let bytes = hex::decode(text).ok().and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or_else(|| Failure::usage(format!("`{option} {text}` cannot be"), "give 64 hex digits"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::failure::Exit;

    #[test]
    fn formats_have_the_names_of_the_command_line() {
        let names = ["ethereum", "psbt", "bitcoin-psbt", "pain.001", "opaque"];
        let forms =
            [Format::Ethereum, Format::BitcoinPsbt, Format::BitcoinPsbt, Format::Pain001, Format::Opaque];
        assert_eq!(names.map(format), forms);
    }

    #[test]
    fn what_cannot_be_signed_is_refused_as_wrong_usage() {
        let said = Said { format: Some("opaque".into()), ..Said::default() };
        let refused = said.order(SharedScheme::Bip340, b"x", Some(&[1; 32]), None).unwrap_err();
        assert_eq!(refused.exit, Exit::Usage);
        let refused = Said::default().order(SharedScheme::Ed25519, b"x", Some(&[1; 32]), None).unwrap_err();
        assert_eq!(refused.exit, Exit::Usage);
        let said = Said { tweak: Some("zz".into()), ..Said::default() };
        assert_eq!(said.order(SharedScheme::Bip340, b"x", None, None).unwrap_err().exit, Exit::Usage);
    }

    #[test]
    fn what_is_for_shared_keys_alone_is_known() {
        assert!(!Said::default().is_for_shared());
        assert!(!Said { approval: Some(String::new()), ..Said::default() }.is_for_shared());
        assert!(Said { tweak: Some("key-path".into()), ..Said::default() }.is_for_shared());
    }
}
