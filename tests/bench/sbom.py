"""A CycloneDX document of 2,005 packages through `stella --local`, as a whole process, beside osv-scanner on the same records;
and an SPDX document of 10 MB."""

import json
import os
import sys

import data
from lib import FEEDS, folder, line, middle, offline_records, program, quantile, run

PACKAGES, RUNS, PEER_RUNS = 2005, 20, 5
SPDX_BYTES, SPDX_RUNS = 10_000_000, 5


def peer(document, output):
    """Seconds that osv-scanner takes, and how many vulnerabilities it finds; `None` without it."""
    scanner = os.environ.get("OSV_SCANNER")
    if not scanner:
        return None
    command = [scanner, "scan", "source", "--sbom", document, "--local-db-path", offline_records(), "--offline"]
    command += ["--all-packages", "--all-vulns", "--format", "json"]
    taken = []
    for _ in range(PEER_RUNS):
        status, seconds, *_ = run(command, output)
        if status not in (0, 1, 127):
            with open(f"{output}.err", encoding="utf-8", errors="replace") as file:
                sys.exit(f"osv-scanner ended with {status}: {file.read()[-2000:]}")
        taken.append(seconds)
    with open(output, encoding="utf-8") as file:
        packages = [package for result in json.load(file)["results"] for package in result["packages"]]
    return middle(taken[1:]), sum(len(package.get("groups", [])) for package in packages)


def spdx(work):
    document, output = f"{work}/sample.spdx.json", f"{work}/output"
    packages = data.spdx(document, SPDX_BYTES)
    command = [program("stella"), "--local", "--feeds", FEEDS, "--cache-dir", f"{work}/index", "--format", "spdx", document]
    runs = [run(command, output) for _ in range(SPDX_RUNS)]
    if any(status not in (0, 1) for status, *_ in runs):
        sys.exit("the SPDX document was refused")
    with open(output, encoding="utf-8") as file:
        found = sum(1 for package in json.load(file)["packages"] if package.get("externalRefs"))
    if found != packages:
        sys.exit(f"{found} of {packages} packages of the SPDX document were read")
    line(
        "sbom", f"SPDX, {os.path.getsize(document) / 1e6:.1f} MB, {packages:,} packages, read and written",
        f"{middle([seconds for _, seconds, *_ in runs]):.2f} s, {max(mib for *_, mib in runs):.0f} MiB", "", "under 1 s and 300 MiB",
    )


def main():
    with folder() as work:
        document, output = f"{work}/bom.cdx.json", f"{work}/output"
        known = data.sbom(document, FEEDS, PACKAGES)
        stella = [program("stella"), "--local", "--feeds", FEEDS, "--cache-dir", f"{work}/index", "--format", "json", document]
        floor = [program("stella"), "--version"]
        status, build, *_ = run(stella, output)
        if status not in (0, 1):
            with open(f"{output}.err", encoding="utf-8", errors="replace") as file:
                sys.exit(f"stella ended with {status}: {file.read()[-2000:]}")
        with open(output, encoding="utf-8") as file:
            findings = sum(json.load(file)["summary"].values())
        whole, empty = [], []
        for _ in range(RUNS):
            whole.append(run(stella, output))
            empty.append(run(floor, output))
        milliseconds = [seconds * 1000 for _, seconds, _, _ in whole]
        processor = middle([seconds * 1000 for _, _, seconds, _ in whole])
        start = middle([seconds * 1000 for _, seconds, _, _ in empty])
        memory = max(mib for *_, mib in whole)
        line(
            "sbom", f"{PACKAGES:,} packages, {known} in the feeds, {findings} findings",
            f"p50 {middle(milliseconds):.0f} ms, p99 {quantile(milliseconds, 0.99):.0f} ms, {memory:.0f} MiB",
            f"cpu {processor:.0f} ms; stella --version {start:.0f} ms: {middle(milliseconds) / start:.1f} times", "under 100 ms",
        )
        line("sbom", "the first run, which makes the index", f"{build:.2f} s")
        if other := peer(document, output):
            seconds, found = other
            line(
                "sbom", "the same, against a peer", f"{seconds * 1000 / middle(milliseconds):.0f} times as fast",
                f"osv-scanner, offline, {seconds:.2f} s, {found} findings", "at least 50 times",
            )
        else:
            line("sbom", "the same, against a peer", "SKIPPED", "NO PEER: osv-scanner or its records", "at least 50 times")
        spdx(work)


main()
