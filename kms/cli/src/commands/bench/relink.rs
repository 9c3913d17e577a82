//! `keyward bench relink`: unlinkable addresses on one core, as their owner and as the holder of a grant computes them.
//!
//! A ledger's export of many entries is written, some of them one account's; then everything that `keyward audit relink` does is
//! measured: its files are read and checked, exactly those entries are found with a grant over the account's address epochs, opened,
//! held against the record, the account's keys and the closings of the epochs, and the answer is composed.

mod chain;
mod grant;

use std::path::Path;
use std::time::{Duration, Instant};

use keyward_audit::Report;
use keyward_crypto::unlinkable::{
    Address, AddressRoot, Closing, EpochAddresses, ViewingCover, closing_tag, seal_closing, seal_detail,
};
use keyward_domain::detail::{Detail, Source, records_root};
use keyward_ledger_core::entry::{CloseEpoch, Entry, UseAddress};
use keyward_ledger_core::hash::{Hash, commitment};
use keyward_ledger_core::scheme::Scheme;
use keyward_ledger_core::trust::Trust;
use serde_json::{Value, json};

use self::chain::Chain;
use self::grant::{Span, made};
use super::cpu;
use super::report::{cores, tenths};
use super::site::Folder;
use crate::commands::Context;
use crate::commands::audit::Offline;
use crate::failure::{Failure, Result};
use crate::files::{self, Access};
use crate::output::Output;
use crate::sealed::random32;

const FIRST_EPOCH: u32 = 480_000;
const EPOCH_MS: u64 = 3_600_000;
/// Length of a sealed detail.
const DETAIL_BYTES: usize = 1_073;
/// About what an entry takes in an export.
const ENTRY_BYTES: f64 = 1_320.0;

#[derive(Clone, Debug, clap::Args)]
pub(super) struct Relink {
    /// Entries of the log.
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1..=20_000_000))]
    entries: u32,
    /// Those of the account, spread evenly.
    #[arg(long, value_name = "N", default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    own: u32,
    /// Entries of a block at most, in two batches.
    #[arg(long, value_name = "N", default_value_t = 1_024, value_parser = clap::value_parser!(u16).range(2..=1_400))]
    block: u16,
    /// Address epochs of the grant: a month of hours.
    #[arg(long, value_name = "N", default_value_t = 720, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    epochs: u32,
}

/// What was measured.
struct Measured {
    found: u32,
    blocks: u64,
    bytes: u64,
    relinking: Duration,
    /// Of which the processor worked.
    cpu: Duration,
    deriving: Duration,
}

impl Relink {
    pub(super) async fn run(self, context: &Context) -> Result<()> {
        if self.own > self.entries {
            let what = format!("{} of {} entries cannot be the account's", self.own, self.entries);
            return Err(Failure::usage(what, "give fewer `--own`"));
        }
        let folder = Folder::make()?;
        let gb = f64::from(self.entries) * ENTRY_BYTES / 1e9;
        let place = folder.0.display();
        context.output.note(format!(
            "  an export of {gb:.1} GB is made in `{place}` and removed afterwards; that takes longer than what is measured"
        ));
        let (work, path, output) = (self.clone(), folder.0.clone(), context.output);
        let working = tokio::task::spawn_blocking(move || work.measure(output, &path));
        let measured = tokio::select! {
            measured = working => measured,
            () = crate::signals::end() => {
                return Err(Failure::refused("the measurement was broken off", "run it again"));
            }
        };
        let measured = measured
            .map_err(|error| Failure::refused("the measurement ended", "run it again").because(&error))??;
        context.output.answer(self.words(&measured), &self.json(&measured));
        Ok(())
    }

    fn derived_per_s(&self, measured: &Measured) -> f64 {
        f64::from(self.own) / measured.deriving.as_secs_f64()
    }

    fn words(&self, measured: &Measured) -> String {
        format!(
            "an export of {:.2} GB, {} entries in {} blocks, checked, and {} entries of one account found in it, opened and held against \
             {} closings in {:.1} s on one core ({:.1} s of processor time); {:.0} addresses derived per s",
            gigabytes(measured),
            self.entries,
            measured.blocks,
            self.own,
            self.epochs,
            measured.relinking.as_secs_f64(),
            measured.cpu.as_secs_f64(),
            self.derived_per_s(measured),
        )
    }

    fn json(&self, measured: &Measured) -> Value {
        let seconds = measured.relinking.as_secs_f64();
        json!({
            "what": "all that `audit relink` does on one core: an export read and checked to its last block's certificate, not executed; \
                     one account's entries found in it with a grant, opened, and held against keys and closings",
            "entries": self.entries, "found": measured.found, "epochs": self.epochs,
            "blocks": measured.blocks, "entries_per_block_max": self.block, "gb": tenths(gigabytes(measured)),
            "seconds": tenths(seconds), "cpu_seconds": tenths(measured.cpu.as_secs_f64()),
            "entries_per_s": tenths(f64::from(self.entries) / seconds),
            "operation": "an address derived by its owner",
            "operations_per_s": tenths(self.derived_per_s(measured)),
            "cores": cores(),
        })
    }

