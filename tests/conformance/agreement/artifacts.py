"""The table by which jars that tell no coordinates are named: Trivy's Java database, of just the artifacts in the image `java`.

The real one has tens of millions of rows; what counts here is that a jar is named as it was published.
"""

import hashlib
import json
import os
import sqlite3
import sys
import tarfile

ARTIFACTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "images", "java", "artifacts.txt")
# Where the image has the jars that were downloaded, each under `artifact-version.jar`.
JARS = "srv/java/lib"
# As Trivy makes it.
SCHEMA = """
CREATE TABLE artifacts(id INTEGER PRIMARY KEY, group_id TEXT, artifact_id TEXT);
CREATE TABLE indices(artifact_id INTEGER, version TEXT, sha1 BLOB, archive_type TEXT,
  foreign key (artifact_id) references artifacts(id));
CREATE UNIQUE INDEX artifacts_idx ON artifacts(artifact_id, group_id);
CREATE UNIQUE INDEX indices_sha1_idx ON indices(sha1);
"""
# Always the same, so that the same image gives the same table.
METADATA = {"Version": 1, "NextUpdate": "2024-01-02T00:00:00Z", "UpdatedAt": "2024-01-01T00:00:00Z"}


def coordinates(path=ARTIFACTS):
    """Group, artifact and version of everything that is downloaded."""
    with open(path, encoding="utf-8") as file:
        lines = (line.partition("#")[0].strip() for line in file)
        return [tuple(line.split(":")) for line in lines if line]


def checksums(layer):
    """File name to SHA-1 of the jars in a layer."""
    found = {}
    with tarfile.open(layer) as bundle:
        for entry in bundle:
            folder, name = os.path.split(os.path.normpath(entry.name))
            if entry.isfile() and folder == JARS:
                found[name] = hashlib.sha1(bundle.extractfile(entry).read()).digest()
    return found


def write(folder, layer):
    """Writes the table and its age into a folder of feeds, from the layer that has the jars."""
    sums = checksums(layer)
    path = os.path.join(folder, "trivy-java.db")
    os.makedirs(folder, exist_ok=True)
    if os.path.exists(path):
        os.remove(path)
    database = sqlite3.connect(path)
    with database:
        database.executescript(SCHEMA)
        for number, (group, artifact, version) in enumerate(coordinates(), 1):
            name = f"{artifact}-{version}.jar"
            if name not in sums:
                sys.exit(f"agreement: {layer} has no {JARS}/{name}, which {ARTIFACTS} names")
            database.execute("INSERT INTO artifacts VALUES (?, ?, ?)", (number, group, artifact))
            database.execute("INSERT INTO indices VALUES (?, ?, ?, 'jar')", (number, version, sums[name]))
    database.close()
    with open(os.path.join(folder, "metadata.json"), "w", encoding="utf-8") as file:
        json.dump(METADATA, file)
