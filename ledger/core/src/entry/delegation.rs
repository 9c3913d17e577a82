//! Those whom an account appoints to recover it, or to act for it within limits.

use super::act::{Case, Define};
use super::author::{Party, RuleName};
use super::kind;
use super::terms::{PARTIES_MAX, RateTerms, Terms, TimelockTerms, WINDOWS_MAX, Window};
use crate::codec::{DecodeError, Reader, Writer};
use crate::hash::{Hash, Tag};
use crate::scheme::KeyId;

/// The most keys that may veto beside the owner's credential.
pub const VETO_KEYS_MAX: usize = 4;

/// What delegates may do: the sum of [`Scope::RECOVER`] and [`Scope::OPERATE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scope(u8);

impl Scope {
    /// Bind another credential to the account, after a delay.
    pub const RECOVER: Self = Self(1);
    /// Act for the account, within limits.
    pub const OPERATE: Self = Self(2);
    /// Both.
    pub const BOTH: Self = Self(3);

    /// Whether it reaches so far.
    pub const fn includes(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match reader.u8("scope")? {
            code @ 1..=3 => Ok(Self(code)),
            code => Err(DecodeError::UnknownCode { what: "scope", code: u64::from(code) }),
        }
    }
}

/// Whom an account trusts with what: `scope u8 || delay_ms u64 || open_ms u64 || needed u8 || list(24) of party || list(4) of
/// key id[32] || (0 u8 | 1 u8 || judges: rule) || policy[32] || list(4) of window`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DelegationTerms {
    /// What they may do.
    pub scope: Scope,
    /// How long a recovery waits, and how long the next change of these terms does.
    pub delay_ms: u64,
    /// How long a recovery may be executed from then on.
    pub open_ms: u64,
    /// How many delegates it takes; at least 1.
    pub needed: u8,
    /// The delegates; never the account itself.
    pub delegates: Vec<Party>,
    /// Keys of the account that may veto as its credential may. Any other key of it may not: whoever binds keys chooses those.
    pub vetoers: Vec<KeyId>,
    /// The approval rule that decides from the second veto on; that of somebody who is neither the account nor a delegate.
    pub judges: Option<RuleName>,
    /// The hash of the policy set under which they act.
    pub policy: Hash,
    /// What they may spend; at least one if they may act, none if they may not.
    pub windows: Vec<Window>,
}

impl DelegationTerms {
    /// The rule of the contract `timelock` that recoveries go by; the owner vetoes with its credential or a key that it named.
    pub fn timelock(&self, owner: &Hash) -> TimelockTerms {
        let vetoers = self.vetoers.iter().copied().map(Party::Key);
        TimelockTerms {
            delay_ms: self.delay_ms,
            open_ms: self.open_ms,
            needed: self.needed,
            openers: self.delegates.clone(),
            vetoers: [Party::Credential(*owner)].into_iter().chain(vetoers).collect(),
            judges: self.judges.map(|judges| judges.id(kind::DEFINE_APPROVAL)),
        }
    }

    /// The rule of the contract `rate` that acts are charged to.
    pub fn rate(&self) -> RateTerms {
        RateTerms { windows: self.windows.clone(), chargers: Vec::new() }
    }
}

impl Terms for DelegationTerms {
    fn write(&self, out: &mut Writer) {
        out.u8(self.scope.0).u64(self.delay_ms).u64(self.open_ms).u8(self.needed);
        Party::write_list(&self.delegates, out);
        out.count(self.vetoers.len());
        self.vetoers.iter().for_each(|key_id| {
            out.raw(&key_id.0);
        });
        match &self.judges {
            None => out.u8(0),
            Some(judges) => judges.write(out.u8(1)),
        };
        out.raw(&self.policy).count(self.windows.len());
        self.windows.iter().for_each(|window| window.write(out));
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            scope: Scope::read(reader)?,
            delay_ms: reader.u64("delay")?,
            open_ms: reader.u64("open time")?,
            needed: reader.u8("needed")?,
            delegates: Party::read_list(reader, "delegates", PARTIES_MAX)?,
            vetoers: read_vetoers(reader)?,
            judges: reader.option_with("judges", RuleName::read)?,
            policy: reader.array("policy")?,
            windows: reader.list("windows", WINDOWS_MAX, Window::read)?,
        })
    }

    fn is_sound(&self) -> bool {
        let acts = self.scope.includes(Scope::OPERATE);
        let limits = if acts { self.rate().is_sound() } else { self.windows.is_empty() };
        limits && self.timelock(&Hash::default()).is_sound()
    }
}

fn read_vetoers(reader: &mut Reader<'_>) -> Result<Vec<KeyId>, DecodeError> {
    let keys = reader.list("vetoers", VETO_KEYS_MAX, |reader| Ok(KeyId(reader.array("key id")?)))?;
    if keys.is_sorted_by(|before, key| before < key) {
        Ok(keys)
    } else {
        Err(DecodeError::Invalid { what: "vetoers", why: "are not strictly ascending" })
    }
}

