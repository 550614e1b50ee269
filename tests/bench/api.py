"""A read over the API with everything around it, beside a bare axum handler; and the memory of a server that idles."""

import base64
import http.client
import json
import os
import sys
import threading
import time

from lib import (
    FEEDS, SECONDS, folder, free_port, line, memory_now, middle, processor_seconds, program, quantile, server, wait_ready,
)

CONNECTIONS = 4


class Reader(threading.Thread):
    """Asks the same again and again, as fast as it is answered."""

    def __init__(self, port, path, headers):
        super().__init__(daemon=True)
        self.port, self.path, self.headers = port, path, headers
        self.taken, self.wrong = [], None

    def run(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        end = time.perf_counter() + SECONDS / 2
        while (started := time.perf_counter()) < end:
            connection.request("GET", self.path, headers=self.headers)
            answer = connection.getresponse()
            text = answer.read()
            if answer.status != 200:
                self.wrong = text[:300]
                return
            self.taken.append((time.perf_counter() - started) * 1000)


def read(process, port, path, headers):
    """Microseconds of processor a request, and the milliseconds each took."""
    readers = [Reader(port, path, headers) for _ in range(CONNECTIONS)]
    before = processor_seconds(process.pid)
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    spent = processor_seconds(process.pid) - before
    wrong = [reader.wrong for reader in readers if reader.wrong]
    if wrong:
        sys.exit(f"a read was refused: {wrong[0]!r}")
    taken = [milliseconds for reader in readers for milliseconds in reader.taken]
    return spent / len(taken) * 1e6, taken


def ask(port, method, path, body, headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    text = answer.read()
    if answer.status not in (200, 202):
        sys.exit(f"{path}: {answer.status} {text[:300]!r}")
    return json.loads(text)


def token(port, secret):
    who = base64.b64encode(f"stella-admin:{secret}".encode()).decode()
    headers = {"Authorization": f"Basic {who}", "Content-Type": "application/x-www-form-urlencoded"}
    form = "grant_type=client_credentials&scope=stella.api"
    return ask(port, "POST", "/connect/token", form, headers)["access_token"]


def main():
    with folder() as work:
        os.mkdir(f"{work}/manifests")
        port, bare_port, log = free_port(), free_port(), f"{work}/operator.log"
        command = [
            program("stella-operator"), "serve", "--manifests", f"{work}/manifests", "--data", f"{work}/data", "--feeds", FEEDS,
            "--listen", f"127.0.0.1:{port}", "--rate-limit", "0",
        ]
        with server(command, log) as operator:
            wait_ready(operator, f"http://127.0.0.1:{port}/readyz", log)
        # The index is there: what is measured is not what building it left behind.
        with server(command, log) as operator:
            wait_ready(operator, f"http://127.0.0.1:{port}/readyz", log)
            time.sleep(min(SECONDS, 5))
            line("api", "the server idle", f"{memory_now(operator.pid):.0f} MiB", "", "under 60 MiB")
            with open(f"{work}/data/authority/admin-secret", encoding="utf-8") as file:
                headers = {"Authorization": f"Bearer {token(port, file.read().strip())}"}
            asked = json.dumps({"image": {"digest": "sha256:" + "a" * 64}})
            scan = ask(port, "POST", "/api/v1/scans", asked, headers | {"Content-Type": "application/json"})
            path = f"/api/v1/scans/{scan['scanId']}"
            ours, taken = read(operator, port, path, headers)
        with server([program(os.path.join("examples", "bare")), f"127.0.0.1:{bare_port}"], log) as bare:
            wait_ready(bare, f"http://127.0.0.1:{bare_port}{path}", log)
            theirs, floor = read(bare, bare_port, path, headers)
        line(
            "api", f"read of a scan, with a token, {CONNECTIONS} connections",
            f"{ours:.0f} us of processor, p50 {middle(taken):.2f} ms, p99 {quantile(taken, 0.99):.2f} ms",
            f"a bare handler {theirs:.0f} us, p50 {middle(floor):.2f} ms: {ours / theirs:.2f} times", "under 2 times",
        )


main()
