#!/usr/bin/env bash
# Our scores beside those of the Python package cvss: run.sh [COUNT [SEED]], of CVSS 4.0 (default 50,000 and 1); see vectors.py.
set -euo pipefail
cd "$(dirname "$0")/../../.."
wanted="cvss==3.6"
folder="${STELLA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/stella}/cvss"
if [[ "$(cat "$folder/installed" 2>/dev/null)" != "$wanted" ]]; then
  echo "cvss: installing into $folder" >&2
  rm -rf "$folder"
  mkdir -p "$folder"
  python3 -m venv "$folder/venv"
  "$folder/venv/bin/pip" -q install --disable-pip-version-check "$wanted" >&2
  echo "$wanted" >"$folder/installed"
fi
"$folder/venv/bin/python" tests/conformance/cvss/vectors.py "$folder/vectors.txt" "$@"
export STELLA_CVSS_VECTORS="$folder/vectors.txt"
cargo test --quiet -p stella-advisory --test cvss_vectors -- --nocapture a_longer_list_scores_alike
