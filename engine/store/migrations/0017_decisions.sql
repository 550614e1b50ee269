-- What webhooks decided, for a week. The size stands in the key, so that sums of it are of the index alone.
CREATE TABLE decision (
  tenant TEXT NOT NULL,
  at INTEGER NOT NULL,
  id TEXT NOT NULL,                -- the digest of the record
  bytes INTEGER NOT NULL,          -- of the record
  body TEXT NOT NULL,
  PRIMARY KEY (tenant, at, id, bytes)
);
