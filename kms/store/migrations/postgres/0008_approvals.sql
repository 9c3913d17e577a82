-- What cases of approvals are about, for those who approve, while the cases last.
CREATE TABLE approvals (
    id         BYTEA PRIMARY KEY NOT NULL CHECK (length(id) = 32),
    account    BYTEA NOT NULL REFERENCES accounts (account),
    principal  TEXT NOT NULL,
    case_id    BYTEA UNIQUE CHECK (length(case_id) = 32),
    sealed     BYTEA NOT NULL,
    used       BYTEA,
    created_ms BIGINT NOT NULL,
    ends_ms    BIGINT NOT NULL
);
CREATE INDEX approvals_by_account ON approvals (account);
CREATE INDEX approvals_by_end ON approvals (ends_ms);
CREATE TABLE approval_readers (
    id         BYTEA NOT NULL REFERENCES approvals (id) ON DELETE CASCADE,
    account    BYTEA NOT NULL CHECK (length(account) = 32),
    PRIMARY KEY (id, account)
);
CREATE INDEX approval_readers_by_account ON approval_readers (account);
-- Names of rules that were defined here; what they say stands on the ledger.
CREATE TABLE approval_rules (
    rule       BYTEA PRIMARY KEY NOT NULL CHECK (length(rule) = 32),
    owner      BYTEA NOT NULL CHECK (length(owner) = 32),
    name       BYTEA NOT NULL CHECK (length(name) = 32),
    created_ms BIGINT NOT NULL
);
CREATE INDEX approval_rules_by_owner ON approval_rules (owner);
