#!/usr/bin/env bash
# Measures, each figure beside a peer or a floor in the same run: run.sh [PART...]
#   parts: inventory sbom index ingest server api store rematch policy webhook agent; all of them without a name
#   BIN=DIR              use programs that are built already, instead of a release build
#   STELLA_TEST_DATA=DIR advisories are read from its folder feeds, instead of the repository's few
#   BENCH_PEER=0         do not build syft, trivy and osv-scanner; their comparisons are left out, and said so
#   BENCH_SECONDS=20     how long ingest and webhook are under load
#   BENCH_MB=700         size of the image
#   BENCH_IMAGES=10000   images that rematch keeps
#   BENCH_FINDINGS=1000000 findings that policy keeps
#   BENCH_TURNS=5         how often the storms of the agent take turns (root)
#   BENCH_ROWS=1000000   findings that store keeps, in each database; BENCH_SCANS=2000 scans that it queues
# Loopback only; everything written is in a temporary folder ($TMPDIR) that is removed.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
repository="$(cd "$here/../.." && pwd)"
cache="${STELLA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/stella}"

parts=("$@")
((${#parts[@]})) || parts=(inventory sbom index ingest server api store rematch policy webhook agent)
for part in "${parts[@]}"; do
  case "$part" in
    inventory | sbom | index | ingest | server | api | store | rematch | policy | webhook | agent) ;;
    *) sed -n '2,13s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
  esac
done

if [[ -z "${BIN:-}" ]]; then
  (cd "$repository" && cargo build --release --workspace --bins \
    && cargo build --release --workspace --example index --example bare --example enqueue --example findings --example echo)
  target="${CARGO_TARGET_DIR:-$repository/target}"
  BIN="$(cd "$repository" && cd "$target/release" && pwd)"
fi
export BIN PYTHONDONTWRITEBYTECODE=1
FEEDS="$repository/tests/fixtures/feeds"
if [[ -n "${STELLA_TEST_DATA:-}" ]]; then FEEDS="$STELLA_TEST_DATA/feeds"; fi
export FEEDS

# A peer that is there is asked also without building it. osv-scanner needs the larger feeds, which have every record of OSV.
peer() { # PART NAME
  [[ " ${parts[*]} " == *" $1 "* ]] || return 0
  if [[ "${BENCH_PEER:-1}" != 0 ]]; then "$repository/scripts/install/go-tools.sh" "$2" >&2 || exit 1; fi
  if [[ -x "$cache/bin/$2" ]]; then echo "$cache/bin/$2"; fi
}
SYFT="$(peer inventory syft)"
TRIVY="$(peer inventory trivy)"
OSV_SCANNER=
if [[ -f "$FEEDS/osv/npm/all.zip" ]]; then
  OSV_SCANNER="$(peer sbom osv-scanner)"
  OSV_SCANNER="${OSV_SCANNER:-$(peer inventory osv-scanner)}"
fi
OPA="$(peer webhook opa)"
export SYFT TRIVY OSV_SCANNER OPA STELLA_CACHE="$cache"

echo "programs: $BIN; advisories: $FEEDS; $(nproc) cores, load $(cut -d ' ' -f 1-3 /proc/loadavg) at the start"
printf '%-10s| %-46s| %-34s| %-50s| %s\n' part figure measured 'beside it' goal
failed=()
for part in "${parts[@]}"; do
  python3 "$here/$part.py" || failed+=("$part")
done
if ((${#failed[@]})); then
  echo "bench: did not end well: ${failed[*]}" >&2
  exit 1
fi
