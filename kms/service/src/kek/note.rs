//! What the ledger keeps of a rotation: that something happened to the key-encryption keys, and a commitment to what.
//!
//! Body of the note: `u8 len || "keyward/kek-note/v1" || step u8 || nonce[32] || commitment[32]`, with
//! `blinding = SHA-256(u8 len || "keyward/kek-blinding/v1" || secret[32] || nonce)`, the secret being the service's own,
//! and `commitment = SHA-256(u8 len || "keyward/kek-note/v1" || blinding || step u8 || from u32 || to u32)`.
//! Steps: 1 `to` seals from here on, 2 nothing is under `from` or an older one, 3 `from` is removed.

use std::num::NonZeroU32;

use keyward_ledger_core::entry::Entry;

use crate::{
    custody::{Custody, random},
    failure::Failure,
    note::{committed, labelled},
    secrets,
};

const NOTE_LABEL: &str = "keyward/kek-note/v1";
const BLINDING_LABEL: &str = "keyward/kek-blinding/v1";

/// A step of a rotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Step {
    Begun = 1,
    Resealed = 2,
    Removed = 3,
}

impl Step {
    /// The word that stands in acts.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Begun => "begun",
            Self::Resealed => "resealed",
            Self::Removed => "removed",
        }
    }

    pub(super) fn from_word(word: &str) -> Option<Self> {
        [Self::Begun, Self::Resealed, Self::Removed].into_iter().find(|step| step.word() == word)
    }
}

impl Custody {
    /// The note of a step.
    pub(super) async fn kek_note(&self, step: Step, from: u32, to: NonZeroU32) -> Result<Entry, Failure> {
        let nonce: [u8; 32] = random()?;
        let secret = secrets::notes(self.store.as_ref(), self.kek.as_ref()).await?;
        let blinding = secret.expose(|secret| labelled(BLINDING_LABEL, &[secret, &nonce]));
        let opened = [&from.to_be_bytes()[..], &to.get().to_be_bytes()];
        Ok(committed(NOTE_LABEL, step as u8, &nonce, &blinding, &opened))
    }
}
