#!/usr/bin/env python3
"""Attaches signed statements to images in a registry over plain HTTP, as cosign 3 does: a sigstore bundle v0.3 as a referrer,
listed by the tag in place of the API where the registry has none. Signs with openssl, so that also what cosign would not sign
can be attached.

    attach.py REGISTRY REPOSITORY IMAGE-DIGEST --key KEY.pem --type URI [--subject DIGEST] [--predicate JSON]
    attach.py REGISTRY REPOSITORY IMAGE-DIGEST --bare MEDIA-TYPE FILE
    attach.py REGISTRY REPOSITORY IMAGE-DIGEST --old PAYLOAD NOTES.json      (under the tag .sig, as cosign 2 does)
"""

import argparse
import base64
import hashlib
import json
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request

BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
STATEMENT = "application/vnd.in-toto+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"


def digest(content):
    return "sha256:" + hashlib.sha256(content).hexdigest()


def b64(content):
    return base64.b64encode(content).decode()


class Repository:
    def __init__(self, registry, name):
        self.base = f"http://{registry}/v2/{name}"

    def ask(self, method, url, content=None, **headers):
        request = urllib.request.Request(url, data=content, method=method, headers={k.replace("_", "-"): v for k, v in headers.items()})
        return urllib.request.urlopen(request, timeout=30)

    def get(self, path, accept):
        try:
            return self.ask("GET", f"{self.base}/{path}", accept=accept).read()
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise

    def blob(self, content):
        begun = self.ask("POST", f"{self.base}/blobs/uploads/", b"")
        place = urllib.parse.urljoin(begun.url, begun.headers["Location"])
        place += ("&" if "?" in place else "?") + urllib.parse.urlencode({"digest": digest(content)})
        self.ask("PUT", place, content, content_type="application/octet-stream")
        return {"digest": digest(content), "size": len(content)}

    def manifest(self, name, content, kind):
        """Whether the registry keeps the list of referrers itself."""
        done = self.ask("PUT", f"{self.base}/manifests/{name}", content, content_type=kind)
        return done.headers.get("OCI-Subject") is not None

    def attach(self, image, artifact_type, media_type, content):
        subject = self.get(f"manifests/{image}", f"{MANIFEST}, {INDEX}")
        if subject is None:
            sys.exit(f"attach.py: {self.base} has no {image}")
        kind = json.loads(subject).get("mediaType", MANIFEST)
        manifest = json.dumps({
            "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": artifact_type,
            "config": {"mediaType": "application/vnd.oci.empty.v1+json", **self.blob(b"{}")},
            "layers": [{"mediaType": media_type, **self.blob(content)}],
            "subject": {"mediaType": kind, "digest": image, "size": len(subject)},
        }).encode()
        if self.manifest(digest(manifest), manifest, MANIFEST):
            return
        tag = image.replace(":", "-")
        index = json.loads(self.get(f"manifests/{tag}", INDEX) or json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": []}))
        entry = {"mediaType": MANIFEST, "digest": digest(manifest), "size": len(manifest), "artifactType": artifact_type}
        if entry not in index["manifests"]:
            index["manifests"].append(entry)
            self.manifest(tag, json.dumps(index).encode(), INDEX)


    def attach_old(self, image, payload, notes):
        config = self.blob(b'{"architecture":"","os":"","config":{},"rootfs":{"type":"layers","diff_ids":[]}}')
        manifest = json.dumps({
            "schemaVersion": 2, "mediaType": MANIFEST, "config": {"mediaType": "application/vnd.oci.image.config.v1+json", **config},
            "layers": [{"mediaType": "application/vnd.dev.cosign.simplesigning.v1+json", **self.blob(payload), "annotations": notes}],
        }).encode()
        self.manifest(image.replace(":", "-") + ".sig", manifest, MANIFEST)


def pae(kind, payload):
    return f"DSSEv1 {len(kind)} {kind} {len(payload)} ".encode() + payload


def sign(key, message):
    return subprocess.run(["openssl", "dgst", "-sha256", "-sign", key], input=message, capture_output=True, check=True).stdout


def statement(kind, subject, predicate):
    return json.dumps({
        "_type": "https://in-toto.io/Statement/v1", "subject": [{"digest": {"sha256": subject.removeprefix("sha256:")}}],
        "predicateType": kind, "predicate": predicate,
    }).encode()


def bundle(payload, signature, material):
    return json.dumps({
        "mediaType": BUNDLE, "verificationMaterial": material,
        "dsseEnvelope": {"payload": b64(payload), "payloadType": STATEMENT, "signatures": [{"sig": b64(signature)}]},
    }).encode()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("registry")
    parser.add_argument("repository")
    parser.add_argument("image")
    parser.add_argument("--key")
    parser.add_argument("--type")
    parser.add_argument("--subject")
    parser.add_argument("--predicate", default="{}")
    parser.add_argument("--bare", nargs=2)
    parser.add_argument("--old", nargs=2)
    told = parser.parse_args()
    repository = Repository(told.registry, told.repository)
    if told.bare:
        kind, file = told.bare
        with open(file, "rb") as content:
            repository.attach(told.image, kind, kind, content.read())
        return
    if told.old:
        payload, notes = told.old
        with open(payload, "rb") as signed, open(notes) as annotations:
            repository.attach_old(told.image, signed.read(), json.load(annotations))
        return
    payload = statement(told.type, told.subject or told.image, json.loads(told.predicate))
    content = bundle(payload, sign(told.key, pae(STATEMENT, payload)), {"publicKey": {"hint": ""}, "tlogEntries": []})
    repository.attach(told.image, BUNDLE, BUNDLE, content)


if __name__ == "__main__":
    main()
