"""Inventory of image archives: `stella --local` beside peers and beside openssl's SHA-256 or gzip of the same bytes; and of images
that are known already, in containerd and in a registry."""

import contextlib
import http.client
import json
import os
import shutil
import subprocess
import sys
import tarfile
import time

import data
from lib import FEEDS, folder, free_port, line, middle, offline_records, operator, program, quantile, run, server

REPEATS = 5
AGAIN = 20
# Of a known image nothing is read, so its size does not matter.
KNOWN_MB = 60
FASTER = "at least 5 times"
# Findings are no failure.
ENDS = {"stella": (0, 1), "osv-scanner": (0, 1)}
NAME = "registry.example/bench/image:1"


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


def packages(path):
    """How many packages a program names: in CycloneDX, or as osv-scanner lists them."""
    with open(path, encoding="utf-8") as file:
        document = json.load(file)
    if "results" in document:
        return sum(len(result["packages"]) for result in document["results"])
    return sum(1 for entry in document.get("components", []) if entry.get("purl"))


def stella(work, image, *more):
    command = [program("stella"), "--local", "--feeds", FEEDS, "--cache-dir", f"{work}/cache", "--format", "cyclonedx"]
    return [*command, *more, image]


def compare(commands, floor, output):
    """Lets the programs take turns. Gives what each took, and how many packages it found."""
    measured, found = {name: [] for name in commands}, {}
    for repeat in range(REPEATS + 1):
        for name, command in commands.items():
            status, *figures = run(command, output)
            if status not in ENDS.get(name, (0,)):
                with open(f"{output}.err", encoding="utf-8", errors="replace") as file:
                    sys.exit(f"{name} ended with {status}: {file.read()[-2000:]}")
            # The first of each fills the page cache and makes the index.
            if repeat:
                measured[name].append(figures)
            elif name != floor:
                found[name] = packages(output)
    return measured, found


def report(what, goal, measured, found, size, expected, floor, peers):
    wall = {name: middle([seconds for seconds, _, _ in runs]) for name, runs in measured.items()}
    processor = middle([seconds for _, seconds, _ in measured["stella"]])
    memory = max(mib for _, _, mib in measured["stella"])
    beside = f"{floor} {wall[floor]:.2f} s: {wall['stella'] / wall[floor]:.2f} times"
    line(
        "inventory", f"{what}, {size / 1e6:.0f} MB, {found['stella']} of {expected} packages",
        f"{wall['stella']:.2f} s, cpu {processor:.2f} s, {memory:.0f} MiB", beside, goal,
    )
    for peer, goal in peers.items():
        if peer in wall:
            faster = f"{wall[peer] / wall['stella']:.1f} times as fast"
            line("inventory", "the same, against a peer", faster, f"{peer} {wall[peer]:.2f} s, {found[peer]} packages", goal)
        else:
            line("inventory", "the same, against a peer", "SKIPPED", f"NO PEER: {peer}, or its records", goal)


def with_peers(commands, image, scheme):
    if syft := os.environ.get("SYFT"):
        os.environ["SYFT_CHECK_FOR_APP_UPDATE"] = "false"
        commands["syft"] = [syft, "scan", "--quiet", "--output", "cyclonedx-json", f"{scheme}:{image}"]
    # It reads no OCI archives.
    if scheme == "docker-archive" and (scanner := os.environ.get("OSV_SCANNER")):
        commands["osv-scanner"] = [
            scanner, "scan", "image", "--archive", image, "--local-db-path", offline_records(), "--offline", "--all-packages",
            "--format", "json",
        ]
    if trivy := os.environ.get("TRIVY"):
        commands["trivy"] = [
            trivy, "image", "--quiet", "--input", unpacked(image) if scheme == "oci-archive" else image, "--format", "cyclonedx",
            "--offline-scan", "--skip-version-check", "--cache-backend", "memory", "--cache-dir", f"{image}.trivy",
        ]
    return commands


def unpacked(image):
    """The folder of an OCI archive, which Trivy reads in the place of the archive."""
    layout = f"{image}.layout"
    with tarfile.open(image) as archive:
        archive.extractall(layout, filter="data")
    return layout


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
    measured, found = compare(with_peers(commands, image, "docker-archive"), "openssl dgst -sha256", output)
    peers = {"trivy": FASTER, "syft": FASTER, "osv-scanner": ""}
    report("docker archive", "under 0.46 s", measured, found, size, expected, "openssl dgst -sha256", peers)
    again(work, image, output)
    # The cache knows the file as it was: a changed byte has to be found all the same.
    if not damaged(stella(work, image), image, size, output):
        sys.exit("a changed byte in a layer was not noticed")
    line("inventory", "one changed byte in a layer", "refused", "", "every digest verified")
    os.remove(image)


def until(succeeds, what, seconds=60):
    end = time.monotonic() + seconds
    while not succeeds():
        if time.monotonic() > end:
            sys.exit(f"{what} does not come up")
        time.sleep(0.1)


