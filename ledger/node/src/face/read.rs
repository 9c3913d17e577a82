//! Several records and values at once: all under one header, so that they fit each other.

use std::collections::{BTreeMap, BTreeSet};

use keyward_ledger_core::state::STATE_KEY_BYTES_MAX;
use keyward_proto::ledger::{ReadRecord, ReadRequest, ReadResponse};
use tonic::Status;

use super::{Face, Made};
use crate::{readers::Class, refusal::Refusal};

/// Records of one answer at most.
pub(super) const LEAVES_MAX: usize = 64;
/// Values of one answer at most.
pub(super) const KEYS_MAX: usize = 128;

impl Face {
    /// What of it is here. A record that is not does not keep who asked from the others.
    pub(crate) async fn read_together(&self, request: &ReadRequest) -> Result<ReadResponse, Status> {
        let anchor = self.anchor().await?;
        let held = self.shared.floor_leaf()..anchor.ledger.log().size();
        let wanted: BTreeSet<u64> =
            request.leaf_indices.iter().copied().filter(|leaf| held.contains(leaf)).collect();
        // In their order, so that no block is read twice, however often and in whatever order it is asked for.
        let (mut found, mut last) = (BTreeMap::new(), None::<Made>);
        for leaf in wanted {
            let made = match last.take().filter(|made| made.has(leaf)) {
                Some(made) => made,
                None => self.made(leaf, &anchor).await?,
            };
            found.insert(leaf, self.proven_record(&made, leaf, &anchor)?);
            last = Some(made);
        }
        let record = |leaf: &u64| ReadRecord { record: found.get(leaf).cloned() };
        let records = request.leaf_indices.iter().map(record).collect();
        let state = anchor.ledger.state();
        let state_proofs = request.keys.iter().map(|key| state.prove(key).encode().into()).collect();
        Ok(ReadResponse { anchor: Some(anchor.to_proto()), records, state_proofs })
    }
}

/// Refuses what is too much for one answer.
pub(super) fn check(request: &ReadRequest) -> Result<(), Status> {
    if request.leaf_indices.len() > LEAVES_MAX || request.keys.len() > KEYS_MAX {
        let text = format!("one answer has at most {LEAVES_MAX} records and {KEYS_MAX} values");
        return Err(Refusal::RequestMalformed.status(text));
    }
    request.keys.iter().try_for_each(|key| check_key(key))
}

/// Refuses what is no key of the state.
pub(super) fn check_key(key: &[u8]) -> Result<(), Status> {
    if key.len() <= STATE_KEY_BYTES_MAX {
        return Ok(());
    }
    Err(Refusal::RequestMalformed.status(format!("a state key has at most {STATE_KEY_BYTES_MAX} bytes")))
}

/// All that its caller must be allowed to read.
pub(super) fn classes(request: &ReadRequest) -> Vec<Class> {
    let mut names = BTreeSet::new();
    let records = (!request.leaf_indices.is_empty()).then_some(Class::Records);
    let of_keys = request.keys.iter().map(|key| Class::of_state(key));
    records.into_iter().chain(of_keys).filter(|class| names.insert(class.name())).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use bytes::Bytes;

    fn request(leaves: usize, keys: &[&'static [u8]]) -> ReadRequest {
        let keys = keys.iter().map(|key| Bytes::from_static(key)).collect();
        ReadRequest { leaf_indices: vec![0; leaves], keys }
    }

    #[test]
    fn what_is_too_much_for_one_answer_is_refused() {
        let key: &'static [u8] = b"key/";
        check(&request(LEAVES_MAX, &[key; KEYS_MAX])).unwrap();
        check(&request(LEAVES_MAX + 1, &[])).unwrap_err();
        check(&request(0, &[key; KEYS_MAX + 1])).unwrap_err();
        check(&request(0, &[&[0; STATE_KEY_BYTES_MAX + 1]])).unwrap_err();
    }

    #[test]
    fn every_class_of_what_is_asked_for_must_be_allowed() {
        let found = |leaves, keys: &[&'static [u8]]| {
            classes(&request(leaves, keys)).into_iter().map(Class::name).collect::<Vec<_>>()
        };
        assert_eq!(found(1, &[]), ["records"]);
        assert_eq!(found(0, &[b"key/1", b"key/2"]), ["standing"]);
        assert_eq!(
            found(2, &[b"parameters", b"intent/1", b"key/1"]),
            ["records", "public", "custody", "standing"]
        );
    }
}
