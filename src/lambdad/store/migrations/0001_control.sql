-- What the control plane keeps. Portable SQL: the same tables serve SQLite and PostgreSQL.
-- `document` columns hold one record of lambdad.model as JSON; columns beside it are what queries select on.

CREATE TABLE functions (
    account TEXT NOT NULL,
    region TEXT NOT NULL,
    name TEXT NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (account, region, name)
);

-- number: 0 is $LATEST. code_size: bytes of the zip.
CREATE TABLE versions (
    account TEXT NOT NULL,
    region TEXT NOT NULL,
    function TEXT NOT NULL,
    number INTEGER NOT NULL,
    code_size BIGINT NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (account, region, function, number)
);

CREATE TABLE aliases (
    account TEXT NOT NULL,
    region TEXT NOT NULL,
    function TEXT NOT NULL,
    name TEXT NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (account, region, function, name)
);

-- kind: which record of lambdad.model.settings, see lambdad.store.settings.
CREATE TABLE function_settings (
    account TEXT NOT NULL,
    region TEXT NOT NULL,
    function TEXT NOT NULL,
    kind TEXT NOT NULL,
    qualifier TEXT NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (account, region, function, kind, qualifier)
);

-- Outlives its versions, so that numbers are never used twice.
CREATE TABLE layers (
    account TEXT NOT NULL,
    region TEXT NOT NULL,
    name TEXT NOT NULL,
    next_version INTEGER NOT NULL,
    PRIMARY KEY (account, region, name)
);

CREATE TABLE layer_versions (
    account TEXT NOT NULL,
    region TEXT NOT NULL,
    layer TEXT NOT NULL,
    number INTEGER NOT NULL,
    code_size BIGINT NOT NULL,
    document TEXT NOT NULL,
    policy TEXT,
    PRIMARY KEY (account, region, layer, number)
);

CREATE TABLE tags (
    account TEXT NOT NULL,
    region TEXT NOT NULL,
    resource TEXT NOT NULL,
    tag TEXT NOT NULL,
    content TEXT NOT NULL,
    PRIMARY KEY (account, region, resource, tag)
);

CREATE TABLE mappings (
    account TEXT NOT NULL,
    region TEXT NOT NULL,
    uuid TEXT NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (account, region, uuid)
);

CREATE TABLE code_signing_configs (
    account TEXT NOT NULL,
    region TEXT NOT NULL,
    id TEXT NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (account, region, id)
);
