#!/usr/bin/env bash
# Compares what stella says of different images with others: packages with syft, findings with osv-scanner on the same
# feeds, and stella on one image in every format of syft with itself. Fails on a difference without a reason in
# explained.toml, on a reason that explains nothing any more, and when docs/agreement.md says otherwise:
# run.sh [--write] [IMAGE|EDGES|FORMATS...]
#   --write              write docs/agreement.md (all images) instead of comparing it
#   BIN=DIR              the folder of a stella that is built already, instead of a release build
#   STELLA_TEST_DATA=DIR the public test data (default: ../shared/data beside the repository)
# Images, feeds in the form that osv-scanner reads, and what the peers said are kept in the cache of the project, in
# the folder agreement. Network is needed only to make images and to build the peers.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
repository="$(cd "$here/../../.." && pwd)"
: "${STELLA_CACHE:=${XDG_CACHE_HOME:-$HOME/.cache}/stella}"
: "${STELLA_TEST_DATA:=$repository/../shared/data}"
export STELLA_CACHE STELLA_TEST_DATA PYTHONDONTWRITEBYTECODE=1

write=()
images=()
sboms=()
made=()
for argument in "$@"; do
  case "$argument" in
    --write) write=(--write) ;;
    -*) sed -n '2,11s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
    edges-*) sboms+=("$argument") ;;
    formats-*) sboms+=("$argument"); made=(debian-12 python node go rust java mixed) ;;
    *) images+=("$argument") ;;
  esac
done
if [[ ! -d "$STELLA_TEST_DATA/feeds/osv" ]]; then
  echo "agreement: SKIPPED, nothing was compared: no feeds in $STELLA_TEST_DATA (set STELLA_TEST_DATA)" >&2
  exit 0
fi

if [[ -z "${BIN:-}" ]]; then
  (cd "$repository" && cargo build --release -p stella-cli --bin stella)
  BIN="$(cd "$repository" && cd "${CARGO_TARGET_DIR:-target}/release" && pwd)"
fi
export BIN
"$repository/scripts/install/go-tools.sh" syft osv-scanner
"$repository/scripts/install/cargo-tools.sh" auditable
# One at a time: they share what the peers said.
mkdir -p "$STELLA_CACHE/agreement"
exec 8>"$STELLA_CACHE/agreement/lock"
flock 8
# Without a name all of them; edges need none, and formats the parts of the one that they are of.
made+=("${images[@]}")
if ((${#made[@]} || ! ${#sboms[@]})); then "$here/images/make.sh" "${made[@]}" >/dev/null; fi
exec python3 "$here/compare.py" "${write[@]}" "${images[@]}" "${sboms[@]}"
