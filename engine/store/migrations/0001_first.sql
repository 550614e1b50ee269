-- Instants are milliseconds since 1970; documents are JSON text, inventories zstd-compressed JSON.
-- Truth unless marked derived.

CREATE TABLE layer_inv (
  tenant TEXT NOT NULL,            -- '' for layers that the product read itself
  diff_id TEXT NOT NULL,
  analyzer INTEGER NOT NULL,
  body BLOB NOT NULL,
  PRIMARY KEY (tenant, diff_id, analyzer)
);

CREATE TABLE image (
  tenant TEXT NOT NULL,
  digest TEXT NOT NULL,
  reference TEXT,
  way TEXT NOT NULL,               -- layers, rootfs, registry, upload, sbom
  inventory BLOB NOT NULL,
  read_at INTEGER NOT NULL,
  matched_generation TEXT,         -- of the index that its findings come from
  matched_at INTEGER,
  PRIMARY KEY (tenant, digest)
);

CREATE TABLE image_alias (
  tenant TEXT NOT NULL,
  name TEXT NOT NULL,              -- a digest, or a reference as a node resolved it
  digest TEXT NOT NULL,
  seen_at INTEGER NOT NULL,
  PRIMARY KEY (tenant, name)
);
CREATE INDEX image_alias_digest ON image_alias (tenant, digest);

-- derived: from the image's inventory and the index
CREATE TABLE finding (
  tenant TEXT NOT NULL,
  id TEXT NOT NULL,
  digest TEXT NOT NULL,
  rank INTEGER NOT NULL,           -- ascending is worst first
  severity TEXT NOT NULL,
  advisory_id TEXT NOT NULL,
  names TEXT NOT NULL,             -- every id, upper case, for searching
  component INTEGER NOT NULL,
  purl TEXT NOT NULL,
  kev INTEGER NOT NULL,
  fixed INTEGER NOT NULL,
  reach TEXT NOT NULL,
  reach_reason TEXT NOT NULL,
  evidence TEXT NOT NULL,
  badge TEXT NOT NULL,
  verdict TEXT NOT NULL,
  body TEXT NOT NULL,
  PRIMARY KEY (tenant, id)
);
CREATE INDEX finding_rank ON finding (tenant, rank, id);
CREATE INDEX finding_image ON finding (tenant, digest, rank, id);

CREATE TABLE finding_seen (
  tenant TEXT NOT NULL,
  id TEXT NOT NULL,
  first_seen INTEGER NOT NULL,
  PRIMARY KEY (tenant, id)
);

CREATE TABLE event (
  tenant TEXT NOT NULL,
  id TEXT NOT NULL,
  at INTEGER NOT NULL,
  body TEXT NOT NULL,
  PRIMARY KEY (tenant, id)
) WITHOUT ROWID;
CREATE INDEX event_at ON event (at);

CREATE TABLE observed (
  tenant TEXT NOT NULL,
  container TEXT NOT NULL,
  image TEXT NOT NULL,             -- digest or reference, as reported
  image_ref TEXT NOT NULL,
  node TEXT NOT NULL,
  namespace TEXT NOT NULL,
  pod TEXT NOT NULL,
  name TEXT NOT NULL,
  entrypoint TEXT NOT NULL,        -- path of the first process
  started_at INTEGER NOT NULL,
  from_start INTEGER NOT NULL,
  gap TEXT,
  stopped_at INTEGER,
  PRIMARY KEY (tenant, container)
);
CREATE INDEX observed_image ON observed (tenant, image);

CREATE TABLE loaded (
  tenant TEXT NOT NULL,
  container TEXT NOT NULL,
  path TEXT NOT NULL,
  first_seen INTEGER NOT NULL,
  body TEXT NOT NULL,
  PRIMARY KEY (tenant, container, path)
) WITHOUT ROWID;

CREATE TABLE scan (
  tenant TEXT NOT NULL,
  id TEXT NOT NULL,
  attempt INTEGER NOT NULL,
  status TEXT NOT NULL,
  reference TEXT,
  asked_digest TEXT,
  digest TEXT,
  source TEXT NOT NULL,
  node TEXT,
  force INTEGER NOT NULL,
  metadata TEXT NOT NULL,
  failure TEXT,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  deadline INTEGER NOT NULL,
  PRIMARY KEY (tenant, id)
);
CREATE INDEX scan_open ON scan (status, created_at);

CREATE TABLE scan_event (
  tenant TEXT NOT NULL,
  scan TEXT NOT NULL,
  sequence INTEGER NOT NULL,
  state TEXT NOT NULL,
  message TEXT NOT NULL,
  at INTEGER NOT NULL,
  data TEXT NOT NULL,
  PRIMARY KEY (tenant, scan, sequence)
);

CREATE TABLE policy_rev (
  tenant TEXT NOT NULL,
  number INTEGER NOT NULL,
  name TEXT NOT NULL,              -- namespace/name of the object, or 'import'
  digest TEXT NOT NULL,
  source TEXT NOT NULL,
  actor TEXT NOT NULL,
  at INTEGER NOT NULL,
  priority INTEGER NOT NULL,
  body TEXT NOT NULL,
  active INTEGER NOT NULL,
  PRIMARY KEY (tenant, number)
);
CREATE INDEX policy_active ON policy_rev (active, tenant, name);

-- since when an image is blocked in a scope, and where it ran at that moment
CREATE TABLE verdict (
  tenant TEXT NOT NULL,
  scope TEXT NOT NULL,
  digest TEXT NOT NULL,
  verdict TEXT NOT NULL,
  since INTEGER NOT NULL,
  ran_in TEXT NOT NULL,
  PRIMARY KEY (tenant, scope, digest)
);

CREATE TABLE report (
  tenant TEXT NOT NULL,
  id TEXT NOT NULL,
  digest TEXT NOT NULL,
  at INTEGER NOT NULL,
  body TEXT NOT NULL,
  PRIMARY KEY (tenant, id)
);

CREATE TABLE export_run (
  tenant TEXT NOT NULL,
  id TEXT NOT NULL,
  profile TEXT NOT NULL,
  status TEXT NOT NULL,
  started_at INTEGER NOT NULL,
  completed_at INTEGER,
  body TEXT NOT NULL,
  PRIMARY KEY (tenant, id)
);

CREATE TABLE object_seen (
  kind TEXT NOT NULL,
  uid TEXT NOT NULL,
  namespace TEXT NOT NULL,
  name TEXT NOT NULL,
  body TEXT NOT NULL,
  PRIMARY KEY (kind, uid)
);
