"""The two databases: scans put into the queue beside bare inserts; a page and the counts of many findings, with their plans."""

import contextlib
import json
import os
import pathlib
import subprocess
import sys

from lib import folder, line, program, run

ROWS = int(os.environ.get("BENCH_ROWS", "1000000"))
SCANS = int(os.environ.get("BENCH_SCANS", "2000"))
POSTGRES = pathlib.Path(__file__).resolve().parents[1] / "postgres" / "serve.sh"


@contextlib.contextmanager
def postgres():
    """URL of a server of its own, which ends with its standard input."""
    child = subprocess.Popen([POSTGRES], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield child.stdout.readline().strip()
    finally:
        child.stdin.close()
        child.wait()


def example(work, name, *arguments):
    """What it prints, and what it tells on the side."""
    output = f"{work}/{name}.out"
    status, _, _, _ = run([program(os.path.join("examples", name)), *arguments], output)
    told = pathlib.Path(f"{output}.err").read_text(encoding="utf-8")
    if status != 0:
        sys.exit(f"{name}: {told[-1000:]}")
    return pathlib.Path(output).read_text(encoding="utf-8"), told


def queue(work, database, place):
    rates = json.loads(example(work, "enqueue", place, str(SCANS))[0])
    queued, inserted = rates["queued"], rates["inserted"]
    line(
        "store", f"{database}: scans queued, 8 askers", f"{queued:,.0f} a second",
        f"bare durable inserts {inserted:,.0f} a second: {queued / inserted:.2f} of it", "at least half",
    )


def findings(work, database, place):
    figures, plans = example(work, "findings", place, str(ROWS))
    for figure in figures.splitlines():
        name, middle, slowest = figure.split("\t")
        goal = "under 200 ms" if name.startswith("facets") else "under 50 ms"
        line("store", f"{database}: {name} of {ROWS:,} findings", f"p50 {middle} ms, slowest {slowest} ms", "", goal)
    for plan in plans.strip().splitlines():
        print(f"{'':<10}| {plan}")


def main():
    with folder() as work, postgres() as url:
        os.mkdir(f"{work}/sqlite")
        for database, place in (("SQLite", f"{work}/sqlite"), ("PostgreSQL", url)):
            queue(work, database, place)
            findings(work, database, place)


main()
