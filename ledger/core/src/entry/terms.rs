//! The terms of rules, as their owners sign them and as the state keeps them.

use super::author::Party;
use crate::codec::{DecodeError, Reader, Writer};
use crate::ed25519::VerifyingKey;
use crate::hash::Hash;

/// The most parties of one list.
pub const PARTIES_MAX: usize = 24;
/// The most groups of an approval rule.
pub const GROUPS_MAX: usize = 4;
/// The longest name of an approver's role.
pub const ROLE_BYTES_MAX: usize = 32;
/// The most windows of a rate.
pub const WINDOWS_MAX: usize = 4;
/// The longest period in a rule, in milliseconds: 366 days.
pub const PERIOD_MAX_MS: u64 = 366 * 24 * 60 * 60 * 1_000;
/// The shortest period that is not zero, in milliseconds: a second.
pub const PERIOD_MIN_MS: u64 = 1_000;
/// The highest limit and cap of a counter.
pub const ATTEMPTS_MAX: u32 = 10_000;

/// What a kind of rule is made of.
pub trait Terms: Sized {
    /// Appends the encoding.
    fn write(&self, out: &mut Writer);
    /// Reads an encoding from the front.
    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError>;
    /// Whether every number and list is within its bounds.
    fn is_sound(&self) -> bool;
}

/// How many attempts there are, and how they come back: `limit u32 || lifetime u32 || cool_down_ms u64 || refill_ms u64
/// || success_key[32] || needed u8 || list(24) of party`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptsTerms {
    /// Attempts of a full counter.
    pub limit: u32,
    /// The most attempts between two proofs of success, refilled ones included; then the counter is locked.
    pub lifetime: u32,
    /// The least time between two grants.
    pub cool_down_ms: u64,
    /// One attempt comes back in this time; 0: none does.
    pub refill_ms: u64,
    /// The Ed25519 key whose signature proves success.
    pub success_key: [u8; 32],
    /// How many of the parties must ask for an attempt; 0 if there are none.
    pub needed: u8,
    /// Who must ask.
    pub askers: Vec<Party>,
}

impl Terms for AttemptsTerms {
    fn write(&self, out: &mut Writer) {
        out.u32(self.limit).u32(self.lifetime).u64(self.cool_down_ms).u64(self.refill_ms);
        Party::write_list(&self.askers, out.raw(&self.success_key).u8(self.needed));
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            limit: reader.u32("limit")?,
            lifetime: reader.u32("lifetime")?,
            cool_down_ms: reader.u64("cool-down")?,
            refill_ms: reader.u64("refill")?,
            success_key: reader.array("success key")?,
            needed: reader.u8("needed")?,
            askers: Party::read_list(reader, "askers", PARTIES_MAX)?,
        })
    }

    fn is_sound(&self) -> bool {
        let refill = self.refill_ms == 0 || is_period(self.refill_ms);
        let numbers = 1 <= self.limit && self.limit <= self.lifetime && self.lifetime <= ATTEMPTS_MAX;
        let asked = self.askers.is_empty() && self.needed == 0 || is_quorum(self.needed, &self.askers);
        let key = VerifyingKey::parse(&self.success_key).is_ok();
        numbers && self.cool_down_ms <= PERIOD_MAX_MS && refill && asked && key
    }
}

/// One fixed window of a rate: `length_ms u64 || count_max u64 || amount_max[16]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Windows begin at the multiples of this time since 1970.
    pub length_ms: u64,
    /// The most charges in one window.
    pub count_max: u64,
    /// The most in one window, all charges together.
    pub amount_max: u128,
}

impl Window {
    pub(super) fn write(&self, out: &mut Writer) {
        out.u64(self.length_ms).u64(self.count_max).raw(&self.amount_max.to_be_bytes());
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            length_ms: reader.u64("window length")?,
            count_max: reader.u64("count limit")?,
            amount_max: u128::from_be_bytes(reader.array("amount limit")?),
        })
    }
}

/// What may be spent in fixed windows: `list(4) of window || list(24) of party`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateTerms {
    /// Strictly ascending by length; a charge must fit all of them.
    pub windows: Vec<Window>,
    /// Who may charge; empty: submitters of role service.
    pub chargers: Vec<Party>,
}

