//! The root of an account's addresses, and the trees that grow from it: GGM over 32-bit numbers of address epochs (Goldreich,
//! Goldwasser, Micali: How to construct random functions, 1986), with HMAC-SHA-256 as the generator.

use std::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::epoch::{SpendingLeaf, ViewingLeaf};
use super::error::AddressError;
use crate::labels;

/// Depth of a leaf: one level for each bit of an epoch's number.
pub(super) const DEPTH: u8 = 32;

pub(super) type Bytes = Zeroizing<[u8; 32]>;

/// What all addresses of an account come from. Whoever holds it sees and spends everything.
pub struct AddressRoot(Bytes);

impl AddressRoot {
    /// A fresh root.
    pub fn generate() -> Result<Self, AddressError> {
        let mut root = Zeroizing::new([0; 32]);
        getrandom::fill(root.as_mut_slice())?;
        Ok(Self(root))
    }

    /// From the bytes of [`Self::expose`].
    pub const fn from_bytes(root: Zeroizing<[u8; 32]>) -> Self {
        Self(root)
    }

    /// Lends the bytes, to be sealed.
    pub fn expose<R>(&self, f: impl for<'a> FnOnce(&'a [u8; 32]) -> R) -> R {
        f(&self.0)
    }

    /// What opens all epochs.
    pub(super) fn viewing(&self) -> Node {
        Node::root(keyed(&self.0, &[&labels::tagged(labels::ADDRESS_VIEWING)]))
    }

    /// What recognises addresses of one epoch and reads their details.
    pub fn viewing_leaf(&self, epoch: u32) -> ViewingLeaf {
        ViewingLeaf::new(epoch, self.viewing().below(DEPTH, epoch).secret)
    }

    /// What signs with the addresses of one epoch, together with its viewing leaf.
    pub fn spending_leaf(&self, epoch: u32) -> Result<SpendingLeaf, AddressError> {
        spending_leaf(&self.spending(), epoch)
    }

    /// What limits count this account's acts under within one window of time. Acts of one window can be linked by it, those of
    /// two cannot. Windows of one length are numbered from 1970 on.
    pub fn handle(&self, window_ms: u64, number: u64) -> [u8; 32] {
        *keyed(&self.handles(), &[&window_ms.to_be_bytes(), &number.to_be_bytes()])
    }

    /// What the spending leaves of all epochs grow from.
    pub(super) fn spending(&self) -> Bytes {
        keyed(&self.0, &[&labels::tagged(labels::ADDRESS_SPENDING)])
    }

    /// What all handles come from.
    pub(super) fn handles(&self) -> Bytes {
        keyed(&self.0, &[&labels::tagged(labels::ADDRESS_HANDLE)])
    }
}

pub(super) fn spending_leaf(root: &Bytes, epoch: u32) -> Result<SpendingLeaf, AddressError> {
    SpendingLeaf::new(epoch, &Node::root(root.clone()).below(DEPTH, epoch).secret)
}

impl fmt::Debug for AddressRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AddressRoot(redacted)")
    }
}

/// A node: `prefix` are the first `depth` bits of the epochs below it, as the low bits.
pub(super) struct Node {
    pub(super) depth: u8,
    pub(super) prefix: u32,
    pub(super) secret: Bytes,
}

impl Node {
    const fn root(secret: Bytes) -> Self {
        Self { depth: 0, prefix: 0, secret }
    }

    /// Whether the node of an epoch, `depth` levels below the root, is this one or lies below it.
    pub(super) fn is_above(&self, depth: u8, epoch: u32) -> bool {
        self.depth <= depth && first_bits(epoch, self.depth) == self.prefix
    }

    /// The node `depth` levels below the root on the way to `epoch`; itself, if it is as deep.
    pub(super) fn below(&self, depth: u8, epoch: u32) -> Self {
        let mut secret = self.secret.clone();
        for level in self.depth..depth {
            // From the highest bit on.
            let bit = (epoch >> (DEPTH - 1 - level)) & 1;
            secret = keyed(&secret, &[&[u8::from(bit == 1)]]);
        }
        Self { depth: depth.max(self.depth), prefix: first_bits(epoch, depth), secret }
    }
}

/// The first `depth` bits of a number.
pub(super) const fn first_bits(epoch: u32, depth: u8) -> u32 {
    if depth == 0 { 0 } else { epoch >> (DEPTH - depth) }
}

/// HMAC-SHA-256.
pub(super) fn keyed(key: &[u8; 32], parts: &[&[u8]]) -> Bytes {
    // A shorter key is a block with zeros behind it (RFC 2104).
    let mut block = Zeroizing::new([0; 64]);
    let (head, _zeros) = block.split_at_mut(key.len());
    head.copy_from_slice(key);
    let mut mac = Hmac::<Sha256>::new(&(*block).into());
    parts.iter().for_each(|part| mac.update(part));
    Zeroizing::new(mac.finalize().into_bytes().into())
}
