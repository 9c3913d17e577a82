//! Vaults from the person's side: against an honest service, and against ones that lie.

mod consenting;
mod ending;
mod reading;
mod recovering;
mod sealing;
mod world;
