//! The custody service of a running Keyward, as its callers meet it: what it refuses, how it says so, and that a
//! refusal changes nothing.

mod access;
mod edges;
mod idempotency;
mod imports;
mod keys;
mod life;
mod login;
mod payloads;
mod people;
mod profiles;
mod roles;
mod sealing;
mod streams;
mod tokens;
mod world;
