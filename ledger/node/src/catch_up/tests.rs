//! Peers that offer a snapshot and lie about it, each in one way; messages that were changed; a start that was cut off.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::FileExt as _,
    path::Path,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use keyward_ledger_core::{
    batch::Batch,
    block::Regime,
    certificate::{Certificate, Signer, finalize_message},
    ed25519::SigningKey,
    entry::Entry,
    execute::{BlockLimits, Ledger},
    genesis::{Genesis, GenesisDocument, Role, Submitter},
    receipt::Certified,
};
use keyward_ledger_engine::BoxFuture;
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;

use super::{
    CatchUp, CatchUpFrom, Line, ask, clean,
    message::{Message, Offer, PIECE_BYTES, is_ours},
    offer::newest_in,
    settle,
};
use crate::{
    Config, ScrubPace, ServerTls, StoreConfig,
    floor::{Floor, FloorError},
    index::Index,
    intake,
    machine::Timer,
    shared::Shared,
    snapshot::{self, Snapshot},
};

#[allow(dead_code, unreachable_pub)]
#[path = "../../../core/tests/common/golden.rs"]
mod golden;

use crate::simulation::fuzz::mutate::{Random, mutate};

const EPOCH: u64 = 8;
const HEIGHT: u64 = 2 * EPOCH - 1;

/// How a peer lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lie {
    /// A value of the state is another one, and the sum fits it.
    State,
    /// Pieces are shorter than they must be.
    Length,
    /// It offers and then says nothing.
    Silence,
    /// It says after the offer that it has no such pieces.
    Gone,
    /// It sends the snapshot of another block.
    OtherBlock,
    /// It says that its snapshot is longer than anything.
    Endless,
    /// Its certificate is over another block.
    Uncertified,
    /// Too few have signed.
    NoQuorum,
    /// Its block is in the middle of an epoch.
    MiddleOfEpoch,
}

/// A peer that has a snapshot, and may lie about it.
pub(crate) struct Liar {
    offer: Offer,
    bytes: Vec<u8>,
    lie: Option<Lie>,
}

impl Liar {
    /// With what a node has to offer.
    pub(crate) fn new(shared: &Shared, dir: &Path, lie: Lie) -> Self {
        let open = newest_in(shared, dir, 0, Duration::ZERO).unwrap().expect("it has a snapshot");
        let mut bytes = vec![0; open.offer.bytes as usize];
        open.file.read_exact_at(&mut bytes, 0).unwrap();
        Self::of(open.offer, bytes, Some(lie))
    }

    fn of(mut offer: Offer, mut bytes: Vec<u8>, lie: Option<Lie>) -> Self {
        match lie {
            Some(Lie::State) => {
                let at = bytes.len() - 33;
                bytes[at] ^= 1;
                let (body, sum) = bytes.split_last_chunk_mut::<32>().unwrap();
                *sum = Sha256::digest(&*body).into();
            }
            Some(Lie::Endless) => offer.bytes = u64::MAX,
            Some(Lie::Uncertified) => offer.certified.certificate.block_digest[0] ^= 1,
            Some(Lie::NoQuorum) => offer.certified.certificate.signers.truncate(2),
            _ => {}
        }
        Self { offer, bytes, lie }
    }

    pub(crate) fn answer(&self, message: &Bytes) -> Option<Bytes> {
        let answer = match Message::decode(message)? {
            Message::OfferWanted => Message::Offer(Box::new(self.offer.clone())),
            Message::PieceWanted { .. } if self.lie == Some(Lie::Silence) => return None,
            Message::PieceWanted { height, number } if self.lie == Some(Lie::Gone) => {
                Message::Piece { height, number, bytes: Bytes::new() }
            }
            Message::PieceWanted { height, number } => {
                let begin = (number as usize * PIECE_BYTES as usize).min(self.bytes.len());
                let end = (begin + PIECE_BYTES as usize).min(self.bytes.len());
                let short = usize::from(self.lie == Some(Lie::Length));
                let bytes = Bytes::copy_from_slice(&self.bytes[begin..end - short]);
                Message::Piece { height, number, bytes }
            }
            _ => return None,
        };
        Some(answer.encode())
    }
}

