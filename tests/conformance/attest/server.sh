#!/usr/bin/env bash
# The way of a report through the programs themselves: an image in a registry is scanned, its report verified, attached
# and verified by cosign; then the key is changed, and the old report still verifies. $BIN has the programs.
set -euo pipefail
cd "$(dirname "$0")/../../.."
# shellcheck source=ground.sh
source tests/conformance/attest/ground.sh
registry="$plain"

# An image with a package that the feeds know something about.
packages="$work/root/usr/lib/python3/dist-packages/Django-3.2.10.dist-info"
mkdir -p "$packages"
printf 'Metadata-Version: 2.1\nName: Django\nVersion: 3.2.10\n' >"$packages/METADATA"
umoci init --layout "$work/layout" >/dev/null
umoci new --image "$work/layout:1" >/dev/null
tar --create --file "$work/layer.tar" --directory "$work/root" usr
umoci raw add-layer --image "$work/layout:1" "$work/layer.tar" >/dev/null
skopeo copy --quiet --dest-tls-verify=false "oci:$work/layout:1" "docker://$registry/team/app:1"

port="$(free_port)"
server="http://127.0.0.1:$port"
serve() { # FLAGS...
  stella-operator serve --data "$work/data" --feeds tests/fixtures/feeds --allow-anonymous --no-coverage \
    --insecure-registry "$registry" --listen "127.0.0.1:$port" "$@" >"$work/operator.log" 2>&1 &
  operator=$!
  pids+=("$operator")
  eventually curl -fs "$server/readyz" || fail "the operator is not ready"
}
ctl() { stellopsctl --server "$server" "$@"; }
ask() { curl -fsS -H 'Content-Type: application/json' "$@"; }

serve
scan="$(ask -d "{\"image\":{\"reference\":\"$registry/team/app:1\"}}" "$server/api/v1/scans" | jq -r .scanId)"
done_() { [[ "$(curl -fs "$server/api/v1/scans/$scan" | jq -r .status)" == Succeeded ]]; }
eventually done_ || fail "the scan does not end: $(curl -s "$server/api/v1/scans/$scan")"
ctl report get "$scan" -o "$work/report.json"
ctl report keys >"$work/first.pem"
ctl report verify "$work/report.json" --key "$work/first.pem" || fail "the report does not verify"
report="$(jq -r .report.reportId "$work/report.json")"
digest="$(jq -r .report.imageDigest "$work/report.json")"
(($(jq '.report.findings | length' "$work/report.json") > 0)) || fail "the report has no findings"

curl -fs "$server/api/v1/reports/$report" | cmp -s - <(curl -fs "$server/api/v1/reports/$report?format=json") || fail "json is not the default"
curl -fs -H 'Accept: text/html' "$server/api/v1/reports/$report" | grep '<h1>' >/dev/null || fail "no page"
curl -fs "$server/api/v1/reports/$report?format=markdown" | grep -i 'django' >/dev/null || fail "no markdown"
ctl report show "$work/report.json" --format html | cmp -s - <(curl -fs "$server/api/v1/reports/$report?format=html") || fail "pages differ"

ctl report attach "$report"
verify() { cosign verify-attestation --insecure-ignore-tlog --allow-http-registry --type https://in-toto.io/attestation/vulns/v0.2 "$@" "$registry/team/app@$digest" 2>"$work/cosign.log"; }
for flag in true false; do
  found="$(verify --key "$work/first.pem" --new-bundle-format=$flag | jq -r .payload | base64 -d | jq -r '.predicate["https://stella-ops.org/report"].reportId')" ||
    fail "cosign does not verify (new bundle format: $flag)"
  [[ "$found" == "$report" ]] || fail "cosign verified '$found' in place of $report"
done

supplied="$(ask -d "{\"imageDigest\":\"$digest\",\"findings\":[{\"id\":\"a\",\"severity\":\"High\"}]}" "$server/api/v1/reports")"
[[ "$(jq -r .report.evidence <<<"$supplied")" == supplied ]] || fail "supplied findings are not said to be so"
status="$(curl -s -o /dev/null -w '%{http_code}' -H 'Content-Type: application/json' -d '{}' "$server/api/v1/reports/$(jq -r .report.reportId <<<"$supplied")/referrers")"
[[ "$status" == 409 ]] || fail "a report over supplied findings was attached: $status"

# Another key: what was signed before still verifies.
kill "$operator"
wait "$operator" 2>/dev/null || true
openssl ecparam -name prime256v1 -genkey -out "$work/second.key" 2>/dev/null
chmod 440 "$work/second.key"
serve --signing-key "$work/second.key" --signing-key-id second
ctl report keys >"$work/both.pem"
(($(grep -c 'BEGIN PUBLIC KEY' "$work/both.pem") == 2)) || fail "not both keys are listed"
curl -fs "$server/api/v1/reports/$report" >"$work/old.json"
ctl report verify "$work/old.json" --key "$work/both.pem" || fail "the old report does not verify any more"
ask -d "{\"imageDigest\":\"$digest\",\"findings\":[{\"id\":\"b\",\"severity\":\"Low\"}]}" "$server/api/v1/reports" >"$work/new.json"
[[ "$(jq -r '.dsse.signatures[0].algorithm' "$work/new.json")" == es256 ]] || fail "the new key does not sign"
ctl report verify "$work/new.json" --key "$work/both.pem" || fail "the new report does not verify"
code=0
ctl report verify "$work/new.json" --key "$work/first.pem" >/dev/null || code=$?
((code == 1)) || fail "the old key on the new report: exit code $code"
echo "server.sh: scanned, verified, attached, verified by cosign, key changed"
