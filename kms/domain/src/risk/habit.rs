//! What was usual, day by day: weights in logarithmic steps, which halve in thirty days.

use std::collections::BTreeMap;

/// What one request, or one day, weighs when it is added.
pub(super) const UNIT: u32 = 1 << 16;
/// What all that is added for one day weighs at most, in units: a busy day teaches no more than this many requests.
pub(super) const DAY_MAX: u64 = 32;
/// Of each day's weight stays 42/43 a day later, which halves it in 30 days.
const KEPT: u64 = ((42 << 32) + 21) / 43;

/// Weights by step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Habit {
    pub(super) weights: BTreeMap<u8, u32>,
}

/// How often today, by step.
pub(super) type Today = BTreeMap<u8, u32>;

impl Habit {
    /// The weight of all of it.
    pub(super) fn total(&self) -> u64 {
        self.weights.values().map(|weight| u64::from(*weight)).sum()
    }

    /// What is heavier than so many thousandths of all of it, as the highest number of its step; nothing where there is nothing.
    pub(super) fn quantile(&self, permille: u32) -> Option<u64> {
        let wanted = self.total().saturating_mul(permille.into()).div_ceil(1000);
        let mut sum = 0_u64;
        self.weights.iter().find_map(|(step, weight)| {
            sum += u64::from(*weight);
            (sum >= wanted).then(|| highest(*step))
        })
    }

    /// How many thousandths of all of it lie at these steps.
    pub(super) fn share_permille(&self, steps: [u8; 3]) -> u64 {
        let part: u64 = steps.iter().filter_map(|step| self.weights.get(step)).map(|w| u64::from(*w)).sum();
        (part * 1000).checked_div(self.total()).unwrap_or(0)
    }

    /// Adds a day on which this was the highest.
    pub(super) fn add_day(&mut self, step: u8) {
        self.add(step, UNIT.into());
    }

    /// Adds what a day brought, however much it was, as at most [`DAY_MAX`].
    pub(super) fn fold(&mut self, today: &Today) {
        let total: u64 = today.values().map(|count| u64::from(*count)).sum();
        for (step, count) in today {
            let weight = u64::from(*count) * total.min(DAY_MAX) * u64::from(UNIT);
            self.add(*step, weight.checked_div(total).unwrap_or(0));
        }
    }

    fn add(&mut self, step: u8, weight: u64) {
        let slot = self.weights.entry(step).or_default();
        *slot = slot.saturating_add(u32::try_from(weight).unwrap_or(u32::MAX));
    }

    /// Lets so many days pass.
    pub(super) fn fade(&mut self, days: u32) {
        let kept = kept(days);
        self.weights.retain(|_, weight| {
            *weight = faded(*weight, kept);
            *weight > 0
        });
    }
}

/// A weight of which so much is kept, in parts of 2^32.
pub(super) fn faded(weight: u32, kept: u64) -> u32 {
    u32::try_from((u64::from(weight) * kept) >> 32).unwrap_or(u32::MAX)
}

/// What is kept after so many days, in parts of 2^32: by squaring, rounded down at each step.
pub(super) fn kept(mut days: u32) -> u64 {
    let (mut result, mut power) = (1_u64 << 32, KEPT);
    while days > 0 {
        if days & 1 == 1 {
            result = (result * power) >> 32;
        }
        power = (power * power) >> 32;
        days >>= 1;
    }
    result
}

/// The step of a number: itself below eight, then four steps for each doubling; 251 is the last.
pub(super) const fn step(value: u64) -> u8 {
    if value < 8 {
        return value as u8;
    }
    let exponent = 63 - value.leading_zeros();
    let quarter = (value >> (exponent - 2)) & 3;
    ((exponent - 1) * 4) as u8 + quarter as u8
}

/// The highest number of a step.
pub(super) const fn highest(step: u8) -> u64 {
    if step < 8 {
        return step as u64;
    }
    let shift = step / 4 - 1;
    if shift > 61 {
        return u64::MAX;
    }
    let lowest = (4 + (step % 4) as u64) << shift;
    lowest + ((1 << shift) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_in_order_and_hold_their_numbers() {
        let mut last = 0;
        for value in (0..70).chain((3..64).flat_map(|bit| {
            let at = 1_u64 << bit;
            [at - 1, at, at + 1, at + at / 4, at + at / 4 - 1, at + at / 2]
        })) {
            let step = step(value);
            assert!(step >= last || value < highest(last), "{value}");
            assert!(
                value <= highest(step) && (step == 0 || value > highest(step - 1)),
                "{value}: step {step}"
            );
            last = step;
        }
        assert_eq!((step(u64::MAX), highest(251)), (251, u64::MAX));
    }

    #[test]
    fn half_is_left_after_thirty_days_and_nothing_after_years() {
        let mut habit = Habit::default();
        habit.fold(&Today::from([(40, 100), (80, 100)]));
        assert_eq!(habit.total(), DAY_MAX * u64::from(UNIT));
        let before = habit.total();
        habit.fade(30);
        assert!((490..=500).contains(&(habit.total() * 1000 / before)));
        habit.fade(u32::MAX);
        assert_eq!(habit, Habit::default());
        assert_eq!(habit.quantile(950), None);
    }

    #[test]
    fn one_outlier_does_not_move_a_quantile() {
        let mut habit = Habit::default();
        for _ in 0..30 {
            habit.fold(&Today::from([(40, 3)]));
        }
        habit.fold(&Today::from([(200, 3)]));
        assert_eq!(habit.quantile(950), Some(highest(40)));
        assert_eq!(habit.quantile(999), Some(highest(200)));
    }
}
