-- What is public of dealings of closed address epochs: the cover, sealed under a key that keepers share. The ledger has the hash of
-- the one that counts.
CREATE TABLE viewing_dealings (
    account     BLOB NOT NULL CHECK (length(account) = 32),
    first_epoch INTEGER NOT NULL,
    last_epoch  INTEGER NOT NULL,
    hash        BLOB NOT NULL CHECK (length(hash) = 32),
    dealing     BLOB NOT NULL,
    kept_ms     INTEGER NOT NULL,
    PRIMARY KEY (account, first_epoch, hash)
) STRICT, WITHOUT ROWID;
