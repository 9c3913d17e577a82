//! A whole Keyward on one machine, in one folder: made once, started as real processes, started again.

pub(crate) mod child;
pub(crate) mod cluster;
mod configure;
pub(crate) mod layout;
pub(crate) mod ports;
pub(crate) mod prepare;
pub(crate) mod state;
pub(crate) mod token;
