"""What the server answers: which layers are missing, and the scan of an SBOM of 500 packages."""

import hashlib
import http.client
import json
import os
import sys
import threading
import time

import data
from lib import FEEDS, SECONDS, folder, line, middle, operator, processor_seconds, quantile

CONNECTIONS, RATE, DIGESTS, SCANS = 4, 1000, 100, 200


class Asker(threading.Thread):
    """Asks at a fixed pace; an answer is timed from the moment its question was due."""

    def __init__(self, port, number, seconds):
        super().__init__(daemon=True)
        self.port, self.number, self.seconds = port, number, seconds
        self.taken, self.wrong = [], 0

    def run(self):
        digests = ["sha256:" + hashlib.sha256(f"{self.number}-{at}".encode()).hexdigest() for at in range(DIGESTS)]
        body = json.dumps({"layers": digests}).encode()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        start, pace = time.perf_counter(), CONNECTIONS / RATE
        for at in range(int(self.seconds / pace)):
            due = start + at * pace
            if (early := due - time.perf_counter()) > 0:
                time.sleep(early)
            connection.request("POST", "/layers/missing", body, {"Content-Type": "application/json"})
            answer = connection.getresponse().read()
            self.taken.append(time.perf_counter() - due)
            self.wrong += json.loads(answer)["missing"] != digests if at == 0 else len(answer) < DIGESTS * 71


def health(port, seconds):
    """The same pace for an answer that asks no database."""
    taken = []
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    for _ in range(int(seconds * 100)):
        started = time.perf_counter()
        connection.request("GET", "/healthz")
        connection.getresponse().read()
        taken.append(time.perf_counter() - started)
    return taken


def layers(child, port):
    before = processor_seconds(child.pid)
    askers = [Asker(port, number, SECONDS) for number in range(CONNECTIONS)]
    started = time.perf_counter()
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    rate = sum(len(asker.taken) for asker in askers) / (time.perf_counter() - started)
    spent = processor_seconds(child.pid) - before
    taken = [seconds * 1000 for asker in askers for seconds in asker.taken]
    floor = [seconds * 1000 for seconds in health(port, 5)]
    line(
        "server", f"layers/missing, {DIGESTS} digests, {rate:,.0f} a second",
        f"p50 {middle(taken):.2f} ms, p99 {quantile(taken, 0.99):.2f} ms",
        f"healthz alone p50 {middle(floor):.2f} ms, p99 {quantile(floor, 0.99):.2f} ms; {spent / len(taken) * 1e6:.0f} us each",
        "p99 under 2 ms",
    )
    if any(asker.wrong for asker in askers):
        sys.exit("layers nobody sent were not missing")


def made(work, port, vulnerable):
    """Packages picked from the feeds, in the oldest version they name: a handful of them has hundreds of findings."""
    known = data.sbom(f"{work}/bom.json", FEEDS, 500, vulnerable)
    with open(f"{work}/bom.json", encoding="utf-8") as file:
        scans(port, f"500 packages, {known} in the feeds", json.load(file))


def published(port, name):
    document = data.published(FEEDS, name, 500)
    if document is None:
        print(f"server: the data has no SBOM of {name}; it is left out", file=sys.stderr)
        return
    scans(port, f"{len(document['components'])} packages of {name}", document)


def scans(port, what, document):
    connection, taken, findings = http.client.HTTPConnection("127.0.0.1", port, timeout=60), [], 0
    for at in range(SCANS):
        # Another document each time, so that nothing is answered from what is known.
        version = f"{len(what)}.0.{at}"
        document["components"][-1] = {"type": "library", "name": "sample", "version": version, "purl": f"pkg:npm/sample@{version}"}
        body = json.dumps(document).encode()
        started = time.perf_counter()
        connection.request("POST", "/scan", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read()
        taken.append((time.perf_counter() - started) * 1000)
        if answer.status != 200:
            sys.exit(f"a scan was refused: {text[:300]!r}")
        findings = sum(json.loads(text)["summary"].values())
    line(
        "server", f"scan of {what}, {findings} findings",
        f"p50 {middle(taken):.1f} ms, p99 {quantile(taken, 0.99):.1f} ms", f"{len(body) / 1024:.0f} KiB each, kept on disk", "p50 under 5 ms",
    )


def main():
    with folder() as work, operator(work) as (child, port):
        layers(child, port)
        for name in ("juice-shop-11.1.2", "juice-shop-npm-flat", "keycloak-10.0.2"):
            published(port, name)
        made(work, port, 20)
        made(work, port, 250)


main()
