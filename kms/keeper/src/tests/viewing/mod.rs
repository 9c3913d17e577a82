//! Closed address epochs that keepers open together, against the real contracts: dealt, opened, looked after; and every refusal.

mod deposits;
mod openings;
mod world;

use keyward_domain::Coded as _;

use crate::ViewingError;

fn code<T: std::fmt::Debug>(result: Result<T, ViewingError>) -> &'static str {
    result.unwrap_err().code().name()
}
