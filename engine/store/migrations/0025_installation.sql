-- Who keeps things in this database, as places outside of it are told (decision 042). One row, written at the first start.
CREATE TABLE installation (
  one INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
  id TEXT NOT NULL
);
