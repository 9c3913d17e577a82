//! A share of a shared key as it is kept: the key that it is of, until when it waits, and what was confirmed of it.

use keyward_crypto::shared::{Dealt, KeyShare, SharedKey};
use keyward_ledger_core::{ed25519::SigningKey, hash::Hash};
use zeroize::Zeroizing;

use super::{error::SharedError, store::Place};
use crate::chest::Share;

const VERSION: u8 = 1;

/// A kept share.
#[derive(Debug)]
pub(crate) struct KeptShare {
    /// The last block time at which its record may come, in milliseconds; 0 of one that came back.
    pub(crate) until_ms: u64,
    /// The run that made it.
    pub(crate) run: Hash,
    /// The confirmation, to be given again after a stop.
    pub(crate) confirmation: Vec<u8>,
    pub(crate) key: SharedKey,
    pub(crate) share: KeyShare,
}

impl KeptShare {
    /// What a run has given, until its record comes or can come no more.
    pub(crate) fn of(
        dealt: &Dealt,
        run: Hash,
        until_ms: u64,
        signing: &SigningKey,
    ) -> Result<Self, SharedError> {
        let confirmation = dealt.confirmation(|bytes| signing.sign(bytes)).encode();
        let key = dealt.key().clone();
        let share = dealt.share().to_secret().expose(|share| KeyShare::from_secret(share, &key))?;
        Ok(Self { until_ms, run, confirmation, key, share })
    }

    /// Whether it has what threshold ECDSA multiplies with: hundreds of kilobytes, and bans that may be noted any time.
    pub(crate) const fn is_long(&self) -> bool {
        self.key.scheme().answers()
    }
}

impl Share for KeptShare {
    type Place = Place;

    fn place(&self) -> Place {
        Place {
            rule: self.key.name().key,
            share_version: self.key.share_version(),
            key_hash: self.key.hash(),
        }
    }

    /// `version u8 (1) || until_ms u64 || run[32] || u32 length || confirmation || u32 length || key || share`.
    fn encode(&self) -> Zeroizing<Vec<u8>> {
        let key = self.key.encode();
        self.share.to_secret().expose(|share| {
            let length = 64 + self.confirmation.len() + key.len() + share.len();
            let mut out = Zeroizing::new(Vec::with_capacity(length));
            out.push(VERSION);
            out.extend_from_slice(&self.until_ms.to_be_bytes());
            out.extend_from_slice(&self.run);
            for part in [&self.confirmation, &key] {
                // INVARIANT: both are far shorter than 4 GiB.
                out.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
                out.extend_from_slice(part);
            }
            out.extend_from_slice(share);
            out
        })
    }

    /// Holds the share against its key.
    fn decode(bytes: &[u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(&[VERSION])?;
        let (until_ms, rest) = rest.split_first_chunk()?;
        let (run, rest) = rest.split_first_chunk()?;
        let (confirmation, rest) = part(rest)?;
        let (key, share) = part(rest)?;
        let key = SharedKey::decode(key).ok()?;
        let share = KeyShare::from_secret(share, &key).ok()?;
        let (until_ms, run, confirmation) = (u64::from_be_bytes(*until_ms), *run, confirmation.to_vec());
        Some(Self { until_ms, run, confirmation, key, share })
    }
}

fn part(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)
}
