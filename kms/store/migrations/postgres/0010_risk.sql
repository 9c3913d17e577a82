-- Risk: what each account has done, sealed, one row of a bounded size for each, whose revision two servers agree by; the versions of
-- the tenant's rules that the ledger put in force (their texts are among those of policy sets, by hashes that cannot meet); and
-- requests that were judged lately, sealed, some together in a row.
CREATE TABLE risk_histories (
    account    BYTEA PRIMARY KEY NOT NULL CHECK (length(account) = 32),
    revision   BIGINT NOT NULL,
    sealed     BYTEA NOT NULL
);
CREATE TABLE risk_versions (
    version    BIGINT PRIMARY KEY NOT NULL,
    hash       BYTEA NOT NULL CHECK (length(hash) = 32),
    account    BYTEA CHECK (length(account) = 32),
    kept_ms    BIGINT NOT NULL
);
CREATE TABLE risk_requests (
    id         BIGINT PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    sealed     BYTEA NOT NULL,
    kept_ms    BIGINT NOT NULL
);
