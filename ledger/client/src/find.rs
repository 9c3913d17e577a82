//! Asking for records by what they are: every record that is answered is proven and held against the question.
//!
//! A validator that lies can leave records out, and say that it looked at more than it did; it cannot invent, change
//! or repeat one. Who must miss nothing asks several validators, or reads the blocks.

use bytes::Bytes;
use keyward_ledger_core::question::Question;
use keyward_proto::ledger::{FindRequest, FindResponse};

use crate::{
    Client, ClientError, ProofError, Recorded,
    proof::{Proven, hashes},
    read::LAG_MAX,
};

/// The most records of one page.
pub const FOUND_MAX: u32 = 256;

/// Some of the records that a question is for.
#[derive(Debug)]
pub struct Found {
    /// The records, proven, in the order of the log.
    pub records: Vec<Recorded>,
    /// The log index from which to ask for what follows; at any validator, now or later.
    pub next_leaf: u64,
    /// Whether something may follow up to `complete_to`.
    pub more: bool,
    /// The height up to which the validator says it has looked. Not proven.
    pub complete_to: u64,
}

impl Client {
    /// At most `limit` (1 to [`FOUND_MAX`]) of the records that fit a question, from a log index on.
    pub async fn find(&self, question: &Question, from_leaf: u64, limit: u32) -> Result<Found, ClientError> {
        let hash = |hash: Option<[u8; 32]>| hash.map(|hash| Bytes::copy_from_slice(&hash));
        let request = &FindRequest {
            id: hash(question.id),
            submitter: hash(question.submitter),
            kind: question.kind.map(u32::from),
            subject: hash(question.subject),
            from_ms: question.from_ms,
            to_ms: question.to_ms,
            from_leaf,
            limit,
        };
        let check = |answer| self.proven_found(question, from_leaf, limit, answer);
        self.ask(|mut rpc| async move { rpc.find(request.clone()).await }, check).await
    }

    fn proven_found(
        &self,
        question: &Question,
        from_leaf: u64,
        limit: u32,
        answer: FindResponse,
    ) -> Result<Found, ProofError> {
        let header = self.0.checker.anchor(answer.anchor)?;
        let height = header.block.header().height;
        if height + LAG_MAX < self.height() {
            return Err(ProofError::Stale { height, seen: self.height() });
        }
        self.saw(&header);
        if answer.records.len() > limit as usize {
            return Err(ProofError::Other { part: "number of records" });
        }
        let (mut records, mut least) = (Vec::new(), from_leaf);
        for found in answer.records {
            let path = hashes("inclusion proof", &found.path)?;
            let leaf = found.leaf.to_vec();
            let record = header.block.record(&leaf, found.leaf_index, &path)?;
            if found.leaf_index < least || !question.fits(&record) || record.height > answer.complete_to {
                return Err(ProofError::Other { part: "records" });
            }
            least = found.leaf_index + 1;
            let proven = Proven { record, leaf, leaf_index: found.leaf_index, path };
            records.push(Recorded::new(proven, header.clone()));
        }
        // Going on must lead on, or a caller would ask for ever.
        let goes_on = answer.next_leaf >= least && (!answer.more || answer.next_leaf > from_leaf);
        let is_certified = answer.complete_to <= height
            && (answer.next_leaf <= header.block.header().log_size || answer.next_leaf == from_leaf);
        if !goes_on || !is_certified {
            return Err(ProofError::Other { part: "place in the log" });
        }
        Ok(Found { records, next_leaf: answer.next_leaf, more: answer.more, complete_to: answer.complete_to })
    }
}

#[cfg(test)]
mod tests;
