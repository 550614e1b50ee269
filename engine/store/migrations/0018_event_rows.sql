-- Events lie in the order in which they came, beside an index of their ids. In a tree ordered by ids each row was a node of the tree, and
-- whoever put a new one in split a page for every few of them.
CREATE TABLE event_row (
  tenant TEXT NOT NULL,
  id TEXT NOT NULL,
  at INTEGER NOT NULL,
  kind TEXT NOT NULL DEFAULT '',
  body TEXT NOT NULL,
  PRIMARY KEY (tenant, id)
);
INSERT INTO event_row (tenant, id, at, kind, body) SELECT tenant, id, at, kind, body FROM event;
DROP TABLE event;
ALTER TABLE event_row RENAME TO event;
CREATE INDEX event_at ON event (at);
CREATE INDEX event_notable ON event (tenant, kind, at, id) WHERE kind <> '';
