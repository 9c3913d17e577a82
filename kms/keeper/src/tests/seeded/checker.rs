//! What must hold of two vaults whatever happens to them, counted beside the ledger and the keepers.

use std::collections::{BTreeMap, BTreeSet};

use keyward_crypto::vault::element_hash;
use keyward_ledger_core::hash::Hash;

use super::super::world::{LIFETIME, LIMIT, REFILL_MS, World};

/// What a keeper saw when it answered.
pub(super) struct Answer {
    pub(super) keeper: u8,
    pub(super) vault: Hash,
    /// Of the sealing, and of the shares.
    pub(super) version: [u32; 2],
    pub(super) attempt: Hash,
    /// Whether it saw the ledger as it is.
    pub(super) sees: bool,
}

#[derive(Default)]
struct Counted {
    /// The elements that a keeper which keeps the rules has evaluated.
    elements: BTreeSet<[u8; 32]>,
    /// Those that a granted attempt fixes, by their hashes.
    fixed: BTreeSet<Hash>,
    /// Every attempt that the ledger has granted.
    attempts: BTreeSet<Hash>,
    /// When, since the last success.
    granted_ms: Vec<u64>,
    successes: BTreeSet<Hash>,
    /// The ledger's own count before: attempts ever, attempts since the last success.
    before: (u64, u32),
    succeeded: bool,
}

/// Counts.
#[derive(Default)]
pub(in super::super) struct Checker(BTreeMap<Hash, Counted>);

impl Checker {
    pub(super) fn evaluated(&self) -> usize {
        self.0.values().map(|counted| counted.elements.len()).sum()
    }

    /// The ledger has granted an attempt, or the same again.
    pub(super) fn granted(
        &mut self,
        vault: Hash,
        [attempt, element]: [Hash; 2],
        now_ms: u64,
    ) -> Result<(), String> {
        let counted = self.0.entry(vault).or_default();
        counted.fixed.insert(element);
        if !counted.attempts.insert(attempt) {
            return Ok(());
        }
        counted.granted_ms.push(now_ms);
        let times = &counted.granted_ms;
        if times.len() > LIFETIME as usize {
            return Err(format!("{} attempts without a success, of {LIFETIME}", times.len()));
        }
        for (first, begun_ms) in times.iter().enumerate() {
            let (found, back) = ((times.len() - first) as u64, (now_ms - begun_ms) / REFILL_MS + 1);
            if found > u64::from(LIMIT) + back {
                return Err(format!("{found} attempts where {LIMIT} are allowed and {back} came back"));
            }
        }
        Ok(())
    }

    /// The ledger has recorded a success.
    pub(super) fn succeeded(&mut self, vault: Hash, attempt: Hash) {
        let counted = self.0.entry(vault).or_default();
        counted.granted_ms.clear();
        counted.successes.insert(attempt);
        counted.succeeded = true;
    }

    /// A keeper that keeps the rules has evaluated an element.
    pub(super) fn answered(
        &mut self,
        world: &World,
        answer: &Answer,
        element: [u8; 32],
    ) -> Result<(), String> {
        may_answer(world, answer)?;
        let counted = self.0.entry(answer.vault).or_default();
        if !counted.fixed.contains(&element_hash(&element)) {
            return Err(format!("keeper {} evaluated an element of no granted attempt", answer.keeper));
        }
        counted.elements.insert(element);
        let (elements, attempts) = (counted.elements.len(), counted.attempts.len());
        if elements > attempts {
            return Err(format!("{elements} elements were evaluated for {attempts} attempts"));
        }
        Ok(())
    }

    /// A keeper that keeps the rules has given its part.
    pub(super) fn released(&self, world: &World, answer: &Answer) -> Result<(), String> {
        may_answer(world, answer)?;
        let counted = self.0.get(&answer.vault);
        if counted.is_some_and(|counted| counted.successes.contains(&answer.attempt)) {
            return Ok(());
        }
        Err(format!("keeper {} gave its part for an attempt without a success", answer.keeper))
    }

    /// After each step: the ledger's count never goes back but by a success.
    pub(super) fn counts(&mut self, world: &World, vaults: &[Hash]) -> Result<(), String> {
        for vault in vaults {
            let Some(counter) = world.counter(*vault) else { continue };
            let counted = self.0.entry(*vault).or_default();
            let (number, granted) = counted.before;
            if counter.number < number || (counter.granted < granted && !counted.succeeded) {
                return Err(format!("the count went back from {number}, {granted}"));
            }
            if counter.number != counted.attempts.len() as u64 {
                return Err(format!("{} attempts, {} counted", counted.attempts.len(), counter.number));
            }
            if counter.spent > LIMIT || counter.granted > LIFETIME {
                return Err(format!("{} spent of {LIMIT}, {} of {LIFETIME}", counter.spent, counter.granted));
            }
            counted.before = (counter.number, counter.granted);
            counted.succeeded = false;
        }
        Ok(())
    }
}

fn may_answer(world: &World, answer: &Answer) -> Result<(), String> {
    let Answer { keeper, version, .. } = answer;
    let vault = world.vault(answer.vault).ok_or("a vault that never was is answered")?;
    if !answer.sees {
        // It is cut off, and answers for a moment as it stood then; the attempt was granted and is counted.
        return Ok(());
    }
    if vault.destroyed {
        return Err(format!("a vault is answered although it was destroyed, by keeper {keeper}"));
    }
    let now = [vault.version, vault.share_version];
    if now != *version {
        return Err(format!("version {now:?} is answered under version {version:?} by keeper {keeper}"));
    }
    Ok(())
}
