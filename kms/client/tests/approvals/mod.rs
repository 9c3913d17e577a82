//! Approvals from the side of those who ask and approve: against an honest service, and against ones that lie.

mod face;
mod giving;
mod limits;
mod lying;
mod policies;
mod risk;
mod world;
