//! Leases: the rows of a role are shown, and its sessions go on, only while its lease runs. The guard renews them with every look;
//! the server itself holds them against its clock, so that all ends by itself when the projector is killed or its machine is gone.
//!
//! A lease is a sequence: its value counts at once, in every transaction whatever its snapshot, and nobody waits for anybody's lock.

use keyward_store::PostgresServer;
use sqlx::{AssertSqlSafe, PgConnection};
use tokio::task::JoinHandle;

use crate::ProjectionError;
use crate::connect::connect;
use crate::readers::Bounds;

/// What policies ask: until when the rows of who asks are shown. It fails when that is over: an answer that is cut short would
/// pass for a whole one.
pub(crate) const SHOWN_UNTIL: &str = "CREATE OR REPLACE FUNCTION keyward.shown_until() RETURNS timestamptz LANGUAGE plpgsql \
     VOLATILE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$ DECLARE shown timestamptz := \
     to_timestamp(pg_sequence_last_value(to_regclass('keyward.' || session_user)) / 1000.0); BEGIN \
     IF clock_timestamp() < shown THEN RETURN shown; END IF; \
     RAISE object_not_in_prerequisite_state USING MESSAGE = 'no rows are shown', HINT = \
     'The grant has ended, or the projector does not run: ask whoever runs it.'; END $$; \
     REVOKE ALL ON FUNCTION keyward.shown_until() FROM PUBLIC;";

/// What planning asks, of whatever names a table: nothing is planned when nothing is shown, or when nobody would end the session for that.
/// It says that it is immutable so that the planner folds it into each plan, before it looks at statistics or an index: what estimates or
/// an index tell would be told of rows that are not shown. After a restart of the server, or of all its sessions as one of them crashed,
/// there is no watchdog until a guard has begun one, whatever leases say. A name is anybody's to choose; a superuser's session is not.
pub(crate) const IS_WATCHED: &str = "CREATE OR REPLACE FUNCTION keyward.is_watched() RETURNS bool LANGUAGE plpgsql \
     IMMUTABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$ BEGIN \
     IF keyward.shown_until() IS NOT NULL AND EXISTS (SELECT FROM pg_stat_get_activity(NULL) a JOIN pg_authid r ON r.oid = a.usesysid \
     WHERE a.application_name = 'keyward-watchdog' AND r.rolsuper) THEN RETURN true; END IF; \
     RAISE object_not_in_prerequisite_state USING MESSAGE = 'no rows are shown', HINT = \
     'The projector does not run: ask whoever runs it.'; END $$; \
     REVOKE ALL ON FUNCTION keyward.is_watched() FROM PUBLIC;";

/// A row is shown: what planning asks, one call of the function for each statement, then a look at the clock for each row, and the function
/// again for those that come after what it said.
pub(crate) const IS_SHOWN: &str = "keyward.is_watched() AND (clock_timestamp() < (SELECT keyward.shown_until()) \
     OR keyward.shown_until() IS NOT NULL)";

/// How the watchdog is known among the sessions of the server.
const NAME: &str = "keyward-watchdog";
/// A session that nobody else ends: it goes on when its client is gone.
const ALONE: &str = "SET application_name = 'keyward-watchdog'; SET statement_timeout = 0; SET lock_timeout = 1000; \
     SET client_connection_check_interval = 0; SET default_transaction_isolation = 'read committed'";
/// Ends the sessions of roles whose lease has run out. It ends itself when none has run for longer than anybody can be logged in with
/// one: `VALID UNTIL` is looked at when a login begins, and `authentication_timeout` bounds how long that takes. A role that is removed meanwhile is looked at again in the next round.
const WATCHDOG: &str = "DO $$ DECLARE ran timestamptz := clock_timestamp(); at_ms int8; BEGIN LOOP \
     at_ms := extract(epoch FROM clock_timestamp()) * 1000; \
     BEGIN \
     PERFORM pg_terminate_backend(a.pid) FROM pg_stat_activity a JOIN keyward.readers r ON r.role = a.usename \
     WHERE COALESCE(pg_sequence_last_value(to_regclass('keyward.' || r.role)), 0) <= at_ms; \
     IF EXISTS (SELECT FROM keyward.readers r WHERE pg_sequence_last_value(to_regclass('keyward.' || r.role)) > at_ms) \
     THEN ran := clock_timestamp(); END IF; \
     EXCEPTION WHEN OTHERS THEN NULL; END; \
     COMMIT; \
     EXIT WHEN clock_timestamp() > ran + interval '150 s' + current_setting('authentication_timeout')::interval; \
     PERFORM pg_sleep(0.5); END LOOP; END $$";

/// The statements that make a role's lease, which has run out. Policies run with the rights of who asks.
pub(crate) fn make(role: &str) -> String {
    format!(
        "CREATE SEQUENCE keyward.{role}; SELECT setval('keyward.{role}', 1); \
         GRANT EXECUTE ON FUNCTION keyward.shown_until(), keyward.is_watched(), pg_catalog.clock_timestamp() TO {role};"
    )
}

/// Renews the leases of these roles, of a grant's until its own end at most.
pub(crate) async fn renew(
    on: &mut PgConnection,
    roles: &[String],
    bounds: &Bounds,
) -> Result<(), ProjectionError> {
    let renewed = sqlx::query(
        "SELECT setval(to_regclass('keyward.' || role), greatest(1, least((extract(epoch FROM clock_timestamp()) * 1000)::int8 + $2, \
         expires_ms))) FROM keyward.readers WHERE role = ANY ($1) AND ended_ms IS NULL",
    );
    let shown_ms = i64::try_from(bounds.shown.as_millis()).unwrap_or(0);
    renewed.bind(roles).bind(shown_ms).fetch_all(on).await?;
    Ok(())
}

/// Ends a role's lease at once.
pub(crate) async fn end(on: &mut PgConnection, role: &str) -> Result<(), ProjectionError> {
    sqlx::query("SELECT setval(to_regclass('keyward.' || $1), 1)").bind(role).fetch_all(on).await?;
    Ok(())
}

/// What ends sessions in the server while nobody else does.
#[derive(Debug, Default)]
pub(crate) struct Watchdog(Option<JoinHandle<Result<(), ProjectionError>>>);

impl Watchdog {
    /// Ends those of an earlier projector, which go on for a while.
    pub(crate) async fn end_others(on: &mut PgConnection) -> Result<(), ProjectionError> {
        let ended = sqlx::query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1 AND datname = current_database()",
        );
        ended.bind(NAME).fetch_all(on).await?;
        Ok(())
    }

    /// Sees that it runs.
    pub(crate) async fn keep(&mut self, server: &PostgresServer) -> Result<(), ProjectionError> {
        if self.0.as_ref().is_some_and(|runs| !runs.is_finished()) {
            return Ok(());
        }
        // Where somebody ended it, or nothing was left to look after, it begins anew.
        if let Some(ended) = self.0.take()
            && let Ok(Err(error)) = ended.await
            && !matches!(error, ProjectionError::Unreachable(_))
        {
            return Err(error);
        }
        let mut connection = connect(server).await?;
        sqlx::raw_sql(ALONE).execute(&mut connection).await?;
        self.0 = Some(tokio::spawn(async move {
            sqlx::raw_sql(AssertSqlSafe(WATCHDOG)).execute(&mut connection).await?;
            Ok(())
        }));
        Ok(())
    }
}
