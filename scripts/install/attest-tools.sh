#!/usr/bin/env bash
# Installs what `make test-attest` verifies with: cosign, a registry with the referrers API, a DSSE library for Python,
# and the test vectors of canonical JSON. All of it lies in the cache.
set -euo pipefail

here="$(cd "$(dirname "$0")" && pwd)"
cache="${STELLA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/stella}"
source="$here/../../tests/conformance/attest/registry"
library=1.6.0
vectors=v0.0.0-20241213102144-19d51d7fe467

"$here/go-tools.sh" cosign

stamp="$(cat "$source"/go.* "$source/main.go" | sha256sum | head -c 12)"
if [[ ! -x "$cache/bin/referrers-registry-$stamp" ]]; then
  echo "referrers-registry: building into $cache/bin"
  (cd "$source" && GOTOOLCHAIN=auto CGO_ENABLED=0 nice go build -trimpath -o "$cache/bin/.referrers-registry.$$" .)
  mv "$cache/bin/.referrers-registry.$$" "$cache/bin/referrers-registry-$stamp"
fi
ln -sfn "referrers-registry-$stamp" "$cache/bin/referrers-registry"

venv="$cache/attest/python-$library"
if [[ ! -x "$venv/bin/python" ]]; then
  echo "securesystemslib $library: into $venv"
  rm -rf "$venv"
  python3 -m venv "$venv.new"
  "$venv.new/bin/pip" install --quiet "securesystemslib[crypto]==$library"
  mv "$venv.new" "$venv"
fi
ln -sfn "python-$library" "$cache/attest/python"

if [[ ! -d "$cache/attest/canonical-json" ]]; then
  echo "test vectors of RFC 8785: into $cache/attest/canonical-json"
  module="github.com/cyberphone/json-canonicalization@$vectors"
  folder="$(cd / && GOFLAGS=-mod=mod go mod download -json "$module" | sed -n 's/^\t"Dir": "\(.*\)",\?$/\1/p')"
  mkdir -p "$cache/attest"
  rm -rf "$cache/attest/.canonical-json"
  cp -r "$folder/testdata" "$cache/attest/.canonical-json"
  chmod -R u+w "$cache/attest/.canonical-json"
  mv "$cache/attest/.canonical-json" "$cache/attest/canonical-json"
fi
echo "attest tools: cosign, referrers-registry, securesystemslib $library, vectors of RFC 8785"
