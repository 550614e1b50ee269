-- What the authority keeps: clients, users, refresh tokens, revocations, failures, proofs that were seen.
CREATE TABLE authority_record (
    kind       TEXT NOT NULL,
    id         TEXT NOT NULL,
    body       TEXT NOT NULL,
    -- Milliseconds; never when absent.
    expires_at INTEGER,
    PRIMARY KEY (kind, id)
);

CREATE INDEX authority_record_expires ON authority_record (expires_at);

-- What replicas of the API leave of each caller's requests a second.
CREATE TABLE rate_bucket (
    id    TEXT    NOT NULL PRIMARY KEY,
    -- Thousandths of a request; below zero when replicas spent before they asked.
    level INTEGER NOT NULL,
    at    INTEGER NOT NULL
);

-- Scans a token asked for on a day.
CREATE TABLE quota_use (
    id   TEXT    NOT NULL,
    -- Midnight, in milliseconds.
    day  INTEGER NOT NULL,
    used INTEGER NOT NULL,
    PRIMARY KEY (id, day)
);

-- First answers to requests with an Idempotency-Key.
CREATE TABLE idempotent (
    id         TEXT    NOT NULL PRIMARY KEY,
    -- Digest of what was asked.
    request    TEXT    NOT NULL,
    -- Absent while the first one is being answered.
    answer     BLOB,
    expires_at INTEGER NOT NULL
);

CREATE INDEX idempotent_expires ON idempotent (expires_at);

-- Which process works on a scan, and until when it is believed to live.
CREATE TABLE scan_lease (
    tenant  TEXT    NOT NULL,
    scan    TEXT    NOT NULL,
    attempt INTEGER NOT NULL,
    owner   TEXT    NOT NULL,
    until   INTEGER NOT NULL,
    -- Processes that began this attempt.
    tries   INTEGER NOT NULL,
    PRIMARY KEY (tenant, scan)
);
