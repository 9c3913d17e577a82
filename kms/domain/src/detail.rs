//! What a use of an unlinkable address hides on the ledger: whose it was, and what was signed.
//!
//! It is sealed for those who see the address epoch (`kms/crypto`, "Unlinkable addresses"). Whoever opens it holds it against the
//! record: the address must be the one of its source, and the opening that of the record's commitment.

use std::fmt;

use keyward_ledger_core::codec::{DecodeError, Reader, Writer};
use keyward_ledger_core::log::Frontier;
use thiserror::Error;

const VERSION: u8 = 1;
/// Length of a payment, as a payer announces it.
pub const PAYMENT_BYTES: usize = 50;
/// The longest name of an app, in bytes.
const APP_LEN_MAX: usize = 64;
/// The longest name of a format, in bytes.
const FORMAT_LEN_MAX: usize = 32;
/// What the words of a payload take at most, each with its length: so every detail fits the one size in which details are sealed.
const SAID_LEN_MAX: usize = 480;
const LENGTH_BYTES: usize = 4;
/// The last line where words were left out.
const MORE: &str = "(and more)";
const INDEX: u8 = 1;
const PAYMENT: u8 = 2;

/// Where an address comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The account's address of this index in the record's own address epoch.
    Index(u32),
    /// Paid to in an address epoch, which may be an earlier one.
    Payment {
        /// The epoch of the meta-address that was paid to.
        epoch: u32,
        /// What the payer announced.
        payment: [u8; PAYMENT_BYTES],
    },
}

/// What a use of an address hides. Prints redacted: it links an account and an address.
#[derive(Clone, PartialEq, Eq)]
pub struct Detail {
    /// The account's name on the ledger.
    pub account: [u8; 32],
    /// Where the address comes from.
    pub source: Source,
    /// What was signed: SHA-256 of a message, or a digest.
    pub payload_hash: [u8; 32],
    /// Opens the record's commitment.
    pub opening: [u8; 32],
    /// The hash of the policy set that decided.
    pub policy: [u8; 32],
    /// The approvals that it was done by, where others had to approve.
    pub approved: Option<ApprovedBy>,
    /// The app that asked, at most 64 bytes; empty where a person did.
    pub app: String,
    /// How the payload was read, at most 32 bytes; empty: not at all.
    pub format: String,
    /// What the payload says in words, a line each, cut by [`said`].
    pub said: Vec<String>,
}

/// A blind case that a use was approved by: with the salt its payload follows from the rest ([`Blinded`](crate::blind::Blinded)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApprovedBy {
    /// The case.
    pub case: [u8; 32],
    /// What hid account and payload in it.
    pub salt: [u8; 32],
}

/// Why a detail has no encoding.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DetailError {
    /// Something in it is too long.
    #[error("the {what} of a detail takes {len} bytes: at most {max}")]
    TooLong {
        /// What.
        what: &'static str,
        /// How long it is.
        len: usize,
        /// How long it may be.
        max: usize,
    },
}

/// The words of a payload as a detail holds them: as many lines as fit, and where some do not, a last one that says so.
pub fn said(words: impl IntoIterator<Item = String>) -> Vec<String> {
    let words: Vec<String> = words.into_iter().collect();
    if said_len(&words) <= SAID_LEN_MAX {
        return words;
    }
    let mut left = SAID_LEN_MAX - LENGTH_BYTES - MORE.len();
    let mut lines = Vec::new();
    for mut line in words {
        let room = left.saturating_sub(LENGTH_BYTES);
        let whole = line.len() <= room;
        line.truncate(line.floor_char_boundary(room));
        left = room - line.len();
        if whole || !line.is_empty() {
            lines.push(line);
        }
        if !whole {
            break;
        }
    }
    lines.push(MORE.to_owned());
    lines
}

fn said_len(lines: &[String]) -> usize {
    lines.iter().map(|line| LENGTH_BYTES + line.len()).sum()
}

/// What an account commits to at the end of an address epoch: the root of the tree of RFC 9162 whose leaves are the leaf hashes of its
/// records of that epoch, in the log's order.
pub fn records_root(leaves: impl IntoIterator<Item = [u8; 32]>) -> [u8; 32] {
    let mut tree = Frontier::default();
    leaves.into_iter().for_each(|leaf| tree.append(leaf));
    tree.root()
}

