//! Asks the others for a snapshot and believes nothing of it but what verifies from genesis on.
//!
//! One peer at a time sends pieces, within a time that its own claim of the length sets; whoever is silent, slow, sends
//! something else than it promised or changes its mind is not asked again, and the next one is.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io,
    os::unix::fs::FileExt as _,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use keyward_ledger_core::genesis::Genesis;
use thiserror::Error;
use tokio::sync::mpsc;
use tracing::{info, warn};

use super::{
    message::{Message, Offer, PIECE_BYTES, offset},
    offer::PIECES_PER_S,
};
use crate::{
    floor::{self, Floor},
    intake,
    machine::Timer,
    snapshot::{self, Snapshot},
};

/// How often everybody is asked what they offer.
const ASK_EVERY: Duration = Duration::from_millis(500);
/// How long to wait for a first offer, and after it for better ones.
const OFFERS_WAIT: Duration = Duration::from_secs(15);
const BETTER_WAIT: Duration = Duration::from_secs(2);
/// Pieces that are asked for and not there yet.
const AHEAD: u32 = 8;
/// After how long a piece is asked for again, and how often before the peer counts as silent.
const PIECE_WAIT: Duration = Duration::from_secs(2);
const PIECE_TRIES: u32 = 4;
/// Less than this many bytes in a second, after a beginning, is too slow.
const BYTES_PER_S_MIN: u64 = 128 << 10;
const BEGINNING: Duration = Duration::from_secs(20);
/// Between two pieces: no more than peers send.
const PACE: Duration = Duration::from_millis(1100 / PIECES_PER_S as u64);
/// Times that all are asked, and snapshots that are begun, before blocks are replayed instead.
const ROUNDS: u32 = 3;
const TRIES: u32 = 8;

/// How this node speaks to the others before it has an engine.
pub(crate) trait Line: Send + Sync {
    /// To each of them, best effort.
    fn tell_all(&self, message: Bytes);

    /// To one of them, best effort.
    fn tell(&self, peer: &[u8; 32], message: Bytes);
}

/// Why a peer's snapshot is not taken.
#[derive(Debug, Error)]
enum Refused {
    #[error("it was silent")]
    Silent,
    #[error("it was too slow")]
    Slow,
    #[error("it does not send what it offered")]
    Changed,
    #[error("what it sent is not the state that was certified: {0}")]
    Lie(String),
    #[error("this node's own disk did not take it: {0}")]
    Disk(#[from] io::Error),
    #[error("the peer network ended")]
    Ended,
}

/// What is asked, of whom, and where it goes.
pub(crate) struct Asker<'a> {
    pub(crate) genesis: &'a Genesis,
    pub(crate) line: Arc<dyn Line>,
    pub(crate) heard: mpsc::Receiver<intake::Message>,
    pub(crate) timer: Arc<dyn Timer>,
    /// A folder of this node's own, empty.
    pub(crate) dir: PathBuf,
    /// Below this height blocks are replayed instead.
    pub(crate) blocks_min: u64,
    /// How many peers there may be.
    pub(crate) peers: usize,
}

