ALTER TABLE policy_rev ADD COLUMN description TEXT NOT NULL DEFAULT '';

-- waivers of the API; those of Policy objects are part of their revisions
CREATE TABLE waiver (
  tenant TEXT NOT NULL,
  id TEXT NOT NULL,
  body TEXT NOT NULL,              -- the waiver as JSON
  created_by TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  withdrawn_by TEXT,
  withdrawn_at INTEGER,
  PRIMARY KEY (tenant, id)
);

CREATE TABLE vex_document (
  tenant TEXT NOT NULL,
  id TEXT NOT NULL,                -- SHA-256 of the document, hex
  body TEXT NOT NULL,              -- as it came
  actor TEXT NOT NULL,
  at INTEGER NOT NULL,
  PRIMARY KEY (tenant, id)
);

-- what the report was made from, JSON; empty for reports of earlier versions
ALTER TABLE report ADD COLUMN made_from TEXT NOT NULL DEFAULT '';
