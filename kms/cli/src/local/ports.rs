//! Ports of this machine: kept from start to start, chosen again where somebody else took them.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::ops::RangeInclusive;

use crate::failure::{Failure, Result};
use crate::sealed::random32;

/// Ports that Linux, as it comes, gives to nobody by itself.
const FIXED: RangeInclusive<u16> = 16_384..=32_767;
const TRIES: usize = 64;

/// Ports that are being chosen; each stays taken until all are.
#[derive(Default)]
pub(crate) struct Chooser {
    held: Vec<TcpListener>,
}

/// A port, and whether it is another one than before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Chosen {
    pub(crate) port: u16,
    pub(crate) instead_of: Option<u16>,
}

impl Chooser {
    /// The kept port if it is free, else any free one.
    pub(crate) fn choose(&mut self, kept: Option<u16>) -> Result<Chosen> {
        if let Some(port) = kept
            && let Ok(listener) = TcpListener::bind(local(port))
        {
            self.held.push(listener);
            return Ok(Chosen { port, instead_of: None });
        }
        let none = |error: std::io::Error| {
            Failure::refused("no free port on 127.0.0.1", "end some programs that listen, then try again")
                .because(&error)
        };
        let listener = match fixed() {
            Some(listener) => listener,
            None => TcpListener::bind(local(0)).map_err(none)?,
        };
        let port = listener.local_addr().map_err(none)?.port();
        self.held.push(listener);
        Ok(Chosen { port, instead_of: kept })
    }
}

/// A free port below those that the system gives to whoever calls out: between now and the start of who listens, many do.
fn fixed() -> Option<TcpListener> {
    (0..TRIES).find_map(|_| {
        let [high, low, ..] = *random32().ok()?;
        let port = FIXED.start() + u16::from_be_bytes([high, low]) % (FIXED.end() - FIXED.start());
        TcpListener::bind(local(port)).ok()
    })
}

/// An address on this machine.
pub(crate) const fn local(port: u16) -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn a_free_port_is_kept_and_a_busy_one_chosen_again() {
        let first = Chooser::default().choose(None).unwrap();
        assert_eq!(first.instead_of, None);
        let busy = TcpListener::bind(local(0)).unwrap();
        let taken = busy.local_addr().unwrap().port();
        let again = Chooser::default().choose(Some(taken)).unwrap();
        assert_ne!(again.port, taken);
        assert_eq!(again.instead_of, Some(taken));
        drop(busy);
        assert_eq!(Chooser::default().choose(Some(taken)).unwrap(), Chosen { port: taken, instead_of: None });
    }

    #[test]
    fn ports_chosen_together_differ() {
        let mut chooser = Chooser::default();
        let ports: std::collections::BTreeSet<_> =
            (0..20).map(|_| chooser.choose(None).unwrap().port).collect();
        assert_eq!(ports.len(), 20);
    }
}
