-- What schemas said, by version. Times are microseconds since the epoch.
CREATE TABLE schemas (
    name    TEXT NOT NULL,
    version INTEGER NOT NULL,
    content TEXT NOT NULL,
    at      INTEGER NOT NULL,
    PRIMARY KEY (name, version)
) STRICT, WITHOUT ROWID;
