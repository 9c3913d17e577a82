//! A grant that is fed anew from the first record on, beside the rows of before, as its file opens more by now.

use keyward_ledger_core::hash::Hash;
use keyward_ledger_core::log::Frontier;

use crate::feed::Feed;
use crate::{Database, ProjectionError};

/// A feed that catches up with the log.
#[derive(Debug)]
pub(crate) struct Renewal {
    feed: Feed,
    /// The log up to the last record that it was fed.
    log: Frontier,
}

impl Renewal {
    pub(crate) fn new(feed: Feed) -> Self {
        Self { feed, log: Frontier::default() }
    }

    pub(crate) fn grant_id(&self) -> &Hash {
        self.feed.grant_id()
    }

    /// Feeds it the next page of the database's records; whether it has had all of them.
    pub(crate) async fn read_on(&mut self, database: &mut Database) -> Result<bool, ProjectionError> {
        if self.log.size() < database.leaves() {
            for leaf in database.read_back(&mut self.log).await? {
                self.feed.feed(leaf.index, &leaf.record)?;
            }
        }
        Ok(self.log.size() >= database.leaves())
    }

    /// Whether it was fed that log.
    pub(crate) fn is_of(&self, log: &Frontier) -> bool {
        self.log.size() == log.size() && self.log.root() == log.root()
    }

    /// Whether the log lacks records that the grant file shows.
    pub(crate) fn lacks_records(&self) -> bool {
        self.feed.lacks_records()
    }

    pub(crate) fn into_feed(self) -> Feed {
        self.feed
    }
}
