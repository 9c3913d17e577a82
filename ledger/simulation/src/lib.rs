//! A network of engines in one thread: seeded scheduler, virtual time, links that delay, lose and part.
//!
//! For tests only; no program depends on it. What a node is made of, what it is asked and what is checked stay
//! with the caller, who runs a script against a [`World`]. One seed, one execution.

mod dice;
mod runtime;
mod voice;
mod world;

pub use dice::Dice;
pub use runtime::{Runtime, Task};
pub use voice::{Split, Traffic, Voice};
pub use world::{Boot, Booted, Run, Running, World, simulate};
