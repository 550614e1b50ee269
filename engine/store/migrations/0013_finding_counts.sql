-- How many findings there are of each kind, in an image and in all of a tenant: nobody counts rows to show a number.
CREATE TABLE finding_count (
  tenant TEXT NOT NULL,
  digest TEXT NOT NULL,
  severity TEXT NOT NULL,
  badge TEXT NOT NULL,
  reach TEXT NOT NULL,
  findings INTEGER NOT NULL,
  PRIMARY KEY (tenant, digest, severity, badge, reach)
) WITHOUT ROWID;
INSERT INTO finding_count
  SELECT tenant, digest, severity, badge, reach, count(*) FROM finding GROUP BY tenant, digest, severity, badge, reach;

CREATE TABLE finding_total (
  tenant TEXT NOT NULL,
  severity TEXT NOT NULL,
  badge TEXT NOT NULL,
  reach TEXT NOT NULL,
  findings INTEGER NOT NULL,
  PRIMARY KEY (tenant, severity, badge, reach)
) WITHOUT ROWID;
INSERT INTO finding_total
  SELECT tenant, severity, badge, reach, count(*) FROM finding GROUP BY tenant, severity, badge, reach;

-- Pages are put together from the worst of each kind that is asked for.
CREATE INDEX finding_kind ON finding (tenant, severity, badge, reach, rank, id);
DROP INDEX finding_rank;
