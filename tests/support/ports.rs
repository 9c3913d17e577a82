//! Free ports of this machine for servers that a test starts, stops and starts again.

use std::{
    collections::{BTreeSet, hash_map::RandomState},
    hash::{BuildHasher as _, Hasher as _},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    ops::Range,
    sync::{Mutex, PoisonError},
};

/// Below the ports that Linux, as it comes, gives to whoever calls out (from 32,768), and those that `keyward up` chooses
/// (from 16,384): between the choice and the start of who listens, many call out.
const PORTS: Range<u16> = 10_240..16_384;

/// An address on this machine that is free, and that nobody in this process was given before: two that ask at once are
/// never given the same one, however long they take to listen on it.
pub(crate) fn free_address() -> SocketAddr {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    // Random, so that two runs at once seldom meet.
    let offset = RandomState::new().build_hasher().finish() % u64::from(PORTS.end - PORTS.start);
    let middle = PORTS.start + u16::try_from(offset).unwrap();
    let address = |port: &u16| SocketAddr::from((Ipv4Addr::LOCALHOST, *port));
    let is_free = |port: &u16| !given.contains(port) && TcpListener::bind(address(port)).is_ok();
    let port = (middle..PORTS.end).chain(PORTS.start..middle).find(is_free).expect("no port is free");
    given.insert(port);
    address(&port)
}
