//! What nodes tell each other beside batches: which blocks they hold, and certificates that one of them lost.
//!
//! Every few seconds a node says what it holds at its newest certified height and at one old height that
//! nobody can foresee, read from its disk. Whoever hears something else than it holds itself raises an alarm
//! that names node and height; such a height is told again now and then, so that the alarm ends when the same node says the
//! same. Peers may lie, repeat and flood: a message changes nothing here but alarms, of which each peer has a few,
//! unless it is a certificate that this node misses and that holds; and where more validators than may lie show another
//! state, this node complains.
//!
//! ```text
//! statement   = u8 0xc1 || held || held                  newest certified, and an old one
//! held        = u64 height || digest[32] || state root[32]
//! wanted      = u8 0xc2 || u64 height...                 at most 64
//! certificate = u8 0xc3 || u64 height || certificate     SPEC.md, section 9
//! ```

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use keyward_ledger_core::{
    block::{SIGNED_HEADER_BYTES, SignedHeader},
    certificate::Certificate,
    entry::ComplaintKind,
    hash::Hash,
};
use keyward_ledger_engine::{self as engine, Store as _};
use tracing::debug;

use crate::{
    alarms::{Alarm, Code},
    executor::convert,
    repair,
    shared::Shared,
};

const STATEMENT: u8 = 0xc1;
const WANTED: u8 = 0xc2;
const CERTIFICATE: u8 = 0xc3;
const HELD_BYTES: usize = 8 + 32 + 32;

/// How often a node says what it holds.
const TELL_EVERY: Duration = Duration::from_secs(3);
/// How often one peer is listened to.
const LISTEN_EVERY: Duration = Duration::from_millis(500);
/// Certificates that one message may ask for.
const WANTED_MAX: usize = 64;
/// Peers of whom it is remembered when they were heard.
const PEERS_MAX: usize = 256;

/// What a node says it holds at a height.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Held {
    height: u64,
    digest: Hash,
    state_root: Hash,
}

impl Held {
    fn encode(&self) -> [u8; HELD_BYTES] {
        let mut bytes = [0; HELD_BYTES];
        let fields = [self.height.to_be_bytes().as_slice(), &self.digest, &self.state_root].concat();
        bytes.copy_from_slice(&fields);
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (height, rest) = bytes.split_first_chunk::<8>()?;
        let (digest, rest) = rest.split_first_chunk::<32>()?;
        let (state_root, rest) = rest.split_first_chunk::<32>()?;
        let held = Self { height: u64::from_be_bytes(*height), digest: *digest, state_root: *state_root };
        rest.is_empty().then_some(held)
    }

    /// What this node's disk holds.
    fn stored(shared: &Shared, height: u64) -> Option<Self> {
        if height > shared.view().ledger.height() {
            return None;
        }
        let bytes = repair::stored(shared, height)?;
        let header = SignedHeader::decode(bytes.get(..SIGNED_HEADER_BYTES)?).ok()?;
        Some(Self { height, digest: header.digest(), state_root: header.header.state_root })
    }
}

/// Says again and again what this node holds.
pub(crate) async fn tell_of_blocks(shared: Arc<Shared>) {
    loop {
        shared.timer.sleep(TELL_EVERY).await;
        let reading = shared.clone();
        let statement = tokio::task::spawn_blocking(move || statement(&reading)).await;
        if let (Ok(Some(statement)), Some(others)) = (statement, repair::others(&shared).await) {
            others.tell(statement);
        }
    }
}

fn statement(shared: &Shared) -> Option<Bytes> {
    let anchor = shared.view().anchor.clone()?;
    // The state root is that of the state in memory, not the one in the header.
    let (height, digest) = (anchor.height(), *anchor.ledger.tip());
    let newest = Held { height, digest, state_root: anchor.ledger.state().root() };
    let old = Held::stored(shared, old_height(shared, newest.height)?)?;
    Some([[STATEMENT].as_slice(), &newest.encode(), &old.encode()].concat().into())
}

