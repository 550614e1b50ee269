-- The names of an image that its signatures and SBOMs are of: digests and references, as a JSON list. An index may list other images
-- beside the one that somebody signed. NULL where they are not known yet: of what was found before, which is looked for anew at once.
ALTER TABLE signature_check ADD COLUMN signed_names TEXT;
ALTER TABLE signature_check ADD COLUMN sbom_names TEXT;
-- The repositories that these lie in, as a JSON list.
ALTER TABLE signature_check ADD COLUMN signed_places TEXT NOT NULL DEFAULT '[]';
ALTER TABLE signature_check ADD COLUMN sbom_places TEXT NOT NULL DEFAULT '[]';
-- When the last look ended, whatever it told.
ALTER TABLE signature_check ADD COLUMN looked_at INTEGER NOT NULL DEFAULT 0;
UPDATE signature_check SET looked_at = checked_at;
-- Due since it was found (it counts for seven days). The beginning of time would have it forgotten before anybody looks.
UPDATE signature_check SET retry_at = expires_at - 604800000
  WHERE (signed <> 0 OR sbom <> 0) AND retry_at > expires_at - 604800000;
