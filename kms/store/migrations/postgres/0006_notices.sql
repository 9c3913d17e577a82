-- What owners are told of that waits for a veto: one row for each way that it is told.
CREATE TABLE notices (
    id         BYTEA PRIMARY KEY CHECK (length(id) = 32),
    account    BYTEA NOT NULL REFERENCES accounts (account),
    kind       TEXT NOT NULL CHECK (kind IN ('recovery-opened', 'delegates-appointed', 'delegates-revoked', 'contact-changed')),
    subject    BYTEA NOT NULL CHECK (length(subject) = 32),
    channel    TEXT NOT NULL CHECK (channel IN ('webhook', 'mail', 'mail-before')),
    sealed     BYTEA,
    since_ms   BIGINT NOT NULL,
    until_ms   BIGINT NOT NULL,
    state      TEXT NOT NULL CHECK (state IN ('waiting', 'delivered', 'given-up')),
    tries      BIGINT NOT NULL,
    created_ms BIGINT NOT NULL,
    next_ms    BIGINT NOT NULL,
    CHECK (state = 'waiting' OR sealed IS NULL)
);
CREATE INDEX notices_due ON notices (next_ms) WHERE state = 'waiting';
CREATE INDEX notices_old ON notices (created_ms);
