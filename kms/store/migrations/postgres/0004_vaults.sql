-- Vaults that were sealed through this service: their ids alone, so that they end with their account.
CREATE TABLE vaults (
    account    BYTEA NOT NULL REFERENCES accounts (account),
    vault      BYTEA NOT NULL CHECK (length(vault) = 32),
    state      TEXT NOT NULL CHECK (state IN ('pending', 'sealed', 'ended')),
    ended_leaf BIGINT,
    created_ms BIGINT NOT NULL,
    PRIMARY KEY (account, vault),
    CHECK (state = 'ended' OR ended_leaf IS NULL)
);
CREATE INDEX vaults_left ON vaults (account) WHERE state <> 'ended';

-- Secrets of one-time codes: a fresh one that nobody has confirmed, beside the one that counts.
CREATE TABLE one_time_codes (
    account   BYTEA NOT NULL REFERENCES accounts (account),
    state     TEXT NOT NULL CHECK (state IN ('fresh', 'live')),
    sealed    BYTEA NOT NULL,
    kek       TEXT NOT NULL,
    last_step BIGINT NOT NULL,
    failures  BIGINT NOT NULL,
    last_ms   BIGINT NOT NULL,
    PRIMARY KEY (account, state)
);
