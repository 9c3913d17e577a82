//! `keyward bench relink`: unlinkable addresses on one core, as their owner and as the holder of a grant computes them.
//!
//! A log of many entries is made up, some of them one account's; with a grant over its address epochs exactly those are found again as
//! `keyward audit` finds them: opened, held against the record, the account's keys and the closings of the epochs.

mod grant;

use std::time::{Duration, Instant};

use keyward_audit::{Relinked, Relinker};
use keyward_crypto::unlinkable::{
    Address, AddressRoot, Closing, EpochAddresses, ViewingCover, closing_tag, seal_closing, seal_detail,
};
use keyward_domain::detail::{Detail, Source, records_root};
use keyward_ledger_core::entry::{CloseEpoch, Entry, UseAddress};
use keyward_ledger_core::hash::{Hash, commitment};
use keyward_ledger_core::record::Record;
use keyward_ledger_core::scheme::Scheme;
use serde_json::{Value, json};

use self::grant::{Span, made, record};
use super::report::{cores, tenths};
use crate::commands::Context;
use crate::failure::{Failure, Result};
use crate::sealed::random32;

const FIRST_EPOCH: u32 = 480_000;
const EPOCH_MS: u64 = 3_600_000;
/// Length of a sealed detail.
const DETAIL_BYTES: usize = 1_073;

#[derive(Clone, Debug, clap::Args)]
pub(super) struct Relink {
    /// Entries of the log.
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1..=20_000_000))]
    entries: u32,
    /// Those of the account, spread evenly.
    #[arg(long, value_name = "N", default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    own: u32,
    /// Address epochs of the grant: a month of hours.
    #[arg(long, value_name = "N", default_value_t = 720, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    epochs: u32,
}

/// What was measured.
struct Measured {
    found: Relinked,
    looking: Duration,
    deriving: Duration,
}

/// A log in the making, looked at as it grows: only looking is measured.
struct Log {
    relinker: Relinker,
    next: u64,
    looking: Duration,
}

impl Relink {
    pub(super) async fn run(self, context: &Context) -> Result<()> {
        if self.own > self.entries {
            let what = format!("{} of {} entries cannot be the account's", self.own, self.entries);
            return Err(Failure::usage(what, "give fewer `--own`"));
        }
        let waiting = context.output.wait_for(format!("one account among {} entries", self.entries));
        let work = self.clone();
        let measured = tokio::task::spawn_blocking(move || work.measure()).await;
        drop(waiting);
        let measured =
            measured.map_err(|error| Failure::refused("the measurement ended", "").because(&error))??;
        let (seconds, per_s) = (measured.looking.as_secs_f64(), self.derived_per_s(&measured));
        let words = format!(
            "{} of {} entries found, opened and held against {} closings in {seconds:.1} s on one core; {per_s:.0} addresses \
             derived per s",
            self.own, self.entries, self.epochs,
        );
        context.output.answer(words, &self.json(seconds, per_s));
        Ok(())
    }

    fn derived_per_s(&self, measured: &Measured) -> f64 {
        f64::from(self.own) / measured.deriving.as_secs_f64()
    }

    fn json(&self, seconds: f64, derived_per_s: f64) -> Value {
        json!({
            "what": "one account's entries found in a log with a grant, opened and held against keys and closings, on one core",
            "entries": self.entries, "found": self.own, "epochs": self.epochs,
            "seconds": tenths(seconds),
            "entries_per_s": tenths(f64::from(self.entries) / seconds),
            "operation": "an address derived by its owner",
            "operations_per_s": tenths(derived_per_s),
            "cores": cores(),
        })
    }

    fn measure(&self) -> Result<Measured> {
        let root = AddressRoot::generate().map_err(|error| refused(&error))?;
        let (account, last) = (*random32()?, FIRST_EPOCH + self.epochs - 1);
        let until_ms = u64::from(last + 1) * EPOCH_MS;
        let span = Span { account, first: FIRST_EPOCH, last, until_ms };
        let made = made(&span, ViewingCover::of(&root, FIRST_EPOCH..=last))?;
        let relinker = Relinker::new(made.file, &made.trust).map_err(|error| refused(&error))?;
        let mut log = Log { relinker, next: 0, looking: Duration::ZERO };
        for record in made.records {
            log.look(record)?;
        }
        let mut deriving = Duration::ZERO;
        for epoch in FIRST_EPOCH..=last {
            deriving += self.epoch(&mut log, &root, &account, epoch)?;
        }
        let began = Instant::now();
        let found = log.relinker.relinked();
        let measured = Measured { found, looking: log.looking + began.elapsed(), deriving };
        let count = u32::try_from(measured.found.transactions.len()).unwrap_or(u32::MAX);
        if count != self.own || !measured.found.is_complete() {
            let what = format!("{count} entries were found, {} are the account's", self.own);
            return Err(Failure::refused(what, "report this as a fault"));
        }
        Ok(measured)
    }