/// A ledger of two epochs with enough state for several pieces.
struct World {
    genesis: Genesis,
    /// By height: the certified block and the snapshot's bytes.
    snapshots: BTreeMap<u64, (Certified, Vec<u8>)>,
}

fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| World::of(1000))
}

impl World {
    /// With so many accounts opened in each block.
    fn of(accounts: u64) -> Self {
        let mut keys: Vec<_> = (1..=4).map(|n| SigningKey::from_seed(&[n; 32])).collect();
        keys.sort_by_key(SigningKey::public_key);
        let submitter = SigningKey::from_seed(&[100; 32]);
        let genesis = Genesis::new(GenesisDocument {
            name: "joining".into(),
            time_ms: 1,
            validators: keys.iter().map(SigningKey::public_key).collect(),
            submitters: vec![Submitter::new(submitter.public_key(), Role::Service)],
            keepers: Vec::new(),
            epoch_length: EPOCH,
            regime: Regime::Fast,
            clock_bound_ms: 1000,
        })
        .unwrap();
        let (mut ledger, mut snapshots) = (Ledger::genesis(&genesis), BTreeMap::new());
        for height in 1..=HEIGHT {
            let account = |n: u64| Sha256::digest([height.to_be_bytes(), n.to_be_bytes()].concat()).into();
            let entries =
                (0..accounts).map(|n| Entry::OpenAccount { account: account(n) }.encode()).collect();
            let batch = Batch { chain_id: *genesis.chain_id(), sequence: height, not_after: 1000, entries };
            let batch = batch.sign(&submitter).unwrap();
            let proposal = ledger
                .propose(height * 10, &[batch], &BlockLimits::default(), &keys[height as usize % 4])
                .unwrap();
            let signed_header = proposal.block.signed_header;
            let (epoch, digest) = (height / EPOCH, signed_header.digest());
            let message = finalize_message(genesis.chain_id(), epoch, height, height - 1, &digest);
            let signers = (0..3_u32).map(|n| Signer { index: n, signature: keys[n as usize].sign(&message) });
            let certificate = Certificate {
                epoch,
                view: height,
                parent_view: height - 1,
                block_digest: digest,
                signers: signers.collect(),
            };
            ledger = proposal.executed.ledger;
            let dir = tempfile::tempdir().unwrap();
            let snapshot = Snapshot { signed_header: signed_header.clone(), ledger: ledger.clone() };
            snapshot::write(dir.path(), &snapshot, EPOCH).unwrap();
            let bytes = fs::read(snapshot::list(dir.path()).unwrap().pop().unwrap()).unwrap();
            let certified =
                Certified { signed_header, certificate, genesis: genesis.proof(), links: Vec::new() };
            snapshots.insert(height, (certified, bytes));
        }
        Self { genesis, snapshots }
    }
}

fn peer(lie: Option<Lie>) -> Liar {
    let height = if lie == Some(Lie::MiddleOfEpoch) { HEIGHT - 1 } else { HEIGHT };
    let (certified, bytes) = &world().snapshots[&height];
    let sent = match lie {
        // Of the same length, as the offer says.
        Some(Lie::OtherBlock) => {
            let mut other = world().snapshots[&(EPOCH - 1)].1.clone();
            other.resize(bytes.len(), 0);
            other
        }
        _ => bytes.clone(),
    };
    let offer = Offer { bytes: bytes.len() as u64, certified: certified.clone() };
    Liar::of(offer, sent, lie)
}

/// Peers that answer at once.
struct Peers {
    peers: BTreeMap<[u8; 32], Liar>,
    heard: mpsc::Sender<intake::Message>,
    asked: Mutex<BTreeMap<[u8; 32], usize>>,
}

impl Line for Peers {
    fn tell_all(&self, message: Bytes) {
        self.peers.keys().for_each(|peer| self.tell(peer, message.clone()));
    }

    fn tell(&self, peer: &[u8; 32], message: Bytes) {
        if matches!(Message::decode(&message), Some(Message::PieceWanted { .. })) {
            *self.asked.lock().unwrap_or_else(PoisonError::into_inner).entry(*peer).or_default() += 1;
        }
        if let Some(answer) = self.peers.get(peer).and_then(|liar| liar.answer(&message)) {
            self.heard.try_send((*peer, answer)).unwrap();
        }
    }
}

