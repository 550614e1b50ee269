#!/usr/bin/env python3
"""Writes the first inputs of each corpus: small valid documents, from which the fuzzers go on. Safe to run twice."""

import base64
import gzip
import hashlib
import io
import json
import pathlib
import re
import tarfile

HERE = pathlib.Path(__file__).parent
PATHS = re.findall(r'^    "(.*)",$', (HERE / "src/files.rs").read_text(), re.M)


def put(target, name, content):
    folder = HERE / "corpus" / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"seed-{name}").write_bytes(content if isinstance(content, bytes) else content.encode())


def tar(files):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path, content in files:
            entry = tarfile.TarInfo(path)
            if content is None:
                entry.type = tarfile.DIRTYPE
                archive.addfile(entry)
                continue
            if isinstance(content, tuple):
                entry.type, entry.linkname = content
                archive.addfile(entry)
                continue
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return out.getvalue()


def digest(content):
    return "sha256:" + hashlib.sha256(content).hexdigest()


STATUS = b"Package: libssl3\nStatus: install ok installed\nArchitecture: amd64\nSource: openssl (3.0.11-1)\nVersion: 3.0.11-1+b1\n\n"
APK = b"P:musl\nV:1.2.4-r2\nA:x86_64\nL:MIT\no:musl\nF:lib\nR:libc.so\n\n"
PACKAGE = b'{"name":"left-pad","version":"1.3.0","license":"WTFPL"}'
METADATA = b"Metadata-Version: 2.1\nName: Django\nVersion: 3.2.10\nLicense: BSD\n"
FILES = {
    "etc/os-release": b'ID=debian\nVERSION_ID="12"\nNAME="Debian GNU/Linux"\n',
    "etc/redhat-release": b"CentOS release 6.10 (Final)\n",
    "lib/apk/db/installed": APK,
    "usr/lib/apk/db/installed": APK,
    "var/lib/dpkg/status": STATUS,
    "var/lib/dpkg/status.d/base": STATUS,
    "var/lib/dpkg/info/base.list": b"/.\n/lib\n/lib/x.so\n",
    "app/package-lock.json": b'{"lockfileVersion":3,"packages":{"":{"name":"a"},"node_modules/b":{"version":"1.0.0","license":"MIT"}}}',
    "app/yarn.lock": b'# yarn lockfile v1\n\n"@a/b@^1.0.0", "@a/b@^1.1.0":\n  version "1.2.3"\n  resolved "https://r.example/b-1.2.3.tgz"\n',
    "app/pnpm-lock.yaml": b"lockfileVersion: '9.0'\npackages:\n  '@a/b@1.2.3':\n    resolution: {integrity: x}\n",
    "app/bun.lock": b'{"lockfileVersion": 1, "packages": {"a": ["a@1.2.3", "", {}, "sha512-x"],},}',
    "app/node_modules/a/package.json": PACKAGE,
    "site/a-1.dist-info/METADATA": METADATA,
    "site/a-1.dist-info/RECORD": b"a/__init__.py,,\na/x.so,,\n",
    "site/a-1.egg-info/PKG-INFO": METADATA,
    "app/requirements.txt": b"django==3.2.10 ; python_version > '3'\n-r other.txt\n",
    "app/poetry.lock": b'[[package]]\nname = "django"\nversion = "3.2.10"\n',
    "app/Pipfile.lock": b'{"_meta":{},"default":{"django":{"version":"==3.2.10"}},"develop":{}}',
    "app/uv.lock": b'version = 1\n[[package]]\nname = "django"\nversion = "3.2.10"\nsource = { registry = "https://r.example" }\n',
    "app/pdm.lock": b'[[package]]\nname = "django"\nversion = "3.2.10"\n',
    "opt/conda/conda-meta/a-1-0.json": b'{"name":"a","version":"1","build":"0","channel":"c","license":"MIT","files":["lib/a.so"]}',
    "app/go.mod": b"module example.org/a\ngo 1.22\nrequire (\n\tgolang.org/x/net v0.1.0 // indirect\n)\nreplace a => b v1.0.0\n",
    "app/Cargo.lock": b'version = 3\n[[package]]\nname = "serde"\nversion = "1.0.0"\nsource = "registry+https://r.example"\n',
    "usr/bin/program": b"\x7fELF\x02\x01\x01\x00" + bytes(8) + b"\x03\x00\x3e\x00\x01\x00\x00\x00" + bytes(24) + b"\x40\x00\x00\x00\x00\x00\x40\x00" + bytes(4),
    "app/pom.xml": b"<project><groupId>g</groupId><artifactId>a</artifactId><version>1</version><dependencies><dependency><groupId>g</groupId><artifactId>b</artifactId><version>2</version></dependency></dependencies></project>",
    "app/gradle.lockfile": b"# lock\ng:a:1.0=compileClasspath,runtimeClasspath\nempty=\n",
    "usr/lib/ruby/gems/3.1.0/specifications/a-1.gemspec": b'Gem::Specification.new do |s|\n  s.name = "a".freeze\n  s.version = "1.0.0"\n  s.licenses = ["MIT".freeze]\nend\n',
    "app/Gemfile.lock": b"GEM\n  remote: https://r.example/\n  specs:\n    rails (7.0.1)\n      rack (~> 2.0)\n    rack (2.2.3)\n\nDEPENDENCIES\n  rails\n",
    "app/composer.lock": b'{"packages":[{"name":"a/b","version":"v1.2.3","license":["MIT"]}],"packages-dev":[]}',
    "app/vendor/composer/installed.json": b'{"packages":[{"name":"a/b","version":"1.2.3","install-path":"../a/b"}]}',
    "app/a.deps.json": b'{"libraries":{"Newtonsoft.Json/13.0.1":{"type":"package"}},"targets":{}}',
    "app/packages.lock.json": b'{"version":1,"dependencies":{"net6.0":{"A":{"type":"Direct","resolved":"1.0.0"}}}}',
    "app/project.assets.json": b'{"libraries":{"A/1.0.0":{"type":"package"}}}',
}


