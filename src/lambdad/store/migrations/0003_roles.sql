-- IAM's roles and the policies of an account's own. IAM has no regions, and its names differ by more than case.
CREATE TABLE roles (
    account TEXT NOT NULL,
    name TEXT NOT NULL COLLATE NOCASE,
    document TEXT NOT NULL,
    PRIMARY KEY (account, name)
);

CREATE TABLE managed_policies (
    account TEXT NOT NULL,
    name TEXT NOT NULL COLLATE NOCASE,
    document TEXT NOT NULL,
    PRIMARY KEY (account, name)
);

-- Accounts that have ever made a role: every other account's roles are made up when somebody asks.
CREATE TABLE accounts_with_roles (
    account TEXT PRIMARY KEY
);
