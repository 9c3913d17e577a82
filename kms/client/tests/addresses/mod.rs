//! Unlinkable addresses from the account's side: against an honest service, and against ones that lie.

mod choosing;
mod closing;
mod dealing;
mod face;
mod gathering;
mod giving;
mod keepers;
mod own;
mod paying;
mod signing;
mod uncertain;
mod world;
