//! Ports of this machine: kept from start to start, chosen again where somebody else took them.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::ops::RangeInclusive;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

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
            && reserve(port) != Reserved::Elsewhere
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
        (reserve(port) == Reserved::Now).then(|| TcpListener::bind(local(port)).ok()).flatten()
    })
}

/// Whose a port is among the Keywards of one user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reserved {
    Now,
    Before,
    Elsewhere,
}

/// Keeps `port` for this process until it ends. Nobody listens between the choice and the start of a child, or while one
/// is started again: another Keyward that chose in that moment would find the port free.
fn reserve(port: u16) -> Reserved {
    static OURS: Mutex<BTreeMap<u16, Option<File>>> = Mutex::new(BTreeMap::new());
    let mut ours = OURS.lock().unwrap_or_else(PoisonError::into_inner);
    if ours.contains_key(&port) {
        return Reserved::Before;
    }
    let lock = lock_file(port);
    if let Some(file) = &lock
        && file.try_lock().is_err()
    {
        return Reserved::Elsewhere;
    }
    // Where no file can be made nothing is reserved; whoever comes second then fails when it listens.
    ours.insert(port, lock);
    Reserved::Now
}

fn lock_file(port: u16) -> Option<File> {
    let folder = lock_folder()?;
    OpenOptions::new().create(true).truncate(false).write(true).open(folder.join(port.to_string())).ok()
}

/// A folder that is this user's own: nobody else can hold ports back, or have files made elsewhere.
fn lock_folder() -> Option<PathBuf> {
    let user = rustix::process::geteuid().as_raw();
    let folder = std::env::temp_dir().join(format!("keyward-ports-{user}"));
    let _there_already = DirBuilder::new().mode(0o700).create(&folder);
    let found = folder.symlink_metadata().ok()?;
    (found.is_dir() && found.uid() == user).then_some(folder)
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

    #[test]
    fn a_port_that_another_process_keeps_is_not_chosen_though_nobody_listens() {
        let mut reserved = (*FIXED.start()..*FIXED.end()).map(|port| (port, lock_file(port).unwrap()));
        let (port, theirs) = reserved.find(|(_, file)| file.try_lock().is_ok()).unwrap();
        let instead = Chooser::default().choose(Some(port)).unwrap();
        assert_eq!(instead.instead_of, Some(port));
        assert_ne!(instead.port, port);
        drop(theirs);
        assert_eq!(Chooser::default().choose(Some(port)).unwrap(), Chosen { port, instead_of: None });
        assert_eq!(reserve(port), Reserved::Before);
        assert!(lock_file(port).unwrap().try_lock().is_err(), "it is ours until this process ends");
    }
}
