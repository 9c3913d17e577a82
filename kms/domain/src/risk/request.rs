//! What is judged: one request, as far as signals look at it.

use std::fmt;
use std::net::IpAddr;

use keyward_ledger_core::codec::{DecodeError, Reader, Writer};
use sha2::{Digest as _, Sha256};

use crate::AccountId;

const MARK_LABEL: &[u8] = b"\x14keyward/risk-mark/v1";
const VERSION: u8 = 1;
/// The most counterparties of one request that are looked at: as many as a payload has transfers.
pub const COUNTERPARTIES_MAX: usize = crate::meaning::TRANSFERS_MAX;
/// The longest name of a currency that is kept as it is.
const CURRENCY_LEN_MAX: usize = 64;

/// Stands for a counterparty, app or origin in the history of one account: equal marks are the same one, and marks of two
/// accounts have nothing in common.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mark(pub [u8; 16]);

impl fmt::Debug for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mark(redacted)")
    }
}

impl Mark {
    /// Somebody who is paid, or a contract that is called.
    pub fn of_counterparty(account: &AccountId, destination: &str) -> Self {
        Self::of(account, 1, destination.as_bytes())
    }

    /// A program or person that asks, by role and name.
    pub fn of_app(account: &AccountId, caller: &str) -> Self {
        Self::of(account, 2, caller.as_bytes())
    }

    /// Where a request comes from: the /24 of an IPv4 address, the /48 of an IPv6 address.
    pub fn of_address(account: &AccountId, address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => {
                let [a, b, c, _] = address.octets();
                Self::of(account, 3, &[a, b, c])
            }
            IpAddr::V6(address) => {
                let [a, b, c, d, e, f, ..] = address.octets();
                Self::of(account, 3, &[a, b, c, d, e, f])
            }
        }
    }

    /// Where a request comes from, by the fingerprint of its client certificate.
    pub fn of_certificate(account: &AccountId, fingerprint: &[u8; 32]) -> Self {
        Self::of(account, 4, fingerprint)
    }

    /// The first 16 bytes of `SHA-256(label || account[32] || kind u8 || what)`.
    fn of(account: &AccountId, kind: u8, what: &[u8]) -> Self {
        let hash = Sha256::new().chain_update(MARK_LABEL).chain_update(account.0).chain_update([kind]);
        let hash: [u8; 32] = hash.chain_update(what).finalize().into();
        Self(hash.first_chunk().copied().unwrap_or_default())
    }
}

/// Who acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Verb {
    /// The account itself, or an app of it.
    Sign = 1,
    /// A delegate.
    Act = 2,
}

/// What a payload pays in all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spend {
    currency: String,
    amount: u64,
}

impl Spend {
    /// An amount in the minor unit of a currency, as policies count it. A name above 64 bytes stands as its SHA-256 in hex.
    pub fn new(currency: &str, amount: u64) -> Self {
        let currency = if currency.len() <= CURRENCY_LEN_MAX {
            currency.to_owned()
        } else {
            Sha256::digest(currency).iter().map(|byte| format!("{byte:02x}")).collect()
        };
        Self { currency, amount }
    }

    /// The currency.
    pub fn currency(&self) -> &str {
        &self.currency
    }

    /// How many of its minor unit.
    pub const fn amount(&self) -> u64 {
        self.amount
    }
}

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// When, in Unix milliseconds.
    pub time_ms: u64,
    /// Who acts.
    pub verb: Verb,
    /// Whether anything in the payload is not understood.
    pub opaque: bool,
    /// What it pays, as far as that is understood; nothing where it pays nobody, or nobody knows.
    pub spend: Option<Spend>,
    /// Whom it pays or calls.
    pub counterparties: Vec<Mark>,
    /// Who asks.
    pub app: Option<Mark>,
    /// From where.
    pub origin: Option<Mark>,
}

impl Request {
    /// The encoding of SPEC.md; counterparties beyond [`COUNTERPARTIES_MAX`] are left out.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(64 + 16 * self.counterparties.len());
        out.u8(VERSION).u64(self.time_ms).u8(self.verb as u8).u8(self.opaque.into());
        match &self.spend {
            None => out.u8(0),
            Some(spend) => out.u8(1).bytes(spend.currency.as_bytes()).u64(spend.amount),
        };
        let counterparties = || self.counterparties.iter().take(COUNTERPARTIES_MAX);
        out.u32(counterparties().count().try_into().unwrap_or(u32::MAX));
        counterparties().for_each(|mark| {
            out.raw(&mark.0);
        });
        for mark in [self.app, self.origin] {
            match mark {
                None => out.u8(0),
                Some(mark) => out.u8(1).raw(&mark.0),
            };
        }
        out.finish()
    }

    /// Decodes exactly one.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        reader.version("risk request", VERSION)?;
        let time_ms = reader.u64("time")?;
        let verb = match reader.u8("verb")? {
            1 => Verb::Sign,
            2 => Verb::Act,
            code => return Err(DecodeError::UnknownCode { what: "verb", code: code.into() }),
        };
        let opaque = match reader.u8("opaque")? {
            0 => false,
            1 => true,
            code => return Err(DecodeError::UnknownCode { what: "opaque", code: code.into() }),
        };
        let spend = reader.option_with("spend", |reader| {
            Ok(Spend { currency: currency(reader)?, amount: reader.u64("amount")? })
        })?;
        let mark = |reader: &mut Reader<'_>| Ok(Mark(reader.array("mark")?));
        let counterparties = reader.list("counterparties", COUNTERPARTIES_MAX, mark)?;
        let (app, origin) = (reader.option_with("app", mark)?, reader.option_with("origin", mark)?);
        reader.finish("risk request")?;
        Ok(Self { time_ms, verb, opaque, spend, counterparties, app, origin })
    }
}

/// A currency's name.
pub(super) fn currency(reader: &mut Reader<'_>) -> Result<String, DecodeError> {
    let name = std::str::from_utf8(reader.bytes("currency", CURRENCY_LEN_MAX)?);
    Ok(name.or(Err(DecodeError::Invalid { what: "currency", why: "is not UTF-8" }))?.to_owned())
}
