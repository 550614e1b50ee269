#!/usr/bin/env bash
# Checks that the test cluster does what tests rely on: comes up, runs pods, survives a crash of
# its own, and leaves no trace. Takes about two minutes; wants no cluster to be up.
set -euo pipefail
source "$(dirname "$0")/lib/settings.sh"
source "$rig_source/lib/lifecycle.sh"

passed=0
check() { # WHAT COMMAND...
  local what="$1" began output
  began="$(date +%s%N)"
  shift
  if ! output="$("$@" 2>&1)"; then
    printf 'FAILED: %s\n%s\n' "$what" "$output" >&2
    exit 1
  fi
  passed=$((passed + 1))
  printf '%6d ms  %s\n' "$((($(date +%s%N) - began) / 1000000))" "$what"
}

# What a cluster could leave behind on the machine.
traces() {
  echo "mounts:" && findmnt -rn -o TARGET,FSTYPE | sort
  echo "interfaces:" && ip -o link show | cut -d: -f2 && ip route show
  echo "network namespaces:" && ip netns list
  echo "firewall:" && nft list ruleset
  echo "groups:" && find /sys/fs/cgroup -type d -name "*$group*" | sort
  echo "processes:" && { pgrep -af "$STELLA_RIG/|containerd-shim|docker-registry serve" || true; }
  echo "folders:" && { ls -d "$STELLA_RIG" "${foreign_folders[@]}" 2>/dev/null || true; }
  echo "settings:" && sysctl "${sysctls[@]}"
}

same_traces() { diff <(echo "$before") <(traces); }

start_pods() {
  sed "s#REGISTRY#$registry#" "$rig_source/smoke.yaml" | k apply -f - &&
    k wait --for=condition=Ready pod/workload pod/clean --timeout 60s
}

equals() { # EXPECTED COMMAND...
  local got
  got="$("${@:2}")" || return 1
  [[ "$got" == "$1" ]] || { echo "got: $got" && return 1; }
}

includes() { # EXPECTED COMMAND...
  local got
  got="$("${@:2}")" || return 1
  [[ "$got" == *"$1"* ]] || { echo "got: $got" && return 1; }
}

jsonpath() { k get "$1" -o jsonpath="$2"; }

from_pod() { # URL
  k exec workload -- python3 -c "import urllib.request as r; print(r.urlopen('$1', timeout=5).read().decode())"
}

writes_to_claim() { k exec workload -- python3 -c "open('/data/file', 'w').write('x')"; }

review_token() {
  local token
  token="$(k exec workload -- python3 -c "print(open('/token/token').read())")"
  jq -n --arg token "$token" '{apiVersion: "authentication.k8s.io/v1", kind: "TokenReview",
    spec: {token: $token, audiences: ["stella-ops"]}}' |
    k create --raw /apis/authentication.k8s.io/v1/tokenreviews -f - |
    jq -c '[.status.authenticated, .status.audiences[0], .status.user.username]'
}

debug_pod() {
  k debug workload --image "$registry/demo/shell:1.0" --target main --container debugger --quiet -- \
    sh -c 'ps; nslookup -type=a workload.default.svc.cluster.local'
  # shellcheck disable=SC2016 # the shell that it starts reads these
  timeout 30 bash -c 'until kubectl logs workload -c debugger 2>/dev/null | grep -q ^Name; do sleep 0.3; done'
  k logs workload -c debugger
}

claim_is_cleaned_up() {
  local volume
  volume="$(jsonpath pvc/data '{.spec.volumeName}')"
  k delete pod/workload pvc/data --timeout 60s && k wait --for=delete "pv/$volume" --timeout 30s &&
    [[ ! -e "$STELLA_RIG/volumes/$volume" ]]
}

kill_daemons() {
  xargs kill -KILL <"$(tracking_group)/daemons/cgroup.procs"
}

up_with() { env "$1" "$rig_source/up.sh"; }

# The workload's first layer, as it came from the registry, is in the node's content store.
keeps_layers() {
  local layout="$STELLA_CACHE/images/workload/layout" manifest layer
  manifest="$(jq -r '.manifests[0].digest' "$layout/index.json")"
  layer="$(jq -r '.layers[0].digest' "$layout/blobs/sha256/${manifest#sha256:}")"
  grep -qx "$layer" <(ctr_of_node content ls -q)
}

keeps_no_layers() { ! keeps_layers; }

if [[ -e "$STELLA_RIG" ]]; then fail "$STELLA_RIG exists: run tests/cluster/down.sh first"; fi
"$rig_source/images.sh"
before="$(traces)"
export KUBECONFIG="$kubeconfig"

check "up" "$rig_source/up.sh"
check "up again finds it" includes "KUBECONFIG=$kubeconfig" "$rig_source/up.sh"
check "pods from registry and node become ready" start_pods
check "registry image is known by its manifest" includes "$registry/demo/workload@sha256:" \
  jsonpath pod/workload '{.status.containerStatuses[0].imageID}'
check "node keeps compressed layers" keeps_layers
check "claim is bound" equals Bound jsonpath pvc/data '{.status.phase}'
check "non-root pod writes to its claim" writes_to_claim
check "exec" includes "Debian GNU/Linux 12" k exec workload -- cat /etc/os-release
check "logs" includes serving k logs workload
check "debug: ephemeral container sees the target" includes /app/serve.py debug_pod
check "service name resolves and answers a pod" from_pod http://workload.default.svc.cluster.local/
check "cluster address answers this machine" curl -sf "http://$(jsonpath svc/workload '{.spec.clusterIP}')/"
check "pod reaches the registry" from_pod "http://$registry_from_pods/v2/"
check "token for stella-ops passes review" \
  equals '[true,"stella-ops","system:serviceaccount:default:default"]' review_token
check "claim's volume and folder go with it" claim_is_cleaned_up

check "crash: all daemons killed, pods left" kill_daemons
check "up after the crash" "$rig_source/up.sh"
check "pods run again" start_pods
check "down" "$rig_source/down.sh"
check "no trace is left" same_traces

check "up with discarded layers" up_with STELLA_RIG_DISCARD_LAYERS=1
check "pods run there too" start_pods
check "run uses a cluster that is up" equals "$node_name" env STELLA_RIG_DISCARD_LAYERS=1 \
  "$rig_source/run.sh" kubectl get nodes -o jsonpath='{.items[0].metadata.name}'
check "node keeps no compressed layers" keeps_no_layers
check "down" "$rig_source/down.sh"
check "down twice" "$rig_source/down.sh"
check "no trace is left" same_traces
echo "$passed passed, 0 failed"
