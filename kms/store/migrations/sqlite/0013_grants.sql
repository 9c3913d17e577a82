-- What grants were asked for, sealed; what they open stands on the ledger.
CREATE TABLE audit_grants (
    grant_id     BLOB PRIMARY KEY NOT NULL CHECK (length(grant_id) = 32),
    account      BLOB NOT NULL CHECK (length(account) = 32),
    purpose      BLOB NOT NULL,
    requested_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX audit_grants_by_account ON audit_grants (account, requested_ms);
CREATE INDEX audit_grants_by_time ON audit_grants (requested_ms);
-- Grants whose approvers a server has looked at as persons, while the ledger still showed who they are.
CREATE TABLE audit_grants_looked_at (
    grant_id     BLOB PRIMARY KEY NOT NULL CHECK (length(grant_id) = 32)
) STRICT, WITHOUT ROWID;
