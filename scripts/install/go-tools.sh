#!/usr/bin/env bash
# Builds the named Go programs, each of a pinned version, into the cache: go-tools.sh NAME...
# Without a name, lists those it knows.
set -euo pipefail

bin="${STELLA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/stella}/bin"
declare -A tools=(
  [cosign]=github.com/sigstore/cosign/v3/cmd/cosign@v3.1.3
  [crane]=github.com/google/go-containerregistry/cmd/crane@v0.22.1
  [grype]=github.com/anchore/grype/cmd/grype@v0.120.1
  [kubeconform]=github.com/yannh/kubeconform/cmd/kubeconform@v0.8.0
  [kwok]=sigs.k8s.io/kwok/cmd/kwok@v0.8.0
  [minio]=github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c
  [opa]=github.com/open-policy-agent/opa@v1.22.2
  [oras]=oras.land/oras/cmd/oras@v1.3.6
  [osv-scanner]=github.com/google/osv-scanner/v2/cmd/osv-scanner@v2.6.0
  [reviewdog]=github.com/reviewdog/reviewdog/cmd/reviewdog@v0.21.0
  [syft]=github.com/anchore/syft/cmd/syft@v1.52.0
  [trivy]=github.com/aquasecurity/trivy/cmd/trivy@v0.74.0
  [vegeta]=github.com/tsenart/vegeta/v12@v12.13.0
)

if (($# == 0)); then
  echo "go-tools.sh NAME...: ${!tools[*]}"
  exit 0
fi

version_of() { go version -m "$1" 2>/dev/null | awk '$1 == "mod" { print $3 }'; }

for name in "$@"; do
  package="${tools[$name]:-}"
  if [[ -z "$package" ]]; then
    echo "go-tools.sh: unknown tool: $name (known: ${!tools[*]})" >&2
    exit 2
  fi
  wanted="${package##*@}"
  if [[ "$(version_of "$bin/$name")" == "$wanted" ]]; then
    echo "$name $wanted: in $bin"
    continue
  fi
  echo "$name $wanted: building into $bin"
  mkdir -p "$bin/.$name.$$"
  # A program may ask for a newer Go than the one installed.
  GOTOOLCHAIN=auto GOBIN="$bin/.$name.$$" CGO_ENABLED=0 nice go install -trimpath -ldflags "-s -w" "$package"
  mv "$bin/.$name.$$/$name" "$bin/$name"
  rmdir "$bin/.$name.$$"
done
