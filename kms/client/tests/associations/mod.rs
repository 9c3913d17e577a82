//! Associations from the parties' side: against an honest service, and against ones that lie.

mod changing;
mod reading;
mod world;
