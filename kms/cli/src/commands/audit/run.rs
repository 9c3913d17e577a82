//! Which epochs of an account a grant opens now, as the ledger says: whole ones of its period that have elapsed, and, of own address
//! roots, that were dealt to keepers; and what has elapsed and does not open.

use keyward_client::audit::{Grant, ShownGrant};
use keyward_ledger_client::{Client, VerifiedState};
use keyward_ledger_core::codec::DecodeError;
use keyward_ledger_core::entry::Custody;
use keyward_ledger_core::state::addresses::{AddressesState, DealtState, addresses_key, dealt_key};
use keyward_ledger_core::unlinkable::EDGE_MS;

use crate::commands::ledger::failed;
use crate::failure::{Failure, Result};

/// Dealings that one opening shows at most.
const DEALINGS_MAX: usize = 31;

/// A run of epochs that is opened by one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) first: u32,
    pub(super) last: u32,
    /// Whether keepers open it.
    pub(super) own: bool,
}

/// What has elapsed of an account's epochs, within what was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Elapsed {
    /// What opens now, and was not opened before.
    pub(super) runs: Vec<Run>,
    /// What of an own root does not.
    pub(super) shut: Vec<Shut>,
}

/// Epochs of an own root that have elapsed and do not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shut {
    pub(super) first: u32,
    pub(super) last: u32,
    pub(super) epoch_ms: u64,
    pub(super) why: Why,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// No keeper has anything of them. Of a closed account nobody ever will.
    NotDealt { through: Option<u32>, account_closed: bool },
    /// They are one dealing, which opens whole or not at all, and reach over the grant's period, or only over what was asked for of it.
    ReachesOver { within_grant: bool },
}

/// What of an account's epochs has elapsed, and what of it can be opened now and was not before: `known`, in any order.
pub(super) async fn runs(
    ledger: &Client,
    shown: &ShownGrant,
    account: [u8; 32],
    asked: (Option<u32>, Option<u32>),
    known: &[(u32, u32)],
) -> Result<Elapsed> {
    let found = state(ledger, &addresses_key(&account)).await?;
    let none = || {
        let next = "see `keyward audit show` for the accounts that it is for";
        let failure = Failure::refused("the account has chosen no unlinkable addresses", next);
        Failure { code: Some("ADDRESSES_UNKNOWN".to_owned()), ..failure }
    };
    let chosen = AddressesState::decode(&found.value.ok_or_else(none)?).map_err(|error| malformed(&error))?;
    // The node may be behind; the service's proof of the grant has a time too.
    let time_ms = found.time_ms.max(shown.read_ms);
    let grant = &shown.state.grant;
    let Some(wanted) = whole(grant, &chosen, time_ms, asked) else { return Ok(Elapsed::default()) };
    match chosen.custody {
        Custody::Hosted => Ok(Elapsed { runs: apart(wanted, known), shut: Vec::new() }),
        Custody::Own => {
            let dealings = dealings(ledger, account, chosen.first, wanted.1).await?;
            let granted = whole(grant, &chosen, time_ms, (None, None)).unwrap_or(wanted);
            Ok(dealt(&chosen, &dealings, (wanted, granted), known))
        }
    }
}

/// The runs of a range that are not known.
fn apart((first, last): (u32, u32), known: &[(u32, u32)]) -> Vec<Run> {
    let mut known = known.to_vec();
    known.sort_unstable();
    let (mut runs, mut at) = (Vec::new(), Some(first));
    for (begins, ends) in known {
        let Some(first) = at.filter(|first| *first <= last) else { break };
        if let Some(before) = begins.checked_sub(1).filter(|before| first <= *before) {
            runs.push(Run { first, last: before.min(last), own: false });
        }
        at = if ends < first { at } else { ends.checked_add(1) };
    }
    runs.extend(at.filter(|first| *first <= last).map(|first| Run { first, last, own: false }));
    runs
}

/// The whole epochs of the grant's period that have elapsed at a time; of a closed account none after the one that it was closed in.
fn whole(
    grant: &Grant,
    chosen: &AddressesState,
    time_ms: u64,
    (first, last): (Option<u32>, Option<u32>),
) -> Option<(u32, u32)> {
    let number = |epoch: u64| u32::try_from(epoch).unwrap_or(u32::MAX);
    let from = number(grant.from_ms.div_ceil(chosen.epoch_ms)).max(chosen.first);
    let until = number(grant.until_ms.checked_div(chosen.epoch_ms)?.checked_sub(1)?);
    let elapsed = number(time_ms.checked_sub(EDGE_MS)?.checked_div(chosen.epoch_ms)?.checked_sub(1)?);
    let until = chosen.last().map_or(until, |closed| until.min(closed));
    let (first, last) = (first.unwrap_or(from).max(from), last.unwrap_or(u32::MAX).min(until).min(elapsed));
    (first <= last).then_some((first, last))
}

