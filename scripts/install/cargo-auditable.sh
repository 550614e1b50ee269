#!/usr/bin/env bash
# Builds cargo-auditable, of a pinned version, into the cache; put its folder on PATH for `cargo auditable`.
set -euo pipefail

cache="${STELLA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/stella}"
version=0.7.7

# The program itself tells cargo's version; what was installed stands in this file.
if [[ -x "$cache/bin/cargo-auditable" ]] && grep -qF "\"cargo-auditable $version " "$cache/.crates.toml" 2>/dev/null; then
  echo "cargo-auditable $version: in $cache/bin"
  exit 0
fi
echo "cargo-auditable $version: building into $cache/bin"
CARGO_TARGET_DIR="$cache/build/cargo-auditable" nice -n 19 \
  cargo install --locked --quiet --root "$cache" --force cargo-auditable --version "$version"
rm -rf "$cache/build/cargo-auditable"
