#!/usr/bin/env bash
# Builds cargo-nextest, of a pinned version, into the cache; put its folder on PATH for `cargo nextest`.
set -euo pipefail

cache="${STELLA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/stella}"
version=0.9.151

if [[ "$("$cache/bin/cargo-nextest" nextest --version 2>/dev/null)" == "cargo-nextest $version"* ]]; then
  echo "cargo-nextest $version: in $cache/bin"
  exit 0
fi
echo "cargo-nextest $version: building into $cache/bin (some minutes)"
CARGO_TARGET_DIR="$cache/build/nextest" nice -n 19 \
  cargo install --locked --quiet --root "$cache" --force --no-default-features --features default-no-update cargo-nextest --version "$version"
rm -rf "$cache/build/nextest"
