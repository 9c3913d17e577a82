//! What is asked of the policies: one actor, one verb, one resource.

use std::fmt;

use keyward_domain::{AccountId, Mode, Role};

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub struct Actor<'a> {
    /// The tenant the actor belongs to.
    pub tenant: &'a str,
    /// What the actor is.
    pub kind: ActorKind,
    /// The certificate's or the user's name.
    pub name: &'a str,
    /// The account of the actor's own keys, if it has one.
    pub account: Option<AccountId>,
}

/// What an actor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ActorKind {
    /// A program with a certificate.
    App,
    /// An operator with a certificate.
    Operator,
    /// A security officer with a certificate.
    Officer,
    /// An auditor with a certificate.
    Auditor,
    /// A person within a live session.
    User,
}

impl ActorKind {
    /// Every kind.
    pub const ALL: [Self; 5] = [Self::App, Self::Operator, Self::Officer, Self::Auditor, Self::User];

    /// The kind of a certificate's role; services and nodes ask for nothing here.
    pub const fn of(role: Role) -> Option<Self> {
        match role {
            Role::App => Some(Self::App),
            Role::Operator => Some(Self::Operator),
            Role::Officer => Some(Self::Officer),
            Role::Auditor => Some(Self::Auditor),
            Role::Service | Role::Node => None,
        }
    }

    pub(crate) const fn entity_type(self) -> &'static str {
        match self {
            Self::App => "App",
            Self::Operator => "Operator",
            Self::Officer => "Officer",
            Self::Auditor => "Auditor",
            Self::User => "User",
        }
    }
}

macro_rules! verbs {
    ($($(#[$doc:meta])* $variant:ident $name:literal,)*) => {
        /// What is to be done.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Verb { $($(#[$doc])* $variant,)* }

        impl Verb {
            /// Every verb.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The action's name in policies.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

verbs! {
    /// See an account.
    AccountShow "account.show",
    /// Close an account for good.
    AccountClose "account.close",
    /// Have the service make a hosted key.
    KeyCreate "key.create",
    /// Hand in a hosted key made by its holder.
    KeyImport "key.import",
    /// List keys of an account or of the tenant.
    KeyList "key.list",
    /// See a key.
    KeyShow "key.show",
    /// Stop a key.
    KeyFreeze "key.freeze",
    /// Let a key sign again.
    KeyUnfreeze "key.unfreeze",
    /// Let an app use a key.
    KeyAuthorize "key.authorize",
    /// End that.
    KeyRevoke "key.revoke",
    /// Sign.
    KeySign "key.sign",
    /// List attached tokens.
    TokenList "token.list",
    /// Bind a token's key to an account.
    TokenLink "token.link",
    /// See the service's state.
    AdminStatus "admin.status",
    /// Read the ledger.
    LedgerRead "ledger.read",
}

impl Verb {
    /// The verb of an action's name, if there is one.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|verb| verb.name() == name)
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What it is to be done to.
#[derive(Clone, Copy, Debug)]
pub enum Resource<'a> {
    /// An account: `account.*`, `key.create`, `key.import`, `key.list`, `token.link`.
    Account {
        /// The tenant it belongs to.
        tenant: &'a str,
        /// Its name on the ledger.
        id: AccountId,
    },
    /// A key: the other `key.*`.
    Key {
        /// The tenant it belongs to.
        tenant: &'a str,
        /// The 32-byte key id.
        id: [u8; 32],
        /// The account that holds it.
        account: AccountId,
        /// Where its private part is.
        mode: Mode,
        /// Whether a person holds it.
        person: bool,
        /// Whether the calling app has a live standing authorisation for it.
        authorised: bool,
    },
    /// The tenant as such: `token.list`, `admin.status`, `ledger.read`, `key.list` of everything.
    Tenant {
        /// The tenant.
        tenant: &'a str,
    },
}

/// One question.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Who asks.
    pub actor: Actor<'a>,
    /// For what.
    pub verb: Verb,
    /// On what.
    pub resource: Resource<'a>,
}
