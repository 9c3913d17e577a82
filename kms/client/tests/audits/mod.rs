//! Audits from the side of those who ask, approve and open: against an honest service, and against ones that lie.

mod asking;
mod face;
mod opening;
mod world;
