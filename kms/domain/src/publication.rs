//! What a tenant publishes in versions: its policies, and its rules of risk. Each kind has its own act, hash of the text, and
//! place in the ledger's state, so that neither is ever taken for the other.

use keyward_ledger_core::entry::{Act, PublishPolicy};
use keyward_ledger_core::state::policy::{policy_key, risk_key};

use crate::approval::{POLICY_TEXT_LEN_MAX, policy_text_hash};
use crate::risk::{RULES_TEXT_LEN_MAX, rules_text_hash};

/// Which of a tenant's sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Published {
    /// Its policies, in Cedar.
    Policy,
    /// Its rules of risk, in TOML.
    Risk,
}

impl Published {
    /// What an act publishes, if it publishes something.
    pub const fn of(act: &Act) -> Option<(Self, &PublishPolicy)> {
        match act {
            Act::PublishPolicy(publish) => Some((Self::Policy, publish)),
            Act::PublishRisk(publish) => Some((Self::Risk, publish)),
            _ => None,
        }
    }

    /// The act.
    pub const fn act(self, publish: PublishPolicy) -> Act {
        match self {
            Self::Policy => Act::PublishPolicy(publish),
            Self::Risk => Act::PublishRisk(publish),
        }
    }

    /// What approvers decide of it.
    pub fn payload(self, publish: &PublishPolicy) -> [u8; 32] {
        match self {
            Self::Policy => publish.publication(),
            Self::Risk => publish.risk_publication(),
        }
    }

    /// Where a tenant's version in force stands in the ledger's state.
    pub fn state_key(self, tenant: &[u8; 32]) -> Vec<u8> {
        match self {
            Self::Policy => policy_key(tenant),
            Self::Risk => risk_key(tenant),
        }
    }

    /// The hash that a publication has of a text.
    pub fn text_hash(self, text: &str) -> [u8; 32] {
        match self {
            Self::Policy => policy_text_hash(text),
            Self::Risk => rules_text_hash(text),
        }
    }

    /// The longest text, in bytes.
    pub const fn text_len_max(self) -> usize {
        match self {
            Self::Policy => POLICY_TEXT_LEN_MAX,
            Self::Risk => RULES_TEXT_LEN_MAX,
        }
    }

    /// What it is called in sentences.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Policy => "policies",
            Self::Risk => "rules of risk",
        }
    }
}

/// That a tenant's set is published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication {
    /// Which set.
    pub of: Published,
    /// The act; its case is no part of it.
    pub publish: PublishPolicy,
    /// The set, in full.
    pub text: String,
}
