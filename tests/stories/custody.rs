//! The custody service of a running Keyward, as its callers meet it: what it refuses, how it says so, and that a
//! refusal changes nothing.

mod access;
mod idempotency;
mod imports;
mod keys;
mod login;
mod payloads;
mod people;
mod roles;
mod streams;
mod tokens;
mod world;
