//! Changes of who runs the ledger and by which rules: their bytes, and what is signed about them.
//!
//! Whether a change may be made, and what it does, is the business of the contract `members`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::codec::{DecodeError, Reader, Writer};
use crate::genesis::{NAME_BYTES_MAX, Submitter, is_name};
use crate::hash::{Hash, Tag};
use crate::keeper::Keeper;

/// The longest change.
pub const CHANGE_BYTES_MAX: usize = 1024;
/// The longest address for callers.
pub const RPC_ADDRESS_BYTES_MAX: usize = 256;

/// An organisation's node: its key, how people call it and where it is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The Ed25519 public key with which it votes and meets its peers.
    pub key: [u8; 32],
    /// Its name: 1 to 64 of `a-z`, `0-9`, `-`.
    pub name: String,
    /// Where it listens for the other nodes; the port is not 0.
    pub peer: SocketAddr,
    /// Where it answers callers, as they write it: at most 256 visible ASCII characters.
    pub rpc: String,
}

impl Member {
    /// What the key signs to join: `tagged("keyward/member/v1", chain id || member)`. A member file for a
    /// ledger that is still to be founded has 32 zero bytes as chain id.
    pub fn message(&self, chain_id: &Hash) -> Hash {
        let mut out = Writer::with_capacity(256);
        self.write(&mut out);
        Tag::Member.hash(&[chain_id, out.as_slice()])
    }

    /// Appends `key || bytes name || address || bytes rpc`.
    pub fn write(&self, out: &mut Writer) {
        out.raw(&self.key).bytes(self.name.as_bytes());
        write_address(out, &self.peer);
        out.bytes(self.rpc.as_bytes());
    }

    /// Reads from the front.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            key: reader.array("member key")?,
            name: read_text(reader, "member name", NAME_BYTES_MAX, is_name)?,
            peer: read_address(reader)?,
            rpc: read_text(reader, "rpc address", RPC_ADDRESS_BYTES_MAX, is_visible)?,
        })
    }
}

/// How the ledger chooses its regime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum RegimeMode {
    /// Fast, strict after faults, and fast again once everybody agrees.
    Auto = 1,
    /// Fast whatever happens.
    Fast = 2,
    /// Strict whatever happens.
    Strict = 3,
}

impl RegimeMode {
    /// Every mode.
    pub const ALL: [Self; 3] = [Self::Auto, Self::Fast, Self::Strict];

    /// The code that stands in changes and state.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// `auto`, `fast` or `strict`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Fast => "fast",
            Self::Strict => "strict",
        }
    }

    /// The mode of a name, if there is one.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.name() == name)
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let code = reader.u8("regime mode")?;
        let found = Self::ALL.into_iter().find(|mode| mode.code() == code);
        found.ok_or(DecodeError::UnknownCode { what: "regime mode", code: u64::from(code) })
    }
}

/// The rules that entries change:
/// `u32 version || u8 mode || u32 skipped_views_min || u32 submitters_min || u32 clean_epochs || u64 clock_bound_ms`, and in
/// the end `u64 recovery_delay_min_ms` if it is not a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Configuration {
    /// 0 before the first change, then one more each time.
    pub version: u32,
    /// How the regime is chosen.
    pub mode: RegimeMode,
    /// How many skipped views of an epoch a member may complain of.
    pub skipped_views_min: u32,
    /// How many submitters must complain that they are not heard.
    pub submitters_min: u32,
    /// How many epochs without a fault it takes before the fast regime may come back.
    pub clean_epochs: u32,
    /// How far a live proposal's time may lie from a voter's clock, in milliseconds.
    pub clock_bound_ms: u64,
    /// The shortest delay that an account may give to those who recover it, in milliseconds: whoever appoints delegates
    /// with a stolen credential cannot give the account away before anybody looks.
    pub recovery_delay_min_ms: u64,
}

/// [`Configuration::recovery_delay_min_ms`] until members decide otherwise: a day.
pub const RECOVERY_DELAY_MIN_MS: u64 = 24 * 60 * 60 * 1_000;

impl Configuration {
    /// What holds before the first change.
    pub const fn initial(clock_bound_ms: u64) -> Self {
        Self {
            version: 0,
            mode: RegimeMode::Auto,
            skipped_views_min: 32,
            submitters_min: 2,
            clean_epochs: 2,
            clock_bound_ms,
            recovery_delay_min_ms: RECOVERY_DELAY_MIN_MS,
        }
    }

    /// Whether every number is at least 1 (the version may be 0).
    pub const fn is_sound(&self) -> bool {
        self.skipped_views_min > 0
            && self.submitters_min > 0
            && self.clean_epochs > 0
            && self.clock_bound_ms > 0
            && self.recovery_delay_min_ms > 0
    }

