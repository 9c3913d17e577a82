//! Following the validator set from genesis, so that each later block costs one certificate check and each
//! record in it one inclusion proof.

use keyward_ledger_core::block::{Header, SignedHeader};
use keyward_ledger_core::certificate::{Certificate, ValidatorSet};
use keyward_ledger_core::genesis::GenesisProof;
use keyward_ledger_core::hash::Hash;
use keyward_ledger_core::log::{leaf_hash, verify_inclusion, verify_range};
use keyward_ledger_core::receipt::{Certified, SetLink};
use keyward_ledger_core::record::Record;
use keyward_ledger_core::state::StateProof;
use keyward_ledger_core::trust::Trust;

use crate::failure::{CertificateFailure, Failure};

/// What a verdict rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Anchor {
    /// The genesis hash in the trust file.
    Genesis,
    /// A later block that the trust file pins.
    Checkpoint {
        /// Its height.
        height: u64,
    },
}

/// A set of validators and the blocks that it certifies: those above `after_height`, of later epochs.
#[derive(Clone, Debug)]
struct Term {
    after_height: u64,
    after_epoch: Option<u64>,
    set: ValidatorSet,
}

/// The validator sets since genesis, verified once.
#[derive(Clone, Debug)]
pub struct SetTracker {
    trust: Trust,
    terms: Vec<Term>,
}

/// A block that a quorum certified. Only a [`SetTracker`] makes one.
#[derive(Clone, Debug)]
pub struct CertifiedBlock {
    header: Header,
    digest: Hash,
    signers: usize,
    quorum: usize,
}

impl SetTracker {
    /// Starts at the genesis that the trust file names.
    pub fn new(trust: Trust, genesis: &GenesisProof) -> Result<Self, Failure> {
        if genesis.name != trust.name {
            return Err(Failure::OtherName { found: genesis.name.clone(), trusted: trust.name });
        }
        if genesis.chain_id() != trust.chain_id {
            return Err(Failure::OtherGenesis);
        }
        let first = Term { after_height: 0, after_epoch: None, set: genesis.set.clone() };
        Ok(Self { trust, terms: vec![first] })
    }

    /// What is trusted.
    pub const fn trust(&self) -> &Trust {
        &self.trust
    }

    /// What verdicts rest on.
    pub fn anchor(&self) -> Anchor {
        match &self.trust.checkpoint {
            None => Anchor::Genesis,
            Some(checkpoint) => Anchor::Checkpoint { height: checkpoint.height },
        }
    }

    /// How many changes of the set were followed.
    pub const fn link_count(&self) -> usize {
        self.terms.len() - 1
    }

    /// Follows the next change of the set. A refused link changes nothing.
    pub fn follow(&mut self, link: &SetLink) -> Result<(), Failure> {
        let index = self.link_count();
        let header = &link.signed_header.header;
        let last = self.terms.last().ok_or(Failure::LinkOrder { index })?;
        if header.height <= last.after_height {
            return Err(Failure::LinkOrder { index });
        }
        let digest = self.check(last, &link.signed_header, &link.certificate);
        let (digest, _) = digest.map_err(|cause| Failure::Link { index, cause })?;
        if header.next_set_hash != *link.set.hash() || header.next_set_hash == header.set_hash {
            return Err(Failure::LinkSet { index });
        }
        self.check_checkpoint_block(header.height, &digest)?;
        self.terms.push(Term {
            after_height: header.height,
            after_epoch: Some(header.epoch),
            set: link.set.clone(),
        });
        Ok(())
    }

    /// Verifies a block's certificate against the set in force at its height, and against the checkpoint.
    pub fn certify(
        &self,
        signed_header: &SignedHeader,
        certificate: &Certificate,
    ) -> Result<CertifiedBlock, Failure> {
        let header = &signed_header.header;
        self.check_checkpoint(header.height)?;
        let term = self.term_at(header.height).ok_or(CertificateFailure::Genesis)?;
        let (digest, signers) = self.check(term, signed_header, certificate)?;
        self.check_checkpoint_block(header.height, &digest)?;
        Ok(CertifiedBlock { header: header.clone(), digest, signers, quorum: term.set.quorum() })
    }

    /// The validators that certify the block at a height, as far as the links that were followed say.
    pub fn set_at(&self, height: u64) -> Option<&ValidatorSet> {
        self.term_at(height).map(|term| &term.set)
    }

    /// The term whose validators certify the block at a height.
    fn term_at(&self, height: u64) -> Option<&Term> {
        self.terms.iter().rev().find(|term| term.after_height < height)
    }

    /// Blocks below the checkpoint are refused, and the sets must lead through the pinned one.
    fn check_checkpoint(&self, height: u64) -> Result<(), Failure> {
        let Some(checkpoint) = &self.trust.checkpoint else { return Ok(()) };
        if height < checkpoint.height {
            return Err(Failure::OlderThanCheckpoint { height, checkpoint: checkpoint.height });
        }
        match self.term_at(checkpoint.height) {
            Some(term) if *term.set.hash() == checkpoint.set_hash => Ok(()),
            _ => Err(Failure::OtherCheckpointSet { height: checkpoint.height }),
        }
    }

