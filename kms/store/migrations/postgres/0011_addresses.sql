-- Unlinkable addresses: whose they are and where their root lies, sealed under a key of the account's own; the epochs of each
-- account, with what closes one until it is closed; and the addresses that were given out, found or used.
CREATE TABLE address_accounts (
    account     BYTEA PRIMARY KEY NOT NULL CHECK (length(account) = 32),
    custody     TEXT NOT NULL CHECK (custody IN ('hosted', 'own')),
    state       TEXT NOT NULL CHECK (state IN ('pending', 'chosen', 'kept', 'erased')),
    epoch_ms    BIGINT NOT NULL CHECK (epoch_ms > 0),
    sealed_key  BYTEA NOT NULL,
    kek         TEXT NOT NULL,
    sealed_root BYTEA NOT NULL,
    last_ms     BIGINT NOT NULL,
    created_ms  BIGINT NOT NULL
);
CREATE TABLE address_epochs (
    account      BYTEA NOT NULL CHECK (length(account) = 32),
    epoch        BIGINT NOT NULL,
    given        BIGINT NOT NULL,
    sealed       BYTEA,
    leaf_pin     BYTEA CHECK (length(leaf_pin) = 32),
    spending_pin BYTEA CHECK (length(spending_pin) = 32),
    closing      BYTEA,
    closed_leaf  BIGINT,
    PRIMARY KEY (account, epoch)
);
CREATE INDEX address_epochs_open ON address_epochs (epoch) WHERE closed_leaf IS NULL;
CREATE TABLE addresses (
    public_key  BYTEA NOT NULL CHECK (length(public_key) = 33),
    account     BYTEA NOT NULL CHECK (length(account) = 32),
    epoch       BIGINT NOT NULL,
    number      BIGINT,
    payment     BYTEA CHECK (length(payment) = 50),
    intent      BYTEA CHECK (length(intent) = 32),
    used_epoch  BIGINT,
    leaf_index  BIGINT,
    leaf_hash   BYTEA CHECK (length(leaf_hash) = 32),
    created_ms  BIGINT NOT NULL,
    CHECK ((number IS NULL) <> (payment IS NULL)),
    PRIMARY KEY (account, public_key)
);
CREATE UNIQUE INDEX addresses_by_time ON addresses (account, created_ms);
CREATE UNIQUE INDEX addresses_by_number ON addresses (account, epoch, number) WHERE number IS NOT NULL;
CREATE INDEX addresses_by_use ON addresses (account, used_epoch) WHERE used_epoch IS NOT NULL;
-- A release that is held back, so that it does not tell when what signs had answered.
ALTER TABLE intents ADD COLUMN held_until_ms BIGINT NOT NULL DEFAULT 0;
