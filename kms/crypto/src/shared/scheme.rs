//! Which signatures shared keys make, and under which tweak.

use keyward_domain::scheme::Scheme;

/// The schemes of shared keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SharedScheme {
    /// FROST(Ed25519, SHA-512) of RFC 9591: signatures as of RFC 8032.
    Ed25519,
    /// FROST on secp256k1 with BIP340's signatures and BIP341's tweak.
    Bip340,
}

impl SharedScheme {
    /// Every scheme.
    pub const ALL: [Self; 2] = [Self::Ed25519, Self::Bip340];

    /// What its signatures verify as.
    pub const fn scheme(self) -> Scheme {
        match self {
            Self::Ed25519 => Scheme::Ed25519,
            Self::Bip340 => Scheme::Bip340,
        }
    }

    /// The scheme whose signatures verify so, if keys of it can be shared.
    pub fn of(scheme: Scheme) -> Option<Self> {
        Self::ALL.into_iter().find(|shared| shared.scheme() == scheme)
    }

    /// The same number as everywhere.
    pub const fn code(self) -> u8 {
        self.scheme().code()
    }

    /// Length of an encoded element.
    pub(crate) const fn element_bytes(self) -> usize {
        match self {
            Self::Ed25519 => 32,
            Self::Bip340 => 33,
        }
    }
}

/// What is added to the key before it signs (BIP341). Ed25519 knows none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tweak {
    /// The key signs as it is.
    None,
    /// The taproot output key without scripts.
    KeyPath,
    /// The taproot output key with scripts under this Merkle root.
    Scripts([u8; 32]),
}

impl Tweak {
    /// `0`, `1`, or `2 || root[32]`.
    pub(crate) fn encode(&self) -> Vec<u8> {
        match self {
            Self::None => vec![0],
            Self::KeyPath => vec![1],
            Self::Scripts(root) => [&[2][..], root].concat(),
        }
    }
}
