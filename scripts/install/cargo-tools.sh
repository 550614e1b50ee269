#!/usr/bin/env bash
# Builds the named commands of cargo, each of a pinned version, into the cache; put its folder on PATH for `cargo NAME`:
# cargo-tools.sh NAME... Without a name, lists those it knows.
set -euo pipefail

cache="${STELLA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/stella}"
declare -A tools=(
  [auditable]=0.7.7
  [deny]=0.20.2
  [mutants]=27.1.0
  [nextest]=0.9.151
)
declare -A features=(
  [nextest]="--no-default-features --features default-no-update"
)

if (($# == 0)); then
  echo "cargo-tools.sh NAME...: ${!tools[*]}"
  exit 0
fi

for name in "$@"; do
  version="${tools[$name]:-}"
  if [[ -z "$version" ]]; then
    echo "cargo-tools.sh: unknown tool: $name (known: ${!tools[*]})" >&2
    exit 2
  fi
  # Not every one of them tells its own version; cargo keeps a list of what it installed.
  if [[ -x "$cache/bin/cargo-$name" ]] && grep -qF "\"cargo-$name $version " "$cache/.crates.toml" 2>/dev/null; then
    echo "cargo-$name $version: in $cache/bin"
    continue
  fi
  echo "cargo-$name $version: building into $cache/bin (some minutes)"
  read -ra chosen <<<"${features[$name]:-}"
  CARGO_TARGET_DIR="$cache/build/cargo-$name" nice -n 19 \
    cargo install --locked --quiet --root "$cache" --force "${chosen[@]}" "cargo-$name" --version "$version"
  rm -rf "$cache/build/cargo-$name"
done
