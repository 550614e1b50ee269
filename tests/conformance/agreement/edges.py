"""Packages at the edges of what advisories say: every version at which a record of the feeds begins or ends, as SBOMs.

Images hold the versions somebody installed; here every range of every record is asked about where it turns. And the SBOM that
the speed of both is measured with.
"""

import collections
import json
import os
import sys
import zipfile
from urllib.parse import quote

import tools

LANGUAGES = {
    "PyPI": "pypi", "npm": "npm", "Go": "golang", "crates.io": "cargo", "RubyGems": "gem", "Packagist": "composer",
    "Maven": "maven", "NuGet": "nuget", "SwiftURL": "swift", "Hex": "hex", "Pub": "pub",
}
# Without those of SILENT.
RELEASES = [f"Debian:{number}" for number in range(5, 12)] + [f"Alpine:v3.{number}" for number in range(3, 12)]
# Ecosystems of the feeds that have no SBOM here, and why.
SILENT = {
    "AlmaLinux": "osv-scanner does not know its packages by their package URL; the image `alma-9` has those of one release",
    "Debian": "releases before 5 had no `os-release`, by which a scanner tells them, and no containers",
}
PREFIX = "edges-"
NAMES = [f"{PREFIX}{name.replace(':', '-').lower()}" for name in [*LANGUAGES, *RELEASES]]
BENCHMARK = f"{PREFIX}benchmark"
PACKAGES = 2005


def document(name):
    """The SBOM of one ecosystem, by its name in NAMES."""
    ecosystem = [*LANGUAGES, *RELEASES][NAMES.index(name)]
    base, _, release = ecosystem.partition(":")
    components = []
    if release:
        components.append({"type": "operating-system", "bom-ref": "os", "name": base.lower(), "version": release.lstrip("v")})
    for package, versions in sorted(edges(base)[ecosystem].items()):
        for version in (version for version in sorted(versions) if comparable(base, package, version)):
            purl = purl_of(ecosystem, package, version)
            components.append({"type": "library", "bom-ref": purl, "name": package, "version": version, "purl": purl})
    return {"bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1, "components": components}


def benchmark(path):
    """Writes the SBOM of the benchmark."""
    sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "bench"))
    import data
    data.sbom(path, tools.FEEDS, PACKAGES)


def edges(base):
    """Ecosystem to package to versions."""
    found = collections.defaultdict(lambda: collections.defaultdict(set))
    for path in tools.feed_files():
        if os.path.basename(os.path.dirname(path)) not in (base, "ghsa"):
            continue
        with zipfile.ZipFile(path) as bundle:
            for name in sorted(bundle.namelist()):
                for affected in json.loads(bundle.read(name)).get("affected", []):
                    package = affected.get("package", {})
                    versions = found[package.get("ecosystem")][package.get("name")]
                    versions.update(turns(affected))
    return found


def comparable(base, package, version):
    """Whether osv-scanner can be asked by a package URL: it takes Go's paths in lower case, and a gem's hyphen for a platform."""
    return not (base == "Go" and package != package.lower()) and not (base == "RubyGems" and "-" in version)


def left_out(name):
    """Package to versions that are not asked about, of one ecosystem by its name in NAMES."""
    ecosystem = [*LANGUAGES, *RELEASES][NAMES.index(name)]
    base = ecosystem.partition(":")[0]
    found = {}
    for package, versions in sorted(edges(base)[ecosystem].items()):
        silent = sorted(version for version in versions if not comparable(base, package, version))
        if silent:
            found[package] = silent
    return found


def without_sbom(base):
    """Ecosystem to counts of packages and versions, of those with no SBOM here."""
    others = {name: found for name, found in edges(base).items() if name and name not in RELEASES and name.startswith(base)}
    return {name: (len(found), sum(map(len, found.values()))) for name, found in sorted(others.items())}


def turns(affected):
    """Versions of ranges, and the first, the middle and the last that are listed."""
    listed = affected.get("versions") or []
    yield from listed[:1] + listed[len(listed) // 2:][:1] + listed[-1:]
    for span in affected.get("ranges", []):
        if span["type"] != "GIT":
            yield from (version for event in span["events"] for version in event.values() if version not in ("0", "*"))


def purl_of(ecosystem, package, version):
    base, _, release = ecosystem.partition(":")
    if release:
        kind = "deb" if base == "Debian" else "apk"
        distribution = f"{base.lower()}-{release.lstrip('v')}"
        return f"pkg:{kind}/{base.lower()}/{quote(package)}@{quote(version, safe='')}?distro={distribution}"
    if base == "Go" and "." in package and not version.startswith("v"):
        version = f"v{version}"
    name = package.replace(":", "/") if base == "Maven" else package
    return f"pkg:{LANGUAGES[base]}/{quote(name, safe='/')}@{quote(version, safe='')}"
