//! Rows of what owners are told.

use std::fmt;

use super::Id;

words! {
    /// What an owner is told of.
    NoticeKind {
        /// Delegates ask for another credential of the account.
        RecoveryOpened = "recovery-opened",
        /// Delegates were appointed, or may do something else.
        DelegatesAppointed = "delegates-appointed",
        /// Delegates were revoked.
        DelegatesRevoked = "delegates-revoked",
        /// Mail goes to another address, or to none.
        ContactChanged = "contact-changed",
    }
}

words! {
    /// How it is told.
    NoticeChannel {
        /// A request to a program of the operator's.
        Webhook = "webhook",
        /// Mail to the owner.
        Mail = "mail",
        /// Mail to the address that the owner had before.
        MailBefore = "mail-before",
    }
}

words! {
    /// Where a notice stands.
    NoticeState {
        /// It is tried until it is delivered.
        Waiting = "waiting",
        /// Somebody has taken it.
        Delivered = "delivered",
        /// It was tried as long as it made sense.
        GivenUp = "given-up",
    }
}

/// Something that an owner is told, one way.
#[derive(Clone, PartialEq, Eq)]
pub struct Notice {
    /// The same for the same thing told the same way.
    pub id: Id,
    /// Whose account it is about.
    pub account: Id,
    /// What it is about.
    pub kind: NoticeKind,
    /// The case, or the rule.
    pub subject: Id,
    /// How it is told.
    pub channel: NoticeChannel,
    /// The address, sealed; only while it waits.
    pub sealed: Option<Vec<u8>>,
    /// Since when it waits.
    pub since_ms: u64,
    /// When it takes effect, unless it is stopped.
    pub until_ms: u64,
    /// Where it stands.
    pub state: NoticeState,
    /// How often it was tried.
    pub tries: u32,
    /// When it was written down.
    pub created_ms: u64,
    /// When it is tried next.
    pub next_ms: u64,
}

impl fmt::Debug for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Notice({}, {}, {})", self.kind.word(), self.channel.word(), self.state.word())
    }
}
