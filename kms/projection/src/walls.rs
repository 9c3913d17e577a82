//! What stands between a reader and everything that is not its own. SPEC.md says what each wall is for.
//!
//! All of it is put up anew whenever a projector starts, and then looked at: a server on which something is left open
//! gets no readers.

use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};

use crate::lease::{IS_WATCHED, SHOWN_UNTIL};
use crate::tables::{RECORDS, SCHEMA};
use crate::{Database, ProjectionError};

/// The oldest version that has what is needed: its log as JSON.
const VERSION_MIN: i32 = 150_000;

/// Functions that a reader may call by name, as far as they are not volatile. Beside them: operators, casts, aggregates, window
/// functions and what indexes compare with.
const FUNCTIONS: &str = include_str!("functions.txt");

/// Functions of PostgreSQL that readers may not call and everybody may by default.
const FORBIDDEN: &str = "SELECT p.oid::regprocedure::text FROM pg_proc p WHERE has_function_privilege('public', p.oid, 'EXECUTE') \
     AND p.pronamespace = 'pg_catalog'::regnamespace AND (p.provolatile = 'v' OR NOT (p.proname = ANY ($1) \
     OR p.prokind IN ('a', 'w') OR p.oid IN (SELECT oprcode FROM pg_operator) OR p.oid IN (SELECT castfunc FROM pg_cast) \
     OR p.oid IN (SELECT amproc FROM pg_amproc)))";

/// What tools read to show tables and columns. Left out of `pg_class`: how large tables are, those of others too.
const CATALOGS: [(&str, &[&str]); 10] = [
    ("pg_am", &[]),
    ("pg_attrdef", &[]),
    ("pg_attribute", &["attmissingval", "attstattarget"]),
    (
        "pg_class",
        &[
            "relpages",
            "reltuples",
            "relallvisible",
            "relallfrozen",
            "relfrozenxid",
            "relminmxid",
            "relfilenode",
            "relacl",
        ],
    ),
    ("pg_collation", &[]),
    ("pg_constraint", &[]),
    ("pg_description", &[]),
    ("pg_index", &[]),
    ("pg_namespace", &["nspacl"]),
    ("pg_type", &[]),
];

/// Everything else that everybody may do by default in a database of one's own.
const CLOSED: &str = "REVOKE ALL ON SCHEMA public FROM PUBLIC; REVOKE ALL ON SCHEMA keyward FROM PUBLIC; \
     REVOKE ALL ON ALL TABLES IN SCHEMA keyward FROM PUBLIC; \
     REVOKE USAGE ON LANGUAGE plpgsql, sql FROM PUBLIC; \
     REVOKE SELECT ON ALL TABLES IN SCHEMA pg_catalog FROM PUBLIC; \
     REVOKE ALL ON ALL TABLES IN SCHEMA information_schema FROM PUBLIC; \
     GRANT SELECT ON information_schema.tables, information_schema.columns, information_schema.schemata, \
     information_schema.key_column_usage, information_schema.table_constraints TO PUBLIC; \
     ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;";

/// Commands that change what a database is made of, some of which nobody needs a privilege for.
const NO_DEFINITIONS: &str = "CREATE OR REPLACE FUNCTION keyward.no_definitions() RETURNS event_trigger LANGUAGE plpgsql \
     SECURITY DEFINER SET search_path = pg_catalog AS $$ BEGIN \
     IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = session_user AND rolsuper) THEN \
     RAISE insufficient_privilege USING MESSAGE = 'readers define nothing'; END IF; END $$; \
     REVOKE ALL ON FUNCTION keyward.no_definitions() FROM PUBLIC; \
     DROP EVENT TRIGGER IF EXISTS keyward_no_definitions; \
     CREATE EVENT TRIGGER keyward_no_definitions ON ddl_command_start EXECUTE FUNCTION keyward.no_definitions(); \
     ALTER EVENT TRIGGER keyward_no_definitions ENABLE ALWAYS;";

/// What may run before a policy, so that records are found by what they name through their index: its only errors are of types.
const LEAKPROOF: &str = "ALTER FUNCTION pg_catalog.arraycontains(anyarray, anyarray) LEAKPROOF;";

