-- What a reader tries, and what becomes of it. Each `-- #` begins an attempt on a connection of its own; each line after it is
-- what must come of a statement, then the statement: `ok`, `=rows` (columns apart by `|`, rows by `;`), or the SQLSTATE that it
-- is refused with (one of several). OTHER stands for the other grant's role and schema, SELF for one's own, @ for the database.

-- # reading one's own rows, which is what a reader is for
=3	SELECT count(*) FROM transactions
=own	SELECT DISTINCT app FROM transactions
=own	SELECT app FROM SELF.transactions GROUP BY app ORDER BY app
=3	SELECT count(DISTINCT leaf_index) FROM records
=1	SELECT count(*) FROM about
=60	SELECT sum(leaf_index) FROM transactions WHERE said LIKE 'paid%' AND time_ms BETWEEN 0 AND 9999999999999
=30|10	SELECT max(leaf_index), min(leaf_index) FROM transactions WHERE public_key >= decode('00', 'hex')
=3	SELECT count(*) FROM transactions t JOIN records r USING (leaf_index, leaf_hash)
=3	SELECT count(*) FROM records WHERE leaf_hash = sha256(entry)
=0	SELECT count(*) FROM transactions t JOIN records r ON r.outcome_data = t.approval_case OR position(t.approval_case IN r.entry) > 0
ok	SELECT to_timestamp(time_ms / 1000.0), encode(leaf_hash, 'hex'), upper(app), row_number() OVER (ORDER BY leaf_index) FROM transactions
ok	SELECT table_name, column_name, data_type FROM information_schema.columns WHERE table_schema = 'SELF'
ok	EXPLAIN SELECT * FROM transactions
=x3|5|2026	SELECT 'x' || 3, '5'::text::int, left('2026-01-31'::text, 4)::int

-- # another grant's rows by name
42501	SELECT * FROM OTHER.transactions
42501	SELECT count(*) FROM OTHER.records
42501	TABLE OTHER.about
42501	EXPLAIN SELECT * FROM OTHER.transactions
42501	EXPLAIN ANALYZE SELECT * FROM OTHER.transactions
42501	PREPARE p AS SELECT * FROM OTHER.transactions
42501	COPY OTHER.transactions TO STDOUT
25P01	LOCK TABLE OTHER.transactions IN ACCESS SHARE MODE
ok	BEGIN
42501	LOCK TABLE OTHER.transactions IN ACCESS SHARE MODE
ok	ROLLBACK
42501	SELECT count(*) FROM transactions t JOIN OTHER.transactions o ON o.account = t.account
42501	SELECT * FROM transactions WHERE EXISTS (SELECT FROM OTHER.transactions)
42501	SELECT * FROM LATERAL (SELECT said FROM OTHER.transactions) x

-- # the whole ledger, which is the supervised's
42501	SELECT * FROM keyward.records
42501	SELECT * FROM keyward.readers
42501	SELECT * FROM keyward.queries
42501	SELECT * FROM keyward.segments
42501	SELECT * FROM keyward.ledger
42501	SELECT keyward.no_definitions()

-- # common table expressions that shadow tables
42501	WITH transactions AS (SELECT * FROM OTHER.transactions) SELECT * FROM transactions
42501	WITH o AS MATERIALIZED (SELECT said FROM OTHER.transactions) SELECT 1
=3	WITH keyward AS (SELECT 1), other AS (SELECT 2) SELECT count(*) FROM transactions
42P01	WITH RECURSIVE records AS (SELECT 1 AS n) SELECT * FROM keyward_records
25006	WITH gone AS (DELETE FROM transactions RETURNING *) SELECT * FROM gone

-- # search path
ok	SET search_path = OTHER, keyward, pg_catalog
42P01	SELECT * FROM transactions
42P01	SELECT * FROM readers
ok	SET default_transaction_read_only = off
ok	SET search_path = pg_temp, SELF, OTHER
=own	SELECT DISTINCT app FROM transactions
42501	CREATE TEMPORARY TABLE transactions (app text)
42501	CREATE FUNCTION pg_temp.count() RETURNS int LANGUAGE sql AS 'SELECT 1'

