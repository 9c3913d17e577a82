-- Texts of the tenant's policy sets by their hash, the versions that the ledger put in force, and requests that were decided
-- lately, sealed, some together in a row.
CREATE TABLE policy_texts (
    hash       BLOB PRIMARY KEY NOT NULL CHECK (length(hash) = 32),
    text       TEXT NOT NULL,
    kept_ms    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE policy_versions (
    version    INTEGER PRIMARY KEY NOT NULL,
    hash       BLOB NOT NULL CHECK (length(hash) = 32),
    account    BLOB CHECK (account IS NULL OR length(account) = 32),
    kept_ms    INTEGER NOT NULL
) STRICT;
CREATE TABLE policy_requests (
    id         INTEGER PRIMARY KEY NOT NULL,
    sealed     BLOB NOT NULL,
    kept_ms    INTEGER NOT NULL
) STRICT;