impl Terms for RateTerms {
    fn write(&self, out: &mut Writer) {
        out.count(self.windows.len());
        self.windows.iter().for_each(|window| window.write(out));
        Party::write_list(&self.chargers, out);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let windows = reader.list("windows", WINDOWS_MAX, Window::read)?;
        Ok(Self { windows, chargers: Party::read_list(reader, "chargers", PARTIES_MAX)? })
    }

    fn is_sound(&self) -> bool {
        let lengths = self.windows.iter().map(|window| window.length_ms);
        let ascending = lengths.clone().zip(lengths.clone().skip(1)).all(|(before, length)| before < length);
        !self.windows.is_empty() && ascending && lengths.clone().all(is_period)
    }
}

/// Approvers who stand for each other: `bytes(32) role || needed u8 || list(24) of party`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// What they are, for people.
    pub role: String,
    /// How many of them must approve; at least 1.
    pub needed: u8,
    /// Who they are.
    pub members: Vec<Party>,
}

/// Who must approve: `live_ms_max u64 || list(4) of group`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApprovalTerms {
    /// The longest life of a case.
    pub live_ms_max: u64,
    /// Every group must give its approvals.
    pub groups: Vec<Group>,
}

impl Terms for ApprovalTerms {
    fn write(&self, out: &mut Writer) {
        out.u64(self.live_ms_max).count(self.groups.len());
        for group in &self.groups {
            Party::write_list(&group.members, out.bytes(group.role.as_bytes()).u8(group.needed));
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let live_ms_max = reader.u64("longest life")?;
        let groups = reader.list("groups", GROUPS_MAX, |reader| {
            let role = std::str::from_utf8(reader.bytes("role", ROLE_BYTES_MAX)?)
                .or(Err(DecodeError::Invalid { what: "role", why: "is not UTF-8" }))?;
            Ok(Group {
                role: role.to_owned(),
                needed: reader.u8("needed")?,
                members: Party::read_list(reader, "members", PARTIES_MAX)?,
            })
        })?;
        Ok(Self { live_ms_max, groups })
    }

    fn is_sound(&self) -> bool {
        let groups = self.groups.iter().all(|group| is_quorum(group.needed, &group.members));
        is_period(self.live_ms_max) && !self.groups.is_empty() && groups
    }
}

/// Who opens an act, how long it waits and who stops it: `delay_ms u64 || open_ms u64 || needed u8 || list(24) of party
/// || list(24) of party || (0 u8 | 1 u8 || judges[32])`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimelockTerms {
    /// How long an act waits before it may be executed.
    pub delay_ms: u64,
    /// How long it may be executed from then on.
    pub open_ms: u64,
    /// How many openers are needed; at least 1.
    pub needed: u8,
    /// Who opens.
    pub openers: Vec<Party>,
    /// Who may veto.
    pub vetoers: Vec<Party>,
    /// The id of the approval rule that decides from the second veto on.
    pub judges: Option<Hash>,
}

impl Terms for TimelockTerms {
    fn write(&self, out: &mut Writer) {
        out.u64(self.delay_ms).u64(self.open_ms).u8(self.needed);
        Party::write_list(&self.openers, out);
        Party::write_list(&self.vetoers, out);
        out.option(self.judges.as_ref());
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            delay_ms: reader.u64("delay")?,
            open_ms: reader.u64("open time")?,
            needed: reader.u8("needed")?,
            openers: Party::read_list(reader, "openers", PARTIES_MAX)?,
            vetoers: Party::read_list(reader, "vetoers", PARTIES_MAX)?,
            judges: reader.option("judges")?,
        })
    }

    fn is_sound(&self) -> bool {
        is_period(self.delay_ms) && is_period(self.open_ms) && is_quorum(self.needed, &self.openers)
    }
}

fn is_period(period_ms: u64) -> bool {
    (PERIOD_MIN_MS..=PERIOD_MAX_MS).contains(&period_ms)
}

fn is_quorum(needed: u8, parties: &[Party]) -> bool {
    needed >= 1 && usize::from(needed) <= parties.len()
}
