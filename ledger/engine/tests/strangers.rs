//! What reaches the peer port and is no peer: it is told nothing and disturbs nobody.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use crate::cluster_support::{Cluster, free_address};
use crate::mutate::Random;
use crate::support::{self, Toy};
use keyward_ledger_engine::{ConsensusKey, Engine, EngineConfig, LeaderTerm, Peer, Segments, SegmentsConfig};
use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// A wire to a validator, with how many bytes went each way.
#[derive(Clone)]
struct Wire {
    address: SocketAddr,
    there: Arc<AtomicU64>,
    back: Arc<AtomicU64>,
}

impl Wire {
    fn to(validator: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let wire =
            Self { address: listener.local_addr().unwrap(), there: Arc::default(), back: Arc::default() };
        let counts = wire.clone();
        thread::spawn(move || {
            for caller in listener.incoming().map_while(Result::ok) {
                let Ok(callee) = TcpStream::connect(validator) else { continue };
                carry(caller.try_clone().unwrap(), callee.try_clone().unwrap(), counts.there.clone());
                carry(callee, caller, counts.back.clone());
            }
        });
        wire
    }

    fn told(&self) -> (u64, u64) {
        (self.there.load(Ordering::Relaxed), self.back.load(Ordering::Relaxed))
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream, count: Arc<AtomicU64>) {
    thread::spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok(len @ 1..) = from.read(&mut bytes) {
            count.fetch_add(len as u64, Ordering::Relaxed);
            if to.write_all(&bytes[..len]).is_err() {
                break;
            }
        }
        let _gone = to.shutdown(std::net::Shutdown::Both);
    });
}

/// An engine beside the cluster that reaches the validators over wires.
fn outsider(
    cluster: &Cluster,
    seed: u8,
    namespace: &[u8],
) -> (keyward_ledger_engine::EngineHandle, Arc<Toy>, Vec<Wire>) {
    let wires: Vec<Wire> = cluster.addresses.iter().map(|address| Wire::to(*address)).collect();
    let folder = cluster.folder.path().join(format!("outsider-{seed}-{}", namespace.len()));
    let peers = cluster.validators().into_iter().zip(&wires);
    let config = EngineConfig {
        namespace: namespace.to_vec(),
        key: ConsensusKey::new(zeroize::Zeroizing::new([seed; 32])),
        listen: free_address(),
        peers: peers.map(|(key, wire)| Peer { key, address: wire.address }).collect(),
        storage: folder.join("engine"),
        ..cluster.config(0)
    };
    let (store, _) = Segments::open(&folder.join("blocks"), SegmentsConfig::default()).unwrap();
    let toy = Arc::new(Toy::new(cluster.validators(), cluster.term, seed, []));
    (Engine::start(config, toy.clone(), Arc::new(store)).unwrap(), toy, wires)
}

fn until(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(600);
    while !holds() {
        assert!(Instant::now() < deadline, "waited ten minutes for {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_peer_with_a_strangers_key_is_answered_not_one_byte() {
    let mut cluster = Cluster::start(4, 50, LeaderTerm::Rotating);
    cluster.wait(5);
    let (stranger, toy, wires) = outsider(&cluster, 77, support::NAMESPACE);
    until("the stranger to call everybody", || wires.iter().all(|wire| wire.told().0 > 0));
    cluster.wait(cluster.top() + 60);
    assert!(wires.iter().all(|wire| wire.told().1 == 0), "nobody answered");
    assert_eq!(toy.height(), 0);
    stranger.join();
    // A validator's own key, for another ledger.
    cluster.stop(3);
    let (other_ledger, toy, wires) = outsider(&cluster, 4, b"another ledger");
    until("it to call", || wires[..3].iter().all(|wire| wire.told().0 > 0));
    cluster.wait(cluster.top() + 40);
    assert!(wires[..3].iter().all(|wire| wire.told().1 == 0), "nobody answered");
    assert_eq!(toy.height(), 0);
    other_ledger.join();
    // The same wires carry an answer for the validator itself: it is the key that decides.
    let (member, toy, wires) = outsider(&cluster, 4, support::NAMESPACE);
    until("the validator itself to be answered", || {
        wires.iter().any(|wire| wire.told().1 > 1000) && toy.height() > 0
    });
    member.join();
}

#[test]
fn noise_at_the_peer_port_is_not_answered_and_stops_nobody() {
    let cluster = Cluster::start(4, 50, LeaderTerm::Rotating);
    cluster.wait(5);
    let mut random = Random::seeded("noise at the peer port");
    for round in 0..40 {
        let mut stream = TcpStream::connect(cluster.addresses[round % 4]).unwrap();
        let noise = match round % 4 {
            // A length that promises 4 GB, nothing, one byte, and much.
            0 => vec![0xff; 9],
            1 => Vec::new(),
            2 => random.bytes(1),
            _ => random.bytes(200_000),
        };
        // The other side may hang up in the middle.
        let _cut = stream.write_all(&noise);
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let _shut = stream.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        let _reset = stream.read_to_end(&mut answer);
        assert_eq!(answer, b"", "nothing is said to who is nobody");
    }
    let before = cluster.top();
    cluster.wait(before + 40);
    cluster.assert_one_chain();
}
