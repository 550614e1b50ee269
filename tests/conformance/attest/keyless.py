#!/usr/bin/env python3
"""A small sigstore of its own, as no network leads to the public one: an authority in two steps, a transparency log and
signatures by identities. Needs `cryptography`, and OpenSSL's command line for time stamps.

    keyless.py FOLDER IMAGE-DIGEST SUBJECT ISSUER

Leaves in FOLDER: trusted_root.json; other_root.json (of an authority of the same words); bundle.json, a signature of the image;
provenance.json, an attestation about it that is no signature; notes.json and payload.json, the signature in the old form. Of a
second world, with a log of Rekor 2, a log of certificates and an authority for time stamps: tiled_root.json; tiled.json, a signature
of the image; unlisted.json, one whose certificate no log promised to list; restamped.json, one with the time stamp of another.
"""

import base64
import datetime
import hashlib
import json
import pathlib
import subprocess
import sys
import tempfile

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

STATEMENT = "application/vnd.in-toto+json"
NOW = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
PERIOD = {"start": (NOW - datetime.timedelta(days=300)).strftime("%Y-%m-%dT%H:%M:%SZ")}


def b64(content):
    return base64.b64encode(content).decode()


def sha256(content):
    return hashlib.sha256(content).digest()


def der(certificate):
    return certificate.public_bytes(serialization.Encoding.DER)


def pem(certificate):
    return certificate.public_bytes(serialization.Encoding.PEM)