/// What must be empty before anybody reads.
const OPENINGS: [(&str, &str); 4] = [
    (
        "a volatile function that everybody may call",
        "SELECT p.oid::regprocedure::text FROM pg_proc p WHERE p.provolatile = 'v' AND has_function_privilege('public', p.oid, 'EXECUTE')",
    ),
    (
        "a function that runs with its owner's rights and that everybody may call",
        "SELECT p.oid::regprocedure::text FROM pg_proc p WHERE p.prosecdef AND has_function_privilege('public', p.oid, 'EXECUTE')",
    ),
    (
        "a database that everybody may connect to or make temporary tables in",
        "SELECT datname::text FROM pg_database WHERE datallowconn AND (has_database_privilege('public', oid, 'CONNECT') \
         OR has_database_privilege('public', oid, 'TEMPORARY') OR has_database_privilege('public', oid, 'CREATE'))",
    ),
    (
        "a schema or a language that is open to everybody",
        "SELECT nspname::text FROM pg_namespace WHERE nspname NOT IN ('pg_catalog', 'information_schema') \
         AND (has_schema_privilege('public', oid, 'USAGE') OR has_schema_privilege('public', oid, 'CREATE')) \
         UNION SELECT lanname::text FROM pg_language WHERE lanpltrusted AND has_language_privilege('public', oid, 'USAGE')",
    ),
];

impl Database {
    /// Makes the server fit for readers, or says what is in the way. Needs a superuser, and a server that serves this database
    /// alone.
    pub async fn harden(&mut self) -> Result<(), ProjectionError> {
        check_server(&mut self.connection).await?;
        let mut made = self.connection.begin().await?;
        close_databases(&mut made).await?;
        sqlx::raw_sql(AssertSqlSafe(format!("{CLOSED}{NO_DEFINITIONS}{SHOWN_UNTIL}{IS_WATCHED}{LEAKPROOF}")))
            .execute(&mut *made)
            .await?;
        close_functions(&mut made).await?;
        open_catalogs(&mut made).await?;
        let records = format!("{SCHEMA}.{}", RECORDS.name);
        let text = format!(
            "ALTER TABLE {records} ENABLE ROW LEVEL SECURITY; ALTER TABLE {records} FORCE ROW LEVEL SECURITY; \
             ALTER TABLE {SCHEMA}.ledger ENABLE ROW LEVEL SECURITY; ALTER TABLE {SCHEMA}.ledger FORCE ROW LEVEL SECURITY"
        );
        sqlx::raw_sql(AssertSqlSafe(text)).execute(&mut *made).await?;
        for (what, question) in OPENINGS {
            if let Some(found) = first(&mut made, question).await? {
                return Err(unfit(format!("{what}: `{found}`"), "take that privilege from PUBLIC"));
            }
        }
        Ok(made.commit().await?)
    }
}

fn unfit(what: impl Into<String>, next: &'static str) -> ProjectionError {
    ProjectionError::Unfit { what: what.into(), next }
}

/// The first answer to a question.
async fn first(on: &mut PgConnection, question: &str) -> Result<Option<String>, ProjectionError> {
    let row = sqlx::query(AssertSqlSafe(question.to_owned())).fetch_optional(on).await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?)
}

