"""What all parts need: programs in the background, time and memory of a process, one line for each figure."""

import atexit
import contextlib
import functools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

BIN = os.environ["BIN"]
FEEDS = os.environ["FEEDS"]
SECONDS = float(os.environ.get("BENCH_SECONDS", "20"))
TICKS = os.sysconf("SC_CLK_TCK")


def program(name):
    return os.path.join(BIN, name)


def line(part, figure, measured, beside="", goal=""):
    print(f"{part:<10}| {figure:<46}| {measured:<34}| {beside:<50}| {goal}", flush=True)


def quantile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def middle(values):
    return quantile(values, 0.5)


@contextlib.contextmanager
def folder():
    """A temporary folder, removed also when the run is interrupted."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    path = tempfile.mkdtemp(prefix="stella-bench.")
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@functools.cache
def launcher():
    child = subprocess.Popen(
        [sys.executable, "-S", f"{os.path.dirname(__file__)}/launcher.py"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )
    # At its end it is told so by the end of what it reads.
    atexit.register(child.communicate)
    return child


def run(command, output):
    """Runs to the end; the output goes to a file. Gives exit status, seconds, processor seconds, and MiB at most."""
    child = launcher()
    print(json.dumps([command, output, dict(os.environ)]), file=child.stdin, flush=True)
    answer = child.stdout.readline()
    if not answer:
        sys.exit(f"the launcher of programs ended before {command[0]} did")
    return tuple(json.loads(answer))


@contextlib.contextmanager
def server(command, log):
    """A program in the background; ended by its own number."""
    with open(log, "ab") as out:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    try:
        yield child
    finally:
        if child.poll() is None:
            child.kill()
        child.wait()


def wait_ready(child, url, log, seconds=120, context=None):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if child.poll() is not None:
            break
        with contextlib.suppress(OSError):
            with urllib.request.urlopen(url, timeout=2, context=context):
                return
        time.sleep(0.1)
    with open(log, "rb") as file:
        sys.stderr.write(file.read()[-2000:].decode(errors="replace"))
    raise SystemExit(f"{command_name(child)} did not get ready")


@contextlib.contextmanager
def operator(work, feeds=FEEDS, *more):
    """An operator that lets everybody in, ready, with its data in the folder; the process and its port."""
    os.makedirs(f"{work}/manifests", exist_ok=True)
    port, log = free_port(), f"{work}/operator.log"
    command = [
        program("stella-operator"), "serve", "--manifests", f"{work}/manifests", "--data", f"{work}/data", "--feeds", feeds,
        "--listen", f"127.0.0.1:{port}", "--allow-anonymous", *more,
    ]
    with server(command, log) as child:
        wait_ready(child, f"http://127.0.0.1:{port}/readyz", log)
        yield child, port


def offline_records():
    """The folder of the same records as osv-scanner reads them; the comparison of findings keeps it."""
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path.insert(0, os.path.join(here, "..", "conformance", "agreement"))
    import tools
    tools.osv_feeds()
    return tools.folder("osv")


def command_name(child):
    return os.path.basename(child.args[0])


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def processor_seconds(pid):
    """User and system time of a process and all its threads."""
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def forget_memory_peak(pid):
    """From here on the peak is that of the load, not of the start."""
    with open(f"/proc/{pid}/clear_refs", "w", encoding="utf-8") as file:
        file.write("5")


def memory_peak(pid):
    return memory(pid, "VmHWM:")


def memory_now(pid):
    return memory(pid, "VmRSS:")


def memory(pid, which):
    """MiB."""
    with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
        for entry in file:
            if entry.startswith(which):
                return int(entry.split()[1]) / 1024
    return 0.0
