//! Who may read what: the roles that callers show, the classes of what is served, and the one table over both.
//!
//! Writing is not decided here: a batch carries its submitter's signature. Nor is anything hidden for good: whoever
//! runs a validator has its disk. The table keeps others of the ledger's authority from reading along.

use std::sync::atomic::{AtomicU64, Ordering};

/// What a caller's certificate says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reader {
    /// A validator, or somebody who takes up its work.
    Node,
    /// A custody service.
    Service,
    Auditor,
    Officer,
    Operator,
    /// A token agent.
    Agent,
    App,
    /// A certificate of our authority that names no role of these.
    Nobody,
}

/// What is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// What anybody needs to submit and to verify: genesis, status, parameters, validators, submitters, what
    /// became of a batch whose digest the caller knows.
    Public,
    /// Whether a key is bound and where it stands in its life, and whether an address was used: whoever relies on their signatures
    /// has to ask.
    Standing,
    /// Everything else in the state: accounts, credentials, intents, batches, limits, approvals.
    Custody,
    /// Records, and blocks with all of theirs.
    Records,
    /// How the node fares: refused reads, alarms, scrubbing.
    Operation,
}

impl Reader {
    pub(crate) const ALL: [Self; 8] = [
        Self::Node,
        Self::Service,
        Self::Auditor,
        Self::Officer,
        Self::Operator,
        Self::Agent,
        Self::App,
        Self::Nobody,
    ];

    /// The word in certificates.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Service => "service",
            Self::Auditor => "auditor",
            Self::Officer => "officer",
            Self::Operator => "operator",
            Self::Agent => "agent",
            Self::App => "app",
            Self::Nobody => "nobody",
        }
    }

    /// The role in a SAN URI `keyward://<role>/<name>`.
    pub(crate) fn of_uri(uri: &str) -> Self {
        let parts = uri.strip_prefix("keyward://").and_then(|rest| rest.split_once('/'));
        let Some((role, name)) = parts else { return Self::Nobody };
        let plain = |byte: u8| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'_' | b'-')
        };
        let named = (1..=64).contains(&name.len()) && name.bytes().all(plain);
        let role = Self::ALL.into_iter().find(|reader| reader.name() == role);
        role.filter(|_| named).unwrap_or(Self::Nobody)
    }

    /// The table.
    pub(crate) const fn may_read(self, class: Class) -> bool {
        match (self, class) {
            (_, Class::Public) | (Self::Node | Self::Auditor, _) => true,
            // A service finds its own records again by looking through blocks: they are proven whole or not at all.
            (Self::Service, Class::Standing | Class::Custody | Class::Records) => true,
            (Self::Officer, Class::Standing | Class::Custody) => true,
            (Self::Operator, Class::Standing | Class::Operation) => true,
            (Self::Agent | Self::App, Class::Standing) => true,
            (Self::Service, Class::Operation)
            | (Self::Officer, Class::Records | Class::Operation)
            | (Self::Operator, Class::Custody | Class::Records)
            | (Self::Agent | Self::App, Class::Custody | Class::Records | Class::Operation)
            | (Self::Nobody, _) => false,
        }
    }
}

/// State that anybody may read, by the start of its keys: who runs the ledger and under which rules.
const PUBLIC_STATE: &[&[u8]] = &[
    b"parameters",
    b"validators",
    b"submitter/",
    b"member/",
    b"change/",
    b"regime",
    b"config",
    b"epoch/",
    b"keeper",
];

/// What whoever relies on a signature has to ask about: keys, and addresses, which sign once.
const STANDING_STATE: &[&[u8]] = &[b"key/", b"address/used/"];

impl Class {
    pub(crate) const ALL: [Self; 5] =
        [Self::Public, Self::Standing, Self::Custody, Self::Records, Self::Operation];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Standing => "standing",
            Self::Custody => "custody",
            Self::Records => "records",
            Self::Operation => "operation",
        }
    }

    /// The class of a state key; one that nobody classed is custody's.
    pub(crate) fn of_state(key: &[u8]) -> Self {
        if PUBLIC_STATE.iter().any(|prefix| key.starts_with(prefix)) {
            Self::Public
        } else if STANDING_STATE.iter().any(|prefix| key.starts_with(prefix)) {
            Self::Standing
        } else {
            Self::Custody
        }
    }
}

