#!/usr/bin/env bash
# Builds the test images that the cache lacks and, when the cluster runs, puts them there:
# demo/workload and demo/shell into its registry, demo/clean onto the node alone, as
# `kind load` does. With --push-built, builds none.
set -euo pipefail
source "$(dirname "$0")/lib/settings.sh"
source "$rig_source/lib/runtime.sh"
source "$repository/scripts/images/oci.sh"

if [[ "${1:-}" != --push-built ]]; then
  "$repository/scripts/install/debian.sh"
  "$repository/scripts/images/workload.sh" >/dev/null
  "$repository/scripts/images/small.sh" clean >/dev/null
  "$repository/scripts/images/small.sh" shell >/dev/null
fi

if ! curl -s -m 2 -o /dev/null "http://$registry/v2/"; then
  echo "test images: in $images; the cluster is down"
  exit 0
fi
for name in workload shell; do
  [[ -e "$images/$name/sources" ]] || continue
  push_image "$images/$name/layout" 1.0 "$registry/demo/$name:1.0"
  echo "$registry/demo/$name:1.0 $(manifest_digest "$images/$name/layout")"
done
if [[ -e "$images/clean/sources" ]]; then
  ctr_of_node images import "$images/clean/archive.tar" >/dev/null
  echo "localhost/demo/clean:1.0 (on the node only)"
fi
