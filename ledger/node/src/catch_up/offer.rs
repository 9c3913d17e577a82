//! Offers a snapshot to nodes that have nothing yet, within bounds: they may ask for anything, at any pace.
//!
//! Offered is what the node writes for itself anyway, so nobody can make it write or copy. At most two snapshots are
//! open; each stays for a while after it was first offered, whoever asks for it, so that what was begun can be ended.

use std::{
    collections::BTreeMap,
    fs::File,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use keyward_ledger_core::{
    block::SignedHeader,
    certificate::ValidatorSet,
    receipt::{Certified, SetLink},
};
use keyward_proto::ledger as proto;
use tracing::{debug, info, warn};

use super::message::{Message, Offer, SNAPSHOT_BYTES_MAX, is_ours, offset};
use crate::{executor::convert, shared::Shared, snapshot};

/// How long a snapshot stays the one that is offered, and how long after that pieces of it are sent still.
const STAYS: Duration = Duration::from_secs(600);
/// How often one peer is told what is offered.
const TELL_EVERY: Duration = Duration::from_millis(400);
/// Pieces in a second: for one peer, and for all.
pub(super) const PIECES_PER_S: u32 = 96;
const PIECES_PER_S_ALL: u32 = 160;
/// Peers of whom it is remembered what they asked for.
const PEERS_MAX: usize = 256;

/// A snapshot that is open.
pub(super) struct Open {
    pub(super) file: File,
    pub(super) offer: Offer,
    encoded: Bytes,
    since: Duration,
}

/// What a node offers.
pub(crate) struct Offers {
    dir: PathBuf,
    newest: Option<Open>,
    before: Option<Open>,
    told: BTreeMap<[u8; 32], Duration>,
    spent: BTreeMap<[u8; 32], Bucket>,
    spent_by_all: Bucket,
}

impl Offers {
    /// Offers of the snapshots in a folder.
    pub(crate) fn new(dir: PathBuf) -> Self {
        Self {
            dir,
            newest: None,
            before: None,
            told: BTreeMap::new(),
            spent: BTreeMap::new(),
            spent_by_all: Bucket::new(PIECES_PER_S_ALL),
        }
    }

    /// Takes a message if it is about snapshots; `false` if it is something else.
    pub(crate) fn take(&mut self, shared: &Arc<Shared>, from: &[u8; 32], message: &Bytes) -> bool {
        if !is_ours(message) {
            return false;
        }
        let now = shared.timer.now();
        let answer = match Message::decode(message) {
            Some(Message::OfferWanted) if self.may_be_told(from, now) => self.offered(shared, now),
            Some(Message::PieceWanted { height, number }) if self.may_have(from, now) => {
                self.piece(height, number, now).encode()
            }
            // Answers are for nodes that ask, which this one does not do any more.
            _ => {
                debug!(peer = hex::encode(from), "a message about snapshots is dropped");
                return true;
            }
        };
        if let Some(others) = shared.others.borrow().upgrade() {
            others.tell_one(from, answer);
        }
        true
    }

    fn may_be_told(&mut self, from: &[u8; 32], now: Duration) -> bool {
        if self.told.len() >= PEERS_MAX {
            self.told.clear();
        }
        let before = self.told.get(from);
        let may = before.is_none_or(|before| now.saturating_sub(*before) >= TELL_EVERY);
        if may {
            self.told.insert(*from, now);
        }
        may
    }

    fn may_have(&mut self, from: &[u8; 32], now: Duration) -> bool {
        if self.spent.len() >= PEERS_MAX && !self.spent.contains_key(from) {
            self.spent.clear();
        }
        let own = self.spent.entry(*from).or_insert_with(|| Bucket::new(PIECES_PER_S));
        own.take(now) && self.spent_by_all.take(now)
    }

    fn offered(&mut self, shared: &Shared, now: Duration) -> Bytes {
        let is_over = |open: &Open| now.saturating_sub(open.since) >= STAYS;
        if self.newest.as_ref().is_none_or(is_over) {
            let above = self.newest.as_ref().map_or(0, |open| open.offer.height());
            match newest_in(shared, &self.dir, above, now) {
                Ok(None) => {}
                Ok(Some(open)) => {
                    info!(height = open.offer.height(), bytes = open.offer.bytes, "a snapshot is offered");
                    self.before = self.newest.replace(open);
                }
                Err(reason) => warn!(reason, "no snapshot can be offered"),
            }
        }
        self.newest.as_ref().map_or_else(|| Message::Nothing.encode(), |open| open.encoded.clone())
    }

    fn piece(&mut self, height: u64, number: u32, now: Duration) -> Message {
        self.before.take_if(|open| now.saturating_sub(open.since) >= 2 * STAYS);
        let open =
            [&self.newest, &self.before].into_iter().flatten().find(|open| open.offer.height() == height);
        let bytes = open.and_then(|open| {
            let mut bytes = vec![0; usize::try_from(open.offer.piece_bytes(number)).ok()?];
            open.file.read_exact_at(&mut bytes, offset(number)).ok().map(|()| Bytes::from(bytes))
        });
        Message::Piece { height, number, bytes: bytes.unwrap_or_default() }
    }
}

/// The newest snapshot above a height that is of the last block of an epoch, with its proof.
pub(super) fn newest_in(
    shared: &Shared,
    dir: &Path,
    above: u64,
    now: Duration,
) -> Result<Option<Open>, String> {
    if !dir.exists() {
        return Ok(None);
    }
    let length = shared.genesis.document().epoch_length;
    let ends_epoch = |path: &PathBuf| {
        snapshot::height_of(path).is_some_and(|height| height > above && snapshot::ends_epoch(height, length))
    };
    let paths = snapshot::list(dir).map_err(|error| error.to_string())?;
    let Some(path) = paths.into_iter().rev().find(ends_epoch) else { return Ok(None) };
    let file = File::open(&path).map_err(|error| error.to_string())?;
    let bytes = file.metadata().map_err(|error| error.to_string())?.len();
    if bytes > SNAPSHOT_BYTES_MAX {
        return Err(format!("a snapshot of {bytes} bytes is longer than {SNAPSHOT_BYTES_MAX}"));
    }
    let header = snapshot::header_of(&file)?;
    let offer = Offer { bytes, certified: certified(shared, header)? };
    let encoded = Message::Offer(Box::new(offer.clone())).encode();
    Ok(Some(Open { file, offer, encoded, since: now }))
}

fn certified(shared: &Shared, signed_header: SignedHeader) -> Result<Certified, String> {
    let height = signed_header.header.height;
    let found = shared.blocks.certificate(height).map_err(|error| error.to_string())?;
    let certificate = found.map(convert).filter(|found| found.block_digest == signed_header.digest());
    let certificate = certificate.ok_or_else(|| format!("no certificate over block {height} here"))?;
    let ledger = &shared.view().ledger;
    let links = shared.links.below(height, &signed_header.header.set_hash, ledger, &shared.blocks);
    let links = links.map_err(|error| error.to_string())?;
    let links = links.iter().map(set_link).collect::<Option<_>>().ok_or("a link does not read")?;
    Ok(Certified { signed_header, certificate, genesis: shared.genesis.proof(), links })
}

fn set_link(link: &proto::SetLink) -> Option<SetLink> {
    let keys: Vec<[u8; 32]> =
        link.next_validators.iter().map(|key| (&**key).try_into().ok()).collect::<Option<_>>()?;
    Some(SetLink {
        signed_header: SignedHeader::decode(&link.header).ok()?,
        certificate: keyward_ledger_core::certificate::Certificate::decode(&link.certificate).ok()?,
        set: ValidatorSet::new(&keys).ok()?,
    })
}

/// So many a second, and as many at once.
struct Bucket {
    per_s: u32,
    /// Thousandths.
    left: u64,
    at: Duration,
}

impl Bucket {
    const fn new(per_s: u32) -> Self {
        Self { per_s, left: per_s as u64 * 1000, at: Duration::ZERO }
    }

    fn take(&mut self, now: Duration) -> bool {
        let passed = u64::try_from(now.saturating_sub(self.at).as_millis()).unwrap_or(u64::MAX);
        let most = u64::from(self.per_s) * 1000;
        self.left = self.left.saturating_add(passed.saturating_mul(u64::from(self.per_s))).min(most);
        self.at = now;
        match self.left.checked_sub(1000) {
            Some(left) => {
                self.left = left;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_asks_for_more_than_its_share_gets_its_share() {
        let mut bucket = Bucket::new(10);
        let taken = |bucket: &mut Bucket, now| (0..1000).filter(|_| bucket.take(now)).count();
        assert_eq!(taken(&mut bucket, Duration::ZERO), 10);
        assert_eq!(taken(&mut bucket, Duration::from_millis(500)), 5);
        assert_eq!(taken(&mut bucket, Duration::from_secs(60)), 10, "nothing is saved up");
        assert_eq!(taken(&mut bucket, Duration::from_secs(1)), 0, "time that goes back gives nothing");
    }

    #[test]
    fn strangers_in_any_number_fill_no_memory_and_one_peer_leaves_room_for_others() {
        let mut offers = Offers::new(PathBuf::new());
        let hog = [9; 32];
        let got = (0..1000).filter(|_| offers.may_have(&hog, Duration::ZERO)).count();
        assert_eq!(got, PIECES_PER_S as usize);
        assert!(offers.may_have(&[8; 32], Duration::ZERO), "another one has its share");
        for n in 0..10 * PEERS_MAX as u64 {
            let mut key = [0; 32];
            key.iter_mut().zip(n.to_be_bytes()).for_each(|(to, from)| *to = from);
            offers.may_have(&key, Duration::ZERO);
            offers.may_be_told(&key, Duration::ZERO);
        }
        assert!(offers.spent.len() <= PEERS_MAX && offers.told.len() <= PEERS_MAX);
    }
}