-- # errors that tell of what they ran over
22012	SELECT 1 / (leaf_index - leaf_index) FROM transactions
22P02	SELECT app::int FROM transactions
42501	SELECT 1 / (SELECT count(*) - count(*) FROM OTHER.transactions)
42501	SELECT CASE WHEN (SELECT said FROM OTHER.transactions LIMIT 1) LIKE 's%' THEN 1 / 0 ELSE 1 END
42501	SELECT (SELECT said FROM OTHER.transactions LIMIT 1)::int
42501	SELECT * FROM OTHER.transactions WHERE app::int = 1

-- # functions of one's own that run on others' rows
25006	CREATE FUNCTION leak(text) RETURNS bool LANGUAGE sql AS 'SELECT true'
ok	SET default_transaction_read_only = off
42501	CREATE FUNCTION leak(text) RETURNS bool COST 0.0001 LANGUAGE plpgsql AS 'BEGIN RAISE NOTICE ''%'', $1; RETURN true; END'
42501	CREATE FUNCTION leak(text) RETURNS bool LANGUAGE sql AS 'SELECT true'
42501	CREATE OPERATOR <<< (LEFTARG = text, RIGHTARG = text, FUNCTION = texteq)
42501	CREATE AGGREGATE leak(text) (SFUNC = textcat, STYPE = text)
42501	CREATE CAST (text AS bytea) WITH INOUT
42501	CREATE DOMAIN leak AS text CHECK (VALUE <> 'x')
42501	CREATE TYPE leak AS (a int)
42501	CREATE VIEW leak AS SELECT * FROM transactions
42501	DO 'BEGIN PERFORM 1; END'
42501	DO LANGUAGE plpgsql 'BEGIN PERFORM 1; END'

-- # definitions of other kinds
ok	SET default_transaction_read_only = off
42501	CREATE FUNCTION leak(text) RETURNS bool LANGUAGE sql AS 'SELECT true'
42501	CREATE FUNCTION SELF.leak(text) RETURNS bool LANGUAGE internal AS 'texteq'
42501	CREATE VIEW SELF.leak AS SELECT 1
42501	CREATE TABLE SELF.mine (a int)
42501	CREATE TEMPORARY TABLE mine (a int)
42501	SELECT * INTO mine FROM transactions
42501	CREATE SCHEMA mine
42501	CREATE TYPE SELF.leak AS (a int)
42501	CREATE EXTENSION dblink
42501	CREATE EXTENSION file_fdw
42501	CREATE LANGUAGE plpython3u
42501	DO 'BEGIN PERFORM 1; END'
42501	ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO OTHER
42501	COMMENT ON TABLE transactions IS 'x'
42501	CREATE PUBLICATION all_of_it FOR ALL TABLES
42501	CREATE SUBSCRIPTION s CONNECTION 'host=127.0.0.1' PUBLICATION p
42501	CREATE FOREIGN DATA WRAPPER w
42501	CREATE EVENT TRIGGER t ON ddl_command_start EXECUTE FUNCTION keyward.no_definitions()
42501	DROP OWNED BY SELF
42501	REASSIGN OWNED BY SELF TO OTHER
42501	IMPORT FOREIGN SCHEMA public FROM SERVER s INTO SELF
42501	REFRESH MATERIALIZED VIEW transactions

-- # writing
25006	INSERT INTO transactions SELECT * FROM transactions
25006	TRUNCATE transactions
25006	SELECT * FROM transactions FOR UPDATE
ok	SET default_transaction_read_only = off
42501	INSERT INTO transactions SELECT * FROM transactions
42501	UPDATE transactions SET said = 'x'
42501	DELETE FROM transactions
42501	TRUNCATE transactions
42501	MERGE INTO transactions t USING records r ON true WHEN MATCHED THEN DELETE
42501	SELECT * FROM transactions FOR UPDATE
42501	COPY transactions FROM STDIN
ok	BEGIN READ WRITE
42501	INSERT INTO about SELECT * FROM about
ok	ROLLBACK
42501	DROP TABLE transactions
42501	ALTER TABLE transactions ADD COLUMN x int
42501	ALTER TABLE transactions DISABLE ROW LEVEL SECURITY
42501	ALTER TABLE transactions NO FORCE ROW LEVEL SECURITY
42501	DROP POLICY SELF ON transactions
42501	CREATE POLICY mine ON transactions USING (true)
42501	GRANT SELECT ON transactions TO OTHER
42501	CREATE INDEX ON transactions ((app::int))
42501	CREATE STATISTICS s ON app, said FROM transactions
42501	CREATE RULE r AS ON SELECT TO transactions DO INSTEAD SELECT 1
42501	CREATE TRIGGER t BEFORE INSERT ON transactions EXECUTE FUNCTION suppress_redundant_updates_trigger()
42501	REINDEX TABLE transactions

