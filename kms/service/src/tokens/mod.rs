//! Tokens attached to the service.

pub(crate) mod link;
pub(crate) mod list;
