#!/usr/bin/env bash
# Tests install, upgrade, rights and uninstall against an API server of its own, without nodes: what the product writes
# at run time is written here under its accounts. Needs the programs of the test cluster in the cache
# (tests/cluster/build.sh); the path of that of Kubernetes can be given as argument.
# shellcheck disable=SC2317 # functions that `check` calls
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
repository="$(cd "$here/../.." && pwd)"
charts="$repository/charts"
source "$repository/tests/control-plane.sh"
CONTROL_PLANE_PROGRAM="${1:-${CONTROL_PLANE_PROGRAM:-}}"

work="$(mktemp -d)"
trap 'stop_control_plane; rm -rf "$work"' EXIT
export HELM_CACHE_HOME="$work/helm" HELM_CONFIG_HOME="$work/helm" HELM_DATA_HOME="$work/helm"
namespace=stella-system
# shellcheck source=../checks.sh
source "$repository/tests/checks.sh"

helm_quiet() { helm "$@" --namespace "$namespace" 2>&1; }

may() { # ACCOUNT [OPTION...] VERB RESOURCE
  kubectl auth can-i --quiet --as "system:serviceaccount:$namespace:$1" "${@:2}"
}
may_not() { ! may "$@"; }

webhook=(--as "system:serviceaccount:$namespace:stella-webhook" --namespace "$namespace")
operator=(--as "system:serviceaccount:$namespace:stella-operator" --namespace "$namespace")

# As stella-webhook does: read, fill and replace the Secret; patch the configurations. (`kubectl replace` without --raw
# would change the annotation that `kubectl apply` compares with.)
fill_secret() {
  kubectl "${webhook[@]}" get secret stella-webhook-tls -o json |
    jq '.data = {"tls.crt": "Y2VydA==", "tls.key": "a2V5"}' |
    kubectl "${webhook[@]}" replace --raw "/api/v1/namespaces/$namespace/secrets/stella-webhook-tls" -f -
}
fill_bundles() {
  local name policy
  for policy in ignore fail; do
    name="stella-webhook"
    [[ "$policy" == ignore ]] || name+=-fail
    kubectl "${webhook[@]}" patch validatingwebhookconfiguration "$name" --type strategic --patch \
      "{\"webhooks\": [{\"name\": \"$policy.admission.stella-ops.org\", \"clientConfig\": {\"caBundle\": \"$bundle\"}}]}"
  done
}
hold_lease() {
  kubectl "${operator[@]}" get lease stella-operator -o json |
    jq '.spec = {holderIdentity: "stella-operator-0", leaseDurationSeconds: 15}' |
    kubectl "${operator[@]}" replace -f - \
      --raw "/apis/coordination.k8s.io/v1/namespaces/$namespace/leases/stella-operator"
}

still_filled() {
  [[ "$(kubectl -n "$namespace" get secret stella-webhook-tls -o jsonpath='{.data.tls\.crt}')" == Y2VydA== ]] || return 1
  [[ "$(kubectl -n "$namespace" get lease stella-operator -o jsonpath='{.spec.holderIdentity}')" == stella-operator-0 ]] ||
    return 1
  local name
  for name in stella-webhook stella-webhook-fail; do
    [[ "$(kubectl get validatingwebhookconfiguration "$name" -o jsonpath='{.webhooks[0].clientConfig.caBundle}')" == "$bundle" ]] ||
      return 1
  done
}

upgraded() { # SECONDS
  [[ "$(kubectl get validatingwebhookconfiguration stella-webhook -o jsonpath='{.webhooks[0].timeoutSeconds}')" == "$1" ]]
}

# Everything of ours in the cluster, as kind/name.
ours() {
  local resources
  resources="$(kubectl api-resources --verbs list -o name | grep -v '^events' | paste -sd,)"
  kubectl get "$resources" --all-namespaces -o json 2>/dev/null |
    jq -r '.items[] | select(.metadata.name | test("stella")) | select(.kind != "Namespace" and .kind != "APIService")
      | .kind + "/" + .metadata.name' | sort -u
}

