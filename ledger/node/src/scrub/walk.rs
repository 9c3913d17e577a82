//! The chain from genesis to the newest final block: each block is the one that its certified descendant
//! names, each certificate holds, and each derived file says what the blocks say.

use keyward_ledger_core::{
    block::{Block, SignedHeader},
    hash::Hash,
};
use keyward_ledger_engine::{Kind, StoreError};

use super::{BLOCK_WORK, Run, WANTED_MAX, derived::Derived};
use crate::{
    alarms::{Alarm, Code},
    executor::convert,
    lookup::Said,
    repair,
};

/// How far a run has come; everything up to here is what the chain says.
pub(super) struct Walk<'a, 'b> {
    run: &'a mut Run<'b>,
    height: u64,
    digest: Hash,
    next_set_hash: Hash,
    /// The newest final block when the run began.
    top: (u64, Hash),
    derived: Derived,
}

impl<'a, 'b> Walk<'a, 'b> {
    /// Begins at genesis, or at the block with which this node began.
    pub(super) fn of(run: &'a mut Run<'b>, said: Said) -> Option<Self> {
        let genesis = run.shared.genesis.block().signed_header;
        let first = run.shared.floor.as_ref().map_or(&genesis, |floor| &floor.certified.signed_header);
        let (height, digest, next_set_hash) =
            (first.header.height, first.digest(), first.header.next_set_hash);
        let view = run.shared.view();
        let top = (view.ledger.height(), *view.ledger.tip());
        let derived = match Derived::at_first(run, said) {
            Ok(derived) => derived,
            Err(error) => {
                run.disk_failed(&error);
                return None;
            }
        };
        let mut walk = Self { height, digest, next_set_hash, top, derived, run };
        // Its records are not held here; the block itself may be a link of the validators' chain.
        (height == 0 || walk.block(height, &digest).is_some()).then_some(walk)
    }

    /// `false` if it did not get there.
    pub(super) fn climb(&mut self) -> bool {
        while self.height < self.top.0 && !self.run.stops() {
            let Some(digests) = self.window() else { return false };
            for digest in digests {
                if !self.step(&digest) {
                    return false;
                }
            }
        }
        self.height == self.top.0 && self.derived.end(self.run)
    }

    /// The digests of the next blocks up to one that is certified, or to the top.
    fn window(&mut self) -> Option<Vec<Hash>> {
        let from = self.height + 1;
        let (mut height, mut digest) = self.certified(from).unwrap_or(self.top);
        let mut digests = vec![digest];
        while height > from {
            let block = self.block(height, &digest)?;
            (height, digest) = (height - 1, block.header().parent);
            if self.run.gaps.len() < WANTED_MAX {
                self.run.gaps.insert(height);
            }
            digests.push(digest);
        }
        digests.reverse();
        Some(digests)
    }

    /// The first certificate that holds, from a height on.
    fn certified(&mut self, from: u64) -> Option<(u64, Hash)> {
        loop {
            let (height, problem) = match self.run.shared.blocks.certificate_at_or_after(from) {
                Ok(None) => return None,
                Ok(Some((height, _))) if height > self.top.0 => return None,
                Ok(Some((height, certificate))) => {
                    let digest = certificate.digest;
                    match self.holds(height, certificate) {
                        Some(true) => return Some((height, digest)),
                        // Its set is not known here: the block below a later one is as good.
                        None => return None,
                        Some(false) => (height, "it does not hold".to_owned()),
                    }
                }
                Err(error @ StoreError::Damaged { height, .. }) => (height, error.to_string()),
                Err(error @ StoreError::Certificate { height, .. }) => (height, error.to_string()),
                Err(error) => {
                    self.run.store_failed(&error);
                    return None;
                }
            };
            repair::void(self.run.shared, Kind::Certificate, height);
            self.run.found(Alarm::new(Code::CertificateLost, problem).at(height));
            self.run.want(height);
        }
    }

    /// Whether a certificate holds under the set of its block; `None` if that set is not known here.
    fn holds(&self, height: u64, certificate: keyward_ledger_engine::Certificate) -> Option<bool> {
        let shared = self.run.shared;
        let stored = shared.blocks.block(height).ok().flatten();
        let header = stored.as_deref().and_then(|bytes| {
            let header = bytes.get(..keyward_ledger_core::block::SIGNED_HEADER_BYTES)?;
            SignedHeader::decode(header).ok().filter(|header| header.digest() == certificate.digest)
        });
        let set_hash = header.as_ref().map_or(self.next_set_hash, |header| header.header.set_hash);
        let set = shared.set_with(&set_hash)?;
        let fits = certificate.set_size as usize == set.len()
            && header.is_none_or(|header| header.header.epoch == certificate.epoch);
        Some(fits && set.verify(shared.genesis.chain_id(), &convert(certificate)).is_ok())
    }

    /// The block with a digest at a height: from here, or brought back.
    fn block(&mut self, height: u64, digest: &Hash) -> Option<Block> {
        let shared = self.run.shared;
        let stored = shared.blocks.block(height);
        let problem = match stored {
            Ok(Some(bytes)) => match Block::decode(&bytes) {
                Ok(block) if block.digest() == digest => return Some(block),
                Ok(_) => "another block stands in its place".to_owned(),
                Err(error) => error.to_string(),
            },
            Ok(None) => "it is missing".to_owned(),
            Err(error @ StoreError::Away { .. }) => {
                self.run.store_failed(&error);
                return None;
            }
            Err(error) => error.to_string(),
        };
        repair::void(shared, Kind::Block, height);
        self.run.found(Alarm::new(Code::BlockLost, problem).at(height));
        let fetched = self.run.scrubber.runtime.block_on(repair::fetch(shared, height, *digest));
        let block = fetched.and_then(|block| Block::decode(&block.bytes).ok());
        if block.is_none() {
            self.run.open.push((Code::BlockLost, Some(height)));
        }
        block
    }

    fn step(&mut self, digest: &Hash) -> bool {
        let height = self.height + 1;
        let Some(block) = self.block(height, digest) else { return false };
        if block.header().parent != self.digest || block.header().height != height {
            let text = "a certified block does not follow from the one below it";
            self.run.left(Alarm::new(Code::ChainBroken, text).at(height));
            return false;
        }
        let bytes: usize = block.batches.iter().map(|batch| batch.bytes().len()).sum();
        self.run.work += BLOCK_WORK;
        self.run.paced(bytes as u64);
        if let Err(error) = self.derived.follow(self.run, &block) {
            self.run.disk_failed(&*error);
            return false;
        }
        (self.height, self.digest) = (height, *digest);
        self.next_set_hash = block.header().next_set_hash;
        self.run.shared.scrub.change(|status| status.height = height);
        true
    }
}