    fn measure(&self, output: Output, folder: &Path) -> Result<Measured> {
        let root = AddressRoot::generate().map_err(|error| refused(&error))?;
        let (account, last) = (*random32()?, FIRST_EPOCH + self.epochs - 1);
        let until_ms = u64::from(last + 1) * EPOCH_MS;
        let span = Span { account, first: FIRST_EPOCH, last, until_ms };
        let [export, grant, trust] = ["export", "grant", "trust"].map(|name| folder.join(name));
        let mut chain = Chain::begin(&export, usize::from(self.block))?;
        let file = made(&mut chain, &span, ViewingCover::of(&root, FIRST_EPOCH..=last))?;
        file.encode().expose(|bytes| files::write(&grant, bytes, Access::Secret))?;
        let genesis = chain.genesis();
        let trusted = Trust::genesis(genesis.name().to_owned(), *genesis.chain_id()).encode();
        files::write(&trust, trusted.as_bytes(), Access::Public)?;
        let progress = output.progress("making the export, by epochs", 0, u64::from(self.epochs));
        let mut deriving = Duration::ZERO;
        for epoch in FIRST_EPOCH..=last {
            deriving += self.epoch(&mut chain, &root, &account, epoch)?;
            progress.reach(u64::from(epoch - FIRST_EPOCH));
        }
        drop(progress);
        let blocks = chain.finish()?;
        let bytes = bytes_in(&export).map_err(|error| refused(&error))?;
        let offline = Offline::of(export, grant, trust);
        let (began, cpu) = (Instant::now(), cpu::of_thread());
        let found = offline.find(&Context { output, profile: None })?;
        let report = Report::new(&found.relinked, &found.history);
        std::hint::black_box((report.text(), report.json().to_string()));
        let (relinking, cpu) = (began.elapsed(), cpu::of_thread().saturating_sub(cpu));
        let (complete, count) = (found.relinked.is_complete(), found.relinked.transactions.len());
        let found = u32::try_from(count).unwrap_or(u32::MAX);
        if found != self.own || !complete {
            let what = format!("{found} entries were found, {} are the account's", self.own);
            return Err(Failure::refused(what, "report this as a fault"));
        }
        Ok(Measured { found, blocks, bytes, relinking, cpu, deriving })
    }

    /// As even as whole numbers are.
    fn share(&self, all: u32, epoch: u32) -> u32 {
        let upto = |count: u32| u64::from(all) * u64::from(count) / u64::from(self.epochs);
        let at = epoch - FIRST_EPOCH;
        u32::try_from(upto(at + 1) - upto(at)).unwrap_or_default()
    }

    /// The entries of one epoch: the account's among strangers', and its closing. Gives how long its addresses took.
    fn epoch(&self, chain: &mut Chain, root: &AddressRoot, account: &Hash, epoch: u32) -> Result<Duration> {
        let leaf = root.spending_leaf(epoch).map_err(|error| refused(&error))?;
        let addresses = EpochAddresses::new(root.viewing_leaf(epoch), leaf.point());
        let (own, time_ms) = (self.share(self.own, epoch), u64::from(epoch) * EPOCH_MS);
        let began = Instant::now();
        let derived =
            (0..own).map(|index| addresses.address(index)).collect::<std::result::Result<Vec<_>, _>>();
        let deriving = began.elapsed();
        let mut leaves = Vec::new();
        for (index, address) in (0..).zip(derived.map_err(|error| refused(&error))?) {
            let entry = own_use(&addresses, account, index, address)?;
            leaves.push(chain.take(time_ms, &entry)?);
        }
        for _ in 0..self.share(self.entries - self.own, epoch) {
            chain.take(time_ms, &strangers_use(epoch)?)?;
        }
        let view = addresses.view();
        let tag = closing_tag(view).map_err(|error| refused(&error))?;
        let mut close = CloseEpoch { tag, epoch_ms: EPOCH_MS, epoch, closing: Vec::new() };
        let (spending, root) = (leaf.point(), records_root(leaves));
        let closing = Closing { spending, addresses: own, records: own, root };
        close.closing =
            seal_closing(view, &close.public_fields(), &closing).map_err(|error| refused(&error))?;
        chain.take(time_ms, &Entry::CloseEpoch(close))?;
        Ok(deriving)
    }
}

fn gigabytes(measured: &Measured) -> f64 {
    measured.bytes as f64 / 1e9
}

fn bytes_in(folder: &Path) -> std::io::Result<u64> {
    std::fs::read_dir(folder)?.map(|entry| Ok(entry?.metadata()?.len())).sum()
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
        let folder = Folder::make().unwrap();
        let output = Output { format: crate::output::Format::Json };
        let relink = Relink { entries: 100, own: 13, block: 16, epochs: 5 };
        let measured = relink.measure(output, &folder.0).unwrap();
        assert_eq!(measured.found, 13);
        // Twenty entries of each epoch and its closing; the grant's own come first.
        assert_eq!(measured.blocks, 1 + 5 * 2);
    }
}