/// The old height of a statement: one about which nodes differed, as often as not, or else any.
fn old_height(shared: &Shared, newest: u64) -> Option<u64> {
    let mut differing = shared.alarms.open_heights(Code::NodeDiffers);
    let floor = shared.floor_height();
    differing.retain(|height| (floor + 1..=newest).contains(height));
    let chosen = random_below(2 * differing.len() as u64).and_then(|at| usize::try_from(at).ok());
    match chosen.and_then(|at| differing.get(at)) {
        Some(height) => Some(*height),
        None => Some(random_below(newest.checked_sub(floor)?)? + floor + 1),
    }
}

fn random_below(bound: u64) -> Option<u64> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).ok()?;
    // The bias of the remainder does not matter: nobody foresees the height.
    u64::from_be_bytes(bytes).checked_rem(bound)
}

/// Asks the others for the certificates at these heights; what comes is taken by [`Peers::take`].
pub(crate) async fn ask_for_certificates(shared: &Shared, heights: &[u64]) {
    let Some(others) = repair::others(shared).await else { return };
    for heights in heights.chunks(WANTED_MAX) {
        let heights = heights.iter().flat_map(|height| height.to_be_bytes());
        others.tell([WANTED].into_iter().chain(heights).collect());
    }
}

/// Who was heard when, so that nobody takes more than a share of this node's time.
#[derive(Default)]
pub(crate) struct Peers {
    heard: BTreeMap<([u8; 32], u8), Duration>,
    /// Validators that say they hold another state, and the highest height of which each said so.
    other_state: BTreeMap<[u8; 32], u64>,
}

impl Peers {
    /// Takes a message if it is one of these; `false` if it is something else.
    pub(crate) fn take(&mut self, shared: &Arc<Shared>, from: &[u8; 32], message: &Bytes) -> bool {
        let Some((kind, body)) = message.split_first() else { return false };
        if !matches!(*kind, STATEMENT | WANTED | CERTIFICATE) {
            return false;
        }
        // Certificates come many at a time, and only those that are missing here cost anything.
        if *kind != CERTIFICATE && !self.may_speak(from, *kind, shared.timer.now()) {
            debug!(peer = hex::encode(from), "a peer says too much: a message is dropped");
            return true;
        }
        match *kind {
            STATEMENT => self.compare(shared, from, body),
            WANTED => answer(shared, body),
            _ => restore(shared, body),
        }
        true
    }

    fn may_speak(&mut self, from: &[u8; 32], kind: u8, now: Duration) -> bool {
        if self.heard.len() >= PEERS_MAX {
            self.heard.clear();
        }
        let before = self.heard.insert((*from, kind), now);
        before.is_none_or(|before| now.saturating_sub(before) >= LISTEN_EVERY)
    }

    /// Holds what a peer says against what this node holds.
    fn compare(&mut self, shared: &Arc<Shared>, from: &[u8; 32], body: &[u8]) {
        let (held, rest) = body.as_chunks::<HELD_BYTES>();
        if held.len() != 2 || !rest.is_empty() {
            return;
        }
        for said in held.iter().filter_map(|held| Held::decode(held)) {
            // What is not final here yet cannot be compared.
            let Some(own) = Held::stored(shared, said.height) else { continue };
            if own == said {
                let about = |alarm: &Alarm| (alarm.node, alarm.height) == (Some(*from), Some(said.height));
                shared.alarms.repaired(|alarm| alarm.code == Code::NodeDiffers && about(alarm));
                // A state holds what all before it did: whoever has the same there or later has come back.
                if self.other_state.get(from).is_some_and(|highest| *highest <= said.height) {
                    self.other_state.remove(from);
                }
                continue;
            }
            let what = if own.digest == said.digest { "another state root" } else { "another block" };
            let text = format!("that node says it holds {what} than this one");
            if own.digest == said.digest && self.is_another_state(shared, from, said.height) {
                shared.reports.complain(ComplaintKind::StateRoot, said.height, said.state_root);
            }
            shared.alarms.raise(Alarm::new(Code::NodeDiffers, text).at(said.height).about(*from));
            // One of the two is wrong. If the certificate here does not say who, a scrub finds out.
            if !own_holds(shared, said.height) {
                shared.scrub.ask();
            }
        }
    }

