#!/usr/bin/env bash
# The ladder, signed bundles and replays, by the programs themselves on an API server of its own: the operator stalled, dead,
# flapping and back; a webhook that has nothing but a bundle; decisions of the webhook's log made again. $BIN has the programs.
# shellcheck disable=SC2317,SC2329 # functions that `check` calls
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
: "${BIN:=$here/../../target/debug}"
# shellcheck source=product.sh
source "$here/product.sh"
work="$(mktemp -d)"
end() {
  local code=$?
  ((code == 0)) || tail -n 6 "$work"/{operator,webhook}.log 2>/dev/null | cut -c1-400 || true
  kill -CONT "${product_pid[operator]:-$$}" 2>/dev/null || true
  stop_product
  rm -rf "$work"
  exit "$code"
}
trap end EXIT
# shellcheck source=../checks.sh
source "$here/../checks.sh"
fails() { ! "$@" || { echo "did not fail"; return 1; }; }
ctl() { "$BIN/stellopsctl" --server "$operator" "$@"; }

ask() { # IMAGE: what the webhook's port says
  jq -nc --arg image "$1" '{apiVersion: "admission.k8s.io/v1", kind: "AdmissionReview", request: {uid: "1", operation: "CREATE",
    namespace: "shop", resource: {group: "", version: "v1", resource: "pods"}, userInfo: {username: "ladder"},
    object: {metadata: {name: "x"}, spec: {containers: [{name: "app", image: $image}]}}}}' |
    curl -sSk -m 3 -H 'Content-Type: application/json' --data-binary @- "https://localhost:$webhook_port/validate"
}
# `RUNG allowed`, or the status of a problem.
stands() { ask "$1" | jq -r 'if .response then "\(.response.auditAnnotations.rung) \(.response.allowed)" else "\(.status)" end'; }
is() { local got; got="$(stands "$1")"; [[ "$got" == "$2" ]] || { echo "$1: wanted $2, got $got"; return 1; }; }
soon() { # IMAGE ANSWER: within 20 s
  local n
  for ((n = 0; n < 100; n++)); do is "$@" >/dev/null 2>&1 && return 0; sleep 0.2; done
  is "$@"
}
quick() { # IMAGE: twenty answers in a row, none of which takes half a second
  local n taken
  for ((n = 0; n < 20; n++)); do
    taken="$(date +%s%N)"
    ask "$1" >/dev/null || return 1
    taken=$((($(date +%s%N) - taken) / 1000000))
    ((taken < 500)) || { echo "an answer took $taken ms"; return 1; }
  done
}
metric() { curl -fs "http://127.0.0.1:$metrics_port/metrics" | grep -F "$1"; }
refuses() { [[ "$(stands "$bad")" == *" false" ]]; }
end_webhook() {
  kill "${product_pid[webhook]}" 2>/dev/null || true
  wait "${product_pid[webhook]}" 2>/dev/null || true
}
short=(--verdict-ttl-seconds 4 --verdict-grace-seconds 4)

start_product "$work"
kubectl create namespace shop >/dev/null
bad="$(jq -r .refused "$work/target.json")" good="$(jq -r .passing "$work/target.json")"
soon "$bad" "fresh false" || { echo "the policy does not come into force"; exit 1; }

echo "# signed bundles"
umask 077
for name in ours other; do
  openssl genpkey -algorithm ed25519 -out "$work/$name.pem" 2>/dev/null
  openssl pkey -in "$work/$name.pem" -pubout -out "$work/$name.pub.pem"
