//! What the policies say of one signature.

/// What the policies say of one signature; a policy of the tenant's set is named `tenant/<its @id>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Sign.
    Allow {
        /// The policies that permit it, sorted.
        policies: Vec<String>,
    },
    /// Sign once it is approved.
    NeedsApproval {
        /// The approval rules on the ledger whose approval it takes: all of them, sorted.
        rules: Vec<[u8; 32]>,
        /// The policies that ask for it, sorted.
        policies: Vec<String>,
    },
    /// Do not sign.
    Deny {
        /// The policies that forbid it, sorted, or the words of what failed; none: nothing permits it.
        reasons: Vec<String>,
    },
}

impl Verdict {
    /// Whether to sign now.
    pub const fn is_allowed(&self) -> bool {
        matches!(self, Self::Allow { .. })
    }

    /// `allow`, `needs-approval` or `deny`.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Allow { .. } => "allow",
            Self::NeedsApproval { .. } => "needs-approval",
            Self::Deny { .. } => "deny",
        }
    }

    /// Whether the tenant's set denies what the floor permits, or a policy failed.
    pub fn is_denied_above_the_floor(&self) -> bool {
        let of_floor = |reason: &String| !reason.starts_with("tenant/") && !reason.contains(' ');
        matches!(self, Self::Deny { reasons } if !reasons.is_empty() && !reasons.iter().any(of_floor))
    }

    /// The policies that made it, or what failed.
    pub fn policies(&self) -> &[String] {
        match self {
            Self::Allow { policies } | Self::NeedsApproval { policies, .. } => policies,
            Self::Deny { reasons } => reasons,
        }
    }
}
