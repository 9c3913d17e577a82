//! What is wrong and needs somebody's eye: bounded, counted, named by stable codes.

use std::{
    collections::{BTreeSet, VecDeque},
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tracing::{info, warn};

use crate::Clock;

/// Alarms that are kept; the oldest make room.
pub(crate) const ALARMS_MAX: usize = 256;
/// Alarms of one kind about one node: what it says alone does not push out the others.
const NODE_ALARMS_MAX: usize = 8;

macro_rules! codes {
    ($($(#[doc = $doc:literal])* $variant:ident $name:literal,)*) => {
        /// What an alarm is about.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Code { $($(#[doc = $doc])* $variant,)* }

        impl Code {
            /// The stable name.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

codes! {
    /// Stored bytes of blocks or certificates do not check.
    StoreDamaged "STORE_DAMAGED",
    /// A block is missing, or is not the one that the chain names.
    BlockLost "BLOCK_LOST",
    /// A certificate is missing or does not hold.
    CertificateLost "CERTIFICATE_LOST",
    /// A derived file is not what the blocks say.
    IndexDamaged "INDEX_DAMAGED",
    /// A snapshot of the state does not check.
    SnapshotDamaged "SNAPSHOT_DAMAGED",
    /// The vote journal or another file of the engine does not check.
    EngineDamaged "ENGINE_DAMAGED",
    /// A file that holds one of the node's keys cannot be opened any more, or holds another key.
    KeyDamaged "KEY_DAMAGED",
    /// The blocks stored here do not form the chain that is final.
    ChainBroken "CHAIN_BROKEN",
    /// Another node says something else about a final block.
    NodeDiffers "NODE_DIFFERS",
    /// A validator signed votes that exclude each other.
    VotesConflict "VOTES_CONFLICT",
    /// The second location, where old blocks lie, cannot be reached or written.
    ColdAway "COLD_AWAY",
    /// A file cannot be read or written.
    DiskFailed "DISK_FAILED",
    /// The disk is nearly full.
    DiskLow "DISK_LOW",
    /// A file of the look-up does not check; what it said is noted again from the blocks.
    LookUpDamaged "LOOK_UP_DAMAGED",
    /// The look-up cannot be written; answers to questions are complete up to an older height.
    LookUpBehind "LOOK_UP_BEHIND",
    /// The keeper beside this validator does not work; the validator does.
    KeeperFailed "KEEPER_FAILED",
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alarm {
    /// Counts up with every alarm that is not a repetition, from 1.
    pub number: u64,
    /// What it is about.
    pub code: Code,
    /// The block that it is about.
    pub height: Option<u64>,
    /// The other node that it is about, by its key.
    pub node: Option<[u8; 32]>,
    /// For people.
    pub text: String,
    /// When it was raised first, and last, in milliseconds since 1970.
    pub first_ms: u64,
    /// When it was raised last, in milliseconds since 1970.
    pub last_ms: u64,
    /// How often it was raised.
    pub count: u64,
    /// What was wrong has been put right.
    pub repaired: bool,
}

impl Alarm {
    pub(crate) fn new(code: Code, text: impl Into<String>) -> Self {
        let (number, first_ms, last_ms, count) = (0, 0, 0, 1);
        Self {
            number,
            code,
            height: None,
            node: None,
            text: text.into(),
            first_ms,
            last_ms,
            count,
            repaired: false,
        }
    }

    pub(crate) fn at(self, height: u64) -> Self {
        Self { height: Some(height), ..self }
    }

    pub(crate) fn about(self, node: [u8; 32]) -> Self {
        Self { node: Some(node), ..self }
    }

    fn repeats(&self, other: &Self) -> bool {
        (self.code, self.height, self.node, &self.text) == (other.code, other.height, other.node, &other.text)
    }
}

/// The alarms of a node.
pub(crate) struct Alarms {
    clock: Clock,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    alarms: VecDeque<Alarm>,
    raised: u64,
}

impl Kept {
    /// Drops the oldest alarm where there are too many: of this kind about this node, or in all.
    fn make_room(&mut self, new: &Alarm) {
        let same = |other: &Alarm| new.node.is_some() && (new.code, new.node) == (other.code, other.node);
        if self.alarms.iter().filter(|other| same(other)).count() >= NODE_ALARMS_MAX {
            let oldest = self.alarms.iter().position(same);
            drop(oldest.and_then(|at| self.alarms.remove(at)));
        }
        if self.alarms.len() >= ALARMS_MAX {
            self.alarms.pop_front();
        }
    }
}

impl fmt::Debug for Alarms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Alarms")
    }
}

impl Alarms {
    pub(crate) fn new(clock: Clock) -> Self {
        Self { clock, kept: Mutex::default() }
    }

    /// Raises an alarm; one that stands already is counted instead.
    pub(crate) fn raise(&self, mut alarm: Alarm) {
        let now = (self.clock)();
        let node = alarm.node.map(hex::encode);
        warn!(code = alarm.code.name(), height = alarm.height, node, text = alarm.text, "alarm");
        let mut kept = self.kept();
        kept.raised += 1;
        let number = kept.raised;
        if let Some(standing) = kept.alarms.iter_mut().find(|standing| standing.repeats(&alarm)) {
            (standing.last_ms, standing.repaired) = (now, false);
            standing.count += 1;
            return;
        }
        (alarm.number, alarm.first_ms, alarm.last_ms) = (number, now, now);
        kept.make_room(&alarm);
        kept.alarms.push_back(alarm);
    }

    /// What these alarms are about has been put right.
    pub(crate) fn repaired(&self, about: impl Fn(&Alarm) -> bool) {
        let mut kept = self.kept();
        for alarm in kept.alarms.iter_mut().filter(|alarm| !alarm.repaired && about(alarm)) {
            alarm.repaired = true;
            info!(code = alarm.code.name(), height = alarm.height, text = alarm.text, "repaired");
        }
    }

    /// The heights that alarms of a code are about which stand unrepaired.
    pub(crate) fn open_heights(&self, code: Code) -> Vec<u64> {
        let kept = self.kept();
        let open = kept.alarms.iter().filter(|alarm| alarm.code == code && !alarm.repaired);
        let heights: BTreeSet<_> = open.filter_map(|alarm| alarm.height).collect();
        heights.into_iter().collect()
    }

    /// The newest alarms, newest first.
    pub(crate) fn newest(&self, count: usize) -> Vec<Alarm> {
        self.kept().alarms.iter().rev().take(count).cloned().collect()
    }

    /// How many alarms were raised since the start, repetitions included, and how many stand unrepaired.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let kept = self.kept();
        (kept.raised, kept.alarms.iter().filter(|alarm| !alarm.repaired).count() as u64)
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use std::sync::Arc;

    #[test]
    fn alarms_are_bounded_and_a_repetition_is_counted_and_opens_what_was_repaired() {
        let alarms = Alarms::new(Arc::new(|| 7));
        for height in 0..2 * ALARMS_MAX as u64 {
            alarms.raise(Alarm::new(Code::BlockLost, "gone").at(height));
        }
        assert_eq!(alarms.newest(usize::MAX).len(), ALARMS_MAX);
        let newest = 2 * ALARMS_MAX as u64 - 1;
        alarms.repaired(|alarm| alarm.height == Some(newest));
        assert_eq!(alarms.counts(), (newest + 1, ALARMS_MAX as u64 - 1));
        alarms.raise(Alarm::new(Code::BlockLost, "gone").at(newest));
        let last = alarms.newest(1).remove(0);
        assert_eq!((last.count, last.repaired, last.first_ms), (2, false, 7));
    }

    #[test]
    fn alarms_about_one_node_push_out_no_others() {
        let alarms = Alarms::new(Arc::new(|| 7));
        alarms.raise(Alarm::new(Code::BlockLost, "gone").at(1));
        for height in 0..2 * ALARMS_MAX as u64 {
            alarms.raise(Alarm::new(Code::NodeDiffers, "another block").at(height).about([1; 32]));
        }
        alarms.raise(Alarm::new(Code::NodeDiffers, "another block").at(3).about([2; 32]));
        assert_eq!(alarms.newest(usize::MAX).len(), 1 + NODE_ALARMS_MAX + 1);
        assert_eq!(alarms.open_heights(Code::BlockLost), [1]);
        let heights = alarms.open_heights(Code::NodeDiffers);
        let newest = 2 * ALARMS_MAX as u64 - 1;
        assert_eq!((heights.len(), heights.last()), (NODE_ALARMS_MAX + 1, Some(&newest)));
    }
}
