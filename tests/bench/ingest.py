"""Runtime events into the operator, and whether all that it accepted outlives a kill -9."""

import http.client
import json
import os
import sqlite3
import sys
import threading
import time

from lib import (
    FEEDS, SECONDS, folder, forget_memory_peak, free_port, line, memory_peak, middle, processor_seconds, program, quantile,
    server, wait_ready,
)

CONNECTIONS, BATCH, CONTAINERS = 4, 256, 1000


def event(connection, number):
    """One event; BATCH stands for the batch's number, so that each batch has ids of its own."""
    container = (connection * BATCH + number) % CONTAINERS
    start = number % 8 == 0
    body = {
        "eventId": f"bench-{connection}-BATCH-{number}", "when": "WHEN",
        "kind": "ContainerStart" if start else "LibrariesLoaded",
        "tenant": "default", "node": f"node-{connection}", "runtime": {"engine": "containerd", "version": "2.0.0"},
        "workload": {
            "platform": "kubernetes", "namespace": "shop", "pod": f"web-{container}", "container": "web",
            "containerId": f"containerd://{container:064x}", "imageRef": f"registry.example/shop/web:{container % 20}",
        },
        "annotations": {"stella.imageDigest": f"sha256:{container % 20:064x}"},
    }
    if start:
        body["process"] = {"pid": 1000 + number, "entrypoint": ["/usr/bin/python3", "/srv/app.py"]}
    else:
        paths = (f"/usr/lib/x86_64-linux-gnu/libsample{(number * 2 + at) % 60}.so.1" for at in (0, 1))
        body["loadedLibs"] = [{"path": path, "inode": 4096 + number, "sha256": f"sha256:{number:064x}"} for path in paths]
    return {"schemaVersion": "zastava.runtime.event@v1", "event": body}


def template(connection):
    events = [event(connection, number) for number in range(BATCH)]
    return json.dumps({"batchId": f"bench-{connection}-BATCH", "events": events}, separators=(",", ":")).encode()


class Sender(threading.Thread):
    """Sends one batch after the other until the operator is gone."""

    def __init__(self, port, number):
        super().__init__(daemon=True)
        self.port, self.number = port, number
        self.accepted, self.taken, self.refused = [], [], []

    def run(self):
        body, batch = template(self.number), 0
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        while True:
            now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()).encode()
            content = body.replace(b"BATCH", b"%d" % batch).replace(b"WHEN", now)
            started = time.perf_counter()
            try:
                connection.request("POST", "/api/v1/runtime/events", content, {"Content-Type": "application/json"})
                answer = connection.getresponse()
                text = answer.read()
            except (OSError, http.client.HTTPException):
                return
            if answer.status != 202 or json.loads(text)["accepted"] != BATCH:
                self.refused.append(text[:300])
                return
            self.taken.append(time.perf_counter() - started)
            self.accepted.append(batch)
            batch += 1


def appended(path, batches):
    """Events a second when the same bytes are appended to a file, each batch made durable."""
    content = template(0)
    started = time.perf_counter()
    with open(path, "wb") as file:
        for _ in range(batches):
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    return batches * BATCH / (time.perf_counter() - started)


def kept(database):
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    try:
        return {row[0] for row in connection.execute("SELECT id FROM event")}
    finally:
        connection.close()


def load(command, url, port, log):
    """The senders, the seconds, processor seconds, and memory; ends with kill -9 while batches are under way."""
    with server(command, log) as operator:
        wait_ready(operator, url, log)
        senders = [Sender(port, number) for number in range(CONNECTIONS)]
        forget_memory_peak(operator.pid)
        memory_before = memory_peak(operator.pid)
        before, started = processor_seconds(operator.pid), time.perf_counter()
        for sender in senders:
            sender.start()
        while time.perf_counter() - started < SECONDS and all(sender.is_alive() for sender in senders):
            time.sleep(0.05)
        spent, memory = processor_seconds(operator.pid) - before, memory_peak(operator.pid)
        operator.kill()
        seconds = time.perf_counter() - started
        for sender in senders:
            sender.join(35)
    refused = [text for sender in senders for text in sender.refused]
    if refused:
        sys.exit(f"a batch was not taken: {refused[0]!r}")
    return senders, seconds, spent, (memory_before, memory)


def main():
    with folder() as work:
        os.mkdir(f"{work}/manifests")
        port, log = free_port(), f"{work}/operator.log"
        url = f"http://127.0.0.1:{port}/readyz"
        command = [
            program("stella-operator"), "serve", "--manifests", f"{work}/manifests", "--data", f"{work}/data", "--feeds", FEEDS,
            "--listen", f"127.0.0.1:{port}", "--allow-anonymous",
        ]
        senders, seconds, spent, (before, memory) = load(command, url, port, log)
        taken = [seconds for sender in senders for seconds in sender.taken]
        rate, floor = len(taken) * BATCH / seconds, appended(f"{work}/floor", min(len(taken), 400))
        line(
            "ingest", f"{CONNECTIONS} connections, batches of {BATCH}, {seconds:.0f} s",
            f"{rate:,.0f} events/s, {before:.0f} to {memory:.0f} MiB",
            f"appended with fsync {floor:,.0f} events/s: {rate / floor:.2f} of it", "100,000 events/s",
        )
        line(
            "ingest", "a batch", f"p50 {middle(taken) * 1000:.1f} ms, p99 {quantile(taken, 0.99) * 1000:.1f} ms",
            f"{spent / (len(taken) * BATCH) * 1e6:.0f} us of processor an event",
        )
        with server(command, log) as operator:
            wait_ready(operator, url, log)
            found = kept(f"{work}/data/stella.db")
        accepted = {
            f"bench-{sender.number}-{batch}-{number}"
            for sender in senders for batch in sender.accepted for number in range(BATCH)
        }
        missing = len(accepted - found)
        line("ingest", "kill -9 under load, and a new start", f"{missing} of {len(accepted):,} missing", "", "none missing")
        if missing:
            sys.exit("accepted events are missing")


main()