    /// Notes that a peer holds another state. Whether more validators do than may lie, so that an honest one is among
    /// them: on one's word alone nobody complains.
    fn is_another_state(&mut self, shared: &Shared, from: &[u8; 32], height: u64) -> bool {
        let view = shared.view();
        let set = view.ledger.set();
        let highest = self.other_state.entry(*from).or_insert(height);
        *highest = height.max(*highest);
        self.other_state.retain(|key, _| set.member(key).is_some());
        self.other_state.len() > set.len().saturating_sub(set.quorum())
    }
}

/// Whether the block that stands here at a height is certified here.
fn own_holds(shared: &Shared, height: u64) -> bool {
    let certificate = shared.blocks.certificate(height).ok().flatten();
    certificate.is_some_and(|certificate| holding(shared, height, &convert(certificate).encode()).is_some())
}

/// Sends the certificates that somebody misses.
fn answer(shared: &Arc<Shared>, body: &[u8]) {
    let (heights, _) = body.as_chunks::<8>();
    let heights: Vec<_> = heights.iter().take(WANTED_MAX).map(|height| u64::from_be_bytes(*height)).collect();
    let Some(others) = shared.others.borrow().upgrade() else { return };
    for height in heights {
        if let Ok(Some(certificate)) = shared.blocks.certificate(height) {
            let certificate = convert(certificate).encode();
            others.tell([[CERTIFICATE].as_slice(), &height.to_be_bytes(), &certificate].concat().into());
        }
    }
}

/// Puts a certificate back that is missing here, if it holds.
fn restore(shared: &Arc<Shared>, body: &[u8]) {
    let Some((height, certificate)) = body.split_first_chunk::<8>() else { return };
    let height = u64::from_be_bytes(*height);
    if !shared.scrub.wanted().contains(&height) {
        return;
    }
    if let Some(certificate) = holding(shared, height, certificate)
        && shared.store.put_certificate(height, &certificate).and_then(|_new| shared.store.sync()).is_ok()
    {
        shared.scrub.wanted().remove(&height);
        shared.alarms.repaired(|alarm| alarm.code == Code::CertificateLost && alarm.height == Some(height));
    }
}

/// The certificate, if it is over exactly the block that stands here at a height and holds.
fn holding(shared: &Shared, height: u64, certificate: &[u8]) -> Option<engine::Certificate> {
    let certificate = Certificate::decode(certificate).ok()?;
    let bytes = repair::stored(shared, height)?;
    let header = SignedHeader::decode(bytes.get(..SIGNED_HEADER_BYTES)?).ok()?;
    let set = shared.set_with(&header.header.set_hash)?;
    let holds = header.digest() == certificate.block_digest
        && header.header.epoch == certificate.epoch
        && set.verify(shared.genesis.chain_id(), &certificate).is_ok();
    holds.then(|| engine::Certificate {
        epoch: certificate.epoch,
        view: certificate.view,
        parent_view: certificate.parent_view,
        digest: certificate.block_digest,
        set_size: u32::try_from(set.len()).unwrap_or(u32::MAX),
        signers: certificate.signers.iter().map(|signer| (signer.index, signer.signature)).collect(),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn what_a_node_holds_reads_back_and_nothing_else_does() {
        let held = Held { height: 7, digest: [1; 32], state_root: [2; 32] };
        assert_eq!(Held::decode(&held.encode()), Some(held));
        assert_eq!(Held::decode(&held.encode()[1..]), None);
        assert_eq!(Held::decode(&[held.encode().as_slice(), &[0]].concat()), None);
    }

    #[test]
    fn a_peer_that_floods_is_not_listened_to() {
        let mut peers = Peers::default();
        assert!(peers.may_speak(&[1; 32], STATEMENT, Duration::ZERO));
        assert!(!peers.may_speak(&[1; 32], STATEMENT, Duration::ZERO));
        assert!(peers.may_speak(&[2; 32], STATEMENT, Duration::ZERO), "another one is");
        assert!(peers.may_speak(&[1; 32], STATEMENT, LISTEN_EVERY), "nor for ever");
        for n in 0..10 * PEERS_MAX as u64 {
            let mut key = [0; 32];
            key[..8].copy_from_slice(&n.to_be_bytes());
            peers.may_speak(&key, WANTED, Duration::ZERO);
        }
        assert!(peers.heard.len() <= PEERS_MAX);
    }
}
