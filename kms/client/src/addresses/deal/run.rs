//! Which epochs are dealt next.

use keyward_ledger_core::entry::Custody;
use keyward_ledger_core::state::addresses::AddressesState;
use keyward_ledger_core::unlinkable::AddressEpoch;

use super::AddressesError;

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// The first epochs that are not dealt, up to the end of their day (UTC) or to an epoch within it; nothing where that day is not
/// over, or that epoch is dealt.
pub(super) fn next_run(
    state: &AddressesState,
    now_ms: u64,
    through: Option<u32>,
) -> Result<Option<(u32, u32)>, AddressesError> {
    let Some(first) = state.next_dealt() else { return Ok(None) };
    let epoch = |number| AddressEpoch::new(state.epoch_ms, number);
    let day = epoch(first).begins_ms().checked_div(DAY_MS).unwrap_or_default();
    let day_ends_ms = day.saturating_add(1).saturating_mul(DAY_MS);
    // The last epoch that begins on that day.
    let ends = day_ends_ms.saturating_sub(1).checked_div(state.epoch_ms).unwrap_or_default();
    let ends = u32::try_from(ends).unwrap_or(u32::MAX).max(first);
    let Some(through) = through else {
        return Ok(epoch(ends).is_elapsed(now_ms).then_some((first, ends)));
    };
    if through < first {
        return Ok(None);
    }
    let last = ends.min(through);
    if epoch(last).is_elapsed(now_ms) {
        Ok(Some((first, last)))
    } else {
        Err(AddressesError::UnderWay { epoch: last })
    }
}

/// How many days (UTC) are over at a time of the ledger and not left to keepers; none of what is hosted, or of a closed account, of which
/// nothing is dealt any more.
pub fn undealt_days(state: &AddressesState, ledger_ms: u64) -> u32 {
    if state.custody != Custody::Own || state.closed_ms.is_some() {
        return 0;
    }
    let (mut after, mut days) = (*state, 0_u32);
    while let Ok(Some((_, last))) = next_run(&after, ledger_ms, None) {
        after.dealt = Some(last);
        days = days.saturating_add(1);
    }
    days
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use keyward_ledger_core::unlinkable::EDGE_MS;

    use super::*;

    const HOUR_MS: u64 = 60 * 60 * 1_000;

    fn state(epoch_ms: u64, first: u32, dealt: Option<u32>) -> AddressesState {
        let tenant = [1; 32];
        AddressesState { tenant, custody: Custody::Own, epoch_ms, first, dealt, leaf: 0, closed_ms: None }
    }

    #[test]
    fn whole_days_are_dealt_once_they_are_over_for_everybody() {
        let chosen = state(HOUR_MS, 30, None);
        let over = 2 * DAY_MS + EDGE_MS;
        assert_eq!(next_run(&chosen, over - 1, None).unwrap(), None);
        assert_eq!(next_run(&chosen, over, None).unwrap(), Some((30, 47)));
        let next = state(HOUR_MS, 30, Some(47));
        assert_eq!(next_run(&next, over, None).unwrap(), None);
        assert_eq!(next_run(&next, 9 * DAY_MS, None).unwrap(), Some((48, 71)), "one day at a time");
        // An epoch of a day, and one that no day holds a whole number of: it is of the day that it begins on.
        assert_eq!(next_run(&state(DAY_MS, 3, None), 9 * DAY_MS, None).unwrap(), Some((3, 3)));
        let odd = state(7 * HOUR_MS, 0, None);
        assert_eq!(next_run(&odd, 9 * DAY_MS, None).unwrap(), Some((0, 3)));
        assert_eq!(next_run(&state(7 * HOUR_MS, 0, Some(3)), 9 * DAY_MS, None).unwrap(), Some((4, 6)));
        let none = state(HOUR_MS, 0, Some(u32::MAX));
        assert_eq!(next_run(&none, u64::MAX, None).unwrap(), None);
    }

    #[test]
    fn days_wait_until_they_are_dealt_and_only_of_an_open_account_with_its_own_root() {
        let (chosen, over) = (state(HOUR_MS, 30, None), 2 * DAY_MS + EDGE_MS);
        assert_eq!([over - 1, over, over + DAY_MS].map(|now| undealt_days(&chosen, now)), [0, 1, 2]);
        assert_eq!(undealt_days(&state(HOUR_MS, 30, Some(40)), over), 1, "the rest of that day");
        assert_eq!(undealt_days(&state(HOUR_MS, 30, Some(47)), over), 0);
        assert_eq!(undealt_days(&state(HOUR_MS, 30, Some(u32::MAX)), u64::MAX), 0);
        let hosted = AddressesState { custody: Custody::Hosted, ..chosen };
        let closed = AddressesState { closed_ms: Some(1), ..chosen };
        assert_eq!([hosted, closed].map(|state| undealt_days(&state, 9 * DAY_MS)), [0, 0]);
    }

    #[test]
    fn a_run_ends_earlier_where_somebody_says_so() {
        let chosen = state(HOUR_MS, 30, Some(31));
        let now = 36 * HOUR_MS + EDGE_MS;
        assert_eq!(next_run(&chosen, now, Some(35)).unwrap(), Some((32, 35)));
        assert_eq!(next_run(&chosen, now, Some(31)).unwrap(), None, "dealt");
        let early = next_run(&chosen, now - 1, Some(35)).unwrap_err();
        assert!(matches!(early, AddressesError::UnderWay { epoch: 35 }));
        assert_eq!(
            next_run(&chosen, 9 * DAY_MS, Some(100)).unwrap(),
            Some((32, 47)),
            "never over a day's end"
        );
    }
}
