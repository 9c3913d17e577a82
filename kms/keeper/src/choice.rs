//! Which keepers to work with: as many as are needed, none that failed, no two that contradict each other.

use std::collections::BTreeSet;

/// What is known of those who could deal or help. Where one keeper complains of another, one of the two is wrong and nobody
/// can tell which; those who keep the rules never complain of each other, so as many as are needed of them, if there are,
/// are found in the end: each failure rules out one keeper or one pair, and there are few of both.
#[derive(Clone, Debug)]
pub(crate) struct Choice {
    among: Vec<u8>,
    needed: u32,
    at_odds: BTreeSet<[u8; 2]>,
}

impl Choice {
    /// Of these indices, ascending; at most 16.
    pub(crate) fn new(among: Vec<u8>, needed: u8) -> Self {
        Self { among, needed: needed.into(), at_odds: BTreeSet::new() }
    }

    /// Works without this one from now on.
    pub(crate) fn leave_out(&mut self, index: u8) {
        self.among.retain(|other| *other != index);
    }

    /// Never puts these two together again.
    pub(crate) fn put_apart(&mut self, one: u8, other: u8) {
        self.at_odds.insert([one.min(other), one.max(other)]);
    }

    /// The first that are enough, ascending; the same for everybody who knows the same.
    pub(crate) fn pick(&self) -> Option<Vec<u8>> {
        // INVARIANT: sixteen keepers are sixteen bits.
        let all = 1_u32 << self.among.len().min(16);
        (0..all).filter(|set| set.count_ones() == self.needed).find_map(|set| {
            let members = (0..).zip(&self.among).filter(|(bit, _)| set >> bit & 1 == 1);
            let members: Vec<u8> = members.map(|(_, index)| *index).collect();
            let together = |pair: &[u8; 2]| pair.iter().all(|index| members.contains(index));
            (!self.at_odds.iter().any(together)).then_some(members)
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn those_who_keep_the_rules_are_found_whatever_the_others_say_of_them() {
        // 1, 3 and 5 complain of whoever works with them; one more is silent.
        let mut choice = Choice::new((1..=9).collect(), 4);
        choice.leave_out(9);
        let mut tries = 0;
        let found = loop {
            tries += 1;
            let picked = choice.pick().unwrap();
            let Some(liar) = picked.iter().copied().find(|index| [1, 3, 5].contains(index)) else {
                break picked;
            };
            let other = picked.iter().copied().find(|index| *index != liar).unwrap();
            choice.put_apart(liar, other);
        };
        assert_eq!(found, [2, 4, 6, 7]);
        assert!(tries <= 3 * 8, "{tries}");
        choice.leave_out(2);
        choice.leave_out(4);
        assert_eq!(
            choice.pick().map(|picked| picked.len()),
            Some(4),
            "one of those who complained is among them"
        );
        let all_at_odds = || {
            let mut choice = Choice::new(vec![1, 2, 3], 2);
            for [one, other] in [[1, 2], [3, 2], [3, 1]] {
                choice.put_apart(one, other);
            }
            choice
        };
        assert_eq!(all_at_odds().pick(), None);
        assert_eq!(Choice::new(vec![1, 2], 3).pick(), None);
        let sixteen = Choice::new((1..=16).collect(), 16);
        assert_eq!(sixteen.pick(), Some((1..=16).collect()));
    }
}
