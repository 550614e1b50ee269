# shellcheck shell=bash
# 5: a policy that says first what it would do, and then a refused pod
policy() { # MODE [WAIVER YAML]
  kubectl apply -f - >/dev/null <<YAML
apiVersion: stella-ops.org/v1alpha1
kind: Policy
metadata: {name: in-use, namespace: stella-policies}
spec:
  rules:
  - name: Block high and critical findings in use
    severity: [Critical, High]
    reachability: [runtime, entrypoint]
    action: {type: block}
  admission: {mode: $1, gracePeriodSeconds: ${grace:-0}, unscanned: ${unscanned:-allow}, inheritEvidence: ${inherit:-true}}
${2:-}
YAML
}
policy_state() { kubectl -n stella-policies get policy in-use -o json; }
in_force() { jq_holds '.status.observedGeneration == .metadata.generation and .status.servedRevision != null and .status.servedRevision == .status.revision' policy_state; }
policy audit
eventually 20 "the status says what it would block before it enforces" jq_holds '.status.projected.blocked == 1 and .status.projected.images >= 3' policy_state
check "and how old the feeds are" jq_holds '.status.feeds | length > 3 and all(.ageDays > 0)' policy_state
check "while it audits, the image starts" kubectl -n other run audited --image="$workload"
kubectl -n other delete pod audited --wait=false >/dev/null
policy enforce
eventually 20 "every webhook answers from the new revision" in_force
run_it() { kubectl -n "${2:-other}" run "$1" --image="$workload" --restart=Never; }
check "a new pod is refused: image, rule, worst finding and fix" refused \
  "demo/workload:1.0.*'Block high and critical findings in use'.*CVE-20[0-9-]+ .*aiohttp 3.8.5, fixed in 3\." run_it new-1
kubectl -n other run plain --image="$shell_image" -- sleep 3600 >/dev/null
check "another image starts" kubectl -n other wait --for=condition=Ready pod/plain --timeout=60s
check "kubectl debug does not get round it" refused "is blocked by rule" \
  kubectl -n other debug plain --image="$workload" --container=dbg -- sleep 1
check "an update does not get round it" refused "is blocked by rule" \
  kubectl -n other set image pod/plain "plain=$workload"
image_volume() { kubectl -n other apply -f - <<YAML
apiVersion: v1
kind: Pod
metadata: {name: with-volume}
spec:
  containers: [{name: c, image: "$shell_image", command: [sleep, "60"]}]
  volumes: [{name: v, image: {reference: "$workload"}}]
YAML
}
check "an image volume does not get round it" refused "is blocked by rule" image_volume
check "an init container does not get round it" refused "is blocked by rule" kubectl -n other apply -f - <<YAML
apiVersion: v1
kind: Pod
metadata: {name: with-init}
spec:
  initContainers: [{name: i, image: "$workload"}]
  containers: [{name: c, image: "$shell_image"}]
YAML
check "a Deployment is warned about" said "Warning: stella: .*is blocked by rule" kubectl -n other create deployment web --image="$workload"
no_pods() { [[ "$(kubectl -n other get deployment web -o jsonpath='{.status.replicas}')" =~ ^0?$ ]] && kubectl -n other get pods -l app=web -o name | { ! grep -q .; }; }
sleep 3
check "and gets no pods" no_pods
kubectl -n other delete deployment web --wait=false >/dev/null
check "a dry run is answered alike" refused "is blocked by rule" kubectl -n other run dry --image="$workload" --dry-run=server
check "a label on the running pod is let through" kubectl -n shop label pod web-1 touched=yes
check "kube-system is never blocked" kubectl -n kube-system run allowed --image="$workload" --restart=Never
check "nor is the product's own namespace" kubectl -n stella-system run allowed --image="$workload" --restart=Never
kubectl -n kube-system delete pod allowed --wait=false >/dev/null
kubectl -n stella-system delete pod allowed --wait=false >/dev/null

