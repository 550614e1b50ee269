-- Names of Secrets that a scan may pull its image with; never what is in them.
CREATE TABLE scan_pull_secrets (
  tenant TEXT NOT NULL,
  scan TEXT NOT NULL,
  namespace TEXT NOT NULL,
  secrets TEXT NOT NULL,           -- a JSON array of names
  service_account TEXT,            -- whose own pull secrets count too
  PRIMARY KEY (tenant, scan, namespace)
);
