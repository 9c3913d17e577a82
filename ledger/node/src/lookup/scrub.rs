//! The look-up's files held against their checks, and against what the blocks say.

use std::sync::Arc;

use keyward_ledger_core::{block::Block, hash::Hash};

use super::{
    Lookup, RunFailed,
    follow::references_of,
    reference::Sum,
    run::{References, Run},
};

/// References between two looks whether to wait or to stop.
const STEP: usize = 10_000;

/// What the runs said when a scrubber read them.
#[derive(Debug, Default)]
pub(crate) struct Said {
    runs: Vec<(Arc<Run>, Sum)>,
    /// What the blocks say, up to the last one seen.
    sum: Sum,
}

impl Lookup {
    /// Reads every run; `paced` is told of the bytes and says whether to go on. The first that fails ends it.
    pub(crate) fn read_all(&self, mut paced: impl FnMut(u64) -> bool) -> Result<Said, RunFailed> {
        let (runs, chain_id) = {
            let noted = self.noted();
            (noted.runs.iter().cloned().collect::<Vec<Arc<Run>>>(), *noted.runs.chain_id())
        };
        let mut said = Said::default();
        for run in runs {
            if let Err(error) = run.check(&chain_id) {
                // Merged or taken out meanwhile: what stands in its place is read another time.
                let is_held = self.holds(&run);
                return if is_held { Err(RunFailed::of(&run)(error)) } else { Ok(Said::default()) };
            }
            let mut sum = Sum::default();
            for (number, reference) in References::of(run.clone()).enumerate() {
                sum.add(&reference.map_err(RunFailed::of(&run))?);
                if number % STEP == STEP - 1 && !paced((STEP * 24) as u64) {
                    return Ok(Said::default());
                }
            }
            if !paced(run.file_bytes() % (STEP as u64 * 24)) {
                return Ok(Said::default());
            }
            said.runs.push((run, sum));
        }
        said.runs.reverse();
        Ok(said)
    }

    fn holds(&self, run: &Arc<Run>) -> bool {
        self.noted().runs.iter().any(|held| Arc::ptr_eq(held, run))
    }
}

impl Said {
    /// Takes the next block of the chain with the ids of its records. The name of the run that ends with it, if that
    /// says something else than its blocks.
    pub(crate) fn follow(&mut self, block: &Block, ids: &[Hash]) -> Option<String> {
        let (run, said) = self.runs.last()?;
        references_of(block, ids).iter().for_each(|reference| self.sum.add(reference));
        if run.head.last != block.header().height {
            return None;
        }
        let differs = *said != self.sum;
        self.sum = Sum::default();
        let (run, _) = self.runs.pop()?;
        if differs {
            // Those above are taken out with it.
            self.runs.clear();
        }
        differs.then(|| run.name().to_owned())
    }
}