ends="$(date -u -d '+25 seconds' +%Y-%m-%dT%H:%M:%SZ)"
waivers="$(for cve in $(finding aiohttp | jq -r '.[].coordinates.advisoryId') $(finding idna | jq -r '.[].coordinates.advisoryId') $(finding cryptography | jq -r '.[].coordinates.advisoryId'); do
  printf '  - {id: %s, cve: %s, justification: accepted for the test, owner: team-shop, ticket: SHOP-7, expires: "%s"}\n' "${cve,,}" "$cve" "$ends"
done)"
policy enforce "  waivers:
$waivers"
eventually 15 "with a waiver that has owner, ticket and end, it starts" run_it waived-1
kubectl -n other delete pod waived-1 --wait=false >/dev/null
sleep $((1 + $(date -d "$ends" +%s) - $(date +%s) > 0 ? 1 + $(date -d "$ends" +%s) - $(date +%s) : 0))
check "until the second it ends" refused "is blocked by rule" run_it waived-2

unscanned=deny policy enforce
eventually 15 "the new revision is served" in_force
never="127.0.0.1:5001/demo/never-scanned:1.0"
check "an image that was never scanned gets what the policy says" refused "never (been )?scanned|not (been )?scanned|unscanned|no scan" \
  kubectl -n other run unknown --image="$never" --restart=Never
queued() { api "/api/v1/scanner/policy/runtime" -H 'content-type: application/json' -d "{\"namespace\":\"other\",\"images\":[\"$never\"]}" | jq -e '.results[] | .policyVerdict == "fail" and .reasons == ["image.metadata.missing"]' >/dev/null; }
check "and a scan of it is queued" queued

grace=3600 unscanned=allow policy enforce
eventually 15 "the policy gives grace" in_force
check "a pod of an image that ran here when it was blocked comes back" said "Warning: stella|created" run_it web-drained shop
node="$(kubectl get nodes -o jsonpath='{.items[0].metadata.name}')"
check "a node drain moves it away" kubectl drain "$node" --pod-selector=app=drained --ignore-daemonsets --delete-emptydir-data --force --timeout=60s
kubectl uncordon "$node" >/dev/null
check "and does not lose it" kubectl -n shop wait --for=condition=Available deployment/drained --timeout=60s
kubectl -n shop delete deployment drained --wait=true >/dev/null
check "and not where it did not run" refused "is blocked by rule" run_it web-elsewhere
kubectl -n shop delete pod web-drained --wait=false --ignore-not-found >/dev/null
grace=0 policy enforce
eventually 15 "the policy gives none" in_force

eventually 120 "the kubelet lists a new digest of the repository" node_lists "$next"
kubectl apply -f - >/dev/null <<YAML
apiVersion: stella-ops.org/v1alpha1
kind: ScanJob
metadata: {name: workload-next, namespace: shop}
spec:
  image: {reference: "$next"}
YAML
check "it is scanned" kubectl -n shop wait --for=condition=Ready scanjob/workload-next --timeout=60s
run_next() { kubectl -n other run "$1" --image="$next" --restart=Never; }
eventually 5 "it never ran, and is refused for what its repository loads" refused "in use by an earlier image\\) in aiohttp" run_next heir-1
inherits() { api "/console/vuln/findings?pageSize=200&image=$next" | jq -c '[.items[] | select(.coordinates.component == "aiohttp")]'; }
check "the evidence says from which image it is inherited" jq_holds \
  ".[0].reachability | .level == \"unknown\" and .inherited.status == \"runtime\" and all(.inherited.evidence[]; .inheritedFrom == \"$workload_digest\")" inherits
inherit=false grace=0 policy enforce
eventually 15 "the policy inherits nothing" in_force
eventually 15 "and the new digest starts" run_next heir-2
kubectl -n other delete pod heir-2 --wait=false >/dev/null
grace=0 policy enforce
eventually 15 "the policy inherits again" in_force

kubectl -n stella-system scale deployment stella-operator --replicas=0 >/dev/null
kubectl -n stella-system wait --for=delete pod -l app.kubernetes.io/component=operator --timeout=60s >/dev/null 2>&1 || true
check "with the operator stopped the last verdicts hold" refused "is blocked by rule" run_it while-away
check "and another image starts" kubectl -n other run plain-2 --image="$shell_image" --restart=Never -- true
