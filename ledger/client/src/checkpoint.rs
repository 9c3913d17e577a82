//! Checkpoints of the log, collected from the validators, held against a certified header and merged.

use std::collections::{BTreeMap, BTreeSet};

use keyward_ledger_core::certificate::{ValidatorSet, quorum};
use keyward_ledger_core::ed25519;
use keyward_ledger_core::hash::Hash;
use keyward_ledger_core::log::{verify_consistency, verify_inclusion};
use keyward_ledger_verify::Failure;
use keyward_ledger_verify::checkpoint::{Note, Verifier, binding_message, origin};
use keyward_ledger_verify::cose;
use keyward_proto::ledger::{GetCheckpointRequest, GetCheckpointResponse};

use crate::{
    CertifiedHeader, Client, ClientError, ProofError, Recorded, in_time,
    proof::{hash, hashes},
};

/// A checkpoint with the signatures of several validators.
#[derive(Clone, Debug)]
pub struct MergedCheckpoint {
    /// The checkpoint, proven to be a state of the certified log.
    pub note: Note,
    /// The two names of each validator's key that signed it.
    pub verifiers: Vec<[Verifier; 2]>,
    /// That the log begins with the one of the size that was asked for (RFC 9162), as more validators say than may lie, or
    /// all that answered; empty if none was. Whoever holds the root of that size can tell.
    pub consistency: Vec<Hash>,
    /// A COSE Receipt of the record that was asked for.
    pub cose_receipt: Option<Vec<u8>>,
    /// Validators that gave no signature, and why.
    pub silent: Vec<String>,
}

/// What one validator gave, checked.
struct Given {
    validator: [u8; 32],
    /// How many of its set may lie.
    liars_max: usize,
    note: Note,
    key: [u8; 32],
    sizes: BTreeSet<u64>,
    consistency: Vec<Hash>,
    inclusion: Vec<Hash>,
    cose_signature: Vec<u8>,
}

impl Client {
    /// The newest checkpoint that a quorum signed, or the one with most signatures, merged from all that answer. With a
    /// consistency proof from the size `from`, unless that is 0, and a COSE Receipt of `record`.
    pub async fn checkpoint(
        &self,
        from: u64,
        record: Option<&Recorded>,
    ) -> Result<MergedCheckpoint, ClientError> {
        let (newest, silent) = self.collect(GetCheckpointRequest::default(), record).await;
        let sizes = newest.iter().flat_map(|given| &given.sizes).copied();
        let least = record.map_or(0, |record| record.leaf_index + 1).max(from);
        let wanted = quorum(self.0.nodes.len());
        let size = best(sizes.filter(|size| *size >= least), wanted);
        let Some(log_size) = size else {
            let reasons = match silent.is_empty() {
                true => format!("no checkpoint covers {least} records yet; try again in a few seconds"),
                false => silent.join("; "),
            };
            return Err(ClientError::Unreachable { reasons });
        };
        let leaf_index = record.map(|record| record.leaf_index);
        let request = GetCheckpointRequest { log_size: Some(log_size), from_size: from, leaf_index };
        let (given, silent) = self.collect(request, record).await;
        let verifier = |given: &Given| Verifier::of(&given.note.checkpoint.origin, given.key);
        let verifiers = given.iter().map(verifier).collect();
        let agreed = agreed(&given);
        let mut given = given.into_iter();
        let Some(first) = given.next() else {
            return Err(ClientError::Unreachable { reasons: silent.join("; ") });
        };
        let mut note = first.note;
        for other in given {
            // Both are states of the same certified log and of one size, so they are the same.
            note.merge(&other.note).or(Err(ProofError::Other { part: "checkpoint" }))?;
        }
        let consistency = agreed.ok_or(ProofError::Other { part: "consistency" })?;
        let cose_receipt = record.filter(|_| !first.inclusion.is_empty()).map(|record| {
            let (leaf, path) = (record.leaf_index, &first.inclusion);
            cose::receipt(&note.checkpoint, first.key, leaf, path, &first.cose_signature)
        });
        Ok(MergedCheckpoint { note, verifiers, consistency, cose_receipt, silent })
    }

