-- Risk: what each account has done, sealed, one row of a bounded size for each, whose revision two servers agree by; the versions of
-- the tenant's rules that the ledger put in force (their texts are among those of policy sets, by hashes that cannot meet); and
-- requests that were judged lately, sealed, some together in a row.
CREATE TABLE risk_histories (
    account    BLOB PRIMARY KEY NOT NULL CHECK (length(account) = 32),
    revision   INTEGER NOT NULL,
    sealed     BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE risk_versions (
    version    INTEGER PRIMARY KEY NOT NULL,
    hash       BLOB NOT NULL CHECK (length(hash) = 32),
    account    BLOB CHECK (account IS NULL OR length(account) = 32),
    kept_ms    INTEGER NOT NULL
) STRICT;
CREATE TABLE risk_requests (
    id         INTEGER PRIMARY KEY NOT NULL,
    sealed     BLOB NOT NULL,
    kept_ms    INTEGER NOT NULL
) STRICT;
