-- What is large may lie outside of the database, under its digest (decision 039).
ALTER TABLE layer_inv ADD COLUMN blob TEXT;
CREATE INDEX layer_inv_blob ON layer_inv (blob) WHERE blob IS NOT NULL;

-- Every blob that was begun to be written, whether it came to be referred to or not.
CREATE TABLE blob (
  digest TEXT NOT NULL,
  unused INTEGER,                    -- since when nothing refers to it
  PRIMARY KEY (digest)
);
