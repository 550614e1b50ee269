-- The names of an image that its signatures and SBOMs are of: digests and references, as a JSON list. An index may list other images
-- beside the one that somebody signed. What was found before is looked for anew.
ALTER TABLE signature_check ADD COLUMN signed_names TEXT NOT NULL DEFAULT '[]';
ALTER TABLE signature_check ADD COLUMN sbom_names TEXT NOT NULL DEFAULT '[]';
UPDATE signature_check SET retry_at = checked_at WHERE checked_at > 0 AND (signed <> 0 OR sbom <> 0);
