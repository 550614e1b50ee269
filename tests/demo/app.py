"""Uses aiohttp and cryptography, and never Pillow, until it is told to end."""

import signal

import aiohttp
from cryptography.hazmat.backends import default_backend
from cryptography.hazmat.primitives import hashes

print(hashes.Hash(hashes.SHA256(), backend=default_backend()).algorithm.name, aiohttp.__version__, flush=True)
signal.pause()
