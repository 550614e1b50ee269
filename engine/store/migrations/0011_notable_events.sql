-- The kind of events that people ask for; empty for those that are only folded into what is known of containers.
ALTER TABLE event ADD COLUMN kind TEXT NOT NULL DEFAULT '';
CREATE INDEX event_notable ON event (tenant, kind, at, id) WHERE kind <> '';
