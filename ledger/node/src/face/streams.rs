//! How many streams may be open at once: each holds a task and a buffer for as long as its caller likes.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tonic::Status;

use crate::refusal::Refusal;

/// What kind of stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// Blocks: each is proven and sent whole.
    Follow,
    /// What becomes of one batch: waits, and says little.
    Watch,
    /// A question to the look-up, from asking to answer.
    Find,
}

impl Kind {
    /// Of one connection, and of all.
    const fn bounds(self) -> (usize, usize) {
        match self {
            Self::Follow => (FOLLOWS_PER_CONNECTION_MAX, FOLLOWS_MAX),
            Self::Watch => (WATCHES_PER_CONNECTION_MAX, WATCHES_MAX),
            Self::Find => (FINDS_PER_CONNECTION_MAX, FINDS_MAX),
        }
    }
}

/// Follows of one connection.
pub const FOLLOWS_PER_CONNECTION_MAX: usize = 8;
/// Follows of all connections.
pub const FOLLOWS_MAX: usize = 256;
/// Watched batches of one connection.
pub const WATCHES_PER_CONNECTION_MAX: usize = 256;
/// Watched batches of all connections.
pub const WATCHES_MAX: usize = 4096;

/// Questions of one connection.
pub const FINDS_PER_CONNECTION_MAX: usize = 4;
/// Questions of all connections.
pub const FINDS_MAX: usize = 64;

type Open = HashMap<(Kind, Option<SocketAddr>), usize>;

/// The streams that are open.
#[derive(Clone, Debug, Default)]
pub(crate) struct Streams(Arc<Mutex<Open>>);

/// One open stream; dropping it makes room.
#[derive(Debug)]
pub(crate) struct Slot {
    open: Streams,
    kind: Kind,
    connection: Option<SocketAddr>,
}

impl Streams {
    /// A place for one more stream of a connection.
    pub(crate) fn take(&self, kind: Kind, connection: Option<SocketAddr>) -> Result<Slot, Status> {
        let (own_max, all_max) = kind.bounds();
        let mut open = self.lock();
        let own = open.get(&(kind, connection)).copied().unwrap_or_default();
        if own >= own_max {
            return Err(Refusal::StreamsFull
                .status(format!("this connection has {own} streams of this kind open; end one first")));
        }
        if open.iter().filter(|((of, _), _)| *of == kind).map(|(_, count)| count).sum::<usize>() >= all_max {
            return Err(Refusal::StreamsFull.status("too many streams are open here; ask another validator"));
        }
        open.insert((kind, connection), own + 1);
        Ok(Slot { open: self.clone(), kind, connection })
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut open = self.open.lock();
        let name = (self.kind, self.connection);
        match open.get_mut(&name) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                open.remove(&name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn connection(port: u16) -> Option<SocketAddr> {
        Some(SocketAddr::from(([127, 0, 0, 1], port)))
    }

    #[test]
    fn a_connection_has_its_bound_and_room_again_when_a_stream_ends() {
        let streams = Streams::default();
        let take = |port| streams.take(Kind::Follow, connection(port));
        let mut slots: Vec<_> = (0..FOLLOWS_PER_CONNECTION_MAX).map(|_| take(1).unwrap()).collect();
        assert_eq!(take(1).unwrap_err().code(), tonic::Code::ResourceExhausted);
        let _other_connection = take(2).unwrap();
        let _other_kind = streams.take(Kind::Watch, connection(1)).unwrap();
        slots.pop();
        slots.push(take(1).unwrap());
        assert!(take(1).is_err());
        drop(slots);
        assert!(take(1).is_ok());
    }

    #[test]
    fn all_connections_together_have_a_bound() {
        let streams = Streams::default();
        let ports = (1..).flat_map(|port| [port; FOLLOWS_PER_CONNECTION_MAX]);
        let take = |port| streams.take(Kind::Follow, connection(port));
        let slots: Vec<_> = ports.take(FOLLOWS_MAX).map(|port| take(port).unwrap()).collect();
        assert!(take(60_000).is_err());
        drop(slots);
        assert!(take(60_000).is_ok());
        assert!(streams.lock().is_empty(), "nothing is remembered of streams that ended");
    }
}
