#!/usr/bin/env bash
# Tokens of service accounts against a running operator, looked at by a real API server (TokenReview): as they are, and changed
# for tokens of the authority. With the rules that the chart renders, and without any settings.
#
# $BIN holds the programs; needs those of the test cluster in the cache (tests/cluster/build.sh). No root.
# shellcheck disable=SC2317 # functions that `check` calls
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
repository="$(cd "$here/../.." && pwd)"
bin="${BIN:-${CARGO_TARGET_DIR:-$repository/target}/debug}"
source "$repository/tests/control-plane.sh"

work="$(mktemp -d)"
operator=""
cleanup() {
  stop_operator
  stop_control_plane
  rm -rf "$work"
}
trap cleanup EXIT
export HELM_CACHE_HOME="$work/helm" HELM_CONFIG_HOME="$work/helm" HELM_DATA_HOME="$work/helm"
namespace=stella-system
# shellcheck source=../checks.sh
source "$repository/tests/checks.sh"

start_operator() { # OPTION...
  local port
  port="$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')"
  url="http://127.0.0.1:$port"
  "$bin/stella-operator" serve --listen "127.0.0.1:$port" --data "$work/data" --namespace "$namespace" "$@" \
    >"$work/operator.log" 2>&1 &
  operator="$!"
  for _ in $(seq 300); do
    ! curl -sf "$url/healthz" >/dev/null || return 0
    sleep 0.1
  done
  tail -n 20 "$work/operator.log"
  return 1
}
stop_operator() {
  [[ -z "$operator" ]] || { kill "$operator" 2>/dev/null && wait "$operator" 2>/dev/null; } || true
  operator=""
}

account() { # NAMESPACE NAME [AUDIENCE]: a token of it, by the API server.
  kubectl -n "$1" create token "$2" --audience "${3:-stella-ops}"
}

answers() { # STATUS TOKEN PATH [CURL OPTION...]
  local status
  status="$(curl -sS -o "$work/body" -w '%{http_code}' -H "Authorization: Bearer $2" -H "X-Stella-Tenant: tenant-default" "${@:4}" "$url$3")"
  [[ "$status" == "$1" ]] || { echo "$status from $3, wanted $1: $(head -c 600 "$work/body")"; return 1; }
}
names() { # WORD STATUS TOKEN PATH [CURL OPTION...]: a refusal that says WORD.
  answers "${@:2}" || return 1
  grep -qF -- "$1" "$work/body" || { cat "$work/body"; return 1; }
}

grant() { # ASSERTION [SCOPE]: by RFC 7523; the answer is in $work/grant.
  curl -sS -o "$work/grant" -w '%{http_code}' --data-urlencode grant_type=urn:ietf:params:oauth:grant-type:jwt-bearer \
    --data-urlencode "assertion=$1" --data-urlencode "scope=${2:-}" "$url/connect/token"
}
granted() { # SCOPES ASSERTION [SCOPE]
  local status
  status="$(grant "${@:2}")"
  [[ "$status" == 200 && "$(jq -r .scope "$work/grant")" == "$1" && "$(jq -r .expires_in "$work/grant")" == 3600 ]] ||
    { echo "$status: $(cat "$work/grant")"; return 1; }
}
not_granted() { # ERROR ASSERTION [SCOPE]
  local status
  status="$(grant "${@:2}")"
  [[ "$status" == 400 && "$(jq -r .error "$work/grant")" == "$1" ]] || { echo "$status: $(cat "$work/grant")"; return 1; }
}

# An API server believes a token for 10 s.
soon() { # COMMAND...
  for _ in $(seq 30); do
    ! "$@" >/dev/null || return 0
    sleep 0.5
  done
  "$@"
}

