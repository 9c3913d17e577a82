//! Every decoder of the ledger against every golden vector, changed: nothing panics, and what is accepted is
//! what would be written. Bytes that once broke a decoder stand in `tests/vectors/crashes.json` for good.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use crate::common::golden::load;
use crate::common::mutate::hammer;
use keyward_ledger_core::batch::UnverifiedBatch;
use keyward_ledger_core::block::{Block, Header, SIGNED_HEADER_BYTES, SignedHeader};
use keyward_ledger_core::certificate::{Certificate, ValidatorSet};
use keyward_ledger_core::entry::Entry;
use keyward_ledger_core::execute::{BlockOutcomes, LedgerHead};
use keyward_ledger_core::genesis::Genesis;
use keyward_ledger_core::log::Frontier;
use keyward_ledger_core::outcome::Outcome;
use keyward_ledger_core::receipt::{Receipt, StateReceipt};
use keyward_ledger_core::record::Record;
use keyward_ledger_core::state::{StateProof, layout};
use keyward_ledger_core::trust::Trust;
use keyward_ledger_verify::verify_receipt;

/// Changes of each decoder's samples.
const ROUNDS: usize = 40_000;

/// Decodes and encodes again; none when refused.
type Decoder = fn(&[u8]) -> Option<Vec<u8>>;

/// Every decoder that bytes from outside reach.
const DECODERS: &[(&str, Decoder)] = &[
    ("entry", |b| Entry::decode(b).ok().map(|v| v.encode())),
    ("batch", |b| UnverifiedBatch::decode(b).ok().map(|v| v.bytes().to_vec())),
    ("block", |b| Block::decode(b).ok().map(|v| v.encode())),
    ("header", |b| Header::decode(b).ok().map(|v| v.encode().to_vec())),
    ("signed header", |b| SignedHeader::decode(b).ok().map(|v| v.encode().to_vec())),
    ("certificate", |b| Certificate::decode(b).ok().map(|v| v.encode())),
    ("validator set", |b| ValidatorSet::decode(b).ok().map(|v| v.encode())),
    ("genesis", |b| Genesis::decode(b).ok().map(|v| v.encode())),
    ("record", |b| Record::decode(b).ok().map(|v| v.encode())),
    ("outcome", |b| Outcome::decode(b).ok().map(|v| v.encode())),
    ("block outcomes", |b| BlockOutcomes::decode(b).ok().map(|v| v.encode())),
    ("frontier", |b| Frontier::decode(b).ok().map(|v| v.encode())),
    ("snapshot head", |b| LedgerHead::decode(b).ok().map(|v| v.encode())),
    ("state proof", |b| StateProof::decode(b).ok().map(|v| v.encode())),
    ("receipt", |b| Receipt::decode(b).ok().map(|v| v.encode())),
    ("state receipt", |b| StateReceipt::decode(b).ok().map(|v| v.encode())),
    ("trust file", |b| Trust::decode(b).ok().map(|v| v.encode().into_bytes())),
    ("account", |b| layout::AccountState::decode(b).ok().map(|v| v.encode())),
    ("key", |b| layout::KeyState::decode(b).ok().map(|v| v.encode())),
    ("parameters", |b| layout::Parameters::decode(b).ok().map(|v| v.encode())),
];

/// All golden values, and parts of them that have decoders of their own.
fn vectors() -> Vec<Vec<u8>> {
    let mut vectors = Vec::new();
    for file in ["ledger.json", "receipts.json", "sets.json", "entries.json", "key-states.json"] {
        for text in load(file).into_values() {
            vectors.push(hex::decode(&text).unwrap_or_else(|_not_hex| text.into_bytes()));
        }
    }
    let blocks: Vec<Block> = vectors.iter().filter_map(|bytes| Block::decode(bytes).ok()).collect();
    let mut log = Frontier::default();
    for block in blocks {
        let signed_header = block.signed_header.clone();
        vectors.push(signed_header.header.encode().to_vec());
        vectors.push(block.encode()[..SIGNED_HEADER_BYTES].to_vec());
        vectors.extend(block.batches.iter().map(|batch| batch.bytes().to_vec()));
        while log.size() < signed_header.header.log_size {
            log.append(*block.digest());
        }
        vectors.push(log.encode());
        vectors.push(LedgerHead { signed_header, log: log.clone() }.encode());
    }
    vectors
}

#[test]
fn no_decoder_panics_or_takes_a_second_encoding_of_any_vector() {
    let vectors = vectors();
    for (name, decode) in DECODERS {
        let samples: Vec<_> =
            vectors.iter().filter(|bytes| decode(bytes).as_ref() == Some(bytes)).cloned().collect();
        assert!(!samples.is_empty(), "no golden vector is a {name}");
        // Half of the changes start at something else than what the decoder expects.
        let samples: Vec<_> =
            samples.iter().cycle().take(vectors.len().max(samples.len())).cloned().collect();
        let samples = [samples, vectors.clone()].concat();
        hammer(name, &samples, ROUNDS, |bytes| {
            if let Some(again) = decode(bytes) {
                assert_eq!(again, bytes, "{name} accepts bytes that it would not write");
            }
        });
    }
}

#[test]
fn what_once_broke_a_decoder_does_so_no_more() {
    let trust = load("receipts.json")["trust"].clone();
    for (name, text) in load("crashes.json") {
        let bytes = hex::decode(text).unwrap();
        for (decoder, decode) in DECODERS {
            if let Some(again) = decode(&bytes) {
                assert_eq!(again, bytes, "{name} at {decoder}");
            }
        }
        assert!(verify_receipt(trust.as_bytes(), &bytes, None).is_err(), "{name}");
    }
}
