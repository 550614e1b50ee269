-- Digests of the image's layers, 32 bytes each; absent where not known.
ALTER TABLE image ADD COLUMN layers BLOB;

-- Layers that no stored image consists of, and since when that was seen. Whoever asks is told that they are missing.
CREATE TABLE layer_unused (
  tenant TEXT NOT NULL,
  diff_id TEXT NOT NULL,
  analyzer INTEGER NOT NULL,
  since INTEGER NOT NULL,
  PRIMARY KEY (tenant, diff_id, analyzer)
) WITHOUT ROWID;

CREATE INDEX verdict_image ON verdict (tenant, digest);
CREATE INDEX scan_image ON scan (tenant, digest) WHERE digest IS NOT NULL;

-- The scan that the report tells of; empty where findings were supplied. And when it was last asked for, to a day.
ALTER TABLE report ADD COLUMN scan TEXT NOT NULL DEFAULT '';
ALTER TABLE report ADD COLUMN asked_at INTEGER NOT NULL DEFAULT 0;
UPDATE report SET asked_at = at, scan = coalesce(
  (SELECT min(s.id) FROM scan s WHERE s.tenant = report.tenant AND s.digest = report.digest
     AND report.body LIKE '%"' || s.id || '"%'), '');
CREATE INDEX report_image ON report (tenant, digest, asked_at, id);
CREATE INDEX report_scan ON report (tenant, scan) WHERE scan <> '';

-- Which replica forgets what is old: the one that wrote this, until then.
CREATE TABLE forgetting (
  name TEXT NOT NULL PRIMARY KEY,
  until INTEGER NOT NULL
);
