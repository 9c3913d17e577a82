-- What owners are told of that waits for a veto: one row for each way that it is told.
CREATE TABLE notices (
    id         BLOB PRIMARY KEY CHECK (length(id) = 32),
    account    BLOB NOT NULL REFERENCES accounts (account),
    kind       TEXT NOT NULL CHECK (kind IN ('recovery-opened', 'delegates-appointed', 'delegates-revoked', 'contact-changed')),
    subject    BLOB NOT NULL CHECK (length(subject) = 32),
    channel    TEXT NOT NULL CHECK (channel IN ('webhook', 'mail', 'mail-before')),
    sealed     BLOB,
    since_ms   INTEGER NOT NULL,
    until_ms   INTEGER NOT NULL,
    state      TEXT NOT NULL CHECK (state IN ('waiting', 'delivered', 'given-up')),
    tries      INTEGER NOT NULL,
    created_ms INTEGER NOT NULL,
    next_ms    INTEGER NOT NULL,
    CHECK (state = 'waiting' OR sealed IS NULL)
) STRICT, WITHOUT ROWID;
CREATE INDEX notices_due ON notices (next_ms) WHERE state = 'waiting';
CREATE INDEX notices_old ON notices (created_ms);
