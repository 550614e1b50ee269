"""What the examples send: files.py FOLDER. An image of one layer, an SBOM, a policy and a VEX document."""

import hashlib
import io
import json
import sys
import tarfile

METADATA = "usr/lib/python3/dist-packages/aiohttp-3.8.0.dist-info/METADATA"
folder = sys.argv[1]


def tar(files):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, text in files.items():
            item = tarfile.TarInfo(name)
            item.size = len(text)
            archive.addfile(item, io.BytesIO(text))
    return buffer.getvalue()


def write(name, data):
    with open(f"{folder}/{name}", "wb") as file:
        file.write(data if isinstance(data, bytes) else json.dumps(data).encode())


layer = tar({
    "etc/os-release": b"ID=debian\nVERSION_ID=12\n",
    METADATA: b"Metadata-Version: 2.1\nName: aiohttp\nVersion: 3.8.0\n\n",
})
config = json.dumps({
    "architecture": "amd64", "os": "linux",
    "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(layer).hexdigest()]},
}).encode()
manifest = [{"Config": "config.json", "RepoTags": ["registry.example/shop/web:1.4"], "Layers": ["layer.tar"]}]
write("image.tar", tar({"config.json": config, "manifest.json": json.dumps(manifest).encode(), "layer.tar": layer}))
write("bom.json", {
    "bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1,
    "components": [{"type": "library", "name": "aiohttp", "version": "3.8.0", "purl": "pkg:pypi/aiohttp@3.8.0"}],
})
write("policy.yaml", b'version: "1.0"\nrules:\n- {name: no criticals, severity: [Critical], action: block}\n')
write("vex.json", {
    "@context": "https://openvex.dev/ns/v0.2.0", "@id": "https://vendor.example/vex/1", "author": "Vendor",
    "timestamp": "2026-01-01T00:00:00Z", "version": 1,
    "statements": [{
        "vulnerability": {"name": "CVE-2023-47627"}, "products": [{"@id": "pkg:pypi/aiohttp@3.8.0"}],
        "status": "not_affected", "justification": "vulnerable_code_not_in_execute_path",
    }],
})
