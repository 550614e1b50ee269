# shellcheck shell=bash
# 6-7: a report that others verify, an export that sha256sum agrees with
api /api/v1/reports -H 'content-type: application/json' -d "{\"scanId\":\"$scan_id\"}" >"$work/report.json"
check "the report is a DSSE envelope with an Ed25519 signature" jq_holds \
  '.dsse | .payloadType == "application/vnd.stellaops.report+json" and .signatures[0].algorithm == "ed25519" and (.signatures[0].sig | length > 80)' cat "$work/report.json"
exports="$(kubectl -n stella-system get pvc -o json | jq -r '.items[0].spec.volumeName' | xargs -I{} kubectl get pv {} -o json | jq -r '.spec.local.path // .spec.hostPath.path')"
cp "$exports/keys/report-signing.pub.pem" "$work/key.pem"
openssl_verifies() { # FILE with a DSSE envelope under .dsse
  local type length
  jq -r '.dsse.payload' "$1" | base64 -d >"$work/payload"
  type="$(jq -r '.dsse.payloadType' "$1")"
  length="$(stat -c %s "$work/payload")"
  { printf 'DSSEv1 %d %s %d ' "${#type}" "$type" "$length"; cat "$work/payload"; } >"$work/pae"
  jq -r '.dsse.signatures[0].sig' "$1" | base64 -d >"$work/signature"
  openssl pkeyutl -verify -pubin -inkey "$work/key.pem" -rawin -in "$work/pae" -sigfile "$work/signature"
}
check "openssl verifies it" openssl_verifies "$work/report.json"
jq '.dsse.payload |= (@base64d | sub("blocked"; "passed!") | @base64)' "$work/report.json" >"$work/forged.json"
check "and refuses a changed one" refused "" openssl_verifies "$work/forged.json"
canonical() { jq -r '.dsse.payload' "$work/report.json" | base64 -d | python3 -c 'import json,sys; t=sys.stdin.read(); d=json.loads(t); sys.exit(0 if json.dumps(d, sort_keys=True, separators=(",",":"), ensure_ascii=False) == t else 1)'; }
check "its payload is canonical JSON" canonical
check "stellopsctl verifies it offline" "$BIN/stellopsctl" report verify "$work/report.json" --key "$work/key.pem"

kubectl apply -f - >/dev/null <<YAML
apiVersion: stella-ops.org/v1alpha1
kind: ExportProfile
metadata: {name: daily, namespace: stella-policies}
spec: {targets: [findings, reports, policy], formats: [ndjson, json], distribution: {type: filesystem}}
YAML
check "the export becomes Ready" kubectl -n stella-policies wait --for=condition=Ready exportprofile/daily --timeout=30s
run_id="$(kubectl -n stella-policies get exportprofile daily -o jsonpath='{.status.lastRun.runId}')"
folder="$(dirname "$(find "$exports/exports" -name findings.ndjson -printf '%T@ %p\n' | sort -n | tail -n 1 | cut -d' ' -f2)")"
check "sha256sum agrees with its manifest" bash -c "cd '$folder' && sha256sum -c SHA256SUMS"
check "its NDJSON holds the findings" jq_holds 'length > 10 and all(.imageDigest != null)' jq -s . "$folder/findings.ndjson"
check "the API shows the run" jq_holds '.status == "succeeded" and (.outputs | length) == 6' api "/export-center/runs/$run_id"
