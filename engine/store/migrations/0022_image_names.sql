-- The names of an image are asked for in their order. Without it in the index, SQLite took the index of names for the order's sake, and
-- passed over every name of the tenant.
DROP INDEX image_alias_digest;
CREATE INDEX image_alias_digest ON image_alias (tenant, digest, name);
