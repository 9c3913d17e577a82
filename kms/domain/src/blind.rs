//! What a blind case is about: that an account signs a payload with an address that is nobody's for all to see.
//!
//! The ledger has hashes over a random salt, which point to nothing. Who knows the salt computes them from the account and what is
//! signed: the asker, the approvers, and later whoever opens the detail of the use.

use std::fmt;

use keyward_ledger_core::codec::{DecodeError, Reader, Writer};
use keyward_ledger_core::entry::{OpenBlindCase, UseBlindCase, blind_lock};
use sha2::{Digest as _, Sha256};

use crate::approval::hex;
use crate::meaning::{Form, Meaning, PAYLOAD_LEN_MAX};
use crate::scheme::Scheme;

const CONTENT_LABEL: &[u8] = b"\x1bkeyward/address-approval/v1";
const TOKEN_LABEL: &[u8] = b"\x21keyward/address-approval-token/v1";
/// The longest name of a format.
const FORMAT_LEN_MAX: usize = 32;

/// What the hashes of a blind case are over. Prints redacted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Blinded<'a> {
    /// Random; what hides all else.
    pub salt: &'a [u8; 32],
    /// Who asks.
    pub account: &'a [u8; 32],
    /// How the address is to sign.
    pub scheme: Scheme,
    /// SHA-256 of an opaque payload, or a digest that its signers sign.
    pub payload_hash: &'a [u8; 32],
    /// How the payload is to be read; empty: as it is.
    pub format: &'a str,
}

impl fmt::Debug for Blinded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Blinded(redacted)")
    }
}

impl fmt::Debug for AddressSigning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AddressSigning(redacted)")
    }
}

impl Blinded<'_> {
    /// `SHA-256(u8 27 || "keyward/address-approval/v1" || salt[32] || account[32] || u8 scheme || payload hash[32] || bytes format)`.
    fn content(&self) -> [u8; 32] {
        let mut out = Writer::with_capacity(128);
        out.raw(self.salt).raw(self.account).u8(self.scheme.code()).raw(self.payload_hash);
        out.bytes(self.format.as_bytes());
        Sha256::new().chain_update(CONTENT_LABEL).chain_update(out.finish()).finalize().into()
    }

    /// `SHA-256(u8 33 || "keyward/address-approval-token/v1" || salt[32])`.
    fn token(&self) -> [u8; 32] {
        Sha256::new().chain_update(TOKEN_LABEL).chain_update(self.salt).finalize().into()
    }

    /// What opens the case.
    pub fn open(&self, rule: [u8; 32], live_ms: u64) -> OpenBlindCase {
        OpenBlindCase { rule, lock: blind_lock(&self.token()), content: self.content(), live_ms }
    }

    /// What uses it up.
    pub fn use_up(&self, case: [u8; 32]) -> UseBlindCase {
        UseBlindCase { case, token: self.token(), content: self.content() }
    }

    /// What approvals are for.
    pub fn payload(&self) -> [u8; 32] {
        self.use_up([0; 32]).payload()
    }
}

/// That an account signs a payload with an address. Prints redacted.
#[derive(Clone, PartialEq, Eq)]
pub struct AddressSigning {
    /// Who asks.
    pub account: [u8; 32],
    /// What hides it from everybody who is not shown it.
    pub salt: [u8; 32],
    /// How the address signs.
    pub scheme: Scheme,
    /// What is signed, in full; at most 1 MiB.
    pub payload: Vec<u8>,
    /// How it is to be read; empty: as it is.
    pub format: String,
    /// SHA-256 of an opaque payload, or the digest that its signers sign.
    pub payload_hash: [u8; 32],
}

