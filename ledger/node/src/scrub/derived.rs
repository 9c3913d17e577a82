//! The derived files held against the blocks, and written again where they differ.

use std::collections::HashMap;

use keyward_ledger_core::{
    block::Block,
    execute::{Executed, Ledger},
    hash::Hash,
    log::{Frontier, HashStore as _},
};

use super::Run;
use crate::{
    alarms::{Alarm, Code},
    index::Place,
    lookup::Said,
    repair,
};

type Error = Box<dyn std::error::Error + Send + Sync>;

/// What the derived files must say after the blocks seen so far.
pub(super) struct Derived {
    log: Frontier,
    outcomes_end: u64,
    /// Batches of each submitter.
    batches: HashMap<[u8; 32], u64>,
    /// What the look-up's files say.
    look_up: Said,
    /// A ledger that follows some blocks behind, to execute again what cannot be read.
    ledger: Ledger,
}

impl Derived {
    pub(super) fn genesis(run: &mut Run<'_>, look_up: Said) -> std::io::Result<Self> {
        let ledger = Ledger::genesis(&run.shared.genesis);
        let outcomes = keyward_ledger_core::execute::BlockOutcomes::default().encode();
        let place = Place { outcomes_len: outcomes.len() as u64, ..Place::default() };
        if run.shared.index.entry(0)?.is_none_or(|(found, _)| found != place) {
            run.found(Alarm::new(Code::IndexDamaged, "places or outcomes").at(0));
            run.shared.index.write_place(0, place, &outcomes)?;
        }
        Ok(Self {
            log: Frontier::default(),
            outcomes_end: place.outcomes_end(),
            batches: HashMap::new(),
            look_up,
            ledger,
        })
    }

    /// Compares what is derived from the next block.
    pub(super) fn follow(&mut self, run: &mut Run<'_>, block: &Block) -> Result<(), Error> {
        let leaves = self.leaves(run, block)?;
        let shared = run.shared;
        if let Some(name) = self.look_up.follow(block, &leaves) {
            let text = format!("`{name}` says something else than the blocks");
            run.found(Alarm::new(Code::LookUpDamaged, text));
            shared.lookup.take_out_at(block.header().height);
        }
        let (mut differing, index) = (Vec::new(), &shared.index);
        let mut first_leaf = self.log.size();
        for leaf in &leaves {
            self.log.append_with(*leaf, |level, number, hash| {
                if index.node(level, number) != Some(hash) {
                    differing.push((level, number, hash));
                }
            });
        }
        for (level, number, hash) in differing {
            let text = format!("hash {number} of level {level} of the log");
            run.found(Alarm::new(Code::IndexDamaged, text).at(block.header().height));
            index.write_node(level, number, &hash)?;
        }
        for batch in &block.batches {
            let (submitter, sequence) = (batch.submitter(), batch.sequence());
            let sequences = &index.sequences;
            if sequences.first_leaf(submitter, sequence)? != Some(first_leaf) {
                sequences.write(submitter, sequence, first_leaf)?;
                let text = format!("sequence {sequence} of submitter {}", hex::encode(submitter));
                run.found(Alarm::new(Code::IndexDamaged, text).at(block.header().height));
            }
            *self.batches.entry(*submitter).or_default() += 1;
            first_leaf += batch.entry_count() as u64;
        }
        Ok(())
    }