def jar():
    import zipfile

    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, text in [
            ("META-INF/MANIFEST.MF", "Manifest-Version: 1.0\r\nImplementation-Title: a\r\nImplementation-Version: 1.0\r\n\r\n"),
            ("META-INF/maven/g/a/pom.properties", "groupId=g\nartifactId=a\nversion=1.0\n"),
        ]:
            archive.writestr(zipfile.ZipInfo(path, (2024, 1, 1, 0, 0, 0)), text)
    return out.getvalue()


FILES["app/a.jar"] = jar()
for number, path in enumerate(PATHS):
    if path in FILES:
        put("package_file", re.sub(r"[^a-z0-9]+", "-", path.lower()), bytes([number]) + FILES[path])


put("dpkg", "status", STATUS + b"Package: a\nStatus: deinstall ok config-files\nVersion: 1\n\nPackage: b\nStatus: install ok installed\nArchitecture: all\nVersion: 1:2-3\nDescription: x\n y\n .\n z\n")
put("apk", "installed", APK + b"C:Q1x\nP:a\nV:1-r0\nF:\nR:b\na:0:0:755\n\n")
put("executable", "elf", FILES["usr/bin/program"])
put("jar", "one", FILES["app/a.jar"])
put("folding", "stack", bytes([0, 0, 0, 6, 4, 9, 255, 0, 6, 0, 8, 0, 7, 22, 255, 0, 16, 12, 5, 23]))

LAYER = tar([
    ("etc/os-release", FILES["etc/os-release"]), ("var/lib/dpkg/status", STATUS), ("usr/lib", None), ("lib", (tarfile.SYMTYPE, "usr/lib")),
    ("site/a-1.dist-info/METADATA", METADATA), ("app/node_modules/a/package.json", PACKAGE), ("lib/hard", (tarfile.LNKTYPE, "var/lib/dpkg/status")),
])
UPPER = tar([("var/lib/.wh.dpkg", b""), ("app/.wh..wh..opq", b""), ("lib/apk/db/installed", APK)])
put("layer", "plain", LAYER)
put("layer", "whiteouts", UPPER)
put("layer", "gzip", gzip.compress(UPPER, mtime=0))

