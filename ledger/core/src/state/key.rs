//! A bound key in the state: whose it is, where it stands in its life, and which key came after it.

use super::layout::read_bool;
use crate::codec::{DecodeError, Reader, Writer};
use crate::entry::{Mode, read_mode, read_scheme};
use crate::hash::Hash;
use crate::scheme::{KeyId, Scheme};

/// Where a bound key stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyStatus {
    /// Intents may name it.
    Active,
    /// No intent may name it until it is thawed.
    Frozen,
    /// Its successor took over: it verifies, and never signs again.
    Superseded {
        /// The next version.
        successor: KeyId,
    },
    /// It is to be destroyed.
    Scheduled {
        /// The first block time at which it may be destroyed.
        destroy_after_ms: u64,
        /// The next version, if it was superseded before.
        successor: Option<KeyId>,
    },
    /// Gone. What stays keeps its key id from ever being bound again.
    Destroyed {
        /// The time of the block that destroyed it.
        at_ms: u64,
        /// The next version, if it was superseded before.
        successor: Option<KeyId>,
    },
}

impl KeyStatus {
    const fn code(self) -> u8 {
        match self {
            Self::Active => 0,
            Self::Frozen => 1,
            Self::Superseded { .. } => 2,
            Self::Scheduled { .. } => 3,
            Self::Destroyed { .. } => 4,
        }
    }

    /// The next version of the key, if there is one.
    pub const fn successor(self) -> Option<KeyId> {
        match self {
            Self::Active | Self::Frozen => None,
            Self::Superseded { successor } => Some(successor),
            Self::Scheduled { successor, .. } | Self::Destroyed { successor, .. } => successor,
        }
    }

    const fn moment_ms(self) -> u64 {
        match self {
            Self::Active | Self::Frozen | Self::Superseded { .. } => 0,
            Self::Scheduled { destroy_after_ms, .. } => destroy_after_ms,
            Self::Destroyed { at_ms, .. } => at_ms,
        }
    }

    /// The status of a code, a moment and a successor, if they make one.
    const fn from_parts(code: u8, moment_ms: u64, successor: Option<KeyId>) -> Option<Self> {
        match (code, moment_ms, successor) {
            (0, 0, None) => Some(Self::Active),
            (1, 0, None) => Some(Self::Frozen),
            (2, 0, Some(successor)) => Some(Self::Superseded { successor }),
            (3, destroy_after_ms, successor) => Some(Self::Scheduled { destroy_after_ms, successor }),
            (4, at_ms, successor) => Some(Self::Destroyed { at_ms, successor }),
            _ => None,
        }
    }
}

/// A bound key: `account[32] || mode u8 || scheme u8 || status u8 || height u64`, and unless it is a first version
/// that is active or frozen `version u32 || moment_ms u64 || (0 u8 | 1 u8 || successor[32])`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyState {
    /// The account it is bound to.
    pub account: Hash,
    /// Where the private key lives.
    pub mode: Mode,
    /// The scheme.
    pub scheme: Scheme,
    /// Where it stands.
    pub status: KeyStatus,
    /// The height at which it was bound.
    pub height: u64,
    /// 1, or one more than that of the key it took over from.
    pub version: u32,
}

impl KeyState {
    /// The encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(88);
        out.raw(&self.account).u8(self.mode.code()).u8(self.scheme.code());
        out.u8(self.status.code()).u64(self.height);
        if !is_short(self.version, self.status) {
            out.u32(self.version).u64(self.status.moment_ms());
            match self.status.successor() {
                None => out.u8(0),
                Some(successor) => out.u8(1).raw(&successor.0),
            };
        }
        out.finish()
    }

    /// Decodes exactly one value.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let account = reader.array("account")?;
        let (mode, scheme) = (read_mode(&mut reader)?, read_scheme(&mut reader)?);
        let (code, height) = (reader.u8("key status")?, reader.u64("height")?);
        let short = reader.rest().is_empty();
        let (version, moment_ms, successor) = if short { (1, 0, None) } else { read_lineage(&mut reader)? };
        reader.finish("key")?;
        let status = KeyStatus::from_parts(code, moment_ms, successor)
            .ok_or(DecodeError::UnknownCode { what: "key status", code: u64::from(code) })?;
        if version == 0 || short != is_short(version, status) {
            return Err(DecodeError::Invalid {
                what: "key",
                why: "has another form for its status and version",
            });
        }
        Ok(Self { account, mode, scheme, status, height, version })
    }
}

/// First versions that are active or frozen have no more to say than before there were versions.
const fn is_short(version: u32, status: KeyStatus) -> bool {
    version == 1 && matches!(status, KeyStatus::Active | KeyStatus::Frozen)
}

fn read_lineage(reader: &mut Reader<'_>) -> Result<(u32, u64, Option<KeyId>), DecodeError> {
    let (version, moment_ms) = (reader.u32("key version")?, reader.u64("moment")?);
    let successor = match read_bool(reader, "successor")? {
        true => Some(KeyId(reader.array("successor")?)),
        false => None,
    };
    Ok((version, moment_ms, successor))
}
