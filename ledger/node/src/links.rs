//! The changes of the validator set, as verifiers follow them from genesis: derived from state and blocks.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use keyward_ledger_core::{
    block::SIGNED_HEADER_BYTES,
    certificate::{Certificate, ValidatorSet},
    execute::{Ledger, SetChange, StateBroken},
    receipt::SetLink,
};
use keyward_ledger_engine::{Reader, StoreError};
use keyward_proto::ledger as proto;
use thiserror::Error;

use crate::floor::Floor;

/// Why a change of the set cannot be shown.
#[derive(Debug, Error)]
pub(crate) enum LinkError {
    /// The state is broken.
    #[error("the state is broken")]
    State(#[from] StateBroken),
    /// The block store failed.
    #[error("the block store failed")]
    Store(#[from] StoreError),
    /// Block or certificate are missing.
    #[error("block or certificate at height {height}, where the validators changed, are missing here")]
    Missing {
        /// The height.
        height: u64,
    },
}

/// One link for each change, oldest first.
#[derive(Default)]
pub(crate) struct Links(Mutex<Vec<(u64, proto::SetLink)>>);

impl Links {
    /// Those up to a floor, whose blocks are not held here.
    pub(crate) fn of(floor: &Floor) -> Self {
        let known = |link: &SetLink| {
            let shown = encode(&link.signed_header.encode(), &link.certificate, &link.set);
            (link.signed_header.header.height, shown)
        };
        Self(Mutex::new(floor.certified.links.iter().map(known).collect()))
    }

    /// The links that a verifier needs for a block at `height`; `ledger` is at least as new as that block.
    pub(crate) fn below(
        &self,
        height: u64,
        set_hash: &[u8; 32],
        ledger: &Ledger,
        blocks: &Reader,
    ) -> Result<Vec<proto::SetLink>, LinkError> {
        let mut links = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = links.last().and_then(|(_, link)| set_hash_of(link));
        if newest != Some(*set_hash) {
            for change in ledger.set_changes(links.len())? {
                if change.height >= height {
                    break;
                }
                let link = link(&change, blocks)?;
                links.push((change.height, link));
            }
        }
        Ok(links.iter().filter(|(at, _)| *at < height).map(|(_, link)| link.clone()).collect())
    }
}

fn set_hash_of(link: &proto::SetLink) -> Option<[u8; 32]> {
    let keys: Vec<[u8; 32]> =
        link.next_validators.iter().map(|key| (&**key).try_into().ok()).collect::<Option<_>>()?;
    Some(keyward_ledger_core::certificate::set_hash(&keys))
}

fn encode(header: &[u8], certificate: &Certificate, set: &ValidatorSet) -> proto::SetLink {
    proto::SetLink {
        header: Bytes::copy_from_slice(header),
        certificate: certificate.encode().into(),
        next_validators: set.keys().map(|key| Bytes::copy_from_slice(&key)).collect(),
    }
}

fn link(change: &SetChange, blocks: &Reader) -> Result<proto::SetLink, LinkError> {
    let height = change.height;
    let (block, certificate) = (blocks.block(height)?, blocks.certificate(height)?);
    let (Some(block), Some(certificate)) = (block, certificate) else {
        return Err(LinkError::Missing { height });
    };
    let header = block.get(..SIGNED_HEADER_BYTES).unwrap_or(&block);
    Ok(encode(header, &crate::executor::convert(certificate), &change.set))
}