    /// The leaf hashes of a block that make the log root of its header, by the stored outcomes or by new ones.
    fn leaves(&mut self, run: &mut Run<'_>, block: &Block) -> Result<Vec<Hash>, Error> {
        let header = block.header();
        let place = |outcomes_len| Place {
            first_leaf: self.log.size(),
            count: header.log_size.saturating_sub(self.log.size()),
            outcomes_offset: self.outcomes_end,
            outcomes_len,
        };
        let stored = run.shared.index.entry(header.height)?;
        let stored = stored.filter(|(found, _)| *found == place(found.outcomes_len));
        let leaves = stored.and_then(|(found, outcomes)| Some((found, outcomes.leaf_hashes(block)?)));
        let leaves = leaves.filter(|(_, leaves)| {
            let mut log = self.log.clone();
            leaves.iter().for_each(|leaf| log.append(*leaf));
            log.root() == header.log_root
        });
        let (place, leaves) = match leaves {
            Some(found) => found,
            None => {
                run.found(Alarm::new(Code::IndexDamaged, "places or outcomes").at(header.height));
                let outcomes_end = place(0);
                let executed = self.execute(run, block)?;
                let outcomes = executed.outcomes().encode();
                let place = Place { outcomes_len: outcomes.len() as u64, ..outcomes_end };
                run.shared.index.write_place(header.height, place, &outcomes)?;
                (place, executed.leaf_hashes)
            }
        };
        self.outcomes_end = place.outcomes_end();
        Ok(leaves)
    }

    /// Executes a block again, and those below it that were not yet.
    fn execute(&mut self, run: &Run<'_>, block: &Block) -> Result<Executed, Error> {
        while self.ledger.height() + 1 < block.header().height {
            let height = self.ledger.height() + 1;
            let bytes =
                repair::stored(run.shared, height).ok_or_else(|| format!("block {height} is missing"))?;
            self.ledger = self.ledger.replay(&Block::decode(&bytes)?)?.ledger;
        }
        let executed = self.ledger.replay(block)?;
        self.ledger = executed.ledger.clone();
        Ok(executed)
    }

    /// Looks for sequences that no block speaks of, once all blocks were seen.
    pub(super) fn end(&self, run: &mut Run<'_>) -> bool {
        self.strays(run).inspect_err(|error| run.disk_failed(&**error)).is_ok()
    }

    fn strays(&self, run: &mut Run<'_>) -> Result<(), Error> {
        let size = self.log.size();
        for submitter in run.shared.index.sequences.submitters()? {
            let (mut below, mut strays) = (Vec::new(), Vec::new());
            run.shared.index.sequences.for_each(&submitter, |sequence, leaf| match leaf {
                Some(leaf) if leaf < size => below.push((sequence, leaf)),
                leaf => strays.push((sequence, leaf)),
            })?;
            if !strays.is_empty() {
                // What became final meanwhile is none.
                run.sleep(run.scrubber.patience);
                let size = run.shared.view().ledger.log().size();
                strays.retain(|(_, leaf)| leaf.is_none_or(|leaf| leaf >= size));
            }
            if below.len() as u64 > self.batches.get(&submitter).copied().unwrap_or_default() {
                for (sequence, leaf) in below {
                    if !self.begins(run, &submitter, sequence, leaf)? {
                        strays.push((sequence, Some(leaf)));
                    }
                }
            }
            for (sequence, _) in strays {
                let text = format!("sequence {sequence} of submitter {}, never used", hex::encode(submitter));
                run.found(Alarm::new(Code::IndexDamaged, text));
                run.shared.index.sequences.clear(&submitter, sequence)?;
            }
        }
        Ok(())
    }

    /// Whether the batch with this submitter and sequence begins at a leaf.
    fn begins(&self, run: &Run<'_>, submitter: &[u8; 32], sequence: u64, leaf: u64) -> Result<bool, Error> {
        let tip = run.shared.view().ledger.height();
        let Some(height) = run.shared.index.height_of_leaf(leaf, tip)? else { return Ok(false) };
        let Some(bytes) = repair::stored(run.shared, height) else { return Ok(false) };
        let Some((place, _)) = run.shared.index.entry(height)? else { return Ok(false) };
        let mut first = place.first_leaf;
        for batch in &Block::decode(&bytes)?.batches {
            if first == leaf {
                return Ok(batch.submitter() == submitter && batch.sequence() == sequence);
            }
            first += batch.entry_count() as u64;
        }
        Ok(false)
    }
}
