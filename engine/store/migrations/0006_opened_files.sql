-- Whether what a container opened was watched from its start, beside what it loaded.
ALTER TABLE observed ADD COLUMN openings INTEGER NOT NULL DEFAULT 0;
