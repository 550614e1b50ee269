#!/usr/bin/env bash
# Builds cargo-mutants, of a pinned version, into the cache; put its folder on PATH for `cargo mutants`.
set -euo pipefail

cache="${STELLA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/stella}"
version=27.1.0

if [[ "$("$cache/bin/cargo-mutants" mutants --version 2>/dev/null)" == "cargo-mutants $version" ]]; then
  echo "cargo-mutants $version: in $cache/bin"
  exit 0
fi
echo "cargo-mutants $version: building into $cache/bin (some minutes)"
CARGO_TARGET_DIR="$cache/build/mutants" nice -n 19 \
  cargo install --locked --quiet --root "$cache" --force cargo-mutants --version "$version"
rm -rf "$cache/build/mutants"
