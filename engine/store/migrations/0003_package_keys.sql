-- derived: hashes of the packages to look up for the image, sorted, eight bytes each, little endian; absent where not known
ALTER TABLE image ADD COLUMN package_keys BLOB;
