//! Waiting for our own validator: a caller may know a moment earlier what is final.

use std::time::Duration;

use super::error::SharedError;

/// How often we look again, and the pause between: a second in all.
const LOOKS: u32 = 20;
const PAUSE: Duration = Duration::from_millis(50);

/// Looks until there is something, where it is worth waiting for.
pub(crate) async fn soon<T, F: Future<Output = Result<Option<T>, SharedError>>>(
    is_worth: bool,
    mut look: impl FnMut() -> F,
) -> Result<Option<T>, SharedError> {
    for _ in 0..LOOKS {
        match look().await? {
            None if is_worth => tokio::time::sleep(PAUSE).await,
            found => return Ok(found),
        }
    }
    look().await
}
