#!/usr/bin/env bash
# Feeds what reads foreign bytes with bytes that libFuzzer invents: run.sh [TARGET...], all of them without a name.
#   FUZZ_SECONDS=60   how long for each target
#   FUZZ_PROGRAM=...  run this program of an earlier build
#   FUZZ_KEEP=1       put what was found, made small, into the corpora (default: only read them)
# Needs clang++ or g++ for libFuzzer. A stable toolchain does: what is counted are edges; safe Rust needs no sanitizer.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
cache="${STELLA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/stella}"
host="$(rustc -vV | sed -n 's/^host: //p')"
export CARGO_TARGET_DIR="$cache/fuzz"
# What counts is how fast it runs, not how fast it could: linking with LTO takes longer than a target runs.
export CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=4
export RUSTFLAGS="--cfg fuzzing -Cdebuginfo=line-tables-only -Cdebug-assertions=on -Coverflow-checks=on \
-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
-Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares"

targets=("$@")
if ((${#targets[@]} == 0)); then
  for folder in "$here"/corpus/*/; do targets+=("$(basename "$folder")"); done
fi
[[ -n "${FUZZ_PROGRAM:-}" ]] || cargo build --quiet --release --package stella-fuzz --features libfuzzer --target "$host" \
  --manifest-path "$here/Cargo.toml" --bin fuzz

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
# A copy, so that a build beside it changes nothing under a run.
program="$work/fuzz"
cp "${FUZZ_PROGRAM:-$CARGO_TARGET_DIR/$host/release/fuzz}" "$program"
# A few hundred bytes say all there is to say about these.
longest() { case "$1" in purl | version) echo 1024 ;; rpm_*) echo 131072 ;; *) echo 65536 ;; esac; }
failed=()
for target in "${targets[@]}"; do
  export STELLA_FUZZ="$target"
  mkdir -p "$work/$target" "$here/artifacts/$target"
  if "$program" -max_total_time="${FUZZ_SECONDS:-60}" -rss_limit_mb=1024 -timeout=10 -max_len="$(longest "$target")" \
    -print_final_stats=1 -artifact_prefix="$here/artifacts/$target/" \
    "$work/$target" "$here/corpus/$target" >"$work/log" 2>&1; then
    ran="$(sed -n 's/^stat::number_of_executed_units: *//p' "$work/log")"
    edges="$(sed -n 's/.* cov: \([0-9]*\).*/\1/p' "$work/log" | tail -n 1)"
    memory="$(sed -n 's/^stat::peak_rss_mb: *//p' "$work/log")"
    echo "fuzz $target: ${FUZZ_SECONDS:-60} s, $ran inputs, $edges edges, $memory MiB at most, no crash"
  else
    failed+=("$target")
    tail -n 25 "$work/log"
    echo "fuzz $target: failed; the input lies in fuzz/artifacts/$target"
  fi
  if [[ "${FUZZ_KEEP:-0}" == 1 ]]; then
    mkdir -p "$work/small"
    "$program" -merge=1 -max_len=4096 "$work/small" "$here/corpus/$target" "$work/$target" >/dev/null 2>&1 || true
    # The smallest of what is new, so that a checkout stays small.
    find "$work/small" -type f -printf '%s %p\n' | sort -n | head -n "${FUZZ_MOST:-20}" | cut -d ' ' -f 2- \
      | xargs -r cp -t "$here/corpus/$target"
    rm -rf "$work/small"
  fi
done
((${#failed[@]} == 0)) || { echo "fuzz: crashes in ${failed[*]}" >&2; exit 1; }
