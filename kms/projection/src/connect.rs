//! Connections to the database.

use std::time::Duration;

use keyward_store::PostgresServer;
use sqlx::{ConnectOptions as _, PgConnection};

use crate::ProjectionError;

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Bounds that the server itself keeps for the projector, in milliseconds: a statement, a lock, a transaction that does
/// nothing. A projector whose machine is gone must not hold its locks for hours; the last three are in seconds or a count.
const BOUNDS: [(&str, &str); 6] = [
    ("statement_timeout", "900000"),
    ("lock_timeout", "60000"),
    ("idle_in_transaction_session_timeout", "600000"),
    ("tcp_keepalives_idle", "10"),
    ("tcp_keepalives_interval", "5"),
    ("tcp_keepalives_count", "3"),
];

/// A connection of the projector's.
pub(crate) async fn connect(server: &PostgresServer) -> Result<PgConnection, ProjectionError> {
    let options = server.options()?.options(BOUNDS).disable_statement_logging();
    match tokio::time::timeout(CONNECT_TIMEOUT, options.connect()).await {
        Ok(connected) => Ok(connected?),
        Err(elapsed) => Err(ProjectionError::Unreachable(Box::new(elapsed))),
    }
}
