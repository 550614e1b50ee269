#!/usr/bin/env bash
# Tests the definitions (crds/manifests) and the samples (crds/samples) on an API server of its own, without nodes and
# controllers. Needs the programs of the test cluster in the cache (tests/cluster/build.sh), jq, python3, openssl.
# shellcheck disable=SC2317,SC2329 # functions that `check` calls
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
repository="$(cd "$here/../.." && pwd)"
manifests="$repository/crds/manifests"
samples="$repository/crds/samples"
# shellcheck source=../control-plane.sh
source "$repository/tests/control-plane.sh"

work="$(mktemp -d)"
passed=0
failed=0
finished=0
end() { # Also when a step between the checks fails: that is a failure too.
  stop_control_plane
  ((finished)) || { echo "FAILED  stopped early"; tail -n 5 "$work/out" 2>/dev/null; failed=$((failed + 1)); }
  rm -rf "$work"
  printf '\n%s passed, %s failed\n' "$passed" "$failed"
  ((failed == 0)) || exit 1
}
trap end EXIT

check() { # WHAT COMMAND...: not as the condition of an `if`, in which a function goes on after a failure.
  local what="$1" code
  shift
  set +e
  (set -e; "$@") >"$work/out" 2>&1
  code=$?
  set -e
  if ((code == 0)); then
    echo "ok      $what"
    passed=$((passed + 1))
  else
    echo "FAILED  $what"
    head -c 4000 "$work/out" | sed 's/^/        /'
    failed=$((failed + 1))
  fi
}

section() { printf '\n# %s\n' "$1"; }
same() { diff <(echo "$1") <(echo "$2"); } # WANTED GOT
says() { # TEXT COMMAND...: the command fails, and says so.
  local text="$1" output
  shift
  ! output="$("$@" 2>&1)" || { echo "no error: $output"; return 1; }
  [[ "$output" == *"$text"* ]] || { echo "wanted: $text"; echo "got: $output"; return 1; }
}

# --- objects ------------------------------------------------------------------------------------------------------------

minimal='{
  "ScanJob": {"image": {"reference": "registry.example.com/shop/web:1.4"}},
  "Policy": {},
  "ExportProfile": {"targets": ["findings"]}
}'
waiver='{id: "a", cve: "CVE-2026-12345", justification: "j", owner: "o", ticket: "t", expires: "2027-01-01T00:00:00Z"}'