/// Time that passes when somebody waits.
#[derive(Clone, Default)]
struct Virtual(Arc<Mutex<Duration>>);

impl Timer for Virtual {
    fn now(&self) -> Duration {
        *self.0.lock().unwrap()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let clock = self.0.clone();
        Box::pin(async move { *clock.lock().unwrap() += duration })
    }
}

fn config(data_dir: &Path, from: CatchUpFrom, seed: u8) -> Config {
    let nowhere = "127.0.0.1:0".parse().unwrap();
    Config {
        data_dir: data_dir.to_owned(),
        genesis: world().genesis.encode(),
        validator_key: zeroize::Zeroizing::new([seed; 32]),
        checkpoint_key: None,
        peer_listen: nowhere,
        peers: Vec::new(),
        rpc_listen: nowhere,
        tls: ServerTls {
            ca_pem: String::new(),
            certificate_pem: String::new(),
            key_pem: zeroize::Zeroizing::default(),
        },
        idle_block_interval: Duration::from_secs(1),
        block_interval_min: Duration::ZERO,
        scrub: ScrubPace::default(),
        store: StoreConfig::default(),
        snapshot_blocks: 8,
        catch_up: CatchUp { from, blocks_min: 1 },
        keys: None,
    }
}

/// What a new node takes from these peers, and how many pieces it asked each for.
fn taken(config: &Config, peers: Vec<Liar>) -> (Option<(Certified, Snapshot)>, Vec<usize>, Duration) {
    let (sender, heard) = mpsc::channel(64);
    let count = peers.len();
    let key = |n: usize| [n as u8; 32];
    let peers = (0..count).map(key).zip(peers).collect();
    let line = Arc::new(Peers { peers, heard: sender, asked: Mutex::default() });
    let timer = Virtual::default();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let asking = ask(config, &world().genesis, line.clone(), heard, Arc::new(timer.clone()), count);
    let taken = runtime.block_on(asking).unwrap();
    let asked = line.asked.lock().unwrap();
    let asked = (0..count).map(|n| asked.get(&key(n)).copied().unwrap_or_default()).collect();
    (taken, asked, timer.now())
}

const LIES: [Lie; 9] = [
    Lie::State,
    Lie::Length,
    Lie::Silence,
    Lie::Gone,
    Lie::OtherBlock,
    Lie::Endless,
    Lie::Uncertified,
    Lie::NoQuorum,
    Lie::MiddleOfEpoch,
];

#[test]
fn each_lie_is_found_and_the_next_peer_asked() {
    for lie in LIES {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path(), CatchUpFrom::Auto, 9);
        let (found, asked, _) = taken(&config, vec![peer(Some(lie)), peer(None)]);
        let (certified, snapshot) = found.unwrap_or_else(|| panic!("{lie:?}: the honest one has it"));
        assert_eq!(snapshot.ledger.height(), HEIGHT);
        let is_asked_for_nothing =
            matches!(lie, Lie::Endless | Lie::Uncertified | Lie::NoQuorum | Lie::MiddleOfEpoch);
        assert_eq!(asked[0] == 0, is_asked_for_nothing, "{lie:?}: {asked:?}");
        assert_eq!(
            asked[1] as u64,
            (world().snapshots[&HEIGHT].1.len() as u64).div_ceil(PIECE_BYTES),
            "{lie:?}"
        );
        assert!(asked[1] > 2, "several pieces");
        settle(&config, &world().genesis, &certified, &snapshot).unwrap();
        let floor = Floor::open(dir.path(), &world().genesis).unwrap().unwrap();
        assert_eq!((floor.height(), floor.seated), (HEIGHT, false));
        assert_eq!(floor.snapshot().unwrap().ledger.state().root(), snapshot.ledger.state().root());
    }
}

