-- Vaults that were sealed through this service: their ids alone, so that they end with their account.
CREATE TABLE vaults (
    account    BLOB NOT NULL REFERENCES accounts (account),
    vault      BLOB NOT NULL CHECK (length(vault) = 32),
    state      TEXT NOT NULL CHECK (state IN ('pending', 'sealed', 'ended')),
    ended_leaf INTEGER,
    created_ms INTEGER NOT NULL,
    PRIMARY KEY (account, vault),
    CHECK (state = 'ended' OR ended_leaf IS NULL)
) STRICT, WITHOUT ROWID;
CREATE INDEX vaults_left ON vaults (account) WHERE state <> 'ended';

-- Secrets of one-time codes: a fresh one that nobody has confirmed, beside the one that counts.
CREATE TABLE one_time_codes (
    account   BLOB NOT NULL REFERENCES accounts (account),
    state     TEXT NOT NULL CHECK (state IN ('fresh', 'live')),
    sealed    BLOB NOT NULL,
    kek       TEXT NOT NULL,
    last_step INTEGER NOT NULL,
    failures  INTEGER NOT NULL,
    last_ms   INTEGER NOT NULL,
    PRIMARY KEY (account, state)
) STRICT, WITHOUT ROWID;
