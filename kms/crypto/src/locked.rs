//! Memory that stays in RAM: secrets on locked pages, wiped on drop, and no core dumps.
//!
//! Values are built before they are moved onto the locked page, so short-lived copies on a stack are not
//! covered; what is kept for longer is.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use thiserror::Error;
use zeroize::{Zeroize as _, Zeroizing};

/// Memory could not be locked.
#[derive(Debug, Error)]
#[error("memory for a secret could not be locked: raise the limit of locked memory (`ulimit -l`)")]
pub struct LockError(#[source] region::Error);

/// Core dumps could not be switched off.
#[derive(Debug, Error)]
#[error("core dumps could not be switched off")]
pub struct CoreDumpError(#[source] std::io::Error);

/// Switches core dumps of this process off, and on Linux also tracing by others of the same user.
pub fn disable_core_dumps() -> Result<(), CoreDumpError> {
    use rustix::process::{Resource, Rlimit, setrlimit};
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })
        .map_err(|error| CoreDumpError(error.into()))?;
    #[cfg(target_os = "linux")]
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
        .map_err(|error| CoreDumpError(error.into()))?;
    Ok(())
}

/// Secret bytes on locked pages, wiped on drop.
pub struct LockedSecret(Locked<Zeroizing<Box<[u8]>>>);

impl LockedSecret {
    /// Copies the bytes onto locked pages; the given ones are wiped.
    pub fn new(mut bytes: Zeroizing<Vec<u8>>) -> Result<Self, LockError> {
        let empty = Zeroizing::new(vec![0; bytes.len()].into_boxed_slice());
        let pages = PageLocks::take(empty.as_ptr() as usize, empty.len())?;
        let mut locked = Locked { value: Box::new(empty), _pages: pages };
        locked.value.copy_from_slice(&bytes);
        bytes.zeroize();
        Ok(Self(locked))
    }

    /// Lends the bytes.
    pub fn expose<R>(&self, f: impl for<'a> FnOnce(&'a [u8]) -> R) -> R {
        f(&self.0.value)
    }
}

impl fmt::Debug for LockedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LockedSecret(redacted)")
    }
}

/// A value on locked pages. `T` must wipe itself when dropped.
pub(crate) struct Locked<T> {
    // INVARIANT: dropped (wiped) before the pages are unlocked, because fields drop in this order.
    value: Box<T>,
    _pages: PageLocks,
}

impl<T> Locked<T> {
    pub(crate) fn new(value: T) -> Result<Self, LockError> {
        let value = Box::new(value);
        let pages = PageLocks::take(std::ptr::from_ref(&*value) as usize, size_of::<T>())?;
        Ok(Self { value, _pages: pages })
    }

    pub(crate) const fn get(&self) -> &T {
        &self.value
    }
}

/// The kernel's locks do not nest, so this process counts the users of each page it locked.
static PAGES: Mutex<BTreeMap<usize, Page>> = Mutex::new(BTreeMap::new());

struct Page {
    users: usize,
    _guard: region::LockGuard,
}

/// The pages that one value lies on, held until this is dropped.
struct PageLocks {
    pages: Vec<usize>,
}

impl PageLocks {
    fn take(address: usize, len: usize) -> Result<Self, LockError> {
        let size = region::page::size();
        let first = address / size * size;
        let mut held = Self { pages: Vec::new() };
        let mut table = lock_table();
        for page in (first..address.saturating_add(len.max(1))).step_by(size) {
            let result = hold(&mut table, page, size);
            if let Err(error) = result {
                drop(table); // `held` gives its pages back, for which it needs the table
                drop(held);
                return Err(error);
            }
            held.pages.push(page);
        }
        Ok(held)
    }
}

fn hold(table: &mut BTreeMap<usize, Page>, page: usize, size: usize) -> Result<(), LockError> {
    if let Some(known) = table.get_mut(&page) {
        known.users += 1;
        return Ok(());
    }
    let guard = match region::lock(page as *const u8, size) {
        Ok(guard) => guard,
        Err(_) if raise_limit() => region::lock(page as *const u8, size).map_err(LockError)?,
        Err(error) => return Err(LockError(error)),
    };
    table.insert(page, Page { users: 1, _guard: guard });
    Ok(())
}

/// Raises this process's limit of locked memory as far as it may; answers whether that changed anything.
fn raise_limit() -> bool {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Memlock);
    limit.current != limit.maximum
        && setrlimit(Resource::Memlock, Rlimit { current: limit.maximum, maximum: limit.maximum }).is_ok()
}

impl Drop for PageLocks {
    fn drop(&mut self) {
        let mut table = lock_table();
        for page in &self.pages {
            let last = table.get_mut(page).is_some_and(|known| {
                known.users -= 1;
                known.users == 0
            });
            if last {
                table.remove(page);
            }
        }
    }
}

fn lock_table() -> MutexGuard<'static, BTreeMap<usize, Page>> {
    // A panic elsewhere cannot leave the table half-changed: each change is one step.
    PAGES.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_on_one_page_stay_locked_until_the_last_goes() {
        let secrets: Vec<_> =
            (0..64_u8).map(|n| LockedSecret::new(Zeroizing::new(vec![n; 32])).unwrap()).collect();
        for (n, secret) in secrets.iter().enumerate() {
            secret.expose(|bytes| assert_eq!(bytes, [n as u8; 32]));
        }
        let page =
            secrets[63].expose(|bytes| bytes.as_ptr() as usize) / region::page::size() * region::page::size();
        let mut secrets = secrets;
        let last = secrets.pop().unwrap();
        drop(secrets);
        assert!(lock_table().get(&page).is_some_and(|known| known.users >= 1));
        last.expose(|bytes| assert_eq!(bytes, [63; 32]));
    }

    #[test]
    fn secret_over_several_pages_is_held_whole() {
        let size = region::page::size();
        let secret = LockedSecret::new(Zeroizing::new(vec![7; 3 * size])).unwrap();
        assert!(secret.0._pages.pages.len() >= 3);
        assert_eq!(format!("{secret:?}"), "LockedSecret(redacted)");
    }

    #[test]
    fn core_dumps_go_off() {
        disable_core_dumps().unwrap();
        let limit = rustix::process::getrlimit(rustix::process::Resource::Core);
        assert_eq!(limit.current, Some(0));
    }
}
