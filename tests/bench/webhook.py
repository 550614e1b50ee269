"""Admission reviews at a steady rate over TLS, beside a handler that only takes them apart, and one that sends back what it got.

A review is counted from the moment it is due, so that a slow answer also weighs on those that wait behind it. The server has one
core, and what asks it the others. The servers take turns.
"""

import asyncio
import hashlib
import json
import os
import resource
import socket
import ssl
import subprocess
import sys
import threading
import time

from lib import SECONDS, folder, free_port, line, memory_now, memory_peak, middle, processor_seconds, program, quantile, server, wait_ready

RATE, CONNECTIONS, IMAGES, TURNS = 1000, 8, 2000, 5


def digest(number):
    return f"sha256:{hashlib.sha256(str(number).encode()).hexdigest()}"


def verdicts(path):
    """What the webhook keeps in its folder: half of the images are refused."""
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    worst = {
        "advisoryId": "CVE-2025-1000", "package": "openssl", "version": "3.0.1", "severity": "Critical", "fixedIn": ["3.0.2"],
        "inUse": True,
    }
    refused = {"verdict": "blocked", "policy": "shop/base", "rule": "in use", "worst": [worst], "count": 4}
    scope = {"tenant": "default", "scope": "base", "mode": "enforce", "unscanned": "allow"}
    lines = [{"format": "stella.webhook.verdicts@v1", "heardAt": now, "cursor": None}, {"type": "begin"}]
    lines += [{"type": "namespace", "body": {"namespace": name, **scope}} for name in ("*", "shop")]
    for number in range(IMAGES):
        lines.append({"type": "image", "body": {
            "scope": "base", "image": digest(number), "digests": [digest(number)],
            "references": [f"registry.example/shop/a{number}:1"],
            "decision": refused if number % 2 else {"verdict": "pass", "count": 0},
        }})
    lines.append({"type": "ready", "body": {"policyRevision": "1", "at": now}})
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(json.dumps(entry) + "\n" for entry in lines)


def review(number):
    """A pod as a Deployment makes one, with two containers. Gives the request, and whether it is to be allowed."""
    kind, resource = {"group": "", "version": "v1", "kind": "Pod"}, {"group": "", "version": "v1", "resource": "pods"}
    container = lambda name, image: {
        "name": name, "image": f"registry.example/shop/a{image}:1@{digest(image)}", "ports": [{"containerPort": 8080}],
        "env": [{"name": f"SETTING_{at}", "value": "x" * 40} for at in range(41)],
        "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "128Mi"}},
    }
    first, second = number % IMAGES, (number * 7 + 2) % IMAGES
    pod = {
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"generateName": "web-6d4f-", "namespace": "shop", "labels": {"app": "web", "pod-template-hash": "6d4f"}},
        "spec": {"serviceAccountName": "web", "containers": [container("web", first), container("side", second)]},
    }
    body = json.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": f"00000000-0000-0000-0000-{number:012d}", "operation": "CREATE", "namespace": "shop",
        "kind": kind, "resource": resource, "requestKind": kind, "requestResource": resource,
        "userInfo": {"username": "system:serviceaccount:kube-system:replicaset"},
        "dryRun": False, "object": pod,
    }}).encode()
    head = f"POST /validate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body, first % 2 == 0 and second % 2 == 0


class Client(threading.Thread):
    """One connection that is kept, and every so many-th request."""

    def __init__(self, port, context, requests, begin, seconds, offset):
        super().__init__(daemon=True)
        self.port, self.context, self.requests, self.begin, self.offset = port, context, requests, begin, offset
        self.count = int(seconds * RATE / CONNECTIONS)
        self.taken, self.wrong, self.failure = [], 0, None

    def run(self):
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=30) as plain:
                plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                with self.context.wrap_socket(plain, server_hostname="localhost") as connection:
                    self.send_all(connection, connection.makefile("rb"))
        except (OSError, ValueError) as error:
            self.failure = error

    def send_all(self, connection, reader):
        for number in range(self.count):
            at = number * CONNECTIONS + self.offset
            due = self.begin + at / RATE
            time.sleep(max(0.0, due - time.perf_counter()))
            request, allowed = self.requests[at % len(self.requests)]
            connection.sendall(request)
            body = answer(reader)
            self.taken.append(time.perf_counter() - due)
            self.wrong += (b'"allowed":true' in body) != allowed


