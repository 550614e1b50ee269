#!/usr/bin/env bash
# Enforcement by the programs themselves on an API server of its own, without nodes: what a node's agent would tell is told here,
# and pods get the status that a kubelet would write. $BIN has the programs.
# shellcheck disable=SC2317,SC2329 # functions that `check` calls
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
: "${BIN:=$here/../../target/debug}"
# shellcheck source=../bypass/product.sh
source "$here/../bypass/product.sh"
work="$(mktemp -d)"
end() {
  local code=$?
  ((code == 0)) || tail -n 20 "$work/operator.log" 2>/dev/null | cut -c1-400 || true
  stop_product
  rm -rf "$work"
  exit "$code"
}
trap end EXIT
# shellcheck source=../checks.sh
source "$here/../checks.sh"

# The operator anew, with flags of ours, under the rights that the chart gives it.
enforcing() { # FLAGS...
  kill "${product_pid[operator]}"
  wait "${product_pid[operator]}" 2>/dev/null || true
  product_run operator "$BIN/stella-operator" serve --data "$work/data" --feeds "$product_repository/tests/fixtures/feeds" \
    --allow-anonymous --no-coverage --kubeconfig "$work/operator.kubeconfig" --namespace stella-system \
    --default-admission-mode audit --registries "$work/registries.yaml" --listen "127.0.0.1:$operator_port" \
    --exempt-namespace spared "$@"
  product_eventually curl -fs "$operator/readyz" || product_failed "the operator is not ready"
}

# pod NAMESPACE NAME: a running pod of the blocked image, and its start as the agent tells it.
number=0
pod() {
  local id when
  number=$((number + 1))
  id="$(printf '%064x' "$number")"
  kubectl -n "$1" run "$2" --image "$registry/team/bad:1" --restart Never --labels app=web >/dev/null
  kubectl -n "$1" patch pod "$2" --subresource status --type merge -p "$(jq -nc --arg id "$id" '{status: {phase: "Running",
    conditions: [{type: "Ready", status: "True"}],
    containerStatuses: [{name: "x", image: "x", imageID: "x", ready: true, restartCount: 0, containerID: ("containerd://" + $id)}]}}')" >/dev/null
  when="$(date -u +%Y-%m-%dT%H:%M:%S.000Z)"
  jq -nc --arg id "$id" --arg when "$when" --arg namespace "$1" --arg pod "$2" --arg digest "$bad" '{batchId: "b", events: [{
    schemaVersion: "zastava.runtime.event@v1", event: {eventId: ("start-" + $id), when: $when, kind: "ContainerStart",
      tenant: "tenant-default", node: "n", runtime: {engine: "containerd", version: "2"},
      workload: {platform: "kubernetes", namespace: $namespace, pod: $pod, container: "x", containerId: ("containerd://" + $id)},
      annotations: {"stella.observedFromStart": "true", "stella.imageDigest": $digest}}}]}' |
    curl -fsS -H 'Content-Type: application/json' --data-binary @- "$operator/api/v1/runtime/events" >/dev/null
}
there() { kubectl -n "$1" get pod "$2" -o name; }
gone() { ! kubectl -n "$1" get pod "$2" -o name 2>/dev/null; }
soon() { product_eventually "$@" || { kubectl get events -A | tail -5; return 1; }; }
stays() { sleep 5; there "$@"; }
event() { kubectl -n "$1" get events -o json | jq -e --arg reason "$2" --arg pod "$3" '.items[] | select(.reason == $reason and
  (.involvedObject.name // .regarding.name) == $pod)'; }
told() { # ACTION POD: as the API lists it
  curl -fsS "$operator/api/v1/runtime/events?kind=PolicyViolation&pageSize=200" | jq -e --arg action "$1" --arg pod "$2" '.items[] |
    select(.workload.pod == $pod) | select(.evidence | any(.signal == "action" and .value == $action))'
}

start_product "$work"
# Nobody stands at the door: these pods got past it.
kubectl delete validatingwebhookconfiguration --all >/dev/null
bad="$(manifest_digest "$work/bad")"
helm template stella "$product_repository/charts/stella" --namespace stella-system --set admission.enforcement.mode=evict \
  --show-only templates/operator/rbac.yaml 2>/dev/null | kubectl apply -f - >/dev/null
kubectl config view --raw -o json | jq '.users[0].user.as = "system:serviceaccount:stella-system:stella-operator"' \
  >"$work/operator.kubeconfig"
for name in shop audited spared; do kubectl create namespace "$name" >/dev/null; done
kubectl label namespace shop spared stella-ops.org/admission=enforce >/dev/null
kubectl label namespace audited stella-ops.org/admission=audit >/dev/null

enforcing --enforce dry-run
pod shop dry
check "dry run: it is said what would go" soon event shop WouldEvict dry
check "dry run: the API lists it" soon told WouldEvict dry
check "dry run: nothing goes" stays shop dry

pod audited web
pod spared web
pod kube-system web
pod stella-system web
enforcing --enforce evict --enforce-per-minute 30
check "evict: the pod goes" soon gone shop dry
check "evict: the API lists it" soon told Evicted dry
check "evict: not where the namespace audits" stays audited web
check "evict: not in an exempt namespace" there spared web
check "evict: not in kube-system" there kube-system web
check "evict: not our own" there stella-system web

kubectl -n shop create poddisruptionbudget web --selector app=web --min-available 1 >/dev/null
pod shop guarded
check "a disruption budget is waited for, and that is said" soon event shop EvictionWaits guarded
check "the pod stays meanwhile" there shop guarded
kubectl -n shop delete poddisruptionbudget web >/dev/null
check "and goes when the budget lets it" soon gone shop guarded

kubectl label namespace shop stella-ops.org/admission=audit --overwrite >/dev/null
sleep 3
pod shop withdrawn
check "withdrawn within seconds: nothing goes any more" stays shop withdrawn
kubectl label namespace shop stella-ops.org/admission=enforce --overwrite >/dev/null
check "and again when it holds again" soon gone shop withdrawn

enforcing --enforce evict --enforce-per-minute 3
for n in 1 2 3 4 5 6; do pod shop "many-$n"; done
sleep 8
check "no more than so many a minute" test "$(kubectl -n shop get pods -o name | grep -c many)" = 3
check "what waits is said" bash -c "kubectl -n shop get events | grep -q EvictionWaits"
exit "$failed"
