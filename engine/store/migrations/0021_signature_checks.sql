-- What was found of the signatures of images, by whom they were asked for. Whoever is believed, and by which trust root, stands
-- in the name of the authority, so that another key or root is another row.
CREATE TABLE signature_check (
  tenant TEXT NOT NULL,
  digest TEXT NOT NULL,
  authority TEXT NOT NULL,         -- bare hex digest
  signed INTEGER NOT NULL,
  sbom INTEGER NOT NULL,
  detail TEXT NOT NULL,            -- why not
  failure TEXT NOT NULL,           -- why the last look told nothing; empty when it did
  failures INTEGER NOT NULL,       -- looks in a row that found nothing new against it, or nothing at all
  checked_at INTEGER NOT NULL,     -- 0 while no look told anything
  expires_at INTEGER NOT NULL,
  retry_at INTEGER NOT NULL,
  PRIMARY KEY (tenant, digest, authority)
);
