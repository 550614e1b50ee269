# shellcheck shell=bash
# 8: operator away for 30 s, agent killed in between: every event once
away=$SECONDS
kubectl -n other run burst-1 --image="$shell_image" --restart=Never -- sh -c 'sleep 2' >/dev/null
sleep 6
agent_process() { pgrep -f '/usr/local/bin/stella-zastava' | head -n 1; }
kill -9 "$(agent_process)"
sleep 3
kubectl -n other run burst-2 --image="$shell_image" --restart=Never -- sh -c 'sleep 2' >/dev/null
while ((SECONDS - away < 30)); do sleep 1; done
kubectl -n stella-system scale deployment stella-operator --replicas=1 >/dev/null
check "the operator comes back" kubectl -n stella-system rollout status deployment/stella-operator --timeout=90s
check "the agent comes back" kubectl -n stella-system rollout status daemonset/stella-zastava --timeout=60s
find_api
agent_metric() { kubectl -n stella-system get --raw "/api/v1/namespaces/stella-system/pods/$(kubectl -n stella-system get pod -l app.kubernetes.io/component=agent -o jsonpath='{.items[0].metadata.name}'):8081/proxy/metrics"; }
kubectl apply -f - >/dev/null <<YAML
apiVersion: stella-ops.org/v1alpha1
kind: ExportProfile
metadata: {name: events, namespace: stella-policies}
spec: {targets: [runtime], distribution: {type: filesystem}}
YAML
operator_file() { kubectl -n stella-system exec deploy/stella-operator -- true 2>/dev/null; }
exports="$(kubectl -n stella-system get pvc -o json | jq -r '.items[0].spec.volumeName' | xargs -I{} kubectl get pv {} -o json | jq -r '.spec.local.path // .spec.hostPath.path')"
has_starts() { # POD: exactly one start of it among the events
  kubectl -n stella-policies annotate exportprofile events "stella-ops.org/reconcile-at=$(date +%s%N)" --overwrite >/dev/null
  sleep 2
  local latest
  latest="$(find "$exports" -name runtime.ndjson -printf '%T@ %p\n' | sort -n | tail -n 1 | cut -d' ' -f2)"
  jq -se --arg pod "$1" '[.[] | select(.kind == "ContainerStart" and .workload.pod == $pod)] | length == 1' "$latest" >/dev/null &&
    jq -se '[.[].eventId] | length == (unique | length)' "$latest" >/dev/null
}
eventually 30 "what started before the agent was killed is there once" has_starts burst-1
eventually 30 "what started after it is there once" has_starts burst-2
none_lost() {
  local metrics
  metrics="$(agent_metric)" && grep -q '^zastava_' <<<"$metrics" || { echo "no metrics: $metrics"; return 1; }
  ! grep -E '^zastava_events_lost_total' <<<"$metrics" | grep -vE ' 0$'
}
check "no event was lost" none_lost
eventually 30 "its findings are still in use" has_level aiohttp runtime