    /// The encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(25);
        self.write(&mut out);
        out.finish()
    }

    fn write(&self, out: &mut Writer) {
        out.u32(self.version).u8(self.mode.code()).u32(self.skipped_views_min).u32(self.submitters_min);
        out.u32(self.clean_epochs).u64(self.clock_bound_ms);
        if self.recovery_delay_min_ms != RECOVERY_DELAY_MIN_MS {
            out.u64(self.recovery_delay_min_ms);
        }
    }

    /// Decodes exactly one configuration.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let configuration = Self::read(&mut reader)?;
        reader.finish("configuration")?;
        Ok(configuration)
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            version: reader.u32("configuration version")?,
            mode: RegimeMode::read(reader)?,
            skipped_views_min: reader.u32("skipped views")?,
            submitters_min: reader.u32("submitters")?,
            clean_epochs: reader.u32("clean epochs")?,
            clock_bound_ms: reader.u64("clock bound")?,
            recovery_delay_min_ms: match reader.rest() {
                [] => RECOVERY_DELAY_MIN_MS,
                _ => other_than_a_day(reader.u64("recovery delay")?)?,
            },
        })
    }
}

/// A delay has one encoding: a day is not written.
fn other_than_a_day(delay_ms: u64) -> Result<u64, DecodeError> {
    match delay_ms {
        RECOVERY_DELAY_MIN_MS => {
            Err(DecodeError::Invalid { what: "recovery delay", why: "is the one that is not written" })
        }
        delay_ms => Ok(delay_ms),
    }
}

/// What members may decide together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Takes a node in as observer; of one that is in already, replaces name and addresses.
    Admit {
        /// The node.
        member: Member,
        /// Its key's signature over [`Member::message`].
        proof: [u8; 64],
    },
    /// Makes an observer a validator.
    Promote {
        /// The observer.
        key: [u8; 32],
    },
    /// Takes an observer or a validator out.
    Remove {
        /// The node.
        key: [u8; 32],
    },
    /// Puts another key in the place of a node's key.
    Rotate {
        /// The key so far.
        old: [u8; 32],
        /// The new key.
        new: [u8; 32],
        /// The new key's signature over [`rotation_message`].
        proof: [u8; 64],
    },
    /// Lets somebody submit, or changes role and limit.
    SetSubmitter(Submitter),
    /// Lets a submitter submit no longer.
    RemoveSubmitter {
        /// The submitter.
        key: [u8; 32],
    },
    /// Replaces the configuration.
    Configure(Configuration),
    /// Says from which epoch on nodes must execute as this version does.
    Announce {
        /// The version.
        version: u32,
        /// The first epoch of it.
        from_epoch: u64,
    },
    /// Takes a keeper in, which may submit from then on; of one that is in already, replaces keys and address.
    SetKeeper {
        /// The keeper.
        keeper: Keeper,
        /// How many of its entries one block may carry.
        block_entries_max: u32,
        /// Its key's signature over [`Keeper::message`]; the new key's, if it changes.
        proof: [u8; 64],
    },
    /// Takes a keeper out, which may submit no longer.
    RemoveKeeper {
        /// The keeper's id.
        id: Hash,
    },
}

/// What two changes must not both be about at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A node.
    Node([u8; 32]),
    /// A submitter.
    Submitter([u8; 32]),
    /// The configuration.
    Configuration,
    /// The execution version.
    Version,
    /// A keeper, by its id.
    Keeper(Hash),
}

/// What the new key signs to take a place: `tagged("keyward/rotate-member/v1", chain id || old || new)`.
pub fn rotation_message(chain_id: &Hash, old: &[u8; 32], new: &[u8; 32]) -> Hash {
    Tag::RotateMember.hash(&[chain_id, old, new])
}

/// What a node that founds a ledger signs of those who submit for it:
/// `tagged("keyward/member-submitters/v1", member key || list(1024) of submitter)`.
pub fn submitters_message(member: &[u8; 32], submitters: &[Submitter]) -> Hash {
    let mut out = Writer::with_capacity(40 + 37 * submitters.len());
    out.raw(member).count(submitters.len());
    submitters.iter().for_each(|submitter| submitter.write(&mut out));
    Tag::MemberSubmitters.hash(&[&out.finish()])
}

/// The name of a proposed change, which is also what its proposer signs:
/// `tagged("keyward/change/v1", chain id || proposer || u64 not_after || bytes change)`.
pub fn change_id(chain_id: &Hash, proposer: &[u8; 32], not_after: u64, change: &[u8]) -> Hash {
    let mut out = Writer::with_capacity(80 + change.len());
    out.raw(chain_id).raw(proposer).u64(not_after).bytes(change);
    Tag::Change.hash(&[out.as_slice()])
}

/// What a validator signs to approve: `tagged("keyward/approve-change/v1", chain id || change id)`.
pub fn approval_message(chain_id: &Hash, change_id: &Hash) -> Hash {
    Tag::ApproveChange.hash(&[chain_id, change_id])
}