/// Refused reads since the start, by role and class.
#[derive(Debug, Default)]
pub(crate) struct RefusedReads([[AtomicU64; Class::ALL.len()]; Reader::ALL.len()]);

impl RefusedReads {
    pub(crate) fn count(&self, reader: Reader, class: Class) {
        if let Some(counter) = self.0.get(reader as usize).and_then(|of_reader| of_reader.get(class as usize))
        {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Those that are not zero.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (Reader, Class, u64)> {
        Reader::ALL.into_iter().zip(&self.0).flat_map(|(reader, counters)| {
            let counts = Class::ALL.into_iter().zip(counters);
            counts
                .map(move |(class, counter)| (reader, class, counter.load(Ordering::Relaxed)))
                .filter(|(.., count)| *count > 0)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_the_one_that_the_documents_show() {
        use Class::{Custody, Operation, Public, Records, Standing};
        let table: [(Reader, &[Class]); 8] = [
            (Reader::Node, &[Public, Standing, Custody, Records, Operation]),
            (Reader::Service, &[Public, Standing, Custody, Records]),
            (Reader::Auditor, &[Public, Standing, Custody, Records, Operation]),
            (Reader::Officer, &[Public, Standing, Custody]),
            (Reader::Operator, &[Public, Standing, Operation]),
            (Reader::Agent, &[Public, Standing]),
            (Reader::App, &[Public, Standing]),
            (Reader::Nobody, &[Public]),
        ];
        for (reader, classes) in table {
            for class in Class::ALL {
                assert_eq!(reader.may_read(class), classes.contains(&class), "{reader:?} {class:?}");
            }
        }
    }

    #[test]
    fn a_role_is_read_from_exactly_the_uris_that_the_authority_issues() {
        for reader in Reader::ALL.into_iter().filter(|reader| *reader != Reader::Nobody) {
            assert_eq!(Reader::of_uri(&format!("keyward://{}/a-1", reader.name())), reader);
        }
        let long = format!("keyward://auditor/{}", "a".repeat(65));
        for uri in [
            "",
            "keyward://auditor",
            "keyward://auditor/",
            "keyward://Auditor/a",
            "keyward://auditor/A",
            "keyward://auditor/a/b",
            "keyward:///a",
            "keyward://king/a",
            "keyward://nobody/a",
            "https://auditor/a",
            " keyward://auditor/a",
            &long,
        ] {
            assert_eq!(Reader::of_uri(uri), Reader::Nobody, "{uri}");
        }
    }

    #[test]
    fn state_that_nobody_classed_is_custodys() {
        for key in ["parameters", "validators", "validators/previous", "submitter/x", "regime"] {
            assert_eq!(Class::of_state(key.as_bytes()), Class::Public, "{key}");
        }
        for key in ["key/x", "address/used/x"] {
            assert_eq!(Class::of_state(key.as_bytes()), Class::Standing, "{key}");
        }
        for key in [
            "",
            "address/account/x",
            "address/closed/x",
            "address/dealt/x",
            "address/handle/x",
            "account/x",
            "intent/x",
            "batch/x",
            "approval/x",
            "keys",
            "submitters",
            "later/x",
        ] {
            assert_eq!(Class::of_state(key.as_bytes()), Class::Custody, "{key}");
        }
    }

    #[test]
    fn refused_reads_are_counted_by_role_and_class() {
        let refused = RefusedReads::default();
        assert_eq!(refused.counts().count(), 0);
        refused.count(Reader::App, Class::Records);
        refused.count(Reader::App, Class::Records);
        refused.count(Reader::Nobody, Class::Operation);
        let counts: Vec<_> = refused.counts().collect();
        let expected = [(Reader::App, Class::Records, 2), (Reader::Nobody, Class::Operation, 1)];
        assert_eq!(counts, expected);
    }
}
