-- derived: what was observed of the same package in other images of the repository
ALTER TABLE finding ADD COLUMN inherited_reach TEXT NOT NULL DEFAULT 'unknown';
ALTER TABLE finding ADD COLUMN inherited TEXT NOT NULL DEFAULT '[]';
