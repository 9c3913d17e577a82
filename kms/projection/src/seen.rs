//! What the guard tells of.

/// What a look found to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// A query took too long and was cancelled.
    Cancelled {
        /// Whose.
        role: String,
    },
    /// A session was ended: its query went on, it did nothing for too long, or it held changes of its own role open.
    Ended {
        /// Whose.
        role: String,
    },
    /// A statement had more bytes in the log than one may have; all sessions of the role were ended.
    Long {
        /// Whose.
        role: String,
    },
    /// A role had more logged than it may in an hour; it is shut until that is over.
    Flooded {
        /// Which.
        role: String,
    },
    /// A role had changed its own settings or password; they are as before, and its sessions were ended.
    Restored {
        /// Which.
        role: String,
    },
    /// Sessions of a role that is to be shut do not end; it is shown no rows, and the next looks try again.
    Staying {
        /// Whose.
        role: String,
    },
    /// Logins with a role's name that failed in an hour that is over: anybody can make them.
    Failed {
        /// Which.
        role: String,
        /// How many.
        logins: u64,
    },
    /// Lines of the server's log that do not parse; of an hour a MiB is kept, and whose they are nobody knows.
    Unread {
        /// How many.
        lines: u64,
    },
    /// A role was closed.
    Closed {
        /// Which.
        role: String,
        /// Why.
        because: &'static str,
    },
}
