#!/usr/bin/env bash
# Installs Debian's Chromium, fonts that have emoji, Hebrew and Thai, a reader of PDF, and the library that drives the browser (of
# the version and digest in tests/conformance/browser/package-lock.json), into the cache; prints the folder.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
source="$here/../../tests/conformance/browser"
folder="${STELLA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/stella}/browser"

"$here/debian.sh" chromium fonts-dejavu-core fonts-noto-color-emoji fonts-tlwg-waree-ttf poppler-utils >&2
if ! cmp -s "$source/package-lock.json" "$folder/package-lock.json"; then
  echo "playwright-core: installing into $folder" >&2
  rm -rf "$folder"
  mkdir -p "$folder"
  command -v npm >/dev/null || "$here/debian.sh" nodejs npm >&2
  cp "$source/package.json" "$folder"
  # The library alone: no browser is downloaded. The lock file is put there last, and so tells that all of it is.
  cp "$source/package-lock.json" "$folder/npm-shrinkwrap.json"
  npm ci --silent --no-audit --no-fund --ignore-scripts --prefix "$folder" >&2
  mv "$folder/npm-shrinkwrap.json" "$folder/package-lock.json"
fi
echo "$folder"
