"""The index: built, opened and matched against, from the feeds at hand and from 300,000 made-up advisories."""

import os
import sys

from lib import FEEDS, folder, line, program, run

COUNT = int(os.environ.get("BENCH_ADVISORIES", "300000"))
GOALS = {
    "feeds": {"read, build, write and verify": "under 10 s"},
    "synthetic": {"read, build, write and verify": "under 3 min", "peak memory": "under 1024 MiB"},
    "both": {"open": "under 5 ms", "matching, one of five known": "over 1,000,000 packages/s", "matching, all known": "over 1,000,000 packages/s", "matching, published SBOMs": "over 1,000,000 packages/s"},
}


def figures(name, command, place):
    output = os.path.join(place, "figures")
    status, *_ = run(command, output)
    if status != 0:
        sys.exit(f"{' '.join(command)}: exit status {status}, see its error output:\n" + open(f"{output}.err").read())
    with open(output, encoding="utf-8") as file:
        for figure, _, value in (row.strip().partition(": ") for row in file):
            goal = GOALS[name].get(figure) or GOALS["both"].get(figure, "")
            line("index", f"{name}: {figure}", value, "", goal)


def main():
    index = program(os.path.join("examples", "index"))
    if not os.path.exists(index):
        sys.exit(f"{index} is absent: cargo build --release -p stella-advisory --example index")
    with folder() as place:
        sboms = os.path.join(os.path.dirname(FEEDS), "sboms")
        figures("feeds", [index, "feeds", FEEDS, *([sboms] if os.path.isdir(sboms) else [])], place)
        made = [index, "synthetic", str(COUNT), place]
        run(made, os.path.join(place, "written"))
        figures("synthetic", made, place)


main()
