"""Package databases of distributions, made from what a feed names: databases.py KIND FEED ECOSYSTEM ROOT

Every package is one that the feed knows for the ecosystem (`Debian:9`), in a version that it names there. So the packages
are real though the selection is not: the first one takes the oldest version that fixes something, the next the newest, so
that some have advisories left and others none.
"""

import json
import os
import sys
import zipfile

import rpmdb

MOST = 400
DEBIAN_ARCH, ALPINE_ARCH = "amd64", "x86_64"


def fixed_versions(feed, ecosystem):
    """Package to the fixed versions of its records, in the order of the records' ids."""
    found = {}
    with zipfile.ZipFile(os.path.join(feed, "all.zip")) as bundle:
        for name in sorted(bundle.namelist()):
            for affected in json.loads(bundle.read(name)).get("affected", []):
                package = affected.get("package", {})
                if package.get("ecosystem") != ecosystem:
                    continue
                events = [event for span in affected.get("ranges", []) for event in span.get("events", [])]
                versions = [event["fixed"] for event in events if event.get("fixed", "0") != "0"]
                found.setdefault(package["name"], []).extend(versions)
    return {name: versions for name, versions in sorted(found.items()) if versions}


def chosen(feed, ecosystem):
    """Evenly spaced packages, each with one version."""
    known = list(fixed_versions(feed, ecosystem).items())
    step = max(1, len(known) // MOST)
    for number, (name, versions) in enumerate(known[::step][:MOST]):
        yield number, name, versions[0] if number % 2 == 0 else versions[-1]


def write(root, path, text):
    path = os.path.join(root, path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def stanza(number, source, version, installed=True):
    """A package of the source's own name, one of another name, or one that was built again without a new source."""
    name, lines = source, []
    if number % 3 == 1:
        name = f"lib{source}-data"
        lines = [f"Source: {source}"]
    elif number % 3 == 2:
        lines = [f"Source: {source} ({version})"]
        version += "+b1"
    status = ["Status: install ok installed"] if installed else []
    head = [f"Package: {name}", *status, f"Architecture: {DEBIAN_ARCH}", *lines, f"Version: {version}"]
    return name, "\n".join([*head, "Maintainer: Nobody <nobody@example.org>", f"Description: of {source}", ""])


def dpkg(packages, root):
    stanzas = []
    for number, source, version in packages:
        name, text = stanza(number, source, version)
        if number % 50 == 49:
            # Removed, its configuration is still there: not installed.
            text = text.replace("install ok installed", "deinstall ok config-files")
        stanzas.append(text)
        write(root, f"var/lib/dpkg/info/{name}.list", f"/.\n/usr\n/usr/share/doc/{name}\n")
    write(root, "var/lib/dpkg/status", "\n".join(stanzas))


def status_d(packages, root):
    for number, source, version in packages:
        if number % 8 == 0:
            name, text = stanza(number // 8, source, version, installed=False)
            write(root, f"var/lib/dpkg/status.d/{name}", text)
            write(root, f"var/lib/dpkg/status.d/{name}.md5sums", f"{'0' * 32}  usr/share/doc/{name}/copyright\n")


def apk(packages, root):
    stanzas = []
    for number, origin, version in packages:
        name = origin if number % 2 == 0 else f"{origin}-libs"
        stanzas.append(
            f"C:Q1AAAAAAAAAAAAAAAAAAAAAAAAAAA=\nP:{name}\nV:{version}\nA:{ALPINE_ARCH}\nS:1000\nI:4096\nT:of {origin}\n"
            f"U:https://example.org/\nL:MIT\no:{origin}\nm:Nobody <nobody@example.org>\nF:usr/lib\nR:{name}.so\n"
        )
    write(root, "lib/apk/db/installed", "\n".join(stanzas) + "\n")


def rpm(packages, root):
    headers = []
    for number, name, version in packages:
        epoch, _, rest = version.rpartition(":")
        number_of, _, release = rest.partition("-")
        headers.append(rpmdb.header(name, int(epoch) if epoch else None, number_of, release, number))
    rpmdb.write(os.path.join(root, "var/lib/rpm/rpmdb.sqlite"), headers)


KINDS = {"dpkg": dpkg, "status.d": status_d, "apk": apk, "rpm": rpm}


def main():
    kind, feed, ecosystem, root = sys.argv[1:]
    KINDS[kind](list(chosen(feed, ecosystem)), root)


main()