/// What cannot be changed from here.
async fn check_server(on: &mut PgConnection) -> Result<(), ProjectionError> {
    let row = sqlx::query(
        "SELECT current_setting('server_version_num')::int, (SELECT rolsuper FROM pg_roles WHERE rolname = session_user), \
         current_setting('logging_collector') = 'on' AND current_setting('log_destination') ~ '\\mjsonlog\\M', \
         current_setting('max_prepared_transactions') = '0', current_setting('lo_compat_privileges') = 'off', \
         current_setting('server_encoding') = 'UTF8', current_setting('update_process_title') = 'on'",
    );
    let row = row.fetch_one(&mut *on).await?;
    let fits: [(bool, &str, &'static str); 7] = [
        (
            row.try_get::<i32, _>(0)? >= VERSION_MIN,
            "it is older than version 15",
            "give the projection a newer server",
        ),
        (
            row.try_get(1)?,
            "the projector is no superuser there",
            "connect as a superuser of a server that is the projection's own; without one, records alone can be projected",
        ),
        (
            row.try_get(2)?,
            "its log is not one that the projector reads",
            "set `logging_collector = on` and `log_destination = 'jsonlog'` in postgresql.conf, and restart it",
        ),
        (
            row.try_get(3)?,
            "it lets transactions be prepared",
            "set `max_prepared_transactions = 0`, and restart it",
        ),
        (row.try_get(4)?, "large objects are open to everybody", "set `lo_compat_privileges = off`"),
        (
            row.try_get(5)?,
            "its text is not UTF-8, so its log need not be JSON",
            "give the projection a database made with `ENCODING 'UTF8'`",
        ),
        (
            row.try_get(6)?,
            "its log does not say which lines are of who is logged in",
            "set `update_process_title = on`, and reload its configuration",
        ),
    ];
    if let Some((_, what, next)) = fits.iter().find(|(fits, _, _)| !fits) {
        return Err(unfit(*what, next));
    }
    let others = "SELECT datname::text FROM pg_database WHERE datallowconn AND datname NOT IN ('postgres', 'template1', current_database())";
    if let Some(other) = first(on, others).await? {
        return Err(unfit(
            format!("it serves another database, `{other}`"),
            "give the projection a server of its own",
        ));
    }
    let trusted = "SELECT line_number::text FROM pg_hba_file_rules WHERE auth_method = 'trust' AND EXISTS \
         (SELECT FROM unnest(user_name) AS named (name) WHERE name NOT IN (SELECT rolname FROM pg_roles WHERE rolsuper))";
    if let Some(line) = first(on, trusted).await? {
        let what = format!("line {line} of its pg_hba.conf lets people in without a password");
        return Err(unfit(
            what,
            "let readers in with `scram-sha-256` alone, over TLS where it is another machine",
        ));
    }
    Ok(())
}

async fn close_databases(on: &mut PgConnection) -> Result<(), ProjectionError> {
    let names = "SELECT quote_ident(datname) FROM pg_database WHERE datallowconn ORDER BY datname";
    for row in sqlx::query(names).fetch_all(&mut *on).await? {
        let name: String = row.try_get(0)?;
        sqlx::raw_sql(AssertSqlSafe(format!("REVOKE ALL ON DATABASE {name} FROM PUBLIC")))
            .execute(&mut *on)
            .await?;
    }
    Ok(())
}

async fn close_functions(on: &mut PgConnection) -> Result<(), ProjectionError> {
    let allowed: Vec<&str> = FUNCTIONS.split_whitespace().collect();
    let rows = sqlx::query(FORBIDDEN).bind(allowed).fetch_all(&mut *on).await?;
    let names: Vec<String> = rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
    if names.is_empty() {
        return Ok(());
    }
    let text = format!("REVOKE EXECUTE ON ROUTINE {} FROM PUBLIC", names.join(", "));
    sqlx::raw_sql(AssertSqlSafe(text)).execute(on).await?;
    Ok(())
}

async fn open_catalogs(on: &mut PgConnection) -> Result<(), ProjectionError> {
    for (catalog, without) in CATALOGS {
        let columns = "SELECT string_agg(quote_ident(attname), ', ') FROM pg_attribute WHERE attrelid = $1::regclass \
             AND (attnum > 0 OR attname IN ('tableoid', 'ctid')) AND NOT attisdropped AND attname <> ALL ($2)";
        let row = sqlx::query(columns)
            .bind(format!("pg_catalog.{catalog}"))
            .bind(without)
            .fetch_one(&mut *on)
            .await?;
        let columns: String = row.try_get(0)?;
        let text = format!("GRANT SELECT ({columns}) ON pg_catalog.{catalog} TO PUBLIC");
        sqlx::raw_sql(AssertSqlSafe(text)).execute(&mut *on).await?;
    }
    Ok(())
}
