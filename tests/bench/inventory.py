"""Inventory of an image archive: `stella --local` beside syft and beside openssl's SHA-256 of the same file."""

import json
import os
import sys

import data
from lib import FEEDS, folder, line, middle, program, run

REPEATS = 5


def damaged(command, image, size, output):
    """Whether one changed byte in the last layer, in what no package is read from, is noticed as a wrong digest."""
    with open(image, "r+b") as file:
        file.seek(size * 3 // 4)
        byte = file.read(1)
        file.seek(size * 3 // 4)
        file.write(bytes([byte[0] ^ 1]))
    status, *_ = run(command, output)
    with open(f"{output}.err", encoding="utf-8", errors="replace") as file:
        said = file.read()
    return status == 2 and "sha256:" in said


def components(path):
    with open(path, encoding="utf-8") as file:
        return sum(1 for entry in json.load(file).get("components", []) if entry.get("purl"))


def main():
    with folder() as work:
        image, output = f"{work}/image.tar", f"{work}/output"
        expected = data.archive(image, int(os.environ.get("BENCH_MB", "700")))
        size = os.path.getsize(image)
        stella = [program("stella"), "--local", "--feeds", FEEDS, "--cache-dir", f"{work}/index"]
        stella += ["--format", "cyclonedx", image]
        commands = {"stella": stella, "openssl": ["openssl", "dgst", "-sha256", image]}
        syft = os.environ.get("SYFT")
        if syft:
            os.environ["SYFT_CHECK_FOR_APP_UPDATE"] = "false"
            commands["syft"] = [syft, "scan", "--quiet", "--output", "cyclonedx-json", f"docker-archive:{image}"]
        measured, found = {name: [] for name in commands}, {}
        for repeat in range(REPEATS + 1):
            for name, command in commands.items():
                status, *figures = run(command, output)
                if status not in (0, 1) or (status and name != "stella"):
                    with open(f"{output}.err", encoding="utf-8", errors="replace") as file:
                        sys.exit(f"{name} ended with {status}: {file.read()[-2000:]}")
                # The first of each fills the page cache and makes the index.
                if repeat:
                    measured[name].append(figures)
                elif name != "openssl":
                    found[name] = components(output)
        report(measured, found, size, expected)
        if not damaged(stella, image, size, output):
            sys.exit("a changed byte in a layer was not noticed")
        line("inventory", "one changed byte in a layer", "refused", "", "every digest verified")


def report(measured, found, size, expected):
    wall = {name: middle([seconds for seconds, _, _ in runs]) for name, runs in measured.items()}
    processor = middle([seconds for _, seconds, _ in measured["stella"]])
    memory = max(mib for _, _, mib in measured["stella"])
    what = f"docker archive, {size / 1e6:.0f} MB, {found['stella']} of {expected} packages"
    floor = f"openssl dgst -sha256 {wall['openssl']:.2f} s: {wall['stella'] / wall['openssl']:.2f} times"
    line("inventory", what, f"{wall['stella']:.2f} s, cpu {processor:.2f} s, {memory:.0f} MiB", floor)
    if "syft" in wall:
        peer = f"syft {wall['syft']:.2f} s, {found['syft']} packages"
        faster = f"{wall['syft'] / wall['stella']:.1f} times as fast"
        line("inventory", "the same, against a peer", faster, peer, "at least 5 times")
    else:
        line("inventory", "the same, against a peer", "SKIPPED", "NO PEER: syft is not installed", "at least 5 times")


main()