    /// As even as whole numbers are.
    fn share(&self, all: u32, epoch: u32) -> u32 {
        let upto = |count: u32| u64::from(all) * u64::from(count) / u64::from(self.epochs);
        let at = epoch - FIRST_EPOCH;
        u32::try_from(upto(at + 1) - upto(at)).unwrap_or_default()
    }

    /// The entries of one epoch: the account's among strangers', and its closing. Gives how long its addresses took.
    fn epoch(&self, log: &mut Log, root: &AddressRoot, account: &Hash, epoch: u32) -> Result<Duration> {
        let leaf = root.spending_leaf(epoch).map_err(|error| refused(&error))?;
        let addresses = EpochAddresses::new(root.viewing_leaf(epoch), leaf.point());
        let own = self.share(self.own, epoch);
        let began = Instant::now();
        let derived =
            (0..own).map(|index| addresses.address(index)).collect::<std::result::Result<Vec<_>, _>>();
        let deriving = began.elapsed();
        let mut leaves = Vec::new();
        for (index, address) in (0..).zip(derived.map_err(|error| refused(&error))?) {
            let entry = own_use(&addresses, account, index, address)?;
            leaves.push(log.entry(epoch, &entry)?);
        }
        for _ in 0..self.share(self.entries - self.own, epoch) {
            log.entry(epoch, &strangers_use(epoch)?)?;
        }
        let view = addresses.view();
        let tag = closing_tag(view).map_err(|error| refused(&error))?;
        let mut close = CloseEpoch { tag, epoch_ms: EPOCH_MS, epoch, closing: Vec::new() };
        let (spending, root) = (leaf.point(), records_root(leaves));
        let closing = Closing { spending, addresses: own, records: own, root };
        close.closing =
            seal_closing(view, &close.public_fields(), &closing).map_err(|error| refused(&error))?;
        log.entry(epoch, &Entry::CloseEpoch(close))?;
        Ok(deriving)
    }
}

impl Log {
    fn look(&mut self, record: Record) -> Result<()> {
        let began = Instant::now();
        let fed = self.relinker.feed(self.next, &record);
        self.looking += began.elapsed();
        self.next += 1;
        fed.map_err(|error| refused(&error))
    }

    /// Takes an entry, and gives its leaf hash.
    fn entry(&mut self, epoch: u32, entry: &Entry) -> Result<Hash> {
        let record = record(self.next, entry.encode(), u64::from(epoch) * EPOCH_MS);
        let leaf = record.id();
        self.look(record)?;
        Ok(leaf)
    }
}

fn unsealed(epoch: u32, address: Address, commitment: Hash) -> Result<UseAddress> {
    Ok(UseAddress {
        id: *random32()?,
        scheme: Scheme::EcdsaSecp256k1,
        public_key: address,
        epoch_ms: EPOCH_MS,
        epoch,
        executor: [1; 32],
        commitment,
        not_after: 1,
        limit: None,
        detail: Vec::new(),
        proof: [5; 64],
    })
}

fn own_use(addresses: &EpochAddresses, account: &Hash, index: u32, address: Address) -> Result<Entry> {
    let detail = Detail {
        account: *account,
        source: Source::Index(index),
        payload_hash: *random32()?,
        opening: *random32()?,
        policy: [6; 32],
        approved: None,
        app: "till".to_owned(),
        format: "pain.001".to_owned(),
        said: vec!["12.50 EUR to DE02120300000000202051".to_owned()],
    };
    let mut used = unsealed(addresses.epoch(), address, commitment(&detail.opening, &detail.payload_hash))?;
    let bytes = detail.encode().map_err(|error| refused(&error))?;
    let sealed = seal_detail(addresses.view(), &used.id, &used.public_fields(), &bytes);
    used.detail = sealed.map_err(|error| refused(&error))?;
    Ok(Entry::UseAddress(used))
}

/// Of somebody else: what is sealed cannot be told from random bytes.
fn strangers_use(epoch: u32) -> Result<Entry> {
    let noise = random32()?;
    let mut address = [2; 33];
    address.iter_mut().skip(1).zip(noise.iter()).for_each(|(to, from)| *to = *from);
    let mut used = unsealed(epoch, address, *noise)?;
    used.detail = [1].into_iter().chain(noise.iter().copied().cycle()).take(DETAIL_BYTES).collect();
    Ok(Entry::UseAddress(used))
}

fn refused(error: &(dyn std::error::Error + 'static)) -> Failure {
    Failure::refused("the measurement cannot go on", "report this as a fault").because(error)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn exactly_the_accounts_entries_are_found_and_nothing_lies() {
        let measured = Relink { entries: 100, own: 13, epochs: 5 }.measure().unwrap();
        assert_eq!((measured.found.transactions.len(), measured.found.epochs.len()), (13, 5));
        assert!(measured.found.is_complete() && measured.found.lying() == 0);
        assert_eq!(measured.found.acts.len(), 4);
    }
}
