-- What the agent of each node says of itself, as it said it last.
CREATE TABLE node (
  tenant TEXT NOT NULL,            -- the agent's own; those of a cluster say the default one
  node TEXT NOT NULL,
  heard_at INTEGER NOT NULL,
  body TEXT NOT NULL,
  PRIMARY KEY (tenant, node)
);
CREATE INDEX observed_node ON observed (tenant, node);
