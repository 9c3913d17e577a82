//! What a keeper sees of the world: the final state of the validator beside it, and the keepers that it can reach.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use crate::{Circle, CircleError, Final, Heard, Ledger, LedgerError, Pending, Refused, Said};
use keyward_domain::Coded as _;
use keyward_ledger_core::{
    block::SignedHeader,
    certificate::{Certificate, ValidatorSet},
    entry::{Entry, RuleName, VaultAct},
    hash::Hash,
    log::{leaf_hash, verify_inclusion},
    outcome::Outcome,
    record::Record,
    state::StateProof,
};
use keyward_ledger_node::{Answers, CODE_TRAILER};
use keyward_ledger_simulation::Runtime;
use keyward_proto::ledger::Anchor;
use tonic::Status;

use super::{
    hand::{Hand, placed},
    inline::{Inline, Outside},
    node::now_ms,
    town::Town,
    vaults::act_of,
};

/// How long a keeper waits until what it said is final.
const PATIENCE: Duration = Duration::from_secs(6);

/// The validator on the keeper's own machine. What it answers is held against its certificates.
pub(crate) struct Door {
    pub(crate) answers: Answers,
    pub(crate) runtime: Runtime,
    pub(crate) hand: Hand,
    pub(crate) set: Arc<ValidatorSet>,
    pub(crate) chain_id: Hash,
    pub(crate) skew_ms: i64,
}

fn unavailable(why: impl Into<Why>) -> LedgerError {
    LedgerError::Unavailable(why.into())
}

/// A header that enough validators certified.
pub(crate) fn certified(
    set: &ValidatorSet,
    chain_id: &Hash,
    anchor: Option<Anchor>,
) -> Result<SignedHeader, LedgerError> {
    let anchor = anchor.ok_or_else(|| unavailable("no anchor"))?;
    let header = SignedHeader::decode(&anchor.header).map_err(unavailable)?;
    let certificate = Certificate::decode(&anchor.certificate).map_err(unavailable)?;
    set.verify(chain_id, &certificate).map_err(unavailable)?;
    if certificate.block_digest == header.digest() {
        Ok(header)
    } else {
        Err(unavailable("the certificate is over another header"))
    }
}

impl Door {
    async fn read_record(&self, leaf_index: u64) -> Result<Final, LedgerError> {
        let found = self.answers.record(leaf_index).await.map_err(|status| refused(leaf_index, status))?;
        let header = certified(&self.set, &self.chain_id, found.anchor)?.header;
        let proof = found.record.ok_or_else(|| unavailable("no record"))?;
        let path: Result<Vec<Hash>, _> = proof.path.iter().map(|hash| hash[..].try_into()).collect();
        let (path, leaf) = (path.map_err(unavailable)?, leaf_hash(&proof.leaf));
        verify_inclusion(&leaf, leaf_index, header.log_size, &path, &header.log_root).map_err(unavailable)?;
        let Record { entry, outcome, time_ms, .. } = Record::decode(&proof.leaf).map_err(unavailable)?;
        Ok(Final { entry, outcome, time_ms })
    }

    async fn read_state(&self, key: &[u8]) -> Result<(Option<Vec<u8>>, u64), LedgerError> {
        let found = self.answers.state(key).await.map_err(unavailable)?;
        let header = certified(&self.set, &self.chain_id, found.anchor)?.header;
        let proof = StateProof::decode(&found.proof).map_err(unavailable)?;
        let value = proof.verify(key, &header.state_root).map_err(unavailable)?;
        if value == found.value.as_deref() {
            Ok((found.value.map(Vec::from), header.time_ms))
        } else {
            Err(unavailable("the value is not the proven one"))
        }
    }

    /// Vaults whose sealings and dealings from a leaf on name a keeper.
    async fn read_vaults(
        &self,
        keeper: &Hash,
        from_leaf: u64,
    ) -> Result<(Vec<RuleName>, Option<u64>), LedgerError> {
        let mut found = Vec::new();
        for leaf in from_leaf.. {
            let record = match self.read_record(leaf).await {
                Err(LedgerError::NoRecord { .. }) => break,
                record => record?,
            };
            match act_of(&record.entry) {
                Some(VaultAct::Seal { sealing, .. }) if sealing.shares.keepers.contains(keeper) => {
                    found.push(sealing.vault);
                }
                Some(VaultAct::Refresh { refresh, .. }) if refresh.shares.keepers.contains(keeper) => {
                    found.push(refresh.vault);
                }
                _ => {}
            }
        }
        Ok((found, None))
    }

    async fn commit(&self, entry: &Entry) -> Result<Outcome, LedgerError> {
        let answer = tokio::select! {
            biased;
            answer = self.answers.submit(self.hand.batch(entry)) => answer.map_err(unavailable)?,
            () = self.runtime.sleep(PATIENCE) => return Err(unavailable("not final in time")),
        };
        placed(answer).map(|(_, outcome)| outcome).ok_or_else(|| unavailable("not final"))
    }
}

fn refused(leaf_index: u64, status: Status) -> LedgerError {
    match status.metadata().get(CODE_TRAILER) {
        Some(code) if code == "RECORD_UNKNOWN" => LedgerError::NoRecord { leaf_index },
        _ => unavailable(status),
    }
}

impl Ledger for Door {
    fn chain_id(&self) -> Hash {
        self.chain_id
    }

    fn record(&self, leaf_index: u64) -> Pending<'_, Final> {
        Box::pin(Outside::new(self.read_record(leaf_index)))
    }

    fn state<'a>(&'a self, key: &'a [u8]) -> Pending<'a, (Option<Vec<u8>>, u64)> {
        Box::pin(Outside::new(self.read_state(key)))
    }

    fn submit<'a>(&'a self, entry: &'a Entry) -> Pending<'a, Outcome> {
        Box::pin(Outside::new(self.commit(entry)))
    }

    fn vaults_of<'a>(
        &'a self,
        keeper: &'a Hash,
        from_leaf: u64,
    ) -> Pending<'a, (Vec<RuleName>, Option<u64>)> {
        Box::pin(Outside::new(self.read_vaults(keeper, from_leaf)))
    }

    fn now_ms(&self) -> u64 {
        now_ms(&self.runtime, self.skew_ms)
    }
}

type Why = Box<dyn std::error::Error + Send + Sync>;

/// The way from one keeper to the others: cut where the network is.
pub(crate) struct Way {
    pub(crate) town: Weak<Town>,
    pub(crate) from: usize,
}

impl Way {
    async fn carry(&self, address: &str, said: Said) -> Result<Vec<u8>, Why> {
        let town = self.town.upgrade().ok_or("the world has ended")?;
        let to = town.nodes.iter().find(|node| node.address() == address).ok_or("nobody there")?;
        if !town.hears(self.from, to.index) {
            return Err("no way".into());
        }
        let heard = to.ask(&town, |live| Inline::new(async move { live.keeper.confer(&said).await }));
        let answer = heard.await.ok_or("no answer")?;
        // The network may have been parted meanwhile.
        if !town.hears(self.from, to.index) {
            return Err("no way back".into());
        }
        answer.map_err(|error| {
            Refused { code: error.code().name().to_owned(), message: error.to_string() }.into()
        })
    }
}

impl Circle for Way {
    fn say<'a>(&'a self, address: &'a str, said: Said) -> Heard<'a> {
        Box::pin(Outside::new(async move {
            let carried = self.carry(address, said).await;
            carried.map_err(|source| CircleError { address: address.to_owned(), source })
        }))
    }
}
