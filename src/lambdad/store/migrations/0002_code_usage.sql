-- The bytes of all versions of an account in a region, kept as a sum: every creation asks for it.
CREATE TABLE code_usage (
    account TEXT NOT NULL,
    region TEXT NOT NULL,
    code_size BIGINT NOT NULL,
    PRIMARY KEY (account, region)
);

INSERT INTO code_usage (account, region, code_size)
SELECT account, region, SUM(code_size) FROM versions GROUP BY account, region;
