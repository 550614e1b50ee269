# shellcheck shell=bash
# 1-2: images, and an installation that is Ready by itself
if [[ ! -d "$STELLA_TEST_DATA/feeds" ]]; then
  echo "SKIPPED: no advisory feeds at $STELLA_TEST_DATA/feeds; set STELLA_TEST_DATA"
  echo "0 passed, 0 failed, 1 skipped"
  exit 0
fi
"$root/tests/cluster/images.sh" | sed 's/^/  /'
for program in stella-operator stella-zastava stella-webhook; do
  TAG=e2e "$root/scripts/images/product.sh" "$program" "$BIN/$program" | tail -n 1 | sed 's/^/  /'
done
workload=127.0.0.1:5001/demo/workload:1.0
shell_image=127.0.0.1:5001/demo/shell:1.0
workload_digest="$(skopeo inspect --tls-verify=false --format '{{.Digest}}' "docker://$workload")"

feeds="${STELLA_RIG:-/var/lib/stella-rig}/feeds"
mkdir -p "$feeds"
cp -r "$STELLA_TEST_DATA/feeds/." "$feeds/"
for namespace in stella-system stella-policies shop other; do
  kubectl create namespace "$namespace" --dry-run=client -o yaml | kubectl apply -f - >/dev/null
done

# A managed cluster discards layers once they are unpacked. So does this node, for an image that runs before the product comes.
ctr_node() { ctr --address "${STELLA_RIG_CONTAINERD:-/run/containerd/containerd.sock}" --namespace k8s.io "$@"; }
kubectl -n other run early --image="$workload" >/dev/null
kubectl -n other wait --for=condition=Ready pod/early --timeout=120s >/dev/null
for layer in $(skopeo inspect --raw --tls-verify=false "docker://$workload" | jq -r '.layers[].digest'); do
  ctr_node content rm "$layer" >/dev/null
done
install_stella() {
  helm upgrade --install stella "$root/charts/stella" -n stella-system -f "$here/values.yaml" \
    --set "feeds.hostPath=$feeds" --set "agent.runtimeSocket=${STELLA_RIG_CONTAINERD:-/run/containerd/containerd.sock}" \
    --set "agent.spool.hostPath=${STELLA_RIG:-/var/lib}/stella-spool" --wait --timeout 3m
}
check "helm installs it" install_stella
everything_ready() {
  kubectl -n stella-system get pods -o json |
    jq -e '[.items[] | .status.containerStatuses[]? | .ready] | length >= 4 and all' >/dev/null
}
eventually 60 "operator, agent and two webhook replicas are Ready" everything_ready
trusted() { kubectl get validatingwebhookconfigurations stella-webhook -o json | jq -e '.webhooks | all(.clientConfig.caBundle | length > 100)' >/dev/null; }
eventually 30 "the webhooks made their own certificates" trusted
check "a second helm upgrade changes nothing" install_stella
eventually 60 "and leaves everything Ready" everything_ready
eventually 30 "and keeps the certificates trusted" trusted
find_api
check "a service account of another namespace is not let in" refused "403|forbidden" \
  curl -sS --fail-with-body -m 10 -H "Authorization: Bearer $(kubectl -n shop create token default --audience stella-ops)" "$api_url/api/v1/feeds"
check "a token for another audience is not let in" refused "401|token" \
  curl -sS --fail-with-body -m 10 -H "Authorization: Bearer $(kubectl -n stella-system create token stella-operator)" "$api_url/api/v1/feeds"
check "no token is a problem document" said "probs/unauthorized" curl -sS -m 10 "$api_url/api/v1/feeds"