CONFIG = json.dumps({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [digest(LAYER), digest(UPPER)]}}).encode()
put("image", "docker", tar([
    ("config.json", CONFIG), ("a/layer.tar", LAYER), ("b/layer.tar", UPPER),
    ("manifest.json", json.dumps([{"Config": "config.json", "RepoTags": ["a:1"], "Layers": ["a/layer.tar", "b/layer.tar"]}]).encode()),
]))
PACKED = gzip.compress(LAYER, mtime=0)
CONFIG = json.dumps({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [digest(LAYER)]}}).encode()
KIND = "application/vnd.oci.image."
MANIFEST = json.dumps({
    "schemaVersion": 2, "mediaType": KIND + "manifest.v1+json",
    "config": {"mediaType": KIND + "config.v1+json", "digest": digest(CONFIG), "size": len(CONFIG)},
    "layers": [{"mediaType": KIND + "layer.v1.tar+gzip", "digest": digest(PACKED), "size": len(PACKED)}],
}).encode()
INDEX = json.dumps({"schemaVersion": 2, "manifests": [
    {"mediaType": KIND + "manifest.v1+json", "digest": digest(MANIFEST), "size": len(MANIFEST), "platform": {"architecture": "amd64", "os": "linux"}},
]}).encode()
blob = lambda content: ("blobs/sha256/" + digest(content)[7:], content)
put("image", "oci", tar([("oci-layout", b'{"imageLayoutVersion":"1.0.0"}'), ("index.json", INDEX), blob(MANIFEST), blob(CONFIG), blob(PACKED)]))

for number, text in enumerate([
    "pkg:deb/debian/libssl3@3.0.11-1%2Bb1?arch=amd64&distro=debian-12&upstream=openssl%403.0.11-1", "pkg:pypi/Django@3.2.10",
    "pkg:npm/%40a/b@1.2.3", "pkg:golang/github.com/A/b@v1.0.0#sub/path", "pkg:maven/g.h/a@1?type=jar&classifier=x", "pkg:rpm/redhat/a@1-2.el9?epoch=1",
]):
    put("purl", str(number), text)

for number, text in enumerate([
    "1:1.0~rc1-1+b1\n1.0-1\n1.0", "1.2.3_rc1-r2\n1.2.3\n1.2.3-r1", "2:1.0^git1-1.el9\n1.0~beta-1\n1.0-1", "1.0.post1\n1!0.9\n1.0rc1+local",
    "1.2.3-alpha.1+b\n1.2.3\n1.2", "v0.0.0-20200101000000-abcdef123456\nv1.0.0+incompatible\nv1", "1.0-SNAPSHOT\n1.0-alpha-1\n1.0.Final",
    "1.0.a.1\n1.0.0\n1", "1.0.0.0-Beta\n1.0.0\n1", "dev-master\n1.0-RC1\n1.0p1", "1.2.3+a\n1.2.3+b\n1.2.3", "1.2-3\n1.2.3\n1", "4.0.8\n4.0.8~a\n4",
]):
    put("version", str(number), bytes([number]) + text.encode())

put("record", "osv", json.dumps({
    "id": "GHSA-aaaa-bbbb-cccc", "modified": "2024-01-01T00:00:00Z", "aliases": ["CVE-2024-1"], "summary": "x",
    "severity": [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}],
    "affected": [{"package": {"ecosystem": "PyPI", "name": "a"}, "versions": ["1.0"], "ranges": [
        {"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1.2"}, {"introduced": "2"}, {"last_affected": "2.5"}]}]}],
}))
put("policy", "yaml", """version: "1.0"
rules:
- name: Block high and critical findings in use
  severity: [Critical, High]
  reachability: [runtime, entrypoint]
  match: {images: ["registry.example/**"], purls: ["pkg:npm/*"]}
  action: {type: block}
- name: old
  expires: "2024-01-01T00:00:00Z"
  action: ignore
""")
put("policy", "json", json.dumps({"version": "1.0", "rules": [{"name": "a", "severity": ["Low"], "action": "warn"}]}))

