#!/usr/bin/env bash
# Mutation testing of the evaluator: every change that no test notices has to stand in docs/mutation-testing.md.
#   mutants.sh [FILE...]   only these files of engine/policy/src
set -euo pipefail
root="$(cd "$(dirname "$0")/.." && pwd)"
cache="${STELLA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/stella}"
export PATH="$cache/bin:$PATH"
files=("$@")
((${#files[@]})) || files=(evaluate.rs waiver.rs waived.rs score.rs)
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

status=0
nice -n 10 cargo mutants --manifest-path "$root/engine/policy/Cargo.toml" --package stella-policy --in-place --no-shuffle --jobs 1 \
  --timeout 120 --output "$work" "${files[@]/#/--file=engine/policy/src/}" -- --lib --test order || status=$?
# 0: all noticed; 2: some were not; 3: some ran into the time limit, which is noticing.
((status == 0 || status == 2 || status == 3)) || exit "$status"

unknown=0
while IFS= read -r mutant; do
  # The place moves with every change of the file; what was changed does not.
  change="${mutant#*: }"
  if ! grep -qF -- "\`$change\`" "$root/docs/mutation-testing.md"; then
    echo "mutants: no test notices: $mutant" >&2
    unknown=1
  fi
done <"$work/mutants.out/missed.txt"
echo "mutants: $(wc -l <"$work/mutants.out/caught.txt") noticed, $(wc -l <"$work/mutants.out/missed.txt") not, of which explained: $((unknown == 0))"
exit "$unknown"
