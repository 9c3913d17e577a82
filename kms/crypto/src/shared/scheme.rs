//! Which signatures shared keys make, and under which tweak.

use keyward_domain::scheme::Scheme;

use super::errors::RunError;
use super::holders::Holders;
use crate::vault::KEEPERS_MAX;

/// The schemes of shared keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SharedScheme {
    /// FROST(Ed25519, SHA-512) of RFC 9591: signatures as of RFC 8032.
    Ed25519,
    /// FROST on secp256k1 with BIP340's signatures and BIP341's tweak.
    Bip340,
    /// DKLs23 on secp256k1: ECDSA signatures with low S. Experimental: nobody has audited the library.
    EcdsaSecp256k1,
}

/// The most keepers of a key of [`SharedScheme::EcdsaSecp256k1`]: state and messages grow with the square of the parties.
const ECDSA_KEEPERS_MAX: u8 = 5;

impl SharedScheme {
    /// Every scheme.
    pub const ALL: [Self; 3] = [Self::Ed25519, Self::Bip340, Self::EcdsaSecp256k1];

    /// Whether keys of it say so wherever they show, and are made only for who asks for it.
    pub const fn is_experimental(self) -> bool {
        matches!(self, Self::EcdsaSecp256k1)
    }

    /// Whether generation has an agreement and signing an answer: one step more than FROST.
    pub const fn answers(self) -> bool {
        matches!(self, Self::EcdsaSecp256k1)
    }

    /// How many keepers a key of it has at most.
    pub const fn keepers_max(self) -> u8 {
        match self {
            Self::Ed25519 | Self::Bip340 => KEEPERS_MAX,
            Self::EcdsaSecp256k1 => ECDSA_KEEPERS_MAX,
        }
    }

    /// Refuses more keepers than keys of it have.
    pub(crate) const fn check_keepers(self, holders: &Holders) -> Result<(), RunError> {
        let keepers_max = self.keepers_max();
        if holders.keepers() > keepers_max { Err(RunError::TooManyKeepers { keepers_max }) } else { Ok(()) }
    }

    /// Refuses what only FROST's keys can do.
    pub(crate) const fn refuse_experimental(self) -> Result<(), RunError> {
        if self.is_experimental() { Err(RunError::Experimental) } else { Ok(()) }
    }

    /// Where the polynomial has the value of an identifier.
    pub(crate) fn place_of(self, identifier: u16, holders: &Holders) -> u16 {
        if self.answers() { u16::from(holders.party(identifier)) } else { identifier }
    }

    /// What its signatures verify as.
    pub const fn scheme(self) -> Scheme {
        match self {
            Self::Ed25519 => Scheme::Ed25519,
            Self::Bip340 => Scheme::Bip340,
            Self::EcdsaSecp256k1 => Scheme::EcdsaSecp256k1,
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
            Self::Bip340 | Self::EcdsaSecp256k1 => 33,
        }
    }
}

/// What is added to the key before it signs (BIP341). Other schemes than BIP340 know none.
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