#[test]
fn of_liars_alone_nothing_is_taken_within_a_bounded_time() {
    for lie in LIES {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path(), CatchUpFrom::Auto, 9);
        let (found, _, took) = taken(&config, (0..3).map(|_| peer(Some(lie))).collect());
        assert!(found.is_none(), "{lie:?}");
        assert!(took < Duration::from_secs(120), "{lie:?}: {took:?}");
        let left: Vec<_> = fs::read_dir(dir.path().join("joining")).unwrap().collect();
        assert!(left.is_empty(), "{lie:?}: {left:?}");
    }
}

#[test]
fn a_short_ledger_is_replayed() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path(), CatchUpFrom::Auto, 9);
    config.catch_up.blocks_min = HEIGHT + 1;
    let (found, asked, _) = taken(&config, vec![peer(None)]);
    assert!(found.is_none());
    assert_eq!(asked, [0]);
}

#[test]
fn a_key_that_was_a_validators_takes_a_snapshot_only_when_told_to_and_is_marked() {
    for (from, seed, begins, seated) in [
        (CatchUpFrom::Auto, 1, false, false),
        (CatchUpFrom::Snapshot, 1, true, true),
        (CatchUpFrom::Auto, 9, true, false),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path(), from, seed);
        let (certified, snapshot) = taken(&config, vec![peer(None)]).0.unwrap();
        settle(&config, &world().genesis, &certified, &snapshot).unwrap();
        clean(dir.path()).unwrap();
        let floor = Floor::open(dir.path(), &world().genesis).unwrap();
        assert_eq!(floor.as_ref().is_some_and(|floor| floor.seated), seated);
        assert_eq!(floor.is_some(), begins);
        assert!(!dir.path().join("joining").exists());
    }
}

#[test]
fn what_was_cut_off_before_the_rename_is_gone_after_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path(), CatchUpFrom::Auto, 9);
    let (certified, snapshot) = taken(&config, vec![peer(None)]).0.unwrap();
    let joining = dir.path().join("joining");
    // Half a snapshot, a whole one without proof, both without the rename.
    let whole = fs::read(Floor::snapshot_in(&joining)).unwrap();
    for left in 0..3 {
        fs::create_dir_all(&joining).unwrap();
        fs::write(Floor::snapshot_in(&joining), if left == 0 { &whole[..whole.len() / 2] } else { &whole })
            .unwrap();
        if left == 2 {
            Floor::write_proof(&joining, &certified, snapshot.ledger.log(), false).unwrap();
        }
        assert!(Floor::open(dir.path(), &world().genesis).unwrap().is_none());
        clean(dir.path()).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}

#[test]
fn a_floor_proves_what_is_appended_above_it_and_begins_as_often_as_it_must() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path(), CatchUpFrom::Auto, 9);
    let (certified, snapshot) = taken(&config, vec![peer(None)]).0.unwrap();
    settle(&config, &world().genesis, &certified, &snapshot).unwrap();
    let floor = Floor::open(dir.path(), &world().genesis).unwrap().unwrap();
    let index = Index::open(&dir.path().join("index")).unwrap();
    for _ in 0..2 {
        floor.begin(&index).unwrap();
    }
    assert!(index.resume(HEIGHT, floor.log.size()).unwrap());
    let leaves: Vec<[u8; 32]> = (0..300_u32).map(|n| Sha256::digest(n.to_be_bytes()).into()).collect();
    let outcomes = keyward_ledger_core::execute::BlockOutcomes::default().encode();
    index.write(HEIGHT + 1, &floor.log, &leaves, &outcomes).unwrap();
    let mut log = floor.log.clone();
    leaves.iter().for_each(|leaf| log.append(*leaf));
    for (at, leaf) in (floor.log.size()..).zip(&leaves) {
        let proof = keyward_ledger_core::log::prove_inclusion(&index, at, log.size()).unwrap();
        keyward_ledger_core::log::verify_inclusion(leaf, at, log.size(), &proof, &log.root()).unwrap();
    }
    for old in floor.log.size()..=log.size() {
        let proof = keyward_ledger_core::log::prove_consistency(&index, old, log.size()).unwrap();
        let root = keyward_ledger_core::log::root_at(&index, old).unwrap();
        keyward_ledger_core::log::verify_consistency(old, log.size(), &proof, &root, &log.root()).unwrap();
    }
}