/// The dealings of an account from its first epoch on that begin up to one, first and last epoch of each.
async fn dealings(ledger: &Client, account: [u8; 32], first: u32, last: u32) -> Result<Vec<(u32, u32)>> {
    let (mut dealings, mut at) = (Vec::new(), Some(first));
    while let Some(begins) = at.filter(|begins| *begins <= last) {
        let Some(value) = state(ledger, &dealt_key(&account, begins)).await?.value else { break };
        let dealing = DealtState::decode(&value).map_err(|error| malformed(&error))?;
        dealings.push((begins, dealing.last));
        at = dealing.last.checked_add(1);
    }
    Ok(dealings)
}

/// The dealings that lie wholly within a range and are not known, in runs of as many as one opening shows; and what is left of it.
fn dealt(
    chosen: &AddressesState,
    dealings: &[(u32, u32)],
    ((first, last), granted): ((u32, u32), (u32, u32)),
    known: &[(u32, u32)],
) -> Elapsed {
    let (mut elapsed, mut of_run) = (Elapsed::default(), 0);
    let shut = |first, last, why| Shut { first, last, epoch_ms: chosen.epoch_ms, why };
    for &(begins, ends) in dealings {
        if ends < first || known.contains(&(begins, ends)) {
            continue;
        }
        if begins < first || ends > last {
            let within_grant = granted.0 <= begins && ends <= granted.1;
            elapsed.shut.push(shut(begins, ends, Why::ReachesOver { within_grant }));
            continue;
        }
        match elapsed.runs.last_mut() {
            Some(run) if of_run < DEALINGS_MAX && run.last.checked_add(1) == Some(begins) => {
                run.last = ends;
                of_run += 1;
            }
            _ => {
                elapsed.runs.push(Run { first: begins, last: ends, own: true });
                of_run = 1;
            }
        }
    }
    let through = dealings.last().map(|(_, ends)| *ends);
    let open = through.map_or(Some(chosen.first), |through| through.checked_add(1));
    if let Some(begins) = open.map(|open| open.max(first)).filter(|begins| *begins <= last) {
        let why = Why::NotDealt { through, account_closed: chosen.closed_ms.is_some() };
        elapsed.shut.push(shut(begins, last, why));
    }
    elapsed
}

async fn state(ledger: &Client, key: &[u8]) -> Result<VerifiedState> {
    ledger.state(key).await.map_err(|error| failed("cannot look at the account's epochs", &error))
}

