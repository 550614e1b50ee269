"""Writes the table of values into a README: values_table.py VALUES README.

Every key of the values file has its meaning in the comment right above it. Lists and maps that are values stand on one
line, in braces or brackets; a key with nothing behind it opens a group.
"""

import re
import sys

BEGIN = "<!-- values: begin (charts/generate.sh) -->\n"
END = "<!-- values: end -->\n"
KEY = re.compile(r"( *)([A-Za-z0-9_./-]+):(?: (.*))?$")


def read(lines):
    """Yields (path, default or None for a group, meaning)."""
    path, comment = [], []
    for number, line in enumerate(lines, 1):
        line = line.rstrip()
        text = line.strip()
        if not text:
            comment = []
        elif text.startswith("#"):
            comment.append(text.lstrip("#").strip())
        else:
            found = KEY.match(line)
            if not found:
                sys.exit(f"line {number}: a value has to stand on one line: {line}")
            if not comment:
                sys.exit(f"line {number}: no comment above {text}")
            indent, key, default = found.groups()
            path = path[: len(indent) // 2] + [key]
            yield ".".join(path), default, " ".join(comment)
            comment = []


def table(entries):
    yield "| Value | Default | Meaning |\n|---|---|---|\n"
    for path, default, meaning in entries:
        shown = "" if default is None else f"`{default}`"
        name = f"**`{path}`**" if default is None else f"`{path}`"
        yield f"| {name} | {shown} | {meaning} |\n"


def main(values, readme):
    with open(values, encoding="utf-8") as file:
        rows = "".join(table(read(file)))
    with open(readme, encoding="utf-8") as file:
        text = file.read()
    before, rest = text.split(BEGIN, 1)
    after = rest.split(END, 1)[1]
    with open(readme, "w", encoding="utf-8") as file:
        file.write(before + BEGIN + rows + END + after)


main(*sys.argv[1:])
