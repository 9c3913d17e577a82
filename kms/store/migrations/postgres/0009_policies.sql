-- Texts of the tenant's policy sets by their hash, the versions that the ledger put in force, and requests that were decided
-- lately, sealed, some together in a row.
CREATE TABLE policy_texts (
    hash       BYTEA PRIMARY KEY NOT NULL CHECK (length(hash) = 32),
    text       TEXT NOT NULL,
    kept_ms    BIGINT NOT NULL
);
CREATE TABLE policy_versions (
    version    BIGINT PRIMARY KEY NOT NULL,
    hash       BYTEA NOT NULL CHECK (length(hash) = 32),
    account    BYTEA CHECK (length(account) = 32),
    kept_ms    BIGINT NOT NULL
);
CREATE TABLE policy_requests (
    id         BIGINT PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    sealed     BYTEA NOT NULL,
    kept_ms    BIGINT NOT NULL
);