impl Detail {
    /// `version u8 (1) || account[32] || source || payload hash[32] || opening[32] || policy[32] || approvals || bytes(64) app ||
    /// bytes(32) format || list of bytes, a line each`, the list without its count at most 480 bytes; a source is `u8 1 || index u32` or `u8 2 || epoch u32
    /// || payment[50]`; approvals are `u8 0` or `u8 1 || case id[32] || salt[32]`.
    pub fn encode(&self) -> Result<Vec<u8>, DetailError> {
        let Self { account, source, payload_hash, opening, policy, approved, app, format, said } = self;
        for (what, len, max) in [
            ("app", app.len(), APP_LEN_MAX),
            ("format", format.len(), FORMAT_LEN_MAX),
            ("words", said_len(said), SAID_LEN_MAX),
        ] {
            if len > max {
                return Err(DetailError::TooLong { what, len, max });
            }
        }
        let mut out = Writer::with_capacity(1024);
        out.u8(VERSION).raw(account);
        match source {
            Source::Index(index) => out.u8(INDEX).u32(*index),
            Source::Payment { epoch, payment } => out.u8(PAYMENT).u32(*epoch).raw(payment),
        };
        out.raw(payload_hash).raw(opening).raw(policy);
        match approved {
            None => out.u8(0),
            Some(ApprovedBy { case, salt }) => out.u8(1).raw(case).raw(salt),
        };
        out.bytes(app.as_bytes()).bytes(format.as_bytes());
        out.count(said.len());
        said.iter().for_each(|line| {
            out.bytes(line.as_bytes());
        });
        Ok(out.finish())
    }

    /// Decodes exactly one.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        reader.version("detail", VERSION)?;
        let account = reader.array("account")?;
        let source = match reader.u8("source")? {
            INDEX => Source::Index(reader.u32("index")?),
            PAYMENT => Source::Payment { epoch: reader.u32("epoch")?, payment: reader.array("payment")? },
            code => return Err(DecodeError::UnknownCode { what: "source", code: u64::from(code) }),
        };
        let detail = Self {
            account,
            source,
            payload_hash: reader.array("payload hash")?,
            opening: reader.array("opening")?,
            policy: reader.array("policy")?,
            approved: match reader.u8("approvals")? {
                0 => None,
                1 => Some(ApprovedBy { case: reader.array("case")?, salt: reader.array("salt")? }),
                code => return Err(DecodeError::UnknownCode { what: "approvals", code: u64::from(code) }),
            },
            app: text(&mut reader, "app", APP_LEN_MAX)?,
            format: text(&mut reader, "format", FORMAT_LEN_MAX)?,
            said: reader.list("words", SAID_LEN_MAX / LENGTH_BYTES, |reader| {
                text(reader, "words", SAID_LEN_MAX - LENGTH_BYTES)
            })?,
        };
        reader.finish("detail")?;
        let len = said_len(&detail.said);
        if len > SAID_LEN_MAX {
            return Err(DecodeError::TooLong { what: "words", len, max: SAID_LEN_MAX });
        }
        Ok(detail)
    }
}

fn text(reader: &mut Reader<'_>, what: &'static str, max: usize) -> Result<String, DecodeError> {
    let bytes = reader.bytes(what, max)?;
    let text = std::str::from_utf8(bytes).or(Err(DecodeError::Invalid { what, why: "is not UTF-8" }))?;
    Ok(text.to_owned())
}

