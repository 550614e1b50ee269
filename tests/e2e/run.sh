#!/usr/bin/env bash
# The whole story on a real cluster: install, scan, observe, refuse, report, export, restart, uninstall.
# Uses the cluster of $KUBECONFIG when it is set, else brings the test cluster up.
#   BIN   folder with the product's programs (default: target/debug)
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
root="$(cd "$here/../.." && pwd)"
if [[ -z "${KUBECONFIG:-}" ]]; then
  exec "$root/tests/cluster/run.sh" "$0" "$@"
fi
: "${BIN:=$root/target/debug}"
: "${STELLA_TEST_DATA:=$root/../shared/data}"
export BIN STELLA_TEST_DATA
# shellcheck source=tests/e2e/lib.sh
source "$here/lib.sh"
# shellcheck source=scripts/images/oci.sh
source "$root/scripts/images/oci.sh"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

begun=$SECONDS
for step in "$here"/steps/*.sh; do
  echo "== $(sed -n '2s/^# //p' "$step")"
  # shellcheck source=/dev/null
  source "$step"
done
echo "end-to-end story: $((SECONDS - begun)) s"
echo "$passed passed, $failed failed"
((failed == 0))
