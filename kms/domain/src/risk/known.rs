//! Who is known: a bounded set of marks with the times of the first and the last look; who was not seen longest makes room.

use super::habit::{DAY_MAX, UNIT, faded, kept};
use super::request::Mark;

/// Somebody who was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) mark: Mark,
    /// Minutes since 1970.
    pub(super) first_minute: u32,
    pub(super) last_minute: u32,
    /// Whether others approved a request with it.
    pub(super) approved: bool,
}

/// How well somebody is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Familiarity {
    Known,
    /// Seen for a short time only, and in nothing that others approved.
    Recent,
    New,
}

/// At most `MAX` of them, in the order of their marks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Known<const MAX: usize> {
    pub(super) seen: Vec<Seen>,
}

impl<const MAX: usize> Known<MAX> {
    pub(super) fn familiarity(&self, mark: &Mark, minute: u32, settle_hours: u32) -> Familiarity {
        let found = self.place(mark).ok().and_then(|place| self.seen.get(place));
        let settled = |seen: &Seen| {
            seen.approved || minute.saturating_sub(seen.first_minute) >= settle_hours.saturating_mul(60)
        };
        match found {
            None => Familiarity::New,
            Some(seen) if settled(seen) => Familiarity::Known,
            Some(_) => Familiarity::Recent,
        }
    }

    pub(super) fn has(&self, mark: &Mark) -> bool {
        self.place(mark).is_ok()
    }

    pub(super) fn see(&mut self, mark: Mark, minute: u32, approved: bool) {
        match self.place(&mark) {
            Ok(place) => {
                if let Some(seen) = self.seen.get_mut(place) {
                    seen.last_minute = seen.last_minute.max(minute);
                    seen.approved |= approved;
                }
            }
            Err(_) => {
                self.make_room();
                let place = self.place(&mark).unwrap_or_else(|place| place);
                let seen = Seen { mark, first_minute: minute, last_minute: minute, approved };
                self.seen.insert(place, seen);
            }
        }
    }

    fn make_room(&mut self) {
        let oldest = self.seen.iter().enumerate().min_by_key(|(_, seen)| seen.last_minute);
        if let Some((place, _)) = oldest.filter(|_| self.seen.len() >= MAX) {
            self.seen.remove(place);
        }
    }

    fn place(&self, mark: &Mark) -> Result<usize, usize> {
        self.seen.binary_search_by(|seen| seen.mark.cmp(mark))
    }
}

/// How often something was so, of all requests for which it could be: by days, fading like every habit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) so: u32,
    pub(super) all: u32,
    pub(super) so_today: u32,
    pub(super) all_today: u32,
}

impl Share {
    pub(super) const fn see(&mut self, so: bool) {
        self.all_today = self.all_today.saturating_add(1);
        self.so_today = self.so_today.saturating_add(so as u32);
    }

    /// In thousandths; none is 0.
    pub(super) fn permille(self) -> u32 {
        u32::try_from((u64::from(self.so) * 1000).checked_div(self.all.into()).unwrap_or(0)).unwrap_or(1000)
    }

    /// Whether at least so many requests stand behind it.
    pub(super) fn weighs(self, requests: u32) -> bool {
        u64::from(self.all) >= u64::from(requests) * u64::from(UNIT)
    }

    /// Ends the day, and lets so many pass.
    pub(super) fn roll(&mut self, days: u32) {
        let all = u64::from(self.all_today).min(DAY_MAX) * u64::from(UNIT);
        let so = (u64::from(self.so_today) * all).checked_div(self.all_today.into()).unwrap_or(0);
        let added = |weight: u32, more: u64| weight.saturating_add(u32::try_from(more).unwrap_or(u32::MAX));
        let kept = kept(days);
        self.so = faded(added(self.so, so), kept);
        self.all = faded(added(self.all, all), kept);
        (self.so_today, self.all_today) = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing, reason = "tests")]
    use super::*;

    #[test]
    fn the_set_stays_bounded_and_forgets_who_was_longest_away() {
        let mut known = Known::<3>::default();
        for (minute, byte) in (0..).zip([1, 2, 3, 1, 4]) {
            known.see(Mark([byte; 16]), minute, false);
        }
        assert_eq!(known.seen.iter().map(|seen| seen.mark.0[0]).collect::<Vec<_>>(), [1, 3, 4]);
        assert_eq!(known.familiarity(&Mark([2; 16]), 9, 0), Familiarity::New);
    }

    #[test]
    fn who_is_new_settles_with_time_or_by_approval() {
        let mut known = Known::<3>::default();
        let mark = Mark([1; 16]);
        known.see(mark, 100, false);
        assert_eq!(known.familiarity(&mark, 159, 1), Familiarity::Recent);
        assert_eq!(known.familiarity(&mark, 160, 1), Familiarity::Known);
        known.see(mark, 110, true);
        assert_eq!(known.familiarity(&mark, 110, 1), Familiarity::Known);
    }
}
