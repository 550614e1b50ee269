#!/usr/bin/env bash
# Builds the cluster's programs into the cache, unless it has them from the same sources,
# and prints their paths: Kubernetes (all components and etcd in one), CoreDNS.
set -euo pipefail
source "$(dirname "$0")/lib/settings.sh"

build() { # NAME FOLDER LINKER-FLAGS
  local hash binary
  hash="$(cat "$2"/{go.mod,go.sum,main.go} <(echo "$3") | sha256sum | cut -c1-12)"
  binary="$STELLA_CACHE/bin/$1-$hash"
  if [[ ! -x "$binary" ]]; then
    command -v go >/dev/null || fail "MISSING: program go"
    say "building $1 (some minutes the first time)"
    mkdir -p "$STELLA_CACHE/bin"
    (cd "$2" && CGO_ENABLED=0 nice go build -trimpath -ldflags "-s -w $3" -o "$binary.$$" .)
    mv "$binary.$$" "$binary"
  fi
  echo "$binary"
}

version="$(sed -n 's/^\tk8s.io\/kubernetes \(v[0-9.]*\)$/\1/p' "$rig_source/go.mod")"
minor="${version#v1.}"
package="k8s.io/component-base/version"
build kubernetes "$rig_source" "-X $package.gitVersion=$version -X $package.gitMajor=1 \
-X $package.gitMinor=${minor%%.*} -X $package.gitCommit=stella-rig -X $package.gitTreeState=clean"
build coredns "$rig_source/dns" ""
