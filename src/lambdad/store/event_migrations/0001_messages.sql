-- Messages that wait, and those that were given up. A row is due at `due`; while it is leased that is when its lease
-- ends, so one index finds both what is ready and what a lost owner left behind.
CREATE TABLE messages (
    lane TEXT NOT NULL,
    id TEXT NOT NULL,
    scope TEXT NOT NULL,
    meta TEXT NOT NULL,
    accepted REAL NOT NULL,
    due REAL NOT NULL,
    leased INTEGER NOT NULL DEFAULT 0,
    epoch INTEGER NOT NULL DEFAULT 0,
    attempts INTEGER NOT NULL DEFAULT 0,
    refusals INTEGER NOT NULL DEFAULT 0,
    size INTEGER NOT NULL,
    last BLOB NOT NULL,
    payload BLOB NOT NULL,
    PRIMARY KEY (lane, id)
);

CREATE INDEX messages_due ON messages (lane, scope, due);

CREATE TABLE dead (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    lane TEXT NOT NULL,
    id TEXT NOT NULL,
    scope TEXT NOT NULL,
    meta TEXT NOT NULL,
    accepted REAL NOT NULL,
    died REAL NOT NULL,
    reason TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    size INTEGER NOT NULL,
    last BLOB NOT NULL,
    payload BLOB NOT NULL,
    UNIQUE (lane, id)
);