fn malformed(error: &DecodeError) -> Failure {
    Failure::refused("what the ledger has of the account is not read by this version", "use a newer one")
        .because(error)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use keyward_ledger_core::unlinkable::AddressEpoch;

    use super::*;

    const L: u64 = 1_000;

    fn chosen(first: u32) -> AddressesState {
        let (tenant, custody, epoch_ms, dealt, leaf) = ([1; 32], Custody::Hosted, L, None, 0);
        AddressesState { tenant, custody, epoch_ms, first, dealt, leaf, closed_ms: None }
    }

    fn grant(from_ms: u64, until_ms: u64) -> Grant {
        Grant {
            id: [1; 32],
            tenant: [1; 32],
            grantee_key: [2; 32],
            purpose_hash: [3; 32],
            from_ms,
            until_ms,
            expires_ms: u64::MAX,
            accounts: Vec::new(),
        }
    }

    #[test]
    fn what_was_opened_is_not_opened_again_and_gaps_are() {
        let runs = |known: &[(u32, u32)]| -> Vec<_> {
            apart((10, 20), known).iter().map(|run| (run.first, run.last)).collect()
        };
        assert_eq!(runs(&[]), [(10, 20)]);
        assert_eq!(runs(&[(10, 14)]), [(15, 20)]);
        assert_eq!(runs(&[(13, 15), (0, 10), (18, 30), (14, 14)]), [(11, 12), (16, 17)]);
        assert_eq!(runs(&[(25, 30), (0, 3)]), [(10, 20)]);
        assert_eq!(runs(&[(0, u32::MAX)]), []);
        let all: Vec<_> = apart((0, u32::MAX), &[(0, 0)]).iter().map(|run| (run.first, run.last)).collect();
        assert_eq!(all, [(1, u32::MAX)]);
    }

    #[test]
    fn whole_epochs_that_have_elapsed_are_opened_and_no_others() {
        let late = 1_000 * L + EDGE_MS;
        let none = (None, None);
        // The period cuts epochs 10 and 19: they stay closed.
        let cut = grant(10 * L + 1, 20 * L - 1);
        assert_eq!(whole(&cut, &chosen(0), late, none), Some((11, 18)));
        assert_eq!(whole(&grant(10 * L, 20 * L), &chosen(0), late, none), Some((10, 19)));
        // The account had none before.
        assert_eq!(whole(&cut, &chosen(15), late, none), Some((15, 18)));
        assert_eq!(whole(&cut, &chosen(19), late, none), None);
        // What is asked for goes no further than the period.
        assert_eq!(whole(&cut, &chosen(0), late, (Some(13), Some(40))), Some((13, 18)));
        assert_eq!(whole(&cut, &chosen(0), late, (Some(1), None)), Some((11, 18)));
        assert_eq!(whole(&cut, &chosen(0), late, (Some(19), None)), None);
        // A closed account did nothing after the epoch that it was closed in; a clock that is ahead was in it earlier.
        let closed = |closed_ms| AddressesState { closed_ms: Some(closed_ms), ..chosen(0) };
        assert_eq!(whole(&cut, &closed(15 * L - EDGE_MS), late, none), Some((11, 15)));
        assert_eq!(whole(&cut, &closed(15 * L - EDGE_MS - 1), late, none), Some((11, 14)));
        assert_eq!(whole(&cut, &closed(11 * L - EDGE_MS - 1), late, none), None);
        assert_eq!(whole(&cut, &closed(90 * L), late, none), Some((11, 18)));
        // What is under way for the ledger stays closed.
        for (time_ms, open) in [
            (16 * L + EDGE_MS, Some((11, 15))),
            (16 * L + EDGE_MS - 1, Some((11, 14))),
            (12 * L + EDGE_MS, Some((11, 11))),
            (12 * L + EDGE_MS - 1, None),
            (0, None),
        ] {
            assert_eq!(whole(&cut, &chosen(0), time_ms, none), open, "{time_ms}");
            let elapsed = open.map(|(_, last)| AddressEpoch::new(L, last).is_elapsed(time_ms));
            assert_ne!(elapsed, Some(false), "{time_ms}");
        }
    }

    #[test]
    fn dealings_open_whole_and_what_is_left_of_the_period_is_told() {
        let own = AddressesState { custody: Custody::Own, ..chosen(10) };
        let looked = |dealings: &[(u32, u32)], wanted, granted, known: &[(u32, u32)]| {
            let Elapsed { runs, shut } = dealt(&own, dealings, (wanted, granted), known);
            let shut: Vec<_> = shut.iter().map(|shut| (shut.first, shut.last, shut.why)).collect();
            (runs.iter().map(|run| (run.first, run.last)).collect::<Vec<_>>(), shut)
        };
        let undealt = |through| Why::NotDealt { through, account_closed: false };
        let over = |within_grant| Why::ReachesOver { within_grant };
        let (days, all) = ([(10, 13), (14, 17), (18, 21)], (10, 25));
        // Nothing is dealt, or not everything.
        assert_eq!(looked(&[], all, all, &[]), (vec![], vec![(10, 25, undealt(None))]));
        assert_eq!(looked(&[], (12, 14), all, &[]), (vec![], vec![(12, 14, undealt(None))]));
        assert_eq!(looked(&days, all, all, &[]), (vec![(10, 21)], vec![(22, 25, undealt(Some(21)))]));
        assert_eq!(looked(&days, (10, 21), all, &[]), (vec![(10, 21)], vec![]));
        // The same once more, later: what was not dealt is still told, what is there already is not.
        assert_eq!(looked(&days, all, all, &days), (vec![], vec![(22, 25, undealt(Some(21)))]));
        assert_eq!(looked(&days, (10, 21), all, &days), (vec![], vec![]));
        // A period within one dealing, and one that cuts two.
        assert_eq!(looked(&days[..2], (15, 16), (15, 16), &[]), (vec![], vec![(14, 17, over(false))]));
        let cut = (12, 19);
        let edges = vec![(10, 13, over(false)), (18, 21, over(false))];
        assert_eq!(looked(&days, cut, cut, &[]), (vec![(14, 17)], edges));
        // The grant has it whole, what was asked for has not.
        assert_eq!(looked(&days[..2], (15, 16), all, &[]), (vec![], vec![(14, 17, over(true))]));
        assert_eq!(looked(&days[..2], (15, 16), all, &days[..2]), (vec![], vec![]));
        // Many dealings are several openings.
        let many: Vec<_> = (10..10 + 40).map(|epoch| (epoch, epoch)).collect();
        let (runs, shut) = looked(&many, (10, 49), (10, 49), &[]);
        assert_eq!((runs, shut), (vec![(10, 40), (41, 49)], vec![]));
        let closed = AddressesState { closed_ms: Some(20 * L), ..own };
        let shut = dealt(&closed, &[], ((10, 12), (10, 12)), &[]).shut;
        assert_eq!(shut[0].why, Why::NotDealt { through: None, account_closed: true });
    }
}
