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
    /// A token agent with a certificate.
    Agent,
    /// A person within a live session.
    User,
    /// An account that signs with a shared key of its own: who speaks for it is known to keepers by its signature alone.
    Holder,
}

impl ActorKind {
    /// Every kind.
    pub const ALL: [Self; 7] =
        [Self::App, Self::Operator, Self::Officer, Self::Auditor, Self::Agent, Self::User, Self::Holder];

    /// The kind of a certificate's role; services and nodes ask for nothing here.
    pub const fn of(role: Role) -> Option<Self> {
        match role {
            Role::App => Some(Self::App),
            Role::Operator => Some(Self::Operator),
            Role::Officer => Some(Self::Officer),
            Role::Auditor => Some(Self::Auditor),
            Role::Agent => Some(Self::Agent),
            Role::Service | Role::Node => None,
        }
    }

    /// The name in cases and messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Operator => "operator",
            Self::Officer => "officer",
            Self::Auditor => "auditor",
            Self::Agent => "agent",
            Self::User => "user",
            Self::Holder => "holder",
        }
    }

    /// The type's name in policies.
    pub const fn entity_type(self) -> &'static str {
        match self {
            Self::App => "App",
            Self::Operator => "Operator",
            Self::Officer => "Officer",
            Self::Auditor => "Auditor",
            Self::Agent => "Agent",
            Self::User => "User",
            Self::Holder => "Holder",
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
    /// Give an account another password.
    AccountPassword "account.password",
    /// Read contact and identity fields.
    AccountProfileRead "account.profile.read",
    /// Replace them.
    AccountProfileWrite "account.profile.write",
    /// Erase them for good.
    AccountProfileErase "account.profile.erase",
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
    /// Have a new version of a key take over.
    KeyRotate "key.rotate",
    /// Start the waiting period before a key is destroyed.
    KeyScheduleDestroy "key.schedule-destroy",
    /// Take that back.
    KeyCancelDestroy "key.cancel-destroy",
    /// Change a key's labels.
    KeyLabel "key.label",
    /// List the keys of every account.
    KeySearch "key.search",
    /// Rotate the key-encryption key, and remove an old one.
    KekRotate "kek.rotate",
    /// See how that stands.
    KekShow "kek.show",
    /// See whom an account trusts.
    DelegationShow "delegation.show",
    /// Hand in a change of that.
    DelegationChange "delegation.change",
    /// Use a key of an account whose delegate one is.
    DelegationAct "delegation.act",
    /// Hand in what delegates signed of a recovery.
    RecoveryAsk "recovery.ask",
    /// Hand in a veto.
    RecoveryVeto "recovery.veto",
    /// Set a rule of who must approve.
    ApprovalDefine "approval.define",
    /// Ask for approvals.
    ApprovalAsk "approval.ask",
    /// Give, refuse or withdraw one.
    ApprovalGive "approval.give",
    /// See rules and cases that one has a part in.
    ApprovalShow "approval.show",
    /// See an association.
    AssociationShow "association.show",
    /// Hand in what its members and parties signed.
    AssociationChange "association.change",
    /// See a vault and the keepers.
    VaultShow "vault.show",
    /// Hand in shares and a sealing.
    VaultSeal "vault.seal",
    /// Attempt to open a vault, and what belongs to it.
    VaultRecover "vault.recover",
    /// Have a keeper show its share.
    VaultDrill "vault.drill",
    /// End a vault for good.
    VaultDestroy "vault.destroy",
    /// Set up and end one-time codes.
    VaultCode "vault.code",
    /// End those of another, who lost what shows them.
    VaultCodeReset "vault.code.reset",
    /// Make a key that is shared with keepers.
    SharedCreate "shared.create",
    /// Renew or repair its shares, and replace its device.
    SharedChange "shared.change",
    /// Choose unlinkable addresses for an account.
    AddressChoose "address.choose",
    /// See an account's addresses.
    AddressShow "address.show",
    /// Have addresses given out, be paid at them, and begin to sign with them.
    AddressUse "address.use",
    /// List attached tokens.
    TokenList "token.list",
    /// Bind a token's key to an account.
    TokenLink "token.link",
    /// Link keys through a token agent.
    AgentLink "agent.link",
    /// Hold a token agent's stream.
    TokenAgent "token.agent",
    /// See the service's state.
    AdminStatus "admin.status",
    /// Read the ledger.
    LedgerRead "ledger.read",
    /// See the policy sets of the tenant, and have decisions explained.
    PolicyShow "policy.show",
    /// Try a policy set on requests that were decided before.
    PolicyDryRun "policy.dry-run",
    /// Publish a policy set of the tenant.
    PolicyPublish "policy.publish",
    /// Publish the tenant's terms for audits.
    AuditPublish "audit.publish",
    /// Ask for a grant, and have it issued.
    AuditAsk "audit.ask",
    /// Open what a grant is for.
    AuditOpen "audit.open",
    /// See grants that one asked for or may revoke.
    AuditShow "audit.show",
    /// Revoke one.
    AuditRevoke "audit.revoke",
}

impl Verb {
    /// Whether a tenant's set may narrow it. What anybody needs to see, stop or recover what is theirs, and to publish another
    /// set, stays with the floor alone.
    pub const fn is_narrowable(self) -> bool {
        matches!(
            self,
            Self::AccountProfileRead
                | Self::KeyCreate
                | Self::KeyImport
                | Self::KeyUnfreeze
                | Self::KeyAuthorize
                | Self::KeySign
                | Self::KeyRotate
                | Self::KeyScheduleDestroy
                | Self::DelegationAct
                | Self::TokenLink
                | Self::AgentLink
        )
    }

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
    /// An account: `account.*`, `key.create`, `key.import`, `key.list`, `token.link`, `vault.*`, `shared.*`, `address.*`,
    /// `delegation.*` of the asker's own account, `recovery.*`, `approval.*`, `audit.show`, `audit.revoke`.
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
    /// A shared key, of which keepers know no more than whose it is: `key.sign` by its holder.
    Shared {
        /// The 32-byte key id.
        id: [u8; 32],
        /// The account that holds it.
        account: AccountId,
    },
    /// A key that a delegate wants to use, in the policy sets of delegates: `delegation.act`.
    Delegated {
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
        /// The accounts of the delegates under the terms in force.
        delegates: &'a [AccountId],
    },
    /// A token agent's place in this service: `agent.link`, `token.agent`.
    Desk {
        /// The tenant it belongs to.
        tenant: &'a str,
        /// The agent's name.
        agent: &'a str,
        /// The operators that may link keys through it.
        operators: &'a [String],
    },
    /// The tenant as such: `token.list`, `admin.status`, `ledger.read`, `key.search`, the other `audit.*`.
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
