"""What a case of the suite is, and how all of them are run and told."""

import re
import sys
import time
import traceback
from dataclasses import dataclass, field
from typing import Callable

ADMITTED, WARNED, REFUSED, REJECTED = "admitted", "warned", "refused", "rejected"
UNCHANGED, CHANGED, ANSWERED = "unchanged", "changed", "answered"

# What each expected answer means; the page of the suite prints it.
MEANINGS = {
    REFUSED: "the webhook refuses the request",
    "noticed": "the webhook refuses the request or warns the client; the pods it leads to are refused",
    REJECTED: "the API server itself takes no such request",
    ADMITTED: "let in, and rightly: nothing that policy refuses would run",
    UNCHANGED: "the request is taken, and no image is changed by it",
    ANSWERED: "a direct call gets a well-formed answer that lets nothing in, and the webhook lives on",
    "out of reach": "let in; the reason says why no webhook can tell, and what helps",
}


@dataclass
class Answer:
    """What a request came to."""

    kind: str
    text: str = ""

    def refused(self):
        return self.kind == REFUSED


class Skipped(Exception):
    """The target lacks what the case needs."""


@dataclass
class Case:
    """One way to get round the door."""

    section: str
    name: str
    what: str
    expected: str
    how: str
    run: Callable
    needs: tuple = field(default_factory=tuple)
    short: bool = True


CASES = []
SECTIONS = {}


def section(key, title, text=""):
    """Begins a part of the page."""
    SECTIONS[key] = (title, text)


def case(section_key, name, what, expected, how, needs=(), short=True):
    """Adds a case; the function gets the target and returns an Answer."""

    def add(function):
        if any(other.name == name for other in CASES):
            raise ValueError(f"two cases are called {name}")
        if expected not in MEANINGS:
            raise ValueError(f"{name}: there is no answer {expected}")
        CASES.append(Case(section_key, name, what, expected, how, function, tuple(needs), short))
        return function

    return add


def holds(expected, answer):
    """Whether an answer is the expected one. Refusing what is out of reach is better than expected."""
    if expected == "noticed":
        return answer.kind in (REFUSED, WARNED)
    if expected == "out of reach":
        return answer.kind in (ADMITTED, WARNED, REFUSED)
    if expected == ADMITTED:
        return answer.kind in (ADMITTED, WARNED)
    return answer.kind == expected


def run_case(one, target):
    """Gives (result, answer): ok, FAILED or skipped."""
    missing = [need for need in one.needs if not target.has(need)]
    if missing:
        return "skipped", Answer("", f"the target has no {', '.join(missing)}")
    try:
        answer = one.run(target)
    except Skipped as reason:
        return "skipped", Answer("", str(reason))
    except Exception:  # a case that breaks is a failed case, and the others go on
        return "FAILED", Answer("broken", traceback.format_exc(limit=3))
    return ("ok" if holds(one.expected, answer) else "FAILED"), answer


def run_all(target, only=None, short=False):
    """Runs the cases, prints the table, and gives the number that failed."""
    wanted = [one for one in CASES if (not only or re.search(only, one.name)) and (one.short or not short)]
    counts = {"ok": 0, "FAILED": 0, "skipped": 0}
    last = None
    for one in wanted:
        if one.section != last:
            print(f"\n# {SECTIONS[one.section][0]}")
            last = one.section
        begun = time.monotonic()
        result, answer = run_case(one, target)
        counts[result] += 1
        taken = time.monotonic() - begun
        said = answer.kind or "-"
        print(f"{result:8}{one.name:34}expected {one.expected:13}got {said:10}{taken:5.1f} s", flush=True)
        if result != "ok":
            text = answer.text.strip()[-600:] or "(nothing said)"
            print("\n".join("          " + row for row in text.splitlines()))
    left = len(CASES) - len(wanted)
    print(f"\n{counts['ok']} as expected, {counts['FAILED']} not, {counts['skipped']} skipped, {left} left out")
    if not counts["ok"]:
        print("nothing was tested", file=sys.stderr)
        return 1
    return counts["FAILED"]
