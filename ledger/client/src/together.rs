//! Several records and values at once, all proven under one header: they fit each other, and cost one question.

use bytes::Bytes;
use keyward_ledger_core::{hash::Hash, state::StateProof};
use keyward_proto::ledger::{ReadRequest, ReadResponse};

use crate::{
    Client, ClientError, ProofError, Recorded,
    proof::{Proven, hashes, malformed},
    read::LAG_MAX,
};

/// Records of one question at most.
pub const LEAVES_MAX: usize = 64;
/// Values of one question at most.
pub const KEYS_MAX: usize = 128;

/// Records and values of one height.
#[derive(Debug)]
pub struct VerifiedRead {
    /// One for each log index, in their order; none where the validator has no such record. That is not proven.
    pub records: Vec<Option<Recorded>>,
    /// One for each key, in their order; `None` for proven absence.
    pub values: Vec<Option<Vec<u8>>>,
    /// The height for which they hold.
    pub height: u64,
    /// The time of that block, in milliseconds since 1970.
    pub time_ms: u64,
}

impl Client {
    /// Records by their log indices, at most [`LEAVES_MAX`], and what stands under state keys, at most [`KEYS_MAX`]. An answer that
    /// is far older than what this client has seen proven is not believed.
    pub async fn read(&self, leaf_indices: &[u64], keys: &[Vec<u8>]) -> Result<VerifiedRead, ClientError> {
        let request = &ReadRequest {
            leaf_indices: leaf_indices.to_vec(),
            keys: keys.iter().map(|key| Bytes::copy_from_slice(key)).collect(),
        };
        let check = |answer| self.proven_read(leaf_indices, keys, answer);
        self.ask(|mut rpc| async move { rpc.read(request.clone()).await }, check).await
    }

    fn proven_read(
        &self,
        leaf_indices: &[u64],
        keys: &[Vec<u8>],
        answer: ReadResponse,
    ) -> Result<VerifiedRead, ProofError> {
        let header = self.0.checker.anchor(answer.anchor)?;
        let (height, time_ms) = (header.block.header().height, header.block.header().time_ms);
        if height + LAG_MAX < self.height() {
            return Err(ProofError::Stale { height, seen: self.height() });
        }
        if answer.records.len() != leaf_indices.len() {
            return Err(ProofError::Other { part: "number of records" });
        }
        if answer.state_proofs.len() != keys.len() {
            return Err(ProofError::Other { part: "number of values" });
        }
        let mut records = Vec::with_capacity(leaf_indices.len());
        for (leaf_index, found) in leaf_indices.iter().zip(answer.records) {
            let Some(found) = found.record else {
                records.push(None);
                continue;
            };
            if found.leaf_index != *leaf_index {
                return Err(ProofError::Other { part: "record" });
            }
            let path: Vec<Hash> = hashes("inclusion proof", &found.path)?;
            let leaf = found.leaf.to_vec();
            let record = header.block.record(&leaf, *leaf_index, &path)?;
            let proven = Proven { record, leaf, leaf_index: *leaf_index, path };
            records.push(Some(Recorded::new(proven, header.clone())));
        }
        let mut values = Vec::with_capacity(keys.len());
        for (key, proof) in keys.iter().zip(&answer.state_proofs) {
            let proof = StateProof::decode(proof).map_err(malformed("state proof"))?;
            values.push(header.block.state(key, &proof)?.map(<[u8]>::to_vec));
        }
        self.saw(&header);
        Ok(VerifiedRead { records, values, height, time_ms })
    }
}

#[cfg(test)]
mod tests;
