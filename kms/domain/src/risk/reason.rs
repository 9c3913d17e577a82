//! What speaks for a risk, in points and in words.

use std::fmt;

/// What is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Signal {
    /// The amount of one request.
    Amount,
    /// What goes out within 24 hours.
    Total,
    /// Requests within a minute, an hour or a day.
    Pace,
    /// The hour of the day, in UTC.
    Hour,
    /// Whom it pays or calls.
    Counterparty,
    /// Who asks.
    App,
    /// From where.
    Origin,
    /// In which currency it pays.
    Currency,
    /// That nobody can read it.
    Opaque,
    /// That a delegate acts.
    Act,
    /// Log-ins that failed.
    Logins,
}

impl Signal {
    /// Every signal.
    pub const ALL: [Self; 11] = [
        Self::Amount,
        Self::Total,
        Self::Pace,
        Self::Hour,
        Self::Counterparty,
        Self::App,
        Self::Origin,
        Self::Currency,
        Self::Opaque,
        Self::Act,
        Self::Logins,
    ];

    /// The name in rule sets and answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Amount => "amount",
            Self::Total => "total",
            Self::Pace => "pace",
            Self::Hour => "hour",
            Self::Counterparty => "counterparty",
            Self::App => "app",
            Self::Origin => "origin",
            Self::Currency => "currency",
            Self::Opaque => "opaque",
            Self::Act => "act",
            Self::Logins => "logins",
        }
    }

    /// The signal of a name, if there is one.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|signal| signal.name() == name)
    }

    /// What it says to who asked: no number that would tell a thief how much to ask for.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Amount => "it pays more at once than this account usually does",
            Self::Total => "it would make more in a day than this account usually pays",
            Self::Pace => "requests follow each other faster than they usually do here",
            Self::Hour => "it comes at an hour at which this account hardly ever acts",
            Self::Counterparty => "it pays or calls somebody who is new to this account",
            Self::App => "who asks is new to this account",
            Self::Origin => "it comes from where this account has not asked before",
            Self::Currency => "it pays in a currency that is new to this account",
            Self::Opaque => "nobody here can read what it says",
            Self::Act => "a delegate acts, as hardly ever happens here",
            Self::Logins => "log-ins to this account failed lately",
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One signal's part of a score.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// Which.
    pub signal: Signal,
    /// How many points.
    pub points: u32,
    /// The currency, or the window, that it is about; empty where there is nothing to name.
    pub of: String,
    /// What was seen: minor units, requests, hour, log-ins, or how many are new.
    pub seen: u64,
    /// What would have been no reason: the limit, the hour's share in thousandths, or 0.
    pub limit: u64,
    /// Whether the limit, or the points, follow the account's own history.
    pub adapted: bool,
}

impl Reason {
    /// For who asked: see [`Signal::words`].
    pub const fn words(&self) -> &'static str {
        self.signal.words()
    }

    /// For officers and auditors, with the numbers.
    pub fn detail(&self) -> String {
        let Self { signal, points, of, seen, limit, adapted } = self;
        let by = if *adapted { "the account's history" } else { "the set's start" };
        let what = match signal {
            Signal::Amount | Signal::Total => format!("{seen} of `{of}`, limit {limit} by {by}"),
            Signal::Pace => format!("{seen} requests within a {of}, limit {limit} by {by}"),
            Signal::Hour => format!("hour {seen} UTC, {limit} of 1000 requests come about it"),
            Signal::Logins => format!("{seen} failed within a day, {limit} are no reason"),
            Signal::Counterparty | Signal::App | Signal::Origin => {
                format!("{seen} are new or recent, {limit} of 1000 are usual")
            }
            Signal::Currency => format!("`{of}`, where {limit} of 1000 are new"),
            Signal::Opaque | Signal::Act => format!("{limit} of 1000 requests are so"),
        };
        format!("{signal} +{points}: {what}")
    }
}
