"""The blocks of a Markdown file that are marked ```sh run, one after the other: extract.py FILE."""

import sys

running = False
blocks = 0
with open(sys.argv[1], encoding="utf-8") as file:
    for number, line in enumerate(file, 1):
        if line.rstrip() == "```sh run":
            running, blocks = True, blocks + 1
            print(f"# line {number}")
        elif line.startswith("```"):
            running = False
        elif running:
            print(line, end="")
if not blocks:
    sys.exit(f"{sys.argv[1]}: no block is marked")