PURL = "pkg:pypi/django@3.2.10"
put("sbom", "cyclonedx-json", json.dumps({
    "bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1,
    "metadata": {"component": {"type": "container", "name": "a", "bom-ref": "root"}},
    "components": [{"type": "library", "bom-ref": "d", "name": "django", "version": "3.2.10", "purl": PURL, "licenses": [{"license": {"id": "MIT"}}],
                    "components": [{"type": "library", "name": "b", "version": "1", "purl": "pkg:npm/b@1"}]}],
    "dependencies": [{"ref": "root", "dependsOn": ["d"]}, {"ref": "d", "dependsOn": ["root"]}],
}))
put("sbom", "cyclonedx-xml", f"""<?xml version="1.0"?><bom xmlns="http://cyclonedx.org/schema/bom/1.6" version="1"><components>
<component type="library" bom-ref="d"><name>django</name><version>3.2.10</version><purl>{PURL}</purl></component></components></bom>""")
put("sbom", "spdx-json", json.dumps({
    "spdxVersion": "SPDX-2.3", "SPDXID": "SPDXRef-DOCUMENT", "name": "a", "dataLicense": "CC0-1.0", "documentNamespace": "https://x.example/a",
    "creationInfo": {"created": "2024-01-01T00:00:00Z", "creators": ["Tool: a"]},
    "packages": [{"SPDXID": "SPDXRef-d", "name": "django", "versionInfo": "3.2.10", "downloadLocation": "NOASSERTION",
                  "externalRefs": [{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": PURL}]}],
    "relationships": [{"spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES", "relatedSpdxElement": "SPDXRef-d"}],
}))
put("sbom", "spdx-tag-value", f"""SPDXVersion: SPDX-2.3
DataLicense: CC0-1.0
SPDXID: SPDXRef-DOCUMENT
DocumentName: a
PackageName: django
SPDXID: SPDXRef-d
PackageVersion: 3.2.10
ExternalRef: PACKAGE-MANAGER purl {PURL}
PackageComment: <text>two
lines</text>
""")
put("sbom", "spdx-3", json.dumps({
    "@context": "https://spdx.org/rdf/3.0.1/spdx-context.jsonld",
    "@graph": [{"type": "software_Package", "spdxId": "urn:d", "name": "django", "software_packageVersion": "3.2.10", "software_packageUrl": PURL},
               {"type": "Relationship", "spdxId": "urn:r", "from": "urn:d", "to": ["urn:d"], "relationshipType": "dependsOn"}],
}))
put("sbom", "trivy", json.dumps({
    "SchemaVersion": 2, "ArtifactName": "a", "ArtifactType": "container_image",
    "Results": [{"Target": "Python", "Class": "lang-pkgs", "Type": "python-pkg", "Packages": [{"ID": "d", "Name": "django", "Version": "3.2.10"}]}],
}))
put("sbom", "syft", json.dumps({
    "artifacts": [{"id": "1", "name": "django", "version": "3.2.10", "type": "python", "purl": PURL, "locations": [{"path": "/a"}]}],
    "schema": {"version": "16.0.0", "url": "https://raw.githubusercontent.com/anchore/syft/main/schema/json/schema-16.0.0.json"},
    "distro": {"id": "debian", "versionID": "12"},
}))

put("vex", "openvex", json.dumps({
    "@context": "https://openvex.dev/ns/v0.2.0", "@id": "https://x.example/1", "author": "a", "timestamp": "2024-01-01T00:00:00Z", "version": 1,
    "statements": [{"vulnerability": {"name": "CVE-2024-1"}, "products": [{"@id": PURL}], "status": "not_affected",
                    "justification": "vulnerable_code_not_in_execute_path"}],
}))
put("vex", "cyclonedx", json.dumps({
    "bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1, "components": [{"type": "library", "name": "django", "bom-ref": "d", "purl": PURL}],
    "vulnerabilities": [{"id": "CVE-2024-1", "analysis": {"state": "not_affected", "justification": "code_not_reachable"}, "affects": [{"ref": "d"}]}],
}))
put("vex", "csaf", json.dumps({
    "document": {"category": "csaf_vex", "csaf_version": "2.0", "title": "a", "publisher": {"category": "vendor", "name": "a", "namespace": "https://x.example"},
                 "tracking": {"id": "a", "status": "final", "version": "1", "current_release_date": "2024-01-01T00:00:00Z", "initial_release_date": "2024-01-01T00:00:00Z"}},
    "product_tree": {"branches": [{"category": "product_version", "name": "d", "product": {"product_id": "P", "name": "d", "product_identification_helper": {"purl": PURL}}}]},
    "vulnerabilities": [{"cve": "CVE-2024-1", "product_status": {"known_not_affected": ["P"]}, "flags": [{"label": "component_not_present", "product_ids": ["P"]}]}],
}))

put("dsse", "report", json.dumps({
    "payloadType": "application/vnd.stellaops.report+json", "payload": base64.b64encode(b'{"reportId":"report-x","verdict":"pass"}').decode(),
    "signatures": [{"keyId": "k", "keyid": "k", "algorithm": "ed25519", "signature": "AA==", "sig": "AA=="}, {"keyid": "c", "algorithm": "ecdsa", "sig": "-_8"}],
}))
put("dsse", "bare", json.dumps({"payload": "aGVsbG8gd29ybGQ=", "payloadType": "http://example.com/HelloWorld", "signatures": [
    {"sig": "A3JqsQGtVsJ2O2xqrI5IcnXip5GToJ3F+FnZ+O88SjtR6rDAajabZKciJTfUiHqJPcIAriEGAHTVeCUjW2JIZA=="}]}))
put("dsse", "findings", json.dumps({
    "payloadType": "application/vnd.stellaops.report+json", "signatures": [], "payload": base64.b64encode(json.dumps({
        "evidence": "scanned", "findings": [{"findingId": "f", "kev": True, "reachability": "runtime", "severity": "High", "fixedIn": ["1"]}],
        "imageDigest": "sha256:" + "0" * 64, "issues": [], "policy": {"digest": "", "revisionId": "r"}, "scanId": "s",
        "summary": {"blocked": 0, "ignored": 0, "quieted": 0, "total": 1, "warned": 1}, "verdict": "warn", "verdicts": [{"findingId": "f", "status": "Warned"}],
    }, separators=(",", ":"), sort_keys=True).encode()).decode(),
}))
put("canonical", "numbers", "[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001,-0,9007199254740991,9007199254740993,1e400]")
put("canonical", "keys", r'{"\u20ac":1,"\r":2,"\ufb33":3,"1":4,"\ud83d\ude00":5,"\u0080":6,"\u00f6":[null,true,{"a":"\u000f\n\\\""}]}')
put("canonical", "twice", '{"a":1,"a":{"b":[[[[]]]]}}')
for number, text in enumerate([
    "registry.example/**/app:*\nregistry.example/team/a/app:1", "pkg:npm/*\npkg:npm/%40a/b@1", "CVE-202[0-9]-*\nCVE-2024-1", "{a,b}?\nac", "a\\\\*\na*",
    "**\nusr/lib/x.so", "**/lib/[!a]*.so\nusr/lib/b.so",
]):
    put("globs", str(number), text)
put("rego", "verdict", 'package stella.policy\n\nverdict := "block" if {\n\tsome id in input.finding.advisoryIds\n\tregex.match(`^CVE-`, id)\n}\n')
put("rego", "image", 'package stella.policy\n\nimage := {"verdict": "warn", "rule": r} if r := sprintf("%d", [count(input.findings)])\n')