#[test]
fn every_flipped_or_missing_byte_of_a_floors_proof_is_found_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path(), CatchUpFrom::Auto, 9);
    let (certified, snapshot) = taken(&config, vec![peer(None)]).0.unwrap();
    settle(&config, &world().genesis, &certified, &snapshot).unwrap();
    let path = dir.path().join("floor/proof");
    let whole = fs::read(&path).unwrap();
    let open = || Floor::open(dir.path(), &world().genesis);
    for at in 0..whole.len() {
        let mut flipped = whole.clone();
        flipped[at] ^= 1;
        fs::write(&path, &flipped).unwrap();
        assert!(matches!(open(), Err(FloorError::Damaged(_))), "byte {at}");
        fs::write(&path, &whole[..at]).unwrap();
        assert!(matches!(open(), Err(FloorError::Damaged(_))), "cut at {at}");
    }
    // With a sum that fits, what it says must still verify from genesis on.
    let mut forged = whole.clone();
    forged[60] ^= 1;
    let (body, sum) = forged.split_last_chunk_mut::<32>().unwrap();
    *sum = Sha256::digest(&*body).into();
    fs::write(&path, &forged).unwrap();
    assert!(open().is_err());
    fs::write(&path, &whole).unwrap();
    assert!(open().unwrap().is_some());
}

#[test]
fn changed_messages_are_refused_or_read_as_they_would_be_written() {
    let (certified, _) = &world().snapshots[&HEIGHT];
    let offer = Offer { bytes: 700_000, certified: certified.clone() };
    let samples: Vec<Vec<u8>> = [
        Message::OfferWanted,
        Message::Nothing,
        Message::Offer(Box::new(offer)),
        Message::PieceWanted { height: HEIGHT, number: 2 },
        Message::Piece { height: HEIGHT, number: 2, bytes: Bytes::from_static(b"piece") },
        Message::Piece { height: HEIGHT, number: u32::MAX, bytes: Bytes::new() },
    ]
    .iter()
    .map(|message| message.encode().to_vec())
    .collect();
    for sample in &samples {
        let bytes = Bytes::from(sample.clone());
        assert!(is_ours(&bytes));
        assert_eq!(Message::decode(&bytes).unwrap().encode(), bytes);
    }
    assert!(
        Message::decode(&[[0xc7].as_slice(), &[0; 12], &vec![0; 1 + PIECE_BYTES as usize]].concat().into())
            .is_none()
    );
    let mut random = Random::seeded("messages about snapshots");
    let rounds = if std::env::var_os("KEYWARD_SOAK").is_some() { 2_000_000 } else { 20_000 };
    let mut read = 0;
    for _ in 0..rounds {
        let (one, other) = (random.below(samples.len()), random.below(samples.len()));
        let changed = Bytes::from(mutate(&mut random, &samples[one], &samples[other]));
        if let Some(message) = Message::decode(&changed) {
            read += 1;
            assert_eq!(message.encode(), changed);
            if let Message::Offer(offer) = message {
                let _any = (offer.pieces(), offer.piece_bytes(u32::MAX));
            }
        }
    }
    assert!(read > 100, "{read} of {rounds}");
}

#[test]
fn what_goes_between_nodes_is_what_it_always_was() {
    let world = World::of(2);
    let (certified, snapshot) = &world.snapshots[&(EPOCH - 1)];
    let offer = Offer { bytes: snapshot.len() as u64, certified: certified.clone() };
    let piece = Message::Piece { height: EPOCH - 1, number: 0, bytes: snapshot.clone().into() };
    let mut golden = golden::Golden::default();
    golden
        .hex("snapshot", snapshot)
        .hex("offer wanted", Message::OfferWanted.encode())
        .hex("nothing to offer", Message::Nothing.encode())
        .hex("offer", Message::Offer(Box::new(offer)).encode())
        .hex("piece wanted", Message::PieceWanted { height: EPOCH - 1, number: 0 }.encode())
        .hex("piece", piece.encode())
        .hex("no such piece", Message::Piece { height: EPOCH - 1, number: 9, bytes: Bytes::new() }.encode());
    golden.check("snapshots.json");
}
