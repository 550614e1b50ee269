"""Compares what is known of the images, prints the result and keeps docs/agreement.md: compare.py [--write] [IMAGE...]"""

import collections
import os
import sys

import differences
import edges
import explained
import formats
import normal
import page
import tools

REPOSITORY = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", ".."))
PAGE = os.path.join(REPOSITORY, "docs", "agreement.md")
# Advisories printed for a package.
SHOWN = 4


def look_at(image):
    """Counts of packages and findings, and every difference."""
    inventory, result = tools.stella(image)
    packages, found = differences.packages(
        image, normal.stella_packages(inventory), normal.syft_packages(tools.syft(image)))
    ours, theirs = normal.stella_findings(result), normal.osv_findings(tools.osv_scanner(image))
    if ours.keys() - theirs.keys():
        # What it does not read in the image it can be asked about by our inventory.
        asked = tools.osv_scanner_of(image, tools.write_bom(image, normal.without_nameless(inventory)))
        theirs = {**normal.osv_findings(asked), **theirs}
    findings, more = differences.findings(image, ours, theirs)
    return (packages, findings), found + more


def look_at_edges(name):
    """Counts of findings and every difference, at the edges of what advisories of one ecosystem say, or of the benchmark."""
    if name == edges.BENCHMARK:
        bom = tools.bom_path(name)
        edges.benchmark(bom)
    else:
        bom = tools.write_bom(name, edges.document(name))
    _, result = tools.stella(name, bom)
    theirs = normal.osv_findings(tools.osv_scanner_of(name, bom))
    findings, found = differences.findings(name, normal.stella_findings(result), theirs)
    return (differences.Counts(0, 0, 0), findings), found


def looked_at(name):
    """Counts and differences of whatever goes by this name."""
    if name.startswith(formats.PREFIX):
        return formats.look_at(name)
    return look_at_edges(name) if name.startswith(edges.PREFIX) else look_at(name)


def main():
    arguments = sys.argv[1:]
    write = "--write" in arguments
    images = [name for name in arguments if name != "--write"]
    whole = not images
    images = images or [*page.IMAGES, *edges.NAMES, edges.BENCHMARK, *formats.NAMES]

    print(f"{'image':<23}| {'packages: ours, syft, both':>28} | {'findings: ours, osv-scanner, both':>34} | without a reason")
    reasons, counts, all_differences = explained.table(), {}, []
    for image in images:
        counts[image], found = looked_at(image)
        all_differences += found
        _, unexplained, _ = explained.sort_out(reasons, found, [])
        packages, findings = counts[image]
        shown = f"{packages.ours:>12}{packages.theirs:>8}{packages.common:>8}" if packages.ours else " " * 28
        print(f"{image:<23}| {shown} |"
              f" {findings.ours:>18}{findings.theirs:>8}{findings.common:>8} | {len(unexplained) or ''}", flush=True)

    known, unexplained, stale = explained.sort_out(reasons, all_differences, images)
    print_unexplained(unexplained)
    for line in stale:
        print(f"STALE: {line}")
    failed = bool(unexplained or stale)
    if whole:
        failed |= not keep_page(page.text(counts, known, unexplained), write)
    said = f"{sum(map(len, known.values()))} differences explained, {len(unexplained)} not; {len(stale)} stale places"
    print(f"agreement: {'FAILED' if failed else 'ok'}: {len(images)} images, {said}")
    sys.exit(1 if failed else 0)


def print_unexplained(unexplained):
    """One line for each package; its advisories behind it."""
    lines = collections.defaultdict(list)
    for difference in unexplained:
        package, _, advisory = difference.what.partition(" ")
        lines[f"{difference.image}: {difference.compared}, only {difference.only}: {package}"].append(advisory)
    for line, advisories in lines.items():
        more = f" and {len(advisories) - SHOWN} more" if len(advisories) > SHOWN else ""
        print(f"NO REASON: {line} {', '.join(advisories[:SHOWN])[:200]}{more}".rstrip())


def keep_page(text, write):
    if write:
        with open(PAGE, "w", encoding="utf-8") as file:
            file.write(text)
        return True
    if tools.read_text(PAGE) == text:
        return True
    print("STALE: docs/agreement.md says otherwise than this run: run.sh --write")
    return False


main()
