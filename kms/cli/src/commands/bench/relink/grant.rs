//! A grant file for the measurement: its receipts are those of a ledger with one validator, made up here.

use keyward_audit::{Delivery, GrantFile, Opening};
use keyward_crypto::unlinkable::ViewingCover;
use keyward_ledger_core::block::{Header, Regime, SignedHeader};
use keyward_ledger_core::certificate::{Certificate, Signer, finalize_message};
use keyward_ledger_core::ed25519::SigningKey;
use keyward_ledger_core::entry::{
    Act, AuditAct, Author, Authored, DeliverGrant, Entry, Grant, OpenGrant, Party,
};
use keyward_ledger_core::genesis::{Genesis, GenesisDocument};
use keyward_ledger_core::hash::Hash;
use keyward_ledger_core::log::{Frontier, HashStore, leaf_hash, prove_inclusion};
use keyward_ledger_core::outcome::Outcome;
use keyward_ledger_core::receipt::{Certified, Receipt};
use keyward_ledger_core::record::Record;
use keyward_ledger_core::trust::Trust;

use crate::failure::{Failure, Result};
use crate::sealed::random32;

const PURPOSE: &str = "a measurement";
/// The epochs that it opens, and when they are.
pub(super) struct Span {
    pub(super) account: Hash,
    pub(super) first: u32,
    pub(super) last: u32,
    pub(super) until_ms: u64,
}

/// What the measurement begins with.
pub(super) struct Made {
    pub(super) file: GrantFile,
    pub(super) trust: Vec<u8>,
    /// The grant's own records, with which the log begins.
    pub(super) records: Vec<Record>,
}

#[derive(Default)]
struct Nodes(std::collections::HashMap<(u32, u64), Hash>);

impl HashStore for Nodes {
    fn node(&self, level: u32, index: u64) -> Option<Hash> {
        self.0.get(&(level, index)).copied()
    }
}

/// The records of a grant that was issued and opened, and receipts of them.
pub(super) fn made(span: &Span, cover: ViewingCover) -> Result<Made> {
    let refused = |error: &(dyn std::error::Error + 'static)| {
        Failure::refused("the grant could not be made", "report this as a fault").because(error)
    };
    let grant = Grant {
        id: *random32()?,
        tenant: *random32()?,
        grantee_key: *random32()?,
        purpose_hash: Grant::purpose_hash_of(PURPOSE),
        from_ms: 0,
        until_ms: span.until_ms,
        expires_ms: u64::MAX,
        accounts: vec![span.account],
    };
    let opened = OpenGrant { grant: grant.id, account: span.account, first: span.first, last: span.last };
    let issue = AuditAct::Issue { grant: grant.id, case: *random32()? };
    let entries = [
        authored(AuditAct::Request(grant)),
        authored(issue),
        authored(AuditAct::Open(opened)),
        Entry::DeliverGrant(DeliverGrant { opened, package_hash: *random32()? }),
    ];
    let records: Vec<_> = (0..).zip(&entries).map(|(at, entry)| record(at, entry.encode(), 0)).collect();
    let validator = SigningKey::from_seed(&*random32()?);
    let genesis = genesis(&validator).map_err(|error| refused(&error))?;
    let (mut nodes, mut log) = (Nodes::default(), Frontier::default());
    for record in &records {
        log.append_with(leaf_hash(&record.encode()), |level, index, hash| {
            nodes.0.insert((level, index), hash);
        });
    }
    let certified = certified(&genesis, &validator, &log);
    let receipt = |(leaf_index, record): (u64, &Record)| {
        let proof = prove_inclusion(&nodes, leaf_index, log.size())?;
        let certified = certified.clone();
        Ok(Receipt { record: record.encode(), leaf_index, proof, certified, released: None }.encode())
    };
    let receipts: std::result::Result<Vec<_>, keyward_ledger_core::log::ProofError> =
        (0..).zip(&records).map(receipt).collect();
    let receipts = <[Vec<u8>; 4]>::try_from(receipts.map_err(|error| refused(&error))?);
    let Ok([request, issue, open, delivered]) = receipts else {
        return Err(Failure::refused("the grant could not be made", "report this as a fault"));
    };
    let (account, first, last) = (span.account, span.first, span.last);
    let delivery = Delivery::Hosted { delivered, cover };
    let file = GrantFile {
        chain_id: *genesis.chain_id(),
        purpose: PURPOSE.to_owned(),
        request,
        approvals: Vec::new(),
        issue,
        openings: vec![Opening { account, first, last, opened: open, delivery }],
    };
    let trust = Trust::genesis(genesis.name().to_owned(), *genesis.chain_id()).encode().into_bytes();
    Ok(Made { file, trust, records })
}

/// A record as the log has it, each in a block of its own.
pub(super) fn record(leaf_index: u64, entry: Vec<u8>, time_ms: u64) -> Record {
    Record {
        height: 1,
        time_ms,
        submitter: [1; 32],
        sequence: leaf_index,
        index: 0,
        entry,
        outcome: Outcome::ACCEPTED,
    }
}

/// Receipts prove that a record is in the log, and that the ledger took it; nobody looks at authors' signatures again.
fn authored(act: AuditAct) -> Entry {
    let author = Author {
        party: Party::Credential([2; 32]),
        nonce: [3; 32],
        not_after: 1,
        public_key: Vec::new(),
        signature: vec![4; 64],
    };
    Entry::Authored(Authored { act: Act::Audit(act), authors: vec![author] })
}

fn genesis(
    validator: &SigningKey,
) -> std::result::Result<Genesis, keyward_ledger_core::genesis::GenesisError> {
    Genesis::new(GenesisDocument {
        name: "measurement".to_owned(),
        time_ms: 0,
        validators: vec![validator.public_key()],
        submitters: Vec::new(),
        keepers: Vec::new(),
        epoch_length: 256,
        regime: Regime::Fast,
        clock_bound_ms: 1_000,
    })
}

fn certified(genesis: &Genesis, validator: &SigningKey, log: &Frontier) -> Certified {
    let (chain_id, set_hash) = (*genesis.chain_id(), *genesis.set().hash());
    let header = Header {
        chain_id,
        height: 1,
        epoch: 0,
        parent: *genesis.block().digest(),
        time_ms: 0,
        proposer: validator.public_key(),
        regime: Regime::Fast,
        body_hash: [0; 32],
        log_size: log.size(),
        log_root: log.root(),
        state_root: [0; 32],
        set_hash,
        next_set_hash: set_hash,
    };
    let signed_header = SignedHeader::sign(header, validator);
    let block_digest = signed_header.digest();
    let signature = validator.sign(&finalize_message(&chain_id, 0, 1, 0, &block_digest));
    let signers = vec![Signer { index: 0, signature }];
    let certificate = Certificate { epoch: 0, view: 1, parent_view: 0, block_digest, signers };
    Certified { signed_header, certificate, genesis: genesis.proof(), links: Vec::new() }
}