definitions=$'CustomResourceDefinition/exportprofiles.stella-ops.org\nCustomResourceDefinition/policies.stella-ops.org\nCustomResourceDefinition/scanjobs.stella-ops.org'
only_left() { diff <([[ -z "$1" ]] || echo "$1") <(ours); }

gone() {
  for _ in $(seq 50); do
    ! only_left "$1" || return 0
    sleep 0.2
  done
  only_left "$1"
}

all_switches() { # The API server looks at what it would store.
  kubectl create namespace shop
  kubectl create namespace bank
  helm template stella "$charts/stella" --namespace "$namespace" --values "$here/values/everything.yaml" \
    --set monitoring.serviceMonitor.enabled=false,monitoring.rules.enabled=false 2>/dev/null |
    kubectl apply --server-side --dry-run=server -f -
}

plain() { # KUBECTL-VERB
  kubectl "$@" -k "$charts/plain"
}

rights() {
  check "operator: its kinds" may stella-operator list policies.stella-ops.org --all-namespaces
  check "operator: their status" may stella-operator patch policies.stella-ops.org --subresource status -n shop
  check "operator: not their spec" may_not stella-operator patch policies.stella-ops.org -n shop
  check "operator: evicts nothing unless it is switched on" may_not stella-operator create pods --subresource eviction -n shop
  check "operator: no Secrets" may_not stella-operator get secrets -n "$namespace"
  check "operator: no Secrets elsewhere" may_not stella-operator get secrets -n kube-system
  check "webhook: its Secret" may stella-webhook update secrets/stella-webhook-tls -n "$namespace"
  check "webhook: no other" may_not stella-webhook get secrets/other -n "$namespace"
  check "webhook: makes none" may_not stella-webhook create secrets -n "$namespace"
  check "webhook: no other configuration" may_not stella-webhook patch validatingwebhookconfigurations/other
  check "agent: no pods" may_not stella-zastava get pods -n "$namespace"
  check "agent: no kinds of ours" may_not stella-zastava list policies.stella-ops.org --all-namespaces
}

through_the_life_of_a_release() { # HOW OPTION...
  local how="$1"
  shift
  bundle=b25l
  check "install ($how)" helm_quiet install stella "$charts/stella" "$@"
  check "the webhook fills its Secret" fill_secret
  check "the webhook is trusted" fill_bundles
  check "the operator takes its Lease" hold_lease
  check "upgrade ($how)" helm_quiet upgrade stella "$charts/stella" --set image.tag=v2,admission.timeoutSeconds=7 "$@"
  check "the upgrade came through" upgraded 7
  check "nothing of the product was lost" still_filled
  bundle=dHdv
  check "the webhook rotates" fill_bundles
  check "upgrade again ($how)" helm_quiet upgrade stella "$charts/stella" --set admission.timeoutSeconds=9 "$@"
  check "the upgrade came through" upgraded 9
  check "nothing of the product was lost" still_filled
}

start_control_plane "$work"
kubectl create namespace "$namespace" >/dev/null
check "all switches, as the API server sees it" all_switches

through_the_life_of_a_release "server-side apply" --server-side=true
rights
check "uninstall" helm_quiet uninstall stella
check "nothing but the definitions stays" gone "$definitions"

through_the_life_of_a_release "client-side merge, over what stayed" --server-side=false
check "let nothing stay" helm_quiet upgrade stella "$charts/stella" --set crds.keep=false --server-side=false
check "uninstall" helm_quiet uninstall stella
check "nothing stays" gone ""

check "plain manifests: apply" plain apply
bundle=b25l
check "the webhook fills its Secret" fill_secret
check "the webhook is trusted" fill_bundles
check "the operator takes its Lease" hold_lease
check "plain manifests: apply again" plain apply
check "nothing of the product was lost" still_filled
check "plain manifests: diff shows nothing" plain diff
exit "$failed"
