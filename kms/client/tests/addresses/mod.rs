//! Unlinkable addresses from the account's side: against an honest service, and against ones that lie.

mod approved;
mod choosing;
mod closing;
mod dealing;
mod desk;
mod face;
mod gathering;
mod giving;
mod keepers;
mod own;
mod paying;
mod recorded;
mod signing;
mod uncertain;
mod world;
