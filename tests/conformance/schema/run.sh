#!/usr/bin/env bash
# The server against its own OpenAPI document, by schemathesis: run.sh [CASES], of each operation (default 20).
#
# Rules over several fields, such as "a reference, a digest or both", stand in no schema: that what fits the schema is taken is
# not asked for. Streams that never end are left out: a client that waits for their end waits for ever.
set -euo pipefail
cd "$(dirname "$0")/../../.."
cases=${1:-20}
bin="${BIN:-${CARGO_TARGET_DIR:-target}/debug}"
tool=$(scripts/install/schemathesis.sh)
work=$(mktemp -d)
operator=""
cleanup() {
  if [[ -n $operator ]]; then kill "$operator" 2>/dev/null && wait "$operator" 2>/dev/null || true; fi
  rm -rf "$work"
}
trap cleanup EXIT

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
url=http://127.0.0.1:$port
"$bin/stella-operator" serve --listen "127.0.0.1:$port" --data "$work/data" --feeds tests/fixtures/feeds --rate-limit 0 \
  > "$work/log" 2>&1 &
operator=$!
for _ in $(seq 300); do
  curl -sf "$url/healthz" > /dev/null && break
  sleep 0.1
done
admin=$(curl -sf -u "stella-admin:$(< "$work/data/authority/admin-secret")" -d grant_type=client_credentials "$url/connect/token" | jq -r .access_token)
# Clients are disabled on the way, also the administrator: an offline token is nobody's.
token=$(curl -sf -H "Authorization: Bearer $admin" --json '{"scopes": ["stella.admin", "stella.api"], "tenants": ["*"], "maxScansPerDay": 4000000000}' \
  "$url/token/offline" | jq -r .jwt)

status=0
export SCHEMATHESIS_HOOKS=lines PYTHONPATH="$PWD/tests/conformance/schema" PYTHONDONTWRITEBYTECODE=1
(cd "$work" && "$tool/schemathesis" --config-file "$OLDPWD/tests/conformance/schema/schemathesis.toml" run "$url/openapi/v1.json" \
  --url "$url" -H "Authorization: Bearer $token" --max-examples "$cases" --generation-deterministic \
  --request-timeout 30 --continue-on-failure --exclude-checks positive_data_acceptance --workers 1 --no-color) > "$work/said" 2>&1 || status=$?
if ((status != 0)); then
  cat "$work/said"
  grep -E "ERROR|panicked" "$work/log" | head -40 || true
  echo "schema: the server does not do what its document says" >&2
  exit 1
fi
grep -E "Test cases|passed|generated|✅" "$work/said" | tail -6
if grep -q "panicked" "$work/log"; then
  grep panicked "$work/log" >&2
  exit 1
fi
kill -0 "$operator" || { echo "schema: the server ended" >&2; exit 1; }
echo "schema: every answer is one that the document names"
