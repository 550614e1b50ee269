"""The published page, from what the cases say of themselves."""

from suite import CASES, MEANINGS, SECTIONS

HEAD = """# Ways past the door

What was tried to get past the webhook, and what comes of it. This page is printed by the suite that tries
(`tests/bypass/run.py --docs`); a test compares them. `make test-bypass` runs the suite against the webhook, the
operator and a registry on a real API server; `tests/bypass/README.md` says how to run it against any other cluster and
any other webhook.

| answer | means |
|---|---|
"""


def page():
    """The whole page."""
    lines = [HEAD.rstrip("\n")]
    lines += [f"| {name} | {text} |" for name, text in MEANINGS.items()]
    for key, (title, text) in SECTIONS.items():
        mine = [one for one in CASES if one.section == key]
        lines += ["", f"## {title}", ""]
        if text:
            lines += [text, ""]
        lines += ["| case | what is tried | answer | why |", "|---|---|---|---|"]
        for one in mine:
            untried = " (not run by the suite: it reaches into a node)" if "node_shell" in one.needs else ""
            lines.append(f"| {one.name} | {one.what} | {one.expected}{untried} | {one.how} |")
    return "\n".join(lines) + "\n"
