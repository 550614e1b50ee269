"""The text of docs/agreement.md."""

import collections

import edges
import formats
import normal

DESCRIPTIONS = {
    "debian-12": "Debian 12 by debootstrap, with Python packages that dpkg owns",
    "debian-9": "package database of a Debian 9, made from the names and versions of the feed",
    "alpine-3.11": "package database of an Alpine 3.11, likewise",
    "distroless": "`status.d` of a Debian 10, likewise, as distroless images have it",
    "alma-9": "rpm database (SQLite) of an AlmaLinux 9, likewise, with epochs and modules",
    "rpm-sqlite": "rpm database found in the wild: SQLite, CBL-Mariner 2.0",
    "rpm-bdb": "rpm database found in the wild: BerkeleyDB, one package",
    "rpm-ndb": "rpm database found in the wild: ndb, SLE 15 BCI",
    "python": "virtual environment from PyPI, and two distributions as egg-info",
    "node": "application as npm installs it, lock file and `node_modules`",
    "go": "two Go programs, one stripped, with a replaced module",
    "rust": "a Rust program with `cargo auditable`, and the same without its list",
    "java": "jars from Maven Central: plain, in a Spring Boot jar, in a war in an ear, shaded",
    "locks": "lock files of 15 tools, one application a folder",
    "installed": "what Ruby, PHP, Conda and .NET leave where they install packages",
    "replaced": "three layers that delete and replace: package database, whiteouts, opaque folders, files for folders",
    "mixed": "700 MB: the Debian 12, Python, Node, Go, Java and Rust above as layers of one image",
}
IMAGES = list(DESCRIPTIONS)

HEAD = """\
# Agreement with others

Whether `stella` says the same as others about the same images: packages compared with syft, findings with osv-scanner
on the same feeds. Each reads the image itself. A difference needs a reason, and that ours is wrong is none.

    make agreement                                    # makes what is missing, compares; fails on a difference without reason
    tests/conformance/agreement/run.sh python node    # only these images; edges-pypi and formats-syft-json and the like for one part
    tests/conformance/agreement/run.sh --write        # writes this page

It needs the public test data (`$STELLA_TEST_DATA`, else `../shared/data` beside the repository), root for debootstrap,
Go, Rust, Node with npm, a JDK with Maven, and the registries of those languages to make the images. Images and what the
peers said are kept in `$STELLA_CACHE/agreement` (about 3 GB) and made again when their sources change; the peers are of
pinned versions. Reasons are in `tests/conformance/agreement/explained.toml`; one that explains nothing any more fails the
run as well, and so does this page when the run gives something else.

For `stella` the feeds have a small `maven/trivy-java.db` besides, made of the artifacts that the image `java` is made of, with
their SHA-1: by it a jar is named that tells no coordinates, as by Trivy's Java database.

The feeds end at different dates (Debian 11 in April 2023, Alpine 3.11, npm 2018), so few findings on an image say nothing
about it. What a Debian 12 holds, and the version of Go that is built with, change with time: then the page is written
again.
"""


# Why the numbers of findings may differ where no difference is listed.
MERGED = [
    "osv-scanner has two findings more there where ours has one: of `wasmtime@0.9.0`, PYSEC-2021-320, -321 and -322 are of three",
    "CVEs, all of which RUSTSEC-2021-0110 has as aliases, and aliases join transitively here.",
]


def text(counts, known, unexplained):
    parts = [HEAD, images(counts), at_edges(counts), in_formats(counts), rules(), reasons(known)]
    if unexplained:
        parts.append(open_ones(unexplained))
    return "\n".join(parts)


def images(counts):
    rows = ["## Images", "", "Ours, theirs, and what both say.", "", "| image | what it is | packages | findings |", "|---|---|---|---|"]
    for image, (packages, findings) in counts.items():
        if image.startswith((edges.PREFIX, formats.PREFIX)):
            continue
        figures = [figure(count) for count in (packages, findings)]
        rows.append(f"| `{image}` | {DESCRIPTIONS.get(image, '')} | {figures[0]} | {figures[1]} |")
    return "\n".join([*rows, ""])


