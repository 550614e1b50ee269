#!/usr/bin/env bash
# Runs the suite against the product's own webhook on an API server of its own, after checking that the published page is
# what the suite says. Needs docker-registry, skopeo, helm and kubectl (scripts/install) and the programs in $BIN.
#   tests/bypass/test.sh [--short] [--only REGEX]
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
: "${BIN:=$here/../../target/debug}"
diff -u "$here/../../docs/bypass.md" <(python3 "$here/run.py" --docs) ||
  { echo "docs/bypass.md is not what the suite says: make generate" >&2; exit 1; }
# shellcheck source=product.sh
source "$here/product.sh"
work="$(mktemp -d)"
end() {
  local code=$?
  ((code == 0)) || tail -n 12 "$work"/{operator,webhook}.log 2>/dev/null | cut -c1-400 || true
  [[ -z "${KEEP_LOGS:-}" ]] || { mkdir -p "$KEEP_LOGS" && cp "$work"/*.log "$work/target.json" "$work"/cluster/*.log "$KEEP_LOGS/" 2>/dev/null || true; }
  stop_product
  rm -rf "$work"
  exit "$code"
}
trap end EXIT
begun=$SECONDS
start_product "$work"
echo "the product is up after $((SECONDS - begun)) s"
python3 "$here/images.py" --target "$work/target.json"
python3 "$here/run.py" --target "$work/target.json" "$@"
echo "bypass suite: $((SECONDS - begun)) s"