def spki(key):
    return key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def canonical(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def pae(kind, payload):
    return f"DSSEv1 {len(kind)} {kind} {len(payload)} ".encode() + payload


class World:
    def __init__(self):
        self.root_key, self.key = ec.generate_private_key(ec.SECP384R1()), ec.generate_private_key(ec.SECP384R1())
        self.log = ec.generate_private_key(ec.SECP256R1())
        self.log_id = sha256(spki(self.log))
        self.root = self.authority("root", self.root_key, "root", self.root_key, 1)
        self.intermediate = self.authority("intermediate", self.key, "root", self.root_key, 0)

    @staticmethod
    def name(text):
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    def builder(self, key, issuer, before, after):
        return (x509.CertificateBuilder().issuer_name(self.name(issuer)).public_key(key.public_key())
                .serial_number(x509.random_serial_number()).not_valid_before(before).not_valid_after(after))

    def authority(self, subject, key, issuer, issuer_key, below):
        year = datetime.timedelta(days=365)
        builder = self.builder(key, issuer, NOW - year, NOW + year).subject_name(self.name(subject))
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        builder = builder.add_extension(x509.BasicConstraints(True, below), True).add_extension(usage, True)
        if subject != issuer:
            builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), False)
        identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        return builder.add_extension(identifier, False).sign(issuer_key, hashes.SHA384())

    def leaf(self, subject, issuer):
        key, minutes = ec.generate_private_key(ec.SECP256R1()), datetime.timedelta(minutes=10)
        text = issuer.encode()
        assert len(text) < 128
        of = lambda last, content: x509.UnrecognizedExtension(ObjectIdentifier(f"1.3.6.1.4.1.57264.1.{last}"), content)
        usage = x509.KeyUsage(True, False, False, False, False, False, False, False, False)
        builder = self.builder(key, "intermediate", NOW - minutes, NOW + minutes).subject_name(x509.Name([]))
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(subject)]), True)
        builder = builder.add_extension(usage, True).add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), False)
        builder = builder.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), False)
        builder = builder.add_extension(of(1, text), False).add_extension(of(8, bytes([0x0C, len(text)]) + text), False)
        return key, self.issue(builder)

    def issue(self, builder):
        return builder.sign(self.key, hashes.SHA384())

    def trust_root(self):
        return {
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [{"baseUrl": "https://log.example", "hashAlgorithm": "SHA2_256", "logId": {"keyId": b64(self.log_id)},
                       "publicKey": {"rawBytes": b64(spki(self.log)), "keyDetails": "PKIX_ECDSA_P256_SHA_256", "validFor": PERIOD}}],
            "certificateAuthorities": [{
                "subject": {"organization": "o", "commonName": "c"}, "uri": "https://ca.example", "validFor": PERIOD,
                "certChain": {"certificates": [{"rawBytes": b64(der(one))} for one in (self.intermediate, self.root)]}}],
            "ctlogs": [], "timestampAuthorities": [],
        }

    def promise(self, body, at):
        promised = {"body": b64(body), "integratedTime": at, "logID": self.log_id.hex(), "logIndex": 7}
        return self.log.sign(canonical(promised), ec.ECDSA(hashes.SHA256()))

    def entry(self, kind, body):
        """An entry, the first of the two in the log's tree."""
        at, other = int(NOW.timestamp()), sha256(b"\0other")
        root = sha256(b"\1" + sha256(b"\0" + body) + other)
        note = f"log.example - 1\n2\n{b64(root)}\n"
        signature = self.log_id[:4] + self.log.sign(note.encode(), ec.ECDSA(hashes.SHA256()))
        return {
            "logIndex": "7", "logId": {"keyId": b64(self.log_id)}, "kindVersion": {"kind": kind, "version": "0.0.1"},
            "integratedTime": str(at), "inclusionPromise": {"signedEntryTimestamp": b64(self.promise(body, at))},
            "inclusionProof": {"logIndex": "0", "rootHash": b64(root), "treeSize": "2", "hashes": [b64(other)],
                               "checkpoint": {"envelope": f"{note}\n\u2014 log.example {b64(signature)}\n"}},
            "canonicalizedBody": b64(body),
        }

    def bundle(self, subject, issuer, kind, image, predicate):
        key, certificate = self.leaf(subject, issuer)
        payload = json.dumps({
            "_type": "https://in-toto.io/Statement/v1", "subject": [{"name": "", "digest": {"sha256": image.removeprefix("sha256:")}}],
            "predicateType": kind, "predicate": predicate,
        }).encode()
        signature = key.sign(pae(STATEMENT, payload), ec.ECDSA(hashes.SHA256()))
        envelope = {"payload": b64(payload), "payloadType": STATEMENT, "signatures": [{"sig": b64(signature)}]}
        body = canonical({"apiVersion": "0.0.1", "kind": "dsse", "spec": {
            "envelopeHash": {"algorithm": "sha256", "value": sha256(canonical(envelope)).hex()},
            "payloadHash": {"algorithm": "sha256", "value": sha256(payload).hex()},
            "signatures": [{"signature": b64(signature), "verifier": b64(pem(certificate))}]}})
        return {
            "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json", "dsseEnvelope": envelope,
            "verificationMaterial": {"certificate": {"rawBytes": b64(der(certificate))}, "tlogEntries": [self.entry("dsse", body)],
                                     "timestampVerificationData": {"rfc3161Timestamps": []}},
        }

    def simple(self, subject, issuer, image):
        """Payload and annotations of the old form."""
        key, certificate = self.leaf(subject, issuer)
        payload = canonical({"critical": {"identity": {"docker-reference": ""}, "image": {"docker-manifest-digest": image},
                                          "type": "cosign container image signature"}, "optional": None})
        signature = key.sign(payload, ec.ECDSA(hashes.SHA256()))
        body = canonical({"apiVersion": "0.0.1", "kind": "hashedrekord", "spec": {
            "data": {"hash": {"algorithm": "sha256", "value": sha256(payload).hex()}},
            "signature": {"content": b64(signature), "publicKey": {"content": b64(pem(certificate))}}}})
        at = int(NOW.timestamp())
        entry = {"SignedEntryTimestamp": b64(self.promise(body, at)),
                 "Payload": {"body": b64(body), "integratedTime": at, "logIndex": 7, "logID": self.log_id.hex()}}
        chain = pem(self.intermediate) + pem(self.root)
        return payload, {
            "dev.cosignproject.cosign/signature": b64(signature), "dev.sigstore.cosign/bundle": json.dumps(entry),
            "dev.sigstore.cosign/certificate": pem(certificate).decode(), "dev.sigstore.cosign/chain": chain.decode()}


