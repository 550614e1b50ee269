"""Inventory of image archives: `stella --local` beside syft and beside openssl's SHA-256 or gzip of the same bytes."""

import json
import os
import sys

import data
from lib import FEEDS, folder, line, middle, program, quantile, run

REPEATS = 5
AGAIN = 20


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


def stella(work, image, *more):
    command = [program("stella"), "--local", "--feeds", FEEDS, "--cache-dir", f"{work}/cache", "--format", "cyclonedx"]
    return [*command, *more, image]


def compare(commands, floor, output):
    """Lets the programs take turns. Gives what each took, and how many packages it found."""
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
            elif name != floor:
                found[name] = components(output)
    return measured, found


def report(what, goal, measured, found, size, expected, floor):
    wall = {name: middle([seconds for seconds, _, _ in runs]) for name, runs in measured.items()}
    processor = middle([seconds for _, seconds, _ in measured["stella"]])
    memory = max(mib for _, _, mib in measured["stella"])
    beside = f"{floor} {wall[floor]:.2f} s: {wall['stella'] / wall[floor]:.2f} times"
    line(
        "inventory", f"{what}, {size / 1e6:.0f} MB, {found['stella']} of {expected} packages",
        f"{wall['stella']:.2f} s, cpu {processor:.2f} s, {memory:.0f} MiB", beside, goal,
    )
    if "syft" in wall:
        peer = f"syft {wall['syft']:.2f} s, {found['syft']} packages"
        faster = f"{wall['syft'] / wall['stella']:.1f} times as fast"
        line("inventory", "the same, against a peer", faster, peer, "at least 5 times")
    else:
        line("inventory", "the same, against a peer", "SKIPPED", "NO PEER: syft is not installed", "at least 5 times")


def with_peer(commands, image, scheme):
    if syft := os.environ.get("SYFT"):
        os.environ["SYFT_CHECK_FOR_APP_UPDATE"] = "false"
        commands["syft"] = [syft, "scan", "--quiet", "--output", "cyclonedx-json", f"{scheme}:{image}"]
    return commands


def again(work, image, output):
    """The same file once more, untouched: with its inventory from the cache."""
    cold, known = f"{output}.cold", f"{output}.known"
    run(stella(work, image, "--no-cache"), cold)
    run(stella(work, image), known)
    taken = [run(stella(work, image), known)[1] * 1000 for _ in range(AGAIN)]
    with open(cold, "rb") as first, open(known, "rb") as second:
        if first.read() != second.read():
            sys.exit("what is known of an image differs from what is read")
    floor = middle([run([program("stella"), "--version"], output)[1] * 1000 for _ in range(AGAIN)])
    line(
        "inventory", "the same file again", f"p50 {middle(taken):.0f} ms, p99 {quantile(taken, 0.99):.0f} ms",
        f"stella --version {floor:.0f} ms: {middle(taken) / floor:.1f} times", "under 30 ms",
    )


def docker(work, output, megabytes):
    image = f"{work}/image.tar"
    expected = data.archive(image, megabytes)
    size = os.path.getsize(image)
    commands = {"stella": stella(work, image, "--no-cache"), "openssl dgst -sha256": ["openssl", "dgst", "-sha256", image]}
    measured, found = compare(with_peer(commands, image, "docker-archive"), "openssl dgst -sha256", output)
    report("docker archive", "under 0.46 s", measured, found, size, expected, "openssl dgst -sha256")
    again(work, image, output)
    # The cache knows the file as it was: a changed byte has to be found all the same.
    if not damaged(stella(work, image), image, size, output):
        sys.exit("a changed byte in a layer was not noticed")
    line("inventory", "one changed byte in a layer", "refused", "", "every digest verified")
    os.remove(image)


def oci(work, output, megabytes):
    image = f"{work}/oci.tar"
    expected = data.oci_archive(image, megabytes)
    size = os.path.getsize(image)
    commands = {"stella": stella(work, image, "--no-cache"), "gzip --test": ["gzip", "--test", f"{image}.gz"]}
    measured, found = compare(with_peer(commands, image, "oci-archive"), "gzip --test", output)
    report(f"OCI archive of {megabytes} MB in gzip", "under 0.85 s", measured, found, size, expected, "gzip --test")


def main():
    with folder() as work:
        output, megabytes = f"{work}/output", int(os.environ.get("BENCH_MB", "700"))
        docker(work, output, megabytes)
        oci(work, output, megabytes)


main()
