//! Who a node is: an honest one, or one of the adversaries by name.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use keyward_ledger_core::{
    batch::UnverifiedBatch,
    block::{self, SignedHeader, body_hash},
    ed25519::SigningKey,
};
use keyward_ledger_engine::{
    Ancestors, Application, Block, BoxFuture, Certificate, EpochPlan, Event, ProposeContext,
};
use keyward_ledger_simulation::{Traffic, Voice};

use super::{
    history::{Judged, Seen},
    member::{Member, Record, lock},
};
use crate::{application::LedgerApplication, executor::convert, machine::Timer};

/// Who a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Character {
    Honest,
    /// Keeps the rules with a clock that is hours off.
    WrongClock,
    /// Leads two parts of the others differently, with two instances of itself. Nobody hears both.
    EquivocatingLeader,
    /// The same, but somebody hears the votes of both.
    OverheardEquivocator,
    /// Proposes nothing when it leads.
    SilentLeader,
    /// Proposes blocks that name a state that execution does not give, and votes for everything.
    LiarAboutState,
    /// Proposes batches again that are recorded already, and votes for everything.
    Replayer,
    /// Says old votes again and again.
    StaleVoter,
    /// Hears everything and says nothing.
    Mute,
}

impl Character {
    /// Whether it keeps the rules, so that it must hold what the others hold.
    pub(super) const fn is_honest(self) -> bool {
        matches!(self, Self::Honest | Self::WrongClock)
    }

    /// How often the others saw it do what it is there for. A run in which it did nothing shows nothing.
    pub(super) fn deeds(self, member: &Member, seen: &Seen, traffic: Traffic) -> u64 {
        let key = member.key();
        let refused = || seen.judged.iter().filter(|judged| !judged.accepted);
        let count = match self {
            Self::Honest => 0,
            Self::WrongClock => {
                refused().filter(|judged| judged.judge == member.index || judged.leader == key).count()
            }
            Self::OverheardEquivocator => usize::from(seen.accused.contains(&key)),
            Self::EquivocatingLeader => {
                let mut views = BTreeMap::<_, BTreeSet<_>>::new();
                for judged in seen.judged.iter().filter(|judged| judged.leader == key) {
                    views.entry((judged.epoch, judged.view)).or_default().insert(judged.digest);
                }
                views.values().filter(|digests| digests.len() > 1).count()
            }
            Self::SilentLeader => seen
                .withheld
                .iter()
                .filter(|(node, view)| *node == member.index && seen.skipped.contains(view))
                .count(),
            Self::LiarAboutState | Self::Replayer => refused().filter(|judged| judged.leader == key).count(),
            Self::StaleVoter => traffic.repeated as usize,
            Self::Mute => traffic.withheld as usize,
        };
        count as u64
    }

    pub(super) const fn voice(self) -> Voice {
        match self {
            Self::StaleVoter => Voice::Repeating,
            Self::Mute => Voice::Mute,
            _ => Voice::Plain,
        }
    }

    const fn votes_for_everything(self) -> bool {
        matches!(self, Self::LiarAboutState | Self::Replayer)
    }
}

/// The node's own application, watched, and changed where the character wants it.
pub(super) struct Played {
    inner: Arc<LedgerApplication>,
    character: Character,
    key: SigningKey,
    node: usize,
    record: Record,
    timer: Arc<dyn Timer>,
    /// A batch that is final.
    old: Mutex<Option<UnverifiedBatch>>,
}

impl Played {
    pub(super) fn new(
        inner: Arc<LedgerApplication>,
        character: Character,
        key: SigningKey,
        node: usize,
        record: Record,
        timer: Arc<dyn Timer>,
    ) -> Self {
        Self { inner, character, key, node, record, timer, old: Mutex::default() }
    }

    /// The block that this character makes of an honest one.
    fn changed(&self, bytes: &Bytes) -> Option<Bytes> {
        let honest = block::Block::decode(bytes).ok()?;
        let mut header = honest.header().clone();
        let mut batches = honest.batches;
        match self.character {
            Character::LiarAboutState => header.state_root[7] ^= 0x40,
            Character::Replayer => batches.push(lock(&self.old).clone()?),
            _ => return None,
        }
        header.body_hash = body_hash(batches.iter().map(UnverifiedBatch::id));
        let signed = SignedHeader::sign(header, &self.key);
        Some(block::encode(&signed, batches.iter().map(UnverifiedBatch::bytes)).into())
    }
}

impl Application for Played {
    fn propose(
        &self,
        context: ProposeContext,
        parent: Block,
        ancestors: Ancestors,
    ) -> BoxFuture<'_, Option<Bytes>> {
        Box::pin(async move {
            if self.character == Character::SilentLeader {
                lock(&self.record).withheld.push((self.node, (context.epoch, context.view)));
                self.timer.sleep(Duration::from_secs(1000)).await;
            }
            let proposed = self.inner.propose(context, parent, ancestors).await?;
            Some(self.changed(&proposed).unwrap_or(proposed))
        })
    }

    fn verify(
        &self,
        context: ProposeContext,
        parent: Block,
        block: Block,
        ancestors: Ancestors,
    ) -> BoxFuture<'_, bool> {
        if self.character.votes_for_everything() {
            return Box::pin(async { true });
        }
        if !self.character.is_honest() {
            return self.inner.verify(context, parent, block, ancestors);
        }
        let ProposeContext { epoch, view, leader, .. } = context;
        let (judge, digest) = (self.node, block.digest);
        Box::pin(async move {
            let accepted = self.inner.verify(context, parent, block, ancestors).await;
            lock(&self.record).judged.push(Judged { judge, epoch, view, leader, digest, accepted });
            accepted
        })
    }

    fn finalized(&self, block: Block) -> BoxFuture<'_, ()> {
        lock(&self.record).finalized.push((self.node, block.height, block.digest));
        if let Some(batch) = block::Block::decode(&block.bytes).ok().and_then(|mut block| block.batches.pop())
        {
            lock(&self.old).get_or_insert(batch);
        }
        self.inner.finalized(block)
    }

    fn certificate(&self, height: u64, certificate: Certificate) {
        lock(&self.record).certificates.push((height, convert(certificate.clone())));
        self.inner.certificate(height, certificate);
    }

    fn plan(&self, epoch: u64) -> EpochPlan {
        self.inner.plan(epoch)
    }

    fn gossip(&self, from: [u8; 32], message: Bytes) {
        self.inner.gossip(from, message);
    }

    fn event(&self, event: Event) {
        match &event {
            Event::Fault(evidence) => drop(lock(&self.record).accused.insert(evidence.validator)),
            Event::Nullified { epoch, view } => drop(lock(&self.record).skipped.insert((*epoch, *view))),
            _ => {}
        }
        self.inner.event(event);
    }
}