impl Change {
    /// What the change is about.
    pub fn subject(&self) -> Subject {
        match self {
            Self::Admit { member, .. } => Subject::Node(member.key),
            Self::Promote { key } | Self::Remove { key } => Subject::Node(*key),
            Self::Rotate { old, .. } => Subject::Node(*old),
            Self::SetSubmitter(submitter) => Subject::Submitter(submitter.key),
            Self::RemoveSubmitter { key } => Subject::Submitter(*key),
            Self::Configure(_) => Subject::Configuration,
            Self::Announce { .. } => Subject::Version,
            Self::SetKeeper { keeper, .. } => Subject::Keeper(keeper.id()),
            Self::RemoveKeeper { id } => Subject::Keeper(*id),
        }
    }

    /// The name of what is done.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Admit { .. } => "admit",
            Self::Promote { .. } => "promote",
            Self::Remove { .. } => "remove",
            Self::Rotate { .. } => "rotate",
            Self::SetSubmitter(_) => "set-submitter",
            Self::RemoveSubmitter { .. } => "remove-submitter",
            Self::Configure(_) => "configure",
            Self::Announce { .. } => "announce",
            Self::SetKeeper { .. } => "set-keeper",
            Self::RemoveKeeper { .. } => "remove-keeper",
        }
    }

    /// The encoding: `u8 code || body`.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(256);
        match self {
            Self::Admit { member, proof } => {
                member.write(out.u8(1));
                out.raw(proof);
            }
            Self::Promote { key } => {
                out.u8(2).raw(key);
            }
            Self::Remove { key } => {
                out.u8(3).raw(key);
            }
            Self::Rotate { old, new, proof } => {
                out.u8(4).raw(old).raw(new).raw(proof);
            }
            Self::SetSubmitter(submitter) => submitter.write(out.u8(5)),
            Self::RemoveSubmitter { key } => {
                out.u8(6).raw(key);
            }
            Self::Configure(configuration) => configuration.write(out.u8(7)),
            Self::Announce { version, from_epoch } => {
                out.u8(8).u32(*version).u64(*from_epoch);
            }
            Self::SetKeeper { keeper, block_entries_max, proof } => {
                keeper.write(out.u8(9));
                out.u32(*block_entries_max).raw(proof);
            }
            Self::RemoveKeeper { id } => {
                out.u8(10).raw(id);
            }
        }
        out.finish()
    }

    /// Decodes exactly one change.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let change = Self::read(&mut reader)?;
        reader.finish("change")?;
        Ok(change)
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match reader.u8("change")? {
            1 => Self::Admit { member: Member::read(reader)?, proof: reader.array("proof")? },
            2 => Self::Promote { key: reader.array("member key")? },
            3 => Self::Remove { key: reader.array("member key")? },
            4 => Self::Rotate {
                old: reader.array("old key")?,
                new: reader.array("new key")?,
                proof: reader.array("proof")?,
            },
            5 => Self::SetSubmitter(Submitter::read(reader)?),
            6 => Self::RemoveSubmitter { key: reader.array("submitter")? },
            7 => Self::Configure(Configuration::read(reader)?),
            8 => Self::Announce { version: reader.u32("version")?, from_epoch: reader.u64("epoch")? },
            9 => Self::SetKeeper {
                keeper: Keeper::read(reader)?,
                block_entries_max: reader.u32("block entries")?,
                proof: reader.array("proof")?,
            },
            10 => Self::RemoveKeeper { id: reader.array("keeper id")? },
            code => return Err(DecodeError::UnknownCode { what: "change", code: u64::from(code) }),
        })
    }
}

/// Visible ASCII, at least one character.
pub(crate) fn is_visible(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

pub(crate) fn read_text(
    reader: &mut Reader<'_>,
    what: &'static str,
    max: usize,
    is_right: impl Fn(&str) -> bool,
) -> Result<String, DecodeError> {
    match std::str::from_utf8(reader.bytes(what, max)?) {
        Ok(text) if is_right(text) => Ok(text.to_owned()),
        _ => Err(DecodeError::Invalid { what, why: "holds characters that it may not" }),
    }
}

/// `u8 4 || ip[4] || u16 port` or `u8 6 || ip[16] || u16 port`.
pub(crate) fn write_address(out: &mut Writer, address: &SocketAddr) {
    match address.ip() {
        IpAddr::V4(ip) => out.u8(4).raw(&ip.octets()),
        IpAddr::V6(ip) => out.u8(6).raw(&ip.octets()),
    };
    out.u16(address.port());
}

pub(crate) fn read_address(reader: &mut Reader<'_>) -> Result<SocketAddr, DecodeError> {
    let ip: IpAddr = match reader.u8("address")? {
        4 => Ipv4Addr::from(reader.array::<4>("address")?).into(),
        6 => Ipv6Addr::from(reader.array::<16>("address")?).into(),
        code => return Err(DecodeError::UnknownCode { what: "address", code: u64::from(code) }),
    };
    match reader.u16("port")? {
        0 => Err(DecodeError::Invalid { what: "port", why: "is zero" }),
        port => Ok(SocketAddr::new(ip, port)),
    }
}