def at_edges(counts):
    rows = [
        "## Edges of advisories", "",
        "SBOMs with every version at which a record of the feeds begins or ends, one for each ecosystem, given to `stella` and to",
        "osv-scanner: findings of ours, theirs, and both. `edges-benchmark` is the SBOM that the speed of both is measured with.",
        "Of a list of versions the first, the middle and the last are asked about.",
        *MERGED, "", "| ecosystem | findings |", "|---|---|",
    ]
    for name in (name for name in counts if name.startswith(edges.PREFIX)):
        _, count = counts[name]
        rows.append(f"| `{name}` | {figure(count)} |")
    return "\n".join([*rows, "", *not_asked(counts), ""])


def not_asked(counts):
    """What osv-scanner cannot be asked about, name by name."""
    rows = ["Not asked about, since osv-scanner takes the path of a Go module in lower case and a gem's hyphen for a platform:", ""]
    for name in (name for name in edges.NAMES if name in counts):
        silent = edges.left_out(name)
        if silent:
            total = sum(map(len, silent.values()))
            listed = ", ".join(f"`{package}` ({len(versions)})" for package, versions in silent.items())
            rows.append(f"- `{name}`, {total:,} versions of {len(silent):,} packages: {listed}")
    rows += ["", "Without an SBOM here:", ""]
    for base, why in edges.SILENT.items():
        for ecosystem, (packages, versions) in edges.without_sbom(base).items():
            rows.append(f"- {ecosystem}, {versions:,} versions of {packages:,} packages: {why}")
    return rows


def in_formats(counts):
    rows = [
        "## Formats of one tool", "",
        f"The image `{formats.IMAGE}` as syft writes it in each of its formats, every document read by `stella`: what it has of this",
        f"format, of `{formats.REFERENCE}`, and of both.", "", "| format | packages | findings |", "|---|---|---|",
    ]
    for name in (name for name in counts if name.startswith(formats.PREFIX)):
        packages, findings = counts[name]
        rows.append(f"| `{name.removeprefix(formats.PREFIX)}` | {figure(packages)} | {figure(findings)} |")
    return "\n".join([*rows, ""])


def figure(count):
    return f"{count.ours:,} / {count.theirs:,} / {count.common:,}"


def rules():
    rows = ["## What is brought to one form before it is compared", ""]
    rows += [f"- {what}: {why}." for what, why in normal.RULES]
    return "\n".join([*rows, ""])


def reasons(known):
    rows = ["## Differences and their reasons", ""]
    for reason in sorted(known, key=lambda reason: (reason.compared, reason.only, reason.images, reason.what)):
        found = known[reason]
        rows += [f"### {reason.compared.capitalize()} that only {reason.only} has: {', '.join(reason.images)}", "", reason.why, ""]
        rows += [*listed(found), ""]
    if not known:
        rows += ["None.", ""]
    return "\n".join(rows)


def open_ones(unexplained):
    """What fails the run; said here too, so that nobody takes the table above for the whole truth."""
    rows = ["## Differences without a reason", "", "These are to be mended; the run fails until then.", ""]
    kinds = collections.defaultdict(list)
    for difference in unexplained:
        kinds[difference.compared, difference.only].append(difference)
    for (compared, only), found in sorted(kinds.items()):
        rows += [f"### {compared.capitalize()} that only {only} has", "", *listed(found), ""]
    return "\n".join(rows)


def listed(found):
    """Every difference: a line for each image, and in it the advisories of a package together."""
    by_image = collections.defaultdict(lambda: collections.defaultdict(list))
    for difference in found:
        package, _, advisory = difference.what.partition(" ")
        by_image[difference.image][package] += [advisory] if advisory else []
    for image, packages in by_image.items():
        names = [f"`{package}`{': ' if ids else ''}{', '.join(ids)}" for package, ids in packages.items()]
        separator = "; " if any(packages.values()) else ", "
        yield f"- `{image}` ({sum(len(ids) or 1 for ids in packages.values()):,}): {separator.join(names)}"