-- # being somebody else
ok	SET default_transaction_read_only = off
42501	SET ROLE OTHER
42501	SET ROLE keyward
42501	SET ROLE pg_read_all_data
42501	SET SESSION AUTHORIZATION OTHER
42501	SET SESSION AUTHORIZATION keyward
ok	RESET ROLE
ok	SET SESSION AUTHORIZATION DEFAULT
42501	SELECT set_config('role', 'OTHER', false)
42501	SELECT set_config('search_path', 'OTHER', false)
42501	UPDATE pg_settings SET setting = 'OTHER' WHERE name = 'role'
42501	ALTER ROLE SELF SUPERUSER
42501	ALTER ROLE SELF BYPASSRLS
42501	ALTER ROLE SELF CONNECTION LIMIT 1000
42501	ALTER ROLE SELF VALID UNTIL 'infinity'
0A000	ALTER ROLE SELF RENAME TO mine
42501	ALTER ROLE OTHER PASSWORD 'x'
42501	ALTER ROLE OTHER SET search_path = SELF
42501	CREATE ROLE mine
42501	GRANT pg_read_all_data TO SELF
42501	GRANT OTHER TO SELF
42501	DROP ROLE OTHER

-- # row level security turned off
ok	SET row_security = off
42501	SELECT * FROM transactions
42501	SELECT * FROM OTHER.transactions
ok	SET row_security = on
=3	SELECT count(*) FROM transactions

-- # bounds that only the server may set
ok	SET default_transaction_read_only = off
42501	SET temp_file_limit = -1
42501	SET log_statement = 'none'
42501	SET log_min_error_statement = 'panic'
42501	SET log_min_messages = 'panic'
42501	SET log_parameter_max_length = 0
42501	SET track_activities = off
42501	SET session_replication_role = 'replica'
42501	SET session_preload_libraries = 'x'
42501	SET lo_compat_privileges = on
42501	ALTER SYSTEM SET log_statement = 'none'
42501	ALTER DATABASE @ SET log_statement = 'none'
42501	ALTER ROLE SELF SET log_statement = 'none'
42501	ALTER ROLE ALL SET work_mem = '1GB'

-- # until when one's rows are shown
42501	SELECT keyward.shown_until()
42501	SELECT keyward.is_watched()
42501	SELECT last_value FROM keyward.SELF
42501	SELECT * FROM keyward.OTHER
42501	SELECT setval('keyward.SELF', 9223372036854775807)
42501	SELECT setval('keyward.OTHER', 1)
42501	SELECT nextval('keyward.SELF')
42501	SELECT lastval()
42501	SELECT pg_sequence_last_value('keyward.SELF')
42501	SELECT * FROM pg_sequence
42501	SELECT * FROM pg_sequences
42501	SELECT * FROM information_schema.sequences
ok	BEGIN
42501	LOCK TABLE keyward.SELF IN ACCESS SHARE MODE
ok	ROLLBACK
ok	SET default_transaction_read_only = off
42501	SELECT setval('keyward.SELF', 9223372036854775807)
42501	SELECT nextval('keyward.OTHER')
42501	ALTER SEQUENCE keyward.SELF RESTART WITH 9223372036854775807
42501	DROP SEQUENCE keyward.SELF
42501	CREATE SEQUENCE keyward.mine
42501	CREATE OR REPLACE FUNCTION keyward.shown_until() RETURNS timestamptz LANGUAGE sql AS 'SELECT ''infinity''::timestamptz'
42501	ALTER FUNCTION keyward.shown_until() SECURITY INVOKER
42501	CREATE OR REPLACE FUNCTION keyward.is_watched() RETURNS bool LANGUAGE sql AS 'SELECT true'
42501	ALTER POLICY SELF ON transactions USING (true)
ok	SET application_name = 'keyward-watchdog-not'
ok	BEGIN ISOLATION LEVEL REPEATABLE READ
=3	SELECT count(*) FROM transactions
=3	SELECT count(*) FROM transactions
ok	COMMIT

