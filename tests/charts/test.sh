#!/usr/bin/env bash
# Tests the charts without a cluster. Needs helm (scripts/install/kube-tools.sh), python3 with yaml, and for the
# comparison with the API of Kubernetes kubeconform (scripts/install/go-tools.sh) and go, from whose module cache or proxy
# that API comes.
# shellcheck disable=SC2317 # functions that `check` calls
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
repository="$(cd "$here/../.." && pwd)"
charts="$repository/charts"
cache="${STELLA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/stella}"
PATH="$cache/bin:$PATH"
kubernetes=v1.36.3

# The interpreter that has yaml: the first in PATH, else Debian's.
python3() { if command python3 -c 'import yaml' 2>/dev/null; then command python3 "$@"; else /usr/bin/python3 "$@"; fi; }

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
export HELM_CACHE_HOME="$work/helm" HELM_CONFIG_HOME="$work/helm" HELM_DATA_HOME="$work/helm"
# shellcheck source=../checks.sh
source "$repository/tests/checks.sh"

render() { # VALUES OPTION...
  local values="$1"
  shift
  helm template stella "$charts/stella" --namespace stella-test --values "$values" "$@" 2>"$work/errors" ||
    { cat "$work/errors" >&2; return 1; }
}

lint() { helm lint --strict "$@" 2>&1; }

renders() {
  render "$1" >"$work/rendered/$(basename "$1")"
}

same_twice() {
  render "$1" | cmp - "$work/rendered/$(basename "$1")"
}

no_bundle() {
  ! grep -rnE 'caBundle:|BEGIN [A-Z ]*(CERTIFICATE|KEY)' "$work/rendered"
}

# Helm's functions that give something else each time, or ask the cluster.
no_chance() {
  ! grep -rnE '\b(rand[A-Z][A-Za-z]*|genCA|genSelfSignedCert|genSignedCert|genPrivateKey|uuidv4|now|lookup|bcrypt|htpasswd|getHostByName)\b' \
    "$charts"/stella*/templates --include='*.yaml' --include='*.tpl' | grep -F '{{'
}

refuses() { # VALUES WORD
  if helm template stella "$charts/stella" --set "$1" >"$work/refused" 2>&1; then
    echo "accepted"
    return 1
  fi
  grep -qF -- "$2" "$work/refused" || { cat "$work/refused"; return 1; }
}

# A mode the agent of this version does not have yet: the template is ready, the schema is not.
kills_in_enforce() {
  helm template stella "$charts/stella" --set agent.mode=enforce --skip-schema-validation 2>/dev/null |
    grep -qF 'add: [BPF, PERFMON, SYS_PTRACE, KILL]'
}

digest_goes_first() {
  grep -qF 'image: registry.example:5000/stella/stella-operator@sha256:0123' "$work/rendered/everything.yaml" &&
    grep -qF 'image: registry.example:5000/stella/stella-webhook:v1.2.3' "$work/rendered/everything.yaml" &&
    grep -qF 'image: stella-operator:' "$work/rendered/existing.yaml"
}

registries_are_mounted() {
  grep -qF -- '--registry-config=/etc/stella/registry-config/config.json' "$work/rendered/everything.yaml" &&
    grep -qF 'secretName: registry-login' "$work/rendered/everything.yaml" &&
    grep -qF -- '--registries=/etc/stella/registries/registries.yaml' "$work/rendered/everything.yaml" &&
    ! grep -qE -- '--registr|registry-config' "$work/rendered/default.yaml"
}

# The account's token is for the operator alone, and changed for one of its own unless told otherwise.
tokens_are_exchanged() {
  [[ "$(grep -c -- '- --exchange-token$' "$work/rendered/default.yaml")" == 2 ]] &&
    [[ "$(grep -c -- '- --token-file=/var/run/secrets/stella/token$' "$work/rendered/default.yaml")" == 2 ]] &&
    [[ "$(grep -c 'serviceAccountToken: {audience: stella-ops, expirationSeconds: 3600, path: token}' "$work/rendered/default.yaml")" == 2 ]] &&
    ! grep -qF -- --exchange-token "$work/rendered/everything.yaml"
}

# SQLite has one writer. Who shares a PostgreSQL database shares a volume, too, which has to allow several.
replicas_by_store() {
  local postgresql=operator.store=postgresql,operator.database.urlSecret.name=d
  local many=operator.persistence.accessMode=ReadWriteMany
  has_replicas 1 ReadWriteOnce crds.enabled=true &&
    has_replicas 1 ReadWriteMany "$many" &&
    has_replicas 1 ReadWriteOnce "$postgresql" &&
    has_replicas 2 ReadWriteMany "$postgresql,$many" &&
    has_replicas 3 ReadWriteMany "$postgresql,$many,operator.replicas=3" &&
    has_replicas 1 ReadWriteMany "$postgresql,$many,operator.replicas=1" &&
    has_replicas 1 "" "$postgresql,operator.persistence.existingClaim=a" &&
    has_replicas 2 "" "$postgresql,$many,operator.persistence.existingClaim=a" &&
    has_replicas 1 "" "$postgresql,operator.persistence.enabled=false"
}

