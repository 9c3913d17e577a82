//! `keyward bench relink`: unlinkable addresses on one core, as their owner and as the holder of a grant computes them.
//!
//! An export of many entries is made up, some of them one account's; with the viewing cover of a grant and the spending points of
//! its address epochs exactly those are found again, and their details opened.

use std::collections::HashMap;
use std::time::Instant;

use keyward_crypto::unlinkable::{
    Address, AddressError, AddressRoot, EpochAddresses, SpendingPoint, ViewingCover, open_detail, seal_detail,
};
use serde_json::{Value, json};

use super::report::{cores, tenths};
use crate::commands::Context;
use crate::failure::{Failure, Result};
use crate::sealed::random32;

const FIRST_EPOCH: u32 = 480_000;
const PUBLIC: &[u8] = b"the public fields of a record";
const DETAIL: &[u8] = b"{\"amount\":\"12.50\",\"currency\":\"EUR\",\"to\":\"DE02120300000000202051\"}";

#[derive(Clone, Debug, clap::Args)]
pub(super) struct Relink {
    /// Entries of the export.
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1..=20_000_000))]
    entries: u32,
    /// Those of the account, spread evenly.
    #[arg(long, value_name = "N", default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    own: u32,
    /// Address epochs of the grant: a month of hours.
    #[arg(long, value_name = "N", default_value_t = 720, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    epochs: u32,
}

/// What a record shows to everybody.
struct Entry {
    address: Address,
    record: [u8; 32],
    /// Of strangers' entries nothing is looked at but the address.
    detail: Vec<u8>,
}

/// What was measured.
struct Report {
    seconds: f64,
    addresses_per_s: f64,
}

/// What a grant's holder has.
struct Grant {
    cover: Vec<u8>,
    /// Each epoch's spending point and number of addresses.
    spending: Vec<(SpendingPoint, u32)>,
}

impl Relink {
    pub(super) async fn run(self, context: &Context) -> Result<()> {
        if self.own > self.entries {
            let what = format!("{} of {} entries cannot be the account's", self.own, self.entries);
            return Err(Failure::usage(what, "give fewer `--own`"));
        }
        let waiting = context.output.wait_for(format!("one account among {} entries", self.entries));
        let work = self.clone();
        let report = tokio::task::spawn_blocking(move || work.measure()).await;
        drop(waiting);
        let report =
            report.map_err(|error| Failure::refused("the measurement ended", "").because(&error))??;
        let words = format!(
            "{} of {} entries found and opened in {:.1} s on one core; {:.0} addresses derived per s",
            self.own, self.entries, report.seconds, report.addresses_per_s,
        );
        context.output.answer(words, &self.json(&report));
        Ok(())
    }

    fn json(&self, report: &Report) -> Value {
        json!({
            "what": "one account's entries found in an export with a grant, and their details opened, on one core",
            "entries": self.entries, "found": self.own, "epochs": self.epochs,
            "seconds": tenths(report.seconds),
            "entries_per_s": tenths(f64::from(self.entries) / report.seconds),
            "operation": "an address derived by its owner",
            "operations_per_s": tenths(report.addresses_per_s),
            "cores": cores(),
        })
    }

    fn measure(&self) -> Result<Report> {
        let root = AddressRoot::generate().map_err(|error| refused(&error))?;
        let (entries, grant, derived_s) = self.export(&root)?;
        let began = Instant::now();
        let found = relink(&entries, &grant).map_err(|error| refused(&error))?;
        let seconds = began.elapsed().as_secs_f64();
        if found != self.own {
            let what = format!("{found} entries were found, {} are the account's", self.own);
            return Err(Failure::refused(what, "report this as a fault"));
        }
        Ok(Report { seconds, addresses_per_s: f64::from(self.own) / derived_s })
    }

    /// The export, the grant over all of it, and how long the account's addresses took, in seconds.
    fn export(&self, root: &AddressRoot) -> Result<(Vec<Entry>, Grant, f64)> {
        let (mut entries, mut spending, mut derived_s) = (Vec::new(), Vec::new(), 0.0);
        let last = FIRST_EPOCH + self.epochs - 1;
        for epoch in FIRST_EPOCH..=last {
            // As even as whole numbers are.
            let upto = |count: u32| u64::from(self.own) * u64::from(count) / u64::from(self.epochs);
            let at = epoch - FIRST_EPOCH;
            let count = u32::try_from(upto(at + 1) - upto(at)).unwrap_or_default();
            let leaf = root.spending_leaf(epoch).map_err(|error| refused(&error))?;
            let own = EpochAddresses::new(root.viewing_leaf(epoch), leaf.point());
            spending.push((leaf.point(), count));
            let began = Instant::now();
            let addresses = (0..count).map(|index| own.address(index)).collect::<Result<Vec<_>, _>>();
            derived_s += began.elapsed().as_secs_f64();
            for address in addresses.map_err(|error| refused(&error))? {
                let record = *random32()?;
                let detail =
                    seal_detail(own.view(), &record, PUBLIC, DETAIL).map_err(|error| refused(&error))?;
                entries.push(Entry { address, record, detail });
            }
        }
        let strangers = usize::try_from(self.entries - self.own).unwrap_or_default();
        for _ in 0..strangers {
            let record = *random32()?;
            let mut address = [2; 33];
            address.iter_mut().skip(1).zip(record.iter().rev()).for_each(|(to, from)| *to = *from);
            entries.push(Entry { address, record, detail: Vec::new() });
        }
        let cover = ViewingCover::of(root, FIRST_EPOCH..=last).encode().expose(<[u8]>::to_vec);
        Ok((entries, Grant { cover, spending }, derived_s))
    }
}

/// How many entries are the account's and open.
fn relink(entries: &[Entry], grant: &Grant) -> Result<u32, AddressError> {
    let cover = ViewingCover::decode(&grant.cover)?;
    let (mut epochs, mut places) = (Vec::new(), HashMap::new());
    for (spending, count) in &grant.spending {
        let Some(view) = cover.leaf(spending.epoch()) else { continue };
        let seen = EpochAddresses::new(view, *spending);
        for index in 0..*count {
            places.insert(seen.address(index)?, epochs.len());
        }
        epochs.push(seen);
    }
    let mut found = 0;
    for entry in entries {
        let Some(seen) = places.get(&entry.address).and_then(|place| epochs.get(*place)) else { continue };
        open_detail(seen.view(), &entry.record, PUBLIC, &entry.detail)?;
        found += 1;
    }
    Ok(found)
}

fn refused(error: &AddressError) -> Failure {
    Failure::refused("an address or a detail was refused", "report this as a fault").because(error)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn exactly_the_accounts_entries_are_found_and_a_changed_one_does_not_open() {
        let (root, relinked) =
            (AddressRoot::generate().unwrap(), Relink { entries: 100, own: 13, epochs: 5 });
        let (mut entries, grant, _derived_s) = relinked.export(&root).unwrap();
        assert_eq!((entries.len(), relink(&entries, &grant).unwrap()), (100, 13));
        let other = AddressRoot::generate().unwrap();
        let (strangers, _grant, _derived_s) = relinked.export(&other).unwrap();
        assert_eq!(relink(&strangers, &grant).unwrap(), 0);
        entries[3].record = [0; 32];
        assert!(matches!(relink(&entries, &grant), Err(AddressError::OtherKey)));
    }
}