done
umask 022
check "verdicts are exported" ctl verdicts export --key "$work/ours.pem" --valid-days 2 -o "$work/bundle.json"
facts() { jq -r .payload "$work/bundle.json" | base64 -d | jq -e '.schemaVersion == "stella.verdicts.bundle@v1" and (.images | length) >= 4
  and (.feeds | length) > 0 and .issuedAt < .expiresAt and (.policyRevision | length) == 16'; }
check "with issue, expiry, feeds and policy revision" facts
by_openssl() {
  local type length
  type="$(jq -r .payloadType "$work/bundle.json")"
  jq -r .payload "$work/bundle.json" | base64 -d >"$work/payload"
  length="$(stat -c %s "$work/payload")"
  { printf 'DSSEv1 %d %s %d ' "${#type}" "$type" "$length"; cat "$work/payload"; } >"$work/pae"
  jq -r '.signatures[0].sig' "$work/bundle.json" | base64 -d >"$work/signature"
  openssl pkeyutl -verify -pubin -inkey "$work/ours.pub.pem" -rawin -in "$work/pae" -sigfile "$work/signature"
}
check "and openssl verifies them" by_openssl
check "another key is refused" fails ctl verdicts import "$work/bundle.json" --key "$work/other.pub.pem" --to "$work/taken.json"
jq -c '.payload |= (@base64d | sub("\"blocked\""; "\"pass\"") | @base64)' "$work/bundle.json" >"$work/forged.json"
check "a changed one is refused" fails ctl verdicts import "$work/forged.json" --key "$work/ours.pub.pem" --to "$work/taken.json"
check "neither is taken in" test ! -e "$work/taken.json"
check "the right one is" ctl verdicts import "$work/bundle.json" --key "$work/ours.pub.pem" --to "$work/taken.json"

echo "# the operator stalled, with a bundle"
end_webhook
product_webhook "${short[@]}" --bundle "$work/taken.json" --bundle-key "$work/ours.pub.pem"
soon "$bad" "fresh false"
kill -STOP "${product_pid[operator]}"
check "it accepts and never answers: stale within the grace" soon "$bad" "stale false"
check "what passes, passes" is "$good" "stale true"
check "then by the bundle" soon "$bad" "bundle false"
check "what passes, passes" is "$good" "bundle true"
check "and nobody waits" quick "$bad"
check "a pod is refused by the API server" fails kubectl -n shop run new --image="$bad" --dry-run=server
kill -CONT "${product_pid[operator]}"
check "it is back: fresh" soon "$bad" "fresh false"
check "metrics have rung and namespace" metric 'stella_admission_rungs_total{namespace="shop",rung="bundle"}'

echo "# the operator flapping"
for _ in 1 2 3; do
  kill -STOP "${product_pid[operator]}"; sleep 1
  kill -CONT "${product_pid[operator]}"; sleep 1
done
# A heartbeat comes each 15 s, so that verdicts of so short a life go stale between them.
check "what was refused stays refused" refuses
check "and it is heard again" soon "$bad" "fresh false"

echo "# the operator dead, without a bundle"
end_webhook
product_webhook "${short[@]}"
soon "$bad" "fresh false"
kill -KILL "${product_pid[operator]}"
wait "${product_pid[operator]}" 2>/dev/null || true
check "stale within the grace" soon "$good" "stale true"
check "a known denial stays one" soon "$bad" "known-denial false"
check "about the rest the failure policy decides" soon "$good" "503"
check "and nobody waits" quick "$bad"
check "metrics have it" metric 'rung="default"'
check "by default it lets in" kubectl -n shop run new --image="$good" --dry-run=server
kubectl label namespace shop stella-ops.org/failure-policy=Fail >/dev/null
sleep 1
check "where it is labelled Fail, not" fails kubectl -n shop run new --image="$good" --dry-run=server
end_webhook
product_run webhook "$BIN/stella-webhook" serve --server "$operator" --listen "127.0.0.1:$webhook_port" \
  --metrics-listen "127.0.0.1:$metrics_port" --data "$work/webhook-data" --namespace stella-system --instance test \
  --tls-secret stella-webhook-tls --dns-name localhost --webhook-configuration stella-webhook,stella-webhook-fail "${short[@]}"
check "after a restart it is the known denial, from its disk" soon "$bad" "known-denial false"
product_operator
check "the operator is back: fresh" soon "$good" "fresh true"

echo "# a webhook with nothing but a bundle"
end_webhook
product_run webhook "$BIN/stella-webhook" serve --no-cluster --listen "127.0.0.1:$webhook_port" \
  --metrics-listen "127.0.0.1:$metrics_port" --tls-cert "$work/alone.crt" --tls-key "$work/alone.key" \
  --bundle "$work/taken.json" --bundle-key "$work/ours.pub.pem"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost \
  -keyout "$work/alone.key" -out "$work/alone.crt" 2>/dev/null
check "it refuses" soon "$bad" "bundle false"
check "it lets in" is "$good" "bundle true"
check "it is ready" curl -fs "http://127.0.0.1:$metrics_port/readyz"

echo "# replays"
records() { grep -o ' record=".*"$' "$work/webhook.log" | cut -c9- | jq -r .; }
records >"$work/records.ndjson"
check "the log has decisions on every rung" jq -se '[.[].inputs.rung] | unique == ["bundle", "fresh", "known-denial", "stale"]' "$work/records.ndjson"
same_bytes() { ctl runtime policy replay "$1" 2>/dev/null | cmp - "$work/records.ndjson"; }
check "each is made again to the byte ($(wc -l <"$work/records.ndjson") decisions)" same_bytes "$work/records.ndjson"
check "from the log as it is" same_bytes "$work/webhook.log"
sed '3s/"allowed":false/"allowed":true/;3s/"allowed":true,"warn/"allowed":false,"warn/' "$work/records.ndjson" | jq -c 'if .conclusion.allowed then .conclusion.outcome = "denied" else . end' >"$work/wrong.ndjson"
check "one that does not follow from its inputs is found" fails ctl runtime policy replay "$work/wrong.ndjson"
check "what is no record is named by its line" bash -c "! '$BIN/stellopsctl' runtime policy replay <(echo '{}') 2>&1 | grep -v 'line 1'"
kubectl -n stella-system patch policy base --type=merge --patch '{"spec": {"rules": []}}' >/dev/null
sleep 4
ctl verdicts export --key "$work/ours.pem" -o "$work/proposed.json" >/dev/null
against() { ctl --json runtime policy replay "$work/records.ndjson" --against "$work/proposed.json" --key "$work/ours.pub.pem"; }
opened() { { against 2>/dev/null || test $? = 1; } | jq -se 'length > 0 and all(.[]; .before == "denied" and .after == "allowed")'; }
check "by a proposed policy without rules, what was refused would be let in" opened
check "and nothing changes by the verdicts it was judged by" test -z "$(ctl --json runtime policy replay "$work/records.ndjson" --against "$work/bundle.json" --key "$work/ours.pub.pem" 2>/dev/null)"
exit "$failed"
