-- What the ids of findings hang on, one for each vulnerability: an older record that joins it later renames no finding.
CREATE TABLE kept_id (
  id TEXT NOT NULL,
  PRIMARY KEY (id)
) WITHOUT ROWID;
