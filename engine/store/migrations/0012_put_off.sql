-- How often the image could not be read for a reason that passes. A lease without an owner: not before `until`.
ALTER TABLE scan_lease ADD COLUMN failures INTEGER NOT NULL DEFAULT 0;
