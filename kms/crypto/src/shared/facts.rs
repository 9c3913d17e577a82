//! What is public of a shared key: whose shares of what, checked so that every holder sees the same polynomial.

use std::collections::BTreeMap;

use keyward_domain::scheme::{PublicKey, PublicKeyError, Scheme};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use super::errors::RunError;
use super::holders::Holders;
use super::roster::Roster;
use super::scheme::{SharedScheme, Tweak};
use super::suite::dealing::interpolate_each;
use super::suite::{Element, LibraryError, Public, each, group, output_key};
use crate::labels;

const VERSION: u8 = 1;

/// Which key is meant, before it exists and afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyName {
    /// The ledger.
    pub chain_id: [u8; 32],
    /// The key's name on it, fixed by the entry that begins its generation.
    pub key: [u8; 32],
}

/// Why something is no shared key.
#[derive(Debug, Error)]
pub enum SharedKeyError {
    /// Another version, impossible lengths, refused holders, or something behind it.
    #[error("the bytes are no shared key")]
    Malformed,
    /// The shares do not lie on one polynomial whose constant term is the key.
    #[error("the shares do not fit the key")]
    Inconsistent,
    /// A point is none.
    #[error(transparent)]
    Library(#[from] LibraryError),
    /// The key is refused.
    #[error("the public key is refused")]
    PublicKey(#[from] PublicKeyError),
}

/// What is public of a shared key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedKey {
    name: KeyName,
    scheme: SharedScheme,
    share_version: u32,
    holders: Holders,
    public: Public,
}

impl SharedKey {
    /// Checks that the shares belong together.
    pub(crate) fn new(
        name: KeyName,
        scheme: SharedScheme,
        share_version: u32,
        holders: Holders,
        public: Public,
    ) -> Result<Self, SharedKeyError> {
        let key = Self { name, scheme, share_version, holders, public };
        key.check()?;
        Ok(key)
    }

    fn check(&self) -> Result<(), SharedKeyError> {
        let Self { scheme, holders, public, .. } = self;
        if !public.shares.keys().copied().eq(holders.all_identifiers()) || public.needed != holders.needed() {
            return Err(SharedKeyError::Inconsistent);
        }
        let enough = usize::from(public.needed);
        let at = |number: &u16| scheme.place_of(*number, holders);
        let basis: BTreeMap<u16, Element> =
            public.shares.iter().take(enough).map(|(number, share)| (at(number), share.clone())).collect();
        let rest = public.shares.iter().skip(enough).map(|(number, share)| (Some(at(number)), share));
        let (places, found): (Vec<_>, Vec<_>) = std::iter::once((None, &public.key)).chain(rest).unzip();
        let due = group!(*scheme, interpolate_each(&basis, &places))?;
        if due.iter().eq(found) { Ok(()) } else { Err(SharedKeyError::Inconsistent) }
    }

    /// Which key it is.
    pub const fn name(&self) -> &KeyName {
        &self.name
    }

    /// Its scheme.
    pub const fn scheme(&self) -> SharedScheme {
        self.scheme
    }

    /// 1 at generation, one more with each renewal or refresh.
    pub const fn share_version(&self) -> u32 {
        self.share_version
    }

    /// Who holds its shares.
    pub const fn holders(&self) -> &Holders {
        &self.holders
    }

    /// Refuses the keys of others than this key's holders.
    pub(crate) fn check_roster(&self, roster: &Roster) -> Result<(), RunError> {
        if roster.holders() == &self.holders { Ok(()) } else { Err(RunError::OtherHolders) }
    }

    /// The key that signatures under this tweak verify with.
    pub fn public_key(&self, tweak: &Tweak) -> Result<PublicKey, SharedKeyError> {
        let bytes = match self.scheme {
            SharedScheme::EcdsaSecp256k1 => self.public.key.clone(),
            scheme => each!(scheme, output_key(&self.public, tweak))?,
        };
        Ok(PublicKey::parse(self.scheme.scheme(), &bytes)?)
    }

    pub(crate) const fn public(&self) -> &Public {
        &self.public
    }

    /// `version u8 (1) || scheme u8 || chain id[32] || key name[32] || share version u32 || holders || key || share*`.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION, self.scheme.code()];
        out.extend_from_slice(&self.name.chain_id);
        out.extend_from_slice(&self.name.key);
        out.extend_from_slice(&self.share_version.to_be_bytes());
        out.extend_from_slice(&self.holders.encode());
        out.extend_from_slice(&self.public.key);
        self.public.shares.values().for_each(|share| out.extend_from_slice(share));
        out
    }

    /// `SHA-256(label || chain id[32] || key name[32] || scheme u8 || holders || key || place u8 || the holder's shares)`: what
    /// a holder's share belongs to. It outlives a refresh that leaves the holder's values alone.
    pub(crate) fn stamp(&self, place: u8) -> [u8; 32] {
        let KeyName { chain_id, key } = &self.name;
        let mut hasher = Sha256::new();
        let label = labels::tagged(labels::SHARED_SHARE);
        for part in
            [&label[..], chain_id, key, &[self.scheme.code()], &self.holders.encode(), &self.public.key]
        {
            hasher.update(part);
        }
        hasher.update([place]);
        let own = self.holders.identifiers(place);
        own.iter().filter_map(|number| self.public.shares.get(number)).for_each(|share| hasher.update(share));
        hasher.finalize().into()
    }

    /// `SHA-256(label || bytes)`: what holders confirm and the ledger records.
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest([labels::tagged(labels::SHARED_KEY), self.encode()].concat()).into()
    }

    /// Reads exactly one and checks it.
    pub fn decode(bytes: &[u8]) -> Result<Self, SharedKeyError> {
        let (name, scheme, share_version, holders, public) = parse(bytes).ok_or(SharedKeyError::Malformed)?;
        Self::new(name, scheme, share_version, holders, public)
    }
}

type Parts = (KeyName, SharedScheme, u32, Holders, Public);

fn parse(bytes: &[u8]) -> Option<Parts> {
    let (&scheme, rest) = bytes.strip_prefix(&[VERSION])?.split_first()?;
    let scheme = SharedScheme::of(Scheme::from_code(scheme)?)?;
    let (&chain_id, rest) = rest.split_first_chunk()?;
    let (&key, rest) = rest.split_first_chunk()?;
    let (&share_version, rest) = rest.split_first_chunk()?;
    let (holders, rest) = Holders::read(rest)?;
    let (public, rest) = rest.split_at_checked(scheme.element_bytes())?;
    let identifiers = holders.all_identifiers();
    if rest.len() != identifiers.len() * scheme.element_bytes() {
        return None;
    }
    let shares = rest.chunks_exact(scheme.element_bytes()).map(<[u8]>::to_vec);
    let public = Public {
        key: public.to_vec(),
        shares: identifiers.into_iter().zip(shares).collect(),
        needed: holders.needed(),
    };
    Some((KeyName { chain_id, key }, scheme, u32::from_be_bytes(share_version), holders, public))
}
