"""New advisories: how long until every stored image that they may concern has been matched again."""

import http.client
import json
import os
import random
import shutil
import sqlite3
import sys
import time

import data
from lib import FEEDS, folder, line, operator

IMAGES = int(os.environ.get("BENCH_IMAGES", "10000"))
PACKAGES, KNOWN, NEWS = 120, 30, 1000


def documents(known):
    """Images of packages of which some are known to the feeds, as many as in an ordinary service."""
    chance = random.Random(7)
    for image in range(IMAGES):
        packages = chance.sample(known, min(KNOWN, len(known)))
        packages += [(f"sample-{chance.randrange(5000)}", "1.0.0", None) for _ in range(PACKAGES - len(packages))]
        components = [
            {"type": "library", "name": name, "version": version, "purl": purl or f"pkg:npm/{name}@{version}"}
            for name, version, purl in packages
        ]
        components.append({"type": "library", "name": f"app-{image}", "version": "1", "purl": f"pkg:npm/app-{image}@1"})
        yield json.dumps({"bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1, "components": components}).encode()


def send(port, bodies):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    for body in bodies:
        connection.request("POST", "/scan", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read()
        if answer.status != 200:
            sys.exit(f"a scan was refused: {text[:300]!r}")


def news(feeds):
    """Advisories for packages of the samples; each concerns a few of the images."""
    os.makedirs(f"{feeds}/osv/npm", exist_ok=True)
    for number in range(NEWS):
        record = {
            "id": f"GHSA-news-{number:04}", "modified": "2030-01-01T00:00:00Z", "summary": "news",
            "affected": [{"package": {"ecosystem": "npm", "name": f"sample-{number}"},
                          "ranges": [{"type": "SEMVER", "events": [{"introduced": "0"}, {"fixed": "2.0.0"}]}]}],
        }
        with open(f"{feeds}/osv/npm/GHSA-news-{number:04}.json", "w", encoding="utf-8") as file:
            json.dump(record, file)


def generations(database):
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    try:
        return dict(connection.execute("SELECT coalesce(matched_generation, ''), count(*) FROM image GROUP BY 1"))
    finally:
        connection.close()


def main():
    with folder() as work:
        feeds, database = f"{work}/feeds", f"{work}/data/stella.db"
        shutil.copytree(FEEDS, feeds)
        known = data.vulnerable(FEEDS, "PyPI", "pypi", 200)
        with operator(work, feeds) as (_, port):
            started = time.perf_counter()
            send(port, documents(known))
            loaded = time.perf_counter() - started
            (old,) = generations(database)
            news(feeds)
            written, in_use = time.perf_counter(), None
            while True:
                counts = generations(database)
                if in_use is None and set(counts) != {old}:
                    in_use = time.perf_counter()
                if old not in counts and len(counts) == 1:
                    break
                if time.perf_counter() - written > 900:
                    sys.exit(f"not done: {counts}")
                time.sleep(0.05)
            ended = time.perf_counter()
        line(
            "rematch", f"{IMAGES:,} images of {PACKAGES + 1} packages, {NEWS:,} new advisories",
            f"{ended - in_use:.1f} s", f"scanned anew they took {loaded:.0f} s; {in_use - written:.0f} s until the index is in use",
            "10,000 images in 60 s",
        )


main()
