"""What each program says, brought to one form, so that only what matters is compared. RULES says what is done and why."""

import re
from urllib.parse import unquote

RULES = [
    ("a package is type, namespace, name and version of its package URL; qualifiers are left out",
     "architecture, distribution and the source package are said in different qualifiers"),
    ("an epoch in a qualifier is put before the version",
     "the specification of package URLs wants it there for rpm, and elsewhere it is part of the version"),
    ("Conda packages are compared by their type", "syft writes no package URL for them"),
    ("a Java archive that tells no coordinates is left out where the table of archives does not have it",
     "ours names it by its SHA-1 alone (`pkg:generic/NAME?checksum=sha1:…`), which nobody else does"),
    ("the same package in several files counts once",
     "how many files tell of a package is not a difference in what is installed"),
    ("names of Python packages are compared as the index does (PEP 503), those of NuGet without case",
     "`Jinja2` and `jinja2` are one package"),
    ("the namespace `sles` of rpm is read as `suse`",
     "packages of SUSE are named after the vendor in the package URLs of advisories; syft takes the id of os-release"),
    ("Go versions are compared without the leading `v`, the standard library's without `go`",
     "osv-scanner leaves it out"),
    ("versions of Composer are compared without a leading `v`", "for Composer `v4.4.0` is 4.4.0"),
    ("a finding is a package and an advisory; two findings are the same when they share the id of a record of the feeds",
     "each joins aliases in its own way and shows another id first; osv-scanner also joins bulletins of a distribution that "
     "share a CVE, so its count can be lower with the same records"),
    ("ranges of Git commits are left out of the records that osv-scanner gets",
     "it does not read on where one stands before a range of versions; no package has commits for a version"),
    ("what osv-scanner does not read in an image (gems, Composer's packages, the kernel, Node packages without npm's list) "
     "it is asked about by our inventory of the image",
     "then its matching is compared for these, too; what it reads itself counts first"),
    ("of packages of a distribution the source package's name is compared, with the version of the binary package",
     "advisories name sources; osv-scanner shows no version of the source"),
]

# A Java archive that tells no coordinates, as `stella` names it. Interpreters are `pkg:generic` too, with a version.
NAMELESS = re.compile(r"pkg:generic/[^?@]+\?checksum=sha1")
# What says something about an image as a whole or a single file, and is no package.
NO_PACKAGE = {"github-action", "github-action-workflow"}
# Types of syft that are those of package URLs, though it writes none.
WITHOUT_PURL = {"conda"}
ECOSYSTEMS = {
    "PyPI": "pypi", "npm": "npm", "Go": "golang", "crates.io": "cargo", "RubyGems": "gem", "Packagist": "composer",
    "Maven": "maven", "NuGet": "nuget", "SwiftURL": "swift", "Hex": "hex", "Pub": "pub",
}


# Their namespaces, and ours.
NAMESPACES = {"rpm/sles/": "rpm/suse/"}


def pep503(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def package(kind, name, version):
    if kind == "pypi":
        name = pep503(name)
    if kind == "nuget":
        name = name.lower()
    if kind == "golang":
        version = re.sub(r"^(v|go)(?=\d)", "", version)
    if kind == "composer":
        version = re.sub(r"^v(?=\d)", "", version)
    text = f"{kind}/{name}@{version}"
    for theirs, vendor in NAMESPACES.items():
        text = vendor + text.removeprefix(theirs) if text.startswith(theirs) else text
    return text


def from_purl(text):
    """`type/namespace/name@version` of a package URL."""
    rest, _, qualifiers = text.partition("#")[0].removeprefix("pkg:").partition("?")
    path, at, version = rest.rpartition("@")
    path, version = (path, version) if at and "/" not in version else (rest, "")
    kind, _, name = path.partition("/")
    epoch = dict(part.partition("=")[::2] for part in qualifiers.split("&")).get("epoch")
    version = unquote(version)
    return package(kind.lower(), unquote(name), f"{epoch}:{version}" if epoch else version)


def without_nameless(inventory):
    """The CycloneDX document without archives that are no package of anything."""
    named = [entry for entry in inventory.get("components", []) if not NAMELESS.match(entry.get("purl") or "")]
    return {**inventory, "components": named}


def stella_packages(inventory):
    components = without_nameless(inventory)["components"]
    return {from_purl(entry["purl"]) for entry in components if entry.get("purl")}


def syft_packages(document):
    found = set()
    for entry in document.get("artifacts", []):
        if entry["type"] in NO_PACKAGE:
            continue
        kind = entry["type"] if entry["type"] in WITHOUT_PURL else f"({entry['type']})"
        found.add(from_purl(entry["purl"]) if entry.get("purl") else package(kind, entry["name"], entry["version"]))
    return found


def subject(ecosystem, name, version):
    return package(ECOSYSTEMS.get(ecosystem, ecosystem), name, version)


def stella_findings(document):
    """Package and the sets of ids of its findings."""
    found = {}
    for entry in document.get("findings", []):
        said = entry["package"]
        key = subject(said["ecosystem"], said.get("source") or said["name"], said["version"])
        found.setdefault(key, set()).add(frozenset([entry["advisoryId"], *entry["aliases"]]))
    return found


def osv_findings(document):
    """Package and the sets of ids of its findings; also the packages without any."""
    found = {}
    for source in document.get("results") or []:
        for entry in source.get("packages", []):
            said = entry["package"]
            groups = found.setdefault(subject(said["ecosystem"], said["name"], said.get("version", "")), set())
            groups.update(frozenset(group["ids"]) for group in entry.get("groups", []))
    return found