has_replicas() { # REPLICAS ACCESS-MODE VALUES
  local budgets=0 found claim=(--show-only templates/operator/claim.yaml)
  (($1 == 1)) || budgets=1
  [[ -n "$2" ]] || claim=()
  helm template stella "$charts/stella" --set "$3" --show-only templates/operator/deployment.yaml \
    "${claim[@]}" --show-only templates/operator/service.yaml >"$work/operators" || return 1
  found="$(sed -n 's/^  replicas: //p; s/^  accessModes: //p' "$work/operators" | sort | xargs)"
  [[ -n "$2" ]] || found+=" []"
  found+=" $(grep -cxF 'kind: PodDisruptionBudget' "$work/operators" || true)"
  found+=" $(grep -cF 'topologyKey: kubernetes.io/hostname' "$work/operators" || true)"
  [[ "$found" == "$1 [$2] $budgets $budgets" ]] || { echo "$3: $found"; return 1; }
}

definitions_stay() {
  [[ "$(grep -c 'helm.sh/resource-policy: keep' "$work/rendered/default.yaml")" == 3 ]] &&
    # The volume alone.
    [[ "$(grep -c 'helm.sh/resource-policy: keep' "$work/rendered/everything.yaml")" == 1 ]]
}

generated_in_step() {
  mkdir -p "$work/copy"
  cp -a "$charts" "$work/copy/charts"
  mkdir -p "$work/copy/crds"
  cp -a "$repository/crds/manifests" "$work/copy/crds/"
  "$work/copy/charts/generate.sh"
  diff -r "$charts" "$work/copy/charts" || { echo "run charts/generate.sh"; return 1; }
}

# What alerts and dashboard ask for has to be something the parts count.
metrics_exist() {
  local name source missing=0
  while read -r name; do
    case "$name" in
      zastava_*) source="$repository/agent/src" ;;
      *) source="$repository/webhook/src/metrics.rs" ;;
    esac
    # The agent's part may still be on its way.
    grep -rq zastava_ "$source" || [[ "$name" != zastava_* ]] || continue
    name="${name%_bucket}"
    grep -rqE "\"(${name}|${name#stella_admission_})\"" "$source" || { echo "$name: counted nowhere"; missing=1; }
  done < <(grep -rhoE '\b(stella_admission|zastava)_[a-z_]+' "$charts/stella/dashboards" \
    "$charts/stella/templates/monitoring" | sort -u)
  return "$missing"
}

make_schemas() {
  local module
  module="$(cd "$work" && go mod download -json "k8s.io/kubernetes@$kubernetes" | jq -er .Dir)"
  mkdir -p "$work/schemas"
  python3 "$here/json_schemas.py" "$module/api/openapi-spec/swagger.json" "$work/schemas"
}

conforms() {
  kubeconform -strict -summary -schema-location "$work/schemas/{{.ResourceKind}}{{.KindSuffix}}.json" \
    -skip ServiceMonitor,PodMonitor,PrometheusRule "$@"
}

check "lint stella-crds" lint "$charts/stella-crds"
check "lint stella" lint "$charts/stella" --with-subcharts
check "schema covers the values" python3 "$here/schema_covers_values.py" "$charts/stella" "$charts/stella-crds"

mkdir -p "$work/rendered"
: >"$work/default.yaml"
for values in "$work/default.yaml" "$here"/values/*.yaml; do
  name="$(basename "$values" .yaml)"
  check "lint with $name values" lint "$charts/stella" --values "$values"
  check "render with $name values" renders "$values"
  check "the same when rendered again, $name values" same_twice "$values"
done
check "what holds for all manifests" python3 "$here/manifests.py" stella-test "$work"/rendered/*.yaml
check "no caBundle, certificate or key" no_bundle
check "nothing random in templates" no_chance
check "a digest goes before the tag" digest_goes_first
check "credentials and settings of registries" registries_are_mounted
check "agent and webhook change their tokens" tokens_are_exchanged
check "as many operators as the store allows" replicas_by_store
check "definitions stay unless told otherwise" definitions_stay
check "KILL in enforce" kills_in_enforce

while IFS=$'\t' read -r values word; do
  [[ -z "$values" || "$values" == \#* ]] || check "refuses $values" refuses "$values" "$word"
done <"$here/refused.txt"

check "generated files in step" generated_in_step
check "metrics exist" metrics_exist
check "plain manifests" python3 "$here/manifests.py" stella-system "$charts"/plain/stella.yaml

if command -v kubeconform >/dev/null && command -v go >/dev/null; then
  check "schemas of Kubernetes $kubernetes" make_schemas
  check "conform to Kubernetes $kubernetes" conforms "$work"/rendered/*.yaml "$charts"/plain/{namespace,crds,stella}.yaml
else
  echo "skipped conformance: no kubeconform (scripts/install/go-tools.sh kubeconform)"
fi
if command -v shellcheck >/dev/null; then
  check "shellcheck" shellcheck "$charts/generate.sh" "$here"/*.sh
fi
exit "$failed"
