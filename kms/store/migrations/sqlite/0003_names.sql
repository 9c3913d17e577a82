-- Tried logins of names that nobody has, by the hash of the name: counted over all servers, like those of accounts.
CREATE TABLE unknown_names (
    name       BLOB PRIMARY KEY CHECK (length(name) = 32),
    failures   INTEGER NOT NULL,
    last_ms    INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX unknown_names_by_age ON unknown_names (expires_ms);
CREATE INDEX challenges_by_account ON challenges (account);