-- # files and programs
42501	COPY transactions TO '/tmp/keyward-escape'
42501	COPY transactions TO PROGRAM 'id'
42501	COPY transactions FROM '/etc/passwd'
42501	COPY (SELECT 1) TO '/tmp/keyward-escape'
42501	COPY (SELECT 1) TO PROGRAM 'id'
42501	SELECT pg_read_file('/etc/passwd')
42501	SELECT pg_read_file('postgresql.conf')
42501	SELECT pg_read_binary_file('PG_VERSION')
42501	SELECT pg_ls_dir('.')
42501	SELECT pg_ls_logdir()
42501	SELECT pg_ls_waldir()
42501	SELECT pg_stat_file('PG_VERSION')
42501	SELECT pg_current_logfile()
42501	LOAD 'plperl'
42501	SHOW data_directory
42501	SHOW hba_file
42501	SELECT * FROM pg_hba_file_rules
42501	SELECT * FROM pg_file_settings

-- # large objects
42501	SELECT lo_create(0)
42501	SELECT lo_creat(-1)
42501	SELECT lo_import('/etc/passwd')
42501	SELECT lo_from_bytea(0, 'x')
42501	SELECT lo_get(16384)
42501	SELECT lo_export(16384, '/tmp/keyward-escape')
42501	SELECT lo_open(16384, 262144)
42501	SELECT * FROM pg_largeobject

-- # statistics and what others do
42501	SELECT * FROM pg_stats
42501	SELECT * FROM pg_statistic
42501	SELECT * FROM pg_stats_ext
42501	SELECT most_common_vals FROM pg_stats WHERE tablename = 'transactions'
42501	SELECT * FROM pg_stat_activity
42501	SELECT query FROM pg_stat_get_activity(NULL)
42501	SELECT * FROM pg_stat_all_tables
42501	SELECT * FROM pg_stat_database
42501	SELECT * FROM pg_stat_replication
42501	SELECT * FROM pg_locks
42501	SELECT pg_stat_get_live_tuples(1259)
42501	SELECT reltuples FROM pg_class
42501	SELECT relpages FROM pg_class
42501	SELECT * FROM pg_class
42501	SELECT pg_relation_size('OTHER.transactions')
42501	SELECT pg_total_relation_size(1259)
42501	SELECT pg_database_size('@')
42883	SELECT pg_prewarm('OTHER.transactions')

-- # roles, policies, settings and definitions of others
42501	SELECT * FROM pg_authid
42501	SELECT * FROM pg_shadow
42501	SELECT * FROM pg_roles
42501	SELECT * FROM pg_user
42501	SELECT * FROM pg_auth_members
42501	SELECT * FROM pg_db_role_setting
42501	SELECT * FROM pg_policy
42501	SELECT * FROM pg_policies
42501	SELECT * FROM pg_proc
42501	SELECT * FROM pg_views
42501	SELECT * FROM pg_settings
42501	SELECT * FROM pg_shdepend
42501	SELECT * FROM pg_default_acl
42501	SELECT * FROM pg_database
42501	SELECT * FROM pg_prepared_statements
42501	SELECT * FROM pg_cursors
42501	SELECT * FROM pg_trigger
42501	SELECT * FROM pg_event_trigger
42501	SELECT * FROM pg_subscription
42501	SELECT * FROM pg_user_mappings
42501	SELECT * FROM information_schema.role_table_grants
42501	SELECT * FROM information_schema.enabled_roles
42501	SELECT * FROM information_schema.views
=0	SELECT count(*) FROM information_schema.tables WHERE table_schema NOT IN ('SELF', 'information_schema', 'pg_catalog')
=0	SELECT count(*) FROM information_schema.columns WHERE table_schema NOT IN ('SELF', 'information_schema', 'pg_catalog')

