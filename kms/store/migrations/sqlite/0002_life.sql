-- Versions, states and labels of keys; profiles; jobs of agents; several servers over one database.
-- Runs without foreign keys: the table of keys is made anew, because SQLite cannot change a constraint in place.
CREATE TABLE keys_anew (
    key_id         BLOB PRIMARY KEY CHECK (length(key_id) = 32),
    account        BLOB NOT NULL REFERENCES accounts (account),
    alias          TEXT NOT NULL,
    version        INTEGER NOT NULL,
    scheme         INTEGER NOT NULL,
    public_key     BLOB NOT NULL,
    mode           TEXT NOT NULL CHECK (mode IN ('linked', 'hosted')),
    state          TEXT NOT NULL
        CHECK (state IN ('pending', 'active', 'frozen', 'superseded', 'scheduled', 'destroyed')),
    changed_ms     INTEGER NOT NULL,
    successor      BLOB CHECK (successor IS NULL OR length(successor) = 32),
    labels         TEXT NOT NULL DEFAULT '{}',
    revision       INTEGER NOT NULL DEFAULT 1,
    sealed_private BLOB,
    kek            TEXT NOT NULL DEFAULT '',
    token_label    TEXT,
    token_serial   TEXT,
    token_key      BLOB,
    agent          TEXT,
    claims         TEXT NOT NULL,
    created_ms     INTEGER NOT NULL,
    UNIQUE (account, alias, version),
    CHECK (mode <> 'hosted' OR state = 'destroyed' OR sealed_private IS NOT NULL),
    CHECK (mode = 'hosted' OR (sealed_private IS NULL AND kek = '')),
    CHECK ((mode = 'linked') = (token_serial IS NOT NULL AND token_key IS NOT NULL AND token_label IS NOT NULL)),
    CHECK (mode = 'linked' OR agent IS NULL)
) STRICT, WITHOUT ROWID;
INSERT INTO keys_anew (key_id, account, alias, version, scheme, public_key, mode, state, changed_ms, sealed_private,
                       token_label, token_serial, token_key, claims, created_ms)
SELECT key_id, account, alias, version, scheme, public_key, mode, state, created_ms, sealed_private,
       token_label, token_serial, token_key, claims, created_ms
FROM keys;
DROP TABLE keys;
ALTER TABLE keys_anew RENAME TO keys;
CREATE INDEX keys_scheduled ON keys (changed_ms) WHERE state = 'scheduled';

-- What `labels` says, for searching.
CREATE TABLE key_labels (
    key_id BLOB NOT NULL REFERENCES keys (key_id) ON DELETE CASCADE,
    label  TEXT NOT NULL,
    value  TEXT NOT NULL,
    PRIMARY KEY (key_id, label)
) STRICT, WITHOUT ROWID;
CREATE INDEX key_labels_by_value ON key_labels (label, value);

-- Runs of the service; a row stays until its run left or another noticed that it ended.
CREATE TABLE servers (
    boot      BLOB PRIMARY KEY CHECK (length(boot) = 16),
    name      TEXT NOT NULL,
    submitter BLOB NOT NULL UNIQUE CHECK (length(submitter) = 32)
) STRICT, WITHOUT ROWID;

-- Rows that are older than these columns get zeros: the first server that enters takes them over.
ALTER TABLE idempotency ADD COLUMN ticket BLOB NOT NULL DEFAULT X'00000000000000000000000000000000';
ALTER TABLE acts ADD COLUMN boot BLOB NOT NULL DEFAULT X'00000000000000000000000000000000';
ALTER TABLE acts ADD COLUMN principal TEXT;
ALTER TABLE acts ADD COLUMN mark BLOB;
ALTER TABLE acts ADD COLUMN ticket BLOB;
CREATE INDEX acts_by_boot ON acts (boot);
ALTER TABLE intents ADD COLUMN submitter BLOB NOT NULL
    DEFAULT X'0000000000000000000000000000000000000000000000000000000000000000';
ALTER TABLE intents ADD COLUMN key_revision INTEGER NOT NULL DEFAULT 0;
DROP INDEX intents_open;
DROP INDEX intents_to_release;
CREATE INDEX intents_open ON intents (submitter, created_ms) WHERE state IN ('submitted', 'final');
CREATE INDEX intents_to_release ON intents (submitter, created_ms) WHERE state = 'signed';

CREATE TABLE profiles (
    account    BLOB PRIMARY KEY REFERENCES accounts (account),
    sealed_key BLOB NOT NULL,
    kek        TEXT NOT NULL,
    body       BLOB NOT NULL,
    erased_ms  INTEGER,
    CHECK ((erased_ms IS NULL) = (length(sealed_key) > 0))
) STRICT, WITHOUT ROWID;

CREATE TABLE agent_jobs (
    id         BLOB PRIMARY KEY CHECK (length(id) = 32),
    agent      TEXT NOT NULL,
    kind       TEXT NOT NULL,
    body       BLOB NOT NULL,
    state      TEXT NOT NULL CHECK (state IN ('waiting', 'taken', 'answered', 'refused', 'expired')),
    answer     BLOB,
    created_ms INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX agent_jobs_open ON agent_jobs (agent, created_ms) WHERE state IN ('waiting', 'taken');
CREATE INDEX agent_jobs_by_age ON agent_jobs (expires_ms);
