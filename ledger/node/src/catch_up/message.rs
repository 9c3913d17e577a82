//! What nodes say to each other about snapshots (SPEC.md, section 19), beside the messages of `peers.rs`.
//!
//! ```text
//! offer wanted = u8 0xc4
//! offer        = u8 0xc5 || u64 height || u64 bytes || certified      height 0 and nothing after it: none
//! piece wanted = u8 0xc6 || u64 height || u32 number
//! piece        = u8 0xc7 || u64 height || u32 number || bytes         nothing after the number: there is none
//! ```

use bytes::Bytes;
use keyward_ledger_core::receipt::Certified;

/// Bytes of one piece; the last may be shorter.
pub(crate) const PIECE_BYTES: u64 = 256 << 10;
/// The longest snapshot that is offered or taken.
pub(crate) const SNAPSHOT_BYTES_MAX: u64 = 4 << 30;

const OFFER_WANTED: u8 = 0xc4;
const OFFER: u8 = 0xc5;
const PIECE_WANTED: u8 = 0xc6;
const PIECE: u8 = 0xc7;

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    OfferWanted,
    /// Nothing to offer.
    Nothing,
    Offer(Box<Offer>),
    PieceWanted {
        height: u64,
        number: u32,
    },
    Piece {
        height: u64,
        number: u32,
        bytes: Bytes,
    },
}

/// A snapshot that a node would send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Offer {
    /// Its length.
    pub(crate) bytes: u64,
    /// Its block, and the way from genesis to those who certified it.
    pub(crate) certified: Certified,
}

impl Offer {
    pub(crate) fn height(&self) -> u64 {
        self.certified.signed_header.header.height
    }

    /// How many pieces it has; `None` for a length that is not taken.
    pub(crate) fn pieces(&self) -> Option<u32> {
        let within = (1..=SNAPSHOT_BYTES_MAX).contains(&self.bytes);
        within.then(|| self.bytes.div_ceil(PIECE_BYTES)).and_then(|count| u32::try_from(count).ok())
    }

    /// How long a piece must be.
    pub(crate) fn piece_bytes(&self, number: u32) -> u64 {
        self.bytes.saturating_sub(offset(number)).min(PIECE_BYTES)
    }
}

/// Where a piece begins.
pub(crate) const fn offset(number: u32) -> u64 {
    number as u64 * PIECE_BYTES
}

/// Whether a message is one of these, read or not.
pub(crate) fn is_ours(message: &[u8]) -> bool {
    message.first().is_some_and(|kind| (OFFER_WANTED..=PIECE).contains(kind))
}

impl Message {
    pub(crate) fn encode(&self) -> Bytes {
        let mut out = Vec::with_capacity(64);
        match self {
            Self::OfferWanted => out.push(OFFER_WANTED),
            Self::Nothing => {
                out.push(OFFER);
                out.extend(0_u64.to_be_bytes());
            }
            Self::Offer(offer) => {
                out.push(OFFER);
                out.extend(offer.height().to_be_bytes());
                out.extend(offer.bytes.to_be_bytes());
                out.extend(offer.certified.encode());
            }
            Self::PieceWanted { height, number } => {
                out.push(PIECE_WANTED);
                out.extend(height.to_be_bytes());
                out.extend(number.to_be_bytes());
            }
            Self::Piece { height, number, bytes } => {
                out.push(PIECE);
                out.extend(height.to_be_bytes());
                out.extend(number.to_be_bytes());
                out.extend(bytes);
            }
        }
        out.into()
    }

    /// Decodes exactly one message; nothing that would be encoded differently is taken.
    pub(crate) fn decode(message: &Bytes) -> Option<Self> {
        let (kind, body) = message.split_first()?;
        if *kind == OFFER_WANTED {
            return body.is_empty().then_some(Self::OfferWanted);
        }
        let (height, rest) = body.split_first_chunk::<8>()?;
        let height = u64::from_be_bytes(*height);
        match *kind {
            OFFER if height == 0 => rest.is_empty().then_some(Self::Nothing),
            OFFER => {
                let (bytes, certified) = rest.split_first_chunk::<8>()?;
                let certified = Certified::decode(certified).ok()?;
                let offer = Offer { bytes: u64::from_be_bytes(*bytes), certified };
                (offer.height() == height).then(|| Self::Offer(Box::new(offer)))
            }
            PIECE_WANTED | PIECE => {
                let (number, bytes) = rest.split_first_chunk::<4>()?;
                let number = u32::from_be_bytes(*number);
                match *kind {
                    PIECE_WANTED => bytes.is_empty().then_some(Self::PieceWanted { height, number }),
                    _ if bytes.len() as u64 > PIECE_BYTES => None,
                    _ => Some(Self::Piece { height, number, bytes: message.slice(13..) }),
                }
            }
            _ => None,
        }
    }
}