def answer(reader):
    status, length = reader.readline(), 0
    while (header := reader.readline()) not in (b"\r\n", b""):
        if header.lower().startswith(b"content-length:"):
            length = int(header.split(b":")[1])
    if b" 200 " not in status:
        raise ValueError(status.decode(errors="replace") or "closed")
    return reader.read(length)


def load(pid, port, context, requests, seconds):
    """Sends at the rate. Gives the times taken, wrong answers, and processor seconds a request."""
    begin = time.perf_counter() + 0.5
    clients = [Client(port, context, requests, begin, seconds, offset) for offset in range(CONNECTIONS)]
    for client in clients:
        client.start()
    time.sleep(max(0.0, begin - time.perf_counter()))
    before = processor_seconds(pid)
    for client in clients:
        client.join()
    spent = processor_seconds(pid) - before
    for client in clients:
        if client.failure:
            sys.exit(f"a connection failed: {client.failure!r}")
    taken = [seconds for client in clients for seconds in client.taken]
    return taken, sum(client.wrong for client in clients), spent / len(taken)


def certificate(work):
    command = [
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
        "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
        "-keyout", f"{work}/tls.key", "-out", f"{work}/tls.crt",
    ]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return ssl.create_default_context(cafile=f"{work}/tls.crt")


def measure(command, log, port, context, requests, health="readyz"):
    if (os.cpu_count() or 1) > 1:
        command = ["taskset", "--cpu-list", "0", *command]
    with server(command, log) as child:
        wait_ready(child, f"https://localhost:{port}/{health}", log, context=context)
        load(child.pid, port, context, requests, min(2.0, SECONDS))
        taken, wrong, spent = load(child.pid, port, context, requests, SECONDS / TURNS)
        return taken, wrong, spent, memory_peak(child.pid)


def take_turns(servers, port, context, requests):
    """For each of the servers: all times taken, wrong answers, the middle of what a review cost, the most memory."""
    turns = [[measure(command, log, port, context, requests) for command, log in servers] for _ in range(TURNS)]
    for one in zip(*turns):
        taken, wrong, spent, memory = zip(*one)
        yield [seconds for turn in taken for seconds in turn], sum(wrong), middle(spent), max(memory)


POLICY = """package system

main := {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": {"uid": input.request.uid, "allowed": count(refused) == 0}}

refused contains image if {
	some image in [container.image | some container in input.request.object.spec.containers]
	data.blocked[split(image, "@")[1]]
}
"""


def opa(work, port, context, requests):
    """OPA's server with a policy that refuses the same images; None where there is no OPA."""
    program_of_opa = os.environ.get("OPA")
    if not program_of_opa:
        return None
    with open(f"{work}/policy.rego", "w", encoding="utf-8") as file:
        file.write(POLICY)
    with open(f"{work}/data.json", "w", encoding="utf-8") as file:
        json.dump({"blocked": {digest(number): True for number in range(1, IMAGES, 2)}}, file)
    command = [
        program_of_opa, "run", "--server", "--addr", f"127.0.0.1:{port}", "--log-level", "error", "--disable-telemetry",
        "--tls-cert-file", f"{work}/tls.crt", "--tls-private-key-file", f"{work}/tls.key", f"{work}/policy.rego", f"{work}/data.json",
    ]
    asked = [(request.replace(b"POST /validate ", b"POST / ", 1), allowed) for request, allowed in requests]
    return measure(command, f"{work}/opa.log", port, context, asked, health="health")


class Crowd(threading.Thread):
    """Connections that asked once and then only stay; some of them in the middle of a request that never ends."""

    def __init__(self, port, context, request, count):
        super().__init__(daemon=True)
        self.port, self.context, self.request, self.count = port, context, request, count
        self.opened, self.failed, self.there = 0, 0, threading.Event()

    def run(self):
        asyncio.run(self.gather())

    async def gather(self):
        few = asyncio.Semaphore(100)
        kept = await asyncio.gather(*(self.one(few, number) for number in range(self.count)))
        self.there.set()
        await asyncio.sleep(3600)
        del kept

    async def one(self, few, number):
        async with few:
            try:
                connection = await asyncio.open_connection("127.0.0.1", self.port, ssl=self.context, server_hostname="localhost")
                reader, writer = connection
                writer.write(self.request)
                await writer.drain()
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(int(row.split(b":")[1]) for row in head.lower().splitlines() if row.startswith(b"content-length:"))
                await reader.readexactly(length)
                if number % 10 == 0:
                    writer.write(self.request[:-1000])
                self.opened += 1
                return connection
            except (OSError, ValueError, asyncio.IncompleteReadError):
                self.failed += 1
                return None


