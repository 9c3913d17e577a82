-- Times are milliseconds since 1970. Every secret here is sealed by the service before it comes to this database.
-- The same tables as SQLite's, in PostgreSQL's words; names are compared byte by byte.
CREATE TABLE accounts (
    account         BYTEA PRIMARY KEY CHECK (length(account) = 32),
    kind            TEXT COLLATE "C" NOT NULL,
    name            TEXT COLLATE "C" NOT NULL,
    salt            BYTEA NOT NULL CHECK (length(salt) = 32),
    opaque_record   BYTEA,
    credential      BYTEA CHECK (credential IS NULL OR length(credential) = 32),
    state           TEXT NOT NULL CHECK (state IN ('pending', 'open', 'closed')),
    login_failures  BIGINT NOT NULL DEFAULT 0,
    login_last_ms   BIGINT NOT NULL DEFAULT 0,
    created_ms      BIGINT NOT NULL,
    UNIQUE (kind, name)
);

CREATE TABLE registrations (
    id         BYTEA PRIMARY KEY,
    name       TEXT NOT NULL,
    account    BYTEA NOT NULL,
    salt       BYTEA NOT NULL,
    nonce      BYTEA NOT NULL,
    not_after  BIGINT NOT NULL,
    expires_ms BIGINT NOT NULL
);

CREATE TABLE sessions (
    token_hash  BYTEA PRIMARY KEY CHECK (length(token_hash) = 32),
    account     BYTEA NOT NULL REFERENCES accounts (account) ON DELETE CASCADE,
    fingerprint BYTEA CHECK (fingerprint IS NULL OR length(fingerprint) = 32),
    expires_ms  BIGINT NOT NULL
);
CREATE INDEX sessions_by_account ON sessions (account);

CREATE TABLE keys (
    key_id         BYTEA PRIMARY KEY CHECK (length(key_id) = 32),
    account        BYTEA NOT NULL REFERENCES accounts (account),
    alias          TEXT COLLATE "C" NOT NULL,
    version        BIGINT NOT NULL,
    scheme         BIGINT NOT NULL,
    public_key     BYTEA NOT NULL,
    mode           TEXT NOT NULL CHECK (mode IN ('linked', 'hosted')),
    state          TEXT NOT NULL
        CHECK (state IN ('pending', 'active', 'frozen', 'superseded', 'scheduled', 'destroyed')),
    changed_ms     BIGINT NOT NULL,
    successor      BYTEA CHECK (successor IS NULL OR length(successor) = 32),
    labels         TEXT NOT NULL DEFAULT '{}',
    revision       BIGINT NOT NULL DEFAULT 1,
    sealed_private BYTEA,
    kek            TEXT NOT NULL DEFAULT '',
    token_label    TEXT,
    token_serial   TEXT,
    token_key      BYTEA,
    agent          TEXT,
    claims         TEXT NOT NULL,
    created_ms     BIGINT NOT NULL,
    CONSTRAINT keys_account_alias_version UNIQUE (account, alias, version),
    CHECK (mode <> 'hosted' OR state = 'destroyed' OR sealed_private IS NOT NULL),
    CHECK (mode = 'hosted' OR (sealed_private IS NULL AND kek = '')),
    CHECK ((mode = 'linked') = (token_serial IS NOT NULL AND token_key IS NOT NULL AND token_label IS NOT NULL)),
    CHECK (mode = 'linked' OR agent IS NULL)
);
CREATE INDEX keys_scheduled ON keys (changed_ms) WHERE state = 'scheduled';

CREATE TABLE key_labels (
    key_id BYTEA NOT NULL REFERENCES keys (key_id) ON DELETE CASCADE,
    label  TEXT COLLATE "C" NOT NULL,
    value  TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (key_id, label)
);
CREATE INDEX key_labels_by_value ON key_labels (label, value);

CREATE TABLE pins (
    token_serial TEXT NOT NULL,
    token_label  TEXT NOT NULL,
    sealed       BYTEA NOT NULL,
    PRIMARY KEY (token_serial, token_label)
);

CREATE TABLE challenges (
    nonce      BYTEA PRIMARY KEY CHECK (length(nonce) = 32),
    account    BYTEA NOT NULL,
    scheme     BIGINT NOT NULL,
    not_after  BIGINT NOT NULL,
    expires_ms BIGINT NOT NULL
);

