#!/usr/bin/env python3
"""Tries to get past an admission webhook, in every way that is known, and says what came of it.

  run.py --target target.json [--only REGEX] [--short]   on the cluster of $KUBECONFIG
  run.py --docs                                          prints docs/bypass.md

`target.json` names two images of which the webhook refuses one, and what else there is to try with; README.md lists it.
It needs kubectl and Python. Whatever it makes, it makes in namespaces of its own and takes away again.
"""

import argparse
import json
import sys

import cases  # noqa: F401 (adds the cases)
from page import page
from suite import run_all
from target import Target


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", metavar="FILE")
    parser.add_argument("--only", metavar="REGEX")
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--docs", action="store_true")
    options = parser.parse_args()
    if options.docs:
        print(page(), end="")
        return 0
    if not options.target:
        parser.error("--target is needed")
    with open(options.target, encoding="utf-8") as file:
        target = Target(json.load(file))
    try:
        target.begin()
        return min(run_all(target, options.only, options.short), 1)
    finally:
        target.end()


sys.exit(main())