    /// Asks every validator; gives what is believed, and why the others' is not.
    async fn collect(
        &self,
        request: GetCheckpointRequest,
        record: Option<&Recorded>,
    ) -> (Vec<Given>, Vec<String>) {
        let (mut given, mut silent) = (Vec::new(), Vec::new());
        for node in &self.0.nodes {
            let mut rpc = node.rpc.clone();
            match in_time(self.0.deadline, node, rpc.get_checkpoint(request)).await {
                Err(reason) => silent.push(reason),
                Ok(answer) => match self.believed(answer, &request, record) {
                    // A validator counts once, at however many addresses and for whomever it speaks.
                    Ok(new) if given.iter().any(|other: &Given| other.is_same(&new)) => {
                        silent.push(format!("{}: it speaks for a validator that has spoken", node.address));
                    }
                    Ok(new) => given.push(new),
                    Err(error) => silent.push(format!("{}: {error}", node.address)),
                },
            }
        }
        (given, silent)
    }

    fn believed(
        &self,
        answer: GetCheckpointResponse,
        request: &GetCheckpointRequest,
        record: Option<&Recorded>,
    ) -> Result<Given, ProofError> {
        let header = self.0.checker.anchor(answer.anchor)?;
        self.saw(&header);
        let chain_id = self.chain_id();
        let mut note = Note::parse(&answer.note, &origin(&self.0.trust.name, &chain_id))
            .or(Err(ProofError::Other { part: "checkpoint" }))?;
        let key = hash("checkpoint key", &answer.checkpoint_key)?;
        // A validator speaks for itself alone: other lines would crowd out those of the others.
        let own = Verifier::of(&note.checkpoint.origin, key);
        let is_own = |name: &str, bytes: &[u8]| {
            own.iter().any(|verifier| verifier.name == name && bytes.starts_with(&verifier.id()))
        };
        note.signatures.retain(|line| is_own(&line.name, &line.bytes));
        note.signatures.truncate(own.len());
        let checkpoint = &note.checkpoint;
        if request.log_size.is_some_and(|size| size != checkpoint.size) {
            return Err(ProofError::Other { part: "size" });
        }
        let validator = hash("validator", &answer.validator)?;
        let bound = ed25519::verify(&validator, &binding_message(&chain_id, &key), &answer.binding).is_ok();
        let signed = own.iter().all(|verifier| note.signed_by(verifier).is_some());
        let set = set_of(&header);
        if !bound || set.member(&validator).is_none() || !signed {
            return Err(ProofError::Other { part: "signature of a validator" });
        }
        let (certified, proof) = (header.block.header(), hashes("consistency", &answer.anchor_proof)?);
        verify_consistency(
            checkpoint.size,
            certified.log_size,
            &proof,
            &checkpoint.root,
            &certified.log_root,
        )
        .map_err(Failure::Inclusion)?;
        let inclusion = hashes("inclusion proof", &answer.inclusion)?;
        if let (Some(record), Some(leaf)) = (record, request.leaf_index) {
            let id = record.record().id();
            verify_inclusion(&id, leaf, checkpoint.size, &inclusion, &checkpoint.root)
                .map_err(Failure::Inclusion)?;
            cose::verify(checkpoint, key, &answer.cose_signature)
                .or(Err(ProofError::Other { part: "signature of a receipt" }))?;
        }
        Ok(Given {
            validator,
            liars_max: set.len().saturating_sub(set.quorum()),
            key,
            // Each counts once for a validator, however often it says it.
            sizes: answer.log_sizes.into_iter().collect(),
            consistency: hashes("consistency", &answer.consistency)?,
            inclusion,
            cose_signature: answer.cose_signature.to_vec(),
            note,
        })
    }
}

impl Given {
    fn is_same(&self, other: &Self) -> bool {
        self.validator == other.validator || self.key == other.key
    }
}

/// The set that certified a header.
fn set_of(header: &CertifiedHeader) -> &ValidatorSet {
    let certified = &header.certified;
    certified.links.last().map_or(&certified.genesis.set, |link| &link.set)
}

/// The consistency proof that more give than may lie, or all that gave any: there is one between two sizes.
fn agreed(given: &[Given]) -> Option<Vec<Hash>> {
    let agree = |proof: &Vec<Hash>| given.iter().filter(|other| other.consistency == *proof).count();
    let enough =
        |one: &&Given| agree(&one.consistency) > one.liars_max || agree(&one.consistency) == given.len();
    given.iter().find(enough).map(|one| one.consistency.clone())
}

/// The greatest size that `wanted` validators have; else the greatest of those that most have.
fn best(sizes: impl Iterator<Item = u64>, wanted: usize) -> Option<u64> {
    let mut counts = BTreeMap::<u64, usize>::new();
    for size in sizes {
        *counts.entry(size).or_default() += 1;
    }
    counts.into_iter().max_by_key(|(size, count)| ((*count).min(wanted), *size)).map(|(size, _)| size)
}

#[cfg(test)]
mod tests;
