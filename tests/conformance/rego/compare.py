#!/usr/bin/env python3
"""Runs the tests in the folders beside this file by `stellopsctl policy test` and by `opa test`, and compares what came of
each test, and the exit codes. What may differ stands in ARGUED with the reason, and nothing else may.

$BIN is the folder with the product's programs (default: target/debug); opa is found on $PATH.
"""

import collections
import json
import os
import pathlib
import re
import subprocess
import sys

HERE = pathlib.Path(__file__).parent
BIN = pathlib.Path(os.environ.get("BIN", HERE / "../../../target/debug"))

# Exit codes of opa, and what we answer: 1 is a test that fails here, and trouble there; 2 the other way round.
EXITS = {0: 0, 2: 1, 1: 2}

CASES = "cases in a test's name are an error here, never a test that passes"
BODIES = "a test with several bodies is an error here, and as many tests there"
ARGUED = {
    ("kinds", "base_test.rego", "test_with_more"): "a rule with more behind its name fails there, and is an error here",
    ("cases", "base_test.rego", "test_levels"): CASES,
    ("cases", "base_test.rego", "test_good_levels"): CASES,
    ("cases", "base_test.rego", "test_bodies"): BODIES,
    ("cases", "base_test.rego", "test_bodies#01"): BODIES,
}

FOLDERS = {
    "good": 0,
    "inside": 0,
    "waiting": 0,
    "outcomes": 2,
    "several": 2,
    "kinds": 2,
    "cases": 2,
    "malformed": 1,
    "refused": 1,
}
# Of the folder `outcomes`: expressions that choose by the whole name, and what opa exits with.
CHOSEN = {"test_passes": 0, r"^data\.stella\.policy_test\.test_is_true$": 0, "policy_test": 2, "test_(fails|waits)": 2, "_waits$": 0}


def run(*command):
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)


def ours(folder, *options):
    ended = run(BIN / "stellopsctl", "--json", "policy", "test", folder, *options)

    def word(test):
        if test["passed"]:
            return "PASS"
        return "SKIPPED" if test.get("skipped") else "ERROR" if test.get("broken") else "FAIL"

    tests = json.loads(ended.stdout) if ended.stdout else []
    return ended, collections.Counter((test["file"], test["case"], word(test)) for test in tests)


def theirs(folder, *options):
    ended = run("opa", "test", "--format", "json", "--exit-zero-on-skipped", folder, *options)

    def word(test):
        if test.get("error"):
            return "ERROR"
        return "SKIPPED" if test.get("skip") else "FAIL" if test.get("fail") else "PASS"

    tests = json.loads(ended.stdout or "[]") if ended.returncode != 1 else []
    place = lambda test: str(pathlib.Path(test["location"]["file"]).relative_to(folder))
    # A numbered name stands in brackets there where it is not the first step.
    name = lambda test: re.sub(r'\["(\w+#\d+)"\]', r".\1", test["name"])
    return ended, collections.Counter((place(test), name(test), word(test)) for test in tests or [])


def differences(name, code, *options):
    folder = HERE / name
    (we, here), (they, there) = ours(folder, *options), theirs(folder, *options)
    if they.returncode != code:
        yield f"opa exits {they.returncode} and not {code}: {they.stdout[-300:]}{they.stderr[-300:]}"
    if we.returncode != EXITS[they.returncode]:
        yield f"we exit {we.returncode}, opa {they.returncode}: {we.stderr[-300:]}"
    for who, said, other in (("we", here, there), ("opa", there, here)):
        for file, test, word in (said - other).elements():
            if (name, file, test) in ARGUED:
                argued.add((name, file, test))
                if who == "we" and word == "PASS":
                    yield f"{file}: {test}: passes here, though it is argued about"
            else:
                yield f"{file}: {test}: only {who} say {word}"
    if code != 1 and not here:
        yield "no test was run"
    counted.update(word for _, _, word in here.elements())


argued, counted, failed = set(), collections.Counter(), 0
runs = [(name, code, ()) for name, code in FOLDERS.items()]
runs += [("outcomes", code, ("--run", chosen)) for chosen, code in CHOSEN.items()]
for name, code, options in runs:
    for difference in differences(name, code, *options):
        failed += 1
        print(f"FAILED  {' '.join((name, *options))}: {difference}")
for left in set(ARGUED) - argued:
    failed += 1
    print(f"FAILED  {left}: the two agree, and it is argued about")
told = ", ".join(f"{n} {word}" for word, n in sorted(counted.items()))
print(f"tests in Rego: {len(runs)} runs by us and by opa, {told}; {len(ARGUED)} argued: {failed} differences")
sys.exit(failed > 0)