class TiledWorld(World):
    """One that signs no times itself, and lists certificates."""

    ORIGIN = "tiles.example"

    def __init__(self):
        super().__init__()
        self.certificate_log, self.listing = ec.generate_private_key(ec.SECP256R1()), True
        self.tiles = ed25519.Ed25519PrivateKey.generate()
        self.tiles_id = sha256(self.ORIGIN.encode() + b"\n\1" + spki(self.tiles)[-32:])
        root_key, self.stamping_key = ec.generate_private_key(ec.SECP384R1()), ec.generate_private_key(ec.SECP256R1())
        self.stamping_root = self.authority("root of stamps", root_key, "root of stamps", root_key, 0)
        builder = self.builder(self.stamping_key, "root of stamps", NOW - datetime.timedelta(days=1), NOW + datetime.timedelta(days=1))
        builder = builder.subject_name(self.name("stamps"))
        usage = x509.KeyUsage(True, False, False, False, False, False, False, False, False)
        builder = builder.add_extension(usage, True).add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING]), True)
        self.stamping = builder.sign(root_key, hashes.SHA384())

    def issue(self, builder):
        """A certificate with the promise of the log to list it (RFC 6962, section 3.3)."""
        if not self.listing:
            return super().issue(builder)
        at, signed = int(NOW.timestamp() * 1000).to_bytes(8, "big"), super().issue(builder).tbs_certificate_bytes
        message = b"\0\0" + at + b"\0\1" + sha256(spki(self.key)) + len(signed).to_bytes(3, "big") + signed + b"\0\0"
        signature = self.certificate_log.sign(message, ec.ECDSA(hashes.SHA256()))
        promise = b"\0" + sha256(spki(self.certificate_log)) + at + b"\0\0" + b"\4\3" + len(signature).to_bytes(2, "big") + signature
        promises = len(promise).to_bytes(2, "big") + promise
        promises = len(promises).to_bytes(2, "big") + promises
        assert len(promises) < 128
        oid = ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")
        return super().issue(builder.add_extension(x509.UnrecognizedExtension(oid, bytes([4, len(promises)]) + promises), False))

    def trust_root(self):
        log = lambda url, key, name, details: {
            "baseUrl": url, "hashAlgorithm": "SHA2_256", "logId": {"keyId": b64(name)},
            "publicKey": {"rawBytes": b64(spki(key)), "keyDetails": details, "validFor": PERIOD}}
        return super().trust_root() | {
            "tlogs": [log(f"https://{self.ORIGIN}", self.tiles, self.tiles_id, "PKIX_ED25519")],
            "ctlogs": [log("https://ct.example", self.certificate_log, sha256(spki(self.certificate_log)), "PKIX_ECDSA_P256_SHA_256")],
            "timestampAuthorities": [{
                "subject": {"organization": "o", "commonName": "c"}, "uri": "https://time.example", "validFor": PERIOD,
                "certChain": {"certificates": [{"rawBytes": b64(der(one))} for one in (self.stamping, self.stamping_root)]}}],
        }

    def stamp(self, message):
        """A time stamp of `message`, by OpenSSL."""
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            (folder / "signer.pem").write_bytes(pem(self.stamping))
            (folder / "key.pem").write_bytes(self.stamping_key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
            (folder / "message").write_bytes(message)
            (folder / "serial").write_text("01")
            (folder / "config").write_text(
                "[tsa]\ndefault_tsa = it\n[it]\nserial = serial\nsigner_cert = signer.pem\nsigner_key = key.pem\n"
                "signer_digest = sha256\ndefault_policy = 1.2.3\ndigests = sha256\ness_cert_id_alg = sha256\n")
            ts = lambda *rest: subprocess.run(["openssl", "ts", *rest], cwd=folder, check=True, capture_output=True)
            ts("-query", "-data", "message", "-sha256", "-cert", "-out", "query")
            ts("-reply", "-config", "config", "-section", "it", "-queryfile", "query", "-out", "answer")
            return (folder / "answer").read_bytes()

    def entry(self, kind, body):
        """An entry without a time, the first of the two in the log's tree."""
        other = sha256(b"\0other")
        root = sha256(b"\1" + sha256(b"\0" + body) + other)
        note = f"{self.ORIGIN}\n2\n{b64(root)}\n"
        signature = self.tiles_id[:4] + self.tiles.sign(note.encode())
        return {
            "logIndex": "0", "logId": {"keyId": b64(self.tiles_id)}, "kindVersion": {"kind": kind, "version": "0.0.2"},
            "inclusionProof": {"logIndex": "0", "rootHash": b64(root), "treeSize": "2", "hashes": [b64(other)],
                               "checkpoint": {"envelope": f"{note}\n\u2014 {self.ORIGIN} {b64(signature)}\n"}},
            "canonicalizedBody": b64(body),
        }

    def bundle(self, subject, issuer, kind, image, predicate):
        bundle = super().bundle(subject, issuer, kind, image, predicate)
        envelope, material = bundle["dsseEnvelope"], bundle["verificationMaterial"]
        payload, signature = base64.b64decode(envelope["payload"]), envelope["signatures"][0]["sig"]
        verifier = {"keyDetails": "PKIX_ECDSA_P256_SHA_256", "x509Certificate": material["certificate"]}
        # Rekor 2 takes envelopes as what is signed of them; the kind `dsse` is no longer read by cosign.
        body = {"apiVersion": "0.0.2", "kind": "hashedrekord", "spec": {"hashedRekordV002": {
            "data": {"algorithm": "SHA2_256", "digest": b64(sha256(pae(STATEMENT, payload)))},
            "signature": {"content": signature, "verifier": verifier}}}}
        material["tlogEntries"] = [self.entry("hashedrekord", canonical(body))]
        stamps = [{"signedTimestamp": b64(self.stamp(base64.b64decode(signature)))}]
        material["timestampVerificationData"] = {"rfc3161Timestamps": stamps}
        return bundle


def tiled(subject, issuer, image):
    """The files of the second world."""
    world, kind = TiledWorld(), "https://sigstore.dev/cosign/sign/v1"
    good, restamped = (world.bundle(subject, issuer, kind, image, {}) for _ in range(2))
    restamped["verificationMaterial"]["timestampVerificationData"] = good["verificationMaterial"]["timestampVerificationData"]
    world.listing = False
    unlisted = world.bundle(subject, issuer, kind, image, {})
    return [("tiled_root", world.trust_root()), ("tiled", good), ("restamped", restamped), ("unlisted", unlisted)]


def main():
    folder, image, subject, issuer = pathlib.Path(sys.argv[1]), *sys.argv[2:5]
    world = World()
    payload, notes = world.simple(subject, issuer, image)
    signature = "https://sigstore.dev/cosign/sign/v1"
    for name, content in [
        ("trusted_root", world.trust_root()), ("other_root", World().trust_root()), ("notes", notes),
        ("bundle", world.bundle(subject, issuer, signature, image, {})),
        ("provenance", world.bundle(subject, issuer, "https://slsa.dev/provenance/v1", image, {"a": 1})),
        *tiled(subject, issuer, image),
    ]:
        (folder / f"{name}.json").write_text(json.dumps(content))
    (folder / "payload.json").write_bytes(payload)


if __name__ == "__main__":
    main()
