//! The end of a generation, renewal or refresh: every holder of new values has kept them and says of what.

use super::errors::{Lie, RunError};
use super::facts::SharedKey;
use super::message::{Message, Step, collect};
use super::roster::Roster;
use super::share::KeyShare;

/// What a generation, renewal or refresh gives a holder. It counts once everybody has confirmed the same key: see [`Self::confirmed`].
#[derive(Debug)]
pub struct Dealt {
    run: [u8; 32],
    roster: Roster,
    key: SharedKey,
    share: KeyShare,
    witnesses: Vec<u8>,
}

impl Dealt {
    /// `witnesses` are those who have to confirm it.
    pub(crate) fn new(
        (run, roster): (&[u8; 32], &Roster),
        key: SharedKey,
        share: KeyShare,
        witnesses: Vec<u8>,
    ) -> Self {
        Self { run: *run, roster: roster.clone(), key, share, witnesses }
    }

    /// What is public of the key.
    pub const fn key(&self) -> &SharedKey {
        &self.key
    }

    /// The share, to be kept (beside the old one, if there is one) before anything is confirmed.
    pub const fn share(&self) -> &KeyShare {
        &self.share
    }

    /// Says that the share is kept.
    pub fn confirmation(&self, sign: impl FnOnce(&[u8]) -> [u8; 64]) -> Message {
        Message::new((Step::Confirmation, &self.run, self.share.place()), self.key.hash().to_vec(), sign)
    }

    /// The share and its key, once every holder (after a refresh, every keeper) has confirmed the same.
    pub fn confirmed(self, messages: &[Vec<u8>]) -> Result<(KeyShare, SharedKey), RunError> {
        self.key.confirmed_by(&self.witnesses, &self.roster, &self.run, messages)?;
        Ok((self.share, self.key))
    }
}

impl SharedKey {
    /// Whether every holder of this key has confirmed it in this generation or renewal (of which `roster` has the holders to
    /// come): for everybody to check.
    pub fn confirmed(&self, roster: &Roster, run: &[u8; 32], messages: &[Vec<u8>]) -> Result<(), RunError> {
        self.confirmed_by(&self.holders().places().collect::<Vec<_>>(), roster, run, messages)
    }

    /// Whether every keeper has confirmed it in this refresh, which leaves the user's share alone: for everybody to check.
    pub fn refreshed(&self, roster: &Roster, run: &[u8; 32], messages: &[Vec<u8>]) -> Result<(), RunError> {
        self.confirmed_by(&self.holders().keeper_places(), roster, run, messages)
    }

    fn confirmed_by(
        &self,
        places: &[u8],
        roster: &Roster,
        run: &[u8; 32],
        messages: &[Vec<u8>],
    ) -> Result<(), RunError> {
        self.check_roster(roster)?;
        let messages = collect(roster, run, Step::Confirmation, places, messages)?;
        for (place, message) in messages {
            if message.body().len() != 32 {
                return Err(RunError::lied(place, Lie::Malformed, vec![message.encode()]));
            }
            if message.body() != self.hash() {
                return Err(RunError::Diverged { place });
            }
        }
        Ok(())
    }
}