event_batch='{"events": []}'
no_events=(-H "Content-Type: application/json" -d "$event_batch")
rules=(-H "Content-Type: application/yaml" --data-binary 'version: "1.0"
rules:
  - {name: all, severity: [Low], action: warn}')

# What the agent and the webhook ask for, and what they never do.
agents_rights() { # TOKEN
  # Let in, and told what is wrong with it.
  answers 422 "$1" /api/v1/runtime/events "${no_events[@]}" &&
    answers 200 "$1" /layers/missing -H "Content-Type: application/json" \
      -d "{\"layers\": [\"sha256:$(printf '%064d' 1)\"]}" &&
    names scanner.scans.read 403 "$1" /api/v1/scans/x &&
    names console:read 403 "$1" /console/vuln/findings &&
    names policy.write 403 "$1" /policy/import "${rules[@]}" &&
    names scanner.runtime.policy 403 "$1" /api/v1/admission/verdicts
}
webhooks_rights() { # TOKEN
  answers 200 "$1" /api/v1/scanner/policy/runtime -H "Content-Type: application/json" \
    -d '{"namespace": "shop", "images": ["registry.example/shop/web:1"]}' &&
    names scanner.runtime.ingest 403 "$1" /api/v1/runtime/events "${no_events[@]}" &&
    names policy.read 403 "$1" /policy/export
}

# The program itself, with its account's token in a file, takes the verdicts over and decides by them.
webhook_takes_verdicts() { # [OPTION]
  account "$namespace" stella-webhook >"$work/token" &&
    "$bin/stella-webhook" review "$here/review.json" --server "$url" --token-file "$work/token" "$@" >"$work/review" &&
    jq -e '.response.uid == "00000000-0000-0000-0000-000000000001"' "$work/review"
}

by_a_token_of_the_authority() {
  webhook_takes_verdicts --exchange-token &&
    jq -se --arg who "system:serviceaccount:$namespace:stella-webhook" \
      'any(.subject == $who and .outcome == "success" and (.detail // "" | startswith("urn:ietf:params:oauth:grant-type:jwt-bearer")))' \
      "$work"/data/authority/audit/*/audit.jsonl
}

without_a_rule() { # TOKEN
  answers 200 "$1" /policy/export &&
    answers 200 "$1" /console/vuln/findings &&
    names policy.write 403 "$1" /policy/import "${rules[@]}" &&
    names console:write 403 "$1" /console/vex/statements -d '{}'
}

start_control_plane "$work"
kubectl apply --server-side -f "$repository/crds/manifests" >/dev/null
for name in "$namespace" shop; do kubectl create namespace "$name" >/dev/null; done
for name in stella-zastava stella-webhook ci other; do kubectl -n "$namespace" create serviceaccount "$name" >/dev/null; done
kubectl -n shop create serviceaccount stranger >/dev/null

# As the chart's ConfigMap has it.
helm template stella "$repository/charts/stella" --namespace "$namespace" --show-only templates/operator/authority.yaml \
  2>/dev/null | kubectl create --dry-run=client -o json -f - | jq -r '.data["authority.yaml"]' >"$work/authority.yaml"

start_operator --authority "$work/authority.yaml" --policy-writer "$namespace/ci"
agent="$(account "$namespace" stella-zastava)" webhook="$(account "$namespace" stella-webhook)"
check "the agent's token: its own work, and nothing else" agents_rights "$agent"
check "the webhook's token: its own work, and nothing else" webhooks_rights "$webhook"
check "the webhook takes verdicts over" webhook_takes_verdicts
check "also by a token that it got for its own" by_a_token_of_the_authority
check "accounts do not administer" answers 401 "$agent" /api/v1/admin/clients
check "a token for another audience" answers 401 "$(account "$namespace" stella-zastava other)" /policy/export
check "an account of another namespace" answers 403 "$(account shop stranger)" /policy/export
check "an account without a rule" without_a_rule "$(account "$namespace" other)"
check "one that --policy-writer names" answers 200 "$(account "$namespace" ci)" /policy/import "${rules[@]}"

check "the agent's token is changed for one of the authority" granted "scanner.runtime.ingest scanner.scans.enqueue" "$agent"
check "which may do the same" agents_rights "$(jq -r .access_token "$work/grant")"
check "but administration" names stella.admin 403 "$(jq -r .access_token "$work/grant")" /api/v1/admin/clients
check "a narrower one" granted scanner.scans.enqueue "$agent" scanner.scans.enqueue
check "may do less" names scanner.runtime.ingest 403 "$(jq -r .access_token "$work/grant")" /api/v1/runtime/events "${no_events[@]}"
check "the webhook's, too" granted scanner.runtime.policy "$webhook"
check "which may do the same" webhooks_rights "$(jq -r .access_token "$work/grant")"
check "no more than the rule says" not_granted invalid_scope "$agent" policy.write
check "not for an account without a rule" not_granted invalid_grant "$(account "$namespace" other)"
check "not for a token of another audience" not_granted invalid_grant "$(account "$namespace" stella-zastava other)"
check "not for what is no token" not_granted invalid_grant none
kubectl -n "$namespace" delete serviceaccount stella-zastava >/dev/null
check "not for an account that is gone" soon not_granted invalid_grant "$agent"
stop_operator

# As an installation has it that was set up before there were rules.
kubectl -n "$namespace" create serviceaccount stella-zastava >/dev/null
start_operator
agent="$(account "$namespace" stella-zastava)"
check "the agent's token is taken" answers 200 "$agent" /layers/missing -H "Content-Type: application/json" \
  -d "{\"layers\": [\"sha256:$(printf '%064d' 1)\"]}"
check "and does what it did" without_a_rule "$agent"
check "the webhook takes verdicts over" webhook_takes_verdicts
check "nobody's token is changed" not_granted invalid_grant "$agent"
exit "$failed"