def missing(*programs):
    return [name for name in programs if not shutil.which(name)]


def known_to_containerd(work, image, output):
    """The same image of a content store once more: known by the digest of its manifest."""
    if lacks := missing("containerd", "ctr"):
        return line("inventory", "the same image in containerd again", "SKIPPED", f"not installed: {', '.join(lacks)}", "under 30 ms")
    address, config = f"{work}/containerd.sock", f"{work}/containerd.toml"
    with open(config, "w", encoding="utf-8") as file:
        file.write(
            "version = 2\ndisabled_plugins = ['io.containerd.grpc.v1.cri']\n"
            f"root = '{work}/containerd'\nstate = '{work}/containerd-state'\n"
        )
    ctr = ["ctr", "--address", address, "--namespace", "default"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with server(["containerd", "--config", config, "--address", address], f"{work}/containerd.log"):
        until(lambda: subprocess.run([*ctr, "version"], check=False, **quiet).returncode == 0, "containerd")
        subprocess.run([*ctr, "images", "import", "--no-unpack", image], check=True, **quiet)
        os.environ["CONTAINERD_ADDRESS"] = address
        target = f"containerd://{NAME}"
        first = run(stella(work, target, "--no-cache"), f"{output}.cold")
        run(stella(work, target), output)
        taken = [run(stella(work, target), output)[1] * 1000 for _ in range(AGAIN)]
    with open(f"{output}.cold", "rb") as cold, open(output, "rb") as warm:
        if cold.read() != warm.read():
            sys.exit("what is known of an image in containerd differs from what is read")
    line(
        "inventory", "the same image in containerd again", f"p50 {middle(taken):.0f} ms, p99 {quantile(taken, 0.99):.0f} ms",
        f"read: {first[1] * 1000:.0f} ms", "under 30 ms",
    )


@contextlib.contextmanager
def registry(work):
    port = free_port()
    with open(f"{work}/registry.yml", "w", encoding="utf-8") as file:
        file.write(
            f"version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {work}/registry}}}}\n"
            f"http: {{addr: '127.0.0.1:{port}'}}\n"
        )
    with server(["docker-registry", "serve", f"{work}/registry.yml"], f"{work}/registry.log"):
        def answers():
            with contextlib.suppress(OSError):
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
                connection.request("GET", "/v2/")
                return connection.getresponse().status == 200
            return False
        until(answers, "docker-registry")
        yield port


def known_to_registry(work, image):
    """The same reference asked for once more at the server, which asks the registry what it names by now."""
    if lacks := missing("docker-registry", "skopeo"):
        return line("inventory", "the same image of a registry again", "SKIPPED", f"not installed: {', '.join(lacks)}", "under 30 ms")
    with registry(work) as port:
        reference = f"127.0.0.1:{port}/bench/image:1"
        subprocess.run(
            ["skopeo", "copy", "--quiet", "--insecure-policy", "--dest-tls-verify=false", f"docker-archive:{image}",
             f"docker://{reference}"], check=True,
        )
        with operator(work, FEEDS, "--insecure-registry", f"127.0.0.1:{port}") as (_, api):
            connection = http.client.HTTPConnection("127.0.0.1", api, timeout=120)

            def scan():
                started = time.perf_counter()
                body = json.dumps({"reference": reference}).encode()
                connection.request("POST", "/scan", body, {"Content-Type": "application/json", "Prefer": "wait=60"})
                answer = connection.getresponse()
                text = answer.read()
                if answer.status != 200:
                    sys.exit(f"a scan of an image in a registry was refused: {answer.status} {text[:300]!r}")
                return (time.perf_counter() - started) * 1000

            first, taken = scan(), [scan() for _ in range(AGAIN)]
    line(
        "inventory", "the same image of a registry again", f"p50 {middle(taken):.0f} ms, p99 {quantile(taken, 0.99):.0f} ms",
        f"pulled: {first:.0f} ms", "under 30 ms",
    )


def known(work, output):
    image = f"{work}/known.tar"
    data.archive(image, KNOWN_MB)
    known_to_containerd(work, image, output)
    known_to_registry(work, image)
    os.remove(image)


def oci(work, output, megabytes):
    image = f"{work}/oci.tar"
    expected = data.oci_archive(image, megabytes)
    size = os.path.getsize(image)
    commands = {"stella": stella(work, image, "--no-cache"), "gzip --test": ["gzip", "--test", f"{image}.gz"]}
    measured, found = compare(with_peers(commands, image, "oci-archive"), "gzip --test", output)
    what = f"OCI archive of {megabytes} MB in gzip"
    report(what, "under 0.85 s", measured, found, size, expected, "gzip --test", {"trivy": "", "syft": FASTER})


def main():
    with folder() as work:
        output, megabytes = f"{work}/output", int(os.environ.get("BENCH_MB", "700"))
        docker(work, output, megabytes)
        oci(work, output, megabytes)
        known(work, output)


main()
