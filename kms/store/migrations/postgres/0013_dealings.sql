-- What is public of dealings of closed address epochs: the cover, sealed under a key that keepers share. The ledger has the hash of
-- the one that counts.
CREATE TABLE viewing_dealings (
    account     BYTEA NOT NULL CHECK (length(account) = 32),
    first_epoch BIGINT NOT NULL,
    last_epoch  BIGINT NOT NULL,
    hash        BYTEA NOT NULL CHECK (length(hash) = 32),
    dealing     BYTEA NOT NULL,
    kept_ms     BIGINT NOT NULL,
    PRIMARY KEY (account, first_epoch, hash)
);