impl fmt::Debug for Detail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Detail(redacted)")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use keyward_ledger_core::log::{empty_root, node_hash};
    use proptest::prelude::*;

    use super::*;

    fn detail(source: Source) -> Detail {
        Detail {
            account: [1; 32],
            source,
            payload_hash: [2; 32],
            opening: [3; 32],
            policy: [4; 32],
            approved: None,
            app: "treasury".to_owned(),
            format: "ethereum".to_owned(),
            said: vec!["pays 1 ETH to 0x35".to_owned(), String::new(), "fee ½".to_owned()],
        }
    }

    #[test]
    fn a_detail_has_the_golden_bytes() {
        let fixed = |byte: &str| byte.repeat(32);
        let tail = [
            &fixed("02")[..],
            &fixed("03"),
            &fixed("04"),
            "00",
            "00000008",
            "7472656173757279",
            "00000008",
            "657468657265756d",
            "00000003",
            "00000012",
            "7061797320312045544820746f2030783335",
            "00000000",
            "00000006",
            "66656520c2bd",
        ]
        .concat();
        let payment = Source::Payment { epoch: 489_000, payment: [5; PAYMENT_BYTES] };
        let sources = [
            (Source::Index(7), "0100000007".to_owned()),
            (payment, format!("0200077628{}", "05".repeat(50))),
        ];
        for (source, bytes) in sources {
            let golden = ["01", &fixed("01"), &bytes, &tail].concat();
            assert_eq!(hex::encode(detail(source).encode().unwrap()), golden);
            assert_eq!(Detail::decode(&hex::decode(&golden).unwrap()).unwrap(), detail(source));
            let policy = fixed("04");
            let golden = golden
                .replace(&format!("{policy}00"), &[&policy[..], "01", &fixed("06"), &fixed("07")].concat());
            let by = ApprovedBy { case: [6; 32], salt: [7; 32] };
            let approved = Detail { approved: Some(by), ..detail(source) };
            assert_eq!(hex::encode(approved.encode().unwrap()), golden);
            assert_eq!(Detail::decode(&hex::decode(golden).unwrap()).unwrap(), approved);
        }
    }

    #[test]
    fn what_is_cut_off_or_follows_or_is_unknown_is_refused() {
        let good = detail(Source::Index(1)).encode().unwrap();
        for end in 0..good.len() {
            assert!(Detail::decode(&good[..end]).is_err(), "{end}");
        }
        assert!(Detail::decode(&[&good[..], &[0]].concat()).is_err());
        for (at, byte) in [(0, 2), (33, 0), (33, 3), (134, 2)] {
            let mut other = good.clone();
            other[at] = byte;
            assert!(matches!(Detail::decode(&other), Err(DecodeError::UnknownCode { .. })), "{at}");
        }
        let mut no_text = good.clone();
        *no_text.last_mut().unwrap() = 0xff;
        assert!(matches!(Detail::decode(&no_text), Err(DecodeError::Invalid { what: "words", .. })));
        // 120 lines of four bytes each are more than 480 with their lengths.
        let mut long = detail(Source::Index(1));
        long.said.clear();
        let mut bytes = long.encode().unwrap();
        bytes.truncate(bytes.len() - 4);
        bytes.extend_from_slice(&120_u32.to_be_bytes());
        (0..120).for_each(|_| bytes.extend_from_slice(b"\0\0\0\x04long"));
        assert!(matches!(Detail::decode(&bytes), Err(DecodeError::TooLong { what: "words", .. })));
    }

    #[test]
    fn what_would_not_fit_its_size_has_no_encoding() {
        let good = detail(Source::Index(1));
        let app = Detail { app: "a".repeat(65), ..good.clone() };
        let format = Detail { format: "a".repeat(33), ..good.clone() };
        let words = Detail { said: vec!["a".repeat(477)], ..good.clone() };
        for (refused, name) in [(app, "app"), (format, "format"), (words, "words")] {
            assert!(
                matches!(refused.encode(), Err(DetailError::TooLong { what, .. }) if what == name),
                "{name}"
            );
        }
        let source = Source::Payment { epoch: u32::MAX, payment: [9; PAYMENT_BYTES] };
        let longest = Detail {
            source,
            approved: Some(ApprovedBy { case: [6; 32], salt: [7; 32] }),
            app: "a".repeat(64),
            format: "f".repeat(32),
            said: vec!["w".repeat(476)],
            ..good
        };
        assert!(longest.encode().unwrap().len() + 4 <= 1024, "it fits the one size of sealed details");
    }

    #[test]
    fn words_that_were_left_out_are_told() {
        let short = vec!["pays 1".to_owned(), "costs 2".to_owned()];
        assert_eq!(said(short.clone()), short);
        let full = vec!["w".repeat(476)];
        assert_eq!(said(full.clone()), full);
        let one = said([format!("{}ä", "w".repeat(476))]);
        assert_eq!(one, ["w".repeat(462), MORE.to_owned()]);
        let many = said((0..100).map(|at| format!("pays {at}")));
        assert_eq!(many.first().map(String::as_str), Some("pays 0"));
        assert_eq!(many.last().map(String::as_str), Some(MORE));
    }

    proptest! {
        #[test]
        fn words_always_fit_and_what_is_shown_is_a_beginning(words in proptest::collection::vec(".{0,200}", 0..40)) {
            let shown = said(words.clone());
            prop_assert!(said_len(&shown) <= SAID_LEN_MAX);
            let detail = Detail { said: shown.clone(), ..detail(Source::Index(0)) };
            prop_assert_eq!(Detail::decode(&detail.encode().unwrap()).unwrap(), detail);
            let cut = shown.len() != words.len() || shown != words;
            let kept = if cut { shown.len() - 1 } else { shown.len() };
            for (line, whole) in shown.iter().take(kept).zip(&words) {
                prop_assert!(whole.starts_with(line.as_str()));
            }
        }
    }

    #[test]
    fn records_make_the_tree_of_the_log() {
        let [a, b, c] = [[1; 32], [2; 32], [3; 32]];
        assert_eq!(records_root([]), empty_root());
        assert_eq!(records_root([a]), a);
        assert_eq!(records_root([a, b, c]), node_hash(&node_hash(&a, &b), &c));
        assert_ne!(records_root([b, a, c]), records_root([a, b, c]));
    }

    #[test]
    fn it_prints_nothing() {
        assert_eq!(format!("{:?}", detail(Source::Index(1))), "Detail(redacted)");
    }
}
