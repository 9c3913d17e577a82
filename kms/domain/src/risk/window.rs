//! What happened within a time that slides: the window that runs, and the part of the one before that it still covers.

/// One minute, one hour and one day, in milliseconds.
pub(super) const WIDTHS_MS: [u64; 3] = [60_000, 3_600_000, 86_400_000];
/// The place of the day among them.
pub(super) const DAY: usize = 2;
/// A day.
pub(super) const DAY_MS: u64 = 86_400_000;

/// A sum over a sliding time, in constant memory: what the window before had counts as spread evenly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Window {
    /// How many windows had begun since 1970 when something was added.
    pub(super) slot: u32,
    pub(super) now: u64,
    pub(super) before: u64,
}

impl Window {
    /// The sum at a time.
    pub(super) fn sum(&self, time_ms: u64, width_ms: u64) -> u64 {
        let moved = self.moved(slot(time_ms, width_ms));
        let left = width_ms - time_ms % width_ms;
        let covered = u128::from(moved.before) * u128::from(left) / u128::from(width_ms);
        moved.now.saturating_add(u64::try_from(covered).unwrap_or(u64::MAX))
    }

    /// Adds to it; a time before the running window counts in that one.
    pub(super) fn add(&mut self, time_ms: u64, width_ms: u64, count: u64) {
        *self = self.moved(slot(time_ms, width_ms));
        self.now = self.now.saturating_add(count);
    }

    fn moved(self, slot: u32) -> Self {
        match slot.saturating_sub(self.slot) {
            0 => self,
            1 => Self { slot, now: 0, before: self.now },
            _ => Self { slot, now: 0, before: 0 },
        }
    }
}

fn slot(time_ms: u64, width_ms: u64) -> u32 {
    u32::try_from(time_ms / width_ms).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_slides_and_forgets() {
        let mut window = Window::default();
        for second in 0..60 {
            window.add(600_000 + second * 1000, 60_000, 1);
        }
        assert_eq!(window.sum(659_999, 60_000), 60);
        assert_eq!(window.sum(690_000, 60_000), 30);
        assert_eq!(window.sum(719_999, 60_000), 0);
        assert_eq!(window.sum(720_000, 60_000), 0);
        // A clock that went back counts where the later one was.
        window.add(600_000, 60_000, u64::MAX);
        assert_eq!(window.sum(600_000, 60_000), u64::MAX);
    }
}