CREATE TABLE authorisations (
    key_id     BYTEA NOT NULL REFERENCES keys (key_id) ON DELETE CASCADE,
    app        TEXT COLLATE "C" NOT NULL,
    created_ms BIGINT NOT NULL,
    PRIMARY KEY (key_id, app)
);

CREATE TABLE idempotency (
    principal    TEXT COLLATE "C" NOT NULL,
    key          BYTEA NOT NULL,
    request_hash BYTEA NOT NULL CHECK (length(request_hash) = 32),
    boot         BYTEA NOT NULL,
    ticket       BYTEA NOT NULL,
    response     BYTEA,
    created_ms   BIGINT NOT NULL,
    PRIMARY KEY (principal, key)
);
CREATE INDEX idempotency_by_age ON idempotency (created_ms);

-- Runs of the service; a row stays until its run left or another noticed that it ended.
CREATE TABLE servers (
    boot      BYTEA PRIMARY KEY CHECK (length(boot) = 16),
    name      TEXT NOT NULL,
    submitter BYTEA NOT NULL UNIQUE CHECK (length(submitter) = 32)
);

-- An act is a change that is being recorded on the ledger and not yet settled here.
CREATE TABLE acts (
    id         BYTEA PRIMARY KEY CHECK (length(id) = 32),
    kind       TEXT NOT NULL,
    subject    BYTEA NOT NULL,
    detail     TEXT NOT NULL,
    until      BIGINT NOT NULL,
    created_ms BIGINT NOT NULL,
    boot       BYTEA NOT NULL,
    principal  TEXT,
    mark       BYTEA,
    ticket     BYTEA
);
CREATE INDEX acts_by_boot ON acts (boot);

CREATE TABLE intents (
    id             BYTEA PRIMARY KEY CHECK (length(id) = 32),
    key_id         BYTEA NOT NULL,
    r              BYTEA NOT NULL CHECK (length(r) = 32),
    payload_hash   BYTEA NOT NULL CHECK (length(payload_hash) = 32),
    policy         BYTEA NOT NULL CHECK (length(policy) = 32),
    not_after      BIGINT NOT NULL,
    state          TEXT NOT NULL
        CHECK (state IN ('submitted', 'final', 'signed', 'released', 'late', 'refused', 'abandoned')),
    leaf_index     BIGINT,
    height         BIGINT,
    signature_hash BYTEA CHECK (signature_hash IS NULL OR length(signature_hash) = 32),
    created_ms     BIGINT NOT NULL,
    submitter      BYTEA NOT NULL CHECK (length(submitter) = 32),
    key_revision   BIGINT NOT NULL,
    CHECK ((signature_hash IS NOT NULL) = (state IN ('signed', 'released', 'late')))
);
CREATE INDEX intents_open ON intents (submitter, created_ms) WHERE state IN ('submitted', 'final');
CREATE INDEX intents_to_release ON intents (submitter, created_ms) WHERE state = 'signed';
CREATE INDEX intents_settled ON intents (created_ms)
    WHERE state IN ('released', 'late', 'refused', 'abandoned');

CREATE TABLE secrets (
    name   TEXT PRIMARY KEY,
    sealed BYTEA NOT NULL
);

CREATE TABLE profiles (
    account    BYTEA PRIMARY KEY REFERENCES accounts (account),
    sealed_key BYTEA NOT NULL,
    kek        TEXT NOT NULL,
    body       BYTEA NOT NULL,
    erased_ms  BIGINT,
    CHECK ((erased_ms IS NULL) = (length(sealed_key) > 0))
);

CREATE TABLE agent_jobs (
    id         BYTEA PRIMARY KEY CHECK (length(id) = 32),
    agent      TEXT COLLATE "C" NOT NULL,
    kind       TEXT NOT NULL,
    body       BYTEA NOT NULL,
    state      TEXT NOT NULL CHECK (state IN ('waiting', 'taken', 'answered', 'refused', 'expired')),
    answer     BYTEA,
    created_ms BIGINT NOT NULL,
    expires_ms BIGINT NOT NULL
);
CREATE INDEX agent_jobs_open ON agent_jobs (agent, created_ms) WHERE state IN ('waiting', 'taken');
CREATE INDEX agent_jobs_by_age ON agent_jobs (expires_ms);
