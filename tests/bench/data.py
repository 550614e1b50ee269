"""Data made for the measurements: an image archive, and an SBOM. The same on every run."""

import functools
import gzip
import hashlib
import io
import json
import os
import random
import shutil
import tarfile
import zipfile

DEBIAN, PYTHON, NODE = 400, 800, 1500


@functools.cache
def words():
    """Text of made-up words; gzip makes about a third of it."""
    chance = random.Random(11)
    letters = "eeeeeeaaaaoooiiiuutttnnnsssrrrllldddmmcccppbbffgghhvwykjxqz"
    known = ["".join(chance.choices(letters, k=chance.randrange(2, 10))) for _ in range(1280)]
    often = [1 / (rank + 1) for rank in range(len(known))]
    return " ".join(chance.choices(known, often, k=2_500_000)).encode()


class Layer:
    """A layer that is written file by file, filled up with what does not compress, or with text."""

    def __init__(self, path, seed, text=False):
        self.tar = tarfile.open(path, "w", format=tarfile.PAX_FORMAT)
        self.path = path
        self.random = random.Random(seed)
        self.text = text

    def add(self, name, content):
        if isinstance(content, str):
            content = content.encode()
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode, entry.mtime = len(content), 0o644, 1_700_000_000
        self.tar.addfile(entry, io.BytesIO(content))

    def fill(self, name, size):
        if not self.text:
            self.add(name, self.random.randbytes(size))
            return
        content = bytearray()
        while len(content) < size:
            begin = self.random.randrange(len(words()) - 65536)
            content += words()[begin:begin + self.random.randrange(2048, 65536)]
        self.add(name, bytes(content[:size]))

    def close(self):
        self.tar.close()
        digest = hashlib.sha256()
        with open(self.path, "rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
        return digest.hexdigest()


def debian(layer, size):
    layer.add("etc/os-release", 'ID=debian\nVERSION_ID="12"\nVERSION_CODENAME=bookworm\nPRETTY_NAME="Debian 12"\n')
    status = []
    for number in range(DEBIAN):
        name, library = f"libsample{number}", f"usr/lib/x86_64-linux-gnu/libsample{number}.so.1"
        status.append(
            f"Package: {name}\nStatus: install ok installed\nPriority: optional\nSection: libs\nInstalled-Size: 512\n"
            f"Maintainer: Nobody <nobody@example.org>\nArchitecture: amd64\nSource: sample{number // 2}\n"
            f"Version: 1.{number % 40}.{number % 7}-{1 + number % 3}+deb12u1\nDepends: libc6 (>= 2.34)\nDescription: sample\n"
        )
        layer.add(f"var/lib/dpkg/info/{name}:amd64.list", f"/.\n/usr\n/usr/lib\n/{library}\n")
        layer.add(f"usr/share/doc/{name}/copyright", "License: MIT\n")
        layer.fill(library, size // DEBIAN)
    layer.add("var/lib/dpkg/status", "\n".join(status))


def python(layer, size):
    for number in range(PYTHON):
        name, version = f"sample_py{number}", f"{number % 9}.{number % 31}.{number % 5}"
        info = f"usr/lib/python3/dist-packages/{name}-{version}.dist-info"
        layer.add(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nLicense: MIT\n\nSample.\n")
        layer.add(f"{info}/RECORD", f"{name}/__init__.py,,\n{name}/data.bin,,\n{info.rpartition('/')[2]}/METADATA,,\n")
        layer.add(f"usr/lib/python3/dist-packages/{name}/__init__.py", f"__version__ = '{version}'\n")
        layer.fill(f"usr/lib/python3/dist-packages/{name}/data.bin", size // PYTHON)


def node(layer, size):
    for number in range(NODE):
        name, version = f"sample-js{number}", f"{number % 12}.{number % 21}.{number % 8}"
        home = f"srv/app/node_modules/{name}"
        layer.add(f"{home}/package.json", json.dumps({"name": name, "version": version, "license": "MIT", "main": "index.js"}))
        layer.add(f"{home}/index.js", "module.exports = {}\n")
        layer.fill(f"{home}/data.bin", size // NODE)


def archive(path, megabytes):
    """A docker archive of three layers. Gives the number of packages in it."""
    size = megabytes * 1_000_000 // 3
    layers = []
    for number, write in enumerate((debian, python, node)):
        layer = Layer(f"{path}.{number}", number)
        write(layer, size)
        layers.append((layer.path, layer.close()))
    config = json.dumps({
        "architecture": "amd64", "os": "linux", "config": {},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}" for _, digest in layers]},
        "history": [{"created_by": "sample"} for _ in layers],
    }).encode()
    names = [f"{digest}/layer.tar" for _, digest in layers]
    config_name = f"{hashlib.sha256(config).hexdigest()}.json"
    manifest = json.dumps([{"Config": config_name, "RepoTags": ["registry.example/bench/image:1"], "Layers": names}])
    with tarfile.open(path, "w") as tar:
        for (layer, _), name in zip(layers, names):
            tar.add(layer, arcname=name, filter=plain)
            os.remove(layer)
        write_all(tar, [(config_name, config), ("manifest.json", manifest.encode())])
    return DEBIAN + PYTHON + NODE


def write_all(tar, files):
    for name, content in files:
        entry = tarfile.TarInfo(name)
        entry.size = len(content)
        tar.addfile(entry, io.BytesIO(content))


def oci_archive(path, megabytes):
    """The same packages as an OCI archive of three layers of text, compressed with gzip; the compressed layers one after the
    other also lie in `path`.gz. Gives the number of packages."""
    size = megabytes * 1_000_000 // 3
    layers = []
    for number, write in enumerate((debian, python, node)):
        layer = Layer(f"{path}.{number}", number, text=True)
        write(layer, size)
        diff_id = layer.close()
        with open(layer.path, "rb") as plain_layer, open(f"{layer.path}.gz", "wb") as packed:
            with gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=6, mtime=0, filename="") as out:
                while block := plain_layer.read(1 << 20):
                    out.write(block)
        os.remove(layer.path)
        with open(f"{layer.path}.gz", "rb") as packed:
            digest = hashlib.file_digest(packed, "sha256").hexdigest()
        layers.append((f"{layer.path}.gz", digest, diff_id))
    config = json.dumps({
        "architecture": "amd64", "os": "linux", "config": {},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{diff_id}" for _, _, diff_id in layers]},
    }).encode()
    kind = "application/vnd.oci.image"
    manifest = json.dumps({
        "schemaVersion": 2, "mediaType": f"{kind}.manifest.v1+json",
        "config": descriptor(f"{kind}.config.v1+json", config),
        "layers": [
            {"mediaType": f"{kind}.layer.v1.tar+gzip", "digest": f"sha256:{digest}", "size": os.path.getsize(layer)}
            for layer, digest, _ in layers
        ],
    }).encode()
    index = json.dumps({"schemaVersion": 2, "manifests": [descriptor(f"{kind}.manifest.v1+json", manifest)]}).encode()
    with tarfile.open(path, "w") as tar, open(f"{path}.gz", "wb") as together:
        write_all(tar, [("oci-layout", b'{"imageLayoutVersion":"1.0.0"}'), ("index.json", index)])
        write_all(tar, [(f"blobs/sha256/{hashlib.sha256(blob).hexdigest()}", blob) for blob in (manifest, config)])
        for layer, digest, _ in layers:
            tar.add(layer, arcname=f"blobs/sha256/{digest}", filter=plain)
            with open(layer, "rb") as packed:
                shutil.copyfileobj(packed, together)
            os.remove(layer)
    return DEBIAN + PYTHON + NODE


def descriptor(kind, content):
    return {"mediaType": kind, "digest": f"sha256:{hashlib.sha256(content).hexdigest()}", "size": len(content)}


def plain(entry):
    entry.uid = entry.gid = entry.mtime = 0
    entry.uname = entry.gname = ""
    return entry


def records(feeds, ecosystem, count):
    """Some OSV records of the feeds, evenly spaced."""
    home = os.path.join(feeds, "osv", ecosystem)
    names = sorted(os.listdir(home)) if os.path.isdir(home) else []
    if "all.zip" in names:
        with zipfile.ZipFile(os.path.join(home, "all.zip")) as bundle:
            names = sorted(name for name in bundle.namelist() if name.startswith(("GHSA-", "PYSEC-")))
            for name in names[:: max(1, len(names) // count)]:
                yield json.loads(bundle.read(name))
    else:
        for name in (name for name in names if name.endswith(".json")):
            with open(os.path.join(home, name), "rb") as file:
                yield json.load(file)


def vulnerable(feeds, ecosystem, kind, count):
    """Packages that the feeds say something about, in a version they name."""
    found = {}
    for record in records(feeds, ecosystem, count * 2):
        for affected in record.get("affected", []):
            package, versions = affected.get("package", {}), affected.get("versions", [])
            events = [event for span in affected.get("ranges", []) for event in span.get("events", [])]
            introduced = [event["introduced"] for event in events if "introduced" in event]
            version = versions[-1] if versions else (introduced or ["1.0.0"])[0]
            if package.get("ecosystem") == ecosystem:
                found[package["name"]] = "0.1.0" if version == "0" else version
    purl = lambda name, version: f"pkg:{kind}/{name.replace('@', '%40')}@{version}"
    return [(name, version, purl(name, version)) for name, version in list(found.items())[:count]]


def spdx(path, size):
    """SPDX 2.3 in JSON of at least `size` bytes, as scanners of images write it: packages with files and relationships. Gives the
    number of packages."""
    packages, files, relations, written, count = [], [], [], 0, 0
    while written < size:
        name, version = f"sample-{count}", f"{count % 9}.{count % 31}.{count % 5}"
        package = {
            "name": name, "SPDXID": f"SPDXRef-Package-{count}", "versionInfo": version, "supplier": "NOASSERTION",
            "downloadLocation": "NOASSERTION", "filesAnalyzed": False, "licenseConcluded": "NOASSERTION",
            "licenseDeclared": "MIT OR Apache-2.0", "copyrightText": "NOASSERTION",
            "sourceInfo": f"acquired package info from installed node module manifest file: /srv/app/node_modules/{name}/package.json",
            "externalRefs": [
                {"referenceCategory": "SECURITY", "referenceType": "cpe23Type",
                 "referenceLocator": f"cpe:2.3:a:{name}:{name}:{version}:*:*:*:*:*:*:*"},
                {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": f"pkg:npm/{name}@{version}"},
            ],
        }
        file = {
            "fileName": f"/srv/app/node_modules/{name}/package.json", "SPDXID": f"SPDXRef-File-{count}",
            "checksums": [{"algorithm": "SHA1", "checksumValue": f"{count:040x}"}], "licenseConcluded": "NOASSERTION",
            "copyrightText": "NOASSERTION",
        }
        relation = {
            "spdxElementId": package["SPDXID"], "relationshipType": "OTHER", "relatedSpdxElement": file["SPDXID"],
            "comment": "evident-by: indicates the package's existence is evident by the given file",
        }
        packages.append(package)
        files.append(file)
        relations.append(relation)
        written += sum(len(json.dumps(part)) for part in (package, file, relation))
        count += 1
    with open(path, "w", encoding="utf-8") as out:
        json.dump({
            "spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT", "name": "sample",
            "documentNamespace": "https://example.org/sample", "creationInfo": {"creators": ["Tool: sample"],
            "created": "2026-01-01T00:00:00Z"}, "packages": packages, "files": files, "relationships": relations,
        }, out)
    return count


def published(feeds, name, count):
    """The first packages of an SBOM that somebody published, as bytes; `None` where the data has it not."""
    path = os.path.join(os.path.dirname(feeds), "sboms", f"{name}.cdx.json.gz")
    if not os.path.exists(path):
        return None
    with gzip.open(path) as file:
        document = json.load(file)
    document["components"] = document["components"][:count]
    kept = {component.get("bom-ref") for component in document["components"]}
    document["dependencies"] = [node for node in document.get("dependencies", []) if node.get("ref") in kept]
    return document


def sbom(path, feeds, count=2000, known=None):
    """CycloneDX: up to `known` of the packages, else half, are such as the feeds know. Gives how many of those there are."""
    most = (count // 2 if known is None else known) // 2
    packages = vulnerable(feeds, "npm", "npm", most) + vulnerable(feeds, "PyPI", "pypi", most)
    known = len(packages)
    for number in range(count - known):
        kind = "npm" if number % 2 else "pypi"
        name, version = f"sample-{kind}-{number}", f"{number % 9}.{number % 31}.{number % 5}"
        packages.append((name, version, f"pkg:{kind}/{name}@{version}"))
    components = [
        {
            "type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl,
            "licenses": [{"license": {"id": "MIT"}}],
        }
        for name, version, purl in packages
    ]
    with open(path, "w", encoding="utf-8") as file:
        json.dump({"bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1, "components": components}, file)
    return known
