-- When a finding first appeared stands with it: one tree less for each. What is remembered of those that are gone stands apart.
ALTER TABLE finding ADD COLUMN first_seen INTEGER NOT NULL DEFAULT 0;
UPDATE finding SET first_seen = coalesce(
  (SELECT s.first_seen FROM finding_seen s WHERE s.tenant = finding.tenant AND s.id = finding.id), 0);

CREATE TABLE finding_gone (
  tenant TEXT NOT NULL,
  id TEXT NOT NULL,
  first_seen INTEGER NOT NULL,
  PRIMARY KEY (tenant, id)
) WITHOUT ROWID;
INSERT INTO finding_gone
  SELECT s.tenant, s.id, s.first_seen FROM finding_seen s
  WHERE NOT EXISTS (SELECT 1 FROM finding f WHERE f.tenant = s.tenant AND f.id = s.id);
DROP TABLE finding_seen;