impl Asker<'_> {
    /// A snapshot that verifies, its file in the folder; `None` when nobody has one.
    pub(crate) async fn ask(&mut self) -> io::Result<Option<(Offer, Snapshot)>> {
        let (mut refused, mut tries) = (BTreeSet::new(), 0);
        for _ in 0..ROUNDS {
            let offers = self.offers(&refused).await;
            if offers.is_empty() {
                if !refused.is_empty() {
                    warn!(refused = refused.len(), "alarm: no other peer offers a snapshot");
                }
                break;
            }
            for (peer, offer) in in_order(offers) {
                tries += 1;
                if tries > TRIES {
                    return Ok(None);
                }
                info!(
                    peer = hex::encode(peer),
                    height = offer.height(),
                    bytes = offer.bytes,
                    "a snapshot is taken over"
                );
                match self.take(&peer, &offer).await {
                    Ok(snapshot) => return Ok(Some((offer, snapshot))),
                    Err(Refused::Ended) => return Ok(None),
                    Err(reason) => {
                        warn!(peer = hex::encode(peer), %reason, "alarm: a peer's snapshot is not taken; the next peer is asked");
                        refused.insert(peer);
                    }
                }
                // A length that no disk holds is the peer's word too: the file may not even be there.
                match fs::remove_file(Floor::snapshot_in(&self.dir)) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
        }
        Ok(None)
    }

    /// What others offer, as far as it is certified.
    async fn offers(&mut self, refused: &BTreeSet<[u8; 32]>) -> BTreeMap<[u8; 32], Offer> {
        let (began, mut asked) = (self.timer.now(), None);
        let (mut offers, mut first, mut answered) = (BTreeMap::<_, Offer>::new(), None, BTreeSet::new());
        loop {
            let now = self.timer.now();
            let over = first.map_or(began + OFFERS_WAIT, |first| first + BETTER_WAIT);
            if now >= over || answered.len() >= self.peers {
                return offers;
            }
            if asked.is_none_or(|asked| now >= asked + ASK_EVERY) {
                asked = Some(now);
                self.line.tell_all(Message::OfferWanted.encode());
            }
            let heard = self.timer.clone();
            let Some(heard) = heard.within(ASK_EVERY.min(over - now), self.heard.recv()).await else {
                continue;
            };
            let Some((from, message)) = heard else { return offers };
            let offer = match Message::decode(&message) {
                Some(Message::Offer(offer)) if !refused.contains(&from) => Some(offer),
                Some(Message::Offer(_) | Message::Nothing) => None,
                other => {
                    self.answer(&from, other);
                    continue;
                }
            };
            // Each is verified once: that costs signatures.
            if answered.insert(from)
                && let Some(offer) = offer
                && self.is_certified(&from, &offer)
            {
                first.get_or_insert(now);
                offers.insert(from, *offer);
            }
        }
    }

    /// Others may ask this node what it has: nothing.
    fn answer(&self, from: &[u8; 32], message: Option<Message>) {
        if message == Some(Message::OfferWanted) {
            self.line.tell(from, Message::Nothing.encode());
        }
    }

    fn is_certified(&self, from: &[u8; 32], offer: &Offer) -> bool {
        let peer = hex::encode(from);
        let length = self.genesis.document().epoch_length;
        if offer.height() < self.blocks_min {
            info!(peer, height = offer.height(), "a snapshot is so low that blocks are replayed instead");
            return false;
        }
        if offer.pieces().is_none() || !snapshot::ends_epoch(offer.height(), length) {
            warn!(
                peer,
                height = offer.height(),
                bytes = offer.bytes,
                "alarm: a peer offers what nobody takes"
            );
            return false;
        }
        let verified = floor::verify(self.genesis, &offer.certified);
        verified
            .inspect_err(|error| warn!(peer, %error, "alarm: a peer offers a snapshot without proof"))
            .is_ok()
    }

    /// Takes a snapshot over from one peer, into a file.
    async fn take(&mut self, peer: &[u8; 32], offer: &Offer) -> Result<Snapshot, Refused> {
        let path = Floor::snapshot_in(&self.dir);
        let file = File::create(&path)?;
        self.pieces(peer, offer, &file).await?;
        file.sync_all()?;
        drop(file);
        let snapshot = snapshot::read(&fs::read(&path)?).map_err(Refused::Lie)?;
        // The header is certified; the snapshot's content was held against the header in it.
        if snapshot.signed_header != offer.certified.signed_header {
            return Err(Refused::Lie("it is of another block".into()));
        }
        // A certificate holds with links left out where the validators changed and changed back; what is served from here
        // on would miss them.
        let changes = snapshot.ledger.set_changes(0).map_err(|error| Refused::Lie(error.to_string()))?;
        let changes = changes.iter().filter(|change| change.height < offer.height());
        let links = offer.certified.links.iter().map(|link| (link.signed_header.header.height, &link.set));
        if !changes.map(|change| (change.height, &change.set)).eq(links) {
            return Err(Refused::Lie("it does not show how the validators changed".into()));
        }
        Ok(snapshot)
    }

    async fn pieces(&mut self, peer: &[u8; 32], offer: &Offer, file: &File) -> Result<(), Refused> {
        let count = offer.pieces().ok_or(Refused::Changed)?;
        let began = self.timer.now();
        let over = began + BEGINNING + Duration::from_secs(offer.bytes / BYTES_PER_S_MIN);
        // Asked for and not there: when, and how often.
        let mut waiting = BTreeMap::<u32, (Duration, u32)>::new();
        let (mut next, mut there, mut asked_at) = (0, 0_u32, None::<Duration>);
        while there < count {
            let now = self.timer.now();
            if now >= over {
                return Err(Refused::Slow);
            }
            let due = waiting.iter().find(|(_, (at, _))| now >= *at + PIECE_WAIT).map(|(number, _)| *number);
            let may_ask = asked_at.is_none_or(|at| now >= at + PACE);
            let fresh = (next < count && waiting.len() < AHEAD as usize).then_some(next);
            if let Some(number) = due.or(fresh).filter(|_| may_ask) {
                let (at, tries) = waiting.entry(number).or_insert((now, 0));
                (*at, *tries) = (now, *tries + 1);
                if *tries > PIECE_TRIES {
                    return Err(Refused::Silent);
                }
                next = next.max(number + 1);
                asked_at = Some(now);
                self.line.tell(peer, Message::PieceWanted { height: offer.height(), number }.encode());
                continue;
            }
            let wait = if fresh.is_some() { PACE } else { PIECE_WAIT / 4 };
            let timer = self.timer.clone();
            let Some(heard) = timer.within(wait, self.heard.recv()).await else { continue };
            let (from, message) = heard.ok_or(Refused::Ended)?;
            if let Some((number, bytes)) = self.piece_of(peer, offer, (from, message))?
                && waiting.remove(&number).is_some()
            {
                file.write_all_at(&bytes, offset(number))?;
                there += 1;
            }
        }
        Ok(())
    }

    /// A piece that this peer promised; other messages are passed over.
    fn piece_of(
        &self,
        peer: &[u8; 32],
        offer: &Offer,
        (from, message): intake::Message,
    ) -> Result<Option<(u32, Bytes)>, Refused> {
        match Message::decode(&message) {
            Some(Message::Piece { height, number, bytes }) if from == *peer => {
                if height != offer.height() || bytes.len() as u64 != offer.piece_bytes(number) {
                    return Err(Refused::Changed);
                }
                Ok(Some((number, bytes)))
            }
            other => {
                self.answer(&from, other);
                Ok(None)
            }
        }
    }
}

/// Whom to ask first: what most of them offer alike, for honest nodes write the same bytes for one block; then the newest.
fn in_order(offers: BTreeMap<[u8; 32], Offer>) -> Vec<([u8; 32], Offer)> {
    let mut alike = BTreeMap::<_, usize>::new();
    for offer in offers.values() {
        *alike.entry((offer.height(), offer.bytes)).or_default() += 1;
    }
    let mut offers: Vec<_> = offers.into_iter().collect();
    offers.sort_by_key(|(_, offer)| {
        let told = (offer.height(), offer.bytes);
        std::cmp::Reverse((alike.get(&told).copied().unwrap_or_default(), told.0))
    });
    offers
}

const _: () =
    assert!(PIECE_BYTES * PIECES_PER_S as u64 >= 20 << 20, "a node that has nothing takes 20 MB in a second");
