-- Unlinkable addresses: whose they are and where their root lies, sealed under a key of the account's own; the epochs of each
-- account, with what closes one until it is closed; and the addresses that were given out, found or used.
CREATE TABLE address_accounts (
    account     BLOB PRIMARY KEY NOT NULL CHECK (length(account) = 32),
    custody     TEXT NOT NULL CHECK (custody IN ('hosted', 'own')),
    state       TEXT NOT NULL CHECK (state IN ('pending', 'chosen', 'kept', 'erased')),
    epoch_ms    INTEGER NOT NULL CHECK (epoch_ms > 0),
    sealed_key  BLOB NOT NULL,
    kek         TEXT NOT NULL,
    sealed_root BLOB NOT NULL,
    last_ms     INTEGER NOT NULL,
    created_ms  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE address_epochs (
    account      BLOB NOT NULL CHECK (length(account) = 32),
    epoch        INTEGER NOT NULL,
    given        INTEGER NOT NULL,
    sealed       BLOB,
    leaf_pin     BLOB CHECK (leaf_pin IS NULL OR length(leaf_pin) = 32),
    spending_pin BLOB CHECK (spending_pin IS NULL OR length(spending_pin) = 32),
    closing      BLOB,
    closed_leaf  INTEGER,
    PRIMARY KEY (account, epoch)
) STRICT, WITHOUT ROWID;
CREATE INDEX address_epochs_open ON address_epochs (epoch) WHERE closed_leaf IS NULL;
CREATE TABLE addresses (
    public_key  BLOB NOT NULL CHECK (length(public_key) = 33),
    account     BLOB NOT NULL CHECK (length(account) = 32),
    epoch       INTEGER NOT NULL,
    number      INTEGER,
    payment     BLOB CHECK (payment IS NULL OR length(payment) = 50),
    intent      BLOB CHECK (intent IS NULL OR length(intent) = 32),
    used_epoch  INTEGER,
    leaf_index  INTEGER,
    leaf_hash   BLOB CHECK (leaf_hash IS NULL OR length(leaf_hash) = 32),
    created_ms  INTEGER NOT NULL,
    CHECK ((number IS NULL) <> (payment IS NULL)),
    PRIMARY KEY (account, public_key)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX addresses_by_time ON addresses (account, created_ms);
CREATE UNIQUE INDEX addresses_by_number ON addresses (account, epoch, number) WHERE number IS NOT NULL;
CREATE INDEX addresses_by_use ON addresses (account, used_epoch) WHERE used_epoch IS NOT NULL;
-- A release that is held back, so that it does not tell when what signs had answered.
ALTER TABLE intents ADD COLUMN held_until_ms INTEGER NOT NULL DEFAULT 0;
