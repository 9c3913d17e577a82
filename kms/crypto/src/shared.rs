//! Shared keys: a private key that no place ever holds whole, with which the user and t of n keepers sign together.
//!
//! Sans-IO: messages in, messages out; no clock, no files, no network. Who may ask for what is the ledger's to say, and whoever
//! carries the messages is trusted with nothing. Why the user's share is always needed, and the bytes, are in SPEC.md.
//!
//! All messages are [`Message::encode`]'s bytes, handed on as they are; every step takes those of all who take part in it, in any
//! order. "Everybody" below is the user and all keepers. A run begins with a [`Roster`], the holders with their keys of the day.
//!
//! | Run | Step | Who | Call |
//! |---|---|---|---|
//! | [`Generation`] | 1 | everybody | `open` gives an [`Opener`] (memory only) and the opening |
//! | | | | the ledger records [`Message::hash`] of each opening |
//! | | 2 | everybody | `openings(all openings)`, compare `hashes()` with the ledger's, `Opener::deal(own box key)` gives a [`Dealer`] and the dealing |
//! | | (3) | everybody | if the scheme [`SharedScheme::answers`]: `Dealer::agree(openings, all dealings)`; asked again, the same agreement |
//! | | 3 | everybody | `Dealer::finish(openings, all dealings, all agreements, own box key)` gives a [`Dealt`]: keep `share()`, then send `confirmation` |
//! | | 4 | anybody | `SharedKey::confirmed(roster, run, all confirmations)`: the key counts |
//! | [`Signing`] | 1 | signers | `commit(share, boot)` gives [`Nonces`] (memory only) and the commitment; asked again, the same commitment |
//! | | (2) | signers | if the scheme answers: `package(all commitments)`, `Nonces::answer` gives other [`Nonces`] and the answer |
//! | | 2 | signers | `package(all commitments)`, `Nonces::sign(all answers)` uses them up and gives the signature share |
//! | | 3 | anybody | `Package::signature(all shares)` |
//! | [`Refresh`] | 1 | t keepers | `deal`; keep the message, repeat it |
//! | | 2 | all keepers | `agree(dealings)`, `Refreshed::receive(share, own dealing if one was made, own box key)`: keep beside the old share, confirm |
//! | | 3 | anybody | `SharedKey::refreshed`; the old share goes when the ledger has the new version |
//! | [`Renewal`] | 1 | the user, t keepers | `deal(share)`; keep the message, repeat it |
//! | | 2 | holders to come | `agree(dealings)`, `Renewed::receive(place among them, ..)`: keep, confirm; who only dealt asks `stand_by` |
//! | | 3 | anybody | `SharedKey::confirmed` |
//! | [`Repair`] | 1 | the keeper | `request` |
//! | | 2 | the user, t others | `split(share, request)`; keep the message, repeat it |
//! | | 3 | the same | `columns(splits)`, `Columns::add(own split, own box key)` |
//! | | 4 | the keeper | `Columns::finish(sums, own box key)`: the share |
//!
//! Errors name whom they can: [`RunError::liar`] has signed evidence, [`RunError::Missing`] and [`RunError::Restarted`] ask for
//! the next attempt, and [`RunError::banned`] for a ban before it. `judge` of each run checks one message by itself.

mod confirmation;
mod errors;
mod facts;
mod generation;
mod holders;
mod message;
mod parts;
mod pieces;
mod refresh;
mod renewal;
mod repair;
mod roster;
mod run;
mod scheme;
mod share;
mod signing;
mod suite;

pub use confirmation::Dealt;
pub use errors::{Lie, RunError};
pub use facts::{KeyName, SharedKey, SharedKeyError};
pub use generation::{Dealer, Generation, Opener, Openings};
pub use holders::{Holders, HoldersError, USER};
pub use message::{MESSAGE_BYTES_MAX, Message, MessageError, Step, equivocation};
pub use refresh::{Refresh, Refreshed};
pub use renewal::{Renewal, Renewed};
pub use repair::{Columns, Repair};
pub use roster::{Holder, Roster};
pub use scheme::{SharedScheme, Tweak};
pub use share::{KeyShare, SHARE_BYTES_MAX, ShareError};
pub use signing::{Boot, Judged, Nonces, Package, Signing, SigningPlan};
pub use suite::LibraryError;

#[cfg(test)]
mod tests;