impl AddressSigning {
    /// What the case's hashes are over.
    pub fn blinded(&self) -> Blinded<'_> {
        let Self { account, salt, scheme, format, payload_hash, .. } = self;
        Blinded { salt, account, scheme: *scheme, payload_hash, format }
    }

    /// Who asks, for what kind of signature.
    pub(crate) fn head(&self, meaning: &Meaning) -> String {
        let account = hex(&self.account);
        let by = format!(
            "account {account} signs, once, with an address that names nobody ({}),",
            self.scheme.name()
        );
        match meaning.form {
            Form::Opaque => by,
            form => format!("{by} this {form} payload:"),
        }
    }

    pub(crate) fn write(&self, out: &mut Writer) {
        out.raw(&self.account).raw(&self.salt).u8(self.scheme.code()).raw(&self.payload_hash);
        out.bytes(self.format.as_bytes()).bytes(&self.payload);
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (account, salt) = (reader.array("account")?, reader.array("salt")?);
        let code = reader.u8("scheme")?;
        let scheme = Scheme::from_code(code)
            .ok_or(DecodeError::UnknownCode { what: "scheme", code: u64::from(code) })?;
        let payload_hash = reader.array("payload hash")?;
        let format = std::str::from_utf8(reader.bytes("format", FORMAT_LEN_MAX)?)
            .or(Err(DecodeError::Invalid { what: "format", why: "is not UTF-8" }))?
            .to_owned();
        let payload = reader.bytes("payload", PAYLOAD_LEN_MAX)?.to_vec();
        Ok(Self { account, salt, scheme, payload, format, payload_hash })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::approval::About;

    fn asked() -> AddressSigning {
        AddressSigning {
            account: [1; 32],
            salt: [2; 32],
            scheme: Scheme::Bip340,
            payload: b"pay".to_vec(),
            format: String::new(),
            payload_hash: Sha256::digest(b"pay").into(),
        }
    }

    #[test]
    fn it_prints_nothing() {
        let asked = asked();
        let printed = format!("{:?} {asked:?} {:?}", asked.blinded(), About::Address(asked.clone()));
        assert_eq!(printed, "Blinded(redacted) AddressSigning(redacted) About(redacted)");
    }

    #[test]
    fn its_hashes_are_golden() {
        let asked = asked();
        let open = asked.blinded().open([3; 32], 60_000);
        assert_eq!(hex(&open.content), "47383c03aefdefdf31d7d1ebd2614e538b12a455fc2f5a393a074f930b55c37f");
        assert_eq!(hex(&open.lock), "b5731dfbd7cd3d74fa15023b9c3e6291480b9f375a47b7fd77e0a0f7e06e19d3");
        assert_eq!(hex(&open.payload()), "baacca13236449cfa8d12b6c58a6130d1516ac5c6b3859441af26e7aa59c0e4b");
        assert_eq!(asked.blinded().use_up([4; 32]).payload(), open.payload());
        assert_eq!(About::Address(asked).payload(), open.payload());
    }

    #[test]
    fn every_part_changes_what_is_approved() {
        let good = asked();
        let others = [
            AddressSigning { account: [9; 32], ..good.clone() },
            AddressSigning { salt: [9; 32], ..good.clone() },
            AddressSigning { scheme: Scheme::EcdsaSecp256k1, ..good.clone() },
            AddressSigning { format: "ethereum".into(), ..good.clone() },
            AddressSigning { payload_hash: [9; 32], ..good.clone() },
        ];
        let contents: std::collections::BTreeSet<_> =
            others.iter().chain([&good]).map(|one| one.blinded().content()).collect();
        assert_eq!(contents.len(), 6);
        for label in [CONTENT_LABEL, TOKEN_LABEL] {
            assert_eq!(label.first().map(|len| usize::from(*len)), Some(label.len() - 1));
        }
    }

    #[test]
    fn approvers_read_who_asks_and_what_for_and_nothing_that_is_not_signed() {
        let words = About::Address(asked()).words().unwrap_or_default().join("\n");
        for part in [&hex(&[1; 32])[..], "bip340", "\"pay\"", "names nobody"] {
            assert!(words.contains(part), "`{part}` in {words}");
        }
        let lies = AddressSigning { payload: b"pay me".to_vec(), ..asked() };
        assert!(About::Address(lies).words().is_err());
    }

    #[test]
    fn it_has_the_golden_bytes_and_comes_back_from_no_others() {
        let about = About::Address(asked());
        let fixed = |byte: &str| byte.repeat(32);
        let digest = hex(&asked().payload_hash);
        let golden =
            ["07", &fixed("01"), &fixed("02"), "02", &digest, "00000000", "00000003", "706179"].concat();
        let bytes = about.encode();
        assert_eq!(hex(&bytes), golden);
        assert_eq!(About::decode(&bytes), Ok(about));
        for end in 0..bytes.len() {
            assert!(About::decode(&bytes[..end]).is_err(), "{end}");
        }
        assert!(About::decode(&[&bytes[..], &[0]].concat()).is_err());
        let mut other = bytes;
        other[65] = 99;
        assert!(matches!(About::decode(&other), Err(DecodeError::UnknownCode { what: "scheme", .. })));
    }
}
