//! Who runs an epoch, and with whom this node is connected in it: from the state, and from the configuration
//! where the state says nothing.

use std::collections::BTreeMap;

use keyward_ledger_core::{
    block::Regime,
    execute::{EXECUTION_VERSION, Ledger, StateBroken},
};
use keyward_ledger_engine::{EpochPlan, LeaderTerm, Peer};
use tracing::error;

use crate::shared::Shared;

/// The process's exit code when the members announced rules that this program does not know.
pub const EXIT_CODE_OUTDATED: i32 = 72;
/// Views of one leader in the fast regime.
const FAST_TERM_VIEWS: u32 = 64;

/// The plan of an epoch that has begun. Ends the process if the epoch is executed by rules that this program
/// does not know: it must stop rather than diverge.
pub(crate) fn plan(shared: &Shared, epoch: u64) -> Result<EpochPlan, StateBroken> {
    let view = shared.view();
    let ledger = &view.ledger;
    let needed = ledger.version_of(epoch)?;
    if needed > EXECUTION_VERSION {
        outdated(needed, epoch);
    }
    let term = ledger.term(epoch)?;
    let leaders = match term.regime {
        Regime::Fast => LeaderTerm::Stable { views: FAST_TERM_VIEWS },
        Regime::Strict => LeaderTerm::Rotating,
    };
    let mut peers = peers(shared, ledger)?;
    if let Some(before) = epoch.checked_sub(1) {
        // Those that have just left still fetch the end of their last epoch.
        for key in ledger.term(before)?.set.keys() {
            if let Some(address) = address(shared, ledger, &key)? {
                peers.entry(key).or_insert(address);
            }
        }
    }
    let peers = peers.into_iter().map(|(key, address)| Peer { key, address }).collect();
    Ok(EpochPlan { validators: term.set.keys().collect(), term: leaders, suspects: term.suspects, peers })
}

/// The nodes that belong to the ledger, and those of the configuration that it does not know.
pub(crate) fn peers(
    shared: &Shared,
    ledger: &Ledger,
) -> Result<BTreeMap<[u8; 32], std::net::SocketAddr>, StateBroken> {
    let observers = ledger.observers()?;
    let mut peers = BTreeMap::new();
    for Peer { key, address } in &shared.peers {
        let present = ledger.set().member(key).is_some() || observers.contains(key);
        let was_here = shared.genesis.set().member(key).is_some() || ledger.member(key)?.is_some();
        if present || !was_here {
            peers.insert(*key, *address);
        }
    }
    peers.extend(ledger.members()?.into_iter().map(|member| (member.key, member.peer)));
    Ok(peers)
}

fn address(
    shared: &Shared,
    ledger: &Ledger,
    key: &[u8; 32],
) -> Result<Option<std::net::SocketAddr>, StateBroken> {
    let known = ledger.member(key)?.map(|known| known.member.peer);
    let configured = || shared.peers.iter().find(|peer| peer.key == *key).map(|peer| peer.address);
    Ok(known.or_else(configured))
}

fn outdated(needed: u32, epoch: u64) -> ! {
    error!(
        needed,
        known = EXECUTION_VERSION,
        epoch,
        "alarm: the members announced an execution version that this program does not know; install a newer program and start this node again, its data stays as it is"
    );
    std::process::exit(EXIT_CODE_OUTDATED)
}
