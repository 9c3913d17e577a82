-- Times are milliseconds since 1970. Every secret here is sealed by the service before it comes to this file.
CREATE TABLE accounts (
    account         BLOB PRIMARY KEY CHECK (length(account) = 32),
    kind            TEXT NOT NULL,
    name            TEXT NOT NULL,
    salt            BLOB NOT NULL CHECK (length(salt) = 32),
    opaque_record   BLOB,
    credential      BLOB CHECK (credential IS NULL OR length(credential) = 32),
    state           TEXT NOT NULL CHECK (state IN ('pending', 'open', 'closed')),
    login_failures  INTEGER NOT NULL DEFAULT 0,
    login_last_ms   INTEGER NOT NULL DEFAULT 0,
    created_ms      INTEGER NOT NULL,
    UNIQUE (kind, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE registrations (
    id         BLOB PRIMARY KEY,
    name       TEXT NOT NULL,
    account    BLOB NOT NULL,
    salt       BLOB NOT NULL,
    nonce      BLOB NOT NULL,
    not_after  INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE sessions (
    token_hash  BLOB PRIMARY KEY CHECK (length(token_hash) = 32),
    account     BLOB NOT NULL REFERENCES accounts (account) ON DELETE CASCADE,
    fingerprint BLOB CHECK (fingerprint IS NULL OR length(fingerprint) = 32),
    expires_ms  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_by_account ON sessions (account);

CREATE TABLE keys (
    key_id         BLOB PRIMARY KEY CHECK (length(key_id) = 32),
    account        BLOB NOT NULL REFERENCES accounts (account),
    alias          TEXT NOT NULL,
    scheme         INTEGER NOT NULL,
    public_key     BLOB NOT NULL,
    mode           TEXT NOT NULL CHECK (mode IN ('linked', 'hosted')),
    state          TEXT NOT NULL CHECK (state IN ('pending', 'active', 'frozen')),
    version        INTEGER NOT NULL,
    sealed_private BLOB,
    token_label    TEXT,
    token_serial   TEXT,
    token_key      BLOB,
    claims         TEXT NOT NULL,
    created_ms     INTEGER NOT NULL,
    UNIQUE (account, alias),
    CHECK ((mode = 'hosted') = (sealed_private IS NOT NULL)),
    CHECK ((mode = 'linked') = (token_serial IS NOT NULL AND token_key IS NOT NULL AND token_label IS NOT NULL))
) STRICT, WITHOUT ROWID;

CREATE TABLE pins (
    token_serial TEXT NOT NULL,
    token_label  TEXT NOT NULL,
    sealed       BLOB NOT NULL,
    PRIMARY KEY (token_serial, token_label)
) STRICT, WITHOUT ROWID;

CREATE TABLE challenges (
    nonce      BLOB PRIMARY KEY CHECK (length(nonce) = 32),
    account    BLOB NOT NULL,
    scheme     INTEGER NOT NULL,
    not_after  INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE authorisations (
    key_id     BLOB NOT NULL REFERENCES keys (key_id) ON DELETE CASCADE,
    app        TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    PRIMARY KEY (key_id, app)
) STRICT, WITHOUT ROWID;

CREATE TABLE idempotency (
    principal    TEXT NOT NULL,
    key          BLOB NOT NULL,
    request_hash BLOB NOT NULL CHECK (length(request_hash) = 32),
    boot         BLOB NOT NULL,
    response     BLOB,
    created_ms   INTEGER NOT NULL,
    PRIMARY KEY (principal, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_by_age ON idempotency (created_ms);

-- An act is a change that is being recorded on the ledger and not yet settled here.
CREATE TABLE acts (
    id         BLOB PRIMARY KEY CHECK (length(id) = 32),
    kind       TEXT NOT NULL,
    subject    BLOB NOT NULL,
    detail     TEXT NOT NULL,
    until      INTEGER NOT NULL,
    created_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE intents (
    id             BLOB PRIMARY KEY CHECK (length(id) = 32),
    key_id         BLOB NOT NULL,
    r              BLOB NOT NULL CHECK (length(r) = 32),
    payload_hash   BLOB NOT NULL CHECK (length(payload_hash) = 32),
    policy         BLOB NOT NULL CHECK (length(policy) = 32),
    not_after      INTEGER NOT NULL,
    state          TEXT NOT NULL
        CHECK (state IN ('submitted', 'final', 'signed', 'released', 'late', 'refused', 'abandoned')),
    leaf_index     INTEGER,
    height         INTEGER,
    signature_hash BLOB CHECK (signature_hash IS NULL OR length(signature_hash) = 32),
    created_ms     INTEGER NOT NULL,
    CHECK ((signature_hash IS NOT NULL) = (state IN ('signed', 'released', 'late')))
) STRICT;
CREATE INDEX intents_open ON intents (created_ms) WHERE state IN ('submitted', 'final');
CREATE INDEX intents_to_release ON intents (created_ms) WHERE state = 'signed';
CREATE INDEX intents_settled ON intents (created_ms) WHERE state IN ('released', 'late', 'refused', 'abandoned');

CREATE TABLE secrets (
    name   TEXT PRIMARY KEY,
    sealed BLOB NOT NULL
) STRICT, WITHOUT ROWID;
