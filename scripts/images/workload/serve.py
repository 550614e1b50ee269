"""Serves digests of request paths: loads the native libraries of aiohttp and cryptography, and never Pillow's."""

import http.server

import aiohttp
from cryptography.hazmat.backends import default_backend
from cryptography.hazmat.primitives import hashes

# Loads the library now, not with the first request.
BACKEND = default_backend()


class Digest(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        digest = hashes.Hash(hashes.SHA256(), backend=BACKEND)
        digest.update(self.path.encode())
        body = digest.finalize().hex().encode() + b"\n"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


print(f"serving on :8080 with aiohttp {aiohttp.__version__}", flush=True)
http.server.ThreadingHTTPServer(("", 8080), Digest).serve_forever()
