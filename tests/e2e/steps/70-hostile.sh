# shellcheck shell=bash
# Bad input: a clear error, and nothing half done
post() { curl -sS -m 20 -o "$work/answer" -w '%{http_code} %{content_type}' -H "Authorization: Bearer $api_token" "$@" && cat "$work/answer"; }
problem() { # STATUS PATTERN CURL ARGUMENTS...
  local status="$1" pattern="$2" output
  shift 2
  output="$(post "$@")"
  [[ "$output" == "$status application/problem+json"* ]] && grep -qE "$pattern" <<<"$output" || { echo "$output"; return 1; }
}
json=(-H 'content-type: application/json')
head -c 20000 /dev/urandom >"$work/noise"
check "noise is no image" problem 400 'detail' --data-binary "@$work/noise" "$api_url/scan"
check "an empty body" problem 400 'empty' -X POST "$api_url/scan"
check "JSON that is no SBOM" problem 400 'detail' --data-binary '{"hello":"world"}' "$api_url/scan"
head -c 300000 "${STELLA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/stella}/images/workload/archive.tar" >"$work/cut.tar"
check "a truncated archive" problem 400 'detail' --data-binary "@$work/cut.tar" "$api_url/scan"
check "a malformed digest is named by its index" problem 400 'layers\[1\]' "${json[@]}" -d "{\"layers\":[\"sha256:$(printf 0%.0s {1..64})\",\"sha256:zz\"]}" "$api_url/layers/missing"
event() { printf '{"schemaVersion":"%s","event":{"eventId":"%s","when":"2026-01-01T00:00:00Z","kind":"ContainerStart","tenant":"t","node":"n","runtime":{"engine":"e","version":"1"},"workload":{"platform":"kubernetes","containerId":"containerd://x"}}}' "$1" "$2"; }
v1=zastava.runtime.event@v1
check "an empty batch" problem 400 'empty' "${json[@]}" -d '{"batchId":"b","events":[]}' "$api_url/api/v1/runtime/events"
check "the same id twice in a batch" problem 400 'events\[1\]' "${json[@]}" -d "{\"batchId\":\"b\",\"events\":[$(event $v1 a),$(event $v1 a)]}" "$api_url/api/v1/runtime/events"
check "an unknown event version" problem 400 'schemaVersion' "${json[@]}" -d "{\"batchId\":\"b\",\"events\":[$(event v9 a)]}" "$api_url/api/v1/runtime/events"
check "a path that is none" problem 404 'not-found' "$api_url/nothing/here"
check "a method that is none" problem 405 'probs' -X DELETE "$api_url/scan"
check "a forged page token" problem 400 'pageToken' -H 'X-Stella-Tenant: tenant-default' "$api_url/console/vuln/findings?pageToken=AAAA"
check "two tenants at once" problem 400 'different tenants' -H 'X-Stella-Tenant: a' -H 'X-StellaOps-Tenant: b' "$api_url/api/v1/feeds"
webhook_url="https://$(kubectl -n stella-system get service stella-webhook -o jsonpath='{.spec.clusterIP}')/validate"
check "an AdmissionReview that is none" said '^400' curl -sSk -m 10 -w '\n' -o /dev/null -w '%{http_code}' "${json[@]}" -d '{"kind":"Pod"}' "$webhook_url"
check "an unknown field of a Policy" refused 'unknown field' kubectl apply --validate=strict -f - <<'YAML'
apiVersion: stella-ops.org/v1alpha1
kind: Policy
metadata: {name: odd, namespace: stella-policies}
spec: {rulez: []}
YAML
