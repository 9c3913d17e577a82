//! Delegates from the persons' side: against an honest service, and against ones that lie.

mod acting;
mod face;
mod reading;
mod recovering;
mod world;
