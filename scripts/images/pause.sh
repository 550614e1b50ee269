#!/usr/bin/env bash
# Builds the image of pod sandboxes and prints the path of its archive.
set -euo pipefail
here="$(dirname "$0")"
source "$here/oci.sh"

image="$images/pause"
sources="$(sources_of "$here"/{pause.sh,pause.c})"
if ! current "$image" "$sources"; then
  echo "image pause: building" >&2
  rm -rf "$image"
  mkdir -p "$image/root"
  gcc -Os -static -s -o "$image/root/pause" "$here/pause.c"
  pack_layer "$image/root" "$image/layer.tar"
  write_image "$image/layout" 1 gzip '{"Entrypoint":["/pause"],"User":"65535:65535"}' "$image/layer.tar"
  write_archive "$image/layout" 1 localhost/stella/pause:1 "$image/archive.tar"
  rm "$image/layer.tar"
  echo "$sources" >"$image/sources"
fi
echo "$image/archive.tar"