    fn check_checkpoint_block(&self, height: u64, digest: &Hash) -> Result<(), Failure> {
        match &self.trust.checkpoint {
            Some(checkpoint) if checkpoint.height == height && checkpoint.digest != *digest => {
                Err(Failure::OtherCheckpointBlock { height })
            }
            _ => Ok(()),
        }
    }

    /// Everything that certifies a block under a term; gives its digest and the number of signers.
    fn check(
        &self,
        term: &Term,
        signed_header: &SignedHeader,
        certificate: &Certificate,
    ) -> Result<(Hash, usize), CertificateFailure> {
        let header = &signed_header.header;
        if header.height == 0 {
            return Err(CertificateFailure::Genesis);
        }
        if header.chain_id != self.trust.chain_id {
            return Err(CertificateFailure::OtherLedger);
        }
        if header.set_hash != *term.set.hash() {
            return Err(CertificateFailure::OtherSet);
        }
        if term.after_epoch.is_some_and(|epoch| header.epoch <= epoch) {
            return Err(CertificateFailure::EpochOrder);
        }
        if certificate.epoch != header.epoch {
            return Err(CertificateFailure::Epoch { certificate: certificate.epoch, header: header.epoch });
        }
        let digest = signed_header.digest();
        if certificate.block_digest != digest {
            return Err(CertificateFailure::OtherBlock);
        }
        let proposer = term.set.member(&header.proposer).ok_or(CertificateFailure::Proposer)?;
        signed_header.verify(proposer).map_err(CertificateFailure::ProposerSignature)?;
        let signers = term.set.verify(&self.trust.chain_id, certificate)?;
        Ok((digest, signers))
    }

    /// Starts at genesis, follows every link of a receipt and certifies its block. Links that the block does
    /// not need are refused.
    pub fn certified(trust: Trust, certified: &Certified) -> Result<(Self, CertifiedBlock), Failure> {
        let mut tracker = Self::new(trust, &certified.genesis)?;
        let height = certified.signed_header.header.height;
        for (index, link) in certified.links.iter().enumerate() {
            if link.signed_header.header.height >= height {
                return Err(Failure::LinkOrder { index });
            }
            tracker.follow(link)?;
        }
        let block = tracker.certify(&certified.signed_header, &certified.certificate)?;
        Ok((tracker, block))
    }
}

impl CertifiedBlock {
    /// The header.
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// The block's digest.
    pub const fn digest(&self) -> &Hash {
        &self.digest
    }

    /// How many validators signed.
    pub const fn signers(&self) -> usize {
        self.signers
    }

    /// How many had to sign.
    pub const fn quorum(&self) -> usize {
        self.quorum
    }

    /// Verifies that a record stands in the log of this block, and decodes it.
    pub fn record(&self, leaf: &[u8], leaf_index: u64, proof: &[Hash]) -> Result<Record, Failure> {
        let record = Record::decode(leaf).map_err(Failure::Record)?;
        verify_inclusion(&leaf_hash(leaf), leaf_index, self.header.log_size, proof, &self.header.log_root)
            .map_err(Failure::Inclusion)?;
        self.check_place(&record)?;
        Ok(record)
    }

    /// Verifies that consecutive records stand in the log of this block; gives each with its own inclusion
    /// proof.
    pub fn records(
        &self,
        leaves: &[Vec<u8>],
        first_leaf: u64,
        proof: &[Hash],
    ) -> Result<Vec<(Record, Vec<Hash>)>, Failure> {
        let hashes: Vec<_> = leaves.iter().map(|leaf| leaf_hash(leaf)).collect();
        let paths = verify_range(&hashes, first_leaf, self.header.log_size, proof, &self.header.log_root)
            .map_err(Failure::Inclusion)?;
        let decode = |(leaf, path): (&Vec<u8>, Vec<Hash>)| {
            let record = Record::decode(leaf).map_err(Failure::Record)?;
            self.check_place(&record)?;
            Ok((record, path))
        };
        leaves.iter().zip(paths).map(decode).collect()
    }

    /// Verifies what stands under a state key after this block.
    pub fn state<'a>(&self, key: &[u8], proof: &'a StateProof) -> Result<Option<&'a [u8]>, Failure> {
        Ok(proof.verify(key, &self.header.state_root)?)
    }

    fn check_place(&self, record: &Record) -> Result<(), Failure> {
        let same_block = record.height == self.header.height;
        if record.height > self.header.height || record.height == 0 {
            return Err(Failure::RecordPlace { field: "height" });
        }
        if record.time_ms > self.header.time_ms || (same_block && record.time_ms != self.header.time_ms) {
            return Err(Failure::RecordPlace { field: "time" });
        }
        Ok(())
    }
}
