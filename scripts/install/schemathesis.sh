#!/usr/bin/env bash
# Installs schemathesis, pinned, into the cache; prints the folder with its program.
set -euo pipefail

wanted="schemathesis==4.32.5"
folder="${STELLA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/stella}/schemathesis"
if [[ "$(cat "$folder/installed" 2>/dev/null)" != "$wanted" ]]; then
  echo "schemathesis: installing into $folder" >&2
  rm -rf "$folder"
  mkdir -p "$folder"
  python3 -m venv "$folder/venv"
  "$folder/venv/bin/pip" -q install --disable-pip-version-check "$wanted" >&2
  echo "$wanted" > "$folder/installed"
fi
echo "$folder/venv/bin"
