//! The changes of the validator set, as verifiers follow them from genesis: derived from state and blocks.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use keyward_ledger_core::{
    block::SIGNED_HEADER_BYTES,
    execute::{Ledger, SetChange, StateBroken},
};
use keyward_ledger_engine::{Reader, StoreError};
use keyward_proto::ledger as proto;
use thiserror::Error;

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

fn link(change: &SetChange, blocks: &Reader) -> Result<proto::SetLink, LinkError> {
    let height = change.height;
    let (block, certificate) = (blocks.block(height)?, blocks.certificate(height)?);
    let (Some(block), Some(certificate)) = (block, certificate) else {
        return Err(LinkError::Missing { height });
    };
    Ok(proto::SetLink {
        header: block.slice(..SIGNED_HEADER_BYTES.min(block.len())),
        certificate: crate::executor::convert(certificate).encode().into(),
        next_validators: change.set.keys().map(|key| Bytes::copy_from_slice(&key)).collect(),
    })
}
