#!/usr/bin/env bash
# Builds cargo-deny, of a pinned version, into the cache; put its folder on PATH for `cargo deny`.
set -euo pipefail

cache="${STELLA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/stella}"
version=0.20.2

if [[ "$("$cache/bin/cargo-deny" --version 2>/dev/null)" == "cargo-deny $version" ]]; then
  echo "cargo-deny $version: in $cache/bin"
  exit 0
fi
echo "cargo-deny $version: building into $cache/bin (some minutes)"
CARGO_TARGET_DIR="$cache/build/deny" nice -n 19 cargo install --locked --quiet --root "$cache" --force cargo-deny --version "$version"
rm -rf "$cache/build/deny"