def crowded(command, log, port, context, requests):
    """A server that many hold on to: what it takes, and how it answers those that ask."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    count = min(10_000, most - 500)
    with server(command, log) as child:
        wait_ready(child, f"https://localhost:{port}/readyz", log, context=context)
        crowd = Crowd(port, context, requests[0][0], count)
        crowd.start()
        if not crowd.there.wait(80):
            sys.exit(f"of {count:,} connections {crowd.opened:,} were open after 80 s")
        taken, wrong, _ = load(child.pid, port, context, requests, min(5.0, SECONDS))
        return crowd.opened, crowd.failed, taken, wrong, memory_now(child.pid)


def times(taken):
    return ", ".join(f"{name} {quantile(taken, share) * 1000:.2f}" for name, share in (("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999))) + " ms"


def main():
    if (os.cpu_count() or 1) > 1:
        os.sched_setaffinity(0, set(range(1, os.cpu_count())))
    here = os.path.dirname(os.path.abspath(__file__))
    with folder() as work:
        context = certificate(work)
        os.mkdir(f"{work}/data")
        verdicts(f"{work}/data/verdicts.ndjson")
        requests = [review(number) for number in range(IMAGES)]
        port = free_port()
        # Nobody answers at that one: the verdicts of the folder hold.
        nobody = free_port()
        command = [
            program("stella-webhook"), "serve", "--no-cluster", "--server", f"http://127.0.0.1:{nobody}",
            "--data", f"{work}/data",
            "--listen", f"127.0.0.1:{port}", "--tls-cert", f"{work}/tls.crt", "--tls-key", f"{work}/tls.key",
        ]
        certified = [f"{work}/tls.crt", f"{work}/tls.key"]
        typed = [program(os.path.join("examples", "echo")), f"127.0.0.1:{port}", *certified]
        plain = [sys.executable, f"{here}/echo.py", str(port), *certified]
        command_of_ours = command
        servers = [(command, f"{work}/webhook.log"), (typed, f"{work}/typed.log"), (plain, f"{work}/echo.log")]
        ours, types, echo = take_turns(servers, port, context, requests)
        (taken, wrong, spent, memory), (typed_taken, _, typed_spent, _), (echo_taken, _, echo_spent, _) = ours, types, echo
        size = len(requests[0][0]) / 1000
        line(
            "webhook", f"{RATE:,} reviews/s of {size:.1f} KB on one core, {len(taken):,}", f"{times(taken)}, {memory:.0f} MiB",
            f"typed echo {times(typed_taken)}", "p99 under 2 ms, p99.9 under 5 ms",
        )
        line(
            "webhook", f"processor time a review of {size:.1f} KB", f"{spent * 1e6:.0f} us",
            f"typed echo {typed_spent * 1e6:.0f} us: {spent / typed_spent:.2f} times", "at most 2 times",
        )
        line(
            "webhook", "beside an echo in Python", f"{spent * 1e6:.0f} us", f"{times(echo_taken)}, {echo_spent * 1e6:.0f} us",
        )
        theirs = opa(work, port, context, requests)
        if theirs:
            opa_taken, opa_wrong, opa_spent, opa_memory = theirs
            line(
                "webhook", "beside OPA with an equal policy", f"{spent * 1e6:.0f} us, {memory:.0f} MiB",
                f"{opa_spent * 1e6:.0f} us, {times(opa_taken)}, {opa_memory:.0f} MiB, {opa_wrong} wrong",
            )
        else:
            line("webhook", "beside OPA with an equal policy", "left out", "no OPA (scripts/install/go-tools.sh opa)")
        opened, failed, held_up, more_wrong, held = crowded(command_of_ours, f"{work}/webhook.log", port, context, requests)
        wrong += more_wrong + failed
        line(
            "webhook", f"beside {opened:,} connections, a tenth of them slow", f"{times(held_up)}, {held:.0f} MiB",
            f"{failed} of them failed", "others unaffected, under 100 MiB",
        )
        line("webhook", "answers", f"{wrong} of {len(taken):,} wrong", "half of the images are refused", "none wrong")
        if wrong:
            sys.exit("reviews were answered wrongly")


main()
