//! A share of closed address epochs as it is kept: until when it waits for its record, and what its keeper answers with.

use keyward_crypto::viewing::ViewingShare;
use zeroize::Zeroizing;

use super::place::Place;
use crate::chest::Share;

const VERSION: u8 = 1;

/// A kept share.
#[derive(Debug)]
pub(crate) struct Kept {
    /// The last block time at which its dealing may be recorded; of no use once it is.
    pub(crate) expires_ms: u64,
    pub(crate) share: ViewingShare,
}

impl Share for Kept {
    type Place = Place;

    fn place(&self) -> Place {
        let share = &self.share;
        Place { account: *share.account(), first: share.first(), last: share.last(), hash: *share.dealing() }
    }

    /// `version u8 (1) || expires_ms u64 || share`.
    fn encode(&self) -> Zeroizing<Vec<u8>> {
        self.share.to_secret().expose(|share| {
            let mut out = Zeroizing::new(Vec::with_capacity(9 + share.len()));
            out.push(VERSION);
            out.extend_from_slice(&self.expires_ms.to_be_bytes());
            out.extend_from_slice(share);
            out
        })
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (expires_ms, share) = bytes.strip_prefix(&[VERSION])?.split_first_chunk()?;
        let share = ViewingShare::from_secret(share).ok()?;
        Some(Self { expires_ms: u64::from_be_bytes(*expires_ms), share })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn a_kept_share_has_the_bytes_of_the_specification() {
        let scalar = |value: u8| {
            let mut scalar = [0; 32];
            scalar[0] = value;
            scalar
        };
        let share = [
            &[1][..],
            &[2; 32],
            &[3; 32],
            &[4; 32],
            &7_u32.to_be_bytes(),
            &9_u32.to_be_bytes(),
            &[5; 32],
            &[1],
            &[1],
            &scalar(6),
            &scalar(7),
        ]
        .concat();
        let bytes = [&[1][..], &1_000_u64.to_be_bytes(), &share].concat();
        let kept = Kept::decode(&bytes).unwrap();
        assert_eq!(*kept.encode(), bytes);
        assert_eq!(kept.expires_ms, 1_000);
        assert_eq!(kept.place(), Place { account: [4; 32], first: 7, last: 9, hash: [2; 32] });
        assert_eq!(kept.place().to_string().parse(), Ok(kept.place()));
        for end in 0..bytes.len() {
            assert!(Kept::decode(&bytes[..end]).is_none());
        }
        assert!(Kept::decode(&[&[2], &bytes[1..]].concat()).is_none());
        for other in ["04.7.9.02", "x", &format!("{}.07.9.{}", "04".repeat(32), "02".repeat(32))] {
            assert!(other.parse::<Place>().is_err(), "{other}");
        }
    }
}
