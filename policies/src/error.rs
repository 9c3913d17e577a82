//! Why a set of policies cannot be used, and why there is no decision.

use cedar_policy as cedar;

use crate::bounds::BoundsError;

/// Why a set of policies cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// The schema does not parse.
    #[error("the policy schema does not parse")]
    Schema(#[source] Box<cedar::CedarSchemaError>),
    /// A file does not parse.
    #[error("policy file `{file}` does not parse: {source}")]
    Parse {
        /// The file's name.
        file: String,
        /// Cedar's words.
        #[source]
        source: Box<cedar::ParseErrors>,
    },
    /// A policy has no `@id`.
    #[error("a policy of file `{0}` has no `@id`")]
    Unnamed(String),
    /// Two policies have one `@id`.
    #[error("policy `{id}` stands twice")]
    Twice {
        /// The `@id`.
        id: String,
        /// Cedar's words.
        #[source]
        source: Box<cedar::PolicySetError>,
    },
    /// A policy does not fit the schema.
    #[error("the policies do not fit the schema: {0}")]
    Invalid(String),
    /// A type or verb of ours is missing from the schema.
    #[error("`{0}` is not in the policy schema")]
    Missing(String),
    /// The text of a tenant's set is too large for every place that decides under it.
    #[error("the set is out of bounds: {0}")]
    Bounds(#[from] BoundsError),
    /// A template decides nothing.
    #[error("the set has a template (`?principal` or `?resource`): nobody fills it in")]
    Template,
    /// An `@id` that cannot be a name.
    #[error("`{0}` is no name of a policy: 1 to 64 of a-z, 0-9 and `-`")]
    Name(String),
    /// A tenant's set speaks to a verb about which the floor alone decides.
    #[error("policy `{id}` names `{verb}`, about which the service's own policies alone decide")]
    FloorAlone {
        /// The policy's `@id`.
        id: String,
        /// The verb.
        verb: &'static str,
    },
    /// An `@approval` that cannot lift what its policy forbids.
    #[error("policy `{id}`: {what}")]
    Approval {
        /// The policy's `@id`.
        id: String,
        /// What is wrong.
        what: &'static str,
    },
    /// Nobody could publish another set.
    #[error("the set locks everybody out: as it is written, no security officer could publish another one")]
    LockOut,
    /// Amounts are limited, and whoever sends a bare digest gets past that.
    #[error("the set looks at what payloads say, and never at `context.opaque`: a bare digest says nothing")]
    OpaqueUnsaid,
}

impl PolicyError {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Schema(_) | Self::Missing(_) => "POLICY_SCHEMA",
            Self::Parse { .. } => "POLICY_UNREADABLE",
            Self::Bounds(_) => "POLICY_TOO_LARGE",
            Self::LockOut => "POLICY_LOCK_OUT",
            Self::Unnamed(_)
            | Self::Twice { .. }
            | Self::Invalid(_)
            | Self::Template
            | Self::Name(_)
            | Self::FloorAlone { .. }
            | Self::Approval { .. }
            | Self::OpaqueUnsaid => "POLICY_INVALID",
        }
    }
}

/// Why there is no decision; refuse then.
#[derive(Debug, thiserror::Error)]
pub enum DecideError {
    /// The request does not make sense to Cedar.
    #[error("the request cannot be put to the policies: {0}")]
    Request(String),
    /// A policy failed while it was evaluated.
    #[error("policy evaluation failed: {0}")]
    Evaluation(String),
}

pub(crate) fn words(error: impl std::error::Error) -> DecideError {
    DecideError::Request(error.to_string())
}
