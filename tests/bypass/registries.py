#!/usr/bin/env python3
"""Registries that nobody should wait for: one that never answers, one that never ends, one that redirects for ever.

Prints their addresses on one line, and serves until it is ended.
"""

import http.server
import socket
import threading
import time


class Endless(http.server.BaseHTTPRequestHandler):
    """Sends the beginning of a manifest, and then more of it for as long as anyone reads."""

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "application/vnd.oci.image.manifest.v1+json")
        self.end_headers()
        try:
            self.wfile.write(b'{"schemaVersion":2,"annotations":{"a":"')
            while True:
                self.wfile.write(b"x" * 65536)
                time.sleep(0.05)
        except OSError:
            pass

    do_HEAD = do_GET

    def log_message(self, *_):
        pass


class Redirecting(http.server.BaseHTTPRequestHandler):
    """Sends everybody on: to itself, and to an address of the inside."""

    turn = 0

    def do_GET(self):
        Redirecting.turn += 1
        inside = "http://169.254.169.254/latest/meta-data/" if Redirecting.turn % 2 else self.path + "/again"
        self.send_response(307)
        self.send_header("Location", inside)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_HEAD = do_GET

    def log_message(self, *_):
        pass


def slow():
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    held = []

    def accept():
        while True:
            held.append(listener.accept())

    threading.Thread(target=accept, daemon=True).start()
    return listener.getsockname()[1]


def serve(handler):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


print(*[f"127.0.0.1:{port}" for port in (slow(), serve(Endless), serve(Redirecting))], flush=True)
while True:
    time.sleep(3600)
