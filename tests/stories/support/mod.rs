//! What several stories need.

pub mod authority;
pub mod cluster;
pub mod keyward;

use std::{
    future::Future,
    time::{Duration, Instant},
};

/// Waits until `holds`, at most a minute.
pub async fn until<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds().await {
        assert!(Instant::now() < deadline, "waited a minute for: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
