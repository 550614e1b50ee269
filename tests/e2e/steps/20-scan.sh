# shellcheck shell=bash
# 3: a ScanJob, read from the node's containerd without a credential
job() { kubectl -n shop get scanjob "$1" -o json; }
kubectl apply -f - >/dev/null <<YAML
apiVersion: stella-ops.org/v1alpha1
kind: ScanJob
metadata: {name: discarded, namespace: shop}
spec:
  image: {reference: "$workload"}
  source: node
YAML
check "an image whose layers the node discarded is read from the running container" \
  kubectl -n shop wait --for=condition=Ready scanjob/discarded --timeout=60s
check "and its status says so" jq_holds '.status | .phase == "Succeeded" and .readFrom == "rootfs" and .summary.high > 0' job discarded
kubectl -n other delete pod early --wait=true >/dev/null
ctr_node images pull --plain-http "$workload" >/dev/null 2>&1 || ctr_node images pull "$workload" >/dev/null
node_lists() { kubectl get nodes -o json | jq -e --arg image "$1" '.items[].status.images[].names[]? | select(. == $image)' >/dev/null; }
# Another digest of the same repository, for step 5; kubelets take their time to list an image that nothing runs.
next="${workload%:*}:1.1"
push_image "$(relabelled "$images/workload/layout" "$work/next")" 1.0 "$next"
ctr_node images pull --plain-http "$next" >/dev/null 2>&1 || ctr_node images pull "$next" >/dev/null
eventually 120 "the kubelet lists the image" node_lists "$workload"
kubectl apply -f - >/dev/null <<YAML
apiVersion: stella-ops.org/v1alpha1
kind: ScanJob
metadata: {name: workload, namespace: shop}
spec:
  image: {reference: "$workload"}
  source: node
  force: true
YAML
check "kubectl wait sees the ScanJob become Ready" kubectl -n shop wait --for=condition=Ready scanjob/workload --timeout=60s
check "it Succeeded, with counts" jq_holds '.status | .phase == "Succeeded" and .summary.high > 0 and .readFrom == "layers"' job workload
check "it resolved the tag to the registry's digest" jq_holds ".status.image.digest == \"$workload_digest\"" job workload
check "it never carries findings" jq_holds '.status | tostring | length < 4000' job workload
scan_id="$(job workload | jq -r .status.scanId)"
check "its events end with succeeded" said '"state":"Succeeded"' api "/api/v1/scans/$scan_id/events?format=jsonl"
api "/api/v1/scans/$scan_id/findings" >"$work/findings.json"
check "a finding has its CVE, aliases, fix and layer" jq_holds \
  '[.items[] | select(.advisoryId == "CVE-2023-47627")][0] | .fixedIn == ["3.8.6"] and .severity == "High" and (.location.layer | startswith("sha256:")) and (.aliases | index("PYSEC-2023-246") != null)' \
  cat "$work/findings.json"
check "the SBOM of the scan is CycloneDX" said '"bomFormat": ?"CycloneDX"' api "/api/v1/scans/$scan_id/sbom"

# osv-scanner on the same feeds says the same about the Python packages; compared by the ids of their records, since we name
# CVEs that a record is only related to as well. Distribution packages are left out: the feeds end
# before this release, so neither finds any.
peers_agree() {
  local tool="${STELLA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/stella}/bin/osv-scanner"
  "$root/scripts/install/go-tools.sh" osv-scanner >/dev/null
  mkdir -p "$work/osv/osv-scalibr"
  cp -r "$STELLA_TEST_DATA/feeds/osv/." "$work/osv/osv-scalibr/"
  jq '[.items[].package.purl] | unique' "$work/findings.json" >"$work/purls.json"
  api "/api/v1/scans/$scan_id/sbom" >"$work/workload.cdx.json"
  "$tool" scan source --sbom "$work/workload.cdx.json" --local-db-path "$work/osv" --offline-vulnerabilities --format json \
    >"$work/osv.json" 2>"$work/osv.log" || [[ $? -eq 1 ]]
  jq -r '.results[].packages[] | .package as $p | select($p.ecosystem == "PyPI") | .groups[] | "\($p.name | ascii_downcase) \([.ids[], .aliases[]?] | unique | map(select(startswith("PYSEC-"))) | join(","))"' \
    "$work/osv.json" | sort -u >"$work/theirs"
  jq -r '.items[] | select(.package.ecosystem == "PyPI") | "\(.package.name) \([.aliases[]] | unique | map(select(startswith("PYSEC-"))) | join(","))"' \
    "$work/findings.json" | sort -u >"$work/ours"
  [[ -s "$work/ours" ]] && diff "$work/theirs" "$work/ours"
}
check "osv-scanner finds the same on the same feeds" peers_agree
