-- What cases of approvals are about, for those who approve, while the cases last.
CREATE TABLE approvals (
    id         BLOB PRIMARY KEY NOT NULL CHECK (length(id) = 32),
    account    BLOB NOT NULL REFERENCES accounts (account),
    principal  TEXT NOT NULL,
    case_id    BLOB UNIQUE CHECK (length(case_id) = 32),
    sealed     BLOB NOT NULL,
    used       BLOB,
    created_ms INTEGER NOT NULL,
    ends_ms    INTEGER NOT NULL
) STRICT;
CREATE INDEX approvals_by_account ON approvals (account);
CREATE INDEX approvals_by_end ON approvals (ends_ms);
CREATE TABLE approval_readers (
    id         BLOB NOT NULL REFERENCES approvals (id) ON DELETE CASCADE,
    account    BLOB NOT NULL CHECK (length(account) = 32),
    PRIMARY KEY (id, account)
) STRICT, WITHOUT ROWID;
CREATE INDEX approval_readers_by_account ON approval_readers (account);
-- Names of rules that were defined here; what they say stands on the ledger.
CREATE TABLE approval_rules (
    rule       BLOB PRIMARY KEY NOT NULL CHECK (length(rule) = 32),
    owner      BLOB NOT NULL CHECK (length(owner) = 32),
    name       BLOB NOT NULL CHECK (length(name) = 32),
    created_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX approval_rules_by_owner ON approval_rules (owner);
