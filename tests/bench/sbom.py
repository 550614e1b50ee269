"""A CycloneDX document of 2,000 packages through `stella --local`, as a whole process."""

import json
import sys

import data
from lib import FEEDS, folder, line, middle, program, quantile, run

RUNS = 20


def main():
    with folder() as work:
        document, output = f"{work}/bom.json", f"{work}/output"
        known = data.sbom(document, FEEDS)
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
        start = middle([seconds * 1000 for _, seconds, _, _ in empty])
        memory = max(mib for *_, mib in whole)
        line(
            "sbom", f"2,000 packages, {known} in the feeds, {findings} findings",
            f"p50 {middle(milliseconds):.0f} ms, p99 {quantile(milliseconds, 0.99):.0f} ms, {memory:.0f} MiB",
            f"stella --version {start:.0f} ms: {middle(milliseconds) / start:.1f} times", "under 100 ms",
        )
        line("sbom", "the first run, which makes the index", f"{build:.2f} s")


main()
