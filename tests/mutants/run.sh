#!/usr/bin/env bash
# Changes the evaluator of policies in every way that cargo-mutants knows, and fails when the tests notice one of them
# not (docs/mutants.md). Arguments are those of `cargo mutants`.
set -euo pipefail
cd "$(dirname "$0")/../.."

cache="${STELLA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/stella}"
export PATH="$cache/bin:$PATH"
scripts/install/cargo-tools.sh mutants nextest
mkdir -p "$cache/mutants"
code=0
nice -n 10 cargo mutants --package stella-policy --output "$cache/mutants" --no-shuffle "$@" || code=$?
# 3: a change made a test run for ever, which is noticed too.
[[ $code == 0 || $code == 3 ]] || exit "$code"
