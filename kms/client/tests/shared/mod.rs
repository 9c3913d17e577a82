//! Shared keys from the person's side: with honest keepers and service, and with ones that lie.

mod apps;
mod devices;
mod ecdsa;
mod making;
mod renewing;
mod signing;
mod world;