-- # functions that wait, hold or speak
42501	SELECT pg_sleep(3600)
42501	SELECT pg_sleep_for('1 hour')
42501	SELECT pg_advisory_lock(1)
42501	SELECT pg_try_advisory_lock(g) FROM generate_series(1, 1000) g
42501	SELECT pg_advisory_xact_lock(1)
42501	SELECT pg_notify('x', 'y')
42501	SELECT pg_terminate_backend(1)
42501	SELECT pg_cancel_backend(1)
42501	SELECT pg_reload_conf()
42501	SELECT pg_switch_wal()
42501	SELECT pg_export_snapshot()
42501	SELECT txid_current()
42501	SELECT pg_logical_emit_message(true, 'x', 'y')
42P01	SELECT nextval('x')
42501	SELECT random()
42501	SELECT current_setting('data_directory')
42501	SELECT query_to_xml('SELECT * FROM OTHER.transactions', true, true, '')
42501	SELECT database_to_xml(true, true, '')
42501	SELECT ts_stat('SELECT * FROM OTHER.transactions')
42501	SELECT cursor_to_xml('c', 1, true, true, '')
42501	SELECT pg_get_functiondef(1)
42501	SELECT pg_get_viewdef(1)
42501	SELECT repeat('x', 1000000000)
42883	SELECT dblink('host=127.0.0.1', 'SELECT 1')
42501	VACUUM FULL pg_catalog.pg_class, transactions, OTHER.transactions
42501	CHECKPOINT

-- # other databases of the server
ok	SET default_transaction_read_only = off
42501	ALTER DATABASE @ RENAME TO mine
42501	ALTER DATABASE @ OWNER TO SELF
42501	CREATE DATABASE mine TEMPLATE @
42501	DROP DATABASE postgres
0A000	SELECT * FROM postgres.pg_catalog.pg_class

-- # statements that are none
42601	SELEC 1
42601	SELECT * FROM transactions WHERE
42601	'; DROP TABLE transactions; --
42P01	SELECT * FROM nothing
42703	SELECT nothing FROM transactions
42601	SELECT 'unterminated
=1	SELECT 1 /* a comment -- within */

-- # transactions, locks, cursors and statements that stay
ok	BEGIN
ok	LOCK TABLE transactions IN ACCESS SHARE MODE
ok	DECLARE c CURSOR FOR SELECT leaf_index FROM transactions ORDER BY 1
=10	FETCH 1 FROM c
42501	LOCK TABLE transactions IN ACCESS EXCLUSIVE MODE
ok	ROLLBACK
ok	BEGIN
42501	LOCK TABLE transactions IN SHARE MODE
ok	ROLLBACK
ok	PREPARE mine AS SELECT count(*) FROM transactions
=3	EXECUTE mine
ok	DEALLOCATE mine
ok	DECLARE held CURSOR WITH HOLD FOR SELECT leaf_index FROM transactions ORDER BY 1
=10;20;30	FETCH ALL FROM held
ok	CLOSE held
ok	BEGIN
55000	PREPARE TRANSACTION 'mine'
ok	ROLLBACK

-- # words between sessions: PostgreSQL has no right on them. Nothing of ours is told that way, so who listens hears another
-- # reader who wants to be heard, and no row; who notifies reaches nobody else, and the words end with the sessions.
ok	NOTIFY keyward, 'words'
ok	LISTEN keyward
ok	UNLISTEN *
42501	SELECT pg_listening_channels()
42501	SELECT pg_notification_queue_usage()

-- # more memory for one's own sorts: no row of another's, and the machine's memory is bounded outside (SPEC)
ok	SET work_mem = '1GB'
=3	SELECT count(*) FROM (SELECT said FROM transactions ORDER BY said DESC) x
ok	RESET work_mem

-- # endless queries, with one's own time-out lifted
ok	SET statement_timeout = 0
57014	WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT 1 FROM n) SELECT count(*) FROM n
57014,53400	SELECT count(*) FROM generate_series(1, 100000) a, generate_series(1, 100000) b, generate_series(1, 100000) c
=3	SELECT count(*) FROM transactions
53400,57014	SELECT count(*) FROM (SELECT a FROM generate_series(1, 100000000) a ORDER BY a DESC) x