/// What a recovery binds to the account: `account[32] || name[32] || public key[32] || login[32]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// The delegation that it goes by.
    pub rule: RuleName,
    /// The new credential's Ed25519 public key.
    pub public_key: [u8; 32],
    /// The hash of what the service is to bind beside it, as a login; zeros for nothing.
    pub login: Hash,
}

impl Recovery {
    /// What the new key signs to prove its possession, and what the case is about:
    /// `tagged("keyward/recovery/v1", chain id || rule id || public key || login)`.
    pub fn payload(&self, chain_id: &Hash) -> Hash {
        let rule = self.rule.id(kind::APPOINT_DELEGATES);
        Tag::Recovery.hash(&[chain_id, &rule, &self.public_key, &self.login])
    }

    fn write<'a>(&self, out: &'a mut Writer) -> &'a mut Writer {
        self.rule.write(out).raw(&self.public_key).raw(&self.login)
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            rule: RuleName::read(reader)?,
            public_key: reader.array("public key")?,
            login: reader.array("login")?,
        })
    }
}

/// What is wanted of a delegation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DelegationAct {
    /// Appoints delegates, or changes what they may do; the author is the account. The version is the number of the
    /// account's change of its delegations: 1, then one more each time, whatever the rule.
    Appoint(Define<DelegationTerms>),
    /// Ends a delegation; the author is the account.
    Revoke {
        /// The delegation.
        rule: RuleName,
        /// The number of the change, as that of an appointment.
        version: u32,
    },
    /// Asks for another credential; authors are delegates.
    OpenRecovery {
        /// What is asked.
        recovery: Recovery,
        /// The new key's signature over [`Recovery::payload`].
        proof: [u8; 64],
    },
    /// The account stops a recovery; the author is its credential, or a key that the delegation's terms name for this.
    VetoRecovery(Case),
    /// As many delegates as it takes to open a recovery take it back.
    CancelRecovery(Case),
    /// A delegate has a recovery done.
    ExecuteRecovery {
        /// What was asked.
        recovery: Recovery,
        /// The case's id.
        case: Hash,
        /// The approval case that decided, if the recovery was disputed.
        judged: Option<Hash>,
    },
    /// Delegates act for the account: it is charged before it happens.
    Operate {
        /// The delegation.
        rule: RuleName,
        /// The account's key that is to be used.
        key_id: KeyId,
        /// What it is for: the commitment of the intent to come.
        commitment: Hash,
        /// How much; the count grows by one.
        amount: u128,
    },
}

impl DelegationAct {
    /// The code of the entry's kind.
    pub const fn kind(&self) -> u16 {
        match self {
            Self::Appoint(_) => kind::APPOINT_DELEGATES,
            Self::Revoke { .. } => kind::REVOKE_DELEGATES,
            Self::OpenRecovery { .. } => kind::OPEN_RECOVERY,
            Self::VetoRecovery(_) => kind::VETO_RECOVERY,
            Self::CancelRecovery(_) => kind::CANCEL_RECOVERY,
            Self::ExecuteRecovery { .. } => kind::EXECUTE_RECOVERY,
            Self::Operate { .. } => kind::DELEGATED_ACT,
        }
    }

    pub(super) fn write(&self, out: &mut Writer) {
        match self {
            Self::Appoint(define) => define.write(out),
            Self::Revoke { rule, version } => {
                rule.write(out).u32(*version);
            }
            Self::OpenRecovery { recovery, proof } => {
                recovery.write(out).raw(proof);
            }
            Self::VetoRecovery(case) | Self::CancelRecovery(case) => {
                case.write(out);
            }
            Self::ExecuteRecovery { recovery, case, judged } => {
                recovery.write(out).raw(case).option(judged.as_ref());
            }
            Self::Operate { rule, key_id, commitment, amount } => {
                rule.write(out).raw(&key_id.0).raw(commitment).raw(&amount.to_be_bytes());
            }
        }
    }

    /// Reads an act of a delegation's kind.
    pub(super) fn read(kind: u16, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match kind {
            kind::APPOINT_DELEGATES => Self::Appoint(Define::read(reader)?),
            kind::REVOKE_DELEGATES => {
                Self::Revoke { rule: RuleName::read(reader)?, version: reader.u32("rule version")? }
            }
            kind::OPEN_RECOVERY => {
                Self::OpenRecovery { recovery: Recovery::read(reader)?, proof: reader.array("proof")? }
            }
            kind::VETO_RECOVERY => Self::VetoRecovery(Case::read(reader)?),
            kind::CANCEL_RECOVERY => Self::CancelRecovery(Case::read(reader)?),
            kind::EXECUTE_RECOVERY => Self::ExecuteRecovery {
                recovery: Recovery::read(reader)?,
                case: reader.array("case id")?,
                judged: reader.option("approval case")?,
            },
            kind::DELEGATED_ACT => Self::Operate {
                rule: RuleName::read(reader)?,
                key_id: KeyId(reader.array("key id")?),
                commitment: reader.array("commitment")?,
                amount: u128::from_be_bytes(reader.array("amount")?),
            },
            code => return Err(DecodeError::UnknownCode { what: "entry kind", code: u64::from(code) }),
        })
    }
}