object() { # KIND NAME [JQ]: the smallest object of the kind, changed.
  jq -n --arg kind "$1" --arg name "$2" --argjson minimal "$minimal" \
    '{apiVersion: "stella-ops.org/v1alpha1", kind: $kind, metadata: {name: $name}, spec: $minimal[$kind]} | '"${3:-.}"
}
make() { object "$@" | kubectl create -f -; }
try() { object "$1" try "$2" | kubectl create --dry-run=server --validate=false -f -; } # KIND JQ
field() { kubectl get "$1" -o json | jq -c "$2"; }                                       # KIND/NAME JQ
has() { same "$3" "$(field "$1" "$2")"; }                                               # KIND/NAME JQ WANTED
set_status() { kubectl patch "$1" --subresource=status --type=merge --patch "{\"status\": $2}"; }
condition() { # TYPE STATUS REASON
  printf '{"type": "%s", "status": "%s", "reason": "%s", "message": "", "observedGeneration": 1, "lastTransitionTime": "2026-11-01T00:00:00Z"}' "$@"
}
definitions() { kubectl get crd -o json | jq -c '[.items[] | select(.spec.group == "stella-ops.org")]'; }
samples_as_json() {
  local file
  for file in "$samples"/*.yaml; do kubectl create --dry-run=client -o json -f "$file"; done | jq -cs .
}

# --- definitions --------------------------------------------------------------------------------------------------------

established() {
  kubectl wait --for=condition=Established --timeout=20s crd/scanjobs.stella-ops.org crd/policies.stella-ops.org \
    crd/exportprofiles.stella-ops.org
}
# Established is said a moment before the API server answers for the kind, and before its documentation does.
answered() {
  local kind
  for _ in $(seq 100); do
    sleep 0.2
    for kind in scanjob policy exportprofile; do
      kubectl explain "$kind.spec" >/dev/null 2>&1 || continue 2
      kubectl get "$kind" >/dev/null 2>&1 || continue 2
    done
    return 0
  done
  return 1
}
# Neither with a schema that is not structural, nor by another name for it, nor as a kind that takes anything.
no_violation() {
  same '[]' "$(definitions | jq -c '[.[].status.conditions[] |
    select((.type | IN("NonStructuralSchema", "NonStructuralSchemaViolation")) or (.type == "NamesAccepted" and .status != "True"))]')"
  same 0 "$(definitions | jq '[.. | objects | select(has("x-kubernetes-preserve-unknown-fields") or has("x-kubernetes-int-or-string"))] | length')"
}
small_annotations() { # Client-side apply keeps the whole definition in an annotation.
  definitions | jq -e 'length == 3 and all(.[];
    .metadata.annotations["kubectl.kubernetes.io/last-applied-configuration"] | length > 1000 and length < 262144)'
}
apply_with_two_ways() {
  kubectl delete -f "$manifests" --wait=true
  kubectl apply --server-side --field-manager=one -f "$manifests"
  kubectl apply --server-side --field-manager=one -f "$manifests"
  same '[]' "$(definitions | jq -c '[.[] | .metadata.annotations // empty]')"
}
names() {
  same '[["ExportProfile","exportprofiles",["sep"],["stella"],"Namespaced"],["Policy","policies",["spol"],["stella"],"Namespaced"],["ScanJob","scanjobs",["sj"],["stella"],"Namespaced"]]' \
    "$(definitions | jq -c 'map([.spec.names.kind, .spec.names.plural, .spec.names.shortNames, .spec.names.categories, .spec.scope]) | sort')"
}

# Every list says how it is merged, but those in label selectors, which are the API's own type.
list_types() {
  same '' "$(definitions | jq -r '.[] | .spec.names.kind as $kind | .spec.versions[].schema.openAPIV3Schema as $schema
    | $schema | paths(objects) as $path | getpath($path) | select(.type == "array" and (has("x-kubernetes-list-type") | not))
    | select([$path[] | tostring | select(test("elector$"))] == []) | "\($kind) \($path | join("."))"')"
}
list_type() { # KIND PATH WANTED
  same "$3" "$(definitions | jq -r --arg kind "$1" --arg path "$2" '.[] | select(.spec.names.kind == $kind)
    | reduce ($path | split("."))[] as $step (.spec.versions[0].schema.openAPIV3Schema;
        if $step == "[]" then .items else .properties[$step] end)
    | [.["x-kubernetes-list-type"], (.["x-kubernetes-list-map-keys"] // [])[]] | join(" ")')"
}

# --- samples and bounds -------------------------------------------------------------------------------------------------

accepted_sample() { kubectl apply --dry-run=server --validate=strict -f "$1"; }
# What a GitOps tool sees: what was applied stays as it was applied.
no_drift() { # OPTION...
  local before
  kubectl apply "$@" -f "$samples"
  kubectl diff "$@" -f "$samples"
  kubectl apply "$@" -f "$samples" # server-side, the first one after the creation stores the default of the status
  before="$(kubectl get stella -o json | jq '[.items[].metadata.resourceVersion]')"
  kubectl apply "$@" -f "$samples"
  same "$before" "$(kubectl get stella -o json | jq '[.items[].metadata.resourceVersion]')"
  kubectl delete -f "$samples"
}
field_taken_back() { # Client-side apply takes back what is no longer in the file; the default comes again.
  object ScanJob back '.spec += {threshold: "low", clientRequestId: "x"}' | kubectl apply -f -
  object ScanJob back | kubectl apply -f -
  has sj/back '[.spec.threshold, .spec.clientRequestId]' '["critical",null]'
  kubectl delete sj/back
}

bounds() {
  local line what message
  jq -cn --argjson crds "$(definitions)" --argjson samples "$(samples_as_json)" '{$crds, $samples}' |
    python3 "$here/bad_values.py" >"$work/bad"
  while read -r line; do
    what="$(jq -r .what <<<"$line")"
    message="$(jq -r '.message // ""' <<<"$line")"
    if [[ -z "$message" ]]; then
      check "$what" false
    else
      jq -c .object <<<"$line" >"$work/object"
      check "$what" says "$message" kubectl create --dry-run=server --validate=false -f "$work/object"
    fi
  done <"$work/bad"
}

# --- CEL ----------------------------------------------------------------------------------------------------------------

tested_rules=()
rule() { # KIND MESSAGE GOOD BAD: jq that makes an object the rule lets pass, and one that it refuses.
  tested_rules+=("$2")
  check "$1: good: $2" try "$1" "$3"
  check "$1: bad: $2" says "$2" try "$1" "$4"
}
rules() {
  local image='.spec.image' set='.spec.workloads = {}' both='reference, digest or both are needed'
  rule ScanJob "exactly one of image and workloads is needed" "del($image) | $set" "$set"
  rule ScanJob "exactly one of image and workloads is needed" ". | .spec.workloads = null" "del($image)"
  rule ScanJob "$both" "$image = {digest: (\"sha256:\" + \"a\" * 64)}" "$image = {}"
  rule ScanJob "timeZone needs a schedule" '.spec += {timeZone: "UTC", schedule: "0 3 * * *"}' '.spec.timeZone = "UTC"'
  local select='.spec.admission.namespaceSelector.matchExpressions'
  rule Policy "In and NotIn need values; Exists and DoesNotExist have none" \
    "$select = [{key: \"a\", operator: \"In\", values: [\"b\"]}, {key: \"a\", operator: \"Exists\"}]" \
    "$select = [{key: \"a\", operator: \"In\"}]"
  rule Policy "content belongs to format rego" '.spec += {format: "rego", content: "package a"}' '.spec.content = "package a"'
  rule Policy "format rego needs content" '.spec += {format: "rego", content: "package a"}' '.spec.format = "rego"'
  rule Policy "rules belong to format rules" '.spec += {format: "rego", content: "package a", rules: []}' \
    '.spec += {format: "rego", content: "package a", rules: [{name: "a", action: {type: "block"}}]}'
  local one='.spec.rules = [{name: "a", action: ' escalate='minimumSeverity, requireKev and epssMin belong to type escalate'
  rule Policy "$escalate" "$one{type: \"escalate\", minimumSeverity: \"High\", requireKev: true, epssMin: 0.5}}]" \
    "$one{type: \"block\", minimumSeverity: \"High\"}}]"
  rule Policy "$escalate" "$one{type: \"block\"}}]" "$one{type: \"warn\", requireKev: false}}]"
  rule Policy "$escalate" "$one{type: \"defer\"}}]" "$one{type: \"ignore\", epssMin: 0}}]"
  rule Policy "type escalate needs minimumSeverity" "$one{type: \"escalate\", minimumSeverity: \"None\"}}]" \
    "$one{type: \"escalate\"}}]"
  local vex='vendors and justifications belong to type requireVex'
  rule Policy "$vex" "$one{type: \"requireVex\", vendors: [\"a\"], justifications: [\"b\"]}}]" "$one{type: \"warn\", vendors: [\"a\"]}}]"
  rule Policy "$vex" "$one{type: \"requireVex\"}}]" "$one{type: \"block\", justifications: [\"b\"]}}]"
  local beside='requireVex stands beside types block, ignore, warn and defer' own='requireVex: {justifications: ["b"]}'
  rule Policy "$beside" "$one{type: \"warn\", quiet: true, $own}}]" "$one{type: \"requireVex\", $own}}]"
  rule Policy "$beside" "$one{type: \"ignore\", $own}}]" "$one{type: \"escalate\", minimumSeverity: \"High\", $own}}]"
  local waivers=".spec.waivers = [$waiver"
  rule Policy "exactly one of cve and advisory is needed" "$waivers]" "$waivers + {advisory: \"GHSA-1\"}]"
  rule Policy "exactly one of cve and advisory is needed" "$waivers + {cve: null, advisory: \"GHSA-1\"}]" "$waivers | del(.cve)]"
  local signed='.spec.admission.signers = [{name: "a", ' identity='{issuer: "a", subject: "b"}'
  rule Policy "requireSignature needs signers: whose signatures count" \
    "${signed}key: \"k\"}] | .spec.admission.requireSignature = true" '.spec.admission.requireSignature = true'
  rule Policy "exactly one of key and keyless is needed" "${signed}key: \"k\"}]" "${signed}key: \"k\", keyless: $identity}]"
  rule Policy "exactly one of key and keyless is needed" "${signed}keyless: $identity}]" '.spec.admission.signers = [{name: "a"}]'
  rule Policy "exactly one of issuer and issuerRegExp is needed" "${signed}keyless: {issuerRegExp: \"a\", subject: \"b\"}}]" \
    "${signed}keyless: ($identity + {issuerRegExp: \"a\"})}]"
  rule Policy "exactly one of subject and subjectRegExp is needed" "${signed}keyless: {issuer: \"a\", subjectRegExp: \"b\"}}]" \
    "${signed}keyless: {issuer: \"a\"}}]"
  rule ExportProfile "timeZone needs a schedule" '.spec += {timeZone: "UTC", schedule: "0 3 * * *"}' '.spec.timeZone = "UTC"'
  local ref='distribution to a registry or a bucket needs ref' type
  for type in oci s3 object-storage; do
    rule ExportProfile "$ref" ".spec.distribution = {type: \"$type\", ref: \"r\"}" ".spec.distribution.type = \"$type\""
  done
  for type in none filesystem; do
    check "ExportProfile: good: $type without ref" try ExportProfile ".spec.distribution.type = \"$type\""
  done
  rule ExportProfile "encryption needs kmsKey" '.spec.encryption = {enabled: true, kmsKey: "k"}' '.spec.encryption.enabled = true'
  check "ExportProfile: good: no encryption without kmsKey" try ExportProfile '.spec.encryption = {}'
}

unchanged_once_started() {
  local message='cannot change once the scan has started; make another ScanJob'
  change() { kubectl patch "$1" --type=merge --patch "{\"spec\": $2}"; }
  tested_rules+=("image $message" "workloads $message")
  make ScanJob one >"$work/out"
  make ScanJob many 'del(.spec.image) | .spec.workloads = {kinds: ["Job"]}' >"$work/out"
  check "image: may change before the start" change sj/one '{"image": {"reference": "registry.example.com/shop/web:1.5"}}'
  check "workloads: may change before the start" change sj/many '{"workloads": {"kinds": ["Job", "CronJob"]}}'
  check "image: the start" set_status sj/one '{"scanId": "s-1", "phase": "Running"}'
  check "workloads: the start" set_status sj/many '{"scanId": "s-2", "phase": "Running"}'
  check "image: another reference after it" says "image $message" change sj/one '{"image": {"reference": "registry.example.com/a"}}'
  check "image: a digest after it" says "image $message" change sj/one "{\"image\": {\"digest\": \"sha256:$(printf 'a%.0s' {1..64})\"}}"
  check "image: workloads in its place" says "image $message" change sj/one '{"image": null, "workloads": {}}'
  check "workloads: other kinds after it" says "workloads $message" change sj/many '{"workloads": {"kinds": ["Pod"]}}'
  check "workloads: no kinds after it" says "workloads $message" change sj/many '{"workloads": {"kinds": null}}'
  check "workloads: an image in its place" says "workloads $message" change sj/many '{"workloads": null, "image": {"reference": "a"}}'
  check "image: other fields may change" change sj/one '{"suspend": true, "schedule": "0 3 * * *", "threshold": "low"}'
  check "workloads: other fields may change" change sj/many '{"suspend": true, "timeoutSeconds": 60}'
  check "image: the status goes on" set_status sj/one '{"phase": "Succeeded", "scanId": "s-3"}'
  kubectl delete sj --all >"$work/out"
}

every_rule_tested() {
  same "$(definitions | jq -r '.[].spec.versions[].schema | .. | objects | .["x-kubernetes-validations"] // empty | .[].message' | sort -u)" \
    "$(printf '%s\n' "${tested_rules[@]}" | sort -u)"
}

# --- defaults and pruning -----------------------------------------------------------------------------------------------

defaults() {
  make ScanJob defaults >"$work/out"
  make Policy defaults '.spec.rules = [{name: "a", action: {type: "block"}}]' >"$work/out"
  make ExportProfile defaults '.spec += {encryption: {}, distribution: {signing: {}}}' >"$work/out"
  check "ScanJob: defaults" has sj/defaults '.spec | del(.image)' \
    '{"force":false,"historyLimit":3,"source":"auto","suspend":false,"threshold":"critical","timeoutSeconds":600}'
  check "Policy: defaults" has spol/defaults '.spec | del(.admission, .rules)' '{"format":"rules","priority":0,"suspend":false}'
  check "Policy: defaults of admission" has spol/defaults .spec.admission \
    '{"failurePolicy":"Ignore","gracePeriodSeconds":86400,"inheritEvidence":true,"mode":"audit","requireSbom":false,"requireSignature":false,"unscanned":"allow"}'
  check "Policy: no defaults in rules" has spol/defaults .spec.rules '[{"action":{"type":"block"},"name":"a"}]'
  check "ExportProfile: defaults" has sep/defaults '.spec | del(.targets)' \
    '{"deletionPolicy":"Retain","distribution":{"insecure":false,"signing":{"enabled":false},"type":"none"},"encryption":{"enabled":false},"formats":["ndjson"],"priority":"normal","retentionDays":30,"suspend":false}'
  make Policy partly '.spec.admission.mode = "enforce"' >"$work/out"
  check "Policy: defaults beside a given field" has spol/partly '.spec.admission | [.mode, .gracePeriodSeconds, .inheritEvidence]' \
    '["enforce",86400,true]'
  local kind
  for kind in sj spol sep; do
    check "$kind: a fresh object is not yet observed" has "$kind/defaults" .status.observedGeneration -1
    check "$kind: the first status" set_status "$kind/defaults" '{"observedGeneration": 1}'
    check "$kind: is kept" has "$kind/defaults" '[.status.observedGeneration, .metadata.generation]' '[1,1]'
    kubectl patch "$kind/defaults" --type=merge --patch '{"spec": {"suspend": true}}' >"$work/out"
    check "$kind: a change of the spec is a new generation" has "$kind/defaults" '[.status.observedGeneration, .metadata.generation]' '[1,2]'
  done
  kubectl delete stella --all >"$work/out"
}

status_only_by_its_subresource() {
  make ScanJob status '.status = {scanId: "mine", observedGeneration: 7}'
  has sj/status .status '{"observedGeneration":-1}'
  kubectl patch sj/status --type=merge --patch '{"status": {"phase": "Succeeded"}}'
  has sj/status .status '{"observedGeneration":-1}'
  set_status sj/status '{"phase": "Running"}'
  kubectl patch sj/status --subresource=status --type=merge --patch '{"spec": {"force": true}}'
  has sj/status '[.status.phase, .spec.force]' '["Running",false]'
  kubectl delete sj/status
}

pruning() {
  local kind
  for kind in ScanJob Policy ExportProfile; do
    object "$kind" unknown '.spec.nonesuch = 1' >"$work/unknown"
    check "$kind: kubectl refuses an unknown field" says 'unknown field "spec.nonesuch"' kubectl apply -f "$work/unknown"
    check "$kind: server-side apply refuses it too" says 'spec.nonesuch: field not declared in schema' \
      kubectl apply --server-side --dry-run=server -f "$work/unknown"
    check "$kind: without validation it is made" kubectl create --validate=false -f "$work/unknown"
    check "$kind: and the field is gone" has "${kind,,}/unknown" .spec.nonesuch null
    check "$kind: an unknown field of the status is gone" set_status "${kind,,}/unknown" '{"nonesuch": 1, "lastHandledReconcileAt": "t"}'
    check "$kind: known ones stay" has "${kind,,}/unknown" '[.status.nonesuch, .status.lastHandledReconcileAt]' '[null,"t"]'
  done
  object Policy deep ".spec.rules = [{name: \"a\", match: {nonesuch: 1}, action: {type: \"block\", nonesuch: 1}}] | .spec.waivers = [$waiver + {nonesuch: 1}]" |
    kubectl create --validate=ignore -f - >"$work/out"
  check "Policy: also deep in lists" has spol/deep '[.. | objects | select(has("nonesuch"))]' '[]'
  kubectl delete stella --all >"$work/out"
}

# --- list types ---------------------------------------------------------------------------------------------------------

as() { # MANAGER KIND JQ [OPTION...]: server-side apply of only what the jq makes.
  object "$2" shared ".spec = {} | $3" | kubectl apply --server-side --field-manager="$1" "${@:4}" -f -
}
shared() { same "$2" "$(kubectl get spol/shared -o json | jq -c "$1")"; } # JQ WANTED

two_managers() {
  check "waivers: of one" as one Policy ".spec.waivers = [$waiver]"
  check "waivers: of another" as two Policy ".spec.waivers = [$waiver + {id: \"b\"}]"
  check "waivers: both are there" shared '[.spec.waivers[].id]' '["a","b"]'
  check "waivers: each its owner's" says 'conflict with "one"' as two Policy ".spec.waivers = [$waiver + {id: \"b\"}, $waiver + {owner: \"x\"}]"
  check "waivers: one id once" says 'uplicate' as two Policy ".spec.waivers = [$waiver + {id: \"b\"}, $waiver + {id: \"b\"}]"
  check "waivers: one takes back its own" as one Policy '.spec.environments = ["dev"]'
  check "waivers: the other's stays" shared '[.spec.waivers[].id]' '["b"]'

  check "set: of another" as two Policy '.spec.environments = ["prod", "dev"]'
  check "set: together" shared '.spec.environments | sort' '["dev","prod"]'
  check "set: one takes back its own" as one Policy '.spec.priority = 1'
  check "set: what the other wants stays" shared '.spec.environments | sort' '["dev","prod"]'

  check "rules: of one" as one Policy '.spec.rules = [{name: "one", action: {type: "block"}}]'
  check "rules: another cannot add" says 'conflict with "one"' as two Policy '.spec.rules = [{name: "two", action: {type: "warn"}}]'
  check "rules: only replace" as two Policy '.spec.rules = [{name: "two", action: {type: "warn"}}]' --force-conflicts
  check "rules: as a whole" shared '[.spec.rules[].name]' '["two"]'

  status_of() { # MANAGER CONDITIONS
    object Policy shared "del(.spec) | .status.conditions = [$2]" |
      kubectl apply --server-side --subresource=status --field-manager="$1" -f -
  }
  check "conditions: of one" status_of one "$(condition Ready True Fine)"
  check "conditions: of another" status_of two "$(condition DataStale False Fresh)"
  check "conditions: both are there" shared '[.status.conditions[].type] | sort' '["DataStale","Ready"]'
  check "conditions: each its owner's" says 'with "one" with subresource "status"' status_of two "$(condition DataStale False Fresh), $(condition Ready False Broken)"
  check "conditions: one changes its own" status_of one "$(condition Ready False Broken)"
  check "conditions: and no other" shared '[.status.conditions[] | .type + "=" + .status] | sort' '["DataStale=False","Ready=False"]'
  kubectl delete stella --all >"$work/out"
}

# --- what people see ----------------------------------------------------------------------------------------------------

header() { kubectl get "$@" | head -n 1 | tr -s ' ' | sed 's/ $//'; }
row() { kubectl get "$@" --no-headers | tr -s ' ' | sed 's/ [0-9]*[smhd]$//; s/ $//'; }
columns() { # KIND WANTED WANTED-WIDE
  same "$2" "$(header "$1")"
  same "$3" "$(header "$1" -o wide)"
}
ready="$(condition Ready True Succeeded)"
a_day_ago="$(date -u -d '26 hours ago' +%Y-%m-%dT%H:%M:%SZ)"

fill() {
  kubectl create namespace shop
  kubectl apply -f "$samples"
  kubectl apply -n shop -f "$samples/scanjob-image.yaml"
  set_status sj/shop-web "{\"observedGeneration\": 1, \"phase\": \"Succeeded\", \"scanId\": \"s-1\", \"verdict\": \"warn\",
    \"image\": {\"reference\": \"registry.example.com/shop/web:1.4\"}, \"summary\": {\"critical\": 1, \"high\": 2},
    \"lastSuccessfulTime\": \"$a_day_ago\", \"conditions\": [$ready]}"
  set_status spol/shop "{\"observedGeneration\": 1, \"ruleCount\": 4, \"revision\": \"rev-7\", \"conditions\": [$ready],
    \"projected\": {\"images\": 9, \"blocked\": 3, \"warned\": 2}}"
  set_status sep/nightly "{\"observedGeneration\": 1, \"conditions\": [$ready],
    \"lastRun\": {\"runId\": \"r\", \"status\": \"succeeded\", \"completedAt\": \"$a_day_ago\"}}"
}
rows() {
  same "shop-web True Succeeded registry.example.com/shop/web:1.4 1 2 warn 26h" "$(row sj/shop-web)"
  same "shop True rules 4 enforce rev-7 3" "$(row spol/shop)"
  same 'nightly True ["findings","sbom","vex"] 0 3 * * * 26h succeeded' "$(row sep/nightly)"
}
everything() {
  same $'exportprofile.stella-ops.org/nightly\npolicy.stella-ops.org/shop\npolicy.stella-ops.org/shop-rego\nscanjob.stella-ops.org/shop-web\nscanjob.stella-ops.org/shop-web\nscanjob.stella-ops.org/shop-workloads' \
    "$(kubectl get stella -A -o name | sort)"
}
selected() { same "$3" "$(kubectl get "$1" -A --field-selector "$2" -o name | sed 's/.*\///' | sort | paste -sd' ')"; } # KIND SELECTOR WANTED
selectors() {
  local digest=sha256:4f2d6d7bd1e1a1b2c3d4e5f60718293a4b5c6d7e8f9001122334455667788990
  check "select ScanJobs by digest" selected sj "spec.image.digest=$digest" "shop-web shop-web"
  check "select ScanJobs by phase" selected sj "status.phase=Succeeded" "shop-web"
  check "select ScanJobs that are not there yet" selected sj "status.phase=" "shop-web shop-workloads"
  check "select Policies by format" selected spol "spec.format=rego" "shop-rego"
  check "select ExportProfiles by kind of place" selected sep "spec.distribution.type=oci" "nightly"
  check "no other field selects" says "field label not supported" kubectl get sj --field-selector spec.source=node
  check "every selectable field was tested" selectable
}
selectable() {
  same '[".spec.distribution.type"] [".spec.format"] [".spec.image.digest",".status.phase"]' \
    "$(definitions | jq -r '[.[].spec.versions[0].selectableFields | map(.jsonPath) | tostring] | sort | join(" ")')"
}

# `kubectl explain` is the manual: each field is in it, and described.
explained() { # KIND
  local kind="$1" path
  kubectl explain "$kind" --recursive >"$work/explained"
  while read -r path; do
    grep -qw -- "${path##*.}" "$work/explained" || { echo "$path: not there"; return 1; }
  done < <(schema_paths "$kind" .)
  while read -r path; do
    kubectl explain "$path" >"$work/explained"
    ! grep -n '<no description>\|<empty>' "$work/explained" || { echo "$path: not described"; return 1; }
    grep -q '^DESCRIPTION:' "$work/explained" || { echo "$path: not described"; return 1; }
  done < <(schema_paths "$kind" 'select(has("properties") or has("additionalProperties"))')
}
schema_paths() { # KIND JQ: of the fields for which the jq gives something
  definitions | jq -r --arg kind "$1" 'def fields(path): (.items // .) as $schema
      | ($schema | '"$2"' | path), ($schema.properties // {} | to_entries[] | .key as $key | .value | fields(path + "." + $key));
    .[] | select(.spec.names.kind | ascii_downcase == $kind) | .spec.versions[0].schema.openAPIV3Schema.properties
    | to_entries[] | select(.key == "spec" or .key == "status") | .key as $key | .value | fields($kind + "." + $key)'
}

waits() {
  kubectl wait --for=condition=Ready --timeout=5s sj/shop-web spol/shop sep/nightly
  says "timed out" kubectl wait --for=condition=Ready --timeout=1s sj/shop-workloads
  (sleep 1 && set_status sj/shop-workloads "{\"conditions\": [$ready]}") >/dev/null 2>&1 &
  kubectl wait --for=condition=Ready --timeout=20s sj/shop-workloads
  kubectl wait --for=jsonpath='{.status.phase}'=Succeeded --timeout=5s sj/shop-web
}
asks_for_a_run() { # Metadata is no new generation.
  local generation
  generation="$(field sj/shop-web .metadata.generation)"
  kubectl annotate sj/shop-web stella-ops.org/reconcile-at=now
  has sj/shop-web .metadata.generation "$generation"
  set_status sj/shop-web '{"lastHandledReconcileAt": "now"}'
}

# --- an object that cannot be decoded -----------------------------------------------------------------------------------

# `spec.format` of an object that gets by while the definition takes anything, as after a downgrade; and a date with an
# offset of 99 minutes, which only the API server understands.
undecodable() {
  kubectl get crd policies.stella-ops.org -o json | jq '.spec.versions[0].schema.openAPIV3Schema.properties.spec
    = {type: "object", "x-kubernetes-preserve-unknown-fields": true} | del(.spec.versions[0].selectableFields)' >"$work/loose"
  make Policy good-1
  kubectl replace -f "$work/loose"
  for _ in $(seq 50); do
    ! make Policy bad-type '.spec = {format: 7, rules: "none", nonesuch: 1}' || break
    sleep 0.2
  done
  make Policy bad-value '.spec = {format: "cedar", admission: {mode: "later"}}'
  kubectl replace -f <(kubectl create --dry-run=client -o json -f "$manifests/policies.stella-ops.org.yaml")
  for _ in $(seq 50); do
    ! try Policy '.spec.format = 7' || { sleep 0.2; continue; }
    break
  done
  make Policy bad-date '.spec.rules = [{name: "a", expires: "2027-01-01T00:00:00+00:99", action: {type: "warn"}}]'
}
beside_good_ones() {
  make Policy good-2
  same "bad-date bad-type bad-value good-1 good-2" \
    "$(kubectl get spol -o json | jq -r '[.items[].metadata.name | select(test("good|bad"))] | sort | join(" ")')"
  has spol/bad-type '[.spec.format, .spec.rules]' '[7,"none"]'
  has spol/bad-value '[.spec.format, .spec.admission.mode]' '["cedar","later"]'
  set_status spol/good-1 "{\"conditions\": [$ready]}"
}
# What is wrong already may stay wrong when the status changes, so that the operator can say so in a condition.
reported() {
  local name
  for name in bad-value bad-date; do
    set_status "spol/$name" "{\"observedGeneration\": 1, \"conditions\": [$(condition Ready False Undecodable)]}"
    has "spol/$name" '[.status.conditions[] | .reason]' '["Undecodable"]'
  done
}
# But not where a rule looks at a value of another type: there it takes an event.
reported_otherwise() {
  says 'evaluating rule' set_status spol/bad-type "{\"conditions\": [$(condition Ready False Undecodable)]}"
}
mended() {
  local name
  for name in bad-type bad-value bad-date; do
    kubectl patch "spol/$name" --type=json --patch '[{"op": "replace", "path": "/spec", "value": {"format": "rules"}}]'
    kubectl delete "spol/$name"
  done
}

# --- size ---------------------------------------------------------------------------------------------------------------

etcd_bytes() { # What etcd holds: compacted, so that only the newest of each object counts.
  local revision
  revision="$(kubectl get --raw '/apis/stella-ops.org/v1alpha1/scanjobs?limit=1' | jq -r .metadata.resourceVersion)"
  curl -sf "$control_plane_etcd/v3/kv/compaction" -d "{\"revision\": \"$revision\", \"physical\": true}" >/dev/null
  curl -sf "$control_plane_etcd/v3/kv/range" -d "{\"key\": \"$(printf /registry/stella-ops.org/ | base64 -w0)\", \"range_end\": \"$(printf /registry/stella-ops.org0 | base64 -w0)\"}" |
    jq '[.kvs[]?.value | length * 3 / 4] | add // 0 | floor'
}
full_status='{"observedGeneration": 1, "phase": "Succeeded", "scanId": "0192f0c1-7e1b-7000-8000-000000000000", "readFrom": "layers",
  "image": {"reference": "registry.example.com/shop/web:1.4", "digest": "sha256:4f2d6d7bd1e1a1b2c3d4e5f60718293a4b5c6d7e8f9001122334455667788990"},
  "summary": {"critical": 12, "high": 345, "medium": 678, "low": 901, "unknown": 23}, "verdict": "blocked",
  "report": {"reportId": "0192f0c1-7e1b-7000-8000-000000000001", "url": "/api/v1/reports/0192f0c1-7e1b-7000-8000-000000000001"},
  "startedAt": "2026-11-01T00:00:00Z", "completedAt": "2026-11-01T00:00:09Z", "lastScheduleTime": "2026-11-01T00:00:00Z",
  "nextScheduleTime": "2026-11-02T00:00:00Z", "lastSuccessfulTime": "2026-11-01T00:00:09Z", "failureReason": "",
  "total": 10000, "fresh": 9990, "stale": 5, "failed": 3, "excluded": 2, "lastHandledReconcileAt": "now"}'
small_objects() {
  local before after each
  before="$(etcd_bytes)"
  for number in $(seq 200); do object ScanJob "many-$number"; done | kubectl create -f - >/dev/null
  for number in $(seq 20); do
    set_status "sj/many-$number" "$(jq -c --argjson condition "$ready" '.conditions = [$condition]' <<<"$full_status")" >/dev/null
  done
  after="$(etcd_bytes)"
  each=$(((after - before) / 200))
  echo "$each bytes a fresh ScanJob"
  ((each < 2048))
  local bytes
  bytes="$(kubectl get sj/many-1 --show-managed-fields -o json | jq -c . | wc -c)"
  echo "$bytes bytes with everything in its status"
  ((bytes < 8192))
}

# ------------------------------------------------------------------------------------------------------------------------

start_control_plane "$work"

section "definitions"
check "client-side apply" kubectl apply -f "$manifests"
check "client-side apply again" kubectl apply -f "$manifests"
check "established" established
check "small enough for its annotation" small_annotations
check "server-side apply, twice" apply_with_two_ways
check "established" established
check "documented" answered
check "structural, nothing untyped" no_violation
check "names, short names, categories, scope" names
check "each list has a type" list_types
for kind in ScanJob Policy ExportProfile; do
  check "$kind: conditions by type" list_type "$kind" status.conditions "map type"
done
check "waivers by id" list_type Policy spec.waivers "map id"
check "signers by name" list_type Policy spec.admission.signers "map name"
check "pull secrets by name" list_type ScanJob spec.imagePullSecrets "map name"
check "feeds by name" list_type Policy status.feeds "map name"
check "rules as a whole" list_type Policy spec.rules atomic
for path in spec.environments spec.rules.[].severity spec.rules.[].match.images spec.waivers.[].digests status.expiredWaivers; do
  check "Policy $path is a set" list_type Policy "$path" set
done
check "ExportProfile spec.targets is a set" list_type ExportProfile spec.targets set
check "ExportProfile spec.formats is a set" list_type ExportProfile spec.formats set
check "ScanJob spec.workloads.kinds is a set" list_type ScanJob spec.workloads.kinds set

section "samples"
for file in "$samples"/*.yaml; do check "${file##*/}" accepted_sample "$file"; done
check "client-side apply: no drift" no_drift
check "server-side apply: no drift" no_drift --server-side
check "client-side apply: a field taken back" field_taken_back

