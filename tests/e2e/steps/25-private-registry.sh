# shellcheck shell=bash
# 3b: a registry that lets nobody in without a name, and a file that lies on a web server
private=10.243.0.1:5002
mkdir -p "$work/private"
# user, with the password geheim
# shellcheck disable=SC2016
echo 'user:$2y$05$abcdefghijklmnopqrstuuVWu8RjbNovPZWAMRdd7iqaaG0mI53Uu' >"$work/private/htpasswd"
cat >"$work/private/config.yml" <<YAML
version: 0.1
storage: {filesystem: {rootdirectory: $work/private/storage}}
http: {addr: '$private', secret: x}
auth: {htpasswd: {realm: test, path: $work/private/htpasswd}}
YAML
docker-registry serve "$work/private/config.yml" >"$work/private/log" 2>&1 &
private_registry=$!
python3 -m http.server --bind 10.243.0.1 --directory "$work/private" 5003 >"$work/private/web.log" 2>&1 &
web_server=$!
push_private() {
  skopeo copy --quiet --src-tls-verify=false --dest-tls-verify=false --dest-creds user:geheim "docker://$workload" "docker://$private/team/app:1"
}
eventually 20 "the private registry takes an image from who may write" push_private
skopeo copy --quiet --src-tls-verify=false "docker://$workload" "docker-archive:$work/private/app.tar:app:1"

login="$(printf 'user:geheim' | base64)"
jq -n --arg host "$private" --arg auth "$login" '{auths: {($host): {auth: $auth}}}' >"$work/private/login.json"
# The chart lets the operator read the first one only.
for name in pull private; do
  kubectl -n shop create secret generic "$name" --type kubernetes.io/dockerconfigjson --dry-run=client -o yaml \
    --from-file=.dockerconfigjson="$work/private/login.json" | kubectl apply -f - >/dev/null
done
kubectl -n shop create serviceaccount puller --dry-run=client -o json | jq '.imagePullSecrets = [{name: "pull"}]' |
  kubectl apply -f - >/dev/null
scan_private() { # NAME FIELDS
  kubectl -n shop delete scanjob "$1" --ignore-not-found >/dev/null
  kubectl apply -f - >/dev/null <<YAML
apiVersion: stella-ops.org/v1alpha1
kind: ScanJob
metadata: {name: $1, namespace: shop}
spec: {image: {reference: "$private/team/app:1"}, source: registry, $2}
YAML
}
failed_with() { jq_holds ".status | .phase == \"Failed\" and (.failureReason | test(\"$2\"))" job "$1"; }
scan_private unreadable 'imagePullSecrets: [{name: private}]'
eventually 30 "a Secret that the chart gave no right to read is named, and so is the remedy" \
  failed_with unreadable 'Secret shop/private may not be read: .*operator.registrySecrets'
scan_private by-account 'serviceAccountName: puller'
check "an image is pulled with the pull secret of a service account" \
  kubectl -n shop wait --for=condition=Ready scanjob/by-account --timeout=60s
scan_private by-secret 'imagePullSecrets: [{name: pull}], force: true'
check "and with one that the job names" kubectl -n shop wait --for=condition=Ready scanjob/by-secret --timeout=60s
check "its status says that it was pulled" jq_holds '.status | .readFrom == "registry" and .summary.high > 0' job by-secret
nothing_secret() {
  kubectl -n stella-system logs deployment/stella-operator >"$work/operator.log"
  grep -q "scan ended" "$work/operator.log" && ! grep -F -e geheim -e "$login" "$work/operator.log"
}
check "no log has a credential" nothing_secret

by_url() { api /scan -H 'Content-Type: application/json' -d "{\"imageUrl\": \"$1\"}"; }
check "an archive is fetched from an allowed host" jq_holds '.summary.High > 0' by_url 'http://10.243.0.1:5003/app.tar?signature=geheim'
check "no other host is asked" refused 'allowed hosts only' by_url "http://$private/app.tar"
check "and no log has the query of a URL" nothing_secret
shows_no_query() {
  api "/api/v1/scans/$(by_url 'http://10.243.0.1:5003/app.tar?signature=geheim' | jq -r .scanId)" >"$work/by-url.json"
  jq -e '.image.reference == "http://10.243.0.1:5003/app.tar"' "$work/by-url.json"
}
check "nor has the scan that the API shows" shows_no_query
# The stream of verdicts goes on after its snapshot, so the request is broken off.
no_name() {
  api /api/v1/admission/verdicts -N -m 5 >"$work/verdicts" 2>/dev/null || true
  grep -q '"references"' "$work/verdicts" && ! grep -F signature= "$work/verdicts"
}
check "a URL does not become a name of the image" no_name
kill "$private_registry" "$web_server"
wait "$private_registry" "$web_server" 2>/dev/null || true
