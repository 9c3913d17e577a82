//! Receipts of single records of a proven block, which verify with a trust file alone.

use keyward_ledger_core::block::{Block, BlockError};
use keyward_ledger_core::export::ProvenBlock;
use keyward_ledger_core::genesis::{Genesis, GenesisProof};
use keyward_ledger_core::log::{ProofError, leaf_hash, verify_range};
use keyward_ledger_core::receipt::{Certified, Receipt, SetLink};
use keyward_ledger_verify::records;
use thiserror::Error;

/// Why a block gives no receipts.
#[derive(Debug, Error)]
pub enum ReceiptError {
    /// It does not read.
    #[error("the block does not read")]
    Block(#[from] BlockError),
    /// Its records are not in the certified log.
    #[error("the block's records are not in the certified log")]
    Log(#[from] ProofError),
}

/// What receipts of one ledger have in common.
#[derive(Clone, Debug)]
pub struct Receipts {
    genesis: GenesisProof,
    links: Vec<SetLink>,
}

impl Receipts {
    /// Of a ledger with these changes of its validator set.
    pub fn new(genesis: &Genesis, links: Vec<SetLink>) -> Self {
        Self { genesis: genesis.proof(), links }
    }

    /// Receipts of those records of a block that `wanted` says, by their index in the log.
    pub fn of(
        &self,
        proven: &ProvenBlock,
        wanted: impl Fn(u64) -> bool,
    ) -> Result<Vec<(u64, Vec<u8>)>, ReceiptError> {
        let end = proven.first_leaf.saturating_add(proven.outcomes.len() as u64);
        if !(proven.first_leaf..end).any(&wanted) {
            return Ok(Vec::new());
        }
        let block = Block::decode(&proven.block)?;
        let leaves: Vec<_> =
            records(&block, proven).into_iter().map(|(index, record)| (index, record.encode())).collect();
        let hashes: Vec<_> = leaves.iter().map(|(_, leaf)| leaf_hash(leaf)).collect();
        let signed_header = proven.descendants.last().unwrap_or(&block.signed_header).clone();
        let (size, root) = (signed_header.header.log_size, signed_header.header.log_root);
        let paths = verify_range(&hashes, proven.first_leaf, size, &proven.range_proof, &root)?;
        let height = signed_header.header.height;
        // A receipt has the links that its block needs and no others.
        let links = self.links.iter().filter(|link| link.signed_header.header.height < height).cloned();
        let certified = Certified {
            signed_header,
            certificate: proven.certificate.clone(),
            genesis: self.genesis.clone(),
            links: links.collect(),
        };
        let receipt = |((leaf_index, record), proof)| {
            let certified = certified.clone();
            (leaf_index, Receipt { record, leaf_index, proof, certified, released: None }.encode())
        };
        let all = leaves.into_iter().zip(paths);
        Ok(all.filter(|((index, _), _)| wanted(*index)).map(receipt).collect())
    }
}