section "CEL"
rules
unchanged_once_started
check "every rule was tested" every_rule_tested

section "defaults"
defaults
check "the status only by its subresource" status_only_by_its_subresource

section "pruning"
pruning

section "two managers"
two_managers

section "what people see"
check "objects with a status" fill
check "columns of ScanJob" columns sj "NAME READY PHASE IMAGE CRITICAL HIGH VERDICT LAST-SUCCESS AGE" \
  "NAME READY PHASE IMAGE CRITICAL HIGH VERDICT LAST-SUCCESS AGE REASON"
check "columns of Policy" columns spol "NAME READY FORMAT RULES MODE REVISION BLOCKED AGE" \
  "NAME READY FORMAT RULES MODE REVISION BLOCKED AGE"
check "columns of ExportProfile" columns sep "NAME READY TARGETS SCHEDULE LAST-RUN STATUS AGE" \
  "NAME READY TARGETS SCHEDULE LAST-RUN STATUS AGE"
check "rows" rows
check "kubectl get stella -A" everything
selectors
for kind in scanjob policy exportprofile; do check "kubectl explain $kind" explained "$kind"; done
check "kubectl wait" waits
check "the annotation that asks for a run" asks_for_a_run

section "an object that cannot be decoded"
check "is there" undecodable
check "does not hide the others" beside_good_ones
check "gets a condition" reported
check "gets none where a rule meets another type" reported_otherwise
check "can be mended and deleted" mended

section "size"
check "objects stay small" small_objects
sed 's/^/        /' "$work/out"

section "bounds"
bounds
finished=1
