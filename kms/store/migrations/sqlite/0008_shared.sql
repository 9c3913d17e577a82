-- Keys of mode `shared`: the person and keepers hold shares of them; here is what is public of one, nothing else.
-- Runs without foreign keys: the table of keys is made anew, because SQLite cannot change a constraint in place.
CREATE TABLE keys_anew (
    key_id         BLOB PRIMARY KEY CHECK (length(key_id) = 32),
    account        BLOB NOT NULL REFERENCES accounts (account),
    alias          TEXT NOT NULL,
    version        INTEGER NOT NULL,
    scheme         INTEGER NOT NULL,
    public_key     BLOB NOT NULL,
    mode           TEXT NOT NULL CHECK (mode IN ('linked', 'hosted', 'self', 'shared')),
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
    shared         BLOB,
    UNIQUE (account, alias, version),
    CHECK (mode <> 'hosted' OR state = 'destroyed' OR sealed_private IS NOT NULL),
    CHECK (mode = 'hosted' OR (sealed_private IS NULL AND kek = '')),
    CHECK ((mode = 'linked') = (token_serial IS NOT NULL AND token_key IS NOT NULL AND token_label IS NOT NULL)),
    CHECK (mode = 'linked' OR agent IS NULL),
    CHECK ((mode = 'shared') = (shared IS NOT NULL))
) STRICT, WITHOUT ROWID;
INSERT INTO keys_anew (key_id, account, alias, version, scheme, public_key, mode, state, changed_ms, successor, labels,
                       revision, sealed_private, kek, token_label, token_serial, token_key, agent, claims, created_ms)
SELECT key_id, account, alias, version, scheme, public_key, mode, state, changed_ms, successor, labels,
       revision, sealed_private, kek, token_label, token_serial, token_key, agent, claims, created_ms
FROM keys;
DROP TABLE keys;
ALTER TABLE keys_anew RENAME TO keys;
CREATE INDEX keys_scheduled ON keys (changed_ms) WHERE state = 'scheduled';
