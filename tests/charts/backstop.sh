#!/usr/bin/env bash
# Tests the ValidatingAdmissionPolicy of the chart (admission.backstop) on an API server of its own: what it demands while no
# webhook is ready, and that it demands nothing while one is. Needs helm, kubectl, jq and the programs of the test cluster.
# shellcheck disable=SC2317,SC2329 # functions that `check` calls
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
repository="$(cd "$here/../.." && pwd)"
# shellcheck source=../control-plane.sh
source "$repository/tests/control-plane.sh"
work="$(mktemp -d)"
trap 'stop_control_plane; rm -rf "$work"' EXIT
export HELM_CACHE_HOME="$work/helm" HELM_CONFIG_HOME="$work/helm" HELM_DATA_HOME="$work/helm"
# shellcheck source=../checks.sh
source "$repository/tests/checks.sh"
refused() { ! "$@" || { echo "was not refused"; return 1; }; }
# What is written takes the API server a moment, and longer when the machine is busy.
soon() { local n; for n in $(seq 40); do "$@" && return; sleep 0.5; done; return 1; }
digest="sha256:$(printf 'ab%.0s' {1..32})"

backstop() { # VALUES...: writes the policy
  helm template stella "$repository/charts/stella" --namespace stella-system --set admission.backstop.enabled=true "$@" \
    --show-only templates/webhook/backstop.yaml 2>/dev/null | kubectl apply --server-side --force-conflicts -f - >/dev/null
}
ready() { # REPLICAS that are ready
  kubectl -n stella-system patch deployment stella-webhook --subresource=status --type=merge \
    --patch "{\"status\": {\"replicas\": 2, \"readyReplicas\": $1, \"availableReplicas\": $1}}" >/dev/null
}
pod() { # IMAGE [NAMESPACE] [SPEC]
  jq -n --arg image "$1" --argjson more "${3:-{\}}" '{apiVersion: "v1", kind: "Pod", metadata: {generateName: "try-"},
    spec: ({containers: [{name: "app", image: $image}]} + $more)}' | kubectl -n "${2:-shop}" create -f -
}
volume() { printf '{"volumes": [{"name": "v", "image": {"reference": "%s"}}]}' "$1"; }
init() { printf '{"initContainers": [{"name": "i", "image": "%s"}]}' "$1"; }

start_control_plane "$work"
kubectl create namespace stella-system >/dev/null
kubectl create namespace shop >/dev/null
kubectl -n stella-system create deployment stella-webhook --image=x --replicas=2 >/dev/null

backstop --set 'admission.backstop.registries={registry.example/shop,docker.io/library}'
check "it comes into force" soon refused pod evil.example/a:1
check "while no webhook is ready, a tag of an unknown registry is refused" refused pod evil.example/a:1
check "a digest passes" pod "evil.example/a@$digest"
check "a known registry passes" pod registry.example/shop/web:1
check "in any case" pod REGISTRY.example/shop/web:1
check "Docker Hub's library by its short name passes" pod nginx:1
check "nor a host in capitals, which is no repository there" refused pod LIBRARY/nginx:1
check "not a user's repository there" refused pod someone/nginx:1
check "not a registry that begins alike" refused pod registry.example/shop-of-others/web:1
check "nor one that goes on alike" refused pod registry.example.evil/shop/web:1
check "an init container is looked at" refused pod nginx:1 shop "$(init evil.example/a:1)"
check "a volume is looked at" refused pod nginx:1 shop "$(volume evil.example/a:1)"
check "kube-system is exempt" pod evil.example/a:1 kube-system
check "so is the release's own namespace" pod evil.example/a:1 stella-system
name="$(pod nginx:1 | cut -d' ' -f1)"
check "an update of an image is looked at" refused kubectl -n shop set image "$name" app=evil.example/a:1
debug() { kubectl -n shop patch "$name" --subresource=ephemeralcontainers --type=strategic --patch "{\"spec\": {\"ephemeralContainers\": [{\"name\": \"d\", \"image\": \"$1\"}]}}"; }
check "an ephemeral container is looked at" refused debug evil.example/a:1
ready 1
check "while a webhook is ready, nothing is demanded" soon pod evil.example/a:1
old="$(pod evil.example/a:1 | cut -d' ' -f1)"
ready 0
check "when it goes, it is again" soon refused pod evil.example/a:1
check "a label of what runs already is let through" kubectl -n shop label "$old" touched=yes
backstop --set admission.backstop.when=always
ready 1
check "always, when it is set so" soon refused pod nginx:1
check "a digest alone is demanded without registries" pod "nginx@$digest"
backstop --set admission.backstop.when=always,admission.backstop.action=Warn
warned() { [[ "$(pod nginx:1 2>&1)" == *Warning*"has none"* ]]; }
check "a warning, when it is set so" soon warned
kubectl -n stella-system delete deployment stella-webhook >/dev/null
check "without the webhook's Deployment nobody is locked out" soon pod evil.example/a:1
exit "$failed"
